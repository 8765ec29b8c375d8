/** `paper`: as the authors did it, holes and all. `rigorous`: with the corrections of docs/paper.md marked [ours]. */
export const PROFILES = ['rigorous', 'paper'] as const;
export type Profile = (typeof PROFILES)[number];

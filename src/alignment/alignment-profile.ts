/** `paper`: as the authors did it, holes and all. `rigorous`: with the corrections of PAPER.md marked [ours]. */
export const PROFILES = ['rigorous', 'paper'] as const;
export type Profile = (typeof PROFILES)[number];

/** The five moral foundations, in the paper's order; the names Social-Chemistry-101 tags its rows with. */
export const FOUNDATIONS = [
  'care-harm',
  'fairness-cheating',
  'loyalty-betrayal',
  'authority-subversion',
  'sanctity-degradation',
] as const;
export type Foundation = (typeof FOUNDATIONS)[number];

/** The ten poles: slot 2f is the virtue of foundation f, slot 2f + 1 its vice (docs/paper.md section 1, "Slot order"). */
export const POLES = [
  'care',
  'harm',
  'fairness',
  'cheating',
  'loyalty',
  'betrayal',
  'authority',
  'subversion',
  'sanctity',
  'degradation',
] as const;
export type Pole = (typeof POLES)[number];

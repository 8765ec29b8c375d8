/**
 * Antonyms that can follow "is morally", the approving word first (docs/paper.md section 3.5). A model's readout uses the pairs
 * of which both words are one token each. Left out are words that do other work there: "is morally just as ...".
 */
export const READOUT_PAIRS: readonly (readonly [virtue: string, vice: string])[] = [
  ['right', 'wrong'],
  ['good', 'bad'],
  ['acceptable', 'unacceptable'],
  ['correct', 'incorrect'],
  ['moral', 'immoral'],
  ['ethical', 'unethical'],
  ['fair', 'unfair'],
  ['justified', 'unjustified'],
  ['justifiable', 'unjustifiable'],
  ['permissible', 'impermissible'],
  ['appropriate', 'inappropriate'],
  ['proper', 'improper'],
  ['sound', 'unsound'],
  ['virtuous', 'evil'],
  ['admirable', 'shameful'],
  ['noble', 'despicable'],
  ['decent', 'indecent'],
  ['responsible', 'irresponsible'],
  ['legitimate', 'illegitimate'],
  ['honest', 'dishonest'],
  ['honorable', 'dishonorable'],
  ['positive', 'negative'],
];

/** Poolings of a text's token states (PAPER.md section 2). */
export const POOLINGS = ['last', 'content', 'mean'] as const;
export type Pooling = (typeof POOLINGS)[number];

import type { Family } from './standard.js';

/** Windows, if switched on, begin at a block of the upper part. */
const window: Pick<Family, 'windowSwitch' | 'windowed'> = {
  windowSwitch: true,
  windowed: (layer, { firstWindow = 28 }) => layer >= firstWindow,
};

/** Qwen 2 and 2.5. */
export const qwen2: Family = { name: 'qwen2', qkvBias: true, ...window };

export const qwen3: Family = { name: 'qwen3', qkNorm: true, ...window };

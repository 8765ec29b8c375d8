import { Random } from '../random.js';

export interface Split {
  train: Int32Array;
  validation: Int32Array;
  test: Int32Array;
}

/** 70 / 10 / 20 of the texts (docs/paper.md section 3.4; by text, so that no text stands on two sides). */
export function splitTexts(n: number, seed: number): Split {
  const order = new Random(seed, 'split').permutation(n);
  const [train, validation] = [Math.round(0.7 * n), Math.round(0.8 * n)];
  return {
    train: order.slice(0, train).sort(),
    validation: order.slice(train, validation).sort(),
    test: order.slice(validation).sort(),
  };
}

/** Two halves of the texts: layers are chosen on the first and reported on the second. */
export function halveTexts(n: number, seed: number): [Int32Array, Int32Array] {
  const order = new Random(seed, 'half').permutation(n);
  const middle = Math.floor(n / 2);
  return [order.slice(0, middle).sort(), order.slice(middle).sort()];
}

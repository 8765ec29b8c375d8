import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Random } from '../random.js';
import {
  adjustedMutualInformation,
  adjustedRandIndex,
  expectedMutualInformation,
  mutualInformation,
  Partition,
} from './partition.js';

interface Case {
  a: number[];
  b: number[];
  ari: number;
  ami: number;
  mi: number;
  emi: number;
}
const golden = JSON.parse(readFileSync(new URL('../../fixtures/statistics.golden.json', import.meta.url), 'utf8'));

test.each((golden.partitions as Case[]).map((c) => [c.a.length, c] as const))('%i items as scikit-learn', (_, c) => {
  const a = new Partition(Int32Array.from(c.a));
  const b = new Partition(c.b);
  expect(adjustedRandIndex(a, b)).toBeCloseTo(c.ari, 12);
  expect(mutualInformation(a, b)).toBeCloseTo(c.mi, 12);
  expect(expectedMutualInformation(a.sizes, b.sizes)).toBeCloseTo(c.emi, 10);
  expect(adjustedMutualInformation(a, b)).toBeCloseTo(c.ami, 9);
  expect(adjustedMutualInformation(b, a, expectedMutualInformation(a.sizes, b.sizes))).toBeCloseTo(c.ami, 9);
});

test('the expectation is the mean over permutations', () => {
  const random = new Random(3, 'permutations');
  const a = Int32Array.from({ length: 60 }, (_, i) => i % 4);
  const b = Int32Array.from({ length: 60 }, (_, i) => Math.floor(i / 10));
  const [pa, pb] = [new Partition(a), new Partition(b)];
  let mi = 0;
  let ari = 0;
  for (let draw = 0; draw < 4000; draw++) {
    const shuffled = new Partition(random.shuffle(b));
    mi += mutualInformation(pa, shuffled) / 4000;
    ari += adjustedRandIndex(pa, shuffled) / 4000;
  }
  expect(mi).toBeCloseTo(expectedMutualInformation(pa.sizes, pb.sizes), 2);
  expect(ari).toBeCloseTo(0, 2);
});

test('sizes far apart do not underflow', () => {
  // The chance of the smallest cell is under 1e-308 here.
  const expected = expectedMutualInformation(Int32Array.of(6000, 6000), Int32Array.of(6000, 6000));
  // Large samples: (rows - 1)(columns - 1) / 2n
  expect(expected).toBeCloseTo(1 / 24000, 7);
});

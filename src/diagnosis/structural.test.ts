import { describe, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import { Random } from '../random.js';
import { adjustedMutualInformation, adjustedRandIndex, Partition } from '../statistics/partition.js';
import { clusterStates } from './clustering.js';
import { drawAll } from './draws.js';
import { JudgedTexts } from './judged-texts.js';
import { randomCorpus } from './planted.test.support.js';
import { agreement, clusterParameters, humanClasses, structural } from './structural.js';

const texts = JudgedTexts.of(randomCorpus(300, 2, 0));
const draws = drawAll(texts, { seed: 3, permutations: 25, bootstraps: 0 }, 'test');
const classes = humanClasses(texts, draws, 3);
const random = new Random(5);
const clustering = {
  hdbscan: Int32Array.from(texts.valence(), (v) => (random.uniform() < 0.3 ? -1 : random.uniform() < 0.6 ? Math.sign(v) + 1 : 3)),
  kmeans: [5, 3, 15].map((k) => Int32Array.from({ length: 300 }, () => random.below(k))),
};
/** The human classes as plain labels: foundation, polarity, both. */
const human = (signed = texts.signed) => {
  const foundation = Array.from({ length: 300 }, (_, i) => texts.firstFoundation(i));
  const polarity = Array.from(texts.valence(signed), Math.sign);
  return [foundation, polarity, foundation.map((f, i) => 10 * f + polarity[i])];
};

test("cluster parameters are the paper's at its size and beyond, in proportion below, never tiny", () => {
  expect(clusterParameters(16_315)).toEqual({ minClusterSize: 100, minSamples: 20 });
  expect(clusterParameters(50_000)).toEqual({ minClusterSize: 100, minSamples: 20 });
  expect(clusterParameters(8_157)).toEqual({ minClusterSize: 50, minSamples: 10 });
  expect(clusterParameters(200)).toEqual({ minClusterSize: 10, minSamples: 5 });
});

describe('agreement', () => {
  const compare = (found: Float64Array, labels: number[][], among: number[]) => {
    const [clusters, kmeans] = [clustering.hdbscan, clustering.kmeans];
    const inside = among.filter((i) => clusters[i] !== -1);
    const of = (values: ArrayLike<number>, positions: number[]) => new Partition(positions.map((i) => values[i]));
    labels.forEach((own, l) => {
      expect(found[l]).toBeCloseTo(adjustedRandIndex(of(clusters, among), of(own, among)), 12);
      expect(found[3 + l]).toBeCloseTo(adjustedRandIndex(of(clusters, inside), of(own, inside)), 12);
      expect(found[6 + l]).toBeCloseTo(adjustedMutualInformation(of(clusters, among), of(own, among)), 9);
      expect(found[9 + l]).toBeCloseTo(adjustedMutualInformation(of(kmeans[l], among), of(own, among)), 9);
    });
  };
  const everyone = Array.from({ length: 300 }, (_, i) => i);

  test('equals ARI and AMI of the labels, noise as a class and dropped', () => {
    const found = agreement(clustering, classes);
    compare(found.observed, human(), everyone);
    expect(found.observed[1]).toBeGreaterThan(0.05);
    expect(found.observed[4]).toBeGreaterThan(found.observed[1]);
    expect(found.permuted.length).toBe(25);
    const [foundation] = human();
    draws.permuted.slice(0, 4).forEach(({ signed }, b) => {
      const [, polarity, both] = human(signed);
      const shuffled = Array.from(new Random(3, 'foundation', b).shuffle(Int32Array.from(foundation)));
      compare(found.permuted[b], [shuffled, polarity, both], everyone);
    });
  });

  test('of some of the texts alone', () => {
    const some = everyone.filter((i) => i % 3 === 1);
    const found = agreement(clustering, classes, Int32Array.from(some));
    compare(found.observed, human(), some);
    const topics = Array.from(new Random(3, 'foundation', 2).shuffle(Int32Array.from(human()[0])));
    compare(found.permuted[2], human(draws.permuted[2].signed).with(0, topics), some);
  });
});

test('under the null polarity stays within its foundation, and foundations keep their sizes', () => {
  const [foundation, polarity] = human();
  const count = (labels: ArrayLike<number>) => {
    const counts = new Map<string, number>();
    foundation.forEach((f, i) => {
      const key = `${f}/${labels[i]}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    });
    return [...counts].sort();
  };
  let moved = 0;
  for (const [topics, signs, both] of classes.permuted) {
    expect(count(Array.from(signs.classOf, (c) => c - 1))).toEqual(count(polarity));
    expect([...topics.sizes]).toEqual([...classes.observed[0].sizes]);
    expect([...both.sizes]).toEqual([...classes.observed[2].sizes]);
    if (topics.classOf.some((c, i) => c !== foundation[i]) && signs.classOf.some((c, i) => c - 1 !== polarity[i])) moved++;
  }
  expect(moved).toBe(25);
});

test('where every text is noise, the figures say so and k-means goes on', () => {
  const noise = { ...clustering, hdbscan: new Int32Array(300).fill(-1) };
  const found = structural(agreement(noise, classes), noise, 7, clusterParameters(300));
  expect(found).toMatchObject({ clusters: 0, components: 7, minClusterSize: 10, minSamples: 5, noise: { value: 1 } });
  for (const measure of ['ari', 'ariWithoutNoise', 'ami'] as const)
    for (const figure of Object.values(found[measure])) {
      expect(figure.why).toContain('every text is noise');
      expect(figure.value === null || figure.value === 0).toBe(true);
    }
  expect(found.ariWithoutNoise.polarity.value).toBeNull();
  expect(found.kmeansAmi.polarity).toMatchObject({ value: expect.any(Number), p: expect.any(Number) });
  expect(found.kmeansAmi.polarity.why).toBeUndefined();
});

test('where all texts are of one class there is no agreement to speak of', () => {
  const alike = { observed: [classes.observed[0], new Partition(new Int32Array(300)), classes.observed[2]], permuted: [] };
  const found = agreement({ ...clustering, hdbscan: new Int32Array(300).fill(-1) }, alike);
  const { ari, kmeansAmi } = structural(found, clustering, 3, clusterParameters(300));
  expect([ari.polarity.value, kmeansAmi.polarity.value]).toEqual([null, null]);
  expect(ari.polarity.why).toContain('one polarity');
  expect(ari.foundation.value).toBe(0);
});

test('a handful of texts of one foundation is not clustered, and says so', async () => {
  const matmul = await MatMul.open(1);
  for (const n of [0, 1, 7, 14]) {
    const few = await clusterStates({ n, d: 4, data: Float32Array.from({ length: 4 * n }, (_, i) => i % 5) }, 0, matmul);
    const found = structural(
      agreement(few, humanClasses(texts.subset(Int32Array.from({ length: n }, (_, i) => i)), { ...draws, permuted: [] }, 1)),
      few,
      0,
      clusterParameters(n),
    );
    expect(found.ari.polarity).toEqual({ value: null, why: `only ${n} texts carry one foundation alone` });
  }
  await matmul.close();
});

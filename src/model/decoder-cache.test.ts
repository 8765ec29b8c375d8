import { expect, test } from 'vitest';
import { Random } from '../random.js';
import { DecoderCache } from './decoder-cache.js';

const SHAPE = { layers: 2, heads: 3, width: 4, queries: 6 };
const NAMES = ['0.keys', '0.values', '1.keys', '1.values'];

/** The number at an element of a text's token. */
const number = (name: string, label: number, token: number, head: number, element: number) =>
  ((label * 500 + token) * NAMES.length + NAMES.indexOf(name)) * SHAPE.heads * SHAPE.width + head * SHAPE.width + element;

/** Adds tokens to texts of which so many are there, as a run of a decoder would; texts are known by labels. */
function append(cache: DecoderCache, labels: readonly number[], counts: readonly number[]): void {
  const before = cache.texts === 0 ? labels.map(() => 0) : [...cache.lengths];
  const length = Math.max(...counts);
  const { heads, width } = SHAPE;
  const present = NAMES.map((name) => {
    const data = new Float32Array(labels.length * heads * length * width).fill(-1);
    for (const [text, label] of labels.entries())
      for (let head = 0; head < heads; head++)
        for (let i = 0; i < counts[text]; i++)
          for (let element = 0; element < width; element++)
            data[((text * heads + head) * length + i) * width + element] = number(name, label, before[text] + i, head, element);
    return [`present.${name}`, { data, shape: [labels.length, heads, length, width] }] as const;
  });
  cache.tensors(labels.length);
  cache.append(Int32Array.from(counts), length, Object.fromEntries(present));
}

function expectTexts(cache: DecoderCache, labels: readonly number[], lengths: readonly number[]): void {
  expect([...cache.lengths]).toEqual(lengths);
  const { room, past } = cache.tensors(labels.length);
  const { heads, width } = SHAPE;
  const wrong: string[] = [];
  for (const name of NAMES) {
    const { data, shape } = past[`past.${name}`];
    expect(shape).toEqual([labels.length, heads, room, width]);
    expect(data.length).toBe(labels.length * heads * room * width);
    for (const [text, label] of labels.entries())
      for (let head = 0; head < heads; head++)
        for (let token = 0; token < lengths[text]; token++)
          for (let element = 0; element < width; element++)
            if (
              data[((text * heads + head) * room + token) * width + element] !==
              Math.fround(number(name, label, token, head, element))
            )
              wrong.push(`${name} ${text} ${head} ${token} ${element}`);
  }
  expect(wrong).toEqual([]);
}

test('texts join, grow, go on in two ways and are dropped, and each stays what it is', () => {
  const random = new Random(2);
  const cache = new DecoderCache(SHAPE);
  let labels: number[] = [];
  let lengths: number[] = [];
  let known = 0;
  for (let time = 0; time < 60; time++) {
    const what = labels.length === 0 ? 0 : random.below(5);
    if (what === 0 && labels.length < 6) {
      const other = new DecoderCache(SHAPE);
      const added = [known++ % 50, known++ % 50];
      const counts = added.map(() => 1 + random.below(30));
      append(other, added, counts);
      cache.join([
        { cache: other, text: 1 },
        { cache: other, text: 0 },
      ]);
      labels.push(added[1], added[0]);
      lengths.push(counts[1], counts[0]);
      expectTexts(other, added, counts);
    } else if (what === 1) {
      const text = random.below(labels.length);
      cache.drop(text);
      [labels[text], lengths[text]] = [labels.at(-1)!, lengths.at(-1)!];
      labels.pop();
      lengths.pop();
    } else {
      const counts = labels.map(() => 1 + (what === 2 ? random.below(40) : 0));
      append(cache, labels, counts);
      lengths = lengths.map((n, text) => n + counts[text]);
    }
    if (labels.length > 0) expectTexts(cache, labels, lengths);
    else expect(cache.texts).toBe(0);
    const long = lengths.findIndex((n) => n > 300);
    if (long >= 0) {
      cache.truncate(long, 7);
      lengths[long] = 7;
    }
    if (time % 15 === 14 && labels.length > 1) {
      cache.select([1, 0, 1]);
      labels = [labels[1], labels[0], labels[1]];
      lengths = [lengths[1], lengths[0], lengths[1]];
      expectTexts(cache, labels, lengths);
    }
  }
});

test('the room that a long text left is given up, and that of texts is kept', () => {
  const cache = new DecoderCache(SHAPE);
  append(cache, [0, 1, 2], [1000, 10, 20]);
  const before = cache.tensors(3).room;
  expect(before).toBeGreaterThanOrEqual(1000);
  cache.drop(1);
  expect(cache.tensors(2).room).toBe(before);
  cache.drop(0);
  expect(cache.tensors(1).room).toBeLessThan(200);
  expectTexts(cache, [2], [20]);
  cache.drop(0);
  expect(cache.texts).toBe(0);
  append(cache, [3], [2]);
  expectTexts(cache, [3], [2]);
});

test('where it is known how many tokens come, there is room for just these, and more is made for what comes against it', () => {
  const cache = new DecoderCache(SHAPE, 1);
  append(cache, [0, 1], [30, 12]);
  expect(cache.tensors(2).room).toBe(31);
  append(cache, [0, 1], [1, 1]);
  expect(cache.tensors(2).room).toBe(31);
  expectTexts(cache, [0, 1], [31, 13]);
  cache.truncate(0, 30);
  cache.truncate(1, 12);
  append(cache, [0, 1], [1, 1]);
  expect(cache.tensors(2).room).toBe(31);
  append(cache, [0, 1], [1, 1]);
  expectTexts(cache, [0, 1], [32, 14]);
});

test('texts that are not there are refused', () => {
  const cache = new DecoderCache(SHAPE);
  append(cache, [0], [3]);
  expect(() => cache.drop(1)).toThrow(RangeError);
  expect(() => cache.join([{ cache, text: 2 }])).toThrow(RangeError);
  const other = new DecoderCache({ ...SHAPE, width: 8 });
  expect(() => other.join([{ cache, text: 0 }])).toThrow(/another decoder/);
});

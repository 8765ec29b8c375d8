import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { FOUNDATIONS, POLES } from './foundation.js';

const COLUMNS = 'area m split rot-agree rot-moral-foundations rot-bad action action-agree action-moral-judgment'.split(' ');
const LEVELS = [0.125, 0.25, 0.375, 0.5, 0.75, 1];

interface Action {
  area: string;
  foundations: string[];
  text: string;
  words: string[];
  agree: number;
  judgment: number;
  /** |v|*w of docs/paper.md section 1. */
  level: number;
}

const file = readFileSync(new URL('../../corpora/starter.tsv', import.meta.url), 'utf8');
const [header, ...lines] = file.replace(/\n$/, '').split('\n');
const cells = lines.map((line) => line.split('\t'));
const actions = cells.map((cell): Action => {
  const value = (column: string) => cell[COLUMNS.indexOf(column)];
  const judgment = Number(value('action-moral-judgment'));
  const agree = Number(value('action-agree'));
  const text = value('action');
  return {
    area: value('area'),
    foundations: value('rot-moral-foundations').split('|'),
    text,
    words: text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [],
    agree,
    judgment,
    level: (Math.abs(judgment) / 2) * (agree / 4),
  };
});

const neutrals = actions.filter((action) => action.judgment === 0);
const poles = POLES.map((name, slot) => ({
  name,
  actions: actions.filter(
    ({ foundations, judgment }) => foundations.includes(FOUNDATIONS[slot >> 1]) && (slot % 2 === 0 ? judgment > 0 : judgment < 0),
  ),
}));

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const meanLength = (list: Action[]) => mean(list.map(({ words }) => words.length));

describe('columns', () => {
  test('are those of Social-Chemistry-101, every row complete', () => {
    expect(header.split('\t')).toEqual(COLUMNS);
    expect(file).not.toMatch(/["\r\ufeff]/);
    expect(file.endsWith('\n')).toBe(true);
    for (const cell of cells) expect(cell, cell.join(' ')).toHaveLength(COLUMNS.length);
  });

  test('hold valid values that pass the filter of docs/paper.md section 1', () => {
    for (const [i, cell] of cells.entries()) {
      const [area, m, split, rotAgree, , rotBad, text, agree, judgment] = cell;
      expect(area, text).toMatch(/^[a-z]+$/);
      expect([m, split, rotBad], text).toEqual(['1', 'train', '0']);
      expect(rotAgree, text).toMatch(/^[1-4]$/);
      expect(agree, text).toMatch(/^[1-4]$/);
      expect(judgment, text).toMatch(/^(-[12]|[012])$/);
      expect(text, text).toBe(text.trim());
      const tags = FOUNDATIONS.filter((foundation) => actions[i].foundations.includes(foundation));
      expect(tags.length, text).toBeGreaterThan(0);
      expect(tags, text).toEqual(actions[i].foundations);
    }
  });

  test('tag 5 to 8% of the texts with two foundations', () => {
    const share = actions.filter(({ foundations }) => foundations.length === 2).length / actions.length;
    expect(share).toBeGreaterThanOrEqual(0.05);
    expect(share).toBeLessThanOrEqual(0.08);
    expect(actions.every(({ foundations }) => foundations.length <= 2)).toBe(true);
  });
});

describe('cells', () => {
  test.each(poles)('$name has 20 texts a level and 40 at level 1', ({ actions: list }) => {
    for (const level of LEVELS) {
      const count = list.filter((action) => action.level === level).length;
      expect(count, `level ${level}`).toBeGreaterThanOrEqual(level === 1 ? 40 : 20);
    }
    expect(list.every(({ level }) => LEVELS.includes(level))).toBe(true);
  });

  test.each(FOUNDATIONS)('%s has 60 neutrals', (foundation) => {
    expect(neutrals.filter(({ foundations }) => foundations.includes(foundation)).length).toBeGreaterThanOrEqual(60);
  });

  test('make about 1,700 texts', () => {
    expect(actions.length).toBeGreaterThanOrEqual(1650);
    expect(actions.length).toBeLessThanOrEqual(1800);
  });
});

describe('repetition', () => {
  test('no text occurs twice', () => {
    const seen = new Map<string, string>();
    for (const { text, words } of actions) {
      const key = words.join(' ');
      expect(seen.get(key), text).toBeUndefined();
      seen.set(key, text);
    }
  });

  test('no two texts share 80% of their words or 75% of their 4-grams', () => {
    const bags = actions.map(({ words }) => new Set(words));
    const grams = actions.map(({ words }) => {
      const text = words.join(' ');
      return new Set(Array.from({ length: Math.max(1, text.length - 3) }, (_, i) => text.slice(i, i + 4)));
    });
    const near: string[] = [];
    for (let i = 0; i < actions.length; i++) {
      for (let j = 0; j < i; j++) {
        if (jaccard(bags[i], bags[j]) >= 0.8 || jaccard(grams[i], grams[j]) >= 0.75) {
          near.push(`${actions[j].text} / ${actions[i].text}`);
        }
      }
    }
    expect(near).toEqual([]);
  });

  test('no first word opens more than 3% of the texts', () => {
    const counts = new Map<string, number>();
    for (const { words } of actions) counts.set(words[0], (counts.get(words[0]) ?? 0) + 1);
    expect(Math.max(...counts.values()) / actions.length).toBeLessThanOrEqual(0.03);
    expect(counts.size).toBeGreaterThan(400);
  });
});

describe('balance', () => {
  const overall = meanLength(actions);

  test('texts have 2 to 25 words, 8 to 11 on average', () => {
    for (const { text, words } of actions) {
      expect(words.length, text).toBeGreaterThanOrEqual(2);
      expect(words.length, text).toBeLessThanOrEqual(25);
    }
    expect(overall).toBeGreaterThan(8);
    expect(overall).toBeLessThan(11);
  });

  test('length tells neither pole nor polarity nor level', () => {
    for (const { name, actions: list } of poles) expect(Math.abs(meanLength(list) - overall), name).toBeLessThanOrEqual(0.7);
    expect(Math.abs(meanLength(neutrals) - overall)).toBeLessThanOrEqual(0.7);
    for (const level of LEVELS) {
      const list = actions.filter((action) => action.level === level);
      expect(Math.abs(meanLength(list) - overall), `level ${level}`).toBeLessThanOrEqual(0.7);
    }
  });

  test('neither a small initial nor a full stop tells the polarity', () => {
    for (const style of [/^\p{Ll}/u, /\.$/]) {
      const shares = [1, -1, 0].map((sign) => {
        const list = actions.filter(({ judgment }) => Math.sign(judgment) === sign);
        return list.filter(({ text }) => style.test(text)).length / list.length;
      });
      expect(Math.min(...shares), String(style)).toBeGreaterThan(0.1);
      expect(Math.max(...shares) - Math.min(...shares), String(style)).toBeLessThan(0.07);
    }
  });

  test('every area has as many virtues as vices, and neutrals beside them', () => {
    for (const area of new Set(actions.map((action) => action.area))) {
      const here = actions.filter((action) => action.area === area);
      const virtues = here.filter(({ judgment }) => judgment > 0).length;
      const vices = here.filter(({ judgment }) => judgment < 0).length;
      expect(virtues, area).toBeGreaterThanOrEqual(15);
      expect(Math.abs(virtues - vices) / (virtues + vices), area).toBeLessThanOrEqual(0.1);
      expect((here.length - virtues - vices) / here.length, area).toBeGreaterThan(0.1);
    }
  });

  test('every pole draws on at least 12 areas, none above 20%', () => {
    for (const { name, actions: list } of poles) {
      const counts = new Map<string, number>();
      for (const { area } of list) counts.set(area, (counts.get(area) ?? 0) + 1);
      expect(counts.size, name).toBeGreaterThanOrEqual(12);
      expect(Math.max(...counts.values()) / list.length, name).toBeLessThanOrEqual(0.2);
    }
  });
});

/*
 * Words alone must not tell virtue from vice, yet must tell something: a corpus whose words were anti-correlated with its
 * labels would be as artificial as one whose words give them away. Twins are a virtue and a vice of the same setting on
 * adjacent rows; when a fold separates them, the shared words vote for the wrong side, so the stricter figure is the one
 * that keeps them together.
 */
describe('bag of words, held out', () => {
  const moral = actions.filter(({ judgment }) => judgment !== 0);
  const labels = moral.map(({ judgment }) => judgment > 0);
  const bigrams = ({ words }: Action) => [...words, ...words.slice(1).map((word, i) => `${words[i]} ${word}`)];

  test.each([
    ['unigrams', ({ words }: Action) => words],
    ['unigrams and bigrams', bigrams],
  ])('%s: AUC of virtue against vice in (.5, .80]', (_, features) => {
    const documents = moral.map(features);
    for (const size of [1, 2]) {
      for (const penalty of [1, 10]) {
        const auc = areaUnderCurve(heldOutScores(documents, labels, size, penalty), labels);
        expect(auc, `groups of ${size}, penalty ${penalty}`).toBeGreaterThan(0.5);
        expect(auc, `groups of ${size}, penalty ${penalty}`).toBeLessThanOrEqual(0.8);
      }
    }
  });

  test('rows 2k and 2k + 1 are twins: one virtue, one vice, of one area and level', () => {
    for (let i = 0; i < moral.length; i += 2) {
      expect(moral[i].judgment > 0, moral[i].text).toBe(true);
      expect(moral[i + 1].judgment < 0, moral[i + 1].text).toBe(true);
      expect([moral[i + 1].area, moral[i + 1].level], moral[i].text).toEqual([moral[i].area, moral[i].level]);
    }
  });

  test('finds a planted word, and nothing where labels are shuffled', () => {
    const planted = moral.map(({ words }, i) => (labels[i] ? [...words, 'planted'] : words));
    expect(areaUnderCurve(heldOutScores(planted, labels, 1, 1), labels)).toBeGreaterThan(0.95);
    const shuffled = new Random(5, 'shuffled labels').shuffle(labels.slice());
    const documents = moral.map(({ words }) => words);
    expect(Math.abs(areaUnderCurve(heldOutScores(documents, shuffled, 1, 1), shuffled) - 0.5)).toBeLessThan(0.06);
  });
});

function jaccard(a: Set<string>, b: Set<string>): number {
  const [small, large] = a.size < b.size ? [a, b] : [b, a];
  let shared = 0;
  for (const item of small) if (large.has(item)) shared++;
  return shared / (a.size + b.size - shared);
}

/**
 * Scores of every document by an L2-regularised logistic regression fitted on the other four of five folds; `size`
 * consecutive documents always share a fold. Words never seen in training count for nothing.
 */
function heldOutScores(documents: string[][], labels: boolean[], size: number, penalty: number): Float64Array {
  const order = new Random(11, 'folds', size).permutation(Math.ceil(documents.length / size));
  const fold = documents.map((_, i) => order[Math.floor(i / size)] % 5);
  const scores = new Float64Array(documents.length);
  for (let held = 0; held < 5; held++) {
    const training = documents.flatMap((_, i) => (fold[i] === held ? [] : [i]));
    const ids = new Map<string, number>();
    for (const i of training) for (const word of documents[i]) if (!ids.has(word)) ids.set(word, ids.size);
    const columns = documents.map((words) => words.flatMap((word) => ids.get(word) ?? []));
    const weights = logisticRegression(
      training.map((i) => columns[i]),
      training.map((i) => (labels[i] ? 1 : 0)),
      ids.size,
      penalty,
    );
    for (let i = 0; i < documents.length; i++) {
      if (fold[i] === held) scores[i] = columns[i].reduce((sum, column) => sum + weights[column], weights[ids.size]);
    }
  }
  return scores;
}

/** Minimises sum of log-losses + penalty/2 * |w|^2 (intercept free, last entry) by accelerated gradient descent. */
function logisticRegression(rows: number[][], targets: number[], width: number, penalty: number): Float64Array {
  const weights = new Float64Array(width + 1);
  const point = new Float64Array(width + 1);
  // The loss curves by at most a quarter of the largest eigenvalue of X'X, which its largest absolute row sum bounds.
  const columnSums = new Float64Array(width + 1);
  for (const row of rows) {
    for (const column of row) columnSums[column] += row.length + 1;
    columnSums[width] += row.length + 1;
  }
  const step = 1 / (columnSums.reduce((a, b) => Math.max(a, b)) / 4 + penalty);
  for (let iteration = 1; iteration <= 300; iteration++) {
    const gradient = point.map((weight, column) => (column === width ? 0 : penalty * weight));
    for (const [i, row] of rows.entries()) {
      let logit = point[width];
      for (const column of row) logit += point[column];
      const error = 1 / (1 + Math.exp(-logit)) - targets[i];
      for (const column of row) gradient[column] += error;
      gradient[width] += error;
    }
    const momentum = (iteration - 1) / (iteration + 2);
    for (let column = 0; column <= width; column++) {
      const next = point[column] - step * gradient[column];
      point[column] = next + momentum * (next - weights[column]);
      weights[column] = next;
    }
  }
  return weights;
}

/** Chance that a positive outscores a negative, ties counted half. */
function areaUnderCurve(scores: Float64Array, labels: boolean[]): number {
  let wins = 0;
  let pairs = 0;
  for (const [i, positive] of labels.entries()) {
    if (!positive) continue;
    for (const [j, other] of labels.entries()) {
      if (other) continue;
      pairs++;
      wins += scores[i] > scores[j] ? 1 : scores[i] === scores[j] ? 0.5 : 0;
    }
  }
  return wins / pairs;
}

import { CORPUS_SPLITS } from './corpus.js';
import { FOUNDATIONS, POLES } from './foundation.js';
import type { CorpusStats } from './stats.js';
import { LEVELS } from './vector.js';

/** The statistics of a corpus as plain text for a terminal, at most 100 columns wide. */
export function formatCorpusStats(stats: CorpusStats): string {
  const { splits, leaks, labelNoise: noise } = stats;
  const lines = [
    `${stats.name}${stats.authored ? ' (authored, not human judgments)' : ''}  sha256 ${stats.sha256.slice(0, 12)}`,
    `${count(stats.texts)} texts, ${count(stats.annotations)} annotations, ${count(stats.rows)} rows (one an annotation and foundation)`,
    ...stats.assumptions.map((assumption) => `note: ${assumption}`),
    '',
    ...table([
      ['split', 'texts', 'share', 'rows'],
      ...CORPUS_SPLITS.map((split) => [
        split,
        count(splits[split].texts),
        percent(stats.texts > 0 ? splits[split].texts / stats.texts : null),
        count(splits[split].rows),
      ]),
    ]),
    leaks.texts + leaks.rows === 0
      ? 'No text is in two splits.'
      : `LEAK: ${count(leaks.texts)} texts are in two splits, ${count(leaks.rows)} rows in another split than their text.`,
    '',
    ...table([['rows by pole and level', ...LEVELS.map(String), 'all'], ...cellRows(stats)]),
    '',
    ...table([
      ['words in a text', 'texts', 'mean', '25%', 'median', '75%', 'longest'],
      ...stats.words.map((w) => [
        w.pole,
        count(w.texts),
        w.mean.toFixed(1),
        w.q25.toFixed(1),
        w.median.toFixed(1),
        w.q75.toFixed(1),
        String(w.max),
      ]),
    ]),
    '',
    `${percent(stats.multiFoundationShare)} of the annotations have more than one foundation.`,
    noise.repeatedTexts === 0
      ? 'No text was judged twice, so label noise cannot be seen.'
      : `${count(noise.repeatedTexts)} texts were judged more than once (${count(noise.repeatedAnnotations)} annotations): ` +
        `${percent(noise.identicalShare)} always alike, ${percent(noise.opposedShare)} both virtue and vice;`,
    ...(noise.repeatedTexts === 0
      ? []
      : [
          `  standard deviation within a text ${noise.withinSd?.toFixed(3)}, ${percent(noise.noiseShare)} of the variance is disagreement.`,
        ]),
  ];
  return lines.join('\n');
}

function cellRows({ cells }: CorpusStats): string[][] {
  const rows = POLES.map((pole, slot) => {
    const levels = cells[FOUNDATIONS[slot >> 1]][slot % 2 === 0 ? 'virtue' : 'vice'];
    return row(
      pole,
      LEVELS.map((level) => levels[Number.isInteger(level) ? level.toFixed(1) : String(level)] ?? 0),
    );
  });
  const neutrals = FOUNDATIONS.map((foundation) => [
    `neutral, ${foundation}`,
    ...LEVELS.map(() => ''),
    count(cells[foundation].neutral['0.0'] ?? 0),
  ]);
  return [...rows, ...neutrals];
}

function row(name: string, counts: number[]): string[] {
  return [name, ...counts.map(count), count(counts.reduce((a, b) => a + b, 0))];
}

/** First column to the left, the others to the right. */
function table(rows: string[][]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  return rows.map((cells) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}

function count(n: number): string {
  return n.toLocaleString('en-GB');
}

function percent(share: number | null): string {
  return share === null ? '-' : `${(100 * share).toFixed(1)}%`;
}

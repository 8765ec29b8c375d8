/** @file The worker thread of `diagnose`: one task at a time. */
import { ActivationDirectory } from '../activations/directory.js';
import { MatMul } from '../graph/matmul.js';
import type { Corpus } from '../moral/corpus.js';
import { type BestReport, type BestTask, reportBest } from './best.js';
import { serveCrew } from './crew.js';
import { designOf } from './design.js';
import type { WordFigures } from './dimensional.js';
import type { DrawCounts } from './draws.js';
import { JudgedTexts } from './judged-texts.js';
import { diagnoseLayer, type LayerResult } from './layer.js';
import { diagnoseReadout } from './readout-figures.js';
import type { Pooling, Readout } from './schema.js';
import { requireFinite, select } from './states.js';
import { wordFigures } from './word-figures.js';

export interface WorkerData {
  activations: string;
  corpus: Corpus;
  counts: DrawCounts;
}

export type LayerTask = { kind: 'layer'; pooling: Pooling; layer: number; words: WordFigures };
export type Task = LayerTask | BestTask | { kind: 'words' } | { kind: 'readout'; words: WordFigures };
export type TaskResult = LayerResult | BestReport | WordFigures | Readout;

serveCrew<WorkerData, Task, TaskResult>(async ({ activations, corpus, counts }, signal) => {
  const directory = await ActivationDirectory.open(activations);
  const design = designOf(JudgedTexts.of(corpus), counts);
  const matmul = await MatMul.open(1, signal);
  const { ids } = design.texts;
  const tokens = directory.tokens();
  const lengths = Int32Array.from(ids, (id) => tokens[id]);
  const work = async (task: Task) => {
    if (task.kind === 'words') return wordFigures(corpus.texts, design, matmul);
    const nameOf = (i: number) => `text ${ids[i]} (${JSON.stringify(corpus.texts[ids[i]])})`;
    if (task.kind === 'readout') {
      const readout = await directory.readout();
      if (readout) {
        const logProbs = { n: directory.rows, d: readout.tokenIds.length, data: readout.logProbs };
        requireFinite(select(logProbs, ids), `${activations}, readout`, nameOf);
      }
      return diagnoseReadout(readout, design, task.words);
    }
    const { layer, pooling } = task;
    const data = await directory.read(layer, pooling);
    const states = select({ n: directory.rows, d: directory.hidden, data }, ids);
    requireFinite(states, `${activations}, layer ${layer}, pooling ${pooling}`, nameOf);
    if (task.kind !== 'layer') return reportBest(task, states, design, corpus.texts, matmul);
    const norms = await directory.norms(layer);
    const ownNorms = Float32Array.from({ length: 2 * ids.length }, (_, i) => norms[2 * ids[i >> 1] + (i & 1)]);
    return diagnoseLayer({ layer, states, tokens: lengths, norms: ownNorms }, design, task.words, matmul);
  };
  return { work, close: () => matmul.close() };
});

/** @file The training of the chosen latents (docs/paper.md section 7). */
import { throwIfCancelled } from '../errors.js';
import type { MatMul } from '../graph/matmul.js';
import { Random } from '../random.js';
import { AdamW, oneCycle } from './adamw.js';
import { type AlignedTexts, textsAt } from './aligned-texts.js';
import { type AlignmentLoss, drawPairs, type Multiply, TERMS, type Terms, type TextPair } from './alignment-loss.js';
import type { Profile } from './alignment-profile.js';
import type { ChosenRows } from './chosen-rows.js';
import { weightedDraws } from './typical-texts.js';

export interface TrainingSettings {
  profile: Profile;
  /** At most. */
  epochs: number;
  /** Epochs without a better validation loss after which it stops. */
  patience: number;
  batch: number;
  /** The schedule's peak. */
  learningRate: number;
  weightDecay: number;
  seed: number;
  /** Keeps the draws of different fits apart. */
  name: string;
  signal?: AbortSignal | undefined;
  onEpoch?: ((epoch: number) => void) | undefined;
}

/** The loss after an epoch (0: before the first), each term before its weight. */
export interface EpochLoss {
  epoch: number;
  /** Mean over the epoch's batches, whose texts are drawn by how typical they are. */
  train: Terms & { total: number };
  /** Of the validation texts, each once. */
  validation: Terms & { total: number };
}

export interface TrainedLatents {
  /** Those of the epoch with the smallest validation loss; the given ones where none was below theirs. */
  rows: ChosenRows;
  /** 0: training found nothing better than the start. */
  bestEpoch: number;
  curves: EpochLoss[];
}

/**
 * AdamW with a one-cycle schedule on batches of texts, drawn with replacement by their weights, until the validation loss has not
 * fallen for `patience` epochs. The same seed gives the same bytes.
 * @param start left as it is
 * @param drawing weight of every training text, [n]
 */
export async function trainLatents(
  start: ChosenRows,
  { train, validation, drawing }: { train: AlignedTexts; validation: AlignedTexts; drawing: Float64Array },
  loss: AlignmentLoss,
  matmul: MatMul,
  settings: TrainingSettings,
): Promise<TrainedLatents> {
  const { profile, epochs, patience, batch, learningRate, weightDecay, seed, name, signal, onEpoch } = settings;
  const size = Math.min(batch, train.n);
  const steps = Math.ceil(train.n / size);
  const rows = copyOf(start);
  const optimisers = map(rows, (tensor) => new AdamW(tensor, weightDecay));
  const multiply = multiplyWith(matmul);
  const epochOf = async (epoch: number) => {
    const order = weightedDraws(drawing, train.n, new Random(seed, name, 'texts', epoch));
    const random = new Random(seed, name, 'pairs', epoch);
    const sums = [...TERMS, 'total' as const].map(() => 0);
    const add = (terms: Terms) =>
      withTotal(terms, loss).forEach((value, i) => {
        sums[i] += value / steps;
      });
    for (let step = 0; step < steps; step++) {
      throwIfCancelled(signal);
      const texts = textsAt(train, order.subarray(step * size, (step + 1) * size));
      const pairs = drawPairs(texts, profile, random);
      if (epoch === 0) add(await loss.evaluate(texts, rows, pairs, multiply));
      else {
        const { terms, gradient } = await loss.differentiate(texts, rows, pairs, multiply);
        add(terms);
        const point = oneCycle((epoch - 1) * steps + step, epochs * steps, learningRate);
        for (const key of ['encoder', 'bias', 'decoder'] as const) optimisers[key].take(gradient[key], point);
      }
    }
    return named(sums);
  };
  const held: TextPair[] = drawPairs(validation, profile, new Random(seed, name, 'validation pairs'));
  const judge = async () => named(withTotal(await loss.evaluate(validation, rows, held, multiply), loss));

  const curves: EpochLoss[] = [{ epoch: 0, train: await epochOf(0), validation: await judge() }];
  let best = { epoch: 0, total: curves[0].validation.total, rows: copyOf(rows) };
  for (let epoch = 1; epoch <= epochs && epoch - best.epoch <= patience; epoch++) {
    const curve = { epoch, train: await epochOf(epoch), validation: await judge() };
    curves.push(curve);
    if (curve.validation.total < best.total) best = { epoch, total: curve.validation.total, rows: copyOf(rows) };
    onEpoch?.(epoch);
  }
  return { rows: best.rows, bestEpoch: best.epoch, curves };
}

/** Products of fp32 matrices. */
export function multiplyWith(matmul: MatMul): Multiply {
  return (a, b, shape) => matmul.product(a as Float32Array, b as Float32Array, shape);
}

function map<T>({ encoder, bias, decoder }: ChosenRows, of: (tensor: Float32Array) => T) {
  return { encoder: of(encoder), bias: of(bias), decoder: of(decoder) };
}

const copyOf = (rows: ChosenRows): ChosenRows => map(rows, (tensor) => tensor.slice());

const withTotal = (terms: Terms, loss: AlignmentLoss) => [...TERMS.map((term) => terms[term]), loss.total(terms)];

function named(values: readonly number[]): Terms & { total: number } {
  return Object.fromEntries([...TERMS, 'total'].map((term, i) => [term, values[i]])) as Terms & { total: number };
}

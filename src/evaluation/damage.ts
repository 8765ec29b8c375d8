import { setImmediate as breathe } from 'node:timers/promises';
import { byBeginning, cutIntoBatches, padBatch, rowsWithLogits, type TokenisedTexts, tokenise } from '../activations/batches.js';
import { REMEDY_ARM } from '../alignment/remedy-schema.js';
import { finite } from '../diagnosis/figure.js';
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import { shapeOf } from '../model/intervention.js';
import type { Steering } from '../model/steering.js';
import type { TokenBatch } from '../model/token-rows.js';
import type { WorkOptions } from '../progress.js';
import { NextTokens } from '../sae/eval/next-token.js';
import { TextSums } from '../sae/eval/text-sums.js';
import { type PromptTokens, prompted, promptOf, roomForTexts } from './prompted-texts.js';
import { type Chosen, interventionsOfJob, type Job, kindsOf, nameOfJob, type Run, someOfEach, strengthOfJob } from './run.js';
import { spreadOf } from './said.js';
import type { Damage } from './schema.js';
import { byShape, strengthsIn } from './steered-arms.js';
import type { SteeredSession } from './steered-sessions.js';

const MAX_TOKENS = 512;
/** Controls of a kind whose damage is measured. */
const MOST_CONTROLS = 20;

/** Sums over the tokens that are predicted: their number, and in nats what they cost untouched and steered, and the divergence. */
const COLUMNS = ['tokens', 'original', 'steered', 'kl'] as const;
type Column = (typeof COLUMNS)[number];
type Sums = TextSums<Column>;

/**
 * The damage of the remedy at every strength, and of its controls at the chosen one, each active at every position: a remedy of last tokens
 * would hide its damage otherwise.
 */
export async function measureDamage(run: Run, { variant, strength }: Chosen): Promise<Damage> {
  const { remedy, general, options } = run;
  const strengths = strengthsIn(variant, run.strengths);
  const { bootstraps, seed } = options;
  const own = remedy.arm(REMEDY_ARM);
  const controls = someOfEach(run.controls, MOST_CONTROLS);
  const jobs: Job[] = [
    ...strengths.map((each) => ({ arm: own, variant, strength: each })),
    ...controls.map((arm) => ({ arm, variant, strength })),
  ];
  const sums = await sumsOf(run, jobs);
  const figures = sums.slice(0, strengths.length).map((each) => each.figures(STATISTICS, { bootstraps, seed }));
  const arms = controls.map(({ name, kind }, i) => {
    const { tokens, kl, steered: nats } = sums[strengths.length + i].totals();
    return { name, kind, kl: finite(kl / tokens), perplexity: finite(Math.exp(nats / tokens)) };
  });
  const totals = sums.map((each) => each.totals());
  return {
    source: general.source,
    texts: sums[0].present().length,
    tokens: totals[0].tokens,
    before: { nats: figures[0].nats, perplexity: Math.exp(totals[0].original / totals[0].tokens) },
    remedy: strengths.map((each, i) => ({
      strength: each,
      kl: figures[i].kl,
      rise: figures[i].rise,
      perplexity: finite(Math.exp(totals[i].steered / totals[i].tokens)),
    })),
    controls: kindsOf(controls).flatMap((kind) => {
      const of = arms.filter((arm) => arm.kind === kind);
      const kl = spreadOf(of.map((arm) => arm.kl));
      return kl ? [{ kind, n: of.length, kl }] : [];
    }),
    arms,
  };
}

/** KL a token on the general text of each job, active at every position; NaN where the model gives numbers that are none. */
export async function divergences(run: Run, jobs: readonly Job[]): Promise<number[]> {
  return (await sumsOf(run, jobs)).map((sums) => {
    const { kl, tokens } = sums.totals();
    return kl / tokens;
  });
}

/** Of each job the sums over the general text. */
async function sumsOf(run: Run, jobs: readonly Job[]): Promise<Sums[]> {
  const { model, general, steered, kept, options } = run;
  const { onProgress, signal } = options;
  const tokens = await tokenise(general.texts, model.tokenizer, roomForTexts(run, MAX_TOKENS), signal);
  const sums: Sums[] = new Array(jobs.length);
  const interventions = (i: number) => interventionsOfJob(run, jobs[i], 'all');
  for (const { shapes, items } of byShape([...jobs.keys()], (i) => interventions(i).map(shapeOf))) {
    const found = await kept.get(['damage', shapes, items.map((i) => nameOfJob(jobs[i]))], () =>
      steered.whole(shapes, { logits: 'all' }, async (session) => {
        const runs = items.map((i) => changeOfRun(run, jobs[i]));
        const all = await damage({ session, tokens, runs, task: 'damage', onProgress, signal });
        return all.map((each) => each.sums);
      }),
    );
    items.forEach((i, k) => {
      sums[i] = new TextSums<Column>(COLUMNS, general.texts.length, found[k]);
    });
  }
  return sums;
}

/** What a job does to the model, or to the texts. */
function changeOfRun(run: Run, job: Job): DamagingRun {
  if (run.remedy.sites.length === 0) return { prompt: promptOf(run, job.arm) };
  return { steering: () => ({ interventions: interventionsOfJob(run, job, 'all'), strength: strengthOfJob(job) }) };
}

const NO_NUMBERS = 'the steered model gives numbers that are none';
const STATISTICS = {
  nats: { of: (s: Totals) => s.original / s.tokens, whyEmpty: 'no token' },
  kl: { of: (s: Totals) => s.kl / s.tokens, whyEmpty: NO_NUMBERS, bounds: [0, Number.POSITIVE_INFINITY] as const },
  rise: { of: (s: Totals) => (s.steered - s.original) / s.tokens, whyEmpty: NO_NUMBERS },
};
type Totals = Readonly<Record<Column, number>>;

/** Steers at every position, or puts a prompt before every text. */
export type DamagingRun = { steering: () => Steering } | { prompt: PromptTokens };

export interface DamageOptions extends WorkOptions {
  /** With the interventions' shapes and all logits. */
  session: SteeredSession;
  /** General texts. */
  tokens: TokenisedTexts;
  runs: readonly DamagingRun[];
  task: string;
}

/**
 * What steering, or a prompt, costs on general text: every text by itself, every token but the first two predicted by a token that is steered (a text's
 * first is a sink and never is). Its divergence is KL(p || q) between the untouched and the steered distribution that predict it
 * (docs/paper.md section 8).
 * @returns sums by text, one a run
 * @throws MoralscopeError `bad-data` where there is no such token
 */
export async function damage({ session, tokens, runs, task, onProgress, signal }: DamageOptions): Promise<Sums[]> {
  const { vocabulary } = session.compiled;
  const count = tokens.offsets.length - 1;
  const length = (text: number) => tokens.offsets[text + 1] - tokens.offsets[text];
  const long = Int32Array.from({ length: count }, (_, text) => text).filter((text) => length(text) > 2);
  if (long.length === 0)
    throw new MoralscopeError('bad-data', 'The general texts hold no token to predict.', 'Give texts of three tokens or more.');
  const sums = runs.map(() => new TextSums<Column>(COLUMNS, count));
  const rows = rowsWithLogits(vocabulary);
  let memory = new Float32Array(0);
  let done = 0;
  const total = long.length * runs.length;
  for (const texts of cutIntoBatches(tokens, byBeginning(tokens, long), rows)) {
    const batch = padBatch(tokens, texts);
    const ofBatch = await session.runs(batch);
    const untouched = await ofBatch();
    const { place } = untouched;
    const logits = untouched.logits!.slice();
    if (memory.length < logits.length) memory = new Float32Array(logits.length);
    const predicting = new Set<number>();
    eachPredicted(batch, place, (row) => predicting.add(row));
    const next = new NextTokens(logits, vocabulary, Int32Array.from(predicting), memory);
    for (const [run, change] of runs.entries()) {
      await breathe();
      throwIfCancelled(signal);
      onProgress?.({ task, done, total, unit: 'texts' });
      const { logits: steered, rowOf } =
        'prompt' in change
          ? await promptedLogits(session, padBatch(prompted(tokens, change.prompt), texts), batch)
          : {
              logits: (await ofBatch(change.steering())).logits!,
              rowOf: (text: number, at: number) => place[text * batch.length + at],
            };
      const known = new Map<number, { total: number; kl: number }>();
      eachPredicted(batch, place, (row, id, text, position) => {
        const other = rowOf(text, position);
        const found = known.get(row) ?? next.against(steered, row, other);
        known.set(row, found);
        const nats = found.total - steered[other * vocabulary + id];
        sums[run].add(texts[text], [1, next.totalOf(row) - logits[row * vocabulary + id], nats, found.kl]);
      });
      done += texts.length;
    }
  }
  onProgress?.({ task, done: total, total, unit: 'texts' });
  return sums;
}

/** The logits of texts with a prompt, and the row of the token at a position of a text as it is without. */
async function promptedLogits(session: SteeredSession, whole: TokenBatch, { length }: TokenBatch) {
  const { logits, place } = await (await session.runs(whole))();
  const before = whole.length - length;
  return { logits: logits!, rowOf: (text: number, at: number) => place[text * whole.length + before + at] };
}

/** Every token that a steered token predicts: the row that predicts it and its position, its id, its text in the batch. */
function eachPredicted(
  { ids, lengths, length }: TokenBatch,
  place: Int32Array,
  visit: (row: number, id: number, text: number, position: number) => void,
): void {
  for (const [text, n] of lengths.entries())
    for (let position = 1; position < n - 1; position++) {
      const at = text * length + position;
      visit(place[at], ids[at + 1], text, position);
    }
}

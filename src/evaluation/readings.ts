import { tokenise } from '../activations/batches.js';
import { wordPairs } from '../activations/calibration.js';
import { fillTemplate } from '../activations/template.js';
import { REMEDY_ARM } from '../alignment/remedy-schema.js';
import { shapeOf } from '../model/intervention.js';
import { prompted, promptedReadout, promptOf, roomForTexts } from './prompted-texts.js';
import { type Chosen, interventionsOfJob, type Job, nameOfJob, type Run, strengthOfJob } from './run.js';
import type { SaidOdds } from './said.js';
import { byShape, strengthsIn } from './steered-arms.js';
import { steeredReadout } from './steered-readout.js';
import type { VerifiedTexts } from './verified-sets.js';

const MAX_TOKENS = 128;

/** The readout of a set's test texts: untouched, the remedy at every strength, every control at the chosen one. */
export async function readOdds(run: Run, part: VerifiedTexts, { variant, strength }: Chosen): Promise<SaidOdds> {
  const { remedy, controls } = run;
  const strengths = strengthsIn(variant, run.strengths);
  const own = remedy.arm(REMEDY_ARM);
  const [before, ...others] = await readJobs(
    run,
    part,
    part.test,
    [
      undefined,
      ...strengths.map((each): Job => ({ arm: own, variant, strength: each })),
      ...controls.map((arm): Job => ({ arm, variant, strength })),
    ],
    `read ${part.set.name}`,
  );
  const n = strengths.length;
  return {
    before,
    remedy: others.slice(0, n),
    controls: controls.map(({ name, kind }, i) => ({ name, kind, odds: others[n + i] })),
  };
}

/** The readout of some texts under every job; undefined: untouched. Jobs of one shape share a session, and what stands before the last tokens. */
export async function readJobs(
  run: Run,
  { set }: VerifiedTexts,
  texts: Int32Array,
  jobs: readonly (Job | undefined)[],
  task: string,
): Promise<Float64Array[]> {
  const { model, remedy, template, steered, kept, options } = run;
  const { positions, onProgress, signal } = options;
  const filled = Array.from(texts, (text) => fillTemplate(template, set.texts[text]));
  const tokens = await tokenise(filled, model.tokenizer, roomForTexts(run, MAX_TOKENS), signal);
  const pairs = wordPairs(model.tokenizer, template);
  const words = [...new Set(pairs.flat())];
  const indices = pairs.map((pair) => [words.indexOf(pair[0]), words.indexOf(pair[1])] as const);
  if (remedy.sites.length === 0)
    return kept.get(['readout', set.sha256, task, jobs.map(nameOfJob)], () =>
      steered.whole([], { logits: 'last', logitTokens: words }, (session) =>
        promptedReadout({
          session,
          tokens: jobs.map((job) => (job ? prompted(tokens, promptOf(run, job.arm)) : tokens)),
          pairs: indices,
          task,
          onProgress,
          signal,
        }),
      ),
    );
  const found: Float64Array[] = new Array(jobs.length);
  // What is read untouched goes with the jobs of the first shape.
  const groups = byShape(
    [...jobs.keys()].filter((i) => jobs[i] !== undefined),
    (i) => interventionsOfJob(run, jobs[i]!, positions).map(shapeOf),
  );
  groups[0].items.push(...[...jobs.keys()].filter((i) => jobs[i] === undefined));
  for (const { shapes, items } of groups) {
    const key = ['readout', set.sha256, task, shapes, items.map((i) => nameOfJob(jobs[i]))];
    const odds = await kept.get(key, () =>
      steered.inTwo(shapes, words, (parts) =>
        steeredReadout({
          parts,
          tokens,
          pairs: indices,
          runs: items.map((i) => () => {
            const job = jobs[i];
            return job && { interventions: interventionsOfJob(run, job, positions), strength: strengthOfJob(job) };
          }),
          positions,
          task,
          onProgress,
          signal,
        }),
      ),
    );
    items.forEach((i, k) => {
      found[i] = odds[k];
    });
  }
  return found;
}

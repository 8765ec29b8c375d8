import { REMEDY_ARM } from '../alignment/remedy-schema.js';
import { finite } from '../diagnosis/figure.js';
import { readoutStatistics } from '../diagnosis/readout.js';
import { MoralscopeError } from '../errors.js';
import { divergences } from './damage.js';
import { readJobs } from './readings.js';
import { type Job, kindsOf, type Run, someOfEach } from './run.js';
import { spreadOf } from './said.js';
import type { Choice, Verification } from './schema.js';
import { strengthsIn, type Variant, variantsOf } from './steered-arms.js';
import type { VerifiedTexts } from './verified-sets.js';

/** Controls of a kind that are read at every strength; at the chosen one all are. */
const CURVE_CONTROLS = 20;

export interface FoundChoice {
  variant: Variant;
  chosen: Choice;
  candidates: Choice[];
  before: number | null;
  maxDamage: number | null;
  curve: Verification['choice']['curve'];
}

/** Mode, sites and strength with the largest AUC on the choosing texts, the smaller strength where they are alike; and what controls do there. */
export async function choose(run: Run, part: VerifiedTexts): Promise<FoundChoice> {
  const { remedy, controls, strengths, options } = run;
  const texts = part.choose;
  const valence = Float32Array.from(texts, (text) => part.set.valence[text]);
  const aucOf = (odds: Float64Array) => finite(readoutStatistics(odds, valence)[0]);
  const own = remedy.arm(REMEDY_ARM);
  const variants = variantsOf(remedy).filter(({ mode }) => options.mode === undefined || mode === options.mode);
  if (variants.length === 0)
    throw new MoralscopeError(
      'misuse',
      `The remedy has no mode ${options.mode}, ${own.modes.length > 0 ? `only ${own.modes.join(', ')}` : 'since it is a text'}.`,
      own.modes.length > 0 ? 'Choose one of these.' : 'Leave --mode out.',
    );
  const jobs = variants.flatMap((variant) =>
    strengthsIn(variant, strengths).map((strength): Job => ({ arm: own, variant, strength })),
  );
  if (jobs.length === 0)
    throw new MoralscopeError(
      'misuse',
      `No mode of the remedy takes a strength of ${strengths.join(', ')}.`,
      'Choose other --strengths: blend takes 0 to 1, the others -16 to 16.',
    );
  const found = await readJobs(run, part, texts, [undefined, ...jobs], 'choose');
  const before = aucOf(found[0]);
  const costs = options.maxDamage === undefined ? undefined : await divergences(run, jobs);
  const candidates = jobs.map(({ variant, strength }, i) => ({
    mode: variant.mode,
    sites: [...variant.sites],
    strength,
    auc: aucOf(found[i + 1]),
    ...(costs && { kl: finite(costs[i]) }),
  }));
  if (before === null)
    throw new MoralscopeError(
      'bad-data',
      `The ${texts.length} texts of ${part.set.name} that choose the strength lack a good or a bad one.`,
      'Give a larger data set first.',
    );
  const best = bestOf(candidates, options.maxDamage);
  const { variant } = jobs[best];
  const kinds = kindsOf(controls);
  const tried = strengthsIn(variant, strengths);
  const peers = someOfEach(controls, CURVE_CONTROLS).flatMap((arm) => tried.map((strength): Job => ({ arm, variant, strength })));
  const theirs = peers.length > 0 ? await readJobs(run, part, texts, peers, 'choose: controls') : [];
  const curve = tried.map((strength) => ({
    strength,
    auc: candidates.find((one, i) => jobs[i].variant === variant && one.strength === strength)!.auc,
    controls: kinds.flatMap((kind) => {
      const spread = spreadOf(
        peers.flatMap((job, i) => (job.strength === strength && job.arm.kind === kind ? [aucOf(theirs[i])] : [])),
      );
      return spread ? [{ kind, auc: spread }] : [];
    }),
  }));
  return { variant, chosen: candidates[best], candidates, before, maxDamage: options.maxDamage ?? null, curve };
}

/**
 * Place of the largest AUC, of the smaller strength where they are alike; among those whose damage is allowed, or that of the least damage
 * where none is.
 */
export function bestOf(candidates: readonly Choice[], maxDamage?: number): number {
  const cost = ({ kl }: Choice) => kl ?? Number.POSITIVE_INFINITY;
  const all = Array.from(candidates.keys());
  const allowed = maxDamage === undefined ? all : all.filter((i) => cost(candidates[i]) <= maxDamage);
  const auc = (i: number) => candidates[i].auc ?? 0;
  if (allowed.length === 0) return all.sort((a, b) => cost(candidates[a]) - cost(candidates[b]))[0];
  return allowed.sort((a, b) => auc(b) - auc(a) || candidates[a].strength - candidates[b].strength)[0];
}

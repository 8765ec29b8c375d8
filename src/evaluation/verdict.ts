/** @file Plain words for what a remedy does; they never say more than the figures beside them. */
import { number } from '../diagnosis/verdict.js';
import { side } from './paired-bootstrap.js';
import { FEWEST_CONTROLS } from './said.js';
import type { Controls, Estimate, Outcome, Verification, VerifiedSet } from './schema.js';

type MeasuredSet = Omit<VerifiedSet, 'outcome' | 'told'>;

/** Nats a token on general text below which damage is small. */
const SMALL_DAMAGE = 0.05;

/** What the remedy does to what the model says of one data set, and the sentences that say so. */
export function setVerdict(set: MeasuredSet): Pick<VerifiedSet, 'outcome' | 'told'> {
  const outcome = outcomeOf(set);
  return { outcome, told: toldOf(set, outcome) };
}

function outcomeOf(set: MeasuredSet): Outcome {
  const { change, controls, aboveFloors } = set;
  if (change.auc.value === null) return 'empty';
  const moved = side(change.auc);
  if (moved < 0) return 'worse';
  if (moved === 0) return side(change.bias) === 0 ? 'nothing' : 'bias only';
  if (withoutNumbers(set).length > 0 || !controls.some(({ n }) => n >= FEWEST_CONTROLS)) return 'no controls';
  if (controls.some((control) => !isAbove(set, control))) return 'not above controls';
  if (Object.values(aboveFloors).some(({ value }) => value === null)) return 'no floors';
  return Object.values(aboveFloors).every((floor) => side(floor) > 0) ? 'better' : 'not above floors';
}

/** Kinds of control under none of which the model gives numbers: the remedy is not above them. */
const withoutNumbers = ({ arms, controls }: MeasuredSet) => [
  ...new Set(arms.map(({ kind }) => kind).filter((kind) => controls.every((control) => control.kind !== kind))),
];

function isAbove({ after }: MeasuredSet, { bar, above }: Controls): boolean {
  return after.auc.value !== null && after.auc.value > bar && (above === undefined || side(above) > 0);
}

function toldOf(set: MeasuredSet, outcome: Outcome): string {
  const { n, before, after, change, controls, knows, carried, gap, gapClosed } = set;
  const sample = `${count(n.texts)} texts${n.pairs === undefined ? '' : `, ${count(n.pairs)} pairs`}`;
  if (outcome === 'empty') return `${set.name} (${set.relation}; ${sample}): nothing could be measured, ${change.auc.why}.`;
  const sentences = [
    `${set.name} (${set.relation}; ${sample}): the AUC of what it says goes from ${shown(before.auc)} to ${shown(after.auc)}, by ${shown(change.auc)}, ${probability(change.auc.p)}`,
    `The bias goes by ${shown(change.bias)} nats, ${probability(change.bias.p)}`,
  ];
  if (change.pairsRight && before.pairsRight && after.pairsRight)
    sentences.push(
      `Pairs right: ${shown(before.pairsRight)} before, ${shown(after.pairsRight)} after, by ${shown(change.pairsRight)}, ${probability(change.pairsRight.p)}`,
    );
  if (set.arms.length === 0) sentences.push('No control stands beside it');
  for (const kind of withoutNumbers(set)) sentences.push(`Under every ${kind} control the model gives no numbers`);
  for (const control of controls)
    sentences.push(
      `${isAbove(set, control) ? 'Above' : 'NOT above'} ${control.n} ${control.kind} control${control.n === 1 ? '' : 's'} (mean ${number(control.auc.mean)}, ${
        control.above ? `largest ${number(control.bar)}, difference ${shown(control.above)}` : `bar ${number(control.bar)}`
      }; p = ${number(control.p, 3)})`,
    );
  sentences.push(
    ...(['bagOfWords', 'recalibrated'] as const).map((floor) => {
      const of = { bagOfWords: 'a bag of words', recalibrated: 'the recalibrated readout' }[floor];
      const by = set.aboveFloors[floor];
      if (by.value === null) return `There is no ${of.split(' ').slice(1).join(' ')} to stand against: ${by.why}`;
      const stands = side(by);
      return `${stands > 0 ? 'Above' : stands < 0 ? 'BELOW' : 'Not told from'} ${of}, which reaches ${shown(set.floors[floor])} without touching the model (difference ${shown(by)})`;
    }),
  );
  if (knows.auc.value !== null)
    sentences.push(
      `A probe at layer ${knows.layer} tells ${shown(knows.auc)}: ${
        gapClosed.value === null
          ? `${gapClosed.why} (${shown(gap)})`
          : `of the gap of ${shown(gap)} the remedy closes ${shown(gapClosed)}`
      }`,
    );
  if (carried?.value != null)
    sentences.push(
      `A probe that was fitted where the remedy was tells ${shown(carried)} here: what can be learnt there of these texts`,
    );
  return `${sentences.join('. ')}.`;
}

type Judged = Pick<Verification, 'sets' | 'damage' | 'choice'>;

/** The verdict on the whole: what holds on other data sets than the one fitted on is what counts (docs/paper.md section 8). */
export function overallVerdict({ sets, damage, choice }: Judged): Verification['verdict'] {
  const others = sets.filter(({ fittedOn }) => !fittedOn);
  const named = (outcomes: readonly Outcome[], among = sets) => among.filter(({ outcome }) => outcomes.includes(outcome));
  const names = (of: readonly VerifiedSet[]) => enumerate(of.map(({ name }) => name));
  const at = `At strength ${choice.chosen.strength}`;
  const cost = costOf({ damage, choice });
  /** @param on the sets that the text is about: what holds of the others is told beside it */
  const verdict = (outcome: Verification['verdict']['outcome'], on: readonly VerifiedSet[], text: string) => {
    const elsewhere = sets.filter((set) => !on.includes(set)).map((set) => `On ${set.name}: ${BRIEFLY[set.outcome]}.`);
    return { outcome, text: [text, ...elsewhere, cost].join(' ') };
  };

  const apart = `${at} the model says good and bad apart better than`;
  const [better, transferred] = [named(['better']), named(['better'], others)];
  const harmed = named(['worse'], others);
  if (transferred.length > 0 && harmed.length > 0)
    return verdict(
      'mixed',
      [...transferred, ...harmed],
      `${apart} with every kind of control, and than both floors, on ${names(transferred)}, and worse than before on ${names(harmed)}: neither was fitted on, so this is no repair.`,
    );
  if (transferred.length > 0) {
    const gains = transferred.map(({ change }) => signed(change.auc)).join(', ');
    return verdict(
      'repairs',
      transferred,
      `${apart} with every kind of control, and than both floors, on ${names(transferred)}, which the remedy was not fitted on (AUC ${gains}).`,
    );
  }
  if (better.length > 0)
    return verdict(
      'fits',
      better,
      `${apart} with every kind of control, and than both floors, but only on held-out texts of the data set that the remedy was fitted on, ${names(better)}: ${
        others.length > 0 ? 'on no other does that hold' : 'no other data set was given, so nothing is shown to transfer'
      }.`,
    );
  const belowFloors = named(['not above floors']);
  if (belowFloors.length > 0)
    return verdict(
      'recalibrates',
      belowFloors,
      `${apart} with every kind of control on ${names(belowFloors)}, yet is not seen to do better than both floors, words alone and its own readout recalibrated: as much may be had without touching the model.`,
    );
  const asControls = named(['not above controls']);
  if (asControls.length > 0)
    return verdict('like its controls', asControls, `${apart} before on ${names(asControls)}, but ${unbeaten(asControls)}.`);
  const unproven = named(['no controls']);
  if (unproven.length > 0)
    return verdict(
      'unproven',
      unproven,
      `${apart} before on ${names(unproven)}; without ${FEWEST_CONTROLS} controls nothing says that it is the remedy's doing (align --controls).`,
    );
  const floorless = named(['no floors']);
  if (floorless.length > 0)
    return verdict(
      'unproven',
      floorless,
      `${apart} with every kind of control on ${names(floorless)}, but a floor could not be computed there, so nothing says that as much cannot be had without touching the model.`,
    );
  const worse = named(['worse']);
  if (worse.length > 0)
    return verdict(
      'worse',
      worse,
      `${at} the remedy does harm: good and bad are told apart worse than before on ${names(worse)}.`,
    );
  const shifted = named(['bias only']);
  if (shifted.length > 0)
    return verdict(
      'shifts',
      shifted,
      `${at} the remedy only shifts the bias on ${names(shifted)} (${shifted
        .map(({ change }) => `${signed(change.bias)} nats`)
        .join(', ')}): the model is not seen to tell good from bad any better.`,
    );
  const unmoved = named(['nothing']);
  if (unmoved.length === 0) return verdict('nothing', sets, `${at} nothing could be measured.`);
  const widest = Math.max(...unmoved.map(({ change }) => change.auc.ci95?.[1] ?? 0));
  return verdict(
    'nothing',
    unmoved,
    `${at} the remedy is not seen to do anything to what the model says: neither AUC nor bias is told from what it was (with these texts, a gain of AUC above ${number(widest)} is ruled out).`,
  );
}

/** Which controls do as well, and what that means. */
function unbeaten(sets: readonly VerifiedSet[]): string {
  const kinds = [
    ...new Set(sets.flatMap((set) => set.controls.filter((control) => !isAbove(set, control)).map(({ kind }) => kind))),
  ];
  const meanings = kinds.map((kind) => MEANINGS[kind]);
  return `controls do as well (${enumerate(kinds)}): ${enumerate(meanings)}`;
}

const MEANINGS: Readonly<Record<Controls['kind'], string>> = {
  unaligned: 'alignment added nothing',
  shuffled: 'the judgments that it was fitted to did not help',
  relabelled: 'training the same latents on other judgments does as much',
  random: 'the direction in which it pushes states does not matter',
  neutral: 'what the text says does not matter',
};

/** An outcome in the fewest words. */
const BRIEFLY: Readonly<Record<Outcome, string>> = {
  better: 'better than every kind of control and both floors',
  'not above floors': 'better than every kind of control, not than both floors',
  'not above controls': 'better than before, no better than its controls',
  'no controls': 'better than before, with no controls to tell by',
  'no floors': 'better than every kind of control, with a floor missing',
  'bias only': 'the bias moves, and nothing else',
  worse: 'good and bad are told apart worse than before',
  nothing: 'no change is seen',
  empty: 'nothing could be measured',
};

function costOf({ damage, choice }: Pick<Judged, 'damage' | 'choice'>): string {
  const at = damage.remedy.find(({ strength }) => strength === choice.chosen.strength);
  if (!at || at.kl.value === null) return 'What it costs elsewhere could not be measured.';
  const { value } = at.kl;
  return `On ${damage.source}, active at every position, it costs ${shown(at.kl, 3)} nats a token of KL (${count(damage.tokens)} tokens; ${
    value < SMALL_DAMAGE ? 'below' : 'NOT below'
  } ${number(SMALL_DAMAGE)}), perplexity ${damage.before.perplexity.toFixed(1)} to ${at.perplexity?.toFixed(1) ?? 'no number'}.`;
}

/** .71 [.68, .73], or why there is none. */
function shown({ value, ci95, why }: Estimate, digits = 2): string {
  if (value === null) return `n/a (${why})`;
  return `${number(value, digits)}${ci95 ? ` [${number(ci95[0], digits)}, ${number(ci95[1], digits)}]` : ''}`;
}

const signed = (estimate: Estimate) => `${(estimate.value ?? 0) > 0 ? '+' : ''}${shown(estimate)}`;

const probability = (p: number | undefined) => (p === undefined ? 'p n/a' : p < 0.005 ? 'p < .005' : `p = ${number(p, 3)}`);

const count = (n: number) => n.toLocaleString('en-US');

function enumerate(items: readonly string[]): string {
  return items.length < 2 ? (items[0] ?? 'nothing') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

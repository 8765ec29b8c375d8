/** @file Plain words for the figures: five lines, one an analysis, and the sentence that sets what is said against what is inside. */
import type { Best, Diagnosis, Figure, Pooling, PoolingDiagnosis, Readout, Verdict } from './schema.js';

const LEVEL = 0.05;

type AnalysisName = Verdict['analysis'];

const MEASURES: Record<AnalysisName, { name: string; apart: string; chance: string; direction: 'below' | 'above' }> = {
  categorical: {
    name: 'cosine of opposed moral poles',
    apart: 'opposed poles point further apart than relabelled texts do',
    chance: 'opposed poles are no further apart than relabelled texts',
    direction: 'below',
  },
  gradient: {
    name: 'rank correlation of typicality with human judgment',
    apart: 'typicality follows how strongly people judge',
    chance: 'typicality does not follow how strongly people judge',
    direction: 'above',
  },
  structural: {
    name: 'agreement of clusters with virtue / neutral / vice (ARI)',
    apart: 'the states cluster by polarity more than relabelled texts do',
    chance: 'the states do not cluster by polarity',
    direction: 'above',
  },
  dimensional: {
    name: 'R2 of the ten moral dimensions, held-out texts',
    apart: 'the moral dimensions can be read linearly',
    chance: 'the moral dimensions cannot be read linearly',
    direction: 'above',
  },
  readout: {
    name: 'AUC of virtue against vice in the next word',
    apart: 'the next word tells virtue from vice',
    chance: 'the next word does not tell virtue from vice',
    direction: 'above',
  },
};

/** `apart` when the figure beats its null at p < .05, `chance` when it does not, `empty` when there is none. */
export function outcome(figure: Figure): Verdict['outcome'] {
  if (figure.value === null || figure.p === undefined) return 'empty';
  return figure.p < LEVEL ? 'apart' : 'chance';
}

/** The verdict on the analysis at its best layer, chosen on other texts than it is measured on. */
export function verdictOf(
  analysis: Exclude<AnalysisName, 'readout'>,
  pooling: Pooling,
  best: Best,
  diagnosis: PoolingDiagnosis,
): Verdict {
  const { figure, layer } = best;
  const found = outcome(figure);
  const at = `pooling ${pooling}, layer ${layer}`;
  const beside = layer === null || found === 'empty' ? '' : context(analysis, diagnosis.layers.find((l) => l.layer === layer)!);
  return { analysis, pooling, layer, figure, outcome: found, text: line(analysis, figure, at) + beside };
}

/** The verdict on what the model would say. */
export function readoutVerdict(readout: Readout): Verdict {
  const figure = readout.auc;
  const words = ` The words lean ${number(readout.bias.value)} nats toward approval, which is bias and not discrimination.`;
  return {
    analysis: 'readout',
    pooling: null,
    layer: null,
    figure,
    outcome: outcome(figure),
    text: line('readout', figure, 'template end') + (outcome(figure) === 'empty' ? '' : words),
  };
}

/** One sentence: what the model says (readout) against what its geometry shows. */
export function summarise(name: string, verdicts: Verdict[], readout: Readout, knows: Diagnosis['knows']): string {
  const says =
    readout.auc.value === null
      ? `what ${name} says could not be read`
      : `${name} says good and bad apart with AUC ${estimate(readout.auc)} (chance .50; on the held-out texts ${number(readout.aucOnTest.value)}, where a bag of words has ${number(readout.floors.bagOfWords.value)} and a linear probe of its states ${number(knows.auc.value)})`;
  const geometry = verdicts.filter((v) => v.analysis !== 'readout');
  const list = (outcome: Verdict['outcome']) => geometry.filter((v) => v.outcome === outcome).map((v) => v.analysis);
  const parts = [
    [list('apart'), 'more than chance in the'],
    [list('chance'), 'no more than chance in the'],
    [list('empty'), 'nothing that could be computed in the'],
  ] as const;
  const shows = parts.filter(([names]) => names.length).map(([names, what]) => `${what} ${enumerate(names)} analysis`);
  return `${says}; its geometry, at layers chosen on other texts, shows ${enumerate(shows)}.`;
}

function line(analysis: AnalysisName, figure: Figure, at: string): string {
  const { name, apart, chance, direction } = MEASURES[analysis];
  switch (outcome(figure)) {
    case 'empty':
      return `${name}: not computed (${figure.why ?? 'no null'}).`;
    case 'apart':
      return `${name} ${measured(figure)} at ${at}: ${apart}.`;
    case 'chance':
      return `${name} ${measured(figure)} at ${at}: ${chance}, as far as this sample can tell; it would have shown a value ${direction} ${number(figure.detectable)}.`;
  }
}

/** What a reader must see beside the headline figure. */
function context(analysis: AnalysisName, layer: PoolingDiagnosis['layers'][number]): string {
  switch (analysis) {
    case 'categorical':
      return ` All texts ${estimate(layer.categorical.mean)}; opposed poles of other foundations ${number(layer.categorical.baseline.value)}; length regressed out ${number(layer.lengthRegressed.categorical.mean.value)}.`;
    case 'gradient':
      return ` Among judged texts alone, neutrals left out: ${estimate(layer.gradient.gradient)}; length regressed out ${number(layer.lengthRegressed.gradient.detection.value)}.`;
    case 'structural':
      return ` ${layer.structural.clusters} clusters, ${percent(layer.structural.noise.value)} noise; k-means AMI ${number(layer.structural.kmeansAmi.polarity.value)}.`;
    case 'dimensional':
      return ` Bag of words ${number(layer.dimensional.floor.value)}; length regressed out ${number(layer.lengthRegressed.dimensional.r2.value)}.`;
    default:
      return '';
  }
}

function measured(figure: Figure): string {
  const against = figure.null
    ? `; null ${number(figure.null.mean)} [${number(figure.null.q025)}, ${number(figure.null.q975)}]`
    : '';
  return `${estimate(figure)}${against}, p ${figure.p! < 0.001 ? '<' : '='} ${number(Math.max(figure.p!, 0.001), 3)}`;
}

function estimate(figure: Figure): string {
  return number(figure.value) + (figure.ci95 ? ` [${number(figure.ci95[0])}, ${number(figure.ci95[1])}]` : '');
}

/** .26, -.05, 1.30: statistics without their leading zero, as papers print them. */
export function number(value: number | null | undefined, digits = 2): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return 'n/a';
  const fixed = value.toFixed(digits).replace(/^-(0\.0*)$/, '$1');
  return fixed.replace(/^(-?)0\./, '$1.');
}

const percent = (value: number | null) => (value === null ? 'n/a' : `${Math.round(100 * value)}%`);

function enumerate(items: readonly string[]): string {
  return items.length < 2 ? (items[0] ?? 'nothing') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

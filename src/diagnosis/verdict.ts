/** @file Plain words for the figures: five lines, one an analysis, and the sentence that sets what is said against what is inside. */
import type { Best, Diagnosis, Figure, LayerDiagnosis, Pooling, PoolingDiagnosis, Readout, Verdict } from './schema.js';

const LEVEL = 0.05;

type AnalysisName = Verdict['analysis'];

const MEASURES: Record<
  AnalysisName,
  { name: string; apart(figure: Figure): string; chance: string; direction: 'below' | 'above' }
> = {
  categorical: {
    name: 'cosine of opposed moral poles',
    apart: ({ value }) =>
      `opposed poles lie further apart than relabelled texts do${(value ?? 0) > 0 ? ', though they still point the same way' : ''}`,
    chance: 'opposed poles lie no further apart than relabelled texts',
    direction: 'below',
  },
  gradient: {
    name: 'rank correlation of typicality with the judgment',
    apart: () => 'typicality follows how strong the judgment is',
    chance: 'typicality does not follow how strong the judgment is',
    direction: 'above',
  },
  structural: {
    name: 'agreement of clusters with virtue, neutral and vice (ARI)',
    apart: ({ value }) =>
      `the states cluster by polarity more than relabelled texts do${(value ?? 0) < 0.1 ? ', though hardly' : ''}`,
    chance: 'the states do not cluster by polarity',
    direction: 'above',
  },
  dimensional: {
    name: 'R2 of the ten moral dimensions on held-out texts',
    apart: ({ value }) => `${percent(value)} of the moral dimensions' variance can be read off linearly, more than chance gives`,
    chance: 'no more of the moral dimensions can be read off linearly than chance gives',
    direction: 'above',
  },
  readout: {
    name: 'AUC of virtue against vice in the next word',
    apart: () => 'the next word tells virtue from vice',
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
  const layer = diagnosis.layers.find((l) => l.layer === best.layer);
  return verdict(analysis, pooling, best.layer, best.figure, layer ? context(analysis, layer) : []);
}

/** The verdict on what the model would say. */
export function readoutVerdict({ auc, bias }: Readout): Verdict {
  const leaning =
    bias.value === null
      ? []
      : [
          `the words lean ${number(Math.abs(bias.value))} nats toward ${bias.value > 0 ? 'approval' : 'disapproval'}, which is bias and not discrimination`,
        ];
  return verdict('readout', null, null, auc, leaning);
}

function verdict(
  analysis: AnalysisName,
  pooling: Pooling | null,
  layer: number | null,
  figure: Figure,
  beside: string[],
): Verdict {
  const found = outcome(figure);
  const { name, apart, chance, direction } = MEASURES[analysis];
  const at = pooling === null ? 'at the end of the template' : `pooling ${pooling}, layer ${layer}`;
  const meanings = {
    apart: () => apart(figure),
    chance: () =>
      figure.detectable === undefined
        ? `${chance}, as far as this sample can tell`
        : `${chance}, as far as this sample can tell: it would have shown a value ${direction} ${number(figure.detectable)}`,
    empty: () => `not computed (${figure.why ?? 'no null'})`,
  };
  const meaning = sentences([
    meanings[found](),
    ...(figure.why && found !== 'empty' ? [figure.why] : []),
    ...(found === 'empty' ? [] : beside),
  ]);
  const text = found === 'empty' ? `${name}: ${meaning}` : `${name} ${measured(figure)}; ${at}. ${meaning}`;
  return { analysis, pooling, layer, figure, outcome: found, meaning, text };
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

/** What a reader must see beside the headline figure. */
function context(
  analysis: AnalysisName,
  { categorical, gradient, structural, dimensional, lengthRegressed }: LayerDiagnosis,
): string[] {
  const withoutLength = (figure: Figure) => `length regressed out ${number(figure.value)}`;
  switch (analysis) {
    case 'categorical':
      return [
        `all texts ${estimate(categorical.mean)}, opposed poles of other foundations ${number(categorical.baseline.value)}, ${withoutLength(lengthRegressed.categorical.mean)}`,
      ];
    case 'gradient':
      return [
        `among judged texts alone, neutrals left out, ${estimate(gradient.gradient)}, ${withoutLength(lengthRegressed.gradient.detection)}`,
      ];
    case 'structural':
      return [
        `${structural.clusters} clusters, ${percent(structural.noise.value)} noise, AMI of k-means ${number(structural.kmeansAmi.polarity.value)}, ${withoutLength(lengthRegressed.structural.ari.polarity)}`,
      ];
    case 'dimensional':
      return [`a bag of words reaches ${number(dimensional.floor.value)}, ${withoutLength(lengthRegressed.dimensional.r2)}`];
    case 'readout':
      return [];
  }
}

/** Clauses as sentences. */
function sentences(clauses: string[]): string {
  return clauses.map((clause) => `${clause.charAt(0).toUpperCase()}${clause.slice(1)}.`).join(' ');
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

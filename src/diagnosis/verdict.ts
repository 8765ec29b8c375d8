/** @file Plain words for the figures: five lines, one an analysis, and the sentence that sets what is said against what is inside. */
import type { Best, Diagnosis, Figure, LayerDiagnosis, Pooling, PoolingDiagnosis, Readout, Verdict } from './schema.js';

const LEVEL = 0.05;

type AnalysisName = Verdict['analysis'];

const MEASURES: Record<AnalysisName, { name: string; apart: string; chance: string; direction: 'below' | 'above' }> = {
  categorical: {
    name: 'cosine of opposed moral poles',
    apart: 'opposed poles lie further apart than relabelled texts do',
    chance: 'opposed poles are not told apart beyond what relabelled texts show',
    direction: 'below',
  },
  gradient: {
    name: 'rank correlation of typicality with the judgment, neutrals as 0',
    apart: 'texts of a pole lie closer to its prototype than neutral texts do',
    chance: 'texts of a pole are not told from neutral texts by their prototype',
    direction: 'above',
  },
  structural: {
    name: 'agreement of clusters with virtue, neutral and vice (ARI)',
    apart: 'the states cluster by polarity more than relabelled texts do',
    chance: 'the states are not seen to cluster by polarity',
    direction: 'above',
  },
  dimensional: {
    name: 'R2 of the ten moral dimensions on held-out texts',
    apart: 'more of the moral dimensions can be read off linearly than with relabelled texts',
    chance: 'no more of the moral dimensions is seen to be read off linearly than chance gives',
    direction: 'above',
  },
  readout: {
    name: 'AUC of virtue against vice in the next word',
    apart: 'the next word tells virtue from vice',
    chance: 'the next word is not seen to tell virtue from vice',
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
  const elsewhere =
    outcome(best.figure) === 'chance' && best.pMaximum !== undefined && best.pMaximum < LEVEL
      ? [
          `somewhere among all layers and poles, on all texts, there is more than chance (p of the maximum ${number(best.pMaximum, 3)}), but not where the other texts pointed`,
        ]
      : [];
  return verdict(analysis, pooling, best.layer, best.figure, [...elsewhere, ...(layer ? context(analysis, layer) : [])]);
}

/** The verdict on what the model would say. */
export function readoutVerdict({ auc, bias }: Readout): Verdict {
  const inverted = (auc.ci95?.[1] ?? 1) < 0.5 ? ['it tells them apart the wrong way round'] : [];
  const leaning =
    bias.value === null
      ? []
      : [
          `the words lean ${number(Math.abs(bias.value))} nats toward ${bias.value > 0 ? 'approval' : 'disapproval'}, which is bias and not discrimination`,
        ];
  return verdict('readout', null, null, auc, [...inverted, ...leaning]);
}

function verdict(
  analysis: AnalysisName,
  pooling: Pooling | null,
  layer: number | null,
  figure: Figure,
  beside: string[],
): Verdict {
  const found = outcome(figure);
  const { name } = MEASURES[analysis];
  const at = pooling === null ? 'at the end of the template' : `pooling ${pooling}, layer ${layer}`;
  const why = figure.why && found !== 'empty' ? [figure.why] : [];
  const meaning = sentences([meaningOf(analysis, figure), ...why, ...(found === 'empty' ? [] : beside)]);
  const text =
    found === 'empty'
      ? `${name} ${meaning}`
      : `${name} ${measured(figure, analysis === 'structural' ? 'subsamples ' : '')}; ${at}. ${meaning}`;
  return { analysis, pooling, layer, figure, outcome: found, meaning, text };
}

function meaningOf(analysis: AnalysisName, figure: Figure): string {
  const { apart, chance, direction } = MEASURES[analysis];
  const value = figure.value ?? 0;
  switch (outcome(figure)) {
    case 'empty':
      return `not computed: ${figure.why ?? 'no null'}`;
    case 'chance':
      return figure.detectable === undefined
        ? `${chance}; no value at all would have been enough to show it`
        : `${chance}, as far as this sample can tell: it would have shown a value ${direction} ${number(figure.detectable)}`;
    case 'apart':
      if (analysis === 'categorical') return value > 0 ? `${apart}, though they still point the same way` : apart;
      if (analysis !== 'readout' && value <= 0) return `better than relabelled texts, yet not above 0`;
      if (analysis === 'dimensional') return `${apart}: ${percent(value)} of their variance`;
      if (analysis === 'structural' && value < 0.1) return `${apart}, though hardly`;
      return apart;
  }
}

/** One sentence: what the model says (readout) against what its geometry shows. */
export function summarise(name: string, verdicts: Verdict[], readout: Readout, knows: Diagnosis['knows']): string {
  const { bagOfWords, recalibrated } = readout.floors;
  const says =
    readout.auc.value === null
      ? `what ${name} says could not be read`
      : `${name} says good and bad apart with AUC ${estimate(readout.auc)} (chance .50); on held-out texts it has ${number(readout.aucOnTest.value)}, a bag of words ${number(bagOfWords.value)}, its recalibrated readout ${number(recalibrated.value)} and a linear probe of its states ${number(knows.auc.value)}`;
  const floors = [bagOfWords, recalibrated].map(({ value }) => value ?? 0.5);
  const above = knows.auc.value === null || knows.auc.value > Math.max(...floors) ? '' : ', which is not above both floors';
  const geometry = verdicts.filter((v) => v.analysis !== 'readout');
  const pooling = geometry[0]?.pooling;
  const list = (outcome: Verdict['outcome']) => geometry.filter((v) => v.outcome === outcome).map((v) => v.analysis);
  const parts = [
    [list('apart'), 'more than chance in the'],
    [list('chance'), 'nothing told from chance in the'],
    [list('empty'), 'nothing that could be computed in the'],
  ] as const;
  const shows = parts
    .filter(([names]) => names.length)
    .map(([names, what]) => `${what} ${enumerate(names)} ${names.length > 1 ? 'analyses' : 'analysis'}`);
  const sink = pooling === 'mean' ? ', which the sink rules (see there)' : '';
  return `${says}${above}; its geometry (pooling ${pooling}${sink}), at layers chosen on other texts, shows ${enumerate(shows)}.`;
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
        `among texts of a pole alone, by how strong the judgment is, ${estimate(gradient.gradient)}, ${probability(gradient.gradient)}`,
        `all texts ${number(gradient.detection.value)}, ${withoutLength(lengthRegressed.gradient.detection)}`,
      ];
    case 'structural':
      return [
        `${structural.clusters} clusters, ${percent(structural.noise.value)} noise, AMI of k-means ${number(structural.kmeansAmi.polarity.value)}`,
        `all texts ${number(structural.ari.polarity.value)}, ${withoutLength(lengthRegressed.structural.ari.polarity)}`,
      ];
    case 'dimensional':
      return [
        `a bag of words reaches ${number(dimensional.floor.value)}; the states with ${withoutLength(lengthRegressed.dimensional.r2)}`,
      ];
    case 'readout':
      return [];
  }
}

/** Clauses as sentences. */
function sentences(clauses: string[]): string {
  return clauses.map((clause) => `${clause.charAt(0).toUpperCase()}${clause.slice(1)}.`).join(' ');
}

function measured(figure: Figure, interval: string): string {
  const against = figure.null
    ? `; null ${number(figure.null.mean)} [${number(figure.null.q025)}, ${number(figure.null.q975)}]`
    : '';
  return `${estimate(figure, interval)}${against}, ${probability(figure)}`;
}

function probability({ p }: Figure): string {
  return p === undefined ? 'p n/a' : p < 0.001 ? 'p < .001' : `p = ${number(p, 3)}`;
}

function estimate(figure: Figure, interval = ''): string {
  return number(figure.value) + (figure.ci95 ? ` [${interval}${number(figure.ci95[0])}, ${number(figure.ci95[1])}]` : '');
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

import {
  type ANALYSES,
  type Diagnosis,
  type Figure,
  type LayerDiagnosis,
  POOLINGS,
  type Pooling,
  type PoolingDiagnosis,
} from '../diagnosis/schema.js';
import { type Curve, type CurveStyle, curveDomain, curveLegend, layerCurves } from './layer-curves.js';
import { fullColor, layerStrip, stripLegend } from './layer-strip.js';
import { html, type Markup, type Part } from './markup.js';

export type Analysis = (typeof ANALYSES)[number];
/** The four analyses of one layer, of the states as they are or with length regressed out. */
export type Analyses = LayerDiagnosis['lengthRegressed'];

export const POOLING_NAMES: Record<Pooling, string> = {
  last: 'last token',
  content: 'content tokens',
  mean: 'mean of all tokens',
};

/** The poolings that were diagnosed, in the order last, content, mean. */
export function poolingsOf(diagnosis: Diagnosis): [Pooling, PoolingDiagnosis][] {
  return POOLINGS.flatMap((name): [Pooling, PoolingDiagnosis][] => {
    const pooling = diagnosis.poolings[name];
    return pooling && pooling.layers.length > 0 ? [[name, pooling]] : [];
  });
}

/** Panels beside each other, a panel a pooling, and a line about the poolings that were not diagnosed. */
function grid(diagnosis: Diagnosis, panels: Markup[], legend: Part): Markup {
  const missing = POOLINGS.filter((name) => !diagnosis.poolings[name]?.layers.length).map((name) => POOLING_NAMES[name]);
  return html`<div class="grid">${panels}</div>
${panels.length > 0 && legend}
${missing.length > 0 && html`<p class="none">Not diagnosed: ${missing.join(', ')}.</p>`}`;
}

export interface CurvePanels {
  /** Words for the panels' titles, before the pooling's name. */
  title: string;
  /** The figures of one layer by line; the first is drawn with its interval and null. */
  curves: (layer: LayerDiagnosis) => Partial<Record<CurveStyle, Figure>>;
  /** The analysis whose best layer is marked, if this is its figure. */
  best?: Analysis;
  /** The value that means "nothing"; 0 if not given. */
  reference?: number;
  /** Lowest end of the vertical axis. */
  floor?: number;
  height?: number;
  /** False where the same lines were explained just above. */
  legend?: boolean;
}

/** Curves over the layers, one panel a pooling, on one vertical axis. */
export function curvePanels(diagnosis: Diagnosis, options: CurvePanels): Markup {
  const { best, reference = 0, floor, height = 190, legend = true } = options;
  const panels = poolingsOf(diagnosis).map(([name, { best: bests, layers }]) => {
    const figures = layers.map((l) => ({ layer: l.layer, curves: options.curves(l) }));
    return {
      title: `${options.title}, ${POOLING_NAMES[name]}`,
      curves: (Object.keys(figures[0].curves) as CurveStyle[]).map(
        (style): Curve => ({ style, points: figures.map(({ layer, curves }) => ({ layer, figure: curves[style] as Figure })) }),
      ),
      ...(best && { best: bests[best] }),
      reference,
      height,
    };
  });
  const domain = curveDomain(panels, reference, floor);
  return grid(
    diagnosis,
    panels.map((p) => layerCurves({ ...p, domain })),
    legend && curveLegend(panels),
  );
}

/** Heat strips over the layers, one panel a pooling, on one colour scale. */
export function stripPanels(
  diagnosis: Diagnosis,
  title: string,
  better: 'lower' | 'higher',
  rows: (analyses: Analyses) => [string, Figure][],
): Markup {
  const panels = poolingsOf(diagnosis).map(([name, { layers }]) => {
    const columns = layers.map((l) => new Map(rows(l)));
    return {
      title: `${title}, ${POOLING_NAMES[name]}`,
      layers: layers.map((l) => l.layer),
      rows: [...columns[0].keys()].map((row) => ({ name: row, figures: columns.map((c) => c.get(row) as Figure) })),
      better,
    };
  });
  const full = fullColor(panels.flatMap((p) => p.rows));
  return grid(
    diagnosis,
    panels.map((p) => layerStrip({ ...p, full })),
    stripLegend(full, better),
  );
}

/** Where an analysis is told in detail: the pooling and layer of its verdict. */
export function verdictLayer(diagnosis: Diagnosis, analysis: Analysis): { place: string; analyses: LayerDiagnosis } | null {
  const verdict = diagnosis.verdicts.find((v) => v.analysis === analysis);
  if (!verdict?.pooling) return null;
  const analyses = diagnosis.poolings[verdict.pooling]?.layers.find((l) => l.layer === verdict.layer);
  return analyses ? { place: `${POOLING_NAMES[verdict.pooling]}, layer ${analyses.layer}`, analyses } : null;
}

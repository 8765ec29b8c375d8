/** @file A remedy over its strengths: what choosing texts say, and what is gained for what damage. */
import * as Plot from '@observablehq/plot';
import type { ControlKind, Verification, VerifiedSet } from '../evaluation/schema.js';
import { draw } from './drawing.js';
import { tickText } from './figure-text.js';
import { html, type Markup } from './markup.js';
import { bandSwatch, lineSwatch } from './swatch.js';

/** How controls are called, and drawn. */
export const CONTROLS: Readonly<
  Record<ControlKind, { name: string; colour: string; symbol: 'diamond' | 'triangle' | 'times' | 'square' | 'star' }>
> = {
  unaligned: { name: 'not aligned', colour: 'var(--fourth)', symbol: 'diamond' },
  shuffled: { name: 'fitted to shuffled judgments', colour: 'var(--second)', symbol: 'triangle' },
  relabelled: { name: 'same latents, shuffled judgments', colour: 'var(--fifth)', symbol: 'star' },
  random: { name: 'random direction', colour: 'var(--soft)', symbol: 'times' },
  neutral: { name: 'neutral text', colour: 'var(--third)', symbol: 'square' },
};

/** AUC on the choosing texts over strength: the remedy, and each kind of control with its middle 95%. */
export function strengthCurve({ choice }: Verification): Markup {
  const remedy = choice.curve.filter(({ auc }) => auc !== null);
  const bands = choice.curve.flatMap(({ strength, controls }) =>
    controls.map(({ kind, auc }) => ({ strength, kind, ...auc, colour: CONTROLS[kind].colour })),
  );
  const kinds = [...new Set(bands.map(({ kind }) => kind))];
  const picture = draw('AUC on the texts that choose the strength, over strength', {
    width: 480,
    height: 260,
    marginLeft: 44,
    marginBottom: 36,
    x: {
      label: 'strength',
      labelAnchor: 'center',
      labelArrow: 'none',
      tickFormat: tickText,
      ticks: choice.curve.map((c) => c.strength),
    },
    y: { label: 'AUC', labelArrow: 'none', tickFormat: tickText, grid: true, nice: true },
    color: { type: 'identity' },
    marks: [
      ...kinds.map((kind) =>
        Plot.areaY(
          bands.filter((band) => band.kind === kind),
          { x: 'strength', y1: 'q025', y2: 'q975', fill: CONTROLS[kind].colour, fillOpacity: 0.18 },
        ),
      ),
      ...kinds.map((kind) =>
        Plot.lineY(
          bands.filter((band) => band.kind === kind),
          { x: 'strength', y: 'mean', stroke: CONTROLS[kind].colour, strokeWidth: 1.25, strokeDasharray: '4 3' },
        ),
      ),
      choice.before === null ? null : Plot.ruleY([choice.before], { stroke: 'currentColor', strokeDasharray: '1.5 2.5' }),
      Plot.lineY(remedy, { x: 'strength', y: 'auc', stroke: 'var(--value)', strokeWidth: 2.2 }),
      strengths(remedy, choice, 'strength', 'auc'),
    ],
    r: { type: 'identity' },
  });
  return html`${picture}
<ul class="legend"><li>${lineSwatch('var(--value)', 2.2, 'none')} the remedy; the large point is the chosen strength</li>
<li>${lineSwatch('currentColor', 1, '1.5 2.5')} untouched</li>
${kinds.map((kind) => html`<li>${bandSwatch(`color-mix(in srgb, ${CONTROLS[kind].colour} 30%, transparent)`)} ${CONTROLS[kind].name}: middle 95%, mean dashed</li>`)}</ul>`;
}

/** Gain of AUC on one data set against the damage on general text: the remedy's strengths joined, its controls at the chosen one. */
export function paretoPlot(set: VerifiedSet, { damage, choice }: Verification): Markup {
  const before = set.before.auc.value ?? Number.NaN;
  const remedy = [
    { strength: 0, cost: 0, gain: 0 },
    ...set.strengths.flatMap(({ strength, auc }) => {
      const cost = damage.remedy.find((at) => at.strength === strength)?.kl.value;
      return auc.value === null || cost === null || cost === undefined ? [] : [{ strength, cost, gain: auc.value - before }];
    }),
  ];
  const controls = set.arms.flatMap(({ name, kind, auc }) => {
    const cost = damage.arms.find((arm) => arm.name === name)?.kl;
    return auc === null || cost === null || cost === undefined ? [] : [{ name, kind, cost, gain: auc - before }];
  });
  const kinds = [...new Set(controls.map(({ kind }) => kind))];
  const picture = draw(`${set.name}: gain of AUC against KL on general text`, {
    width: 480,
    height: 280,
    marginLeft: 48,
    marginBottom: 38,
    x: {
      label: 'KL on general text, nats a token',
      labelAnchor: 'center',
      labelArrow: 'none',
      tickFormat: tickText,
      // Damage grows with about the square of what is changed.
      type: 'sqrt',
      nice: true,
      ticks: 6,
    },
    y: { label: 'gain of AUC', labelArrow: 'none', tickFormat: tickText, grid: true, zero: true, nice: true },
    color: { type: 'identity' },
    marks: [
      Plot.ruleY([0], { strokeOpacity: 0.7 }),
      ...kinds.map((kind) =>
        Plot.dot(
          controls.filter((one) => one.kind === kind),
          {
            x: 'cost',
            y: 'gain',
            symbol: CONTROLS[kind].symbol,
            r: 3,
            stroke: CONTROLS[kind].colour,
            strokeWidth: 1.2,
            strokeOpacity: 0.75,
            title: ({ name }: { name: string }) => name,
          },
        ),
      ),
      Plot.line(remedy, { x: 'cost', y: 'gain', stroke: 'var(--value)', strokeWidth: 2 }),
      strengths(remedy, choice, 'cost', 'gain'),
      Plot.text(remedy, {
        x: 'cost',
        y: 'gain',
        text: ({ strength }: { strength: number }) => tickText(strength),
        dy: -11,
        fill: 'var(--value)',
        stroke: 'var(--page)',
        strokeWidth: 3,
      }),
    ],
    r: { type: 'identity' },
  });
  return html`<div class="panel"><h4>${set.name}${set.fittedOn ? ', the data set fitted on' : ', another data set'}</h4>${picture}</div>`;
}

/** A point for every strength, the chosen one large. */
function strengths(of: readonly { strength: number }[], { chosen }: Verification['choice'], x: string, y: string) {
  const r = ({ strength }: { strength: number }) => (strength === chosen.strength ? 6 : 3.5);
  return Plot.dot(of, { x, y, r, fill: 'var(--value)' });
}

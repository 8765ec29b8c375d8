import * as Plot from '@observablehq/plot';

/** At most about eight whole layer numbers. */
export function layerTicks(layers: number[]): number[] {
  const step = [1, 2, 5, 10, 20].find((s) => layers.length / s <= 8) ?? 50;
  const round = layers.filter((l) => l % step === 0);
  return round.length > 1 ? round : layers.slice(0, 8);
}

/** The horizontal axis of everything that is drawn over layers. */
export function layerAxis(layers: number[]): Plot.ScaleOptions {
  return {
    ticks: layerTicks(layers),
    tickFormat: (layer: number) => String(layer),
    tickSize: 3,
    label: 'layer',
    labelAnchor: 'center',
    labelArrow: 'none',
  };
}

/** The same, continuous, with half a layer of room on either side. */
export function continuousLayerAxis(layers: number[]): Plot.ScaleOptions {
  return { ...layerAxis(layers), domain: [layers[0] - 0.5, layers[layers.length - 1] + 0.5] };
}

/** Invisible columns, one a layer, that tell their numbers on hovering. */
export function layerHover(layers: number[], lines: (index: number) => string[]): Plot.Markish {
  return Plot.rect(layers, {
    x1: (layer: number) => layer - 0.5,
    x2: (layer: number) => layer + 0.5,
    inset: 0,
    fill: 'transparent',
    title: (layer: number, i: number) => [`layer ${layer}`, ...lines(i)].join('\n'),
  });
}

import type { Diagnosis } from '../diagnosis/schema.js';
import { heatMap } from './heat-map.js';
import { html } from './markup.js';
import { captioned, type Section } from './page.js';
import { POOLING_NAMES } from './pooling-panels.js';
import { prototypeMap } from './prototype-map.js';

/** The ten prototypes at the best layer: their cosines, and where they lie to each other. */
export function prototypesSection({ map, poolings }: Diagnosis): Section {
  const place = `${POOLING_NAMES[map.pooling]}, layer ${map.layer}`;
  const layer = poolings[map.pooling]?.layers.find((l) => l.layer === map.layer);
  return {
    id: 'prototypes',
    name: 'Prototypes',
    title: `The ten prototypes: ${place}`,
    body: html`<div class="pair">
${captioned(
  html`<b>Cosines between prototypes</b> of centred states. Orange: they point the same way. Blue: apart. Framed: the opposed pairs, blue where valence outweighs
the topic they share.`,
  layer ? heatMap(layer.categorical.matrix, place) : html`<p class="none">Empty: ${place} was not diagnosed.</p>`,
)}
${captioned(
  html`<b>Map of the prototypes.</b> Classical scaling of the distances between them: near means alike. Only distances have a meaning, the
directions have none. If virtues and vices mix, valence does not order this space.`,
  prototypeMap(map.points, place),
)}
</div>`,
  };
}

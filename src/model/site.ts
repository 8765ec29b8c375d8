import { MoralscopeError } from '../errors.js';

/** Where in a block a state is read: the stream that enters it, the stream that leaves it, and what its two halves add. */
export const SITE_POINTS = ['resid_pre', 'resid_post', 'attn_out', 'mlp_out'] as const;
export type SitePoint = (typeof SITE_POINTS)[number];

/** A place in a decoder, written `blocks.{layer}.hook_{point}` (layers count from 0). */
export interface Site {
  layer: number;
  point: SitePoint;
}

/** `blocks.11.hook_resid_post` and the like. */
export function formatSite({ layer, point }: Site): string {
  return `blocks.${layer}.hook_${point}`;
}

/**
 * The site of that name, in a model of that many layers.
 * @throws MoralscopeError `misuse` for anything that is not exactly a site of this model
 */
export function parseSite(text: string, layers: number): Site {
  const [, digits, name] = /^blocks\.(0|[1-9]\d*)\.hook_(\w+)$/.exec(text) ?? [];
  const point = SITE_POINTS.find((known) => known === name);
  if (digits === undefined || point === undefined)
    throw new MoralscopeError(
      'misuse',
      `${JSON.stringify(text)} is not a site.`,
      `Write blocks.{layer}.hook_{${SITE_POINTS.join('|')}}, e.g. blocks.0.hook_resid_post.`,
    );
  const layer = Number(digits);
  if (layer >= layers)
    throw new MoralscopeError('misuse', `${text}: the model has ${layers} layers, 0 to ${layers - 1}.`, 'Choose a layer it has.');
  return { layer, point };
}

/** In the order in which a block comes to them. */
const WAY: readonly SitePoint[] = ['resid_pre', 'attn_out', 'mlp_out', 'resid_post'];

/** Whether a decoder comes to one site before the other. What enters a block left the one before: `resid_post` comes before the next `resid_pre`. */
export function comesBefore(a: Site, b: Site): boolean {
  return a.layer === b.layer ? WAY.indexOf(a.point) < WAY.indexOf(b.point) : a.layer < b.layer;
}

/** The sites of one point in every layer, from the first block to the last. */
export function sitesOfAllLayers(layers: number, point: SitePoint = 'resid_post'): Site[] {
  return Array.from({ length: layers }, (_, layer) => ({ layer, point }));
}

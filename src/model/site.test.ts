import { describe, expect, test } from 'vitest';
import { formatSite, parseSite, SITE_POINTS, sitesOfAllLayers } from './site.js';

describe('site', () => {
  test('what is printed is parsed', () => {
    for (const point of SITE_POINTS)
      for (const layer of [0, 9, 29]) expect(parseSite(formatSite({ layer, point }), 30)).toEqual({ layer, point });
    expect(formatSite({ layer: 3, point: 'attn_out' })).toBe('blocks.3.hook_attn_out');
    expect(sitesOfAllLayers(2).map(formatSite)).toEqual(['blocks.0.hook_resid_post', 'blocks.1.hook_resid_post']);
  });

  test.each([
    '',
    'blocks.3',
    'blocks.3.resid_post',
    'blocks.3.hook_resid_mid',
    'blocks.03.hook_resid_post',
    'blocks.-1.hook_resid_post',
    'blocks.1e0.hook_resid_post',
    ' blocks.3.hook_resid_post',
    'blocks.3.hook_resid_post.5',
    'blocks.3.hook_resid_post\n',
    'Blocks.3.hook_resid_post',
  ])('%j is refused', (text) => {
    expect(() => parseSite(text, 30)).toThrow('is not a site');
  });

  test('a layer that the model does not have is refused', () => {
    expect(() => parseSite('blocks.30.hook_resid_post', 30)).toThrow('30 layers, 0 to 29');
  });
});

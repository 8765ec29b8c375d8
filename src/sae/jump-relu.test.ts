import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { type SaeSpec, sparseAutoencoder } from './architecture.js';
import { encode, reconstruct } from './forward.js';
import { asJumpRelu } from './jump-relu.js';

const [D, WIDTH, N] = [10, 48, 400];
const random = new Random(4);
const numbers = (count: number, scale = 1) => Float32Array.from({ length: count }, () => scale * random.normal());
const states = numbers(N * D);

function autoencoder(spec: Partial<SaeSpec>) {
  const gated = spec.architecture === 'gated' && { rMag: numbers(WIDTH, 0.3), bMag: numbers(WIDTH, 0.3) };
  const weights = {
    wEnc: numbers(D * WIDTH, 0.4),
    wDec: numbers(WIDTH * D, 0.4),
    bEnc: numbers(WIDTH, 0.3),
    bDec: numbers(D),
    ...gated,
  };
  return sparseAutoencoder(
    { architecture: 'relu', dIn: D, width: WIDTH, applyDecoderBiasToInput: true, normalisation: 'none', ...spec },
    weights,
  );
}

const farthest = (a: Float32Array, b: Float32Array) => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);

describe('without competition', () => {
  test('ReLU stays what it is', async () => {
    const sae = autoencoder({});
    expect(await asJumpRelu(sae, new Float32Array())).toEqual({ sae });
  });

  test('gated ones become JumpReLU with the same reconstructions', async () => {
    const sae = autoencoder({ architecture: 'gated' });
    const { sae: converted } = await asJumpRelu(sae, new Float32Array());
    expect(converted.spec.architecture).toBe('jumprelu');
    expect(farthest(reconstruct(converted, states, N), reconstruct(sae, states, N))).toBeLessThan(1e-5);
  });
});

describe('TopK', () => {
  const chosenOf = (sae: ReturnType<typeof autoencoder>) => {
    const counts = new Int32Array(WIDTH);
    for (const latent of encode(sae, states, N).latents) counts[latent]++;
    return counts;
  };

  test.each([false, true])(
    'each latent is active on as many states as chose it (decoder norms compete: %s)',
    async (rescaleByDecoderNorm) => {
      const sae = autoencoder({ architecture: 'topk', k: 5, rescaleByDecoderNorm });
      // Two that no state can choose: one far below, one that never comes among the five.
      sae.weights.bEnc[3] = -100;
      const chosen = chosenOf(sae);
      const { sae: converted, fit } = await asJumpRelu(sae, states);
      expect(fit).toEqual({ states: N, neverChosen: chosen.filter((count) => count === 0).length });
      expect(chosen[3]).toBe(0);
      expect(Array.from(chosenOf(converted))).toEqual(Array.from(chosen));
      expect(converted.weights.threshold!.every((value) => value >= 0 && Number.isFinite(value))).toBe(true);
    },
  );

  test('a state where all latents are above their thresholds or below gives the same reconstruction', async () => {
    const sae = autoencoder({ architecture: 'topk', k: WIDTH });
    const { sae: converted } = await asJumpRelu(sae, states);
    expect(farthest(reconstruct(converted, states, N), reconstruct(sae, states, N))).toBeLessThan(1e-5);
  });

  test('needs states', async () => {
    await expect(asJumpRelu(autoencoder({ architecture: 'topk', k: 5 }), new Float32Array())).rejects.toMatchObject({
      code: 'misuse',
    });
  });
});

test.each([
  ['scales every state', autoencoder({ normalisation: 'layer_norm' })],
  ['skips past', { ...autoencoder({}), weights: { ...autoencoder({}).weights, wSkip: numbers(D * D) } }],
])('one that %s is refused', async (what, sae) => {
  await expect(asJumpRelu(sae, states)).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining(what) });
});

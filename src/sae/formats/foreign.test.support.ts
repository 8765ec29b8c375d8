import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Random } from '../../random.js';
import { writeSaeLens } from './saelens.js';

/** For tests; not part of the package. Writes `narrow/`, an autoencoder of 16 channels at layer 1, and `foreign/`, one of 32 of another model. */
export async function writeForeignSaes(root: string): Promise<void> {
  const random = new Random(1);
  const numbers = (count: number) => Float32Array.from({ length: count }, () => random.normal());
  const written = (dIn: number) => ({
    sae: {
      spec: { architecture: 'relu', dIn, width: 20, applyDecoderBiasToInput: true, normalisation: 'none' } as const,
      weights: { wEnc: numbers(dIn * 20), wDec: numbers(dIn * 20), bEnc: numbers(20), bDec: numbers(dIn) },
    },
    origin: { site: { layer: 1, point: 'resid_post' } as const, modelName: 'elsewhere' },
  });
  for (const name of ['narrow', 'foreign']) await mkdir(join(root, name));
  await writeSaeLens(join(root, 'narrow'), written(16), {});
  await writeSaeLens(join(root, 'foreign'), written(32), { model: { name: 'elsewhere', sha256: 'f'.repeat(64) } });
}

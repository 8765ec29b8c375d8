import type { ModelSource } from './source.js';
import { resolveModel } from './sources.js';

/**
 * For tests on real weights; not part of the package. Fetches the model once into the user's cache and gives where it lies, or
 * undefined, with a loud line, where it is not in reach. With MORALSCOPE_REQUIRE_WEIGHTS=1 that is a failure.
 *
 * @example
 * const weights = await realWeights('smollm2-135m'); // at the top of the test file
 * test.skipIf(!weights)('...', () => open(weights!.path));
 */
export async function realWeights(name: 'smollm2-135m'): Promise<ModelSource | undefined> {
  try {
    return await resolveModel(name);
  } catch (error) {
    if (process.env.MORALSCOPE_REQUIRE_WEIGHTS === '1') throw error;
    process.stderr.write(`\nSKIPPED: real weights not in reach (${name}): ${(error as Error).message}\n`);
    return undefined;
  }
}

/** The same for weights that are too large to be fetched for a test: only what the user's cache holds already. */
export async function weightsInCache(name: 'gemma3-270m'): Promise<ModelSource | undefined> {
  try {
    return await resolveModel(name, { offline: true });
  } catch {
    process.stderr.write(`\nskipped: ${name} is not in the cache (moralscope pull ${name})\n`);
    return undefined;
  }
}

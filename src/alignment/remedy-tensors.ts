import { openSafetensors } from '../checkpoint/safetensors.js';
import { MoralscopeError } from '../errors.js';

/** What a tensor is called that several arms share. */
export const SHARED = 'shared';

/** The name of an arm's tensor at a site: `remedy/blocks.11.hook_resid_post/direction`. */
export const tensorName = (arm: string, site: string, tensor: string) => `${arm}/${site}/${tensor}`;

/** The numbers of a remedy: a tensor is the arm's own, or else the one that arms share. */
export class RemedyTensors {
  private constructor(
    private readonly path: string,
    private readonly tensors: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>,
  ) {}

  /**
   * Reads them all.
   * @throws MoralscopeError `not-found`, `bad-file` naming a tensor that holds what is no number
   */
  static async read(path: string): Promise<RemedyTensors> {
    const file = await openSafetensors(path);
    try {
      const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
      for (const name of file.names()) {
        const data = await file.read(name);
        const wrong = data.findIndex((value) => !Number.isFinite(value));
        if (wrong >= 0) throw damaged(path, `${name} holds ${data[wrong]} at position ${wrong}`);
        tensors.set(name, { shape: file.info(name).shape, data });
      }
      return new RemedyTensors(path, tensors);
    } finally {
      await file.close();
    }
  }

  has(arm: string, site: string, tensor: string): boolean {
    return this.find(arm, site, tensor) !== undefined;
  }

  /**
   * @param shape what it must be; `f`, a number that is not known beforehand
   * @throws MoralscopeError `bad-file` where it is missing or of another shape
   */
  get(arm: string, site: string, tensor: string, shape: readonly (number | 'f')[]): Float32Array {
    const found = this.find(arm, site, tensor);
    if (!found) throw damaged(this.path, `it has no tensor ${tensorName(arm, site, tensor)}, nor one that arms share`);
    if (found.shape.length !== shape.length || shape.some((size, i) => size !== 'f' && size !== found.shape[i]))
      throw damaged(
        this.path,
        `${tensorName(arm, site, tensor)} has shape [${found.shape.join(', ')}] where [${shape.join(', ')}] is needed`,
      );
    return found.data;
  }

  private find(arm: string, site: string, tensor: string) {
    return this.tensors.get(tensorName(arm, site, tensor)) ?? this.tensors.get(tensorName(SHARED, site, tensor));
  }
}

/** The error of a directory that was tampered with, or cut short. */
export function damaged(path: string, what: string, cause?: unknown): MoralscopeError {
  return new MoralscopeError('bad-file', `${path}: ${what}.`, 'It is damaged: make the remedy again.', { cause });
}

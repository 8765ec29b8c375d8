/** @file Capture as the command and the library offer it. */
import { capture as captureStates, type CaptureOptions as Options } from './activations/capture.js';
import type { ActivationDirectory } from './activations/directory.js';
import { precisionError } from './diagnosis/precision-error.js';

export type CaptureOptions = Omit<Options, 'measurePrecision'>;

/** `capture` of the activations; for a reduced precision the manifest tells what it costs, the figures of the diagnosis included. */
export const capture = (options: CaptureOptions): Promise<ActivationDirectory> =>
  captureStates({ ...options, measurePrecision: precisionError });

import { existsSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { z } from 'zod';
import { openRemedy, type Remedy, requireItsModel } from '../../alignment/remedy.js';
import { REMEDY_ARM } from '../../alignment/remedy-schema.js';
import { ArtifactDirectory } from '../../artifact/directory.js';
import { sha256File } from '../../artifact/files.js';
import { type Checkpoint, openCheckpoint } from '../../checkpoint/checkpoint.js';
import { resolveModel } from '../../checkpoint/sources.js';
import { MoralscopeError } from '../../errors.js';
import { mapDecoder } from '../../model/family.js';
import { type Intervention, requireStrength } from '../../model/intervention.js';
import type { DecoderMapping } from '../../model/mapping.js';
import { parseOptions } from '../../options.js';
import type { WorkOptions } from '../../progress.js';
import { requireRemedyFor } from '../steering-options.js';
import { controlVector } from './control-vector.js';
import { writeOnnxDirectory } from './onnx-directory.js';
import { ExportOptions } from './options.js';
import { steeredFile } from './steered-file.js';
import { torchHook } from './torch-hook.js';

export const EXPORT_FORMAT = 'moralscope.export';
const VERSION = 1;

/** What was made. */
export interface Exported {
  directory: string;
  /** Names of the files in it. */
  files: string[];
  model: string;
  /** What was changed in it, in one line. */
  summary: string;
}

/** What is to be written. */
export interface ExportRequest {
  readonly model: string;
  readonly checkpoint: Checkpoint;
  readonly mapping: DecoderMapping;
  /** None: the model as it is. */
  readonly interventions: readonly Intervention[];
  /** Null: an input of the graph. */
  readonly strength: number | null;
  readonly options: ExportOptions;
  readonly work: WorkOptions;
}

/** Writes files into a directory; gives their names. */
export type Write = (directory: string) => Promise<string[]>;

/** Looks whether it can say what is asked for, or throws `misuse`, before anything is written. */
export type Exporter = (request: ExportRequest) => Write;

const EXPORTERS: Readonly<Record<ExportOptions['format'], Exporter>> = {
  onnx:
    ({ checkpoint, interventions, strength, options, work }) =>
    (directory) =>
      writeOnnxDirectory(directory, checkpoint, { interventions, strength, precision: options.precision, ...work }),
  gguf: controlVector,
  'lm-eval': steeredFile,
  torch: torchHook,
};

/**
 * Writes a remedy in the form that other programs read: a whole model with the remedy inside (`onnx`), or what is changed alone.
 * @throws MoralscopeError what opening model and remedy throws; `misuse` for a remedy of another model, for what the format cannot say, and a
 * strength out of range, and for an `out` in the model's own directory; `disk`; `cancelled`
 */
export async function exportModel(given: z.input<typeof ExportOptions> & WorkOptions): Promise<Exported> {
  const { onProgress, signal, ...rest } = given;
  const options = parseOptions(ExportOptions, rest);
  const work = { onProgress, signal };
  checkOptions(options);
  const remedy = options.remedy === undefined ? undefined : await openRemedy(options.remedy);
  const interventions = remedy ? changesOf(remedy, options) : [];
  const { name, path } = await resolveModel(options.model, work);
  await requireElsewhere(options.out, path);
  const checkpoint = await openCheckpoint(path);
  try {
    const mapping = mapDecoder(checkpoint);
    const sha256 = await checkpoint.sha256();
    if (remedy) requireItsModel(remedy, { name, sha256, spec: mapping.spec, tokenizer: await checkpoint.tokenizer() });
    const { format, arm = REMEDY_ARM, precision } = options;
    const mode = interventions[0]?.change.mode ?? null;
    const strength = options.strengthInput ? null : (options.strength ?? 1);
    const write = EXPORTERS[format]({ model: name, checkpoint, mapping, interventions, strength, options, work });
    const directory = await ArtifactDirectory.open(options.out, {
      format: EXPORT_FORMAT,
      formatVersion: VERSION,
      seed: 0,
      options: { format, ...(remedy && { arm, mode, strength }), ...(format === 'onnx' && { precision }) },
      inputs: [
        { name: 'model', sha256 },
        ...(remedy ? [{ name: 'remedy', sha256: await sha256File(join(remedy.path, 'manifest.json')) }] : []),
      ],
    });
    try {
      const summary = remedy
        ? `${name} with ${arm === REMEDY_ARM ? '' : `${arm} of `}${remedy.path}: ${mode} at ${interventions.map(({ site }) => site).join(', ')}, strength ${strength ?? 'an input'}`
        : `${name} as it is`;
      const finished = directory.finished?.details.files as string[] | undefined;
      if (finished) return { directory: directory.path, files: finished, model: name, summary };
      const files = await write(directory.path);
      await directory.finish({ files, summary });
      return { directory: directory.path, files, model: name, summary };
    } finally {
      await directory.close();
    }
  } finally {
    await checkpoint.close();
  }
}

/** Throws `misuse` where the model's own directory would be written to. */
async function requireElsewhere(out: string, model: string): Promise<void> {
  if (out.trim() === '' || !(await stat(model)).isDirectory()) return;
  // A link to the directory is the directory, also where only the beginning of the path exists.
  let there = resolve(out);
  while (!existsSync(there)) there = dirname(there);
  const way = relative(await realpath(model), await realpath(there));
  if (way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) return;
  throw new MoralscopeError('misuse', `${out} lies in ${model}, the directory of the model itself.`, 'Choose another --out.');
}

function checkOptions(options: ExportOptions): void {
  const { format, remedy, positions, strength, strengthInput, precision } = options;
  const refuse = (what: string, fix: string) => new MoralscopeError('misuse', what, fix);
  if (positions !== undefined && positions !== 'all')
    throw refuse(
      `The positions ${positions} cannot be exported: other programs do not say which tokens are of the prompt.`,
      'Leave --positions out, or run the remedy here: moralscope serve.',
    );
  if (format !== 'onnx' && remedy === undefined) throw refuse(`${format} is what a remedy changes.`, 'Give --remedy.');
  requireRemedyFor(options);
  if (strengthInput && strength !== undefined)
    throw refuse('The strength is to be an input of the graph, and is not decided here.', 'Leave --strength out.');
  if (strengthInput && (format !== 'onnx' || remedy === undefined))
    throw refuse('Only a graph with a remedy inside has its strength as an input.', 'Leave --strength-input out.');
  if (format !== 'onnx' && precision !== 'fp32')
    throw refuse(`${format} holds none of the model's weights.`, 'Leave --precision out.');
}

function changesOf(remedy: Remedy, { arm, mode, strength = 1 }: ExportOptions): Intervention[] {
  const interventions = remedy.interventions({ arm, mode });
  if (interventions.length === 0)
    throw new MoralscopeError(
      'misuse',
      `${remedy.path} is a text, and changes nothing inside the model.`,
      'Put it into the prompt; remedy.json says where.',
    );
  for (const { change } of interventions) requireStrength(strength, change.mode);
  return interventions;
}

import { createRequire } from 'node:module';
import { cpus, totalmem } from 'node:os';
import { z } from 'zod';

/** What every artifact directory says about itself; written last, so that its presence means the directory is whole. */
export const Manifest = z.object({
  format: z.string(),
  formatVersion: z.number(),
  tool: z.object({ name: z.literal('moralscope'), version: z.string() }),
  seed: z.number(),
  /** The options that decide the content; the same options and inputs give the same content. */
  options: z.record(z.string(), z.unknown()),
  /** sha256 of everything that was read. */
  inputs: z.array(z.object({ name: z.string(), sha256: z.string() })),
  /** What this kind of artifact adds. */
  details: z.record(z.string(), z.unknown()),
  createdAt: z.string(),
  seconds: z.number(),
  machine: z.object({ cpu: z.string(), cores: z.number(), memoryGiB: z.number(), platform: z.string(), node: z.string() }),
});
export type Manifest = z.infer<typeof Manifest>;

const packageJson = createRequire(import.meta.url)('../../package.json') as { version: string };
export const TOOL = { name: 'moralscope', version: packageJson.version } as const;

export function machine(): Manifest['machine'] {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
  };
}

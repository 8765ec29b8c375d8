import { basename, join } from 'node:path';
import type { z } from 'zod';
import { GENERAL_SENTENCES } from '../activations/general-text.js';
import { checkTemplate, DEFAULT_TEMPLATE } from '../activations/template.js';
import { readTexts } from '../activations/text-file.js';
import { openRemedy, requireItsModel } from '../alignment/remedy.js';
import { ArtifactDirectory } from '../artifact/directory.js';
import { sha256, sha256File, writeFileAtomic } from '../artifact/files.js';
import { KeptWork } from '../artifact/kept-work.js';
import type { Manifest } from '../artifact/manifest.js';
import { readResult } from '../artifact/result.js';
import { MoralscopeError } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import type { Corpus } from '../moral/corpus.js';
import { readCorpus } from '../moral/read.js';
import type { WorkOptions } from '../progress.js';
import { Random } from '../random.js';
import { runOnOptions } from '../work-thread.js';
import { labelledLines, labelledPairs } from './labelled-files.js';
import { type LabelledTexts, labelledCorpus } from './labelled-texts.js';
import { Verification } from './schema.js';
import { findVerification } from './verification.js';
import { dealParts } from './verified-sets.js';
import { VerifyOptions } from './verify-options.js';

export const VERIFICATION_FORMAT = 'moralscope.verification';
const VERSION = 1;
const RESULT = 'verify.json';
/** What unfinished work keeps in the directory. */
const WORK = '.work';

export interface VerifiedRemedy {
  verification: Verification;
  manifest: Manifest;
  /** Where manifest.json and verify.json lie. */
  directory: string;
}

/**
 * Measures what a remedy does, beside every control it was made with (docs/paper.md section 8): what the model says before and after,
 * discrimination and bias apart; what is known there, and two floors; the gap closed; the damage on general text; its states diagnosed again;
 * one verdict. Writes manifest.json and verify.json to `out`; the same call again goes on where it stopped, or returns what is there.
 * @throws MoralscopeError `misuse` where remedy and model do not belong together, or no data set is given; `bad-data` for data sets with too few
 * texts; what the readers throw; `locked`, `disk`, `cancelled`
 */
export function verifyRemedy(options: z.input<typeof VerifyOptions> & WorkOptions): Promise<VerifiedRemedy> {
  return runOnOptions(new URL('./verify-thread.js', import.meta.url), VerifyOptions, options);
}

/** `verifyRemedy` in the thread that calls it, of options that are parsed. */
export async function verifyHere(options: VerifyOptions & WorkOptions): Promise<VerifiedRemedy> {
  const {
    onProgress,
    signal,
    threads,
    out,
    model: source,
    remedy: remedyPath,
    corpus,
    pairs,
    labelled,
    text,
    ...deciding
  } = options;
  const work = { onProgress, signal };
  const remedy = await openRemedy(remedyPath);
  const template = options.template ?? remedy.content.template ?? DEFAULT_TEMPLATE;
  checkTemplate(template);
  const { sets, corpora } = await readSets({ corpus, pairs, labelled }, signal);
  const parts = dealParts(sets, {
    remedy: remedy.content,
    fittedTexts: remedy.fittedTexts,
    maxTexts: options.maxTexts,
    seed: options.seed,
  });
  const general = await generalTexts(options);
  const model = await LanguageModel.open(source, { threads, ...work });
  try {
    requireItsModel(remedy, model);
    const remedySha256 = await sha256File(join(remedy.path, 'manifest.json'), signal);
    const directory = await ArtifactDirectory.open(out, {
      format: VERIFICATION_FORMAT,
      formatVersion: VERSION,
      seed: options.seed,
      options: { ...deciding, strengths: [...deciding.strengths], template },
      inputs: [
        { name: 'model', sha256: model.sha256 },
        { name: 'remedy', sha256: remedySha256 },
        ...sets.map((set) => ({ name: set.name, sha256: set.sha256 })),
        { name: 'general text', sha256: sha256(JSON.stringify(general.texts)) },
      ],
    });
    const result = directory.file(RESULT);
    const kept = new KeptWork(directory.file(WORK));
    try {
      if (directory.finished) {
        const verification = await readResult(result, Verification);
        await kept.remove();
        return { verification, manifest: directory.finished, directory: directory.path };
      }
      const verification = await findVerification({
        model,
        remedy,
        remedySha256,
        template,
        sets: parts,
        corpora,
        general,
        options,
        activations: (name) => join(directory.file(WORK), name),
        kept,
      });
      await writeFileAtomic(result, `${JSON.stringify(Verification.parse(verification), null, 1)}\n`);
      const manifest = await directory.finish({ verdict: verification.verdict });
      await kept.remove();
      return { verification, manifest, directory: directory.path };
    } finally {
      await directory.close();
    }
  } finally {
    await model.close();
  }
}

async function readSets(
  { corpus, pairs, labelled }: Pick<VerifyOptions, 'corpus' | 'pairs' | 'labelled'>,
  signal: AbortSignal | undefined,
): Promise<{ sets: LabelledTexts[]; corpora: Map<string, Corpus> }> {
  const sets: LabelledTexts[] = [];
  const corpora = new Map<string, Corpus>();
  for (const path of corpus) {
    const read = await readCorpus(path);
    corpora.set(read.sha256, read);
    sets.push(labelledCorpus(read));
  }
  for (const path of pairs) sets.push(await labelledPairs(path));
  for (const path of labelled) sets.push(await labelledLines(path, signal));
  if (sets.length === 0)
    throw new MoralscopeError(
      'misuse',
      'There is nothing to judge the remedy on.',
      'Give --corpus, --pairs or --labelled, best one that it was not fitted on.',
    );
  const repeated = sets.find(({ sha256: own }, i) => sets.findIndex((other) => other.sha256 === own) < i);
  if (repeated) throw new MoralscopeError('misuse', `${repeated.name} is given twice.`, 'Give every data set once.');
  return { sets, corpora };
}

/** General text: the file's, or our sentences; of more than enough a random sample. */
async function generalTexts({
  text,
  maxGeneral,
  seed,
  onProgress,
  signal,
}: VerifyOptions & WorkOptions): Promise<{ source: string; texts: readonly string[] }> {
  const source = text === undefined ? '64 general sentences' : basename(text);
  const texts = text === undefined ? GENERAL_SENTENCES : await readTexts(text, { onProgress, signal });
  if (texts.length <= maxGeneral) return { source, texts };
  const chosen = new Random(seed, 'general text').permutation(texts.length).slice(0, maxGeneral).sort();
  return { source: `${maxGeneral} texts of ${source}`, texts: Array.from(chosen, (i) => texts[i]) };
}

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TOOL } from '../artifact/manifest.js';
import type { CacheEntry } from '../checkpoint/cache.js';
import { writeActivations } from '../diagnosis/planted.test.support.js';
import { readCorpus } from '../moral/read.js';

/** @file The command line as a user meets it: real processes, the compiled program, a cache of its own. */

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const MODEL = fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url));
let root: string;
let corpus: string;

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function start(...args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  const env = { ...inherited, MORALSCOPE_CACHE: join(root, 'cache'), MORALSCOPE_OFFLINE: '1' };
  const child = spawn(process.execPath, [MAIN, ...args], { env, cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    texts[0] += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    texts[1] += text;
  });
  const ended = new Promise<Ended>((done) => {
    child.on('close', (code) => done({ code, stdout: texts[0], stderr: texts[1] }));
  });
  return { child, ended };
}

const run = (...args: string[]) => start(...args).ended;
const lines = (from: string[], every: number) => from.filter((_, i) => i % every === 0);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'cli-'));
  const [header, ...rows] = (await readFile(new URL('../../corpora/starter.tsv', import.meta.url), 'utf8')).trimEnd().split('\n');
  await writeFile(join(root, 'actions.tsv'), `${[header, ...lines(rows, 12)].join('\n')}\n`);
  const broken = lines(rows, 12);
  broken[6] = broken[6].split('\t').with(header.split('\t').indexOf('action-agree'), '7').join('\t');
  await writeFile(join(root, 'broken.tsv'), `${[header, ...broken].join('\n')}\n`);
  corpus = join(root, 'corpus');
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('help', () => {
  const COMMANDS: Record<string, string[]> = {
    demo: ['--permutations', '--bootstraps', '--seed', '--out'],
    models: [],
    pull: ['--offline', 'name'],
    'cache ls': [],
    'cache rm': ['entry'],
    'cache verify': ['entry'],
    'corpus build': ['--from', '--out', '--name', '--seed'],
    'corpus stats': ['dir'],
    capture: '--model --corpus --texts --out --layers --pool --site --template --precision --seed --threads'.split(' '),
    diagnose:
      '--model --corpus --out --activations --layers --template --precision --pool --permutations --bootstraps --seed'.split(' '),
    features:
      '--sae --activations --corpus --out --model --features --top --level --min-effect --cross-fit --permutations --seed'.split(
        ' ',
      ),
    generate: '--prompts --out --model --remedy --arm --mode --positions --strength --max-tokens --temperature --seed'.split(' '),
    chat: '--model --remedy --arm --mode --positions --strength --system --compare --max-tokens --temperature'.split(' '),
    serve: '--model --remedy --mode --positions --strength --host --port --api-key-env --max-batch --max-queue --precision'.split(
      ' ',
    ),
    'sae convert': ['sae', '--to', '--out', '--k', '--site', '--activation-scale'],
  };

  test('of every command lists its flags, on stdout, with exit 0', async () => {
    const helps = await Promise.all(
      Object.entries(COMMANDS).map(async ([name, flags]) => ({ name, flags, ...(await run(...name.split(' '), '--help')) })),
    );
    for (const { name, flags, code, stdout, stderr } of helps) {
      expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: '' });
      expect(stdout).toContain(`Usage: moralscope ${name}`);
      for (const flag of [...flags, '--json']) expect(stdout).toContain(flag);
    }
  });

  test('of the program lists the commands; its version is that of the package', async () => {
    const [help, version, nothing] = await Promise.all([run('--help'), run('--version'), run()]);
    expect(help.code).toBe(0);
    for (const name of [
      'demo',
      'models',
      'pull',
      'cache',
      'corpus',
      'capture',
      'diagnose',
      'sae',
      'features',
      'generate',
      'chat',
      'serve',
    ])
      expect(help.stdout).toMatch(new RegExp(`^  ${name}`, 'm'));
    expect(version).toEqual({ code: 0, stdout: `${TOOL.version}\n`, stderr: '' });
    expect(nothing).toMatchObject({ code: 2, stdout: '' });
    expect(nothing.stderr).toContain('Usage:');
  });
});

describe("a user's mistakes", () => {
  test.each([
    ['an unknown command', ['diagnos'], 2, /diagnose/],
    ['an unknown flag', ['capture', '--model', 'm', '--out', 'o', '--layer', '3'], 2, /--layers/],
    ['a mandatory flag left out', ['diagnose', '--out', 'o'], 2, /--corpus/],
    ['an argument left out', ['pull'], 2, /name/],
    ['an autoencoder that is not there', ['sae', 'convert', 'none', '--out', 'o'], 1, /none does not exist/],
    ['a format that is not written', ['sae', 'convert', 'a', '--to', 'qwen-scope', '--out', 'o'], 2, /saelens, sparsify/],
    ['an argument too many', ['corpus', 'stats', 'a', 'b'], 2, /too many/i],
    ['a value out of range', ['demo', '--permutations', '10'], 2, /^moralscope: --permutations: /],
    ['neither corpus nor texts', ['capture', '--model', 'm', '--out', 'o'], 2, /--corpus or --texts/],
    ['corpus and texts', ['capture', '--model', 'm', '--out', 'o', '--corpus', 'c', '--texts', 't'], 2, /either/],
    ['neither model nor activations', ['diagnose', '--corpus', 'starter', '--out', 'o'], 2, /--model, or --activations/],
    ['a model nobody knows', ['capture', '--model', 'smollm-135m', '--texts', 'actions.tsv', '--out', 'o'], 1, /smollm2-135m/],
    ['a model that is not there', ['pull', 'smollm2-135m'], 1, /not in the cache/],
    ['a corpus nobody knows', ['diagnose', '--model', MODEL, '--corpus', 'startr', '--out', 'o'], 1, /Did you mean starter/],
    [
      'a data set that is not there',
      ['diagnose', '--model', MODEL, '--corpus', 'social-chem-101', '--out', 'o'],
      1,
      /not in the cache/,
    ],
    [
      'a table where a corpus directory is meant',
      ['capture', '--model', MODEL, '--corpus', 'actions.tsv', '--out', 'o'],
      1,
      /corpus build --from actions\.tsv/,
    ],
    [
      'the name of a corpus where its directory is meant',
      ['corpus', 'stats', 'starter'],
      1,
      /does not exist.*\n.*corpus build --from starter/,
    ],
    ['an --out without a name', ['corpus', 'build', '--from', 'actions.tsv', '--out', ''], 2, /--out a name/],
    ['an --out with files of others', ['corpus', 'build', '--from', 'actions.tsv', '--out', '.'], 2, /it holds .*\.tsv/],
    ['a directory that is no corpus', ['corpus', 'stats', '.'], 1, /manifest\.json/],
    [
      'a layer the model lacks',
      ['capture', '--model', MODEL, '--texts', 'actions.tsv', '--out', 'o', '--layers', '7'],
      2,
      /only 0 to 1/,
    ],
    ...[
      ['generate', '--prompts', 'p', '--out', 'o', '--positions', 'prompt'],
      ['chat', '--arm', 'foo'],
      ['serve', '--layers', '3'],
      ['export', '--out', 'o', '--strength', '0.5'],
    ].map((args): [string, string[], number, RegExp] => [
      `${args[0]} ${args.at(-2)} without a remedy`,
      [...args, '--mode', 'delta', '--model', MODEL],
      2,
      new RegExp(`no remedy for .*(${args.at(-2)}.*--mode|--mode.*${args.at(-2)})[^]*--remedy`),
    ]),
    ['a cache entry that is not there', ['cache', 'rm', 'models/none'], 1, /models\/none/],
  ])('%s', async (_, args, status, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at |node:internal|defect/m);
    expect({ code, stdout }).toEqual({ code: status, stdout: '' });
  });

  test('a wrong value in a table: file, line and column, no stack', async () => {
    const { code, stdout, stderr } = await run('corpus', 'build', '--from', 'broken.tsv', '--out', 'never');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/broken\.tsv/);
    expect(stderr).toMatch(/line 8\b/);
    expect(stderr).toMatch(/action-agree/);
    expect(stderr).toMatch(/\b7\b/);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(existsSync(join(root, 'never', 'manifest.json'))).toBe(false);
  });
});

describe('corpora and captures', () => {
  test('corpus build, stats, capture, cache: results on stdout, progress on stderr, JSON that parses', async () => {
    const built = await run('corpus', 'build', '--from', 'actions.tsv', '--out', corpus, '--name', 'some actions');
    expect(built.code).toBe(0);
    expect(built.stdout).toContain('some actions');
    expect(built.stderr).toContain('Building the corpus');
    expect(built.stdout).not.toContain('█');
    const [stats, text] = await Promise.all([run('corpus', 'stats', corpus, '--json'), run('corpus', 'stats', corpus)]);
    expect([stats.code, text.code]).toEqual([0, 0]);
    expect(text.stdout).toBe(built.stdout);
    expect(JSON.parse(stats.stdout)).toMatchObject({ name: 'some actions' });

    const captured = await run(
      'capture',
      '--model',
      MODEL,
      '--corpus',
      corpus,
      '--out',
      'captured',
      '--layers',
      '1',
      '--pool',
      'last',
      '--json',
    );
    expect({ code: captured.code, stderr: captured.stderr.includes('capture  ████') }).toEqual({ code: 0, stderr: true });
    const details = JSON.parse(captured.stdout);
    expect(details).toMatchObject({
      directory: join(root, 'captured'),
      layers: [1],
      poolings: ['last'],
      corpus: { name: 'some actions' },
    });
    const again = await run(
      'capture',
      '--model',
      MODEL,
      '--corpus',
      corpus,
      '--out',
      'captured',
      '--layers',
      '1',
      '--pool',
      'last',
    );
    expect(again.code).toBe(0);
    expect(again.stdout).toContain(`${details.rows} texts`);

    const [listed, json] = await Promise.all([run('cache', 'ls'), run('cache', 'ls', '--json')]);
    expect(listed.stdout.split('\n')[0]).toBe(join(root, 'cache'));
    const [entry] = JSON.parse(json.stdout) as Required<CacheEntry>[];
    expect(entry.id).toMatch(/^graphs\//);
    expect(listed.stdout).toContain(entry.id);
    expect((await run('cache', 'verify')).stdout).toMatch(/^sound/);
    // A faulty graph, beside a download that was cut: the one is told, and the other left to be gone on with.
    await writeFile(join(entry.path, entry.record.files[0].name), 'other');
    const cut = join(root, 'cache', 'models', 'smollm2-135m');
    await mkdir(join(cut, '.work'), { recursive: true });
    await writeFile(join(cut, '.work', 'weights.part'), 'half');
    const [verified, verifiedJson] = await Promise.all([run('cache', 'verify'), run('cache', 'verify', '--json')]);
    expect([verified.code, verifiedJson.code]).toEqual([1, 1]);
    expect(verified.stdout).toContain(`FAULTY  ${entry.id}`);
    expect(verified.stdout).toMatch(/^unfinished {2}models\/smollm2-135m: the same pull goes on with it$/m);
    expect(verified.stdout).toContain(`cache rm ${entry.id}: graphs are compiled again`);
    expect(verified.stdout).not.toContain('pull again');
    expect(JSON.parse(verifiedJson.stdout)).toMatchObject([
      { entry: { id: entry.id }, unfinished: false, faults: [expect.stringContaining('has 5 bytes')] },
      { entry: { id: 'models/smollm2-135m' }, unfinished: true, faults: [] },
    ]);
    expect((await run('cache', 'verify', 'models/smollm2-135m')).code).toBe(0);
    await rm(cut, { recursive: true });
    expect((await run('cache', 'rm', entry.id)).stdout).toContain(`removed ${entry.id}`);
    expect(JSON.parse((await run('cache', 'ls', '--json')).stdout)).toEqual([]);
  });

  test('a reader that closes the pipe early is no defect', async () => {
    const { child, ended } = start('corpus', 'stats', corpus, '--json');
    child.stdout!.destroy();
    const { code, stderr } = await ended;
    expect(code).toBe(0);
    expect(stderr).not.toMatch(/EPIPE|^\s+at |defect/m);
  });
});

test('sae convert: a file of Qwen-Scope, into a directory of SAELens', async () => {
  const from = fileURLToPath(new URL('../../fixtures/sae/SAE-Res-Tiny-Base-W1K-L0_50/layer4.sae.pt', import.meta.url));
  const done = await run('sae', 'convert', from, '--out', 'sae');
  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(done.stdout).toBe('sae: topk, 1024 latents of 4 channels at blocks.4.hook_resid_post, as saelens\n');
  const again = await run('sae', 'convert', 'sae', '--to', 'sparsify', '--out', 'back', '--json');
  // A topk autoencoder that leaves b_dec out of the encoder is not for sparsify.
  expect(again).toMatchObject({ code: 1, stdout: '' });
  expect(again.stderr).toContain('sparsify has none that leave b_dec out');
  const json = await run('sae', 'convert', from, '--out', 'sae', '--json');
  expect(JSON.parse(json.stdout)).toMatchObject({ directory: 'sae', from: 'qwen-scope', k: 50, modelName: 'Qwen/Tiny-Base' });
  expect((await readdir(join(root, 'sae'))).sort()).toEqual(['cfg.json', 'manifest.json', 'sae_weights.safetensors']);
});

describe('Ctrl-C', () => {
  const locks = (dir: string) => readdirSync(dir, { recursive: true }).filter((path) => String(path).endsWith('.lock'));

  async function interrupt({ child, ended }: ReturnType<typeof start>, when: () => boolean): Promise<Ended> {
    let over = false;
    void ended.then(() => {
      over = true;
    });
    while (!over && !when()) await sleep(5);
    child.kill('SIGINT');
    return ended;
  }

  test('during a capture: stops, says how to go on, leaves no lock; the rerun completes', async () => {
    const texts = Array.from(
      { length: 8_000 },
      (_, i) => `eat on the road to ${i.toString(2).replaceAll('0', ' so').replaceAll('1', ' he')}`,
    );
    await writeFile(join(root, 'many.txt'), texts.join('\n'));
    const args = ['capture', '--model', MODEL, '--texts', 'many.txt', '--out', 'stopped', '--pool', 'last'];
    const stopped = await interrupt(start(...args), () => existsSync(join(root, 'stopped', 'calibration.json')));
    expect(stopped).toMatchObject({ code: 1, stdout: '' });
    expect(stopped.stderr).toContain('Run the same command again');
    expect(stopped.stderr).not.toMatch(/^\s+at |defect/m);
    expect(locks(join(root, 'stopped'))).toEqual([]);
    expect(existsSync(join(root, 'stopped', 'manifest.json'))).toBe(false);
    const rerun = await run(...args, '--json');
    expect(rerun.code).toBe(0);
    expect(JSON.parse(rerun.stdout).rows).toBe(8_000);
  });

  test('during a diagnosis: the same, and what was done is not done again', async () => {
    const activations = join(root, 'planted');
    const layers = Array.from({ length: 4 }, (_, layer) => ({ valence: 2 * layer }));
    await writeActivations(activations, { corpus: await readCorpus(corpus), seed: 1, layers, readout: 1 });
    const args = ['diagnose', '--corpus', corpus, '--activations', activations, '--out', 'diagnosed', '--bootstraps', '100'];
    const kept = join(root, 'diagnosed', '.layers');
    const finished = () => (existsSync(kept) ? readdirSync(kept).filter((name) => name.endsWith('.v8')) : []);
    const stopped = await interrupt(start(...args), () => finished().length >= 2);
    expect(stopped).toMatchObject({ code: 1, stdout: '' });
    expect(stopped.stderr).toContain('Run the same command again');
    expect(stopped.stderr).not.toMatch(/^\s+at |defect/m);
    expect(locks(join(root, 'diagnosed'))).toEqual([]);
    expect(finished().length).toBeGreaterThanOrEqual(2);
    const rerun = await run(...args);
    expect(rerun.code).toBe(0);
    expect(rerun.stderr).toContain('12 / 12 layers');
    expect(rerun.stdout).toMatch(/^planted on some actions: \d+ texts/);
    for (const analysis of ['categorical', 'gradient', 'structural', 'dimensional', 'readout'])
      expect(rerun.stdout).toMatch(new RegExp(`^${analysis} +\\S`, 'm'));
    expect(rerun.stdout).toContain(`Report: ${join(root, 'diagnosed', 'report.html')}`);
    expect((await readdir(join(root, 'diagnosed'))).sort()).toEqual(['diagnosis.json', 'manifest.json', 'report.html']);
  });
});

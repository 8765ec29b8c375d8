import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MoralscopeError } from '../errors.js';
import { Random } from '../random.js';
import { openGguf } from './gguf.js';
import { tokenizerFromGguf } from './gguf-tokenizer.js';
import { realWeights, weightsInCache } from './real-weights.test.support.js';
import type { Tokenizer } from './tokenizer.js';
import { tokenizerFromDirectory } from './tokenizer-directory.js';
import { tokenizerFiles } from './tokenizer-files.js';
import { tokenizerStrings } from './tokenizer-strings.test.support.js';

interface Golden {
  /** Of all strings, a zero between two. */
  strings: string;
  tokenizers: Record<
    string,
    {
      bos?: number | null;
      eos?: number | null;
      pad?: number | null;
      size?: number;
      /** Of each string's number of ids and ids, as 32-bit integers. */
      ids: string;
      /** Of the ids' texts, a zero between two. */
      texts: string;
      /** One byte a string, so that a wrong one can be named. */
      hashes: string;
    }
  >;
}

const golden = JSON.parse(
  gunzipSync(await readFile(new URL('../../fixtures/tokenizer-ids.golden.json.gz', import.meta.url))).toString(),
) as Golden;
const small = fileURLToPath(new URL('../../fixtures/tokenizers', import.meta.url));
const [smollm2, gemma3] = [await realWeights('smollm2-135m'), await weightsInCache('gemma3-270m')];
const strings = await tokenizerStrings();

async function open(path: string, pre?: string): Promise<Tokenizer> {
  if (!path.endsWith('.gguf')) return tokenizerFromDirectory(path);
  const { metadata, tensors } = await openGguf(path);
  await tensors.close();
  return tokenizerFromGguf({ ...metadata, ...(pre !== undefined && { 'tokenizer.ggml.pre': pre }) }, path);
}

/** The tokenizer of a file or directory, read again from what it is written as. */
async function written(path: string, pre?: string): Promise<Tokenizer> {
  const format = path.endsWith('.gguf') ? 'gguf' : 'safetensors';
  const { metadata = {}, tensors } = format === 'gguf' ? await openGguf(path) : {};
  await tensors?.close();
  const said = { ...metadata, ...(pre !== undefined && { 'tokenizer.ggml.pre': pre }) };
  const dir = await mkdtemp(join(tmpdir(), 'moralscope-tokenizer-'));
  try {
    const files = await tokenizerFiles({ format, path, metadata: said }, 2048);
    for (const [name, content] of Object.entries(files)) await writeFile(join(dir, name), content);
    return await tokenizerFromDirectory(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

const sha256 = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex');

function fold(ids: ArrayLike<number>): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < ids.length; i++) h = Math.imul(h ^ ids[i]!, 0x01000193) >>> 0;
  return (h ^ (h >>> 8) ^ (h >>> 16) ^ (h >>> 24)) & 0xff;
}

function expectSame(tokenizer: Tokenizer, name: string): void {
  const { bos, eos, pad, size, ids, texts } = golden.tokenizers[name]!;
  const encoded = expectSameIds(tokenizer, name);
  const all = Int32Array.from(encoded.flatMap((row) => [row.length, ...row]));
  expect(sha256(new Uint8Array(all.buffer))).toBe(ids);
  expect(sha256(encoded.map((row) => tokenizer.decode(row)).join('\0'))).toBe(texts);
  if (size === undefined) return;
  expect(tokenizer).toMatchObject({ vocabularySize: size });
  expect([tokenizer.bosId ?? null, tokenizer.eosId ?? null, tokenizer.padId ?? null]).toEqual([bos, eos, pad]);
}

/** @param step one string of so many @returns their ids */
function expectSameIds(tokenizer: Tokenizer, name: string, step = 1): Int32Array[] {
  const expected = Buffer.from(golden.tokenizers[name]!.hashes, 'base64').filter((_, i) => i % step === 0);
  const some = strings.filter((_, i) => i % step === 0);
  const encoded = some.map((text) => tokenizer.encode(text));
  expect(encoded.length).toBe(expected.length);
  const wrong = some.flatMap((text, i) => (fold(encoded[i]!) === expected[i] ? [] : [{ text, ours: encoded[i] }]));
  expect(wrong).toEqual([]);
  return encoded;
}

describe('ids and texts of 10,000 strings are those of transformers', () => {
  test('the strings are those that it was given', () => {
    expect(sha256(strings.join('\0'))).toBe(golden.strings);
  });

  test.each(Object.keys(golden.tokenizers).filter((name) => !/^(?:smollm2|gemma3)/.test(name)))('%s', async (name) => {
    const [file, pre] = name.split(' as ');
    expectSame(await open(join(small, file!), pre), name);
  });

  test.skipIf(!smollm2)('SmolLM2, from its GGUF, with every digit apart as it was trained', async () => {
    const tokenizer = await open(smollm2!.path);
    expectSame(tokenizer, 'smollm2');
    expect(tokenizer.chatTemplate).toMatch(/^{% for message in messages %}/);
    expect(tokenizer.idOf('<|im_end|>')).toBe(2);
    expect(tokenizer.singleTokenId(' good')).toBe(tokenizer.idOf('Ġgood'));
    expect(tokenizer.singleTokenId('xylophone')).toBeUndefined();
  });

  test.skipIf(!smollm2)('SmolLM2, from its GGUF: but for the digits as transformers reads it', async () => {
    expectSame(await open(smollm2!.path, 'gpt-2'), 'smollm2 as transformers reads it');
  });

  test.skipIf(!gemma3)('Gemma 3, from its GGUF', async () => {
    expectSame(await open(gemma3!.path), 'gemma3');
  });
});

describe('a tokenizer written as tokenizer.json gives the same ids', () => {
  const without = Object.keys(golden.tokenizers).filter((name) => /^(?:[\w-]+\.gguf|[\w-]+-(?:files?|model)\b)/.test(name));

  test('of every kind that comes in another file', () => expect(without).toHaveLength(14));

  test.each(without)('%s', async (name) => {
    const [file, pre] = name.split(' as ');
    expectSameIds(await written(join(small, file!), pre), name, 11);
  });

  test.skipIf(!smollm2)('SmolLM2, with its chat template and a token to fill up with', async () => {
    const tokenizer = await written(smollm2!.path);
    expectSameIds(tokenizer, 'smollm2', 11);
    expect(tokenizer.chatTemplate).toMatch(/^{% for message in messages %}/);
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([1, 2, 2]);
  });

  test.skipIf(!gemma3)('Gemma 3', async () => {
    expectSameIds(await written(gemma3!.path), 'gemma3', 11);
  });

  test('but one that is there already stays as it is, and takes in a template that lay beside it', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'moralscope-tokenizer-'));
    await cp(join(small, 'metaspace'), dir, { recursive: true });
    await writeFile(join(dir, 'chat_template.jinja'), '{{ messages }}');
    const files = await tokenizerFiles({ format: 'safetensors', path: dir, metadata: {} }, 2048);
    expect(files['tokenizer.json']).toBe(await readFile(join(dir, 'tokenizer.json'), 'utf8'));
    const config = JSON.parse(await readFile(join(dir, 'tokenizer_config.json'), 'utf8'));
    expect(JSON.parse(files['tokenizer_config.json']!)).toEqual({ ...config, chat_template: '{{ messages }}' });
    await rm(dir, { recursive: true });
  });
});

describe('a tokenizer', () => {
  test('leaves special tokens out, and cuts texts without losing them', async () => {
    const tokenizer = await open(join(small, 'metaspace'));
    const [bos, eos] = [tokenizer.bosId!, tokenizer.eosId!];
    const body = Array.from(tokenizer.encode('a good deed', { addSpecialTokens: false }));
    expect(Array.from(tokenizer.encode('a good deed'))).toEqual([bos, ...body, eos]);
    expect(Array.from(tokenizer.encode('a good deed', { maxLength: 4 }))).toEqual([bos, ...body.slice(0, 2), eos]);
    expect(Array.from(tokenizer.encode('a good deed', { addSpecialTokens: false, maxLength: 2 }))).toEqual(body.slice(0, 2));
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.encode('')).toEqual(Int32Array.of(bos, eos));
  });

  test('decodes bytes that are no text', async () => {
    const tokenizer = await open(join(small, 'sentencepiece.gguf'));
    const bytes = ['<0xE2>', '<0x82>', '<0x41>'].map((piece) => tokenizer.idOf(piece)!);
    expect(tokenizer.decode(bytes)).toBe('\ufffd\ufffd\ufffd');
  });

  test('reads the chat template from the configuration or from its own file', async () => {
    expect((await open(join(small, 'digits'))).chatTemplate).toBe("{{ messages[0]['content'] }}");
    const copy = join(dir, 'template');
    await cp(join(small, 'digits'), copy, { recursive: true });
    await writeFile(join(copy, 'chat_template.jinja'), '{{ bos_token }}');
    expect((await open(copy)).chatTemplate).toBe('{{ bos_token }}');
  });
});

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tokenizer-'));
});
afterAll(() => rm(dir, { recursive: true }));

describe('what cannot be a tokenizer is refused', () => {
  const sound = { 'general.architecture': 'llama', 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.tokens': ['a', 'b', 'ab'] };
  const merges = { 'tokenizer.ggml.merges': ['a b'] };
  const cases: [string, Record<string, unknown>, string, RegExp][] = [
    ['another kind', { ...sound, 'tokenizer.ggml.model': 'rwkv' }, 'unsupported', /of the kind "rwkv"/],
    [
      'an unknown splitting',
      { ...sound, ...merges, 'tokenizer.ggml.pre': 'toString' },
      'unsupported',
      /pre-tokenizer "toString"/,
    ],
    ['no tokens', { 'tokenizer.ggml.model': 'gpt2' }, 'bad-file', /tokens is missing/],
    [
      'tokens that are numbers',
      { ...sound, 'tokenizer.ggml.tokens': Int32Array.of(1) },
      'bad-file',
      /tokens is not an array of texts/,
    ],
    ['no merges', sound, 'bad-file', /merges is missing/],
    ['a merge of three', { ...sound, 'tokenizer.ggml.merges': ['a b c'] }, 'bad-file', /holds "a b c"/],
    [
      'too few types',
      { ...sound, ...merges, 'tokenizer.ggml.token_type': Int32Array.of(1) },
      'bad-file',
      /token_type has 1 items for 3/,
    ],
    [
      'a special id beyond',
      { ...sound, ...merges, 'tokenizer.ggml.bos_token_id': 3 },
      'bad-file',
      /bos_token_id is 3, but ids run from 0 to 2/,
    ],
    ['a flag that is none', { ...sound, ...merges, 'tokenizer.ggml.add_bos_token': 1 }, 'bad-file', /add_bos_token is number/],
    ['no scores', { ...sound, 'tokenizer.ggml.model': 'llama' }, 'bad-file', /scores is missing/],
  ];
  test.each(cases)('%s', (_, metadata, code, message) => {
    let error: unknown;
    try {
      tokenizerFromGguf(metadata, 'model.gguf');
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(MoralscopeError);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('an entry that no number holds does no harm', () => {
    const hash = (x: unknown) => tokenizerFromGguf({ ...sound, ...merges, 'tokenizer.ggml.x': x }, 'model.gguf').sha256;
    expect(hash(2n ** 60n)).not.toBe(hash(2n ** 60n + 1n));
  });

  test.each([
    ['{', /not JSON/],
    ['[]', /tokenizer\.json: the whole/],
    ['{"model": {"type": "BPE"}}', /cannot be used/],
    ['{"model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": [{"id": -1}]}', /added_tokens\.0/],
    ['{"model": {"type": "BPE", "vocab": {}, "merges": []}, "pre_tokenizer": {"type": "Nonsense"}}', /Nonsense/],
  ])('tokenizer.json: %s', async (source, message) => {
    await writeFile(join(dir, 'tokenizer.json'), source);
    await expect(tokenizerFromDirectory(dir)).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringMatching(message),
    });
  });

  test('a directory without tokenizer.json', async () => {
    await expect(tokenizerFromDirectory(tmpdir())).rejects.toMatchObject({ code: 'unsupported' });
  });

  describe('files of other kinds', () => {
    const write = async (name: string, files: Record<string, string | Uint8Array>) => {
      const path = join(dir, name);
      await mkdir(path, { recursive: true });
      for (const [file, content] of Object.entries(files)) await writeFile(join(path, file), content);
      return path;
    };

    test.each([
      [
        'a class with ids of its own',
        { 'tokenizer_config.json': '{"tokenizer_class":"XLMRobertaTokenizerFast"}' },
        'unsupported',
        /XLMRobertaTokenizer is not read/,
      ],
      ['no model at all', { 'tokenizer.model': 'neither' }, 'bad-file', /tokenizer\.model cannot be read/],
      ['an empty model', { 'tokenizer.model': '' }, 'bad-file', /holds no pieces/],
      ['a damaged line of tiktoken', { 'tokenizer.model': 'YQ== 0\nYg== x\n' }, 'bad-file', /"Yg== x" is no token/],
    ] as [string, Record<string, string>, string, RegExp][])('%s', async (name, files, code, message) => {
      const model = await readFile(join(small, 'unigram-model', 'tokenizer.model'));
      const path = await write(name, { 'tokenizer.model': model, ...files });
      await expect(tokenizerFromDirectory(path)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    });

    test('what is there but not read is named', async () => {
      const path = await write('tekken', { 'tekken.json': '{}' });
      await expect(tokenizerFromDirectory(path)).rejects.toMatchObject({
        message: expect.stringMatching(/tekken\.json is not read/),
      });
    });

    test('merges that are none', async () => {
      const path = await write('gpt2', { 'vocab.json': '{"a":0,"b":1,"ab":2}', 'merges.txt': '#version: 0.2\na b\nab\n' });
      await expect(tokenizerFromDirectory(path)).rejects.toMatchObject({
        code: 'bad-file',
        message: expect.stringMatching(/"ab" is no pair/),
      });
    });

    test('500 mutations of a SentencePiece file give a tokenizer or an error of ours', async () => {
      const source = await readFile(join(small, 'llama2-model', 'tokenizer.model'));
      const random = new Random(5);
      const path = await write('mutated', {});
      for (let i = 0; i < 500; i++) {
        const mutated = Uint8Array.from(i % 5 ? source : source.subarray(0, random.below(source.length)));
        // The settings stand at the end.
        const near = i % 2 ? mutated.length : 400;
        for (let j = 0; j <= random.below(3); j++)
          mutated[Math.max(0, mutated.length - 1 - random.below(near))] = random.below(256);
        await writeFile(join(path, 'tokenizer.model'), mutated);
        const tokenizer = await tokenizerFromDirectory(path).catch((error: unknown) => {
          if (!(error instanceof MoralscopeError)) throw error;
        });
        tokenizer?.encode('Any text 12 will do.');
      }
    });
  });

  test('500 mutations of a tokenizer.json give a tokenizer or an error of ours', async () => {
    const source = await readFile(join(small, 'digits', 'tokenizer.json'), 'utf8');
    const random = new Random(3);
    for (let i = 0; i < 500; i++) {
      const at = random.below(i % 2 ? 2000 : source.length);
      const mutated =
        i % 3 ? source.slice(0, at) + '"[]{}:,0x '[random.below(10)] + source.slice(at + random.below(3)) : source.slice(0, at);
      await writeFile(join(dir, 'tokenizer.json'), mutated);
      const tokenizer = await tokenizerFromDirectory(dir).catch((error: unknown) => {
        if (!(error instanceof MoralscopeError)) throw error;
      });
      tokenizer?.encode('Any text 12 \ud800 will do.');
    }
  });
});

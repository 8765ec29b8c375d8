import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { buildCorpus } from './build.js';
import { readCorpus } from './read.js';
import { directory, failure, file, fresh, GOOD, HEADER, table } from './tables.test.support.js';

describe('bad input', () => {
  test.each([
    [
      'a missing column',
      'action\trot-moral-foundations\tmoral-judgment\taction-agree\nx\tcare-harm\t1\t1\n',
      'bad-file',
      /t\.tsv has no column action-moral-judgment; its columns are action, rot-moral/,
      /moral-judgment\?/,
    ],
    [
      'agreement missing',
      'action\trot-moral-foundations\taction-moral-judgment\nx\tcare-harm\t1\n',
      'bad-file',
      /no column action-agree/,
      undefined,
    ],
    ['two columns of one name', `${HEADER}\tM\n${GOOD}\t1\n`, 'bad-file', /line 1: two columns are named M/, undefined],
    ['a column without a name', `${HEADER}\t\n${GOOD}\t1\n`, 'bad-file', /line 1: column 7 has no name/, undefined],
    [
      'judgment out of range',
      table(GOOD, 'x\tcare-harm\t3\t3\t0\t1'),
      'bad-data',
      /t\.tsv line 3: action-moral-judgment is "3", which must be one of -2, -1, 0, 1, 2/,
      undefined,
    ],
    [
      'judgment with a fraction',
      table(GOOD, 'x\tcare-harm\t0.5\t3\t0\t1'),
      'bad-data',
      /line 3: action-moral-judgment is "0.5"/,
      undefined,
    ],
    ['judgment in words', table('x\tcare-harm\tgood\t3\t0\t1'), 'bad-data', /line 2: action-moral-judgment is "good"/, undefined],
    [
      'agreement out of range',
      table(GOOD, GOOD, 'x\tcare-harm\t1\t5\t0\t1'),
      'bad-data',
      /line 4: action-agree is "5"/,
      undefined,
    ],
    ['agreement with a fraction', table('x\tcare-harm\t1\t2.5\t0\t1'), 'bad-data', /line 2: action-agree is "2.5"/, undefined],
    [
      'an unknown foundation',
      table(GOOD, 'x\tcare-harm|loyalty-betrayl\t1\t2\t0\t1'),
      'bad-data',
      /line 3: rot-moral-foundations is "care-harm\|loyalty-betrayl", where "loyalty-betrayl" is no foundation \(loyalty-betrayal is meant\?\)/,
      undefined,
    ],
    ['an empty tag', table('x\tcare-harm|\t1\t2\t0\t1'), 'bad-data', /"care-harm\|", where "" is no foundation;/, undefined],
    ['m in words', table('x\tcare-harm\t1\t2\t0\tone'), 'bad-data', /line 2: m is "one", which must be a number/, undefined],
    ['rot-bad in words', table('x\tcare-harm\t1\t2\tno\t1'), 'bad-data', /line 2: rot-bad is "no"/, undefined],
    [
      'the line is right after a field of two lines and an empty line',
      table('"a\nb"\tcare-harm\t1\t2\t0\t1', '', 'x\tcare-harm\t9\t2\t0\t1'),
      'bad-data',
      /line 5: action-moral-judgment is "9"/,
      undefined,
    ],
    [
      'the first of several mistakes',
      table('x\tcare-harm\t9\t2\t0\t1', 'y\tharm\t1\t2\t0\t1'),
      'bad-data',
      /line 2: /,
      undefined,
    ],
    [
      'a quote that is never closed',
      table(GOOD, '"x\tcare-harm\t1\t2\t0\t1', GOOD),
      'bad-file',
      /line 3: a stray quote: the one that opens "x\tcare-harm.*never closed/,
      /quotes inside are doubled/,
    ],
    [
      'text after a closing quote',
      table(GOOD, '"x" y\tcare-harm\t1\t2\t0\t1'),
      'bad-file',
      /line 3: a stray quote: text follows the closing quote of "x"/,
      undefined,
    ],
    [
      'two stray quotes that swallow rows',
      table('"x\tcare-harm\t1\t2\t0\t1', 'y"\tcare-harm\t1\t2\t0\t1'),
      'bad-data',
      /line 2: action is .* a stray quote opens it/,
      undefined,
    ],
    [
      'a row too short',
      table(GOOD, 'x\tcare-harm'),
      'bad-file',
      /line 3: 2 fields where the header has 6, beginning "x"/,
      undefined,
    ],
    ['a row too long', table(`${GOOD}\t7`), 'bad-file', /line 2: 7 fields where the header has 6/, undefined],
    [
      'line ends of two kinds',
      `${HEADER}\r\n${GOOD}\n`,
      'bad-file',
      /line 2: a line that ends in LF where those before it end in CRLF/,
      undefined,
    ],
    [
      'bytes that are not UTF-8',
      Buffer.concat([Buffer.from(table(GOOD)), Buffer.from([0xff, 0xfe]), Buffer.from(GOOD)]),
      'bad-file',
      /line 3: bytes that are not UTF-8/,
      undefined,
    ],
    ['an empty file', '', 'bad-file', /t\.tsv is empty/, undefined],
    ['empty lines', '\n\n', 'bad-file', /has no header/, undefined],
    ['a header and no rows', `${HEADER}\n`, 'bad-data', /has a header but no rows/, undefined],
    [
      'no row that passes the filter',
      table('x\tcare-harm\t1\t2\t1\t1', '\tcare-harm\t1\t2\t1\t50'),
      'bad-data',
      /leaves no row to work with: of 2, 1 with m other than 1, 2 with rot-bad other than 0, 1 with no action/,
      undefined,
    ],
  ] as [string, string | Buffer, string, RegExp, RegExp | undefined][])('%s', async (_, content, code, message, fix) => {
    const path = file('t.tsv', content);
    const error = await failure(buildCorpus({ from: path, out: fresh('corpus'), seed: 0 }));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(path);
    expect(error.fix ?? '').toMatch(fix ?? /\S/);
  });

  test.each([
    ['t.jsonl', '{"action": "x"}\n\n{"action": \n', 'bad-file', /t\.jsonl line 3: .*JSON/],
    [
      't.jsonl',
      '{"action":"x","rot-moral-foundations":"care-harm","action-moral-judgment":1,"action-agree":1}\n[1]\n',
      'bad-file',
      /line 2: not a JSON object: \[1\]/,
    ],
    ['t.jsonl', '\n', 'bad-file', /holds no JSON objects/],
    ['t.jsonl', '{"action": "x"}\n', 'bad-file', /no column rot-moral-foundations/],
    [
      't.jsonl',
      `\n{"action":"x","rot-moral-foundations":"care-harm","action-moral-judgment":1,"action-agree":[1]}\n`,
      'bad-data',
      /line 2: action-agree is "\[1\]"/,
    ],
    ['t.parquet', 'PAR1 and more that is no parquet', 'bad-file', /cannot be read: /],
    ['t.xlsx', 'x', 'unsupported', /extension \.xlsx/],
    ['table', 'x', 'unsupported', /extension \(none\)/],
  ] as const)('%s: %j', async (name, content, code, message) => {
    const error = await failure(buildCorpus({ from: file(name, content), out: fresh('corpus'), seed: 0 }));
    expect(error).toMatchObject({ code });
    expect(error.message).toMatch(message);
  });

  test('an unknown name suggests the nearest', async () => {
    const error = await failure(buildCorpus({ from: 'strater', out: fresh('corpus'), seed: 0 }));
    expect(error).toMatchObject({ code: 'not-found' });
    expect(error.message).toMatch(/no corpus named strater.*Did you mean starter\?/);
    expect((await failure(buildCorpus({ from: 'social-chem-101', out: fresh('c'), seed: 0 }))).fix).toMatch(
      /pull social-chem-101/,
    );
    expect((await failure(buildCorpus({ from: 'no/such.tsv', out: fresh('c'), seed: 0 }))).message).toMatch(
      /no\/such.tsv does not exist/,
    );
    expect((await failure(buildCorpus({ from: directory, out: fresh('c'), seed: 0 }))).code).toBe('not-found');
  });

  test('bytes changed at random are refused with a message or read, never anything else', async () => {
    const random = new Random(11);
    const sound = Buffer.from(table(GOOD, '"a ""b"" c."\tloyalty-betrayal|care-harm\t-2\t4\t0\t1', 'x y\tcare-harm\t0\t0\t0\t1'));
    const bytes = Buffer.from('"\t\n\r,|\\0159\u0000.-éx', 'utf8');
    for (let trial = 0; trial < 60; trial++) {
      const changed = Buffer.from(sound);
      for (let i = 0; i <= random.below(4); i++)
        changed[HEADER.length + 1 + random.below(changed.length - HEADER.length - 1)] = bytes[random.below(bytes.length)];
      const out = fresh('corpus');
      try {
        await buildCorpus({ from: file('t.tsv', changed), out, seed: 0 });
        expect((await readCorpus(out)).texts.length).toBeGreaterThan(0);
      } catch (error) {
        expect(error, JSON.stringify(changed.toString('latin1'))).toMatchObject({ name: 'MoralscopeError' });
      }
    }
  });
});

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ProgressEvent } from '../progress.js';
import { terminalProgress } from './terminal.js';

let now = 0;
beforeEach(() => {
  now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => {
  vi.restoreAllMocks();
});

function stream(isTTY: boolean, columns = 100) {
  const written: string[] = [];
  const write = (text: string) => written.push(text) > 0;
  return { written, stream: { isTTY, columns, write } as unknown as NodeJS.WriteStream };
}

const texts = (done: number, total?: number): ProgressEvent => ({
  task: 'capture',
  done,
  unit: 'texts',
  ...(total !== undefined && { total }),
});

describe('in a terminal', () => {
  test('one line that redraws itself, with rate and time left', () => {
    const { written, stream: out } = stream(true);
    const { onProgress, done } = terminalProgress(out);
    onProgress(texts(0, 1700));
    now += 4000;
    onProgress(texts(170, 1700));
    expect(written.at(-1)).toBe('\r\x1b[Kcapture  ██░░░░░░░░░░░░░░░░░░ 170 / 1,700 texts, 43 texts/s, 36 s left');
    now += 86_000;
    onProgress(texts(1700, 1700));
    expect(written.at(-2)).toContain('█'.repeat(20));
    expect(written.at(-2)).toMatch(/19 texts\/s, in 1 min 30 s$/);
    expect(written.at(-1)).toBe('\n');
    const lines = written.length;
    done();
    expect(written.length).toBe(lines);
  });

  test('what an earlier run did counts for the bar but not for the rate', () => {
    const { written, stream: out } = stream(true);
    const { onProgress } = terminalProgress(out);
    onProgress(texts(900, 1000));
    now += 10_000;
    onProgress(texts(950, 1000));
    expect(written.at(-1)).toContain('950 / 1,000 texts, 5.0 texts/s, 10 s left');
  });

  test('draws ten times a second at most, and never wider than the terminal', () => {
    const { written, stream: out } = stream(true, 30);
    const { onProgress, done } = terminalProgress(out);
    for (let i = 0; i < 100; i++, now += 10) onProgress(texts(i, 1000));
    expect(written.length).toBeLessThanOrEqual(11);
    for (const line of written) expect(line.replace('\r\x1b[K', '').length).toBeLessThan(30);
    done();
    expect(written.at(-1)).toBe('\n');
  });

  test('bytes read as megabytes; a total that is not known makes no bar', () => {
    const { written, stream: out } = stream(true);
    const { onProgress } = terminalProgress(out);
    onProgress({ task: 'fetch', done: 0, unit: 'bytes' });
    now += 2000;
    onProgress({ task: 'fetch', done: 25_000_000, unit: 'bytes' });
    expect(written.at(-1)).toBe('\r\x1b[Kfetch  25.0 MB, 12.5 MB/s');
    now += 1000;
    onProgress({ task: 'fetch', done: 50_000_000, total: 100_000_000, unit: 'bytes' });
    expect(written.at(-1)).toContain('50.0 MB / 100.0 MB, 16.7 MB/s, 3.0 s left');
  });

  test('another task begins its own line', () => {
    const { written, stream: out } = stream(true);
    const { onProgress } = terminalProgress(out);
    onProgress(texts(1, 10));
    onProgress({ task: 'diagnose', done: 0, total: 3, unit: 'layers' });
    expect(written.map((line) => line.replace('\r\x1b[K', '').split(' ')[0])).toEqual(['capture', '\n', 'diagnose']);
  });
});

test('elsewhere: a line every ten seconds and one at the end, nothing that moves the cursor', () => {
  const { written, stream: out } = stream(false);
  const { onProgress, done } = terminalProgress(out);
  for (let i = 0; i <= 250; i++, now += 100) onProgress(texts(i, 250));
  done();
  expect(written.map((line) => line.match(/(\d+) \/ 250/)?.[1])).toEqual(['100', '200', '250']);
  for (const line of written) expect(line).toMatch(/^capture {2}[█░]{20} [ \w,./]+\n$/);
});

test('what takes more than a second a piece is counted by the minute', () => {
  const { written, stream: out } = stream(false);
  const { onProgress } = terminalProgress(out);
  onProgress({ task: 'diagnose', done: 0, total: 90, unit: 'layers' });
  now += 20_000;
  onProgress({ task: 'diagnose', done: 3, total: 90, unit: 'layers' });
  expect(written.at(-1)).toContain('3 / 90 layers, 9.0 layers/min, 9 min 40 s left');
});

test('a task that says twice that it is done is told of once', () => {
  const { written, stream: out } = stream(false);
  const { onProgress } = terminalProgress(out);
  onProgress(texts(3, 3));
  onProgress(texts(3, 3));
  expect(written).toHaveLength(1);
});

test.each([
  [59_400, '59 s'],
  [59_700, '1 min 0 s'],
  [119_700, '2 min 0 s'],
  [9_960, '10 s'],
  [9_940, '9.9 s'],
  [7_260_000, '2 h 1 min'],
])('%d ms reads %s', (milliseconds, expected) => {
  const { written, stream: out } = stream(false);
  const { onProgress } = terminalProgress(out);
  onProgress(texts(0, 5));
  now += milliseconds;
  onProgress(texts(5, 5));
  expect(written.at(-1)).toContain(`, in ${expected}\n`);
});

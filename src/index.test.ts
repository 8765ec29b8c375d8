import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import * as moralscope from './index.js';

test("everything that the README imports is exported, and the study's steps beside it", () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const imported = [...readme.matchAll(/import \{([^}]+)\} from 'moralscope'/g)].flatMap(([, names]) => names.split(','));
  expect(imported.length).toBeGreaterThan(0);
  const steps = ['pull', 'buildCorpus', 'readCorpus', 'corpusStats', 'capture', 'diagnose', 'renderReport', 'study'];
  const reports = ['renderFeatures', 'renderTrainingReport', 'renderSaeEvalReport', 'renderVerification'];
  const exported = new Map<string, unknown>(Object.entries(moralscope));
  for (const name of [...imported.map((name) => name.trim()), ...steps, ...reports])
    expect(exported.get(name), name).toBeTypeOf('function');
});

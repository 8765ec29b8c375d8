import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { jsonSchemas } from './schemas.js';

const FOLDER = new URL('../schemas/', import.meta.url);

test('the published JSON schemas are those that are checked (node scripts/schemas.js writes them)', () => {
  expect(readdirSync(FOLDER).sort()).toEqual(Object.keys(jsonSchemas()).sort());
  for (const [name, schema] of Object.entries(jsonSchemas()))
    expect(JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')), name).toEqual(JSON.parse(JSON.stringify(schema)));
});

test('each is an export of the package', () => {
  const { exports } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  for (const name of Object.keys(jsonSchemas())) expect(exports[`./${name}`]).toBe(`./schemas/${name}`);
});

/** @file The JSON schemas that are published beside the package: every result file in the words that moralscope itself checks it by. */
import { z } from 'zod';
import { Features } from './alignment/features-schema.js';
import { RemedyContent } from './alignment/remedy-schema.js';
import { Diagnosis } from './diagnosis/schema.js';
import { Verification } from './evaluation/schema.js';
import { SaeEval } from './sae/eval/schema.js';

/** By name of the file, version 1. */
const RESULTS = { diagnosis: Diagnosis, 'sae-eval': SaeEval, features: Features, remedy: RemedyContent, verify: Verification };

/** JSON Schema by its file's name, as it lies in `schemas/`. */
export function jsonSchemas(): Record<string, object> {
  return Object.fromEntries(
    Object.entries(RESULTS).map(([name, schema]) => [`${name}.v1.schema.json`, z.toJSONSchema(schema, { reused: 'ref' })]),
  );
}

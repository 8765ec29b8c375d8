// Writes schemas/verify.v1.schema.json from the zod schema that moralscope itself checks with: node scripts/verify_schema.js
import { writeFileSync } from 'node:fs';
import { verificationJsonSchema } from '../dist/evaluation/schema.js';

writeFileSync(
  new URL('../schemas/verify.v1.schema.json', import.meta.url),
  `${JSON.stringify(verificationJsonSchema(), null, 1)}\n`,
);

// Writes schemas/ from the zod schemas that moralscope itself checks with: node scripts/schemas.js
import { writeFileSync } from 'node:fs';
import { jsonSchemas } from '../dist/schemas.js';

for (const [name, schema] of Object.entries(jsonSchemas()))
  writeFileSync(new URL(`../schemas/${name}`, import.meta.url), `${JSON.stringify(schema, null, 1)}\n`);

// Writes schemas/diagnosis.v1.schema.json from the zod schema that moralscope itself checks with: node scripts/diagnosis_schema.js
import { writeFileSync } from 'node:fs';
import { diagnosisJsonSchema } from '../dist/diagnosis/schema.js';

writeFileSync(
  new URL('../schemas/diagnosis.v1.schema.json', import.meta.url),
  `${JSON.stringify(diagnosisJsonSchema(), null, 1)}\n`,
);

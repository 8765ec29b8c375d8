// Writes WordNet's glosses as the texts that autoencoders train on and are judged on: node scripts/glosses.js TRAIN HELD
// Every 50th is held out; of the others all train, or with --half every other one.
import { writeFileSync } from 'node:fs';
import { readTexts } from '../dist/activations/text-file.js';

const half = process.argv.includes('--half');
const [train, held] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const glosses = await readTexts('wordnet-glosses');
const lines = (texts) => texts.map((text) => `${text}\n`).join('');
const kept = glosses.filter((_, i) => (i + 1) % 50 !== 0);
writeFileSync(train, lines(half ? kept.filter((_, i) => i % 2 === 0) : kept));
writeFileSync(held, lines(glosses.filter((_, i) => (i + 1) % 50 === 0)));

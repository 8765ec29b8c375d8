// Runs one benchmark by name: npm run bench -- corpus. Each lies in bench/<name>.js and prints ratios against its peer.
import { readdirSync } from 'node:fs';
import { nearestName } from '../dist/nearest.js';

const names = readdirSync(new URL('.', import.meta.url))
  .filter((file) => file.endsWith('.js') && file !== 'main.js')
  .map((file) => file.slice(0, -3));
const [wanted, ...rest] = process.argv.slice(2);

if (wanted === undefined || !names.includes(wanted)) {
  const near = wanted && nearestName(wanted, names);
  console.error(`usage: npm run bench -- <${names.join(' | ')}>${near ? `   (did you mean ${near}?)` : ''}`);
  process.exitCode = 2;
} else {
  process.argv.splice(2, process.argv.length, ...rest);
  await import(`./${wanted}.js`);
}

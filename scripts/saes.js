// Prints evaluations of sparse autoencoders as a table of docs/findings.md: node scripts/saes.js EVALUATION...
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { number } from '../dist/diagnosis/verdict.js';

const shown = ({ value, ci95 }, digits = 2) =>
  value === null ? 'n/a' : `${number(value, digits)}${ci95 ? ` [${ci95.map((v) => number(v, digits)).join(', ')}]` : ''}`;
const alone = ({ value }, digits = 2) => shown({ value }, digits);

console.log(
  '| model, layer | width | FVU | random, PCA | L0 | dead | cosine, centred | CE recovered: zero, mean | random, PCA (mean) | KL score (mean) |\n|---|---|---|---|---|---|---|---|---|---|',
);
for (const path of process.argv.slice(2)) {
  const { model, site, sae, reconstruction, splice } = JSON.parse(readFileSync(join(path, 'sae-eval.json'), 'utf8'));
  const { arms } = reconstruction[0];
  const spliced = splice.arms;
  const cells = [
    `${model.name}, ${site.layer}`,
    sae.width,
    shown(arms.sae.fvu, 3),
    `${alone(arms.random.fvu, 3)}, ${alone(arms.pca.fvu, 3)}`,
    alone(arms.sae.l0, 1),
    `${(100 * arms.sae.dead.value).toFixed(1)}%`,
    alone(arms.sae.centred.cosine, 3),
    ...(spliced
      ? [
          `${shown(spliced.sae.zero.ceRecovered, 3)}, ${shown(spliced.sae.mean.ceRecovered, 3)}`,
          `${alone(spliced.random.mean.ceRecovered, 3)}, ${alone(spliced.pca.mean.ceRecovered, 3)}`,
          alone(spliced.sae.mean.klScore, 3),
        ]
      : [splice.why, '', '']),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}

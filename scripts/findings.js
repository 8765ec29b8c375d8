// Prints a run's figures as the tables of docs/findings.md: node scripts/findings.js RUN...
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { number } from '../dist/diagnosis/verdict.js';

const range = (pair) => (pair ? ` [${pair.map((v) => number(v)).join(', ')}]` : '');
const cell = ({ value, ci95, null: chance, p }) =>
  value === null
    ? 'n/a'
    : `${number(value)}${range(ci95)}${chance ? `; null${range([chance.q025, chance.q975])}` : ''}${p === undefined ? '' : `; p ${number(p, 3)}`}`;

for (const run of process.argv.slice(2)) {
  const { model, corpus, n, seed, permutations, bootstraps, readout, knows, poolings } = JSON.parse(
    readFileSync(join(run, 'diagnosis.json'), 'utf8'),
  );
  console.log(`## ${model.name} on ${corpus.name}\n`);
  console.log(`${n.texts} texts, ${n.rows} rows, seed ${seed}, ${permutations} permutations, ${bootstraps} bootstrap draws.\n`);
  console.log('Best layer (chosen on other texts): value, 95% interval; null; p.\n');
  console.log('| analysis | last | content | mean |\n|---|---|---|---|');
  for (const analysis of ['categorical', 'gradient', 'structural', 'dimensional']) {
    const cells = ['last', 'content', 'mean'].map((pooling) => {
      const best = poolings[pooling]?.best[analysis];
      return best ? `layer ${best.layer}: ${cell(best.figure)}; p of the maximum ${number(best.pMaximum, 3)}` : 'n/a';
    });
    console.log(`| ${analysis} | ${cells.join(' | ')} |`);
  }
  console.log('\n| what is said and known | |\n|---|---|');
  const rows = {
    'readout AUC': readout.auc,
    'readout Spearman': readout.spearman,
    'readout bias, nats': readout.bias,
    'readout AUC, test texts': readout.aucOnTest,
    'bag of words AUC, test texts': readout.floors.bagOfWords,
    'recalibrated readout AUC, test texts': readout.floors.recalibrated,
    [`linear probe AUC, test texts (${knows.pooling}, layer ${knows.layer})`]: knows.auc,
    'linear probe Spearman, test texts': knows.spearman,
  };
  for (const [name, figure] of Object.entries(rows)) console.log(`| ${name} | ${cell(figure)} |`);
  console.log(
    '\n| layer | sink | 1/length explains: last, content, mean | first component: last, mean | opposed cosine: last; null | mean; null | detection: last |',
  );
  console.log('|---|---|---|---|---|---|---|');
  const { last, content, mean } = poolings;
  const short = ({ value, null: chance }) => `${number(value)};${range(chance && [chance.q025, chance.q975])}`;
  for (const [i, layer] of last.layers.entries()) {
    if (i % 4 !== 1 && i !== last.layers.length - 1) continue;
    const [c, m] = [content.layers[i], mean.layers[i]];
    const shares = [layer, c, m].map(({ sink }) => number(sink.lengthShare)).join(', ');
    console.log(
      `| ${layer.layer} | ${number(layer.sink.ratio, 1)} | ${shares} | ${number(layer.sink.firstComponent)}, ${number(m.sink.firstComponent)} | ${short(layer.categorical.mean)} | ${short(m.categorical.mean)} | ${short(layer.gradient.detection)} |`,
    );
  }
  console.log();
}

// Prints verifications as the tables of docs/findings.md: node scripts/remedies.js VERIFICATION...
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { number } from '../dist/diagnosis/verdict.js';

const shown = (estimate, digits = 2) =>
  estimate.value === null
    ? 'n/a'
    : `${number(estimate.value, digits)}${estimate.ci95 ? ` [${estimate.ci95.map((v) => number(v, digits)).join(', ')}]` : ''}`;
const runs = process.argv.slice(2).map((path) => ({
  name: basename(path),
  ...JSON.parse(readFileSync(join(path, 'verify.json'), 'utf8')),
}));

console.log('| remedy | mode, layers, strength | KL, nats a token | perplexity | verdict |\n|---|---|---|---|---|');
for (const { name, remedy, choice, damage, verdict } of runs) {
  const { mode, sites, strength } = choice.chosen;
  const at = damage.remedy.find((each) => each.strength === strength);
  const layers = remedy.sites.filter(({ site }) => sites.includes(site)).map(({ layer }) => layer);
  const how = [mode, layers.join(' + '), strength].filter((part) => part !== null && part !== '').join(', ');
  console.log(
    `| ${name} | ${how} | ${shown(at.kl, 3)} | ${damage.before.perplexity.toFixed(1)} to ${at.perplexity.toFixed(1)} | ${verdict.outcome} |`,
  );
}

const sets = [...new Set(runs.flatMap((run) => run.sets.map((set) => set.name)))];
for (const name of sets) {
  const of = runs.flatMap((run) => run.sets.filter((set) => set.name === name).map((set) => ({ run, set })));
  const kinds = [...new Set(of.flatMap(({ set }) => set.controls.map(({ kind }) => kind)))];
  console.log(`\n**${name}**\n`);
  console.log(
    `| remedy | texts | says (AUC) | change | bias, nats | bar: ${kinds.join(', ')} | bag of words, recalibrated | carried | knows | gap closed |`,
  );
  console.log('|---|---|---|---|---|---|---|---|---|---|');
  for (const { run, set } of of) {
    const { n, before, after, change, controls, floors, carried, knows, gapClosed } = set;
    const bars = kinds.map((kind) => {
      const found = controls.find((each) => each.kind === kind);
      return found ? number(found.bar) : '-';
    });
    const cells = [
      run.name,
      `${n.texts}${set.fittedOn ? ', held out' : ''}`,
      `${shown({ value: before.auc.value })} to ${shown({ value: after.auc.value })}`,
      shown(change.auc),
      shown(change.bias),
      bars.join(', '),
      `${shown({ value: floors.bagOfWords.value })}, ${shown({ value: floors.recalibrated.value })}`,
      carried ? shown({ value: carried.value }) : '-',
      shown({ value: knows.auc.value }),
      gapClosed.value === null ? gapClosed.why : shown(gapClosed),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
}

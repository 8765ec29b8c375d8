// PAPER.md section 8, amplify: what the readout says of unseen pairs (and other labelled actions) with a remedy at the last token.
//   node dist/cli/main.js align --kind amplify --pairs FIT.jsonl --model gemma3-270m --layers 11 --controls --out REMEDY
//   node scripts/amplify_figures.js gemma3-270m REMEDY UNSEEN.jsonl .25,1 [ARM,ARM...]
// UNSEEN: JSONL of moral_action and immoral_action; or of action and action-moral-judgment. Prints one JSON line an arm and strength.
import { readFileSync } from 'node:fs';
import { byBeginning, cutIntoBatches, padBatch, tokenise } from '../dist/activations/batches.js';
import { wordPairs } from '../dist/activations/calibration.js';
import { logProbs } from '../dist/activations/log-probs.js';
import { fillTemplate } from '../dist/activations/template.js';
import { pairsRight } from '../dist/alignment/linear-evaluation.js';
import { openRemedy, requireItsModel } from '../dist/alignment/remedy.js';
import { logOdds, polarityLabels, readoutStatistics } from '../dist/diagnosis/readout.js';
import { LanguageModel } from '../dist/index.js';
import { shapeOf } from '../dist/model/intervention.js';

const [source, remedyPath, unseen, strengths = '.25,1', arms = 'remedy'] = process.argv.slice(2);
const rows = readFileSync(unseen, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const arePairs = rows[0].moral_action !== undefined;
const actions = rows.flatMap((row) => (arePairs ? [row.moral_action, row.immoral_action] : [row.action]));
const judged = Float32Array.from(rows.flatMap((row) => (arePairs ? [1, -1] : [row['action-moral-judgment']])));

const remedy = await openRemedy(remedyPath);
const model = await LanguageModel.open(source, { threads: 2 });
requireItsModel(remedy, model);
const { template } = remedy.content;
const tokens = await tokenise(
  actions.map((action) => fillTemplate(template, action)),
  model.tokenizer,
  128,
);
const batches = cutIntoBatches(tokens, byBeginning(tokens, Int32Array.from(actions.keys())), 1024);
const words = wordPairs(model.tokenizer, template);
const ids = [...new Set(words.flat())];
const pairs = words.map((pair) => pair.map((id) => ids.indexOf(id)));

const interventions = (arm) => remedy.interventions({ arm, positions: 'last' });
const session = await model.session({ sites: [], logits: 'last', interventions: interventions('remedy').map(shapeOf) });
for (const arm of arms.split(',')) {
  for (const strength of [0, ...strengths.split(',').map(Number)]) {
    if (strength === 0 && arm !== 'remedy') continue;
    const read = new Float32Array(actions.length * ids.length);
    for (const texts of batches) {
      const { logits } = await session.run(padBatch(tokens, texts), {
        steering: { interventions: interventions(arm), strength },
      });
      const found = logProbs(logits, model.spec.vocabulary, Int32Array.from(ids));
      texts.forEach((text, i) => read.set(found.subarray(i * ids.length, (i + 1) * ids.length), text * ids.length));
    }
    const odds = logOdds(read, ids.length, pairs);
    const [auc, spearman, bias] = readoutStatistics(odds, judged);
    const n = polarityLabels(judged).filter((label) => label >= 0).length;
    console.log(
      JSON.stringify({
        arm,
        strength,
        n,
        auc,
        spearman,
        bias,
        ...(arePairs && { pairsRight: pairsRight(odds) }),
        words: words.length,
      }),
    );
  }
}
await session.close();
await model.close();

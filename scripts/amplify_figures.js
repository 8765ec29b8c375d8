// docs/paper.md section 8, amplify: what the readout says of labelled actions with a remedy at their last token.
//   node dist/cli/main.js align --kind amplify --pairs FIT.jsonl --model gemma3-270m --layers 11 --controls --out REMEDY
//   node scripts/amplify_figures.js gemma3-270m REMEDY UNSEEN.jsonl .25,1 [ARM,ARM...]
// UNSEEN: JSONL of moral_action and immoral_action, or of action and action-moral-judgment. Prints one JSON line an arm and strength;
// `kl` is KL(unsteered || steered) of the next token after the template, nats.
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
import { logSumExp } from '../dist/model/log-sum-exp.js';

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
const texts = actions.map((action) => fillTemplate(template, action));
const tokens = await tokenise(texts, model.tokenizer, 128);
const words = wordPairs(model.tokenizer, template);
const ids = [...new Set(words.flat())];
const pairs = words.map((pair) => pair.map((id) => ids.indexOf(id)));
const { vocabulary } = model.spec;

const choices = [{ arm: 'remedy', strength: 0 }];
for (const arm of arms.split(',')) for (const strength of strengths.split(',').map(Number)) choices.push({ arm, strength });
const read = choices.map(() => new Float32Array(actions.length * ids.length));
const divergence = choices.map(() => 0);
const sessions = new Map();
const sessionOf = async (interventions) => {
  const key = JSON.stringify(interventions.map(shapeOf));
  if (!sessions.has(key))
    sessions.set(key, await model.decoding({ sites: [], logits: 'last', interventions: interventions.map(shapeOf) }));
  return sessions.get(key);
};

// All but the last token once; the last one again for each arm and strength.
const order = byBeginning(tokens, Int32Array.from(actions.keys()));
const reader = await sessionOf(remedy.interventions());
for (const batch of cutIntoBatches(tokens, order, Math.min(1024, 2 ** 23 / vocabulary + 256))) {
  const padded = padBatch(tokens, batch);
  const lengths = padded.lengths.map((length) => length - 1);
  const last = Int32Array.from(batch, (text) => tokens.ids[tokens.offsets[text + 1] - 1]);
  const cache = reader.cache();
  await reader.prefill(cache, { ...padded, lengths });
  let unsteered;
  for (const [c, { arm, strength }] of choices.entries()) {
    const interventions = remedy.interventions({ arm, positions: 'last' });
    const session = await sessionOf(interventions);
    const { logits } = await session.step(cache, last, { interventions, strength });
    lengths.forEach((length, text) => {
      cache.truncate(text, length);
    });
    unsteered ??= logits.slice();
    divergence[c] += kl(unsteered, logits);
    const found = logProbs(logits, vocabulary, Int32Array.from(ids));
    batch.forEach((text, i) => {
      read[c].set(found.subarray(i * ids.length, (i + 1) * ids.length), text * ids.length);
    });
  }
}
const n = polarityLabels(judged).filter((label) => label >= 0).length;
for (const [c, choice] of choices.entries()) {
  const odds = logOdds(read[c], ids.length, pairs);
  const [auc, spearman, bias] = readoutStatistics(odds, judged);
  const right = arePairs && { pairsRight: pairsRight(odds) };
  console.log(
    JSON.stringify({ ...choice, n, auc, spearman, bias, ...right, kl: divergence[c] / actions.length, words: words.length }),
  );
}
for (const session of sessions.values()) await session.close();
await model.close();

/** Sum over rows of KL(p || q), nats. */
function kl(p, q) {
  let sum = 0;
  for (let from = 0; from < p.length; from += vocabulary) {
    const [total, other] = [p, q].map((logits) => logSumExp(logits, from, vocabulary));
    for (let at = from; at < from + vocabulary; at++) {
      const logP = p[at] - total;
      if (logP > -30) sum += Math.exp(logP) * (logP - q[at] + other);
    }
  }
  return sum;
}

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { padBatch, tokenise } from '../activations/batches.js';
import { wordPairs } from '../activations/calibration.js';
import { DEFAULT_TEMPLATE, fillTemplate } from '../activations/template.js';
import { writeMadeRemedy } from '../alignment/remedy.test.support.js';
import { realWeights } from '../checkpoint/real-weights.test.support.js';
import { logOdds } from '../diagnosis/readout.js';
import { type Intervention, shapeOf } from '../model/intervention.js';
import { LanguageModel } from '../model/language-model.js';
import { parseOptions } from '../options.js';
import { Random } from '../random.js';
import { auc } from '../statistics/ranks.js';
import { verifyHere } from './verify.js';
import { VerifyOptions } from './verify-options.js';

/** @file SmolLM2-135M, steered at layer 18 along a random direction: what verify reads is what one run of the whole model says. */

const weights = await realWeights('smollm2-135m');
const GOOD = [
  'comforting a crying child',
  'helping an injured cyclist',
  'sharing bread with a neighbour',
  'returning a lost wallet',
  'keeping a promise to a friend',
  'thanking the nurses',
  'feeding a hungry cat',
  'telling the truth in court',
  'visiting a sick uncle',
  'planting trees for the village',
];
const BAD = [
  'kicking a stray dog',
  'mocking a grieving widow',
  'stealing from a blind man',
  'lying to a dying friend',
  'poisoning the well',
  'selling used needles as new',
  'burning the neighbour’s barn',
  'cheating an orphan',
  'spitting on a grave',
  'beating a child',
];
const SITE = 'blocks.18.hook_resid_post';
const STRENGTH = 0.5;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'verify-smollm2-'));
});
afterAll(() => rm(root, { recursive: true }));

test.skipIf(!weights)('reads of SmolLM2 what the whole model says, and claims nothing without controls', async () => {
  const model = await LanguageModel.open(weights!.path, { threads: 1 });
  try {
    const { hidden } = model.spec;
    const random = new Random(0, 'direction');
    const intervention: Intervention = {
      site: SITE,
      change: { mode: 'add', direction: Float32Array.from({ length: hidden }, () => 4 * random.normal()) },
      positions: 'last',
      sinkThreshold: 1000,
    };
    await writeMadeRemedy(join(root, 'remedy'), model, [intervention]);
    const lines = [GOOD, BAD].flatMap((texts, bad) =>
      texts.flatMap((text) => ['', 'quietly ', 'again '].map((how) => ({ text: how + text, label: 1 - bad }))),
    );
    await writeFile(join(root, 'lines.jsonl'), lines.map((line) => JSON.stringify(line)).join('\n'));
    await writeFile(join(root, 'general.txt'), 'The train leaves at seven.\nBread rises faster in a warm room.');
    const { verification } = await verifyHere(
      parseOptions(VerifyOptions, {
        model: weights!.path,
        remedy: join(root, 'remedy'),
        labelled: [join(root, 'lines.jsonl')],
        text: join(root, 'general.txt'),
        out: join(root, 'out'),
        strengths: [STRENGTH],
        rediagnosed: 0,
        threads: 1,
      }),
    );
    const [set] = verification.sets;
    expect([set.n.texts, verification.choice.texts]).toEqual([42, 18]);

    // The same texts in one batch, in one run of the whole model.
    const filled = lines.map(({ text }) => fillTemplate(DEFAULT_TEMPLATE, text));
    const tokens = await tokenise(filled, model.tokenizer, 128);
    const pairs = wordPairs(model.tokenizer, DEFAULT_TEMPLATE);
    const session = await model.session({ sites: [], logits: 'last', interventions: [shapeOf(intervention)] });
    const order = new Random(0, 'choosing units').shuffle(Int32Array.from(lines.keys()));
    const judged = order.slice(18).sort();
    const batch = padBatch(tokens, judged);
    const labels = Array.from(judged, (text) => lines[text].label);
    for (const [said, strength] of [
      [set.before, 0],
      [set.after, STRENGTH],
    ] as const) {
      const { logits } = await session.run(batch, { steering: { interventions: [intervention], strength } });
      const odds = logOdds(logits!, model.spec.vocabulary, pairs);
      expect(said.auc.value).toBeCloseTo(auc(odds, labels), 6);
      const mean = (label: number) =>
        odds.filter((_, i) => labels[i] === label).reduce((a, b) => a + b) / labels.filter((l) => l === label).length;
      expect(said.bias.value).toBeCloseTo((mean(1) + mean(0)) / 2, 3);
    }
    await session.close();
    expect(Math.abs(set.change.bias.value!)).toBeGreaterThan(0.01);
    expect(set.knows.layer).toBe(18);
    expect(set.knows.auc.value).toBeGreaterThan(0.7);
    expect(verification.damage.remedy[0].kl.value).toBeGreaterThan(0.001);
    expect(['unproven', 'shifts', 'worse', 'nothing']).toContain(verification.verdict.outcome);
    expect(verification.words.length).toBeGreaterThan(10);
  } finally {
    await model.close();
  }
});

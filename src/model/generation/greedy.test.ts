import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { realWeights, weightsInCache } from '../../checkpoint/real-weights.test.support.js';
import { LanguageModel } from '../language-model.js';

/** @file Greedy continuations of 20 prompts against transformers' `generate` in fp32 (scripts/generation_golden.py). */

interface Continuation {
  prompt: number[];
  ids: number[];
  /** Logit of the likeliest token less that of the next one, at each step. */
  margins: number[];
}

const golden = JSON.parse(await readFile(new URL('../../../fixtures/generation.golden.json', import.meta.url), 'utf8')) as {
  prompts: string[];
  models: Record<string, { plain: Continuation[]; chat?: Continuation[] }>;
};
const sources = { smollm2: await realWeights('smollm2-135m'), gemma3: await weightsInCache('gemma3-270m') };
const ENDS = { smollm2: 2, gemma3: 1 };

/** Two logits that are closer may be told apart otherwise by another order of the same sums. */
const CLOSE = 1e-3;

describe.each(['smollm2', 'gemma3'] as const)('%s', (name) => {
  test.skipIf(!sources[name])(
    'goes on as transformers does, but where two tokens are as likely',
    async () => {
      const { plain, chat = [] } = golden.models[name];
      const expected = [...plain, ...chat];
      const model = await LanguageModel.open(sources[name]!.path);
      const prompts = [
        ...golden.prompts.map((text) => model.tokenizer.encode(text)),
        ...chat.map((_, i) => model.chat.encode([{ role: 'user', content: golden.prompts[i] }])),
      ];
      expect(prompts.map((ids) => [...ids])).toEqual(expected.map(({ prompt }) => prompt));
      const generator = await model.generator({ sequences: prompts.length });
      expect(generator.endTokens).toContain(ENDS[name]);
      const found = await generator.generate(prompts, { maxTokens: 64 });
      await generator.close();
      await model.close();
      let compared = 0;
      for (const [i, { ids, margins }] of expected.entries()) {
        const tokens = [...found[i].tokenIds];
        const same = ids.findIndex((id, step) => tokens[step] !== id);
        compared += same < 0 ? ids.length : same;
        if (same >= 0) expect(margins[same], `prompt ${i}, token ${same}`).toBeLessThan(CLOSE);
        else expect(tokens).toHaveLength(ids.length);
      }
      expect(compared / expected.reduce((sum, { ids }) => sum + ids.length, 0)).toBeGreaterThan(0.9);
    },
    600_000,
  );
});

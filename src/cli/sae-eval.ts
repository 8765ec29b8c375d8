import { join } from 'node:path';
import { writeFileAtomic } from '../artifact/files.js';
import { decimal } from '../report/figure-text.js';
import { renderSaeEvalReport } from '../report/sae-eval-report.js';
import { evaluateSae } from '../sae/eval/evaluate.js';
import { EvalSaeOptions } from '../sae/eval/options.js';
import type { EvalFigure, SaeEval } from '../sae/eval/schema.js';
import { command } from './command.js';

export const saeEvalCommand = () =>
  command(
    'eval',
    'measure a sparse autoencoder beside random directions and principal components: sae-eval.json and report.html',
    EvalSaeOptions,
    async (options, work, [sae]) => {
      const { evaluation, directory } = await evaluateSae(sae, { ...options, ...work });
      const report = join(directory, 'report.html');
      await writeFileAtomic(report, renderSaeEvalReport(evaluation));
      return { json: evaluation, text: [...linesOf(evaluation), report].join('\n') };
    },
    { beginsAnew: true },
  ).argument('<sae>', 'a directory of SAELens or sparsify, or a file layer{n}.sae.pt of Qwen-Scope');

const shown = ({ value }: EvalFigure, digits = 4) => (value === null ? 'empty' : decimal(value, digits));

/** What a terminal shows: the autoencoder's figures, random directions and principal components in brackets. */
function linesOf({ reconstruction, splice, probing }: SaeEval): string[] {
  const lines = reconstruction.map(({ states, n, arms: { sae, random, pca } }) => {
    const beside = `(random ${shown(random.fvu)}, PCA ${shown(pca.fvu)})`;
    return `${states}, ${n} states: FVU ${shown(sae.fvu)} ${beside}, L0 ${shown(sae.l0, 1)}, dead ${shown(sae.dead)}`;
  });
  if ('arms' in splice) {
    const { sae, random, pca } = splice.arms;
    for (const ablation of ['zero', 'mean'] as const)
      lines.push(
        `against ${ablation} ablation: CE recovered ${shown(sae[ablation].ceRecovered)} (random ${shown(random[ablation].ceRecovered)}, PCA ${shown(pca[ablation].ceRecovered)}), KL score ${shown(sae[ablation].klScore)}`,
      );
  }
  if (Array.isArray(probing))
    for (const { states, mean } of probing)
      lines.push(
        `sparse probing of ${states}: mean AUC ${shown(mean.latents[5], 3)} with 5 latents, ${shown(mean.channels[5], 3)} with 5 channels, ${shown(mean.residual, 3)} with all channels`,
      );
  return lines;
}

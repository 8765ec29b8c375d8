import type { MatMul } from '../graph/matmul.js';
import { POLES } from '../moral/foundation.js';
import { BagOfWords } from '../statistics/bag-of-words.js';
import type { Design } from './design.js';
import { probeFigure, r2Figure, readLinearly, type WordFigures } from './dimensional.js';
import { empty } from './figure.js';
import type { JudgedTexts } from './judged-texts.js';
import type { Figure } from './schema.js';

/** The floors of analyses 4 and 5 from the texts' words alone, on the same split and by the same ridge, and the ceiling of analysis 4. */
export async function wordFigures(actions: string[], design: Design, matmul: MatMul): Promise<WordFigures> {
  const own = Array.from(design.texts.ids, (id) => actions[id]);
  const bag = BagOfWords.fit(Array.from(design.split.train, (i) => own[i]));
  const states = { n: own.length, d: bag.size, data: bag.matrix(own) };
  const ceiling = annotationCeiling(design.texts, design.targets[0]);
  if (bag.size === 0) {
    const none = empty('no word occurs in two training texts');
    return { floor: none, auc: none, ceiling };
  }
  const { r2, probe } = await readLinearly(states, design, matmul, { standardise: false });
  return { floor: r2Figure(r2), auc: probeFigure(probe), ceiling };
}

/** Fewer repeated texts than this estimate no noise. */
const FEWEST_REPEATED = 30;

/**
 * The largest R2 that repeated annotation allows, mean over the dimensions: 1 - (noise of a text's mean) / (variance of the means). The noise
 * is the variance between annotations of the same text, pooled over texts annotated more than once; a text of r annotations has 1/r of it.
 *
 * @param y the texts' targets, [texts, 11]
 */
export function annotationCeiling(texts: JudgedTexts, y: Float32Array): Figure {
  const K = POLES.length;
  const n = texts.length;
  const width = K + 1;
  const within = new Float64Array(K);
  let [freedom, repeated, noiseShare] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const annotations = texts.annotations(i).map((rows) => {
      const vector = new Float64Array(K);
      for (const { foundation, signed } of rows) vector[2 * foundation + (signed < 0 ? 1 : 0)] = Math.abs(signed);
      return vector;
    });
    noiseShare += 1 / annotations.length / n;
    if (annotations.length < 2) continue;
    repeated++;
    freedom += annotations.length - 1;
    for (let k = 0; k < K; k++) {
      const mean = annotations.reduce((sum, v) => sum + v[k], 0) / annotations.length;
      for (const v of annotations) within[k] += (v[k] - mean) ** 2;
    }
  }
  if (repeated < FEWEST_REPEATED)
    return empty(
      `${repeated === 0 ? 'no text has' : `only ${repeated} texts have`} more than one annotation, so the annotators' noise cannot be estimated`,
    );
  const ceilings: number[] = [];
  for (let k = 0; k < K; k++) {
    let [sum, squares] = [0, 0];
    for (let i = 0; i < n; i++) {
      sum += y[i * width + k];
      squares += y[i * width + k] ** 2;
    }
    const variance = squares / n - (sum / n) ** 2;
    if (variance > 0) ceilings.push(Math.max(0, 1 - ((within[k] / freedom) * noiseShare) / variance));
  }
  if (ceilings.length === 0) return empty('no pole varies among the texts');
  return { value: ceilings.reduce((a, b) => a + b, 0) / ceilings.length };
}

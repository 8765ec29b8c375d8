import type { DecoderSpec, RopeSpec } from './spec.js';

/**
 * cos and sin of the rotary angles position * frequency, each [context, headDim / 2], still where a head is not rotated; angles in
 * fp64, since those of late positions are large.
 * @param divisors `ropeDivisors` of the checkpoint, [rotated / 2], where the scaling asks for them
 */
export function rotaryTables(
  rope: RopeSpec,
  context: number,
  { headDim, rotated = headDim }: DecoderSpec['attention'],
  divisors?: Float32Array,
): { cos: Float32Array; sin: Float32Array } {
  const half = headDim / 2;
  const cos = new Float32Array(context * half).fill(1);
  const sin = new Float32Array(context * half);
  const amplitude = rope.scaling?.kind === 'yarn' ? rope.scaling.attentionFactor : 1;
  for (const [i, frequency] of frequencies(rope, rotated / 2, divisors).entries())
    for (let position = 0; position < context; position++) {
      cos[position * half + i] = amplitude * Math.cos(position * frequency);
      sin[position * half + i] = amplitude * Math.sin(position * frequency);
    }
  return { cos, sin };
}

function frequencies({ theta, scaling }: RopeSpec, half: number, divisors?: Float32Array): number[] {
  const plain = Array.from({ length: half }, (_, i) => theta ** (-i / half));
  switch (scaling?.kind) {
    case undefined:
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor);
    case 'divisors':
      if (divisors?.length !== half) throw new RangeError(`${divisors?.length} divisors for ${half} frequencies`);
      return plain.map((frequency, i) => frequency / divisors[i]);
    case 'llama3': {
      // Waves that turn often within the original context stay, those that turn seldom are stretched, with a ramp between.
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
      return plain.map((frequency) => {
        const turns = (originalContext * frequency) / (2 * Math.PI);
        const kept = clamp((turns - low) / (high - low));
        return kept * frequency + ((1 - kept) * frequency) / factor;
      });
    }
    case 'yarn': {
      const { factor, originalContext, betaFast, betaSlow, truncate } = scaling;
      const dimension = (turns: number) => (half * Math.log(originalContext / (turns * 2 * Math.PI))) / Math.log(theta);
      const [fast, slow] = [dimension(betaFast), dimension(betaSlow)];
      const first = Math.max(truncate ? Math.floor(fast) : fast, 0);
      const last = Math.min(truncate ? Math.ceil(slow) : slow, 2 * half - 1);
      const span = last === first ? 0.001 : last - first;
      return plain.map((frequency, i) => {
        const stretched = clamp((i - first) / span);
        return (1 - stretched) * frequency + (stretched * frequency) / factor;
      });
    }
  }
}

function clamp(share: number): number {
  return Math.min(Math.max(share, 0), 1);
}

/**
 * Where the rows of a query or key projection are to be taken from in each head, so that its halves are rotated against each
 * other; undefined: they lie so. Some files store the halves interleaved, because their attention rotates neighbours. And where
 * part of a head is rotated, that part's halves go to the front of the head's halves; scores do not depend on the order.
 */
export function rotaryOrder(
  { headDim, rotated = headDim }: DecoderSpec['attention'],
  interleaved: boolean,
): number[] | undefined {
  if (!interleaved && rotated === headDim) return undefined;
  const [half, rotatedHalf] = [headDim / 2, rotated / 2];
  return Array.from({ length: headDim }, (_, row) => {
    const [side, i] = [Math.floor(row / half), row % half];
    if (i >= rotatedHalf) return rotated + side * (half - rotatedHalf) + i - rotatedHalf;
    return interleaved ? 2 * i + side : side * rotatedHalf + i;
  });
}

/** Rows of several heads in this order within each. */
export function reorderHeads(stored: Float32Array, rows: number, order: readonly number[]): Float32Array {
  const width = stored.length / rows;
  const out = new Float32Array(stored.length);
  for (let head = 0; head < rows; head += order.length)
    for (const [row, from] of order.entries())
      out.set(stored.subarray((head + from) * width, (head + from + 1) * width), (head + row) * width);
  return out;
}

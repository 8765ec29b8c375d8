import type { Change, Intervention, Latents } from '../model/intervention.js';

/**
 * States after an intervention, outside any graph and in fp64: x' = x + s (...) as `Change` says. States that are sinks by their norm stay;
 * positions play no part.
 * @param x [n, hidden]
 * @returns new memory
 */
export function changedStates(
  x: Float32Array,
  hidden: number,
  { change, sinkThreshold }: Intervention,
  strength: number,
): Float32Array {
  const changed = x.slice();
  const step = stepOf(change, hidden);
  for (let from = 0; from < x.length; from += hidden) {
    const state = x.subarray(from, from + hidden);
    let square = 0;
    for (const value of state) square += value * value;
    if (Math.sqrt(square) > sinkThreshold) continue;
    const by = step(state);
    for (let c = 0; c < hidden; c++) changed[from + c] = state[c] + strength * by[c];
  }
  return changed;
}

/** What is added to a state at strength 1. */
function stepOf(change: Change, hidden: number): (state: Float32Array) => ArrayLike<number> {
  switch (change.mode) {
    case 'add':
      return () => change.direction;
    case 'project':
      return (state) => {
        let product = change.b;
        for (let c = 0; c < hidden; c++) product += state[c] * change.w[c];
        const gated = change.gate === 'relu' ? Math.max(0, product) : product;
        return Float64Array.from(change.u, (value) => gated * value);
      };
    case 'blend':
      return (state) => {
        const back = decoded(change.latents, state, change.centre);
        return back.map((value, c) => value + change.bias[c] - state[c]);
      };
    case 'delta':
      return (state) => {
        const before = decoded(change.before, state, change.centre);
        return decoded(change.after, state, change.centre).map((value, c) => value - before[c]);
      };
  }
}

/** z wDec of a state. */
function decoded({ wEnc, bEnc, threshold, wDec }: Latents, state: Float32Array, centre: Float32Array): Float64Array {
  const [hidden, width] = [state.length, bEnc.length];
  const pre = Float64Array.from(bEnc);
  for (let c = 0; c < hidden; c++) {
    const value = state[c] - centre[c];
    for (let j = 0, at = c * width; j < width; j++, at++) pre[j] += value * wEnc[at];
  }
  const out = new Float64Array(hidden);
  for (let j = 0; j < width; j++) {
    if (!(pre[j] > Math.max(0, threshold?.[j] ?? 0))) continue;
    for (let c = 0, at = j * hidden; c < hidden; c++, at++) out[c] += pre[j] * wDec[at];
  }
  return out;
}

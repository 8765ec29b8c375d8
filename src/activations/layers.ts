import { MoralscopeError } from '../errors.js';

/**
 * The layers a selection names, ascending, each once: `all`, a list with ranges such as `3,7-12`, or numbers.
 * @throws MoralscopeError `misuse` for a malformed selection or a layer the model does not have
 */
export function selectLayers(selection: string | readonly number[], count: number): number[] {
  const layers = typeof selection === 'string' ? parse(selection, count) : selection;
  const unknown = layers.find((layer) => !(Number.isInteger(layer) && layer >= 0 && layer < count));
  if (unknown !== undefined)
    throw new MoralscopeError('misuse', `The model has no layer ${unknown}, only 0 to ${count - 1}.`, 'Choose layers it has.');
  if (layers.length === 0) throw new MoralscopeError('misuse', 'No layer was asked for.', 'Write all, or a list such as 3,7-12.');
  return [...new Set(layers)].sort((a, b) => a - b);
}

function parse(selection: string, count: number): number[] {
  if (selection.trim() === 'all') return Array.from({ length: count }, (_, layer) => layer);
  return selection.split(',').flatMap((part) => {
    const [, first, last = first] = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first))
      throw new MoralscopeError('misuse', `${JSON.stringify(part)} names no layers.`, 'Write all, or a list such as 3,7-12.');
    // One layer beyond the model is enough to be refused; a range of billions is not spelled out.
    const end = Math.min(Number(last), Math.max(Number(first), count));
    return Array.from({ length: end - Number(first) + 1 }, (_, i) => Number(first) + i);
  });
}

/** Edits (insert, delete, replace, swap of neighbours) that turn one name into another, case left aside. */
function distance(from: string, to: string): number {
  const a = from.toLowerCase();
  const b = to.toLowerCase();
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.length];
}

/**
 * The known name a user most likely meant: the least edits away, or one that begins with what was typed (three letters or
 * more). Undefined where nothing is near: more than one edit and more than two fifths of the longer name's letters.
 */
export function nearestName(wanted: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const name of known) {
    const edits = distance(wanted, name);
    const begins = wanted.length >= 3 && name.toLowerCase().startsWith(wanted.toLowerCase());
    const near = begins || edits <= Math.max(1, 0.4 * Math.max(wanted.length, name.length));
    const rank = begins ? Math.min(edits, 1) : edits;
    if (near && rank < fewest) {
      best = name;
      fewest = rank;
    }
  }
  return best;
}

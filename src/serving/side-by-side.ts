/** @file Two texts beside each other in a terminal. */

const GAP = ' │ ';

/** Columns of fewer characters than this are hard to read: below twice as many, texts stand one after the other. */
const NARROWEST = 45;

/** Whether there is room for two columns. */
export function fitsBeside(width: number): boolean {
  return width >= 2 * NARROWEST + GAP.length;
}

/** @param width characters of a line */
export function besideEachOther(left: string, right: string, width: number): string {
  const each = Math.floor((width - GAP.length) / 2);
  const columns = [left, right].map((text) => text.split('\n').flatMap((line) => wrap(line, each)));
  const rows = Math.max(columns[0].length, columns[1].length);
  const cell = (lines: string[], row: number) => lines[row] ?? '';
  return Array.from({ length: rows }, (_, row) => {
    const first = cell(columns[0], row);
    return `${first}${' '.repeat(each - lengthOf(first))}${GAP}${cell(columns[1], row)}`.trimEnd();
  }).join('\n');
}

/** A line as lines of so many characters, broken at spaces where there are any. */
function wrap(line: string, width: number): string[] {
  const lines: string[] = [];
  let current = '';
  for (const word of line.split(/(?<=\s)/)) {
    if (lengthOf(current) + lengthOf(word.trimEnd()) > width && current !== '') {
      lines.push(current.trimEnd());
      current = '';
    }
    current += word;
    while (lengthOf(current.trimEnd()) > width) {
      const characters = [...current];
      lines.push(characters.slice(0, width).join(''));
      current = characters.slice(width).join('');
    }
  }
  return [...lines, current.trimEnd()];
}

const lengthOf = (text: string) => [...text].length;

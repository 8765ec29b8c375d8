/** Unicode white space and the byte order mark: what JavaScript's trim takes off. */
const WHITE_SPACE = [
  ' \t\n\v\f\r\u00a0\u1680',
  ...Array.from({ length: 11 }, (_, i) => String.fromCharCode(0x2000 + i)),
  '\u2028\u2029\u202f\u205f\u3000\ufeff',
].join('');
const SPACES = new RegExp(`[${WHITE_SPACE}]+`, 'g');

/** The text of an action: trimmed, its final full stop dropped (docs/paper.md section 2). */
export function actionText(action: string): string {
  return action.trim().replace(/\.$/, '').trimEnd();
}

/** The form by which two texts are the same: white space collapsed to single spaces, composed (NFC), lower case. */
export function normalisedText(text: string): string {
  return text.replace(SPACES, ' ').normalize('NFC').toLowerCase();
}

/** SQL for `actionText` of an SQL expression. */
export function actionTextSql(action: string): string {
  const begun = `regexp_replace(${action}, '^[${WHITE_SPACE}]+', '')`;
  return `regexp_replace(${begun}, '[${WHITE_SPACE}]*\\.?[${WHITE_SPACE}]*$', '')`;
}

/** SQL that is true where an action holds more than white space and full stops. */
export function hasTextSql(action: string): string {
  return `regexp_matches(${action}, '[^${WHITE_SPACE}.]')`;
}

/** SQL for `normalisedText` of an SQL expression. Most texts have nothing to collapse and skip the regular expression. */
export function normalisedTextSql(text: string): string {
  const unusual = `strlen(${text}) <> length(${text}) OR contains(${text}, '  ') OR regexp_matches(${text}, '[\\t\\n\\v\\f\\r]')`;
  const collapsed = `regexp_replace(${text}, '[${WHITE_SPACE}]+', ' ', 'g')`;
  return `lower(nfc_normalize(CASE WHEN ${unusual} THEN ${collapsed} ELSE ${text} END))`;
}

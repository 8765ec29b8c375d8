import { MoralscopeError } from '../errors.js';
import { nearestName } from '../nearest.js';
import { type Database, identifier, literal } from './database.js';
import { FOUNDATIONS } from './foundation.js';
import { lineOfRecord, type Source } from './source.js';
import { hasTextSql } from './text.js';

const ACTION = 'action';
const TAGS = 'rot-moral-foundations';
const JUDGMENT = 'action-moral-judgment';

/** The columns of Social-Chemistry-101: each means what it says, none is another one misspelt. */
const SOCIAL_CHEM_COLUMNS = (
  'area m split rot-agree rot-categorization rot-moral-foundations rot-char-targeting rot-bad rot-judgment action action-agency ' +
  'action-moral-judgment action-agree action-legal action-pressure action-char-involved action-hypothetical situation ' +
  'situation-short-id rot rot-id rot-worker-id breakdown-worker-id n-characters characters'
).split(' ');

/** Which of a source's columns say what, and what was assumed for those it lacks. */
export interface AnnotationColumns {
  /** `action-agree`, or `rot-agree` in its place. */
  agreement: string;
  /** Filters the source has columns for. */
  filters: { column: 'm' | 'rot-bad'; value: number }[];
  assumptions: string[];
}

/** Finds the columns of docs/paper.md section 1. Throws `bad-file` for a missing one. */
export function annotationColumns(source: Source): AnnotationColumns {
  const assumptions: string[] = [];
  for (const column of [ACTION, TAGS, JUDGMENT]) if (!source.columns.includes(column)) throw missing(source, column);
  let agreement = 'action-agree';
  if (!source.columns.includes(agreement)) {
    if (!source.columns.includes('rot-agree')) throw missing(source, agreement);
    agreement = 'rot-agree';
    assumptions.push('no column action-agree: rot-agree is used in its place');
  }
  const filters: AnnotationColumns['filters'] = [];
  for (const filter of [{ column: 'm', value: 1 } as const, { column: 'rot-bad', value: 0 } as const]) {
    if (source.columns.includes(filter.column)) filters.push(filter);
    else assumptions.push(`no column ${filter.column}: taken as ${filter.value} in every row`);
  }
  return { agreement, filters, assumptions };
}

function missing({ path, columns }: Source, column: string): MoralscopeError {
  const near = nearestName(
    column,
    columns.filter((c) => !SOCIAL_CHEM_COLUMNS.includes(c)),
  );
  return new MoralscopeError(
    'bad-file',
    `${path} has no column ${column}; its columns are ${columns.join(', ').slice(0, 500)}.`,
    near ? `Is it ${near}? Then rename that.` : 'Give a table with the columns of Social-Chemistry-101.',
  );
}

/**
 * SQL for the rows the corpus is made of: rot-bad = 0, m = 1, foundations, judgment and agreement not empty, and an action with text.
 * Rows whose rot-bad or m is not a number are let through, for `checkAnnotations` to complain about.
 */
export function wanted({ agreement, filters }: AnnotationColumns): string {
  const conditions = filters.map(({ column, value }) => `coalesce(${number(column)} = ${value}, ${isPresent(column)})`);
  return [...conditions, ...[TAGS, JUDGMENT, agreement].map(isPresent), hasTextSql(identifier(ACTION))].join(' AND ');
}

/**
 * Looks for a value that cannot be meant, in the rows that are wanted.
 * @param file what `wanted` let through, a parquet file with the source's columns
 * @throws MoralscopeError `bad-data` with file, line, column and value of the first one, or where no row is left
 */
export async function checkAnnotations(
  database: Database,
  source: Source,
  columns: AnnotationColumns,
  file: string,
): Promise<void> {
  const rules = rulesOf(source, columns);
  const broken = rules.map(({ broken }) => `(${broken})`).join(' OR ');
  const [found] = await database.rows<{ annotations: number; broken: boolean }>(
    `SELECT count(*)::INTEGER AS annotations, coalesce(bool_or(${broken}), false) AS broken FROM read_parquet(${literal(file)})`,
  );
  if (found.annotations === 0) throw await nothingLeft(database, source, columns);
  if (!found.broken) return;
  const cases = rules.map(({ broken }, i) => `WHEN ${broken} THEN ${i}`).join(' ');
  const [first] = await database.rows<Record<string, string> & { record: number; rule: number }>(
    `SELECT * FROM (SELECT (row_number() OVER ())::INTEGER AS record, * FROM ${source.relation})
       CROSS JOIN LATERAL (SELECT CASE ${cases} END::INTEGER AS rule)
     WHERE ${wanted(columns)} AND rule IS NOT NULL ORDER BY record LIMIT 1`,
  );
  const { column, allowed } = rules[first.rule];
  const line = await lineOfRecord(source, first.record);
  throw new MoralscopeError(
    'bad-data',
    `${source.path} ${line === undefined ? `row ${first.record}` : `line ${line}`}: ${column} is ${shown(first[column])}, ${allowed(first[column])}.`,
    'Correct the value, or leave the row out.',
  );
}

interface Rule {
  column: string;
  /** SQL that is true where the rule is broken. */
  broken: string;
  /** What the value should be, the end of a sentence. */
  allowed: (value: string) => string;
}

function rulesOf(source: Source, { agreement, filters }: AnnotationColumns): Rule[] {
  const delimiter = source.format === 'csv' ? ',' : '\t';
  const oneOf = (column: string, values: number[]): Rule => ({
    column,
    broken: `coalesce(${number(column)} NOT IN (${values.join(', ')}), true)`,
    allowed: () => `which must be one of ${values.join(', ')}`,
  });
  return [
    ...filters.map(({ column }) => ({
      column,
      broken: `${number(column)} IS NULL`,
      allowed: () => 'which must be a number',
    })),
    {
      column: ACTION,
      broken: `contains(${identifier(ACTION)}, chr(10)) AND contains(${identifier(ACTION)}, ${literal(delimiter)})`,
      allowed: () => 'which runs over several rows: a stray quote opens it',
    },
    {
      column: TAGS,
      broken: `NOT list_has_all([${FOUNDATIONS.map(literal).join(', ')}], string_split(${identifier(TAGS)}, '|'))`,
      allowed: (value) => {
        const unknown = value.split('|').find((tag) => !FOUNDATIONS.includes(tag as never)) ?? '';
        const near = nearestName(unknown, FOUNDATIONS);
        return `where ${shown(unknown)} is no foundation${near ? ` (${near} is meant?)` : ''}; they are ${FOUNDATIONS.join(', ')}, joined by |`;
      },
    },
    oneOf(JUDGMENT, [-2, -1, 0, 1, 2]),
    oneOf(agreement, [0, 1, 2, 3, 4]),
  ];
}

async function nothingLeft(database: Database, source: Source, columns: AnnotationColumns): Promise<MoralscopeError> {
  const counts = [
    ...columns.filters.map(({ column, value }) => [
      `${column} other than ${value}`,
      `${number(column)} IS DISTINCT FROM ${value}`,
    ]),
    ...[ACTION, TAGS, JUDGMENT, columns.agreement].map((column) => [`no ${column}`, `NOT coalesce(${isPresent(column)}, false)`]),
  ];
  const selected = counts.map(([, condition], i) => `count(*) FILTER (WHERE ${condition})::INTEGER AS c${i}`);
  const [found] = await database.rows<Record<string, number>>(
    `SELECT count(*)::INTEGER AS total, ${selected.join(', ')} FROM ${source.relation}`,
  );
  const why = counts.flatMap(([what], i) => (found[`c${i}`] > 0 ? [`${found[`c${i}`]} with ${what}`] : [])).join(', ');
  return new MoralscopeError(
    'bad-data',
    found.total === 0
      ? `${source.path} has a header but no rows.`
      : `${source.path} leaves no row to work with: of ${found.total}, ${why || 'all have an action without text'}.`,
    'Rows need rot-bad = 0, m = 1, an action, its foundations, its judgment and its agreement.',
  );
}

function number(column: string): string {
  return `try_cast(${identifier(column)} AS DOUBLE)`;
}

function isPresent(column: string): string {
  return `${identifier(column)} <> ''`;
}

function shown(value: string): string {
  const text = value.length > 60 ? `${value.slice(0, 60)}...` : value;
  return JSON.stringify(text);
}

import { GraphSession, type GraphTensor } from '../graph/session.js';
import type { CompiledDecoder } from './compiled-decoder.js';
import { RotaryTable } from './rotary.js';
import { sightBias, sightName } from './sight.js';
import { checkSteering, type Stage, type Steering, SteeringInputs } from './steering.js';
import type { TokenBatch, TokenRows } from './token-rows.js';

/** The arrays are overwritten by the session's next run: copy what is to stay. */
export interface DecoderStates {
  /** One array [rows, hidden] for each tapped site, in the order of `CompiledDecoder.sites`. */
  residuals: Float32Array[];
  /** The row of each token, [batch, length]; that of a text's last token where there is padding. */
  place: Int32Array;
  /**
   * After the last token of each text, [batch, vocabulary], or after the tokens that were asked for, or of every row,
   * [rows, vocabulary]; only where the decoder was compiled with logits.
   */
  logits?: Float32Array;
}

/** What a run knows of its texts' earlier tokens. */
interface CachedRun {
  /** How many there are of each text. */
  lengths: Int32Array;
  /** For how many there is room. */
  room: number;
  /** Their keys and values as the graph names them. */
  past: Readonly<Record<string, GraphTensor>>;
}

interface RunInputs {
  /** Of earlier tokens, if the decoder has a cache. */
  cache?: CachedRun;
  /** States of the given site, [rows, hidden], where the decoder was compiled with one. */
  given?: Float32Array | undefined;
  /** Where the decoder was compiled with interventions; default: a strength of 0. */
  steering?: Steering | undefined;
  /** Default: `prompt`. */
  stage?: Stage | undefined;
  /** Rows whose logits are wanted; default: of each text's last token. */
  read?: Int32Array | undefined;
  /** Of each text, whether its last token in this run is steered as its last; default: all are. */
  ends?: readonly boolean[] | undefined;
}

/** A compiled decoder's graph, ready to be fed: what its sessions have in common. */
export class DecoderRunner {
  private readonly memory = new Map<string, Float32Array>();
  private readonly tables: readonly (readonly [string, RotaryTable])[];
  private readonly steered: SteeringInputs;

  private constructor(
    readonly compiled: CompiledDecoder,
    private readonly session: GraphSession,
  ) {
    this.tables = Object.entries(compiled.ropes).map(([name, rope]) => [name, new RotaryTable(rope)]);
    this.steered = new SteeringInputs(compiled);
  }

  static async open(compiled: CompiledDecoder, { threads }: { threads?: number | undefined }): Promise<DecoderRunner> {
    return new DecoderRunner(compiled, await GraphSession.open(compiled.graph, { threads }));
  }

  /** Logits of a row. */
  private get logitWidth(): number {
    return this.compiled.logitTokens?.length ?? this.compiled.vocabulary;
  }

  /**
   * @param more.cached tokens of each text that are there before
   * @throws RangeError for lengths or ids outside what the decoder takes; MoralscopeError `misuse` for such a steering
   */
  check(
    { ids, lengths, batch, length }: TokenBatch,
    { cached, steering }: { cached?: Int32Array; steering?: Steering | undefined } = {},
  ): void {
    const { vocabulary, context } = this.compiled;
    if (length < 1 || batch < 1 || ids.length !== batch * length || lengths.length !== batch)
      throw new RangeError(`${ids.length} ids and ${lengths.length} lengths for ${batch} texts of ${length} tokens`);
    for (const [text, n] of lengths.entries()) {
      if (n < 1 || n > length) throw new RangeError(`a text of ${n} tokens in a batch of length ${length}`);
      const all = n + (cached?.[text] ?? 0);
      if (all > context) throw new RangeError(`a text of ${all} tokens; the model takes 1 to ${context}`);
    }
    for (const id of ids) if (id < 0 || id >= vocabulary) throw new RangeError(`token ${id}; the vocabulary has ${vocabulary}`);
    if (steering) checkSteering(steering, this.compiled, batch);
  }

  /** @throws RangeError for given states of another size than so many rows of the given site */
  checkGiven(given: Float32Array | undefined, rows: number): void {
    const { given: site, hidden } = this.compiled;
    if ((given?.length ?? 0) !== (site ? rows * hidden : 0))
      throw new RangeError(`${given?.length ?? 0} numbers for ${rows} rows of ${site ?? 'no given site'}`);
  }

  /**
   * Memory for the states of so many rows, kept from run to run so that it does not grow with their number.
   * @param read of how many rows the logits are wanted, where the decoder was compiled with the last ones
   */
  states(rows: number, read: number): Omit<DecoderStates, 'place'> {
    const { sites, hidden, logits } = this.compiled;
    const residuals = sites.map((name) => this.target(name, rows * hidden));
    return logits
      ? { residuals, logits: this.target('logits', (logits === 'all' ? rows : read) * this.logitWidth) }
      : { residuals };
  }

  /**
   * Runs these rows into `states`.
   * @param lengths tokens of each text
   * @returns outputs that `states` does not hold
   */
  async run(
    tokens: TokenRows,
    lengths: Int32Array,
    states: Omit<DecoderStates, 'place'>,
    { cache, given, steering, stage = 'prompt', read, ends }: RunInputs = {},
  ): Promise<Record<string, GraphTensor>> {
    const { ids, positions, place, first } = tokens;
    const { sites, sights, hidden } = this.compiled;
    const [rows, texts] = [ids.length, lengths.length];
    const length = place.length / texts;
    const readRows = read ?? lengths.map((n, text) => place[text * length + n - 1]);
    const lasts = lengths.map((n, text) => ((ends?.[text] ?? true) ? n : 0));
    const feeds: Record<string, GraphTensor> = {
      ...cache?.past,
      ...this.steered.of(steering, tokens, lasts, stage),
      ids: { data: ids, shape: [rows] },
      position: { data: positions, shape: [rows] },
      place: { data: place, shape: [texts, length] },
      first: { data: first, shape: [rows] },
      last: { data: lengths.map((n) => n - 1), shape: [texts] },
      length: { data: Int32Array.of(length), shape: [1] },
      read_rows: { data: readRows, shape: [readRows.length] },
    };
    if (given) feeds.given = { data: given, shape: [rows, hidden] };
    if (cache)
      for (const sight of sights)
        feeds[sightName(sight)] = {
          data: sightBias(sight, cache.lengths, cache.room, length),
          shape: [texts, 1, length, cache.room + length],
        };
    // The batch may be padded beyond its longest text.
    const end = positions.reduce((most, position) => Math.max(most, position + 1), length);
    for (const [name, rope] of this.tables)
      for (const [part, table] of Object.entries(rope.upTo(end))) feeds[`rotary.${name}.${part}`] = table;
    const inputs = Object.fromEntries(this.session.inputs.map((name) => [name, feeds[name]]));
    const targets: Record<string, GraphTensor> = {};
    for (const [i, name] of sites.entries()) targets[name] = { data: states.residuals[i], shape: [rows, hidden] };
    if (states.logits) targets.logits = { data: states.logits, shape: [states.logits.length / this.logitWidth, this.logitWidth] };
    return this.session.run(inputs, this.session.outputs, targets);
  }

  private target(name: string, length: number): Float32Array {
    let memory = this.memory.get(name);
    if (!memory || memory.length < length) {
      memory = new Float32Array(length);
      this.memory.set(name, memory);
    }
    return memory.subarray(0, length);
  }

  close(): Promise<void> {
    return this.session.close();
  }
}

import { GraphSession, type GraphTensor } from '../graph/session.js';
import type { CompiledDecoder } from './compiled-decoder.js';

/** Texts as token ids, padded on the right to one length with any token. */
export interface TokenBatch {
  /** [batch, length] */
  ids: Int32Array;
  /** Tokens of each text, 1 to `length`. */
  lengths: Int32Array;
  batch: number;
  length: number;
}

/** The arrays are overwritten by the session's next run: copy what is to stay. */
export interface DecoderStates {
  /** One array [batch, length, hidden] for each tapped site, in the order of `CompiledDecoder.sites`. Rows of padding mean nothing. */
  residuals: Float32Array[];
  /** After the last token of each text, [batch, vocabulary]; only where the decoder was compiled with logits. */
  logits?: Float32Array;
}

/** A compiled decoder at work. A run blocks the thread that opened the session, so open it in a worker thread. */
export class DecoderSession {
  private readonly memory = new Map<string, Float32Array>();

  private constructor(
    readonly compiled: CompiledDecoder,
    private readonly session: GraphSession,
  ) {}

  /** @param options.threads threads of one run; default: as many as the machine has cores */
  static async open(compiled: CompiledDecoder, { threads }: { threads?: number | undefined } = {}): Promise<DecoderSession> {
    return new DecoderSession(compiled, await GraphSession.open(compiled.graph, { threads }));
  }

  /** @throws RangeError for lengths or ids outside what the decoder takes */
  async run(batch: TokenBatch): Promise<DecoderStates> {
    this.check(batch);
    const { ids, lengths, batch: rows, length } = batch;
    const last = lengths.map((n) => n - 1);
    const feeds: Record<string, GraphTensor> = {
      ids: { data: ids, shape: [rows, length] },
      last: { data: last, shape: [rows] },
      length: { data: Int32Array.of(length), shape: [1] },
      rows: { data: last.map((position, row) => row * length + position), shape: [rows] },
    };
    const inputs = Object.fromEntries(this.session.inputs.map((name) => [name, feeds[name]]));
    const { sites, hidden, vocabulary } = this.compiled;
    const targets = Object.fromEntries(
      this.session.outputs.map((name) => [
        name,
        name === 'logits' ? this.target(name, [rows, vocabulary]) : this.target(name, [rows * length, hidden]),
      ]),
    );
    await this.session.run(inputs, this.session.outputs, targets);
    const residuals = sites.map((name) => targets[name].data);
    return this.compiled.logits ? { residuals, logits: targets.logits.data } : { residuals };
  }

  /** Memory for an output, kept from run to run so that it does not grow with their number. */
  private target(name: string, shape: [number, number]): { data: Float32Array; shape: number[] } {
    const length = shape[0] * shape[1];
    let memory = this.memory.get(name);
    if (!memory || memory.length < length) {
      memory = new Float32Array(length);
      this.memory.set(name, memory);
    }
    return { data: memory.subarray(0, length), shape };
  }

  close(): Promise<void> {
    return this.session.close();
  }

  private check({ ids, lengths, batch, length }: TokenBatch): void {
    const { vocabulary, context } = this.compiled;
    if (length < 1 || length > context) throw new RangeError(`texts of ${length} tokens; the model takes 1 to ${context}`);
    if (batch < 1 || ids.length !== batch * length || lengths.length !== batch)
      throw new RangeError(`${ids.length} ids and ${lengths.length} lengths for ${batch} texts of ${length} tokens`);
    for (const n of lengths)
      if (n < 1 || n > length) throw new RangeError(`a text of ${n} tokens in a batch of length ${length}`);
    for (const id of ids) if (id < 0 || id >= vocabulary) throw new RangeError(`token ${id}; the vocabulary has ${vocabulary}`);
  }
}

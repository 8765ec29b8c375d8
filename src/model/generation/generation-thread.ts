/** @file The thread that generates: it owns the session and the caches. */
import { freemem } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { boundaryTokens } from '../../checkpoint/boundary-tokens.js';
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { MoralscopeError, throwIfCancelled } from '../../errors.js';
import { compileDecoder } from '../compile.js';
import type { CompiledDecoder } from '../compiled-decoder.js';
import { DecodingSession } from '../decoding-session.js';
import { shapesOfArms } from './arms.js';
import { ContinuousBatching } from './batching.js';
import {
  type GenerationCommand,
  type GenerationReply,
  type GenerationRequest,
  type GenerationThreadData,
  type Prompt,
  toSent,
} from './messages.js';
import { NextToken } from './next-token.js';
import { Sequence, type SequenceTools } from './sequence.js';

/** Of the memory that is free, what keys and values may take unless told otherwise; room is made for half as much again. */
const SHARE = 1 / 4;
const SLACK = 1.5;
/** Of one run, tokens times parameters: about a second on two cores. Who cancels or joins waits as long. */
const PART_WORK = 1.4e11;

const port = parentPort!;
const { model, checkpoint: source, parameters, threads, options, arms } = workerData as GenerationThreadData;
const send = (reply: GenerationReply) => port.postMessage(reply);

async function open(signal: AbortSignal) {
  // What is known of it need not be computed again.
  const checkpoint = { ...(await openCheckpoint(source.path)), sha256: async () => source.sha256 };
  let tools: SequenceTools;
  let compiled: CompiledDecoder;
  try {
    compiled = await compileDecoder(checkpoint, {
      sites: [],
      logits: 'last',
      cache: true,
      precision: options.precision,
      interventions: shapesOfArms(arms),
      onProgress: (event) => send({ kind: 'progress', event }),
      signal,
    });
    const tokenizer = await checkpoint.tokenizer();
    const { context, vocabulary } = compiled;
    const boundaries = await boundaryTokens(checkpoint, tokenizer);
    tools = { tokenizer, boundaries, context, vocabulary, nextToken: new NextToken(vocabulary) };
  } finally {
    await checkpoint.close();
  }
  throwIfCancelled(signal);
  const session = await DecodingSession.open(compiled, { threads });
  const { layers, heads, width } = compiled.cache!;
  const bytes = options.cacheMiB === undefined ? SHARE * (process.availableMemory() || freemem()) : options.cacheMiB * 2 ** 20;
  const tokens = Math.floor(bytes / (8 * layers * heads * width * SLACK));
  const batching = new ContinuousBatching(
    session,
    arms,
    { sequences: options.sequences, tokens, part: Math.min(Math.max(Math.floor(PART_WORK / parameters), 64), 1024) },
    {
      onUpdates: (updates) => send({ kind: 'updates', updates }),
      onFailure: (id, error) => send({ kind: 'failed', id, error: toSent(error) }),
    },
  );
  return { session, batching, tools };
}

function toSequence(request: GenerationRequest, tools: SequenceTools): Sequence[] {
  try {
    const sequence = new Sequence(request, promptIds(request.prompt, tools), tools);
    if (request.cancelled) sequence.finish('cancelled');
    return [sequence];
  } catch (error) {
    send({ kind: 'failed', id: request.id, error: toSent(error) });
    return [];
  }
}

function promptIds(prompt: Prompt, { tokenizer, boundaries: { begin }, context, vocabulary }: SequenceTools): Int32Array {
  const given = typeof prompt === 'string' ? tokenizer.encode(prompt) : prompt;
  const ids = given.length === 0 && begin !== undefined ? Int32Array.of(begin) : given;
  if (ids.length === 0)
    throw new MoralscopeError(
      'bad-data',
      'A prompt is empty.',
      `${model} has no token that a text begins with: give it some text.`,
    );
  if (ids.length > context)
    throw new MoralscopeError(
      'bad-data',
      `A prompt has ${ids.length} tokens; ${model} takes at most ${context}.`,
      'Shorten the prompt.',
    );
  const wrong = ids.find((id) => !(id >= 0 && id < vocabulary));
  if (wrong !== undefined)
    throw new MoralscopeError(
      'bad-data',
      `A prompt holds the token id ${wrong}; ids of ${model} run from 0 to ${vocabulary - 1}.`,
      "Use the ids of the model's own tokenizer.",
    );
  return ids;
}

const closing = new AbortController();
const opened = open(closing.signal);
port.on('message', async (command: GenerationCommand) => {
  if (command.kind === 'close') closing.abort();
  try {
    const { session, batching, tools } = await opened;
    if (command.kind === 'add') batching.add(command.requests.flatMap((request) => toSequence(request, tools)));
    else if (command.kind === 'cancel') batching.cancel(command.id);
    else if (command.kind === 'arm') batching.addArm(command.name, command.interventions);
    else {
      await batching.stop();
      await session.close();
      port.close();
    }
  } catch (error) {
    lose(error);
  }
});
opened.then(({ tools }) => send({ kind: 'ready', endTokens: tools.boundaries.ends }), lose);

function lose(error: unknown): void {
  send({ kind: 'lost', error: toSent(error) });
  port.close();
}

/** @file The thread that generates: it owns the session and the caches. */
import { freemem } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { boundaryTokens } from '../../checkpoint/boundary-tokens.js';
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { MoralscopeError } from '../../errors.js';
import { DecodingSession } from '../decoding-session.js';
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

const port = parentPort!;
const { compiled, model, checkpoint: path, threads, options, arms } = workerData as GenerationThreadData;
const send = (reply: GenerationReply) => port.postMessage(reply);

async function open() {
  const checkpoint = await openCheckpoint(path);
  let tools: SequenceTools;
  try {
    const tokenizer = await checkpoint.tokenizer();
    tools = {
      tokenizer,
      nextToken: new NextToken(compiled.vocabulary),
      boundaries: await boundaryTokens(checkpoint, tokenizer),
      context: compiled.context,
    };
  } finally {
    await checkpoint.close();
  }
  const session = await DecodingSession.open(compiled, { threads });
  const { layers, heads, width } = compiled.cache!;
  const bytes = options.cacheMiB === undefined ? SHARE * (process.availableMemory() || freemem()) : options.cacheMiB * 2 ** 20;
  const tokens = Math.floor(bytes / (8 * layers * heads * width * SLACK));
  const batching = new ContinuousBatching(
    session,
    arms,
    { sequences: options.sequences, tokens },
    {
      onUpdates: (updates) => send({ kind: 'updates', updates }),
      onFailure: (id, error) => send({ kind: 'failed', id, error: toSent(error) }),
    },
  );
  return { session, batching, tools };
}

function toSequence(request: GenerationRequest, tools: SequenceTools): Sequence[] {
  try {
    return [new Sequence(request, promptIds(request.prompt, tools), tools)];
  } catch (error) {
    send({ kind: 'failed', id: request.id, error: toSent(error) });
    return [];
  }
}

function promptIds(prompt: Prompt, { tokenizer, boundaries: { begin } }: SequenceTools): Int32Array {
  const given = typeof prompt === 'string' ? tokenizer.encode(prompt) : prompt;
  const ids = given.length === 0 && begin !== undefined ? Int32Array.of(begin) : given;
  const { vocabulary, context } = compiled;
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

try {
  const { session, batching, tools } = await open();
  port.on('message', async (command: GenerationCommand) => {
    if (command.kind === 'add') batching.add(command.requests.flatMap((request) => toSequence(request, tools)));
    else if (command.kind === 'cancel') batching.cancel(command.id);
    else {
      await batching.stop();
      await session.close();
      port.close();
    }
  });
  send({ kind: 'ready', endTokens: tools.boundaries.ends });
} catch (error) {
  send({ kind: 'lost', error: toSent(error) });
  port.close();
}

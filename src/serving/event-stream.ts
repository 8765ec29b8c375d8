/** @file Answers that come in pieces: server-sent events, as OpenAI's clients read them. */

export interface EventStreamOptions {
  /** What is sent instead of the rest when the values break off. */
  onError: (error: unknown) => unknown;
  /** The client is gone. */
  onCancel: () => void;
}

/** A response that sends each value as an event, and `[DONE]` after the last. */
export function eventStream(values: AsyncIterable<unknown>, { onError, onCancel }: EventStreamOptions): Response {
  const iterator = values[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  let gone = false;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, data } = await iterator.next().then(
        ({ done, value }) => ({ done, data: done ? '[DONE]' : JSON.stringify(value) }),
        (error) => ({ done: true, data: JSON.stringify(onError(error)) }),
      );
      if (gone) return;
      controller.enqueue(encoder.encode(`data: ${data}\n\n`));
      if (done) controller.close();
    },
    cancel() {
      gone = true;
      onCancel();
    },
  });
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // Proxies that gather answers before they pass them on are asked not to.
      'x-accel-buffering': 'no',
    },
  });
}

/** The values of several sources as they come, each with the number of its source. To leave it early leaves all of them. */
export async function* merge<T>(
  sources: readonly AsyncIterable<T>[],
): AsyncGenerator<[source: number, value: T], void, undefined> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const next = async (i: number) => ({ i, result: await iterators[i].next() });
  const waiting = new Map(iterators.map((_, i) => [i, next(i)]));
  try {
    while (waiting.size > 0) {
      const { i, result } = await Promise.race(waiting.values());
      if (result.done) waiting.delete(i);
      else {
        waiting.set(i, next(i));
        yield [i, result.value];
      }
    }
  } finally {
    // Those of the others that fail meanwhile are nobody's any more.
    for (const promise of waiting.values()) promise.catch(() => {});
    for (const i of waiting.keys()) iterators[i].return?.()?.catch(() => {});
  }
}

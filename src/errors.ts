/** What went wrong, for programs: the exit status and tests look at this, people read the message. */
export type ErrorCode =
  | 'misuse' /** a flag or option that makes no sense; exit status 2 */
  | 'bad-file' /** a file that is not what it claims to be */
  | 'bad-data' /** a value inside otherwise sound input */
  | 'not-found'
  | 'network'
  | 'disk'
  | 'memory' /** more than this machine has free */
  | 'locked' /** another process works on the same directory */
  | 'unsupported'
  | 'cancelled';

/**
 * A mistake or mishap that a user can act on. The message names the file, field or tensor and what was found there;
 * `fix` says what to do about it. Anything else that is thrown is a defect of moralscope.
 */
export class MoralscopeError extends Error {
  override readonly name = 'MoralscopeError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly fix?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Throws a `cancelled` error once the signal has fired; call it between units of work. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled();
}

/** The error of work that was stopped on request. */
export function cancelled(): MoralscopeError {
  return new MoralscopeError('cancelled', 'Stopped.', 'Run the same command again to go on where it stopped.');
}

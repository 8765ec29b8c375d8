import { refusal } from './api-error.js';

const LONGEST_WAIT = 60;

/** Lets texts in as long as there is room: those that are gone on with at once, and those that wait for them. */
export class Admission {
  private inside = 0;
  /** Seconds that a request took lately, its waiting included. */
  private pace = 1;

  constructor(
    /** Texts that are gone on with at once. */
    private readonly batch: number,
    /** Texts that may wait. */
    private readonly queue: number,
  ) {}

  /** Texts that were let in and are not done. */
  get load(): number {
    return this.inside;
  }

  /** @throws HTTPException 400 for more texts than there ever is room for, 429 for more than there is room for now */
  requireRoom(texts: number): void {
    const room = this.batch + this.queue;
    if (texts > room)
      throw refusal(400, `The request asks for ${texts} texts; this server takes ${room} at a time.`, {
        code: 'too_many_texts',
      });
    if (this.inside + texts > room) {
      throw refusal(429, `The queue is full: ${this.inside} texts are under way or waiting.`, {
        code: 'queue_full',
        headers: { 'retry-after': String(Math.min(LONGEST_WAIT, Math.max(1, Math.ceil(this.pace)))) },
      });
    }
  }

  /**
   * Lets the texts of a request in, all or none.
   * @returns what is to be called, once, when they are done
   * @throws HTTPException as `requireRoom`
   */
  enter(texts: number): () => void {
    this.requireRoom(texts);
    this.inside += texts;
    const begun = performance.now();
    return () => {
      this.inside -= texts;
      this.pace += ((performance.now() - begun) / 1000 - this.pace) / 8;
    };
  }
}

import { FacewireError } from '@facewire/proto';
import { type BodyBudget, tooManyBodies } from '../BodyBudget.ts';

/**
 * Collects the body of one request within its limit and the server's budget. A refused body is still to be read for a
 * while, and thrown away: a client that is cut off while it sends gets to see a broken connection instead of the answer.
 */
export class BodyCollector {
  readonly #maxBytes: number;
  readonly #budget: BodyBudget;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #refusal: FacewireError | undefined;

  /** `announced` is the content-length header, if there is one. */
  constructor(options: { maxBytes: number; budget: BodyBudget; announced: string | undefined }) {
    this.#maxBytes = options.maxBytes;
    this.#budget = options.budget;
    const announced = Number(options.announced ?? 0);
    if (announced > this.#maxBytes) this.#refuse(tooLarge(this.#maxBytes, `${announced} bytes`));
  }

  /** why the body is not wanted, as soon as that is known */
  get refusal(): FacewireError | undefined {
    return this.#refusal;
  }

  /** Keeps the chunk: the caller copies it when its memory is only lent. */
  push(chunk: Uint8Array): void {
    if (this.#refusal !== undefined) return;
    if (this.#bytes + chunk.length > this.#maxBytes) {
      this.#refuse(tooLarge(this.#maxBytes, `more than ${this.#maxBytes} bytes`));
    } else if (this.#budget.take(chunk.length)) {
      this.#bytes += chunk.length;
      this.#chunks.push(chunk);
    } else {
      this.#refuse(tooManyBodies());
    }
  }

  body(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  /** Gives back what it holds of the budget; may be called twice. */
  release(): void {
    this.#chunks = [];
    this.#budget.give(this.#bytes);
    this.#bytes = 0;
  }

  #refuse(error: FacewireError): void {
    this.release();
    this.#refusal = error;
  }
}

function tooLarge(maxBytes: number, received: string): FacewireError {
  return new FacewireError('image_too_large', `the body of a request may have ${maxBytes} bytes at most`, {
    received,
    remedy: 'send a smaller image: 1024 by 1024 pixels are more than an avatar keeps',
  });
}

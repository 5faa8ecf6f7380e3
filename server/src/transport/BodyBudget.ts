import { FacewireError } from '@facewire/proto';

/** Bytes of bodies that are in memory at once, over all requests of the servers that share it. */
export class BodyBudget {
  readonly maxBytes: number;
  #held = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  take(bytes: number): boolean {
    if (this.#held + bytes > this.maxBytes) return false;
    this.#held += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }
}

/** For whom take() was false. */
export function tooManyBodies(): FacewireError {
  return new FacewireError('server_full', 'too many uploads at once', { remedy: 'send it again in a few seconds' });
}

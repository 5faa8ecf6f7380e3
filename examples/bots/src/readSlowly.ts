import type WebSocket from 'ws';

/** Reads for so long, then not at all for so long, ms: about a twentieth of the time. */
const READ_MS = 50;
const PAUSE_MS = 950;

/** A WebSocket class that behaves like a viewer on a bad line: its socket is read only now and then. */
export function readSlowly(Base: typeof WebSocket): typeof WebSocket {
  return class SlowWebSocket extends Base {
    constructor(address: string) {
      super(address);
      this.once('open', () => {
        // The welcome and the subscriptions come through first, so that there are streams to be slow about.
        let timer = setTimeout(() => this.#rest(), 2_000);
        this.once('close', () => clearTimeout(timer));
        this.#schedule = (action, delayMs) => {
          timer = setTimeout(action, delayMs);
        };
      });
    }

    #schedule: (action: () => void, delayMs: number) => void = () => {};

    #rest(): void {
      this.pause();
      this.#schedule(() => {
        this.resume();
        this.#schedule(() => this.#rest(), READ_MS);
      }, PAUSE_MS);
    }
  } as unknown as typeof WebSocket;
}

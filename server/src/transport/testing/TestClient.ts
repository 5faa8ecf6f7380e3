import type { ClientControl, ServerControl } from '@facewire/proto';

export type Received = ServerControl | { type: 'frame'; packet: Uint8Array };

/** A client of any transport, as the conformance suite needs it. */
export interface TestClient {
  sendControl(message: ClientControl): void;
  /** a motion packet, or anything else that stands in its place */
  sendPacket(packet: Uint8Array): void;
  /** a control message that cannot be decoded */
  sendMalformedControl(): void;
  /** stop and go on reading from the network */
  pause(): void;
  resume(): void;
  leave(): void;
  readonly inbox: Inbox;
  /** resolves when the connection is closed, with the transport's own words for why */
  readonly closed: Promise<string>;
}

/** Messages in the order in which they came. */
export class Inbox {
  readonly all: Received[] = [];
  #read = 0;
  #waiting: Array<() => void> = [];

  push(message: Received): void {
    this.all.push(message);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** The next message that was not read yet. */
  async next(): Promise<Received> {
    while (this.all.length <= this.#read) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#read += 1;
    return this.all[this.#read - 1]!;
  }

  async nextError(): Promise<Extract<ServerControl, { type: 'error' }>> {
    const message = await this.next();
    if (message.type !== 'error') throw new Error(`expected an error message, received ${message.type}`);
    return message;
  }
}

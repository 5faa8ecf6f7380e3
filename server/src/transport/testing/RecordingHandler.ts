import type { ClientControl } from '@facewire/proto';
import type { Peer, PeerHandler } from '../../contracts.ts';

export type HandlerEvent =
  | { event: 'open'; peer: Peer }
  | { event: 'control'; peer: Peer; message: ClientControl }
  | { event: 'motion'; peer: Peer; packet: Uint8Array }
  | { event: 'drain'; peer: Peer }
  | { event: 'close'; peer: Peer };

type Named<Name extends HandlerEvent['event']> = Extract<HandlerEvent, { event: Name }>;

/** A PeerHandler for tests: remembers what it is told (motion is copied) and lets tests wait for it. */
export class RecordingHandler implements PeerHandler {
  readonly events: HandlerEvent[] = [];
  /** replace these to throw or answer */
  onOpen: (peer: Peer) => void = () => {};
  onControl: (peer: Peer, message: ClientControl) => void = () => {};
  onMotion: (peer: Peer, packet: Uint8Array) => void = () => {};
  onDrain: (peer: Peer) => void = () => {};
  #waiting: Array<() => void> = [];

  handleOpen(peer: Peer): void {
    this.#push({ event: 'open', peer });
    this.onOpen(peer);
  }

  handleControl(peer: Peer, message: ClientControl): void {
    this.#push({ event: 'control', peer, message });
    this.onControl(peer, message);
  }

  handleMotion(peer: Peer, packet: Uint8Array): void {
    this.#push({ event: 'motion', peer, packet: packet.slice() });
    this.onMotion(peer, packet);
  }

  handleDrain(peer: Peer): void {
    this.#push({ event: 'drain', peer });
    this.onDrain(peer);
  }

  handleClose(peer: Peer): void {
    this.#push({ event: 'close', peer });
  }

  all<Name extends HandlerEvent['event']>(name: Name): Array<Named<Name>> {
    return this.events.filter((each): each is Named<Name> => each.event === name);
  }

  /** The `count`th event of this name, as soon as there is one. */
  async wait<Name extends HandlerEvent['event']>(name: Name, count = 1): Promise<Named<Name>> {
    while (this.all(name).length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.all(name)[count - 1]!;
  }

  #push(event: HandlerEvent): void {
    this.events.push(event);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

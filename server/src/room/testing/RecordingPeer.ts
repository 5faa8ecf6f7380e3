import type { ServerControl } from '@facewire/proto';
import type { Peer } from '../../contracts.ts';

/** A peer that writes down what it is told. */
export class RecordingPeer implements Peer {
  readonly transport = 'local' as const;
  readonly id: string;
  readonly heard: ServerControl[] = [];

  constructor(id: string) {
    this.id = id;
  }

  sendControl(message: ServerControl): void {
    this.heard.push(message);
  }

  sendFrame(): void {}

  bufferedBytes(): number {
    return 0;
  }

  close(): void {}

  last<T extends ServerControl['type']>(type: T): Extract<ServerControl, { type: T }> {
    const found = this.heard.findLast((message) => message.type === type);
    if (!found) throw new Error(`${this.id} heard no ${type}, but ${this.heard.map((each) => each.type).join(', ')}`);
    return found as Extract<ServerControl, { type: T }>;
  }
}

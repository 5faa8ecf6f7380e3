import type { ClusterBus } from '../../contracts.ts';

type Listener = (data: Uint8Array) => void;

/** What buses of one process are connected to: messages arrive at once, copied. */
export class MemoryNetwork {
  readonly #buses: MemoryBus[] = [];

  connect(): MemoryBus {
    const bus: MemoryBus = new MemoryBus((subject, data) => {
      for (const each of this.#buses) if (each !== bus) each.receive(subject, data);
    });
    this.#buses.push(bus);
    return bus;
  }
}

export class MemoryBus implements ClusterBus {
  /** what was published, for tests that count */
  readonly published: { subject: string; bytes: number }[] = [];
  connected = true;
  readonly #send: (subject: string, data: Uint8Array) => void;
  readonly #subscriptions = new Map<string, Set<Listener>>();
  readonly #reconnected = new Set<() => void>();

  constructor(send: (subject: string, data: Uint8Array) => void) {
    this.#send = send;
  }

  publish(subject: string, data: Uint8Array): void {
    if (!this.connected) return;
    this.published.push({ subject, bytes: data.length });
    this.#send(subject, data.slice());
  }

  subscribe(subject: string, listener: Listener): () => void {
    const listeners = this.#subscriptions.get(subject) ?? new Set();
    this.#subscriptions.set(subject, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  onReconnected(listener: () => void): () => void {
    this.#reconnected.add(listener);
    return () => this.#reconnected.delete(listener);
  }

  receive(subject: string, data: Uint8Array): void {
    if (!this.connected) return;
    for (const listener of [...(this.#subscriptions.get(subject) ?? [])]) listener(data);
  }

  /** subjects that somebody listens to here */
  get subjects(): string[] {
    return [...this.#subscriptions].flatMap(([subject, { size }]) => (size > 0 ? [subject] : []));
  }

  cut(): void {
    this.connected = false;
  }

  mend(): void {
    this.connected = true;
    for (const listener of [...this.#reconnected]) listener();
  }
}

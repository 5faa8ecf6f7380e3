import { FacewireError } from '@facewire/proto';
import { connect, type NatsConnection, type NodeConnectionOptions, type Subscription } from '@nats-io/transport-node';
import type { ClusterBus } from '../contracts.ts';

/** How long the first connection may take, ms; one that is lost later is tried for again and again. */
const CONNECT_MS = 10_000;
const RECONNECT_MS = 500;
/** A server that does not answer two of these has gone, ms. */
const PING_MS = 2_000;

export interface NatsBusOptions {
  /** nats://[user:password@|token@]host[:port], or tls://; several with commas between are servers of one NATS cluster */
  url: string;
  warn?: (message: string) => void;
}

/** ClusterBus over NATS. */
export class NatsBus implements ClusterBus {
  readonly connection: NatsConnection;
  readonly #listeners = new Set<() => void>();
  #connected = true;

  /** Throws config_invalid for addresses that cannot be read, cluster_unavailable when nobody answers within 10 s. */
  static async connect({ url, warn }: NatsBusOptions): Promise<NatsBus> {
    const options = connectionOptions(url);
    const remedy = 'start one with `nats-server -js`, or correct FACEWIRE_CLUSTER';
    try {
      const connection = await connect({
        ...options,
        name: 'facewire',
        timeout: CONNECT_MS,
        maxReconnectAttempts: -1,
        reconnectTimeWait: RECONNECT_MS,
        pingInterval: PING_MS,
      });
      return new NatsBus(connection, warn);
    } catch (cause) {
      throw new FacewireError('cluster_unavailable', `no NATS server lets this one in: ${(cause as Error).message}`, {
        received: withoutSecrets(url),
        remedy,
        cause,
      });
    }
  }

  private constructor(connection: NatsConnection, warn: ((message: string) => void) | undefined) {
    this.connection = connection;
    void this.#follow(warn);
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** What is published while there is no connection would be sent when it is back, long after its time. */
  publish(subject: string, data: Uint8Array): void {
    if (this.#connected) this.connection.publish(subject, data);
  }

  subscribe(subject: string, listener: (data: Uint8Array) => void): () => void {
    const subscription: Subscription = this.connection.subscribe(subject, {
      callback: (error, message) => {
        if (!error) listener(message.data);
      },
    });
    return () => {
      if (!this.connection.isClosed()) subscription.unsubscribe();
    };
  }

  onReconnected(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What was published is sent first. May be called twice. */
  async close(): Promise<void> {
    this.#listeners.clear();
    if (this.connection.isClosed()) return;
    // Without a connection there is nobody to send it to, and drain() would wait for one.
    if (this.#connected) await this.connection.drain();
    else await this.connection.close();
  }

  async #follow(warn: ((message: string) => void) | undefined): Promise<void> {
    for await (const { type } of this.connection.status()) {
      if (type === 'disconnect') {
        this.#connected = false;
        warn?.('the connection to the cluster is lost: rooms go on with those who are here');
      } else if (type === 'reconnect') {
        this.#connected = true;
        warn?.('the connection to the cluster is back');
        for (const listener of this.#listeners) listener();
      }
    }
    this.#connected = false;
  }
}

/** Throws config_invalid. */
export function connectionOptions(url: string): NodeConnectionOptions {
  const parts = url.split(',').map((each) => parseAddress(each.trim(), url));
  const { username, password } = parts[0]!;
  const secret = decodeURIComponent(username);
  return {
    servers: parts.map(({ host }) => host),
    ...(parts.some(({ protocol }) => protocol === 'tls:') && { tls: {} }),
    ...(password !== '' && { user: secret, pass: decodeURIComponent(password) }),
    ...(username !== '' && password === '' && { token: secret }),
  };
}

function parseAddress(address: string, all: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url && ['nats:', 'tls:'].includes(url.protocol) && url.hostname !== '') return url;
  throw new FacewireError('config_invalid', 'FACEWIRE_CLUSTER must be addresses of NATS servers', {
    received: withoutSecrets(all),
    remedy:
      'write nats://HOST:4222 or tls://USER:PASSWORD@HOST:4222, several with commas between; leave it out for one server',
  });
}

function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^@/,]*@/g, '//…@');
}

import { FacewireError } from '@facewire/proto';
import { connect, type NatsConnection, type NodeConnectionOptions, type Subscription } from '@nats-io/transport-node';
import type { ClusterBus } from '../contracts.ts';

/** How long the first connection may take, ms; one that is lost later is tried for again and again. */
const CONNECT_MS = 10_000;
const RECONNECT_MS = 500;
/** A server that does not answer two of these has gone, ms. */
const PING_MS = 2_000;
/** What was published last is sent within so long before the end, ms; where the connection hangs it is given up. */
const FLUSH_MS = 2_000;

export interface NatsBusOptions {
  /** nats://[user:password@|token@]host[:port], or tls://; several with commas between are servers of one NATS cluster */
  url: string;
  warn?: (message: string) => void;
}

/** ClusterBus over NATS. Once connected it is never given up, whatever the reason that NATS does not let it in again. */
export class NatsBus implements ClusterBus {
  readonly connection: NatsConnection;
  readonly #warn: (message: string) => void;
  readonly #listeners = new Set<() => void>();
  #connected = true;
  #closing = false;

  /** Throws config_invalid for addresses that cannot be read, cluster_unavailable when nobody answers within 10 s. */
  static async connect({ url, warn = () => undefined }: NatsBusOptions): Promise<NatsBus> {
    const options = connectionOptions(url);
    try {
      const connection = await connect({
        ...options,
        name: 'facewire',
        // of each address
        timeout: CONNECT_MS / options.servers.length,
        maxReconnectAttempts: -1,
        // Users may be changed, and NATS started with other ones, while this server runs.
        ignoreAuthErrorAbort: true,
        reconnectTimeWait: RECONNECT_MS,
        pingInterval: PING_MS,
        noEcho: true,
      });
      return new NatsBus(connection, warn);
    } catch (cause) {
      throw new FacewireError('cluster_unavailable', `no NATS server lets this one in: ${(cause as Error).message}`, {
        received: options.servers.join(),
        remedy: 'start one with `nats-server -js`, or correct FACEWIRE_CLUSTER',
        cause,
      });
    }
  }

  private constructor(connection: NatsConnection, warn: (message: string) => void) {
    this.connection = connection;
    this.#warn = warn;
    void this.#follow();
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** What is published while there is no connection would be sent when it is back, long after its time. */
  publish(subject: string, data: Uint8Array): void {
    if (!this.#connected || this.connection.isClosed()) return;
    try {
      this.connection.publish(subject, data);
    } catch (error) {
      // Too large for this NATS (max_payload): nobody else is to fail by it.
      this.#warn(`a message of ${data.length} bytes cannot be published: ${(error as Error).message}`);
    }
  }

  subscribe(subject: string, listener: (data: Uint8Array) => void): () => void {
    if (this.connection.isClosed()) return () => undefined;
    const subscription: Subscription = this.connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) this.#warn(`nothing of ${subject} is heard: ${error.message}`);
        else listener(message.data);
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

  /** What was published is sent first, if that can be. May be called twice. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#listeners.clear();
    if (this.connection.isClosed()) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, FLUSH_MS);
    });
    if (this.#connected) await Promise.race([this.connection.flush().catch(() => undefined), late]);
    clearTimeout(timer);
    await this.connection.close();
  }

  /** NATS's client tells of every attempt: only what changes counts. */
  async #follow(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === 'error') this.#warn(`NATS refuses: ${status.error.message}`);
      if (status.type === 'disconnect') this.#set(false);
      if (status.type === 'reconnect') this.#set(true);
    }
    this.#set(false);
    if (!this.#closing) this.#warn('the connection to the cluster has ended for good: start this server again');
  }

  #set(connected: boolean): void {
    if (this.#connected === connected || this.#closing) return;
    this.#connected = connected;
    if (connected) {
      this.#warn('the connection to the cluster is back');
      for (const listener of this.#listeners) listener();
    } else {
      this.#warn('the connection to the cluster is lost: rooms go on with those who are here');
    }
  }
}

/** Throws config_invalid. */
export function connectionOptions(urls: string): NodeConnectionOptions & { servers: string[] } {
  const addresses = urls.split(',').map((each) => parseAddress(each.trim(), urls));
  const secrets = new Set(addresses.map(({ username, password }) => `${username}:${password}`));
  if (secrets.size > 1) throw unreadable(urls, 'name and password are the same for all of them');
  const { username, password } = addresses[0]!;
  const [user, pass] = [username, password].map((each) => decoded(each, urls));
  return {
    servers: addresses.map(({ host }) => host),
    ...(addresses.some(({ protocol }) => protocol === 'tls:') && { tls: {} }),
    ...(password !== '' && { user, pass }),
    ...(username !== '' && password === '' && { token: user }),
  };
}

function parseAddress(address: string, all: string): URL {
  const url = /^(nats|tls):\/\//.test(address) && URL.canParse(address) ? new URL(address) : undefined;
  const isPlain = url && url.hostname !== '' && ['', '/'].includes(url.pathname) && url.search + url.hash === '';
  if (!isPlain) {
    throw unreadable(all, 'each is nats://HOST:4222 or tls://USER:PASSWORD@HOST:4222, several with commas between');
  }
  return url;
}

function decoded(secret: string, all: string): string {
  try {
    return decodeURIComponent(secret);
  } catch {
    throw unreadable(all, 'in name and password write %25 for %, %40 for @, %2F for /, %2C for a comma');
  }
}

/** Says only what stands behind the last @: before it is, or may be, a password. */
function unreadable(urls: string, remedy: string): FacewireError {
  const at = urls.lastIndexOf('@');
  return new FacewireError('config_invalid', 'FACEWIRE_CLUSTER must be addresses of NATS servers', {
    received: at < 0 ? urls : `…${urls.slice(at)}`,
    remedy: `${remedy}; leave it out for one server`,
  });
}

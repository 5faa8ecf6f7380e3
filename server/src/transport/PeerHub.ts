import { randomUUID } from 'node:crypto';
import { FacewireError } from '@facewire/proto';
import type { Metrics, PeerHandler } from '../contracts.ts';
import { BodyBudget } from './BodyBudget.ts';
import { toErrorControl } from './errorMessages.ts';
import { DEFAULT_LIMITS, type TransportLimits } from './limits.ts';
import { PeerSession, type Wire } from './PeerSession.ts';
import { SILENT_LOG, type TransportLog } from './TransportLog.ts';

export interface PeerHubOptions {
  handler: PeerHandler;
  limits?: Partial<TransportLimits> | undefined;
  /** shared by servers that are to keep to one `maxBodyBytesAtOnce` together; default one of its own */
  bodies?: BodyBudget | undefined;
  log?: TransportLog | undefined;
  metrics?: Metrics | undefined;
  now?: (() => number) | undefined;
}

/** The peers of one server: admits them while there is room, and closes them all. */
export class PeerHub {
  readonly limits: Readonly<TransportLimits>;
  readonly bodies: BodyBudget;
  readonly log: TransportLog;
  readonly #options: PeerHubOptions;
  readonly #sessions = new Set<PeerSession>();
  #closing = false;

  constructor(options: PeerHubOptions) {
    this.#options = options;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.bodies = options.bodies ?? new BodyBudget(this.limits.maxBodyBytesAtOnce);
    this.log = options.log ?? SILENT_LOG;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** undefined when there is no room: the wire has been told and ended, and the handler never hears of it. */
  admit(wire: Wire): PeerSession | undefined {
    const { maxPeers } = this.limits;
    if (this.#closing || this.#sessions.size >= maxPeers) {
      const error = this.#closing
        ? new FacewireError('server_closing', 'the server is closing', { remedy: 'connect again in a while' })
        : new FacewireError('server_full', `all ${maxPeers} places of this server are taken`, {
            remedy: 'connect again later, or to another server',
          });
      this.#options.metrics?.count('transport_peers_refused_total');
      wire.sendControl(toErrorControl(error));
      wire.end(error.code, error.message);
      return undefined;
    }
    const session = new PeerSession(randomUUID(), wire, {
      handler: this.#options.handler,
      limits: this.limits,
      log: this.log,
      metrics: this.#options.metrics,
      now: this.#options.now ?? (() => performance.now()),
      onClosed: (closed) => {
        this.#sessions.delete(closed);
        this.#gauge(closed.transport);
      },
    });
    this.#sessions.add(session);
    this.#gauge(session.transport);
    this.#options.metrics?.count('transport_peers_total');
    session.opened();
    return session;
  }

  /** Closes every peer with `server_closing` and admits no more. */
  closeAll(): void {
    this.#closing = true;
    for (const session of [...this.#sessions]) session.close('server_closing', 'the server is closing');
  }

  #gauge(transport: string): void {
    this.#options.metrics?.gauge(`transport_${transport}_peers`, this.#sessions.size);
  }
}

import {
  type ClientControl,
  decodeClientControl,
  FacewireError,
  isCompactMotion,
  PACKET_KIND,
  type ServerControl,
} from '@facewire/proto';
import type { Metrics, Peer, PeerHandler } from '../contracts.ts';
import { internalError, isBadMessage, isErrorCode, toErrorControl } from './errorMessages.ts';
import type { TransportLimits } from './limits.ts';
import { RateGate } from './RateGate.ts';
import { TokenBucket } from './TokenBucket.ts';
import type { TransportLog } from './TransportLog.ts';

/** What an adapter must do for one connection; everything that all transports share is PeerSession's. */
export interface Wire {
  readonly transport: Peer['transport'];
  sendControl(message: ServerControl): void;
  /** copies the packet unless it is on the wire when this returns */
  sendFrame(packet: Uint8Array): void;
  bufferedBytes(): number;
  /** sends what is buffered, says why, closes */
  end(code: string, reason: string): void;
  /** closes at once; what is buffered is lost */
  abort(code: string, reason: string): void;
}

export interface SessionOptions {
  handler: PeerHandler;
  limits: TransportLimits;
  log: TransportLog;
  metrics?: Metrics | undefined;
  /** monotonic, milliseconds */
  now: () => number;
  onClosed: (session: PeerSession) => void;
}

/**
 * One peer on any transport: dispatches what it sends, answers its mistakes, keeps its limits, and closes it once.
 * Whatever a handler throws ends here: the peer at fault pays, the server goes on.
 */
export class PeerSession implements Peer {
  readonly id: string;
  readonly transport: Peer['transport'];
  readonly #wire: Wire;
  readonly #options: SessionOptions;
  readonly #log: TransportLog;
  readonly #motionGate: RateGate;
  readonly #controlGate: RateGate;
  readonly #announcementBucket: TokenBucket;
  readonly #errorBucket: TokenBucket;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #badInARow = 0;

  constructor(id: string, wire: Wire, options: SessionOptions) {
    this.id = id;
    this.transport = wire.transport;
    this.#wire = wire;
    this.#options = options;
    this.#log = options.log;
    const { limits } = options;
    const nowMs = options.now();
    this.#motionGate = new RateGate({ perSecond: limits.motionPerSecond, burst: limits.motionBurst }, nowMs);
    this.#controlGate = new RateGate({ perSecond: limits.controlPerSecond, burst: limits.controlBurst }, nowMs);
    this.#announcementBucket = new TokenBucket(
      { perSecond: limits.announcementsPerSecond, burst: limits.announcementsBurst },
      nowMs,
    );
    this.#errorBucket = new TokenBucket({ perSecond: limits.errorsPerSecond, burst: limits.errorsPerSecond }, nowMs);
  }

  // ── Peer: for the handler ──────────────────────────────────────────────────────────────────────────────────────────

  sendControl(message: ServerControl): void {
    if (this.#state !== 'open') return;
    this.#wire.sendControl(message);
    this.#cutOffIfTooSlow();
  }

  sendFrame(packet: Uint8Array): void {
    if (this.#state !== 'open') return;
    this.#wire.sendFrame(packet);
    this.#count('transport_frames_out_total');
    this.#count('transport_frame_bytes_out_total', packet.length);
    this.#cutOffIfTooSlow();
  }

  bufferedBytes(): number {
    return this.#state === 'open' ? this.#wire.bufferedBytes() : 0;
  }

  /** An error code goes ahead as an error message. handleClose follows soon, never during this call. */
  close(code: string, reason: string): void {
    if (this.#state !== 'open') return;
    if (isErrorCode(code)) this.#closeWith(new FacewireError(code, reason));
    else this.#shut(() => this.#wire.end(code, reason));
  }

  // ── for the adapter ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Call once, when the connection can be written to. */
  opened(): void {
    try {
      this.#options.handler.handleOpen(this);
    } catch (error) {
      this.#closeWith(this.#explained(error, 'handleOpen'));
    }
  }

  /** A binary message: its first byte is its kind. `packet` is not kept. */
  receive(packet: Uint8Array): void {
    if (packet[0] !== PACKET_KIND.control) {
      this.receiveMotion(packet);
      return;
    }
    if (this.#state !== 'open' || !this.#fits(packet.length)) return;
    let message: ClientControl;
    try {
      message = decodeClientControl(packet);
    } catch (error) {
      this.refuse(this.#explained(error, 'decodeClientControl'));
      return;
    }
    this.receiveControl(message);
  }

  /** A control message that has been validated. */
  receiveControl(message: ClientControl): void {
    if (this.#state !== 'open') return;
    this.#count('transport_control_in_total');
    if (!this.#admitted(this.#controlGate, 'control', this.#options.limits.controlPerSecond)) return;
    if (isAnnouncement(message) && !this.#announcementBucket.take(this.#options.now())) {
      this.#refuseAnnouncement(message.type);
      return;
    }
    try {
      this.#options.handler.handleControl(this, message);
      this.#badInARow = 0;
    } catch (error) {
      this.refuse(this.#explained(error, 'handleControl'), 'request' in message ? message.request : undefined);
    }
  }

  /** A motion packet with its kind byte; whatever else it is is refused. `packet` is not kept. */
  receiveMotion(packet: Uint8Array): void {
    if (this.#state !== 'open' || !this.#fits(packet.length)) return;
    const kind = packet[0];
    if (kind === undefined || !isMotionKind(kind)) {
      this.refuse(kind === undefined ? emptyMessage() : unknownKind(kind));
      return;
    }
    this.#count('transport_motion_in_total');
    if (!this.#admitted(this.#motionGate, 'motion', this.#options.limits.motionPerSecond)) return;
    try {
      this.#options.handler.handleMotion(this, packet);
      this.#badInARow = 0;
    } catch (error) {
      this.refuse(this.#explained(error, 'handleMotion'));
    }
  }

  /**
   * Tells the peer what was wrong with a message of its; enough broken ones in a row close it.
   *
   * @param request number of the request that this answers; default: what the error says
   */
  refuse(error: FacewireError, request?: number): void {
    if (this.#state !== 'open') return;
    if (isBadMessage(error.code)) {
      this.#count('transport_bad_messages_total');
      this.#badInARow += 1;
      if (this.#badInARow >= this.#options.limits.badMessagesInARow) {
        this.#closeWith(
          new FacewireError(error.code, `${error.message} (bad message ${this.#badInARow} in a row, closing)`, {
            received: error.received,
            ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
            request: request ?? error.request,
          }),
        );
        return;
      }
    }
    if (this.#errorBucket.take(this.#options.now())) this.sendControl(toErrorControl(error, request));
    else this.#count('transport_errors_suppressed_total');
  }

  drained(): void {
    if (this.#state !== 'open') return;
    try {
      this.#options.handler.handleDrain(this);
    } catch (error) {
      this.#explained(error, 'handleDrain');
    }
  }

  /** The connection is gone. May be called any number of times, also from inside close(): the handler hears of it once. */
  closed(): void {
    if (this.#state === 'open') this.#finish();
  }

  // ── inside ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #finish(): void {
    this.#state = 'closed';
    try {
      this.#options.handler.handleClose(this);
    } catch (error) {
      this.#explained(error, 'handleClose');
    }
    this.#options.onClosed(this);
  }

  #fits(bytes: number): boolean {
    const { maxMessageBytes } = this.#options.limits;
    if (bytes <= maxMessageBytes) return true;
    this.#closeWith(
      new FacewireError('packet_oversized', `a message may have ${maxMessageBytes} bytes at most`, {
        received: `${bytes} bytes`,
        remedy: 'send images by POST /api/avatars; nothing else needs so many bytes',
      }),
    );
    return false;
  }

  #admitted(gate: RateGate, what: string, perSecond: number): boolean {
    const verdict = gate.admit(this.#options.now());
    if (verdict === 'pass') return true;
    this.#count(`transport_${what}_rate_dropped_total`);
    if (verdict === 'report') {
      this.refuse(
        new FacewireError('rate_limited', `more than ${perSecond} ${what} messages a second; the excess is dropped`, {
          remedy: `send ${what} messages less often`,
        }),
      );
    }
    return false;
  }

  /** Unlike motion, which the next packet replaces, each is missed: its sender is told every time. */
  #refuseAnnouncement(type: string): void {
    this.#count('transport_announcement_rate_dropped_total');
    const { announcementsPerSecond, announcementsBurst } = this.#options.limits;
    this.refuse(
      new FacewireError(
        'rate_limited',
        `more than ${announcementsBurst} join and setAvatar messages at once, or ${announcementsPerSecond} a second; this one is dropped`,
        { received: type, remedy: `send it again in ${Math.ceil(1000 / announcementsPerSecond)} ms` },
      ),
    );
  }

  #explained(error: unknown, where: string): FacewireError {
    if (error instanceof FacewireError) {
      this.#log.debug({ peer: this.id, code: error.code, where }, error.message);
      return error;
    }
    this.#count('transport_internal_errors_total');
    this.#log.error({ peer: this.id, err: error, where }, `${where} threw: ${String(error)}`);
    return internalError(error);
  }

  #closeWith(error: FacewireError): void {
    if (this.#state !== 'open') return;
    this.#log.debug({ peer: this.id, code: error.code }, `closing peer: ${error.message}`);
    this.#shut(() => {
      this.#wire.sendControl(toErrorControl(error));
      this.#wire.end(error.code, error.message);
    });
  }

  #cutOffIfTooSlow(): void {
    const buffered = this.#wire.bufferedBytes();
    if (buffered <= this.#options.limits.maxBufferedBytes) return;
    this.#count('transport_peers_too_slow_total');
    this.#log.warn({ peer: this.id, buffered }, 'peer does not read what it is sent: closing it');
    this.#shut(() => this.#wire.abort('peer_too_slow', `${buffered} bytes waiting to be read`));
  }

  /** uWS reports a close from inside its own end(), ws much later: here the handler always hears of it in a microtask. */
  #shut(shutWire: () => void): void {
    this.#state = 'closing';
    queueMicrotask(() => this.#finish());
    try {
      shutWire();
    } catch (error) {
      this.#explained(error, 'closing');
    }
  }

  #count(name: string, by = 1): void {
    this.#options.metrics?.count(name, by);
  }
}

/** Everybody in the room is told of these. Of a `leave` too, but before each there was a `join`. */
function isAnnouncement({ type }: ClientControl): boolean {
  return type === 'join' || type === 'setAvatar';
}

/** Fixed and compact motion. */
export function isMotionKind(kind: number): boolean {
  return kind === PACKET_KIND.motion || isCompactMotion(kind);
}

function emptyMessage(): FacewireError {
  return new FacewireError('packet_truncated', 'a message has at least one byte, its kind', {
    received: '0 bytes',
    remedy: 'send no empty messages; WebSocket has pings of its own',
  });
}

function unknownKind(kind: number): FacewireError {
  return new FacewireError('packet_unknown_kind', 'the first byte of a message is its kind, and this is none', {
    received: `0x${kind.toString(16).padStart(2, '0')}`,
    remedy: 'send 0x00 (control), 0x01 (motion) or 0x40 to 0xff (compact motion)',
  });
}

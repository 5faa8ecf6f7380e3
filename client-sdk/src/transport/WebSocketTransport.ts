import { type ClientControl, decodeServerControl, encodeControl, FacewireError, PACKET_KIND } from '@facewire/proto';
import { patientTimeout } from '../patientTimeout.ts';
import type { Transport, TransportHandlers } from './Transport.ts';
import { webSocketAddress } from './webSocketAddress.ts';

/** The browser's WebSocket, or the class of the npm package `ws`. */
export type WebSocketConstructor = new (url: string) => object;

/** The part of the WebSocket interface that both share. */
interface Socket {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror: ((event: { message?: string }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(data: Uint8Array): void;
  close(code?: number): void;
}

const OPEN = 1;

export interface WebSocketTransportOptions {
  /** `ws://host:8080/connect`, or wss; http and https are taken for them */
  url: string;
  /** in Node 20 pass the class of the package `ws`; default: the global one */
  WebSocket?: WebSocketConstructor | undefined;
  /** give up opening after so long, ms; default 10 000 */
  timeoutMs?: number;
}

/** Facewire over WebSocket: every message is binary and its first byte is its kind. */
export class WebSocketTransport implements Transport {
  /** a client's frame header: two bytes and the mask (RFC 6455, section 5.2) */
  readonly overheadBytes = 6;
  readonly #options: WebSocketTransportOptions;
  readonly #url: string;
  #socket: Socket | undefined;
  #handlers: TransportHandlers | undefined;
  #closed = false;

  /** Throws TypeError for an address that cannot be one. */
  constructor(options: WebSocketTransportOptions) {
    this.#options = options;
    this.#url = webSocketAddress(options.url);
  }

  open(handlers: TransportHandlers): Promise<void> {
    const url = this.#url;
    const Constructor = this.#options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (!Constructor) {
      throw new TypeError("no global WebSocket: pass { WebSocket } (in Node: import { WebSocket } from 'ws')");
    }
    this.#handlers = handlers;
    return new Promise((resolve, reject) => {
      let opened = false;
      const fail = (why: string): void => {
        cancelTimeout();
        this.close();
        reject(
          new FacewireError('connection_failed', `cannot connect to ${url}: ${why}`, {
            received: url,
            remedy: 'check that the server runs and that the address is right: its path is /connect',
          }),
        );
      };
      const cancelTimeout = patientTimeout(() => fail('timed out'), this.#options.timeoutMs ?? 10_000);
      let socket: Socket;
      try {
        socket = new Constructor(url) as Socket;
      } catch (error) {
        fail(error instanceof Error ? error.message : String(error));
        return;
      }
      this.#socket = socket;
      socket.binaryType = 'arraybuffer';
      socket.onopen = () => {
        opened = true;
        cancelTimeout();
        resolve();
      };
      socket.onmessage = (event) => this.#handleMessage(event.data);
      socket.onerror = (event) => {
        if (!opened && !this.#closed) fail(event.message ?? 'the connection was refused');
      };
      socket.onclose = (event) => {
        if (this.#closed) return;
        if (!opened) return fail(`closed with code ${event.code}`);
        this.#closed = true;
        handlers.handleClose(event.reason || `the connection was closed with code ${event.code}`);
      };
    });
  }

  sendControl(message: ClientControl): void {
    this.#send(encodeControl(message));
  }

  sendMotion(packet: Uint8Array): void {
    this.#send(packet);
  }

  bufferedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#socket?.close(1000);
    } catch {
      // A socket that is still connecting may refuse; it is forgotten either way.
    }
  }

  #send(data: Uint8Array): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(data);
  }

  #handleMessage(data: unknown): void {
    if (this.#closed) return;
    const handlers = this.#handlers!;
    try {
      if (!(data instanceof ArrayBuffer)) {
        throw new FacewireError('message_malformed', 'a text message came; every Facewire message is binary');
      }
      const packet = new Uint8Array(data);
      if (packet[0] === PACKET_KIND.frame) handlers.handleFrame(packet);
      else handlers.handleControl(decodeServerControl(packet));
    } catch (error) {
      handlers.handleError(
        error instanceof FacewireError
          ? error
          : new FacewireError('message_malformed', 'unreadable message', { cause: error }),
      );
    }
  }
}

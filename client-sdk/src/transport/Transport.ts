import type { ClientControl, FacewireError, ServerControl } from '@facewire/proto';

/** What a transport hands to the client. */
export interface TransportHandlers {
  handleControl(message: ServerControl): void;
  /** one whole frame packet; the receiver may keep it */
  handleFrame(packet: Uint8Array): void;
  /** something unreadable came; the connection goes on */
  handleError(error: FacewireError): void;
  /** at most once, after open() resolved */
  handleClose(reason: string): void;
}

/** One connection to a server, used once. */
export interface Transport {
  /** bytes that it adds to each motion packet, for budgets; default 0 */
  readonly overheadBytes?: number;
  /** false: motion packets may be lost, repeated or come out of order, so each must stand alone; default true */
  readonly ordered?: boolean;
  /** Resolves when messages may be sent. Rejects with FacewireError `connection_failed`. */
  open(handlers: TransportHandlers): Promise<void>;
  /** reliable and ordered */
  sendControl(message: ClientControl): void;
  /** hands over one motion packet */
  sendMotion(packet: Uint8Array): void;
  /** bytes accepted but not yet on the wire */
  bufferedBytes(): number;
  /** may be called twice; handleClose is not called for it */
  close(): void;
}

/** Makes a fresh transport for every attempt to connect. */
export type TransportFactory = () => Transport;

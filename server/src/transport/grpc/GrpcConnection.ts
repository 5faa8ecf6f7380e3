import { constants, type Http2Stream } from 'node:http2';
import { type ClientControl, envelopeToClientControl, FacewireError, type ServerControl } from '@facewire/proto';
import { Metadata, type ServerDuplexStream } from '@grpc/grpc-js';
import { isErrorCode } from '../errorMessages.ts';
import type { PeerHub } from '../PeerHub.ts';
import type { PeerSession, Wire } from '../PeerSession.ts';
import { plainBytes } from '../plainBytes.ts';
import { toGrpcStatus } from './grpcStatus.ts';
import type { FacewireServices } from './loadService.ts';

/** A peer that does not read its status is cut off after this. */
const CLOSE_GRACE_MS = 2000;

export type ConnectCall = ServerDuplexStream<Buffer, Buffer>;

/** One Connect call as a peer's wire. */
export class GrpcConnection implements Wire {
  readonly transport = 'grpc';
  readonly #call: ConnectCall;
  readonly #services: FacewireServices;
  readonly #hub: PeerHub;
  readonly #encode: (message: ServerControl) => Buffer;
  #session: PeerSession | undefined;
  /** of messages that HTTP/2 has not taken yet; the call's own writableLength counts objects */
  #bufferedBytes = 0;
  #gone = false;

  constructor(call: ConnectCall, services: FacewireServices, hub: PeerHub, encode: (message: ServerControl) => Buffer) {
    this.#call = call;
    this.#services = services;
    this.#hub = hub;
    this.#encode = encode;
  }

  start(): void {
    const call = this.#call;
    call.on('data', (bytes: Buffer) => this.#received(bytes));
    // Cancelled by the client, connection lost, or status delivered.
    call.on('cancelled', () => this.#ended());
    // The client half-closed: it has no more to say, and a peer that says nothing is gone.
    call.on('end', () => {
      this.#ended();
      call.end();
    });
    call.on('error', (error) => this.#hub.log.debug({ err: error }, 'Connect call failed'));
    // The client may see at once that it is connected, before the first message.
    call.sendMetadata(new Metadata());
    this.#session = this.#hub.admit(this);
  }

  sendControl(message: ServerControl): void {
    this.#send(this.#encode(message));
  }

  /** Encoding copies the packet. */
  sendFrame(packet: Uint8Array): void {
    this.#send(this.#services.encodeServerEnvelope({ frame: packet }));
  }

  bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  end(code: string, reason: string): void {
    if (this.#gone) return;
    // What was written before goes out before the status does.
    if (isErrorCode(code)) this.#call.emit('error', toGrpcStatus(new FacewireError(code, reason)));
    else this.#call.end();
    setTimeout(() => this.abort(), CLOSE_GRACE_MS).unref();
  }

  abort(): void {
    if (this.#gone) return;
    const stream = http2StreamOf(this.#call);
    if (stream !== undefined) stream.close(constants.NGHTTP2_CANCEL);
    else this.#call.destroy();
  }

  #received(bytes: Buffer): void {
    const session = this.#session;
    if (session === undefined) return;
    let message: ClientControl;
    try {
      if (bytes.length > this.#hub.limits.maxMessageBytes + ENVELOPE_BYTES) {
        session.receive(bytes); // too long whatever it is, and the session says so
        return;
      }
      const envelope = this.#decode(bytes);
      if (envelope.motion !== undefined) {
        session.receiveMotion(plainBytes(envelope.motion));
        return;
      }
      message = envelopeToClientControl(envelope);
    } catch (error) {
      session.refuse(error as FacewireError);
      return;
    }
    session.receiveControl(message);
  }

  #decode(bytes: Buffer): { motion?: Uint8Array } {
    try {
      return this.#services.decodeClientEnvelope(bytes);
    } catch (cause) {
      throw new FacewireError('message_malformed', 'the message is no ClientEnvelope of facewire.proto', {
        received: `${bytes.length} bytes`,
        remedy: 'generate the client from proto/facewire.proto of this server',
        cause,
      });
    }
  }

  #send(bytes: Buffer): void {
    if (this.#gone || this.#call.writableEnded) return;
    this.#bufferedBytes += bytes.length;
    this.#call.write(bytes, () => {
      // Every message waits a moment, so every one that leaves is a drain.
      this.#bufferedBytes -= bytes.length;
      this.#session?.drained();
    });
  }

  #ended(): void {
    this.#gone = true;
    this.#session?.closed();
  }
}

/** Field number and length of the one field that an envelope with a motion packet has. */
const ENVELOPE_BYTES = 8;

/**
 * grpc-js gives a server no way to cancel a call that the client does not read, and what waits to be sent would stay in
 * memory as long as the client likes. The HTTP/2 stream lies behind its interceptors; undefined if a version of grpc-js
 * ever hides it.
 */
function http2StreamOf(call: object): Http2Stream | undefined {
  let inner = (call as { call?: InterceptingCall }).call;
  while (inner !== undefined) {
    if (typeof inner.stream?.close === 'function') return inner.stream;
    inner = inner.nextCall;
  }
  return undefined;
}

interface InterceptingCall {
  nextCall?: InterceptingCall;
  stream?: Http2Stream;
}

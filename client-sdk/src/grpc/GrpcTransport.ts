import {
  type ClientControl,
  type ClientEnvelope,
  clientControlToEnvelope,
  envelopeToServerControl,
  FacewireError,
  type ServerEnvelope,
} from '@facewire/proto';
import { PROTO_FILE } from '@facewire/proto/node';
import {
  type ChannelCredentials,
  type ClientDuplexStream,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Transport, TransportHandlers } from '../transport/Transport.ts';

export interface GrpcTransportOptions {
  /** host:port */
  address: string;
  /** default: no encryption */
  credentials?: ChannelCredentials;
  /** give up opening after so long, ms; default 10 000 */
  timeoutMs?: number;
}

/** A server that does not end the call after our end of it is given up after this, ms. */
const CLOSE_GRACE_MS = 1_000;

type Call = ClientDuplexStream<ClientEnvelope, ServerEnvelope>;

/** Facewire over gRPC (HTTP/2), for programs on Node: one call of `facewire.v1.Facewire/Connect`. */
export class GrpcTransport implements Transport {
  /** headers of the HTTP/2 frame (9) and of the message (5), and the envelope's field (2) */
  readonly overheadBytes = 16;
  readonly #options: GrpcTransportOptions;
  #client: InstanceType<ServiceClientConstructor> | undefined;
  #call: Call | undefined;
  #cancelTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: GrpcTransportOptions) {
    this.#options = options;
  }

  async open(handlers: TransportHandlers): Promise<void> {
    const { address, timeoutMs = 10_000 } = this.#options;
    const client = new (serviceClient())(address, this.#options.credentials ?? credentials.createInsecure());
    this.#client = client;
    await new Promise<void>((resolve, reject) => {
      client.waitForReady(Date.now() + timeoutMs, (error) => {
        if (!error) return resolve();
        this.close();
        reject(
          new FacewireError('connection_failed', `cannot connect to ${address}: ${error.message}`, {
            received: address,
            remedy: 'check that the server runs and listens for gRPC at this address',
            cause: error,
          }),
        );
      });
    });
    if (this.#closed) throw new FacewireError('connection_failed', 'closed while connecting');
    const call = client.Connect!(new Metadata()) as Call;
    this.#call = call;
    call.on('data', (envelope: ServerEnvelope) => this.#handleEnvelope(envelope, handlers));
    let reason = 'the server ended the call';
    call.on('error', (error) => {
      reason = error.message;
    });
    // `status` comes once, after `end` and `error` alike.
    call.on('status', () => {
      clearTimeout(this.#cancelTimer);
      if (this.#closed) return;
      this.close();
      handlers.handleClose(reason);
    });
  }

  sendControl(message: ClientControl): void {
    this.#write(clientControlToEnvelope(message));
  }

  sendMotion(packet: Uint8Array): void {
    this.#write({ motion: packet });
  }

  bufferedBytes(): number {
    // grpc-js writes in object mode and counts messages: one motion is about this long.
    return (this.#call?.writableLength ?? 0) * BYTES_PER_MESSAGE;
  }

  /** May be called twice. What was sent before still leaves; the call is over a second later at the latest. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const call = this.#call;
    call?.end();
    this.#client?.close();
    // A server that is silent never ends its side: call and connection would stay, and the process with them.
    if (call) this.#cancelTimer = setTimeout(() => call.cancel(), CLOSE_GRACE_MS);
  }

  #write(envelope: ClientEnvelope): void {
    if (!this.#closed) this.#call?.write(envelope);
  }

  #handleEnvelope(envelope: ServerEnvelope, handlers: TransportHandlers): void {
    if (this.#closed) return;
    try {
      const { frame } = envelope;
      if (frame !== undefined) handlers.handleFrame(new Uint8Array(frame.buffer, frame.byteOffset, frame.byteLength));
      else handlers.handleControl(envelopeToServerControl(envelope));
    } catch (cause) {
      handlers.handleError(
        cause instanceof FacewireError
          ? cause
          : new FacewireError('message_malformed', 'unreadable message', { cause }),
      );
    }
  }
}

const BYTES_PER_MESSAGE = 128;

let loaded: ServiceClientConstructor | undefined;

function serviceClient(): ServiceClientConstructor {
  if (!loaded) {
    const definition = loadSync(PROTO_FILE, { keepCase: false, longs: Number, defaults: false, oneofs: false });
    const root = loadPackageDefinition(definition) as unknown as {
      facewire: { v1: { Facewire: ServiceClientConstructor } };
    };
    loaded = root.facewire.v1.Facewire;
  }
  return loaded;
}

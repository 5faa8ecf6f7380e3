import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type {
  UwsApp,
  UwsBehavior,
  UwsListenSocket,
  UwsModule,
  UwsRequest,
  UwsResponse,
  UwsWebSocket,
} from '../websocket/uwsModule.ts';

/**
 * uWebSockets.js cannot be installed where these tests must run. This stands in for it, on real sockets, with the parts
 * of its documented behaviour that its users trip over: memory that is detached after a handler, requests and responses
 * that throw when they are used too late, a close handler that runs inside of end(), the newest message dropped over
 * maxBackpressure, settings that end the process. It cannot show that the real one behaves so: run the conformance suite
 * with it installed for that.
 */
export const uwsDouble: UwsModule = {
  App: () => new DoubleApp(),
  us_listen_socket_close: (socket) => void (socket as Server).close(),
  us_socket_local_port: (socket) => ((socket as Server).address() as AddressInfo).port,
  LIBUS_LISTEN_EXCLUSIVE_PORT: 1,
  DISABLED: 0,
};

type AnyHandler = (response: UwsResponse, request: UwsRequest) => void;

class DoubleApp implements UwsApp {
  #path = '';
  #behavior: UwsBehavior<unknown> | undefined;
  #any: AnyHandler | undefined;
  #server: Server | undefined;
  readonly #sockets = new Set<WebSocket>();

  ws<T>(pattern: string, behavior: UwsBehavior<T>): this {
    if (behavior.idleTimeout !== 0 && (behavior.idleTimeout < 8 || behavior.idleTimeout > 960)) {
      throw new Error('the process ends here: idleTimeout');
    }
    this.#path = pattern;
    this.#behavior = behavior as UwsBehavior<unknown>;
    return this;
  }

  any(pattern: string, handler: AnyHandler): this {
    if (pattern !== '/*') throw new Error('the double knows /* only');
    this.#any = handler;
    return this;
  }

  listen(host: string, port: number, options: number, done: (socket: UwsListenSocket | false) => void): this {
    if (options !== 1) throw new Error('without the exclusive flag two servers share one port');
    const behavior = this.#behavior!;
    const sockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: behavior.maxPayloadLength,
    });
    const server = createServer((request, response) => this.#route(request, response));
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const response = new ServerResponse(request);
      if (pathOf(request) !== this.#path) {
        response.assignSocket(socket as never);
        response.on('finish', () => socket.end());
        this.#route(request, response);
        return;
      }
      const upgraded = new DoubleResponse(request, response, (userData) => {
        sockets.handleUpgrade(request, socket, head, (client) => {
          this.#sockets.add(client);
          client.on('close', () => this.#sockets.delete(client));
          new DoubleWebSocket(client, userData, behavior).start();
        });
      });
      during(request, (each) => behavior.upgrade(upgraded, each, {}));
    });
    server.on('error', () => done(false));
    server.listen(port, host, () => done(server));
    this.#server = server;
    return this;
  }

  close(): this {
    this.#server?.close();
    this.#server?.closeAllConnections();
    for (const socket of this.#sockets) socket.terminate();
    return this;
  }

  #route(request: IncomingMessage, response: ServerResponse): void {
    const double = new DoubleResponse(request, response);
    during(request, (each) => this.#any!(double, each));
    double.checkHandled();
  }
}

/** A request that is alive during the call only: it is on the stack. */
function during(request: IncomingMessage, call: (request: UwsRequest) => void): void {
  let alive = true;
  const touch = <T>(value: T): T => {
    if (!alive) throw new Error('HttpRequest used after its handler returned');
    return value;
  };
  const query = request.url!.split('?')[1] ?? '';
  call({
    getHeader: (name) => touch(String(request.headers[name] ?? '')),
    getUrl: () => touch(pathOf(request)),
    getQuery: () => touch(query),
    getMethod: () => touch(request.method!.toLowerCase()),
    forEach: (visit) => {
      for (const [name, value] of touch(Object.entries(request.headers))) visit(name, String(value));
    },
  });
  alive = false;
}

class DoubleResponse implements UwsResponse {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #upgrade: ((userData: unknown) => void) | undefined;
  #done = false;
  #abort: (() => void) | undefined;
  #status = '200 OK';
  #lines: string[] = [];

  constructor(request: IncomingMessage, response: ServerResponse, upgrade?: (userData: unknown) => void) {
    this.#request = request;
    this.#response = response;
    this.#upgrade = upgrade;
    request.on('close', () => {
      if (!request.complete) this.#aborted();
    });
    response.on('close', () => {
      if (!response.writableFinished) this.#aborted();
    });
  }

  checkHandled(): void {
    if (!this.#done && this.#abort === undefined) throw new Error('the process ends here: no abort handler');
  }

  writeStatus(status: string): this {
    this.#touch();
    this.#status = status;
    return this;
  }

  writeHeader(name: string, value: string): this {
    this.#touch();
    this.#lines.push(name, value);
    return this;
  }

  end(body: Uint8Array | string = '', closeConnection = false): this {
    this.writeHeader('content-length', String(Buffer.byteLength(body as never)));
    if (closeConnection) this.writeHeader('connection', 'close');
    this.#write(Buffer.from(body as never));
    // Unlike node:http it goes on reading what the client still sends.
    this.#request.resume();
    return this;
  }

  endWithoutBody(...none: unknown[]): this {
    if (none.length > 0) throw new Error('with a length the response never counts as finished');
    this.#touch();
    this.#write();
    return this;
  }

  close(): this {
    this.#touch();
    this.#request.socket.destroy();
    this.#aborted();
    return this;
  }

  cork(write: () => void): this {
    this.#touch();
    write();
    return this;
  }

  onAborted(handler: () => void): this {
    this.#touch();
    this.#abort = handler;
    return this;
  }

  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): this {
    this.#touch();
    const emit = (bytes: Uint8Array, isLast: boolean) => lent(bytes, (buffer) => handler(buffer, isLast));
    this.#request.on('data', (chunk: Buffer) => emit(chunk, false));
    this.#request.on('end', () => emit(new Uint8Array(0), true));
    return this;
  }

  upgrade<T>(userData: T, key: string, _protocol: string, extensions: string): void {
    this.#touch();
    if (key === '' || extensions !== '') throw new Error('bad upgrade');
    this.#done = true;
    this.#upgrade!(userData);
  }

  #write(body?: Buffer): void {
    this.#done = true;
    const [code = '200'] = this.#status.split(' ');
    this.#response.writeHead(Number(code), this.#status.slice(4), this.#lines);
    this.#response.end(body);
  }

  #touch(): void {
    if (this.#done) throw new Error('Invalid access of discarded (invalid, deleted) uWS.HttpResponse');
  }

  #aborted(): void {
    if (this.#done) return;
    this.#done = true;
    this.#abort?.();
  }
}

class DoubleWebSocket<T> implements UwsWebSocket<T> {
  readonly #socket: WebSocket;
  readonly #userData: T;
  readonly #behavior: UwsBehavior<T>;
  #closed = false;

  constructor(socket: WebSocket, userData: T, behavior: UwsBehavior<T>) {
    this.#socket = socket;
    this.#userData = userData;
    this.#behavior = behavior;
  }

  start(): void {
    const socket = this.#socket;
    socket.on('message', (data: Buffer, isBinary) => {
      if (!this.#closed) lent(data, (buffer) => this.#behavior.message(this, buffer, isBinary));
    });
    socket.on('error', () => {});
    socket.on('close', () => this.#gone());
    this.#behavior.open(this);
  }

  getUserData(): T {
    return this.#touch() ?? this.#userData;
  }

  send(message: Uint8Array, isBinary: boolean, compress: boolean): number {
    this.#touch();
    if (this.#socket.bufferedAmount > this.#behavior.maxBackpressure) return 2;
    this.#socket.send(Buffer.from(message), { binary: isBinary, compress }, () => {
      if (!this.#closed && congested) this.#behavior.drain(this);
    });
    const congested = this.#socket.bufferedAmount > 0;
    return congested ? 0 : 1;
  }

  getBufferedAmount(): number {
    return this.#touch() ?? this.#socket.bufferedAmount;
  }

  end(code: number, reason: string): void {
    this.#touch();
    this.#socket.close(code, reason);
    this.#gone();
  }

  close(): void {
    this.#touch();
    this.#socket.terminate();
    this.#gone();
  }

  #gone(): void {
    if (this.#closed) return;
    this.#behavior.close(this, 1000, new ArrayBuffer(0));
    this.#closed = true;
  }

  #touch(): undefined {
    if (this.#closed) throw new Error('Invalid access of closed uWS.WebSocket/SSLWebSocket.');
  }
}

/** Memory that the callee has during the call only. */
function lent(bytes: Uint8Array, use: (buffer: ArrayBuffer) => void): void {
  const buffer = new Uint8Array(bytes).buffer;
  use(buffer);
  structuredClone(buffer, { transfer: [buffer] });
}

function pathOf(request: IncomingMessage): string {
  return request.url!.split('?')[0]!;
}

/**
 * The part of uWebSockets.js that is used here (its docs/index.d.ts, v20). The package is an optional dependency that is
 * not on the npm registry, so its own types cannot be relied on.
 */
export interface UwsModule {
  App(): UwsApp;
  us_listen_socket_close(socket: UwsListenSocket): void;
  us_socket_local_port(socket: UwsListenSocket): number;
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
  readonly DISABLED: number;
}

export type UwsListenSocket = object;

export interface UwsApp {
  ws<T>(pattern: string, behavior: UwsBehavior<T>): UwsApp;
  any(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): UwsApp;
  listen(host: string, port: number, options: number, done: (socket: UwsListenSocket | false) => void): UwsApp;
  /** closes every connection at once, and the listening sockets */
  close(): UwsApp;
}

export interface UwsBehavior<T> {
  maxPayloadLength: number;
  /** seconds: 0, or from 8 to 960; other values end the process */
  idleTimeout: number;
  maxBackpressure: number;
  closeOnBackpressureLimit: boolean;
  maxLifetime: number;
  compression: number;
  sendPingsAutomatically: boolean;
  upgrade(response: UwsResponse, request: UwsRequest, context: object): void;
  open(socket: UwsWebSocket<T>): void;
  /** `message` is detached when this returns */
  message(socket: UwsWebSocket<T>, message: ArrayBuffer, isBinary: boolean): void;
  drain(socket: UwsWebSocket<T>): void;
  /** the socket must not be touched afterwards */
  close(socket: UwsWebSocket<T>, code: number, message: ArrayBuffer): void;
}

export interface UwsWebSocket<T> {
  getUserData(): T;
  /** 1 sent, 0 buffered, 2 dropped for being over maxBackpressure; copies what it buffers */
  send(message: Uint8Array, isBinary: boolean, compress: boolean): number;
  getBufferedAmount(): number;
  /** calls the close handler before it returns */
  end(code: number, reason: string): void;
  close(): void;
}

/** Valid until answered or aborted. */
export interface UwsResponse {
  writeStatus(status: string): UwsResponse;
  writeHeader(name: string, value: string): UwsResponse;
  /** adds the content-length */
  end(body?: Uint8Array | string, closeConnection?: boolean): UwsResponse;
  /** adds no content-length; since v20.10 */
  endWithoutBody(): UwsResponse;
  close(): UwsResponse;
  cork(write: () => void): UwsResponse;
  onAborted(handler: () => void): UwsResponse;
  /** `chunk` is detached when the handler returns */
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): UwsResponse;
  upgrade<T>(userData: T, key: string, protocol: string, extensions: string, context: object): void;
}

/** Valid only during the handler's synchronous part. */
export interface UwsRequest {
  getHeader(lowerCaseName: string): string;
  getUrl(): string;
  getQuery(): string;
  getMethod(): string;
  forEach(visit: (name: string, value: string) => void): void;
}

/** undefined when uWebSockets.js is not installed, or has no binary for this platform and version of Node. */
export async function loadUws(name = 'uWebSockets.js'): Promise<UwsModule | undefined> {
  try {
    const module = (await import(name)) as { default?: UwsModule } & UwsModule;
    const uws = module.default ?? module;
    // A package of that name on npm is an empty shell.
    return typeof uws.App === 'function' ? uws : undefined;
  } catch {
    return undefined;
  }
}

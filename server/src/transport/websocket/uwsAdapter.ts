import { encodeControl, type ServerControl } from '@facewire/proto';
import type { HttpHandler, HttpResponse } from '../../contracts.ts';
import type { BodyBudget } from '../BodyBudget.ts';
import { encodeOnce } from '../encodeOnce.ts';
import { webSocketCloseCode, webSocketCloseReason } from '../errorMessages.ts';
import { answer, DISCARD_MS, type RawHead, toHttpRequest, toWireResponse, upgradeNotFound } from '../http/answer.ts';
import { BodyCollector } from '../http/BodyCollector.ts';
import { errorResponse } from '../http/responses.ts';
import { hardMessageLimit, type TransportLimits } from '../limits.ts';
import { portInUse } from '../listenError.ts';
import type { PeerHub } from '../PeerHub.ts';
import type { PeerSession, Wire } from '../PeerSession.ts';
import type { TransportLog } from '../TransportLog.ts';
import { textRefused } from './textRefused.ts';
import type { UwsListenSocket, UwsModule, UwsResponse, UwsWebSocket } from './uwsModule.ts';
import { CONNECT_PATH, type WebAdapter } from './WebServer.ts';

/** Time for close frames and last answers to leave before every socket is cut off. */
const CLOSE_GRACE_MS = 100;

/** uWebSockets.js counts in whole seconds and ends the process outside of 8…960. */
export function uwsIdleSeconds(idleTimeoutMs: number): number {
  return Math.min(960, Math.max(8, Math.round(idleTimeoutMs / 1000)));
}

/** HTTP and WebSocket by uWebSockets.js, on one port. */
export function createUwsServer(uws: UwsModule): WebAdapter {
  return async ({ host, port, http, hub }) => {
    const { limits } = hub;
    const requests = { pending: 0 };
    const encode = encodeOnce<ServerControl, Uint8Array>(encodeControl);
    const app = uws.App();
    app.ws<UwsConnection>(CONNECT_PATH, {
      // Every limit is set here: their defaults have changed between versions.
      maxPayloadLength: hardMessageLimit(limits),
      idleTimeout: uwsIdleSeconds(limits.idleTimeoutMs),
      sendPingsAutomatically: true,
      // Over maxBackpressure the newest message is dropped and the stale ones are kept: the wrong way round. The session
      // cuts a peer off at maxBufferedBytes, so this must never be reached.
      maxBackpressure: limits.maxBufferedBytes * 2 + hardMessageLimit(limits),
      closeOnBackpressureLimit: false,
      maxLifetime: 0,
      compression: uws.DISABLED,
      upgrade: (response, request, context) => {
        response.upgrade(
          new UwsConnection(hub, encode),
          request.getHeader('sec-websocket-key'),
          request.getHeader('sec-websocket-protocol'),
          // no extensions: permessage-deflate stays off
          '',
          context,
        );
      },
      open: (socket) => socket.getUserData().opened(socket),
      message: (socket, message, isBinary) => socket.getUserData().received(message, isBinary),
      drain: (socket) => socket.getUserData().drained(),
      close: (socket) => socket.getUserData().gone(),
    });
    app.any('/*', (response, request) => {
      // The request lives on the stack: read all of it before the first await.
      const headers: Record<string, string> = {};
      request.forEach((name, value) => {
        headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
      });
      const query = request.getQuery();
      const target = query ? `${request.getUrl()}?${query}` : request.getUrl();
      serveUwsRequest(
        response,
        { method: request.getMethod(), target, headers },
        { http, limits, log: hub.log, budget: hub.bodies, requests },
      );
    });

    // Without the exclusive flag two servers would share the port and the connections between them.
    const listening = await new Promise<UwsListenSocket | false>((resolve) => {
      app.listen(host, port, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, resolve);
    });
    if (listening === false) throw portInUse({ host, port, variable: 'FACEWIRE_PORT' });

    let closing: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      uws.us_listen_socket_close(listening);
      const busy = hub.size > 0 || requests.pending > 0;
      hub.closeAll();
      if (busy) await new Promise((resolve) => setTimeout(resolve, CLOSE_GRACE_MS));
      app.close();
    };
    return {
      adapter: 'uws',
      port: uws.us_socket_local_port(listening),
      get peers() {
        return hub.size;
      },
      close: () => {
        closing ??= close();
        return closing;
      },
    };
  };
}

class UwsConnection implements Wire {
  readonly transport = 'uws';
  readonly #hub: PeerHub;
  readonly #encode: (message: ServerControl) => Uint8Array;
  /** undefined before open and after close: a closed socket must not be touched, it throws */
  #socket: UwsWebSocket<UwsConnection> | undefined;
  #session: PeerSession | undefined;

  constructor(hub: PeerHub, encode: (message: ServerControl) => Uint8Array) {
    this.#hub = hub;
    this.#encode = encode;
  }

  opened(socket: UwsWebSocket<UwsConnection>): void {
    this.#socket = socket;
    this.#session = this.#hub.admit(this);
  }

  /** The view is of memory that is detached when this returns; the session keeps nothing of it. */
  received(message: ArrayBuffer, isBinary: boolean): void {
    if (isBinary) this.#session?.receive(new Uint8Array(message));
    else this.#session?.refuse(textRefused());
  }

  drained(): void {
    this.#session?.drained();
  }

  gone(): void {
    this.#socket = undefined;
    this.#session?.closed();
  }

  sendControl(message: ServerControl): void {
    this.#send(this.#encode(message));
  }

  sendFrame(packet: Uint8Array): void {
    this.#send(packet);
  }

  bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  end(code: string, _reason: string): void {
    this.#socket?.end(webSocketCloseCode(code), webSocketCloseReason(code));
  }

  abort(): void {
    this.#socket?.close();
  }

  #send(bytes: Uint8Array): void {
    const status = this.#socket?.send(bytes, true, false);
    if (status === 2) this.#hub.log.error({ bytes: bytes.length }, 'uWebSockets.js dropped a message');
  }
}

interface ServeOptions {
  http: HttpHandler;
  limits: Readonly<TransportLimits>;
  log: TransportLog;
  budget: BodyBudget;
  /** counted for close() */
  requests: { pending: number };
}

function serveUwsRequest(response: UwsResponse, head: RawHead, options: ServeOptions): void {
  const { http, limits, log, budget, requests } = options;
  const collector = new BodyCollector({
    maxBytes: limits.maxBodyBytes,
    budget,
    announced: head.headers['content-length'],
  });
  let over = false;
  let handling = false;
  requests.pending += 1;
  const settle = (): void => {
    over = true;
    requests.pending -= 1;
    clearTimeout(slowTimer);
    clearTimeout(discardTimer);
    // A client that goes away leaves its body with the handler.
    if (!handling) collector.release();
  };
  const finish = (answered: HttpResponse): void => {
    if (over) return;
    settle();
    write(response, head.method, answered);
  };
  // uWebSockets.js drops a silent client by itself, but not one that sends a byte now and then.
  const slowTimer = setTimeout(() => {
    if (!over) response.close();
  }, limits.requestTimeoutMs);
  let discardTimer: NodeJS.Timeout | undefined;
  const finishRefused = (): void => {
    if (collector.refusal !== undefined) finish(errorResponse(collector.refusal, { connection: 'close' }));
  };
  const check = (): void => {
    if (collector.refusal !== undefined) discardTimer ??= setTimeout(finishRefused, DISCARD_MS);
  };

  response.onAborted(() => {
    if (!over) settle();
  });
  if (head.headers.upgrade?.toLowerCase() === 'websocket') {
    finish(upgradeNotFound(head.target, CONNECT_PATH));
    return;
  }
  check();
  response.onData((chunk, isLast) => {
    if (over) return;
    // The chunk is detached when this returns: copy it.
    collector.push(new Uint8Array(chunk.slice(0)));
    check();
    if (!isLast) return;
    clearTimeout(slowTimer);
    if (collector.refusal !== undefined) {
      finishRefused();
      return;
    }
    handling = true;
    void respond(http, head, collector.body(), log).then((answered) => {
      collector.release();
      finish(answered);
    });
  });
}

async function respond(http: HttpHandler, head: RawHead, body: Uint8Array, log: TransportLog): Promise<HttpResponse> {
  try {
    return await answer(http, toHttpRequest(head, body), log);
  } catch (error) {
    return errorResponse(error);
  }
}

function write(response: UwsResponse, method: string, answered: HttpResponse): void {
  const wire = toWireResponse(method, answered);
  response.cork(() => {
    response.writeStatus(`${wire.status} ${wire.statusText}`);
    for (const [name, value] of Object.entries(wire.headers)) {
      // end() writes the connection header itself
      if (name !== 'connection') response.writeHeader(name, value);
    }
    if (wire.body !== undefined) {
      response.end(wire.body, wire.headers.connection === 'close');
    } else {
      // With a length argument the response would never count as finished (uWebSockets issue 1855): write it by hand.
      if (wire.contentLength !== undefined) response.writeHeader('content-length', String(wire.contentLength));
      response.endWithoutBody();
    }
  });
}

import { STATUS_CODES } from 'node:http';
import { FacewireError } from '@facewire/proto';
import type { HttpHandler, HttpRequest, HttpResponse } from '../../contracts.ts';
import { plainBytes } from '../plainBytes.ts';
import type { TransportLog } from '../TransportLog.ts';
import { errorResponse } from './responses.ts';

/** Runs the handler; whatever it throws becomes a JSON error, and what is not a FacewireError is logged. Never rejects. */
export async function answer(handler: HttpHandler, request: HttpRequest, log: TransportLog): Promise<HttpResponse> {
  try {
    return await handler(request);
  } catch (error) {
    if (!(error instanceof FacewireError)) {
      log.error({ err: error, method: request.method, path: request.path }, `HTTP handler threw: ${String(error)}`);
    }
    return errorResponse(error);
  }
}

export interface RawHead {
  /** any case */
  method: string;
  /** as sent: path and query, percent-encoded */
  target: string;
  headers: Readonly<Record<string, string>>;
}

/**
 * `path` stays percent-encoded: whoever splits it decodes the parts. A scheme and host in front are dropped (RFC 9112,
 * section 3.2.2). Throws message_malformed for a target that has no path.
 */
export function toHttpRequest(head: RawHead, body: Uint8Array): HttpRequest {
  const target = head.target.replace(/^https?:\/\/[^/?]*(?=\/)/i, '');
  if (!target.startsWith('/')) {
    throw new FacewireError('message_malformed', 'a request names a path that starts with /', {
      received: target,
      remedy: 'send the path, e.g. GET /health',
    });
  }
  const mark = target.indexOf('?');
  return {
    method: head.method.toUpperCase(),
    path: mark < 0 ? target : target.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)),
    headers: head.headers,
    body: plainBytes(body),
  };
}

/** How long a client whose body was refused may go on sending it, so that it gets to read the answer. */
export const DISCARD_MS = 2000;

/** What goes on the wire: HEAD, 204 and 304 carry no body, and 204 and 304 no length either. */
export interface WireResponse {
  status: number;
  statusText: string;
  headers: Record<string, string>;
  /** undefined: none may be sent */
  body: Uint8Array | undefined;
  /** of the body that is sent, or that a GET would get */
  contentLength: number | undefined;
}

export function toWireResponse(method: string, response: HttpResponse): WireResponse {
  const body = typeof response.body === 'string' ? Buffer.from(response.body) : response.body;
  const bodiless = response.status === 204 || response.status === 304;
  return {
    status: response.status,
    statusText: STATUS_CODES[response.status] ?? 'Unknown',
    headers: response.headers,
    body: bodiless || method.toUpperCase() === 'HEAD' ? undefined : body,
    contentLength: bodiless ? undefined : body.length,
  };
}

export function upgradeNotFound(path: string, connectPath: string): HttpResponse {
  return errorResponse(
    new FacewireError('not_found', 'there is no WebSocket here', {
      received: path.slice(0, 100),
      remedy: `connect to ${connectPath}`,
    }),
    { connection: 'close' },
  );
}

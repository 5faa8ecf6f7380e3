import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpHandler, HttpResponse } from '../../contracts.ts';
import { answer, bodyTooLarge, toHttpRequest, toWireResponse } from '../http/answer.ts';
import { errorResponse } from '../http/responses.ts';
import type { TransportLog } from '../TransportLog.ts';

/** How long a client that sends too much may go on sending, so that it gets to read the answer. */
const DISCARD_MS = 2000;

/** Serves one request of node:http through an HttpHandler. Never rejects. */
export async function serveNodeRequest(
  request: IncomingMessage,
  response: ServerResponse,
  options: { http: HttpHandler; maxBodyBytes: number; log: TransportLog },
): Promise<void> {
  const method = request.method ?? 'GET';
  try {
    const body = await readBody(request, options.maxBodyBytes);
    if (body === undefined) return; // the client went away
    if (!(body instanceof Uint8Array)) {
      write(response, method, bodyTooLarge(options.maxBodyBytes, body.tooLarge));
      request.resume();
      setTimeout(() => request.destroy(), DISCARD_MS).unref();
      return;
    }
    const head = { method, target: request.url ?? '/', headers: flatHeaders(request) };
    write(response, method, await answer(options.http, toHttpRequest(head, body), options.log));
  } catch (error) {
    if (!response.headersSent) write(response, method, errorResponse(error));
    else response.destroy();
  }
}

/** undefined when the client aborted. */
async function readBody(
  request: IncomingMessage,
  maxBytes: number,
): Promise<Uint8Array | { tooLarge: string } | undefined> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > maxBytes) return { tooLarge: `${announced} bytes` };
  return await new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        chunks.length = 0;
        resolve({ tooLarge: `more than ${maxBytes} bytes` });
      } else {
        chunks.push(chunk);
      }
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('error', () => resolve(undefined));
    request.on('close', () => resolve(undefined));
  });
}

function write(response: ServerResponse, method: string, answered: HttpResponse): void {
  const wire = toWireResponse(method, answered);
  response.writeHead(wire.status, wire.statusText, {
    ...wire.headers,
    ...(wire.contentLength === undefined ? {} : { 'content-length': String(wire.contentLength) }),
  });
  response.end(wire.body);
}

function flatHeaders(request: IncomingMessage): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return flat;
}

/** An HTTP/1.1 answer as bytes, for a socket that is not to be upgraded. */
export function rawHttpAnswer(answered: HttpResponse): string {
  const wire = toWireResponse('GET', answered);
  const lines = Object.entries({ ...wire.headers, 'content-length': String(wire.contentLength ?? 0) });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `HTTP/1.1 ${wire.status} ${wire.statusText}\r\n${head}\r\n${Buffer.from(wire.body ?? '').toString('utf8')}`;
}

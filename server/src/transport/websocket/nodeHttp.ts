import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpHandler, HttpResponse } from '../../contracts.ts';
import type { BodyBudget } from '../BodyBudget.ts';
import { answer, DISCARD_MS, toHttpRequest, toWireResponse } from '../http/answer.ts';
import { BodyCollector } from '../http/BodyCollector.ts';
import { errorResponse } from '../http/responses.ts';
import type { TransportLog } from '../TransportLog.ts';

export interface NodeHttpOptions {
  http: HttpHandler;
  maxBodyBytes: number;
  budget: BodyBudget;
  log: TransportLog;
}

/** Serves one request of node:http through an HttpHandler. Never rejects. */
export async function serveNodeRequest(
  request: IncomingMessage,
  response: ServerResponse,
  options: NodeHttpOptions,
): Promise<void> {
  const method = request.method ?? 'GET';
  const { maxBodyBytes: maxBytes, budget } = options;
  const collector = new BodyCollector({ maxBytes, budget, announced: request.headers['content-length'] });
  try {
    if (!(await readBody(request, collector))) return; // the client went away
    if (collector.refusal !== undefined) {
      write(response, method, errorResponse(collector.refusal, { connection: 'close' }));
      return;
    }
    const head = { method, target: request.url ?? '/', headers: flatHeaders(request) };
    write(response, method, await answer(options.http, toHttpRequest(head, collector.body()), options.log));
  } catch (error) {
    if (!response.headersSent) write(response, method, errorResponse(error));
    else response.destroy();
  } finally {
    collector.release();
  }
}

/** Resolves at the end of the body, or when a refused one has been thrown away for long enough; false: aborted. */
async function readBody(request: IncomingMessage, collector: BodyCollector): Promise<boolean> {
  return await new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const settle = (complete: boolean) => {
      clearTimeout(timer);
      resolve(complete);
    };
    const check = () => {
      if (collector.refusal !== undefined) timer ??= setTimeout(() => settle(true), DISCARD_MS);
    };
    check();
    request.on('data', (chunk: Buffer) => {
      collector.push(chunk);
      check();
    });
    request.on('end', () => settle(true));
    request.on('error', () => settle(false));
    request.on('close', () => settle(false));
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

import { FacewireError } from '@facewire/proto';
import type { AvatarStore, HttpHandler, HttpRequest, HttpResponse } from '../../contracts.ts';
import { SILENT_LOG, type TransportLog } from '../TransportLog.ts';
import { avatarRoutes } from './avatarRoutes.ts';
import { errorResponse, jsonResponse } from './responses.ts';
import { allowedMethods, dispatch, methodNotAllowed, type Route } from './route.ts';
import { type StaticMount, serveStatic } from './staticFiles.ts';

export interface Health {
  /** `ok` is answered with 200, everything else with 503; `degraded`: for some seconds no device has drawn */
  status: 'ok' | 'degraded' | 'closing';
  [detail: string]: unknown;
}

export interface HttpHandlerOptions {
  avatars: AvatarStore;
  health: () => Health;
  /** Prometheus text format */
  metrics: () => string;
  /** anything that can be written as JSON */
  rooms: () => unknown;
  /** the first that has the file serves it; none serves no pages */
  staticMounts?: readonly StaticMount[];
  /** origins that may call the API from a page of theirs, or `*`; by default none but the server's own pages */
  corsOrigins?: readonly string[] | '*';
  /** tried before the static files, e.g. for the composer's own pages */
  extraRoutes?: readonly Route[];
  log?: TransportLog;
}

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'SAMEORIGIN',
  'referrer-policy': 'no-referrer',
};

/** Everything that is served over HTTP: health, metrics, avatars, rooms, pages. Never rejects: errors become JSON. */
export function createHttpHandler(options: HttpHandlerOptions): HttpHandler {
  const log = options.log ?? SILENT_LOG;
  const mounts = options.staticMounts ?? [];
  const routes: Route[] = [
    {
      method: 'GET',
      pattern: '/health',
      handle: () => {
        const health = options.health();
        return jsonResponse(health.status === 'ok' ? 200 : 503, health);
      },
    },
    {
      method: 'GET',
      pattern: '/metrics',
      handle: () => ({
        status: 200,
        headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' },
        body: options.metrics(),
      }),
    },
    { method: 'GET', pattern: '/api/rooms', handle: () => jsonResponse(200, { rooms: options.rooms() }) },
    ...avatarRoutes(options.avatars),
    ...(options.extraRoutes ?? []),
  ];

  const respond = async (request: HttpRequest): Promise<HttpResponse> => {
    if (request.method === 'OPTIONS') return preflight(routes, request);
    const routed = await dispatch(routes, request);
    if (routed !== undefined) return routed;
    const readable = request.method === 'GET' || request.method === 'HEAD';
    const file = await serveStatic(mounts, request);
    if (file !== undefined && !readable) throw methodNotAllowed(request, ['GET', 'HEAD']);
    if (file !== undefined) return file;
    throw new FacewireError('not_found', 'there is nothing at this path', {
      received: `${request.method} ${request.path}`,
      remedy: 'the paths are listed in docs/protocol.md; pages need `npm run build:room` first',
    });
  };

  return async (request) => {
    let response: HttpResponse;
    try {
      response = await respond(request);
    } catch (error) {
      if (!(error instanceof FacewireError)) {
        log.error({ err: error, method: request.method, path: request.path }, `HTTP route threw: ${String(error)}`);
      }
      const allow = allowedMethods(routes, request.path).join(', ');
      const isMethod = error instanceof FacewireError && error.code === 'method_not_allowed';
      response = errorResponse(error, isMethod ? { allow: allow || 'GET, HEAD' } : {});
    }
    return {
      ...response,
      headers: { ...SECURITY_HEADERS, ...response.headers, ...corsHeaders(options.corsOrigins, request) },
    };
  };
}

/** Nothing for a request that is not a page's, or a page's of an origin that is not allowed. */
export function corsHeaders(
  allowed: HttpHandlerOptions['corsOrigins'],
  request: Pick<HttpRequest, 'headers' | 'path'>,
): Record<string, string> {
  const { origin } = request.headers;
  if (allowed === undefined || !request.path.startsWith('/api/')) return {};
  if (allowed === '*') return { 'access-control-allow-origin': '*', ...PREFLIGHT };
  const vary = { vary: 'origin' };
  if (origin === undefined || !allowed.includes(origin)) return vary;
  return { 'access-control-allow-origin': origin, ...vary, ...PREFLIGHT };
}

const PREFLIGHT: Readonly<Record<string, string>> = {
  'access-control-allow-methods': 'GET, HEAD, POST, DELETE',
  'access-control-allow-headers': 'content-type, x-landmarks',
  'access-control-max-age': '600',
};

function preflight(routes: readonly Route[], request: HttpRequest): HttpResponse {
  const allowed = allowedMethods(routes, request.path);
  return {
    status: 204,
    headers: { allow: [...(allowed.length > 0 ? allowed : ['GET', 'HEAD']), 'OPTIONS'].join(', ') },
    body: '',
  };
}

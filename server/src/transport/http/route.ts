import { FacewireError } from '@facewire/proto';
import type { HttpRequest, HttpResponse } from '../../contracts.ts';

/** The parts of the path that the pattern names with a colon, decoded. */
export type PathParameters = Readonly<Record<string, string>>;

export interface Route {
  method: 'GET' | 'POST' | 'DELETE';
  /** e.g. /api/avatars/:id */
  pattern: string;
  handle(request: HttpRequest, parameters: PathParameters): Promise<HttpResponse> | HttpResponse;
}

/** undefined when the path is another one; a part that is not valid percent-encoding matches nothing. */
export function matchPath(pattern: string, path: string): PathParameters | undefined {
  const wanted = pattern.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = decodePart(given[index] ?? '');
    if (value === undefined) return undefined;
    if (part.startsWith(':')) {
      if (value === '') return undefined;
      parameters[part.slice(1)] = value;
    } else if (part !== value) {
      return undefined;
    }
  }
  return parameters;
}

export function decodePart(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

/**
 * Calls the route for the request; HEAD takes the way of GET, and the transport leaves the body out. undefined when no
 * route has this path. Throws method_not_allowed when one has it for other methods only.
 */
export async function dispatch(routes: readonly Route[], request: HttpRequest): Promise<HttpResponse | undefined> {
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const allowed: string[] = [];
  for (const route of routes) {
    const parameters = matchPath(route.pattern, request.path);
    if (parameters === undefined) continue;
    if (route.method === method) return await route.handle(request, parameters);
    allowed.push(route.method);
  }
  if (allowed.length === 0) return undefined;
  throw methodNotAllowed(request, allowed);
}

export function methodNotAllowed(request: HttpRequest, allowed: readonly string[]): FacewireError {
  return new FacewireError('method_not_allowed', `this path takes ${allowed.join(', ')} only`, {
    received: `${request.method} ${request.path}`,
    remedy: `send ${allowed.join(' or ')}`,
  });
}

/** Methods that some route takes at this path; empty when none does. */
export function allowedMethods(routes: readonly Route[], path: string): string[] {
  const methods = routes.filter((route) => matchPath(route.pattern, path) !== undefined).map((route) => route.method);
  return methods.includes('GET') ? [...methods, 'HEAD'] : methods;
}

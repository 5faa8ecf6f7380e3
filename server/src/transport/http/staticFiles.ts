import { open, realpath } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import type { HttpRequest, HttpResponse } from '../../contracts.ts';
import { decodePart } from './route.ts';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.webp': 'image/webp',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
  '.glb': 'model/gltf-binary',
  '.mp4': 'video/mp4',
  '.webm': 'video/webm',
};

/** A bundler's name with a hash in it, e.g. assets/index-B3f9x_2Q.js: its content never changes. */
const HASHED_NAME = /[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+$/;

/** A folder served under a path: `prefix` starts and ends with a slash. */
export interface StaticMount {
  prefix: string;
  directory: string;
}

/**
 * The path of a file below the mounted folder, with slashes and without a leading one, or undefined when the request
 * names nothing that may be served: `..`, hidden names, backslashes, NUL, drive letters, bad percent-encoding.
 */
export function safeRelativePath(path: string, prefix: string): string | undefined {
  if (!path.startsWith(prefix)) return undefined;
  const parts: string[] = [];
  const given = path.slice(prefix.length).split('/');
  for (const [index, raw] of given.entries()) {
    const part = decodePart(raw);
    if (part === undefined) return undefined;
    if (part === '' && index === given.length - 1) return [...parts, 'index.html'].join('/');
    if (part === '' || part.startsWith('.') || /[/\\:\0]/.test(part)) return undefined;
    parts.push(part);
  }
  return parts.join('/');
}

/** Serves GET and HEAD from the first mount that has the file; undefined when none has. */
export async function serveStatic(
  mounts: readonly StaticMount[],
  request: HttpRequest,
): Promise<HttpResponse | undefined> {
  for (const mount of mounts) {
    const relative = safeRelativePath(request.path, mount.prefix);
    if (relative === undefined) continue;
    const response = await serveFile(mount.directory, relative, request.headers['if-none-match']);
    if (response !== undefined) return response;
  }
  return undefined;
}

async function serveFile(
  directory: string,
  relative: string,
  ifNoneMatch: string | undefined,
): Promise<HttpResponse | undefined> {
  let file: Awaited<ReturnType<typeof open>> | undefined;
  try {
    // A symbolic link must not lead out of the folder either.
    const root = await realpath(directory);
    const resolved = await realpath(join(root, relative));
    if (!resolved.startsWith(root + sep)) return undefined;
    file = await open(resolved, 'r');
    const stat = await file.stat();
    if (!stat.isFile()) return undefined;
    const etag = `"${stat.size.toString(16)}-${Math.floor(stat.mtimeMs).toString(16)}"`;
    const headers = {
      'content-type': CONTENT_TYPES[extname(resolved).toLowerCase()] ?? 'application/octet-stream',
      etag,
      // The rest is asked for again each time, and mostly answered with 304.
      'cache-control': HASHED_NAME.test(relative) ? 'public, max-age=31536000, immutable' : 'no-cache',
    };
    if (etagMatches(ifNoneMatch, etag)) return { status: 304, headers, body: '' };
    return { status: 200, headers, body: await file.readFile() };
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG' || code === 'ELOOP' || code === 'EISDIR') {
      return undefined;
    }
    throw error;
  } finally {
    await file?.close();
  }
}

/** RFC 9110, section 13.1.2: weak comparison against a list or `*`. */
export function etagMatches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((each) => {
    const tag = each.trim();
    return tag === '*' || tag.replace(/^W\//, '') === etag;
  });
}

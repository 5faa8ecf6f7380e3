import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ERROR_CODES, FacewireError } from '@facewire/proto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { HttpRequest, HttpResponse } from '../../contracts.ts';
import { SILENT_LOG } from '../TransportLog.ts';
import { MemoryAvatarStore } from '../testing/MemoryAvatarStore.ts';
import { createHttpHandler, type HttpHandlerOptions } from './createHttpHandler.ts';
import { httpStatusOf } from './responses.ts';

let directory = '';

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'facewire-http-'));
  await writeFile(join(directory, 'secret.txt'), 'secret');
  await mkdir(join(directory, 'site', 'assets'), { recursive: true });
  await writeFile(join(directory, 'site', 'index.html'), '<h1>room</h1>');
  await writeFile(join(directory, 'site', 'assets', 'index-B3f9x_2Q.js'), 'export {}');
  await writeFile(join(directory, 'site', 'a b.svg'), '<svg/>');
  await writeFile(join(directory, 'site', '.env'), 'secret');
  await symlink(join(directory, 'secret.txt'), join(directory, 'site', 'link.txt'));
});

afterAll(async () => await rm(directory, { recursive: true }));

function setUp(options: Partial<HttpHandlerOptions> = {}) {
  const avatars = new MemoryAvatarStore();
  const handler = createHttpHandler({
    avatars,
    health: () => ({ status: 'ok', model: 'warp' }),
    metrics: () => 'peers 3\n',
    rooms: () => [{ id: 'lobby', participants: 2 }],
    staticMounts: [{ prefix: '/', directory: join(directory, 'site') }],
    ...options,
  });
  const call = async (method: string, target: string, more: Partial<HttpRequest> = {}): Promise<HttpResponse> => {
    const [path = '', query = ''] = target.split('?');
    return await handler({
      method,
      path,
      query: new URLSearchParams(query),
      headers: {},
      body: new Uint8Array(),
      ...more,
    });
  };
  return { avatars, call };
}

function json(response: HttpResponse): unknown {
  return JSON.parse(Buffer.from(response.body as never).toString());
}

const points = Array.from({ length: 68 }, (_, index) => [index, index / 2]);

describe('health, metrics and rooms', () => {
  it('are what the server says', async () => {
    const { call } = setUp();
    const health = await call('GET', '/health');
    expect([health.status, json(health)]).toEqual([200, { status: 'ok', model: 'warp' }]);
    const metrics = await call('GET', '/metrics');
    expect(metrics.headers['content-type']).toMatch(/^text\/plain; version=0.0.4/);
    expect(metrics.body).toBe('peers 3\n');
    expect(json(await call('GET', '/api/rooms'))).toEqual({ rooms: [{ id: 'lobby', participants: 2 }] });
  });

  it('that are not well are answered with 503, so that a load balancer understands', async () => {
    const { call } = setUp({ health: () => ({ status: 'degraded' }) });
    expect((await call('GET', '/health')).status).toBe(503);
  });
});

describe('avatars', () => {
  it('are created from the body, then listed, shown and deleted', async () => {
    const { avatars, call } = setUp();
    const created = await call('POST', '/api/avatars?name=Ada%20L.', { body: Uint8Array.of(0xff, 0xd8, 1) });
    expect(created.status).toBe(201);
    expect(created.headers.location).toBe('/api/avatars/avatar-1');
    expect(json(created)).toMatchObject({ id: 'avatar-1', name: 'Ada L.', builtIn: false });
    expect(json(await call('GET', '/api/avatars'))).toEqual({ avatars: avatars.list() });
    expect(json(await call('GET', '/api/avatars/avatar-1'))).toMatchObject({ id: 'avatar-1' });
    const portrait = await call('GET', '/api/avatars/avatar-1/portrait');
    expect(portrait.headers['content-type']).toBe('image/jpeg');
    expect(portrait.body).toEqual(Uint8Array.of(0xff, 0xd8, 1));
    expect((await call('DELETE', '/api/avatars/avatar-1')).status).toBe(204);
    expect((await call('GET', '/api/avatars/avatar-1')).status).toBe(404);
  });

  it('take landmarks from the header or from the query', async () => {
    const { avatars, call } = setUp();
    const body = Uint8Array.of(1);
    const text = JSON.stringify(points);
    await call('POST', '/api/avatars', { body, headers: { 'x-landmarks': text } });
    await call('POST', '/api/avatars', { body, query: new URLSearchParams({ landmarks: text }) });
    await call('POST', '/api/avatars', { body });
    expect([...avatars.kept.values()].map((each) => each.landmarks)).toEqual([points, points, undefined]);
  });

  it.each([
    ['no JSON', '[[1,2]'],
    ['too few', JSON.stringify(points.slice(1))],
    ['not pairs', JSON.stringify(points.map(() => [1, 2, 3]))],
    ['not numbers', JSON.stringify(points.map(() => ['1', null]))],
    ['no list', '{"a":1}'],
  ])('refuse landmarks that are %s', async (_, text) => {
    const { avatars, call } = setUp();
    const response = await call('POST', '/api/avatars', { body: Uint8Array.of(1), headers: { 'x-landmarks': text } });
    expect(response.status).toBe(422);
    expect(json(response)).toMatchObject({ code: 'landmarks_invalid', remedy: expect.stringContaining('68') });
    expect(avatars.kept.size).toBe(0);
  });

  it('answer what the store refuses with its code', async () => {
    const { avatars, call } = setUp();
    await avatars.create(Uint8Array.of(1), { name: 'Ada', id: 'ada', builtIn: true });
    expect((await call('DELETE', '/api/avatars/ada')).status).toBe(403);
    const unreadable = await call('POST', '/api/avatars', { body: Buffer.from('xyz') });
    expect([unreadable.status, json(unreadable)]).toMatchObject([415, { code: 'image_unreadable' }]);
    expect((await call('POST', '/api/avatars')).status).toBe(415);
    expect((await call('DELETE', '/api/avatars/nobody')).status).toBe(404);
    expect((await call('GET', '/api/avatars/nobody/portrait')).status).toBe(404);
  });

  it('get printable names of 64 characters at most', async () => {
    const { avatars, call } = setUp();
    const names = ['a\u0000b\u202ec', ' \n ', '🦊'.repeat(80)];
    for (const name of names) {
      await call('POST', '/api/avatars', { body: Uint8Array.of(1), query: new URLSearchParams({ name }) });
    }
    expect(avatars.list().map((each) => each.name)).toEqual(['a b c', 'Avatar', '🦊'.repeat(64)]);
  });
});

describe('pages', () => {
  it('are served with their type, index.html for a folder', async () => {
    const { call } = setUp();
    const index = await call('GET', '/');
    expect(Buffer.from(index.body as never).toString()).toBe('<h1>room</h1>');
    expect(index.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
    });
    expect((await call('GET', '/a%20b.svg')).headers['content-type']).toBe('image/svg+xml');
    expect((await call('HEAD', '/')).status).toBe(200);
  });

  it('are not sent again to who has them, and hashed names are kept for ever', async () => {
    const { call } = setUp();
    const first = await call('GET', '/assets/index-B3f9x_2Q.js');
    expect(first.headers['cache-control']).toContain('immutable');
    const again = await call('GET', '/assets/index-B3f9x_2Q.js', { headers: { 'if-none-match': first.headers.etag! } });
    expect([again.status, again.body]).toEqual([304, '']);
    const other = await call('GET', '/assets/index-B3f9x_2Q.js', { headers: { 'if-none-match': '"other", "x"' } });
    expect(other.status).toBe(200);
  });

  it.each([
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/assets/..%5c..%5csecret.txt',
    '/assets/../../secret.txt',
    '/.env',
    '/link.txt',
    '/%00',
    '/%zz',
    '//etc/passwd',
    '/assets',
    '/assets/',
    '/nothing.html',
    `/${'x'.repeat(300)}`,
  ])('do not lead out of their folder or to hidden files: %s', async (path) => {
    const { call } = setUp();
    const response = await call('GET', path);
    expect(response.status).toBe(404);
    expect(json(response)).toMatchObject({ code: 'not_found' });
  });

  it('may lie in several folders', async () => {
    const { call } = setUp({
      staticMounts: [
        { prefix: '/', directory: join(directory, 'nowhere') },
        { prefix: '/demo/', directory: join(directory, 'site') },
      ],
    });
    expect((await call('GET', '/demo/')).status).toBe(200);
    expect((await call('GET', '/')).status).toBe(404);
  });
});

describe('other requests', () => {
  it('of a known path by another method are answered with 405 and the methods that work', async () => {
    const { call } = setUp();
    const response = await call('PUT', '/api/avatars');
    expect(response.status).toBe(405);
    expect(response.headers.allow).toBe('GET, POST, HEAD');
    expect(json(response)).toMatchObject({ code: 'method_not_allowed', received: 'PUT /api/avatars' });
    expect((await call('POST', '/index.html')).status).toBe(405);
  });

  it('that make a route throw are answered with 500 and logged', async () => {
    const log = { ...SILENT_LOG, error: vi.fn() };
    const { call } = setUp({
      log,
      rooms: () => {
        throw new Error('secret');
      },
    });
    const response = await call('GET', '/api/rooms');
    expect([response.status, json(response)]).toMatchObject([500, { code: 'internal' }]);
    expect(response.body).not.toContain('secret');
    expect(log.error).toHaveBeenCalledOnce();
  });

  it('reach routes of the composer', async () => {
    const { call } = setUp({
      extraRoutes: [
        {
          method: 'GET',
          pattern: '/api/rooms/:id',
          handle: (_request, { id }) => {
            if (id !== 'a b') throw new FacewireError('room_unknown', 'no such room');
            return { status: 200, headers: {}, body: 'yes' };
          },
        },
      ],
    });
    expect((await call('GET', '/api/rooms/a%20b')).body).toBe('yes');
    expect((await call('GET', '/api/rooms/b')).status).toBe(404);
  });
});

describe('pages of other origins', () => {
  const from = (origin: string) => ({ headers: { origin } });

  it('may not read the API unless they are allowed to', async () => {
    const { call } = setUp();
    const response = await call('GET', '/api/avatars', from('https://game.example'));
    expect(response.headers).not.toHaveProperty('access-control-allow-origin');
  });

  it('may when they are listed, also after a preflight', async () => {
    const { call } = setUp({ corsOrigins: ['https://game.example'] });
    const preflight = await call('OPTIONS', '/api/avatars', from('https://game.example'));
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': 'https://game.example',
      'access-control-allow-headers': 'content-type, x-landmarks',
      vary: 'origin',
    });
    const other = await call('GET', '/api/avatars', from('https://evil.example'));
    expect(other.headers).not.toHaveProperty('access-control-allow-origin');
    expect(other.headers.vary).toBe('origin');
  });

  it('may all when that is wanted, but only the API', async () => {
    const { call } = setUp({ corsOrigins: '*' });
    const response = await call('POST', '/api/avatars', from('https://any.example'));
    expect(response.headers['access-control-allow-origin']).toBe('*');
    expect((await call('GET', '/', from('https://any.example'))).headers).not.toHaveProperty(
      'access-control-allow-origin',
    );
  });
});

describe('HTTP statuses', () => {
  it('are errors for all codes', () => {
    for (const code of ERROR_CODES) expect(httpStatusOf(code)).toBeGreaterThanOrEqual(400);
  });
});

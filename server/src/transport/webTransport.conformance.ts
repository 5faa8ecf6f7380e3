import { request as nodeRequest } from 'node:http';
import { FacewireError } from '@facewire/proto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { HttpHandler, HttpRequest } from '../contracts.ts';
import { BodyBudget } from './BodyBudget.ts';
import { describePeerConformance } from './peer.conformance.ts';
import { SILENT_LOG } from './TransportLog.ts';
import { RecordingHandler } from './testing/RecordingHandler.ts';
import { rawExchange } from './testing/rawHttp.ts';
import { connectWs } from './testing/wsTestClient.ts';
import type { WebServer, WebServerOptions } from './websocket/WebServer.ts';

export interface WebHarness {
  create(options: WebServerOptions): Promise<WebServer>;
  /** uWebSockets.js counts idle time in seconds and from 8 upwards: too long to wait for here */
  shortIdleTimes: boolean;
}

const echo: HttpHandler = async ({ method, path, query, headers, body }) => ({
  status: 200,
  headers: { 'content-type': 'application/json', 'x-own': 'yes' },
  body: JSON.stringify({ method, path, query: query.toString(), header: headers['x-sent'], bytes: body.length }),
});

/** What every adapter of the web port does: all that peers are promised, and HTTP beside them. */
export function describeWebConformance(harness: WebHarness): void {
  const cleanups: Array<() => Promise<void> | void> = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function setUp(options: Partial<WebServerOptions> = {}) {
    const handler = new RecordingHandler();
    const server = await harness.create({ host: '127.0.0.1', port: 0, handler, http: echo, ...options });
    cleanups.push(() => server.close());
    return { handler, server, url: `http://127.0.0.1:${server.port}` };
  }

  describePeerConformance({
    start: (options) => harness.create({ host: '127.0.0.1', port: 0, http: echo, ...options }),
    connect: (port) => connectWs(port),
  });

  describe('WebSocket', () => {
    it('refuses text messages', async () => {
      const { handler, server } = await setUp();
      const client = await connectWs(server.port);
      client.socket.send('{"type":"ping"}');
      expect(await client.inbox.nextError()).toMatchObject({ code: 'message_malformed', remedy: expect.any(String) });
      expect(handler.events.map((each) => each.event)).toEqual(['open']);
      client.leave();
    });

    it('is not compressed', async () => {
      const { server } = await setUp();
      const client = await connectWs(server.port);
      expect(client.socket.extensions).toBe('');
      client.leave();
    });

    it('cuts off a message far over the limit without reading it', async () => {
      const { handler, server } = await setUp();
      const client = await connectWs(server.port);
      client.socket.on('error', () => {});
      client.socket.send(new Uint8Array(2 * 1024 * 1024));
      await client.closed;
      await handler.wait('close');
      expect(handler.all('motion')).toHaveLength(0);
    });

    it('is not offered at other paths', async () => {
      const { handler, server } = await setUp();
      await expect(connectWs(server.port, { path: '/elsewhere' })).rejects.toThrow(/404/);
      expect(handler.events).toEqual([]);
    });

    it('takes a query at its path', async () => {
      const { handler, server } = await setUp();
      const client = await connectWs(server.port, { path: '/connect?room=lobby' });
      await handler.wait('open');
      client.leave();
    });

    it.runIf(harness.shortIdleTimes)('closes a peer that answers no pings, and keeps one that does', async () => {
      let nowMs = performance.now();
      const clock = vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      cleanups.push(() => {
        vi.useRealTimers();
        clock.mockRestore();
      });
      const { handler, server, url } = await setUp({ limits: { idleTimeoutMs: 300 } });
      const dead = await connectWs(server.port, { autoPong: false });
      const { peer } = await handler.wait('open');
      const alive = await connectWs(server.port);
      let pings = 0;
      alive.socket.on('ping', () => pings++);
      const pass = async (ms: number) => {
        for (const endMs = nowMs + ms; nowMs < endMs; ) {
          const before = pings;
          nowMs += 100;
          vi.advanceTimersByTime(100);
          await expect.poll(() => pings, { interval: 1 }).toBeGreaterThan(before);
          // By now its answer is under way, and comes before this request.
          await (await fetch(url)).text();
        }
      };
      await pass(400);
      await dead.closed;
      expect((await handler.wait('close')).peer.id).toBe(peer.id);
      await pass(400);
      expect(handler.all('close')).toHaveLength(1);
      alive.leave();
    });
  });

  describe('HTTP', () => {
    it('hands GET requests to the handler', async () => {
      const { url } = await setUp();
      const response = await fetch(`${url}/some/p%20ath?a=1&b=%C3%A4`, { headers: { 'X-Sent': 'hello' } });
      expect(response.headers.get('x-own')).toBe('yes');
      expect(await response.json()).toEqual({
        method: 'GET',
        path: '/some/p%20ath',
        query: 'a=1&b=%C3%A4',
        header: 'hello',
        bytes: 0,
      });
    });

    it('hands the whole body of POST requests to the handler', async () => {
      let seen: HttpRequest | undefined;
      const { url } = await setUp({
        http: async (request) => {
          seen = request;
          return { status: 201, headers: {}, body: request.body };
        },
      });
      const sent = Uint8Array.from({ length: 300_000 }, (_, index) => index % 253);
      const response = await fetch(`${url}/upload`, { method: 'POST', body: sent });
      expect(response.status).toBe(201);
      expect(Buffer.compare(new Uint8Array(await response.arrayBuffer()), sent)).toBe(0);
      expect(seen?.method).toBe('POST');
    });

    it('answers HEAD with the length and without the body', async () => {
      const { url } = await setUp();
      const response = await fetch(`${url}/x`, { method: 'HEAD' });
      expect(response.status).toBe(200);
      expect(Number(response.headers.get('content-length'))).toBeGreaterThan(20);
      expect(await response.text()).toBe('');
    });

    it('answers 204 without a body, and the connection can be used again', async () => {
      const { url } = await setUp({ http: async () => ({ status: 204, headers: {}, body: '' }) });
      for (let round = 0; round < 3; round += 1) expect((await fetch(`${url}/x`)).status).toBe(204);
    });

    it('refuses a body over the limit with 413, announced or not', async () => {
      const http = vi.fn(echo);
      const { server, url } = await setUp({ http, limits: { maxBodyBytes: 1000 } });
      const announced = await fetch(`${url}/x`, { method: 'POST', body: new Uint8Array(1001) });
      expect(announced.status).toBe(413);
      expect(await announced.json()).toMatchObject({ code: 'image_too_large', remedy: expect.any(String) });
      expect(await chunkedPost(server.port, 4000)).toBe(413);
      // A client that is in the middle of sending gets to read the answer too.
      expect((await fetch(`${url}/x`, { method: 'POST', body: new Uint8Array(8_000_000) })).status).toBe(413);
      expect(http).not.toHaveBeenCalled();
      expect((await fetch(`${url}/x`, { method: 'POST', body: new Uint8Array(1000) })).status).toBe(200);
    });

    it('refuses more bodies at once than there is memory for, and takes them when the others are done', async () => {
      let release = () => {};
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      let hold = () => {};
      const isHeld = new Promise<void>((resolve) => {
        hold = resolve;
      });
      const { url } = await setUp({
        limits: { maxBodyBytesAtOnce: 1500 },
        http: async (request) => {
          if (request.path === '/slow') {
            hold();
            await held;
          }
          return await echo(request);
        },
      });
      const body = new Uint8Array(1000);
      const first = fetch(`${url}/slow`, { method: 'POST', body });
      await isHeld;
      expect((await fetch(`${url}/x`, { method: 'POST', body })).status).toBe(503);
      release();
      expect((await first).status).toBe(200);
      expect((await fetch(`${url}/x`, { method: 'POST', body })).status).toBe(200);
    });

    it('answers a FacewireError of the handler as JSON with its status', async () => {
      const { url } = await setUp({
        http: async ({ path }) => {
          throw new FacewireError('not_found', 'nothing here', { received: path, remedy: 'look elsewhere' });
        },
      });
      const response = await fetch(`${url}/x`);
      expect(response.status).toBe(404);
      expect(await response.json()).toEqual({
        code: 'not_found',
        message: 'nothing here',
        received: '/x',
        remedy: 'look elsewhere',
      });
    });

    it('answers 500 to whatever else the handler throws, logs it, and lives on', async () => {
      const log = { ...SILENT_LOG, error: vi.fn() };
      let broken = true;
      const { url } = await setUp({
        log,
        http: async (request) => {
          if (broken) throw new Error('secret path');
          return await echo(request);
        },
      });
      const response = await fetch(`${url}/x`);
      expect(response.status).toBe(500);
      expect(await response.text()).not.toContain('secret');
      expect(log.error).toHaveBeenCalledOnce();
      broken = false;
      expect((await fetch(`${url}/x`)).status).toBe(200);
    });

    it('closes a connection whose request never ends', async () => {
      const { server } = await setUp({ limits: { headersTimeoutMs: 300, requestTimeoutMs: 400 } });
      const answer = await rawExchange(server.port, 'POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc');
      expect(answer).not.toContain('200 OK');
    });

    it('survives a client that goes away in the middle of a body', async () => {
      const { server, url } = await setUp();
      await rawExchange(server.port, 'POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc', (socket) => {
        setTimeout(() => socket.destroy(), 20);
      });
      expect((await fetch(`${url}/x`)).status).toBe(200);
    });
  });

  it('counts the body of a client that went away as long as it is handled', async () => {
    const bodies = new BodyBudget(1500);
    let handle = () => {};
    const handled = new Promise<void>((resolve) => {
      handle = resolve;
    });
    const asked = vi.fn();
    const { server } = await setUp({
      bodies,
      http: async (request) => {
        asked();
        await handled;
        return await echo(request);
      },
    });
    const head = 'POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n';
    await rawExchange(server.port, head + 'a'.repeat(1000), async (socket) => {
      await expect.poll(() => asked).toHaveBeenCalledOnce();
      socket.destroy();
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await chunkedPost(server.port, 1000)).toBe(503);
    handle();
    await expect.poll(() => bodies.take(1500)).toBe(true);
  });

  describe('listening', () => {
    it('on a port that is taken says so and names the setting', async () => {
      const { server, handler } = await setUp();
      const second = harness.create({ host: '127.0.0.1', port: server.port, handler, http: echo });
      await expect(second).rejects.toMatchObject({
        code: 'port_in_use',
        received: `127.0.0.1:${server.port}`,
        remedy: expect.stringContaining('FACEWIRE_PORT'),
      });
    });

    it('ends with close: the port is free again, and close may be called twice', async () => {
      const { server, handler } = await setUp();
      await Promise.all([server.close(), server.close()]);
      const again = await harness.create({ host: '127.0.0.1', port: server.port, handler, http: echo });
      expect(again.port).toBe(server.port);
      await again.close();
    });
  });
}

/** fetch cannot send a body of unknown length without more ado. */
async function chunkedPost(port: number, bytes: number): Promise<number> {
  return await new Promise((resolve, reject) => {
    const request = nodeRequest({ host: '127.0.0.1', port, path: '/x', method: 'POST' }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.on('error', reject);
    for (let sent = 0; sent < bytes; sent += 500) request.write(new Uint8Array(500));
    request.end();
  });
}

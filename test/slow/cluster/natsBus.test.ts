import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { NatsBus } from '../../../server/src/cluster/index.ts';
import { NATS_SERVER_MISSING, type NatsServer, natsServerIsThere, startNatsServer } from '../../natsServer.ts';

/** How long something may take that takes milliseconds on a quiet machine. */
const PATIENCE = { timeout: 20_000 };

describe.skipIf(!natsServerIsThere && !process.env.CI)('a bus over NATS', () => {
  const ends: (() => Promise<void>)[] = [];

  beforeAll(() => expect(natsServerIsThere, NATS_SERVER_MISSING).toBe(true));

  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  async function nats(options?: Parameters<typeof startNatsServer>[0]): Promise<NatsServer> {
    const server = await startNatsServer(options);
    ends.push(() => server.close());
    return server;
  }

  async function connect(url: string) {
    const warnings: string[] = [];
    const bus = await NatsBus.connect({ url, warn: (message) => warnings.push(message) });
    ends.push(() => bus.close());
    return { bus, warnings };
  }

  it('carries bytes to all others who listen, in order, until they no longer do', async () => {
    const { url } = await nats();
    const [{ bus: a }, { bus: b }] = [await connect(url), await connect(url)];
    const heard: string[] = [];
    const end = b.subscribe('x.y', (data) => heard.push(`y${data[0]}`));
    a.subscribe('x.y', () => heard.push('own'));
    b.subscribe('x.z', (data) => heard.push(`z${data[0]}`));
    await b.connection.flush();
    for (let n = 0; n < 100; n++) a.publish('x.y', Uint8Array.of(n));
    await vi.waitFor(() => expect(heard).toHaveLength(100), PATIENCE);
    expect(heard).toEqual(Array.from({ length: 100 }, (_, n) => `y${n}`));
    end();
    await b.connection.flush();
    a.publish('x.y', Uint8Array.of(7));
    a.publish('x.z', Uint8Array.of(8));
    await vi.waitFor(() => expect(heard.slice(100)).toEqual(['z8']), PATIENCE);
  });

  it('sends nothing that is out of date when a lost connection is back, and tells of it', async () => {
    const server = await nats();
    const { bus, warnings } = await connect(server.url);
    const { bus: other } = await connect(server.url);
    const heard: number[] = [];
    other.subscribe('x', (data) => heard.push(data[0]!));
    const back = vi.fn();
    bus.onReconnected(back);
    await server.stop();
    await vi.waitFor(() => expect(bus.connected).toBe(false), PATIENCE);
    bus.publish('x', Uint8Array.of(1));
    await server.start();
    await vi.waitFor(() => expect(bus.connected && other.connected).toBe(true), PATIENCE);
    await other.connection.flush();
    bus.publish('x', Uint8Array.of(2));
    await vi.waitFor(() => expect(heard).toEqual([2]), PATIENCE);
    expect(back).toHaveBeenCalledTimes(1);
    expect(warnings.map((text) => text.replace(/:.*/, ''))).toEqual([
      'the connection to the cluster is lost',
      'the connection to the cluster is back',
    ]);
  });

  it('tries again for as long as it is refused, and goes on when it is let in', async () => {
    const server = await nats({ credentials: 'facewire:right' });
    const { bus, warnings } = await connect(server.url);
    const back = vi.fn();
    bus.onReconnected(back);
    await server.stop();
    await server.start('facewire:other');
    await vi.waitFor(() => expect(bus.connected).toBe(false), PATIENCE);
    // Two refusals would end it, were that left to NATS's client.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(() => bus.subscribe('x', () => undefined)).not.toThrow();
    expect(back).not.toHaveBeenCalled();
    await server.stop();
    await server.start();
    await vi.waitFor(() => expect(bus.connected).toBe(true), PATIENCE);
    expect(back).toHaveBeenCalledTimes(1);
    expect(warnings.filter((text) => text.includes('is lost'))).toHaveLength(1);
  });

  it('loses a message that is too large, and says so', async () => {
    const { bus, warnings } = await connect((await nats()).url);
    expect(() => bus.publish('x', new Uint8Array(2 ** 20 + 1))).not.toThrow();
    expect(warnings).toEqual([expect.stringContaining('1048577 bytes')]);
    await bus.connection.flush();
  });

  it('ends within seconds, also when NATS hangs', async () => {
    const server = await nats();
    const { bus } = await connect(server.url);
    server.pause();
    const begun = performance.now();
    await bus.close();
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(bus.connection.isClosed()).toBe(true);
    server.goOn();
  });

  it('gives the name and password of its address', async () => {
    const { url } = await nats({ credentials: 'facewire:se%63ret' });
    await expect(connect(url.replace('se%63ret', 'wrong'))).rejects.toMatchObject({
      code: 'cluster_unavailable',
      received: expect.not.stringContaining('wrong') as string,
      remedy: expect.stringContaining('nats-server -js') as string,
    });
    const { bus } = await connect(url.replace('se%63ret', 'se%2563ret'));
    expect(bus.connected).toBe(true);
  });

  it('says so when nobody is there', async () => {
    const server = await nats();
    await server.stop();
    await expect(connect(server.url)).rejects.toMatchObject({
      code: 'cluster_unavailable',
      received: new URL(server.url).host,
    });
  });
});

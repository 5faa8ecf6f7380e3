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

  it('carries bytes to everybody who listens, in order, until they no longer do', async () => {
    const { url } = await nats();
    const [{ bus: a }, { bus: b }] = [await connect(url), await connect(url)];
    const heard: string[] = [];
    const end = b.subscribe('x.y', (data) => heard.push(`b${data[0]}`));
    a.subscribe('x.y', (data) => heard.push(`a${data[0]}`));
    b.subscribe('x.z', () => heard.push('z'));
    await b.connection.flush();
    for (let n = 0; n < 100; n++) a.publish('x.y', Uint8Array.of(n));
    await vi.waitFor(() => expect(heard).toHaveLength(200), PATIENCE);
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    expect(heard.filter((each) => each.startsWith('b'))).toEqual(numbers.map((n) => `b${n}`));
    end();
    await b.connection.flush();
    a.publish('x.y', Uint8Array.of(7));
    await vi.waitFor(() => expect(heard.filter((each) => each === 'a7')).toHaveLength(2), PATIENCE);
    await b.connection.flush();
    expect(heard).toHaveLength(201);
  });

  it('sends nothing that is out of date when a lost connection is back, and tells of it', async () => {
    const server = await nats();
    const { bus, warnings } = await connect(server.url);
    const heard: number[] = [];
    bus.subscribe('x', (data) => heard.push(data[0]!));
    const back = vi.fn(() => bus.publish('x', Uint8Array.of(2)));
    bus.onReconnected(back);
    await server.stop();
    await vi.waitFor(() => expect(bus.connected).toBe(false), PATIENCE);
    bus.publish('x', Uint8Array.of(1));
    await server.start();
    await vi.waitFor(() => expect(heard).toEqual([2]), PATIENCE);
    expect(back).toHaveBeenCalledTimes(1);
    expect(warnings.map((text) => text.replace(/:.*/, ''))).toEqual([
      'the connection to the cluster is lost',
      'the connection to the cluster is back',
    ]);
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
    await expect(connect(server.url)).rejects.toMatchObject({ code: 'cluster_unavailable', received: server.url });
  });

  it.each(['127.0.0.1:4222', 'http://127.0.0.1', 'nats://', 'nats://a,,nats://b'])(
    'does not take %s for an address',
    async (url) => {
      await expect(connect(url)).rejects.toMatchObject({ code: 'config_invalid', received: url });
    },
  );
});

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AvatarClient, type AvatarClientOptions, type AvatarFrame } from '@facewire/client-sdk';
import { type Motion, neutralMotion, synthesizeMotion } from '@facewire/proto';
import { type SpawnedServer, spawnServer } from '@facewire/server/spawn';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { NATS_SERVER_MISSING, type NatsServer, natsServerIsThere, startNatsServer } from '../../natsServer.ts';

const portraits = fileURLToPath(new URL('../../../models/portraits', import.meta.url));
/** How long something may take that takes a second or two on a quiet machine. */
const PATIENCE = { timeout: 60_000, interval: 50 };

/** Connections to one port go to whichever server is the target then, as a load balancer's do. */
async function balance(target: () => string): Promise<{ url: string; server: Server }> {
  const server = createServer((client) => {
    const { hostname, port } = new URL(target());
    const upstream: Socket = connect(Number(port), hostname);
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) {
      socket.on('error', () => undefined);
      socket.on('close', () => [client, upstream].forEach((each) => void each.destroy()));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}`, server };
}

describe.skipIf(!natsServerIsThere && !process.env.CI)('two servers of a cluster', () => {
  let nats: NatsServer;
  let a: SpawnedServer;
  let b: SpawnedServer;
  const folders: string[] = [];
  const clients: AvatarClient[] = [];

  async function startServer(): Promise<SpawnedServer> {
    const data = await mkdtemp(join(tmpdir(), 'facewire-cluster-'));
    folders.push(data);
    const env = {
      FACEWIRE_CLUSTER: nats.url,
      FACEWIRE_DATA: data,
      FACEWIRE_DEVICE: 'cpu',
      FACEWIRE_DEMO_SEATS: '0',
      FACEWIRE_THREADS: '1',
      FACEWIRE_LOG: 'warn',
    };
    return spawnServer(env, { mostMs: 180_000 });
  }

  beforeAll(async () => {
    expect(natsServerIsThere, NATS_SERVER_MISSING).toBe(true);
    nats = await startNatsServer();
    a = await startServer();
    b = await startServer();
  });

  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });

  afterAll(async () => {
    await Promise.all([a?.close(), b?.close()]);
    await nats?.close();
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  });

  function client(url: string, more: Partial<AvatarClientOptions> = {}): AvatarClient {
    const made = new AvatarClient({
      url: `${url}/connect`,
      room: 'arena',
      role: 'viewer',
      name: 'Vera',
      codecs: ['jpeg'],
      reconnect: { firstDelayMs: 50, maxDelayMs: 500, maxAttempts: 1000 },
      WebSocket,
      ...more,
    });
    clients.push(made);
    return made;
  }

  /** Joined, and moving as `motion` says, or as faces do. */
  async function player(url: string, name: string, avatar: string, motion?: () => Motion): Promise<AvatarClient> {
    const made = client(url, { role: 'player', name, avatar });
    await made.connect();
    const move = motion ?? (() => synthesizeMotion(performance.now() / 1000, 1));
    const timer = setInterval(() => made.publishMotion(move()), 33);
    made.on('close', () => clearInterval(timer));
    return made;
  }

  const participantNamed = (viewer: AvatarClient, name: string) =>
    [...viewer.participants.values()].find((each) => each.name === name);

  async function appears(viewer: AvatarClient, name: string): Promise<string> {
    await vi.waitFor(() => expect(participantNamed(viewer, name)).toBeDefined(), PATIENCE);
    return participantNamed(viewer, name)!.id;
  }

  function frameOf(viewer: AvatarClient, participant: string, wanted: (frame: AvatarFrame) => boolean) {
    const stream = viewer.subscribe(participant, { size: 128, framesPerSecond: 15 });
    return new Promise<AvatarFrame>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no such frame within 60 s')), PATIENCE.timeout);
      stream.on('error', reject);
      stream.on('frame', (frame) => {
        if (!wanted(frame)) return;
        clearTimeout(timer);
        stream.close();
        resolve(frame);
      });
    });
  }

  async function difference(x: AvatarFrame, y: AvatarFrame): Promise<number> {
    const [p, q] = await Promise.all([x, y].map(({ payload }) => sharp(payload).raw().toBuffer()));
    return p!.reduce((sum, value, index) => sum + Math.abs(value - q![index]!), 0) / p!.length;
  }

  const health = async ({ url }: SpawnedServer) =>
    (await (await fetch(`${url}/health`)).json()) as {
      elsewhere: number;
      cluster: { connected: boolean; servers: number };
    };

  it('know each other', async () => {
    await vi.waitFor(async () => {
      const clusters = await Promise.all([a, b].map(async (server) => (await health(server)).cluster));
      for (const cluster of clusters) expect(cluster).toMatchObject({ connected: true, servers: 2 });
    }, PATIENCE);
  });

  it('show the players of one to the viewers of the other, as they move', async () => {
    let yaw = 0;
    await player(a.url, 'Ada', 'ada', () => {
      const motion = neutralMotion();
      motion.pose.yaw = yaw;
      return motion;
    });
    const viewer = client(b.url);
    await viewer.connect();
    const ada = await appears(viewer, 'Ada');
    const frontal = await frameOf(viewer, ada, () => true);
    expect(frontal.header).toMatchObject({ width: 128, height: 128 });
    // Dated by this server's clock, which began seconds after that of the server that the motion came to: dated by that
    // one it would be newer than now, which counts as 0.
    await frameOf(viewer, ada, ({ latencyMs }) => latencyMs !== undefined && latencyMs > 0 && latencyMs < 2000);
    yaw = 0.5;
    // The same face is drawn for a viewer of the server that it is on.
    const neighbour = client(a.url, { name: 'Nora' });
    await neighbour.connect();
    await vi.waitFor(async () => {
      const [there, here] = await Promise.all([viewer, neighbour].map((each) => frameOf(each, ada, () => true)));
      expect(await difference(frontal, there!)).toBeGreaterThan(4);
      expect(await difference(there!, here!)).toBeLessThan(1);
    }, PATIENCE);
  });

  it('send motion only, and only of rooms that people of both are in', async () => {
    const bytes = async ({ url }: SpawnedServer) => {
      const text = await (await fetch(`${url}/metrics`)).text();
      return Number(/^facewire_cluster_bytes_sent_total (\d+)/m.exec(text)?.[1]);
    };
    await player(a.url, 'Ada', 'ada');
    const viewer = client(b.url);
    await viewer.connect();
    const ada = await appears(viewer, 'Ada');
    await frameOf(viewer, ada, () => true);
    const over = async (ms: number) => {
      const before = await bytes(a);
      await new Promise((resolve) => setTimeout(resolve, ms));
      return ((await bytes(a)) - before) / (ms / 1000);
    };
    await vi.waitFor(async () => {
      // 30 packets of 70 bytes a second, and what says whose they are; a frame has some 3,000.
      const together = await over(1000);
      expect(together).toBeGreaterThan(1000);
      expect(together).toBeLessThan(8000);
    }, PATIENCE);
    viewer.close();
    await vi.waitFor(async () => expect((await health(a)).elsewhere).toBe(0), PATIENCE);
    const alone = await over(2000);
    expect(alone).toBeLessThan(200);
  });

  it('share the avatars that are made on either', async () => {
    const portrait = await readFile(join(portraits, 'ada.jpg'));
    const created = await fetch(`${a.url}/api/avatars?name=Shared`, {
      method: 'POST',
      headers: { 'content-type': 'image/jpeg' },
      body: new Uint8Array(portrait),
    });
    const { id } = (await created.json()) as { id: string };
    expect(created.status).toBe(201);
    const listed = async (url: string) =>
      ((await (await fetch(`${url}/api/avatars`)).json()) as { avatars: { id: string }[] }).avatars.map(
        (each) => each.id,
      );
    await vi.waitFor(async () => expect(await listed(b.url)).toContain(id), PATIENCE);
    await player(b.url, 'Ben', id);
    const viewer = client(b.url);
    await viewer.connect();
    const frame = await frameOf(viewer, await appears(viewer, 'Ben'), () => true);
    expect(frame.payload.length).toBeGreaterThan(500);
    expect((await fetch(`${b.url}/api/avatars/${id}/portrait`)).status).toBe(200);
    expect((await fetch(`${b.url}/api/avatars/${id}`, { method: 'DELETE' })).status).toBe(204);
    await vi.waitFor(async () => expect(await listed(a.url)).not.toContain(id), PATIENCE);
  });

  it('go on by themselves while NATS is away, and are one again afterwards', async () => {
    await player(a.url, 'Ada', 'ada');
    await player(b.url, 'Ben', 'bruno');
    const viewer = client(b.url);
    await viewer.connect();
    await appears(viewer, 'Ada');
    await nats.stop();
    await vi.waitFor(() => expect(participantNamed(viewer, 'Ada')).toBeUndefined(), PATIENCE);
    expect((await health(b)).cluster.connected).toBe(false);
    await frameOf(viewer, participantNamed(viewer, 'Ben')!.id, () => true);
    await nats.start();
    const ada = await appears(viewer, 'Ada');
    await frameOf(viewer, ada, () => true);
  });

  // The last one: a is gone afterwards.
  it('take over when one dies: its players come back through the other', async () => {
    let target = a;
    const { url, server } = await balance(() => target.url);
    const ada = await player(url, 'Ada', 'ada');
    const viewer = client(b.url);
    await viewer.connect();
    const before = await appears(viewer, 'Ada');
    const left: string[] = [];
    viewer.on('participantLeft', ({ id }) => left.push(id));
    await frameOf(viewer, before, () => true);
    target = b;
    a.process.kill('SIGKILL');
    await vi.waitFor(() => expect(left).toEqual([before]), PATIENCE);
    await vi.waitFor(() => expect(ada.state).toBe('open'), PATIENCE);
    const after = await appears(viewer, 'Ada');
    expect(after).not.toBe(before);
    await frameOf(viewer, after, () => true);
    server.close();
  });
});

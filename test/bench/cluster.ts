import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { AvatarClient, type AvatarClientOptions, SyntheticMotionSource } from '@facewire/client-sdk';
import { type SpawnedServer, spawnServer } from '@facewire/server/spawn';
import WebSocket from 'ws';
import { startNatsServer } from '../natsServer.ts';
import { wholeNumber, withDataDir } from './target.ts';

/** After the last viewer joined, before anything is measured, ms. */
const WARM_UP_MS = 3000;

/**
 * Two servers over NATS on this machine. All players are on the first; each server has one viewer who watches them all, at
 * the same time. What a server more between player and viewer costs, and what goes between the servers meanwhile.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      players: { type: 'string', default: '2' },
      size: { type: 'string', default: '128' },
      fps: { type: 'string', default: '15' },
      seconds: { type: 'string', default: '15' },
    },
  });
  const players = wholeNumber('players', values.players);
  const size = wholeNumber('size', values.size);
  const framesPerSecond = wholeNumber('fps', values.fps);
  const seconds = wholeNumber('seconds', values.seconds);
  return withDataDir('cluster', async (data) => {
    const ends: (() => Promise<void> | void)[] = [];
    try {
      const nats = await startNatsServer();
      ends.push(() => nats.close());
      const start = async (name: string) => {
        const server = await spawnServer({
          FACEWIRE_CLUSTER: nats.url,
          FACEWIRE_DATA: join(data, name),
          FACEWIRE_DEVICE: 'cpu',
          FACEWIRE_DEMO_SEATS: '0',
          FACEWIRE_THREADS: '1',
          FACEWIRE_LOG: 'warn',
        });
        ends.push(() => server.close());
        return server;
      };
      const [first, second] = [await start('first'), await start('second')];
      const enter = async ({ url }: SpawnedServer, options: Pick<AvatarClientOptions, 'role' | 'name' | 'avatar'>) => {
        const client = new AvatarClient({
          url: `${url}/connect`,
          room: 'bench',
          codecs: ['vp8'],
          WebSocket,
          ...options,
        });
        ends.push(() => client.close());
        await client.connect();
        return client;
      };
      const avatars = await avatarsOf(first);
      for (let index = 0; index < players; index++) {
        const avatar = avatars[index % avatars.length]!;
        const player = await enter(first, { role: 'player', name: `player ${index + 1}`, avatar });
        const source = new SyntheticMotionSource({ seed: index + 1 });
        source.start((motion) => player.publishMotion(motion));
        ends.push(() => source.stop());
      }
      let measuring = false;
      const watch = async (server: SpawnedServer) => {
        const viewer = await enter(server, { role: 'viewer', name: 'viewer' });
        while (watchable(viewer).length < players) await sleep(20);
        const latencies: number[] = [];
        const streams = watchable(viewer).map(({ id }) => viewer.subscribe(id, { size, framesPerSecond }));
        let frames = 0;
        for (const stream of streams) {
          stream.on('frame', ({ latencyMs }) => {
            if (!measuring) return;
            frames++;
            if (latencyMs !== undefined) latencies.push(latencyMs);
          });
        }
        return () => ({ ...quantiles(latencies), framesPerSecond: round(frames / players / seconds) });
      };
      const [same, other] = [await watch(first), await watch(second)];
      await sleep(WARM_UP_MS);
      measuring = true;
      const before = await sent(first);
      await sleep(seconds * 1000);
      measuring = false;
      const after = await sent(first);
      return {
        bench: 'cluster',
        players,
        size,
        /** motion published → frame received, by a viewer of the server that the players are on, and of the other */
        sameServer: same(),
        otherServer: other(),
        /** from the players' server to the other, a player's share */
        betweenServers: {
          bytesPerSecond: Math.round((after.bytes - before.bytes) / seconds / players),
          messagesPerSecond: round((after.messages - before.messages) / seconds / players),
        },
        machine: cpus()[0]?.model,
      };
    } finally {
      for (const end of ends.reverse()) await end();
    }
  });
}

const watchable = ({ participants }: AvatarClient) =>
  [...participants.values()].filter(({ role }) => role === 'player');

async function avatarsOf({ url }: SpawnedServer): Promise<string[]> {
  const { avatars } = (await (await fetch(`${url}/api/avatars`)).json()) as { avatars: { id: string }[] };
  return avatars.map(({ id }) => id);
}

async function sent({ url }: SpawnedServer): Promise<{ bytes: number; messages: number }> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const of = (name: string) => Number(new RegExp(`^facewire_cluster_${name}_sent_total (\\d+)`, 'm').exec(text)?.[1]);
  return { bytes: of('bytes'), messages: of('messages') };
}

function quantiles(values: number[]): { p50Ms: number; p95Ms: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN);
  return { p50Ms: at(0.5), p95Ms: at(0.95) };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

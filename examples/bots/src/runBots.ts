import {
  AvatarClient,
  type AvatarStream,
  SyntheticMotionSource,
  type TransportFactory,
  WebSocketTransport,
} from '@facewire/client-sdk';
import { GrpcTransport } from '@facewire/client-sdk/grpc';
import WebSocket from 'ws';
import type { BotOptions } from './options.ts';
import { readSlowly } from './readSlowly.ts';

export interface BotReport {
  players: number;
  viewers: number;
  /** per avatar and viewer, as received */
  framesPerSecond: { min: number; mean: number };
  /** motion published → frame received */
  latencyMs: { p50: number; p95: number };
  /** of all bots together, as seen by the clients */
  bytesPerSecond: { up: number; down: number };
  /** motions replaced before they were sent because the socket was busy */
  dropped: number;
  /** motion of one player, mean, without the transport's own bytes; what its precision costs as measured on real faces */
  motion: { bytesPerSecond: number; packetsPerSecond: number; expectedErrorMm: number };
  errors: number;
}

/** After the last join frames flow for so long before the measurement begins, ms. */
const WARM_UP_MS = 1_500;

interface Viewer {
  client: AvatarClient;
  streams: AvatarStream[];
  slow: boolean;
}

/** Plays and watches against the server at `url`; slow viewers are left out of the frame rates and latencies. */
export async function runBots(url: string, options: BotOptions, log: (line: string) => void): Promise<BotReport> {
  const { transport, avatars } = await discover(url, options.transport);
  const room = `bots-${Date.now().toString(36)}`;
  const errors: string[] = [];
  const handleError = (error: Error) => {
    errors.push(error.message);
    if (errors.length <= 5) log(`error: ${error.message}`);
  };

  const players: AvatarClient[] = [];
  const sources: SyntheticMotionSource[] = [];
  for (let index = 0; index < options.players; index++) {
    const client = new AvatarClient({
      transport,
      room,
      role: 'player',
      name: `player ${index + 1}`,
      avatar: avatars[index % avatars.length]!,
      codecs: ['vp8', 'jpeg'],
      motionBudget: options.motionBudget,
    });
    client.on('error', handleError);
    await client.connect();
    const source = new SyntheticMotionSource({ seed: index + 1 });
    source.start((motion) => client.publishMotion(motion));
    players.push(client);
    sources.push(source);
  }
  log(`${players.length} players joined ${room}`);

  const latencies: number[] = [];
  let measuring = false;
  const viewers: Viewer[] = [];
  for (let index = 0; index < options.viewers; index++) {
    const slow = index < options.slow;
    const client = new AvatarClient({
      ...(slow ? { url: webSocketUrl(url), WebSocket: readSlowly(WebSocket) } : { transport }),
      room,
      role: 'viewer',
      name: `viewer ${index + 1}`,
      codecs: ['vp8', 'jpeg'],
    });
    client.on('error', handleError);
    await client.connect();
    const watched = players.slice(0, options.streams).map((player) => player.session!.participant);
    const view = { yaw: viewYaw(index, options), pitch: 0 };
    const streams = watched.map((participant) => {
      const { size, framesPerSecond } = options;
      const stream = client.subscribe(participant, { size, framesPerSecond, view });
      stream.on('error', handleError);
      stream.on('frame', ({ latencyMs }) => {
        if (measuring && !slow && latencyMs !== undefined) latencies.push(latencyMs);
      });
      return stream;
    });
    viewers.push({ client, streams, slow });
  }
  log(`${viewers.length} viewers joined, ${options.slow} of them slow`);

  await sleep(WARM_UP_MS);
  const before = viewers.map((viewer) => viewer.streams.map((stream) => stream.stats.received));
  const traffic = totals(players, viewers);
  const startedAtMs = performance.now();
  measuring = true;
  await sleep(options.seconds * 1000);
  measuring = false;
  const seconds = (performance.now() - startedAtMs) / 1000;
  const rates = viewers.flatMap((viewer, v) =>
    viewer.slow ? [] : viewer.streams.map((stream, s) => (stream.stats.received - before[v]![s]!) / seconds),
  );
  const after = totals(players, viewers);

  for (const source of sources) source.stop();
  for (const client of [...players, ...viewers.map((viewer) => viewer.client)]) client.close();
  latencies.sort((a, b) => a - b);
  const quantile = (q: number) =>
    round(latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? 0);
  return {
    players: players.length,
    viewers: viewers.length,
    framesPerSecond: {
      min: threeDigits(rates.length === 0 ? 0 : Math.min(...rates)),
      mean: threeDigits(rates.reduce((sum, rate) => sum + rate, 0) / Math.max(1, rates.length)),
    },
    latencyMs: { p50: quantile(0.5), p95: quantile(0.95) },
    bytesPerSecond: {
      up: Math.round((after.up - traffic.up) / seconds),
      down: Math.round((after.down - traffic.down) / seconds),
    },
    dropped: after.replaced - traffic.replaced,
    motion: {
      bytesPerSecond: Math.round((after.up - traffic.up) / seconds / players.length),
      packetsPerSecond: round((after.packets - traffic.packets) / seconds / players.length),
      expectedErrorMm:
        Math.round(
          (100 * players.reduce((sum, { stats }) => sum + stats.published.expectedErrorMm, 0)) / players.length,
        ) / 100,
    },
    errors: errors.length,
  };
}

/** Radians: viewers stand in a row, the middle one straight ahead. */
function viewYaw(index: number, { viewers, viewStep = 0 }: BotOptions): number {
  return ((index - (viewers - 1) / 2) * viewStep * Math.PI) / 180;
}

function totals(players: readonly AvatarClient[], viewers: readonly Viewer[]) {
  const sum = { up: 0, down: 0, replaced: 0, packets: 0 };
  for (const client of players) {
    sum.up += client.stats.published.bytes;
    sum.replaced += client.stats.published.replaced;
    sum.packets += client.stats.published.packets;
  }
  for (const { client } of viewers) sum.down += client.stats.received.bytes;
  return sum;
}

/** Asks the server which avatars it has and where its gRPC port is. */
async function discover(url: string, kind: 'ws' | 'grpc'): Promise<{ transport: TransportFactory; avatars: string[] }> {
  const list = await getJson(`${url}/api/avatars`);
  const avatars = (list as { avatars: { id: string }[] }).avatars.map((avatar) => avatar.id);
  if (avatars.length === 0) throw new Error(`the server at ${url} has no avatars: upload one with POST /api/avatars`);
  if (kind === 'ws') {
    const address = webSocketUrl(url);
    return { transport: () => new WebSocketTransport({ url: address, WebSocket }), avatars };
  }
  // A server that is not well answers 503, and says where its ports are all the same.
  const { grpcPort } = (await (await fetch(`${url}/health`)).json()) as { grpcPort?: number };
  if (!grpcPort) throw new Error(`the server at ${url} has gRPC switched off: set FACEWIRE_GRPC_PORT`);
  const address = `${new URL(url).hostname}:${grpcPort}`;
  return { transport: () => new GrpcTransport({ address }), avatars };
}

async function getJson(address: string): Promise<unknown> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`GET ${address}: ${response.status} ${await response.text()}`);
  return response.json();
}

function webSocketUrl(url: string): string {
  return `${url.replace(/^http/, 'ws').replace(/\/$/, '')}/connect`;
}

/** A device in software draws a frame in a minute: 0.0167 a second. */
function threeDigits(value: number): number {
  return Number(value.toPrecision(3));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

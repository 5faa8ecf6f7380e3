import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runBots } from '@facewire/example-bots/runBots';
import { spawnServer } from '@facewire/server/spawn';

/**
 * Packet in → encoded frame out inside the server, with 4 avatars and one viewer of each over real sockets: the
 * histogram `packet_to_frame_ms` that the server itself keeps.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      avatars: { type: 'string', default: '4' },
      size: { type: 'string', default: '256' },
      seconds: { type: 'string', default: '10' },
      transport: { type: 'string', default: 'ws' },
    },
  });
  const data = await mkdtemp(join(tmpdir(), 'facewire-latency-'));
  const server = await spawnServer({ FACEWIRE_DEMO_SEATS: '0', FACEWIRE_LOG: 'warn', FACEWIRE_DATA: data });
  try {
    const players = Number(values.avatars);
    const clients = await runBots(
      server.url,
      {
        players,
        viewers: 1,
        seconds: Number(values.seconds),
        transport: values.transport === 'grpc' ? 'grpc' : 'ws',
        url: server.url,
        slow: 0,
        size: Number(values.size),
        framesPerSecond: 30,
        streams: players,
        json: true,
      },
      () => {},
    );
    const health = (await (await fetch(`${server.url}/health`)).json()) as {
      timings: Record<string, { p50: number; p95: number }>;
    };
    const { p50, p95 } = health.timings.packet_to_frame_ms!;
    const stage = (name: string) => health.timings[name];
    return {
      bench: 'latency',
      p50Ms: round(p50),
      p95Ms: round(p95),
      avatars: players,
      size: Number(values.size),
      stages: { render: stage('render_ms'), encode: stage('encode_ms') },
      // motion published → frame received, both ends' event loops included
      clientMs: clients.latencyMs,
      framesPerSecond: clients.framesPerSecond,
      machine: cpus()[0]?.model,
    };
  } finally {
    await server.close();
    await rm(data, { recursive: true, force: true });
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

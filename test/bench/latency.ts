import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { runBots } from '@facewire/example-bots/runBots';
import { healthOf, startTrialServer } from './serverTrial.ts';
import { TARGET_OPTIONS, targetOf, wholeNumber, withDataDir } from './target.ts';

/**
 * Packet in → encoded frame out inside the server, with 4 avatars and one viewer of each over real sockets: the
 * histogram `packet_to_frame_ms` that the server itself keeps.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      ...TARGET_OPTIONS,
      avatars: { type: 'string', default: '4' },
      size: { type: 'string', default: '256' },
      seconds: { type: 'string', default: '10' },
      transport: { type: 'string', default: 'ws' },
    },
  });
  const players = wholeNumber('avatars', values.avatars);
  const size = wholeNumber('size', values.size);
  return withDataDir('latency', async (data) => {
    const server = await startTrialServer(targetOf(values), data);
    try {
      const clients = await runBots(
        server.url,
        {
          players,
          viewers: 1,
          seconds: wholeNumber('seconds', values.seconds),
          transport: values.transport === 'grpc' ? 'grpc' : 'ws',
          url: server.url,
          slow: 0,
          size,
          framesPerSecond: 30,
          streams: players,
          json: true,
        },
        () => {},
      );
      const { timings } = await healthOf(server);
      const { p50, p95 } = timings.packet_to_frame_ms!;
      return {
        bench: 'latency',
        p50Ms: round(p50),
        p95Ms: round(p95),
        avatars: players,
        size,
        stages: { wait: timings.packet_to_render_ms, render: timings.render_ms, encode: timings.encode_ms },
        // motion published → frame received, both ends' event loops included
        clientMs: clients.latencyMs,
        framesPerSecond: clients.framesPerSecond,
        machine: cpus()[0]?.model,
      };
    } finally {
      await server.close();
    }
  });
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

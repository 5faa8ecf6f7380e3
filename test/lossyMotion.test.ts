import { AvatarClient, WebSocketTransport } from '@facewire/client-sdk';
import { CompactMotionDecoder, type Motion, type MotionSample, synthesizeMotion } from '@facewire/proto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import type { Participant } from '../server/src/contracts.ts';
import { MetricsRegistry } from '../server/src/metrics/index.ts';
import { createMotionDecoder } from '../server/src/motionDecoder.ts';
import { RoomRegistry } from '../server/src/room/index.ts';
import { createWebServer, type WebServer } from '../server/src/transport/index.ts';
import { mulberry } from './bench/tracks.ts';

/** What becomes of a packet: it arrives so often, each time after so many ms; never is lost. */
type Fate = (n: number) => readonly number[];

/** The SDK's own WebSocket with a network between that does to motion packets what `fate` says. */
class LossyTransport extends WebSocketTransport {
  /** what a receiver would have made of the packets had all come through: the truth, by sequence */
  readonly truth = new Map<number, Motion>();
  /** sizes of all packets */
  readonly bytes: number[] = [];
  /** packets that are still in the network */
  underWay = 0;
  readonly ordered: boolean;
  readonly #fate: Fate;
  readonly #lossless = new CompactMotionDecoder();

  constructor(url: string, ordered: boolean, fate: Fate) {
    super({ url, WebSocket });
    this.ordered = ordered;
    this.#fate = fate;
  }

  override sendMotion(packet: Uint8Array): void {
    const { sequence, motion } = this.#lossless.decode(packet);
    this.truth.set(sequence, motion);
    this.bytes.push(packet.length);
    for (const delayMs of this.#fate(this.bytes.length - 1)) {
      if (delayMs === 0) super.sendMotion(packet);
      else this.#sendLater(packet, delayMs);
    }
  }

  #sendLater(packet: Uint8Array, delayMs: number): void {
    this.underWay++;
    setTimeout(() => {
      this.underWay--;
      super.sendMotion(packet);
    }, delayMs);
  }
}

let server: WebServer;
let registry: RoomRegistry;
let metrics: MetricsRegistry;
let clients: AvatarClient[];
/** all that the room's decoders gave out */
let decoded: MotionSample[];

beforeEach(async () => {
  clients = [];
  decoded = [];
  metrics = new MetricsRegistry();
  registry = new RoomRegistry({
    avatars: { get: (id) => ({ id, name: id, model: 'none', builtIn: true, createdAt: '' }) },
    codecs: ['jpeg'],
    sizes: [128],
    fanOut: { handleDrain() {}, forgetStream() {}, forgetPeer() {} },
    metrics,
    createMotionDecoder: () => {
      const decode = createMotionDecoder();
      return (packet) => {
        const sample = decode(packet);
        decoded.push(sample);
        return sample;
      };
    },
  });
  const http = () => Promise.reject(new Error('no HTTP here'));
  server = await createWebServer({ host: '127.0.0.1', port: 0, adapter: 'ws', handler: registry, http, metrics });
});

afterEach(async () => {
  for (const client of clients) client.close();
  await server.close();
});

/** A player behind the network talks until so many packets are sent; somebody watches. */
async function talk(ordered: boolean, fate: Fate, packets = 150) {
  const url = `ws://127.0.0.1:${server.port}/connect`;
  let transport: LossyTransport | undefined;
  const player = new AvatarClient({
    transport: () => {
      transport = new LossyTransport(url, ordered, fate);
      return transport;
    },
    room: 'r',
    role: 'player',
    name: 'p',
    avatar: 'a',
    codecs: ['jpeg'],
    motionRate: 120,
  });
  const viewer = new AvatarClient({ url, WebSocket, room: 'r', role: 'viewer', name: 'v', codecs: ['jpeg'] });
  clients.push(player, viewer);
  const errors: string[] = [];
  for (const client of clients) client.on('error', ({ code }) => errors.push(code));
  const { participant } = await player.connect();
  await viewer.connect();
  viewer.subscribe(participant, { size: 128, framesPerSecond: 30 });
  const startMs = performance.now();
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      player.publishMotion(synthesizeMotion((performance.now() - startMs) / 1000, 6));
      if (player.stats.published.packets < packets) return;
      clearInterval(timer);
      resolve();
    }, 4);
  });
  await arrived(player, transport!);
  const seen: Participant = [...registry.streams()][0]!.participant;
  return { transport: transport!, player, seen, errors };
}

/** Waits until all that was sent is at the server, and what it said of it here. */
async function arrived({ clock }: AvatarClient, transport: LossyTransport) {
  await expect.poll(() => transport.underWay).toBe(0);
  const pongs = vi.spyOn(clock, 'handlePong');
  const clientTimeMs = clock.now();
  transport.sendControl({ type: 'ping', clientTimeMs });
  await expect.poll(() => pongs.mock.calls.some(([askedAtMs]) => askedAtMs === clientTimeMs)).toBe(true);
}

function expectTruth({ truth }: LossyTransport): void {
  for (const { sequence, motion } of decoded) expect(motion, `packet ${sequence}`).toEqual(truth.get(sequence));
}

describe('motion through a faulty ordered connection', () => {
  it('is taken up again by a packet that stands alone, soon after each loss, and nothing false is shown', async () => {
    const random = mulberry(5);
    // one to three packets in a row are lost, about three times a second
    let [run, pause] = [0, 12];
    const fate: Fate = () => {
      if (run > 0) {
        run--;
        return [];
      }
      if (pause-- > 0) return [0];
      run = Math.floor(random() * 3);
      pause = 40 + Math.floor(random() * 10);
      return [];
    };
    const { transport, seen, errors } = await talk(true, fate);
    expectTruth(transport);
    expect(metrics.snapshot().counters.transport_bad_messages_total ?? 0).toBe(0);
    expect(errors).toEqual([]);
    expect(decoded.length).toBeGreaterThan(0.5 * transport.bytes.length);
    // the last packets came through: the room has the newest
    expect(transport.bytes.length - 1 - seen.latest!.sequence).toBeLessThan(40);
    expect(seen.latest!.motion).toEqual(transport.truth.get(seen.latest!.sequence));
  });

  it('repeated packets are counted as stale, and nothing false is shown', async () => {
    const { transport, seen, errors } = await talk(true, (n) => (n % 40 === 5 ? [0, 0] : [0]), 100);
    expectTruth(transport);
    expect(metrics.snapshot().counters.motion_stale_total).toBe(3);
    expect(decoded.length).toBeGreaterThan(40);
    expect(seen.latest!.motion).toEqual(transport.truth.get(seen.latest!.sequence));
    expect(errors).toEqual([]);
  });

  it('broken packets cost some motions, not the connection', async () => {
    const { transport, seen, player, errors } = await talk(true, () => [0], 30);
    const session = player.session;
    WebSocketTransport.prototype.sendMotion.call(transport, Uint8Array.of(0x7f));
    const goes = transport.truth.size;
    for (let n = 0; transport.truth.size < goes + 60; n++) {
      player.publishMotion(synthesizeMotion(n / 120, 6));
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
    await arrived(player, transport);
    expectTruth(transport);
    expect(seen.latest!.sequence).toBeGreaterThan(goes + 20);
    expect(player.session).toBe(session);
    expect(errors.every((code) => code.startsWith('packet_'))).toBe(true);
    expect(errors.length).toBeLessThanOrEqual(1);
  });
});

describe('motion through a transport that says that it is unordered', () => {
  it('survives loss, repetition and reordering: what arrives is right, what is shown never goes back', async () => {
    const random = mulberry(8);
    const fate: Fate = () => {
      if (random() < 0.2) return [];
      const delayMs = random() < 0.5 ? 0 : Math.ceil(random() * 80);
      return random() < 0.1 ? [delayMs, Math.ceil(random() * 80)] : [delayMs];
    };
    const { transport, seen, errors } = await talk(false, fate);
    expectTruth(transport);
    expect(errors).toEqual([]);
    expect(new Set(decoded.map(({ sequence }) => sequence)).size).toBeGreaterThan(0.7 * transport.bytes.length);
    expect(seen.latest!.sequence).toBe(Math.max(...decoded.map(({ sequence }) => sequence)));
    const { motion_packets_total: taken, motion_stale_total: stale } = metrics.snapshot().counters;
    expect(taken! + stale!).toBe(decoded.length);
    expect(stale).toBeGreaterThan(10);
    // each stands alone, and is still half of the fixed layout
    expect(Math.max(...transport.bytes)).toBeLessThan(45);
  });
});

import {
  type ClientControl,
  decodeFrame,
  EXPRESSION_INDEX,
  encodeMotion,
  type FrameCodec,
  neutralMotion,
  type ServerControl,
} from '@facewire/proto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type {
  EncodedFrame,
  EncoderFactory,
  Peer,
  Picture,
  RenderedPicture,
  Renderer,
  VideoEncoder,
} from '../server/src/contracts.ts';
import { LatestFrameFanOut } from '../server/src/fanout/index.ts';
import { MetricsRegistry } from '../server/src/metrics/index.ts';
import { HouseBots, RoomRegistry } from '../server/src/room/index.ts';
import { type Clock, FrameScheduler } from '../server/src/scheduler/index.ts';

const AVATARS = ['ada', 'bob', 'cyd', 'dot', 'eve', 'fay'];
const TICK_MS = 1000 / 30;

/** Time that moves when the test says so. */
class HeldClock implements Clock {
  nowMs = 10_000;
  #timers: { atMs: number; callback: () => void }[] = [];
  now(): number {
    return this.nowMs;
  }
  setTimer(callback: () => void, delayMs: number): () => void {
    const timer = { atMs: this.nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer);
    };
  }
  /** fires what is due up to then */
  moveTo(nowMs: number): void {
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= nowMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((each) => each !== next);
      this.nowMs = next.atMs;
      next.callback();
    }
    this.nowMs = nowMs;
  }
}

/** Renders nothing but the yaw of the head and of the view, in whole degrees, and remembers what it was asked for. */
class LedgerRenderer implements Renderer {
  readonly model = 'ledger';
  readonly device = 'none';
  readonly sizes = [128, 256];
  readonly maxBatch = 8;
  readonly batches: Picture[][] = [];
  broken = new Set<string>();
  /** while set, renders wait for it */
  gate: Promise<void> | undefined;
  async render(pictures: readonly Picture[]): Promise<RenderedPicture[]> {
    this.batches.push([...pictures]);
    await this.gate;
    const bad = pictures.find(({ avatar }) => this.broken.has(avatar));
    if (bad) throw new Error(`cannot render ${bad.avatar}`);
    return pictures.map(({ size, motion, view }) => ({
      size,
      i420: Uint8Array.of(toDegrees(motion.pose.yaw), toDegrees(view.yaw)),
    }));
  }
  async close(): Promise<void> {}
}

const toDegrees = (radians: number) => Math.round((radians * 180) / Math.PI);

/** An encoder whose deltas name the frame they need, so that a viewer can tell whether it could decode them. */
class ChainEncoders implements EncoderFactory {
  readonly codecs: FrameCodec[] = ['vp8', 'jpeg'];
  opened = 0;
  closed = 0;
  encodes = 0;
  /** the encoder of this number fails at its next frame */
  failing: number | undefined;
  /** while set, encodes wait for it */
  gate: Promise<void> | undefined;
  create(codec: FrameCodec): VideoEncoder {
    const id = ++this.opened;
    let frame = 0;
    let busy = false;
    return {
      codec,
      encode: async (picture, { keyFrame }): Promise<EncodedFrame> => {
        if (busy) throw new Error('encoder called while it encodes');
        busy = true;
        await (this.gate ?? new Promise<void>((resolve) => setImmediate(resolve)));
        busy = false;
        if (this.failing === id) throw new Error('encoder broke');
        this.encodes++;
        frame++;
        const isKey = keyFrame || frame === 1;
        return { codec, keyFrame: isKey, data: Uint8Array.of(id, frame, ...picture.i420!) };
      },
      close: () => {
        this.closed++;
      },
    };
  }
}

interface SeenFrame {
  stream: number;
  keyFrame: boolean;
  sequence: number;
  encoder: number;
  headYaw: number;
  viewYaw: number;
}

/** A client that decodes what it gets, and fails the test when it could not. */
class TestPeer implements Peer {
  readonly transport = 'local' as const;
  readonly id: string;
  readonly heard: ServerControl[] = [];
  readonly frames: SeenFrame[] = [];
  reading = true;
  buffered = 0;
  #decoders = new Map<number, { encoder: number; frame: number }>();
  constructor(id: string) {
    this.id = id;
  }
  sendControl(message: ServerControl): void {
    this.heard.push(message);
  }
  sendFrame(packet: Uint8Array): void {
    if (!this.reading) this.buffered += 30_000;
    const { header, payload } = decodeFrame(packet);
    const [encoder, frame, headYaw, viewYaw] = payload as unknown as [number, number, number, number];
    if (!header.keyFrame) expect(this.#decoders.get(header.stream)).toEqual({ encoder, frame: frame - 1 });
    this.#decoders.set(header.stream, { encoder, frame });
    const { stream, keyFrame, motionSequence: sequence } = header;
    this.frames.push({ stream, keyFrame, sequence, encoder, headYaw, viewYaw });
  }
  bufferedBytes(): number {
    return this.buffered;
  }
  close(): void {}
  get last(): SeenFrame {
    return this.frames.at(-1)!;
  }
}

let clock: HeldClock;
let renderer: LedgerRenderer;
let encoders: ChainEncoders;
let metrics: MetricsRegistry;
let fanOut: LatestFrameFanOut;
let registry: RoomRegistry;
let scheduler: FrameScheduler;

beforeEach(() => {
  clock = new HeldClock();
  renderer = new LedgerRenderer();
  encoders = new ChainEncoders();
  metrics = new MetricsRegistry();
  fanOut = new LatestFrameFanOut({ metrics });
  registry = new RoomRegistry({
    avatars: {
      get: (id) => (AVATARS.includes(id) ? { id, name: id, model: 'ledger', builtIn: true, createdAt: '' } : undefined),
    },
    codecs: encoders.codecs,
    sizes: renderer.sizes,
    fanOut,
    metrics,
    now: () => clock.now(),
  });
  scheduler = new FrameScheduler({
    source: registry,
    renderer,
    encoders,
    fanOut,
    metrics,
    clock,
    ticksPerSecond: 30,
    // Renders take real time, which on a busy machine must not change the batches that are expected here.
    renderBudgetMs: 1e6,
  });
  scheduler.start();
});

afterEach(async () => {
  renderer.gate = undefined;
  await scheduler.close();
  await scheduler.close();
  expect(encoders.closed).toBe(encoders.opened);
  // The fan-out swallows what a peer's sendFrame throws, and with it what TestPeer expects there.
  expect(metrics.snapshot().counters.frame_send_errors_total).toBeUndefined();
});

/** Lets `count` ticks pass; all work is done before the next one. */
async function ticks(count = 1): Promise<void> {
  for (let tick = 0; tick < count; tick++) {
    clock.moveTo(clock.nowMs + TICK_MS);
    await scheduler.idle();
  }
}

function join(id: string, more: Partial<Extract<ClientControl, { type: 'join' }>> = {}): TestPeer {
  const peer = new TestPeer(id);
  registry.handleOpen(peer);
  registry.handleControl(peer, {
    type: 'join',
    version: 1,
    room: 'lobby',
    role: 'viewer',
    name: id,
    codecs: ['vp8'],
    ...more,
  });
  return peer;
}

const joinPlayer = (id: string, avatar = 'ada') => join(id, { role: 'player', avatar });

function idOf(peer: TestPeer): string {
  const welcome = peer.heard.find((message) => message.type === 'welcome');
  return welcome!.participant;
}

function watch(viewer: TestPeer, player: string, yawDegrees = 0, framesPerSecond = 30): number {
  const view = { yaw: (yawDegrees * Math.PI) / 180, pitch: 0 };
  registry.handleControl(viewer, {
    type: 'subscribe',
    request: 1,
    participant: player,
    size: 256,
    framesPerSecond,
    view,
  });
  return viewer.heard.findLast((message) => message.type === 'subscribed')!.stream;
}

const turnView = (viewer: TestPeer, stream: number, yawDegrees: number) =>
  registry.handleControl(viewer, { type: 'update', stream, view: { yaw: (yawDegrees * Math.PI) / 180, pitch: 0 } });

function send(player: TestPeer, sequence: number, yawDegrees = sequence): void {
  const motion = neutralMotion();
  motion.pose.yaw = (yawDegrees * Math.PI) / 180;
  motion.expression[EXPRESSION_INDEX.jawOpen] = 1;
  registry.handleMotion(player, encodeMotion({ motion, sequence, timeMs: 0 }));
}

test('of three viewers two share a view, so there are two renders and two encodes, and all see each motion', async () => {
  const player = joinPlayer('p');
  const viewers = [join('v1'), join('v2'), join('v3')];
  watch(viewers[0]!, idOf(player), 0);
  watch(viewers[1]!, idOf(player), 0.5);
  watch(viewers[2]!, idOf(player), 20);
  for (let sequence = 1; sequence <= 5; sequence++) {
    send(player, sequence);
    await ticks();
  }
  expect(renderer.batches.map((batch) => batch.length)).toEqual([2, 2, 2, 2, 2]);
  expect(encoders.encodes).toBe(10);
  expect(encoders.opened).toBe(2);
  for (const viewer of viewers) {
    expect(viewer.frames.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5]);
    expect(viewer.frames.map(({ keyFrame }) => keyFrame)).toEqual([true, false, false, false, false]);
    expect(viewer.frames.map(({ headYaw }) => headYaw)).toEqual([1, 2, 3, 4, 5]);
  }
  expect(viewers.map((viewer) => viewer.last.viewYaw)).toEqual([0, 0, 20]);
  const { histograms, counters } = metrics.snapshot();
  expect(histograms.packet_to_frame_ms!.count).toBe(5);
  expect(histograms.pictures_per_tick).toMatchObject({ count: 4, p50: 2 });
  expect(counters.shared_renders_total).toBe(5);
});

test('a viewer who joins late gets a key frame of the shared encoder at the next tick', async () => {
  const player = joinPlayer('p');
  const early = join('v1');
  watch(early, idOf(player));
  for (let sequence = 1; sequence <= 12; sequence++) {
    send(player, sequence);
    await ticks();
  }
  const late = join('v2');
  watch(late, idOf(player));
  await ticks();
  expect(late.frames).toMatchObject([{ keyFrame: true, sequence: 12 }]);
  expect(encoders.opened).toBe(1);
  send(player, 13);
  await ticks();
  expect(late.last).toEqual({ ...early.last, stream: late.last.stream });
});

test('nothing is rendered while nothing changes, nor when nobody watches', async () => {
  const player = joinPlayer('p');
  const viewer = join('v');
  send(player, 1);
  await ticks(5);
  expect(renderer.batches.length).toBe(0);
  const stream = watch(viewer, idOf(player));
  await ticks(20);
  expect(renderer.batches.length).toBe(1);
  turnView(viewer, stream, 0.6);
  await ticks(5);
  expect(renderer.batches.length).toBe(1);
  turnView(viewer, stream, 10);
  await ticks(5);
  expect(renderer.batches.length).toBe(2);
  registry.handleControl(viewer, { type: 'keyFrame', stream });
  await ticks(12);
  expect(viewer.frames.map(({ keyFrame }) => keyFrame)).toEqual([true, false, true]);
});

test('a viewer who turns away gets an encoder of its own, and the others go on without a key frame', async () => {
  const player = joinPlayer('p');
  const viewers = [join('v1'), join('v2'), join('v3')];
  const streams = viewers.map((viewer) => watch(viewer, idOf(player)));
  send(player, 1);
  await ticks();
  turnView(viewers[0]!, streams[0]!, 30);
  send(player, 2);
  await ticks();
  expect(viewers.map(({ last }) => last.keyFrame)).toEqual([true, false, false]);
  expect(viewers[0]!.last.encoder).not.toBe(viewers[1]!.last.encoder);
  turnView(viewers[0]!, streams[0]!, 0);
  for (let sequence = 3; sequence <= 14; sequence++) {
    send(player, sequence);
    await ticks();
  }
  expect(new Set(viewers.map(({ last }) => last.encoder)).size).toBe(1);
  expect(viewers.map(({ last }) => last.sequence)).toEqual([14, 14, 14]);
});

test('frame rates are kept, and a slower viewer gets the newest motion of its turn', async () => {
  const player = joinPlayer('p');
  const [fast, slow] = [join('v1'), join('v2')];
  watch(fast, idOf(player), 0, 30);
  watch(slow, idOf(player), 0, 10);
  for (let sequence = 1; sequence <= 90; sequence++) {
    send(player, sequence);
    await ticks();
  }
  expect(fast.frames.length).toBe(90);
  expect(slow.frames.length).toBeGreaterThanOrEqual(30);
  expect(slow.frames.length).toBeLessThanOrEqual(32);
  expect(renderer.batches.flat().length).toBe(90);
});

test('people of different rooms are drawn in one batch', async () => {
  for (const room of ['red', 'blue']) {
    const player = join(`p ${room}`, { role: 'player', avatar: 'ada', room });
    watch(join(`v ${room}`, { room }), idOf(player));
    send(player, 1);
  }
  await ticks();
  expect(renderer.batches.map((batch) => batch.length)).toEqual([2]);
});

test('what a viewer does not see is not drawn for him, and when he looks again it goes on at the next tick', async () => {
  const player = joinPlayer('p');
  const [one, other] = [join('v1'), join('v2')];
  const stream = watch(one, idOf(player));
  const rate = (framesPerSecond: number) => registry.handleControl(one, { type: 'update', stream, framesPerSecond });
  send(player, 1);
  await ticks();
  rate(0);
  for (let sequence = 2; sequence <= 40; sequence++) {
    send(player, sequence);
    await ticks();
  }
  expect(renderer.batches.flat().length).toBe(1);
  rate(30);
  await ticks();
  expect(one.last.sequence).toBe(40);
  // Another one's pictures go on meanwhile.
  watch(other, idOf(player));
  rate(0);
  for (let sequence = 41; sequence <= 80; sequence++) {
    send(player, sequence);
    await ticks();
  }
  expect([one.last.sequence, other.last.sequence]).toEqual([40, 80]);
  rate(30);
  send(player, 81);
  await ticks(2);
  expect(one.last.sequence).toBe(81);
});

test('a viewer that stops reading is skipped, and begins again with a key frame of the newest motion', async () => {
  const player = joinPlayer('p');
  const [slow, good] = [join('v1'), join('v2')];
  watch(slow, idOf(player));
  watch(good, idOf(player));
  slow.reading = false;
  for (let sequence = 1; sequence <= 30; sequence++) {
    send(player, sequence);
    await ticks();
  }
  expect(slow.frames.length).toBe(2);
  expect(good.frames.length).toBe(30);
  expect(fanOut.waiting).toBe(0);
  expect(metrics.snapshot().counters.congested_skips_total).toBe(28);
  slow.reading = true;
  slow.buffered = 0;
  registry.handleDrain(slow);
  send(player, 31);
  await ticks();
  expect(slow.frames.slice(2)).toMatchObject([{ keyFrame: true, sequence: 31 }]);
  expect(good.last).toMatchObject({ sequence: 31 });
});

test('while a render is under way ticks queue nothing: the next render shows the newest motion', async () => {
  const player = joinPlayer('p');
  const viewer = join('v');
  watch(viewer, idOf(player));
  let open = () => {};
  renderer.gate = new Promise((resolve) => {
    open = resolve;
  });
  for (let sequence = 1; sequence <= 10; sequence++) {
    send(player, sequence);
    clock.moveTo(clock.nowMs + TICK_MS);
  }
  expect(renderer.batches.length).toBe(1);
  renderer.gate = undefined;
  open();
  await scheduler.idle();
  expect(viewer.frames.map(({ sequence }) => sequence)).toEqual([1, 10]);
  expect(renderer.batches.length).toBe(2);
});

test('while a key frame is being encoded the next frame follows as its delta, and no third one queues up', async () => {
  const player = joinPlayer('p');
  const viewer = join('v');
  watch(viewer, idOf(player));
  let open = () => {};
  encoders.gate = new Promise((resolve) => {
    open = resolve;
  });
  for (let sequence = 1; sequence <= 8; sequence++) {
    send(player, sequence);
    clock.moveTo(clock.nowMs + TICK_MS);
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(renderer.batches.length).toBe(2);
  encoders.gate = undefined;
  open();
  await scheduler.idle();
  await ticks();
  expect(viewer.frames).toMatchObject([
    { sequence: 1, keyFrame: true },
    { sequence: 2, keyFrame: false },
    { sequence: 8, keyFrame: false },
  ]);
});

test('a face whose sender went silent comes to rest, and then costs nothing', async () => {
  const player = joinPlayer('p');
  const viewer = join('v');
  watch(viewer, idOf(player));
  send(player, 1, 40);
  await ticks(30);
  expect(viewer.frames.length).toBe(1);
  await ticks(75);
  const yaws = viewer.frames.map(({ headYaw }) => headYaw);
  expect(yaws.length).toBeGreaterThan(20);
  expect(yaws).toEqual([...yaws].sort((a, b) => b - a));
  expect(yaws.at(-1)).toBe(0);
  const rendered = renderer.batches.length;
  await ticks(100);
  expect(renderer.batches.length).toBe(rendered);
  expect(metrics.snapshot().histograms.packet_to_frame_ms!.count).toBe(1);
  send(player, 2, 5);
  await ticks();
  expect(viewer.last).toMatchObject({ sequence: 2 });
  // it does not jump there
  await ticks(5);
  expect(viewer.last).toMatchObject({ headYaw: 5, sequence: 2 });
});

test('a face of ten packets a second is shown at thirty frames a second, ever further on', async () => {
  const player = joinPlayer('p');
  const viewer = join('v');
  watch(viewer, idOf(player));
  // three ticks are a packet's interval
  const startMs = clock.nowMs;
  for (let sequence = 1; sequence <= 20; sequence++) {
    const motion = neutralMotion();
    motion.pose.yaw = (4 * sequence * Math.PI) / 180;
    const timeMs = Math.round(clock.nowMs - startMs) & 0xffff;
    registry.handleMotion(player, encodeMotion({ motion, sequence, timeMs }));
    await ticks(3);
  }
  const later = viewer.frames.slice(-30);
  expect(viewer.frames.length).toBeGreaterThanOrEqual(55);
  const steps = later.slice(1).map(({ headYaw }, n) => headYaw - later[n]!.headYaw);
  expect(Math.min(...steps)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...steps)).toBeLessThanOrEqual(3);
  expect(metrics.snapshot().histograms.packet_to_frame_ms!.count).toBe(20);
});

test('an avatar that cannot be rendered costs nobody else a frame, and comes back when it can', async () => {
  const [good, bad] = [joinPlayer('p', 'ada'), joinPlayer('q', 'bob')];
  const viewer = join('v');
  const stream = watch(viewer, idOf(good));
  const broken = watch(viewer, idOf(bad));
  renderer.broken.add('bob');
  for (let sequence = 1; sequence <= 30; sequence++) {
    send(good, sequence);
    send(bad, sequence);
    await ticks();
  }
  const seen = (id: number) => viewer.frames.filter((frame) => frame.stream === id).map(({ sequence }) => sequence);
  expect(seen(stream)).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
  expect(seen(broken)).toEqual([]);
  expect(metrics.snapshot().counters.render_errors_total).toBeLessThan(10);
  renderer.broken.clear();
  send(bad, 31);
  await ticks(160);
  expect(seen(broken)[0]).toBe(31);
});

test('an encoder that breaks is replaced, and its viewers go on with a key frame', async () => {
  const player = joinPlayer('p');
  const viewers = [join('v1'), join('v2')];
  for (const viewer of viewers) watch(viewer, idOf(player));
  send(player, 1);
  await ticks();
  encoders.failing = 1;
  send(player, 2);
  await ticks(2);
  for (const viewer of viewers) expect(viewer.last).toMatchObject({ encoder: 2, sequence: 2, keyFrame: true });
  expect(metrics.snapshot().counters.encode_errors_total).toBe(1);
});

test('encoders that nobody uses any more are closed', async () => {
  const player = joinPlayer('p');
  const viewer = join('v');
  const stream = watch(viewer, idOf(player));
  await ticks();
  registry.handleControl(viewer, { type: 'unsubscribe', stream });
  await ticks(149);
  expect(encoders.closed).toBe(0);
  await ticks(3);
  expect(encoders.closed).toBe(1);
});

test('a stream that ends while its frame is rendered gets nothing more', async () => {
  const player = joinPlayer('p');
  const viewer = join('v');
  watch(viewer, idOf(player));
  let open = () => {};
  renderer.gate = new Promise((resolve) => {
    open = resolve;
  });
  send(player, 1);
  clock.moveTo(clock.nowMs + TICK_MS);
  registry.handleClose(player);
  open();
  await scheduler.idle();
  expect(viewer.frames).toEqual([]);
  expect(viewer.heard.slice(-2).map(({ type }) => type)).toEqual(['ended', 'participantLeft']);
});

test('a viewer alone with the house bots sees them move, and a player takes the place of one', async () => {
  let move = () => {};
  const house = new HouseBots({
    registry,
    room: 'lobby',
    seats: 6,
    avatars: () => AVATARS.map((id) => ({ id, name: id })),
    now: () => clock.now(),
    every: (callback) => {
      move = callback;
      return () => {};
    },
  });
  house.start();
  const viewer = join('v');
  const bots = registry.roster('lobby').filter(({ bot }) => bot);
  expect(bots.length).toBe(6);
  const streams = bots.map(({ id }) => watch(viewer, id));
  for (let tick = 0; tick < 10; tick++) {
    move();
    await ticks();
  }
  for (const stream of streams) {
    expect(viewer.frames.filter((frame) => frame.stream === stream).length).toBeGreaterThanOrEqual(10);
  }
  const person = joinPlayer('p', 'ada');
  expect(house.count).toBe(5);
  expect(viewer.heard.filter(({ type }) => type === 'ended').length).toBe(1);
  registry.handleClose(person);
  expect(house.count).toBe(6);
  house.close();
});

test('viewers that turn, stop reading, come and go at random never get a frame that they cannot decode', async () => {
  let seed = 3;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return (seed >> 8) % below;
  };
  const player = joinPlayer('p');
  let viewers: { peer: TestPeer; stream: number }[] = [];
  const enter = () => {
    const peer = join('v', { codecs: [random(5) === 0 ? 'jpeg' : 'vp8'] });
    viewers.push({ peer, stream: watch(peer, idOf(player), random(3) * 4, [30, 15][random(2)]!) });
  };
  let frames = 0;
  for (let round = 0; round < 400; round++) {
    send(player, round);
    if (viewers.length < 6) enter();
    const one = viewers[random(viewers.length)]!;
    if (random(3) === 0) turnView(one.peer, one.stream, random(3) * 4);
    if (random(9) === 0) registry.handleControl(one.peer, { type: 'keyFrame', stream: one.stream });
    if (random(6) === 0) one.peer.reading = !one.peer.reading;
    if (random(4) === 0) {
      one.peer.buffered = 0;
      registry.handleDrain(one.peer);
    }
    if (random(40) === 0) encoders.failing = encoders.opened;
    if (random(20) === 0) {
      registry.handleClose(one.peer);
      frames += one.peer.frames.length;
      viewers = viewers.filter((each) => each !== one);
    }
    // Most ticks come before the last one's frames are encoded, as on a busy machine.
    if (random(4) === 0) await scheduler.idle();
    else await new Promise((resolve) => setImmediate(resolve));
    clock.moveTo(clock.nowMs + TICK_MS);
  }
  await scheduler.idle();
  expect(frames).toBeGreaterThan(500);
});

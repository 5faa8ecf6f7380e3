import { FacewireError, neutralMotion } from '@facewire/proto';
import { afterEach, expect, test } from 'vitest';
import type {
  EncodedFrame,
  EncoderFactory,
  Participant,
  Peer,
  Picture,
  RenderedPicture,
  Renderer,
  Stream,
} from '../contracts.ts';
import { FrameScheduler } from './FrameScheduler.ts';

const TICK_MS = 25;

/** A renderer whose runs end when the test says so; the scheduler's clock is held as well. */
function setUp(players: number, rendersInFlight: number, device: string) {
  let nowMs = 1000;
  let timer: { atMs: number; callback: () => void } | undefined;
  const released: string[] = [];
  const runs: { pictures: readonly Picture[]; end: () => void; fail: (error: Error) => void }[] = [];
  const renderer: Renderer = {
    model: 'fake',
    device,
    sizes: [128, 256],
    maxBatch: 2,
    rendersInFlight,
    render: (pictures) =>
      new Promise<RenderedPicture[]>((resolve, reject) => {
        runs.push({
          pictures,
          end: () =>
            resolve(
              pictures.map(({ size, avatar }) => ({
                size,
                i420: new Uint8Array(1),
                release: () => released.push(`${avatar} after ${delivered.join()}`),
              })),
            ),
          fail: reject,
        });
      }),
    close: async () => {},
  };
  const encoders: EncoderFactory = {
    codecs: ['vp8'],
    create: (codec) => ({
      codec,
      encode: async (_, { keyFrame }): Promise<EncodedFrame> => ({ codec, keyFrame, data: new Uint8Array(1) }),
      close() {},
    }),
  };
  const peer = { id: 'viewer' } as Peer;
  const streams = Array.from({ length: players }, (_, id): Stream => {
    const latest = { sequence: 0, timeMs: 0, motion: neutralMotion() };
    const participant: Participant = { id: `p${id}`, room: 'r', avatar: `a${id}`, latest, latestAtMs: 0 };
    return {
      id,
      peer,
      codec: 'vp8',
      participant,
      size: 256,
      framesPerSecond: 40,
      view: { yaw: 0, pitch: 0 },
      needsKeyFrame: true,
    };
  });
  const delivered: number[] = streams.map(() => 0);
  const frames: string[] = [];
  const warnings: string[] = [];
  const counts = new Map<string, number>();
  const gauges = new Map<string, number>();
  const scheduler = new FrameScheduler({
    source: { streams: () => streams, hasStream: () => true },
    renderer,
    encoders,
    fanOut: {
      deliver: (stream, { frame, size }) => {
        delivered[stream.id]!++;
        frames.push(`${frame.keyFrame ? 'key' : 'delta'} ${size}`);
        stream.needsKeyFrame &&= !frame.keyFrame;
      },
      isCongested: () => false,
    },
    metrics: {
      count: (name, by = 1) => counts.set(name, (counts.get(name) ?? 0) + by),
      gauge: (name, value) => gauges.set(name, value),
      observe() {},
    },
    log: { warn: (_, message) => warnings.push(message) },
    reduceSizes: false,
    ticksPerSecond: 1000 / TICK_MS,
    // Runs last as long as the test likes.
    renderBudgetMs: 1e9,
    motionAt: ({ latest }) => ({
      motion: latest!.motion,
      sequence: latest!.sequence,
      timeMs: 0,
      arrivedAtMs: nowMs,
      version: String(latest!.sequence),
      fresh: true,
    }),
    clock: {
      now: () => nowMs,
      setTimer: (callback, delayMs) => {
        timer = { callback, atMs: nowMs + delayMs };
        return () => {
          timer = undefined;
        };
      },
    },
  });
  scheduler.start();
  const settle = async () => {
    for (let turn = 0; turn < 6; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    scheduler,
    runs,
    streams,
    delivered,
    frames,
    released,
    warnings,
    counts,
    gauges,
    settle,
    /** every player sends, and one tick passes */
    async tick() {
      for (const { participant } of streams) {
        participant.latest = { ...participant.latest!, sequence: participant.latest!.sequence + 1 };
      }
      nowMs = timer!.atMs;
      timer!.callback();
      await settle();
    },
    async end(index: number) {
      runs[index]!.end();
      await settle();
    },
    async fail(index: number, error: Error) {
      runs[index]!.fail(error);
      await settle();
    },
  };
}

let close: (() => Promise<void>) | undefined;
afterEach(() => close?.());

function withPlayers(players: number, rendersInFlight: number, device = 'fake') {
  const room = setUp(players, rendersInFlight, device);
  close = async () => {
    for (const run of room.runs) run.end();
    await room.scheduler.close();
  };
  return room;
}

test('with two renders in flight two batches of different pictures are under way, never a third', async () => {
  const room = withPlayers(6, 2);
  await room.tick();
  const drawn = () => room.runs.map(({ pictures }) => pictures.map(({ avatar }) => avatar));
  expect(drawn()).toEqual([
    ['a0', 'a1'],
    ['a2', 'a3'],
  ]);
  await room.tick();
  expect(room.runs).toHaveLength(2);
  await room.end(0);
  expect(drawn().slice(2)).toEqual([['a4', 'a5']]);
  expect(room.delivered).toEqual([1, 1, 0, 0, 0, 0]);
  // The second batch may end after the third.
  await room.end(2);
  expect(room.delivered).toEqual([1, 1, 0, 0, 1, 1]);
  await room.end(1);
  expect(room.delivered).toEqual([1, 1, 1, 1, 1, 1]);
});

test('on the CPU, whose renders do not share a processor, pictures are spread over those that may begin', async () => {
  const room = withPlayers(6, 4, 'cpu');
  const drawn = () => room.runs.map(({ pictures }) => pictures.map(({ avatar }) => avatar));
  await room.tick();
  // Nothing is known of its runs.
  expect(drawn()).toEqual([['a0'], ['a1'], ['a2'], ['a3']]);
  // All others are taken.
  await room.end(0);
  expect(drawn().slice(4)).toEqual([['a4', 'a5']]);
  for (const run of [1, 2, 3, 4]) await room.end(run);
  await room.tick();
  expect(
    drawn()
      .slice(5)
      .map(({ length }) => length),
  ).toEqual([2, 2, 1, 1]);
});

test('one render at a time is the rule for a renderer that does not say otherwise', async () => {
  const room = withPlayers(6, 1);
  await room.tick();
  await room.tick();
  expect(room.runs).toHaveLength(1);
});

test('a device that does not answer is asked ever more rarely, blames no avatar, and everybody is drawn when it is back', async () => {
  const room = withPlayers(4, 1);
  const lost = new FacewireError('device_unavailable', 'gone');
  await room.tick();
  await room.fail(0, lost);
  let asked = 1;
  for (let tick = 0; tick < 120; tick++) {
    await room.tick();
    if (room.runs.length > asked) {
      asked = room.runs.length;
      // The whole batch is asked for, not each picture alone.
      expect(room.runs.at(-1)!.pictures).toHaveLength(2);
      await room.fail(asked - 1, lost);
    }
  }
  // 3 s: after 50, 100, 200, 400, 800 and 1600 ms
  expect(asked).toBeGreaterThan(4);
  expect(asked).toBeLessThan(10);
  expect(room.warnings).toHaveLength(1);
  expect(room.counts.get('render_errors_total')).toBeUndefined();
  expect(room.counts.get('device_errors_total')).toBe(asked);
  for (let tick = 0; tick < 100; tick++) {
    await room.tick();
    for (let index = asked; index < room.runs.length; index++) await room.end(index);
    asked = room.runs.length;
  }
  expect(Math.min(...room.delivered)).toBeGreaterThan(10);
});

test('a device that fails under several batches at once is asked again after one short pause', async () => {
  const room = withPlayers(8, 4);
  await room.tick();
  expect(room.runs).toHaveLength(4);
  await room.tick();
  for (let run = 0; run < 4; run++) await room.fail(run, new FacewireError('device_unavailable', 'gone'));
  await room.tick();
  expect(room.runs).toHaveLength(4);
  // 50 ms later
  await room.tick();
  expect(room.runs).toHaveLength(8);
  expect(room.warnings).toHaveLength(1);
});

test("the former encoder's frames are sent until the key frame of the next one, and not after it", async () => {
  const room = withPlayers(1, 4);
  await room.tick();
  await room.end(0);
  await room.tick();
  await room.tick();
  room.streams[0]!.size = 128;
  await room.tick();
  // Two deltas of 256 and the key frame of 128 are drawn beside each other.
  expect(room.runs).toHaveLength(4);
  await room.end(1);
  expect(room.frames).toEqual(['key 256', 'delta 256']);
  await room.end(3);
  await room.end(2);
  expect(room.frames.slice(2)).toEqual(['key 128']);
  expect(room.counts.get('frames_overtaken_total')).toBe(1);
  // and the stream goes on at once
  await room.tick();
  await room.end(4);
  expect(room.frames.slice(3)).toEqual(['delta 128']);
});

test('a stream that comes back to its encoder is sent no frame of its first time there', async () => {
  const room = withPlayers(1, 4);
  // So long that the encoder may make another key frame.
  for (let run = 0; run < 16; run++) {
    await room.tick();
    await room.end(run);
  }
  const before = room.frames.length;
  await room.tick();
  room.streams[0]!.size = 128;
  await room.tick();
  room.streams[0]!.size = 256;
  await room.tick();
  expect(room.runs).toHaveLength(19);
  await room.end(17);
  expect(room.frames.slice(before)).toEqual(['key 128']);
  await room.end(18);
  await room.end(16);
  expect(room.frames.slice(before)).toEqual(['key 128', 'key 256']);
  expect(room.gauges.get('encoders')).toBeLessThanOrEqual(2);
});

test('a picture is given back when all its encodes are done', async () => {
  const room = withPlayers(2, 1);
  await room.tick();
  expect(room.released).toEqual([]);
  await room.end(0);
  expect(room.released).toEqual(['a0 after 1,1', 'a1 after 1,1']);
});

test('under overload the metrics tell which turns were missed and by how much pictures are reduced', async () => {
  const room = withPlayers(4, 1);
  for (let tick = 0; tick < 45; tick++) await room.tick();
  const [turns, missed] = [room.counts.get('turns_total')!, room.counts.get('turns_missed_total')!];
  // Two of four are in a batch that does not end, two wait: all miss their turns.
  expect(missed).toBeGreaterThan(0.8 * turns);
  expect(room.gauges.get('size_reduction_steps')).toBe(0);
  expect(room.gauges.has('device_busy_share')).toBe(true);
});

import { DEFAULT_SETTINGS, type Motion, neutralMotion, synthesizeMotion } from '@facewire/proto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { AvatarClient } from './AvatarClient.ts';
import type { AvatarClientOptions } from './AvatarClientOptions.ts';
import { FakeServer, until } from './testing/FakeServer.ts';
import { WebSocketTransport } from './transport/WebSocketTransport.ts';

/** about half a step of the default precision */
const HALF_STEP = 0.55 / DEFAULT_SETTINGS.expressionDenominator;

let server: FakeServer;
let client: AvatarClient;
/** the client's clock: it stands still but for play() */
let nowMs: number;

beforeEach(async () => {
  // Nor do timers: a busy machine must not send what was left out while a test waits for the server.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  nowMs = 5000;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  server = await FakeServer.listen();
});

afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  client.close();
  await server.close();
});

async function connect(options: Partial<AvatarClientOptions> = {}): Promise<string[]> {
  client = new AvatarClient({
    ...(options.transport ? {} : { url: server.url, WebSocket }),
    room: 'lobby',
    role: 'player',
    avatar: 'ada',
    name: 'Ada',
    codecs: ['jpeg'],
    ...options,
  });
  const errors: string[] = [];
  client.on('error', ({ code }) => errors.push(code));
  await client.connect();
  return errors;
}

/** Seconds that pass only for the client's clock: motions at 30 a second over a real socket. */
async function play(seconds: number, face: (second: number) => Motion = (second) => synthesizeMotion(second, 4)) {
  const before = { bytes: server.motionBytes, motions: server.motions.length };
  const packets = client.stats.published.packets;
  for (let frame = 0; frame < seconds * 30; frame++) {
    nowMs += 1000 / 30;
    client.publishMotion(face(frame / 30));
    if (frame % 30 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(
    () => server.motions.length - before.motions === client.stats.published.packets - packets,
    'all packets at the server',
  );
  return {
    bytesPerSecond: (server.motionBytes - before.bytes) / seconds,
    motions: server.motions.slice(before.motions),
  };
}

const distinct = (motions: readonly { motion: Motion }[]) =>
  new Set(motions.map(({ motion }) => `${motion.pose.yaw} ${motion.pose.pitch} ${motion.expression}`)).size;

describe('a motion budget', () => {
  it.each([400, 200, 120])(
    'of %i bytes a second is held over ten seconds, and the face moves',
    async (motionBudget) => {
      const errors = await connect({ motionBudget });
      const { bytesPerSecond, motions } = await play(10);
      expect(bytesPerSecond).toBeLessThan(motionBudget * 1.02);
      expect(bytesPerSecond).toBeGreaterThan(motionBudget * 0.6);
      expect(motions.length).toBeGreaterThan(10 * 4);
      expect(distinct(motions)).toBeGreaterThan(motions.length / 2);
      expect(client.stats.published.skipped).toBe(300 - motions.length);
      expect([...errors, ...server.motionErrors]).toEqual([]);
    },
  );

  it('is lifted and set again while the client runs, and precision follows', async () => {
    await connect();
    const errorOf = (motions: readonly { motion: Motion }[], expected: Motion) => {
      const last = motions.at(-1)!.motion;
      return Math.max(...last.expression.map((value, index) => Math.abs(value - expected.expression[index]!)));
    };
    const end = synthesizeMotion(4 - 1 / 30, 4);
    const free = await play(4);
    expect(errorOf(free.motions, end)).toBeLessThan(HALF_STEP);
    expect(free.motions).toHaveLength(120);

    client.setMotionBudget(150);
    expect(client.motionBudget).toBe(150);
    const poor = await play(4);
    expect(poor.bytesPerSecond).toBeLessThan(0.6 * free.bytesPerSecond);
    expect(client.stats.published.expectedErrorMm).toBeGreaterThan(1);

    client.setMotionBudget(undefined);
    const again = await play(4);
    expect(errorOf(again.motions, end)).toBeLessThan(HALF_STEP);
    expect(again.motions).toHaveLength(120);
    // not the same: the codec has learnt the face meanwhile
    expect(Math.abs(again.bytesPerSecond / free.bytesPerSecond - 1)).toBeLessThan(0.2);
    expect(server.motionErrors).toEqual([]);
  });

  it('is spent in full by a source of fewer motions a second', async () => {
    await connect({ motionBudget: 300 });
    const sparse = (frame: number) => frame % 2 === 0;
    for (let frame = 0; frame < 450; frame++) {
      nowMs += 1000 / 30;
      if (sparse(frame)) client.publishMotion(synthesizeMotion(frame / 30, 4));
      if (frame === 150) await until(() => server.motions.length === client.stats.published.packets, 'the first part');
      if (frame === 150) server.motionBytes = 0;
    }
    await until(() => server.motions.length === client.stats.published.packets, 'all packets');
    expect(server.motionBytes / 10).toBeLessThan(306);
    expect(server.motionBytes / 10).toBeGreaterThan(200);
  });

  it('delivers the last motion before a pause even when it was to be left out', async () => {
    await connect({ motionBudget: 100 });
    await play(3);
    const last = neutralMotion();
    last.pose.yaw = 0.5;
    nowMs += 1000 / 30;
    client.publishMotion(neutralMotion());
    nowMs += 1000 / 30;
    client.publishMotion(last);
    const passing = setInterval(() => {
      nowMs += 20;
      vi.advanceTimersByTime(20);
    }, 2);
    await until(() => Math.abs(server.motions.at(-1)!.motion.pose.yaw - 0.5) < 0.05, 'the last motion');
    clearInterval(passing);
  });

  it('makes no sense below zero or with the layout of one size', async () => {
    await connect();
    expect(() => client.setMotionBudget(0)).toThrow(RangeError);
    expect(() => client.setMotionBudget(Number.NaN)).toThrow(RangeError);
    client.close();
    await expect(connect({ motionFormat: 'fixed', motionBudget: 500 })).rejects.toThrow(TypeError);
  });
});

describe('a socket that backs up', () => {
  it('gets less precise motion, and the full precision again when it has been free for a while', async () => {
    let buffered = 0;
    const transport = () =>
      new (class extends WebSocketTransport {
        override bufferedBytes(): number {
          return buffered;
        }
      })({ url: server.url, WebSocket });
    await connect({ transport });
    const free = await play(2);
    const { expectedErrorMm } = client.stats.published;
    buffered = 1000;
    const crowded = await play(4);
    expect(crowded.bytesPerSecond).toBeLessThan(0.75 * free.bytesPerSecond);
    expect(distinct(crowded.motions)).toBeGreaterThan(10);
    expect(client.stats.published.expectedErrorMm).toBeGreaterThan(expectedErrorMm);
    buffered = 0;
    await play(45);
    expect(client.stats.published.expectedErrorMm).toBe(expectedErrorMm);
    const again = await play(2);
    expect(again.motions).toHaveLength(60);
    expect(server.motionErrors).toEqual([]);
  });
});

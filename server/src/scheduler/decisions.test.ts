import { EASE_MS, IDLE_AFTER_MS, neutralMotion, receiveMotion } from '@facewire/proto';
import { expect, test } from 'vitest';
import type { Participant, RenderedPicture } from '../contracts.ts';
import { AvatarHealth } from './AvatarHealth.ts';
import type { LineageState, StreamDemand } from './assignEncoders.ts';
import { dueSlot } from './dueSlot.ts';
import { motionAt } from './motionAt.ts';
import { type BatchPlan, candidatesOf, planBatch } from './planBatch.ts';
import { RenderBudget } from './RenderBudget.ts';
import { renderBatch } from './renderBatch.ts';
import { TickTimer } from './TickTimer.ts';
import { viewBucket } from './viewBucket.ts';

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

const degrees = (value: number) => (value * Math.PI) / 180;

test('views within a degree share a bucket, whose centre is what is rendered', () => {
  expect(viewBucket({ yaw: degrees(0.9), pitch: degrees(-0.9) })).toEqual({ key: '0,0', view: { yaw: 0, pitch: 0 } });
  const turned = viewBucket({ yaw: degrees(20.7), pitch: degrees(-3.2) });
  expect(turned.key).toBe('10,-2');
  expect(turned.view.yaw).toBeCloseTo(degrees(20));
  expect(turned.view.pitch).toBeCloseTo(degrees(-4));
});

test('a stream is due as often as its rate says, evenly, also when the rate does not divide the tick rate', () => {
  const dueTicks = (fps: number, tps: number, seconds: number) => {
    let count = 0;
    let longest = 0;
    let since = 0;
    for (let tick = 1; tick <= tps * seconds; tick++) {
      since++;
      if (dueSlot(tick, tps, fps) === dueSlot(tick - 1, tps, fps)) continue;
      longest = Math.max(longest, since);
      since = 0;
      count++;
    }
    return { count, longest };
  };
  expect(dueTicks(30, 30, 10)).toEqual({ count: 300, longest: 1 });
  expect(dueTicks(20, 30, 10)).toEqual({ count: 200, longest: 2 });
  expect(dueTicks(10, 30, 10)).toEqual({ count: 100, longest: 3 });
  expect(dueTicks(60, 30, 10)).toEqual({ count: 300, longest: 1 });
  expect(dueTicks(7, 30, 10)).toEqual({ count: 70, longest: 5 });
});

function smiling(atMs: number): Participant {
  const motion = neutralMotion();
  motion.pose.yaw = 0.4;
  motion.expression[17] = 1;
  motion.keypoints = new Float32Array([1, 1, 1]);
  const latest = { motion, sequence: 9, timeMs: 77 };
  const received = receiveMotion(undefined, latest, atMs);
  return { id: 'p', room: 'r', avatar: 'a', latest, latestAtMs: atMs, received };
}

test('a face without packets keeps still for two seconds, then comes to rest within one, and stays', () => {
  const participant = smiling(1000);
  const yawAt = (ms: number) => motionAt(participant, ms).motion.pose.yaw;
  expect(yawAt(1000)).toBe(0.4);
  expect(motionAt(participant, 1000 + IDLE_AFTER_MS)).toMatchObject({ fresh: true, sequence: 9, timeMs: 77 });
  const samples = [0, 0.25, 0.5, 0.75, 1].map((part) => yawAt(1000 + IDLE_AFTER_MS + part * EASE_MS));
  expect(samples).toEqual([...samples].sort((a, b) => b - a));
  expect(samples[2]).toBeCloseTo(0.2, 1);
  const rest = motionAt(participant, 1000 + IDLE_AFTER_MS + EASE_MS);
  expect(rest.motion.pose.yaw).toBe(0);
  expect(rest.motion.expression.every((value) => value === 0)).toBe(true);
  expect([...rest.motion.keypoints!]).toEqual([0, 0, 0]);
  expect(participant.latest!.motion.expression[17]).toBe(1);
});

test('the version changes exactly when the motion does', () => {
  const participant = smiling(1000);
  const version = (ms: number) => motionAt(participant, ms).version;
  expect(version(1000)).toBe(version(2999));
  expect(version(3000 + 300)).not.toBe(version(3000 + 400));
  expect(version(4000)).toBe(version(9_000_000));
  expect(version(1000)).not.toBe(motionAt(smiling(1001), 1001).version);
});

test('somebody who never sent a packet shows the neutral face', () => {
  const silent: Participant = { id: 'p', room: 'r', avatar: 'a', latest: undefined, latestAtMs: 0 };
  expect(motionAt(silent, 5000)).toMatchObject({ motion: neutralMotion(), version: 'rest', arrivedAtMs: undefined });
});

const demand = (stream: number, picture: string, more: Partial<StreamDemand> = {}): StreamDemand => ({
  stream,
  picture,
  codec: 'vp8',
  size: 256,
  framesPerSecond: 30,
  due: true,
  changed: true,
  deadlineMs: 0,
  needsKey: false,
  hadKey: true,
  suspect: false,
  ...more,
});

/** As StreamBook does with subjects, with each picture one of its own. */
function plan(
  demands: readonly StreamDemand[],
  lineages: readonly LineageState[],
  maxPictures: (size: number) => number,
  nowMs: number,
  lanes?: number,
): BatchPlan | undefined {
  const contenders = [...new Set(demands.map(({ picture }) => picture))].map((picture, order) => {
    const own = demands.filter((each) => each.picture === picture);
    const least = (values: number[]) => Math.min(...values);
    return {
      order,
      own,
      size: own[0]!.size,
      deadlineMs: least(own.map(({ deadlineMs }) => deadlineMs)),
      servedAtMs: least(own.map(({ servedAtMs }) => servedAtMs ?? 0)),
    };
  });
  const open = ({ own, order }: (typeof contenders)[number]) => candidatesOf(own, lineages, () => [], nowMs, order);
  return planBatch(contenders, open, maxPictures, lanes);
}
const pictures = (plan: BatchPlan | undefined) => plan?.pictures.map(({ picture }) => picture);

test('a batch begins with the earliest deadline and takes others of its size by theirs', () => {
  const demands = [
    demand(1, 'late', { deadlineMs: 30 }),
    demand(2, 'first', { deadlineMs: 10 }),
    demand(3, 'big', { deadlineMs: 15, size: 512 }),
    demand(4, 'second', { deadlineMs: 20 }),
  ];
  expect(pictures(plan(demands, [], () => 2, 0))).toEqual(['first', 'second']);
});

test('pictures that are due are spread over the free lanes, and a batch grows only when there are more than lanes', () => {
  const due = (count: number) => Array.from({ length: count }, (_, index) => demand(index, `p${index}`));
  const batch = (count: number, lanes: number, most = 4) =>
    pictures(plan(due(count), [], () => most, 0, lanes))!.length;
  expect([1, 3, 4].map((count) => batch(count, 4))).toEqual([1, 1, 1]);
  expect([5, 8, 9, 16, 40].map((count) => batch(count, 4))).toEqual([2, 2, 3, 4, 4]);
  expect([1, 3, 40].map((count) => batch(count, 1))).toEqual([1, 3, 4]);
  expect(batch(40, 4, 1)).toBe(1);
});

test('of pictures with one deadline, the one served least recently goes first', () => {
  const demands = [
    demand(1, 'lately', { deadlineMs: 10, servedAtMs: 9 }),
    demand(2, 'long ago', { deadlineMs: 10, servedAtMs: 3 }),
    demand(3, 'never', { deadlineMs: 10 }),
  ];
  expect(pictures(plan(demands, [], () => 2, 0))).toEqual(['never', 'long ago']);
});

test('under overload everybody gets his turn: nobody waits longer than one round', () => {
  const lastServed = new Map(Array.from({ length: 10 }, (_, stream) => [stream, 0]));
  let longestGap = 0;
  for (let round = 1; round <= 100; round++) {
    const demands = [...lastServed].map(([stream, at]) => demand(stream, `p${stream}`, { deadlineMs: at }));
    for (const picture of pictures(plan(demands, [], () => 3, round))!) {
      const stream = Number(picture.slice(1));
      longestGap = Math.max(longestGap, round - lastServed.get(stream)!);
      lastServed.set(stream, round);
    }
  }
  expect(longestGap).toBe(4);
});

test('a batch is the same whether all pictures are worked out first or only those whose turn comes', () => {
  const random = mulberry(7);
  for (let trial = 0; trial < 200; trial++) {
    const contenders = Array.from({ length: 1 + Math.floor(random() * 30) }, (_, order) => {
      const size = random() < 0.5 ? 128 : 256;
      const suspect = random() < 0.1;
      const candidates = Array.from({ length: Math.floor(random() * 3) }, (_, index) => ({
        picture: `${order}.${index}`,
        size,
        encodes: [],
        deadlineMs: Math.floor(random() * 4),
        servedAtMs: Math.floor(random() * 4),
        order: order + index / 10,
        suspect,
      }));
      const least = (values: number[]) => Math.min(...values) - (random() < 0.5 ? 1 : 0);
      return {
        order,
        size,
        candidates,
        deadlineMs: least([9, ...candidates.map(({ deadlineMs }) => deadlineMs)]),
        servedAtMs: least([9, ...candidates.map(({ servedAtMs }) => servedAtMs)]),
      };
    });
    const most = 1 + Math.floor(random() * 8);
    let opened = 0;
    const lazy = planBatch(
      contenders,
      ({ candidates }) => {
        opened++;
        return candidates;
      },
      () => most,
    );
    const all = contenders.flatMap(({ candidates }) => candidates);
    const ordered = all.sort((a, b) => a.deadlineMs - b.deadlineMs || a.servedAtMs - b.servedAtMs || a.order - b.order);
    const first = ordered[0];
    const eager = first?.suspect
      ? [first]
      : ordered.filter(({ size, suspect }) => size === first?.size && !suspect).slice(0, most);
    expect(pictures(lazy) ?? []).toEqual(eager.map(({ picture }) => picture));
    expect(opened).toBeLessThanOrEqual(contenders.length);
  }
});

test('of ten thousand that wait only those are worked out that the batch has room for', () => {
  const contenders = Array.from({ length: 10_000 }, (_, order) => ({
    order,
    size: 256,
    deadlineMs: 0,
    servedAtMs: (order * 7919) % 10_000,
  }));
  let opened = 0;
  const open = (turn: (typeof contenders)[number]) => {
    opened++;
    return candidatesOf([demand(turn.order, `p${turn.order}`, turn)], [], () => [], 0, turn.order);
  };
  const planned = planBatch(contenders, open, () => 64)!;
  expect(planned.pictures).toHaveLength(64);
  expect(opened).toBeLessThanOrEqual(66);
});

test('what is not due, or shows nothing new, is not rendered', () => {
  expect(plan([demand(1, 'a', { due: false })], [], () => 8, 0)).toBeUndefined();
  const lineage: LineageState = {
    id: 1,
    codec: 'vp8',
    size: 256,
    members: new Set([1]),
    lastKeyMs: 0,
    pending: 0,
  };
  expect(plan([demand(1, 'a', { changed: false })], [lineage], () => 8, 1000)).toBeUndefined();
  expect(pictures(plan([demand(1, 'a', { changed: false, needsKey: true })], [lineage], () => 8, 1000))).toEqual(['a']);
  expect(plan([demand(1, 'a')], [{ ...lineage, pending: 2 }], () => 8, 1000)).toBeUndefined();
});

test('a JPEG viewer and a video viewer of one picture share its render', () => {
  const shared = plan([demand(1, 'a'), demand(2, 'a', { codec: 'jpeg' })], [], () => 8, 0)!;
  expect(shared.pictures.length).toBe(1);
  expect(shared.pictures[0]!.encodes.map(({ group }) => group.codec)).toEqual(['vp8', 'jpeg']);
});

test('an avatar that failed lately is rendered alone', () => {
  const demands = [demand(1, 'good'), demand(2, 'bad', { suspect: true }), demand(3, 'fine')];
  expect(pictures(plan(demands, [], () => 8, 0))).toEqual(['good', 'fine']);
  demands[1]!.deadlineMs = -1;
  expect(pictures(plan(demands, [], () => 8, 0))).toEqual(['bad']);
});

test('an avatar that goes on failing is tried ever more rarely, and at once again after a success', () => {
  const health = new AvatarHealth(33);
  expect(health.retryAtMs('a')).toBeUndefined();
  const pauses = Array.from({ length: 10 }, () => {
    health.failed('a', 1000);
    return health.retryAtMs('a')! - 1000;
  });
  expect(pauses.slice(0, 3)).toEqual([33, 66, 132]);
  expect(pauses.at(-1)).toBe(5000);
  health.succeeded('a');
  expect(health.retryAtMs('a')).toBeUndefined();
});

test('batches are kept to what renders within the budget, per size', () => {
  const budget = new RenderBudget({ budgetMs: 33, maxBatch: 16 });
  expect(budget.maxPictures(256)).toBe(16);
  budget.measured(256, 2, 20);
  budget.measured(256, 4, 38);
  expect(budget.maxPictures(256)).toBe(3);
  expect(budget.maxPictures(512)).toBe(16);
  budget.measured(512, 1, 400);
  expect(budget.maxPictures(512)).toBe(1);
});

test('when a batch fails, its pictures are rendered alone, and only the bad one fails', async () => {
  const view = { yaw: 0, pitch: 0 };
  const of = (avatar: string) => ({ avatar, size: 128, view, motion: neutralMotion() });
  const renderer = {
    render: async (batch: readonly { avatar: string }[]): Promise<RenderedPicture[]> => {
      if (batch.some(({ avatar }) => avatar === 'bad')) throw new Error('bad avatar');
      return batch.map(() => ({ size: 128, rgb: new Uint8Array(1) }));
    },
  };
  const results = await renderBatch(renderer, [of('x'), of('bad'), of('y')], { i420: false, rgb: true });
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});

test('ticks do not drift, and those that a busy event loop missed are skipped', () => {
  let nowMs = 500;
  let timer: { callback: () => void; delayMs: number } | undefined;
  const clock = {
    now: () => nowMs,
    setTimer: (callback: () => void, delayMs: number) => {
      timer = { callback, delayMs };
      return () => {
        timer = undefined;
      };
    },
  };
  const ticks: number[] = [];
  const ticker = new TickTimer(clock, 50, (index) => ticks.push(index));
  ticker.start();
  ticker.start();
  const fireAfter = (lateMs: number) => {
    nowMs += timer!.delayMs + lateMs;
    timer!.callback();
  };
  fireAfter(3);
  expect(timer!.delayMs).toBeCloseTo(17);
  fireAfter(5);
  expect(timer!.delayMs).toBeCloseTo(15);
  fireAfter(70);
  expect(ticks).toEqual([1, 2, 6]);
  expect(timer!.delayMs).toBeCloseTo(10);
  ticker.stop();
  ticker.stop();
  expect(timer).toBeUndefined();
});

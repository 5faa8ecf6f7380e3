import { expect, test } from 'vitest';
import {
  assignEncoders,
  type EncoderAssignment,
  groupDemands,
  KEY_FRAME_INTERVAL_MS,
  type LineageState,
  type StreamDemand,
} from './assignEncoders.ts';

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

const lineage = (id: number, members: number[], more: Partial<LineageState> = {}): LineageState => ({
  id,
  codec: 'vp8',
  size: 256,
  members: new Set(members),
  lastKeyMs: Number.NEGATIVE_INFINITY,
  pending: 0,
  ...more,
});

const summary = (assignments: EncoderAssignment[]) =>
  assignments.map(({ group, lineage, keyFrame, served }) => ({
    picture: group.picture,
    lineage,
    keyFrame,
    served: served.map(({ stream }) => stream),
  }));

test('viewers of one picture share one new encoder, which starts with a key frame', () => {
  const groups = groupDemands([demand(1, 'a', { hadKey: false }), demand(2, 'a', { hadKey: false }), demand(3, 'b')]);
  expect(summary(assignEncoders(groups, [], 0))).toEqual([
    { picture: 'a', lineage: undefined, keyFrame: true, served: [1, 2] },
    { picture: 'b', lineage: undefined, keyFrame: true, served: [3] },
  ]);
});

test('an encoder goes on without a key frame while its audience stays, whatever the picture', () => {
  const groups = groupDemands([demand(1, 'later'), demand(2, 'later')]);
  expect(summary(assignEncoders(groups, [lineage(5, [1, 2])], 0))).toEqual([
    { picture: 'later', lineage: 5, keyFrame: false, served: [1, 2] },
  ]);
});

test('when a group splits, the larger part keeps the encoder and the other gets its own with a key frame', () => {
  const groups = groupDemands([demand(1, 'turned'), demand(2, 'front'), demand(3, 'front')]);
  expect(summary(assignEncoders(groups, [lineage(5, [1, 2, 3])], 0))).toEqual([
    { picture: 'turned', lineage: undefined, keyFrame: true, served: [1] },
    { picture: 'front', lineage: 5, keyFrame: false, served: [2, 3] },
  ]);
});

test('when groups merge, the larger encoder goes on and all get a key frame', () => {
  const groups = groupDemands([demand(1, 'a'), demand(2, 'a'), demand(3, 'a')]);
  const lineages = [lineage(4, [1]), lineage(5, [2, 3])];
  expect(summary(assignEncoders(groups, lineages, 0))).toEqual([
    { picture: 'a', lineage: 5, keyFrame: true, served: [1, 2, 3] },
  ]);
});

test('key frames are rate-limited: who asks too soon waits while the others go on', () => {
  const groups = groupDemands([demand(1, 'a', { needsKey: true }), demand(2, 'a')]);
  const recent = lineage(5, [1, 2], { lastKeyMs: 1000 });
  expect(summary(assignEncoders(groups, [recent], 1000 + KEY_FRAME_INTERVAL_MS - 1))).toEqual([
    { picture: 'a', lineage: 5, keyFrame: false, served: [2] },
  ]);
  expect(summary(assignEncoders(groups, [recent], 1000 + KEY_FRAME_INTERVAL_MS))).toEqual([
    { picture: 'a', lineage: 5, keyFrame: true, served: [1, 2] },
  ]);
});

test('a stream that never had a key frame does not wait for the rate limit', () => {
  const groups = groupDemands([demand(1, 'a', { needsKey: true, hadKey: false }), demand(2, 'a')]);
  const [assignment] = assignEncoders(groups, [lineage(5, [2], { lastKeyMs: 999 })], 1000);
  expect(assignment).toMatchObject({ lineage: 5, keyFrame: true });
});

test('an encoder without viewers is used again before a new one is opened, unless its last key frame is too recent', () => {
  const groups = groupDemands([demand(1, 'a')]);
  expect(assignEncoders(groups, [lineage(5, [])], 1000)[0]!.lineage).toBe(5);
  expect(assignEncoders(groups, [lineage(5, [], { lastKeyMs: 900 })], 1000)[0]!.lineage).toBeUndefined();
});

test('an encoder only takes its own codec and size', () => {
  const groups = groupDemands([demand(1, 'a', { size: 128 }), demand(2, 'b', { codec: 'vp9' })]);
  const assignments = assignEncoders(groups, [lineage(5, [1, 2]), lineage(6, [])], 0);
  expect(assignments.map((each) => each.lineage)).toEqual([undefined, undefined]);
});

test('slower viewers do not share deltas with faster ones, but share JPEGs, each at its own rate', () => {
  const video = [demand(1, 'a'), demand(2, 'a', { framesPerSecond: 10 })];
  expect(groupDemands(video).length).toBe(2);
  const stills = [
    demand(1, 'a', { codec: 'jpeg' }),
    demand(2, 'a', { codec: 'jpeg', framesPerSecond: 10, due: false }),
  ];
  const assignments = assignEncoders(groupDemands(stills), [], 0);
  expect(summary(assignments)).toEqual([{ picture: 'a', lineage: undefined, keyFrame: true, served: [1] }]);
});

test('no stream is ever served by two encoders, and a delta only goes to streams that can decode it', () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return (seed >> 8) % below;
  };
  let lineages: { id: number; members: Set<number>; lastKeyMs: number }[] = [];
  let nextId = 1;
  /** the encoder and number of the last frame that each stream got */
  const decoders = new Map<number, { lineage: number; frame: number }>();
  const frames = new Map<number, number>();
  for (let tick = 0; tick < 500; tick++) {
    const nowMs = tick * 33;
    const demands = Array.from({ length: 8 }, (_, stream) =>
      demand(stream, `view${random(3)}`, { needsKey: random(20) === 0, hadKey: decoders.has(stream) }),
    ).filter(() => random(6) > 0);
    const states = lineages.map((each) => lineage(each.id, [...each.members], each));
    const seen = new Set<number>();
    for (const assignment of assignEncoders(groupDemands(demands), states, nowMs)) {
      if (assignment.served.length === 0) continue;
      let used = lineages.find(({ id }) => id === assignment.lineage);
      if (!used) {
        used = { id: nextId++, members: new Set(), lastKeyMs: Number.NEGATIVE_INFINITY };
        lineages.push(used);
      }
      const frame = (frames.get(used.id) ?? 0) + 1;
      frames.set(used.id, frame);
      for (const { stream } of assignment.served) {
        expect(seen.has(stream)).toBe(false);
        seen.add(stream);
        if (!assignment.keyFrame) expect(decoders.get(stream)).toEqual({ lineage: used.id, frame: frame - 1 });
        decoders.set(stream, { lineage: used.id, frame });
      }
      for (const other of lineages) for (const { stream } of assignment.served) other.members.delete(stream);
      used.members = new Set(assignment.served.map(({ stream }) => stream));
      if (assignment.keyFrame) used.lastKeyMs = nowMs;
    }
    lineages = lineages.filter(({ members }) => members.size > 0 || random(4) > 0);
  }
  expect(nextId).toBeGreaterThan(3);
});

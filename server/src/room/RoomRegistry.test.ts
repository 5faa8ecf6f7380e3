import { type ClientControl, encodeMotion, FacewireError, neutralMotion, PROTOCOL_VERSION } from '@facewire/proto';
import { beforeEach, expect, test } from 'vitest';
import type { Stream } from '../contracts.ts';
import { MetricsRegistry } from '../metrics/index.ts';
import { RoomRegistry, type RoomRegistryOptions } from './RoomRegistry.ts';
import { RecordingPeer } from './testing/RecordingPeer.ts';

let nowMs: number;
let forgotten: Stream[];
let metrics: MetricsRegistry;

function registryWith(more: Partial<RoomRegistryOptions> = {}): RoomRegistry {
  const known = ['ada', 'bob', 'cyd'];
  return new RoomRegistry({
    avatars: {
      get: (id) =>
        known.includes(id) ? { id, name: id, model: 'warp', builtIn: true, createdAt: '2025-01-01' } : undefined,
    },
    codecs: ['vp8', 'jpeg'],
    sizes: [128, 256, 512],
    fanOut: { handleDrain() {}, forgetStream: (stream) => forgotten.push(stream), forgetPeer() {} },
    metrics,
    now: () => nowMs,
    ...more,
  });
}

beforeEach(() => {
  nowMs = 1000;
  forgotten = [];
  metrics = new MetricsRegistry();
});

const joining = (more: Partial<Extract<ClientControl, { type: 'join' }>> = {}): ClientControl => ({
  type: 'join',
  version: PROTOCOL_VERSION,
  room: 'lobby',
  role: 'viewer',
  name: 'V',
  codecs: ['vp8', 'jpeg'],
  ...more,
});

function join(
  registry: RoomRegistry,
  id: string,
  more: Partial<Extract<ClientControl, { type: 'join' }>> = {},
): RecordingPeer {
  const peer = new RecordingPeer(id);
  registry.handleOpen(peer);
  registry.handleControl(peer, joining(more));
  return peer;
}

const joinPlayer = (registry: RoomRegistry, id: string, avatar = 'ada') =>
  join(registry, id, { role: 'player', name: id.toUpperCase(), avatar });

function subscribe(registry: RoomRegistry, viewer: RecordingPeer, participant: string, more = {}): number {
  registry.handleControl(viewer, {
    type: 'subscribe',
    request: 1,
    participant,
    size: 200,
    framesPerSecond: 30,
    ...more,
  });
  return viewer.last('subscribed').stream;
}

function codeOf(action: () => void): string {
  try {
    action();
  } catch (error) {
    if (!(error instanceof FacewireError)) throw error;
    expect(error.remedy).toBeTruthy();
    return error.code;
  }
  return 'none';
}

const packet = (sequence: number, yaw = 0) => {
  const motion = neutralMotion();
  motion.pose.yaw = yaw;
  return encodeMotion({ motion, sequence, timeMs: sequence });
};

test('a newcomer is told who is there, and those who are there of the newcomer', () => {
  const registry = registryWith();
  const ada = joinPlayer(registry, 'ada');
  const bob = joinPlayer(registry, 'bob', 'bob');
  expect(bob.last('welcome')).toEqual({
    type: 'welcome',
    version: PROTOCOL_VERSION,
    participant: 'p2',
    room: 'lobby',
    serverTimeMs: 1000,
    codec: 'vp8',
    sizes: [128, 256, 512],
    participants: [{ id: 'p1', name: 'ADA', role: 'player', bot: false, avatar: 'ada' }],
  });
  expect(ada.last('participantJoined').participant).toMatchObject({ id: 'p2', avatar: 'bob' });
  expect(bob.heard.length).toBe(1);
  registry.handleControl(bob, { type: 'leave' });
  expect(ada.last('participantLeft').participant).toBe('p2');
  registry.handleControl(bob, joining());
  expect(bob.last('welcome').participant).toBe('p3');
});

test('the version used is the highest that both ends speak', () => {
  const registry = registryWith();
  expect(join(registry, 'newer', { version: 99 }).last('welcome').version).toBe(PROTOCOL_VERSION);
  expect(codeOf(() => join(registry, 'older', { version: 0 }))).toBe('version_unsupported');
});

test('the codec is the first of the client that the server can encode', () => {
  const registry = registryWith();
  expect(join(registry, 'a', { codecs: ['vp9', 'jpeg', 'vp8'] }).last('welcome').codec).toBe('jpeg');
  expect(codeOf(() => join(registry, 'b', { codecs: ['vp9'] }))).toBe('codec_unsupported');
});

test('what may not be joined is refused with a typed error, and leaves nothing behind', () => {
  const registry = registryWith({ rooms: ['lobby'], createRooms: false, maxParticipants: 1 });
  expect(codeOf(() => join(registry, 'a', { room: 'cellar' }))).toBe('room_unknown');
  expect(codeOf(() => join(registry, 'a', { role: 'player' }))).toBe('avatar_unknown');
  expect(codeOf(() => joinPlayer(registry, 'a', 'nobody'))).toBe('avatar_unknown');
  expect(registry.snapshot()).toEqual({ rooms: 1, participants: 0, bots: 0, elsewhere: 0, streams: 0 });
  const first = join(registry, 'a');
  expect(codeOf(() => join(registry, 'b'))).toBe('room_full');
  expect(codeOf(() => registry.handleControl(first, joining()))).toBe('already_joined');
});

test('bots do not take a place that a person could have', () => {
  const registry = registryWith({ maxParticipants: 1 });
  registry.addLocalParticipant({ room: 'lobby', name: 'B', avatar: 'bob', bot: true });
  expect(join(registry, 'a').last('welcome').participants[0]).toMatchObject({ bot: true, avatar: 'bob' });
});

test('before joining nothing but joining is possible', () => {
  const registry = registryWith();
  const peer = new RecordingPeer('early');
  registry.handleOpen(peer);
  expect(codeOf(() => registry.handleControl(peer, { type: 'ping', clientTimeMs: 1 }))).toBe('not_joined');
  expect(codeOf(() => registry.handleMotion(peer, packet(1)))).toBe('not_joined');
  registry.handleClose(peer);
});

test('a subscription gets the smallest size that is not below the wanted one, and asks for a key frame', () => {
  const registry = registryWith();
  joinPlayer(registry, 'ada');
  const viewer = join(registry, 'v');
  subscribe(registry, viewer, 'p1', { size: 129, framesPerSecond: 500, view: { yaw: 0.2, pitch: 0 } });
  expect(viewer.last('subscribed')).toMatchObject({ request: 1, participant: 'p1', size: 256, codec: 'vp8' });
  expect([...registry.streams()]).toMatchObject([
    { size: 256, framesPerSecond: 60, view: { yaw: 0.2, pitch: 0 }, needsKeyFrame: true },
  ]);
});

test('a subscription that fails is answered with its request number and is no offence', () => {
  const registry = registryWith({ maxStreams: 1 });
  joinPlayer(registry, 'ada');
  const viewer = join(registry, 'v');
  const attempt = (request: number, participant: string, size: number) => {
    registry.handleControl(viewer, { type: 'subscribe', request, participant, size, framesPerSecond: 30 });
    const { code, request: answered } = viewer.last('error');
    return { code, request: answered };
  };
  expect(attempt(7, 'p99', 128)).toEqual({ code: 'participant_unknown', request: 7 });
  expect(attempt(8, viewer.last('welcome').participant, 128)).toEqual({ code: 'participant_unknown', request: 8 });
  expect(attempt(9, 'p1', 513)).toEqual({ code: 'size_unsupported', request: 9 });
  subscribe(registry, viewer, 'p1');
  expect(attempt(10, 'p1', 128)).toEqual({ code: 'too_many_streams', request: 10 });
});

test('people of another room cannot be watched', () => {
  const registry = registryWith();
  joinPlayer(registry, 'ada');
  const viewer = join(registry, 'v', { room: 'other' });
  expect(() => subscribe(registry, viewer, 'p1')).toThrow(/heard no subscribed/);
  expect(viewer.last('error').code).toBe('participant_unknown');
});

test('a stream can be changed, refreshed and ended by its owner only', () => {
  const registry = registryWith();
  joinPlayer(registry, 'ada');
  const viewer = join(registry, 'v');
  const stream = subscribe(registry, viewer, 'p1');
  const live = [...registry.streams()][0]!;
  registry.handleControl(viewer, {
    type: 'update',
    stream,
    size: 512,
    framesPerSecond: 10,
    view: { yaw: 1, pitch: 0 },
  });
  expect(live).toMatchObject({ size: 512, framesPerSecond: 10, view: { yaw: 1, pitch: 0 } });
  expect(codeOf(() => registry.handleControl(viewer, { type: 'update', stream, size: 2000, framesPerSecond: 5 }))).toBe(
    'size_unsupported',
  );
  expect(live.framesPerSecond).toBe(10);
  live.needsKeyFrame = false;
  registry.handleControl(viewer, { type: 'keyFrame', stream });
  expect(live.needsKeyFrame).toBe(true);
  const other = join(registry, 'w');
  expect(codeOf(() => registry.handleControl(other, { type: 'unsubscribe', stream }))).toBe('stream_unknown');
  registry.handleControl(viewer, { type: 'unsubscribe', stream });
  expect(registry.hasStream(stream)).toBe(false);
  expect(forgotten).toEqual([live]);
  expect(codeOf(() => registry.handleControl(viewer, { type: 'unsubscribe', stream }))).toBe('stream_unknown');
});

test('when a player leaves, the streams of it end, and messages that crossed the news are no offence', () => {
  const registry = registryWith();
  const ada = joinPlayer(registry, 'ada');
  const viewer = join(registry, 'v');
  const stream = subscribe(registry, viewer, 'p1');
  registry.handleClose(ada);
  expect(viewer.heard.slice(-2)).toEqual([
    { type: 'ended', stream },
    { type: 'participantLeft', participant: 'p1' },
  ]);
  expect(forgotten.length).toBe(1);
  for (let repeat = 0; repeat < 5; repeat++) {
    registry.handleControl(viewer, { type: 'update', stream, view: { yaw: 0, pitch: 0 } });
  }
  registry.handleControl(viewer, { type: 'unsubscribe', stream });
});

test('when a viewer goes, its streams and an empty room go too', () => {
  const registry = registryWith();
  const ada = joinPlayer(registry, 'ada');
  const viewer = join(registry, 'v');
  subscribe(registry, viewer, 'p1');
  registry.handleClose(viewer);
  expect(registry.snapshot()).toEqual({ rooms: 1, participants: 1, bots: 0, elsewhere: 0, streams: 0 });
  registry.handleClose(ada);
  registry.handleClose(ada);
  expect(registry.snapshot().rooms).toBe(0);
});

test('only newer motion counts: replayed and out-of-order packets are dropped, the sequence wraps', () => {
  const registry = registryWith();
  const ada = joinPlayer(registry, 'ada');
  const viewer = join(registry, 'v');
  subscribe(registry, viewer, 'p1');
  const participant = [...registry.streams()][0]!.participant;
  for (const [sequence, atMs] of [
    [65534, 10],
    [65533, 20],
    [65534, 30],
    [65535, 40],
    [0, 50],
    [65535, 60],
  ] as const) {
    nowMs = atMs;
    registry.handleMotion(ada, packet(sequence));
  }
  expect(participant.latest!.sequence).toBe(0);
  expect(participant.latestAtMs).toBe(50);
  expect(metrics.snapshot().counters).toMatchObject({ motion_packets_total: 3, motion_stale_total: 3 });
});

test('malformed motion is refused and changes nothing; viewers may not send any', () => {
  const registry = registryWith();
  const ada = joinPlayer(registry, 'ada');
  const viewer = join(registry, 'v');
  subscribe(registry, viewer, 'p1');
  registry.handleMotion(ada, packet(1));
  const { participant } = [...registry.streams()][0]!;
  const before = participant.latest;
  expect(() => registry.handleMotion(ada, packet(2).subarray(0, 30))).toThrow(FacewireError);
  expect(() => registry.handleMotion(ada, new Uint8Array([0x77, 1, 2, 3]))).toThrow(FacewireError);
  expect(participant.latest).toBe(before);
  expect(codeOf(() => registry.handleMotion(viewer, packet(1)))).toBe('role_forbidden');
  expect(codeOf(() => registry.handleControl(viewer, { type: 'setAvatar', avatar: 'bob' }))).toBe('role_forbidden');
});

test('each player has a motion decoder of its own, and a stale packet is counted, not punished', () => {
  let made = 0;
  const registry = registryWith({
    createMotionDecoder: () => {
      const mine = ++made;
      return (bytes) => {
        if (bytes[0] === 0x40) throw new FacewireError('packet_stale', 'older than the newest', { remedy: 'none' });
        return { motion: neutralMotion(), sequence: mine, timeMs: 0 };
      };
    },
  });
  const [ada, bob] = [joinPlayer(registry, 'ada'), joinPlayer(registry, 'bob', 'bob')];
  const viewer = join(registry, 'v');
  subscribe(registry, viewer, 'p2');
  registry.handleMotion(ada, new Uint8Array([2]));
  registry.handleMotion(bob, new Uint8Array([2]));
  registry.handleMotion(bob, new Uint8Array([0x40]));
  expect([...registry.streams()][0]!.participant.latest!.sequence).toBe(2);
  expect(metrics.snapshot().counters.motion_stale_total).toBe(1);
});

test('a player may change avatar, and the others learn of it', () => {
  const registry = registryWith();
  const ada = joinPlayer(registry, 'ada');
  const viewer = join(registry, 'v');
  registry.handleControl(ada, { type: 'setAvatar', avatar: 'cyd' });
  expect(viewer.last('participantUpdated').participant).toMatchObject({ id: 'p1', avatar: 'cyd' });
  expect(codeOf(() => registry.handleControl(ada, { type: 'setAvatar', avatar: 'nobody' }))).toBe('avatar_unknown');
});

test("a ping comes back with both clocks, and one peer's broken transport does not disturb the others", () => {
  const registry = registryWith();
  const broken = joinPlayer(registry, 'ada');
  broken.sendControl = () => {
    throw new Error('socket gone');
  };
  const viewer = join(registry, 'v');
  registry.handleControl(viewer, { type: 'ping', clientTimeMs: 5 });
  expect(viewer.last('pong')).toEqual({ type: 'pong', clientTimeMs: 5, serverTimeMs: 1000 });
});

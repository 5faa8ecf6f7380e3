import { FacewireError } from '@facewire/proto';
import { beforeEach, expect, test } from 'vitest';
import type { Peer } from '../contracts.ts';
import { MetricsRegistry } from '../metrics/index.ts';
import { HouseBots } from './HouseBots.ts';
import { RoomRegistry } from './RoomRegistry.ts';
import { RecordingPeer } from './testing/RecordingPeer.ts';

const AVATARS = ['a', 'b', 'c', 'd'].map((id) => ({ id, name: `Bot ${id}` }));

let registry: RoomRegistry;
let tick: () => void;
let nowMs: number;
let counters: () => Record<string, number>;

beforeEach(() => {
  nowMs = 5000;
  const metrics = new MetricsRegistry();
  counters = () => metrics.snapshot().counters;
  registry = new RoomRegistry({
    avatars: { get: (id) => ({ id, name: id, model: 'warp', builtIn: true, createdAt: '' }) },
    codecs: ['jpeg'],
    sizes: [128],
    fanOut: { handleDrain() {}, forgetStream() {}, forgetPeer() {} },
    metrics,
    now: () => nowMs,
  });
});

const makeBots = (seats: number, avatars = AVATARS) =>
  new HouseBots({
    registry,
    room: 'lobby',
    seats,
    avatars: () => avatars,
    random: () => 0,
    now: () => nowMs,
    every: (callback) => {
      tick = callback;
      return () => {
        tick = () => {};
      };
    },
  });

function join(id: string, role: 'player' | 'viewer', avatar = 'a'): Peer {
  const peer = new RecordingPeer(id);
  registry.handleControl(peer, {
    type: 'join',
    version: 1,
    room: 'lobby',
    role,
    name: id,
    codecs: ['jpeg'],
    ...(role === 'player' ? { avatar } : {}),
  });
  return peer;
}

const bots = () => registry.roster('lobby').filter(({ bot }) => bot);

test('every seat holds a bot with an avatar of its own', () => {
  const house = makeBots(4);
  house.start();
  house.start();
  expect(new Set(bots().map(({ avatar }) => avatar))).toEqual(new Set(['a', 'b', 'c', 'd']));
  expect(bots()[0]).toMatchObject({ name: 'Bot a', role: 'player' });
  house.close();
  house.close();
  expect(registry.snapshot()).toEqual({ rooms: 0, participants: 0, bots: 0, elsewhere: 0, streams: 0 });
});

test('who joins as a player takes the seat of a bot, first of the one that looks alike, and gives it back', () => {
  makeBots(3).start();
  const person = join('p', 'player', 'b');
  expect(bots().map(({ avatar }) => avatar)).toEqual(['a', 'c']);
  join('v', 'viewer');
  expect(bots().length).toBe(2);
  registry.handleClose(person);
  expect(bots().length).toBe(3);
});

test('more players than seats leave no bots, and a bot returns only when a seat is free', () => {
  makeBots(2).start();
  const people = ['p', 'q', 'r'].map((id) => join(id, 'player'));
  expect(bots().length).toBe(0);
  registry.handleControl(people[0]!, { type: 'leave' });
  expect(bots().length).toBe(0);
  registry.handleClose(people[1]!);
  expect(bots().length).toBe(1);
});

test('with more seats than avatars bots look alike; with no avatar there are none', () => {
  const house = makeBots(3, AVATARS.slice(0, 1));
  house.start();
  expect(bots().length).toBe(3);
  house.close();
  makeBots(3, []).start();
  expect(bots().length).toBe(0);
});

test('bots move only while somebody watches', () => {
  makeBots(2).start();
  const viewer = join('v', 'viewer');
  tick();
  expect(counters().motion_packets_total).toBeUndefined();
  const watched = bots()[1]!.id;
  registry.handleControl(viewer, {
    type: 'subscribe',
    request: 1,
    participant: watched,
    size: 128,
    framesPerSecond: 30,
  });
  const { participant } = [...registry.streams()][0]!;
  tick();
  const first = participant.latest!;
  nowMs += 700;
  tick();
  expect(participant.latest!.motion).not.toEqual(first.motion);
  expect(participant.latest!.sequence).toBe(first.sequence + 1);
  expect(counters().motion_packets_total).toBe(2);
  registry.handleClose(viewer);
  tick();
  expect(counters().motion_packets_total).toBe(2);
});

test('an avatar that was deleted since it was listed leaves its seat empty', () => {
  const house = new HouseBots({
    registry: {
      roster: () => [],
      onRosterChanged: () => () => {},
      addLocalParticipant: () => {
        throw new FacewireError('avatar_unknown', 'gone');
      },
    },
    room: 'lobby',
    seats: 1,
    avatars: () => AVATARS,
    every: () => () => {},
  });
  house.start();
  expect(house.count).toBe(0);
  house.close();
});

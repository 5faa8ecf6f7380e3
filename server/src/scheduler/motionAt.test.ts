import { type Motion, neutralMotion, type ReceivedMotion, receiveMotion } from '@facewire/proto';
import { expect, test } from 'vitest';
import type { Participant } from '../contracts.ts';
import { motionAt } from './motionAt.ts';

const START_MS = 1000;

/** A participant who sent so many packets, one every `intervalMs`, the last one at `lastMs`. */
function sender(intervalMs: number, yawAt: (packet: number) => number, packets = 20) {
  let received: ReceivedMotion | undefined;
  let motion: Motion = neutralMotion();
  for (let packet = 0; packet < packets; packet++) {
    motion = neutralMotion();
    motion.pose.yaw = yawAt(packet);
    const sample = { motion, sequence: packet, timeMs: packet * intervalMs };
    received = receiveMotion(received, sample, START_MS + packet * intervalMs);
  }
  const lastMs = START_MS + (packets - 1) * intervalMs;
  const latest = { motion, sequence: packets - 1, timeMs: (packets - 1) * intervalMs };
  const participant: Participant = { id: 'p', room: 'r', avatar: 'a', latest, latestAtMs: lastMs, received };
  return { participant, lastMs };
}

const turning = (packet: number) => 0.02 * packet;

test('a turning face has three pictures for each packet at ten packets a second, each further on', () => {
  const { participant, lastMs } = sender(100, turning);
  const looks = Array.from({ length: 12 }, (_, n) => motionAt(participant, lastMs + n * 8));
  const versions = [...new Set(looks.map(({ version }) => version))];
  expect(versions).toHaveLength(3);
  const yaws = versions.map((wanted) => looks.find(({ version }) => version === wanted)!.motion.pose.yaw);
  expect(yaws[1]! - yaws[0]!).toBeGreaterThan(0.003);
  expect(yaws[2]! - yaws[1]!).toBeGreaterThan(0.003);
  for (const look of looks) expect(look).toMatchObject({ fresh: true, sequence: 19, arrivedAtMs: lastMs });
});

test('a viewer of sixty frames a second sees the face move between packets of thirty', () => {
  const { participant, lastMs } = sender(33, turning);
  const looks = [0, 17].map((ms) => motionAt(participant, lastMs + ms, 60));
  expect(looks[1]!.version).not.toBe(looks[0]!.version);
  expect(looks[1]!.motion.pose.yaw).toBeGreaterThan(looks[0]!.motion.pose.yaw + 0.004);
  expect(motionAt(participant, lastMs + 45, 10).version).toBe(looks[0]!.version);
});

test('at thirty packets a second each packet has one picture, also when the next is a little late', () => {
  const { participant, lastMs } = sender(33, turning);
  const versions = [0, 10, 20, 33, 40].map((ms) => motionAt(participant, lastMs + ms).version);
  expect(new Set(versions).size).toBe(1);
  expect(motionAt(participant, lastMs + 50).version).not.toBe(versions[0]);
});

test('a turning face whose packets stop costs a few pictures more, then none until it comes to rest', () => {
  const { participant, lastMs } = sender(33, turning);
  const versions = (from: number, to: number) =>
    new Set(Array.from({ length: to - from }, (_, n) => motionAt(participant, lastMs + from + n).version)).size;
  expect(versions(0, 2000)).toBeLessThan(8);
  expect(versions(400, 2000)).toBe(1);
  expect(versions(2000, 3000)).toBe(31);
  expect(versions(3001, 9000)).toBe(1);
});

test('a face that keeps still has one picture for each packet, however rare packets are', () => {
  const { participant, lastMs } = sender(100, () => 0.3);
  const versions = Array.from({ length: 100 }, (_, n) => motionAt(participant, lastMs + n).version);
  expect(new Set(versions).size).toBe(1);
});

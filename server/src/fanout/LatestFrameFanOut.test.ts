import { decodeFrame } from '@facewire/proto';
import { beforeEach, expect, test } from 'vitest';
import type { FrameDelivery, Peer, Stream } from '../contracts.ts';
import { MetricsRegistry } from '../metrics/index.ts';
import { LatestFrameFanOut } from './LatestFrameFanOut.ts';
import { decideSlot } from './slotPolicy.ts';

class BufferingPeer implements Peer {
  readonly id = 'peer';
  readonly transport = 'local' as const;
  readonly packets: Uint8Array[] = [];
  buffered = 0;
  reading = true;
  sendControl(): void {}
  sendFrame(packet: Uint8Array): void {
    this.packets.push(packet);
    if (!this.reading) this.buffered += packet.byteLength;
  }
  bufferedBytes(): number {
    return this.buffered;
  }
  close(): void {}
}

let metrics: MetricsRegistry;
let fanOut: LatestFrameFanOut;
let peer: BufferingPeer;

beforeEach(() => {
  metrics = new MetricsRegistry();
  fanOut = new LatestFrameFanOut({ metrics, maxBufferedBytes: 10_000 });
  peer = new BufferingPeer();
});

const stream = (id: number, codec: 'vp8' | 'jpeg' = 'vp8'): Stream => ({
  id,
  peer,
  codec,
  participant: { id: 'p', room: 'r', avatar: 'a', latest: undefined, latestAtMs: 0 },
  size: 256,
  framesPerSecond: 30,
  view: { yaw: 0, pitch: 0 },
  needsKeyFrame: true,
});

const delivery = (sequence: number, keyFrame: boolean, bytes = 100): FrameDelivery => ({
  frame: { codec: 'vp8', keyFrame, data: new Uint8Array(bytes).fill(sequence) },
  size: 256,
  motionSequence: sequence,
  motionTimeMs: sequence * 33,
  serverTimeMs: 5000 + sequence,
});

const sequences = () => peer.packets.map((packet) => decodeFrame(packet).header.motionSequence);

test('a viewer that keeps up gets every frame at once, with its motion and stream in the header', () => {
  const one = stream(7);
  fanOut.deliver(one, delivery(1, true));
  expect(one.needsKeyFrame).toBe(false);
  fanOut.deliver(one, delivery(2, false));
  expect(sequences()).toEqual([1, 2]);
  expect(decodeFrame(peer.packets[1]!)).toEqual({
    header: {
      keyFrame: false,
      codec: 'vp8',
      stream: 7,
      motionSequence: 2,
      motionTimeMs: 66,
      serverTimeMs: 5002,
      width: 256,
      height: 256,
    },
    payload: new Uint8Array(100).fill(2),
  });
});

test('a slow viewer gets the newest picture after it drains, not the backlog, and it is a key frame', () => {
  const one = stream(1);
  fanOut.deliver(one, delivery(1, true));
  peer.buffered = 20_000;
  expect(fanOut.isCongested(peer)).toBe(true);
  fanOut.deliver(one, delivery(2, false));
  fanOut.deliver(one, delivery(3, false));
  expect(one.needsKeyFrame).toBe(true);
  fanOut.deliver(one, delivery(4, false));
  fanOut.deliver(one, delivery(5, true));
  fanOut.deliver(one, delivery(6, true));
  peer.buffered = 0;
  fanOut.handleDrain(peer);
  expect(sequences()).toEqual([1, 6]);
  expect(one.needsKeyFrame).toBe(false);
  expect(metrics.snapshot().counters.frames_dropped_total).toBe(4);
});

test('a single delta that waited is still sent, because nothing is missing before it', () => {
  const one = stream(1);
  fanOut.deliver(one, delivery(1, true));
  peer.buffered = 20_000;
  fanOut.deliver(one, delivery(2, false));
  peer.buffered = 0;
  fanOut.handleDrain(peer);
  fanOut.deliver(one, delivery(3, false));
  expect(sequences()).toEqual([1, 2, 3]);
  expect(one.needsKeyFrame).toBe(false);
});

test('after a dropped delta, deltas are held back until a key frame comes, even when the viewer reads again', () => {
  const one = stream(1);
  fanOut.deliver(one, delivery(1, true));
  peer.buffered = 20_000;
  fanOut.deliver(one, delivery(2, false));
  fanOut.deliver(one, delivery(3, false));
  peer.buffered = 0;
  fanOut.deliver(one, delivery(4, false));
  expect(sequences()).toEqual([1]);
  fanOut.deliver(one, delivery(5, true));
  fanOut.deliver(one, delivery(6, false));
  expect(sequences()).toEqual([1, 5, 6]);
});

test('a key frame that waits outlives the delta behind it, and another key frame is still asked for', () => {
  const one = stream(1);
  peer.buffered = 20_000;
  fanOut.deliver(one, delivery(1, true));
  fanOut.deliver(one, delivery(2, false));
  peer.buffered = 0;
  fanOut.handleDrain(peer);
  expect(sequences()).toEqual([1]);
  expect(one.needsKeyFrame).toBe(true);
});

test('a viewer that never reads costs a bounded number of bytes, however long it does not', () => {
  peer.reading = false;
  const streams = [1, 2, 3, 4].map((id) => stream(id));
  for (let round = 0; round < 2000; round++) {
    for (const one of streams) fanOut.deliver(one, delivery(round & 0xff, round % 10 === 0, 3000));
  }
  expect(peer.buffered).toBeLessThan(10_000 + 3020);
  expect(fanOut.waiting).toBeLessThanOrEqual(4);
  expect(fanOut.isCongested(peer)).toBe(true);
});

test('the streams of one slow viewer take turns', () => {
  const streams = [stream(1), stream(2)];
  peer.reading = false;
  for (let round = 0; round < 4; round++) {
    peer.buffered = 20_000;
    for (const one of streams) fanOut.deliver(one, delivery(round, true, 20_000));
    peer.buffered = 0;
    fanOut.handleDrain(peer);
  }
  expect(peer.packets.map((packet) => decodeFrame(packet).header.stream)).toEqual([1, 2, 1, 2]);
});

test('a frame that arrives after its stream or peer was forgotten is ignored', () => {
  const [one, two] = [stream(1), stream(2)];
  peer.buffered = 20_000;
  fanOut.deliver(one, delivery(1, true));
  fanOut.deliver(two, delivery(1, true));
  fanOut.forgetStream(one);
  fanOut.deliver(one, delivery(2, true));
  peer.buffered = 0;
  fanOut.handleDrain(peer);
  expect(peer.packets.map((packet) => decodeFrame(packet).header.stream)).toEqual([2]);
  fanOut.forgetPeer(peer);
  fanOut.deliver(two, delivery(3, true));
  expect(peer.packets.length).toBe(1);
  expect(fanOut.waiting).toBe(0);
});

test('a peer whose transport throws loses its frame and is given a key frame next', () => {
  const one = stream(1);
  peer.sendFrame = () => {
    throw new Error('socket gone');
  };
  fanOut.deliver(one, delivery(1, true));
  expect(one.needsKeyFrame).toBe(true);
  expect(metrics.snapshot().counters.frame_send_errors_total).toBe(1);
});

test('the slot policy never keeps a delta that a decoder could not use', () => {
  expect(decideSlot({ waiting: 'delta', broken: false }, false)).toEqual({
    takeNew: false,
    dropWaiting: true,
    broken: true,
  });
  expect(decideSlot({ waiting: 'none', broken: true }, false).takeNew).toBe(false);
  expect(decideSlot({ waiting: 'key', broken: true }, true)).toEqual({
    takeNew: true,
    dropWaiting: true,
    broken: false,
  });
});

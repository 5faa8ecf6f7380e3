import { neutralMotion } from '@facewire/proto';
import { expect, test } from 'vitest';
import type { Participant, Peer, Stream } from '../contracts.ts';
import { type BookLineage, StreamBook, type StreamBookOptions } from './StreamBook.ts';

const peer = { id: 'peer' } as Peer;

/** A book with `count` participants, each seen by one stream, and what a scheduler does with its plans. */
function bookOf(
  count: number,
  { isReady = () => true, retryAtMs = () => undefined }: Partial<Pick<StreamBookOptions, 'isReady' | 'retryAtMs'>> = {},
) {
  let asked = 0;
  const participants = Array.from(
    { length: count },
    (_, index): Participant => ({
      id: `p${index}`,
      room: 'r',
      avatar: `a${index}`,
      latest: { sequence: 1, timeMs: 0, motion: neutralMotion() },
      latestAtMs: -100_000,
    }),
  );
  const streams = participants.map(
    (participant, id): Stream => ({
      id,
      peer,
      codec: 'vp8',
      participant,
      size: 256,
      framesPerSecond: 30,
      view: { yaw: 0, pitch: 0 },
      needsKeyFrame: false,
    }),
  );
  const book = new StreamBook({
    ticksPerSecond: 30,
    motionAt: ({ latest, latestAtMs }) => {
      asked++;
      return {
        motion: latest!.motion,
        sequence: latest!.sequence,
        timeMs: 0,
        arrivedAtMs: latestAtMs,
        version: String(latest!.sequence),
        fresh: true,
      };
    },
    isCongested: () => false,
    retryAtMs,
    isReady,
    metrics: { count() {}, gauge() {}, observe() {} },
  });
  const lineages = new Map<number, BookLineage>();
  /** plans as long as there is something to draw; the participants drawn */
  const drawAll = (nowMs: number, most = 64) => {
    const drawn: string[] = [];
    for (;;) {
      const booked = book.plan(nowMs, lineages, () => most);
      if (!booked) return drawn;
      for (const [index, { encodes }] of booked.plan.pictures.entries()) {
        drawn.push(booked.contents[index]!.participant.id);
        for (const assignment of encodes) {
          let lineage = lineages.get(assignment.lineage ?? 0);
          if (!lineage) {
            const { codec, size } = assignment.group;
            lineage = { id: lineages.size + 1, codec, size, members: new Set(), lastKeyMs: -1e9, pending: 0 };
            lineages.set(lineage.id, lineage);
          }
          book.settle(book.serve(assignment, lineage, lineages, nowMs), assignment.keyFrame);
        }
      }
    }
  };
  const send = (index: number) => {
    const { latest } = participants[index]!;
    participants[index]!.latest = { ...latest!, sequence: latest!.sequence + 1 };
  };
  return { book, streams, participants, drawAll, send, lineages, asked: () => asked };
}

test('faces that are still are drawn once, and then hardly looked at; a packet is seen at once', () => {
  const { book, streams, drawAll, send, asked } = bookOf(1000);
  book.tick(streams, 1, 33);
  expect(drawAll(33)).toHaveLength(1000);
  const before = asked();
  for (let tick = 2; tick <= 61; tick++) {
    book.tick(streams, tick, tick * 33);
    expect(drawAll(tick * 33)).toEqual([]);
  }
  // Two seconds of 60 ticks: without pauses they would be looked at 60 times each.
  expect(asked() - before).toBeLessThan(20 * 1000);
  send(7);
  expect(drawAll(61 * 33 + 1)).toEqual(['p7']);
});

test('a view that turns and a size that changes are seen at the next tick, whatever was still', () => {
  const { book, streams, drawAll } = bookOf(3);
  for (let tick = 1; tick <= 40; tick++) {
    book.tick(streams, tick, tick * 33);
    drawAll(tick * 33);
  }
  streams[1]!.view = { yaw: 0.5, pitch: 0 };
  streams[2]!.size = 128;
  book.tick(streams, 41, 41 * 33);
  expect(drawAll(41 * 33).sort()).toEqual(['p1', 'p2']);
});

test('what nobody sees is not drawn, and is drawn at the next tick when somebody looks again', () => {
  const { book, streams, drawAll, send, asked } = bookOf(2);
  book.tick(streams, 1, 0);
  drawAll(0);
  streams[0]!.framesPerSecond = 0;
  const before = asked();
  for (let tick = 2; tick < 20; tick++) {
    send(0);
    book.tick(streams, tick, tick * 33);
    expect(drawAll(tick * 33)).toEqual([]);
  }
  // of the other alone, who is still, it was asked what he shows
  expect(asked() - before).toBeLessThan(18);
  expect(book.takeTurnCount().missed).toBe(0);
  streams[0]!.framesPerSecond = 30;
  book.tick(streams, 20, 660);
  expect(drawAll(660)).toEqual(['p0']);
});

test('of streams that are due at one moment the faster one is drawn first, as its deadline is earlier', () => {
  const { book, streams, drawAll } = bookOf(3);
  for (const [index, framesPerSecond] of [5, 10, 30].entries()) streams[index]!.framesPerSecond = framesPerSecond;
  book.tick(streams, 0, 0);
  expect(drawAll(0, 1)).toEqual(['p2', 'p1', 'p0']);
});

test('a slow stream that has waited for most of its turn is drawn before a fast one that has just begun to', () => {
  const { book, streams, drawAll } = bookOf(2);
  streams[0]!.framesPerSecond = 5;
  streams[1]!.framesPerSecond = 0;
  for (let tick = 0; tick < 6; tick++) book.tick(streams, tick, tick * 33);
  streams[1]!.framesPerSecond = 30;
  book.tick(streams, 6, 198);
  expect(drawAll(198, 1)).toEqual(['p0', 'p1']);
});

test('streams that are gone are told, and their encoders can serve others', () => {
  const { book, streams, drawAll } = bookOf(2);
  book.tick(streams, 1, 33);
  drawAll(33);
  const gone = book.tick(streams.slice(1), 2, 66);
  expect(gone.map(({ stream, lineage }) => [stream.id, lineage])).toEqual([[0, 1]]);
  expect(book.get(0)).toBeUndefined();
  expect(book.tick(streams.slice(1), 3, 99)).toEqual([]);
});

test("a former encoder's failure takes nothing back of what the present one has begun", () => {
  const { book, streams, drawAll, send, lineages } = bookOf(1);
  book.tick(streams, 1, 33);
  drawAll(33);
  const begin = (tick: number) => {
    send(0);
    book.tick(streams, tick, tick * 33);
    const [assignment] = book.plan(tick * 33, lineages, () => 64)!.plan.pictures[0]!.encodes;
    const { codec, size } = assignment!.group;
    const id = assignment!.lineage ?? lineages.size + 1;
    const lineage = lineages.get(id) ?? { id, codec, size, members: new Set(), lastKeyMs: -1e9, pending: 0 };
    lineages.set(id, lineage);
    return { served: book.serve(assignment!, lineage, lineages, tick * 33), keyFrame: assignment!.keyFrame };
  };
  const former = begin(2);
  streams[0]!.size = 128;
  const present = begin(3);
  expect([former.keyFrame, present.keyFrame]).toEqual([false, true]);
  const record = book.get(0)!;
  book.fail(former.served, true);
  expect(record).toMatchObject({ due: false, hadKey: true, keyInFlight: true });
  book.settle(former.served, true);
  expect(record.keyInFlight).toBe(true);
  book.fail(present.served, true);
  expect(record).toMatchObject({ due: true, hadKey: false, keyInFlight: false });
});

test('turns that pass without a frame are counted as missed, except of those who are still', () => {
  const { book, streams, drawAll, send } = bookOf(2);
  book.tick(streams, 1, 33);
  drawAll(33);
  for (let tick = 2; tick <= 5; tick++) {
    book.tick(streams, tick, tick * 33);
    drawAll(tick * 33);
  }
  book.takeTurnCount();
  send(0);
  // From here on nobody draws.
  for (let tick = 6; tick <= 9; tick++) {
    book.plan(tick * 33, new Map(), () => 64);
    book.tick(streams, tick, tick * 33);
  }
  const { turns, missed } = book.takeTurnCount();
  expect(missed).toBeGreaterThanOrEqual(3);
  expect(turns).toBe(4);
});

test('an avatar that is being loaded keeps nobody else waiting, and is drawn when it is there', () => {
  const ready = new Set(['a0', 'a2']);
  const { book, streams, drawAll } = bookOf(3, { isReady: (avatar) => ready.has(avatar) });
  book.tick(streams, 1, 33);
  expect(drawAll(33).sort()).toEqual(['p0', 'p2']);
  ready.add('a1');
  book.tick(streams, 2, 66);
  expect(drawAll(66)).toEqual(['p1']);
});

test('who changes from an avatar that cannot be drawn to one that can is drawn at once', () => {
  const { book, streams, participants, drawAll, send } = bookOf(1, {
    retryAtMs: (avatar) => (avatar === 'a0' ? 5000 : undefined),
  });
  book.tick(streams, 1, 33);
  expect(drawAll(33)).toEqual([]);
  send(0);
  expect(drawAll(40)).toEqual([]);
  participants[0]!.avatar = 'good';
  expect(drawAll(41)).toEqual(['p0']);
});

test('a face that moves on is drawn by the next plan when this one has no room for it', () => {
  const { book, streams, drawAll, lineages, send } = bookOf(2);
  for (let tick = 1; tick <= 40; tick++) {
    book.tick(streams, tick, tick * 33);
    drawAll(tick * 33);
  }
  send(0);
  send(1);
  // Only one picture fits into each.
  const planned = [1, 2].map(() => {
    const { plan, contents } = book.plan(40 * 33 + 1, lineages, () => 1)!;
    for (const assignment of plan.pictures[0]!.encodes) {
      book.serve(assignment, lineages.get(assignment.lineage!)!, lineages, 40 * 33 + 1);
    }
    return contents[0]!.participant.id;
  });
  expect(planned.sort()).toEqual(['p0', 'p1']);
});

test('a slower viewer takes the next picture of a faster one, and the last one alone when none follows', () => {
  const { book, streams, participants, drawAll, send } = bookOf(1);
  const slow: Stream = { ...streams[0]!, id: 1, participant: participants[0]!, framesPerSecond: 5 };
  const both = [streams[0]!, slow];
  book.tick(both, 0, 0);
  expect(drawAll(0)).toEqual(['p0']);
  // A sixth of its turn later the fast one gets a picture, which the slow one's turn then finds drawn.
  send(0);
  book.tick(both, 1, 33);
  expect(drawAll(33)).toEqual(['p0']);
  for (const tick of [2, 3, 4, 5]) book.tick(both, tick, tick * 33);
  book.tick(both, 6, 198);
  expect(drawAll(198)).toEqual([]);
  send(0);
  expect(drawAll(210)).toEqual(['p0']);
  expect(book.get(1)!.sentPicture).toBe(book.get(0)!.sentPicture);
  // From here on there is no packet: within two turns of the fast one it has the last picture too.
  book.tick(both, 7, 231);
  send(0);
  expect(drawAll(231)).toEqual(['p0']);
  for (let tick = 8; tick <= 14; tick++) {
    book.tick(both, tick, tick * 33);
    drawAll(tick * 33);
  }
  expect(book.get(1)!.sentPicture).toBe(book.get(0)!.sentPicture);
});

import { type ClientControl, encodeMotion, neutralMotion, PROTOCOL_VERSION, wrappedDifference } from '@facewire/proto';
import { Packr } from 'msgpackr';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MetricsRegistry } from '../metrics/index.ts';
import { HouseBots, RoomRegistry } from '../room/index.ts';
import { RecordingPeer } from '../room/testing/RecordingPeer.ts';
import { encodeMessage, type ServerMessage } from './messages.ts';
import { GONE_MS, RoomExchange } from './RoomExchange.ts';
import { type MemoryBus, MemoryNetwork } from './testing/MemoryBus.ts';

/** What a peer heard of others: "+Ada", "-a-p1", "Ada=cleo", "ended" */
function newsOf({ heard }: RecordingPeer): string[] {
  return heard.flatMap((message) => {
    if (message.type === 'participantJoined') return [`+${message.participant.name}`];
    if (message.type === 'participantLeft') return [`-${message.participant}`];
    if (message.type === 'participantUpdated') return [`${message.participant.name}=${message.participant.avatar}`];
    return message.type === 'ended' ? ['ended'] : [];
  });
}

interface Server {
  name: string;
  bus: MemoryBus;
  rooms: RoomRegistry;
  exchange: RoomExchange;
  metrics: MetricsRegistry;
  warnings: string[];
}

let network: MemoryNetwork;
let nowMs: number;
let servers: Server[];

/** A server whose clock is `aheadMs` ahead of the test's; not started: `exchange.start()` does. */
function makeServer(name: string, aheadMs = 0): Server {
  const metrics = new MetricsRegistry();
  const warnings: string[] = [];
  const now = () => nowMs + aheadMs;
  const rooms = new RoomRegistry({
    avatars: { get: (id) => ({ id, name: id, model: 'warp', builtIn: true, createdAt: '' }) },
    codecs: ['jpeg'],
    sizes: [128],
    fanOut: { handleDrain() {}, forgetStream() {}, forgetPeer() {} },
    metrics,
    idPrefix: `${name}-`,
    maxParticipants: 3,
    now,
  });
  const bus = network.connect();
  const warn = (message: string) => warnings.push(message);
  const exchange = new RoomExchange({ bus, rooms: rooms.directory, server: name, cluster: 'test', metrics, warn, now });
  const server = { name, bus, rooms, exchange, metrics, warnings };
  servers.push(server);
  return server;
}

function startServer(name: string, aheadMs = 0): Server {
  const server = makeServer(name, aheadMs);
  server.exchange.start();
  return server;
}

function join({ rooms }: Server, name: string, more: Partial<Extract<ClientControl, { type: 'join' }>> = {}) {
  const peer = new RecordingPeer(name);
  const base = { type: 'join', version: PROTOCOL_VERSION, room: 'lobby', role: 'player', avatar: 'ada' } as const;
  rooms.handleControl(peer, { ...base, name, codecs: ['jpeg'], ...more });
  return peer;
}

const namesIn = ({ rooms }: Server, room = 'lobby') => rooms.roster(room).map(({ name }) => name);
const motionsOf = ({ bus }: Server) => bus.published.filter(({ subject }) => subject.startsWith('test.motion.'));

/** Time passes, and with it the servers' timers. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    nowMs += Math.min(100, left);
    await vi.advanceTimersByTimeAsync(Math.min(100, left));
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  network = new MemoryNetwork();
  nowMs = 10_000;
  servers = [];
});

afterEach(() => {
  for (const { exchange } of servers) exchange.close();
  vi.useRealTimers();
});

describe('rooms of several servers', () => {
  it('have the same people on all of them, and each hears of the others', () => {
    const [a, b] = [startServer('a'), startServer('b')];
    const ada = join(a, 'Ada');
    const ben = join(b, 'Ben');
    expect(ben.last('welcome').participants).toEqual([
      { id: 'a-p1', name: 'Ada', role: 'player', bot: false, avatar: 'ada' },
    ]);
    expect(namesIn(a)).toEqual(['Ada', 'Ben']);
    a.rooms.handleControl(ada, { type: 'setAvatar', avatar: 'cleo' });
    a.rooms.handleControl(ada, { type: 'leave' });
    expect(newsOf(ada)).toEqual(['+Ben']);
    expect(newsOf(ben)).toEqual(['Ada=cleo', '-a-p1']);
    expect(namesIn(a)).toEqual(['Ben']);
    expect(a.rooms.snapshot()).toMatchObject({ participants: 0, elsewhere: 1 });
  });

  it('are told to a server that comes later, and end when the last one in them leaves', () => {
    const a = startServer('a');
    join(a, 'Ada', { room: 'north. >*' });
    const ben = join(a, 'Ben', { role: 'viewer' });
    const c = startServer('c');
    expect(c.rooms.list().map(({ name }) => name)).toEqual(['north. >*', 'lobby']);
    expect(c.rooms.roster('lobby')).toEqual([{ id: 'a-p2', name: 'Ben', role: 'viewer', bot: false }]);
    a.rooms.handleClose(ben);
    expect(c.rooms.list().map(({ name }) => name)).toEqual(['north. >*']);
  });

  it('hold as many people as one server’s', () => {
    const [a, b] = [startServer('a'), startServer('b')];
    for (const name of ['Ada', 'Ben', 'Cyd']) join(a, name);
    expect(() => join(b, 'Dan')).toThrow(expect.objectContaining({ code: 'room_full' }) as Error);
  });

  it('end the streams of those who leave elsewhere', () => {
    const [a, b] = [startServer('a'), startServer('b')];
    const ada = join(a, 'Ada');
    const ben = join(b, 'Ben');
    b.rooms.handleControl(ben, {
      type: 'subscribe',
      request: 1,
      participant: 'a-p1',
      size: 128,
      framesPerSecond: 10,
      view: { yaw: 0, pitch: 0 },
    });
    expect(b.rooms.snapshot().streams).toBe(1);
    a.rooms.handleClose(ada);
    expect(newsOf(ben)).toEqual(['ended', '-a-p1']);
    expect(b.rooms.snapshot().streams).toBe(0);
  });

  it('are told in parts when they are many, however long their names are', () => {
    const a = makeServer('a');
    for (let room = 0; room < 2500; room++) {
      const name = String(room).padEnd(64, '🎭');
      a.rooms.addLocalParticipant({ room: name, name, avatar: 'ada', bot: true });
    }
    a.exchange.start();
    const b = startServer('b');
    expect(b.rooms.snapshot()).toMatchObject({ rooms: 2500, elsewhere: 2500 });
    expect(Math.max(...a.bus.published.map(({ bytes }) => bytes))).toBeLessThan(70_000);
  });
});

describe('a server that goes', () => {
  it('takes its people with it at once when it says so', () => {
    const [a, b] = [startServer('a'), startServer('b')];
    join(a, 'Ada');
    const ben = join(b, 'Ben');
    a.exchange.close();
    expect(newsOf(ben)).toEqual(['-a-p1']);
    expect(b.exchange.others).toBe(0);
  });

  it('does so after a silence when it cannot', async () => {
    const [a, b] = [startServer('a'), startServer('b')];
    join(a, 'Ada');
    const ben = join(b, 'Ben');
    a.bus.cut();
    await pass(GONE_MS - 1000);
    expect(namesIn(b)).toEqual(['Ada', 'Ben']);
    await pass(2200);
    expect(newsOf(ben)).toEqual(['-a-p1']);
    expect(namesIn(a)).toEqual(['Ada']);
  });

  it('is whole again when its connection is back, whatever happened meanwhile', async () => {
    const [a, b] = [startServer('a'), startServer('b')];
    const ada = join(a, 'Ada');
    join(b, 'Ben');
    a.bus.cut();
    a.rooms.handleClose(ada);
    join(a, 'Cyd');
    await pass(500);
    expect(namesIn(b)).toEqual(['Ada', 'Ben']);
    a.bus.mend();
    await pass(500);
    expect(namesIn(b).sort()).toEqual(['Ben', 'Cyd']);
    expect(namesIn(a).sort()).toEqual(['Ben', 'Cyd']);
  });

  it('is asked for what was missed even if nobody noticed that a message was lost', async () => {
    const [a, b] = [startServer('a'), startServer('b')];
    join(a, 'Ada');
    b.bus.connected = false;
    join(a, 'Ben');
    b.bus.connected = true;
    expect(namesIn(b)).toEqual(['Ada']);
    await pass(1500);
    expect(namesIn(b)).toEqual(['Ada', 'Ben']);
  });

  it('is not given up by one that itself stood still', async () => {
    const [a, b] = [startServer('a'), startServer('b')];
    join(a, 'Ada');
    const ben = join(b, 'Ben');
    nowMs += 3 * GONE_MS;
    await pass(1500);
    expect(newsOf(ben)).toEqual([]);
  });
});

describe('motion', () => {
  const sample = (sequence: number, timeMs: number, yaw = 0.3) => {
    const motion = neutralMotion();
    motion.pose.yaw = yaw;
    return { motion, sequence, timeMs };
  };
  const watchedAt = ({ rooms }: Server, peer: RecordingPeer, participant: string) => {
    const request = { type: 'subscribe', request: 1, participant, size: 128, framesPerSecond: 10 } as const;
    rooms.handleControl(peer, { ...request, view: { yaw: 0, pitch: 0 } });
    return [...rooms.streams()].find((stream) => stream.participant.id === participant)!.participant;
  };

  it('goes where people are, dated by the clock there', async () => {
    const [a, b] = [startServer('a'), startServer('b', 70_123)];
    const ada = join(a, 'Ada');
    const ben = join(b, 'Ben', { role: 'viewer' });
    const participant = watchedAt(b, ben, 'a-p1');
    a.rooms.handleMotion(ada, encodeMotion(sample(7, 9_990)));
    await pass(1);
    const { motion, sequence, timeMs } = participant.latest!;
    expect(motion.pose.yaw).toBeCloseTo(0.3, 3);
    expect(sequence).toBe(7);
    // 10 ms old when it was sent, and one millisecond later when it came; b's clock says 80,124 then.
    expect(wrappedDifference(80_124 & 0xffff, timeMs)).toBe(11);
    expect(b.metrics.snapshot().counters).toMatchObject({ motion_packets_total: 1 });
  });

  it('of one turn of the event loop goes in one message, the newest of each', async () => {
    const [a, b] = [startServer('a'), startServer('b')];
    const [ada, cyd] = [join(a, 'Ada'), join(a, 'Cyd')];
    const ben = join(b, 'Ben', { role: 'viewer' });
    const participant = watchedAt(b, ben, 'a-p1');
    a.rooms.handleMotion(ada, encodeMotion(sample(1, 0, 0.1)));
    a.rooms.handleMotion(ada, encodeMotion(sample(2, 33, 0.2)));
    a.rooms.handleMotion(cyd, encodeMotion(sample(1, 0)));
    await pass(1);
    expect(motionsOf(a)).toHaveLength(1);
    expect(motionsOf(a)[0]!.bytes).toBeLessThan(240);
    expect(participant.latest!.sequence).toBe(2);
  });

  it('stays at home as long as only bots are elsewhere, and nobody reads it without people', async () => {
    const [a, b] = [startServer('a'), startServer('b')];
    const ada = join(a, 'Ada');
    b.rooms.addLocalParticipant({ room: 'lobby', name: 'Bot', avatar: 'ada', bot: true });
    a.rooms.handleMotion(ada, encodeMotion(sample(1, 0)));
    await pass(1);
    expect(motionsOf(a)).toEqual([]);
    expect(b.bus.subjects).toEqual(['test.servers']);
    const ben = join(b, 'Ben');
    expect(b.bus.subjects).toHaveLength(2);
    b.rooms.handleClose(ben);
    expect(b.bus.subjects).toEqual(['test.servers']);
  });

  it('goes on after a pause in which half of all sequence numbers went by unread', async () => {
    const [a, b] = [startServer('a'), startServer('b')];
    const ada = join(a, 'Ada');
    const ben = join(b, 'Ben');
    a.rooms.handleMotion(ada, encodeMotion(sample(7, 0)));
    await pass(1);
    b.rooms.handleClose(ben);
    for (let sequence = 8; sequence < 40_000; sequence++) a.rooms.handleMotion(ada, encodeMotion(sample(sequence, 0)));
    await pass(1);
    const cyd = join(b, 'Cyd');
    const participant = watchedAt(b, cyd, 'a-p1');
    a.rooms.handleMotion(ada, encodeMotion(sample(40_000, 50, 0.1)));
    await pass(1);
    expect(participant.latest!.sequence).toBe(40_000);
  });

  it('of nobody known, or in another’s name, is dropped', async () => {
    const [a, b] = [startServer('a'), startServer('b')];
    join(a, 'Ada');
    const ben = join(b, 'Ben');
    const own = watchedAt(b, ben, 'b-p1');
    const motions = ['b-p1', 'a-p9'].map((id) => [id, encodeMotion(sample(1, 0))] as const);
    const subject = `test.motion.${Buffer.from('lobby').toString('base64url')}`;
    a.bus.publish(subject, encodeMessage({ server: 'a', room: 'lobby', sentAtMs: nowMs, motions }));
    a.bus.publish(subject, encodeMessage({ server: 'x', room: 'lobby', sentAtMs: nowMs, motions }));
    expect(own.latest).toBeUndefined();
  });
});

describe('what cannot be read', () => {
  it.each([
    ['no MessagePack', Uint8Array.of(0xc1)],
    ['another type', new Packr().pack({ type: 'evil', server: 'a' })],
    ['a roster without a room', new Packr().pack({ type: 'roster', server: 'a', sequence: 1, participants: [] })],
    [
      'a participant without a role',
      new Packr().pack({
        type: 'roster',
        server: 'a',
        sequence: 1,
        room: 'lobby',
        participants: [{ id: 'x', name: 'X', bot: false }],
      }),
    ],
  ])('is counted and reported once a minute: %s', (_, data) => {
    const [a, b] = [startServer('a'), startServer('b')];
    join(a, 'Ada');
    for (let i = 0; i < 3; i++) a.bus.publish('test.servers', data);
    expect(b.metrics.snapshot().counters.cluster_messages_malformed_total).toBe(3);
    expect(b.warnings).toHaveLength(1);
    expect(b.warnings[0]).toContain('same release');
    expect(namesIn(b)).toEqual(['Ada']);
  });

  it('is a motion that is none, and the server goes on', async () => {
    const [a, b] = [startServer('a'), startServer('b')];
    join(a, 'Ada');
    join(b, 'Ben');
    const subject = `test.motion.${Buffer.from('lobby').toString('base64url')}`;
    const motions = [['a-p1', Uint8Array.of(1, 2)]] as const;
    a.bus.publish(subject, encodeMessage({ server: 'a', room: 'lobby', sentAtMs: 1, motions }));
    expect(b.metrics.snapshot().counters.cluster_messages_malformed_total).toBe(1);
  });

  it('half of everything changes nothing', () => {
    const b = startServer('b');
    const stranger = network.connect();
    const rosters = [['lobby', [{ id: 's-p1', name: 'Sue', role: 'player', bot: false, avatar: 'ada' }]]] as const;
    const part = (number: number, sequence: number) => {
      const message: ServerMessage = { type: 'rosters', server: 's', sequence, part: number, parts: 2, rosters };
      stranger.publish('test.servers', encodeMessage(message));
    };
    part(0, 1);
    part(1, 2);
    part(1, 1);
    expect(namesIn(b)).toEqual([]);
    part(0, 3);
    part(1, 3);
    expect(namesIn(b)).toEqual(['Sue']);
  });
});

describe('bots', () => {
  it('are filled in by one server, and by the next when that goes; they move for people elsewhere', async () => {
    const withBots = (server: Server) => {
      const bots = new HouseBots({
        registry: server.rooms,
        room: 'lobby',
        seats: 3,
        avatars: () => [{ id: 'ada', name: `Bot of ${server.name}` }],
        mayFill: () => server.exchange.isFirst,
        now: () => nowMs,
      });
      bots.start();
      server.exchange.onServersChanged(() => bots.refresh());
      return bots;
    };
    const [b, a] = [startServer('b'), startServer('a')];
    const [botsOfB, botsOfA] = [withBots(b), withBots(a)];
    expect(namesIn(b)).toEqual(['Bot of a', 'Bot of a', 'Bot of a']);
    join(b, 'Ben');
    expect(namesIn(a).sort()).toEqual(['Ben', 'Bot of a', 'Bot of a']);
    await pass(200);
    expect(b.metrics.snapshot().counters.motion_packets_total).toBeGreaterThan(5);
    botsOfA.close();
    a.exchange.close();
    expect(namesIn(b).sort()).toEqual(['Ben', 'Bot of b', 'Bot of b']);
    botsOfB.close();
  });
});

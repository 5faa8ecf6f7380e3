import { FacewireError, neutralMotion, wrappedDifference } from '@facewire/proto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { AvatarClient } from './AvatarClient.ts';
import type { AvatarClientOptions } from './AvatarClientOptions.ts';
import type { AvatarFrame } from './AvatarStream.ts';
import { FakeServer, until } from './testing/FakeServer.ts';
import { WebSocketTransport } from './transport/WebSocketTransport.ts';

let server: FakeServer;
const clients: AvatarClient[] = [];

function makeClient(options: Partial<AvatarClientOptions> = {}): AvatarClient {
  const client = new AvatarClient({
    url: server.url,
    room: 'lobby',
    role: 'viewer',
    name: 'Vera',
    codecs: ['vp8', 'jpeg'],
    motionFormat: 'fixed',
    reconnect: { firstDelayMs: 20, maxDelayMs: 50 },
    WebSocket,
    ...options,
  });
  clients.push(client);
  return client;
}

const makePlayer = (options: Partial<AvatarClientOptions> = {}) =>
  makeClient({ role: 'player', avatar: 'ada', ...options });

beforeEach(async () => {
  server = await FakeServer.listen();
});

afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const client of clients.splice(0)) client.close();
  await server.close();
});

describe('joining', () => {
  it('tells the server who joins and tells the application who is there', async () => {
    const client = makeClient();
    const joined: string[] = [];
    client.on('participantJoined', ({ name }) => joined.push(name));
    const session = await client.connect();
    expect(server.heard('join')[0]).toMatchObject({
      room: 'lobby',
      role: 'viewer',
      name: 'Vera',
      codecs: ['vp8', 'jpeg'],
    });
    expect(session).toMatchObject({ participant: 'me', codec: 'jpeg', sizes: [128, 256, 512] });
    expect(joined).toEqual(['Ada', 'Ben']);
  });

  it('follows participants who come, change and leave', async () => {
    const client = makeClient();
    const seen: string[] = [];
    client.on('participantJoined', ({ name }) => seen.push(`+${name}`));
    client.on('participantUpdated', ({ name, avatar }) => seen.push(`${name}=${avatar}`));
    client.on('participantLeft', ({ name }) => seen.push(`-${name}`));
    await client.connect();
    const cleo = { id: 'p3', name: 'Cleo', role: 'player', avatar: 'cleo', bot: false } as const;
    server.send({ type: 'participantJoined', participant: cleo });
    server.send({ type: 'participantUpdated', participant: { ...cleo, avatar: 'ada' } });
    server.send({ type: 'participantLeft', participant: 'p3' });
    await until(() => seen.length === 5, 'the roster and three events');
    expect(seen.slice(2)).toEqual(['+Cleo', 'Cleo=ada', '-Cleo']);
    expect([...client.participants.keys()]).toEqual(['p1', 'p2']);
  });

  it('rejects with the error that the server gave', async () => {
    server.refusal = { type: 'error', code: 'avatar_unknown', message: 'no such avatar', remedy: 'GET /api/avatars' };
    const client = makePlayer();
    await expect(client.connect()).rejects.toMatchObject({ code: 'avatar_unknown', remedy: 'GET /api/avatars' });
    expect(client.state).toBe('idle');
    server.refusal = undefined;
    await client.connect();
    expect(client.state, 'a second attempt is welcome').toBe('open');
  });

  it('rejects with connection_failed when nobody listens', async () => {
    const { url } = server;
    await server.close();
    await expect(makeClient({ url }).connect()).rejects.toMatchObject({ code: 'connection_failed' });
  });

  it('rejects at once when it is closed while it connects', async () => {
    const client = makeClient();
    const connecting = client.connect();
    client.close();
    await expect(connecting).rejects.toBeInstanceOf(FacewireError);
  });

  it('takes the address of the page’s server as it is', async () => {
    const client = makeClient({ url: server.url.replace('ws:', 'http:') });
    await client.connect();
    expect(client.state).toBe('open');
    expect(() => makeClient({ url: 'localhost:8080' })).toThrow(/expected an address such as ws:/);
  });

  it('calls a listener that is asked for once no second time', async () => {
    const client = makeClient();
    let calls = 0;
    client.once('participantJoined', () => calls++);
    client.once('open', () => calls++)();
    await client.connect();
    expect(calls).toBe(1);
  });

  it('refuses options that contradict each other', () => {
    expect(() => makeClient({ transport: () => undefined as never })).toThrow(TypeError);
    expect(() => makeClient({ role: 'player' })).toThrow(TypeError);
    expect(() => makeClient({ motionRate: 0 })).toThrow(RangeError);
  });

  it('closes twice without harm, says so once and leaves the room', async () => {
    const client = makeClient();
    await client.connect();
    const reasons: string[] = [];
    client.on('close', (reason) => reasons.push(reason));
    client.close();
    client.close();
    expect(reasons).toEqual(['closed by this client']);
    await until(() => server.connections === 0, 'the connection to end');
    expect(server.heard('leave')).toHaveLength(1);
    expect(() => client.subscribe('p1', { size: 256, framesPerSecond: 30 })).toThrow(FacewireError);
  });
});

describe('streams', () => {
  it('hands over frames with the latency of the motion they show', async () => {
    // Time stands still, so that the clocks agree: by a round trip alone they do to half of it.
    vi.spyOn(performance, 'now').mockReturnValue(performance.now());
    const client = makeClient();
    await client.connect();
    await until(() => client.stats.roundTripMs !== undefined, 'a pong');
    const stream = client.subscribe('p1', { size: 256, framesPerSecond: 30, view: { yaw: 0.1, pitch: 0 } });
    const frames: AvatarFrame[] = [];
    stream.on('frame', (frame) => frames.push(frame));
    await until(() => stream.id !== undefined, 'the subscription');
    expect(server.heard('subscribe')[0]).toMatchObject({ participant: 'p1', size: 256, view: { yaw: 0.1, pitch: 0 } });
    const motionTimeMs = Math.floor(server.now() - 80) & 0xffff;
    server.sendFrame({ stream: stream.id!, motionSequence: 7, motionTimeMs });
    server.sendFrame({ stream: stream.id!, motionSequence: 7, motionTimeMs });
    await until(() => frames.length === 2, 'two frames');
    expect(Math.abs(frames[0]!.latencyMs! - 80)).toBeLessThanOrEqual(1);
    expect(frames[1]!.latencyMs, 'the same motion again says nothing about the way').toBeUndefined();
    expect(frames[0]!.payload).toHaveLength(500);
    expect(stream.stats).toMatchObject({ received: 2, size: 256, dropped: 0 });
    expect(stream.stats.bitrate).toBeGreaterThan(0);
  });

  it('gathers changes of view, size and rate into few messages, the newest winning', async () => {
    const client = makeClient();
    await client.connect();
    const stream = client.subscribe('p1', { size: 256, framesPerSecond: 30 });
    await until(() => stream.id !== undefined, 'the subscription');
    for (let step = 1; step <= 50; step++) stream.setView({ yaw: step / 100, pitch: 0 });
    stream.setSize(512);
    stream.setRate(15);
    await until(() => server.heard('update').some((each) => each.view?.yaw === 0.5), 'the last view');
    expect(server.heard('update').length).toBeLessThanOrEqual(3);
    expect(server.heard('update').at(-1)).toMatchObject({
      size: 512,
      framesPerSecond: 15,
      view: { yaw: 0.5, pitch: 0 },
    });
  });

  it('throws at once for a view, size or rate that makes no sense', async () => {
    const client = makeClient();
    await client.connect();
    const stream = client.subscribe('p1', { size: 256, framesPerSecond: 30 });
    expect(() => stream.setView({ yaw: Number.NaN, pitch: 0 })).toThrow(RangeError);
    for (const size of [1.5, 15, 1025]) expect(() => stream.setSize(size), `${size}`).toThrow(RangeError);
    expect(() => client.subscribe('p1', { size: 2048, framesPerSecond: 30 })).toThrow(RangeError);
    expect(client.streams, 'what was refused is no stream').toEqual([stream]);
    expect(() => stream.setRate(0.5)).toThrow(RangeError);
  });

  it('asks for the widest view that servers take when a wider one is wanted', async () => {
    const client = makeClient();
    await client.connect();
    const stream = client.subscribe('p1', { size: 256, framesPerSecond: 30, view: { yaw: 2, pitch: -3 } });
    await until(() => stream.id !== undefined, 'the subscription');
    expect(server.heard('subscribe')[0]!.view).toEqual({ yaw: Math.PI / 2, pitch: -Math.PI / 2 });
    stream.setView({ yaw: 0, pitch: 0 });
    stream.setView({ yaw: -9, pitch: 0 });
    await until(() => server.heard('update').some((each) => each.view?.yaw === -Math.PI / 2), 'the last view');
  });

  it('gives a refused subscription its own error and no other stream', async () => {
    const client = makeClient();
    await client.connect();
    const errors: string[] = [];
    client.on('error', (error) => errors.push(`client ${error.code}`));
    const ghost = client.subscribe('nobody', { size: 256, framesPerSecond: 30 });
    const other = client.subscribe('p1', { size: 256, framesPerSecond: 30 });
    ghost.on('error', (error) => errors.push(`stream ${error.code}`));
    await until(() => other.id !== undefined && ghost.closed, 'both answers');
    expect(errors).toEqual(['stream participant_unknown']);
    expect(client.streams).toEqual([other]);
  });

  it('is refused in the same way when it was asked for before the connection', async () => {
    const client = makeClient();
    const ghost = client.subscribe('nobody', { size: 256, framesPerSecond: 30 });
    const heard: string[] = [];
    ghost.on('error', ({ code }) => heard.push(code));
    ghost.on('ended', (reason) => heard.push(reason));
    await client.connect();
    await until(() => ghost.closed, 'the refusal');
    expect(heard).toEqual(['participant_unknown', 'no nobody here']);
  });

  it('ends when its participant leaves, and unsubscribes when it is closed', async () => {
    const client = makeClient();
    await client.connect();
    const first = client.subscribe('p1', { size: 256, framesPerSecond: 30 });
    const second = client.subscribe('p2', { size: 256, framesPerSecond: 30 });
    const ended: string[] = [];
    first.on('ended', (reason) => ended.push(reason));
    await until(() => first.id !== undefined && second.id !== undefined, 'both subscriptions');
    server.send({ type: 'ended', stream: first.id! });
    await until(() => first.closed, 'the end');
    expect(ended).toEqual(['the participant left']);
    const id = second.id!;
    second.close();
    second.close();
    await until(() => server.heard('unsubscribe').length > 0, 'unsubscribe');
    expect(server.heard('unsubscribe')).toEqual([{ type: 'unsubscribe', stream: id }]);
  });

  it('unsubscribes a stream that was closed before the server granted it', async () => {
    const client = makeClient();
    await client.connect();
    client.subscribe('p1', { size: 256, framesPerSecond: 30 }).close();
    await until(() => server.heard('unsubscribe').length === 1, 'unsubscribe');
  });

  it('survives messages that nobody can read', async () => {
    const client = makeClient();
    await client.connect();
    const codes: string[] = [];
    client.on('error', (error) => codes.push(error.code));
    server.sendRaw('text');
    server.sendRaw(new Uint8Array([0x10, 1, 2]));
    server.sendRaw(new Uint8Array([0x00, 0xc1]));
    await until(() => codes.length === 3, 'three errors');
    expect(client.state).toBe('open');
    expect(codes[1]).toBe('packet_truncated');
  });
});

describe('publishing', () => {
  /** of the newest motion at the server, ms; negative: from the future */
  const ageMs = () => wrappedDifference(Math.floor(server.now()) & 0xffff, server.motions.at(-1)!.timeMs);

  it('sends the newest motion, numbered, and dated by the server’s clock', async () => {
    const client = makePlayer({ motionRate: 50 });
    await client.connect();
    await until(() => client.stats.roundTripMs !== undefined, 'a pong');
    // That is how well the client knows the server's clock from now on.
    const errorMs = client.stats.roundTripMs! / 2 + 1;
    const timer = setInterval(() => {
      for (let count = 0; count < 2; count++) client.publishMotion(neutralMotion());
    }, 2);
    await until(() => server.motions.length >= 5, 'five motions');
    clearInterval(timer);
    const [first, second] = server.motions;
    expect(second!.sequence).toBe((first!.sequence + 1) & 0xffff);
    expect(ageMs()).toBeGreaterThanOrEqual(-errorMs);
    expect(ageMs()).toBeLessThan(10_000);
    expect(client.stats.published.replaced).toBeGreaterThan(0);
    expect(client.stats.published.lastPacketBytes).toBe(70);
  });

  it('never exceeds its rate', async () => {
    const client = makePlayer({ motionRate: 20 });
    await client.connect();
    const startedAt = performance.now();
    const timer = setInterval(() => client.publishMotion(neutralMotion()), 1);
    const packets = () => client.stats.published.packets;
    await until(() => performance.now() - startedAt > 400 && packets() > 2, 'time and packets to pass');
    clearInterval(timer);
    const seconds = (performance.now() - startedAt) / 1000;
    expect(packets()).toBeLessThanOrEqual(Math.ceil(seconds * 20) + 1);
  });

  it('keeps the newest motion while the connection is being made', async () => {
    const client = makePlayer();
    for (const jaw of [0.2, 0.8]) {
      const motion = neutralMotion();
      motion.expression[17] = jaw;
      client.publishMotion(motion);
    }
    await client.connect();
    await until(() => server.motions.length > 0, 'a motion');
    expect(server.motions[0]!.motion.expression[17]).toBeCloseTo(0.8, 2);
  });

  it('refuses at once what is no motion, and goes on with the next that is one', async () => {
    const client = makePlayer({ motionFormat: 'compact' });
    await client.connect();
    const broken = neutralMotion();
    broken.pose.yaw = Number.NaN;
    const short = { ...neutralMotion(), expression: new Float32Array(51) };
    const keypoints = [4, 0, 3 * 129].map((length) => ({ ...neutralMotion(), keypoints: new Float32Array(length) }));
    for (const motion of [broken, short, ...keypoints]) {
      expect(() => client.publishMotion(motion)).toThrow(
        expect.objectContaining({ code: 'packet_bad_value' }) as Error,
      );
    }
    client.publishMotion(neutralMotion());
    await until(() => server.motions.length === 1, 'the good motion');
  });

  it('keeps the avatar it had when the server does not know the new one', async () => {
    const client = makePlayer();
    const codes: string[] = [];
    client.on('error', ({ code }) => codes.push(code));
    await client.connect();
    server.unknownAvatars.add('nobody');
    client.setAvatar('nobody');
    await until(() => codes.length === 1, 'the refusal');
    expect(codes).toEqual(['avatar_unknown']);
    server.cut();
    await until(() => server.heard('join').length === 2, 'the second join');
    expect(server.heard('join')[1]!.avatar).toBe('ada');
  });

  it('dates what was handed in before the join by the clock of the server that it then joins', async () => {
    const client = makePlayer();
    client.publishMotion(neutralMotion());
    await client.connect();
    await until(() => server.motions.length === 1, 'the first motion');
    expect(ageMs()).toBeGreaterThanOrEqual(-10);
    expect(ageMs()).toBeLessThan(10_000);
    server.cut();
    server.clockOffsetMs += 20_000; // another server, or the same one started anew
    await until(() => client.state === 'reconnecting', 'the loss');
    client.publishMotion(neutralMotion());
    await until(() => server.motions.length === 2, 'the second motion');
    expect(ageMs()).toBeGreaterThanOrEqual(-10);
    expect(ageMs()).toBeLessThan(10_000);
  });

  it('dates what waited very long as old, not as of the future', async () => {
    let passedMs = 0;
    const realNow = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => realNow() + passedMs);
    const client = makePlayer();
    client.publishMotion(neutralMotion());
    passedMs = 50_000;
    await client.connect();
    await until(() => server.motions.length === 1, 'the motion');
    expect(ageMs()).toBeGreaterThan(29_000);
  });

  it('sends a motion as it was when it was handed in, whatever becomes of its arrays', async () => {
    const client = makePlayer({ motionRate: 20 });
    await client.connect();
    const motion = { ...neutralMotion(), keypoints: new Float32Array(3) };
    client.publishMotion(motion);
    motion.pose.yaw = 0.5;
    motion.expression[17] = 0.8;
    motion.keypoints[2] = 1;
    client.publishMotion(motion); // waits for its turn
    motion.pose.yaw = Number.NaN;
    motion.expression.fill(Number.NaN);
    motion.keypoints.fill(Number.NaN);
    await until(() => server.motions.length === 2, 'both motions');
    const [first, second] = server.motions.map((each) => each.motion);
    expect([first!.pose.yaw, first!.expression[17], first!.keypoints![2]]).toEqual([0, 0, 0]);
    expect(second!.pose.yaw).toBeCloseTo(0.5, 3);
    expect(second!.expression[17]).toBeCloseTo(0.8, 2);
    expect([...second!.keypoints!]).toEqual([0, 0, 1]);
    client.publishMotion(neutralMotion());
    await until(() => server.motions.length === 3, 'a motion without keypoints');
    expect(server.motions[2]!.motion.keypoints).toBeUndefined();
  });

  it.each([
    ['an unknown one and then a good one', ['nope', 'ben'], 'ben'],
    ['two unknown ones', ['nope', 'nada'], 'ada'],
    ['a good one and then an unknown one', ['ben', 'nope'], 'ben'],
    ['a good one, an unknown one and another good one', ['ben', 'nope', 'cleo'], 'cleo'],
  ])('drives the last avatar that the server knows after %s', async (_, wanted, expected) => {
    const client = makePlayer();
    server.unknownAvatars.add('nope').add('nada');
    await client.connect();
    let refused = 0;
    client.on('error', () => refused++);
    for (const avatar of wanted) client.setAvatar(avatar);
    await until(() => refused === wanted.filter((each) => each.startsWith('n')).length, 'the refusals');
    server.cut();
    await until(() => server.heard('join').length === 2, 'the second join');
    expect(server.heard('join')[1]!.avatar).toBe(expected);
  });

  it('comes back with the avatar it had when the one wanted meanwhile is unknown', async () => {
    const client = makePlayer();
    const codes: string[] = [];
    client.on('error', ({ code }) => codes.push(code));
    await client.connect();
    const pongs = vi.spyOn(client.clock, 'handlePong');
    const askedAtMs = client.clock.now();
    client.setAvatar('ben');
    await until(() => pongs.mock.calls.some(([pingedAtMs]) => pingedAtMs > askedAtMs), 'the answer to a later ping');
    server.unknownAvatars.add('nope');
    server.cut();
    await until(() => client.state === 'reconnecting', 'the loss');
    client.setAvatar('nope');
    await until(() => client.state === 'open', 'the connection');
    expect(server.heard('join').map(({ avatar }) => avatar)).toEqual(['ada', 'nope', 'ben']);
    expect(codes).toEqual(['avatar_unknown']);
  });

  it('sends the last avatar again when the server dropped a change that came too soon', async () => {
    const client = makePlayer();
    const codes: string[] = [];
    client.on('error', ({ code }) => codes.push(code));
    await client.connect();
    for (const avatar of ['ben', 'cleo']) client.setAvatar(avatar);
    const dropped = { type: 'error', code: 'rate_limited', message: 'too many', received: 'setAvatar' } as const;
    server.send(dropped);
    server.send(dropped);
    await until(() => server.heard('setAvatar').length === 3, 'the change once more');
    expect(server.heard('setAvatar').map(({ avatar }) => avatar)).toEqual(['ben', 'cleo', 'cleo']);
    expect(codes).toEqual(['rate_limited', 'rate_limited']);
  });

  it('asks for an avatar that was wanted while the join was under way', async () => {
    const client = makePlayer();
    const connecting = client.connect();
    await until(() => server.heard('join').length === 1, 'the join');
    client.setAvatar('ben');
    await connecting;
    await until(() => server.heard('setAvatar').length === 1, 'the change');
    expect(server.heard('setAvatar')[0]!.avatar).toBe('ben');
    expect(() => client.setAvatar('')).toThrow(expect.objectContaining({ code: 'message_malformed' }) as Error);
  });

  it('is refused to viewers', () => {
    expect(() => makeClient().publishMotion(neutralMotion())).toThrow(
      expect.objectContaining({ code: 'role_forbidden' }) as Error,
    );
  });
});

describe('a lost connection', () => {
  it('is restored with its streams and its face', async () => {
    const client = makePlayer();
    const events: string[] = [];
    client.on('reconnecting', (attempt) => events.push(`reconnecting ${attempt}`));
    client.on('open', () => events.push('open'));
    await client.connect();
    const stream = client.subscribe('p2', { size: 128, framesPerSecond: 10 });
    stream.setView({ yaw: 0.4, pitch: 0 });
    client.publishMotion(neutralMotion());
    await until(() => stream.id !== undefined && server.motions.length === 1, 'the first session');
    server.cut();
    await until(() => server.heard('subscribe').length === 2 && server.motions.length === 2, 'the second session');
    expect(events).toEqual(['open', 'reconnecting 1', 'open']);
    expect(server.heard('subscribe')[1]).toMatchObject({ participant: 'p2', size: 128, view: { yaw: 0.4, pitch: 0 } });
    expect(server.motions[1]!.sequence).toBe(server.motions[0]!.sequence + 1);
    let frames = 0;
    stream.on('frame', () => frames++);
    await until(() => stream.id !== undefined, 'the new stream number');
    server.sendFrame({ stream: stream.id! });
    await until(() => frames === 1, 'a frame on the restored stream');
  });

  it('ends the streams of those who left meanwhile and tells who changed and who is new', async () => {
    server.participants.push({ id: 'p3', name: 'Cora', role: 'player', avatar: 'ada', bot: false });
    const client = makeClient();
    await client.connect();
    const stream = client.subscribe('p1', { size: 128, framesPerSecond: 10 });
    await until(() => stream.id !== undefined, 'the grant');
    const events: string[] = [];
    stream.on('ended', (reason) => events.push(reason));
    client.on('participantJoined', ({ name }) => events.push(`+${name}`));
    client.on('participantLeft', ({ name }) => events.push(`-${name}`));
    client.on('participantUpdated', ({ name, avatar }) => events.push(`${name}=${avatar}`));
    server.participants = [
      { ...server.participants[1]!, avatar: 'cleo' },
      { ...server.participants[2]! },
      { id: 'p9', name: 'Zoe', role: 'player', avatar: 'zoe', bot: false },
    ];
    server.cut();
    await until(() => events.length === 4, 'the difference');
    expect(events).toEqual(['the participant left while the connection was lost', '-Ada', 'Ben=cleo', '+Zoe']);
    expect(client.participants.get('p2')!.avatar).toBe('cleo');
    expect(stream.closed).toBe(true);
  });

  it('asks again for a stream that was not granted yet, and tells what the server says of it', async () => {
    const client = makeClient();
    await client.connect();
    const stream = client.subscribe('p1', { size: 128, framesPerSecond: 10 });
    const codes: string[] = [];
    stream.on('error', ({ code }) => codes.push(code));
    server.participants = server.participants.slice(1);
    server.cut();
    await until(() => stream.closed, 'the refusal');
    expect(codes).toEqual(['participant_unknown']);
  });

  it('is awaited longer each time when connections break as soon as they are made', async () => {
    const client = makeClient({ reconnect: { firstDelayMs: 10, maxDelayMs: 1_000 } });
    const attempts: number[] = [];
    client.on('reconnecting', (attempt) => attempts.push(attempt));
    client.on('open', () => setTimeout(() => server.cut(), 5));
    await client.connect();
    await until(() => attempts.length === 4, 'four losses');
    expect(attempts).toEqual([1, 2, 3, 4]);
  });

  it('is awaited shortly when it held for some seconds', async () => {
    let passedMs = 0;
    const realNow = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => realNow() + passedMs);
    const client = makeClient({ reconnect: { firstDelayMs: 10, maxDelayMs: 1_000 } });
    const attempts: number[] = [];
    client.on('reconnecting', (attempt) => attempts.push(attempt));
    await client.connect();
    for (const heldMs of [0, 0, 5_000, 0]) {
      await until(() => client.state === 'open', 'the connection');
      passedMs += heldMs;
      server.cut();
      await until(() => client.state === 'reconnecting', 'the loss');
    }
    expect(attempts).toEqual([1, 2, 1, 2]);
  });

  it('is noticed when the server goes silent without closing it', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const sent = vi.spyOn(WebSocketTransport.prototype, 'sendControl');
    const pings = () => sent.mock.calls.filter(([{ type }]) => type === 'ping');
    const client = makeClient();
    const pongs = vi.spyOn(client.clock, 'handlePong');
    const causes: string[] = [];
    client.on('reconnecting', (_attempt, _delayMs, cause) => causes.push(cause));
    await client.connect();
    const pass = async (seconds: number): Promise<void> => {
      for (let second = 0; second < seconds; second++) {
        vi.advanceTimersByTime(1_000);
        if (!server.silent) await until(() => pongs.mock.calls.length === pings().length, 'the answers');
      }
    };
    await pass(20);
    expect(causes, 'a server that answers').toEqual([]);
    server.silent = true;
    await pass(11);
    expect(causes).toEqual(['the server went silent']);
    server.silent = false;
    vi.useRealTimers();
  });

  it('is not tried again and again when the server refuses for good', async () => {
    const client = makePlayer();
    await client.connect();
    const closed: unknown[] = [];
    client.on('close', (reason, error) => closed.push(reason, error?.code));
    server.refusal = { type: 'error', code: 'avatar_unknown', message: 'no such avatar' };
    server.cut();
    await until(() => client.state === 'closed', 'the end');
    expect(closed).toEqual(['the server refused: no such avatar', 'avatar_unknown']);
    expect(server.heard('join')).toHaveLength(2);
  });

  it('closes the client when reconnecting is switched off or used up', async () => {
    const stubborn = makeClient({ reconnect: false });
    await stubborn.connect();
    server.cut();
    await until(() => stubborn.state === 'closed', 'the end');

    const client = makeClient({ reconnect: { firstDelayMs: 5, maxDelayMs: 5, maxAttempts: 2 } });
    await client.connect();
    const reasons: string[] = [];
    client.on('close', (reason) => reasons.push(reason));
    await server.close();
    await until(() => reasons.length === 1, 'the client to give up');
    expect(reasons[0]).toContain('gave up after 2 attempts');
  });
});

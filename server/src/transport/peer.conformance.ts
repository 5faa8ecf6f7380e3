import { encodeFrame, encodeMotion, FacewireError, neutralMotion } from '@facewire/proto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Metrics, PeerHandler, TransportServer } from '../contracts.ts';
import type { TransportLimits } from './limits.ts';
import { SILENT_LOG, type TransportLog } from './TransportLog.ts';
import { RecordingHandler } from './testing/RecordingHandler.ts';
import type { TestClient } from './testing/TestClient.ts';

export interface PeerHarness {
  start(options: {
    handler: PeerHandler;
    limits?: Partial<TransportLimits>;
    log?: TransportLog;
    metrics?: Metrics;
  }): Promise<TransportServer>;
  connect(port: number): Promise<TestClient>;
}

/** What every transport does for its peers. Call it inside of a describe block that names the transport. */
export function describePeerConformance(harness: PeerHarness): void {
  const cleanups: Array<() => Promise<void> | void> = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function setUp(options: Omit<Parameters<PeerHarness['start']>[0], 'handler'> = {}) {
    const handler = new RecordingHandler();
    const server = await harness.start({ handler, ...options });
    cleanups.push(() => server.close());
    const connect = async () => {
      const client = await harness.connect(server.port);
      cleanups.push(() => {
        client.resume();
        client.leave();
      });
      return client;
    };
    return { handler, server, connect };
  }

  describe('messages', () => {
    it('reach the handler in the order in which they were sent, control and motion alike', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      client.sendControl({ type: 'ping', clientTimeMs: 1 });
      client.sendPacket(motion(7));
      client.sendControl({ type: 'ping', clientTimeMs: 2 });
      await handler.wait('control', 2);
      expect(handler.events.map((each) => each.event)).toEqual(['open', 'control', 'motion', 'control']);
      expect(handler.all('control').map((each) => each.message)).toEqual([
        { type: 'ping', clientTimeMs: 1 },
        { type: 'ping', clientTimeMs: 2 },
      ]);
      expect(handler.all('motion')[0]!.packet).toEqual(new Uint8Array(motion(7)));
    });

    it('of the compact kinds are motion too', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      for (const kind of [0x40, 0x5a, 0x7f]) client.sendPacket(Uint8Array.of(kind, 1, 2));
      await handler.wait('motion', 3);
      expect(handler.all('motion').map((each) => each.packet[0])).toEqual([0x40, 0x5a, 0x7f]);
    });

    it('reach the client in the order in which they were sent, control and frames alike', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      const { peer } = await handler.wait('open');
      peer.sendControl({ type: 'pong', clientTimeMs: 1, serverTimeMs: 5 });
      peer.sendFrame(frame(3, 100));
      peer.sendControl({ type: 'ended', stream: 3 });
      expect(await client.inbox.next()).toEqual({ type: 'pong', clientTimeMs: 1, serverTimeMs: 5 });
      const received = await client.inbox.next();
      expect(received.type === 'frame' && Buffer.from(received.packet)).toEqual(Buffer.from(frame(3, 100)));
      expect(await client.inbox.next()).toEqual({ type: 'ended', stream: 3 });
    });

    it('that were handed over may be overwritten at once', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      const { peer } = await handler.wait('open');
      client.pause();
      const packet = new Uint8Array(frame(1, 32 * 1024));
      // Until the kernel takes no more, so that the last ones wait in this process while they are overwritten.
      let sent = 0;
      while (peer.bufferedBytes() < 200_000 && sent < 2000) {
        packet.fill(sent % 251, 20);
        peer.sendFrame(packet);
        sent += 1;
        if (sent % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      packet.fill(0xee, 20);
      client.resume();
      for (let index = 0; index < sent; index += 1) {
        const received = await client.inbox.next();
        if (received.type !== 'frame') throw new Error(received.type);
        expect([received.packet[20], received.packet.at(-1)]).toEqual([index % 251, index % 251]);
      }
    });
  });

  describe('a message to many peers', () => {
    it('is encoded once', async () => {
      const { handler, connect } = await setUp();
      const clients = [await connect(), await connect(), await connect()];
      await handler.wait('open', 3);
      let reads = 0;
      const message = {
        type: 'ended' as const,
        get stream() {
          reads += 1;
          return 7;
        },
      };
      const [first, ...others] = handler.all('open').map((each) => each.peer);
      first!.sendControl(message);
      const readsOfOneEncode = reads;
      for (const peer of others) peer.sendControl(message);
      expect(reads).toBe(readsOfOneEncode);
      for (const client of clients) expect(await client.inbox.next()).toEqual({ type: 'ended', stream: 7 });
    });
  });

  describe('peers', () => {
    it('have ids of their own', async () => {
      const { handler, connect } = await setUp();
      await Promise.all([connect(), connect(), connect()]);
      await handler.wait('open', 3);
      expect(new Set(handler.all('open').map((each) => each.peer.id)).size).toBe(3);
    });

    it('that leave are closed once', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      await handler.wait('open');
      client.leave();
      await client.closed;
      const { peer } = await handler.wait('close');
      peer.close('internal', 'too late');
      peer.sendControl({ type: 'ended', stream: 1 });
      peer.sendFrame(frame(1, 10));
      expect(peer.bufferedBytes()).toBe(0);
      await turns(5);
      expect(handler.all('close')).toHaveLength(1);
    });

    it('that are closed by the server are told why, and closing twice is closing once', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      const { peer } = await handler.wait('open');
      peer.close('room_full', 'the room is full');
      expect(handler.all('close')).toHaveLength(0); // not from inside of the call
      peer.close('internal', 'again');
      expect(await client.inbox.nextError()).toMatchObject({ code: 'room_full', message: 'the room is full' });
      expect(await client.closed).toContain('room_full');
      await handler.wait('close');
      await turns(5);
      expect(handler.all('close')).toHaveLength(1);
      expect(client.inbox.all).toHaveLength(1);
    });

    it('that leave by a code that is no error are closed without an error message', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      const { peer } = await handler.wait('open');
      peer.close('left', 'bye');
      expect(await client.closed).toMatch(/^(1000|OK)/);
      expect(client.inbox.all).toEqual([]);
    });

    it('are all told when the server closes, which may be asked for twice', async () => {
      const { handler, server, connect } = await setUp();
      const clients = [await connect(), await connect()];
      await handler.wait('open', 2);
      await Promise.all([server.close(), server.close()]);
      for (const client of clients) {
        expect(await client.inbox.nextError()).toMatchObject({ code: 'server_closing' });
        await client.closed;
      }
      expect(handler.all('close')).toHaveLength(2);
    });

    it('beyond the limit are told that the server is full, and the handler never hears of them', async () => {
      const { handler, connect } = await setUp({ limits: { maxPeers: 1 } });
      const first = await connect();
      await handler.wait('open');
      const second = await connect();
      expect(await second.inbox.nextError()).toMatchObject({ code: 'server_full', remedy: expect.any(String) });
      await second.closed;
      expect(handler.all('open')).toHaveLength(1);
      first.leave();
      await handler.wait('close');
      await connect();
      await handler.wait('open', 2);
    });
  });

  describe('a peer that sends nonsense', () => {
    it('is told what was wrong with a malformed control message, and stays', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      client.sendMalformedControl();
      expect(await client.inbox.nextError()).toMatchObject({ code: 'message_malformed', remedy: expect.any(String) });
      client.sendControl({ type: 'ping', clientTimeMs: 1 });
      await handler.wait('control');
    });

    it('is told the number of its request, however malformed that was', async () => {
      const { connect } = await setUp();
      const client = await connect();
      const wrong = { type: 'subscribe', participant: 'bob', size: 256, framesPerSecond: 30 } as const;
      for (let request = 7; request <= 9; request += 1) {
        client.sendControl({ ...wrong, request, view: { yaw: 2, pitch: 0 } });
        expect(await client.inbox.nextError()).toMatchObject({ code: 'message_malformed', request });
      }
    });

    it('is told about an unknown kind of packet and an empty one', async () => {
      const { connect } = await setUp();
      const client = await connect();
      client.sendPacket(Uint8Array.of(0x33, 1));
      expect(await client.inbox.nextError()).toMatchObject({ code: 'packet_unknown_kind', received: '0x33' });
      client.sendPacket(new Uint8Array(0));
      expect(await client.inbox.nextError()).toMatchObject({ code: 'packet_truncated' });
    });

    it('is closed after three bad messages in a row, and others are not', async () => {
      const { handler, connect } = await setUp();
      const [bad, good] = [await connect(), await connect()];
      for (let count = 0; count < 3; count += 1) bad.sendMalformedControl();
      await bad.closed;
      expect(bad.inbox.all.map((each) => each.type === 'error' && each.code)).toEqual(
        Array(3).fill('message_malformed'),
      );
      await handler.wait('close');
      good.sendControl({ type: 'ping', clientTimeMs: 1 });
      await handler.wait('control');
      expect(handler.all('close')).toHaveLength(1);
    });

    it('is forgiven by a good message in between', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      for (let round = 1; round <= 3; round += 1) {
        client.sendMalformedControl();
        client.sendMalformedControl();
        client.sendControl({ type: 'ping', clientTimeMs: round });
        await handler.wait('control', round);
      }
      expect(handler.all('close')).toHaveLength(0);
    });

    it('is closed for an oversized message', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      const packet = new Uint8Array(64 * 1024 + 1);
      packet[0] = 1;
      client.sendPacket(packet);
      expect(await client.inbox.nextError()).toMatchObject({ code: 'packet_oversized', received: '65537 bytes' });
      expect(await client.closed).toContain('packet_oversized');
      await handler.wait('close');
      expect(handler.all('motion')).toHaveLength(0);
    });

    it('may send as much as the limit allows', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      const packet = new Uint8Array(64 * 1024);
      packet[0] = 1;
      client.sendPacket(packet);
      expect((await handler.wait('motion')).packet).toHaveLength(64 * 1024);
    });
  });

  describe('a handler that throws', () => {
    it('a FacewireError has it sent to that peer, with the number of the request', async () => {
      const { handler, connect } = await setUp();
      handler.onControl = () => {
        throw new FacewireError('participant_unknown', 'no such participant', { received: 'bob', remedy: 'ask' });
      };
      const client = await connect();
      // Refusals are not bad messages: any number of them in a row is fine.
      for (let request = 1; request <= 5; request += 1) {
        client.sendControl({ type: 'subscribe', request, participant: 'bob', size: 256, framesPerSecond: 30 });
        expect(await client.inbox.nextError()).toEqual({
          type: 'error',
          code: 'participant_unknown',
          message: 'no such participant',
          received: 'bob',
          remedy: 'ask',
          request,
        });
      }
      expect(handler.all('close')).toHaveLength(0);
    });

    it('packet errors in handleMotion closes the peer at the third in a row', async () => {
      const { handler, connect } = await setUp();
      handler.onMotion = () => {
        throw new FacewireError('packet_bad_value', 'pitch is out of range');
      };
      const client = await connect();
      for (let count = 0; count < 3; count += 1) client.sendPacket(motion(count));
      await client.closed;
      expect(client.inbox.all).toHaveLength(3);
    });

    it('anything else is logged and says `internal` to the peer, and the server lives on', async () => {
      const log = { ...SILENT_LOG, error: vi.fn() };
      const { handler, connect } = await setUp({ log });
      handler.onControl = () => {
        throw new TypeError('secret path /home/x');
      };
      const client = await connect();
      client.sendControl({ type: 'ping', clientTimeMs: 1 });
      const error = await client.inbox.nextError();
      expect(error.code).toBe('internal');
      expect(JSON.stringify(error)).not.toContain('secret');
      expect(log.error).toHaveBeenCalledOnce();
      expect(log.error.mock.calls[0]![1]).toContain('secret path');
      handler.onControl = () => {};
      client.sendControl({ type: 'ping', clientTimeMs: 2 });
      await handler.wait('control', 2);
    });

    it('when a peer opens costs that peer its connection', async () => {
      const { handler, connect } = await setUp();
      handler.onOpen = () => {
        throw new FacewireError('rate_limited', 'come back later');
      };
      const client = await connect();
      expect(await client.inbox.nextError()).toMatchObject({ code: 'rate_limited' });
      await client.closed;
      handler.onOpen = () => {};
      await connect();
      await handler.wait('open', 2);
    });
  });

  describe('a peer that sends too much', () => {
    it('has the excess of its motion dropped and counted, and is told once', async () => {
      const counted = new Map<string, number>();
      const metrics: Metrics = {
        count: (name, by = 1) => counted.set(name, (counted.get(name) ?? 0) + by),
        gauge: () => {},
        observe: () => {},
      };
      const { handler, connect } = await setUp({ limits: { motionPerSecond: 5, motionBurst: 3 }, metrics });
      const client = await connect();
      // Time stands still: on a busy machine it would let more of them pass.
      const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now());
      cleanups.push(() => clock.mockRestore());
      for (let count = 0; count < 40; count += 1) client.sendPacket(motion(count));
      client.sendControl({ type: 'ping', clientTimeMs: 1 });
      await handler.wait('control');
      expect(await client.inbox.nextError()).toMatchObject({ code: 'rate_limited' });
      const handled = handler.all('motion').length;
      expect(handled).toBeGreaterThanOrEqual(3);
      expect(handled).toBeLessThan(30);
      expect(counted.get('transport_motion_rate_dropped_total')).toBe(40 - handled);
      expect(client.inbox.all).toHaveLength(1);
      expect(handler.all('close')).toHaveLength(0);
    });
  });

  describe('a peer that keeps the whole room busy', () => {
    it('is told of each join and setAvatar that is dropped, while its other messages pass', async () => {
      const { handler, connect } = await setUp({ limits: { announcementsPerSecond: 0.01, announcementsBurst: 3 } });
      const client = await connect();
      for (let count = 0; count < 5; count += 1) client.sendControl({ type: 'setAvatar', avatar: `a${count}` });
      client.sendControl({ type: 'join', version: 1, room: 'r', role: 'viewer', name: 'n', codecs: ['jpeg'] });
      client.sendControl({ type: 'leave' });
      await handler.wait('control', 4);
      for (const received of ['setAvatar', 'setAvatar', 'join']) {
        expect(await client.inbox.nextError()).toMatchObject({ code: 'rate_limited', received });
      }
      expect(handler.all('control').map(({ message }) => message.type)).toEqual([
        'setAvatar',
        'setAvatar',
        'setAvatar',
        'leave',
      ]);
      expect(handler.all('close')).toHaveLength(0);
    });
  });

  describe('a peer that reads slowly', () => {
    it('shows in bufferedBytes, and a drain follows when it reads on', async () => {
      const { handler, connect } = await setUp();
      const client = await connect();
      const { peer } = await handler.wait('open');
      client.pause();
      let sent = 0;
      while (peer.bufferedBytes() < 300_000 && sent < 2000) {
        peer.sendFrame(frame(sent, 32 * 1024));
        sent += 1;
        if (sent % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      const before = peer.bufferedBytes();
      expect(before).toBeGreaterThanOrEqual(300_000);
      handler.events.length = 0;
      client.resume();
      await handler.wait('drain');
      while (peer.bufferedBytes() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
      for (let index = 0; index < sent; index += 1) expect((await client.inbox.next()).type).toBe('frame');
    });

    it('too slowly is cut off, and what waited for it is given up', async () => {
      const { handler, connect } = await setUp({ limits: { maxBufferedBytes: 128 * 1024 } });
      const client = await connect();
      const { peer } = await handler.wait('open');
      client.pause();
      for (let sent = 0; sent < 2000 && handler.all('close').length === 0; sent += 1) {
        peer.sendFrame(frame(sent, 32 * 1024));
        if (sent % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await handler.wait('close');
      expect(peer.bufferedBytes()).toBe(0);
      client.resume();
      expect(await client.closed).toMatch(/^(1006|CANCELLED)/);
    });
  });
}

function motion(sequence: number): Uint8Array {
  return encodeMotion({ sequence, timeMs: 0, motion: neutralMotion() });
}

function frame(stream: number, payloadBytes: number): Uint8Array {
  const header = { stream, keyFrame: true, codec: 'jpeg', width: 256, height: 256 } as const;
  const times = { motionSequence: 1, motionTimeMs: 2, serverTimeMs: 3 };
  return encodeFrame({ ...header, ...times }, new Uint8Array(payloadBytes).fill(stream % 251));
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setTimeout(resolve, 5));
}

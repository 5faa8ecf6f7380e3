import {
  type ClientControl,
  type ClientEnvelope,
  encodeFrame,
  envelopeToClientControl,
  neutralMotion,
  type ServerControl,
  serverControlToEnvelope,
} from '@facewire/proto';
import { PROTO_FILE } from '@facewire/proto/node';
import { loadPackageDefinition, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AvatarClient } from '../AvatarClient.ts';
import type { AvatarFrame } from '../AvatarStream.ts';
import { until } from '../testing/FakeServer.ts';
import { GrpcTransport } from './GrpcTransport.ts';

type Call = ServerDuplexStream<ClientEnvelope, object>;

let server: Server;
let address: string;
let call: Call | undefined;
/** answers no half-close, as a host that hangs does */
let silent: boolean;
let motions: Uint8Array[];
const heard: ClientControl[] = [];

function answer(call: Call, message: ServerControl): void {
  call.write(serverControlToEnvelope(message));
}

function handle(each: Call): void {
  call = each;
  each.on('error', () => {});
  each.on('end', () => {
    if (!silent) each.end();
  });
  each.on('data', (envelope: ClientEnvelope) => {
    if (envelope.motion !== undefined) {
      motions.push(envelope.motion);
      return;
    }
    const message = envelopeToClientControl(envelope);
    heard.push(message);
    if (message.type === 'join') {
      answer(each, {
        type: 'welcome',
        version: 1,
        participant: 'me',
        room: message.room,
        serverTimeMs: 5_000,
        codec: 'jpeg',
        sizes: [128, 256],
        participants: [{ id: 'p1', name: 'Ada', role: 'player', avatar: 'ada', bot: true }],
      });
    } else if (message.type === 'subscribe') {
      const { request, participant, size } = message;
      answer(each, { type: 'subscribed', request, stream: 4, participant, size, codec: 'jpeg' });
    } else if (message.type === 'ping') {
      answer(each, { type: 'pong', clientTimeMs: message.clientTimeMs, serverTimeMs: 6_000 });
    }
  });
}

beforeEach(async () => {
  motions = [];
  silent = false;
  heard.length = 0;
  const root = loadPackageDefinition(
    loadSync(PROTO_FILE, { keepCase: false, longs: Number, defaults: false }),
  ) as never as {
    facewire: { v1: { Facewire: { service: never } } };
  };
  server = new Server();
  server.addService(root.facewire.v1.Facewire.service, { Connect: handle });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  address = `127.0.0.1:${port}`;
});

afterEach(() => {
  server.forceShutdown();
});

const makeClient = (reconnect: boolean) =>
  new AvatarClient({
    transport: () => new GrpcTransport({ address, timeoutMs: 30_000 }),
    room: 'lobby',
    role: 'player',
    name: 'Greta',
    avatar: 'ada',
    codecs: ['jpeg'],
    reconnect,
  });

describe('GrpcTransport', () => {
  it('joins, measures the clock, publishes and receives frames, as WebSocket does', async () => {
    const client = makeClient(false);
    const session = await client.connect();
    expect(session).toMatchObject({ participant: 'me', sizes: [128, 256] });
    const stream = client.subscribe('p1', { size: 128, framesPerSecond: 12.5, view: { yaw: 0.25, pitch: 0 } });
    const frames: AvatarFrame[] = [];
    stream.on('frame', (frame) => frames.push(frame));
    client.publishMotion(neutralMotion());
    await until(() => stream.id === 4 && motions.length > 0 && client.stats.roundTripMs !== undefined, 'all answers');
    expect(heard.find(({ type }) => type === 'subscribe')).toMatchObject({
      framesPerSecond: 12.5,
      view: { yaw: 0.25 },
    });
    const header = { keyFrame: true, codec: 'jpeg', stream: 4, motionSequence: 1, motionTimeMs: 0 } as const;
    call!.write({
      frame: encodeFrame({ ...header, serverTimeMs: 0, width: 128, height: 128 }, new Uint8Array([1, 2, 3])),
    });
    await until(() => frames.length === 1, 'a frame');
    expect([...frames[0]!.payload]).toEqual([1, 2, 3]);
    client.close();
    await until(() => heard.some(({ type }) => type === 'leave'), 'the farewell');
  });

  it('fails with connection_failed when nobody listens', async () => {
    server.forceShutdown();
    const client = new AvatarClient({
      transport: () => new GrpcTransport({ address, timeoutMs: 200 }),
      room: 'lobby',
      role: 'viewer',
      name: 'Greta',
    });
    await expect(client.connect()).rejects.toMatchObject({ code: 'connection_failed' });
  });

  it('tells the client when the server ends the call', async () => {
    const client = makeClient(false);
    await client.connect();
    const reasons: string[] = [];
    client.on('close', (reason) => reasons.push(reason));
    call!.end();
    await until(() => reasons.length === 1, 'the end');
    expect(client.state).toBe('closed');
  });

  it('cancels a call that a silent server leaves open, after the farewell', async () => {
    silent = true;
    const client = makeClient(false);
    await client.connect();
    let lastHeard: string | undefined;
    call!.on('cancelled', () => {
      lastHeard = heard.at(-1)!.type;
    });
    client.close();
    await until(() => lastHeard !== undefined, 'the end of the call');
    expect(lastHeard).toBe('leave');
  });

  it('is made anew by a client that reconnects', async () => {
    const client = makeClient(true);
    await client.connect();
    const first = call;
    first!.end();
    await until(() => call !== first && client.state === 'open', 'the second call');
    client.close();
  });
});

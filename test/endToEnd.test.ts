import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AvatarClient, type AvatarFrame, SyntheticMotionSource, WebSocketTransport } from '@facewire/client-sdk';
import { GrpcTransport } from '@facewire/client-sdk/grpc';
import { FacewireError, neutralMotion } from '@facewire/proto';
import { type RunningServer, readConfig, startServer } from '@facewire/server';
import { Client, credentials, type MethodDefinition, type ServiceDefinition } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import WebSocket from 'ws';
import { rawExchange } from '../server/src/transport/testing/rawHttp.ts';

/** 58 float32 of motion, 2 float32 of view, an int64 slot */
const PICTURE_INPUT_BYTES = 58 * 4 + 2 * 4 + 8;

const portraits = fileURLToPath(new URL('../models/portraits', import.meta.url));

let data: string;
let server: RunningServer;

function config() {
  return readConfig({
    FACEWIRE_PORT: '0',
    FACEWIRE_GRPC_PORT: '0',
    FACEWIRE_DATA: data,
    FACEWIRE_LOG: 'silent',
    FACEWIRE_DEMO_SEATS: '2',
    FACEWIRE_DEVICE: 'cpu',
  });
}

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'facewire-e2e-'));
  server = await startServer(config());
});

afterAll(async () => {
  await server?.close();
  await rm(data, { recursive: true, force: true });
});

function transport(kind: 'ws' | 'grpc') {
  return kind === 'ws'
    ? () => new WebSocketTransport({ url: `${server.url.replace('http', 'ws')}/connect`, WebSocket })
    : () => new GrpcTransport({ address: `127.0.0.1:${server.grpcPort}` });
}

function client(kind: 'ws' | 'grpc', role: 'player' | 'viewer', room: string, codec: 'vp8' | 'jpeg' = 'jpeg') {
  const avatar = server.engine.avatars.list()[0]!.id;
  return new AvatarClient({
    transport: transport(kind),
    room,
    role,
    name: role,
    codecs: [codec],
    reconnect: false,
    ...(role === 'player' ? { avatar } : {}),
  });
}

/** Resolves with the first frame that satisfies the predicate. */
function frameOf(
  viewer: AvatarClient,
  participant: string,
  wanted: (frame: AvatarFrame) => boolean,
  view = { yaw: 0, pitch: 0 },
): Promise<AvatarFrame> {
  const stream = viewer.subscribe(participant, { size: 128, framesPerSecond: 30, view });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no such frame within a minute')), 60_000);
    stream.on('frame', (frame) => {
      if (!wanted(frame)) return;
      clearTimeout(timer);
      stream.close();
      resolve(frame);
    });
    stream.on('error', reject);
  });
}

async function pixels(frame: AvatarFrame): Promise<Buffer> {
  return sharp(frame.payload).raw().toBuffer();
}

function meanDifference(a: Buffer, b: Buffer): number {
  let sum = 0;
  for (let index = 0; index < a.length; index++) sum += Math.abs(a[index]! - b[index]!);
  return sum / a.length;
}

describe.each(['ws', 'grpc'] as const)('over %s', (kind) => {
  it('a player who opens her mouth is seen with an open mouth, and a turned view shows another picture', async () => {
    const player = client(kind, 'player', `room-${kind}`);
    const viewer = client(kind, 'viewer', `room-${kind}`);
    try {
      const { participant } = await player.connect();
      await viewer.connect();
      const still = neutralMotion();
      const open = neutralMotion();
      open.expression[17] = 1;
      player.publishMotion(still);
      const closed = await pixels(await frameOf(viewer, participant, (frame) => frame.header.motionSequence === 0));
      // The receiver calms what it gets, so a jaw that drops at once is seen open some pictures later.
      let opened = closed;
      for (let i = 0; i < 40 && meanDifference(closed, opened) <= 0.5; i++) {
        player.publishMotion(open);
        opened = await pixels(await frameOf(viewer, participant, (frame) => frame.header.motionSequence >= 1));
      }
      const turned = await pixels(
        await frameOf(viewer, participant, (frame) => frame.header.motionSequence >= 1, { yaw: 0.35, pitch: 0 }),
      );
      expect(closed.length).toBe(128 * 128 * 3);
      expect(meanDifference(closed, opened)).toBeGreaterThan(0.5);
      expect(meanDifference(opened, turned)).toBeGreaterThan(3);
    } finally {
      player.close();
      viewer.close();
    }
  });

  it('streams VP8 that begins with a key frame and goes on with small deltas', async () => {
    const player = client(kind, 'player', `video-${kind}`);
    const viewer = client(kind, 'viewer', `video-${kind}`, 'vp8');
    const source = new SyntheticMotionSource({ seed: 5 });
    try {
      const { participant } = await player.connect();
      expect((await viewer.connect()).codec).toBe('vp8');
      source.start((motion) => player.publishMotion(motion));
      const frames: AvatarFrame[] = [];
      await frameOf(viewer, participant, (frame) => frames.push(frame) >= 12);
      expect(frames[0]!.header.keyFrame).toBe(true);
      expect(frames.slice(1).every((frame) => !frame.header.keyFrame)).toBe(true);
      const deltas = frames.slice(1).map((frame) => frame.payload.length);
      // On a busy machine frames lie far apart, and one between two extremes can be large.
      const middle = deltas.sort((a, b) => a - b)[deltas.length >> 1]!;
      expect(middle).toBeLessThan(0.8 * frames[0]!.payload.length);
      expect(frames.every((frame) => frame.header.codec === 'vp8' && frame.header.width === 128)).toBe(true);
      // Compact packets: the whole talking face in fewer bytes than the plain layout.
      expect(player.stats.published.bytes / player.stats.published.packets).toBeLessThan(35);
    } finally {
      source.stop();
      player.close();
      viewer.close();
    }
  });

  it('an unknown avatar is refused with code, received value and remedy', async () => {
    const stranger = new AvatarClient({
      transport: transport(kind),
      room: 'x',
      role: 'player',
      name: 'stranger',
      avatar: 'nobody',
      codecs: ['jpeg'],
      reconnect: false,
    });
    const error = await stranger.connect().catch((each: unknown) => each);
    expect(error).toMatchObject({ code: 'avatar_unknown', received: 'nobody' });
    expect((error as FacewireError).remedy).toBeTruthy();
  });

  it("the server's bots play in the demo room", async () => {
    const viewer = client(kind, 'viewer', 'lobby');
    try {
      await viewer.connect();
      const bots = [...viewer.participants.values()].filter((participant) => participant.bot);
      expect(bots).toHaveLength(2);
      const first = await frameOf(viewer, bots[0]!.id, () => true);
      const later = await frameOf(
        viewer,
        bots[0]!.id,
        (frame) => frame.header.motionSequence > first.header.motionSequence + 10,
      );
      expect(meanDifference(await pixels(first), await pixels(later))).toBeGreaterThan(0.05);
    } finally {
      viewer.close();
    }
  });
});

describe('portraits over HTTP', () => {
  const upload = (body: BodyInit, headers: Record<string, string> = {}) =>
    fetch(`${server.url}/api/avatars?name=Test`, { method: 'POST', body, headers });

  async function ownPortrait() {
    const id = server.engine.avatars.list()[0]!.id;
    const { landmarks } = JSON.parse(await readFile(join(portraits, `${id}.json`), 'utf8')) as { landmarks: unknown };
    return { image: await readFile(join(portraits, `${id}.jpg`)), landmarks: JSON.stringify(landmarks) };
  }

  it('an uploaded portrait becomes an avatar that survives a restart and can be deleted', async () => {
    const { image, landmarks } = await ownPortrait();
    const png = await sharp(image).png().toBuffer();
    const response = await upload(new Uint8Array(png), { 'content-type': 'image/png', 'x-landmarks': landmarks });
    expect(response.status).toBe(201);
    const { id } = (await response.json()) as { id: string };
    await server.close();
    server = await startServer(config());
    expect(server.engine.avatars.get(id)).toMatchObject({ id, name: 'Test', builtIn: false });
    const picture = await fetch(`${server.url}/api/avatars/${id}/portrait`);
    expect((await sharp(await picture.arrayBuffer()).metadata()).width).toBe(256);
    expect((await fetch(`${server.url}/api/avatars/${id}`, { method: 'DELETE' })).ok).toBe(true);
    expect(server.engine.avatars.get(id)).toBeUndefined();
  });

  it.each([
    ['a text file', () => new TextEncoder().encode('not a picture'), 'image_unreadable'],
    ['100 megapixels', () => pngHeader(10_000, 10_000), 'image_too_large'],
  ])('%s is refused', async (_, make, code) => {
    const { landmarks } = await ownPortrait();
    const before = server.engine.avatars.list().length;
    const response = await upload(make() as BodyInit, { 'content-type': 'image/png', 'x-landmarks': landmarks });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect(await response.json()).toMatchObject({ code });
    expect(server.engine.avatars.list()).toHaveLength(before);
  });

  it('a picture without landmarks becomes an avatar too; one without a face is refused with the way out', async () => {
    const { image } = await ownPortrait();
    const made = await upload(new Uint8Array(image), { 'content-type': 'image/jpeg' });
    expect(made.status).toBe(201);
    const { id } = (await made.json()) as { id: string };
    await server.engine.avatars.delete(id);
    const before = server.engine.avatars.list().length;
    const wall = await sharp({ create: { width: 400, height: 300, channels: 3, background: '#a08060' } })
      .jpeg()
      .toBuffer();
    const refused = await upload(new Uint8Array(wall), { 'content-type': 'image/jpeg' });
    expect(refused.status).toBe(422);
    expect(await refused.json()).toMatchObject({ code: 'face_not_found', remedy: expect.any(String) });
    expect(server.engine.avatars.list()).toHaveLength(before);
  });
});

describe('what is measured', () => {
  it('GET /metrics and /health tell the bytes that went up and came down for the pictures drawn', async () => {
    const viewer = client('ws', 'viewer', 'lobby');
    await viewer.connect();
    const bot = [...viewer.participants.values()].find(({ avatar }) => avatar !== undefined)!;
    await frameOf(viewer, bot.id, () => true);
    viewer.close();
    const text = await (await fetch(`${server.url}/metrics`)).text();
    const metric = (name: string) => Number(new RegExp(`^facewire_${name} (\\d+)$`, 'm').exec(text)![1]);
    const pictures = metric('device_pictures_total');
    expect(pictures).toBeGreaterThan(0);
    // The inputs of a run under way are counted before its pictures are.
    const ahead = metric('device_input_bytes_in_total') / PICTURE_INPUT_BYTES - pictures;
    expect([0, 1, 2, 3, 4, 5, 6, 7, 8]).toContain(ahead);
    expect(metric('device_bank_bytes_recopied_total')).toBe(0);
    const { residency } = (await (await fetch(`${server.url}/health`)).json()) as { residency: Record<string, number> };
    expect(residency.avatars).toBeGreaterThan(0);
    expect(residency.bytesOutPerPicture).toBeGreaterThanOrEqual(128 * 192);
  });
});

describe('whether to send people here', () => {
  const health = async () => {
    const response = await fetch(`${server.url}/health`);
    return [response.status, ((await response.json()) as { status: string }).status];
  };

  it('GET /health and the gRPC health service say so while no device draws, and again when one does', async () => {
    const grpc = new Client(`127.0.0.1:${server.grpcPort}`, credentials.createInsecure());
    const check = (healthService as unknown as ServiceDefinition).Check as MethodDefinition<object, object>;
    const serving = () =>
      new Promise((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = check;
        grpc.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service: '' }, (error, answer) =>
          error ? reject(error) : resolve((answer as { status: string }).status),
        );
      });
    expect([await health(), await serving()]).toEqual([[200, 'ok'], 'SERVING']);
    const { renderer } = server.engine;
    const broken = vi.spyOn(renderer, 'render').mockImplementation(async () => {
      throw new FacewireError('device_unavailable', 'device cpu does not answer');
    });
    const viewer = client('ws', 'viewer', 'lobby');
    await viewer.connect();
    const bot = [...viewer.participants.values()].find(({ avatar }) => avatar !== undefined)!;
    viewer.subscribe(bot.id, { size: 128, framesPerSecond: 30 });
    await expect.poll(health).toEqual([503, 'degraded']);
    await expect.poll(serving).toBe('NOT_SERVING');
    broken.mockRestore();
    await expect.poll(health).toEqual([200, 'ok']);
    await expect.poll(serving).toBe('SERVING');
    viewer.close();
    grpc.close();
  });

  it('a server that closes says so to those who are still connected', async () => {
    // Without a peer uWebSockets.js closes at once.
    await client('ws', 'viewer', 'lobby').connect();
    const answer = rawExchange(server.port, 'GET /health HTTP/1.1\r\n', async (socket) => {
      // What was sent before it is read before it is answered: that request has begun.
      await health();
      const closed = server.close();
      socket.write('host: x\r\n\r\n');
      await closed;
    });
    expect(await answer).toMatch(/^HTTP\/1\.1 503 .*"status":"closing"/s);
    await server.close();
    server = await startServer(config());
  });
});

describe('a server whose rooms are closed', () => {
  it('refuses a room that does not exist and keeps the demo room open', async () => {
    await server.close();
    server = await startServer({ ...config(), openRooms: 'no' });
    const lost = client('ws', 'viewer', 'nowhere');
    await expect(lost.connect()).rejects.toMatchObject({ code: 'room_unknown', received: 'nowhere' });
    const viewer = client('ws', 'viewer', 'lobby');
    await expect(viewer.connect()).resolves.toMatchObject({ room: 'lobby' });
    viewer.close();
  });
});

describe('what is wrong at the start', () => {
  it('a port in use is named with the setting that changes it', async () => {
    const error = await startServer({ ...config(), port: server.port }).catch((each: unknown) => each);
    expect(error).toMatchObject({ code: 'port_in_use' });
    expect((error as FacewireError).remedy).toContain('FACEWIRE_PORT');
  });

  it('a corrupt model file is named', async () => {
    const directory = join(data, 'broken-model');
    const { cp } = await import('node:fs/promises');
    await cp(fileURLToPath(new URL('../models/warp', import.meta.url)), directory, { recursive: true });
    await writeFile(join(directory, 'encoder.onnx'), 'not a model');
    const error = await startServer({ ...config(), model: directory, fallbackModel: '' }).catch(
      (each: unknown) => each,
    );
    expect(error).toMatchObject({ code: 'model_corrupt' });
    expect((error as FacewireError).message).toContain('encoder.onnx');
  });
});

/** A PNG that claims a size and has no pixels: what a decompression bomb looks like from outside. */
function pngHeader(width: number, height: number): Uint8Array {
  const chunk = (type: string, body: Buffer) => {
    const typed = Buffer.concat([Buffer.from(type, 'latin1'), body]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    const crc = Buffer.alloc(4);
    crc.writeUInt32BE(crc32(typed));
    return Buffer.concat([length, typed, crc]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', Buffer.from([0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01])),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

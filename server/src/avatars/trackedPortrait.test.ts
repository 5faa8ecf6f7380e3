import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp, { type Sharp } from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Landmarks, Tensor } from '../contracts.ts';
import { FaceTracker } from '../inference/faceTracker.ts';
import { FRAMING } from './cropPortrait.ts';
import { FileAvatarStore } from './FileAvatarStore.ts';

const models = fileURLToPath(new URL('../../../models', import.meta.url));
const portraits = join(models, 'portraits');
const names = readdirSync(portraits)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.slice(0, -5));

/** mean distance of the landmarks from the truth, in parts of the distance between the outer eye corners */
const MAX_ERROR = 0.05;

const jpeg = (name: string) => readFile(join(portraits, `${name}.jpg`));
const truth = async (name: string) =>
  (JSON.parse(await readFile(join(portraits, `${name}.json`), 'utf8')) as { landmarks: Landmarks }).landmarks;

/** Keeps what reached the model. */
const encoder = {
  model: 'test@1.0.0',
  async encode(_: Uint8Array, landmarks: Float32Array) {
    return new Map<string, Tensor>([
      ['landmarks', { dtype: 'float32', shape: [68, 2], data: new Uint8Array(landmarks.slice().buffer) }],
    ]);
  },
};

describe.skipIf(!existsSync(join(models, 'tracker/manifest.json')))('a portrait without landmarks', () => {
  let tracker: FaceTracker;
  let directory: string;
  let store: FileAvatarStore;
  beforeAll(async () => {
    tracker = await FaceTracker.open({ directory: join(models, 'tracker'), threads: 2 });
    directory = await mkdtemp(join(tmpdir(), 'facewire-tracked-'));
    store = await FileAvatarStore.open({ directory, encoder, tracker: (image) => tracker.find(image) });
  });
  afterAll(async () => {
    await tracker?.close();
    await rm(directory, { recursive: true, force: true });
  });

  /** Landmarks in −1…1 of the portrait that the picture became. */
  async function made(picture: Uint8Array): Promise<Float32Array> {
    const { id } = await store.create(picture, { name: 'x' });
    const { data } = (await store.load(id)).tensors.get('landmarks')!;
    await store.delete(id);
    return new Float32Array(data.buffer);
  }

  function errorOf(
    found: Float32Array,
    expected: Landmarks,
    place = (x: number, y: number) => [x / 256 - 1, y / 256 - 1],
  ) {
    const points = expected.map(([x, y]) => place(x, y) as [number, number]);
    const eyes = Math.hypot(points[36]![0] - points[45]![0], points[36]![1] - points[45]![1]);
    const off = points.map(([x, y], i) => Math.hypot(found[i * 2]! - x, found[i * 2 + 1]! - y) / eyes);
    return off.reduce((sum, value) => sum + value, 0) / off.length;
  }

  it.each(names)('of %s becomes an avatar with landmarks near the true ones', async (name) => {
    expect(errorOf(await made(await jpeg(name)), await truth(name))).toBeLessThan(MAX_ERROR);
  });

  it('that is a small part of a large picture is cut out, framed like the built-in portraits', async () => {
    const small = await sharp(await jpeg('dara'))
      .resize(400, 400)
      .toBuffer();
    const picture = await sharp({ create: { width: 2400, height: 1600, channels: 3, background: '#6a7a80' } })
      .composite([{ input: small, left: 1500, top: 700 }])
      .jpeg()
      .toBuffer();
    const found = await made(picture);
    const eyes = Math.hypot(found[72]! - found[90]!, found[73]! - found[91]!) / 2;
    expect(eyes).toBeCloseTo(FRAMING.eyeDistance, 1.5);
    expect((found[72]! + found[90]!) / 4 + 0.5).toBeCloseTo(FRAMING.eyeX, 1);
    expect((found[73]! + found[91]!) / 4 + 0.5).toBeCloseTo(FRAMING.eyeY, 1);
  });

  const black = () =>
    sharp({ create: { width: 512, height: 512, channels: 3, background: '#000' } })
      .jpeg()
      .toBuffer();
  const noise = () =>
    sharp({
      create: {
        width: 512,
        height: 512,
        channels: 3,
        background: '#888',
        noise: { type: 'gaussian', mean: 128, sigma: 40 },
      },
    })
      .jpeg()
      .toBuffer();
  const pair = async () =>
    sharp({ create: { width: 1024, height: 512, channels: 3, background: '#888' } })
      .composite([
        { input: await jpeg('ada'), left: 0, top: 0 },
        { input: await jpeg('bruno'), left: 512, top: 0 },
      ])
      .jpeg()
      .toBuffer();
  const onGrey = async (size: number, left: number, top: number, side = 512) =>
    sharp({ create: { width: side, height: side, channels: 3, background: '#777' } })
      .composite([
        {
          input: await sharp(await jpeg('dara'))
            .resize(size, size)
            .toBuffer(),
          left,
          top,
        },
      ])
      .png()
      .toBuffer();
  const changed = async (name: string, change: (image: Sharp) => Sharp) =>
    change(sharp(await jpeg(name)))
      .png()
      .toBuffer();

  it.each<[string, () => Promise<Uint8Array>, string]>([
    ['a black picture', black, 'face_too_dark'],
    ['noise', noise, 'face_not_found'],
    ['two people side by side', pair, 'face_ambiguous'],
    ['lying on its side', () => changed('ada', (image) => image.rotate(90)), 'face_tilted'],
    ['upside down', () => changed('ada', (image) => image.rotate(180)), 'face_tilted'],
    ['a face of 35 pixels', () => onGrey(90, 200, 200), 'face_too_small'],
    ['a dark room', () => changed('dara', (image) => image.linear(0.08, 0)), 'face_too_dark'],
    ['a lens out of focus', () => changed('ada', (image) => image.blur(7)), 'face_blurred'],
    [
      'half a face',
      () => changed('hugo', (image) => image.extract({ left: 215, top: 0, width: 297, height: 512 })),
      'face_cut_off',
    ],
  ])('%s is refused with its reason, and nothing is stored', async (_, picture, code) => {
    await expect(store.create(await picture(), { name: 'x' })).rejects.toMatchObject({
      code,
      remedy: expect.any(String),
    });
    expect(store.list()).toEqual([]);
    expect(await readdir(directory)).toEqual([]);
  });
});

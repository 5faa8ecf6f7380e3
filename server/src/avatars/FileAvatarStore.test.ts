import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Tensor } from '../contracts.ts';
import { DEFAULT_LIMITS } from '../transport/index.ts';
import { addBuiltIns } from './addBuiltIns.ts';
import { FileAvatarStore, type FileAvatarStoreOptions } from './FileAvatarStore.ts';
import { faceLandmarks, gradientImage, observed } from './testdata/face.ts';

const LANDMARKS = faceLandmarks(256, 200, 97);

/** Keeps the portrait and landmarks that it was given as tensors, so that a test sees what reached the model. */
function recorder(model = 'test@1.0.0') {
  const encoder = {
    model,
    calls: 0,
    async encode(portrait: Uint8Array, landmarks: Float32Array) {
      encoder.calls++;
      return new Map<string, Tensor>([
        ['portrait', { dtype: 'uint8', shape: [512, 512, 3], data: portrait.slice() }],
        ['landmarks', { dtype: 'float32', shape: [68, 2], data: new Uint8Array(landmarks.slice().buffer) }],
      ]);
    },
  };
  return encoder;
}

describe('FileAvatarStore', () => {
  let directory: string;
  let square: Buffer;
  beforeAll(async () => {
    square = await gradientImage(512, 512).png().toBuffer();
  });
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'facewire-avatars-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const open = (options: Partial<FileAvatarStoreOptions> = {}) =>
    FileAvatarStore.open({ directory, encoder: recorder(), ...options });
  const pixelAt = (data: Uint8Array, x: number, y: number) => [
    ...data.subarray((y * 512 + x) * 3, (y * 512 + x) * 3 + 3),
  ];

  it('makes an avatar of a portrait and has it back after a restart', async () => {
    const store = await open();
    const info = await store.create(square, { name: 'Zoë Müller', landmarks: LANDMARKS });
    expect(info).toMatchObject({ name: 'Zoë Müller', model: 'test@1.0.0', builtIn: false });
    expect(info.id).toMatch(/^zoe-muller-[0-9a-f]{6}$/);
    const loaded = await store.load(info.id);
    expect(pixelAt(loaded.tensors.get('portrait')!.data, 511, 0)).toEqual([255, 0, 100]);
    const points = new Float32Array(loaded.tensors.get('landmarks')!.data.buffer);
    expect(points[36 * 2]).toBeCloseTo(LANDMARKS[36]![0] / 256 - 1, 4);

    const encoder = recorder();
    const again = await open({ encoder });
    expect(again.list()).toEqual([info]);
    const reloaded = await again.load(info.id);
    expect(reloaded).toMatchObject({ id: info.id, name: info.name, model: info.model });
    for (const [name, { data, ...rest }] of loaded.tensors) {
      expect(reloaded.tensors.get(name)).toMatchObject(rest);
      expect(Buffer.compare(reloaded.tensors.get(name)!.data, data)).toBe(0);
    }
    expect(encoder.calls).toBe(0);
    const thumbnail = await sharp(await again.portrait(info.id)).metadata();
    expect([thumbnail.format, thumbnail.width, thumbnail.height]).toEqual(['jpeg', 256, 256]);
    expect((await readdir(directory)).filter((file) => file.endsWith('.tmp'))).toEqual([]);
  });

  it('reads JPEG and WebP too, in grey and with transparency', async () => {
    const store = await open();
    const files = [
      await gradientImage(512, 512).jpeg().toBuffer(),
      await gradientImage(512, 512).webp().toBuffer(),
      await gradientImage(512, 512).greyscale().jpeg().toBuffer(),
      await gradientImage(512, 512).ensureAlpha(0.5).png().toBuffer(),
      await gradientImage(512, 512).toColourspace('rgb16').png().toBuffer(),
    ];
    for (const file of files) {
      const { id } = await store.create(file, { name: 'x', landmarks: LANDMARKS });
      expect((await store.load(id)).tensors.get('portrait')!.data).toHaveLength(512 * 512 * 3);
    }
  });

  it('turns the picture by its EXIF orientation before the landmarks apply', async () => {
    // Stored lying (orientation 6: turn clockwise to see it), seen 400 wide and 900 high.
    const file = await gradientImage(900, 400).jpeg({ quality: 98 }).withMetadata({ orientation: 6 }).toBuffer();
    const store = await open();
    const landmarks = faceLandmarks(200, 600, 57); // a crop of 300² from (50, 483) on
    const { id } = await store.create(file, { name: 'x', landmarks });
    const { data } = (await store.load(id)).tensors.get('portrait')!;
    // Seen upright, red grows downwards and green to the left.
    const [red, green] = pixelAt(data, 256, Math.round(0.39 * 512));
    expect(red).toBeCloseTo((255 * 600) / 900, -1);
    expect(green).toBeCloseTo(127, -1);
    expect(pixelAt(data, 256, 500)[0]!).toBeGreaterThan(red! + 30);
    await expect(store.create(file, { name: 'x', landmarks: faceLandmarks(600, 200, 57) })).rejects.toMatchObject({
      code: 'landmarks_invalid',
      message: expect.stringContaining('400×900'),
    });
  });

  it('crops a picture that is not framed as a portrait, repeating its edges', async () => {
    const store = await open();
    const file = await gradientImage(1200, 300).png().toBuffer();
    const { id } = await store.create(file, { name: 'x', landmarks: faceLandmarks(100, 90, 95) }); // 500², from (−150, −105)
    const { data } = (await store.load(id)).tensors.get('portrait')!;
    expect(pixelAt(data, 0, 0)).toEqual([0, 0, 100]);
    expect(pixelAt(data, 100, 256)[0]).toBe(0); // left of the picture
    expect(pixelAt(data, 256, 511)[1]).toBe(255); // below it
    expect(pixelAt(data, 256, 256)[0]).toBeCloseTo((255 * 100) / 1200, -1);
  });

  it('refuses what is no picture, is broken, or too large', async () => {
    const store = await open({ maxPixels: 300_000, maxBytes: 200_000 });
    const create = (file: Uint8Array) => store.create(file, { name: 'x', landmarks: LANDMARKS });
    const unreadable = { code: 'image_unreadable', remedy: expect.any(String) };
    await expect(
      create(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')),
    ).rejects.toMatchObject(unreadable);
    await expect(create(new Uint8Array(0))).rejects.toMatchObject(unreadable);
    await expect(create(square.subarray(0, 300))).rejects.toMatchObject(unreadable);
    await expect(create(Buffer.concat([square.subarray(0, 40), Buffer.alloc(400)]))).rejects.toMatchObject(unreadable);
    await expect(create(await gradientImage(600, 600).jpeg().toBuffer())).rejects.toMatchObject({
      code: 'image_too_large',
      message: expect.stringContaining('600'),
    });
    await expect(create(Buffer.alloc(200_001, 1))).rejects.toMatchObject({ code: 'image_too_large' });
    expect(store.list()).toEqual([]);
    expect(await readdir(directory)).toEqual([]);
  });

  it('takes files as long as the transports do', async () => {
    const store = await open();
    const jpeg = await gradientImage(512, 512).jpeg().toBuffer();
    const padded = (bytes: number) => Buffer.concat([jpeg, Buffer.alloc(bytes - jpeg.length)]);
    const create = (bytes: number) => store.create(padded(bytes), { name: 'x', landmarks: LANDMARKS });
    await create(DEFAULT_LIMITS.maxBodyBytes);
    await expect(create(DEFAULT_LIMITS.maxBodyBytes + 1)).rejects.toMatchObject({ code: 'image_too_large' });
  });

  it('refuses a picture of a hundred megapixels by its header', async () => {
    const store = await open();
    const giant = Buffer.from(await sharp(square).png().toBuffer());
    giant.writeUInt32BE(10_000, 16);
    giant.writeUInt32BE(10_000, 20);
    giant.writeUInt32BE(crc32(giant.subarray(12, 29)), 29); // of IHDR
    await expect(store.create(giant, { name: 'x', landmarks: LANDMARKS })).rejects.toMatchObject({
      code: 'image_too_large',
      message: expect.stringContaining('10000×10000'),
    });
  });

  it('needs landmarks, from the caller or a tracker', async () => {
    const without = await open();
    await expect(without.create(square, { name: 'x' })).rejects.toMatchObject({ code: 'landmarks_required' });
    const large = await gradientImage(2048, 2048).jpeg().toBuffer();
    const seen: number[] = [];
    const tracked = await open({
      tracker: async ({ rgb, width, height }) => {
        seen.push(width, height, rgb.length);
        return [observed(faceLandmarks(512, 400, 194))];
      },
    });
    const { id } = await tracked.create(large, { name: 'x' });
    expect(seen).toEqual([1024, 1024, 1024 * 1024 * 3]);
    const points = new Float32Array((await tracked.load(id)).tensors.get('landmarks')!.data.buffer);
    expect(points[36 * 2]).toBeCloseTo((512 - 97) / 512 - 1, 4);
  });

  it('looks again, nearer, at a face that is small in a large picture', async () => {
    const seen: number[] = [];
    const store = await open({
      tracker: async ({ width }) => {
        seen.push(width);
        // Small in the preview (eyes 30 pixels apart of 1024), and 5 pixels further right when seen from near.
        return [observed(width === 1024 ? faceLandmarks(700, 300, 30) : faceLandmarks(256 + 5, 0.39 * 512, 97))];
      },
    });
    const { id } = await store.create(await gradientImage(3072, 3072).jpeg().toBuffer(), { name: 'x' });
    expect(seen).toEqual([1024, 512]);
    const points = new Float32Array((await store.load(id)).tensors.get('landmarks')!.data.buffer);
    expect((points[36 * 2]! + points[45 * 2]!) / 2).toBeCloseTo(0, 1); // the crop follows the second look
    expect(points[36 * 2]!).toBeCloseTo(-0.19, 1);
  });

  it('decodes two uploads at once, lets 16 wait and refuses more; closing refuses those that wait', async () => {
    const tracked: (() => void)[] = [];
    const store = await open({
      tracker: () => new Promise((resolve) => tracked.push(() => resolve([observed(faceLandmarks(256, 200, 97))]))),
    });
    const uploads = Array.from({ length: 19 }, () => store.create(square, { name: 'x' }));
    const settled = Promise.allSettled(uploads);
    await expect(uploads.at(-1)).rejects.toMatchObject({ code: 'server_full' });
    await expect.poll(() => tracked).toHaveLength(2);
    const closing = store.close();
    await expect(uploads[2]).rejects.toMatchObject({ code: 'server_closing' });
    for (const done of tracked) done();
    await closing;
    expect(tracked).toHaveLength(2);
    expect((await settled).map(({ status }) => status)).toEqual([
      ...Array(2).fill('fulfilled'),
      ...Array(17).fill('rejected'),
    ]);
    expect(store.list()).toHaveLength(2);
  });

  it('stores nothing of a picture whose face cannot be used', async () => {
    const store = await open({ tracker: async () => [] });
    await expect(store.create(square, { name: 'x' })).rejects.toMatchObject({ code: 'face_not_found' });
    const crowd = await open({
      tracker: async () => [observed(faceLandmarks(150, 200, 60)), observed(faceLandmarks(350, 200, 55))],
    });
    await expect(crowd.create(square, { name: 'x' })).rejects.toMatchObject({ code: 'face_ambiguous' });
    expect([...store.list(), ...crowd.list()]).toEqual([]);
    expect(await readdir(directory)).toEqual([]);
  });

  it('keeps ids apart, also when avatars are made at the same time', async () => {
    const store = await open();
    const options = { name: 'Ann', landmarks: LANDMARKS };
    const made = await Promise.all([1, 2, 3, 4].map(() => store.create(square, options)));
    expect(new Set(made.map(({ id }) => id)).size).toBe(4);
    const same = await Promise.allSettled([1, 2].map(() => store.create(square, { ...options, id: 'ann' })));
    expect(same.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await expect(store.create(square, { ...options, id: 'ann' })).rejects.toMatchObject({ code: 'avatar_exists' });
    for (const id of ['../x', 'A', '', 'a.b', '-a']) {
      await expect(store.create(square, { ...options, id })).rejects.toMatchObject({ code: 'message_malformed' });
    }
    await expect(store.create(square, { ...options, name: '  ' })).rejects.toMatchObject({ code: 'message_malformed' });
  });

  it('counts the characters of a name as code points, also when it reads the avatar back', async () => {
    const store = await open();
    const name = '😀'.repeat(64);
    const { id } = await store.create(square, { name, landmarks: LANDMARKS });
    expect((await open()).get(id)).toMatchObject({ name });
    for (const wrong of [`${name}😀`, 'a\nb']) {
      await expect(store.create(square, { name: wrong, landmarks: LANDMARKS })).rejects.toMatchObject({
        code: 'message_malformed',
      });
    }
  });

  it('deletes an avatar with its files, and says who must forget it', async () => {
    const changed: string[] = [];
    const store = await open({ onChange: (id) => changed.push(id) });
    const { id } = await store.create(square, { name: 'x', landmarks: LANDMARKS });
    await store.delete(id);
    expect(await readdir(directory)).toEqual([]);
    expect(changed).toEqual([id]);
    expect(store.get(id)).toBeUndefined();
    expect(await store.portrait(id)).toBeUndefined();
    await expect(store.load(id)).rejects.toMatchObject({ code: 'avatar_unknown' });
    await expect(store.delete(id)).rejects.toMatchObject({ code: 'avatar_unknown' });
  });

  it('reports a corrupt file and goes on without it', async () => {
    const first = await open();
    const good = await first.create(square, { name: 'good', landmarks: LANDMARKS });
    const bad = await first.create(square, { name: 'bad', landmarks: LANDMARKS });
    const path = join(directory, `${bad.id}.safetensors`);
    const bytes = await readFile(path);

    bytes[bytes.length - 1]! ^= 1; // a flipped bit shows when the avatar is loaded
    await writeFile(path, bytes);
    await expect((await open()).load(bad.id)).rejects.toMatchObject({
      code: 'avatar_corrupt',
      message: expect.stringContaining(path),
      remedy: expect.stringContaining('create the avatar again'),
    });

    await writeFile(path, bytes.subarray(0, 5000)); // a short file when the server starts
    await writeFile(join(directory, `${good.id}.safetensors.12345678.tmp`), 'left by a crash');
    const warnings: string[] = [];
    const store = await open({ warn: (message) => warnings.push(message) });
    expect(store.list().map(({ id }) => id)).toEqual([good.id]);
    expect(warnings).toEqual([expect.stringContaining(path)]);
    expect(await readdir(directory)).toContain(`${bad.id}.safetensors`);
    expect(await readdir(directory)).not.toContain(`${good.id}.safetensors.12345678.tmp`);
    await store.load(good.id);
  });

  it('makes an avatar again from its portrait when the model has changed, once', async () => {
    const { id, createdAt } = await (await open()).create(square, { name: 'x', landmarks: LANDMARKS });
    const encoder = recorder('test@2.0.0');
    const store = await open({ encoder });
    const [avatar] = await Promise.all([store.load(id), store.load(id)]);
    expect(avatar.model).toBe('test@2.0.0');
    expect(encoder.calls).toBe(1);
    expect(store.get(id)).toMatchObject({ model: 'test@2.0.0', createdAt });
    const points = new Float32Array(avatar.tensors.get('landmarks')!.data.buffer);
    expect(points[36 * 2]).toBeCloseTo(LANDMARKS[36]![0] / 256 - 1, 4);
    const restarted = await open({ encoder });
    await restarted.load(id);
    expect(encoder.calls).toBe(1);
  });

  describe('built-in portraits', () => {
    let portraits: string;
    beforeEach(async () => {
      portraits = await mkdtemp(join(tmpdir(), 'facewire-portraits-'));
      for (const id of ['ada', 'bo']) {
        await writeFile(join(portraits, `${id}.jpg`), await sharp(square).jpeg().toBuffer());
        const json = { id, name: id.toUpperCase(), landmarks: LANDMARKS, credit: 'made here' };
        await writeFile(join(portraits, `${id}.json`), JSON.stringify(json));
      }
    });
    afterEach(() => rm(portraits, { recursive: true, force: true }));

    it('become avatars once, and again when portrait or model change', async () => {
      const encoder = recorder();
      const store = await open({ encoder });
      const make = async (owner: FileAvatarStore) => {
        expect(await addBuiltIns(owner, portraits)).toEqual(['ada', 'bo']);
        await owner.makeBuiltIns();
      };
      await make(store);
      await store.create(square, { name: 'user', landmarks: LANDMARKS });
      expect(store.list().map(({ builtIn }) => builtIn)).toEqual([true, true, false]);
      expect(store.get('ada')).toMatchObject({ name: 'ADA', builtIn: true });

      const restarted = await open({ encoder });
      await make(restarted);
      expect(encoder.calls).toBe(3);
      await writeFile(join(portraits, 'bo.jpg'), await sharp(square).flop().jpeg().toBuffer());
      await make(restarted);
      expect(encoder.calls).toBe(4);
      const newer = recorder('test@2.0.0');
      await make(await open({ encoder: newer }));
      expect(newer.calls).toBe(2);
    });

    it('are listed at once and made when somebody wants them, the others one after the other', async () => {
      const encoder = recorder();
      const forgotten: string[] = [];
      const store = await open({ encoder, onChange: (id) => forgotten.push(id) });
      await addBuiltIns(store, portraits);
      const listed = store.list();
      expect(listed.map(({ id }) => id)).toEqual(['ada', 'bo']);
      expect(encoder.calls).toBe(0);
      await expect(store.create(square, { name: 'x', id: 'bo', landmarks: LANDMARKS })).rejects.toMatchObject({
        code: 'avatar_exists',
      });
      const [first, again] = await Promise.all([store.load('bo'), store.load('bo')]);
      expect(first.tensors).toBe(again.tensors);
      expect(encoder.calls).toBe(1);
      await store.makeBuiltIns(() => false);
      expect(encoder.calls).toBe(1);
      expect((await sharp(await store.portrait('ada')).metadata()).width).toBe(256);
      await store.makeBuiltIns();
      expect(encoder.calls).toBe(2);
      expect(store.list()).toEqual(listed);
      expect((await (await open({ encoder })).load('bo')).tensors.get('portrait')).toBeDefined();
      expect(forgotten).toEqual([]);
    });

    it('that turn out to be no portraits are reported and dropped', async () => {
      await writeFile(join(portraits, 'bo.jpg'), 'nothing to see');
      const warnings: string[] = [];
      const store = await open({ warn: (message) => warnings.push(message) });
      await addBuiltIns(store, portraits);
      await expect(store.load('bo')).rejects.toMatchObject({ code: 'image_unreadable' });
      await store.makeBuiltIns();
      expect(store.list().map(({ id }) => id)).toEqual(['ada']);
      expect(warnings).toEqual([expect.stringContaining('built-in portrait bo skipped')]);
    });

    it('cannot be deleted', async () => {
      const store = await open();
      await addBuiltIns(store, portraits);
      const refused = { code: 'role_forbidden' };
      await expect(store.delete('ada')).rejects.toMatchObject(refused);
      await store.makeBuiltIns();
      await expect(store.delete('ada')).rejects.toMatchObject(refused);
      expect(store.get('ada')).toBeDefined();
    });

    it('that cannot be used are reported and skipped', async () => {
      await writeFile(join(portraits, 'ada.json'), '{}');
      await rm(join(portraits, 'bo.jpg'));
      const warnings: string[] = [];
      expect(await addBuiltIns(await open(), portraits, (message) => warnings.push(message))).toEqual([]);
      expect(warnings).toEqual([expect.stringContaining('ada.json'), expect.stringContaining('bo.jpg')]);
      expect(await addBuiltIns(await open(), join(portraits, 'nowhere'), (message) => warnings.push(message))).toEqual(
        [],
      );
      expect(warnings).toHaveLength(3);
    });
  });
});

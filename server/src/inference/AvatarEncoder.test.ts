import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AvatarEncoder } from './AvatarEncoder.ts';
import { ModelPackage } from './ModelPackage.ts';
import { TINY_ID, TINY_MODEL } from './testdata/tinyAvatar.ts';

describe('AvatarEncoder', () => {
  let encoder: AvatarEncoder;
  beforeAll(async () => {
    encoder = await AvatarEncoder.create({ package: await ModelPackage.load(TINY_MODEL) });
  });
  afterAll(() => encoder.close());

  it("makes a portrait and its landmarks into the model's avatar tensors", async () => {
    const landmarks = Float32Array.from({ length: 136 }, (_, index) => index / 136);
    const [light, dark] = await Promise.all([
      encoder.encode(new Uint8Array(512 * 512 * 3).fill(255), landmarks),
      encoder.encode(new Uint8Array(512 * 512 * 3), new Float32Array(136)),
    ]);
    expect(encoder.model).toBe(TINY_ID);
    expect([...light.keys()]).toEqual(['picture', 'points']);
    expect(light.get('picture')).toMatchObject({ dtype: 'float32', shape: [3, 32, 32] });
    expect(new Float32Array(light.get('picture')!.data.buffer)[5]).toBeCloseTo(1);
    expect(new Float32Array(dark.get('picture')!.data.buffer)[5]).toBe(0);
    expect(new Float32Array(light.get('points')!.data.buffer)).toEqual(landmarks);
  });

  it('refuses arrays of other lengths at once', () => {
    expect(() => encoder.encode(new Uint8Array(12), new Float32Array(136))).toThrow(RangeError);
    expect(() => encoder.encode(new Uint8Array(512 * 512 * 3), new Float32Array(10))).toThrow(RangeError);
  });
});

import { describe, expect, it } from 'vitest';
import { distinctDetections, readDetections } from './faceTrackerDetections.ts';
import { cropAround, type FaceCrop, faceBox, motionInPicture, type Point, toPicture } from './faceTrackerGeometry.ts';
import { parseTrackerManifest } from './faceTrackerManifest.ts';
import { cutCrop, faceLight } from './faceTrackerPixels.ts';

const TURNED: FaceCrop = { x: 100, y: 60, side: 40, roll: 0.5 };

/** Red grows to the right, green downwards, one level per pixel. */
function ramp(width: number, height: number) {
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) rgb.set([x, y, 7], (y * width + x) * 3);
  return { rgb, width, height };
}

describe('the box of a face', () => {
  it('turns with the face, so that its crop shows the face upright', () => {
    const upright: Point[] = [
      [-0.5, -0.4],
      [0.5, -0.4],
      [0, 0.6],
    ];
    const box = faceBox(
      upright.map(([u, v]) => toPicture(TURNED, u, v)),
      TURNED.roll,
    );
    expect(box.side).toBeCloseTo(20);
    const [x, y] = toPicture(TURNED, 0, 0.1);
    expect([box.x, box.y]).toEqual([expect.closeTo(x, 9), expect.closeTo(y, 9)]);
    expect(cropAround(box).side).toBeCloseTo(30);
  });

  it('brings pose from the crop to the picture: turned by its roll, scaled by its part of the square', () => {
    const motion = new Float32Array(58);
    motion.set([0.1, 0.2, 0.3, 0, 0, -1, 0.7]);
    const out = motionInPicture(motion, TURNED, 200, 100);
    expect(out[2]).toBeCloseTo(0.8);
    expect([out[3], out[4]]).toEqual([expect.closeTo(0), expect.closeTo(0.1)]); // the square is 200 wide around (100, 50)
    expect(out[5]).toBeCloseTo(-1 + Math.log(40 / 200));
    expect([out[0], out[1], out[6]]).toEqual([motion[0], motion[1], motion[6]]);
    expect(motionInPicture(motion, { ...TURNED, roll: 3.1 }, 200, 100)[2]).toBeCloseTo(3.4 - 2 * Math.PI);
  });
});

describe('cutCrop', () => {
  const size = 8;
  const pixel = (out: Uint8Array, x: number, y: number) => [
    ...out.subarray((y * size + x) * 3, (y * size + x) * 3 + 3),
  ];

  it('gives the pixels themselves at scale 1, their mean when it shrinks', () => {
    const out = new Uint8Array(size * size * 3);
    cutCrop(ramp(64, 64), { x: 14, y: 24, side: 8, roll: 0 }, size, out);
    expect(pixel(out, 0, 0)).toEqual([10, 20, 7]);
    expect(pixel(out, 7, 7)).toEqual([17, 27, 7]);
    cutCrop(ramp(64, 64), { x: 26, y: 36, side: 32, roll: 0 }, size, out);
    expect(pixel(out, 0, 0)).toEqual([12, 22, 7]); // of 10…13 and 20…23, halves rounded up
  });

  it('turns clockwise, and repeats the edge beyond it', () => {
    const out = new Uint8Array(size * size * 3);
    cutCrop(ramp(64, 64), { x: 14, y: 24, side: 8, roll: Math.PI / 2 }, size, out);
    expect(pixel(out, 0, 0)).toEqual([17, 20, 7]); // the crop's top left is the picture's top right
    cutCrop(ramp(64, 64), { x: -10, y: 70, side: 8, roll: 0 }, size, out);
    expect(pixel(out, 3, 3)).toEqual([0, 63, 7]);
  });
});

describe('faceLight', () => {
  it('tells sharp from blurred and bright from dark', () => {
    const sharp = new Uint8Array(64 * 64 * 3);
    for (let i = 0; i < 64 * 64; i++) sharp.fill(((i >> 2) + (i >> 8)) % 2 === 0 ? 200 : 60, i * 3, i * 3 + 3);
    const soft = new Uint8Array(64 * 64 * 3);
    for (let i = 0; i < 64 * 64; i++) soft.fill(60 + 2 * (i % 64), i * 3, i * 3 + 3);
    expect(faceLight(sharp, 64)).toMatchObject({ low: expect.closeTo(60), high: expect.closeTo(200) });
    expect(faceLight(sharp, 64).detail).toBeGreaterThan(0.3);
    expect(faceLight(soft, 64).detail).toBeLessThan(0.01);
    expect(faceLight(new Uint8Array(64 * 64 * 3), 64)).toEqual({ low: 0, high: 0, detail: 0 });
  });
});

describe('readDetections', () => {
  /** 24×24 cells; a face of 48 pixels in the given cells, with its score. */
  function grid(faces: [row: number, column: number, score: number][]): Float32Array {
    const cells = new Float32Array(24 * 24 * 6);
    for (const [row, column, score] of faces) {
      cells.set([score, 0.25, -0.5, Math.log(48 / 192), 0, 1], (row * 24 + column) * 6);
    }
    return cells;
  }

  it('reads middle, size and turn from the cell with the locally highest score', () => {
    const found = readDetections(
      grid([
        [10, 4, 0.9],
        [10, 5, 0.8],
        [20, 20, 0.2],
      ]),
      24,
      24,
      8,
      0.3,
    );
    expect(found).toHaveLength(1);
    expect(found[0]!.box).toEqual({
      x: expect.closeTo((4.5 + 0.25) * 8, 4),
      y: expect.closeTo((10.5 - 0.5) * 8, 4),
      side: expect.closeTo(48, 4),
      roll: expect.closeTo(Math.PI / 2, 6),
    });
  });

  it('keeps faces apart and drops the weaker of two that overlap', () => {
    const found = readDetections(
      grid([
        [4, 4, 0.7],
        [4, 6, 0.9],
        [18, 18, 0.6],
      ]),
      24,
      24,
      8,
      0.3,
    );
    expect(found.map(({ score }) => score)).toEqual([0.9, 0.7, 0.6].map((score) => expect.closeTo(score, 5)));
    expect(distinctDetections(found).map(({ score }) => score)).toEqual(
      [0.9, 0.6].map((score) => expect.closeTo(score, 5)),
    );
  });
});

describe('a tracker manifest', () => {
  it('that is none is refused with the way out', () => {
    expect(() => parseTrackerManifest('{', 'x')).toThrow(expect.objectContaining({ code: 'model_corrupt' }));
    expect(() => parseTrackerManifest('{"format":1}', 'x')).toThrow(
      expect.objectContaining({ code: 'model_corrupt', remedy: expect.stringContaining('git') }),
    );
    const bare = { format: 1, name: 't', version: '1.0.0', licence: 'MIT', trainingData: '', stride: 8, files: [] };
    expect(() => parseTrackerManifest(JSON.stringify({ ...bare, expressionNames: [] }), 'x')).toThrow(
      expect.objectContaining({ code: 'model_mismatch' }),
    );
  });
});

import { describe, expect, it } from 'vitest';
import { landmarksProblem } from './checkLandmarks.ts';
import { cropPortrait, FRAMING, landmarksInCrop, planCrop } from './cropPortrait.ts';
import { faceLandmarks } from './testdata/face.ts';

describe('cropPortrait', () => {
  it('keeps a square picture that shows the face at a sensible size', () => {
    for (const eyes of [72, 97, 150]) {
      expect(cropPortrait(faceLandmarks(240, 220, eyes), 512, 512)).toEqual({ left: 0, top: 0, side: 512 });
    }
  });

  it('crops a wide picture, a far face and a near one as the built-in portraits are framed', () => {
    const cases = [
      { face: faceLandmarks(900, 300, 114), width: 1600, height: 900 },
      { face: faceLandmarks(500, 400, 57), width: 1000, height: 1000 },
      { face: faceLandmarks(256, 200, 190), width: 512, height: 512 },
    ];
    for (const { face, width, height } of cases) {
      const crop = cropPortrait(face, width, height);
      const points = landmarksInCrop(face, crop);
      expect((points[45 * 2]! - points[36 * 2]!) / 2).toBeCloseTo(FRAMING.eyeDistance, 2);
      expect((points[36 * 2]! + points[45 * 2]!) / 4 + 0.5).toBeCloseTo(FRAMING.eyeX, 2);
      expect(points[36 * 2 + 1]! / 2 + 0.5).toBeCloseTo(FRAMING.eyeY, 2);
    }
  });

  it('maps corners and centre of the crop to −1, 1 and 0', () => {
    const crop = { left: 10, top: -20, side: 100 };
    expect([
      ...landmarksInCrop(
        [
          [10, -20],
          [110, 80],
          [60, 30],
        ],
        crop,
      ),
    ]).toEqual([-1, -1, 1, 1, 0, 0]);
  });
});

describe('planCrop', () => {
  it('extends by edges what the picture lacks', () => {
    expect(planCrop({ left: -50, top: 0, side: 200 }, 100, 400, 512)).toEqual({
      extract: { left: 0, top: 0, width: 100, height: 200 },
      resize: { width: 256, height: 512 },
      extend: { left: 128, top: 0, right: 128, bottom: 0 },
    });
  });

  it('always adds up to the portrait, wherever the crop lies', () => {
    for (const left of [-700, -513, -3, 0, 7, 299, 300, 900]) {
      for (const side of [1, 33, 300, 511, 2000]) {
        const { extract, resize, extend } = planCrop({ left, top: 5, side }, 300, 200, 512);
        expect(extend.left + resize.width + extend.right).toBe(512);
        expect(extend.top + resize.height + extend.bottom).toBe(512);
        expect(Math.min(extend.left, extend.right, extend.top, extend.bottom)).toBeGreaterThanOrEqual(0);
        expect(Math.min(resize.width, resize.height, extract.width, extract.height)).toBeGreaterThanOrEqual(1);
        expect(extract.left).toBeGreaterThanOrEqual(0);
        expect(extract.left + extract.width).toBeLessThanOrEqual(300);
        expect(extract.top + extract.height).toBeLessThanOrEqual(200);
      }
    }
  });
});

describe('landmarksProblem', () => {
  const face = () => faceLandmarks(256, 200, 100);

  it('finds nothing wrong with a face, upright or tilted', () => {
    for (const roll of [-0.7, 0, 0.4])
      expect(landmarksProblem(faceLandmarks(256, 220, 100, roll), 512, 512)).toBeUndefined();
  });

  const bad: [string, () => unknown, RegExp][] = [
    ['too few points', () => face().slice(1), /67 landmarks/],
    ['no list', () => undefined, /no list/],
    ['NaN', () => face().with(5, [Number.NaN, 3]), /landmark 5 is not/],
    ['a point outside', () => face().with(9, [513, 3]), /landmark 9 .* outside/],
    ['points all in one place', () => face().map(() => [100, 100]), /0.0 pixels apart/],
    ['a tiny face', () => faceLandmarks(256, 200, 20), /20.0 pixels apart/],
    ['a mirrored face', () => face().map(([x, y]) => [512 - x!, y]), /swapped/],
    ['a face upside down', () => face().map(([x, y]) => [x, 400 - y!]), /mouth .* not below/],
    ['a swapped mouth', () => face().with(48, face()[54]!).with(54, face()[48]!), /corners of the mouth/],
    ['a folded jaw', () => face().with(0, face()[16]!).with(16, face()[0]!), /ends of the jaw/],
    ['a chin in the eyes', () => face().with(8, [256, 210]), /chin/],
  ];
  for (const [what, landmarks, message] of bad) {
    it(`refuses ${what}`, () => expect(landmarksProblem(landmarks() as never, 512, 512)).toMatch(message));
  }
});

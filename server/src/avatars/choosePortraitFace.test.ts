import { describe, expect, it } from 'vitest';
import { brightLuma, choosePortraitFace, type ObservedFace } from './choosePortraitFace.ts';
import { faceLandmarks, observed } from './testdata/face.ts';

const PICTURE = { width: 512, height: 512, scale: 1, high: 220 };
const face = (different: Partial<ObservedFace> = {}) => observed(faceLandmarks(256, 200, 97), different);
const refusal = (faces: ObservedFace[], picture = PICTURE) => {
  try {
    choosePortraitFace(faces, picture);
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('choosePortraitFace', () => {
  it('takes the one face, and the large one when others are in the background', () => {
    const portrait = face();
    const far = observed(faceLandmarks(440, 100, 20));
    expect(choosePortraitFace([portrait], PICTURE)).toBe(portrait);
    expect(choosePortraitFace([far, portrait], PICTURE)).toBe(portrait);
  });

  const bad: [
    string,
    ObservedFace[],
    Partial<typeof PICTURE>,
    { code: string; message?: RegExp; [field: string]: unknown },
  ][] = [
    ['no face', [], {}, { code: 'face_not_found' }],
    ['a black picture', [], { high: 5 }, { code: 'face_too_dark' }],
    [
      'two faces alike',
      [face(), observed(faceLandmarks(420, 200, 70))],
      {},
      { code: 'face_ambiguous', received: 'eyes at (256, 200), eyes at (420, 200)' },
    ],
    ['half a face', [observed(faceLandmarks(5, 200, 97))], {}, { code: 'face_cut_off' }],
    [
      'a picture that lies on its side',
      [face({ motion: [0, 0, Math.PI / 2] })],
      {},
      { code: 'face_tilted', remedy: 'turn the picture by 90° anticlockwise' },
    ],
    ['a profile', [face({ motion: [0, -0.8, 0] })], {}, { code: 'face_turned', message: /sideways by 46°/ }],
    ['a face from above', [face({ motion: [0.7, 0, 0] })], {}, { code: 'face_turned', message: /down by 40°/ }],
    ['a tiny face', [observed(faceLandmarks(256, 200, 20))], {}, { code: 'face_too_small' }],
    ['a face in the dark', [face({ low: 2, high: 25 })], {}, { code: 'face_too_dark' }],
    ['fog', [face({ low: 180, high: 186 })], {}, { code: 'face_too_dark' }],
    ['a blurred face', [face({ detail: 0.01 })], {}, { code: 'face_blurred' }],
  ];
  for (const [what, faces, picture, { message, ...expected }] of bad) {
    it(`refuses ${what} and says what to do`, () => {
      const error = refusal(faces, { ...PICTURE, ...picture });
      expect(error).toMatchObject({ remedy: expect.any(String), ...expected });
      if (message) expect((error as Error).message).toMatch(message);
    });
  }

  it("counts in the upload's pixels: a face small in the preview may be large enough", () => {
    const small = observed(faceLandmarks(256, 200, 16));
    expect(refusal([small], { ...PICTURE, scale: 0.25 })).toBeUndefined();
    expect(refusal([small], { ...PICTURE, scale: 0.9 })).toMatchObject({ code: 'face_too_small' });
  });

  it('brightLuma is the luma that one pixel in twenty exceeds', () => {
    const rgb = new Uint8Array(100 * 3).fill(10);
    rgb.fill(250, 0, 6 * 3);
    expect(brightLuma(rgb)).toBe(250);
    expect(brightLuma(rgb.fill(10, 0, 3 * 3))).toBe(10);
  });
});

import { LandmarkReader } from '@facewire/client-sdk/landmarks';
import { EXPRESSION_INDEX, type ExpressionName, type HeadPose, type Motion, neutralMotion } from '@facewire/proto';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadFaceBasis, posedPoints } from './bench/faceBasis.ts';

const basis = loadFaceBasis();
/** The basis begins with the 68 landmarks. */
const LANDMARKS = 68;
const PIXELS_PER_MM = 2;
const FRAME_MS = 33;

/** Landmarks as a perfect tracker finds them in a picture of 640 × 480. */
function landmarksOf(motion: Motion): [number, number][] {
  const points = posedPoints(basis, motion);
  return Array.from({ length: LANDMARKS }, (_, index) => [
    320 + PIXELS_PER_MM * points[3 * index]!,
    240 + PIXELS_PER_MM * points[3 * index + 1]!,
  ]);
}

describe('a face that is seen as landmarks only', () => {
  let reader: LandmarkReader;
  let timeMs = 0;

  /** Shows the face for a second, at first at rest; what is read in the end. */
  const read = (pose: Partial<HeadPose>, coefficients: Partial<Record<ExpressionName, number>> = {}): Motion => {
    const rest = neutralMotion();
    const motion = { pose: { ...rest.pose, ...pose }, expression: rest.expression.slice() };
    for (const [name, value] of Object.entries(coefficients)) {
      motion.expression[EXPRESSION_INDEX[name as ExpressionName]] = value;
    }
    for (const shown of [rest, motion]) {
      for (let frame = 0; frame < 30; frame++) {
        timeMs += FRAME_MS;
        reader.read(landmarksOf(shown), { timeMs });
      }
    }
    return reader.read(landmarksOf(motion), { timeMs: timeMs + FRAME_MS });
  };

  beforeEach(async () => {
    reader = await LandmarkReader.load();
    timeMs = 0;
  });

  it.each([
    ['yaw', 0.5],
    ['yaw', -0.8],
    ['pitch', 0.3],
    ['pitch', -0.3],
    ['roll', 0.4],
  ] as const)('that turns by %s %f is read so, in the sign and size of HeadPose', (angle, value) => {
    const { pose } = read({ [angle]: value });
    expect(pose[angle]).toBeGreaterThan(value - 0.12);
    expect(pose[angle]).toBeLessThan(value + 0.12);
  });

  it('that moves and comes nearer does so from where it usually is', () => {
    const { pose } = read({ tx: 0.4, ty: -0.2, logScale: 0.2 });
    // By now half of the time that was seen it was there.
    expect(pose.tx).toBeGreaterThan(0.15);
    expect(pose.ty).toBeLessThan(-0.07);
    expect(pose.logScale).toBeGreaterThan(0.07);
    reader.recentre();
    const { tx, logScale } = reader.read(landmarksOf({ ...neutralMotion() }), { timeMs: timeMs + 2 * FRAME_MS }).pose;
    expect([tx, logScale]).toEqual([0, 0]);
  });

  it.each([
    [{ jawOpen: 0.7 }, 'jawOpen', 0.4],
    [{ eyeBlinkLeft: 1, eyeBlinkRight: 1 }, 'eyeBlinkLeft', 0.6],
    [{ mouthSmileLeft: 0.8, mouthSmileRight: 0.8 }, 'mouthSmileRight', 0.3],
    [{ browInnerUp: 0.8, browOuterUpLeft: 0.8, browOuterUpRight: 0.8 }, 'browInnerUp', 0.3],
  ] as const)('that shows %o has more of %s than at rest', (shown, name, least) => {
    const rest = read({}).expression[EXPRESSION_INDEX[name]]!;
    reader.reset();
    const found = read({}, shown).expression[EXPRESSION_INDEX[name]]!;
    expect(rest).toBeLessThan(0.2);
    expect(found).toBeGreaterThan(least);
  });

  it('that winks does so on its own side', () => {
    const { expression } = read({}, { eyeBlinkRight: 1 });
    expect(expression[EXPRESSION_INDEX.eyeBlinkRight]! - expression[EXPRESSION_INDEX.eyeBlinkLeft]!).toBeGreaterThan(
      0.3,
    );
  });
});

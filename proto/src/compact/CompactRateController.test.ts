import { describe, expect, it } from 'vitest';
import { synthesizeMotion } from '../motion/synthesizeMotion.ts';
import { CompactMotionDecoder } from './CompactMotionDecoder.ts';
import { CompactMotionEncoder } from './CompactMotionEncoder.ts';
import { CompactRateController } from './CompactRateController.ts';
import { MEASURED_LADDER } from './measuredLadder.ts';
import { chooseRung, ladderFrom, type Rung } from './rateLadder.ts';

const rung = (bytes: number, errorMm: number): Rung => ({
  quality: { poseStep: 1 / 256, expressionStep: 1 / 52, expressionCount: 52 },
  stride: 1,
  bytes,
  errorMm,
});

describe('the rate-distortion ladder', () => {
  it('drops points that cost more and look worse', () => {
    const ladder = ladderFrom([rung(10, 1), rung(12, 2), rung(5, 3), rung(20, 0.5), rung(5.5, 4)]);
    expect(ladder.map(({ bytes }) => bytes)).toEqual([20, 10, 5]);
  });

  it('chooses the best-looking rung within the budget, and the cheapest when none fits', () => {
    const ladder = [rung(20, 0.5), rung(10, 1), rung(5, 3)];
    expect([25, 12, 6, 1].map((budget) => chooseRung(ladder, budget, 1))).toEqual([0, 1, 2, 2]);
    expect(chooseRung(ladder, 12, 2)).toBe(2);
  });

  it('as measured falls in bytes and rises in error', () => {
    expect(MEASURED_LADDER.length).toBeGreaterThan(8);
    MEASURED_LADDER.slice(1).forEach((each, index) => {
      expect(each.bytes).toBeLessThan(MEASURED_LADDER[index]!.bytes);
      expect(each.errorMm).toBeGreaterThanOrEqual(MEASURED_LADDER[index]!.errorMm);
    });
  });
});

describe('the rate controller', () => {
  it.each([800, 300, 200, 120, 60])('keeps a talking face within %i bytes a second', (bytesPerSecond) => {
    const controller = new CompactRateController({ bytesPerSecond });
    const encoder = new CompactMotionEncoder(controller.quality);
    const decoder = new CompactMotionDecoder();
    let bytes = 0;
    let packets = 0;
    const seconds = 20;
    for (let index = 0; index < seconds * 30; index++) {
      if (!controller.shouldSend()) continue;
      const packet = encoder.encode({
        motion: synthesizeMotion(index / 30, 2),
        sequence: index,
        timeMs: (index * 33) & 0xffff,
      });
      decoder.decode(packet);
      bytes += packet.length;
      packets++;
      if (controller.report(packet.length)) encoder.configure(controller.quality);
    }
    // the first packet is self-contained and may borrow from the second that follows
    expect(bytes / seconds).toBeLessThan(bytesPerSecond + 3);
    expect(packets).toBeGreaterThan(seconds * 3);
  });

  it('spends a large budget on looks and a small one on staying alive', () => {
    const rich = new CompactRateController({ bytesPerSecond: 2000 });
    const poor = new CompactRateController({ bytesPerSecond: 80 });
    expect(rich.expectedErrorMm).toBeLessThan(0.3);
    expect(poor.expectedErrorMm).toBeGreaterThan(rich.expectedErrorMm);
  });

  it('comes down at once when the face gets lively, and climbs back one rung at a time', () => {
    const controller = new CompactRateController({ bytesPerSecond: 450 });
    const errors: number[] = [];
    for (let index = 0; index < 600; index++) {
      if (controller.shouldSend()) controller.report(index >= 100 && index < 200 ? 40 : 8);
      errors.push(controller.expectedErrorMm);
    }
    expect(errors[190]!).toBeGreaterThan(errors[95]!);
    expect(errors[599]!).toBeLessThan(errors[190]!);
    const climbs = errors.slice(1).filter((error, index) => error < errors[index]!).length;
    expect(climbs).toBeGreaterThan(1);
  });

  it('refuses a budget of nothing', () => {
    expect(() => new CompactRateController({ bytesPerSecond: 0 })).toThrow(RangeError);
  });
});

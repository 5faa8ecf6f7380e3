import { eulerFromRotation, rotationFromEuler, trackToMotions } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import type { TrackedFace } from './faceTracker.ts';
import type { RgbImage } from './faceTrackerPixels.ts';
import { toMotionTrack, trackSequence } from './faceTrackerSequence.ts';

function face(...values: number[]): TrackedFace {
  const motion = new Float32Array(58);
  motion.set(values);
  return { landmarks: [], motion, spread: 1, score: 1, low: 0, high: 255, detail: 1 };
}

describe('toMotionTrack', () => {
  it('comes back through trackToMotions as the pose and coefficients that were seen', () => {
    const seen = [face(0.2, -0.4, 0.1, 0.1, 0.2, -3, 0.7), face(0, 0, 0, 0, 0, -3), face(-0.1, 0.3, 0.5, 0, 0, -2.9)];
    const motions = trackToMotions(toMotionTrack(seen, { source: 'test', fps: 25 }), {
      eyeDistance: 8.92 * Math.exp(-3),
    });
    for (const [index, { motion }] of seen.entries()) {
      const { pose, expression } = motions[index]!;
      const [pitch, yaw, roll] = motion as unknown as [number, number, number];
      expect(rotationFromEuler(pose)).toEqual(
        rotationFromEuler({ pitch, yaw, roll }).map((value) => expect.closeTo(value, 5)),
      );
      expect(eulerFromRotation(rotationFromEuler(pose)).yaw).toBeCloseTo(yaw, 5);
      expect(pose.tx).toBeCloseTo(motion[3]!, 5);
      expect(pose.ty).toBeCloseTo(motion[4]!, 5);
      expect(expression[0]).toBeCloseTo(motion[6]!, 5);
    }
    expect(motions[2]!.pose.logScale).toBeCloseTo(0.1, 5);
  });

  it('holds still where the face is lost, and says when there never was one', () => {
    const track = toMotionTrack([undefined, face(0.1), undefined], { source: 'test', fps: 25 });
    expect(track.frames.map((row) => row[0])).toEqual([0.1, 0.1, 0.1].map((value) => expect.closeTo(value, 6)));
    expect(() => toMotionTrack([undefined], { source: 'empty.mp4', fps: 25 })).toThrow(/empty\.mp4: no face/);
  });
});

describe('trackSequence', () => {
  it('follows the face, and searches the whole picture only at the start and when it is lost', async () => {
    const calls: string[] = [];
    const answers = [face(1), undefined, face(3)];
    const tracker = {
      find: async () => {
        calls.push('find');
        return calls.length === 1 ? [face(0)] : [];
      },
      follow: async () => {
        calls.push('follow');
        return answers.shift();
      },
    };
    const picture: RgbImage = { rgb: new Uint8Array(3), width: 1, height: 1 };
    const found: (number | undefined)[] = [];
    for await (const seen of trackSequence(tracker, [picture, picture, picture, picture])) found.push(seen?.motion[0]);
    expect(found).toEqual([0, 1, undefined, undefined]);
    expect(calls).toEqual(['find', 'follow', 'follow', 'find', 'find']);
  });
});

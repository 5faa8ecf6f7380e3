import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXPRESSION_NAMES, type Motion, type MotionTrack, synthesizeMotion, trackToMotions } from '@facewire/proto';

export interface BenchTrack {
  source: string;
  fps: number;
  motions: Motion[];
}

const SHARED = new URL('../../../shared/motion-tracks/', import.meta.url).pathname;
const SYNTHETIC_SECONDS = 12;
const SYNTHETIC_FPS = 30;
/** jitter of a tracker: what the synthetic tracks lack to be as hard as recorded ones */
const EXPRESSION_NOISE = 0.01;
const POSE_NOISE = 0.002;

/** `directory`, else ../shared/motion-tracks where it exists, else ten synthetic tracks; `from` says which. */
export function loadTracks(directory?: string): { from: string; tracks: BenchTrack[] } {
  const chosen = directory ?? (existsSync(SHARED) ? SHARED : undefined);
  if (chosen === undefined)
    return { from: 'synthetic', tracks: Array.from({ length: 10 }, (_, seed) => synthetic(seed)) };
  const files = readdirSync(chosen)
    .filter((file) => file.endsWith('.json'))
    .sort();
  if (files.length === 0)
    throw new Error(`${chosen} holds no .json track: pass --tracks with a folder of motion tracks`);
  const tracks = files.map((file) => {
    const track = JSON.parse(readFileSync(join(chosen, file), 'utf8')) as MotionTrack;
    return { source: track.source, fps: track.fps, motions: trackToMotions(track) };
  });
  return { from: chosen, tracks };
}

/** Synthetic motion with a tracker's jitter on what moves; the same for the same seed. */
export function synthetic(seed: number): BenchTrack {
  const random = mulberry(seed + 1);
  const gaussian = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const motions = Array.from({ length: SYNTHETIC_SECONDS * SYNTHETIC_FPS }, (_, frame) => {
    const { pose, expression } = synthesizeMotion(frame / SYNTHETIC_FPS, seed);
    return {
      pose: {
        pitch: pose.pitch + POSE_NOISE * gaussian(),
        yaw: pose.yaw + POSE_NOISE * gaussian(),
        roll: pose.roll + POSE_NOISE * gaussian(),
        tx: pose.tx + POSE_NOISE * gaussian(),
        ty: pose.ty + POSE_NOISE * gaussian(),
        logScale: pose.logScale + POSE_NOISE * gaussian(),
      },
      expression: Float32Array.from(EXPRESSION_NAMES, (_name, index) => {
        const value = expression[index]!;
        return value === 0 ? 0 : Math.min(1, Math.max(0, value + EXPRESSION_NOISE * gaussian()));
      }),
    };
  });
  return { source: `synthetic-${seed}`, fps: SYNTHETIC_FPS, motions };
}

export function mulberry(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

import { EXPRESSION_INDEX, type ExpressionName } from './expressions.ts';
import { type Motion, neutralMotion } from './Motion.ts';
import { addSpeech, boutAt, emphasisAt, smileBetweenBouts } from './speechRhythm.ts';
import { bump, chance, drift, ease } from './waves.ts';

/**
 * What a person in conversation does at a moment: talks in bouts, blinks, glances, raises the brows and nods on what
 * matters, drifts with the head, smiles between bouts. Pure: the same time and seed give the same motion, and the
 * result is continuous in time, so any frame rate and any order of calls will do.
 *
 * `timeSeconds` may be any finite number, `seed` any integer; different seeds are different people. The head stays
 * within ±12° of yaw, ±8° of pitch and ±5° of roll.
 */
export function synthesizeMotion(timeSeconds: number, seed: number): Motion {
  if (!Number.isFinite(timeSeconds)) throw new RangeError(`timeSeconds is ${timeSeconds}, expected a finite number`);
  if (!Number.isInteger(seed)) throw new RangeError(`seed is ${seed}, expected an integer`);
  const motion = neutralMotion();
  const add = (name: ExpressionName, amount: number) => {
    const index = EXPRESSION_INDEX[name];
    motion.expression[index] = Math.min(1, Math.max(0, motion.expression[index]! + amount));
  };
  const both = (name: string, amount: number, lean = 0) => {
    add(`${name}Left` as ExpressionName, amount * (1 + lean));
    add(`${name}Right` as ExpressionName, amount * (1 - lean));
  };

  const bout = boutAt(timeSeconds, seed);
  const emphasis = emphasisAt(timeSeconds, seed) * bout.level;
  // No expression is held quite still.
  const smile = smileBetweenBouts(timeSeconds, seed) * (0.85 + 0.15 * drift(timeSeconds / 0.9, seed, 'smile'));
  const gaze = gazeAt(timeSeconds, seed);
  // Faces are not symmetric: each person smiles and raises the brows a little more on one side.
  const lean = (chance(seed, 'lean', 0) - 0.5) * 0.25;

  addSpeech(bout, seed, add, both);
  both('mouthSmile', 0.05 + smile * 0.6, lean);
  both('cheekSquint', smile * 0.35);
  both('eyeSquint', 0.04 + smile * 0.22);
  both('mouthDimple', smile * 0.12, lean);
  both('mouthUpperUp', smile * 0.1);

  const sideways = drift(timeSeconds / 2.3, seed, 'mouth sideways') * 0.06;
  add('mouthLeft', Math.max(0, sideways));
  add('mouthRight', Math.max(0, -sideways));
  add('mouthShrugLower', 0.04 + 0.04 * drift(timeSeconds / 1.9, seed, 'chin'));
  both('mouthPress', Math.max(0, drift(timeSeconds / 1.7, seed, 'lips') - 0.5) * 0.3 * (1 - bout.level));

  const brow = drift(timeSeconds / 3.7, seed, 'brow') * 0.08 + 0.06;
  add('browInnerUp', brow + emphasis * 0.45);
  both('browOuterUp', brow * 0.6 + emphasis * 0.4, lean);
  both('eyeWide', emphasis * 0.15);
  both('browDown', Math.max(0, -drift(timeSeconds / 5.3, seed, 'frown') - 0.3) * 0.3);

  both('eyeBlink', blinkAt(timeSeconds, seed));
  addGaze(gaze, add, both);
  motion.pose = headPose(timeSeconds, seed, emphasis);
  return motion;
}

/** One blink in every cell of 4 s, starting within the cell's first 2 s: intervals of 2 to 6 s. */
const BLINK_CELL_SECONDS = 4;

/** Lid closure, 0…1: shut in the first third of 150–250 ms, held for a moment, opened in the rest. */
function blinkAt(time: number, seed: number): number {
  const cell = Math.floor(time / BLINK_CELL_SECONDS);
  const start = cell * BLINK_CELL_SECONDS + chance(seed, 'blink', cell) * 2;
  const duration = 0.15 + chance(seed, 'blink length', cell) * 0.1;
  const phase = (time - start) / duration;
  if (phase <= 0 || phase >= 1) return 0;
  return phase < 0.4 ? ease(phase / 0.36) : 1 - ease((phase - 0.4) / 0.6);
}

interface Gaze {
  /** to the subject's right (the image's left) where positive, about −0.6…0.6 */
  right: number;
  /** positive up */
  up: number;
}

const GAZE_CELL_SECONDS = 1.6;
const SACCADE_SECONDS = 0.08;

/** A fixation per cell, reached by a saccade that starts in the cell's first half. */
function gazeAt(time: number, seed: number): Gaze {
  const cell = Math.floor(time / GAZE_CELL_SECONDS);
  const start = (cell + chance(seed, 'saccade', cell) * 0.5) * GAZE_CELL_SECONDS;
  const from = fixation(cell - 1, seed);
  const to = fixation(cell, seed);
  const weight = ease((time - start) / SACCADE_SECONDS);
  return { right: from.right + (to.right - from.right) * weight, up: from.up + (to.up - from.up) * weight };
}

function fixation(cell: number, seed: number): Gaze {
  // More than half of the time the eyes rest near the listener, else they glance away in some direction.
  const reach = chance(seed, 'glance', cell) < 0.4 ? 0.7 + 0.3 * chance(seed, 'reach', cell) : 0.15;
  const direction = chance(seed, 'direction', cell) * 2 * Math.PI;
  return { right: Math.cos(direction) * 0.55 * reach, up: Math.sin(direction) * 0.35 * reach };
}

function addGaze(
  gaze: Gaze,
  add: (name: ExpressionName, amount: number) => void,
  both: (name: string, amount: number) => void,
): void {
  add('eyeLookOutRight', Math.max(0, gaze.right));
  add('eyeLookInLeft', Math.max(0, gaze.right));
  add('eyeLookInRight', Math.max(0, -gaze.right));
  add('eyeLookOutLeft', Math.max(0, -gaze.right));
  both('eyeLookUp', Math.max(0, gaze.up));
  both('eyeLookDown', Math.max(0, -gaze.up));
}

function headPose(time: number, seed: number, emphasis: number): Motion['pose'] {
  // The amplitudes add up to less than the ranges that synthesizeMotion promises.
  const yaw =
    0.12 * drift(time / 2.6, seed, 'yaw') +
    0.055 * drift(time / 1.2, seed, 'yaw quick') +
    0.015 * drift(time / 0.5, seed, 'yaw tremor');
  const pitch =
    0.04 * drift(time / 2.3, seed, 'pitch') +
    0.02 * drift(time / 0.8, seed, 'pitch quick') +
    0.045 * emphasis +
    nodAt(time, seed);
  const roll = 0.055 * drift(time / 3.1, seed, 'roll') + 0.025 * drift(time / 1.1, seed, 'roll quick');
  return {
    pitch,
    yaw,
    roll,
    // The head turns about the neck, so that it also moves a little; breathing lifts it.
    tx: -0.12 * yaw + 0.025 * drift(time / 4.3, seed, 'tx'),
    ty: 0.1 * pitch + 0.012 * drift(time / 3.3, seed, 'ty') + 0.004 * Math.sin(time * 1.6 + seed),
    logScale: 0.02 * drift(time / 5.1, seed, 'scale'),
  };
}

const NOD_CELL_SECONDS = 5;

/** Now and then a small double nod, as one who listens gives. Radians, nose down positive, at most 0.03 either way. */
function nodAt(time: number, seed: number): number {
  const cell = Math.floor(time / NOD_CELL_SECONDS);
  if (chance(seed, 'nod', cell) > 0.45) return 0;
  const start = cell * NOD_CELL_SECONDS + chance(seed, 'nod start', cell) * 3.5;
  const phase = (time - start) / 1.1;
  return 0.03 * bump(phase) * Math.sin(phase * 4 * Math.PI);
}

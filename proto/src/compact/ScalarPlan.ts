import type { CompactSettings } from './CompactSettings.ts';
import { highest, lowest, travels } from './CompactState.ts';
import { LEAN_BASE, LEVEL_BASE, QUESTION_SHIFT, WEIGHT_COUNT } from './CompactTables.ts';
import { MEMORY } from './modelMemory.ts';
import { FACE_COUNT, FACE_ORDER, POSE_COUNT, rowOf } from './scalars.ts';

/** numbers in `places` for each scalar */
export const PLACES_SHIFT = 3;
const FIELDS = 1 << PLACES_SHIFT;
/** coefficients below this have classes of their own; above: 6, and 7 at the top of their range */
const LEVEL_STARTS = [1, 2, 3, 4, 8, 16] as const;

/** What of a packet's scalars depends on the settings alone. */
export interface ScalarPlan {
  settings: CompactSettings;
  /** scalars that travel */
  count: number;
  /**
   * for each that travels, in coding order: its index, its zone while it is not at 0, and the first weights of its
   * row's contexts of lean and of level, and of its predictor; behind all that the class of each value of a coefficient, as a distance between weights, 0 at 0
   */
  places: Uint16Array;
  /** range of each place's value */
  lowest: Int32Array;
  highest: Int32Array;
}

export function planScalars(settings: CompactSettings, ranks: Uint8Array): ScalarPlan {
  const order = Array.from(
    { length: FACE_COUNT + 3 * settings.keypointCount },
    (_, position) => FACE_ORDER[position] ?? position,
  ).filter((scalar) => travels(settings, ranks, scalar));
  const places = new Uint16Array(order.length * FIELDS + settings.expressionDenominator + 1);
  order.forEach((scalar, place) => {
    const zone = scalar < POSE_COUNT ? 0 : scalar >= FACE_COUNT ? 1 : 2;
    const lean = (LEAN_BASE + rowOf(scalar) * 5) << QUESTION_SHIFT;
    const level = (LEVEL_BASE + rowOf(scalar) * 8) << QUESTION_SHIFT;
    places.set([scalar, zone, lean, level, MEMORY.PREDICTOR + rowOf(scalar) * WEIGHT_COUNT], place * FIELDS);
  });
  for (let value = 0; value <= settings.expressionDenominator; value++) {
    const level = LEVEL_STARTS.filter((start) => value >= start).length;
    const top = level === 6 && value === settings.expressionDenominator;
    places[order.length * FIELDS + value] = (top ? 7 : level) << QUESTION_SHIFT;
  }
  return {
    settings,
    count: order.length,
    places,
    lowest: Int32Array.from(order, (scalar) => lowest(settings, scalar)),
    highest: Int32Array.from(order, (scalar) => highest(settings, scalar)),
  };
}

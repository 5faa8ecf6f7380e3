import { type CompactSettings, DEFAULT_SETTINGS } from './CompactSettings.ts';
import { highest, lowest, travels } from './CompactState.ts';
import { QUESTION_SHIFT } from './CompactTables.ts';
import { FACE_COUNT, FACE_ORDER, POSE_COUNT, rowOf } from './scalars.ts';

/** Parts of a place, from the lowest bit: its scalar, its zone while it is not at 0, its row in the tables. */
export const PLACE = { ZONE_SHIFT: 9, ROW_SHIFT: 11, SCALAR_MASK: 511, ZONE_MASK: 3 } as const;
/** coefficients below this have classes of their own; above: 6, and 7 at the top of their range */
const LEVEL_STARTS = [1, 2, 3, 4, 8, 16] as const;

/** What of a packet's scalars depends on the settings alone. */
export interface ScalarPlan {
  settings: CompactSettings;
  /** scalars that travel */
  count: number;
  /** for each that travels, in coding order: PLACE */
  places: Uint32Array;
  /** the class of each value of a coefficient, as a distance between weights */
  levels: Uint8Array;
  /** range of each place's value */
  lowest: Int32Array;
  highest: Int32Array;
}

/** plans of DEFAULT_SETTINGS by the tables' ranks: almost every connection's */
const DEFAULT_PLANS = new WeakMap<Uint8Array, ScalarPlan>();

export function planScalars(settings: CompactSettings, ranks: Uint8Array): ScalarPlan {
  if (settings !== DEFAULT_SETTINGS) return newPlan(settings, ranks);
  const known = DEFAULT_PLANS.get(ranks);
  if (known !== undefined) return known;
  const plan = newPlan(settings, ranks);
  DEFAULT_PLANS.set(ranks, plan);
  return plan;
}

function newPlan(settings: CompactSettings, ranks: Uint8Array): ScalarPlan {
  const order = Array.from(
    { length: FACE_COUNT + 3 * settings.keypointCount },
    (_, position) => FACE_ORDER[position] ?? position,
  ).filter((scalar) => travels(settings, ranks, scalar));
  const places = Uint32Array.from(order, (scalar) => {
    const zone = scalar < POSE_COUNT ? 0 : scalar >= FACE_COUNT ? 1 : 2;
    return (rowOf(scalar) << PLACE.ROW_SHIFT) | (zone << PLACE.ZONE_SHIFT) | scalar;
  });
  const levels = Uint8Array.from({ length: settings.expressionDenominator + 1 }, (_, value) => {
    const level = LEVEL_STARTS.filter((start) => value >= start).length;
    return (level === 6 && value === settings.expressionDenominator ? 7 : level) << QUESTION_SHIFT;
  });
  return {
    settings,
    count: order.length,
    places,
    levels,
    lowest: Int32Array.from(order, (scalar) => lowest(settings, scalar)),
    highest: Int32Array.from(order, (scalar) => highest(settings, scalar)),
  };
}

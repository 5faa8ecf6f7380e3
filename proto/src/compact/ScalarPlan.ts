import { type CompactSettings, DEFAULT_SETTINGS } from './CompactSettings.ts';
import { highest, lowest, travels } from './CompactState.ts';
import { FACE_COUNT, FACE_ORDER } from './scalars.ts';

/** What of a packet's scalars depends on the settings alone. */
export interface ScalarPlan {
  settings: CompactSettings;
  /** scalars of the motion */
  scalarCount: number;
  /** those that travel, in coding order */
  places: Int32Array;
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
  const scalarCount = FACE_COUNT + 3 * settings.keypointCount;
  const order = Array.from({ length: scalarCount }, (_, position) => FACE_ORDER[position] ?? position).filter(
    (scalar) => travels(settings, ranks, scalar),
  );
  return {
    settings,
    scalarCount,
    places: Int32Array.from(order),
    lowest: Int32Array.from(order, (scalar) => lowest(settings, scalar)),
    highest: Int32Array.from(order, (scalar) => highest(settings, scalar)),
  };
}

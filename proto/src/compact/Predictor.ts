import { type CompactState, SCALAR_FIELDS } from './CompactState.ts';
import { type CompactTables, PREDECESSOR_COUNT, WEIGHT_COUNT } from './CompactTables.ts';
import type { ScalarPlan } from './ScalarPlan.ts';
import { FACE_COUNT, FACE_ORDER, POSE_COUNT, ROW_COUNT, rowOf, SCALAR_LIMIT } from './scalars.ts';

// this module's own constants are folded into its code, imported ones are not: see ScalarContexts.ts
const { VALUE, CHANGE, CHANGE_BEFORE, MEAN, STRIDE_SHIFT } = SCALAR_FIELDS;
const FACE = FACE_COUNT;
const POSE = POSE_COUNT;
const PREDECESSORS = PREDECESSOR_COUNT;
const WEIGHTS = WEIGHT_COUNT;
const CHANGE_LIMIT = 63;
const DRIFT_LIMIT = 4096; // 16 steps
/** mistakes below 3/4 step teach nothing, those beyond 6 steps no more than that; 1/256 */
const MISTAKE_IGNORED = 192;
const MISTAKE_LIMIT = 1536;
const LEARNING_RATE = 1024;
const MADE = 64;
/** fills lists of followers up to whole fours */
const NOBODY = MADE - 1;
/** keypoints are predicted from the same and the other axes of those coded just before */
const KEYPOINT_OFFSETS = [3, 6, 1, 2] as const;

/**
 * What the change of a scalar will be: a linear function of changes earlier in the packet and of the scalar's own
 * past. Its weights start at the tables' and follow the face by normalised least mean squares.
 */
export class Predictor {
  private readonly tables: CompactTables;
  private readonly predecessors: Uint8Array;
  /** ROW_COUNT × WEIGHT_COUNT, 1/65536; those of pose and coefficients adapt */
  private readonly weights = new Int32Array(ROW_COUNT * WEIGHT_COUNT);
  /**
   * The tables' predecessors the other way round: for each scalar those that it predicts, index of the weight · 64 +
   * scalar, from followersFrom[scalar] on. Most changes are zero, so handing them on costs less than asking for them.
   */
  private readonly followers: Uint16Array;
  private readonly followersFrom: Uint16Array;
  /** changes in the packet so far, limited */
  private readonly changes = new Int32Array(SCALAR_LIMIT);
  /** for each scalar what they say about its change, 1/65536, the last for NOBODY; from MADE on predictions, 1/256 */
  private readonly heard = new Int32Array(2 * MADE);

  constructor(tables: CompactTables) {
    this.tables = tables;
    this.predecessors = tables.predecessors;
    const { followers, from } = followersOf(tables);
    this.followers = followers;
    this.followersFrom = from;
    this.forget();
  }

  /** Back to the tables' weights. */
  forget(): void {
    const { weights, tables } = this;
    for (let index = 0; index < weights.length; index++) weights[index] = tables.weights[index]! << 8;
  }

  /** Before the first scalar of a packet. */
  begin(scalarCount: number): void {
    this.changes.fill(0, 0, scalarCount);
    this.heard.fill(0, 0, MADE);
  }

  /**
   * The change expected, in 1/256 steps, of the scalar whose numbers begin at `at` in `scalars`, those of the state
   * before the packet.
   */
  predict(scalars: Int32Array, at: number): number {
    const scalar = at >> STRIDE_SHIFT;
    if (scalar >= FACE) return this.predictKeypoint(scalars, scalar);
    const { weights, heard } = this;
    const own = (Math.imul(scalar, WEIGHTS) + PREDECESSORS) & 0xffff;
    const now = scalars[at + VALUE]! << 8;
    const drift = Math.max(-DRIFT_LIMIT, Math.min(DRIFT_LIMIT, (now - scalars[at + MEAN]!) | 0));
    let sum = (weights[own + 4]! + heard[scalar]!) | 0;
    // no test for zeros: which changes are zero is what nobody can foresee
    sum = (sum + Math.imul(weights[own]!, scalars[at + CHANGE]!)) | 0;
    sum = (sum + Math.imul(weights[own + 1]!, scalars[at + CHANGE_BEFORE]!)) | 0;
    sum = (sum + (Math.imul(weights[own + 2]!, drift) >> 8)) | 0;
    if (scalar < POSE) {
      sum >>= 8;
    } else {
      // one at 0 has a weight more; and none can fall below 0
      sum = (sum + (weights[own + 3]! & ((now - 1) >> 31))) >> 8;
      const room = (sum + now) | 0;
      sum = (sum - (room & (room >> 31))) | 0;
    }
    heard[MADE + scalar] = sum;
    return sum;
  }

  /** A change that was coded. Only for changes other than 0. */
  tell(scalar: number, change: number): void {
    const { followers, followersFrom, heard, weights } = this;
    const limited = Math.max(-CHANGE_LIMIT, Math.min(CHANGE_LIMIT, change));
    this.changes[scalar] = limited;
    if (scalar >= FACE) return;
    const end = followersFrom[scalar + 1]!;
    // four at a time: one at a time, half of the time would go into checks that the engine makes once a turn
    for (let index = followersFrom[scalar]!; index < end; index += 4) {
      const f0 = followers[index]!;
      const f1 = followers[index + 1]!;
      const f2 = followers[index + 2]!;
      const f3 = followers[index + 3]!;
      heard[f0 & 63] = heard[f0 & 63]! + Math.imul(weights[f0 >> 6]!, limited);
      heard[f1 & 63] = heard[f1 & 63]! + Math.imul(weights[f1 >> 6]!, limited);
      heard[f2 & 63] = heard[f2 & 63]! + Math.imul(weights[f2 >> 6]!, limited);
      heard[f3 & 63] = heard[f3 & 63]! + Math.imul(weights[f3 >> 6]!, limited);
    }
  }

  /** Moves the weights of the scalars that travel towards what would have been right; `state` is that before the packet. */
  learn(state: CompactState, { places, count }: ScalarPlan, values: Int32Array): void {
    const { heard, weights, changes, predecessors } = this;
    const { scalars } = state;
    for (let place = 0; place < count; place++) {
      const scalar = places[place << 2]!;
      if (scalar >= FACE) break;
      const at = scalar << STRIDE_SHIFT;
      const value = scalars[at + VALUE]!;
      const whole = (((values[scalar]! - value) << 8) - heard[MADE + scalar]!) | 0;
      if (whole > -MISTAKE_IGNORED && whole < MISTAKE_IGNORED) continue;
      const mistake = Math.max(-MISTAKE_LIMIT, Math.min(MISTAKE_LIMIT, whole));
      const drift = Math.max(-DRIFT_LIMIT, Math.min(DRIFT_LIMIT, ((value << 8) - scalars[at + MEAN]!) | 0));
      const change = scalars[at + CHANGE]!;
      const changeBefore = scalars[at + CHANGE_BEFORE]!;
      // all twelve predecessors by hand: as a loop they would be a fifth of the whole codec's time
      const first = Math.imul(scalar, PREDECESSORS) & 0xffff;
      const x0 = changes[predecessors[first]!]!;
      const x1 = changes[predecessors[first + 1]!]!;
      const x2 = changes[predecessors[first + 2]!]!;
      const x3 = changes[predecessors[first + 3]!]!;
      const x4 = changes[predecessors[first + 4]!]!;
      const x5 = changes[predecessors[first + 5]!]!;
      const x6 = changes[predecessors[first + 6]!]!;
      const x7 = changes[predecessors[first + 7]!]!;
      const x8 = changes[predecessors[first + 8]!]!;
      const x9 = changes[predecessors[first + 9]!]!;
      const x10 = changes[predecessors[first + 10]!]!;
      const x11 = changes[predecessors[first + 11]!]!;
      let energy = (4 + (Math.imul(drift, drift) >> 16)) | 0;
      energy = (energy + Math.imul(change, change) + Math.imul(changeBefore, changeBefore)) | 0;
      energy = (energy + Math.imul(x0, x0) + Math.imul(x1, x1) + Math.imul(x2, x2) + Math.imul(x3, x3)) | 0;
      energy = (energy + Math.imul(x4, x4) + Math.imul(x5, x5) + Math.imul(x6, x6) + Math.imul(x7, x7)) | 0;
      energy = (energy + Math.imul(x8, x8) + Math.imul(x9, x9) + Math.imul(x10, x10) + Math.imul(x11, x11)) | 0;
      const gain = (Math.imul(mistake, LEARNING_RATE) / energy) | 0;
      const own = Math.imul(scalar, WEIGHTS) & 0xffff;
      weights[own] = weights[own]! + ((Math.imul(gain, x0) + 32) >> 6);
      weights[own + 1] = weights[own + 1]! + ((Math.imul(gain, x1) + 32) >> 6);
      weights[own + 2] = weights[own + 2]! + ((Math.imul(gain, x2) + 32) >> 6);
      weights[own + 3] = weights[own + 3]! + ((Math.imul(gain, x3) + 32) >> 6);
      weights[own + 4] = weights[own + 4]! + ((Math.imul(gain, x4) + 32) >> 6);
      weights[own + 5] = weights[own + 5]! + ((Math.imul(gain, x5) + 32) >> 6);
      weights[own + 6] = weights[own + 6]! + ((Math.imul(gain, x6) + 32) >> 6);
      weights[own + 7] = weights[own + 7]! + ((Math.imul(gain, x7) + 32) >> 6);
      weights[own + 8] = weights[own + 8]! + ((Math.imul(gain, x8) + 32) >> 6);
      weights[own + 9] = weights[own + 9]! + ((Math.imul(gain, x9) + 32) >> 6);
      weights[own + 10] = weights[own + 10]! + ((Math.imul(gain, x10) + 32) >> 6);
      weights[own + 11] = weights[own + 11]! + ((Math.imul(gain, x11) + 32) >> 6);
      weights[own + 12] = weights[own + 12]! + ((Math.imul(gain, change) + 32) >> 6);
      weights[own + 13] = weights[own + 13]! + ((Math.imul(gain, changeBefore) + 32) >> 6);
      weights[own + 14] = weights[own + 14]! + ((Math.imul(gain, drift) + 8192) >> 14);
    }
  }

  private predictKeypoint(scalars: Int32Array, scalar: number): number {
    const { weights, changes } = this;
    const at = scalar << STRIDE_SHIFT;
    const first = rowOf(scalar) * WEIGHTS;
    const own = first + PREDECESSORS;
    const drift = Math.max(
      -DRIFT_LIMIT,
      Math.min(DRIFT_LIMIT, ((scalars[at + VALUE]! << 8) - scalars[at + MEAN]!) | 0),
    );
    let sum = (weights[own + 4]! + Math.imul(weights[own]!, scalars[at + CHANGE]!)) | 0;
    sum = (sum + Math.imul(weights[own + 1]!, scalars[at + CHANGE_BEFORE]!)) | 0;
    sum = (sum + (Math.imul(weights[own + 2]!, drift) >> 8)) | 0;
    for (let index = 0; index < KEYPOINT_OFFSETS.length; index++) {
      const other = scalar - KEYPOINT_OFFSETS[index]!;
      if (other >= FACE) sum = (sum + Math.imul(weights[first + index]!, changes[other]!)) | 0;
    }
    return sum >> 8;
  }
}

const FOLLOWERS = new WeakMap<CompactTables, { followers: Uint16Array; from: Uint16Array }>();

/** Turned round once for each set of tables; only those that are coded later, for the others it is too late. */
function followersOf(tables: CompactTables): { followers: Uint16Array; from: Uint16Array } {
  const known = FOLLOWERS.get(tables);
  if (known !== undefined) return known;
  const lists: number[][] = Array.from({ length: FACE_COUNT }, () => []);
  tables.predecessors.forEach((predecessor, index) => {
    const follower = Math.floor(index / PREDECESSOR_COUNT);
    if (FACE_ORDER.indexOf(follower) <= FACE_ORDER.indexOf(predecessor)) return;
    const weight = follower * WEIGHT_COUNT + (index % PREDECESSOR_COUNT);
    lists[predecessor]!.push(weight * 64 + follower);
  });
  for (const list of lists) while (list.length % 4 !== 0) list.push(NOBODY);
  const from = new Uint16Array(FACE_COUNT + 1);
  lists.forEach((list, scalar) => {
    from[scalar + 1] = from[scalar]! + list.length;
  });
  const turned = { followers: Uint16Array.from(lists.flat()), from };
  FOLLOWERS.set(tables, turned);
  return turned;
}

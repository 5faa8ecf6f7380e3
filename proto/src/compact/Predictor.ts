import { CHANGE, CHANGE_BEFORE, type CompactState, MEAN, STRIDE, VALUE } from './CompactState.ts';
import { type CompactTables, PREDECESSOR_COUNT, WEIGHT_COUNT } from './CompactTables.ts';
import { FACE_COUNT, POSE_COUNT, ROW_COUNT, rowOf, SCALAR_LIMIT } from './scalars.ts';

const CHANGE_LIMIT = 63;
const DRIFT_LIMIT = 4096; // 16 steps
/** mistakes below 3/4 step teach nothing, those beyond 6 steps no more than that; 1/256 */
const MISTAKE_IGNORED = 192;
const MISTAKE_LIMIT = 1536;
const LEARNING_RATE = 1024;
const LEARNING_SHIFT = 6;
/** keypoints are predicted from the same and the other axes of those coded just before */
const KEYPOINT_OFFSETS = [3, 6, 1, 2] as const;

/**
 * What the change of a scalar will be: a linear function of changes earlier in the packet and of the scalar's own
 * past. Its weights start at the tables' and follow the face by normalised least mean squares.
 */
export class Predictor {
  private readonly tables: CompactTables;
  /** ROW_COUNT × WEIGHT_COUNT, 1/65536; those of pose and coefficients adapt */
  private readonly weights = new Int32Array(ROW_COUNT * WEIGHT_COUNT);
  /**
   * The tables' predecessors the other way round: for each scalar those that it predicts, index of the weight · 64 +
   * scalar, from followersFrom[scalar] on. Most changes are zero, so handing them on costs less than asking for them.
   */
  private readonly followers: Int32Array;
  private readonly followersFrom: Int32Array;
  /** changes in the packet so far, limited */
  private readonly changes = new Int32Array(SCALAR_LIMIT);
  /** what they say about each scalar's, 1/65536 */
  private readonly pulls = new Int32Array(FACE_COUNT);
  /** predictions made, 1/256 */
  private readonly made = new Int32Array(FACE_COUNT);

  constructor(tables: CompactTables) {
    this.tables = tables;
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
    this.pulls.fill(0);
  }

  /** The change expected, in 1/256 steps. */
  predict(state: CompactState, scalar: number): number {
    const { weights } = this;
    const { scalars } = state;
    const at = scalar * STRIDE;
    const value = scalars[at + VALUE]!;
    const isFace = scalar < FACE_COUNT;
    const base = (isFace ? scalar : rowOf(scalar)) * WEIGHT_COUNT;
    const own = base + PREDECESSOR_COUNT;
    const change = scalars[at + CHANGE]!;
    const changeBefore = scalars[at + CHANGE_BEFORE]!;
    const drift = (value << 8) - scalars[at + MEAN]!;
    // no test for zeros: which changes are zero is what nobody can foresee
    let sum =
      weights[own + 4]! +
      (isFace ? this.pulls[scalar]! : this.pullOnKeypoint(scalar, base)) +
      Math.imul(weights[own]!, clamp(change, CHANGE_LIMIT)) +
      Math.imul(weights[own + 1]!, clamp(changeBefore, CHANGE_LIMIT)) +
      (Math.imul(weights[own + 2]!, clamp(drift, DRIFT_LIMIT)) >> 8);
    if (!isFace || scalar < POSE_COUNT) {
      sum >>= 8;
    } else {
      if (value === 0) sum += weights[own + 3]!;
      sum >>= 8;
      // a coefficient cannot fall below zero
      if (sum < -(value << 8)) sum = -(value << 8);
    }
    if (isFace) this.made[scalar] = sum;
    return sum;
  }

  /** A change that was coded. Only for changes other than 0. */
  tell(scalar: number, change: number): void {
    const { followers, followersFrom, pulls, weights } = this;
    const limited = clamp(change, CHANGE_LIMIT);
    this.changes[scalar] = limited;
    if (scalar >= FACE_COUNT) return;
    const end = followersFrom[scalar + 1]!;
    for (let index = followersFrom[scalar]!; index < end; index++) {
      const follower = followers[index]!;
      const other = follower & 63;
      pulls[other] = pulls[other]! + Math.imul(weights[follower >> 6]!, limited);
    }
  }

  /** Moves the weights of the scalars in `order` towards what would have been right; `state` is that before the packet. */
  learn(state: CompactState, order: Int32Array, values: Int32Array): void {
    const { weights, changes, made } = this;
    const { predecessors } = this.tables;
    const { scalars } = state;
    for (let place = 0; place < order.length; place++) {
      const scalar = order[place]!;
      if (scalar >= FACE_COUNT) break;
      const at = scalar * STRIDE;
      const before = scalars[at + VALUE]!;
      const whole = ((values[scalar]! - before) << 8) - made[scalar]!;
      if (whole > -MISTAKE_IGNORED && whole < MISTAKE_IGNORED) continue;
      const change = clamp(scalars[at + CHANGE]!, CHANGE_LIMIT);
      const changeBefore = clamp(scalars[at + CHANGE_BEFORE]!, CHANGE_LIMIT);
      const drift = clamp((before << 8) - scalars[at + MEAN]!, DRIFT_LIMIT);
      // all twelve by hand: as a loop this would be a fifth of the whole codec's time
      const first = scalar * PREDECESSOR_COUNT;
      const x0 = changes[predecessors[first + 0]!]!;
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
      const energy =
        4 +
        Math.imul(change, change) +
        Math.imul(changeBefore, changeBefore) +
        (Math.imul(drift, drift) >> 16) +
        Math.imul(x0, x0) +
        Math.imul(x1, x1) +
        Math.imul(x2, x2) +
        Math.imul(x3, x3) +
        Math.imul(x4, x4) +
        Math.imul(x5, x5) +
        Math.imul(x6, x6) +
        Math.imul(x7, x7) +
        Math.imul(x8, x8) +
        Math.imul(x9, x9) +
        Math.imul(x10, x10) +
        Math.imul(x11, x11);
      const gain = (Math.imul(clamp(whole, MISTAKE_LIMIT), LEARNING_RATE) / energy) | 0;
      const base = scalar * WEIGHT_COUNT;
      weights[base + 0] = weights[base + 0]! + rounded(Math.imul(gain, x0), LEARNING_SHIFT);
      weights[base + 1] = weights[base + 1]! + rounded(Math.imul(gain, x1), LEARNING_SHIFT);
      weights[base + 2] = weights[base + 2]! + rounded(Math.imul(gain, x2), LEARNING_SHIFT);
      weights[base + 3] = weights[base + 3]! + rounded(Math.imul(gain, x3), LEARNING_SHIFT);
      weights[base + 4] = weights[base + 4]! + rounded(Math.imul(gain, x4), LEARNING_SHIFT);
      weights[base + 5] = weights[base + 5]! + rounded(Math.imul(gain, x5), LEARNING_SHIFT);
      weights[base + 6] = weights[base + 6]! + rounded(Math.imul(gain, x6), LEARNING_SHIFT);
      weights[base + 7] = weights[base + 7]! + rounded(Math.imul(gain, x7), LEARNING_SHIFT);
      weights[base + 8] = weights[base + 8]! + rounded(Math.imul(gain, x8), LEARNING_SHIFT);
      weights[base + 9] = weights[base + 9]! + rounded(Math.imul(gain, x9), LEARNING_SHIFT);
      weights[base + 10] = weights[base + 10]! + rounded(Math.imul(gain, x10), LEARNING_SHIFT);
      weights[base + 11] = weights[base + 11]! + rounded(Math.imul(gain, x11), LEARNING_SHIFT);
      const weight = base + PREDECESSOR_COUNT;
      weights[weight] = weights[weight]! + rounded(Math.imul(gain, change), LEARNING_SHIFT);
      weights[weight + 1] = weights[weight + 1]! + rounded(Math.imul(gain, changeBefore), LEARNING_SHIFT);
      weights[weight + 2] = weights[weight + 2]! + rounded(Math.imul(gain, drift), LEARNING_SHIFT + 8);
    }
  }

  private pullOnKeypoint(scalar: number, base: number): number {
    let sum = 0;
    for (let index = 0; index < KEYPOINT_OFFSETS.length; index++) {
      const other = scalar - KEYPOINT_OFFSETS[index]!;
      if (other >= FACE_COUNT) sum += Math.imul(this.weights[base + index]!, this.changes[other]!);
    }
    return sum;
  }
}

const FOLLOWERS = new WeakMap<CompactTables, { followers: Int32Array; from: Int32Array }>();

/** Turned round once for each set of tables. */
function followersOf(tables: CompactTables): { followers: Int32Array; from: Int32Array } {
  const known = FOLLOWERS.get(tables);
  if (known !== undefined) return known;
  const lists: number[][] = Array.from({ length: FACE_COUNT }, () => []);
  tables.predecessors.forEach((predecessor, index) => {
    const follower = Math.floor(index / PREDECESSOR_COUNT);
    const weight = follower * WEIGHT_COUNT + (index % PREDECESSOR_COUNT);
    lists[predecessor]!.push(weight * 64 + follower);
  });
  const from = new Int32Array(FACE_COUNT + 1);
  lists.forEach((list, scalar) => {
    from[scalar + 1] = from[scalar]! + list.length;
  });
  const turned = { followers: Int32Array.from(lists.flat()), from };
  FOLLOWERS.set(tables, turned);
  return turned;
}

function rounded(value: number, shift: number): number {
  return (value + (1 << (shift - 1))) >> shift;
}

function clamp(value: number, limit: number): number {
  return value > limit ? limit : Math.max(value, -limit);
}

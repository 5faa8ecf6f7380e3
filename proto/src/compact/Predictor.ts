import { type CompactState, SCALAR_FIELDS } from './CompactState.ts';
import { type CompactTables, PREDECESSOR_COUNT, WEIGHT_COUNT } from './CompactTables.ts';
import { MEMORY, PLACE_LIMIT, SCRATCH } from './modelMemory.ts';
import { FACE_COUNT, FACE_ORDER, POSE_COUNT, rowOf } from './scalars.ts';

// this module's own constants are folded into its code, imported ones are not: see ScalarContexts.ts
const { VALUE, CHANGE, CHANGE_BEFORE, MEAN, STRIDE_SHIFT } = SCALAR_FIELDS;
const FACE = FACE_COUNT;
const POSE = POSE_COUNT;
const PREDECESSORS = PREDECESSOR_COUNT;
const WEIGHTS = WEIGHT_COUNT;
/** what such indices are below: as SCALAR_MASK */
const WEIGHT_MASK = 2047;
const INDEX_MASK = 0xffff;
const CHANGE_LIMIT = 63;
const DRIFT_LIMIT = 4096; // 16 steps
/** mistakes beyond 6 steps teach no more than that; 1/256 */
const MISTAKE_LIMIT = 1536;
const LEARNING_RATE = 1024;
/** scalars below it fit a follower's lower bits; the last of them fills lists of followers up to whole fours */
const FOLLOWERS_SHIFT = 6;
const FOLLOWER_MASK = (1 << FOLLOWERS_SHIFT) - 1;
const NOBODY = FOLLOWER_MASK;
const SCALAR_MASK = PLACE_LIMIT - 1;
const { PREDICTOR } = MEMORY;
const { CHANGES, HEARD, MISTAKES, FAILED } = SCRATCH;
/** keypoints' part of HEARD begins behind NOBODY */
const HEARD_KEYPOINTS = NOBODY + 1 - FACE;
/** keypoints are predicted from the same and the other axes of those coded just before */
const KEYPOINT_OFFSETS = [3, 6, 1, 2] as const;

/**
 * What the change of a scalar will be: a linear function of changes earlier in the packet and of the scalar's own
 * past. Its weights start at the tables' and follow the face by normalised least mean squares.
 */
export class Predictor {
  private readonly tables: CompactTables;
  private readonly memory: Int32Array;
  /** the tables' */
  private readonly predecessors: Uint8Array;
  /**
   * The tables' predecessors the other way round: for each scalar those that it predicts, index of the weight · 64 +
   * scalar, from followersFrom[scalar] on. Most changes are zero, so handing them on costs less than asking for them.
   */
  private readonly followers: Uint16Array;
  private readonly followersFrom: Uint16Array;

  /** `memory`: the model's, MEMORY */
  constructor(tables: CompactTables, memory: Int32Array) {
    this.tables = tables;
    this.memory = memory;
    const { followers, from } = turnedRound(tables);
    this.predecessors = tables.predecessors;
    this.followers = followers;
    this.followersFrom = from;
    this.forget();
  }

  /** Back to the tables' weights. */
  forget(): void {
    this.tables.weights.forEach((weight, index) => {
      this.memory[PREDICTOR + index] = weight << 8;
    });
  }

  /** Before the first scalar of a packet. */
  begin(scalarCount: number): void {
    CHANGES.fill(0, 0, scalarCount);
  }

  /**
   * Before the first scalar of a packet is coded: what a scalar's own past says of its change. `drift` is its distance
   * from its long mean, 1/256; `atZero` has all bits set for a coefficient at 0.
   */
  expect(scalar: number, row: number, change: number, changeBefore: number, drift: number, atZero: number): void {
    const { memory } = this;
    const heard = HEARD;
    const own = PREDICTOR + PREDECESSORS + (Math.imul(row, WEIGHTS) & WEIGHT_MASK);
    const limited = Math.max(-DRIFT_LIMIT, Math.min(DRIFT_LIMIT, drift));
    let sum = (memory[own + 4]! + (memory[own + 3]! & atZero)) | 0;
    // no test for zeros: which changes are zero is what nobody can foresee
    sum = (sum + Math.imul(memory[own]!, change)) | 0;
    sum = (sum + Math.imul(memory[own + 1]!, changeBefore)) | 0;
    sum = (sum + (Math.imul(memory[own + 2]!, limited) >> 8)) | 0;
    heard[(scalar < FACE ? scalar : HEARD_KEYPOINTS + scalar) & SCALAR_MASK] = sum;
  }

  /** The change expected of a scalar, in 1/256 steps, once those before it are coded; `value`: its value before. */
  predict(scalar: number, value: number): number {
    const heard = HEARD;
    if (scalar >= FACE) return this.predictKeypoint(scalar);
    const sum = heard[scalar & SCALAR_MASK]! >> 8;
    if (scalar < POSE) return sum;
    // no coefficient can fall below 0
    const room = (sum + (value << 8)) | 0;
    return (sum - (room & (room >> 31))) | 0;
  }

  /** A change that was coded. Only for changes other than 0. */
  tell(scalar: number, change: number): void {
    const { followers, followersFrom, memory } = this;
    const changes = CHANGES;
    const heard = HEARD;
    const limited = Math.max(-CHANGE_LIMIT, Math.min(CHANGE_LIMIT, change | 0));
    changes[scalar & SCALAR_MASK] = limited;
    if (scalar >= FACE) return;
    const end = followersFrom[scalar + 1]!;
    // four at a time: one at a time, half of the time would go into checks that the engine makes once a turn
    for (let index = followersFrom[scalar]!; index < end; index = (index + 4) & INDEX_MASK) {
      const f0 = followers[index]!;
      const f1 = followers[index + 1]!;
      const f2 = followers[index + 2]!;
      const f3 = followers[index + 3]!;
      const h0 = f0 & FOLLOWER_MASK;
      const h1 = f1 & FOLLOWER_MASK;
      const h2 = f2 & FOLLOWER_MASK;
      const h3 = f3 & FOLLOWER_MASK;
      heard[h0] = (heard[h0]! + Math.imul(memory[PREDICTOR + (f0 >> FOLLOWERS_SHIFT)]!, limited)) | 0;
      heard[h1] = (heard[h1]! + Math.imul(memory[PREDICTOR + (f1 >> FOLLOWERS_SHIFT)]!, limited)) | 0;
      heard[h2] = (heard[h2]! + Math.imul(memory[PREDICTOR + (f2 >> FOLLOWERS_SHIFT)]!, limited)) | 0;
      heard[h3] = (heard[h3]! + Math.imul(memory[PREDICTOR + (f3 >> FOLLOWERS_SHIFT)]!, limited)) | 0;
    }
  }

  /** Moves the weights of the first `failed` scalars in FAILED towards what would have been right; `state` is that before the packet. */
  learn(state: CompactState, failed: number): void {
    const { memory, predecessors } = this;
    const { scalars } = state;
    const changes = CHANGES;
    const mistakes = MISTAKES;
    const list = FAILED;
    for (let index = 0; index < failed; index++) {
      const scalar = list[index & SCALAR_MASK]! & SCALAR_MASK;
      if (scalar >= FACE) continue;
      const mistake = Math.max(-MISTAKE_LIMIT, Math.min(MISTAKE_LIMIT, mistakes[scalar]!));
      const at = scalar << STRIDE_SHIFT;
      const value = scalars[at + VALUE]!;
      const drift = Math.max(-DRIFT_LIMIT, Math.min(DRIFT_LIMIT, ((value << 8) - scalars[at + MEAN]!) | 0));
      const change = scalars[at + CHANGE]!;
      const changeBefore = scalars[at + CHANGE_BEFORE]!;
      // all twelve predecessors by hand: as a loop they would be a fifth of the whole codec's time
      const first = Math.imul(scalar, PREDECESSORS) & 0xffff;
      const x0 = changes[predecessors[first]! & SCALAR_MASK]!;
      const x1 = changes[predecessors[first + 1]! & SCALAR_MASK]!;
      const x2 = changes[predecessors[first + 2]! & SCALAR_MASK]!;
      const x3 = changes[predecessors[first + 3]! & SCALAR_MASK]!;
      const x4 = changes[predecessors[first + 4]! & SCALAR_MASK]!;
      const x5 = changes[predecessors[first + 5]! & SCALAR_MASK]!;
      const x6 = changes[predecessors[first + 6]! & SCALAR_MASK]!;
      const x7 = changes[predecessors[first + 7]! & SCALAR_MASK]!;
      const x8 = changes[predecessors[first + 8]! & SCALAR_MASK]!;
      const x9 = changes[predecessors[first + 9]! & SCALAR_MASK]!;
      const x10 = changes[predecessors[first + 10]! & SCALAR_MASK]!;
      const x11 = changes[predecessors[first + 11]! & SCALAR_MASK]!;
      let energy = (4 + (Math.imul(drift, drift) >> 16)) | 0;
      energy = (energy + Math.imul(change, change)) | 0;
      energy = (energy + Math.imul(changeBefore, changeBefore)) | 0;
      energy = (energy + Math.imul(x0, x0)) | 0;
      energy = (energy + Math.imul(x1, x1)) | 0;
      energy = (energy + Math.imul(x2, x2)) | 0;
      energy = (energy + Math.imul(x3, x3)) | 0;
      energy = (energy + Math.imul(x4, x4)) | 0;
      energy = (energy + Math.imul(x5, x5)) | 0;
      energy = (energy + Math.imul(x6, x6)) | 0;
      energy = (energy + Math.imul(x7, x7)) | 0;
      energy = (energy + Math.imul(x8, x8)) | 0;
      energy = (energy + Math.imul(x9, x9)) | 0;
      energy = (energy + Math.imul(x10, x10)) | 0;
      energy = (energy + Math.imul(x11, x11)) | 0;
      const gain = (Math.imul(mistake, LEARNING_RATE) / energy) | 0;
      const own = PREDICTOR + (Math.imul(scalar, WEIGHTS) & WEIGHT_MASK);
      memory[own] = (memory[own]! + ((Math.imul(gain, x0) + 32) >> 6)) | 0;
      memory[own + 1] = (memory[own + 1]! + ((Math.imul(gain, x1) + 32) >> 6)) | 0;
      memory[own + 2] = (memory[own + 2]! + ((Math.imul(gain, x2) + 32) >> 6)) | 0;
      memory[own + 3] = (memory[own + 3]! + ((Math.imul(gain, x3) + 32) >> 6)) | 0;
      memory[own + 4] = (memory[own + 4]! + ((Math.imul(gain, x4) + 32) >> 6)) | 0;
      memory[own + 5] = (memory[own + 5]! + ((Math.imul(gain, x5) + 32) >> 6)) | 0;
      memory[own + 6] = (memory[own + 6]! + ((Math.imul(gain, x6) + 32) >> 6)) | 0;
      memory[own + 7] = (memory[own + 7]! + ((Math.imul(gain, x7) + 32) >> 6)) | 0;
      memory[own + 8] = (memory[own + 8]! + ((Math.imul(gain, x8) + 32) >> 6)) | 0;
      memory[own + 9] = (memory[own + 9]! + ((Math.imul(gain, x9) + 32) >> 6)) | 0;
      memory[own + 10] = (memory[own + 10]! + ((Math.imul(gain, x10) + 32) >> 6)) | 0;
      memory[own + 11] = (memory[own + 11]! + ((Math.imul(gain, x11) + 32) >> 6)) | 0;
      memory[own + 12] = (memory[own + 12]! + ((Math.imul(gain, change) + 32) >> 6)) | 0;
      memory[own + 13] = (memory[own + 13]! + ((Math.imul(gain, changeBefore) + 32) >> 6)) | 0;
      memory[own + 14] = (memory[own + 14]! + ((Math.imul(gain, drift) + 8192) >> 14)) | 0;
    }
  }

  private predictKeypoint(scalar: number): number {
    const { memory } = this;
    const first = PREDICTOR + rowOf(scalar) * WEIGHTS;
    let sum = HEARD[HEARD_KEYPOINTS + scalar]!;
    for (let index = 0; index < KEYPOINT_OFFSETS.length; index++) {
      const other = scalar - KEYPOINT_OFFSETS[index]!;
      if (other >= FACE) sum = (sum + Math.imul(memory[first + index]!, CHANGES[other]!)) | 0;
    }
    return sum >> 8;
  }
}

interface TurnedRound {
  followers: Uint16Array;
  from: Uint16Array;
}

const TURNED_ROUND = new WeakMap<CompactTables, TurnedRound>();

/** Once for each set of tables. Followers are only those that are coded later, for the others it is too late. */
function turnedRound(tables: CompactTables): TurnedRound {
  const known = TURNED_ROUND.get(tables);
  if (known !== undefined) return known;
  const lists: number[][] = Array.from({ length: FACE_COUNT }, () => []);
  tables.predecessors.forEach((predecessor, index) => {
    const follower = Math.floor(index / PREDECESSOR_COUNT);
    if (FACE_ORDER.indexOf(follower) <= FACE_ORDER.indexOf(predecessor)) return;
    const weight = follower * WEIGHT_COUNT + (index % PREDECESSOR_COUNT);
    lists[predecessor]!.push((weight << FOLLOWERS_SHIFT) | follower);
  });
  for (const list of lists) while (list.length % 4 !== 0) list.push(NOBODY);
  const from = new Uint16Array(FACE_COUNT + 1);
  lists.forEach((list, scalar) => {
    from[scalar + 1] = from[scalar]! + list.length;
  });
  const turned = { followers: Uint16Array.from(lists.flat()), from };
  TURNED_ROUND.set(tables, turned);
  return turned;
}

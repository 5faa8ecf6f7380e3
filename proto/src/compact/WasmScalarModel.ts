import type { CompactState } from './CompactState.ts';
import { type CompactTables, PREDECESSOR_COUNT, WEIGHT_COUNT } from './CompactTables.ts';
import { badValue } from './compactErrors.ts';
import { startWeights } from './modelWeights.ts';
import { PACKET_BYTES, type RangeCoder } from './rangeCoder.ts';
import type { ScalarModel } from './ScalarModel.ts';
import { planScalars, type ScalarPlan } from './ScalarPlan.ts';
import { FACE_COUNT, ROW_COUNT } from './scalars.ts';
import { MODEL, type Resident, type WasmCore, WORK } from './wasmCore.ts';

/** what scalars.c returns for an escape that is too long; what it returns for the rest shows otherwise */
const BAD_ESCAPE = 3;
/** so many bytes are copied one by one, which is quicker than by a call */
const SHORT = 48;

/** The scalars by proto/wasm/scalars.c. */
export class WasmScalarModel implements ScalarModel {
  private readonly core: WasmCore;
  private readonly start: Int32Array;
  private readonly resident: Resident;
  private readonly adaptive: number;
  private readonly ranks: Uint8Array;
  private plan: ScalarPlan | undefined;
  /** whether anything was learned since forget(), and whether decode() was called since mark() */
  private learned = false;
  private decoded = false;

  /** `adaptive` false: nothing is learned, as packets need that may get lost. */
  constructor(core: WasmCore, tables: CompactTables, adaptive: boolean) {
    const { start, unlearning } = derivedFrom(tables, core);
    this.core = core;
    this.start = start;
    this.resident = adaptive ? core.admit(this, start) : unlearning;
    this.adaptive = adaptive ? 1 : 0;
    this.ranks = tables.ranks;
  }

  get values(): Int32Array {
    return this.core.values;
  }

  encode(coder: RangeCoder, state: CompactState, selfContained: boolean): void {
    const { core } = this;
    const model = this.enter(state);
    const { ints, work } = core;
    ints[work + WORK.LOW] = coder.low;
    ints[work + WORK.RANGE] = coder.range;
    ints[work + WORK.POSITION] = coder.position;
    copyBytes(coder.bytes, core.bytes, coder.position);
    core.exports.encode(model, this.adaptive, selfContained ? 1 : 0);
    coder.low = ints[work + WORK.LOW]!;
    coder.range = ints[work + WORK.RANGE]!;
    coder.position = ints[work + WORK.POSITION]!;
    // all of them: a carry may have run back into the header
    copyBytes(core.bytes, coder.bytes, coder.position);
  }

  decode(coder: RangeCoder, state: CompactState, selfContained: boolean): void {
    const { core } = this;
    const model = this.enter(state);
    const { ints, work } = core;
    ints[work + WORK.LOW] = coder.offset;
    ints[work + WORK.RANGE] = coder.range;
    ints[work + WORK.POSITION] = coder.position;
    ints[work + WORK.LENGTH] = coder.bytes.length;
    copyBytes(coder.bytes, core.bytes, coder.bytes.length);
    this.decoded = true;
    const wrong = core.exports.decode(model, this.adaptive, selfContained ? 1 : 0);
    coder.offset = ints[work + WORK.LOW]!;
    coder.range = ints[work + WORK.RANGE]!;
    coder.position = ints[work + WORK.POSITION]!;
    if (wrong === 0) return;
    coder.checkEnd();
    if (wrong === BAD_ESCAPE) throw badValue('escape', 'more than 15 bits');
    throw badValue(`scalar ${ints[work + WORK.WRONG_SCALAR]}`, String(ints[work + WORK.WRONG_VALUE]));
  }

  mark(): void {
    this.decoded = false;
  }

  undo(): void {
    if (this.decoded) this.core.exports.undo();
    this.decoded = false;
  }

  advance(state: CompactState, selfContained: boolean): void {
    this.core.exports.advance(this.core.enter(this.resident), this.adaptive, selfContained ? 1 : 0);
    this.core.give(state);
  }

  forget(): void {
    if (this.learned) this.core.replace(this.resident, this.start);
    this.learned = false;
  }

  private enter(state: CompactState): number {
    const { core } = this;
    if (this.plan?.settings !== state.settings) this.plan = planScalars(state.settings, this.ranks);
    const model = core.enter(this.resident);
    core.take(state, this.plan);
    this.learned = this.adaptive === 1;
    return model;
  }
}

function copyBytes(from: Uint8Array, to: Uint8Array, count: number): void {
  if (count > SHORT) to.set(from.subarray(0, Math.min(count, PACKET_BYTES)));
  else for (let index = 0; index < count; index++) to[index] = from[index]!;
}

interface Derived {
  core: WasmCore;
  /** a model's numbers before its first packet */
  start: Int32Array;
  /** one model does for all that never learn */
  unlearning: Resident;
}

const DERIVED = new WeakMap<CompactTables, Derived>();

function derivedFrom(tables: CompactTables, core: WasmCore): Derived {
  let derived = DERIVED.get(tables);
  if (derived?.core !== core) {
    const start = startNumbers(tables);
    derived = { core, start, unlearning: core.admit(tables, start) };
    DERIVED.set(tables, derived);
  }
  return derived;
}

/** MODEL as the tables have it. */
function startNumbers(tables: CompactTables): Int32Array {
  const start = new Int32Array(MODEL.LENGTH);
  const { weights, inputs } = startWeights(tables);
  start.set(weights, MODEL.QUESTIONS);
  start.set(tables.predecessors, MODEL.PREDECESSORS);
  for (let row = 0; row < ROW_COUNT; row++) {
    for (let input = 0; input < WEIGHT_COUNT; input++) {
      const weight = inputs[row * WEIGHT_COUNT + input]!;
      if (input >= PREDECESSOR_COUNT) {
        start[MODEL.OWN + (input - PREDECESSOR_COUNT) * ROW_COUNT + row] = weight;
      } else if (row < FACE_COUNT) {
        // a sum, should a scalar be the same one's predecessor twice
        start[MODEL.SAYS + tables.predecessors[row * PREDECESSOR_COUNT + input]! * MODEL.FOLLOWER_ROOM + row]! +=
          weight;
      } else if (input < MODEL.KEYPOINT_INPUTS) {
        start[MODEL.KEYPOINTS + (row - FACE_COUNT) * MODEL.KEYPOINT_INPUTS + input] = weight;
      }
    }
  }
  return start;
}

import { type CompactState, roomFor } from './CompactState.ts';
import { PREDECESSOR_COUNT, QUESTION_WEIGHT_COUNT, WEIGHT_COUNT } from './CompactTables.ts';
import { SQUASH } from './logistic.ts';
import { PACKET_BYTES } from './rangeCoder.ts';
import type { ScalarPlan } from './ScalarPlan.ts';
import { FACE_COUNT, ROW_COUNT } from './scalars.ts';
import { SCALARS_WASM } from './scalarsWasm.ts';

/** room for SCALAR_LIMIT, as in scalars.c */
const SCALAR_ROOM = 512;

/** The fields of `work` in proto/wasm/scalars.c, in 32-bit numbers from its beginning. */
export const WORK = {
  LOW: 0,
  RANGE: 1,
  POSITION: 2,
  LENGTH: 3,
  WRONG_SCALAR: 4,
  WRONG_VALUE: 5,
  COUNT: 6,
  TRAVELLING: 7,
  TOP: 8,
  PLACES: 16,
  LOWEST: 16 + SCALAR_ROOM,
  HIGHEST: 16 + 2 * SCALAR_ROOM,
  STATE: 16 + 3 * SCALAR_ROOM,
  VALUES: 16 + 9 * SCALAR_ROOM,
  BYTES: 16 + 10 * SCALAR_ROOM,
  SQUASH: 16 + 10 * SCALAR_ROOM + PACKET_BYTES / 4,
} as const;

/** The fields of `model` there, in 32-bit numbers from its beginning. */
const SAYS = QUESTION_WEIGHT_COUNT;
/** followers of a predecessor: FACE_COUNT in whole vectors */
const FOLLOWER_ROOM = 60;
const OWN = SAYS + FACE_COUNT * FOLLOWER_ROOM;
const KEYPOINTS = OWN + (WEIGHT_COUNT - PREDECESSOR_COUNT) * ROW_COUNT;
const KEYPOINT_INPUTS = 4;
const PREDECESSORS = KEYPOINTS + 3 * KEYPOINT_INPUTS;
export const MODEL = {
  /** for each context its weights by question */
  QUESTIONS: 0,
  /** for each scalar what its change says of each other one's */
  SAYS,
  FOLLOWER_ROOM,
  /** weights 12 to 16 of each row, by weight */
  OWN,
  /** weights 0 to 3 of each of the keypoints' rows */
  KEYPOINTS,
  KEYPOINT_INPUTS,
  PREDECESSORS,
  /** whole cache lines */
  LENGTH: (PREDECESSORS + FACE_COUNT * PREDECESSOR_COUNT + 15) & ~15,
} as const;

const PAGE_BYTES = 65536;
const SLOT_BYTES = 4 * MODEL.LENGTH;

interface Exports {
  memory: WebAssembly.Memory;
  /** addresses, in bytes: of `work`, and of the end of all that the module has itself */
  work: WebAssembly.Global;
  __heap_base: WebAssembly.Global;
  encode(model: number, adaptive: number, alone: number): void;
  decode(model: number, adaptive: number, alone: number): number;
  undo(): void;
  advance(model: number, adaptive: number, alone: number): void;
}

/** One model's numbers: in a slot of the core's memory or, while others need the room, out of it. */
export interface Resident {
  /** −1: none */
  slot: number;
  /** the numbers while it has none */
  numbers: Int32Array;
}

/** `numbers` of a model that is in a slot */
const NONE = new Int32Array(0);

/** slots at most, 21 MiB: beyond, models take turns, which costs a packet two copies of 84 KiB */
export const SLOT_LIMIT = 256;
/** slots for which memory is asked at once */
const SLOTS_GROWN = 4;

let shared: WasmCore | undefined;
let refused = false;

/** The process's core, or undefined where WebAssembly is refused: a page's policy does not change while it lives. */
export function wasmCore(): WasmCore | undefined {
  if (shared !== undefined || refused) return shared;
  try {
    shared = new WasmCore();
  } catch {
    refused = true;
  }
  return shared;
}

/**
 * The module of proto/wasm/scalars.c, once for the whole process: coding a packet is never given up in between. Models
 * live in slots of its memory; when all SLOT_LIMIT are taken, the one that came first makes room.
 */
export class WasmCore {
  readonly exports: Exports;
  /** the whole memory, and parts of `work`; new ones whenever it grows */
  ints!: Int32Array;
  values!: Int32Array;
  bytes!: Uint8Array;
  /** the state of 58 scalars, which is almost every packet's */
  private faceState!: Int32Array;
  /** where `work` begins, in 32-bit numbers */
  readonly work: number;
  private plan: ScalarPlan | undefined;
  private readonly firstSlot: number;
  private readonly residents: (Resident | undefined)[] = [];
  private readonly free: number[] = [];
  /** the slot that makes room next */
  private next = 0;
  private readonly abandoned = new FinalizationRegistry<Resident>((resident) => this.leave(resident));

  /** Throws where the engine or the page's policy allows no WebAssembly, or none with SIMD. */
  constructor() {
    const code = Uint8Array.from(atob(SCALARS_WASM), (each) => each.charCodeAt(0));
    this.exports = new WebAssembly.Instance(new WebAssembly.Module(code)).exports as unknown as Exports;
    this.work = this.exports.work.value >> 2;
    this.firstSlot = this.exports.__heap_base.value;
    this.view();
    new Uint16Array(this.exports.memory.buffer).set(SQUASH, 2 * (this.work + WORK.SQUASH));
  }

  /** A home for `numbers`, which goes with `owner`. */
  admit(owner: object, numbers: Int32Array): Resident {
    const resident = { slot: -1, numbers };
    this.abandoned.register(owner, resident);
    return resident;
  }

  /** Brings a model into the core's memory, where it is not there yet; its address in bytes. */
  enter(resident: Resident): number {
    if (resident.slot < 0) this.moveIn(resident);
    return this.addressOf(resident.slot);
  }

  /** A model's numbers become `numbers`. */
  replace(resident: Resident, numbers: Int32Array): void {
    if (resident.slot < 0) resident.numbers = numbers;
    else this.ints.set(numbers, this.addressOf(resident.slot) >> 2);
  }

  /** Puts what the next packet builds on into `work`. */
  take(state: CompactState, plan: ScalarPlan): void {
    const { ints, work } = this;
    ints.set(state.scalars, work + WORK.STATE);
    if (plan === this.plan) return;
    this.plan = plan;
    ints[work + WORK.COUNT] = plan.scalarCount;
    ints[work + WORK.TRAVELLING] = plan.places.length;
    ints[work + WORK.TOP] = plan.settings.expressionDenominator;
    ints.set(plan.places, work + WORK.PLACES);
    ints.set(plan.lowest, work + WORK.LOWEST);
    ints.set(plan.highest, work + WORK.HIGHEST);
  }

  /** Takes the state after the packet out of `work`. */
  give(state: CompactState): void {
    const { scalars } = state;
    const from = this.work + WORK.STATE;
    scalars.set(
      scalars.length === this.faceState.length ? this.faceState : this.ints.subarray(from, from + scalars.length),
    );
  }

  private addressOf(slot: number): number {
    return this.firstSlot + slot * SLOT_BYTES;
  }

  private moveIn(resident: Resident): void {
    resident.slot = this.free.pop() ?? this.newSlot() ?? this.clearSlot();
    this.residents[resident.slot] = resident;
    this.ints.set(resident.numbers, this.addressOf(resident.slot) >> 2);
    resident.numbers = NONE;
  }

  private leave(resident: Resident): void {
    if (resident.slot < 0) return;
    this.residents[resident.slot] = undefined;
    this.free.push(resident.slot);
    resident.slot = -1;
  }

  private newSlot(): number | undefined {
    const slot = this.residents.length;
    if (slot === SLOT_LIMIT) return undefined;
    const missing = this.addressOf(slot + 1) - this.ints.byteLength;
    if (missing > 0) {
      this.exports.memory.grow(Math.ceil((missing + (SLOTS_GROWN - 1) * SLOT_BYTES) / PAGE_BYTES));
      this.view();
    }
    return slot;
  }

  /** Throws out the model that came first; no slot is free then. */
  private clearSlot(): number {
    const slot = this.next;
    this.next = (slot + 1) % SLOT_LIMIT;
    const resident = this.residents[slot]!;
    const from = this.addressOf(slot) >> 2;
    resident.numbers = this.ints.slice(from, from + MODEL.LENGTH);
    resident.slot = -1;
    return slot;
  }

  private view(): void {
    const { buffer } = this.exports.memory;
    const at = this.exports.work.value;
    this.ints = new Int32Array(buffer);
    this.values = new Int32Array(buffer, at + 4 * WORK.VALUES, SCALAR_ROOM);
    this.faceState = new Int32Array(buffer, at + 4 * WORK.STATE, 6 * roomFor(FACE_COUNT));
    this.bytes = new Uint8Array(buffer, at + 4 * WORK.BYTES, PACKET_BYTES);
  }
}

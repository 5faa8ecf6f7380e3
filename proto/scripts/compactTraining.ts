import { type CompactSettings, DEFAULT_SETTINGS } from '../src/compact/CompactSettings.ts';
import { CompactState, quantise, SCALAR_FIELDS } from '../src/compact/CompactState.ts';
import { blankTables, type CompactTables, PREDECESSOR_COUNT, WEIGHT_COUNT } from '../src/compact/CompactTables.ts';
import { PlainScalarModel } from '../src/compact/PlainScalarModel.ts';
import { PACKET_BYTES, RangeCoder } from '../src/compact/rangeCoder.ts';
import { EXPRESSION_ORDER, FACE_COUNT, POSE_COUNT, ROW_COUNT, rowOf } from '../src/compact/scalars.ts';
import { EXPRESSION_NAMES, type Motion } from '../src/index.ts';

const { VALUE, CHANGE, CHANGE_BEFORE, LIVELY, MEAN } = SCALAR_FIELDS;

/** Sums of one track from which predictors of any set of tracks can be solved. */
export interface TrackSums {
  /** for each row the normal matrix and right-hand side of its regression, FEATURES² and FEATURES */
  matrices: Float64Array[];
  targets: Float64Array[];
}

/** changes of all 58 scalars, 4 of earlier keypoint numbers, then the five features of the scalar itself */
const NEIGHBOURS = FACE_COUNT + 4;
const OWN = WEIGHT_COUNT - PREDECESSOR_COUNT;
const FEATURES = NEIGHBOURS + OWN;
const RIDGE = 200;
const OWN_RIDGE = 20;
const CHANGE_LIMIT = 12;
const PASSES = 4;
/** passes at whose tracks' ends the weights are taken and averaged */
const AVERAGED = 2;
const KEYPOINT_OFFSETS = [3, 6, 1, 2];

/** training sees every coefficient, so that ranks do not matter */
const ALL = blankTables().ranks;

const CODING_ORDER = Array.from({ length: FACE_COUNT }, (_, position) =>
  position < POSE_COUNT ? position : POSE_COUNT + EXPRESSION_ORDER[position - POSE_COUNT]!,
);

/** Steps of the motions in one track, the settings' number of scalars each. */
export function quantiseTrack(motions: readonly Motion[], settings: CompactSettings): Int32Array[] {
  return motions.map((motion) => {
    const values = new Int32Array(FACE_COUNT + 3 * settings.keypointCount);
    quantise(motion, settings, ALL, values);
    return values;
  });
}

export function defaultSettings(motions: readonly Motion[]): CompactSettings {
  const keypointCount = (motions[0]?.keypoints?.length ?? 0) / 3;
  return { ...DEFAULT_SETTINGS, keypointCount, keypointsSent: keypointCount };
}

/** What a track says about predicting each scalar's change. Lively packets and scalars weigh less, as in entropy. */
export function sumTrack(motions: readonly Motion[], settings = defaultSettings(motions)): TrackSums {
  const matrices = Array.from({ length: ROW_COUNT }, () => new Float64Array(FEATURES * FEATURES));
  const targets = Array.from({ length: ROW_COUNT }, () => new Float64Array(FEATURES));
  const state = new CompactState(ALL);
  state.reset(settings);
  const features = new Float64Array(FEATURES);
  const used = new Int32Array(FEATURES);
  quantiseTrack(motions, settings).forEach((values, frame) => {
    if (frame > 0) {
      const changes = values.map((value, scalar) => Math.max(-63, Math.min(63, value - state.field(VALUE)[scalar]!)));
      const total = changes.reduce((sum, change) => sum + Math.min(8, Math.abs(change)), 0);
      const coded: number[] = [];
      const order = [
        ...CODING_ORDER,
        ...Array.from({ length: state.scalarCount - FACE_COUNT }, (_, i) => FACE_COUNT + i),
      ];
      for (const scalar of order) {
        features.fill(0);
        if (scalar < FACE_COUNT) for (const other of coded) features[other] = changes[other]!;
        else {
          KEYPOINT_OFFSETS.forEach((offset, index) => {
            if (scalar - offset >= FACE_COUNT) features[FACE_COUNT + index] = changes[scalar - offset]!;
          });
        }
        const isExpression = scalar >= POSE_COUNT && scalar < FACE_COUNT;
        const drift = (state.field(VALUE)[scalar]! << 8) - state.field(MEAN)[scalar]!;
        features[NEIGHBOURS] = state.field(CHANGE)[scalar]!;
        features[NEIGHBOURS + 1] = state.field(CHANGE_BEFORE)[scalar]!;
        features[NEIGHBOURS + 2] = Math.max(-16, Math.min(16, drift / 256));
        features[NEIGHBOURS + 3] = isExpression && state.field(VALUE)[scalar]! === 0 ? 1 : 0;
        features[NEIGHBOURS + 4] = 1;
        const weight = 1 / (1 + total / 40) / (0.5 + state.field(LIVELY)[scalar]! / 256);
        const target = Math.max(-CHANGE_LIMIT, Math.min(CHANGE_LIMIT, changes[scalar]!));
        accumulate(matrices[rowOf(scalar)]!, targets[rowOf(scalar)]!, features, used, weight, target);
        if (scalar < FACE_COUNT) coded.push(scalar);
      }
    }
    state.advance(values, frame === 0);
  });
  return { matrices, targets };
}

function accumulate(
  matrix: Float64Array,
  target: Float64Array,
  features: Float64Array,
  used: Int32Array,
  weight: number,
  value: number,
): void {
  let count = 0;
  for (let index = 0; index < FEATURES; index++) if (features[index] !== 0) used[count++] = index;
  for (let a = 0; a < count; a++) {
    const row = used[a]!;
    const scaled = features[row]! * weight;
    target[row] = target[row]! + scaled * value;
    for (let b = 0; b < count; b++) {
      const cell = row * FEATURES + used[b]!;
      matrix[cell] = matrix[cell]! + scaled * features[used[b]!]!;
    }
  }
}

/** Ridge regression on all features, then again on the eight predecessors that tell most. */
function fitPredictors(sums: readonly TrackSums[], tables: CompactTables): void {
  for (let row = 0; row < ROW_COUNT; row++) {
    const matrix = new Float64Array(FEATURES * FEATURES);
    const target = new Float64Array(FEATURES);
    for (const sum of sums) {
      for (let cell = 0; cell < matrix.length; cell++) matrix[cell] = matrix[cell]! + sum.matrices[row]![cell]!;
      for (let cell = 0; cell < FEATURES; cell++) target[cell] = target[cell]! + sum.targets[row]![cell]!;
    }
    for (let index = 0; index < FEATURES; index++) {
      const cell = index * FEATURES + index;
      matrix[cell] = matrix[cell]! + (index < NEIGHBOURS ? RIDGE : OWN_RIDGE);
    }
    const full = solve(matrix, target, FEATURES);
    const gain = (index: number): number => full[index]! ** 2 * matrix[index * FEATURES + index]!;
    const neighbours =
      row < FACE_COUNT
        ? Array.from({ length: FACE_COUNT }, (_, index) => index)
            .sort((a, b) => gain(b) - gain(a))
            .slice(0, PREDECESSOR_COUNT)
        : KEYPOINT_OFFSETS.map((_, index) => FACE_COUNT + index);
    const kept = [...neighbours, ...Array.from({ length: OWN }, (_, index) => NEIGHBOURS + index)];
    const small = new Float64Array(kept.length ** 2);
    kept.forEach((a, i) => {
      kept.forEach((b, j) => {
        small[i * kept.length + j] = matrix[a * FEATURES + b]!;
      });
    });
    const solution = solve(
      small,
      Float64Array.from(kept, (index) => target[index]!),
      kept.length,
    );
    neighbours.forEach((neighbour, index) => {
      if (row < FACE_COUNT) tables.predecessors[row * PREDECESSOR_COUNT + index] = neighbour;
      tables.weights[row * WEIGHT_COUNT + index] = toWeight(solution[index]!);
    });
    for (let index = 0; index < OWN; index++) {
      tables.weights[row * WEIGHT_COUNT + PREDECESSOR_COUNT + index] = toWeight(solution[neighbours.length + index]!);
    }
  }
}

const toWeight = (value: number): number => Math.max(-1024, Math.min(1024, Math.round(value * 256)));

/** Gaussian elimination of a symmetric positive matrix, row-major n × n. */
function solve(matrix: Float64Array, target: Float64Array, n: number): Float64Array {
  const m = matrix.slice();
  const x = target.slice();
  for (let pivot = 0; pivot < n; pivot++) {
    for (let row = pivot + 1; row < n; row++) {
      const factor = m[row * n + pivot]! / m[pivot * n + pivot]!;
      if (factor === 0) continue;
      for (let column = pivot; column < n; column++) {
        m[row * n + column] = m[row * n + column]! - factor * m[pivot * n + column]!;
      }
      x[row] = x[row]! - factor * x[pivot]!;
    }
  }
  for (let row = n - 1; row >= 0; row--) {
    let rest = x[row]!;
    for (let column = row + 1; column < n; column++) rest -= m[row * n + column]! * x[column]!;
    x[row] = rest / m[row * n + row]!;
  }
  return x;
}

/** One track as the codec will meet it. */
export interface TrainingTrack {
  motions: readonly Motion[];
  settings: CompactSettings;
}

/**
 * Tables from tracks: predictors by regression, decisions by coding the tracks over and over and keeping what the
 * adaptive model knows on average over the ends of tracks.
 */
export function trainTables(
  sums: readonly TrackSums[],
  tracks: readonly TrainingTrack[],
  passes = PASSES,
): CompactTables {
  const tables = blankTables();
  fitPredictors(sums, tables);
  const coder = new RangeCoder();
  const buffer = new Uint8Array(PACKET_BYTES);
  const scalars = new PlainScalarModel(tables, true);
  const learned = new Float64Array(tables.questions.length);
  for (let pass = 0; pass < passes; pass++) {
    for (const { motions, settings } of tracks) {
      const state = new CompactState(ALL);
      scalars.forgetFace();
      quantiseTrack(motions, settings).forEach((values, frame) => {
        coder.startEncoding(buffer);
        if (frame === 0) state.reset(settings);
        scalars.values.set(values);
        scalars.encode(coder, state, frame === 0);
        scalars.advance(state, frame === 0);
      });
      if (pass >= passes - AVERAGED) scalars.addTo(learned);
    }
  }
  const ends = AVERAGED * tracks.length;
  // tables of their own: what models derive from tables is kept
  return {
    ...tables,
    questions: Int8Array.from(learned, (sum) => Math.max(-127, Math.min(127, Math.round(sum / ends)))),
  };
}

/** The motions in a mirror: what faces do on one side they do on the other, which doubles what tracks can teach. */
export function mirrored(motions: readonly Motion[]): Motion[] {
  return motions.map(({ pose, expression, keypoints }) => ({
    pose: { ...pose, yaw: -pose.yaw, roll: -pose.roll, tx: -pose.tx },
    expression: expression.map((_, index) => expression[MIRROR[index]!]!),
    ...(keypoints === undefined ? {} : { keypoints: keypoints.map((each, at) => (at % 3 === 0 ? -each : each)) }),
  }));
}

const MIRROR = (() => {
  const names: readonly string[] = EXPRESSION_NAMES;
  return names.map((name) => {
    const other = name.endsWith('Left') ? name.replace(/Left$/, 'Right') : name.replace(/Right$/, 'Left');
    return names.indexOf(names.includes(other) ? other : name);
  });
})();

import {
  type CompactSettings,
  DEFAULT_SETTINGS,
  SETTING_BITS,
  sameSettings,
  settingsAreValid,
} from './CompactSettings.ts';
import { type CompactState, FIRST_INTERVAL } from './CompactState.ts';
import type { CompactTables } from './CompactTables.ts';
import { badValue } from './compactErrors.ts';
import { createScalarModel } from './createScalarModel.ts';
import { squash } from './logistic.ts';
import type { RangeCoder } from './rangeCoder.ts';
import type { ScalarModel } from './ScalarModel.ts';

const SETTINGS_CHANGED = 64; // probability out of 65536
const TIME_UNARY_LIMIT = 6;
/** residuals beyond this are a pause, not a change of pace */
const PAUSE_MS = 100;
/** logistic domain, 1/65536: is the time not as predicted? negative? beyond 1, 2 … 6? Most senders keep their pace. */
const TIME_START = Int32Array.of(-131072, 0, 0, 0, 0, 0, 0, 0);
/** these weights move by 1/8 of the error */
const TIME_RATE_SHIFT = 3;

/**
 * The part of a packet that depends on its kind only through the state it predicts from: settings, time, scalars.
 * One walk serves both directions: encoding it returns what it was given, decoding what it read.
 */
export class PacketBody {
  readonly scalars: ScalarModel;
  private readonly coder: RangeCoder;
  private readonly adaptive: boolean;
  private timeMs = 0;
  private clock = 0;
  private interval = FIRST_INTERVAL;
  /** as TIME_START, and as they were before the packet */
  private readonly timeWeights = TIME_START.slice();
  private readonly timeWeightsBefore = TIME_START.slice();

  /** `adaptive` false: nothing is learned, as packets need that may get lost. */
  constructor(coder: RangeCoder, tables: CompactTables, adaptive: boolean) {
    this.coder = coder;
    this.adaptive = adaptive;
    this.scalars = createScalarModel(tables, adaptive);
  }

  /** Everything learned from packets goes: before a self-contained one. */
  forget(): void {
    this.scalars.forget();
    this.timeWeights.set(TIME_START);
  }

  /** Marks what undo() goes back to. */
  begin(): void {
    this.scalars.mark();
    // a loop: for eight numbers a call of set() takes longer
    for (let index = 0; index < TIME_START.length; index++) this.timeWeightsBefore[index] = this.timeWeights[index]!;
  }

  /** Forgets what was learned from a packet that proved malformed. */
  undo(): void {
    this.scalars.undo();
    this.timeWeights.set(this.timeWeightsBefore);
  }

  /** The settings, for self-contained packets: one bit when they are the default. Throws packet_bad_value. */
  codeSettings(settings: CompactSettings): CompactSettings {
    const special = this.coder.encoding && !sameSettings(settings, DEFAULT_SETTINGS) ? 1 : 0;
    if (this.coder.codeRaw(special, 1) === 0) return DEFAULT_SETTINGS;
    const result = { ...settings };
    for (const [name, bits] of SETTING_BITS) result[name] = this.coder.codeRaw(settings[name], bits);
    if (!settingsAreValid(result)) throw badValue('settings', JSON.stringify(result));
    return result;
  }

  /** Whether the settings change with this packet, and the new ones. */
  codeSettingsChange(before: CompactSettings, settings: CompactSettings): CompactSettings {
    const changed = this.coder.encoding && !sameSettings(before, settings) ? 1 : 0;
    return this.coder.code(changed, SETTINGS_CHANGED) === 1 ? this.codeSettings(settings) : before;
  }

  /**
   * The packet's time, predicted from the sender's pace; `timeMs`, `clock` and `interval` hold the result.
   * `steps`: sequence numbers since the state, 1…64.
   */
  codeTime(state: CompactState, timeMs: number, steps: number): void {
    const clock = (state.clock + state.interval * steps) & 0xffffff;
    const predicted = ((clock + 128) >> 8) & 0xffff;
    const residual = this.codeTimeResidual(((timeMs - predicted) << 16) >> 16);
    this.timeMs = (predicted + residual) & 0xffff;
    if (residual < -PAUSE_MS || residual > PAUSE_MS) {
      this.clock = this.timeMs << 8;
      this.interval = state.interval;
    } else {
      this.clock = (clock + (residual << 7)) & 0xffffff;
      const interval = state.interval + Math.floor((residual << 5) / steps);
      this.interval = Math.min(256_000, Math.max(256, interval));
    }
  }

  /** A self-contained packet gives its time in full. */
  startTime(timeMs: number): void {
    this.timeMs = timeMs;
    this.clock = timeMs << 8;
    this.interval = FIRST_INTERVAL;
  }

  /** Moves the state on to the packet that was coded, and learns from it. */
  commit(state: CompactState, sequence: number, selfContained: boolean): void {
    this.scalars.advance(state, selfContained);
    state.sequence = sequence;
    state.timeMs = this.timeMs;
    state.clock = this.clock;
    state.interval = this.interval;
  }

  private codeTimeResidual(residual: number): number {
    if (this.ask(residual === 0 ? 0 : 1, 0) === 0) return 0;
    const negative = this.ask(residual < 0 ? 1 : 0, 1);
    const target = residual < 0 ? -residual : residual;
    let magnitude = 1;
    while (magnitude <= TIME_UNARY_LIMIT) {
      if (this.ask(target > magnitude ? 1 : 0, 1 + magnitude) === 0) break;
      magnitude++;
    }
    if (magnitude > TIME_UNARY_LIMIT) magnitude += this.coder.codeEscape(target - magnitude);
    return negative === 1 ? -magnitude : magnitude;
  }

  private ask(bit: number, question: number): number {
    const weight = this.timeWeights[question]!;
    const probability = squash(weight);
    const result = this.coder.code(bit, probability);
    if (this.adaptive) {
      const error = (result << 16) - probability;
      this.timeWeights[question] = weight + ((error + (1 << (TIME_RATE_SHIFT - 1))) >> TIME_RATE_SHIFT);
    }
    return result;
  }
}

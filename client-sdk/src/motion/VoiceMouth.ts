import { EXPRESSION_INDEX, type ExpressionName, type Motion } from '@facewire/proto';

/** Bands of a voice, Hz: the first formant of open vowels and of close ones, the second of spread ones, hisses. */
const BANDS = { low: [80, 400], open: [450, 1100], spread: [1600, 3200], hiss: [4000, 8000] } as const;
/** A voice is so much louder than the room, and fully there so much above that, dB. */
const GATE_DB = 8;
const FULL_DB = 30;
/** The room's own noise is learned: down at once, up by so many dB a second. */
const FLOOR_RISE_DB = 3;
/** Lips are so quick, ms. */
const OPEN_MS = 40;
const SHUT_MS = 90;

type Shape = Partial<Record<ExpressionName, number>>;

/**
 * A mouth that moves with a voice: how far the jaw opens comes from its loudness, whether lips are round, spread or narrow
 * from where its sound lies. No speech is recognised: it is what makes a face without a tracker talk.
 */
export class VoiceMouth {
  readonly #shape = new Map<ExpressionName, number>();
  #floorDb: number | undefined;
  #atMs: number | undefined;

  /**
   * Takes in a spectrum: levels in dB of frequencies from 0 to half the sample rate, as `AnalyserNode.getFloatFrequencyData`
   * gives them, at a time in ms.
   */
  hear(levelsDb: ArrayLike<number>, sampleRate: number, timeMs: number): void {
    const passedMs = this.#atMs === undefined ? 0 : Math.max(0, timeMs - this.#atMs);
    this.#atMs = timeMs;
    const band = ([from, to]: readonly [number, number]) => meanPower(levelsDb, sampleRate, from, to);
    const [low, open, spread, hiss] = [band(BANDS.low), band(BANDS.open), band(BANDS.spread), band(BANDS.hiss)];
    const loudDb = decibels(low + open + spread + hiss);
    this.#floorDb = Math.min(loudDb, (this.#floorDb ?? loudDb) + (FLOOR_RISE_DB * passedMs) / 1000);
    const voiced = clamp((loudDb - this.#floorDb - GATE_DB) / (FULL_DB - GATE_DB));
    const all = low + open + spread + hiss || 1;
    const wanted = shapeOf(voiced, { low: low / all, open: open / all, spread: spread / all, hiss: hiss / all });
    for (const name of MOUTH) {
      const before = this.#shape.get(name) ?? 0;
      const now = wanted[name] ?? 0;
      const share = 1 - Math.exp(-passedMs / (now > before ? OPEN_MS : SHUT_MS));
      this.#shape.set(name, before + (now - before) * share);
    }
  }

  /** Gives a motion this mouth: its coefficients of jaw and lips are replaced. */
  apply(motion: Motion): Motion {
    for (const name of Object.keys(EXPRESSION_INDEX) as ExpressionName[]) {
      if (/^(jaw|mouth|tongue)/.test(name)) motion.expression[EXPRESSION_INDEX[name]] = this.#shape.get(name) ?? 0;
    }
    return motion;
  }
}

const MOUTH = [
  'jawOpen',
  'mouthFunnel',
  'mouthPucker',
  'mouthStretchLeft',
  'mouthStretchRight',
  'mouthLowerDownLeft',
  'mouthLowerDownRight',
  'mouthUpperUpLeft',
  'mouthUpperUpRight',
] as const satisfies readonly ExpressionName[];

/** What a mouth does at a loudness of 0…1 with shares of the bands that add to 1. */
function shapeOf(voiced: number, { low, open, spread, hiss }: Record<keyof typeof BANDS, number>): Shape {
  const wide = clamp(open * 1.6 + spread * 0.5);
  const round = clamp(low - open - spread);
  const narrow = clamp(hiss * 1.5);
  const both = (name: string, value: number): Shape => ({ [`${name}Left`]: value, [`${name}Right`]: value });
  return {
    jawOpen: voiced * clamp(0.15 + 0.6 * wide - 0.1 * narrow),
    mouthFunnel: voiced * 0.45 * round,
    mouthPucker: voiced * 0.4 * round,
    ...both('mouthStretch', voiced * 0.35 * clamp(spread * 2 + narrow)),
    ...both('mouthLowerDown', voiced * 0.35 * clamp(wide + narrow)),
    ...both('mouthUpperUp', voiced * 0.25 * clamp(spread + narrow)),
  };
}

function meanPower(levelsDb: ArrayLike<number>, sampleRate: number, fromHz: number, toHz: number): number {
  const step = sampleRate / 2 / levelsDb.length;
  const first = Math.max(1, Math.floor(fromHz / step));
  const last = Math.min(levelsDb.length - 1, Math.ceil(toHz / step));
  let power = 0;
  for (let bin = first; bin <= last; bin++) power += 10 ** (Math.max(-120, levelsDb[bin]!) / 10);
  return power;
}

function decibels(power: number): number {
  return 10 * Math.log10(Math.max(1e-12, power));
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}

import type { ExpressionName } from './expressions.ts';
import { bump, chance, ease } from './waves.ts';

/** When a synthetic person talks, and what the mouth does meanwhile. */
export interface Bout {
  /** number of the bout */
  index: number;
  /** seconds since the bout began; negative before it */
  elapsed: number;
  /** 0 silent … 1 talking */
  level: number;
}

/** Each cell holds one bout of 2.4–4.2 s that starts within its first 1.4 s; the rest is a pause. */
const BOUT_CELL_SECONDS = 6;
const BOUT_RAMP_SECONDS = 0.2;
const EMPHASIS_CELL_SECONDS = 1.2;

interface Viseme {
  jaw: number;
  funnel: number;
  pucker: number;
  smile: number;
  stretch: number;
  upperUp: number;
  lowerDown: number;
}

/** Mouth shapes of the vowels and of two consonant groups, coefficients in 0…1. */
const VISEMES: readonly Viseme[] = [
  /* ah */ { jaw: 0.52, funnel: 0.05, pucker: 0, smile: 0.02, stretch: 0.06, upperUp: 0.22, lowerDown: 0.36 },
  /* eh */ { jaw: 0.34, funnel: 0, pucker: 0, smile: 0.14, stretch: 0.18, upperUp: 0.26, lowerDown: 0.4 },
  /* ee */ { jaw: 0.17, funnel: 0, pucker: 0, smile: 0.3, stretch: 0.24, upperUp: 0.2, lowerDown: 0.36 },
  /* oh */ { jaw: 0.38, funnel: 0.5, pucker: 0.2, smile: 0, stretch: 0, upperUp: 0.12, lowerDown: 0.22 },
  /* oo */ { jaw: 0.2, funnel: 0.3, pucker: 0.58, smile: 0, stretch: 0, upperUp: 0.06, lowerDown: 0.12 },
  /* uh */ { jaw: 0.28, funnel: 0.1, pucker: 0.04, smile: 0.03, stretch: 0.04, upperUp: 0.14, lowerDown: 0.26 },
  /* s, t */ { jaw: 0.14, funnel: 0.08, pucker: 0, smile: 0.14, stretch: 0.14, upperUp: 0.22, lowerDown: 0.34 },
];

export function boutAt(time: number, seed: number): Bout {
  const index = Math.floor(time / BOUT_CELL_SECONDS);
  const { start, end } = boutSpan(index, seed);
  const level = ease((time - start) / BOUT_RAMP_SECONDS) * ease((end - time) / BOUT_RAMP_SECONDS);
  return { index, elapsed: time - start, level };
}

function boutSpan(index: number, seed: number): { start: number; end: number } {
  const start = index * BOUT_CELL_SECONDS + chance(seed, 'bout', index) * 1.4;
  return { start, end: start + 2.4 + chance(seed, 'bout length', index) * 1.8 };
}

/** Adds the mouth of a talking person: 3 to 5 syllables a second, each a viseme, lips meeting at some boundaries. */
export function addSpeech(
  bout: Bout,
  seed: number,
  add: (name: ExpressionName, amount: number) => void,
  both: (name: string, amount: number) => void,
): void {
  if (bout.level <= 0) return;
  const rate = 3.2 + chance(seed, 'syllable rate', bout.index) * 1.6;
  const position = bout.elapsed * rate;
  const syllable = Math.floor(position);
  const phase = position - syllable;
  // The vowel is reached early in the syllable and held; the jaw opens and closes once per syllable.
  const [from, to] = [visemeAt(bout.index, syllable - 1, seed), visemeAt(bout.index, syllable, seed)];
  const weight = ease(phase / 0.6);
  const shape = (part: keyof Viseme) => (from[part] + (to[part] - from[part]) * weight) * bout.level;
  const opening = 0.3 + 0.7 * bump(phase);
  const closure = closureAt(bout.index, position, seed);

  add('jawOpen', shape('jaw') * opening * (1 - 0.85 * closure));
  add('mouthFunnel', shape('funnel') * (1 - 0.5 * closure));
  add('mouthPucker', shape('pucker'));
  both('mouthSmile', shape('smile'));
  both('mouthStretch', shape('stretch') * (1 - closure));
  both('mouthUpperUp', shape('upperUp') * opening * (1 - closure));
  both('mouthLowerDown', shape('lowerDown') * opening * (1 - closure));
  both('mouthPress', 0.28 * closure * bout.level);
  add('mouthRollLower', 0.18 * closure * bout.level);
  add('mouthRollUpper', 0.12 * closure * bout.level);
}

function visemeAt(bout: number, syllable: number, seed: number): Viseme {
  const which = bout * 64 + syllable;
  const viseme = VISEMES[Math.floor(chance(seed, 'viseme', which) * VISEMES.length)]!;
  const loudness = 0.8 + 0.4 * chance(seed, 'loudness', which);
  return { ...viseme, jaw: viseme.jaw * loudness };
}

/** How far the lips meet, as for m, b and p: around one syllable boundary in three. */
function closureAt(bout: number, position: number, seed: number): number {
  const boundary = Math.round(position);
  return chance(seed, 'closure', bout * 64 + boundary) < 0.33 ? bump((position - boundary) / 0.5 + 0.5) : 0;
}

/** 0…1: the swelling of brows and nod on a stressed word, of 0.45–0.75 s. Multiply by the bout's level. */
export function emphasisAt(time: number, seed: number): number {
  const cell = Math.floor(time / EMPHASIS_CELL_SECONDS);
  if (chance(seed, 'emphasis', cell) > 0.5) return 0;
  const start = cell * EMPHASIS_CELL_SECONDS + chance(seed, 'emphasis start', cell) * 0.4;
  const duration = 0.45 + chance(seed, 'emphasis length', cell) * 0.3;
  const strength = 0.5 + chance(seed, 'emphasis strength', cell) * 0.5;
  return strength * bump((time - start) / duration);
}

/** 0…1: the smile of a pause, which begins as a bout ends and fades as the next begins. */
export function smileBetweenBouts(time: number, seed: number): number {
  const cell = Math.floor(time / BOUT_CELL_SECONDS);
  return Math.max(smileAfter(cell - 1, time, seed), smileAfter(cell, time, seed));
}

function smileAfter(bout: number, time: number, seed: number): number {
  if (chance(seed, 'smile', bout) > 0.65) return 0;
  const begin = boutSpan(bout, seed).end - 0.3;
  const end = boutSpan(bout + 1, seed).start + 0.5;
  const strength = 0.45 + chance(seed, 'smile strength', bout) * 0.55;
  return strength * ease((time - begin) / 0.6) * ease((end - time) / 0.6);
}

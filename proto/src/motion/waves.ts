/** The building blocks of synthetic motion: all pure, all continuous in time. */

/** A random number in 0…1 that depends on nothing but its arguments. `what` keeps uses apart; `index` is an integer. */
export function chance(seed: number, what: string, index: number): number {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index | 0, 0xc2b2ae35);
  for (let at = 0; at < what.length; at++) state = Math.imul(state ^ what.charCodeAt(at), 0x01000193);
  // finaliser of MurmurHash3
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return ((state ^ (state >>> 16)) >>> 0) / 0x1_0000_0000;
}

/** Smoothstep: 0 below 0, 1 above 1, slope at most 1.5. */
export function ease(phase: number): number {
  const x = Math.min(1, Math.max(0, phase));
  return x * x * (3 - 2 * x);
}

/** 0 outside 0…1, 1 in the middle, smooth at both ends; slope at most π. */
export function bump(phase: number): number {
  return phase <= 0 || phase >= 1 ? 0 : Math.sin(phase * Math.PI) ** 2;
}

/** Smooth value noise in −1…1 that takes a new direction at every whole number. */
export function drift(position: number, seed: number, what: string): number {
  const cell = Math.floor(position);
  const from = chance(seed, what, cell) * 2 - 1;
  const to = chance(seed, what, cell + 1) * 2 - 1;
  return from + (to - from) * ease(position - cell);
}

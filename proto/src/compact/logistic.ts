/**
 * The logistic function in integers (the knots are those of PAQ's): the domain −2047…2047 stands for ln(p / (1 − p)) in
 * units of 1/256, probabilities are out of 65536.
 */
const KNOTS = [
  22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768, 40793, 47911, 53581,
  57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514,
] as const;

const DOMAIN_LIMIT = 2047;

/** SQUASH[x + 2048], x in −2048…2047: linear between the knots, which lie 128 apart. */
export const SQUASH = Uint16Array.from({ length: 4096 }, (_, index) => {
  const knot = index >> 7;
  const part = index & 127;
  return (KNOTS[knot]! * (128 - part) + KNOTS[knot + 1]! * part + 64) >> 7;
});

/** Probability of a 1, out of 65536, from a sum of weights in 1/65536. */
export function squash(sum: number): number {
  const x = sum >> 8;
  return SQUASH[(x > DOMAIN_LIMIT ? DOMAIN_LIMIT : Math.max(x, -DOMAIN_LIMIT)) + 2048]!;
}

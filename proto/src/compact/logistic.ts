/**
 * The logistic function and its inverse in integers, as used by PAQ's mixers: the domain −2047…2047 stands for
 * ln(p / (1 − p)) in units of 1/256, probabilities are out of 65536.
 */
const KNOTS = [
  22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768, 40793, 47911, 53581,
  57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514,
] as const;

export const DOMAIN_LIMIT = 2047;

/** SQUASH[x + 2048], x in −2048…2047: linear between the knots, which lie 128 apart. */
export const SQUASH = Uint16Array.from({ length: 4096 }, (_, index) => {
  const knot = index >> 7;
  const part = index & 127;
  return (KNOTS[knot]! * (128 - part) + KNOTS[knot + 1]! * part + 64) >> 7;
});

/** STRETCH[p >> 4]: the smallest x whose squash reaches the probability, within ±2047. */
export const STRETCH = (() => {
  const table = new Int16Array(4096).fill(DOMAIN_LIMIT);
  let next = 0;
  for (let x = -DOMAIN_LIMIT; x <= DOMAIN_LIMIT; x++) {
    const top = SQUASH[x + 2048]! >> 4;
    while (next <= top) table[next++] = x;
  }
  return table;
})();

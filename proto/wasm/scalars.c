/*
 * The scalars of a compact motion packet, both ways: docs/protocol-compact.md, sections 5 and 6, as WebAssembly.
 *
 * proto/src/compact/WasmScalarModel.ts puts what a packet builds on into `work`, calls one of the functions at the end,
 * and takes the results out of `work`. Built by proto/scripts/buildWasm.ts with -fwrapv: sums wrap modulo 2^32. Nothing
 * is allocated: models lie behind all that is here, where wasmCore.ts puts them.
 *
 * Written for speed: what rests on the state alone is found for all scalars at once, and the eight questions of a context
 * are kept side by side, so that a scalar's sums and lessons are a few vector instructions.
 */
#include <stdint.h>

#define ALWAYS static inline __attribute__((always_inline))
#define EXPORTED(name) __attribute__((export_name(#name))) name

#define POSE 6
#define FACE 58
#define FIELDS 6
#define SCALARS 512 /* room for 442 */
#define ROOM(count) (((count) + 3) & ~3)
#define ROWS 61
/* where each of the five kinds of context begins, and their number */
enum { FRAME = 0, LEAN = 512, LEVEL = 817, PAST = 1305, PREDICTION = 1881, CONTEXTS = 2137 };
#define PREDECESSORS 12
#define OWN_INPUTS 5
#define FOLLOWERS 60 /* room for FACE, in whole vectors */
#define UNARY_LIMIT 14
/* 442 scalars of 16 questions of at most 11.6 bits and an escape of 31 take 12 KiB */
#define PACKET_BYTES 16384

/* Four numbers at once. */
typedef int32_t four __attribute__((vector_size(16)));
#define FOUR(x) ((four){x, x, x, x})

/* The eight weights of one context, by question. */
typedef struct {
  four low, high;
} context;

/* What one end has learned, and the tables' predecessors. */
typedef struct {
  context contexts[CONTEXTS];
  /* the predictor's: what a change of one scalar says of each other one's (0 but for those that have it among their
     predecessors), and what the scalar's own past says: weights 12 to 16 of its row */
  int32_t says[FACE][FOLLOWERS];
  int32_t own[OWN_INPUTS][ROWS];
  /* and for keypoints' rows weights 0 to 3 */
  int32_t keypoints[3][4];
  int32_t predecessors[FACE][PREDECESSORS];
} model;

/* One packet on its way; wasmCore.ts knows the order of the fields. */
struct {
  /* the range coder (section 2); decoding: `low` is its offset. Bytes past `length` read as zeros */
  int32_t low, range, position, length;
  /* what is wrong with a packet: the scalar that is out of range and its value */
  int32_t wrong_scalar, wrong_value;
  /* the settings: scalars that there are, that travel, and the highest value of a coefficient */
  int32_t count, travelling, top;
  int32_t spare[7];
  /* those that travel, in coding order, and the ranges of their values */
  int32_t places[SCALARS], lowest[SCALARS], highest[SCALARS];
  /* CompactState's: for each of its fields the numbers of all scalars, ROOM(count) of them */
  int32_t state[FIELDS * SCALARS];
  int32_t values[SCALARS];
  uint8_t bytes[PACKET_BYTES];
  /* p of section 4's squash() */
  uint16_t squash[4096];
} work;

/* kinds of scalars, which are also their zones; a coefficient at 0 is in one of its own */
enum { POSE_ZONE, KEYPOINT, COEFFICIENT, AT_ZERO };
enum { WHOLE = 0, TRUNCATED = 1, BAD_SCALAR = 2, BAD_ESCAPE = 3 };

/* The fields of the state. */
enum { VALUE, CHANGE, BEFORE, LIVELY, LIVELY_LONG, MEAN };
ALWAYS int32_t *field(int32_t which) { return work.state + which * ROOM(work.count); }

/* What is found of all scalars before the first is coded: 0 pose, 1 keypoints, 2 coefficients, 3 those at 0; the size of
   change expected, 1/256, and its logarithm, eighths, + 1; what the scalar's own past says of its change, 1/65536, and
   the least that it can be, 1/256; the five contexts, as far as they rest on the state alone. */
static int32_t zones[SCALARS], expected[SCALARS], expected_log[SCALARS], past_says[SCALARS], least[SCALARS];
static int32_t found_a[SCALARS], found_b[SCALARS], found_c[SCALARS], found_d[SCALARS], found_e[SCALARS];

/* of the packet on its way, by scalar: changes so far, limited to 63; what those of its predecessors say, 1/65536; what
   was predicted, 1/256 */
static int32_t changes[SCALARS];
static four heard[FOLLOWERS / 4];
static int32_t predictions[SCALARS];
/* the scalars whose prediction was a step or more off */
static int32_t failed[SCALARS];
static int32_t failed_count;

/* What decode() has learned from one scalar: by how much it moved the weights of five contexts. */
typedef struct {
  context *contexts[5];
  four moved;
} lesson;
/* from questions 0 to 3; from questions 4 to 7 */
static lesson lessons[SCALARS], high_lessons[SCALARS];
static int32_t lesson_count, high_lesson_count;
/* from questions 6 and 7, whose first context is one of its own each time */
typedef struct {
  int32_t *weight;
  int32_t moved;
} far_lesson;
static far_lesson far_lessons[SCALARS * UNARY_LIMIT];
static int32_t far_lesson_count;

typedef struct {
  int32_t low, range, position;
} coder;

ALWAYS int32_t min(int32_t a, int32_t b) { return a < b ? a : b; }
ALWAYS int32_t max(int32_t a, int32_t b) { return a > b ? a : b; }
ALWAYS int32_t clamp(int32_t x, int32_t low, int32_t high) { return max(low, min(x, high)); }
ALWAYS int32_t sign(int32_t x) { return (x > 0) - (x < 0); }
ALWAYS int32_t magnitude_of(int32_t x) { return x < 0 ? -x : x; }

/* log2 in eighths */
ALWAYS int32_t eighths(int32_t x) {
  int32_t top = 31 - __builtin_clz((uint32_t)x);
  return 8 * top + (((8 * x) >> top) & 7);
}

/* --- section 2 --- */

ALWAYS void shift_in(coder *c) {
  c->low = (c->low << 8) | (c->position < work.length ? work.bytes[c->position] : 0);
  c->position++;
  c->range <<= 8;
}

static void put_byte(coder *c) {
  if (c->low >= 1 << 24) {
    uint8_t *byte = &work.bytes[c->position];
    c->low -= 1 << 24;
    while (*--byte == 255) *byte = 0;
    ++*byte;
  }
  work.bytes[c->position++] = (uint8_t)(c->low >> 16);
  c->low = (c->low & 0xffff) << 8;
  c->range <<= 8;
}

/* Codes a bit (encoding) or finds it (decoding, `bit` is of no account), whose probability of being 1 is p / 65536. */
ALWAYS int32_t code_bit(coder *c, int encoding, int32_t bit, int32_t p) {
  int32_t bound = (int32_t)(((uint32_t)c->range >> 8) * ((uint32_t)p >> 1) >> 7);
  if (encoding) {
    c->low += bit ? 0 : bound;
  } else {
    bit = c->low < bound;
    c->low -= bit ? 0 : bound;
  }
  c->range = bit ? bound : c->range - bound;
  while (c->range < 1 << 16) {
    if (encoding) put_byte(c);
    else shift_in(c);
  }
  return bit;
}

/* More has been read than there is and three zeros past the end. */
ALWAYS int ran_out(const coder *c) { return c->position > work.length + 3; }

/* Section 2's escape of n; WHOLE or what is wrong. */
static int32_t code_escape(coder *c, int encoding, int32_t *n) {
  int32_t bits = 0, rest = *n + 1, lower = 0, each;
  while (code_bit(c, encoding, rest >> (bits + 1) != 0, 32768)) {
    if (!encoding && ran_out(c)) return TRUNCATED;
    if (++bits > 15) return BAD_ESCAPE;
  }
  for (each = bits - 1; each >= 0; each--) lower = 2 * lower + code_bit(c, encoding, (rest >> each) & 1, 32768);
  *n = (1 << bits) + lower - 1;
  return !encoding && ran_out(c) ? TRUNCATED : WHOLE;
}

/* --- section 5 --- */

/* section 4's p, as the place in `work.squash` of four sums */
ALWAYS four squashed(four sums) {
  return __builtin_elementwise_max(__builtin_elementwise_min(sums >> 8, FOUR(2047)), FOUR(-2047)) + 2048;
}

/* One question, whose p is at `place`: the answer as code_bit(), and how far it moves the weights. */
ALWAYS int32_t ask(coder *c, int encoding, int32_t bit, int32_t place, int32_t *by) {
  int32_t p = work.squash[place], error;
  bit = code_bit(c, encoding, bit, p);
  error = (bit << 16) - p;
  /* errors below 1024 teach nothing: as an unsigned number, error + 1023 is at most 2046 then */
  *by = (uint32_t)(error + 1023) > 2046 ? (error + 16) >> 5 : 0;
  return bit;
}

/* --- section 6 --- */

ALWAYS int32_t drift_of(int32_t value, int32_t mean) { return clamp(value * 256 - mean, -4096, 4096); }

/* log() of x, 1 to 2^24, which floats hold exactly: the exponent and the three highest bits of the mantissa */
ALWAYS int32_t log_by_float(int32_t x) {
  union { float number; int32_t bits; } as = {(float)x};
  return (as.bits >> 20) - (127 << 3);
}

/* Scalars `from` to `to` - 1, all of a kind, without branches, so that the compiler takes four at a time. */
ALWAYS void find(const model *restrict m, int32_t kind, int32_t from, int32_t to) {
  const int32_t *value = field(VALUE), *change = field(CHANGE), *before = field(BEFORE), *lively = field(LIVELY);
  const int32_t *lively_long = field(LIVELY_LONG), *mean = field(MEAN);
  int32_t i, top = work.top;
  for (i = from; i < to; i++) {
    int32_t row = kind == KEYPOINT ? FACE + (i - FACE) % 3 : i;
    int32_t v = value[i], at_zero = kind == COEFFICIENT && v == 0;
    int32_t past = 3 * sign(change[i]) + sign(before[i]) + 4;
    int32_t level = 0;
    if (kind == COEFFICIENT) {
      level = (v > 0) + (v > 1) + (v > 2) + (v > 3) + (v > 7) + (v > 15) + ((v > 15) & (v == top));
    }
    int32_t zone = kind + at_zero;
    zones[i] = zone;
    expected[i] = (lively[i] + (lively_long[i] >> 4)) >> 1;
    expected_log[i] = log_by_float(max(expected[i], 1)) + 1;
    past_says[i] = m->own[0][row] * change[i] + m->own[1][row] * before[i] +
                   (m->own[2][row] * drift_of(v, mean[i]) >> 8) + (m->own[3][row] & -at_zero) + m->own[4][row];
    least[i] = kind == COEFFICIENT ? -v * 256 : INT32_MIN;
    found_a[i] = FRAME + zone * 16 * 8;
    found_b[i] = LEAN + row * 5;
    found_c[i] = LEVEL + row * 8 + level;
    found_d[i] = PAST + (zone * 9 + past) * 16;
    found_e[i] = PREDICTION + zone * 64 + 32;
  }
}

static __attribute__((noinline)) void find_all(const model *m) {
  find(m, POSE_ZONE, 0, POSE);
  find(m, COEFFICIENT, POSE, FACE);
  find(m, KEYPOINT, FACE, work.count);
}

/* The change expected of a scalar, in 1/256 step. */
ALWAYS int32_t predict(const model *m, int32_t which) {
  int32_t sum = past_says[which];
  if (which >= FACE) {
    const int32_t *k = m->keypoints[(which - FACE) % 3];
    if (which - 3 >= FACE) sum += k[0] * changes[which - 3];
    if (which - 6 >= FACE) sum += k[1] * changes[which - 6];
    if (which - 1 >= FACE) sum += k[2] * changes[which - 1];
    if (which - 2 >= FACE) sum += k[3] * changes[which - 2];
  } else {
    sum += ((const int32_t *)heard)[which];
  }
  return max(sum >> 8, least[which]);
}

/* A change other than 0: what it says of those that follow. */
ALWAYS void tell(const model *m, int32_t which, int32_t change) {
  int32_t n, limited = clamp(change, -63, 63);
  const four *says = (const four *)m->says[which];
  changes[which] = limited;
  if (which >= FACE) return;
  for (n = 0; n < FOLLOWERS / 4; n++) heard[n] += says[n] * limited;
}

/* by pace + 31: much down, down, neither, up, much up */
static const uint8_t LEANS[63] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                  2, 2, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4};

ALWAYS int32_t code_scalars(model *m, int encoding, int adaptive, int alone) {
  coder c = {work.low, work.range, work.position};
  int32_t changed = 512, foreseen = 512, lively = 72, place, wrong = WHOLE;
  int32_t taught = 0, high_taught = 0, far_taught = 0, failures = 0;
  int32_t top = work.top;
  const int32_t *values = field(VALUE);
  find_all(m);
  __builtin_memset(heard, 0, sizeof heard);
  __builtin_memset(changes, 0, sizeof(int32_t) * (uint32_t)work.count);
  if (!encoding) __builtin_memset(work.values, 0, sizeof(int32_t) * (uint32_t)work.count);
  for (place = 0; place < work.travelling; place++) {
    int32_t which = work.places[place], value = values[which];
    int32_t ratio = lively - eighths(foreseen);
    int32_t predicted = alone ? 0 : predict(m, which);
    int32_t size = clamp(((expected_log[which] + ratio) >> 2) - 7, 0, 15);
    int32_t pace = clamp((predicted + 16) >> 5, -31, 31);
    context *frame = &m->contexts[found_a[which] + 8 * size];
    context *a = frame + clamp((ratio >> 2) + 4, 0, 7);
    context *b = &m->contexts[found_b[which] + LEANS[pace + 31]];
    context *d = &m->contexts[found_c[which]];
    context *e = &m->contexts[found_d[which] + size];
    context *f = &m->contexts[found_e[which] + pace];
    four asked = squashed(((a->low + b->low) + (d->low + e->low)) + f->low);
    four low = FOUR(0);
    int32_t change = encoding ? work.values[which] - value : 0;
    int32_t negative = change < 0, target = magnitude_of(change), far = 0, by;
    foreseen += expected[which];
    predictions[which] = predicted;

    if (ask(&c, encoding, target > 0, asked[0], &by)) far = 1;
    low[0] = by;
    if (far) {
      if (zones[which] == AT_ZERO) {
        negative = 0;
      } else if (zones[which] == COEFFICIENT && value == top) {
        negative = 1;
      } else {
        negative = ask(&c, encoding, negative, asked[1], &by);
        low[1] = by;
      }
      if (ask(&c, encoding, target > 1, negative ? asked[3] : asked[2], &by)) far = 2;
      low[2] = negative ? 0 : by;
      low[3] = negative ? by : 0;
    }
    if (adaptive) {
      if (!encoding) lessons[taught++] = (lesson){{a, b, d, e, f}, low};
      a->low += low;
      b->low += low;
      d->low += low;
      e->low += low;
      f->low += low;
    }
    if (far == 2) {
      four rest = (b->high + d->high) + (e->high + f->high);
      four high = FOUR(0);
      asked = squashed(a->high + rest);
      if (ask(&c, encoding, target > 2, negative ? asked[1] : asked[0], &by)) far = 3;
      high[0] = negative ? 0 : by;
      high[1] = negative ? by : 0;
      if (adaptive) a->high += high;
      if (far == 3) {
        int32_t sum = negative ? rest[3] : rest[2], total = 0, more;
        do {
          int32_t *first = (int32_t *)&frame[min(far - 3, 7)].high + 2 + negative;
          more = ask(&c, encoding, target > far, clamp((*first + sum) >> 8, -2047, 2047) + 2048, &by);
          if (!adaptive) by = 0;
          if (!encoding) far_lessons[far_taught++] = (far_lesson){first, by};
          *first += by;
          sum += 4 * by;
          total += by;
        } while (more && ++far <= UNARY_LIMIT);
        high[2] = negative ? 0 : total;
        high[3] = negative ? total : 0;
      }
      if (adaptive) {
        if (!encoding) high_lessons[high_taught++] = (lesson){{a, b, d, e, f}, high};
        b->high += high;
        d->high += high;
        e->high += high;
        f->high += high;
      }
    }
    if (far > UNARY_LIMIT) {
      int32_t more = target - far;
      wrong = !encoding && ran_out(&c) ? TRUNCATED : code_escape(&c, encoding, &more);
      if (wrong != WHOLE) break;
      far += more;
    }
    change = negative ? -far : far;
    failed[failures] = which;
    failures += (uint32_t)(change * 256 - predicted + 255) > 510;
    work.values[which] = value + change;
    if (far == 0) continue;
    value += change;
    if (!encoding && (value < work.lowest[place] || value > work.highest[place])) {
      work.wrong_scalar = which;
      work.wrong_value = value;
      wrong = BAD_SCALAR;
      break;
    }
    changed += min(far, 8) * 256;
    lively = eighths(changed);
    tell(m, which, change);
  }
  lesson_count = encoding ? 0 : taught;
  high_lesson_count = encoding ? 0 : high_taught;
  far_lesson_count = encoding ? 0 : far_taught;
  failed_count = failures;
  work.low = c.low;
  work.range = c.range;
  work.position = c.position;
  if (!encoding && ran_out(&c)) return TRUNCATED;
  return wrong;
}

static void learn(model *m) {
  const int32_t *value = field(VALUE), *change = field(CHANGE), *before = field(BEFORE), *mean = field(MEAN);
  int32_t at, n;
  for (at = 0; at < failed_count; at++) {
    int32_t which = failed[at];
    int32_t mistake = (work.values[which] - value[which]) * 256 - predictions[which];
    int32_t x[PREDECESSORS], drift = drift_of(value[which], mean[which]), energy, gain;
    if (which >= FACE) return;
    energy = 4 + ((drift * drift) >> 16) + change[which] * change[which] + before[which] * before[which];
    for (n = 0; n < PREDECESSORS; n++) {
      x[n] = changes[m->predecessors[which][n]];
      energy += x[n] * x[n];
    }
    gain = clamp(mistake, -1536, 1536) * 1024 / energy;
    for (n = 0; n < PREDECESSORS; n++) m->says[m->predecessors[which][n]][which] += (gain * x[n] + 32) >> 6;
    m->own[0][which] += (gain * change[which] + 32) >> 6;
    m->own[1][which] += (gain * before[which] + 32) >> 6;
    m->own[2][which] += (gain * drift + 8192) >> 14;
  }
}

/* --- what WasmScalarModel.ts calls --- */

/* Reads `values` from `bytes`; what is wrong, if anything. What it has learned from the packet, undo() takes back. */
int32_t EXPORTED(decode)(model *m, int32_t adaptive, int32_t alone) {
  return code_scalars(m, 0, adaptive, alone);
}

/* Writes `values` to `bytes`, of which `position` are there already. */
void EXPORTED(encode)(model *m, int32_t adaptive, int32_t alone) { code_scalars(m, 1, adaptive, alone); }

void EXPORTED(undo)(void) {
  int32_t n;
  while (lesson_count > 0) {
    const lesson *l = &lessons[--lesson_count];
    for (n = 0; n < 5; n++) l->contexts[n]->low -= l->moved;
  }
  while (high_lesson_count > 0) {
    /* of questions 6 and 7 the first context here has no part: far_lesson */
    const lesson *l = &high_lessons[--high_lesson_count];
    l->contexts[0]->high -= l->moved & (four){-1, -1, 0, 0};
    for (n = 1; n < 5; n++) l->contexts[n]->high -= l->moved;
  }
  while (far_lesson_count > 0) {
    const far_lesson *l = &far_lessons[--far_lesson_count];
    *l->weight -= l->moved;
  }
}

/* After the packet: the predictor learns, and the state moves on to `values`. */
void EXPORTED(advance)(model *m, int32_t adaptive, int32_t alone) {
  int32_t *value = field(VALUE), *change = field(CHANGE), *before = field(BEFORE), *lively = field(LIVELY);
  int32_t *lively_long = field(LIVELY_LONG), *mean = field(MEAN);
  int32_t i;
  if (adaptive && !alone) learn(m);
  for (i = 0; i < work.count; i++) {
    int32_t now = work.values[i], by = now - value[i], size = min(magnitude_of(by), 8);
    before[i] = alone ? 0 : change[i];
    change[i] = alone ? 0 : clamp(by, -63, 63);
    lively[i] = alone ? 128 : lively[i] + ((size * 256 - lively[i]) >> 2);
    lively_long[i] = alone ? 2048 : lively_long[i] + ((size * 4096 - lively_long[i]) >> 5);
    mean[i] = alone ? now * 256 : mean[i] + ((now * 256 - mean[i]) >> 4);
    value[i] = now;
  }
}

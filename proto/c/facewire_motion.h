/*
 * Compact motion packets, decoder: docs/protocol-compact.md in C99. One header (and the tables beside it), no
 * allocation, no library but string.h, never reads past the packet.
 *
 *     static fw_decoder decoder;               // 0.4 MiB and 10.4 KiB for each state kept: not for the stack
 *     fw_init(&decoder);
 *     int code = fw_decode(&decoder, bytes, length, &motion);
 *
 * Define before including: FW_MAX_KEYPOINTS (0 to 128, default 128), and FW_HISTORY, states kept for datagram packets
 * to build on (128 by default; 1 where only ordered transports are used).
 */
#ifndef FACEWIRE_MOTION_H
#define FACEWIRE_MOTION_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "facewire_tables.h"

#ifndef FW_MAX_KEYPOINTS
#define FW_MAX_KEYPOINTS 128
#endif
#ifndef FW_HISTORY
#define FW_HISTORY 128
#endif

#define FW_POSE 6
#define FW_EXPRESSIONS 52
#define FW_FACE (FW_POSE + FW_EXPRESSIONS)
#define FW_SCALARS (FW_FACE + 3 * FW_MAX_KEYPOINTS)
#define FW_QUESTIONS 8
#define FW_CONTEXTS 2137
#define FW_PREDECESSORS 12
#define FW_WEIGHTS 17
#define FW_ROWS (FW_FACE + 3)
#define FW_UNARY 14

/* What fw_decode returns. After any but FW_OK the decoder is as it was (but FW_NO_BASELINE ends a chain). */
enum {
  FW_OK = 0,
  FW_TRUNCATED = 1,    /* packet_truncated */
  FW_OVERSIZED = 2,    /* packet_oversized */
  FW_BAD_VALUE = 3,    /* packet_bad_value */
  FW_UNKNOWN_KIND = 4, /* packet_unknown_kind */
  FW_STALE = 5,        /* packet_stale: came twice, ignore it */
  FW_NO_BASELINE = 6,  /* packet_no_baseline: ask the sender for a self-contained packet */
  FW_TOO_MANY = 7      /* more keypoints than FW_MAX_KEYPOINTS */
};

typedef struct {
  uint16_t sequence;
  uint16_t time_ms;
  /* pitch, yaw, roll (radians), tx, ty (half image widths), log scale */
  float pose[FW_POSE];
  /* in the order of EXPRESSION_NAMES (docs/protocol.md), 0 to 1 */
  float expression[FW_EXPRESSIONS];
  int keypoint_count;
  float keypoints[3 * FW_MAX_KEYPOINTS + 1];
  /* the same in steps of 1 / denominator: all 58 + 3 * keypoint_count, and those of pose, coefficients, keypoints */
  int32_t steps[FW_SCALARS];
  int32_t denominators[3];
} fw_motion;

/* --- from here on internal --- */

enum { FW_P, FW_E, FW_Q, FW_COUNT, FW_K, FW_SENT, FW_SETTINGS };

typedef struct {
  int32_t value, change, before, lively, lively_long, mean;
} fw_scalar;

typedef struct {
  int32_t settings[FW_SETTINGS];
  int32_t sequence, time_ms, clock, interval;
  int used;
  fw_scalar scalars[FW_SCALARS];
} fw_state;

typedef struct {
  int32_t w[FW_CONTEXTS * FW_QUESTIONS];
  int32_t v[FW_ROWS * FW_WEIGHTS];
  int32_t t[8];
} fw_model;

typedef struct {
  const uint8_t *bytes;
  size_t length, position;
  uint32_t range, offset;
  int error;
} fw_coder;

typedef struct {
  int32_t contexts[5];
  int32_t moved;
} fw_entry;

typedef struct {
  fw_model models[3]; /* the chain's, the next chain's, and one that stays as the tables have it */
  int active;
  int whole;
  uint32_t counter;
  fw_state chain, work;
  fw_state history[FW_HISTORY];
  int32_t newest; /* -1: none */
  /* of the packet being decoded */
  int32_t values[FW_SCALARS], changes[FW_SCALARS], predictions[FW_FACE];
  int32_t t_before[8];
  uint32_t entry_count;
  fw_entry entries[FW_SCALARS * (FW_UNARY + 2)];
} fw_decoder;

static int32_t fw_wrap(int64_t x) {
  uint32_t low = (uint32_t)((uint64_t)x & 0xffffffffu);
  return low <= 0x7fffffffu ? (int32_t)low : -1 - (int32_t)(0xffffffffu - low);
}

/* towards minus infinity, on every compiler */
static int32_t fw_shift(int32_t x, int by) { return x >= 0 ? x >> by : -1 - ((-1 - x) >> by); }

static int32_t fw_clamp(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }

static int32_t fw_sign(int32_t x) { return (x > 0) - (x < 0); }

static int32_t fw_magnitude(int32_t x) { return x < 0 ? -x : x; }

/* log2 in eighths */
static int32_t fw_eighths(int32_t x) {
  int32_t top = 0;
  while ((x >> (top + 1)) != 0) top++;
  return 8 * top + (((8 * x) >> top) & 7);
}

static int32_t fw_squash(int32_t sum) {
  static const int32_t knots[33] = {22,    36,    60,    98,    162,   267,   439,   720,   1179,  1921,  3108,
                                    4971,  7812,  11955, 17625, 24743, 32768, 40793, 47911, 53581, 57724, 60565,
                                    62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514};
  int32_t i = fw_clamp(fw_shift(sum, 8), -2047, 2047) + 2048;
  int32_t part = i & 127;
  return (knots[i >> 7] * (128 - part) + knots[(i >> 7) + 1] * part + 64) >> 7;
}

/* --- section 2 --- */

static uint32_t fw_byte(const fw_coder *c, size_t at) { return at < c->length ? c->bytes[at] : 0u; }

static void fw_start(fw_coder *c, const uint8_t *bytes, size_t length) {
  c->bytes = bytes;
  c->length = length;
  c->position = 3;
  c->range = 0xc00000u;
  c->error = FW_OK;
  c->offset = ((fw_byte(c, 0) << 16) | (fw_byte(c, 1) << 8) | fw_byte(c, 2)) - 0x400000u;
}

/* After an error every bit is 0, which ends every loop. */
static int fw_bit(fw_coder *c, int32_t p) {
  uint32_t bound = ((c->range >> 8) * ((uint32_t)p >> 1)) >> 7;
  int bit;
  if (c->error != FW_OK) return 0;
  bit = c->offset < bound;
  if (bit) {
    c->range = bound;
  } else {
    c->offset -= bound;
    c->range -= bound;
  }
  while (c->range < 0x10000u) {
    if (c->position >= c->length + 3) {
      c->error = FW_TRUNCATED;
      return 0;
    }
    c->offset = (c->offset << 8) | fw_byte(c, c->position++);
    c->range <<= 8;
  }
  return bit;
}

static int32_t fw_raw(fw_coder *c, int count) {
  int32_t result = 0;
  while (count-- > 0) result = result * 2 + fw_bit(c, 32768);
  return result;
}

static int32_t fw_escape(fw_coder *c) {
  int bits = 0;
  while (fw_bit(c, 32768)) {
    if (++bits > 15) {
      c->error = FW_BAD_VALUE;
      return 0;
    }
  }
  return (1 << bits) + fw_raw(c, bits) - 1;
}

static int fw_finish(fw_coder *c) {
  size_t shifted = c->position - 3;
  uint32_t window, low, value, mask, count;
  if (c->error != FW_OK) return c->error;
  window = (fw_byte(c, shifted) << 16) | (fw_byte(c, shifted + 1) << 8) | fw_byte(c, shifted + 2);
  low = (window - c->offset) & 0xffffffu;
  value = low;
  for (count = 0; count < 3; count++) {
    mask = (1u << (24 - 8 * count)) - 1;
    value = (low + mask) & ~mask;
    if (value < low + c->range) break;
  }
  if (count == 3) value = low;
  if (c->length < shifted + count) return FW_TRUNCATED;
  if (c->length > shifted + count) return FW_OVERSIZED;
  return (value & 0xffffffu) == window ? FW_OK : FW_BAD_VALUE;
}

/* --- sections 1 and 3 --- */

static int fw_travels(const int32_t *settings, int i) {
  if (i < FW_POSE) return 1;
  if (i < FW_FACE) return fw_ranks[i - FW_POSE] < settings[FW_COUNT];
  return i < FW_FACE + 3 * settings[FW_SENT];
}

static int32_t fw_denominator(const int32_t *settings, int i) {
  return settings[i < FW_POSE ? FW_P : i < FW_FACE ? FW_E : FW_Q];
}

static int32_t fw_highest(const int32_t *settings, int i) {
  if (i < 3) return (settings[FW_P] * 3216) >> 10;
  if (i >= FW_POSE && i < FW_FACE) return settings[FW_E];
  return 4 * fw_denominator(settings, i);
}

static int32_t fw_lowest(const int32_t *settings, int i) {
  return i >= FW_POSE && i < FW_FACE ? 0 : -fw_highest(settings, i);
}

static int fw_scalar_count(const fw_state *s) { return FW_FACE + 3 * (int)s->settings[FW_K]; }

static void fw_read_settings(fw_coder *c, int32_t *settings) {
  static const int32_t defaults[FW_SETTINGS] = {256, 52, 256, 52, 0, 0};
  static const int bits[FW_SETTINGS] = {12, 10, 12, 6, 8, 8};
  int i;
  memcpy(settings, defaults, sizeof defaults);
  if (!fw_raw(c, 1)) return;
  for (i = 0; i < FW_SETTINGS; i++) settings[i] = fw_raw(c, bits[i]);
  if (c->error != FW_OK) {
    memcpy(settings, defaults, sizeof defaults);
  } else if (settings[FW_P] < 1 || settings[FW_E] < 1 || settings[FW_Q] < 1 || settings[FW_COUNT] > 52 ||
             settings[FW_K] > 128 || settings[FW_SENT] > settings[FW_K]) {
    c->error = FW_BAD_VALUE;
  } else if (settings[FW_K] > FW_MAX_KEYPOINTS) {
    c->error = FW_TOO_MANY;
  }
}

static void fw_reset(fw_state *s) {
  int i;
  memset(s->scalars, 0, sizeof s->scalars);
  for (i = 0; i < FW_SCALARS; i++) {
    s->scalars[i].lively = 512;
    s->scalars[i].lively_long = 8192;
  }
}

static void fw_convert(fw_state *s, const int32_t *settings) {
  int i, kept = fw_scalar_count(s), count = FW_FACE + 3 * (int)settings[FW_K];
  for (i = 0; i < FW_SCALARS; i++) {
    fw_scalar *each = &s->scalars[i];
    fw_scalar next = {0, 0, 0, 512, 8192, 0};
    if (i < kept && i < count) {
      next.lively = each->lively;
      next.lively_long = each->lively_long;
      if (fw_travels(settings, i)) {
        int64_t old = fw_denominator(s->settings, i), now = fw_denominator(settings, i);
        int64_t above = 2 * each->value * now + old, below = 2 * old;
        int64_t value = above >= 0 ? above / below : -((-above + below - 1) / below);
        next.value = fw_clamp((int32_t)value, fw_lowest(settings, i), fw_highest(settings, i));
        next.mean = next.value * 256;
      }
    }
    *each = next;
  }
  memcpy(s->settings, settings, sizeof s->settings);
}

/* --- section 4 --- */

static int fw_time_bit(fw_coder *c, fw_model *m, int index, int adaptive) {
  int32_t p = fw_squash(m->t[index]);
  int bit = fw_bit(c, p);
  if (adaptive && c->error == FW_OK) m->t[index] += fw_shift(bit * 65536 - p + 4, 3);
  return bit;
}

static void fw_read_time(fw_coder *c, fw_model *m, int adaptive, fw_state *s, int32_t step) {
  int32_t clock, predicted, residual = 0, size;
  int negative;
  step = fw_clamp(step, 1, 64);
  clock = (s->clock + s->interval * step) & 0xffffff;
  predicted = ((clock + 128) >> 8) & 0xffff;
  if (fw_time_bit(c, m, 0, adaptive)) {
    negative = fw_time_bit(c, m, 1, adaptive);
    for (size = 1; size <= 6 && fw_time_bit(c, m, 1 + size, adaptive); size++) continue;
    if (size > 6) size += fw_escape(c);
    residual = negative ? -size : size;
  }
  s->time_ms = (int32_t)((uint32_t)(predicted + residual) & 0xffffu);
  if (fw_magnitude(residual) > 100) {
    s->clock = s->time_ms * 256;
  } else {
    int32_t scaled = residual * 32;
    int32_t quotient = scaled >= 0 ? scaled / step : -((-scaled + step - 1) / step);
    s->clock = (int32_t)((uint32_t)(clock + residual * 128) & 0xffffffu);
    s->interval = fw_clamp(s->interval + quotient, 256, 256000);
  }
}

/* --- sections 5 and 6 --- */

static int fw_answer(fw_decoder *d, fw_coder *c, fw_model *m, int adaptive, int question, const int32_t *contexts) {
  int64_t sum = 0;
  int32_t p, error;
  int i, bit;
  for (i = 0; i < 5; i++) sum += m->w[contexts[i] * FW_QUESTIONS + question];
  p = fw_squash(fw_wrap(sum));
  bit = fw_bit(c, p);
  error = bit * 65536 - p;
  if (adaptive && c->error == FW_OK && (error >= 1024 || error <= -1024)) {
    fw_entry *entry = &d->entries[d->entry_count++];
    entry->moved = fw_shift(error + 16, 5);
    for (i = 0; i < 5; i++) {
      int32_t weight = contexts[i] * FW_QUESTIONS + question;
      entry->contexts[i] = weight;
      m->w[weight] = fw_wrap((int64_t)m->w[weight] + entry->moved);
    }
  }
  return bit;
}

static void fw_undo(fw_decoder *d, fw_model *m) {
  uint32_t n;
  int i;
  for (n = 0; n < d->entry_count; n++) {
    for (i = 0; i < 5; i++) {
      int32_t weight = d->entries[n].contexts[i];
      m->w[weight] = fw_wrap((int64_t)m->w[weight] - d->entries[n].moved);
    }
  }
  memcpy(m->t, d->t_before, sizeof m->t);
}

static int32_t fw_predict(const fw_decoder *d, const fw_model *m, const fw_state *s, int i) {
  static const int offsets[4] = {3, 6, 1, 2};
  const fw_scalar *each = &s->scalars[i];
  const int32_t *v = &m->v[(i < FW_FACE ? i : FW_FACE + (i - FW_FACE) % 3) * FW_WEIGHTS];
  int64_t sum = v[16];
  int32_t predicted;
  int n, coefficient = i >= FW_POSE && i < FW_FACE;
  if (i < FW_FACE) {
    for (n = 0; n < FW_PREDECESSORS; n++) sum += (int64_t)v[n] * d->changes[fw_predecessors[i * FW_PREDECESSORS + n]];
  } else {
    for (n = 0; n < 4; n++) {
      if (i - offsets[n] >= FW_FACE) sum += (int64_t)v[n] * d->changes[i - offsets[n]];
    }
  }
  sum += (int64_t)v[12] * fw_clamp(each->change, -63, 63) + (int64_t)v[13] * fw_clamp(each->before, -63, 63);
  sum += fw_shift(fw_wrap((int64_t)v[14] * fw_clamp(each->value * 256 - each->mean, -4096, 4096)), 8);
  if (coefficient && each->value == 0) sum += v[15];
  predicted = fw_shift(fw_wrap(sum), 8);
  return coefficient && predicted < -each->value * 256 ? -each->value * 256 : predicted;
}

static int32_t fw_read_change(fw_decoder *d, fw_coder *c, fw_model *m, int adaptive, const fw_state *s, int i,
                              int32_t predicted, int32_t expected, int32_t ratio) {
  const fw_scalar *each = &s->scalars[i];
  int coefficient = i >= FW_POSE && i < FW_FACE;
  int32_t top = s->settings[FW_E], value = each->value;
  int32_t zone = i < FW_POSE ? 0 : i >= FW_FACE ? 1 : value == 0 ? 3 : 2;
  int32_t row = i < FW_FACE ? i : FW_FACE + (i - FW_FACE) % 3;
  int32_t size = fw_clamp(fw_shift(fw_eighths(expected < 1 ? 1 : expected) + ratio + 1, 2) - 7, 0, 15);
  int32_t frame = (zone * 16 + size) * 8;
  int32_t pace = fw_clamp(fw_shift(predicted + 16, 5), -31, 31);
  int32_t lean = 2 + fw_sign(pace) * (fw_magnitude(pace) < 3 ? 0 : fw_magnitude(pace) < 10 ? 1 : 2);
  int32_t level = !coefficient  ? 0
                  : value < 4   ? value
                  : value < 8   ? 4
                  : value < 16  ? 5
                  : value < top ? 6
                                : 7;
  int32_t past = 3 * fw_sign(each->change) + fw_sign(each->before) + 4;
  int32_t contexts[5];
  int32_t size_read;
  int negative;
  contexts[0] = frame + fw_clamp(fw_shift(ratio, 2) + 4, 0, 7);
  contexts[1] = 512 + row * 5 + lean;
  contexts[2] = 817 + row * 8 + level;
  contexts[3] = 1305 + (zone * 9 + past) * 16 + size;
  contexts[4] = 1881 + zone * 64 + 32 + pace;

  if (!fw_answer(d, c, m, adaptive, 0, contexts)) return 0;
  if (coefficient && value == 0) {
    negative = 0;
  } else if (coefficient && value == top) {
    negative = 1;
  } else {
    negative = fw_answer(d, c, m, adaptive, 1, contexts);
  }
  for (size_read = 1; size_read <= FW_UNARY; size_read++) {
    int question = 2 * (size_read < 3 ? size_read : 3) + negative;
    if (size_read >= 3) contexts[0] = frame + (size_read > 10 ? 7 : size_read - 3);
    if (!fw_answer(d, c, m, adaptive, question, contexts)) break;
  }
  if (size_read > FW_UNARY) size_read += fw_escape(c);
  return negative ? -size_read : size_read;
}

/* n-th scalar of a packet in coding order */
static int fw_in_order(int n) { return n < FW_POSE || n >= FW_FACE ? n : FW_POSE + fw_expression_order[n - FW_POSE]; }

static void fw_read_scalars(fw_decoder *d, fw_coder *c, fw_model *m, int adaptive, const fw_state *s, int alone) {
  int32_t liveliness = 512, expectation = 512;
  int n, count = fw_scalar_count(s);
  memset(d->values, 0, sizeof d->values);
  memset(d->changes, 0, sizeof d->changes);
  for (n = 0; n < count && c->error == FW_OK; n++) {
    int i = fw_in_order(n);
    const fw_scalar *each = &s->scalars[i];
    int32_t expected, predicted, change, value;
    if (!fw_travels(s->settings, i)) continue;
    expected = (each->lively + (each->lively_long >> 4)) >> 1;
    predicted = alone ? 0 : fw_predict(d, m, s, i);
    if (i < FW_FACE) d->predictions[i] = predicted;
    change = fw_read_change(d, c, m, adaptive, s, i, predicted, expected,
                            fw_eighths(liveliness) - fw_eighths(expectation));
    value = each->value + change;
    if (change != 0 && (value < fw_lowest(s->settings, i) || value > fw_highest(s->settings, i))) {
      if (c->error == FW_OK) c->error = FW_BAD_VALUE;
      return;
    }
    d->values[i] = value;
    d->changes[i] = fw_clamp(change, -63, 63);
    liveliness += (fw_magnitude(change) < 8 ? fw_magnitude(change) : 8) * 256;
    expectation += expected;
  }
}

static void fw_learn(const fw_decoder *d, fw_model *m, const fw_state *s) {
  int i, n;
  for (i = 0; i < FW_FACE; i++) {
    const fw_scalar *each = &s->scalars[i];
    int32_t *v = &m->v[i * FW_WEIGHTS];
    int32_t mistake = (d->values[i] - each->value) * 256 - d->predictions[i];
    int32_t x[FW_PREDECESSORS + 2];
    int32_t drift = fw_clamp(each->value * 256 - each->mean, -4096, 4096);
    int32_t energy = 4 + ((drift * drift) >> 16), gain;
    if (!fw_travels(s->settings, i) || (mistake > -256 && mistake < 256)) continue;
    for (n = 0; n < FW_PREDECESSORS; n++) x[n] = d->changes[fw_predecessors[i * FW_PREDECESSORS + n]];
    x[FW_PREDECESSORS] = fw_clamp(each->change, -63, 63);
    x[FW_PREDECESSORS + 1] = fw_clamp(each->before, -63, 63);
    for (n = 0; n < FW_PREDECESSORS + 2; n++) energy += x[n] * x[n];
    gain = fw_clamp(mistake, -1536, 1536) * 1024 / energy;
    for (n = 0; n < FW_PREDECESSORS + 2; n++) v[n] = fw_wrap((int64_t)v[n] + fw_shift(gain * x[n] + 32, 6));
    v[14] = fw_wrap((int64_t)v[14] + fw_shift(gain * drift + 8192, 14));
  }
}

static void fw_advance(const fw_decoder *d, fw_state *s, int alone) {
  int i, count = fw_scalar_count(s);
  for (i = 0; i < count; i++) {
    fw_scalar *each = &s->scalars[i];
    int32_t value = d->values[i], change = value - each->value, size = fw_magnitude(change);
    if (alone) {
      each->lively = 128;
      each->lively_long = 2048;
      each->mean = value * 256;
    } else {
      if (size > 8) size = 8;
      each->before = each->change;
      each->change = change;
      each->lively += fw_shift(size * 256 - each->lively, 2);
      each->lively_long += fw_shift(size * 4096 - each->lively_long, 5);
      each->mean += fw_shift(value * 256 - each->mean, 4);
    }
    each->value = value;
  }
}

static void fw_load(fw_model *m) {
  size_t i;
  for (i = 0; i < sizeof fw_questions; i++) m->w[i] = fw_questions[i] * 4096;
  for (i = 0; i < FW_ROWS * FW_WEIGHTS; i++) m->v[i] = fw_weights[i] * 256;
  memset(m->t, 0, sizeof m->t);
  m->t[0] = -131072;
}

static int fw_give(const fw_state *s, fw_motion *motion) {
  int i, count = fw_scalar_count(s);
  motion->sequence = (uint16_t)s->sequence;
  motion->time_ms = (uint16_t)s->time_ms;
  motion->keypoint_count = (int)s->settings[FW_K];
  for (i = 0; i < 3; i++) motion->denominators[i] = s->settings[i];
  for (i = 0; i < count; i++) {
    float value = (float)((double)s->scalars[i].value / fw_denominator(s->settings, i));
    motion->steps[i] = s->scalars[i].value;
    if (i < FW_POSE) {
      motion->pose[i] = value;
    } else if (i < FW_FACE) {
      motion->expression[i - FW_POSE] = value;
    } else {
      motion->keypoints[i - FW_FACE] = value;
    }
  }
  return FW_OK;
}

/* Packet body after the header, from d->work, which becomes the state after it. */
static int fw_difference(fw_decoder *d, fw_coder *c, fw_model *m, int adaptive, int32_t sequence, int32_t step) {
  int code;
  d->entry_count = 0;
  memcpy(d->t_before, m->t, sizeof m->t);
  if (fw_bit(c, 64)) {
    int32_t settings[FW_SETTINGS];
    fw_read_settings(c, settings);
    if (c->error == FW_OK) fw_convert(&d->work, settings);
  }
  fw_read_time(c, m, adaptive, &d->work, step);
  fw_read_scalars(d, c, m, adaptive, &d->work, 0);
  code = fw_finish(c);
  if (code != FW_OK) {
    if (adaptive) fw_undo(d, m);
    return code;
  }
  if (adaptive) fw_learn(d, m, &d->work);
  fw_advance(d, &d->work, 0);
  d->work.sequence = sequence;
  return FW_OK;
}

static int fw_chained(fw_decoder *d, fw_coder *c, fw_motion *motion) {
  uint32_t counter = (uint32_t)fw_raw(c, 2);
  int32_t step = fw_bit(c, 256) ? fw_raw(c, 16) : 1;
  int code;
  if (c->error != FW_OK) return c->error;
  if (d->whole && counter == d->counter) return FW_STALE;
  if (!d->whole || counter != ((d->counter + 1) & 3u)) {
    d->whole = 0;
    return FW_NO_BASELINE;
  }
  d->work = d->chain;
  code = fw_difference(d, c, &d->models[d->active], 1, (d->chain.sequence + step) & 0xffff, step);
  if (code != FW_OK) return code;
  d->chain = d->work;
  d->counter = counter;
  return fw_give(&d->chain, motion);
}

static int32_t fw_ahead(int32_t a, int32_t b) { return ((a - b + 32768) & 0xffff) - 32768; }

static int fw_remember(fw_decoder *d, fw_motion *motion) {
  int32_t ahead = d->newest < 0 ? 0 : fw_ahead(d->work.sequence, d->newest);
  fw_state *slot;
  int i;
  if (ahead >= 512 || ahead <= -512) {
    /* a sender that starts anew: what was known belongs to its former life */
    for (i = 0; i < FW_HISTORY; i++) d->history[i].used = 0;
    d->newest = -1;
  }
  slot = &d->history[d->work.sequence % FW_HISTORY];
  if (!slot->used || fw_ahead(d->work.sequence, slot->sequence) > 0) {
    *slot = d->work;
    slot->used = 1;
  }
  if (d->newest < 0 || ahead > 0) d->newest = d->work.sequence;
  return fw_give(&d->work, motion);
}

static int fw_self_contained(fw_decoder *d, fw_coder *c, fw_motion *motion) {
  int adaptive = (int)fw_raw(c, 1), next = 1 - d->active, code;
  fw_model *m = &d->models[adaptive ? next : 2];
  d->work.sequence = fw_raw(c, 16);
  d->work.time_ms = fw_raw(c, 16);
  d->work.clock = d->work.time_ms * 256;
  d->work.interval = 8533;
  fw_read_settings(c, d->work.settings);
  if (c->error != FW_OK) return c->error;
  fw_reset(&d->work);
  if (adaptive) fw_load(m);
  d->entry_count = 0;
  fw_read_scalars(d, c, m, adaptive, &d->work, 1);
  code = fw_finish(c);
  if (code != FW_OK) return code;
  fw_advance(d, &d->work, 1);
  if (!adaptive) return fw_remember(d, motion);
  d->chain = d->work;
  d->active = next;
  d->counter = 0;
  d->whole = 1;
  return fw_give(&d->chain, motion);
}

static int fw_from_baseline(fw_decoder *d, fw_coder *c, fw_motion *motion) {
  int32_t low = fw_raw(c, 10), distance = fw_raw(c, 6) + 1, ahead, sequence, baseline;
  int code;
  if (c->error != FW_OK) return c->error;
  if (d->newest < 0) return FW_NO_BASELINE;
  ahead = (low - d->newest) & 1023;
  sequence = (d->newest + (ahead < 512 ? ahead : ahead - 1024)) & 0xffff;
  baseline = (sequence - distance) & 0xffff;
  if (!d->history[baseline % FW_HISTORY].used || d->history[baseline % FW_HISTORY].sequence != baseline) {
    return FW_NO_BASELINE;
  }
  d->work = d->history[baseline % FW_HISTORY];
  code = fw_difference(d, c, &d->models[2], 0, sequence, distance);
  return code == FW_OK ? fw_remember(d, motion) : code;
}

/* --- the two functions to call --- */

static void fw_init(fw_decoder *d) {
  memset(d, 0, sizeof *d);
  d->newest = -1;
  fw_load(&d->models[2]);
}

/* One packet into `motion`; one of the codes above. `motion` is written on FW_OK only. */
static int fw_decode(fw_decoder *d, const uint8_t *packet, size_t length, fw_motion *motion) {
  fw_coder c;
  if (length == 0) return FW_TRUNCATED;
  if (packet[0] < 0x40) return FW_UNKNOWN_KIND;
  fw_start(&c, packet, length);
  if (!fw_bit(&c, 1024)) return fw_chained(d, &c, motion);
  if (fw_bit(&c, 4096)) return fw_self_contained(d, &c, motion);
  return fw_from_baseline(d, &c, motion);
}

#endif

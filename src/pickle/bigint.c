/*
** bigint.c: integers of any size: signs, comparison, decimal and back.
**
** The work is done on the magnitude, in limbs of 32 bits and in chunks of nine
** decimal digits, the two of which multiply within 64 bits (as CPython's
** long_to_decimal_string does, Objects/longobject.c).
*/
#include "pickle/bigint.h"

#include <string.h>

#define CHUNK UINT32_C(1000000000) /* 10 to the DIGITS: 29.9 bits */
#define DIGITS 9
#define LIMB 4 /* bytes */

/* ---- sign and size ---- */

static bool is_negative(mproc_view v) {
  return v.size > 0 && v.data[v.size - 1] >= 0x80;
}

mproc_view mproc_bigint_minimal(mproc_view v) {
  uint8_t fill = is_negative(v) ? 0xff : 0;
  while (v.size > 0 && v.data[v.size - 1] == fill) {
    /* the sign must not change with the byte below, or with none: that is 0 */
    if (v.size == 1 ? fill != 0 : (v.data[v.size - 2] ^ fill) >= 0x80)
      break;
    v.size--;
  }
  return v;
}

int mproc_bigint_sign(mproc_view v) {
  if (is_negative(v))
    return -1;
  return mproc_bigint_minimal(v).size > 0;
}

static int order(size_t a, size_t b) {
  return (a > b) - (a < b);
}

int mproc_bigint_compare(mproc_view a, mproc_view b) {
  bool negative = is_negative(a);
  size_t i;
  if (negative != is_negative(b))
    return negative ? -1 : 1;
  a = mproc_bigint_minimal(a);
  b = mproc_bigint_minimal(b);
  if (a.size != b.size)
    return negative ? order(b.size, a.size) : order(a.size, b.size);
  /* of one sign and size, two's complements compare as if they had none */
  for (i = a.size; i > 0; i--)
    if (a.data[i - 1] != b.data[i - 1])
      return order(a.data[i - 1], b.data[i - 1]);
  return 0;
}

int mproc_bigint_compare_int(mproc_view a, int64_t b) {
  uint8_t bytes[MPROC_BIGINT_INT_MAX];
  mproc_view v;
  v.data = bytes;
  v.size = mproc_bigint_from_int(b, bytes);
  return mproc_bigint_compare(a, v);
}

bool mproc_bigint_to_int(mproc_view v, int64_t *out) {
  uint64_t bits = is_negative(v) ? UINT64_MAX : 0;
  size_t i;
  v = mproc_bigint_minimal(v);
  if (v.size > MPROC_BIGINT_INT_MAX)
    return false;
  for (i = v.size; i > 0; i--)
    bits = bits << 8 | v.data[i - 1];
  memcpy(out, &bits, sizeof *out); /* C11, 7.20.1.1: int64_t is so, too */
  return true;
}

size_t mproc_bigint_from_int(int64_t value, uint8_t out[MPROC_BIGINT_INT_MAX]) {
  uint64_t bits = (uint64_t)value;
  mproc_view v;
  for (v.size = 0; v.size < MPROC_BIGINT_INT_MAX; v.size++) {
    out[v.size] = (uint8_t)(bits & 0xff);
    bits >>= 8;
  }
  v.data = out;
  return mproc_bigint_minimal(v).size;
}

/* ---- 32-bit numbers in memory: 'out' and 'data' have no alignment ---- */

static uint32_t load(const void *p) {
  uint32_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

static void store(void *p, uint32_t value) {
  memcpy(p, &value, sizeof value);
}

/* The two's complement's limb from byte 'i' on; the sign goes on for ever. */
static uint32_t limb_at(mproc_view v, size_t i, bool negative) {
  uint32_t limb = 0;
  size_t n;
  for (n = LIMB; n > 0; n--) {
    size_t at = i + n - 1;
    uint8_t byte = negative ? 0xff : 0;
    limb = limb << 8 | (at < v.size ? v.data[at] : byte);
  }
  return limb;
}

/* ---- to decimal ---- */

/*
** A limb is 32 / 29.897 = 1.0703... chunks, and 1 + 1/14 = 1.0714... is more;
** the last 1 makes up for the division's rest.
*/
static size_t chunks_for(size_t size) {
  size_t limbs = size / LIMB + 1;
  return limbs + limbs / 14 + 1;
}

size_t mproc_bigint_decimal_room(size_t size) {
  if (size > SIZE_MAX / 4) /* 2.4 characters a byte, and some more */
    return SIZE_MAX;
  return 1 + DIGITS * chunks_for(size);
}

/*
** Multiplies the 'count' chunks below 'end' (the lowest is the last) by 2 to
** the 32, and adds 'limb'. Returns their new number.
*/
static size_t shift_in(char *end, size_t count, uint32_t limb) {
  uint64_t carry = limb;
  char *p = end;
  size_t i;
  for (i = 0; i < count; i++) {
    uint64_t x;
    p -= LIMB;
    x = (uint64_t)load(p) << 32 | carry; /* carry is below 2 to the 32 */
    carry = x / CHUNK;
    store(p, (uint32_t)(x - carry * CHUNK));
  }
  while (carry > 0) {
    p -= LIMB;
    store(p, (uint32_t)(carry % CHUNK));
    carry /= CHUNK;
    count++;
  }
  return count;
}

/* Makes chunks of the magnitude of 'v', below 'end'. Returns their number. */
static size_t make_chunks(mproc_view v, char *end) {
  bool negative = is_negative(v);
  size_t count = 0, zeros = 0, i;
  while (zeros < v.size && v.data[zeros] == 0)
    zeros++;
  for (i = (v.size + LIMB - 1) / LIMB; i > 0; i--) {
    size_t at = (i - 1) * LIMB;
    uint32_t limb = limb_at(v, at, negative);
    if (negative) /* -x is ~x + 1, which carries while the limbs below are 0 */
      limb = ~limb + (zeros >= at);
    count = shift_in(end, count, limb);
  }
  return count;
}

/* Writes nine digits. */
static void put_chunk(uint32_t chunk, char *out) {
  size_t i;
  for (i = DIGITS; i > 0; i--) {
    out[i - 1] = (char)('0' + chunk % 10);
    chunk /= 10;
  }
}

/*
** The chunks lie at the end of 'out', the highest first, and text grows from
** its start over what has been read: with 9 n characters of room for n chunks
** of 4, it catches up with the last chunk only.
*/
size_t mproc_bigint_to_decimal(mproc_view v, char *out) {
  char *end = out + mproc_bigint_decimal_room(v.size);
  char *p = out, digits[DIGITS];
  size_t count = make_chunks(v, end), skipped = 0;
  if (is_negative(v))
    *p++ = '-';
  if (count == 0) {
    *p++ = '0';
    return 1;
  }
  put_chunk(load(end - LIMB * count), digits);
  while (digits[skipped] == '0')
    skipped++;
  memcpy(p, digits + skipped, DIGITS - skipped);
  p += DIGITS - skipped;
  while (--count > 0) {
    put_chunk(load(end - LIMB * count), digits);
    memcpy(p, digits, DIGITS);
    p += DIGITS;
  }
  return (size_t)(p - out);
}

/* ---- from decimal ---- */

/* A limb for each chunk, and a byte for the sign. */
size_t mproc_bigint_binary_room(size_t size) {
  return LIMB * (size / DIGITS + 1) + 1;
}

/* Multiplies the 'count' limbs at 'out', in the machine's order of bytes, and
   adds. Returns their new number. */
static size_t multiply_add(uint8_t *out, size_t count, uint32_t factor,
                           uint32_t summand) {
  uint64_t carry = summand;
  size_t i;
  for (i = 0; i < count; i++) {
    carry += (uint64_t)load(out + LIMB * i) * factor;
    store(out + LIMB * i, (uint32_t)carry);
    carry >>= 32;
  }
  if (carry > 0)
    store(out + LIMB * count++, (uint32_t)carry);
  return count;
}

/* Makes limbs of digits. Returns their number, or SIZE_MAX: not all digits. */
static size_t make_limbs(mproc_view digits, uint8_t *out) {
  size_t count = 0, i = 0;
  while (i < digits.size) {
    uint32_t chunk = 0, factor = 1;
    /* the first chunk takes what does not fill a whole one */
    do {
      unsigned digit = digits.data[i] - (unsigned)'0';
      if (digit > 9)
        return SIZE_MAX;
      chunk = chunk * 10 + digit;
      factor *= 10;
      i++;
    } while ((digits.size - i) % DIGITS != 0);
    count = multiply_add(out, count, factor, chunk);
  }
  return count;
}

/* Turns limbs into bytes, the lowest first, negated where that is asked. */
static void make_bytes(uint8_t *out, size_t count, bool negative) {
  uint64_t carry = negative;
  size_t i;
  for (i = 0; i < LIMB * count; i += LIMB) {
    uint32_t limb = load(out + i);
    carry += negative ? ~limb : limb;
    out[i] = (uint8_t)(carry & 0xff);
    out[i + 1] = (uint8_t)(carry >> 8 & 0xff);
    out[i + 2] = (uint8_t)(carry >> 16 & 0xff);
    out[i + 3] = (uint8_t)(carry >> 24 & 0xff);
    carry >>= 32;
  }
}

size_t mproc_bigint_from_decimal(mproc_view text, uint8_t *out) {
  bool negative = text.size > 0 && text.data[0] == '-';
  mproc_view v;
  size_t count;
  if (text.size > 0 && (negative || text.data[0] == '+')) {
    text.data++;
    text.size--;
  }
  if (text.size == 0)
    return SIZE_MAX;
  count = make_limbs(text, out);
  if (count == SIZE_MAX)
    return SIZE_MAX;
  make_bytes(out, count, negative);
  /* the sign of 0 is none, not even with '-' */
  out[LIMB * count] = negative && count > 0 ? 0xff : 0;
  v.data = out;
  v.size = LIMB * count + 1;
  return mproc_bigint_minimal(v).size;
}

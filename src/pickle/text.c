/*
** text.c: what the textual arguments of protocol 0 say.
*/
#include "pickle/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- integers ---- */

/* What bytes.strip() takes away; never locale's isspace. */
static bool is_space(uint8_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(uint8_t c) {
  return c >= '0' && c <= '9';
}

/* Without its first 'n' bytes. */
static mproc_view skip(mproc_view v, size_t n) {
  if (n > 0) { /* else 'data' may be NULL */
    v.data += n;
    v.size -= n;
  }
  return v;
}

static mproc_view strip(mproc_view v) {
  while (v.size > 0 && is_space(v.data[v.size - 1]))
    v.size--;
  while (v.size > 0 && is_space(v.data[0]))
    v = skip(v, 1);
  return v;
}

/* Takes a sign off the start; returns whether it was '-'. */
static bool take_sign(mproc_view *v) {
  uint8_t c = v->size > 0 ? v->data[0] : 0;
  if (c == '-' || c == '+')
    *v = skip(*v, 1);
  return c == '-';
}

/* How many digits 'v' begins with. */
static size_t count_digits(mproc_view v) {
  size_t n = 0;
  while (n < v.size && is_digit(v.data[n]))
    n++;
  return n;
}

/* The value of digits. False: over 64 bits. */
static bool sum_digits(mproc_view digits, uint64_t *out) {
  uint64_t value = 0;
  size_t i;
  for (i = 0; i < digits.size; i++) {
    unsigned digit = (unsigned)(digits.data[i] - '0');
    if (value > (UINT64_MAX - digit) / 10)
      return false;
    value = value * 10 + digit;
  }
  *out = value;
  return true;
}

bool mproc_pickle_text_decimal(mproc_view line, mproc_view *number) {
  mproc_view v = line, digits;
  size_t zeros = 0;
  if (v.size > 0 && v.data[v.size - 1] == 'L')
    v.size--;
  v = strip(v);
  digits = v;
  take_sign(&digits);
  if (digits.size == 0 || count_digits(digits) < digits.size)
    return false;
  while (zeros < digits.size && digits.data[zeros] == '0')
    zeros++;
  if (zeros > 0 && zeros < digits.size)
    return false;
  *number = v;
  return true;
}

bool mproc_pickle_text_int(mproc_view line, int64_t *out) {
  mproc_view digits;
  uint64_t value;
  bool negative;
  if (!mproc_pickle_text_decimal(line, &digits))
    return false;
  negative = take_sign(&digits);
  if (!sum_digits(digits, &value) || value > (uint64_t)INT64_MAX + negative)
    return false;
  /* the magnitude of INT64_MIN has no int64_t */
  *out = negative && value > 0 ? -(int64_t)(value - 1) - 1 : (int64_t)value;
  return true;
}

bool mproc_pickle_text_index(mproc_view line, uint64_t *out) {
  mproc_view digits = strip(line);
  bool negative = take_sign(&digits);
  uint64_t value;
  if (digits.size == 0 || count_digits(digits) < digits.size ||
      !sum_digits(digits, &value) || (negative && value > 0))
    return false;
  *out = value;
  return true;
}

/* ---- floats ---- */

/* Digits that can matter: the exact decimal of a double, or of the middle of
   two, has at most 768; of what follows only whether it is 0. */
#define DIGITS_MAX 770
#define EXPONENT_LIMIT 9999 /* far out of range with DIGITS_MAX digits */

/* A decimal number: an integer of some digits, times a power of ten. */
typedef struct scientific {
  size_t size; /* of 'digits' */
  int64_t exponent;
  bool more;                    /* nonzero digits follow those that we keep */
  char digits[DIGITS_MAX + 16]; /* with room for what strtod wants after them */
} scientific;

/* Case-insensitive in ASCII, whatever the locale. 'word' is in lower case. */
static bool is_word(mproc_view v, const char *word) {
  size_t i;
  if (v.size != strlen(word))
    return false;
  for (i = 0; i < v.size; i++)
    if ((v.data[i] | 0x20) != (uint8_t)word[i])
      return false;
  return true;
}

/* Infinities and nan, as the bits of a double. 0: neither. */
static uint64_t special_bits(mproc_view v) {
  if (is_word(v, "inf") || is_word(v, "infinity"))
    return UINT64_C(0x7ff0000000000000);
  if (is_word(v, "nan"))
    return UINT64_C(0x7ff8000000000000);
  return 0;
}

/* One more digit before the exponent. */
static void add_digit(scientific *s, uint8_t digit, bool fraction) {
  bool kept = s->size < DIGITS_MAX;
  if (s->size == 0 && digit == '0')
    kept = false; /* a zero in front says nothing */
  else if (kept)
    s->digits[s->size++] = (char)digit;
  else if (digit != '0')
    s->more = true;
  if (s->size == 0 || kept)
    s->exponent -= fraction;
  else
    s->exponent += !fraction;
}

/* The digits at the start of 'v', which moves past them. */
static size_t take_digits(scientific *s, mproc_view *v, bool fraction) {
  size_t n = count_digits(*v), i;
  for (i = 0; i < n; i++)
    add_digit(s, v->data[i], fraction);
  *v = skip(*v, n);
  return n;
}

/* What follows 'e': the whole of 'v'. False: no number. */
static bool take_exponent(scientific *s, mproc_view v) {
  /* above any size of a line, and far from overflow with one */
  const uint64_t limit = UINT64_C(1) << 62;
  bool negative = take_sign(&v);
  uint64_t value;
  if (v.size == 0 || count_digits(v) < v.size)
    return false;
  if (!sum_digits(v, &value) || value > limit)
    value = limit;
  s->exponent += negative ? -(int64_t)value : (int64_t)value;
  return true;
}

static bool scan_float(scientific *s, mproc_view v) {
  size_t n = take_digits(s, &v, false);
  if (v.size > 0 && v.data[0] == '.') {
    v = skip(v, 1);
    n += take_digits(s, &v, true);
  }
  if (n == 0)
    return false;
  return v.size == 0 ||
         ((v.data[0] | 0x20) == 'e' && take_exponent(s, skip(v, 1)));
}

/*
** Without a point in it, the number means the same to strtod in every locale.
** False: too large.
*/
static bool round_float(scientific *s, double *out) {
  int exponent;
  if (s->size == 0) {
    *out = 0.0;
    return true;
  }
  if (s->more) { /* not in the middle of two doubles, but above it */
    s->digits[s->size++] = '1';
    s->exponent--;
  }
  if (s->exponent > EXPONENT_LIMIT)
    exponent = EXPONENT_LIMIT;
  else if (s->exponent < -EXPONENT_LIMIT)
    exponent = -EXPONENT_LIMIT;
  else
    exponent = (int)s->exponent;
  snprintf(s->digits + s->size, sizeof s->digits - s->size, "e%d", exponent);
  *out = strtod(s->digits, NULL);
  return *out <= 1.7976931348623157e308; /* DBL_MAX */
}

mproc_pickle_fault mproc_pickle_text_float(mproc_view line, double *out) {
  mproc_view v = line;
  bool negative = take_sign(&v);
  uint64_t bits = special_bits(v);
  double value;
  scientific s;
  s.size = 0;
  s.exponent = 0;
  s.more = false;
  if (bits == 0) {
    if (!scan_float(&s, v) || !round_float(&s, &value))
      return MPROC_PICKLE_BAD_ARGUMENT;
    memcpy(&bits, &value, sizeof bits);
  }
  bits |= (uint64_t)negative << 63; /* of zero and of nan, too */
  memcpy(out, &bits, sizeof *out);
  return MPROC_PICKLE_OK;
}

/* ---- STRING ---- */

static int hex_digit(uint8_t c) {
  if (is_digit(c))
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of the 'n' hexadecimal digits at 'v's start; -1: they are none. */
static int64_t hex_value(mproc_view v, size_t n) {
  int64_t value = 0;
  size_t i;
  if (v.size < n)
    return -1;
  for (i = 0; i < n; i++) {
    int digit = hex_digit(v.data[i]);
    if (digit < 0)
      return -1;
    value = value * 16 + digit;
  }
  return value;
}

/* Up to three digits; CPython keeps the low 8 bits. */
static size_t octal(mproc_view v, uint8_t *out) {
  unsigned value = 0;
  size_t n = 0;
  while (n < 3 && n < v.size && v.data[n] >= '0' && v.data[n] <= '7')
    value = value * 8 + (unsigned)(v.data[n++] - '0');
  *out = (uint8_t)(value & 0xff);
  return n;
}

/*
** The escape after a backslash. '*out' is its byte; returns how many bytes it
** takes, or 0 where it is none.
*/
static size_t simple_escape(mproc_view v, uint8_t *out) {
  static const char names[] = "\\'\"abfnrtv";
  static const char values[] = "\\'\"\a\b\f\n\r\t\v";
  const char *found = v.data[0] != '\0' ? strchr(names, v.data[0]) : NULL;
  if (found == NULL)
    return octal(v, out);
  *out = (uint8_t)values[found - names];
  return 1;
}

/* As PyBytes_DecodeEscape has it. */
static size_t unescape(mproc_view v, uint8_t *out) {
  uint8_t *start = out;
  while (v.size > 0) {
    uint8_t c = v.data[0], byte;
    size_t used;
    v = skip(v, 1);
    if (c != '\\') {
      *out++ = c;
    } else if (v.size == 0) {
      return SIZE_MAX;
    } else if (v.data[0] == '\n') {
      v = skip(v, 1); /* a line goes on */
    } else if (v.data[0] == 'x') {
      int64_t value = hex_value(skip(v, 1), 2);
      if (value < 0)
        return SIZE_MAX;
      *out++ = (uint8_t)value;
      v = skip(v, 3);
    } else if ((used = simple_escape(v, &byte)) > 0) {
      *out++ = byte;
      v = skip(v, used);
    } else {
      *out++ = c; /* not known: what follows stays, too */
    }
  }
  return (size_t)(out - start);
}

size_t mproc_pickle_unquote(mproc_view line, uint8_t *out) {
  uint8_t quote;
  if (line.size < 2)
    return SIZE_MAX;
  quote = line.data[0];
  if ((quote != '\'' && quote != '"') || line.data[line.size - 1] != quote)
    return SIZE_MAX;
  line.size--;
  return unescape(skip(line, 1), out);
}

/* ---- UNICODE ---- */

/* Writes 'c' as UTF-8; returns its size, 1 to 4. */
static size_t put_utf8(uint32_t c, uint8_t out[4]) {
  if (c < 0x80) {
    out[0] = (uint8_t)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (uint8_t)(0xc0 | c >> 6);
    out[1] = (uint8_t)(0x80 | (c & 0x3f));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = (uint8_t)(0xe0 | c >> 12);
    out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    out[2] = (uint8_t)(0x80 | (c & 0x3f));
    return 3;
  }
  out[0] = (uint8_t)(0xf0 | c >> 18);
  out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
  out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
  out[3] = (uint8_t)(0x80 | (c & 0x3f));
  return 4;
}

/*
** The character at the start of 'v'. Returns how many bytes it takes, or 0
** where it is an escape that is malformed.
*/
static size_t raw_character(mproc_view v, uint32_t *c) {
  size_t digits;
  int64_t value;
  *c = v.data[0];
  if (*c != '\\' || v.size < 2 || (v.data[1] | 0x20) != 'u')
    return 1;
  digits = v.data[1] == 'u' ? 4 : 8;
  value = hex_value(skip(v, 2), digits);
  if (value < 0 || value > 0x10ffff)
    return 0;
  *c = (uint32_t)value;
  return 2 + digits;
}

/* Appends 'c' to the '*size' bytes of 'out'. False: no room. */
static bool append_utf8(uint32_t c, uint8_t *out, size_t room, size_t *size) {
  uint8_t sequence[4];
  size_t n = put_utf8(c, sequence);
  if (n > room - *size)
    return false;
  memcpy(out + *size, sequence, n);
  *size += n;
  return true;
}

size_t mproc_pickle_unraw(mproc_view line, uint8_t *out, size_t room,
                          bool *surrogates) {
  mproc_view v = line;
  size_t size = 0;
  *surrogates = false;
  while (v.size > 0) {
    uint32_t c;
    size_t used = raw_character(v, &c);
    if (used == 0 || !append_utf8(c, out, room, &size))
      return SIZE_MAX;
    if (c >= 0xd800 && c <= 0xdfff)
      *surrogates = true;
    v = skip(v, used);
    /* a backslash with no escape guards the character after it */
    if (used == 1 && c == '\\' && v.size > 0) {
      if (!append_utf8(v.data[0], out, room, &size))
        return SIZE_MAX;
      v = skip(v, 1);
    }
  }
  return size;
}

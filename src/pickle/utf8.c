/*
** utf8.c: whether bytes are UTF-8.
*/
#include "pickle/utf8.h"

#include <stdbool.h>
#include <string.h>

/* The first byte that is not ASCII, or the end; 8 bytes at a time. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end) {
  while (end - p >= 8 && (mproc_utf8_load8(p) & MPROC_UTF8_HIGH_BITS) == 0)
    p += 8;
  while (p < end && *p < 0x80)
    p++;
  return p;
}

/* Between 'low' and 'high', both included. */
static bool between(uint8_t byte, uint8_t low, uint8_t high) {
  return (uint8_t)(byte - low) <= high - low;
}

/*
** The size of the sequence at 'p' (2 to 4), or 0 where it is none: RFC 3629,
** section 4, but that surrogates are let through.
*/
static size_t sequence(const uint8_t *p, size_t left) {
  uint8_t first = p[0];
  if (between(first, 0xc2, 0xdf))
    return left >= 2 && between(p[1], 0x80, 0xbf) ? 2 : 0;
  if (between(first, 0xe0, 0xef)) {
    uint8_t low = first == 0xe0 ? 0xa0 : 0x80;
    return left >= 3 && between(p[1], low, 0xbf) && between(p[2], 0x80, 0xbf)
               ? 3
               : 0;
  }
  if (between(first, 0xf0, 0xf4)) {
    uint8_t low = first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xf4 ? 0x8f : 0xbf;
    return left >= 4 && between(p[1], low, high) && between(p[2], 0x80, 0xbf) &&
                   between(p[3], 0x80, 0xbf)
               ? 4
               : 0;
  }
  return 0;
}

mproc_utf8 mproc_utf8_kind(mproc_view v) {
  const uint8_t *p = v.data, *end;
  mproc_utf8 kind = MPROC_UTF8_VALID;
  if (v.size <= 16 && mproc_utf8_is_short_ascii(v))
    return MPROC_UTF8_VALID;
  end = p + v.size;
  while ((p = skip_ascii(p, end)) < end) {
    size_t n = sequence(p, (size_t)(end - p));
    if (n == 0)
      return MPROC_UTF8_INVALID;
    if (p[0] == 0xed && p[1] >= 0xa0)
      kind = MPROC_UTF8_SURROGATES;
    p += n;
  }
  return kind;
}

/*
** utf8.h: whether bytes are UTF-8. Pure.
*/
#ifndef MPROC_PICKLE_UTF8_H
#define MPROC_PICKLE_UTF8_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/bytes.h"

typedef enum mproc_utf8 {
  MPROC_UTF8_VALID, /* as in RFC 3629; ASCII and nothing at all too */
  /* UTF-8 but for surrogates, each in three bytes of its own (WTF-8): what
     Python writes for a str that has some. A high one before a low one stays
     two characters there ('surrogatepass'), so it is allowed here. */
  MPROC_UTF8_SURROGATES,
  MPROC_UTF8_INVALID
} mproc_utf8;

/* What kind of text 'v' is. */
mproc_utf8 mproc_utf8_kind(mproc_view v);

/* ---- short text, inline ---- */

#define MPROC_UTF8_HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint64_t mproc_utf8_load8(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

static inline uint32_t mproc_utf8_load4(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Whether text is ASCII. Most strings are short, and are: a few loads, the last
   of which may overlap, tell. */
static inline bool mproc_utf8_is_short_ascii(mproc_view v) {
  const uint8_t *p = v.data;
  uint64_t bits = 0;
  if (v.size >= 8) {
    for (size_t i = 0; i < v.size - 8; i += 8)
      bits |= mproc_utf8_load8(p + i);
    bits |= mproc_utf8_load8(p + v.size - 8);
  } else if (v.size >= 4) {
    bits = mproc_utf8_load4(p) | mproc_utf8_load4(p + v.size - 4);
  } else if (v.size > 0) {
    bits = (uint64_t)(p[0] | p[v.size / 2] | p[v.size - 1]);
  }
  return (bits & MPROC_UTF8_HIGH_BITS) == 0;
}

#endif

/*
** bigint.h: integers of any size. Pure; nothing is allocated.
**
** An integer is its bytes in two's complement, the lowest first, as LONG1 and
** LONG4 carry them (CPython: pickle.encode_long). No bytes at all are 0. The
** top byte may repeat the sign; the minimal form has none to spare, and equal
** integers have equal bytes there. Every function takes either form.
*/
#ifndef MPROC_PICKLE_BIGINT_H
#define MPROC_PICKLE_BIGINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

/* The minimal form of 'v': its first bytes. */
mproc_view mproc_bigint_minimal(mproc_view v);

/* -1, 0 or 1. */
int mproc_bigint_sign(mproc_view v);

/* -1, 0 or 1 as 'a' is less than, equal to or greater than 'b'. */
int mproc_bigint_compare(mproc_view a, mproc_view b);
int mproc_bigint_compare_int(mproc_view a, int64_t b);

/* Whether 'v' fits 64 bits; then '*out' is its value. */
bool mproc_bigint_to_int(mproc_view v, int64_t *out);

#define MPROC_BIGINT_INT_MAX 8 /* bytes of the longest of 64 bits */

/* Writes 'value' in the minimal form; returns its size: 0 to 8. */
size_t mproc_bigint_from_int(int64_t value, uint8_t out[MPROC_BIGINT_INT_MAX]);

/*
** How many characters mproc_bigint_to_decimal may need for an integer of
** 'size' bytes, scratch space included; SIZE_MAX where that overflows.
*/
size_t mproc_bigint_decimal_room(size_t size);

/*
** Writes 'v' in decimal, with '-' where it is negative and no zero at the end
** of the string. 'out' has mproc_bigint_decimal_room(v.size) characters, all of
** which may be used on the way. Returns how many are the result. Takes time
** with the square of the size: 1 ms for 10,000 digits.
*/
size_t mproc_bigint_to_decimal(mproc_view v, char *out);

/* How many bytes mproc_bigint_from_decimal may need for a text of 'size'. */
size_t mproc_bigint_binary_room(size_t size);

/*
** Reads 'text' (an optional sign, then one or more digits and nothing else)
** into the minimal form. 'out' has mproc_bigint_binary_room(text.size) bytes.
** Returns the size, or SIZE_MAX where the text is not so. Takes time with the
** square of the size.
*/
size_t mproc_bigint_from_decimal(mproc_view text, uint8_t *out);

#endif

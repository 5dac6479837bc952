/*
** fuzz_bigint.c: any bytes as an integer, and as the text of one; either way
** and back is the identity, but for zeros and signs that say nothing.
**
** clang -fsanitize=fuzzer,address,undefined -Isrc spec/fuzz/fuzz_bigint.c
**   src/pickle/bigint.c
*/
#include <stdlib.h>
#include <string.h>

#include "pickle/bigint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds) {
  if (!holds)
    abort();
}

/* Exactly as many bytes as the contract asks for, so that ASan sees more. */
static void *allocate(size_t size) {
  void *p = malloc(size > 0 ? size : 1);
  require(p != NULL);
  return p;
}

static int same(mproc_view a, mproc_view b) {
  return a.size == b.size &&
         (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* In memory of its own. 'size' SIZE_MAX: it is no number. */
static mproc_view from_decimal(mproc_view text) {
  uint8_t *out = (uint8_t *)allocate(mproc_bigint_binary_room(text.size));
  mproc_view v;
  v.size = mproc_bigint_from_decimal(text, out);
  v.data = out;
  return v;
}

static mproc_view to_decimal(mproc_view v) {
  char *out = (char *)allocate(mproc_bigint_decimal_room(v.size));
  mproc_view text;
  text.size = mproc_bigint_to_decimal(v, out);
  text.data = (const uint8_t *)out;
  require(text.size <= mproc_bigint_decimal_room(v.size));
  return text;
}

static void release(mproc_view v) {
  free((void *)(uintptr_t)v.data);
}

static void check_int(mproc_view v) {
  uint8_t bytes[MPROC_BIGINT_INT_MAX];
  mproc_view again;
  int64_t value;
  if (mproc_bigint_to_int(v, &value)) {
    again.data = bytes;
    again.size = mproc_bigint_from_int(value, bytes);
    require(same(again, v));
    require(mproc_bigint_compare_int(v, value) == 0);
    require(mproc_bigint_sign(v) == (value > 0) - (value < 0));
  } else {
    require(v.size > MPROC_BIGINT_INT_MAX);
    require(mproc_bigint_compare_int(v, 0) == mproc_bigint_sign(v));
  }
}

/* 'v' -> decimal -> 'v'. */
static void from_bytes(mproc_view v) {
  mproc_view least = mproc_bigint_minimal(v), text, again;
  require(mproc_bigint_compare(v, least) == 0);
  require(same(mproc_bigint_minimal(least), least));
  check_int(least);
  text = to_decimal(v);
  again = from_decimal(text);
  require(same(again, least));
  release(text);
  release(again);
}

/* 'text' without the '+', and the zeros, that to_decimal does not write. */
static int is_canonical(mproc_view text) {
  size_t sign = text.data[0] == '-';
  if (text.data[0] == '+')
    return 0;
  return text.data[sign] != '0' || (text.size == 1 && sign == 0);
}

static void from_text(mproc_view text) {
  mproc_view v = from_decimal(text), again;
  if (v.size != SIZE_MAX) {
    require(same(mproc_bigint_minimal(v), v));
    again = to_decimal(v);
    require(is_canonical(again));
    require(same(again, text) || !is_canonical(text));
    release(again);
  }
  release(v);
}

/* As it is, then with every byte made a digit. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mproc_view v = {data, size};
  uint8_t *digits;
  size_t i;
  from_bytes(v);
  from_text(v);
  digits = (uint8_t *)allocate(size);
  for (i = 0; i < size; i++)
    digits[i] = (uint8_t)('0' + data[i] % 10);
  if (size > 0 && data[0] == '-')
    digits[0] = '-';
  v.data = digits;
  from_text(v);
  free(digits);
  return 0;
}

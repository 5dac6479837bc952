/*
** fuzz_frame.c: any bytes as a frame's header, under any limit.
**
** clang -fsanitize=fuzzer,address,undefined -Isrc spec/fuzz/fuzz_frame.c
**   src/core/frame.c
*/
#include <stdlib.h>
#include <string.h>

#include "core/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds) {
  if (!holds)
    abort();
}

/* What was read, written again and read again, is the same. */
static void round_trip(uint64_t size, uint64_t max) {
  uint8_t out[MPROC_FRAME_HEADER_MAX];
  mproc_view v = {out, 0};
  size_t used = 0;
  uint64_t again = 0;
  v.size = mproc_frame_encode(size, out);
  require(mproc_frame_decode(v, max, &used, &again) == MPROC_OK);
  require(used == v.size && again == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mproc_view in = {NULL, 0};
  uint64_t max, length = 0;
  size_t used = 0;
  mproc_status st;
  if (size < sizeof max)
    return 0;
  memcpy(&max, data, sizeof max);
  in.data = data + sizeof max;
  in.size = size - sizeof max;
  st = mproc_frame_decode(in, max, &used, &length);
  require(st == MPROC_OK || st == MPROC_AGAIN || st == MPROC_BAD_LENGTH);
  if (st != MPROC_BAD_LENGTH)
    require(used == MPROC_FRAME_SHORT || used == MPROC_FRAME_HEADER_MAX);
  require(st != MPROC_AGAIN || in.size < used);
  if (st == MPROC_OK) {
    require(in.size >= used && length <= max && length <= PTRDIFF_MAX);
    round_trip(length, max);
  }
  return 0;
}

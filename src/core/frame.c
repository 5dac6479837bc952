/*
** frame.c: the length prefix of a message on a byte stream, written and read.
*/
#include "core/frame.h"

#define SHORT_MAX UINT32_C(0x7fffffff) /* what the short header can say */
#define LONG_MARK UINT32_C(0xffffffff) /* -1: 8 bytes of length follow */

static void put_be(uint64_t value, size_t n, uint8_t *out) {
  while (n > 0) {
    out[--n] = (uint8_t)(value & 0xff);
    value >>= 8;
  }
}

static uint64_t get_be(const uint8_t *in, size_t n) {
  uint64_t value = 0;
  size_t i;
  for (i = 0; i < n; i++)
    value = value << 8 | in[i];
  return value;
}

size_t mproc_frame_encode(uint64_t size, uint8_t out[MPROC_FRAME_HEADER_MAX]) {
  if (size <= SHORT_MAX) {
    put_be(size, MPROC_FRAME_SHORT, out);
    return MPROC_FRAME_SHORT;
  }
  put_be(LONG_MARK, MPROC_FRAME_SHORT, out);
  put_be(size, MPROC_FRAME_HEADER_MAX - MPROC_FRAME_SHORT,
         out + MPROC_FRAME_SHORT);
  return MPROC_FRAME_HEADER_MAX;
}

mproc_status mproc_frame_decode(mproc_view in, uint64_t max, size_t *used,
                                uint64_t *size) {
  size_t need = MPROC_FRAME_SHORT;
  uint64_t n = 0;
  if (in.size >= need) {
    n = get_be(in.data, MPROC_FRAME_SHORT);
    if (n == LONG_MARK)
      need = MPROC_FRAME_HEADER_MAX;
    else if (n > SHORT_MAX)
      return MPROC_BAD_LENGTH; /* negative */
  }
  if (in.size < need) {
    *used = need;
    return MPROC_AGAIN;
  }
  if (need == MPROC_FRAME_HEADER_MAX)
    n = get_be(in.data + MPROC_FRAME_SHORT, need - MPROC_FRAME_SHORT);
  if (n > max || n > (uint64_t)PTRDIFF_MAX)
    return MPROC_BAD_LENGTH;
  *used = need;
  *size = n;
  return MPROC_OK;
}

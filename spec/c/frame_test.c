/*
** frame_test.c: length prefixes, each cut short at every byte.
*/
#include "guard.h"
#include "test.h"

#include "core/frame.h"

static guard area;

/* A header as it is on the wire, and how it is to be read. */
typedef struct sample {
  const char *hex;
  uint64_t size;
  int canonical; /* what we would write ourselves */
} sample;

static const sample good[] = {
    {"00000000", 0, 1},
    {"00000001", 1, 1},
    {"00004000", 16384, 1},
    {"00004001", 16385, 1},
    {"7ffffffe", 0x7ffffffe, 1},
    {"7fffffff", 0x7fffffff, 1},
    {"ffffffff0000000080000000", 0x80000000, 1},
    {"ffffffff00000000ffffffff", 0xffffffff, 1},
    {"ffffffff0000000100000000", UINT64_C(0x100000000), 1},
    {"ffffffff0123456789abcdef", UINT64_C(0x0123456789abcdef), 1},
    {"ffffffff0000000000000000", 0, 0},
    {"ffffffff0000000000000001", 1, 0},
    {"ffffffff000000007fffffff", 0x7fffffff, 0},
#if PTRDIFF_MAX == INT64_MAX
    {"ffffffff7ffffffffffffffe", PTRDIFF_MAX - 1, 1},
    {"ffffffff7fffffffffffffff", PTRDIFF_MAX, 1},
#endif
};

static const char *const bad[] = {
    "fffffffe",                 /* -2 */
    "80000000",                 /* INT_MIN */
    "80000001",                 /* one more */
    "fffffffeffffffffffffffff", /* whatever follows */
    "ffffffff8000000000000000", /* PTRDIFF_MAX + 1 */
    "ffffffffffffffffffffffff", /* UINT64_MAX */
    "ffffffff8000000000000001",
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* How many bytes are needed once 'n' of this header are there. */
static size_t needed(mproc_view header, size_t n) {
  return n >= 4 && header.size == 12 ? 12 : 4;
}

static void decode_prefixes(void) {
  size_t i, n, used;
  uint64_t size;
  for (i = 0; i < COUNT(good); i++) {
    uint8_t bytes[12];
    mproc_view header = test_hex(good[i].hex, bytes);
    for (n = 0; n < header.size; n++) {
      mproc_view in = guard_place(&area, test_view(bytes, n));
      used = 99;
      size = 99;
      CHECK_EQ(mproc_frame_decode(in, UINT64_MAX, &used, &size), MPROC_AGAIN);
      CHECK_EQ(used, needed(header, n));
      CHECK_EQ(size, 99);
    }
  }
}

static void decode_whole(void) {
  size_t i, used, extra;
  uint64_t size;
  for (i = 0; i < COUNT(good); i++) {
    uint8_t bytes[16] = {0};
    mproc_view header = test_hex(good[i].hex, bytes);
    for (extra = 0; extra <= 4; extra++) { /* payload changes nothing */
      mproc_view in = guard_place(&area, test_view(bytes, header.size + extra));
      used = 99;
      size = 99;
      CHECK_EQ(mproc_frame_decode(in, UINT64_MAX, &used, &size), MPROC_OK);
      CHECK_EQ(used, header.size);
      CHECK(size == good[i].size);
    }
  }
}

static void decode_limits(void) {
  size_t i, used;
  uint64_t size;
  for (i = 0; i < COUNT(good); i++) {
    uint8_t bytes[12];
    mproc_view in = guard_place(&area, test_hex(good[i].hex, bytes));
    CHECK_EQ(mproc_frame_decode(in, good[i].size, &used, &size), MPROC_OK);
    CHECK(size == good[i].size);
    if (good[i].size > 0) {
      CHECK_EQ(mproc_frame_decode(in, good[i].size - 1, &used, &size),
               MPROC_BAD_LENGTH);
      CHECK_EQ(mproc_frame_decode(in, 0, &used, &size), MPROC_BAD_LENGTH);
    }
  }
}

static void decode_bad(void) {
  size_t i, n, used = 0;
  uint64_t size = 0;
  for (i = 0; i < COUNT(bad); i++) {
    uint8_t bytes[12];
    mproc_view header = test_hex(bad[i], bytes);
    for (n = 0; n <= header.size; n++) {
      mproc_view in = guard_place(&area, test_view(bytes, n));
      mproc_status st = mproc_frame_decode(in, UINT64_MAX, &used, &size);
      /* known to be bad with the 4th byte, unless it is the long header */
      int is_long = memcmp(bytes, "\xff\xff\xff\xff", 4) == 0;
      CHECK_EQ(st, n < (is_long ? 12u : 4u) ? MPROC_AGAIN : MPROC_BAD_LENGTH);
    }
  }
}

static void decode_nothing(void) {
  size_t used = 0;
  uint64_t size = 7;
  CHECK_EQ(mproc_frame_decode(test_view(NULL, 0), 0, &used, &size),
           MPROC_AGAIN);
  CHECK_EQ(used, 4);
  CHECK_EQ(size, 7);
}

static void encode(void) {
  size_t i;
  for (i = 0; i < COUNT(good); i++) {
    uint8_t bytes[12], out[MPROC_FRAME_HEADER_MAX];
    mproc_view header = test_hex(good[i].hex, bytes);
    if (good[i].canonical)
      CHECK_BYTES(test_view(out, mproc_frame_encode(good[i].size, out)),
                  header);
  }
}

static void encode_stays_inside(void) {
  uint8_t *end = area.base + area.size;
  CHECK_EQ(mproc_frame_encode(5, end - 4), 4);
  CHECK_EQ(mproc_frame_encode(UINT64_MAX, end - 12), 12);
  CHECK(memcmp(end - 12, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
               12) == 0);
}

int main(void) {
  area = guard_new(64);
  TEST(decode_prefixes);
  TEST(decode_whole);
  TEST(decode_limits);
  TEST(decode_bad);
  TEST(decode_nothing);
  TEST(encode);
  TEST(encode_stays_inside);
  guard_free(&area);
  return test_end("frame_test");
}

/*
** utf8_test.c: every character, every pair and triple of bytes, and longer
** texts of which each byte is spoilt in turn.
*/
#include "guard.h"
#include "test.h"

#include "pickle/utf8.h"

static guard area;

/* The slow way: RFC 3629 decoded, then looked at. */
static mproc_utf8 plain_kind(mproc_view v) {
  mproc_utf8 kind = MPROC_UTF8_VALID;
  size_t i = 0, k;
  while (i < v.size) {
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t c = v.data[i++];
    size_t more = c < 0x80   ? 0
                  : c < 0xc0 ? 4
                  : c < 0xe0 ? 1
                  : c < 0xf0 ? 2
                  : c < 0xf8 ? 3
                             : 4;
    if (more == 4 || more > v.size - i)
      return MPROC_UTF8_INVALID;
    if (more > 0)
      c &= 0x3fu >> more;
    for (k = 0; k < more; k++, i++) {
      if ((v.data[i] & 0xc0) != 0x80)
        return MPROC_UTF8_INVALID;
      c = c << 6 | (v.data[i] & 0x3fu);
    }
    if (c < least[more] || c > 0x10ffff)
      return MPROC_UTF8_INVALID;
    if (c >= 0xd800 && c <= 0xdfff)
      kind = MPROC_UTF8_SURROGATES;
  }
  return kind;
}

static int agrees(mproc_view v) {
  return mproc_utf8_kind(guard_place(&area, v)) == plain_kind(v);
}

static void known_texts(void) {
  CHECK_EQ(mproc_utf8_kind(test_view(NULL, 0)), MPROC_UTF8_VALID);
  CHECK_EQ(mproc_utf8_kind(test_text("")), MPROC_UTF8_VALID);
  CHECK_EQ(mproc_utf8_kind(TEST_LITERAL("a\0b")), MPROC_UTF8_VALID);
  CHECK_EQ(mproc_utf8_kind(test_text("\xf0\x9f\x98\x80")), MPROC_UTF8_VALID);
  CHECK_EQ(mproc_utf8_kind(test_text("\xed\x9f\xbf")), MPROC_UTF8_VALID);
  CHECK_EQ(mproc_utf8_kind(test_text("\xee\x80\x80")), MPROC_UTF8_VALID);
  CHECK_EQ(mproc_utf8_kind(test_text("\xed\xa0\x80")), MPROC_UTF8_SURROGATES);
  CHECK_EQ(mproc_utf8_kind(test_text("\xed\xbf\xbf")), MPROC_UTF8_SURROGATES);
  /* a pair stays two characters in Python */
  CHECK_EQ(mproc_utf8_kind(test_text("\xed\xa0\xbd\xed\xb8\x80")),
           MPROC_UTF8_SURROGATES);
  CHECK_EQ(mproc_utf8_kind(test_text("\xed\xa0\x80\xff")), MPROC_UTF8_INVALID);
  CHECK_EQ(mproc_utf8_kind(test_text("\xed\xa0")), MPROC_UTF8_INVALID);
  CHECK_EQ(mproc_utf8_kind(test_text("\xc0\x80")), MPROC_UTF8_INVALID);
  CHECK_EQ(mproc_utf8_kind(test_text("\xe0\x9f\xbf")), MPROC_UTF8_INVALID);
  CHECK_EQ(mproc_utf8_kind(test_text("\xf0\x8f\xbf\xbf")), MPROC_UTF8_INVALID);
  CHECK_EQ(mproc_utf8_kind(test_text("\xf4\x90\x80\x80")), MPROC_UTF8_INVALID);
  CHECK_EQ(mproc_utf8_kind(test_text("\xf5\x80\x80\x80")), MPROC_UTF8_INVALID);
}

/* All that begin with any three bytes, and with a fourth of each sort. */
static void all_sequences(void) {
  static const uint8_t fourth[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
  uint32_t bits;
  unsigned wrong = 0;
  size_t i;
  for (bits = 0; bits < 0x1000000; bits++) {
    uint8_t bytes[4];
    bytes[0] = (uint8_t)(bits >> 16);
    bytes[1] = (uint8_t)(bits >> 8);
    bytes[2] = (uint8_t)bits;
    /* one of each run of ordinary characters will do */
    if (bytes[0] < 0x7e || (bytes[2] & 0x3f) % 63 > 1)
      continue;
    for (i = 1; i <= 3; i++)
      wrong += !agrees(test_view(bytes, i));
    for (i = 0; i < sizeof fourth; i++) {
      bytes[3] = fourth[i];
      wrong += !agrees(test_view(bytes, 4));
    }
  }
  CHECK_EQ(wrong, 0);
}

/* Whatever stands where in words of 8 bytes. */
static void all_places(void) {
  static const char *const pieces[] = {"\xc3\xa9",     "\xe2\x82\xac",
                                       "\xed\xa0\x80", "\xf0\x9f\x98\x80",
                                       "\xff",         "\x80"};
  size_t size, at, i;
  for (size = 0; size <= 40; size++) {
    uint8_t bytes[44];
    memset(bytes, 'a', sizeof bytes);
    CHECK(agrees(test_view(bytes, size)));
    for (at = 0; at < size; at++)
      for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        memset(bytes, 'a', sizeof bytes);
        memcpy(bytes + at, pieces[i], strlen(pieces[i]));
        CHECK(agrees(test_view(bytes, size))); /* cut short at the end, too */
      }
  }
}

int main(void) {
  area = guard_new(64);
  TEST(known_texts);
  TEST(all_sequences);
  TEST(all_places);
  guard_free(&area);
  return test_end("utf8_test");
}

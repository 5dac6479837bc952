/*
** text_test.c: the textual arguments of protocol 0. What CPython makes of each
** was asked of CPython 3.11's C module.
*/
#include "guard.h"
#include "test.h"

#include <locale.h>

#include "pickle/text.h"
#include "pickle/utf8.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static guard area;

static mproc_view placed(const char *text) {
  return guard_place(&area, test_text(text));
}

/* ---- integers ---- */

static const struct {
  const char *line;
  int64_t value;
} ints[] = {
    {"0", 0},
    {"-0", 0},
    {"00", 0},
    {"1", 1},
    {"-1", -1},
    {"+5", 5},
    {" 12 ", 12},
    {"\t\v\f\r7\r", 7},
    {"5L", 5},
    {" 5 L", 5},
    {"-5L", -5},
    {"2147483648", INT64_C(2147483648)},
    {"9223372036854775807", INT64_MAX},
    {"9223372036854775807L", INT64_MAX},
    {"-9223372036854775807", -INT64_MAX},
    {"-9223372036854775808", INT64_MIN},
    {"-9223372036854775808L", INT64_MIN},
};

static void int_values(void) {
  size_t i;
  for (i = 0; i < COUNT(ints); i++) {
    int64_t value = 99;
    mproc_view number;
    if (!CHECK(mproc_pickle_text_int(placed(ints[i].line), &value)))
      printf("  '%s'\n", ints[i].line);
    CHECK_EQ(value, ints[i].value);
    CHECK(mproc_pickle_text_decimal(placed(ints[i].line), &number));
  }
}

static void int_too_large(void) {
  static const char *const lines[] = {
      "9223372036854775808",      "-9223372036854775809",
      "18446744073709551615",     "18446744073709551616",
      "99999999999999999999",     "-99999999999999999999L",
      "340282366920938463463374", "100000000000000000000000000000000000000000",
  };
  size_t i;
  for (i = 0; i < COUNT(lines); i++) {
    int64_t value = 99;
    mproc_view number;
    CHECK(!mproc_pickle_text_int(placed(lines[i]), &value));
    CHECK_EQ(value, 99);
    CHECK(mproc_pickle_text_decimal(placed(lines[i]), &number));
  }
}

static void int_malformed(void) {
  static const char *const lines[] = {
      "",     " ",     "-",    "+",   "L",      "-L",   "--5",  "+-5",
      "- 5",  "5LL",   "5L ",  "5l",  "5 5",    "1_0",  "0x10", "010",
      "01",   "-01",   "5.",   "1e5", "5\x1f",  "\xb2", "a",    "5a",
      "5\n6", "\0345", "010L", "0L0", "000001", "/",    ":",    "9:",
  };
  size_t i;
  for (i = 0; i < COUNT(lines); i++) {
    int64_t value = 99;
    mproc_view number;
    if (!CHECK(!mproc_pickle_text_int(placed(lines[i]), &value)) ||
        !CHECK(!mproc_pickle_text_decimal(placed(lines[i]), &number)))
      printf("  '%s'\n", lines[i]);
    CHECK_EQ(value, 99);
  }
  CHECK(!mproc_pickle_text_decimal(TEST_LITERAL("5\0"), NULL));
  CHECK(!mproc_pickle_text_decimal(test_view(NULL, 0), NULL));
}

static void decimal_part(void) {
  mproc_view number;
  CHECK(mproc_pickle_text_decimal(placed(" \t-12345 \rL"), &number));
  CHECK_BYTES(number, test_text("-12345"));
  CHECK(mproc_pickle_text_decimal(placed("+7"), &number));
  CHECK_BYTES(number, test_text("+7"));
}

/* ---- floats ---- */

static const struct {
  const char *line;
  uint64_t bits;
} floats[] = {
    {"0.0", 0},
    {"0", 0},
    {"-0.0", UINT64_C(0x8000000000000000)},
    {"-0e999999999999999999999", UINT64_C(0x8000000000000000)},
    {"1", UINT64_C(0x3ff0000000000000)},
    {"1.", UINT64_C(0x3ff0000000000000)},
    {"+1.5", UINT64_C(0x3ff8000000000000)},
    {".5", UINT64_C(0x3fe0000000000000)},
    {"0000.50000", UINT64_C(0x3fe0000000000000)},
    {"1e5", UINT64_C(0x40f86a0000000000)},
    {"1E+5", UINT64_C(0x40f86a0000000000)},
    {"1e00005", UINT64_C(0x40f86a0000000000)},
    {"2.25", UINT64_C(0x4002000000000000)},
    {"0.1", UINT64_C(0x3fb999999999999a)},
    {"-3.141592653589793", UINT64_C(0xc00921fb54442d18)},
    {"1e-05", UINT64_C(0x3ee4f8b588e368f1)},
    {"1.7976931348623157e+308", UINT64_C(0x7fefffffffffffff)},
    {"1.7976931348623158e+308", UINT64_C(0x7fefffffffffffff)},
    {"2.2250738585072014e-308", UINT64_C(0x0010000000000000)},
    {"2.2250738585072011e-308", UINT64_C(0x000fffffffffffff)},
    {"5e-324", 1},
    {"2.5e-324", 1},
    {"2.4e-324", 0},
    {"1e-999", 0},
    {"-1e-99999999999999999999999", UINT64_C(0x8000000000000000)},
    {"9007199254740993", UINT64_C(0x4340000000000000)}, /* tie: to even */
    {"9007199254740993.00000000000000001", UINT64_C(0x4340000000000001)},
    {"inf", UINT64_C(0x7ff0000000000000)},
    {"+inf", UINT64_C(0x7ff0000000000000)},
    {"-inf", UINT64_C(0xfff0000000000000)},
    {"-Infinity", UINT64_C(0xfff0000000000000)},
    {"nan", UINT64_C(0x7ff8000000000000)},
    {"-NaN", UINT64_C(0xfff8000000000000)},
};

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static void float_values(void) {
  size_t i;
  for (i = 0; i < COUNT(floats); i++) {
    double value = 99;
    CHECK_EQ(mproc_pickle_text_float(placed(floats[i].line), &value),
             MPROC_PICKLE_OK);
    if (!CHECK(bits_of(value) == floats[i].bits))
      printf("  '%s' %a\n", floats[i].line, value);
  }
}

static void float_malformed(void) {
  static const char *const lines[] = {
      "",      " ",      ".",       "-",
      "+",     "e5",     "1e",      "1e+",
      ".e1",   "1e5.",   "1..",     "1.2.",
      "--1",   " 1",     "1 ",      "1\r",
      "1,5",   "1_0",    "0x10",    "1e5 ",
      "infi",  "in",     "nan(1)",  "nano",
      "1e400", "-2e308", "1.8e308", "1e99999999999999999999",
      "1a",
  };
  size_t i;
  for (i = 0; i < COUNT(lines); i++) {
    double value = 99;
    if (!CHECK_EQ(mproc_pickle_text_float(placed(lines[i]), &value),
                  MPROC_PICKLE_BAD_ARGUMENT))
      printf("  '%s'\n", lines[i]);
    CHECK(value == 99);
  }
  CHECK_EQ(mproc_pickle_text_float(test_view(NULL, 0), NULL),
           MPROC_PICKLE_BAD_ARGUMENT);
  CHECK_EQ(mproc_pickle_text_float(TEST_LITERAL("1.5\0"), NULL),
           MPROC_PICKLE_BAD_ARGUMENT);
}

/* More digits than are kept: with 'head', 'n' times 'fill', 'tail'. */
static uint64_t long_float(const char *head, char fill, size_t n,
                           const char *tail) {
  char text[4096];
  double value = 99;
  size_t size = strlen(head);
  memcpy(text, head, size);
  memset(text + size, fill, n);
  strcpy(text + size + n, tail);
  CHECK_EQ(mproc_pickle_text_float(placed(text), &value), MPROC_PICKLE_OK);
  return bits_of(value);
}

static void float_long(void) {
  static const size_t sizes[] = {1,   700, 753, 754, 755, 768,
                                 769, 770, 771, 772, 800, 3000};
  size_t i;
  for (i = 0; i < COUNT(sizes); i++) {
    size_t n = sizes[i];
    char e[32];
    CHECK(long_float("", '0', n, "1.5") == UINT64_C(0x3ff8000000000000));
    sprintf(e, "1e%zu", n + 1);
    CHECK(long_float("0.", '0', n, e) == UINT64_C(0x3ff0000000000000));
    sprintf(e, "e-%zu", n);
    CHECK(long_float("1", '0', n, e) == UINT64_C(0x3ff0000000000000));
    sprintf(e, ".75e-%zu", n);
    CHECK(long_float("1", '0', n, e) == bits_of(n == 1 ? 1.075 : 1.0));
    /* a tie, and what tips it, far behind; before the point and after it */
    CHECK(long_float("9007199254740993.", '0', n, "0") ==
          UINT64_C(0x4340000000000000));
    CHECK(long_float("9007199254740993.", '0', n, "1") ==
          UINT64_C(0x4340000000000001));
    CHECK(long_float("9007199254740992.", '9', n, "") ==
          UINT64_C(0x4340000000000000));
    sprintf(e, "1e-%zu", n + 1);
    CHECK(long_float("9007199254740993", '0', n, e) ==
          UINT64_C(0x4340000000000001));
    CHECK(long_float("2.", '9', n, "") ==
          (n < 15 ? bits_of(2.9) : UINT64_C(0x4008000000000000)));
  }
}

/* What repr writes comes back to the bit; also under a comma. */
static void float_round_trip(void) {
  uint64_t state = 1;
  unsigned i, wrong = 0;
  for (i = 0; i < 100000; i++) {
    double value, again = 0;
    char text[40];
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    value = (double)(int64_t)state;
    if (i % 2 == 0)
      memcpy(&value, &state, sizeof value);
    if (value != value || value - value != 0)
      continue;
    snprintf(text, sizeof text, "%.17g", value);
    if (strchr(text, ',') != NULL)
      *strchr(text, ',') = '.';
    if (mproc_pickle_text_float(test_text(text), &again) != MPROC_PICKLE_OK ||
        bits_of(again) != bits_of(value))
      wrong++;
  }
  CHECK_EQ(wrong, 0);
}

static void float_locales(void) {
  static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8",
                                      "fr_FR.UTF-8", "fr_FR.utf8", "de_DE"};
  size_t i;
  for (i = 0; i < COUNT(names); i++)
    if (setlocale(LC_ALL, names[i]) != NULL) {
      float_values();
      float_malformed();
      float_round_trip();
    }
  setlocale(LC_ALL, "C");
}

/* ---- STRING ---- */

/* What 'line' says, where it is written over itself. */
static mproc_view unquoted(mproc_view line) {
  static uint8_t out[256];
  mproc_view in = guard_place(&area, line);
  mproc_view v = test_view(out, mproc_pickle_unquote(in, out));
  uint8_t *same = area.base + area.size - line.size;
  CHECK_EQ(mproc_pickle_unquote(in, same), v.size);
  CHECK(v.size == SIZE_MAX || v.size <= line.size);
  if (v.size != SIZE_MAX)
    CHECK_BYTES(test_view(same, v.size), v);
  return v;
}

static void unquote(void) {
  CHECK_BYTES(unquoted(test_text("'a'")), test_text("a"));
  CHECK_BYTES(unquoted(test_text("\"a\"")), test_text("a"));
  CHECK_BYTES(unquoted(test_text("''")), test_text(""));
  CHECK_BYTES(unquoted(test_text("'a'b\"'")), test_text("a'b\""));
  CHECK_BYTES(unquoted(test_text("'\\a\\b\\f\\n\\r\\t\\v\\\\\\'\\\"'")),
              test_text("\a\b\f\n\r\t\v\\'\""));
  CHECK_BYTES(unquoted(test_text("'\\x41\\xfF\\x000'")), TEST_LITERAL("A\xff\0"
                                                                      "0"));
  CHECK_BYTES(unquoted(test_text("'\\0\\7\\08\\101\\1011\\377\\400\\777'")),
              TEST_LITERAL("\0\7\0"
                           "8A"
                           "A1\xff\0\xff"));
  CHECK_BYTES(unquoted(test_text("'\\q\\8\\u0041\\N{DASH}\\X41'")),
              test_text("\\q\\8\\u0041\\N{DASH}\\X41"));
  CHECK_BYTES(unquoted(test_text("'a\\\nb\\\r'")), test_text("ab\\\r"));
  CHECK_BYTES(unquoted(TEST_LITERAL("'\0\xe9\\\0'")),
              TEST_LITERAL("\0\xe9\\\0"));
}

static void unquote_malformed(void) {
  static const char *const lines[] = {
      "",        "'",       "\"",       "a",      "'a",   "a'",       "'a\"",
      " 'a'",    "'a' ",    "'a'\r",    "`a`",    "'\\'", "'a\\x'",   "'\\x4'",
      "'\\xg1'", "'\\x1g'", "'\\\\\\'", "\"\\\"", "'\\x", "'\\x\n4'", "'\\x/1'",
  };
  size_t i;
  for (i = 0; i < COUNT(lines); i++)
    if (!CHECK(unquoted(test_text(lines[i])).size == SIZE_MAX))
      printf("  %s\n", lines[i]);
  CHECK(mproc_pickle_unquote(test_view(NULL, 0), NULL) == SIZE_MAX);
}

/* ---- UNICODE ---- */

/* Into exactly the room that it takes, and then with a byte less. */
static void check_raw(mproc_view line, mproc_view text, bool surrogates) {
  uint8_t out[256];
  bool found = !surrogates;
  size_t n = mproc_pickle_unraw(guard_place(&area, line), out,
                                MPROC_PICKLE_UNRAW_ROOM(line.size), &found);
  mproc_view v = test_view(out, n);
  CHECK_BYTES(v, text);
  CHECK_EQ(found, surrogates);
  CHECK_EQ(mproc_utf8_kind(v),
           surrogates ? MPROC_UTF8_SURROGATES : MPROC_UTF8_VALID);
  CHECK_EQ(mproc_pickle_unraw(line, out, n, &found), n);
  if (n > 0)
    CHECK(mproc_pickle_unraw(line, out, n - 1, &found) == SIZE_MAX);
}

static void unraw(void) {
  check_raw(test_view(NULL, 0), test_view(NULL, 0), false);
  check_raw(test_text("plain"), test_text("plain"), false);
  check_raw(TEST_LITERAL("\0\r\x7f"), TEST_LITERAL("\0\r\x7f"), false);
  check_raw(test_text("\x80\xe9\xff"), test_text("\xc2\x80\xc3\xa9\xc3\xbf"),
            false);
  check_raw(test_text("\\u20ac\\u000a\\uFfFf"),
            test_text("\xe2\x82\xac\n\xef\xbf\xbf"), false);
  check_raw(test_text("\\U0001f600\\U0010FFFF\\U00000000"),
            TEST_LITERAL("\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\0"), false);
  check_raw(test_text("\\ud83d"), test_text("\xed\xa0\xbd"), true);
  check_raw(test_text("\\ud83d\\ude00"), test_text("\xed\xa0\xbd\xed\xb8\x80"),
            true);
  check_raw(test_text("\\U0000dfffx"), test_text("\xed\xbf\xbfx"), true);
  /* backslashes */
  check_raw(test_text("\\n\\x41\\"), test_text("\\n\\x41\\"), false);
  check_raw(test_text("\\\\"), test_text("\\\\"), false);
  check_raw(test_text("\\\\u0041"), test_text("\\\\u0041"), false);
  check_raw(test_text("\\\\\\u0041"), test_text("\\\\A"), false);
  check_raw(test_text("\\u005c\\u0041"), test_text("\\A"), false);
  check_raw(test_text("\\u005cu0041"), test_text("\\u0041"), false);
  check_raw(test_text("\\\xe9\\u0041"),
            test_text("\\\xc3\xa9"
                      "A"),
            false);
}

static void unraw_malformed(void) {
  static const char *const lines[] = {
      "\\u",         "\\u1",        "\\u123",        "\\u00zz",
      "\\u 123",     "\\U",         "\\U0001f60",    "\\U00110000",
      "\\Uffffffff", "\\U0000000g", "a\\u12\\u0041", "\\\\\\u",
  };
  size_t i;
  for (i = 0; i < COUNT(lines); i++) {
    uint8_t out[256];
    bool surrogates;
    CHECK(mproc_pickle_unraw(placed(lines[i]), out, sizeof out, &surrogates) ==
          SIZE_MAX);
  }
}

int main(void) {
  area = guard_new(8192);
  TEST(int_values);
  TEST(int_too_large);
  TEST(int_malformed);
  TEST(decimal_part);
  TEST(float_values);
  TEST(float_malformed);
  TEST(float_long);
  TEST(float_round_trip);
  TEST(float_locales);
  TEST(unquote);
  TEST(unquote_malformed);
  TEST(unraw);
  TEST(unraw_malformed);
  guard_free(&area);
  return test_end("text_test");
}

/*
** bigint_test.c: integers of any size: known values, every one of one and two
** bytes, and many that are checked against 64-bit arithmetic or each other.
*/
#include "guard.h"
#include "test.h"

#include "pickle/bigint.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static guard area;   /* what is read */
static guard output; /* what is written */

static mproc_view place(mproc_view v) {
  return guard_place(&area, v);
}

/* The last 'size' bytes before the page that cannot be written. */
static uint8_t *room_of(size_t size) {
  if (size > output.size)
    abort();
  return output.base + (output.size - size);
}

static mproc_view to_decimal(mproc_view v) {
  char *out = (char *)room_of(mproc_bigint_decimal_room(v.size));
  return test_view(out, mproc_bigint_to_decimal(place(v), out));
}

static mproc_view from_decimal(mproc_view text) {
  uint8_t *out = room_of(mproc_bigint_binary_room(text.size));
  return test_view(out, mproc_bigint_from_decimal(place(text), out));
}

/* ---- known values ---- */

/* The minimal form, as pickle.encode_long has it, and in decimal. */
static const struct {
  const char *hex;
  const char *decimal;
  int sign;
} known[] = {
    {"", "0", 0},
    {"01", "1", 1},
    {"ff", "-1", -1},
    {"09", "9", 1},
    {"0a", "10", 1},
    {"7f", "127", 1},
    {"8000", "128", 1},
    {"80", "-128", -1},
    {"7fff", "-129", -1},
    {"ff00", "255", 1},
    {"0001", "256", 1},
    {"00ff", "-256", -1},
    {"ff7f", "32767", 1},
    {"0080", "-32768", -1},
    {"ffc99a3b", "999999999", 1},
    {"00ca9a3b", "1000000000", 1},
    {"013665c4", "-999999999", -1},
    {"003665c4", "-1000000000", -1},
    {"ffffff7f", "2147483647", 1},
    {"00000080", "-2147483648", -1},
    {"ffffff7fff", "-2147483649", -1},
    {"ffffffff00", "4294967295", 1},
    {"0000000001", "4294967296", 1},
    {"00000000ff", "-4294967296", -1},
    {"01000000ff", "-4294967295", -1},
    {"ffffffffffffff7f", "9223372036854775807", 1},
    {"000000000000008000", "9223372036854775808", 1},
    {"0000000000000080", "-9223372036854775808", -1},
    {"ffffffffffffff7fff", "-9223372036854775809", -1},
    {"ffffffffffffffff00", "18446744073709551615", 1},
    {"000000000000000001", "18446744073709551616", 1},
    {"0000000000000000ff", "-18446744073709551616", -1},
    {"ffff63a7b3b6e00d", "999999999999999999", 1},
    {"000064a7b3b6e00d", "1000000000000000000", 1},
    {"00000000000000000000000010", "1267650600228229401496703205376", 1},
    {"000000000000000000000000f0", "-1267650600228229401496703205376", -1},
    {"ffffffe73c80d09f3c2e3b03", "999999999999999999999999999", 1},
    {"00000018c37f2f60c3d1c4fc", "-1000000000000000000000000000", -1},
    {"010000000000000000000000fe", "-158456325028528675187087900671", -1},
    {"000000000000000000000000108f2ea80843b2aa7c1a218e40ce8af30bcec484"
     "270beb7cc39425ad4912",
     "1000000000000000000000000000000000000000000000000000000000000000"
     "0000000000000000000000000000000000000",
     1},
    {"5f4f0755e10005a4dd51581b0909137c49f989bb81268c02d0bc0c89856ce53d"
     "61b94fc1c3792ae0",
     "-265613988875874769338781322035779626829233452653394495974574961"
     "739092490901302182994384699044001",
     -1},
    {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
     "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
     "ff01",
     "6864797660130609714981900799081393217269435300143305409394463459"
     "1855431833976560521225596406614545549772963113914808580371219879"
     "99716643812574028291115057151",
     1},
};

static void known_values(void) {
  size_t i;
  for (i = 0; i < COUNT(known); i++) {
    uint8_t bytes[128];
    mproc_view v = test_hex(known[i].hex, bytes);
    mproc_view text = test_text(known[i].decimal);
    CHECK_BYTES(to_decimal(v), text);
    CHECK_BYTES(from_decimal(text), v);
    CHECK_BYTES(mproc_bigint_minimal(place(v)), v);
    CHECK_EQ(mproc_bigint_sign(place(v)), known[i].sign);
  }
}

/* ---- either form ---- */

/* Adds bytes that say nothing new; every function must be as before. */
static void spare_bytes(void) {
  size_t i, spare;
  for (i = 0; i < COUNT(known); i++)
    for (spare = 1; spare <= 12; spare++) {
      uint8_t bytes[128], same[128];
      mproc_view v = test_hex(known[i].hex, bytes);
      mproc_view longer = test_view(same, v.size + spare);
      int64_t value = 1, again = 2;
      memset(same, known[i].sign < 0 ? 0xff : 0, sizeof same);
      memcpy(same, bytes, v.size);
      CHECK_BYTES(mproc_bigint_minimal(place(longer)), v);
      CHECK_BYTES(to_decimal(longer), test_text(known[i].decimal));
      CHECK_EQ(mproc_bigint_sign(place(longer)), known[i].sign);
      CHECK_EQ(mproc_bigint_compare(place(longer), v), 0);
      CHECK_EQ(mproc_bigint_compare(v, place(longer)), 0);
      CHECK_EQ(mproc_bigint_to_int(v, &value),
               mproc_bigint_to_int(place(longer), &again));
      CHECK(v.size > 8 || value == again);
    }
}

static void nothing(void) {
  mproc_view none = test_view(NULL, 0);
  char text[64];
  int64_t value = 7;
  CHECK_EQ(mproc_bigint_minimal(none).size, 0);
  CHECK_EQ(mproc_bigint_sign(none), 0);
  CHECK_EQ(mproc_bigint_compare(none, none), 0);
  CHECK_EQ(mproc_bigint_compare_int(none, 0), 0);
  CHECK_EQ(mproc_bigint_compare_int(none, -1), 1);
  CHECK(mproc_bigint_to_int(none, &value));
  CHECK_EQ(value, 0);
  CHECK(mproc_bigint_decimal_room(0) <= sizeof text);
  CHECK_BYTES(test_view(text, mproc_bigint_to_decimal(none, text)),
              test_text("0"));
}

/* ---- 64 bits ---- */

static void check_int(int64_t value) {
  uint8_t out[MPROC_BIGINT_INT_MAX];
  mproc_view v = test_view(out, mproc_bigint_from_int(value, out));
  int64_t again = ~value;
  char text[32];
  sprintf(text, "%lld", (long long)value);
  CHECK_BYTES(mproc_bigint_minimal(v), v);
  CHECK(mproc_bigint_to_int(place(v), &again));
  CHECK_EQ(again, value);
  CHECK_EQ(mproc_bigint_sign(v), (value > 0) - (value < 0));
  CHECK_EQ(mproc_bigint_compare_int(v, value), 0);
  CHECK(value == INT64_MIN || mproc_bigint_compare_int(v, value - 1) == 1);
  CHECK(value == INT64_MAX || mproc_bigint_compare_int(v, value + 1) == -1);
  CHECK_BYTES(to_decimal(v), test_text(text));
}

static void ints(void) {
  int bit, more;
  for (bit = 0; bit < 64; bit++)
    for (more = -2; more <= 2; more++) {
      uint64_t bits = (UINT64_C(1) << bit) + (uint64_t)more;
      int64_t value;
      memcpy(&value, &bits, sizeof value);
      check_int(value);
      bits = 0 - bits;
      memcpy(&value, &bits, sizeof value);
      check_int(value);
    }
}

/* All that have two bytes or less, against each other's edges. */
static void small(void) {
  int value;
  unsigned wrong = 0;
  for (value = -32768; value <= 32767; value++) {
    uint8_t bytes[MPROC_BIGINT_INT_MAX];
    size_t size = mproc_bigint_from_int(value, bytes);
    mproc_view v = test_view(bytes, size);
    size_t least = value == 0 ? 0 : value >= -128 && value <= 127 ? 1 : 2;
    int64_t again = 99999;
    wrong += size != least;
    wrong += !mproc_bigint_to_int(v, &again) || again != value;
    wrong += mproc_bigint_compare_int(v, 200) != (value > 200) - (value < 200);
    wrong += mproc_bigint_compare_int(v, -3) != (value > -3) - (value < -3);
  }
  CHECK_EQ(wrong, 0);
}

static void too_large(void) {
  static const char *const texts[] = {
      "9223372036854775808", "-9223372036854775809", "18446744073709551616",
      "1267650600228229401496703205376"};
  size_t i;
  for (i = 0; i < COUNT(texts); i++) {
    mproc_view v = from_decimal(test_text(texts[i]));
    int64_t value = 7;
    int sign = texts[i][0] == '-' ? -1 : 1;
    CHECK(!mproc_bigint_to_int(v, &value));
    CHECK_EQ(value, 7);
    CHECK_EQ(mproc_bigint_compare_int(v, INT64_MAX), sign);
    CHECK_EQ(mproc_bigint_compare_int(v, INT64_MIN), sign);
  }
}

/* ---- order ---- */

static void order(void) {
  static const char *const sorted[] = {
      "-100000000000000000000000000000000000000000",
      "-18446744073709551617",
      "-18446744073709551616",
      "-18446744073709551615",
      "-9223372036854775809",
      "-9223372036854775808",
      "-32769",
      "-32768",
      "-129",
      "-128",
      "-1",
      "0",
      "1",
      "127",
      "128",
      "255",
      "256",
      "65535",
      "9223372036854775807",
      "9223372036854775808",
      "18446744073709551615",
      "18446744073709551616",
      "100000000000000000000000000000000000000000",
  };
  size_t i, k;
  for (i = 0; i < COUNT(sorted); i++)
    for (k = 0; k < COUNT(sorted); k++) {
      uint8_t a[64], b[64];
      mproc_view x =
          test_view(a, mproc_bigint_from_decimal(test_text(sorted[i]), a));
      mproc_view y =
          test_view(b, mproc_bigint_from_decimal(test_text(sorted[k]), b));
      CHECK_EQ(mproc_bigint_compare(x, y), (i > k) - (i < k));
    }
}

/* ---- decimal ---- */

static void from_forms(void) {
  CHECK_BYTES(from_decimal(test_text("+1")), test_text("\1"));
  CHECK_BYTES(from_decimal(test_text("-0")), test_text(""));
  CHECK_BYTES(from_decimal(test_text("00000000000000000000000000000")),
              test_text(""));
  CHECK_BYTES(from_decimal(test_text("-00000000000000000000000000001")),
              test_text("\xff"));
}

static void from_malformed(void) {
  static const char *const texts[] = {
      "",          "-",          "+",
      "--1",       "+-1",        "1-",
      " 1",        "1 ",         "1_0",
      "0x1",       "1L",         "a",
      "12345678/", "123456789:", "1e5",
      "1.",        "/123456789", "12345678901234567890123456a78901234567890",
  };
  size_t i;
  for (i = 0; i < COUNT(texts); i++)
    if (!CHECK(from_decimal(test_text(texts[i])).size == SIZE_MAX))
      printf("  '%s'\n", texts[i]);
  CHECK(from_decimal(TEST_LITERAL("1\0")).size == SIZE_MAX);
  CHECK(mproc_bigint_from_decimal(test_view(NULL, 0), NULL) == SIZE_MAX);
}

/* Whether text -> bytes -> text is the identity, within the rooms. */
static int text_holds(const char *text, size_t size) {
  static uint8_t bytes[4096];
  mproc_view v = from_decimal(test_view(text, size));
  mproc_view again;
  if (v.size > sizeof bytes)
    return 0;
  memcpy(bytes, v.data, v.size);
  again = to_decimal(test_view(bytes, v.size));
  return again.size == size && memcmp(again.data, text, size) == 0;
}

static uint32_t next_random(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
  return (uint32_t)(*state >> 33);
}

/* Random digits, 99...9 and 10...0 of every length, of both signs. */
static void from_text(void) {
  static char text[1002];
  uint64_t state = 1;
  size_t size, i, wrong = 0;
  text[0] = '-';
  for (size = 1; size <= 1000; size++) {
    for (i = 0; i < size; i++)
      text[1 + i] = (char)('0' + next_random(&state) % 10);
    text[1] = (char)('1' + next_random(&state) % 9);
    wrong += !text_holds(text, size + 1) + !text_holds(text + 1, size);
    memset(text + 1, '9', size);
    wrong += !text_holds(text, size + 1) + !text_holds(text + 1, size);
    memset(text + 1, '0', size);
    text[1] = '1';
    wrong += !text_holds(text, size + 1) + !text_holds(text + 1, size);
  }
  CHECK_EQ(wrong, 0);
}

/* Whether bytes -> text -> bytes gives the minimal form. */
static int bytes_hold(const uint8_t *bytes, size_t size) {
  static char text[4096];
  mproc_view v = test_view(bytes, size), least, again;
  mproc_view decimal = to_decimal(v);
  if (decimal.size > sizeof text)
    return 0;
  memcpy(text, decimal.data, decimal.size);
  least = mproc_bigint_minimal(place(v));
  if (least.size > 0 && memcmp(least.data, bytes, least.size) != 0)
    return 0;
  again = from_decimal(test_view(text, decimal.size));
  return again.size == least.size &&
         (least.size == 0 || memcmp(again.data, bytes, least.size) == 0);
}

/* The largest and the smallest of every size, and random ones. */
static void from_bytes(void) {
  static uint8_t bytes[400];
  uint64_t state = 1;
  size_t size, i, wrong = 0;
  for (size = 1; size <= sizeof bytes; size++) {
    memset(bytes, 0xff, size);
    wrong += !bytes_hold(bytes, size); /* -1 */
    bytes[size - 1] = 0x7f;
    wrong += !bytes_hold(bytes, size); /* the largest */
    memset(bytes, 0, size);
    wrong += !bytes_hold(bytes, size); /* 0 */
    bytes[size - 1] = 0x80;
    wrong += !bytes_hold(bytes, size); /* the smallest */
    bytes[0]++;
    wrong += !bytes_hold(bytes, size);
    for (i = 0; i < size; i++)
      bytes[i] = (uint8_t)next_random(&state);
    wrong += !bytes_hold(bytes, size);
  }
  CHECK_EQ(wrong, 0);
}

static void rooms(void) {
  CHECK(mproc_bigint_decimal_room(SIZE_MAX) == SIZE_MAX);
  CHECK(mproc_bigint_decimal_room(SIZE_MAX / 4) > SIZE_MAX / 4);
  CHECK(mproc_bigint_binary_room(SIZE_MAX) > SIZE_MAX / 3);
}

int main(void) {
  area = guard_new(4096);
  output = guard_new(4096);
  TEST(known_values);
  TEST(spare_bytes);
  TEST(nothing);
  TEST(ints);
  TEST(small);
  TEST(too_large);
  TEST(order);
  TEST(from_forms);
  TEST(from_malformed);
  TEST(from_text);
  TEST(from_bytes);
  TEST(rooms);
  guard_free(&area);
  guard_free(&output);
  return test_end("bigint_test");
}

/*
** address_test.c: addresses as users write them, cut short at every byte.
*/
#include "guard.h"
#include "test.h"

#include "core/address.h"

static guard area;

static int inet(mproc_address *a, mproc_family f, mproc_view host) {
  const char *problem = NULL;
  bool ok = mproc_address_inet(a, f, guard_place(&area, host), 6000, &problem);
  CHECK(ok == (problem == NULL));
  return ok;
}

static int path(mproc_address *a, mproc_family f, mproc_view name,
                bool abstract) {
  const char *problem = NULL;
  bool ok =
      mproc_address_path(a, f, guard_place(&area, name), abstract, &problem);
  CHECK(ok == (problem == NULL));
  return ok;
}

/* Whether 'a' is as text says; the text ends at an unmapped page as well. */
static void check_text(const mproc_address *a, const char *expected) {
  char text[MPROC_ADDRESS_TEXT_MAX];
  CHECK(mproc_address_format(a, text) == text);
  CHECK_BYTES(test_text(text), test_text(expected));
}

static void families(void) {
  static const char *const names[] = {"AF_INET", "AF_INET6", "AF_UNIX",
                                      "AF_PIPE"};
  static const char *const unknown[] = {
      "", "AF_", "AF_INE", "AF_INET4", "AF_INET66", "af_inet", "INET"};
  size_t i;
  for (i = 0; i < 4; i++) {
    mproc_family f = mproc_family_find(guard_place(&area, test_text(names[i])));
    CHECK_EQ(f, MPROC_AF_INET + i);
    CHECK(strcmp(mproc_family_name(f), names[i]) == 0);
  }
  for (i = 0; i < sizeof unknown / sizeof *unknown; i++)
    CHECK_EQ(mproc_family_find(guard_place(&area, test_text(unknown[i]))),
             MPROC_FAMILY_NONE);
  CHECK_EQ(mproc_family_find(test_view(NULL, 0)), MPROC_FAMILY_NONE);
  CHECK_EQ(mproc_family_find(TEST_LITERAL("AF_INET\0")), MPROC_FAMILY_NONE);
  CHECK(mproc_family_name(MPROC_FAMILY_NONE) == NULL);
}

static void ipv6_literals(void) {
  CHECK(mproc_address_is_ipv6(test_text("::1")));
  CHECK(mproc_address_is_ipv6(test_text("fe80::1%eth0")));
  CHECK(!mproc_address_is_ipv6(test_text("127.0.0.1")));
  CHECK(!mproc_address_is_ipv6(test_text("localhost")));
  CHECK(!mproc_address_is_ipv6(test_text("")));
  CHECK(!mproc_address_is_ipv6(test_view(NULL, 0)));
}

static void family_of_a_string(void) {
  CHECK_EQ(mproc_address_string_family(TEST_LITERAL("\\\\.\\pipe\\x")),
           MPROC_AF_PIPE);
  CHECK_EQ(mproc_address_string_family(TEST_LITERAL("\\\\")), MPROC_AF_PIPE);
  CHECK_EQ(mproc_address_string_family(guard_place(&area, TEST_LITERAL("\\"))),
           MPROC_AF_UNIX);
  CHECK_EQ(mproc_address_string_family(test_text("/tmp/x")), MPROC_AF_UNIX);
  CHECK_EQ(mproc_address_string_family(TEST_LITERAL("\0x")), MPROC_AF_UNIX);
  CHECK_EQ(mproc_address_string_family(test_view(NULL, 0)), MPROC_AF_UNIX);
}

static void hosts(void) {
  mproc_address a;
  CHECK(inet(&a, MPROC_FAMILY_NONE, test_text("localhost")));
  CHECK_EQ(a.family, MPROC_AF_INET);
  CHECK_EQ(a.port, 6000);
  CHECK_EQ(a.size, 9);
  CHECK(strcmp(a.name, "localhost") == 0);
  check_text(&a, "localhost:6000");
  CHECK(inet(&a, MPROC_AF_INET6, test_text("localhost")));
  CHECK_EQ(a.family, MPROC_AF_INET6);
  check_text(&a, "localhost:6000");
  CHECK(inet(&a, MPROC_FAMILY_NONE, test_text("::1")));
  CHECK_EQ(a.family, MPROC_AF_INET6);
  check_text(&a, "[::1]:6000");
  CHECK(inet(&a, MPROC_FAMILY_NONE, test_text("127.0.0.1")));
  check_text(&a, "127.0.0.1:6000");
  CHECK(inet(&a, MPROC_FAMILY_NONE, test_view(NULL, 0)));
  CHECK_EQ(a.family, MPROC_AF_INET);
  CHECK_EQ(a.size, 0);
  check_text(&a, ":6000");
  CHECK(!inet(&a, MPROC_AF_UNIX, test_text("localhost")));
  CHECK(!inet(&a, MPROC_AF_PIPE, test_text("localhost")));
  CHECK(!inet(&a, MPROC_FAMILY_NONE, TEST_LITERAL("local\0host")));
  CHECK(!inet(&a, MPROC_FAMILY_NONE, TEST_LITERAL("\0")));
  a.port = 65535;
  check_text(&a, ":65535");
}

static void paths(void) {
  mproc_address a;
  CHECK(path(&a, MPROC_FAMILY_NONE, test_text("/tmp/socket"), true));
  CHECK_EQ(a.family, MPROC_AF_UNIX);
  CHECK_EQ(a.size, 11);
  CHECK(strcmp(a.name, "/tmp/socket") == 0);
  CHECK(!mproc_address_is_abstract(&a));
  check_text(&a, "/tmp/socket");
  CHECK(path(&a, MPROC_FAMILY_NONE, TEST_LITERAL("\\\\.\\pipe\\x"), true));
  CHECK_EQ(a.family, MPROC_AF_PIPE);
  check_text(&a, "\\\\.\\pipe\\x");
  CHECK(path(&a, MPROC_AF_UNIX, TEST_LITERAL("\\\\x"), true));
  CHECK_EQ(a.family, MPROC_AF_UNIX);
  CHECK(!path(&a, MPROC_FAMILY_NONE, test_view(NULL, 0), true));
  CHECK(!path(&a, MPROC_AF_UNIX, test_text(""), false));
  CHECK(!path(&a, MPROC_AF_INET, test_text("/tmp/socket"), true));
  CHECK(!path(&a, MPROC_AF_INET6, test_text("/tmp/socket"), true));
  CHECK(!path(&a, MPROC_AF_UNIX, TEST_LITERAL("/tmp\0/socket"), true));
  CHECK(!path(&a, MPROC_AF_UNIX, TEST_LITERAL("/tmp/socket\0"), true));
  CHECK(!path(&a, MPROC_AF_PIPE, TEST_LITERAL("\\\\.\\p\0"), true));
  CHECK(path(&a, MPROC_AF_UNIX, TEST_LITERAL("a\n\x1b\x7f\xc3\xbc"), true));
  check_text(&a, "a\\x0a\\x1b\\x7f\xc3\xbc");
}

static void abstract_names(void) {
  mproc_address a;
  CHECK(path(&a, MPROC_FAMILY_NONE, TEST_LITERAL("\0name"), true));
  CHECK_EQ(a.family, MPROC_AF_UNIX);
  CHECK_EQ(a.size, 5);
  CHECK(mproc_address_is_abstract(&a));
  check_text(&a, "@name");
  CHECK(path(&a, MPROC_AF_UNIX, TEST_LITERAL("\0na\0me\0"), true));
  CHECK_EQ(a.size, 7);
  check_text(&a, "@na\\x00me\\x00");
  CHECK(path(&a, MPROC_AF_UNIX, TEST_LITERAL("\0"), true));
  check_text(&a, "@");
  CHECK(!path(&a, MPROC_AF_UNIX, TEST_LITERAL("\0name"), false));
  CHECK(!path(&a, MPROC_AF_PIPE, TEST_LITERAL("\0name"), true));
  CHECK(inet(&a, MPROC_FAMILY_NONE, test_text("")));
  CHECK(!mproc_address_is_abstract(&a));
}

/* Every length up to too long, in what takes most room to write. */
static void lengths(void) {
  char name[300], host[300];
  size_t n;
  memset(name, 1, sizeof name);
  memset(host, 1, sizeof host);
  host[0] = ':';
  for (n = 1; n < sizeof name; n++) {
    mproc_address a;
    char text[MPROC_ADDRESS_TEXT_MAX];
    CHECK_EQ(path(&a, MPROC_AF_UNIX, test_view(name, n), true), n <= 255);
    if (n <= 255) {
      CHECK_EQ(a.size, n);
      CHECK_EQ(a.name[n], 0);
      CHECK_EQ(strlen(mproc_address_format(&a, text)), 4 * n);
    }
    CHECK_EQ(inet(&a, MPROC_AF_INET6, test_view(host, n)), n <= 255);
    if (n <= 255) {
      CHECK_EQ(a.name[n], 0);
      a.port = 65535;
      /* brackets and the port; the colon is not escaped */
      CHECK_EQ(strlen(mproc_address_format(&a, text)), 4 * n - 3 + 2 + 6);
    }
  }
}

static void every_prefix(void) {
  static const char *const samples[] = {"\\\\.\\pipe\\name", "/tmp/socket",
                                        "::ffff:127.0.0.1", "localhost"};
  size_t i, n;
  for (i = 0; i < sizeof samples / sizeof *samples; i++)
    for (n = 0; n <= strlen(samples[i]); n++) {
      mproc_address a;
      mproc_view v = test_view(samples[i], n);
      CHECK_EQ(path(&a, MPROC_FAMILY_NONE, v, true), n > 0);
      if (n > 0)
        CHECK_BYTES(test_view(a.name, a.size), v);
      CHECK(inet(&a, MPROC_FAMILY_NONE, v));
      CHECK_BYTES(test_view(a.name, a.size), v);
    }
}

/* The buffer of the longest text is exactly long enough at worst. */
static void format_stays_inside(void) {
  mproc_address a;
  char name[255];
  char *out = (char *)area.base + (area.size - MPROC_ADDRESS_TEXT_MAX);
  memset(name, 1, sizeof name);
  name[0] = ':';
  CHECK(inet(&a, MPROC_AF_INET6, test_view(name, sizeof name)));
  CHECK(strlen(mproc_address_format(&a, out)) < MPROC_ADDRESS_TEXT_MAX);
}

int main(void) {
  area = guard_new(2048);
  TEST(families);
  TEST(ipv6_literals);
  TEST(family_of_a_string);
  TEST(hosts);
  TEST(paths);
  TEST(abstract_names);
  TEST(lengths);
  TEST(every_prefix);
  TEST(format_stays_inside);
  guard_free(&area);
  return test_end("address_test");
}

/*
** test.h: the harness of the C tests. A test file is one program:
**
**   static void short_input(void) { CHECK(1 + 1 == 2); }
**   int main(void) {
**     TEST(short_input);
**     return test_end("sum_test");
**   }
**
** Each check counts; a failed one is told with its place and the test goes on.
*/
#ifndef MPROC_TEST_H
#define MPROC_TEST_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"

static struct {
  const char *name; /* of the test that runs */
  unsigned passed;
  unsigned failed;
} test_state;

#define TEST(f) (test_state.name = #f, f())

/* Counts; 0 where it failed, so that a test can stop. */
#define CHECK(condition) \
  test_check((condition) ? 1 : 0, __FILE__, __LINE__, #condition)

/* For integers of at most 64 bits. */
#define CHECK_EQ(got, expected)                                       \
  test_equal((int64_t)(got), (int64_t)(expected), __FILE__, __LINE__, \
             #got " == " #expected)

/* For two views. */
#define CHECK_BYTES(got, expected) \
  test_bytes((got), (expected), __FILE__, __LINE__, #got " == " #expected)

static inline int test_check(int holds, const char *file, int line,
                             const char *what) {
  if (holds)
    test_state.passed++;
  else if (++test_state.failed <= 20) /* a loop may fail at every turn */
    printf("%s:%d: %s: %s\n", file, line, test_state.name, what);
  return holds;
}

static inline int test_equal(int64_t got, int64_t expected, const char *file,
                             int line, const char *what) {
  int holds = test_check(got == expected, file, line, what);
  if (!holds && test_state.failed <= 20)
    printf("  got %lld, expected %lld\n", (long long)got, (long long)expected);
  return holds;
}

static inline void test_dump(const char *label, mproc_view v) {
  size_t i;
  printf("  %s %zu bytes ", label, v.size);
  for (i = 0; i < v.size && i < 80; i++)
    printf("%02x", v.data[i]);
  printf("%s\n", i < v.size ? "..." : "");
}

static inline int test_bytes(mproc_view got, mproc_view expected,
                             const char *file, int line, const char *what) {
  int same = got.size == expected.size &&
             (got.size == 0 || memcmp(got.data, expected.data, got.size) == 0);
  int holds = test_check(same, file, line, what);
  if (!holds && test_state.failed <= 20) {
    test_dump("got     ", got);
    test_dump("expected", expected);
  }
  return holds;
}

/* The last line of a test program, and its exit status. */
static inline int test_end(const char *program) {
  printf("%s: %u passed, %u failed\n", program, test_state.passed,
         test_state.failed);
  return test_state.failed > 0;
}

/* ---- views of what tests write down ---- */

static inline mproc_view test_view(const void *data, size_t size) {
  mproc_view v;
  v.data = (const uint8_t *)data;
  v.size = size;
  return v;
}

/* Of a string without its zero. */
static inline mproc_view test_text(const char *text) {
  return test_view(text, strlen(text));
}

/* Of a string literal that may have zeros in it. */
#define TEST_LITERAL(literal) test_view((literal), sizeof(literal) - 1)

/* Decodes hexadecimal digits into 'out'; returns what they say. */
static inline mproc_view test_hex(const char *hex, uint8_t *out) {
  size_t n = 0;
  unsigned byte;
  for (; hex[2 * n] != '\0' && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
    out[n] = (uint8_t)byte;
  return test_view(out, n);
}

#endif

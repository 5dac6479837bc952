/*
** deadline_test.c: seconds into deadlines, at the edges of both types.
*/
#include "test.h"

#include <float.h>
#include <math.h>

#include "core/deadline.h"

static void after(void) {
  CHECK_EQ(mproc_deadline_after(1000, 1.5), 1000 + 3 * MPROC_SECOND / 2);
  CHECK_EQ(mproc_deadline_after(0, 20), 20 * MPROC_SECOND);
  CHECK_EQ(mproc_deadline_after(7, 0.25), 7 + MPROC_SECOND / 4);
  CHECK_EQ(mproc_deadline_after(-5, 1e-9), -4);
}

static void after_nothing(void) {
  CHECK_EQ(mproc_deadline_after(42, 0), 42);
  CHECK_EQ(mproc_deadline_after(42, -0.0), 42);
  CHECK_EQ(mproc_deadline_after(42, -1), 42);
  CHECK_EQ(mproc_deadline_after(42, -1e300), 42);
  CHECK_EQ(mproc_deadline_after(42, (double)-INFINITY), 42);
  CHECK_EQ(mproc_deadline_after(42, (double)NAN), 42);
  CHECK_EQ(mproc_deadline_after(42, (double)-NAN), 42);
}

static void after_a_fraction_of_a_nanosecond(void) {
  CHECK_EQ(mproc_deadline_after(42, 1e-10), 43);
  CHECK_EQ(mproc_deadline_after(42, 1.5e-9), 44);
  CHECK_EQ(mproc_deadline_after(42, DBL_MIN), 43);
  /* DBL_TRUE_MIN times 1e9 is still above zero */
  CHECK_EQ(mproc_deadline_after(42, DBL_TRUE_MIN), 43);
}

static void after_ages(void) {
  CHECK_EQ(mproc_deadline_after(0, (double)INFINITY), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_after(0, DBL_MAX), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_after(0, 1e300), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_after(0, 9223372036.9), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_after(0, 9223372036.854775808), MPROC_NEVER);
  CHECK(mproc_deadline_after(0, 9223372036.8) < MPROC_NEVER);
  CHECK_EQ(mproc_deadline_after(MPROC_NEVER - 10, 1e-8), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_after(MPROC_NEVER - 11, 1e-8), MPROC_NEVER - 1);
  CHECK_EQ(mproc_deadline_after(MPROC_NEVER - 10, 5), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_after(INT64_MIN, 9e9),
           INT64_MIN + INT64_C(9000000000) * MPROC_SECOND);
  CHECK_EQ(mproc_deadline_after(INT64_MIN, 1e18), MPROC_NEVER);
}

static void first(void) {
  CHECK_EQ(mproc_deadline_min(1, 2), 1);
  CHECK_EQ(mproc_deadline_min(2, 1), 1);
  CHECK_EQ(mproc_deadline_min(MPROC_NEVER, 1), 1);
  CHECK_EQ(mproc_deadline_min(MPROC_NEVER, MPROC_NEVER), MPROC_NEVER);
}

static void left(void) {
  CHECK_EQ(mproc_deadline_left(100, 40), 60);
  CHECK_EQ(mproc_deadline_left(100, 100), 0);
  CHECK_EQ(mproc_deadline_left(100, 101), 0);
  CHECK_EQ(mproc_deadline_left(INT64_MIN, MPROC_NEVER), 0);
  CHECK_EQ(mproc_deadline_left(MPROC_NEVER, 0), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_left(MPROC_NEVER, MPROC_NEVER), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_left(MPROC_NEVER, INT64_MIN), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_left(MPROC_NEVER - 1, -1), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_left(MPROC_NEVER - 1, -2), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_left(5, INT64_MIN), MPROC_NEVER);
  CHECK_EQ(mproc_deadline_left(5, -5), 10);
}

int main(void) {
  TEST(after);
  TEST(after_nothing);
  TEST(after_a_fraction_of_a_nanosecond);
  TEST(after_ages);
  TEST(first);
  TEST(left);
  return test_end("deadline_test");
}

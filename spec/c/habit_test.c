/*
** habit_test.c: when a wait looks first, and when it gives way.
*/
#include "test.h"

#include "core/habit.h"

/* How many waits, each of which finds nothing by looking, pass until one looks. */
static int until_it_looks(mproc_habit *h) {
  int waits = 1;
  while (!mproc_habit_looks_first(h))
    waits++;
  return waits;
}

static void looks_the_less_the_more_often_it_finds_nothing(void) {
  static const int expected[] = {1, 2, 4, 8, 16, 16, 16};
  mproc_habit h = {0, 0, 0, 0};
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    CHECK_EQ(until_it_looks(&h), expected[i]);
    mproc_habit_looked(&h, false);
  }
}

static void looks_each_time_once_it_finds_something(void) {
  mproc_habit h = {0, 0, 0, 0};
  for (int i = 0; i < 5; i++)
    mproc_habit_looked(&h, false);
  mproc_habit_looked(&h, true);
  CHECK(mproc_habit_looks_first(&h));
  CHECK(mproc_habit_looks_first(&h));
}

/* How many waits pass until one gives way, that included. */
static int until_it_gives_way(mproc_habit *h) {
  int waits = 1;
  while (!mproc_habit_gives_way(h))
    waits++;
  return waits;
}

static void gives_way_while_that_finds_something(void) {
  mproc_habit h = {0, 0, 0, 0};
  for (int i = 0; i < 100; i++) {
    CHECK_EQ(until_it_gives_way(&h), 1);
    mproc_habit_gave_way(&h, true, true);
  }
}

static void gives_way_the_less_the_more_often_that_was_in_vain(void) {
  mproc_habit h = {0, 0, 0, 0};
  int last = 0;
  mproc_habit_gave_way(&h, true, false);
  CHECK_EQ(until_it_gives_way(&h), 1); /* once is no habit */
  for (int times = 2; times <= 14; times++) {
    mproc_habit_gave_way(&h, true, false);
    last = until_it_gives_way(&h);
    CHECK_EQ(last, (1 << times) - 1);
  }
  mproc_habit_gave_way(&h, true, false);
  CHECK_EQ(until_it_gives_way(&h), last); /* that is the least */
}

static void returns_to_it_step_by_step(void) {
  mproc_habit h = {0, 0, 0, 0};
  for (int i = 0; i < 4; i++)
    mproc_habit_gave_way(&h, true, false);
  CHECK_EQ(until_it_gives_way(&h), 15);
  mproc_habit_gave_way(&h, true, true);
  CHECK_EQ(until_it_gives_way(&h), 7);
  mproc_habit_gave_way(&h, true, true);
  CHECK_EQ(until_it_gives_way(&h), 3);
  mproc_habit_gave_way(&h, true, true);
  CHECK_EQ(until_it_gives_way(&h), 1);
}

static void one_long_moment_is_none(void) {
  mproc_habit h = {0, 0, 0, 0};
  for (int i = 0; i < 100; i++) {
    mproc_habit_gave_way(&h, false, true);
    CHECK_EQ(until_it_gives_way(&h), 1);
    mproc_habit_gave_way(&h, true, true);
  }
}

static void long_moments_in_a_row_end_it(void) {
  mproc_habit h = {0, 0, 0, 0};
  mproc_habit_gave_way(&h, false, true);
  CHECK_EQ(until_it_gives_way(&h), 1);
  mproc_habit_gave_way(&h, false, true);
  CHECK_EQ(until_it_gives_way(&h), 63);
  mproc_habit_gave_way(&h, false, true);
  CHECK_EQ(until_it_gives_way(&h), 2047);
  mproc_habit_gave_way(&h, false, true);
  CHECK_EQ(until_it_gives_way(&h), 16383);
}

int main(void) {
  TEST(looks_the_less_the_more_often_it_finds_nothing);
  TEST(looks_each_time_once_it_finds_something);
  TEST(gives_way_while_that_finds_something);
  TEST(gives_way_the_less_the_more_often_that_was_in_vain);
  TEST(returns_to_it_step_by_step);
  TEST(one_long_moment_is_none);
  TEST(long_moments_in_a_row_end_it);
  return test_end("habit_test");
}

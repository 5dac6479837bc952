/*
** memo_test.c: the map from 64-bit keys to 32-bit values: many keys, keys that
** were chosen to meet, clearing, and no memory.
*/
#include "heap.h"
#include "test.h"

#include <stdbool.h>

#include "pickle/memo.h"

#define MANY 20000

static bool is_there(const mproc_memo *m, uint64_t key, uint32_t value) {
  uint32_t got = ~value;
  return mproc_memo_get(m, key, &got) && got == value;
}

static bool is_missing(const mproc_memo *m, uint64_t key) {
  uint32_t got = 77;
  return !mproc_memo_get(m, key, &got) && got == 77;
}

/* Sets 'n' keys, made of 0, 1, …; all are found, before and after. */
static void fill(mproc_memo *m, heap *h, uint64_t (*key)(uint64_t), size_t n) {
  size_t i, good = 0;
  for (i = 0; i < n; i++)
    if (is_missing(m, key(i)) &&
        mproc_memo_set(m, &h->allocator, key(i), (uint32_t)(i * 3)) == MPROC_OK)
      good++;
  CHECK_EQ(good, n);
  for (i = good = 0; i < n; i++)
    good += is_there(m, key(i), (uint32_t)(i * 3));
  CHECK_EQ(good, n);
  CHECK_EQ(m->count, n);
  CHECK(m->capacity >= 2 * n);
}

static void finish(mproc_memo *m, heap *h) {
  mproc_memo_free(m, &h->allocator);
  CHECK_EQ(h->blocks, 0);
  CHECK_EQ(h->bytes, 0);
  CHECK_EQ(h->wrong_sizes, 0);
}

/* ---- keys ---- */

static uint64_t in_a_row(uint64_t i) {
  return i;
}

static uint64_t addresses(uint64_t i) {
  return UINT64_C(0x00007f3210000010) + 48 * i;
}

/* Equal in all low bits. */
static uint64_t high_bits(uint64_t i) {
  return i << 44;
}

static uint64_t from_the_end(uint64_t i) {
  return UINT64_MAX - i;
}

/* The inverse of an odd number, by Newton. */
static uint64_t inverse(uint64_t odd) {
  uint64_t x = odd;
  for (int i = 0; i < 6; i++)
    x *= 2 - odd * x;
  return x;
}

/* The inverse of x ^= x >> 33. */
static uint64_t unshift(uint64_t x) {
  return x ^ x >> 33;
}

/* What MurmurHash3's finalizer maps to (i << 40): all land in one slot, unless
   a seed is in play. */
static uint64_t adversary(uint64_t i) {
  uint64_t x = unshift(i << 40);
  x = unshift(x * inverse(UINT64_C(0xc4ceb9fe1a85ec53)));
  return unshift(x * inverse(UINT64_C(0xff51afd7ed558ccd)));
}

static void nothing(void) {
  mproc_memo m = {0};
  heap h;
  heap_init(&h, 0);
  CHECK(is_missing(&m, 0));
  CHECK(is_missing(&m, UINT64_MAX));
  mproc_memo_clear(&m);
  CHECK(is_missing(&m, 0));
  CHECK_EQ(h.calls, 0);
  mproc_memo_free(&m, &h.allocator);
  mproc_memo_free(&m, &h.allocator);
  finish(&m, &h);
}

static void many_keys(void) {
  static uint64_t (*const kinds[])(uint64_t) = {in_a_row, addresses, high_bits,
                                                from_the_end};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    mproc_memo m = {0};
    heap h;
    heap_init(&h, 0);
    fill(&m, &h, kinds[i], MANY);
    CHECK(is_missing(&m, kinds[i](MANY)));
    CHECK(h.calls < 20);
    CHECK(h.bytes <= 4 * MANY * sizeof *m.slots);
    finish(&m, &h);
  }
}

/* They cost time with the square of their number, and are found; with a seed
   that their author did not know they cost no more than others: see how far a
   search goes. */
static void keys_that_meet(void) {
  mproc_memo m = {0};
  mproc_memo seeded = {0};
  heap h;
  size_t i, home, far = 0;
  heap_init(&h, 0);
  fill(&m, &h, adversary, 1000);
  CHECK(is_missing(&m, adversary(1000)));
  mproc_memo_free(&m, &h.allocator);
  seeded.seed = UINT64_C(0x9e3779b97f4a7c15);
  fill(&seeded, &h, adversary, MANY);
  /* half full and well mixed: no run of full slots is long */
  for (i = home = 0; i < seeded.capacity; i++) {
    bool full = seeded.slots[i].round == seeded.round;
    home = full ? home + 1 : 0;
    far = home > far ? home : far;
  }
  CHECK(far < 400);
  finish(&seeded, &h);
}

static void new_values(void) {
  mproc_memo m = {0};
  heap h;
  heap_init(&h, 0);
  for (uint32_t value = 0; value < 100; value++) {
    CHECK_EQ(mproc_memo_set(&m, &h.allocator, 5, value), MPROC_OK);
    CHECK(is_there(&m, 5, value));
  }
  CHECK_EQ(mproc_memo_set(&m, &h.allocator, 0, UINT32_MAX), MPROC_OK);
  CHECK(is_there(&m, 0, UINT32_MAX));
  CHECK(is_there(&m, 5, 99));
  CHECK_EQ(m.count, 2);
  CHECK_EQ(h.calls, 1);
  finish(&m, &h);
}

/* ---- clearing ---- */

static void rounds(void) {
  mproc_memo m = {0};
  heap h;
  size_t i, calls;
  heap_init(&h, 0);
  fill(&m, &h, addresses, 1000);
  calls = h.calls;
  for (i = 0; i < 100; i++) {
    mproc_memo_clear(&m);
    CHECK_EQ(m.count, 0);
    CHECK(is_missing(&m, addresses(0)));
    CHECK(is_missing(&m, addresses(999)));
    fill(&m, &h, i % 2 == 0 ? in_a_row : addresses, 1000);
  }
  CHECK_EQ(h.calls, calls);
  finish(&m, &h);
}

/* After 2^32 rounds nothing of an old one is there again. */
static void round_counter_wraps(void) {
  mproc_memo m = {0};
  heap h;
  heap_init(&h, 0);
  fill(&m, &h, addresses, 100); /* some slots stay of this round */
  mproc_memo_clear(&m);
  m.round = UINT32_MAX - 2;
  fill(&m, &h, in_a_row, 10);
  for (int i = 0; i < 6; i++) {
    mproc_memo_clear(&m);
    CHECK(m.round != 0);
    CHECK_EQ(m.count, 0);
    for (uint64_t key = 0; key < 100; key++)
      if (!is_missing(&m, key) || !is_missing(&m, addresses(key)))
        CHECK(!"nothing of an old round");
    fill(&m, &h, high_bits, 20);
  }
  finish(&m, &h);
}

/* An empty memo may be cleared as often as one likes. */
static void wrapping_while_empty(void) {
  mproc_memo m = {0};
  heap h;
  heap_init(&h, 0);
  m.round = UINT32_MAX;
  mproc_memo_clear(&m);
  fill(&m, &h, in_a_row, 100);
  finish(&m, &h);
}

/* Freed, it is as good as new. */
static void after_free(void) {
  mproc_memo m = {0};
  heap h;
  heap_init(&h, 0);
  for (int i = 0; i < 3; i++) {
    fill(&m, &h, in_a_row, 200);
    mproc_memo_free(&m, &h.allocator);
    CHECK(is_missing(&m, 0));
    CHECK_EQ(h.bytes, 0);
  }
  finish(&m, &h);
}

/* ---- no memory ---- */

static void no_memory(void) {
  for (size_t n = 1;; n++) {
    mproc_memo m = {0};
    heap h;
    size_t i, set, calls;
    heap_init(&h, n);
    for (i = 0; i < 1000; i++)
      if (mproc_memo_set(&m, &h.allocator, high_bits(i), (uint32_t)i) !=
          MPROC_OK)
        break;
    set = i;
    calls = h.calls;
    /* nothing has changed */
    CHECK_EQ(m.count, set);
    for (i = 0; i < set; i++)
      if (!is_there(&m, high_bits(i), (uint32_t)i))
        CHECK(!"what was set stays");
    CHECK(is_missing(&m, high_bits(set)));
    /* old keys need no memory unless it would grow; with some it goes on */
    h.fail_from = 0;
    CHECK_EQ(mproc_memo_set(&m, &h.allocator, high_bits(set), 7), MPROC_OK);
    CHECK(is_there(&m, high_bits(set), 7));
    finish(&m, &h);
    if (set == 1000) {
      CHECK(n > 3 && calls < n);
      break;
    }
  }
}

int main(void) {
  TEST(nothing);
  TEST(many_keys);
  TEST(keys_that_meet);
  TEST(new_values);
  TEST(rounds);
  TEST(round_counter_wraps);
  TEST(wrapping_while_empty);
  TEST(after_free);
  TEST(no_memory);
  return test_end("memo_test");
}

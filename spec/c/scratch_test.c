/*
** scratch_test.c: one block and many queues: against a model of each queue,
** with borrowers that are driven out, and without memory at every allocation.
*/
#include "core/scratch.h"

#include "heap.h"
#include "test.h"

#define QUEUES 5

static const mproc_bytes EMPTY = {NULL, 0, 0, 0};

static mproc_scratch scratch_of(const heap *h) {
  mproc_scratch s;
  memset(&s, 0, sizeof s);
  s.allocator = &h->allocator;
  return s;
}

/* Appends 'n' bytes that count up from '*next'. */
static mproc_status append(mproc_bytes *q, const heap *h, size_t n,
                           uint8_t *next) {
  uint8_t *room;
  mproc_status st = mproc_bytes_reserve(q, &h->allocator, n, &room);
  if (st != MPROC_OK)
    return st;
  for (size_t i = 0; i < n; i++)
    room[i] = (uint8_t)(*next)++;
  mproc_bytes_commit(q, n);
  return MPROC_OK;
}

/* Whether what is queued are 'n' bytes that count up from 'first'. */
static int counts_from(const mproc_bytes *q, uint8_t first, size_t n) {
  mproc_view v = mproc_bytes_view(q);
  if (v.size != n)
    return 0;
  for (size_t i = 0; i < v.size; i++)
    if (v.data[i] != (uint8_t)(first + i))
      return 0;
  return 1;
}

static void check_closed(mproc_scratch *s, const heap *h) {
  mproc_scratch_close(s);
  mproc_scratch_close(s);
  CHECK_EQ(h->blocks, 0);
  CHECK_EQ(h->bytes, 0);
  CHECK_EQ(h->wrong_sizes, 0);
}

static void one_block_for_all(void) {
  heap h;
  mproc_bytes q[QUEUES];
  mproc_scratch s;
  heap_init(&h, 0);
  s = scratch_of(&h);
  for (int i = 0; i < 100; i++) {
    mproc_bytes *b = &q[i % QUEUES];
    uint8_t next = 0;
    *b = EMPTY;
    CHECK_EQ(mproc_scratch_lend(&s, b), MPROC_OK);
    CHECK_EQ(mproc_scratch_lend(&s, b), MPROC_OK);
    CHECK_EQ(append(b, &h, 100, &next), MPROC_OK);
    mproc_scratch_consume(&s, b, 40, 40);
    CHECK(counts_from(b, 40, 60));
    mproc_scratch_consume(&s, b, 60, 60);
    CHECK(b->data == NULL);
  }
  CHECK_EQ(h.calls, 1);
  CHECK_EQ(h.bytes, MPROC_SCRATCH_SIZE);
  check_closed(&s, &h);
}

static void the_borrower_is_driven_out(void) {
  heap h;
  mproc_bytes a = EMPTY, b = EMPTY;
  mproc_scratch s;
  uint8_t in_a = 0, in_b = 0;
  heap_init(&h, 0);
  s = scratch_of(&h);
  CHECK_EQ(mproc_scratch_lend(&s, &a), MPROC_OK);
  CHECK_EQ(a.start % 16, 4); /* a payload is to lie as in a Lua string */
  CHECK_EQ(append(&a, &h, 10, &in_a), MPROC_OK);
  mproc_scratch_consume(&s, &a, 3, 3);
  CHECK_EQ(mproc_scratch_lend(&s, &b), MPROC_OK);
  CHECK(counts_from(&a, 3, 7));
  CHECK_EQ(a.cap, 7);
  CHECK_EQ(append(&b, &h, 20, &in_b), MPROC_OK);
  /* and back, with what it has */
  CHECK_EQ(mproc_scratch_lend(&s, &a), MPROC_OK);
  CHECK(counts_from(&a, 3, 7));
  CHECK(counts_from(&b, 0, 20));
  CHECK(a.cap == MPROC_SCRATCH_SIZE);
  CHECK_EQ(h.bytes, MPROC_SCRATCH_SIZE + 20);
  mproc_scratch_clear(&s, &b);
  mproc_scratch_clear(&s, &a);
  mproc_scratch_clear(&s, &a);
  CHECK_EQ(h.bytes, MPROC_SCRATCH_SIZE);
  check_closed(&s, &h);
}

/* One that has filled much of the block keeps it; the next gets another. */
static void a_full_block_is_kept(void) {
  heap h;
  mproc_bytes a = EMPTY, b = EMPTY;
  mproc_scratch s;
  uint8_t next = 0;
  const uint8_t *block;
  heap_init(&h, 0);
  s = scratch_of(&h);
  CHECK_EQ(mproc_scratch_lend(&s, &a), MPROC_OK);
  CHECK_EQ(append(&a, &h, 100000, &next), MPROC_OK);
  block = a.data;
  CHECK_EQ(mproc_scratch_lend(&s, &b), MPROC_OK);
  CHECK(a.data == block);
  CHECK(b.data != NULL && b.data != block);
  CHECK_EQ(mproc_scratch_lend(&s, &a), MPROC_OK); /* too much to move */
  CHECK(a.data == block);
  mproc_scratch_consume(&s, &a, 100000, 100000);
  mproc_scratch_clear(&s, &b);
  CHECK_EQ(h.bytes, MPROC_SCRATCH_SIZE);
  check_closed(&s, &h);
}

static void grown_blocks(void) {
  heap h;
  mproc_bytes a = EMPTY;
  mproc_scratch s;
  uint8_t next = 0;
  size_t large = MPROC_SCRATCH_KEPT / 2, huge = MPROC_SCRATCH_KEPT + 1;
  heap_init(&h, 0);
  s = scratch_of(&h);
  CHECK_EQ(mproc_scratch_lend(&s, &a), MPROC_OK);
  CHECK_EQ(append(&a, &h, large, &next), MPROC_OK);
  mproc_scratch_consume(&s, &a, large, large);
  CHECK(h.bytes >= large); /* kept for the next of that size */
  CHECK_EQ(mproc_scratch_lend(&s, &a), MPROC_OK);
  CHECK(a.cap >= large);
  CHECK_EQ(append(&a, &h, 10, &next), MPROC_OK);
  mproc_scratch_consume(&s, &a, 10, large); /* the rest was elsewhere */
  CHECK(h.bytes >= large);
  CHECK_EQ(mproc_scratch_lend(&s, &a), MPROC_OK);
  next = 0;
  CHECK_EQ(append(&a, &h, 20, &next), MPROC_OK);
  mproc_scratch_consume(&s, &a, 10, 10); /* a small one: it goes */
  CHECK(counts_from(&a, 10, 10));
  CHECK_EQ(h.bytes, 10);
  CHECK_EQ(mproc_scratch_lend(&s, &a), MPROC_OK);
  CHECK_EQ(append(&a, &h, huge, &next), MPROC_OK);
  mproc_scratch_clear(&s, &a); /* more than is ever kept */
  CHECK_EQ(h.bytes, 0);
  check_closed(&s, &h);
}

static void switched_off(void) {
  heap h;
  mproc_bytes a = EMPTY;
  mproc_scratch s;
  uint8_t next = 0;
  heap_init(&h, 0);
  s = scratch_of(&h);
  s.off = true;
  CHECK_EQ(mproc_scratch_lend(&s, &a), MPROC_OK);
  CHECK(a.data == NULL);
  CHECK_EQ(append(&a, &h, 100, &next), MPROC_OK);
  mproc_scratch_consume(&s, &a, 100, 100);
  CHECK_EQ(h.bytes, 0);
  check_closed(&s, &h);
}

/* Many queues at once; each is what its two counters say. */
static void against_a_model(size_t fail_from) {
  heap h;
  mproc_bytes q[QUEUES];
  uint8_t first[QUEUES], next[QUEUES];
  size_t size[QUEUES];
  mproc_scratch s;
  uint32_t random = 12345;
  heap_init(&h, fail_from);
  s = scratch_of(&h);
  for (int i = 0; i < QUEUES; i++) {
    q[i] = EMPTY;
    size[i] = first[i] = next[i] = 0;
  }
  for (int turn = 0; turn < 400; turn++) {
    int i;
    size_t n;
    random = random * 1664525 + 1013904223;
    i = (int)(random >> 24) % QUEUES;
    n = (random >> 8) % 7 == 0 ? (random >> 4) % 60000 : (random >> 8) % 300;
    if ((random >> 16) % 2 == 0) {
      if (mproc_scratch_lend(&s, &q[i]) == MPROC_OK &&
          append(&q[i], &h, n, &next[i]) == MPROC_OK)
        size[i] += n;
    } else if (size[i] > 0) {
      n = n < size[i] ? n : size[i];
      mproc_scratch_consume(&s, &q[i], n, n);
      first[i] = (uint8_t)(first[i] + n);
      size[i] -= n;
    }
    for (int j = 0; j < QUEUES; j++)
      CHECK(counts_from(&q[j], first[j], size[j]));
  }
  for (int i = 0; i < QUEUES; i++)
    mproc_scratch_clear(&s, &q[i]);
  check_closed(&s, &h);
}

static void model(void) {
  against_a_model(0);
}

static void model_without_memory(void) {
  for (size_t n = 1; n < 60; n += 3)
    against_a_model(n);
}

/* It is the newcomer who fails, and the borrower's bytes stay. */
static void no_memory_to_move_to(void) {
  heap h;
  mproc_bytes a = EMPTY, b = EMPTY;
  mproc_scratch s;
  uint8_t next = 0;
  heap_init(&h, 2);
  s = scratch_of(&h);
  CHECK_EQ(mproc_scratch_lend(&s, &a), MPROC_OK);
  CHECK_EQ(append(&a, &h, 50, &next), MPROC_OK);
  CHECK_EQ(mproc_scratch_lend(&s, &b), MPROC_NOMEM);
  CHECK(b.data == NULL);
  CHECK(counts_from(&a, 0, 50));
  h.fail_from = 0;
  CHECK_EQ(mproc_scratch_lend(&s, &b), MPROC_OK);
  CHECK(counts_from(&a, 0, 50));
  mproc_scratch_clear(&s, &a);
  mproc_scratch_clear(&s, &b);
  check_closed(&s, &h);
}

int main(void) {
  TEST(one_block_for_all);
  TEST(the_borrower_is_driven_out);
  TEST(a_full_block_is_kept);
  TEST(grown_blocks);
  TEST(switched_off);
  TEST(model);
  TEST(model_without_memory);
  TEST(no_memory_to_move_to);
  return test_end("scratch_test");
}

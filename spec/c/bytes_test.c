/*
** bytes_test.c: the queue of bytes against a plain array, its growth, its
** giving back, and the lack of memory at every allocation.
*/
#include "heap.h"
#include "test.h"

/* Appends 'n' bytes that count up from '*next'. */
static mproc_status append(mproc_bytes *b, const heap *h, size_t n,
                           uint8_t *next) {
  uint8_t *room;
  size_t i;
  mproc_status st = mproc_bytes_reserve(b, &h->allocator, n, &room);
  if (st != MPROC_OK)
    return st;
  for (i = 0; i < n; i++)
    room[i] = (uint8_t)(*next)++;
  mproc_bytes_commit(b, n);
  return MPROC_OK;
}

/* Whether what is queued counts up from 'first'. */
static int counts_from(const mproc_bytes *b, uint8_t first) {
  mproc_view v = mproc_bytes_view(b);
  size_t i;
  for (i = 0; i < v.size; i++)
    if (v.data[i] != (uint8_t)(first + i))
      return 0;
  return v.size == mproc_bytes_size(b);
}

static void check_closed(const heap *h) {
  CHECK_EQ(h->blocks, 0);
  CHECK_EQ(h->bytes, 0);
  CHECK_EQ(h->wrong_sizes, 0);
}

static void alloc_zeroes(void) {
  heap h;
  uint8_t *p;
  size_t i, sum = 0;
  heap_init(&h, 0);
  p = (uint8_t *)mproc_alloc(&h.allocator, 100);
  for (i = 0; i < 100; i++)
    sum += p[i];
  CHECK_EQ(sum, 0);
  mproc_free(&h.allocator, p, 100);
  mproc_free(&h.allocator, NULL, 0);
  mproc_free(&h.allocator, NULL, 100);
  check_closed(&h);
  heap_init(&h, 1);
  CHECK(mproc_alloc(&h.allocator, 1) == NULL);
}

static void arrays_double(void) {
  heap h;
  size_t capacity = 0;
  uint32_t *numbers = NULL, *grown;
  heap_init(&h, 0);
  for (uint32_t i = 0; i < 100; i++) {
    if (i == capacity)
      numbers = (uint32_t *)mproc_grow(&h.allocator, numbers, &capacity,
                                       sizeof *numbers);
    numbers[i] = i;
  }
  for (uint32_t i = 0; i < 100; i++)
    CHECK_EQ(numbers[i], i);
  CHECK_EQ(capacity, 128);
  CHECK_EQ(h.bytes, 128 * sizeof *numbers);
  h.fail_from = 1;
  grown =
      (uint32_t *)mproc_grow(&h.allocator, numbers, &capacity, sizeof *numbers);
  CHECK(grown == NULL);
  CHECK_EQ(capacity, 128);
  mproc_free(&h.allocator, numbers, capacity * sizeof *numbers);
  CHECK_EQ(h.blocks, 0);
  CHECK_EQ(h.wrong_sizes, 0);
}

static void empty_queue(void) {
  heap h;
  mproc_bytes b = {NULL, 0, 0, 0};
  uint8_t *room = (uint8_t *)&h;
  heap_init(&h, 1); /* nothing here needs memory */
  CHECK_EQ(mproc_bytes_size(&b), 0);
  CHECK_EQ(mproc_bytes_view(&b).size, 0);
  CHECK_EQ(mproc_bytes_append(&b, &h.allocator, test_view(NULL, 0)), MPROC_OK);
  CHECK_EQ(mproc_bytes_reserve(&b, &h.allocator, 0, &room), MPROC_OK);
  CHECK(room == NULL);
  mproc_bytes_commit(&b, 0);
  mproc_bytes_consume(&b, &h.allocator, 0);
  mproc_bytes_clear(&b, &h.allocator);
  mproc_bytes_clear(&b, &h.allocator);
  check_closed(&h);
}

static void append_and_consume(void) {
  heap h;
  mproc_bytes b = {NULL, 0, 0, 0};
  heap_init(&h, 0);
  CHECK_EQ(mproc_bytes_append(&b, &h.allocator, test_text("hello ")), MPROC_OK);
  CHECK_EQ(mproc_bytes_append(&b, &h.allocator, test_text("world")), MPROC_OK);
  CHECK_BYTES(mproc_bytes_view(&b), test_text("hello world"));
  mproc_bytes_consume(&b, &h.allocator, 6);
  CHECK_BYTES(mproc_bytes_view(&b), test_text("world"));
  mproc_bytes_consume(&b, &h.allocator, 5);
  CHECK(b.data == NULL && b.cap == 0);
  check_closed(&h); /* an idle queue holds nothing */
}

static void grows_by_what_is_there(void) {
  heap h;
  mproc_bytes b = {NULL, 0, 0, 0};
  uint8_t next = 0;
  size_t n, calls;
  heap_init(&h, 0);
  append(&b, &h, 10, &next);
  CHECK_EQ(b.cap, 10); /* what was asked for, no more */
  append(&b, &h, 1, &next);
  CHECK_EQ(b.cap, 15);
  append(&b, &h, 1000, &next);
  CHECK_EQ(b.cap, 1011);
  calls = h.calls;
  for (n = 0; n < 100000; n++)
    append(&b, &h, 1, &next);
  CHECK(h.calls - calls < 20); /* geometric */
  CHECK(b.cap <= mproc_bytes_size(&b) / 2 * 3 + 1);
  CHECK(counts_from(&b, 0));
  mproc_bytes_clear(&b, &h.allocator);
  check_closed(&h);
}

static void reserving_commits_nothing(void) {
  heap h;
  mproc_bytes b = {NULL, 0, 0, 0};
  uint8_t *first, *second;
  heap_init(&h, 0);
  mproc_bytes_reserve(&b, &h.allocator, 64, &first);
  mproc_bytes_reserve(&b, &h.allocator, 64, &second);
  CHECK(first == second);
  CHECK_EQ(mproc_bytes_size(&b), 0);
  CHECK_EQ(h.calls, 1);
  mproc_bytes_consume(&b, &h.allocator, 0); /* nothing came: gives it back */
  check_closed(&h);
}

static void reuses_what_was_consumed(void) {
  heap h;
  mproc_bytes b = {NULL, 0, 0, 0};
  uint8_t next = 0;
  heap_init(&h, 0);
  append(&b, &h, 1000, &next);
  mproc_bytes_consume(&b, &h.allocator, 600);
  CHECK_EQ(append(&b, &h, 600, &next), MPROC_OK);
  CHECK_EQ(h.calls, 1);
  CHECK_EQ(b.cap, 1000);
  CHECK(counts_from(&b, (uint8_t)600));
  /* a queue in steady use neither grows nor moves much */
  for (int i = 0; i < 10000; i++) {
    mproc_bytes_consume(&b, &h.allocator, 7);
    append(&b, &h, 7, &next);
  }
  CHECK(b.cap < 3000);
  CHECK(h.calls < 10);
  CHECK_EQ(mproc_bytes_size(&b), 1000);
  CHECK(counts_from(&b, (uint8_t)(600 + 70000)));
  mproc_bytes_clear(&b, &h.allocator);
  check_closed(&h);
}

static void gives_back_most(void) {
  heap h;
  mproc_bytes b = {NULL, 0, 0, 0};
  uint8_t next = 0;
  heap_init(&h, 0);
  append(&b, &h, 65536, &next);
  mproc_bytes_consume(&b, &h.allocator, 30000);
  CHECK_EQ(h.bytes, 65536); /* not yet worth it */
  mproc_bytes_consume(&b, &h.allocator, 65536 - 30000 - 100);
  CHECK_EQ(h.bytes, 100);
  CHECK(counts_from(&b, (uint8_t)(65536 - 100)));
  mproc_bytes_clear(&b, &h.allocator);
  append(&b, &h, 4096, &next); /* small blocks are left alone */
  mproc_bytes_consume(&b, &h.allocator, 4095);
  CHECK_EQ(h.bytes, 4096);
  mproc_bytes_consume(&b, &h.allocator, 1);
  check_closed(&h);
}

static void shrinks_only_if_it_can(void) {
  heap h;
  mproc_bytes b = {NULL, 0, 0, 0};
  uint8_t next = 0;
  heap_init(&h, 0);
  append(&b, &h, 65536, &next);
  h.fail_from = 1;
  mproc_bytes_consume(&b, &h.allocator, 65500);
  CHECK_EQ(mproc_bytes_size(&b), 36);
  CHECK(counts_from(&b, (uint8_t)65500));
  CHECK_EQ(h.bytes, 65536);
  CHECK_EQ(append(&b, &h, 60000, &next), MPROC_OK); /* the room is there */
  mproc_bytes_clear(&b, &h.allocator);
  check_closed(&h);
}

static void absurd_sizes(void) {
  static const size_t sizes[] = {SIZE_MAX,         SIZE_MAX - 1,
                                 SIZE_MAX - 10,    SIZE_MAX / 2,
                                 SIZE_MAX / 2 + 1, (size_t)PTRDIFF_MAX,
                                 PTRDIFF_MAX - 4,  (size_t)PTRDIFF_MAX + 1};
  size_t i;
  for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    heap h;
    mproc_bytes b = {NULL, 0, 0, 0};
    uint8_t next = 0, *room = &next, *data;
    heap_init(&h, 0);
    append(&b, &h, 5, &next);
    data = b.data;
    CHECK_EQ(mproc_bytes_reserve(&b, &h.allocator, sizes[i], &room),
             MPROC_NOMEM);
    CHECK(room == &next);
    CHECK(b.data == data && mproc_bytes_size(&b) == 5 && counts_from(&b, 0));
    mproc_bytes_consume(&b, &h.allocator, 2);
    CHECK_EQ(mproc_bytes_reserve(&b, &h.allocator, sizes[i], &room),
             MPROC_NOMEM);
    CHECK(b.data == data && mproc_bytes_size(&b) == 3 && counts_from(&b, 2));
    mproc_bytes_clear(&b, &h.allocator);
    check_closed(&h);
  }
}

static unsigned next_random(unsigned *seed) {
  return *seed = *seed * 1103515245u + 12345u, *seed >> 16;
}

/* One long random use. Whatever fails, nothing is lost and nothing leaks. */
static void use(heap *h, unsigned seed, int steps) {
  mproc_bytes b = {NULL, 0, 0, 0};
  uint8_t first = 0, next = 0;
  size_t queued = 0, largest = 0, bad = 0;
  while (steps-- > 0) {
    unsigned scale = 1u << (next_random(&seed) % 14);
    size_t n = next_random(&seed) % scale;
    if (next_random(&seed) % 2 != 0) {
      const mproc_bytes before = b;
      if (append(&b, h, n, &next) == MPROC_OK)
        queued += n;
      else if (memcmp(&before, &b, sizeof b) != 0)
        bad++; /* no memory, yet something has changed */
    } else {
      n = n < queued ? n : queued;
      mproc_bytes_consume(&b, &h->allocator, n);
      queued -= n;
      first = (uint8_t)(first + n);
    }
    largest = queued > largest ? queued : largest;
    bad += queued != mproc_bytes_size(&b) || !counts_from(&b, first);
    bad += b.start > b.end || b.end > b.cap || h->bytes != b.cap;
    bad += queued == 0 && h->bytes > 8192; /* reserved at most */
  }
  CHECK_EQ(bad, 0);
  CHECK(h->peak <= 6 * largest + 16384);
  mproc_bytes_clear(&b, &h->allocator);
  check_closed(h);
}

static void random_use(void) {
  heap h;
  unsigned seed;
  for (seed = 1; seed <= 20; seed++) {
    heap_init(&h, 0);
    use(&h, seed, 500);
  }
}

static void no_memory_from_the_nth_on(void) {
  heap h;
  size_t n;
  for (n = 1; n <= 60; n++) {
    heap_init(&h, n);
    use(&h, 7, 200);
  }
}

int main(void) {
  TEST(alloc_zeroes);
  TEST(arrays_double);
  TEST(empty_queue);
  TEST(append_and_consume);
  TEST(grows_by_what_is_there);
  TEST(reserving_commits_nothing);
  TEST(reuses_what_was_consumed);
  TEST(gives_back_most);
  TEST(shrinks_only_if_it_can);
  TEST(absurd_sizes);
  TEST(random_use);
  TEST(no_memory_from_the_nth_on);
  return test_end("bytes_test");
}

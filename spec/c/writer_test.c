/*
** writer_test.c: simple values as CPython writes them in each protocol, frames,
** growth, and no memory.
*/
#include "heap.h"
#include "test.h"

#include <stdbool.h>

#include "pickle/tree.h"
#include "pickle/writer.h"
#include "writer_samples.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static mproc_view view_of(writer_bytes b) {
  return test_view(b.data, b.size);
}

static uint64_t number_of(writer_bytes b) {
  uint64_t bits = 0;
  for (size_t i = 0; i < 8; i++)
    bits |= (uint64_t)(uint8_t)b.data[i] << (8 * i);
  return bits;
}

static void put_global(mproc_writer *w, mproc_view both) {
  const uint8_t *newline = (const uint8_t *)memchr(both.data, '\n', both.size);
  size_t n = (size_t)(newline - both.data);
  mproc_writer_global(w, test_view(both.data, n),
                      test_view(newline + 1, both.size - n - 1));
}

static void put_value(mproc_writer *w, const writer_sample *s) {
  mproc_view v = view_of(s->value);
  uint64_t bits;
  double real;
  switch (s->kind) {
  case NONE:
    mproc_writer_none(w);
    break;
  case TRUE:
  case FALSE:
    mproc_writer_bool(w, s->kind == TRUE);
    break;
  case INTEGER:
    mproc_writer_int(w, (int64_t)number_of(s->value));
    break;
  case LONG:
    mproc_writer_long(w, v);
    break;
  case REAL:
    bits = number_of(s->value);
    memcpy(&real, &bits, sizeof real);
    mproc_writer_real(w, real);
    break;
  case TEXT:
    mproc_writer_text(w, v);
    break;
  case BYTES:
    mproc_writer_bytes(w, v);
    break;
  case BYTEARRAY:
    mproc_writer_bytearray(w, v);
    break;
  case GLOBAL:
    put_global(w, v);
    break;
  }
}

static mproc_view write_sample(mproc_writer *w, const writer_sample *s,
                               unsigned protocol) {
  mproc_view pickle = {NULL, 0};
  mproc_writer_begin(w, protocol);
  put_value(w, s);
  CHECK_EQ(mproc_writer_end(w, &pickle), MPROC_OK);
  return pickle;
}

/* Whether a pickle is of the sample's value, whatever its opcodes. */
static bool says(mproc_view pickle, const writer_sample *s) {
  static const mproc_tree_limits limits = {SIZE_MAX, 100};
  mproc_tree t;
  heap h;
  mproc_view bytes = {NULL, 0};
  bool same;
  heap_init(&h, 0);
  mproc_tree_init(&t, &h.allocator);
  if (!CHECK_EQ(mproc_tree_build(&t, pickle, &limits), MPROC_OK))
    return false;
  if (t.root.tag == MPROC_VALUE_NODE) {
    bytes = mproc_tree_node(&t, t.root.as.node)->as.bytes;
  } else if (t.root.tag == MPROC_VALUE_BYTES) {
    bytes.data = t.root.as.data;
    bytes.size = t.root.size;
  } else if (t.root.tag == MPROC_VALUE_REAL) {
    bytes.data = (const uint8_t *)&t.root.as.real; /* we are little-endian */
    bytes.size = sizeof t.root.as.real;
  }
  same = CHECK_BYTES(bytes, view_of(s->value));
  mproc_tree_free(&t);
  return same;
}

/* What CPython writes with other opcodes: floats of protocol 0 as repr has them
   ("1.0", we: "1"), a call without arguments in protocol 1, and bytearrays by
   way of bytes. */
static bool differs(const writer_sample *s, unsigned protocol) {
  return (s->kind == REAL && protocol == 0) ||
         (s->kind == BYTES && s->value.size == 0 && protocol == 1) ||
         (s->kind == BYTEARRAY && protocol < 5);
}

static void as_cpython(void) {
  mproc_writer w;
  heap h;
  heap_init(&h, 0);
  mproc_writer_init(&w, &h.allocator);
  for (size_t i = 0; i < COUNT(writer_samples); i++) {
    const writer_sample *s = &writer_samples[i];
    for (unsigned protocol = 0; protocol <= 5; protocol++) {
      mproc_view got = write_sample(&w, s, protocol);
      bool good = differs(s, protocol)
                      ? says(got, s) && says(view_of(s->pickles[protocol]), s)
                      : CHECK_BYTES(got, view_of(s->pickles[protocol]));
      if (!good)
        printf("  sample %zu, protocol %u\n", i, protocol);
    }
  }
  mproc_writer_free(&w, 0);
  CHECK_EQ(h.blocks, 0);
  CHECK_EQ(h.wrong_sizes, 0);
}

/* Zeros and signs at the top of an integer are not written. */
static void padded_longs(void) {
  static const char *const padded[] = {"0000", "ffffff", "7f000000",
                                       "80ff", "ff00",   ""};
  static const char *const texts[] = {"0", "-1", "127", "-128", "255", "0"};
  for (size_t i = 0; i < COUNT(padded); i++) {
    uint8_t bytes[8];
    char text[32];
    mproc_view pickle = {NULL, 0};
    mproc_writer w;
    heap h;
    heap_init(&h, 0);
    mproc_writer_init(&w, &h.allocator);
    mproc_writer_begin(&w, 1);
    mproc_writer_long(&w, test_hex(padded[i], bytes));
    CHECK_EQ(mproc_writer_end(&w, &pickle), MPROC_OK);
    snprintf(text, sizeof text, "L%sL\n.", texts[i]);
    CHECK_BYTES(pickle, test_text(text));
    mproc_writer_free(&w, 0);
  }
}

/* ---- the memo's opcodes ---- */

typedef struct index_sample {
  unsigned protocol;
  uint32_t index;
  const char *put; /* in hexadecimal */
  const char *get;
} index_sample;

static const index_sample index_samples[] = {
    {0, 0, "70300a", "67300a"},
    {0, 4294967295u, "70343239343936373239350a", "67343239343936373239350a"},
    {1, 255, "71ff", "68ff"},
    {1, 256, "7200010000", "6a00010000"},
    {3, 4294967295u, "72ffffffff", "6affffffff"},
    {4, 0, "94", "6800"},
    {4, 256, "94", "6a00010000"},
    {5, 255, "94", "68ff"},
};

static void indices(void) {
  for (size_t i = 0; i < COUNT(index_samples); i++) {
    const index_sample *s = &index_samples[i];
    uint8_t put[32], get[32];
    mproc_view expected_put = test_hex(s->put, put);
    mproc_view expected_get = test_hex(s->get, get);
    mproc_writer w;
    heap h;
    size_t at;
    heap_init(&h, 0);
    mproc_writer_init(&w, &h.allocator);
    mproc_writer_begin(&w, s->protocol);
    at = w.size;
    mproc_writer_put(&w, s->index);
    CHECK_BYTES(test_view(w.data + at, w.size - at), expected_put);
    at = w.size;
    mproc_writer_get(&w, s->index);
    CHECK_BYTES(test_view(w.data + at, w.size - at), expected_get);
    mproc_writer_free(&w, 0);
  }
}

/* ---- frames ---- */

/* A pickle of 'n' opcodes of one byte before STOP. */
static mproc_view write_ops(mproc_writer *w, unsigned protocol, size_t n) {
  mproc_view pickle = {NULL, 0};
  mproc_writer_begin(w, protocol);
  for (size_t i = 0; i < n; i++)
    mproc_writer_op(w, MPROC_OP_NONE);
  CHECK_EQ(mproc_writer_end(w, &pickle), MPROC_OK);
  return pickle;
}

static void frames(void) {
  mproc_writer w;
  heap h;
  heap_init(&h, 0);
  mproc_writer_init(&w, &h.allocator);
  CHECK_BYTES(write_ops(&w, 3, 1), TEST_LITERAL("\x80\x03N."));
  CHECK_BYTES(write_ops(&w, 4, 0), TEST_LITERAL("\x80\x04."));
  CHECK_BYTES(write_ops(&w, 4, 2), TEST_LITERAL("\x80\x04NN."));
  CHECK_BYTES(write_ops(&w, 4, 3),
              TEST_LITERAL("\x80\x04\x95\4\0\0\0\0\0\0\0NNN."));
  CHECK_BYTES(write_ops(&w, 5, 2), TEST_LITERAL("\x80\x05NN."));
  for (size_t n = 100; n < 100000; n = n * 3 + 1) {
    mproc_view p = write_ops(&w, 5, n);
    uint8_t size[8];
    CHECK_EQ(p.size, 2 + 9 + n + 1);
    for (size_t i = 0; i < 8; i++)
      size[i] = (uint8_t)((uint64_t)(n + 1) >> (8 * i));
    CHECK_BYTES(test_view(p.data, 3), TEST_LITERAL("\x80\x05\x95"));
    CHECK_BYTES(test_view(p.data + 3, 8), test_view(size, 8));
    CHECK_EQ(p.data[p.size - 1], '.');
  }
  mproc_writer_free(&w, 0);
  CHECK_EQ(h.blocks, 0);
}

/* ---- growth ---- */

/* Every sample, again and again, in one pickle. */
static mproc_status write_many(mproc_writer *w, unsigned protocol, size_t times,
                               mproc_view *pickle) {
  mproc_writer_begin(w, protocol);
  while (times-- > 0)
    for (size_t i = 0; i < COUNT(writer_samples); i++)
      put_value(w, &writer_samples[i]);
  return mproc_writer_end(w, pickle);
}

static void growth(void) {
  for (unsigned protocol = 0; protocol <= 5; protocol++) {
    mproc_writer w;
    mproc_view p;
    heap h;
    size_t calls;
    heap_init(&h, 0);
    mproc_writer_init(&w, &h.allocator);
    CHECK_EQ(write_many(&w, protocol, 100, &p), MPROC_OK);
    CHECK(h.calls < 30);
    CHECK(h.bytes <= 2 * p.size);
    CHECK(h.peak <= 4 * p.size);
    /* the memory is kept, as far as is wanted */
    calls = h.calls;
    CHECK_EQ(write_many(&w, protocol, 100, &p), MPROC_OK);
    CHECK_EQ(h.calls, calls);
    mproc_writer_free(&w, SIZE_MAX);
    CHECK_EQ(h.blocks, 1);
    mproc_writer_free(&w, w.capacity);
    CHECK_EQ(h.blocks, 1);
    mproc_writer_free(&w, w.capacity - 1);
    CHECK_EQ(h.blocks, 0);
    CHECK_EQ(write_many(&w, protocol, 1, &p), MPROC_OK);
    mproc_writer_free(&w, 0);
    CHECK_EQ(h.blocks, 0);
    CHECK_EQ(h.wrong_sizes, 0);
  }
}

/* One value that is larger than what there is room for. */
static void large_values(void) {
  static uint8_t data[100000];
  mproc_view large = {data, sizeof data};
  for (unsigned protocol = 0; protocol <= 5; protocol++) {
    mproc_writer w;
    mproc_view p;
    heap h;
    heap_init(&h, 0);
    memset(data, 'x', sizeof data);
    mproc_writer_init(&w, &h.allocator);
    mproc_writer_begin(&w, protocol);
    mproc_writer_text(&w, large);
    mproc_writer_bytes(&w, large);
    memset(data, 0xff, sizeof data);
    mproc_writer_bytes(&w, large);
    mproc_writer_bytearray(&w, large);
    CHECK_EQ(mproc_writer_end(&w, &p), MPROC_OK);
    CHECK(p.size > 4 * sizeof data && p.size < 7 * sizeof data);
    mproc_writer_free(&w, 0);
    CHECK_EQ(h.blocks, 0);
  }
}

/* ---- no memory ---- */

static void no_memory(void) {
  for (unsigned protocol = 0; protocol <= 5; protocol++) {
    mproc_status st = MPROC_NOMEM;
    mproc_view expected;
    mproc_writer fine;
    heap plenty;
    heap_init(&plenty, 0);
    mproc_writer_init(&fine, &plenty.allocator);
    CHECK_EQ(write_many(&fine, protocol, 3, &expected), MPROC_OK);
    for (size_t n = 1; st != MPROC_OK; n++) {
      mproc_writer w;
      mproc_view p = {NULL, 0};
      heap h;
      heap_init(&h, n);
      mproc_writer_init(&w, &h.allocator);
      st = write_many(&w, protocol, 3, &p);
      CHECK(st == MPROC_OK || st == MPROC_NOMEM);
      CHECK(st == MPROC_OK ? h.calls < n : p.data == NULL);
      /* with memory it can be begun anew */
      h.fail_from = 0;
      CHECK_EQ(write_many(&w, protocol, 3, &p), MPROC_OK);
      CHECK_BYTES(p, expected);
      mproc_writer_free(&w, 0);
      CHECK_EQ(h.blocks, 0);
      CHECK_EQ(h.bytes, 0);
    }
    mproc_writer_free(&fine, 0);
  }
}

/* Sizes that no memory can hold are refused, not wrapped. */
static void absurd_sizes(void) {
  static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2,
                                 SIZE_MAX / 4 + 1};
  for (size_t i = 0; i < COUNT(sizes); i++) {
    mproc_writer w;
    mproc_view p;
    heap h;
    heap_init(&h, 0);
    mproc_writer_init(&w, &h.allocator);
    mproc_writer_begin(&w, 4);
    CHECK(mproc_writer_room(&w, sizes[i]) == NULL);
    mproc_writer_none(&w);
    CHECK_EQ(mproc_writer_end(&w, &p), MPROC_NOMEM);
    mproc_writer_begin(&w, 2);
    CHECK_EQ(mproc_writer_end(&w, &p), MPROC_OK);
    mproc_writer_free(&w, 0);
    CHECK_EQ(h.blocks, 0);
  }
}

int main(void) {
  TEST(as_cpython);
  TEST(padded_longs);
  TEST(indices);
  TEST(frames);
  TEST(growth);
  TEST(large_values);
  TEST(no_memory);
  TEST(absurd_sizes);
  return test_end("writer_test");
}

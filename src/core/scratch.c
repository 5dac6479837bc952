/*
** scratch.c: lends one block to one queue after the other.
*/
#include "core/scratch.h"

#include <assert.h>
#include <string.h>

/* A block that has grown is let go for messages this much smaller than it. */
#define MUCH_SMALLER 16

/*
** Where the first frame begins in the block: its payload, 4 bytes on, then lies
** 8 bytes after a multiple of 16, as the contents of a Lua string do, to which it
** will be copied. Where, within their pages, the copy is to be a few bytes after
** the original, some processors take 20 times as long (measured: 64 KiB in 20 us
** instead of 1.3 on an AMD EPYC with glibc 2.36, whose memcpy uses rep movsb;
** https://lunnova.dev/articles/ryzen-slow-short-rep-mov).
*/
#define LEAD 20

/* Of a block, the part that is worth copying to have the rest of it. */
static bool is_little(size_t size, size_t block) {
  return size <= block / 4;
}

static uint8_t *new_block(const mproc_scratch *s, size_t size) {
  const mproc_allocator *a = s->allocator;
  return (uint8_t *)a->resize(a->ud, NULL, 0, size);
}

/* Keeps a block that nobody has; one of an unusual size goes. */
static void keep(mproc_scratch *s, uint8_t *block, size_t size) {
  assert(s->block == NULL);
  if (size < MPROC_SCRATCH_SIZE || size > MPROC_SCRATCH_KEPT) {
    mproc_free(s->allocator, block, size);
    return;
  }
  s->block = block;
  s->size = size;
}

/* Takes the block from its borrower, whose bytes get one of their own; but
   leaves it to one that has filled much of it. */
static mproc_status evacuate(mproc_scratch *s) {
  mproc_bytes *b = s->borrower;
  mproc_bytes own = {NULL, 0, 0, 0};
  if (b != NULL && is_little(mproc_bytes_size(b), b->cap)) {
    own.end = own.cap = mproc_bytes_size(b);
    if (own.cap > 0) {
      own.data = new_block(s, own.cap);
      if (own.data == NULL)
        return MPROC_NOMEM;
      memcpy(own.data, b->data + b->start, own.cap);
    }
    keep(s, b->data, b->cap);
    *b = own;
  }
  s->borrower = NULL;
  return MPROC_OK;
}

mproc_status mproc_scratch_lend(mproc_scratch *s, mproc_bytes *q) {
  size_t size = mproc_bytes_size(q);
  mproc_status st;
  if (s->off || s->borrower == q || !is_little(size, MPROC_SCRATCH_SIZE))
    return MPROC_OK;
  st = evacuate(s);
  if (st != MPROC_OK)
    return st;
  if (s->block == NULL) {
    s->block = new_block(s, MPROC_SCRATCH_SIZE);
    if (s->block == NULL)
      return MPROC_NOMEM;
    s->size = MPROC_SCRATCH_SIZE;
  }
  if (size > 0)
    memcpy(s->block + LEAD, q->data + q->start, size);
  mproc_free(s->allocator, q->data, q->cap);
  q->data = s->block;
  q->start = LEAD;
  q->end = LEAD + size;
  q->cap = s->size;
  s->block = NULL;
  s->borrower = q;
  return MPROC_OK;
}

void mproc_scratch_consume(mproc_scratch *s, mproc_bytes *q, size_t n,
                           size_t whole) {
  assert(n <= whole);
  if (s->borrower == q &&
      (q->cap > MPROC_SCRATCH_KEPT ||
       (q->cap > MPROC_SCRATCH_SIZE && whole < q->cap / MUCH_SMALLER)))
    s->borrower = NULL; /* the block is its own now, to shrink and free */
  if (s->borrower == q && n < mproc_bytes_size(q))
    q->start += n;
  else if (s->borrower == q)
    mproc_scratch_clear(s, q);
  else
    mproc_bytes_consume(q, s->allocator, n);
}

void mproc_scratch_clear(mproc_scratch *s, mproc_bytes *q) {
  if (s->borrower == q) {
    s->borrower = NULL;
    keep(s, q->data, q->cap);
    memset(q, 0, sizeof *q);
  }
  mproc_bytes_clear(q, s->allocator);
}

void mproc_scratch_close(mproc_scratch *s) {
  mproc_free(s->allocator, s->block, s->size);
  s->block = NULL;
  s->size = 0;
}

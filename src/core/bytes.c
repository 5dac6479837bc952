/*
** bytes.c: the queue of bytes, and the calls through which all memory of the
** core comes. The block holds consumed bytes, queued bytes and free room,
** in this order; how it grows depends on what is queued and asked for alone,
** never on what a peer claims.
*/
#include "core/bytes.h"

#include <assert.h>
#include <string.h>

/* A block above this shrinks with its contents: below it, moving costs more
   than the memory is worth. */
#define SHRINK_ABOVE 4096

void *mproc_alloc(const mproc_allocator *a, size_t size) {
  void *block = a->resize(a->ud, NULL, 0, size);
  if (block != NULL)
    memset(block, 0, size);
  return block;
}

void mproc_free(const mproc_allocator *a, void *block, size_t size) {
  if (block != NULL)
    a->resize(a->ud, block, size, 0);
}

void *mproc_grow(const mproc_allocator *a, void *block, size_t *capacity,
                 size_t size) {
  size_t more = *capacity == 0 ? 4 : 2 * *capacity;
  void *grown = a->resize(a->ud, block, *capacity * size, more * size);
  if (grown != NULL)
    *capacity = more;
  return grown;
}

/* Moves what is queued to the start of the block. */
static void slide(mproc_bytes *b) {
  size_t size = mproc_bytes_size(b);
  memmove(b->data, b->data + b->start, size);
  b->start = 0;
  b->end = size;
}

/* Makes the block longer where it is, so that the system may do it without
   copying; what has been consumed stays in it. */
static mproc_status grow(mproc_bytes *b, const mproc_allocator *a,
                         size_t room) {
  size_t cap = b->end + room;
  uint8_t *data = (uint8_t *)a->resize(a->ud, b->data, b->cap, cap);
  if (data == NULL)
    return MPROC_NOMEM;
  b->data = data;
  b->cap = cap;
  return MPROC_OK;
}

/* Moves what is queued to a new block; what has been consumed goes. */
static mproc_status move(mproc_bytes *b, const mproc_allocator *a,
                         size_t room) {
  size_t size = mproc_bytes_size(b), cap = size + room;
  uint8_t *data = (uint8_t *)a->resize(a->ud, NULL, 0, cap);
  if (data == NULL)
    return MPROC_NOMEM;
  memcpy(data, b->data + b->start, size);
  mproc_free(a, b->data, b->cap);
  b->data = data;
  b->start = 0;
  b->end = size;
  b->cap = cap;
  return MPROC_OK;
}

/* Makes room for 'n' more bytes where the block has not got it at its end. */
static mproc_status make_room(mproc_bytes *b, const mproc_allocator *a,
                              size_t n) {
  size_t size = mproc_bytes_size(b), room = n > size / 2 ? n : size / 2;
  if (b->start >= size / 4 && n <= b->cap - size) {
    /* moves at most four bytes for each one consumed: linear in the traffic */
    slide(b);
    return MPROC_OK;
  }
  if (b->end > PTRDIFF_MAX || room > (size_t)PTRDIFF_MAX - b->end)
    return MPROC_NOMEM;
  return b->start <= size / 8 ? grow(b, a, room) : move(b, a, room);
}

mproc_status mproc_bytes_reserve(mproc_bytes *b, const mproc_allocator *a,
                                 size_t n, uint8_t **room) {
  if (n > b->cap - b->end) {
    mproc_status st = make_room(b, a, n);
    if (st != MPROC_OK)
      return st;
  }
  *room = b->data == NULL ? NULL : b->data + b->end;
  return MPROC_OK;
}

void mproc_bytes_commit(mproc_bytes *b, size_t n) {
  assert(n <= b->cap - b->end);
  b->end += n;
}

mproc_status mproc_bytes_append(mproc_bytes *b, const mproc_allocator *a,
                                mproc_view v) {
  uint8_t *room;
  mproc_status st = mproc_bytes_reserve(b, a, v.size, &room);
  if (st != MPROC_OK)
    return st;
  if (v.size > 0)
    memcpy(room, v.data, v.size);
  mproc_bytes_commit(b, v.size);
  return MPROC_OK;
}

/* Where the allocator cannot even shrink, the block stays as it is. */
void mproc_bytes_trim(mproc_bytes *b, const mproc_allocator *a) {
  uint8_t *data;
  if (mproc_bytes_size(b) == 0) {
    mproc_bytes_clear(b, a);
    return;
  }
  slide(b);
  data = (uint8_t *)a->resize(a->ud, b->data, b->cap, b->end);
  if (data == NULL)
    return;
  b->data = data;
  b->cap = b->end;
}

void mproc_bytes_consume(mproc_bytes *b, const mproc_allocator *a, size_t n) {
  assert(n <= mproc_bytes_size(b));
  b->start += n;
  if (b->start == b->end)
    mproc_bytes_clear(b, a);
  else if (b->cap > SHRINK_ABOVE && mproc_bytes_size(b) <= b->cap / 4)
    mproc_bytes_trim(b, a);
}

void mproc_bytes_clear(mproc_bytes *b, const mproc_allocator *a) {
  mproc_free(a, b->data, b->cap);
  memset(b, 0, sizeof *b);
}

/*
** heap.h: an allocator for tests that counts what is out, checks the sizes
** that it is told, and fails from a given allocation on.
*/
#ifndef MPROC_HEAP_H
#define MPROC_HEAP_H

#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

#define HEAP_HEADER 32      /* keeps malloc's alignment */
#define HEAP_MOST 0x1000000 /* no test needs more at once */

typedef struct heap {
  mproc_allocator allocator; /* what is handed to the core */
  size_t blocks;             /* now out */
  size_t bytes;              /* now out */
  size_t peak;               /* most bytes that were out at once */
  size_t calls;              /* allocations and resizes so far */
  size_t fail_from;          /* the call from which on all fail; 0: none */
  size_t wrong_sizes;        /* old sizes that were not the real ones */
} heap;

static inline size_t heap_size(const void *block) {
  size_t size = 0;
  if (block != NULL)
    memcpy(&size, (const char *)block - HEAP_HEADER, sizeof size);
  return size;
}

static inline void heap_release(heap *h, void *block) {
  if (block == NULL)
    return;
  h->blocks--;
  h->bytes -= heap_size(block);
  memset(block, 0xdd, heap_size(block));
  free((char *)block - HEAP_HEADER);
}

/* Always moves, so that a stale pointer is found. */
static inline void *heap_resize(void *ud, void *block, size_t old_size,
                                size_t size) {
  heap *h = (heap *)ud;
  char *fresh;
  if (old_size != heap_size(block))
    h->wrong_sizes++;
  if (size == 0) {
    heap_release(h, block);
    return NULL;
  }
  h->calls++;
  if (h->fail_from != 0 && h->calls >= h->fail_from)
    return NULL;
  if (size > HEAP_MOST || (fresh = (char *)malloc(HEAP_HEADER + size)) == NULL)
    return NULL;
  memcpy(fresh, &size, sizeof size);
  fresh += HEAP_HEADER;
  memset(fresh, 0xcd, size);
  if (block != NULL)
    memcpy(fresh, block, old_size < size ? old_size : size);
  h->blocks++;
  h->bytes += size;
  if (h->bytes > h->peak)
    h->peak = h->bytes;
  heap_release(h, block);
  return fresh;
}

/* Empty; 'h' must stay where it is. */
static inline void heap_init(heap *h, size_t fail_from) {
  memset(h, 0, sizeof *h);
  h->allocator.resize = heap_resize;
  h->allocator.ud = h;
  h->fail_from = fail_from;
}

#endif

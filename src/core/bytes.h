/*
** bytes.h: memory for messages: the allocator that a host supplies, views,
** and a growable queue of bytes.
**
** All memory of the core comes from one mproc_allocator, so a host's limits
** hold for it and a test can make any single allocation fail.
*/
#ifndef MPROC_BYTES_H
#define MPROC_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/*
** How memory is had, in the shape of lua_Alloc (Lua 5.4 manual, section 4.3):
** 'size' 0 frees 'block' and returns NULL; otherwise resizes (allocates where
** 'block' is NULL); NULL means that there is no memory, and 'block' stands.
*/
typedef struct mproc_allocator {
  void *(*resize)(void *ud, void *block, size_t old_size, size_t size);
  void *ud;
} mproc_allocator;

/* 'size' zeroed bytes (> 0), owned by the caller; NULL: no memory. */
void *mproc_alloc(const mproc_allocator *a, size_t size);

/* Frees 'block' of 'size' bytes; a NULL block is left alone. */
void mproc_free(const mproc_allocator *a, void *block, size_t size);

/*
** Doubles an array that is full: of '*capacity' elements (0: 'block' is NULL) of
** 'size' bytes each, less than half of what a size_t counts. Returns where it is
** now, and '*capacity' is what it has room for; NULL: no memory, nothing has
** changed.
*/
void *mproc_grow(const mproc_allocator *a, void *block, size_t *capacity,
                 size_t size);

/* Bytes that somebody else owns. 'data' may be NULL where 'size' is 0. */
typedef struct mproc_view {
  const uint8_t *data;
  size_t size;
} mproc_view;

/*
** A queue of bytes: appended at the end, consumed at the start. All zero is
** the empty queue, which holds no memory.
*/
typedef struct mproc_bytes {
  uint8_t *data;
  size_t start; /* first byte that is not consumed; <= end */
  size_t end;   /* one past the last byte; <= cap */
  size_t cap;
} mproc_bytes;

/* How many bytes are queued. */
static inline size_t mproc_bytes_size(const mproc_bytes *b) {
  return b->end - b->start;
}

/* What is queued; valid until the queue is next changed. */
static inline mproc_view mproc_bytes_view(const mproc_bytes *b) {
  mproc_view v = {NULL, 0};
  if (b->data != NULL) {
    v.data = b->data + b->start;
    v.size = mproc_bytes_size(b);
  }
  return v;
}

/*
** Makes room for at least 'n' more bytes. OK: '*room' is where they go (tell
** of them with mproc_bytes_commit). NOMEM: nothing has changed.
*/
mproc_status mproc_bytes_reserve(mproc_bytes *b, const mproc_allocator *a,
                                 size_t n, uint8_t **room);

/* Counts 'n' bytes, written where mproc_bytes_reserve said, as queued. */
void mproc_bytes_commit(mproc_bytes *b, size_t n);

/* Queues a copy of 'v'. NOMEM: nothing has changed. */
mproc_status mproc_bytes_append(mproc_bytes *b, const mproc_allocator *a,
                                mproc_view v);

/*
** Takes 'n' bytes (at most what is queued) off the start. Gives the memory
** back when the queue is empty, and most of it when little is left of much:
** an idle connection holds none.
*/
void mproc_bytes_consume(mproc_bytes *b, const mproc_allocator *a, size_t n);

/* Gives back what of the memory is not queued, as far as there is a way. */
void mproc_bytes_trim(mproc_bytes *b, const mproc_allocator *a);

/* Empties the queue and frees its memory. */
void mproc_bytes_clear(mproc_bytes *b, const mproc_allocator *a);

#endif

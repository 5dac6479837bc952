/*
** memo.h: a map from 64-bit keys to 32-bit values: a pickler's memo (address of
** a value -> its index) and an unpickler's (index, however large -> its place).
**
** Open addressing over a scrambled key, at most half full, so what a peer
** chooses as indices costs no more than their number.
*/
#ifndef MPROC_MEMO_H
#define MPROC_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"

typedef struct mproc_memo_slot {
  uint64_t key;
  uint32_t value;
  uint32_t round; /* in use only if it is the memo's */
} mproc_memo_slot;

/* All zero is the empty memo, which holds no memory. */
typedef struct mproc_memo {
  mproc_memo_slot *slots;
  size_t capacity; /* a power of two, or 0 */
  size_t count;
  uint64_t seed;  /* of the scrambling; set by the owner once, may be 0 */
  uint32_t round; /* so that clearing costs nothing */
} mproc_memo;

/* Finds 'key'. False: it is not there. */
bool mproc_memo_get(const mproc_memo *m, uint64_t key, uint32_t *value);

/* Sets the value of 'key', old or new. NOMEM: nothing has changed. */
mproc_status mproc_memo_set(mproc_memo *m, const mproc_allocator *a,
                            uint64_t key, uint32_t value);

/* Forgets everything; keeps the memory. */
void mproc_memo_clear(mproc_memo *m);

/* Forgets everything and frees the memory. */
void mproc_memo_free(mproc_memo *m, const mproc_allocator *a);

#endif

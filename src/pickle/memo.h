/*
** memo.h: a map from 64-bit keys to 32-bit values: a pickler's memo (address of
** a value -> its index) and an unpickler's (index, however large -> its place).
**
** Open addressing, at most half full, in the order of the high bits of the key
** times 'seed'. So what a peer chooses as indices costs no more than their
** number, for it cannot know a random one; MPROC_MEMO_SEED does for addresses.
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

/* All zero but 'seed' is the empty memo, which holds no memory. */
typedef struct mproc_memo {
  mproc_memo_slot *slots;
  size_t capacity; /* a power of two, or 0 */
  size_t count;
  uint64_t seed;  /* what keys are multiplied by; set by the owner once */
  unsigned shift; /* 64 less the capacity's logarithm */
  uint32_t round; /* so that clearing costs nothing */
} mproc_memo;

/* An odd number with bits in no order: 2^64 over the golden ratio. */
#define MPROC_MEMO_SEED UINT64_C(0x9e3779b97f4a7c15)

/* Makes room for one key more. NOMEM: nothing has changed. */
mproc_status mproc_memo_grow(mproc_memo *m, const mproc_allocator *a);

/* Forgets everything; keeps the memory. */
void mproc_memo_clear(mproc_memo *m);

/* Forgets everything and frees the memory. */
void mproc_memo_free(mproc_memo *m, const mproc_allocator *a);

/* Where 'key' is or would be; there must be a free slot. */
static inline mproc_memo_slot *mproc_memo_slot_of(const mproc_memo *m,
                                                  uint64_t key) {
  size_t mask = m->capacity - 1;
  size_t i = (size_t)(key * (m->seed | 1) >> m->shift);
  while (m->slots[i].round == m->round && m->slots[i].key != key)
    i = (i + 1) & mask;
  return &m->slots[i];
}

/* Finds 'key'. False: it is not there. */
static inline bool mproc_memo_get(const mproc_memo *m, uint64_t key,
                                  uint32_t *value) {
  const mproc_memo_slot *s;
  if (m->count == 0)
    return false;
  s = mproc_memo_slot_of(m, key);
  if (s->round != m->round)
    return false;
  *value = s->value;
  return true;
}

/* Whether there is no slot for one key more. */
static inline bool mproc_memo_is_full(const mproc_memo *m) {
  return m->count >= m->capacity / 2;
}

/* Where the value of 'key' is, in a memo that is not full, until that changes.
   A new key is added, with 'value'. */
static inline uint32_t *mproc_memo_at(mproc_memo *m, uint64_t key,
                                      uint32_t value) {
  mproc_memo_slot *s = mproc_memo_slot_of(m, key);
  if (s->round != m->round) {
    s->key = key;
    s->value = value;
    s->round = m->round;
    m->count++;
  }
  return &s->value;
}

/* Sets the value of 'key', old or new. NOMEM: nothing has changed. */
static inline mproc_status mproc_memo_set(mproc_memo *m,
                                          const mproc_allocator *a,
                                          uint64_t key, uint32_t value) {
  mproc_status st = mproc_memo_is_full(m) ? mproc_memo_grow(m, a) : MPROC_OK;
  if (st == MPROC_OK)
    *mproc_memo_at(m, key, value) = value;
  return st;
}

#endif

/*
** memo.c: open addressing with linear probing.
*/
#include "pickle/memo.h"

#include <string.h>

#define FIRST_CAPACITY 32

/* Mixes all bits of the key into the low ones (the finalizer of MurmurHash3,
   public domain). */
static uint64_t scramble(const mproc_memo *m, uint64_t key) {
  key ^= m->seed;
  key ^= key >> 33;
  key *= UINT64_C(0xff51afd7ed558ccd);
  key ^= key >> 33;
  key *= UINT64_C(0xc4ceb9fe1a85ec53);
  key ^= key >> 33;
  return key;
}

/* Where 'key' is or would be; there is always a free slot. */
static mproc_memo_slot *find(const mproc_memo *m, uint64_t key) {
  size_t i = (size_t)scramble(m, key) & (m->capacity - 1);
  while (m->slots[i].round == m->round && m->slots[i].key != key)
    i = (i + 1) & (m->capacity - 1);
  return &m->slots[i];
}

bool mproc_memo_get(const mproc_memo *m, uint64_t key, uint32_t *value) {
  const mproc_memo_slot *s;
  if (m->count == 0)
    return false;
  s = find(m, key);
  if (s->round != m->round)
    return false;
  *value = s->value;
  return true;
}

static mproc_status grow(mproc_memo *m, const mproc_allocator *a) {
  mproc_memo old = *m;
  size_t capacity = old.capacity == 0 ? FIRST_CAPACITY : 2 * old.capacity;
  if (capacity > SIZE_MAX / sizeof *m->slots)
    return MPROC_NOMEM;
  m->slots = (mproc_memo_slot *)mproc_alloc(a, capacity * sizeof *m->slots);
  if (m->slots == NULL) {
    *m = old;
    return MPROC_NOMEM;
  }
  m->capacity = capacity;
  m->round = 1; /* new slots are zero: of no round */
  for (size_t i = 0; i < old.capacity; i++) {
    if (old.slots[i].round == old.round) {
      mproc_memo_slot *s = find(m, old.slots[i].key);
      *s = old.slots[i];
      s->round = m->round;
    }
  }
  mproc_free(a, old.slots, old.capacity * sizeof *old.slots);
  return MPROC_OK;
}

mproc_status mproc_memo_set(mproc_memo *m, const mproc_allocator *a,
                            uint64_t key, uint32_t value) {
  mproc_memo_slot *s;
  if (m->count >= m->capacity / 2) {
    mproc_status st = grow(m, a);
    if (st != MPROC_OK)
      return st;
  }
  s = find(m, key);
  if (s->round != m->round) {
    s->key = key;
    s->round = m->round;
    m->count++;
  }
  s->value = value;
  return MPROC_OK;
}

void mproc_memo_clear(mproc_memo *m) {
  m->count = 0;
  if (++m->round == 0 && m->capacity > 0) { /* once in 2^32 times */
    memset(m->slots, 0, m->capacity * sizeof *m->slots);
    m->round = 1;
  }
}

void mproc_memo_free(mproc_memo *m, const mproc_allocator *a) {
  mproc_free(a, m->slots, m->capacity * sizeof *m->slots);
  m->slots = NULL;
  m->capacity = m->count = 0;
}

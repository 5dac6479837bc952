/*
** memo.c: the memory of a memo. Linear probing is in memo.h: it is in the inner
** loop of dumps.
*/
#include "pickle/memo.h"

#include <string.h>

#define FIRST_BITS 5

/* Copies what is in use. */
static void move_slots(mproc_memo *to, const mproc_memo *from) {
  for (size_t i = 0; i < from->capacity; i++) {
    const mproc_memo_slot *old = &from->slots[i];
    if (old->round == from->round) {
      mproc_memo_slot *s = mproc_memo_slot_of(to, old->key);
      *s = *old;
      s->round = to->round;
    }
  }
}

mproc_status mproc_memo_grow(mproc_memo *m, const mproc_allocator *a) {
  mproc_memo old = *m;
  size_t capacity =
      old.capacity == 0 ? (size_t)1 << FIRST_BITS : 2 * old.capacity;
  void *slots;
  if (capacity > SIZE_MAX / sizeof *m->slots)
    return MPROC_NOMEM;
  slots = mproc_alloc(a, capacity * sizeof *m->slots);
  if (slots == NULL)
    return MPROC_NOMEM;
  m->slots = (mproc_memo_slot *)slots;
  m->shift = old.capacity == 0 ? 64 - FIRST_BITS : old.shift - 1;
  m->capacity = capacity;
  m->round = 1; /* new slots are zero: of no round */
  move_slots(m, &old);
  mproc_free(a, old.slots, old.capacity * sizeof *old.slots);
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

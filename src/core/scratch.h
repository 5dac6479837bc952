/*
** scratch.h: one block of memory that all queues of a host read into in turn,
** so that a message costs no allocation and an idle connection no memory.
**
** The queue that has the block is its borrower, and owns it as it would any
** other: it may let it grow. An empty queue gives it back. Whoever needs it
** while another one's bytes are in it first moves these into a block of their
** own; where there is no memory for that it is the newcomer who fails, and
** nothing is lost.
*/
#ifndef MPROC_SCRATCH_H
#define MPROC_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"

/* Bytes of the block as it is made. */
#define MPROC_SCRATCH_SIZE ((size_t)0x20000)

/* A block that has grown beyond that is not kept for later. */
#define MPROC_SCRATCH_KEPT ((size_t)0x200000)

/*
** Owned by the host; must outlive every queue that was lent its block. With
** 'allocator' set and all else zero it is ready, and holds no memory.
*/
typedef struct mproc_scratch {
  const mproc_allocator *allocator; /* of the block and of all its borrowers */
  uint8_t *block;        /* NULL: not made yet, or the borrower has it */
  size_t size;           /* of 'block' */
  mproc_bytes *borrower; /* who has it; must not move then. NULL: nobody */
  bool off;              /* it lends nothing: queues have blocks of their own */
} mproc_scratch;

/*
** Lends 'q' the block, to read into; what is queued moves into it. OK also
** where 'q' has it already, has too much to move, or 'off' says no: 'q' is as
** good as before. NOMEM: nothing has changed.
*/
mproc_status mproc_scratch_lend(mproc_scratch *s, mproc_bytes *q);

/*
** mproc_bytes_consume for a queue that may have the block: takes 'n' bytes off,
** and gives the block back once the queue is empty. 'whole' (>= n) is the size
** of the message that they end, part of which may never have been queued: a
** block that has grown is kept for more of that size only.
*/
void mproc_scratch_consume(mproc_scratch *s, mproc_bytes *q, size_t n,
                           size_t whole);

/* mproc_bytes_clear for a queue that may have the block: gives it back. */
void mproc_scratch_clear(mproc_scratch *s, mproc_bytes *q);

/* Frees the block, unless somebody still has it. */
void mproc_scratch_close(mproc_scratch *s);

#endif

/*
** inbox.h: the receiving half of a byte stream: frames out of what comes.
**
** What comes is read into the host's scratch block (scratch.h), stays there
** until it is taken, and moves out only if another inbox needs the block.
*/
#ifndef MPROC_INBOX_H
#define MPROC_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/deadline.h"
#include "core/scratch.h"
#include "core/status.h"
#include "core/transport.h"

typedef struct mproc_inbox {
  mproc_scratch *scratch;
  mproc_bytes in;       /* header and payload of the next message, and what
                            was read ahead of it; may be the borrower */
  mproc_status failure; /* what 'ready' met and 'recv' has to tell; or OK */
  uint32_t expected;    /* bytes of the last frame, should it have been large;
                           or 0 */
  uint32_t limiter;     /* the process that has set the limit */
  uint8_t limit;        /* the handle's read limit is 2^limit ms; 0: none */
  bool readahead;       /* these three: see mproc_channel_stream */
  bool alone;
  bool by_read;
} mproc_inbox;

/*
** How long a receive may wait in the system, which takes one call less than
** waiting with mproc_os_poll first.
*/
typedef struct mproc_patience {
  mproc_time deadline; /* never beyond that; 0: not at all */
  uint8_t limit;       /* 2^limit ms at a time (mproc_os_set_read_limit); 0: not
                    at all. To be the same for as long as possible: a change
                    costs a system call. */
  bool begun;          /* only for the rest of a message that has begun */
} mproc_patience;

/* 18 hours: nearly for ever, but not for ever, or no signal would end a wait. */
#define MPROC_PATIENCE_LIMIT_MAX 26

/*
** The patience limit that suits receives which may take so many seconds each:
** half of that at most, so that what is left after it came to nothing can be
** waited out to the point.
*/
uint8_t mproc_patience_limit(double seconds);

/*
** OK: '*message' is the next one of at most 'max' bytes, until
** mproc_inbox_pop. 'patience' NULL: does not wait. Statuses as of
** mproc_channel_ops.recv; AGAIN also where a signal handler ran.
*/
mproc_status mproc_inbox_recv(mproc_inbox *in, const mproc_transport *t,
                              uint64_t max, const mproc_patience *patience,
                              mproc_view *message);

/*
** The same with the 'room' bytes at 'to' for a payload: '*placed' says whether
** it is there, and taken, and '*message' the same bytes; else it is where
** mproc_inbox_recv leaves it. Where it is not OK, 'to' may have been written
** to, but what has come is kept.
*/
mproc_status mproc_inbox_recv_into(mproc_inbox *in, const mproc_transport *t,
                                   uint64_t max, const mproc_patience *patience,
                                   uint8_t *to, size_t room, bool *placed,
                                   mproc_view *message);

/* Whether the next message, of at most 'max' bytes, is here whole: '*message', as
   mproc_inbox_recv would give it. */
bool mproc_inbox_next(const mproc_inbox *in, uint64_t max, mproc_view *message);

/* Drops the message that was given. */
void mproc_inbox_pop(mproc_inbox *in);

/* See mproc_channel_ops.ready. */
mproc_status mproc_inbox_ready(mproc_inbox *in, const mproc_transport *t,
                               uint64_t max, bool readable);

/* Whether it has bytes of messages. */
static inline bool mproc_inbox_buffers(const mproc_inbox *in) {
  return mproc_bytes_size(&in->in) > 0;
}

/*
** Leaves the handle as it was before receives of this process waited in the
** system, which they do no more.
*/
void mproc_inbox_restore(mproc_inbox *in, const mproc_transport *t);

/* Frees what it has. */
void mproc_inbox_clear(mproc_inbox *in);

#endif

/*
** channel.h: whole messages over one handle, without blocking.
**
** Two kinds exist or will: a byte stream with length frames (sockets and POSIX
** pipes; channel_stream.c), and a message-mode named pipe (Windows), where the
** system keeps the boundaries and a transfer that has begun borrows memory
** until it ends. The interface is drawn so that both fit, and nothing above it
** knows which one it holds.
**
** What has been accepted and has not left is held: at most one message that has
** begun to leave, whose bytes stay the caller's, who keeps them unchanged until
** the channel does not hold it any more or is freed; or copies of messages that
** wait to leave together.
*/
#ifndef MPROC_CHANNEL_H
#define MPROC_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/inbox.h"
#include "core/platform.h"
#include "core/scratch.h"
#include "core/status.h"

typedef struct mproc_channel mproc_channel;

typedef struct mproc_channel_ops {
  /*
  ** Begins to send; only while nothing is held.
  ** OK: accepted. If 'held' now says so, part of it still has to be flushed.
  ** AGAIN: not one byte has left, nothing is held. Other: the peer is gone,
  ** or an earlier message was torn and nothing can follow it.
  */
  mproc_status (*send)(mproc_channel *c, mproc_view message);

  /*
  ** Copies a message, to leave with others at the next flush; no system call.
  ** OK: accepted, and held. AGAIN: there is enough to leave, or a message is
  ** half gone: flush first. NOMEM, or as 'send': not accepted.
  */
  mproc_status (*queue)(mproc_channel *c, mproc_view message);

  /* Sends on. OK: nothing is held any more. AGAIN. Other: it is given up. */
  mproc_status (*flush)(mproc_channel *c);

  /* How many bytes of what was accepted, headers and all, have not left yet. */
  size_t (*held)(const mproc_channel *c);

  /*
  ** OK: '*message' is the next one, and stays so until 'pop'.
  ** AGAIN: it is not all here; what is, is kept. Also when much has come and
  ** more may be there at once, so that one peer cannot keep the caller.
  ** BAD_LENGTH: over 'max' or malformed; the stream has lost its place.
  ** EOF, EOF_IN_MESSAGE, a system error. NOMEM: nothing is lost, call again.
  */
  mproc_status (*recv)(mproc_channel *c, uint64_t max, mproc_view *message);

  /* The same, but may wait in the system for as long as 'patience' has it. */
  mproc_status (*recv_waiting)(mproc_channel *c, uint64_t max,
                               const mproc_patience *patience,
                               mproc_view *message);

  /*
  ** The same with the 'room' bytes at 'to' for a payload: where '*placed',
  ** the message is there, and taken. Where it is not OK, what is at 'to' may
  ** have changed.
  */
  mproc_status (*recv_into)(mproc_channel *c, uint64_t max,
                            const mproc_patience *patience, uint8_t *to,
                            size_t room, bool *placed, mproc_view *message);

  /* Whether 'recv' would give '*message' at once, and nothing is held. */
  bool (*next)(const mproc_channel *c, uint64_t max, mproc_view *message);

  /* Drops the message that a receive gave. */
  void (*pop)(mproc_channel *c);

  /*
  ** OK: 'recv' would not say AGAIN. AGAIN: it would. 'readable': whether the
  ** handle was found readable since the last call; without it no system call
  ** is made. A failure it meets is kept for 'recv'.
  */
  mproc_status (*ready)(mproc_channel *c, uint64_t max, bool readable);

  /* Whether nothing is held, nothing of a message is here, and no failure is to
     be told of: all that 'recv' can do is to ask the system. */
  bool (*idle)(const mproc_channel *c);

  /* Whether bytes of incoming messages are held here, not in the system. */
  bool (*buffers)(const mproc_channel *c);

  /* The handle to wait for: MPROC_READ for 'recv', MPROC_WRITE for 'flush'. */
  mproc_handle (*handle)(const mproc_channel *c);

  /* Another process is to have the handle, too: leaves it as it was made. */
  void (*share)(mproc_channel *c);

  /* Frees the channel and gives its handle up, not closed, to the caller; it is
     as it was made. */
  mproc_handle (*detach)(mproc_channel *c);

  /* Frees the channel and closes its handle. */
  void (*free)(mproc_channel *c);
} mproc_channel_ops;

/* The common head of every channel. */
struct mproc_channel {
  const mproc_channel_ops *ops;
};

/* What a channel over a stream may do: bits. */
enum {
  /* take bytes past the message that was asked for; without it, it never takes
     a byte of the next message, and none at all in 'ready' unless part of a
     message is here already */
  MPROC_READAHEAD = 1,
  /* wait in a read of its own, which changes a property of the socket: nobody
     else has it (but for children of fork(2)) */
  MPROC_ALONE = 2,
  /* with that: also wait for a message in a read, not only within one. Measured
     on Linux 6.18, both ends on one processor, a round trip of 64 bytes: over
     TCP that takes 14.0 us where recv, ppoll, recv takes 15.1; over AF_UNIX 9.3
     instead of 8.6, since a limit on the read costs a timer */
  MPROC_BY_READ = 4
};

/*
** A new channel of frames (frame.h) over a stream. OK: '*c' owns 'h', which is
** of that kind; NOMEM: 'h' stays the caller's. 'may': the bits above. 'scratch',
** whose allocator it uses, must outlive the channel.
*/
mproc_status mproc_channel_stream(mproc_scratch *scratch, mproc_handle h,
                                  mproc_handle_kind kind, unsigned may,
                                  mproc_channel **c);

#endif

/*
** opening.h: what leads to an open channel: dialling, or a socket that was
** accepted; then the handshake, where there is a key; all by a deadline.
**
** It exists until that has ended, so that an open connection carries none of it.
*/
#ifndef MPROC_OPENING_H
#define MPROC_OPENING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/address.h"
#include "core/bytes.h"
#include "core/channel.h"
#include "core/context.h"
#include "core/deadline.h"
#include "core/handshake.h"
#include "core/platform.h"
#include "core/status.h"
#include "core/watch.h"

/* Seconds for the handshake where nobody says (CPython, CONNECTION_TIMEOUT). */
#define MPROC_HANDSHAKE_SECONDS 20.0

/* What a user may say about a connection. */
typedef struct mproc_connection_options {
  bool readable;
  bool writable;
  bool readahead;     /* may take bytes past the message asked for */
  bool has_authkey;   /* false: no handshake; an empty key is a key */
  mproc_view authkey; /* copied, and wiped when the handshake ends */
  mproc_handshake_policy policy;
  bool local;           /* the address is AF_UNIX's: there is nothing to tune */
  bool tuned;           /* mproc_os_tune_accepted has seen to it */
  uint64_t max_message; /* bytes; UINT64_MAX: no limit */
  double keepalive;     /* seconds; 0: off */
} mproc_connection_options;

/* What a client may say beyond that. */
typedef struct mproc_dial_options {
  bool retry;     /* try again while no one is listening */
  double timeout; /* seconds for connecting and handshake together; below 0:
                     no limit, then MPROC_HANDSHAKE_SECONDS for the latter */
} mproc_dial_options;

typedef struct mproc_opening mproc_opening;

/*
** The listener's side over an accepted socket 'h': the handshake is to be done by
** 'deadline'. OK: '*out' and '*ch', which owns 'h', are the caller's, and 'ctx'
** must outlive both. NOMEM, AUTH_CRYPTO (mproc_greeting_new): 'h' stays the
** caller's.
*/
mproc_status mproc_opening_accept(mproc_context *ctx, mproc_handle h,
                                  const mproc_connection_options *o,
                                  mproc_time deadline, mproc_opening **out,
                                  mproc_channel **ch);

/*
** The client's side: connects to 'to', of which 'watches' are told before a
** handle is closed. OK: '*out' is the caller's, and 'ctx' must outlive it. NOMEM,
** AUTH_CRYPTO (mproc_greeting_new), what mproc_os_resolve says; all else is told
** by mproc_opening_step.
*/
mproc_status mproc_opening_dial(mproc_context *ctx, const mproc_address *to,
                                const mproc_connection_options *o,
                                const mproc_dial_options *dial,
                                mproc_link *watches, mproc_opening **out);

/*
** Goes on; '*ch' is NULL until there is a connection, then the caller's. OK: it
** is open. AGAIN. NOMEM: nothing is lost, call again. Other: it has failed:
** TIMEOUT (connecting), AUTH_SILENT, AUTH_STALLED, AUTH_..., EOF, ….
*/
mproc_status mproc_opening_step(mproc_opening *p, mproc_channel **ch);

/* What to wait for after AGAIN, with '*ch' as it is; and when to call again in
   any case. */
void mproc_opening_want(const mproc_opening *p, const mproc_channel *ch,
                        mproc_pollitem *item, mproc_time *wake);

/* Moves the deadline by 'by' nanoseconds; false: there is none. */
bool mproc_opening_postpone(mproc_opening *p, mproc_time by);

/* Frees it, wipes its secrets, closes a handle that is still connecting. NULL is
   fine. The channel may live on. */
void mproc_opening_free(mproc_opening *p);

#endif

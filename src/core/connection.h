/*
** connection.h: one end of a conversation in whole messages, from dialling or
** being accepted, through the handshake, to its end:
**
**   OPENING (opening.h) -> OPEN      (or FAILED from either)
**
** Nothing here blocks. What cannot go on says AGAIN, mproc_connection_want
** tells what for, and the same call goes on later. Whoever blocks does so
** between the two.
*/
#ifndef MPROC_CONNECTION_H
#define MPROC_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/address.h"
#include "core/bytes.h"
#include "core/context.h"
#include "core/deadline.h"
#include "core/opening.h"
#include "core/platform.h"
#include "core/status.h"
#include "core/watch.h"

/* ---- connection.c: how it is made, opens, is watched and ends ---- */

/* Readable and writable, no key, no limit, all digests, no read-ahead. */
extern const mproc_connection_options mproc_connection_defaults;

typedef struct mproc_connection mproc_connection;

/*
** An open connection over 'h', which it owns from then on; no handshake.
** NOMEM or a system error (EBADF): 'h' stays the caller's. In this and the
** next two, 'ctx' must outlive '*c', which is the caller's to free.
*/
mproc_status mproc_connection_adopt(mproc_context *ctx, mproc_handle h,
                                    const mproc_connection_options *o,
                                    mproc_connection **c);

/*
** The listener's side over an accepted socket 'h': the handshake is to be done by
** 'deadline'. Errors as in mproc_opening_accept.
*/
mproc_status mproc_connection_greet(mproc_context *ctx, mproc_handle h,
                                    const mproc_connection_options *o,
                                    mproc_time deadline, mproc_connection **c);

/*
** The client's side: connects to 'to'. Fails at once as mproc_opening_dial does; all
** else is told by mproc_connection_step.
*/
mproc_status mproc_connection_dial(mproc_context *ctx, const mproc_address *to,
                                   const mproc_connection_options *o,
                                   const mproc_dial_options *dial,
                                   mproc_connection **c);

/*
** Goes on towards OPEN. OK: it is open. AGAIN. NOMEM: nothing is lost, call
** again. Other: it has failed for good, its handle is closed, and this answer
** stays: TIMEOUT (connecting), AUTH_SILENT, AUTH_STALLED, AUTH_..., EOF, ….
*/
mproc_status mproc_connection_step(mproc_connection *c);

/* Moves the deadline of a handshake by 'by' nanoseconds. */
void mproc_connection_postpone(mproc_connection *c, mproc_time by);

/*
** What a connection that said AGAIN waits for. 'events' is MPROC_READ for a
** receive, MPROC_WRITE for a send or flush, and that is added while something
** is held; while it is not open, what mproc_connection_step waits for is asked
** instead. '*wake': when to call again in any case.
*/
void mproc_connection_want(const mproc_connection *c, uint8_t events,
                           mproc_pollitem *item, mproc_time *wake);

/*
** Whether 'item', which mproc_connection_want made and mproc_os_poll has seen,
** means "readable" to mproc_connection_ready.
*/
bool mproc_connection_is_touched(const mproc_connection *c,
                                 const mproc_pollitem *item);

/*
** Who watches it (mproc_watch): is told of all that changes what it waits for,
** or what it has buffered.
*/
mproc_link *mproc_connection_watches(mproc_connection *c);

/* Ends all watches: it changes hands. */
void mproc_connection_unwatch(mproc_connection *c);

/*
** Whether it has come to OPEN and nobody has heard of that: of a client whose
** user does not wait for it, once mproc_connection_announce was called and until
** mproc_connection_heard is.
*/
bool mproc_connection_has_news(const mproc_connection *c);
void mproc_connection_announce(mproc_connection *c);
void mproc_connection_heard(mproc_connection *c);

/*
** A note for pollers: for as long as it is not open, somebody else waits for its
** handle and steps it.
*/
void mproc_connection_reserve(mproc_connection *c, bool reserved);
bool mproc_connection_is_reserved(const mproc_connection *c);

/* Whether mproc_connection_step has come to OK. */
bool mproc_connection_is_open(const mproc_connection *c);

/*
** Whether it has no handle any more: it failed, or was read to its ruin. False
** while it is connecting.
*/
bool mproc_connection_is_closed(const mproc_connection *c);

/* Whether it was made readable; false after BAD_LENGTH, where that has not
   closed it. */
bool mproc_connection_is_readable(const mproc_connection *c);

/* Its handle, still its own; MPROC_NO_HANDLE while connecting or closed. */
mproc_handle mproc_connection_handle(const mproc_connection *c);

/*
** Another process is to have its handle, too: leaves that as it was made
** (mproc_os_set_read_limit), for good.
*/
void mproc_connection_share(mproc_connection *c);

/* Frees it and gives its handle up to the caller, as it was made. */
mproc_handle mproc_connection_detach(mproc_connection *c);

/* Frees it, closes its handle, wipes its secrets. NULL is fine. */
void mproc_connection_free(mproc_connection *c);

/* ---- connection_messages.c: what it sends and receives ---- */

/* Longer messages are not worth copying. */
#define MPROC_COPY_MAX 16384

/*
** Begins to send; the connection is open and holds nothing. Statuses and the
** life of 'message' as in mproc_channel_ops.send. A message that is held goes
** on in every later call, also those that receive; a failure that these meet is
** told by the next send or flush. In a child of fork(2) its parent's message is
** not held, and sending while that is under way is NOT_OURS.
*/
mproc_status mproc_connection_send(mproc_connection *c, mproc_view message);

/*
** Copies short messages, to leave together in one system call: when enough are
** held, at the next flush, or before the connection says AGAIN to a receive. A
** long one (over MPROC_COPY_MAX) is sent as by mproc_connection_send, after what
** is held, and ends the call, so that it is the last one that was accepted.
** '*accepted', in every outcome: how many of the 'n' were, from the first on.
** OK: at least one (or n is 0). AGAIN: too much is held and cannot leave now.
** Other statuses as in mproc_connection_send; NOMEM.
*/
mproc_status mproc_connection_queue(mproc_connection *c,
                                    const mproc_view *messages, size_t n,
                                    size_t *accepted);

/*
** Corked: mproc_connection_send is mproc_connection_queue of that message. To
** uncork sends nothing: mproc_connection_flush does.
*/
void mproc_connection_cork(mproc_connection *c, bool corked);
bool mproc_connection_is_corked(const mproc_connection *c);

/*
** Sends what is held. OK: nothing is held. AGAIN: something is. Other: the
** failure, also one that a receive met, which is told here, once; what was held
** is given up.
*/
mproc_status mproc_connection_flush(mproc_connection *c);

/* Whether something was accepted that has not left, in this process. */
bool mproc_connection_holds(const mproc_connection *c);

/* How many bytes of that there are, headers and all. */
size_t mproc_connection_held(const mproc_connection *c);

/*
** The next message, of at most 'max' bytes and at most the connection's
** max_message; '*message' lives until mproc_connection_pop. The connection is
** open. Statuses as in mproc_channel_ops.recv. After BAD_LENGTH it is not
** readable any more, closed if it was read-only, and every call says
** BAD_LENGTH again. AUTH_UNASKED: the first message that came is a listener's
** challenge and there is no key; '*message' is it.
*/
mproc_status mproc_connection_recv(mproc_connection *c, uint64_t max,
                                   mproc_view *message);

/*
** How long a receive may take from now on: 'seconds', as a rule, up to infinity
** (as it is at first). It has no limit of its own for that; it lets the receives
** below wait in steps that suit it.
*/
void mproc_connection_settimeout(mproc_connection *c, double seconds);

/*
** mproc_connection_recv, but it may wait in the system until 'deadline' (0: it
** does not wait) where that saves calls: on a socket that nobody else has, with
** nothing held; 'begun': only for the rest of a message that has begun. AGAIN: no
** message yet, whatever the time, or a signal came.
*/
mproc_status mproc_connection_recv_waiting(mproc_connection *c, uint64_t max,
                                           mproc_time deadline, bool begun,
                                           mproc_view *message);

/*
** The same with the 'room' bytes at 'to' for the payload. '*placed': the message
** is there, and is taken; otherwise it is elsewhere until mproc_connection_pop.
** Where it is not OK, what is at 'to' may have changed.
*/
mproc_status mproc_connection_recv_into(mproc_connection *c,
                                        mproc_time deadline, bool begun,
                                        uint8_t *to, size_t room, bool *placed,
                                        mproc_view *message);

/*
** Whether a receive has nothing to do but to give '*message': that is here, whole,
** nothing is to be sent on or told of, and the fast paths are not off.
*/
bool mproc_connection_next(const mproc_connection *c, mproc_view *message);

/* Drops the message that a receive gave. */
void mproc_connection_pop(mproc_connection *c);

/*
** OK: a receive would not say AGAIN (also: a client's failure to connect).
** AGAIN: it would. 'readable' as in mproc_channel_ops.ready.
*/
mproc_status mproc_connection_ready(mproc_connection *c, bool readable);

/*
** Whether all that a receive can do is to ask the system, or to wait for it: the
** connection is open, nothing of a message is here, nothing is held, and there is
** no failure to tell of.
*/
bool mproc_connection_is_idle(const mproc_connection *c);

/* Whether bytes that came are held here, and not in the system. */
bool mproc_connection_buffers(const mproc_connection *c);

/* ---- connection_handles.c: the handles that it passes ---- */

/*
** Sends a handle of what 'passed' is, as mproc_os_send_handle does, after what
** is held was flushed; the connection is open, over a socket for which
** mproc_os_passes_handles is true. AGAIN: it has not left. BUFFERED: bytes that
** came are held here. mproc_connection_settle has to come to OK afterwards.
*/
mproc_status mproc_connection_send_handle(mproc_connection *c,
                                          mproc_handle passed);

/*
** OK: no handle that was sent waits for its acknowledgement (as on most
** systems). AGAIN: it has not come; later receives wait for it. BAD_LENGTH:
** another byte came, and the stream has lost its place.
*/
mproc_status mproc_connection_settle(mproc_connection *c);

/*
** Receives a handle, which is the caller's, over such a connection. Statuses as
** in mproc_os_recv_handle; BUFFERED, too: nothing is taken.
*/
mproc_status mproc_connection_recv_handle(mproc_connection *c,
                                          mproc_handle *passed);

#endif

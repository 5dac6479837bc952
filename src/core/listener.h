/*
** listener.h: a bound address whose peers are greeted side by side.
**
** Each peer that connects becomes a pending connection with a deadline of its
** own; whichever ends its handshake first, well or badly, is taken first. So a
** silent or slow peer delays nobody. A listener works only while somebody calls
** mproc_listener_step; the time in between is not held against the peers, but
** for a small part of it, lest a busy program never lose a silent one.
*/
#ifndef MPROC_LISTENER_H
#define MPROC_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/address.h"
#include "core/connection.h"
#include "core/context.h"
#include "core/deadline.h"
#include "core/platform.h"
#include "core/status.h"
#include "core/watch.h"

/*
** How many peers may be pending. Further ones wait in the system's backlog,
** except that a peer which has had a second to speak makes room for a new one.
*/
#define MPROC_LISTENER_PENDING_MAX 128

/* What a user may say about a listener. */
typedef struct mproc_listener_options {
  mproc_listen_options socket;
  mproc_connection_options connection; /* the key is copied, wiped at the end */
  double timeout;                      /* seconds for a handshake */
  const uint32_t *allow; /* user ids of AF_UNIX peers; copied. NULL: anyone */
  size_t allow_count;
} mproc_listener_options;

typedef struct mproc_listener mproc_listener;

/*
** Binds and listens. 'at' NULL: a fresh address of 'family' (NONE: the
** platform's default): a socket file in a private directory, or port 0.
** OK: '*l' is the caller's; 'ctx' must outlive it. Otherwise nothing is left:
** NOMEM, PATH_TOO_LONG, a gai status, a system error (EADDRINUSE, EACCES, …).
*/
mproc_status mproc_listener_new(mproc_context *ctx, const mproc_address *at,
                                mproc_family family,
                                const mproc_listener_options *o,
                                mproc_listener **l);

/*
** Accepts who has connected and goes on with every handshake. 'attended': the
** caller has waited for what mproc_listener_want says since the last step;
** without it, the time since then is not counted against the peers. 'called':
** somebody may have connected, see mproc_listener_is_called.
** OK: somebody can be taken. AGAIN: nobody. Other: the system cannot accept
** (EMFILE, …), NOMEM, or AUTH_CRYPTO (mproc_greeting_new); the listener stands.
*/
mproc_status mproc_listener_step(mproc_listener *l, bool attended, bool called);

/*
** Whether the listening handle is ready among 'items', which mproc_listener_want
** wrote and mproc_os_poll has seen: asking for peers in vain costs as much as
** accepting one.
*/
bool mproc_listener_is_called(const mproc_listener *l,
                              const mproc_pollitem *items, size_t n);

/* A peer whose handshake has ended. */
typedef struct mproc_accepted {
  mproc_status status;          /* how it ended */
  mproc_connection *connection; /* the caller's; NULL unless 'status' is OK */
  mproc_sockaddr peer;          /* who it is: mproc_os_address */
} mproc_accepted;

/* Whether somebody can be taken; no system call. */
bool mproc_listener_has(const mproc_listener *l);

/* Takes the one that ended first; only after mproc_listener_has. */
void mproc_listener_take(mproc_listener *l, mproc_accepted *a);

/*
** What a listener that said AGAIN waits for: writes at most 'max' items, of
** mproc_listener_want_count(l), and returns how many; any of them ready, or
** '*wake' come: step again.
*/
size_t mproc_listener_want(const mproc_listener *l, mproc_pollitem *items,
                           size_t max, mproc_time *wake);
size_t mproc_listener_want_count(const mproc_listener *l);

/*
** For who waits again and again: what it waits for by itself ('item' has no
** events while there is no room), and the peers whose handshakes are under way,
** from 0 on: any of them ready: step again.
*/
void mproc_listener_want_own(const mproc_listener *l, mproc_pollitem *item,
                             mproc_time *wake);
size_t mproc_listener_pending(const mproc_listener *l);
mproc_connection *mproc_listener_peer(const mproc_listener *l, size_t i);

/*
** The two ends of a time in which nobody waited: 'leave', and then 'back', which
** does not count it against the peers. mproc_listener_step calls both.
*/
void mproc_listener_leave(mproc_listener *l);
void mproc_listener_back(mproc_listener *l);

/* As mproc_connection_watches: who is pending may have changed. */
mproc_link *mproc_listener_watches(mproc_listener *l);

/* The address as bound; lives as long as 'l'. */
const mproc_address *mproc_listener_address(const mproc_listener *l);

/* The address of the last peer that was taken well; false: none, or unnamed. */
bool mproc_listener_last_accepted(const mproc_listener *l, mproc_address *out);

/* The socket it listens on, still its own. */
mproc_handle mproc_listener_handle(const mproc_listener *l);

/*
** Closes it and every pending peer, wipes its key, and unlinks its socket file
** (and private directory) if this process made it and it is still the same.
** NULL is fine.
*/
void mproc_listener_free(mproc_listener *l);

#endif

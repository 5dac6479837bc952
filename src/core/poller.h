/*
** poller.h: which of many objects are ready, at a cost that grows with those and
** not with how many are watched.
**
** A look goes through the objects that were touched since the last one (watch.h)
** and asks the system once for the others. What is found ready is taken one by
** one, and told again by later looks for as long as it is ready. An object that
** ends drops out by itself.
*/
#ifndef MPROC_POLLER_H
#define MPROC_POLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/connection.h"
#include "core/deadline.h"
#include "core/listener.h"
#include "core/platform.h"
#include "core/status.h"

typedef struct mproc_poller mproc_poller;
typedef struct mproc_polled mproc_polled; /* an object in a poller */

/* A new one, the caller's. NOMEM; a system error (EMFILE). 'a' must outlive
   it. */
mproc_status mproc_poller_new(const mproc_allocator *a, mproc_poller **p);

/* Frees it; what it watches goes on without it. NULL is fine. */
void mproc_poller_free(mproc_poller *p);

/* ---- poller_objects.c: what is in it ---- */

/*
** Watch an object. 'id' is what the poller calls it. OK: '*e' is the poller's,
** until mproc_poller_remove or mproc_poller_take_ended. Otherwise nothing has
** changed: NOMEM; a system error (EBADF, ENOSPC). A connection is readable; 'q'
** does not reach 'p'; 'h' has 'events' to wait for, and is ready in any case
** once 'wake' has come.
*/
mproc_status mproc_poller_add_connection(mproc_poller *p, mproc_connection *c,
                                         int64_t id, mproc_polled **e);
mproc_status mproc_poller_add_listener(mproc_poller *p, mproc_listener *l,
                                       int64_t id, mproc_polled **e);
mproc_status mproc_poller_add_poller(mproc_poller *p, mproc_poller *q,
                                     int64_t id, mproc_polled **e);
mproc_status mproc_poller_add_handle(mproc_poller *p, mproc_handle h,
                                     uint8_t events, mproc_time wake,
                                     int64_t id, mproc_polled **e);

/* Whether 'p' watches 'c' already. */
bool mproc_poller_has_connection(const mproc_poller *p, mproc_connection *c);

/* Whether 'p' is 'q', or watches it, or one that does …. */
bool mproc_poller_reaches(const mproc_poller *p, const mproc_poller *q);

/*
** Changes what a handle's entry waits for. 'again': even if it is the same: the
** number may name another handle now. Statuses of adding; then the entry waits
** for nothing.
*/
mproc_status mproc_poller_change(mproc_polled *e, mproc_handle h,
                                 uint8_t events, mproc_time wake, bool again);

/* When it is ready in any case. */
mproc_time mproc_poller_deadline(const mproc_polled *e);

/* The next look finds the entry of a handle ready, whatever the handle says. */
void mproc_poller_mark(mproc_polled *e);

/* Drops a handle's entry, as if its object had ended. */
void mproc_poller_end(mproc_polled *e);

/* Watches it no more, and frees the entry. */
void mproc_poller_remove(mproc_polled *e);

/* What it was added as. */
int64_t mproc_poller_id(const mproc_polled *e);

/* Frees the entry of an object that has ended; false: there is none. */
bool mproc_poller_take_ended(mproc_poller *p, int64_t *id);

/* How many objects it watches. */
size_t mproc_poller_count(const mproc_poller *p);

/* ---- poller.c: looking ---- */

/*
** Looks; where nothing is ready, it may wait for that until 'deadline' (0: not at
** all) or a signal. What was ready before and not taken is looked at anew.
** 'attended': the caller has waited, for what mproc_poller_want says, since the
** last look (mproc_listener_step). OK, ready or not. NOMEM or a system error:
** nothing is lost, look again.
*/
mproc_status mproc_poller_look(mproc_poller *p, bool attended,
                               mproc_time deadline);

/*
** The same without waiting, but asks the system only where something is ready that
** was touched: a look that has found nothing may have missed some, one that has
** found something has found all. For a caller that looks again soon.
*/
mproc_status mproc_poller_glance(mproc_poller *p, bool attended);

/* Whether more may be ready than the last look has found: it takes some at a
   time, for others to have their turn. */
bool mproc_poller_is_full(const mproc_poller *p);

/*
** Looks only at what was touched, without the system call: for a loop that waits for
** the handle (mproc_poller_entrust).
*/
mproc_status mproc_poller_settle(mproc_poller *p);

/* Whether something is ready, by the last look, and how much; takes one of it. */
bool mproc_poller_has(const mproc_poller *p);
size_t mproc_poller_ready_count(const mproc_poller *p);
bool mproc_poller_take(mproc_poller *p, int64_t *id);

/*
** What to wait for before the next look, as mproc_pollset_want has it; and when
** to look in any case.
*/
size_t mproc_poller_want(const mproc_poller *p, mproc_pollitem *items,
                         size_t max);
size_t mproc_poller_want_count(const mproc_poller *p);
mproc_time mproc_poller_wake(const mproc_poller *p);

/* The handle that it waits for itself, or MPROC_NO_HANDLE. */
mproc_handle mproc_poller_handle(const mproc_poller *p);

/*
** Has that handle readable whenever a look may find something, also for what is
** buffered here: for a loop that waits for it before the next look. From then on
** that costs a system call at times. OK; NOMEM; a system error.
*/
mproc_status mproc_poller_entrust(mproc_poller *p);

/*
** The same for others to have the handle and wait for it as they like: their
** waiting counts as the program's. OK, with MPROC_NO_HANDLE where there is none
** (poll(2)).
*/
mproc_status mproc_poller_export(mproc_poller *p, mproc_handle *h);

#endif

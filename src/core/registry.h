/*
** registry.h: wishes for handles, kept in one pollset. Several wishes may be for
** the same handle; a handle that is closed and opened again is another.
*/
#ifndef MPROC_REGISTRY_H
#define MPROC_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/list.h"
#include "core/platform.h"
#include "core/status.h"

typedef struct mproc_registered mproc_registered; /* one handle */

/* What somebody wants to know of one handle; all are told apart by 'owner'. */
typedef struct mproc_wish {
  mproc_link link;          /* among those for the same handle */
  mproc_link due;           /* among those that came true */
  mproc_registered *handle; /* NULL: for none */
  void *owner;              /* who has it */
  uint8_t events;           /* MPROC_READ | MPROC_WRITE */
  uint8_t ready;            /* what of them has come; the owner clears it */
} mproc_wish;

typedef struct mproc_registry mproc_registry;

/* A new one, the caller's. NOMEM; a system error. 'a' must outlive it. */
mproc_status mproc_registry_new(const mproc_allocator *a, mproc_registry **r);

/* Frees it; the wishes in it are for nothing then. NULL is fine. */
void mproc_registry_free(mproc_registry *r);

/* Makes 'w' a wish for nothing. */
void mproc_wish_init(mproc_wish *w, void *owner);

/*
** Changes what 'w' is for. No handle, or no events: nothing. 'again': also where
** it is for that already; the handle may have become another. Not OK: for
** nothing; statuses of mproc_pollset_set.
*/
mproc_status mproc_registry_set(mproc_registry *r, mproc_wish *w,
                                mproc_handle h, uint8_t events, bool again);

/*
** Asks the system again where it has refused what 'w' is for. Statuses of
** mproc_pollset_set; where not OK, the wish stays, and does not come true.
*/
mproc_status mproc_registry_again(mproc_registry *r, const mproc_wish *w);

/* Makes it a wish for nothing. */
void mproc_registry_leave(mproc_registry *r, mproc_wish *w);

/* The same for all wishes for its handle, which is about to be closed. */
void mproc_registry_release(mproc_registry *r, mproc_wish *w);

/*
** Looks what is ready, and waits for something until 'deadline' or a signal:
** appends the wishes that came true to 'due'. '*stale': the system tells of
** handles that are here no more, and goes on to do so until
** mproc_registry_renew. '*full': there may be more. OK, or a status of
** mproc_pollset_wait.
*/
mproc_status mproc_registry_look(mproc_registry *r, mproc_time deadline,
                                 mproc_link *due, bool *stale, bool *full);

/* Whether it has to be renewed: mproc_pollset_is_inherited. */
bool mproc_registry_is_inherited(const mproc_registry *r);

/*
** Begins with a new pollset, of the same wishes. Those that it does not take do
** not come true; unless their handle was closed, they are appended to 'due', for
** mproc_registry_set or mproc_registry_again. Not OK: as it was, statuses of
** mproc_pollset_new.
*/
mproc_status mproc_registry_renew(mproc_registry *r, mproc_link *due);

/* Its pollset, to wait for. */
mproc_pollset *mproc_registry_pollset(const mproc_registry *r);

#endif

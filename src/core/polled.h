/*
** polled.h: what poller.c, poller_objects.c and polled.c share: a poller and its
** entries, each of which follows what one object waits for.
*/
#ifndef MPROC_POLLED_H
#define MPROC_POLLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/list.h"
#include "core/poller.h"
#include "core/registry.h"
#include "core/watch.h"

/* What an entry watches. */
typedef enum mproc_polled_kind {
  MPROC_POLLED_CONNECTION,
  MPROC_POLLED_PEER, /* a connection whose handshake a listener has under way */
  MPROC_POLLED_LISTENER,
  MPROC_POLLED_POLLER,
  MPROC_POLLED_HANDLE
} mproc_polled_kind;

/* That object, by kind; a handle is in the wish only. */
typedef union mproc_polled_object {
  mproc_connection *connection; /* a peer's, too */
  mproc_listener *listener;
  mproc_poller *poller;
} mproc_polled_object;

struct mproc_polled {
  mproc_watch watch; /* of the object; a handle has none */
  mproc_link queue;  /* in one of the poller's queues, or in none */
  mproc_link timed;  /* among those with a deadline */
  mproc_link same;   /* among the poller's listeners, pollers or others, or the
                        listener's peers */
  mproc_link peers;  /* of a listener: the entries of its peers */
  mproc_wish wish;
  mproc_poller *poller;
  mproc_polled *listener; /* of a peer: whose */
  mproc_polled_object object;
  int64_t id;
  mproc_time deadline; /* MPROC_NEVER, or it is among the timed */
  uint8_t kind;
  bool ended;   /* the object has; or, of a handle, whoever asked for it */
  bool late;    /* its deadline has passed */
  bool marked;  /* see mproc_poller_mark */
  bool refused; /* the system does not watch it */
};

struct mproc_poller {
  const mproc_allocator *allocator;
  mproc_registry *registry;
  mproc_link watches; /* of the pollers that watch this one */
  mproc_link others;  /* all entries, by kind: */
  mproc_link listeners;
  mproc_link pollers;
  mproc_link touched; /* to be looked at */
  mproc_link ready;   /* to be taken */
  mproc_link ended;
  mproc_link timed;
  size_t count;
  bool signals;  /* its handle tells of what is buffered, too */
  bool exported; /* others wait for that, as they like */
  bool full;     /* the last look may have left some */
};

/* ---- polled.c ---- */

/* A new entry, in no list and for no object; NULL: no memory. */
mproc_polled *mproc_polled_new(mproc_poller *p, mproc_polled_kind kind,
                               int64_t id);

/* Takes it out of all lists and frees it; mproc_polled_free_peers before. */
void mproc_polled_free(mproc_polled *e);
void mproc_polled_free_peers(mproc_polled *e);

/* Whether 'w' is of an entry of 'p'. */
bool mproc_polled_is_of(const mproc_watch *w, const mproc_poller *p);

/* Its object is here no more: whoever added it has to hear of that. */
void mproc_polled_end(mproc_polled *e);

/* It is to be looked at. */
void mproc_polled_touch(mproc_polled *e);

/* It is due at 'deadline' in any case; MPROC_NEVER: at none. */
void mproc_polled_set_deadline(mproc_polled *e, mproc_time deadline);

/*
** Waits from now on for what the object waits for. Statuses of
** mproc_registry_set.
*/
mproc_status mproc_polled_follow(mproc_polled *e);

/*
** Looks at the object, and puts the entry into the queue of those that are
** ready, or into none. OK; NOMEM: it stays touched, for the next time.
*/
mproc_status mproc_polled_visit(mproc_polled *e);

/* Whether it is a poller without a handle, which must be asked each time. */
bool mproc_polled_is_mute(const mproc_polled *e);

/* ---- poller.c ---- */

/*
** After fork(2): gives it a set of its own, and the pollers in it, whose handles
** are in that. To be called first by whatever asks the system. OK; NOMEM or a
** system error, for the next time.
*/
mproc_status mproc_poller_claim(mproc_poller *p);

/* Keeps a handle that signals readable for as long as somebody should look. */
void mproc_poller_update_signal(mproc_poller *p);

/* mproc_poller_look, for a poller that is in another one. */
mproc_status mproc_poller_look_inside(mproc_poller *p);

#endif

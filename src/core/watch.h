/*
** watch.h: how an object that can be waited for (a connection, a listener, a
** poller) tells those who watch it that what it waits for, or what it has
** buffered, may have changed.
*/
#ifndef MPROC_WATCH_H
#define MPROC_WATCH_H

#include "core/list.h"

typedef enum mproc_news {
  MPROC_TOUCHED,  /* look again, at the next occasion */
  MPROC_RELEASED, /* it is about to close its handle: forget that; look again */
  MPROC_ENDED     /* it is about to end, or to go elsewhere: forget it, too */
} mproc_news;

/* Somebody's interest in one object; owned by who watches. */
typedef struct mproc_watch mproc_watch;
struct mproc_watch {
  mproc_link link; /* among the watches of the object */
  /* Makes a note and returns; calls nothing of the object. */
  void (*tell)(mproc_watch *w, mproc_news news);
};

/* Tells all who watch an object, whose list this is. */
static inline void mproc_watch_tell(mproc_link *watches, mproc_news news) {
  mproc_link *next;
  for (mproc_link *l = watches->next; l != watches; l = next) {
    mproc_watch *w = MPROC_LISTED(l, mproc_watch, link);
    next = l->next; /* it may leave the list */
    w->tell(w, news);
  }
}

#endif

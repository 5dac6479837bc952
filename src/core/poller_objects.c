/*
** poller_objects.c: the objects of a poller: added, changed and removed.
*/
#include "core/polled.h"

/* ---- adding ---- */

/* Adds the object to 'list' of 'p', and tells its 'watches' so. */
static mproc_status add(mproc_poller *p, mproc_polled_kind kind,
                        mproc_polled_object object, mproc_link *list,
                        mproc_link *watches, int64_t id, mproc_polled **out) {
  mproc_polled *e = mproc_polled_new(p, kind, id);
  mproc_status st;
  if (e == NULL)
    return MPROC_NOMEM;
  e->object = object;
  mproc_list_append(list, &e->same);
  st = mproc_poller_claim(p);
  if (st == MPROC_OK)
    st = mproc_polled_follow(e);
  if (st != MPROC_OK) {
    mproc_polled_free_peers(e);
    mproc_polled_free(e);
    return st;
  }
  mproc_list_append(watches, &e->watch.link);
  p->count++;
  mproc_polled_touch(e); /* something may be buffered */
  *out = e;
  return MPROC_OK;
}

mproc_status mproc_poller_add_connection(mproc_poller *p, mproc_connection *c,
                                         int64_t id, mproc_polled **out) {
  mproc_polled_object object;
  object.connection = c;
  return add(p, MPROC_POLLED_CONNECTION, object, &p->others,
             mproc_connection_watches(c), id, out);
}

mproc_status mproc_poller_add_listener(mproc_poller *p, mproc_listener *l,
                                       int64_t id, mproc_polled **out) {
  mproc_polled_object object;
  object.listener = l;
  return add(p, MPROC_POLLED_LISTENER, object, &p->listeners,
             mproc_listener_watches(l), id, out);
}

mproc_status mproc_poller_add_poller(mproc_poller *p, mproc_poller *q,
                                     int64_t id, mproc_polled **out) {
  mproc_polled_object object;
  mproc_status st = mproc_poller_claim(q);
  object.poller = q;
  if (st != MPROC_OK)
    return st;
  return add(p, MPROC_POLLED_POLLER, object, &p->pollers, &q->watches, id, out);
}

mproc_status mproc_poller_add_handle(mproc_poller *p, mproc_handle h,
                                     uint8_t events, mproc_time wake,
                                     int64_t id, mproc_polled **out) {
  mproc_polled *e = mproc_polled_new(p, MPROC_POLLED_HANDLE, id);
  mproc_status st;
  if (e == NULL)
    return MPROC_NOMEM;
  mproc_list_append(&p->others, &e->same);
  st = mproc_poller_change(e, h, events, wake, true);
  if (st != MPROC_OK) {
    mproc_polled_free(e);
    return st;
  }
  p->count++;
  *out = e;
  return MPROC_OK;
}

/* ---- changing and removing ---- */

mproc_status mproc_poller_change(mproc_polled *e, mproc_handle h,
                                 uint8_t events, mproc_time wake, bool again) {
  mproc_status st = mproc_poller_claim(e->poller);
  if (st != MPROC_OK)
    return st;
  if (e->deadline != wake) { /* which no handle tells a poller around it */
    mproc_polled_set_deadline(e, wake);
    mproc_watch_tell(&e->poller->watches, MPROC_TOUCHED);
  }
  return mproc_registry_set(e->poller->registry, &e->wish, h, events, again);
}

mproc_time mproc_poller_deadline(const mproc_polled *e) {
  return e->deadline;
}

void mproc_poller_mark(mproc_polled *e) {
  e->marked = true;
  mproc_polled_touch(e);
}

void mproc_poller_end(mproc_polled *e) {
  mproc_polled_end(e);
}

void mproc_poller_remove(mproc_polled *e) {
  if (!e->ended)
    e->poller->count--;
  mproc_polled_free_peers(e);
  mproc_polled_free(e);
}

int64_t mproc_poller_id(const mproc_polled *e) {
  return e->id;
}

bool mproc_poller_take_ended(mproc_poller *p, int64_t *id) {
  mproc_polled *e;
  if (mproc_list_is_empty(&p->ended))
    return false;
  e = MPROC_LISTED(p->ended.next, mproc_polled, queue);
  *id = e->id;
  mproc_polled_free(e);
  return true;
}

/* ---- what is in it ---- */

bool mproc_poller_has_connection(const mproc_poller *p, mproc_connection *c) {
  const mproc_link *watches = mproc_connection_watches(c);
  for (const mproc_link *l = watches->next; l != watches; l = l->next)
    if (mproc_polled_is_of(MPROC_LISTED(l, mproc_watch, link), p))
      return true;
  return false;
}

bool mproc_poller_reaches(const mproc_poller *p, const mproc_poller *q) {
  if (p == q)
    return true;
  for (const mproc_link *l = p->pollers.next; l != &p->pollers; l = l->next)
    if (mproc_poller_reaches(MPROC_LISTED(l, mproc_polled, same)->object.poller,
                             q))
      return true;
  return false;
}

size_t mproc_poller_count(const mproc_poller *p) {
  return p->count;
}

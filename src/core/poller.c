/*
** poller.c: the queues of a poller's entries, and who is looked at when.
*/
#include "core/polled.h"

void mproc_poller_update_signal(mproc_poller *p) {
  if (p->signals) {
    bool on =
        !mproc_list_is_empty(&p->touched) || !mproc_list_is_empty(&p->ready);
    /* it can fail only where the system is out of memory */
    mproc_pollset_signal(mproc_registry_pollset(p->registry), on);
  }
}

/* ---- looking ---- */

static mproc_status renew(mproc_poller *p) {
  mproc_link refused;
  mproc_status st;
  mproc_list_init(&refused);
  mproc_watch_tell(&p->watches, MPROC_RELEASED);
  st = mproc_registry_renew(p->registry, &refused);
  while (!mproc_list_is_empty(&refused)) {
    mproc_wish *w = MPROC_LISTED(refused.next, mproc_wish, due);
    mproc_list_remove(&w->due);
    mproc_polled_touch((mproc_polled *)w->owner);
  }
  mproc_poller_update_signal(p);
  return st;
}

/* After fork(2): a set of our own, also of the pollers in this one, whose
   handles are in it. */
static mproc_status claim(mproc_poller *p) {
  mproc_status st = MPROC_OK;
  if (!mproc_registry_is_inherited(p->registry))
    return MPROC_OK;
  for (mproc_link *l = p->pollers.next; l != &p->pollers; l = l->next) {
    st = claim(MPROC_LISTED(l, mproc_polled, same)->object.poller);
    if (st != MPROC_OK)
      return st;
  }
  return renew(p);
}

/* All that is touched now; what is touched on the way comes later. */
static mproc_status visit_touched(mproc_poller *p) {
  mproc_link batch;
  mproc_status st = MPROC_OK;
  mproc_list_init(&batch);
  mproc_list_move(&batch, &p->touched);
  while (st == MPROC_OK && !mproc_list_is_empty(&batch)) {
    mproc_polled *e = MPROC_LISTED(batch.next, mproc_polled, queue);
    mproc_list_remove(&e->queue);
    st = mproc_polled_visit(e);
  }
  mproc_list_move(&p->touched, &batch);
  return st;
}

/* Those whose deadline has come are due. */
static void find_late(mproc_poller *p, mproc_link *due) {
  mproc_time now;
  if (mproc_list_is_empty(&p->timed))
    return;
  now = mproc_os_now();
  for (mproc_link *l = p->timed.next; l != &p->timed; l = l->next) {
    mproc_polled *e = MPROC_LISTED(l, mproc_polled, timed);
    if (e->deadline <= now) {
      e->late = true;
      mproc_list_append(due, &e->wish.due);
    }
  }
}

static mproc_status visit_due(mproc_link *due) {
  mproc_status st = MPROC_OK;
  while (!mproc_list_is_empty(due)) {
    mproc_wish *w = MPROC_LISTED(due->next, mproc_wish, due);
    mproc_status one = mproc_polled_visit((mproc_polled *)w->owner);
    if (one != MPROC_OK)
      st = one; /* the system tells of it again */
  }
  return st;
}

/* Whether all that it watches is in its own set: nothing has to be asked first. */
static bool is_whole(const mproc_poller *p) {
  for (const mproc_link *l = p->pollers.next; l != &p->pollers; l = l->next)
    if (mproc_polled_is_mute(MPROC_LISTED(l, mproc_polled, same)))
      return false;
  return true;
}

/* The system's part of a look. */
static mproc_status ask(mproc_poller *p, mproc_time deadline) {
  mproc_link due;
  bool stale = false;
  mproc_status st, asked;
  mproc_list_init(&due);
  find_late(p, &due);
  deadline = mproc_deadline_min(deadline, mproc_poller_wake(p));
  if (mproc_poller_has(p) || !mproc_list_is_empty(&due) || !is_whole(p))
    deadline = 0;
  asked = mproc_registry_look(p->registry, deadline, &due, &stale, &p->full);
  st = visit_due(&due);
  if (st == MPROC_OK)
    st = visit_touched(p); /* listeners whose peers have news */
  if (stale)
    renew(p); /* or later, when there is a descriptor for it */
  return st == MPROC_OK ? asked : st;
}

static void look_anew(mproc_poller *p) {
  mproc_list_move(&p->touched, &p->ready);
}

static mproc_status look(mproc_poller *p, mproc_time deadline) {
  mproc_status st;
  look_anew(p);
  st = visit_touched(p);
  return st == MPROC_OK ? ask(p, deadline) : st;
}

mproc_status mproc_poller_look_inside(mproc_poller *p) {
  return look(p, 0);
}

/* mproc_listener_back or mproc_listener_leave, for all that are inside. */
static void each_listener(const mproc_poller *p, void (*f)(mproc_listener *)) {
  const mproc_link *l;
  for (l = p->listeners.next; l != &p->listeners; l = l->next)
    f(MPROC_LISTED(l, mproc_polled, same)->object.listener);
  for (l = p->pollers.next; l != &p->pollers; l = l->next)
    each_listener(MPROC_LISTED(l, mproc_polled, same)->object.poller, f);
}

mproc_status mproc_poller_look(mproc_poller *p, bool attended,
                               mproc_time deadline) {
  mproc_status st = claim(p);
  if (st != MPROC_OK)
    return st;
  if (!attended && !p->exported)
    each_listener(p, mproc_listener_back);
  st = look(p, deadline);
  mproc_poller_update_signal(p);
  each_listener(p, mproc_listener_leave);
  return st;
}

mproc_status mproc_poller_settle(mproc_poller *p) {
  mproc_status st = claim(p);
  if (st != MPROC_OK)
    return st;
  look_anew(p);
  st = visit_touched(p);
  mproc_poller_update_signal(p);
  return st;
}

bool mproc_poller_has(const mproc_poller *p) {
  return !mproc_list_is_empty(&p->ready);
}

size_t mproc_poller_ready_count(const mproc_poller *p) {
  size_t n = 0;
  for (const mproc_link *l = p->ready.next; l != &p->ready; l = l->next)
    n++;
  return n;
}

bool mproc_poller_is_full(const mproc_poller *p) {
  return p->full;
}

bool mproc_poller_take(mproc_poller *p, int64_t *id) {
  mproc_polled *e;
  if (!mproc_poller_has(p))
    return false;
  e = MPROC_LISTED(p->ready.next, mproc_polled, queue);
  mproc_list_remove(&e->queue);
  *id = e->id;
  /* it may be ready again, by what it has buffered */
  if (e->kind != MPROC_POLLED_HANDLE || e->refused)
    mproc_polled_touch(e);
  if (!mproc_poller_has(p))
    mproc_poller_update_signal(p);
  return true;
}

/* ---- waiting ---- */

size_t mproc_poller_want_count(const mproc_poller *p) {
  size_t n = mproc_pollset_want_count(mproc_registry_pollset(p->registry));
  for (const mproc_link *l = p->pollers.next; l != &p->pollers; l = l->next) {
    const mproc_polled *e = MPROC_LISTED(l, mproc_polled, same);
    if (mproc_polled_is_mute(e))
      n += mproc_poller_want_count(e->object.poller);
  }
  return n;
}

size_t mproc_poller_want(const mproc_poller *p, mproc_pollitem *items,
                         size_t max) {
  size_t n =
      mproc_pollset_want(mproc_registry_pollset(p->registry), items, max);
  for (const mproc_link *l = p->pollers.next; l != &p->pollers; l = l->next) {
    const mproc_polled *e = MPROC_LISTED(l, mproc_polled, same);
    if (mproc_polled_is_mute(e))
      n += mproc_poller_want(e->object.poller, items + n, max - n);
  }
  return n;
}

mproc_time mproc_poller_wake(const mproc_poller *p) {
  mproc_time wake = MPROC_NEVER;
  for (const mproc_link *l = p->timed.next; l != &p->timed; l = l->next)
    wake = mproc_deadline_min(wake,
                              MPROC_LISTED(l, mproc_polled, timed)->deadline);
  return wake;
}

mproc_handle mproc_poller_handle(const mproc_poller *p) {
  return mproc_pollset_handle(mproc_registry_pollset(p->registry));
}

mproc_status mproc_poller_entrust(mproc_poller *p) {
  mproc_status st = mproc_poller_settle(p);
  if (st == MPROC_OK && !p->signals) {
    /* has all that it needs from now on */
    st = mproc_pollset_signal(mproc_registry_pollset(p->registry), true);
    p->signals = st == MPROC_OK;
    mproc_poller_update_signal(p);
  }
  return st;
}

mproc_status mproc_poller_export(mproc_poller *p, mproc_handle *h) {
  mproc_status st = mproc_poller_entrust(p);
  if (st != MPROC_OK)
    return st;
  p->exported = true;
  *h = mproc_poller_handle(p);
  return MPROC_OK;
}

/* ---- adding and removing ---- */

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
  st = claim(p);
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
  mproc_status st = claim(q);
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

mproc_status mproc_poller_change(mproc_polled *e, mproc_handle h,
                                 uint8_t events, mproc_time wake, bool again) {
  mproc_status st = claim(e->poller);
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

size_t mproc_poller_count(const mproc_poller *p) {
  return p->count;
}

/* ---- the poller itself ---- */

mproc_status mproc_poller_new(const mproc_allocator *a, mproc_poller **out) {
  mproc_poller *p = (mproc_poller *)mproc_alloc(a, sizeof *p);
  mproc_status st;
  if (p == NULL)
    return MPROC_NOMEM;
  p->allocator = a;
  mproc_list_init(&p->watches);
  mproc_list_init(&p->others);
  mproc_list_init(&p->listeners);
  mproc_list_init(&p->pollers);
  mproc_list_init(&p->touched);
  mproc_list_init(&p->ready);
  mproc_list_init(&p->ended);
  mproc_list_init(&p->timed);
  st = mproc_registry_new(a, &p->registry);
  if (st != MPROC_OK) {
    mproc_free(a, p, sizeof *p);
    return st;
  }
  *out = p;
  return MPROC_OK;
}

static void free_all(mproc_link *list) {
  while (!mproc_list_is_empty(list)) {
    mproc_polled *e = MPROC_LISTED(list->next, mproc_polled, same);
    mproc_polled_free_peers(e);
    mproc_polled_free(e);
  }
}

void mproc_poller_free(mproc_poller *p) {
  if (p == NULL)
    return;
  mproc_watch_tell(&p->watches, MPROC_RELEASED);
  free_all(&p->others);
  free_all(&p->listeners);
  free_all(&p->pollers);
  mproc_registry_free(p->registry);
  mproc_watch_tell(&p->watches, MPROC_ENDED);
  mproc_free(p->allocator, p, sizeof *p);
}

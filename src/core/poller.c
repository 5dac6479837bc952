/*
** poller.c: the looks of a poller: which of its entries are looked at when, and
** taken.
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

mproc_status mproc_poller_claim(mproc_poller *p) {
  mproc_status st = MPROC_OK;
  if (!mproc_registry_is_inherited(p->registry))
    return MPROC_OK;
  for (mproc_link *l = p->pollers.next; l != &p->pollers; l = l->next) {
    st = mproc_poller_claim(MPROC_LISTED(l, mproc_polled, same)->object.poller);
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

mproc_status mproc_poller_look_inside(mproc_poller *p) {
  mproc_status st;
  look_anew(p);
  st = visit_touched(p);
  return st == MPROC_OK ? ask(p, 0) : st;
}

/* mproc_listener_back or mproc_listener_leave, for all that are inside. */
static void each_listener(const mproc_poller *p, void (*f)(mproc_listener *)) {
  const mproc_link *l;
  for (l = p->listeners.next; l != &p->listeners; l = l->next)
    f(MPROC_LISTED(l, mproc_polled, same)->object.listener);
  for (l = p->pollers.next; l != &p->pollers; l = l->next)
    each_listener(MPROC_LISTED(l, mproc_polled, same)->object.poller, f);
}

/* 'whole': asks the system, whatever is ready already. */
static mproc_status look(mproc_poller *p, bool attended, mproc_time deadline,
                         bool whole) {
  mproc_status st = mproc_poller_claim(p);
  if (st != MPROC_OK)
    return st;
  if (!attended && !p->exported)
    each_listener(p, mproc_listener_back);
  look_anew(p);
  st = visit_touched(p);
  if (st == MPROC_OK && (whole || mproc_poller_has(p)))
    st = ask(p, deadline);
  mproc_poller_update_signal(p);
  each_listener(p, mproc_listener_leave);
  return st;
}

mproc_status mproc_poller_look(mproc_poller *p, bool attended,
                               mproc_time deadline) {
  return look(p, attended, deadline, true);
}

mproc_status mproc_poller_glance(mproc_poller *p, bool attended) {
  return look(p, attended, 0, false);
}

mproc_status mproc_poller_settle(mproc_poller *p) {
  mproc_status st = mproc_poller_claim(p);
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

/*
** polled.c: the entries of a poller: what each object waits for, and whether it
** is ready.
*/
#include "core/polled.h"

/* ---- queues ---- */

void mproc_polled_touch(mproc_polled *e) {
  mproc_poller *p = e->poller;
  bool first = mproc_list_is_empty(&p->touched);
  if (!mproc_list_is_empty(&e->queue))
    return; /* touched, or ready and to be looked at anew in any case */
  mproc_list_append(&p->touched, &e->queue);
  if (first) {
    mproc_poller_update_signal(p);
    mproc_watch_tell(&p->watches, MPROC_TOUCHED);
  }
}

void mproc_polled_set_deadline(mproc_polled *e, mproc_time deadline) {
  e->deadline = deadline;
  if (deadline == MPROC_NEVER)
    mproc_list_remove(&e->timed);
  else if (mproc_list_is_empty(&e->timed))
    mproc_list_append(&e->poller->timed, &e->timed);
}

/* ---- entries ---- */

void mproc_polled_free(mproc_polled *e) {
  mproc_registry_leave(e->poller->registry, &e->wish);
  mproc_list_remove(&e->watch.link);
  mproc_list_remove(&e->queue);
  mproc_list_remove(&e->timed);
  mproc_list_remove(&e->same);
  mproc_free(e->poller->allocator, e, sizeof *e);
}

void mproc_polled_free_peers(mproc_polled *e) {
  while (!mproc_list_is_empty(&e->peers))
    mproc_polled_free(MPROC_LISTED(e->peers.next, mproc_polled, same));
}

void mproc_polled_end(mproc_polled *e) {
  mproc_poller *p = e->poller;
  mproc_polled_free_peers(e);
  mproc_registry_leave(p->registry, &e->wish);
  mproc_list_remove(&e->watch.link);
  mproc_list_append(&p->ended, &e->queue);
  mproc_list_append(&p->others, &e->same);
  mproc_polled_set_deadline(e, MPROC_NEVER);
  e->ended = true;
  p->count--;
  mproc_watch_tell(&p->watches, MPROC_TOUCHED);
}

static void tell(mproc_watch *w, mproc_news news) {
  mproc_polled *e = MPROC_LISTED(&w->link, mproc_polled, watch.link);
  if (news == MPROC_RELEASED)
    mproc_registry_release(e->poller->registry, &e->wish);
  if (news != MPROC_ENDED)
    mproc_polled_touch(e);
  else if (e->kind == MPROC_POLLED_PEER)
    mproc_polled_free(e);
  else
    mproc_polled_end(e);
}

bool mproc_polled_is_of(const mproc_watch *w, const mproc_poller *p) {
  return w->tell == tell &&
         MPROC_LISTED(&w->link, const mproc_polled, watch.link)->poller == p;
}

mproc_polled *mproc_polled_new(mproc_poller *p, mproc_polled_kind kind,
                               int64_t id) {
  mproc_polled *e = (mproc_polled *)mproc_alloc(p->allocator, sizeof *e);
  if (e == NULL)
    return NULL;
  mproc_list_init(&e->watch.link);
  e->watch.tell = tell;
  mproc_list_init(&e->queue);
  mproc_list_init(&e->timed);
  mproc_list_init(&e->same);
  mproc_list_init(&e->peers);
  mproc_wish_init(&e->wish, e);
  e->poller = p;
  e->id = id;
  e->deadline = MPROC_NEVER;
  e->kind = (uint8_t)kind;
  return e;
}

/* ---- what the objects wait for ---- */

static mproc_status wish_for(mproc_polled *e, mproc_handle h, uint8_t events,
                             mproc_time deadline) {
  mproc_polled_set_deadline(e, deadline);
  return mproc_registry_set(e->poller->registry, &e->wish, h, events, false);
}

/* Nanoseconds between two looks at what somebody else is opening. */
#define RESERVED_PAUSE (MPROC_SECOND / 50)

static mproc_status follow_connection(mproc_polled *e) {
  mproc_pollitem item;
  mproc_time wake;
  if (mproc_connection_is_reserved(e->object.connection))
    return wish_for(e, MPROC_NO_HANDLE, 0, mproc_os_now() + RESERVED_PAUSE);
  mproc_connection_want(e->object.connection, MPROC_READ, &item, &wake);
  return wish_for(e, item.handle, item.events, wake);
}

/* A peer whose handshake has ended waits only for being taken. */
static mproc_status follow_peer(mproc_polled *e) {
  const mproc_connection *c = e->object.connection;
  if (mproc_connection_is_open(c) || mproc_connection_is_closed(c))
    return wish_for(e, MPROC_NO_HANDLE, 0, MPROC_NEVER);
  return follow_connection(e);
}

static bool has_peer(const mproc_polled *e, mproc_connection *c) {
  mproc_link *watches = mproc_connection_watches(c);
  for (mproc_link *l = watches->next; l != watches; l = l->next) {
    const mproc_polled *peer = MPROC_LISTED(l, mproc_polled, watch.link);
    if (MPROC_LISTED(l, mproc_watch, link)->tell == tell &&
        peer->kind == MPROC_POLLED_PEER && peer->listener == e)
      return true;
  }
  return false;
}

static mproc_status add_peer(mproc_polled *e, mproc_connection *c) {
  mproc_polled *peer = mproc_polled_new(e->poller, MPROC_POLLED_PEER, 0);
  mproc_status st;
  if (peer == NULL)
    return MPROC_NOMEM;
  peer->listener = e;
  peer->object.connection = c;
  st = follow_peer(peer);
  if (st != MPROC_OK) {
    mproc_polled_free(peer);
    return st;
  }
  mproc_list_append(&e->peers, &peer->same);
  mproc_list_append(mproc_connection_watches(c), &peer->watch.link);
  return MPROC_OK;
}

static mproc_status follow_listener(mproc_polled *e) {
  mproc_listener *l = e->object.listener;
  mproc_pollitem own;
  mproc_time wake;
  mproc_status st = MPROC_OK;
  for (size_t i = 0; st == MPROC_OK && i < mproc_listener_pending(l); i++) {
    mproc_connection *c = mproc_listener_peer(l, i);
    if (!has_peer(e, c))
      st = add_peer(e, c);
  }
  mproc_listener_want_own(l, &own, &wake);
  return st == MPROC_OK ? wish_for(e, own.handle, own.events, wake) : st;
}

static mproc_status follow_poller(mproc_polled *e) {
  const mproc_poller *q = e->object.poller;
  mproc_handle h = mproc_pollset_handle(mproc_registry_pollset(q->registry));
  return wish_for(e, h, MPROC_READ, mproc_poller_wake(q));
}

mproc_status mproc_polled_follow(mproc_polled *e) {
  switch (e->kind) {
  case MPROC_POLLED_CONNECTION:
    return follow_connection(e);
  case MPROC_POLLED_PEER:
    return follow_peer(e);
  case MPROC_POLLED_LISTENER:
    return follow_listener(e);
  case MPROC_POLLED_POLLER:
    return follow_poller(e);
  default: /* nobody but mproc_poller_change changes it */
    return mproc_registry_again(e->poller->registry, &e->wish);
  }
}

/* ---- whether they are ready ---- */

static mproc_status look_at_connection(const mproc_polled *e, uint8_t came) {
  mproc_connection *c = e->object.connection;
  mproc_pollitem item = {MPROC_NO_HANDLE, 0, 0};
  mproc_status st;
  if (mproc_connection_is_reserved(c))
    return MPROC_AGAIN;
  item.ready = came;
  st = mproc_connection_ready(c, mproc_connection_is_touched(c, &item));
  return st == MPROC_AGAIN && mproc_connection_has_news(c) ? MPROC_OK : st;
}

/* 'called': there may be somebody to accept. */
static mproc_status look_at_listener(const mproc_polled *e, bool news,
                                     bool called) {
  mproc_listener *l = e->object.listener;
  if (!news)
    return mproc_listener_has(l) ? MPROC_OK : MPROC_AGAIN;
  /* accept tells of a failure */
  return mproc_listener_step(l, true, called) == MPROC_AGAIN ? MPROC_AGAIN
                                                             : MPROC_OK;
}

static mproc_status look_at_poller(const mproc_polled *e) {
  mproc_status st = mproc_poller_look_inside(e->object.poller);
  mproc_poller_update_signal(e->object.poller);
  if (st == MPROC_OK && !mproc_poller_has(e->object.poller))
    st = MPROC_AGAIN;
  return st;
}

/* OK: it is ready. 'came': of its handle's events. */
static mproc_status look_at(mproc_polled *e, uint8_t came) {
  bool called = came != 0 || e->late;
  bool news = called || e->marked;
  e->late = e->marked = false;
  switch (e->kind) {
  case MPROC_POLLED_CONNECTION:
    return look_at_connection(e, came);
  case MPROC_POLLED_LISTENER:
    return look_at_listener(e, news, called);
  case MPROC_POLLED_POLLER:
    return look_at_poller(e);
  case MPROC_POLLED_PEER:
    if (news) {
      e->listener->marked = true;
      mproc_list_remove(&e->listener->queue);
      mproc_polled_touch(e->listener);
    }
    return MPROC_AGAIN;
  default:
    return news ? MPROC_OK : MPROC_AGAIN;
  }
}

bool mproc_polled_is_mute(const mproc_polled *e) {
  return e->kind == MPROC_POLLED_POLLER && e->wish.handle == NULL;
}

mproc_status mproc_polled_visit(mproc_polled *e) {
  uint8_t came = e->wish.ready;
  mproc_status st, followed;
  mproc_list_remove(&e->wish.due);
  e->wish.ready = 0;
  st = look_at(e, came);
  followed = mproc_polled_follow(e);
  e->refused = followed != MPROC_OK;
  mproc_list_remove(&e->queue);
  if (st == MPROC_NOMEM || followed == MPROC_NOMEM) {
    mproc_list_append(&e->poller->touched, &e->queue);
    return MPROC_NOMEM;
  }
  /* of what cannot be waited for, using it will tell */
  if (e->kind != MPROC_POLLED_PEER &&
      (st != MPROC_AGAIN || followed != MPROC_OK))
    mproc_list_append(&e->poller->ready, &e->queue);
  else if (mproc_polled_is_mute(e))
    mproc_list_append(&e->poller->touched, &e->queue);
  return MPROC_OK;
}

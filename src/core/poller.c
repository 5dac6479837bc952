/*
** poller.c: entries, and the queues that they stand in.
*/
#include "core/poller.h"

#include "core/list.h"
#include "core/registry.h"
#include "core/watch.h"

typedef enum Kind {
  CONNECTION,
  PEER, /* a connection whose handshake a listener has under way */
  LISTENER,
  POLLER,
  HANDLE
} Kind;

struct mproc_polled {
  mproc_watch watch; /* of the object; HANDLE has none */
  mproc_link queue;  /* in one of the poller's queues, or in none */
  mproc_link timed;  /* among those with a deadline */
  mproc_link same;   /* among the poller's listeners, pollers or others, or the
                        listener's peers */
  mproc_link peers;  /* LISTENER: the entries of its peers */
  mproc_wish wish;
  mproc_poller *poller;
  mproc_polled *listener; /* PEER: whose */
  union {
    mproc_connection *connection;
    mproc_listener *listener;
    mproc_poller *poller;
  } object;
  int64_t id;
  mproc_time deadline; /* MPROC_NEVER, or it is among the timed */
  uint8_t kind;
  bool ended;  /* the object has; or, of a handle, whoever asked for it */
  bool late;   /* its deadline has passed */
  bool marked; /* see mproc_poller_mark */
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
  bool exported;
};

/* ---- queues ---- */

/* Keeps the handle readable while somebody should look. */
static void update_signal(mproc_poller *p) {
  if (p->exported) {
    bool on =
        !mproc_list_is_empty(&p->touched) || !mproc_list_is_empty(&p->ready);
    /* it can fail only where the system is out of memory */
    mproc_pollset_signal(mproc_registry_pollset(p->registry), on);
  }
}

static void touch(mproc_polled *e) {
  mproc_poller *p = e->poller;
  bool first = mproc_list_is_empty(&p->touched);
  if (!mproc_list_is_empty(&e->queue))
    return; /* touched, or ready and to be looked at anew in any case */
  mproc_list_append(&p->touched, &e->queue);
  if (first) {
    update_signal(p);
    mproc_watch_tell(&p->watches, MPROC_TOUCHED);
  }
}

static void set_deadline(mproc_polled *e, mproc_time deadline) {
  e->deadline = deadline;
  if (deadline == MPROC_NEVER)
    mproc_list_remove(&e->timed);
  else if (mproc_list_is_empty(&e->timed))
    mproc_list_append(&e->poller->timed, &e->timed);
}

/* ---- entries ---- */

static void free_entry(mproc_polled *e) {
  mproc_registry_leave(e->poller->registry, &e->wish);
  mproc_list_remove(&e->watch.link);
  mproc_list_remove(&e->queue);
  mproc_list_remove(&e->timed);
  mproc_list_remove(&e->same);
  mproc_free(e->poller->allocator, e, sizeof *e);
}

static void free_peers(mproc_polled *e) {
  while (!mproc_list_is_empty(&e->peers))
    free_entry(MPROC_LISTED(e->peers.next, mproc_polled, same));
}

/* The object is here no more; whoever added it has to hear of that. */
static void end_entry(mproc_polled *e) {
  mproc_poller *p = e->poller;
  free_peers(e);
  mproc_registry_leave(p->registry, &e->wish);
  mproc_list_remove(&e->watch.link);
  mproc_list_append(&p->ended, &e->queue);
  mproc_list_append(&p->others, &e->same);
  set_deadline(e, MPROC_NEVER);
  e->ended = true;
  p->count--;
  mproc_watch_tell(&p->watches, MPROC_TOUCHED);
}

static void tell(mproc_watch *w, mproc_news news) {
  mproc_polled *e = MPROC_LISTED(&w->link, mproc_polled, watch.link);
  if (news == MPROC_RELEASED)
    mproc_registry_release(e->poller->registry, &e->wish);
  if (news != MPROC_ENDED)
    touch(e);
  else if (e->kind == PEER)
    free_entry(e);
  else
    end_entry(e);
}

static mproc_polled *new_entry(mproc_poller *p, Kind kind, int64_t id) {
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
  set_deadline(e, deadline);
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
        peer->kind == PEER && peer->listener == e)
      return true;
  }
  return false;
}

static mproc_status add_peer(mproc_polled *e, mproc_connection *c) {
  mproc_polled *peer = new_entry(e->poller, PEER, 0);
  mproc_status st;
  if (peer == NULL)
    return MPROC_NOMEM;
  peer->listener = e;
  peer->object.connection = c;
  st = follow_peer(peer);
  if (st != MPROC_OK) {
    free_entry(peer);
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

/* Waits from now on for what the object waits for. */
static mproc_status follow(mproc_polled *e) {
  switch (e->kind) {
  case CONNECTION:
    return follow_connection(e);
  case PEER:
    return follow_peer(e);
  case LISTENER:
    return follow_listener(e);
  case POLLER:
    return follow_poller(e);
  default:
    return MPROC_OK; /* nobody but mproc_poller_change changes it */
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

static mproc_status look_inside(mproc_poller *p);

static mproc_status look_at_poller(const mproc_polled *e) {
  mproc_status st = look_inside(e->object.poller);
  update_signal(e->object.poller);
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
  case CONNECTION:
    return look_at_connection(e, came);
  case LISTENER:
    return look_at_listener(e, news, called);
  case POLLER:
    return look_at_poller(e);
  case PEER:
    if (news) {
      e->listener->marked = true;
      mproc_list_remove(&e->listener->queue);
      touch(e->listener);
    }
    return MPROC_AGAIN;
  default:
    return news ? MPROC_OK : MPROC_AGAIN;
  }
}

/* A poller without a handle must be asked each time. */
static bool is_mute(const mproc_polled *e) {
  return e->kind == POLLER && e->wish.handle == NULL;
}

/*
** Looks at an entry, and puts it into the queue of those that are ready, or into
** none. NOMEM: it stays touched, for the next time.
*/
static mproc_status visit(mproc_polled *e) {
  uint8_t came = e->wish.ready;
  mproc_status st, followed;
  mproc_list_remove(&e->wish.due);
  e->wish.ready = 0;
  st = look_at(e, came);
  followed = follow(e);
  mproc_list_remove(&e->queue);
  if (st == MPROC_NOMEM || followed == MPROC_NOMEM) {
    mproc_list_append(&e->poller->touched, &e->queue);
    return MPROC_NOMEM;
  }
  /* of what cannot be waited for, using it will tell */
  if (e->kind != PEER && (st != MPROC_AGAIN || followed != MPROC_OK))
    mproc_list_append(&e->poller->ready, &e->queue);
  else if (is_mute(e))
    mproc_list_append(&e->poller->touched, &e->queue);
  return MPROC_OK;
}

/* ---- looking ---- */

static mproc_status renew(mproc_poller *p) {
  mproc_status st;
  mproc_watch_tell(&p->watches, MPROC_RELEASED);
  st = mproc_registry_renew(p->registry);
  update_signal(p);
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
    st = visit(e);
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
    mproc_status one = visit((mproc_polled *)w->owner);
    if (one != MPROC_OK)
      st = one; /* the system tells of it again */
  }
  return st;
}

/* The system's part of a look. */
static mproc_status ask(mproc_poller *p) {
  mproc_link due;
  bool stale = false;
  mproc_status st, asked;
  mproc_list_init(&due);
  find_late(p, &due);
  asked = mproc_registry_look(p->registry, &due, &stale);
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

static mproc_status look_inside(mproc_poller *p) {
  mproc_status st;
  look_anew(p);
  st = visit_touched(p);
  return st == MPROC_OK ? ask(p) : st;
}

/* mproc_listener_back or mproc_listener_leave, for all that are inside. */
static void each_listener(const mproc_poller *p, void (*f)(mproc_listener *)) {
  const mproc_link *l;
  for (l = p->listeners.next; l != &p->listeners; l = l->next)
    f(MPROC_LISTED(l, mproc_polled, same)->object.listener);
  for (l = p->pollers.next; l != &p->pollers; l = l->next)
    each_listener(MPROC_LISTED(l, mproc_polled, same)->object.poller, f);
}

mproc_status mproc_poller_look(mproc_poller *p, bool attended) {
  mproc_status st = claim(p);
  if (st != MPROC_OK)
    return st;
  if (!attended && !p->exported)
    each_listener(p, mproc_listener_back);
  st = look_inside(p);
  update_signal(p);
  each_listener(p, mproc_listener_leave);
  return st;
}

mproc_status mproc_poller_settle(mproc_poller *p) {
  mproc_status st = claim(p);
  if (st != MPROC_OK)
    return st;
  look_anew(p);
  st = visit_touched(p);
  update_signal(p);
  return st;
}

bool mproc_poller_has(const mproc_poller *p) {
  return !mproc_list_is_empty(&p->ready);
}

bool mproc_poller_take(mproc_poller *p, int64_t *id) {
  mproc_polled *e;
  if (!mproc_poller_has(p))
    return false;
  e = MPROC_LISTED(p->ready.next, mproc_polled, queue);
  mproc_list_remove(&e->queue);
  *id = e->id;
  if (e->kind != HANDLE) /* it may be ready again, by what it has buffered */
    touch(e);
  if (!mproc_poller_has(p))
    update_signal(p);
  return true;
}

/* ---- waiting ---- */

size_t mproc_poller_want_count(const mproc_poller *p) {
  size_t n = mproc_pollset_want_count(mproc_registry_pollset(p->registry));
  for (const mproc_link *l = p->pollers.next; l != &p->pollers; l = l->next) {
    const mproc_polled *e = MPROC_LISTED(l, mproc_polled, same);
    if (is_mute(e))
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
    if (is_mute(e))
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

mproc_status mproc_poller_export(mproc_poller *p, mproc_handle *h) {
  mproc_status st = mproc_poller_settle(p);
  mproc_pollset *set = mproc_registry_pollset(p->registry);
  if (st == MPROC_OK && !p->exported) {
    st =
        mproc_pollset_signal(set, true); /* has all that it needs from now on */
    p->exported = st == MPROC_OK;
    update_signal(p);
  }
  if (st == MPROC_OK)
    *h = mproc_pollset_handle(set);
  return st;
}

/* ---- adding and removing ---- */

/* Watches the new entry's object, if it can be. 'watches': the object's. */
static mproc_status begin(mproc_polled *e, mproc_link *list,
                          mproc_link *watches, mproc_polled **out) {
  mproc_poller *p = e->poller;
  mproc_status st = claim(p);
  mproc_list_append(list, &e->same);
  if (st == MPROC_OK)
    st = follow(e);
  if (st != MPROC_OK) {
    free_peers(e);
    free_entry(e);
    return st;
  }
  mproc_list_append(watches, &e->watch.link);
  p->count++;
  touch(e); /* something may be buffered */
  *out = e;
  return MPROC_OK;
}

mproc_status mproc_poller_add_connection(mproc_poller *p, mproc_connection *c,
                                         int64_t id, mproc_polled **out) {
  mproc_polled *e = new_entry(p, CONNECTION, id);
  if (e == NULL)
    return MPROC_NOMEM;
  e->object.connection = c;
  return begin(e, &p->others, mproc_connection_watches(c), out);
}

mproc_status mproc_poller_add_listener(mproc_poller *p, mproc_listener *l,
                                       int64_t id, mproc_polled **out) {
  mproc_polled *e = new_entry(p, LISTENER, id);
  if (e == NULL)
    return MPROC_NOMEM;
  e->object.listener = l;
  return begin(e, &p->listeners, mproc_listener_watches(l), out);
}

mproc_status mproc_poller_add_poller(mproc_poller *p, mproc_poller *q,
                                     int64_t id, mproc_polled **out) {
  mproc_polled *e;
  mproc_status st = claim(q);
  if (st != MPROC_OK)
    return st;
  e = new_entry(p, POLLER, id);
  if (e == NULL)
    return MPROC_NOMEM;
  e->object.poller = q;
  return begin(e, &p->pollers, &q->watches, out);
}

mproc_status mproc_poller_add_handle(mproc_poller *p, mproc_handle h,
                                     uint8_t events, mproc_time wake,
                                     int64_t id, mproc_polled **out) {
  mproc_polled *e = new_entry(p, HANDLE, id);
  mproc_status st;
  if (e == NULL)
    return MPROC_NOMEM;
  mproc_list_append(&p->others, &e->same);
  st = mproc_poller_change(e, h, events, wake, true);
  if (st != MPROC_OK) {
    free_entry(e);
    return st;
  }
  p->count++;
  *out = e;
  return MPROC_OK;
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
  set_deadline(e, wake);
  return mproc_registry_set(e->poller->registry, &e->wish, h, events, again);
}

mproc_time mproc_poller_deadline(const mproc_polled *e) {
  return e->deadline;
}

void mproc_poller_mark(mproc_polled *e) {
  e->marked = true;
  touch(e);
}

void mproc_poller_end(mproc_polled *e) {
  end_entry(e);
}

void mproc_poller_remove(mproc_polled *e) {
  if (!e->ended)
    e->poller->count--;
  free_peers(e);
  free_entry(e);
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
  free_entry(e);
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
    free_peers(e);
    free_entry(e);
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

/*
** listener.c: the peers of a bound address, from accepting them to handing them
** over.
*/
#include "core/listener.h"

#include <assert.h>
#include <string.h>

#include "core/bound.h"

/* A peer keeps its place among the pending for this long at least. */
#define FAIR_CHANCE MPROC_SECOND

/* The part of a handshake's time that one absence of the program may cost. */
#define ABSENCE_SHARE 20

/* Peers that have ended and were not taken count apart from the pending. */
#define PEERS_MAX (2 * MPROC_LISTENER_PENDING_MAX)

/* A peer that was accepted and not taken yet. */
typedef struct Peer {
  mproc_connection *connection; /* NULL: it had to make room */
  mproc_time since;             /* when it was accepted */
  mproc_status status;          /* AGAIN: its handshake is under way */
  mproc_sockaddr address;       /* asked at once: who has left has none */
} Peer;

struct mproc_listener {
  mproc_context *ctx;
  mproc_link watches;
  mproc_bound bound;
  mproc_connection_options options; /* its key is 'key' */
  double timeout;
  uint8_t *key;    /* owned; NULL where there is none or it is empty */
  uint32_t *allow; /* owned; NULL: anyone */
  size_t allow_count;
  mproc_time attended; /* when the last step ended */
  mproc_sockaddr last; /* the last peer that was taken well; zeros: none */
  Peer *peers;         /* owned; NULL before the first */
  size_t capacity;
  size_t count; /* peers; the first 'ended' of them can be taken, in order */
  size_t ended;
};

/* ---- making one ---- */

/* A copy of 'size' bytes; '*copy' is NULL where there are none. */
static mproc_status copy_of(mproc_context *ctx, const void *p, size_t size,
                            void **copy) {
  *copy = NULL;
  if (size == 0)
    return MPROC_OK;
  *copy = mproc_alloc(&ctx->allocator, size);
  if (*copy == NULL)
    return MPROC_NOMEM;
  memcpy(*copy, p, size);
  return MPROC_OK;
}

static mproc_status keep_options(mproc_listener *l,
                                 const mproc_listener_options *o) {
  void *key = NULL;
  void *allow = NULL;
  mproc_status st = copy_of(l->ctx, o->connection.authkey.data,
                            o->connection.authkey.size, &key);
  l->options = o->connection;
  l->key = (uint8_t *)key;
  l->options.authkey.data = l->key;
  l->timeout = o->timeout;
  if (st == MPROC_OK && o->allow != NULL) {
    /* one more than needed, so that nobody at all is a list, too */
    size_t size = (o->allow_count + 1) * sizeof *o->allow;
    allow = mproc_alloc(&l->ctx->allocator, size);
    st = allow == NULL ? MPROC_NOMEM : MPROC_OK;
  }
  if (allow != NULL && o->allow_count > 0)
    memcpy(allow, o->allow, o->allow_count * sizeof *o->allow);
  l->allow = (uint32_t *)allow;
  l->allow_count = o->allow_count;
  return st;
}

mproc_status mproc_listener_new(mproc_context *ctx, const mproc_address *at,
                                mproc_family family,
                                const mproc_listener_options *o,
                                mproc_listener **out) {
  mproc_listener *l = (mproc_listener *)mproc_alloc(&ctx->allocator, sizeof *l);
  mproc_status st;
  if (l == NULL)
    return MPROC_NOMEM;
  l->ctx = ctx;
  mproc_list_init(&l->watches);
  mproc_bound_init(&l->bound);
  st = keep_options(l, o);
  if (st == MPROC_OK)
    st = mproc_bound_open(&l->bound, at, family, &o->socket);
  if (st != MPROC_OK) {
    mproc_listener_free(l);
    return st;
  }
  l->options.local = l->bound.address.family == MPROC_AF_UNIX;
  if (!l->options.local)
    l->options.tuned = mproc_os_tune_accepted(
        l->bound.handle, l->options.keepalive, l->options.has_authkey);
  l->attended = mproc_os_now();
  *out = l;
  return MPROC_OK;
}

/* ---- peers ---- */

/* Peer 'i' has ended with 'st': it queues up behind those that ended before. */
static void end_peer(mproc_listener *l, size_t i, mproc_status st) {
  Peer p = l->peers[i];
  p.status = st;
  memmove(&l->peers[l->ended + 1], &l->peers[l->ended],
          (i - l->ended) * sizeof l->peers[0]);
  l->peers[l->ended++] = p;
}

/* Whether 'h' comes from a user who may connect. */
static bool is_allowed(const mproc_listener *l, mproc_handle h) {
  mproc_credentials peer;
  if (l->allow == NULL)
    return true;
  if (!mproc_os_peer_credentials(h, &peer))
    return false;
  for (size_t i = 0; i < l->allow_count; i++) {
    if (l->allow[i] == peer.uid)
      return true;
  }
  return false;
}

static size_t pending(const mproc_listener *l) {
  return l->count - l->ended;
}

/* Makes a place for one more peer. */
static mproc_status grow(mproc_listener *l) {
  const mproc_allocator *a = &l->ctx->allocator;
  void *peers = l->peers;
  if (l->count == l->capacity)
    peers = mproc_grow(a, peers, &l->capacity, sizeof *l->peers);
  if (peers == NULL)
    return MPROC_NOMEM;
  l->peers = (Peer *)peers;
  return MPROC_OK;
}

/* Makes a pending peer of an accepted handle; not OK: 'h' stays as it was. */
static mproc_status add_peer(mproc_listener *l, mproc_handle h,
                             const mproc_sockaddr *address, mproc_time now) {
  mproc_connection_options o = l->options;
  mproc_time deadline = mproc_deadline_after(now, l->timeout);
  bool allowed = is_allowed(l, h);
  mproc_status st = grow(l);
  Peer p;
  o.has_authkey = o.has_authkey && allowed; /* a stranger reads not a byte */
  if (st == MPROC_OK)
    st = mproc_connection_greet(l->ctx, h, &o, deadline, &p.connection);
  if (st != MPROC_OK)
    return st;
  p.since = now;
  p.status = MPROC_AGAIN;
  p.address = *address;
  l->peers[l->count++] = p;
  /* a first step at once: the challenge leaves, or there is none */
  st = allowed ? mproc_connection_step(p.connection) : MPROC_AUTH_USER;
  if (st != MPROC_AGAIN && st != MPROC_NOMEM) /* the next step goes on */
    end_peer(l, l->count - 1, st);
  return MPROC_OK;
}

/* When one more peer may be accepted; the oldest of a full house has its fair
   chance first. */
static mproc_time room_at(const mproc_listener *l) {
  if (l->count >= PEERS_MAX)
    return MPROC_NEVER;
  if (pending(l) < MPROC_LISTENER_PENDING_MAX)
    return 0;
  return l->peers[l->ended].since + FAIR_CHANCE;
}

/* Of a full house, the peer that has been silent for longest goes. */
static void make_room(mproc_listener *l) {
  Peer *oldest = &l->peers[l->ended];
  if (pending(l) < MPROC_LISTENER_PENDING_MAX)
    return;
  mproc_connection_free(oldest->connection);
  oldest->connection = NULL;
  end_peer(l, l->ended, MPROC_AUTH_STALLED);
}

/*
** Accepts until nobody is left. One who comes alone is not asked after: to be
** told that nobody else is there costs as much as accepting somebody.
*/
static mproc_status accept_all(mproc_listener *l, mproc_time now) {
  bool alone = pending(l) == 0;
  for (bool first = true; room_at(l) <= now; first = false) {
    mproc_handle h = MPROC_NO_HANDLE;
    mproc_sockaddr peer;
    mproc_status st;
    if (alone && !first)
      break;
    /* Without a handshake whoever is accepted is done: the others may stay in
       the backlog, where they cost no descriptor. */
    if (!l->options.has_authkey && l->count > 0)
      break;
    st = mproc_os_accept(l->bound.handle, &h, &peer);
    if (st != MPROC_OK)
      return st;
    make_room(l);
    st = add_peer(l, h, &peer, now);
    if (st != MPROC_OK) {
      mproc_os_close(h);
      return st;
    }
  }
  return MPROC_AGAIN;
}

/* OK; or NOMEM, where a peer could not go on: nothing of it is lost. */
static mproc_status step_peers(mproc_listener *l) {
  mproc_status result = MPROC_OK;
  for (size_t i = l->ended; i < l->count; i++) {
    mproc_status st = mproc_connection_step(l->peers[i].connection);
    if (st == MPROC_NOMEM)
      result = st;
    else if (st != MPROC_AGAIN)
      end_peer(l, i, st);
  }
  return result;
}

/*
** A long absence of the program is not the peers' fault. A short one counts, or
** the clock would stand still for who never waits here: a game's loop, or a
** server with something else to do each time.
*/
void mproc_listener_back(mproc_listener *l) {
  mproc_time now = mproc_os_now();
  mproc_time counted = mproc_deadline_min(
      mproc_deadline_after(0, l->timeout / ABSENCE_SHARE), FAIR_CHANCE);
  mproc_time excused = now - l->attended - counted;
  if (excused <= 0)
    return;
  for (size_t i = l->ended; i < l->count; i++) {
    mproc_connection_postpone(l->peers[i].connection, excused);
    l->peers[i].since += excused;
  }
}

void mproc_listener_leave(mproc_listener *l) {
  l->attended = mproc_os_now();
}

mproc_status mproc_listener_step(mproc_listener *l, bool attended,
                                 bool called) {
  size_t pending_before = pending(l), ended_before = l->ended;
  mproc_status st;
  if (!attended)
    mproc_listener_back(l);
  st = step_peers(l);
  if (st == MPROC_OK)
    st = called ? accept_all(l, mproc_os_now()) : MPROC_AGAIN;
  mproc_listener_leave(l);
  if (pending(l) != pending_before || l->ended != ended_before)
    mproc_watch_tell(&l->watches, MPROC_TOUCHED);
  return l->ended > 0 ? MPROC_OK : st;
}

bool mproc_listener_has(const mproc_listener *l) {
  return l->ended > 0;
}

void mproc_listener_take(mproc_listener *l, mproc_accepted *a) {
  Peer p;
  assert(l->ended > 0);
  p = l->peers[0];
  l->ended--;
  l->count--;
  memmove(&l->peers[0], &l->peers[1], l->count * sizeof p);
  mproc_watch_tell(&l->watches, MPROC_TOUCHED);
  a->status = p.status;
  a->connection = p.status == MPROC_OK ? p.connection : NULL;
  a->peer = p.address;
  if (p.status != MPROC_OK) {
    mproc_connection_free(p.connection);
    return;
  }
  mproc_connection_unwatch(p.connection);
  l->last = p.address;
}

/* ---- waiting ---- */

void mproc_listener_want_own(const mproc_listener *l, mproc_pollitem *item,
                             mproc_time *wake) {
  mproc_time room = room_at(l);
  bool has_room = room <= mproc_os_now();
  *wake = has_room ? MPROC_NEVER : room;
  item->handle = l->bound.handle;
  item->events = has_room ? MPROC_READ : 0;
  item->ready = 0;
}

size_t mproc_listener_want_count(const mproc_listener *l) {
  return 1 + pending(l);
}

size_t mproc_listener_want(const mproc_listener *l, mproc_pollitem *items,
                           size_t max, mproc_time *wake) {
  size_t n = 0;
  mproc_pollitem own;
  mproc_listener_want_own(l, &own, wake);
  if (own.events != 0 && max > 0)
    items[n++] = own;
  for (size_t i = l->ended; i < l->count && n < max; i++) {
    mproc_time t;
    mproc_connection_want(l->peers[i].connection, MPROC_READ, &items[n++], &t);
    *wake = mproc_deadline_min(*wake, t);
  }
  return n;
}

bool mproc_listener_is_called(const mproc_listener *l,
                              const mproc_pollitem *items, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (items[i].handle == l->bound.handle)
      return items[i].ready != 0;
  }
  return true; /* there was no room for anybody: there may be now */
}

size_t mproc_listener_pending(const mproc_listener *l) {
  return pending(l);
}

mproc_connection *mproc_listener_peer(const mproc_listener *l, size_t i) {
  return l->peers[l->ended + i].connection;
}

mproc_link *mproc_listener_watches(mproc_listener *l) {
  return &l->watches;
}

/* ---- what it is, and its end ---- */

const mproc_address *mproc_listener_address(const mproc_listener *l) {
  return &l->bound.address;
}

bool mproc_listener_last_accepted(const mproc_listener *l, mproc_address *out) {
  return mproc_os_address(&l->last, out);
}

mproc_handle mproc_listener_handle(const mproc_listener *l) {
  return l->bound.handle;
}

void mproc_listener_free(mproc_listener *l) {
  const mproc_allocator *a;
  if (l == NULL)
    return;
  a = &l->ctx->allocator;
  for (size_t i = 0; i < l->count; i++)
    mproc_connection_free(l->peers[i].connection);
  mproc_watch_tell(&l->watches, MPROC_RELEASED);
  mproc_bound_close(&l->bound);
  mproc_watch_tell(&l->watches, MPROC_ENDED);
  if (l->peers != NULL)
    mproc_free(a, l->peers, l->capacity * sizeof(Peer));
  if (l->key != NULL) {
    mproc_digest_wipe(l->key, l->options.authkey.size);
    mproc_free(a, l->key, l->options.authkey.size);
  }
  if (l->allow != NULL)
    mproc_free(a, l->allow, (l->allow_count + 1) * sizeof *l->allow);
  mproc_free(a, l, sizeof *l);
}

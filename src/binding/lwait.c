/*
** lwait.c: connection.wait: which of many objects are ready.
**
** Stack of the operation: the list of objects at 1, and from the first step
** on a Set at 2: what to wait for on behalf of each object. The Set is made
** anew for every wait, since a listener waits for other handles each time. Where
** the list is kept (lkept.c) there is none.
*/
#include "binding/lmp.h"

#define LIST 1
#define SET 2

/* One object's share of the Set. */
typedef struct Entry {
  size_t first;       /* of its items */
  const void *object; /* lua_topointer: the list may change meanwhile */
  mproc_time wake;    /* a foreign object's: it is ready then */
  lmp_WaitKind kind;
  bool ready; /* known without asking the system */
} Entry;

/* A userdata: the head, then entries, then items, then scratch for poll. */
typedef struct Set {
  size_t objects;
  size_t ready;    /* of these, known without asking the system */
  size_t capacity; /* items */
  size_t count;    /* items in use */
  Entry *entries;
  mproc_pollitem *items;
  void *scratch;
  mproc_time wake;
  bool waited; /* see lmp_Wait */
} Set;

/*
** [-0, +0, m] Makes a Set with room for 'capacity' items at index SET, in place
** of the one that may be there: of that it keeps when foreign objects are ready.
*/
static Set *new_set(lua_State *L, size_t objects, size_t capacity,
                    bool waited) {
  size_t entries = objects * sizeof(Entry);
  size_t items = capacity * sizeof(mproc_pollitem);
  size_t size = sizeof(Set) + entries + items + mproc_os_poll_scratch(capacity);
  const Set *old = (const Set *)lua_touserdata(L, SET);
  Set *s = (Set *)lua_newuserdatauv(L, size, 0);
  s->objects = objects;
  s->capacity = capacity;
  s->count = 0;
  s->entries = (Entry *)(s + 1);
  s->items = (mproc_pollitem *)(void *)(s->entries + objects);
  s->scratch = s->items + capacity;
  s->wake = MPROC_NEVER;
  s->waited = waited;
  s->ready = 0;
  for (size_t i = 0; i < objects; i++) {
    bool is_known = old != NULL && i < old->objects;
    s->entries[i].object = is_known ? old->entries[i].object : NULL;
    s->entries[i].wake = is_known ? old->entries[i].wake : MPROC_NEVER;
  }
  lua_replace(L, SET);
  return s;
}

/* ---- one object ---- */

/* [-0, +0, -] Adds an item; false: there is no room. */
static bool add_item(Set *s, mproc_handle h, uint8_t events) {
  mproc_pollitem *item = &s->items[s->count];
  if (s->count == s->capacity)
    return false;
  item->handle = h;
  item->events = events;
  item->ready = 0;
  s->count++;
  return true;
}

/*
** [-0, +0, m] Whether a receive from the connection on the top would not block,
** or a client has news. 'readable' as in mproc_connection_ready.
*/
static bool is_receivable(lua_State *L, lmp_Connection *c, bool readable) {
  mproc_status st =
      lmp_isbusy(c) ? MPROC_AGAIN : mproc_connection_ready(c->core, readable);
  lmp_releaseheld(L, -1, c);
  if (st == MPROC_NOMEM)
    lmp_pushfailure(L, st, NULL, NULL);
  return st == MPROC_OK || mproc_connection_has_news(c->core);
}

static bool add_connection(lua_State *L, Set *s, Entry *e, lmp_Connection *c) {
  mproc_pollitem item;
  mproc_time wake;
  e->ready = is_receivable(L, c, false);
  mproc_connection_want(c->core, MPROC_READ, &item, &wake);
  s->wake = mproc_deadline_min(s->wake, wake);
  return add_item(s, item.handle, item.events);
}

static bool add_listener(Set *s, Entry *e, mproc_listener *l) {
  mproc_time wake;
  /* a step, also for the deadlines of its peers, which no handle tells of */
  e->ready = mproc_listener_step(l, s->waited, true) != MPROC_AGAIN;
  if (e->ready)
    return true;
  if (s->capacity - s->count < mproc_listener_want_count(l))
    return false;
  s->count += mproc_listener_want(l, s->items + s->count,
                                  s->capacity - s->count, &wake);
  s->wake = mproc_deadline_min(s->wake, wake);
  return true;
}

/* A failure is the poller's own to tell. */
static bool is_poller_ready(lua_State *L, mproc_poller *p, bool waited) {
  mproc_status st = mproc_poller_look(p, waited, 0);
  if (st == MPROC_NOMEM)
    lmp_pushfailure(L, st, NULL, NULL);
  return st != MPROC_OK || mproc_poller_has(p);
}

/* The poller on the top. */
static bool add_poller(lua_State *L, Set *s, Entry *e, lua_Unsigned i) {
  const lmp_Poller *poller = (const lmp_Poller *)lua_touserdata(L, -1);
  mproc_poller *p;
  lmp_askinside(L, s->waited);
  p = poller->core;
  if (p == NULL)
    lmp_badwaitable(L, LIST, i, "poller is closed");
  e->ready = is_poller_ready(L, p, s->waited);
  if (e->ready)
    return true;
  if (s->capacity - s->count < mproc_poller_want_count(p))
    return false;
  s->count += mproc_poller_want(p, s->items + s->count, s->capacity - s->count);
  s->wake = mproc_deadline_min(s->wake, mproc_poller_wake(p));
  return true;
}

/* An object of another library, on the top. */
static bool add_foreign(lua_State *L, Set *s, Entry *e, lua_Unsigned i) {
  const void *object = lua_topointer(L, -1);
  mproc_time wake = e->object == object ? e->wake : MPROC_NEVER;
  lmp_Asked asked;
  const char *problem = lmp_askforeign(L, &asked);
  if (problem != NULL)
    lmp_badwaitable(L, LIST, i, problem);
  /* a time counts from where the wait began */
  e->wake = mproc_deadline_min(wake, asked.wake);
  e->ready =
      asked.ready || (e->wake != MPROC_NEVER && mproc_os_now() >= e->wake);
  s->wake = mproc_deadline_min(s->wake, e->wake);
  return add_item(s, asked.handle, asked.events);
}

/* The object on the top. False: the Set is too small. */
static bool add_object(lua_State *L, Set *s, Entry *e, lua_Unsigned i) {
  lmp_Waitable w;
  const char *problem = lmp_towaitable(L, &w);
  if (problem != NULL)
    lmp_badwaitable(L, LIST, i, problem);
  e->kind = w.kind;
  e->ready = false;
  switch (w.kind) {
  case LMP_WAIT_CONNECTION:
    return add_connection(L, s, e, w.u.connection);
  case LMP_WAIT_LISTENER:
    return add_listener(s, e, w.u.listener->core);
  case LMP_WAIT_POLLER:
    return add_poller(L, s, e, i);
  case LMP_WAIT_HANDLE:
    return add_item(s, w.u.handle, MPROC_READ);
  default:
    return add_foreign(L, s, e, i);
  }
}

/* ---- all of them ---- */

/* [-0, +0, e] Fills the Set at SET; false: it is too small. */
static bool fill(lua_State *L, Set *s) {
  for (size_t i = 0; i < s->objects; i++) {
    Entry *e = &s->entries[i];
    bool added;
    e->first = s->count;
    lua_rawgeti(L, LIST, (lua_Integer)i + 1);
    added = add_object(L, s, e, i + 1);
    e->object = lua_topointer(L, -1);
    lua_pop(L, 1);
    if (!added)
      return false;
    s->ready += e->ready;
  }
  return true;
}

/* [-0, +0, e] Makes and fills the Set at SET. */
static Set *prepare(lua_State *L, bool waited) {
  size_t objects = (size_t)lua_rawlen(L, LIST);
  size_t capacity = objects;
  Set *s = new_set(L, objects, capacity, waited);
  while (!fill(L, s)) { /* listeners want more than one item each */
    capacity = 2 * capacity + MPROC_LISTENER_PENDING_MAX;
    s = new_set(L, objects, capacity, waited);
  }
  return s;
}

/* Whether the object may be ready, without a look at it. */
static bool may_be_ready(const Set *s, const Entry *e) {
  return e->ready || e->kind == LMP_WAIT_LISTENER ||
         e->kind == LMP_WAIT_POLLER || s->items[e->first].ready != 0;
}

/* Whether that object, on the top, is ready, after the handles were asked. */
static bool is_ready(lua_State *L, const Set *s, const Entry *e) {
  lmp_Waitable w;
  if (lua_topointer(L, -1) != e->object)
    return false; /* another one took its place */
  if (e->ready)
    return true;
  if (e->kind == LMP_WAIT_HANDLE || e->kind == LMP_WAIT_FOREIGN)
    return true;
  if (lmp_towaitable(L, &w) != NULL)
    return true; /* closed meanwhile: using it will tell */
  if (e->kind == LMP_WAIT_LISTENER)
    return mproc_listener_step(w.u.listener->core, true, true) != MPROC_AGAIN;
  if (e->kind == LMP_WAIT_POLLER)
    return is_poller_ready(L, w.u.poller->core, true);
  return is_receivable(
      L, w.u.connection,
      mproc_connection_is_touched(w.u.connection->core, &s->items[e->first]));
}

/* [-0, +1, e] Pushes the list of the objects that are ready; true: any. */
static bool collect(lua_State *L, const Set *s) {
  lua_Integer n = 0;
  lua_createtable(L, 1, 0); /* more are rarely ready at once */
  for (size_t i = 0; i < s->objects; i++) {
    const Entry *e = &s->entries[i];
    if (!may_be_ready(s, e))
      continue;
    lua_rawgeti(L, LIST, (lua_Integer)i + 1);
    if (is_ready(L, s, e))
      lua_rawseti(L, -2, ++n);
    else
      lua_pop(L, 1);
  }
  return n > 0;
}

/* Of the objects' addresses, in their order. */
static uint64_t digest_of(const Set *s) {
  uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a, by the word */
  for (size_t i = 0; i < s->objects; i++)
    digest = (digest ^ (uintptr_t)s->entries[i].object) * 0x100000001b3u;
  return digest;
}

static int wait_step(lua_State *L, lmp_Wait *w) {
  Set *s;
  lmp_KeptAnswer kept = lmp_askkept(L, LIST, w);
  if (kept != LMP_NOT_KEPT) {
    w->polled = w->woken = false;
    if (kept == LMP_KEPT_READY)
      return 1;
    lua_pushnil(L);
    lua_replace(L, SET); /* what it said of its handles is over */
    return LMP_AGAIN;
  }
  if (w->polled && lua_isuserdata(L, SET)) {
    if (collect(L, (Set *)lua_touserdata(L, SET)))
      return 1;
    lua_pop(L, 1);
    w->polled = false; /* parts of messages came: wait for the rest */
  }
  s = prepare(L, w->waited);
  lmp_noticelist(L, LIST, s->objects, digest_of(s));
  if (s->ready > 0 || w->expired || w->woken) {
    mproc_status st = MPROC_OK;
    if (s->ready < s->objects)
      st = mproc_os_poll(s->items, s->count, 0, s->scratch);
    if (st < 0)
      return lmp_pushfailure(L, st, "waiting", NULL);
    if (collect(L, s) || w->expired)
      return 1;
    lua_pop(L, 1);
    w->woken = false;
    return wait_step(L, w); /* parts of messages came: wait for the rest */
  }
  w->items = s->items;
  w->count = s->count;
  w->scratch = s->scratch;
  w->wake = s->wake;
  return LMP_AGAIN;
}

int lmp_wait(lua_State *L) {
  mproc_time deadline;
  luaL_checktype(L, LIST, LUA_TTABLE);
  deadline = lmp_optdeadline(L, 2);
  luaL_argcheck(L, lua_rawlen(L, LIST) > 0 || deadline != MPROC_NEVER, LIST,
                "nothing to wait for, without a timeout");
  lua_settop(L, LIST);
  lua_pushnil(L);
  return lmp_block(L, wait_step, deadline);
}

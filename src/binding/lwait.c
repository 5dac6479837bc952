/*
** lwait.c: connection.wait: which of many objects are ready.
**
** Stack of the operation: the list of objects at 1, and from the first step
** on a Set at 2: what to wait for on behalf of each object. The Set is made
** anew for every wait, since a listener waits for other handles each time.
*/
#include "binding/lmp.h"

#include <string.h>

#define LIST 1
#define SET 2

/* One object's share of the Set. */
typedef struct Entry {
  size_t first; /* of its items */
  bool ready;   /* known without asking the system */
} Entry;

/* A userdata: the head, then entries, then items, then scratch for poll. */
typedef struct Set {
  size_t objects;
  size_t capacity; /* items */
  size_t count;    /* items in use */
  Entry *entries;
  mproc_pollitem *items;
  void *scratch;
  mproc_time wake;
  bool waited; /* see lmp_Wait */
  bool any_ready;
} Set;

/* [-0, +0, m] Makes a Set with room for 'capacity' items at index SET. */
static Set *new_set(lua_State *L, size_t objects, size_t capacity,
                    bool waited) {
  size_t entries = objects * sizeof(Entry);
  size_t items = capacity * sizeof(mproc_pollitem);
  size_t size = sizeof(Set) + entries + items + mproc_os_poll_scratch(capacity);
  Set *s;
  lua_settop(L, LIST);
  s = (Set *)lua_newuserdatauv(L, size, 0);
  s->objects = objects;
  s->capacity = capacity;
  s->count = 0;
  s->entries = (Entry *)(s + 1);
  s->items = (mproc_pollitem *)(void *)(s->entries + objects);
  s->scratch = s->items + capacity;
  s->wake = MPROC_NEVER;
  s->waited = waited;
  s->any_ready = false;
  memset(s->entries, 0, entries);
  return s;
}

/* ---- one object ---- */

/* Misuse: object 'i', which is on the top, cannot be waited for. */
static int bad_object(lua_State *L, lua_Unsigned i, const char *problem) {
  const char *what = luaL_tolstring(L, -1, NULL);
  lua_pushfstring(L, "%s (at [%I]: %s)", problem, (LUAI_UACINT)i, what);
  return luaL_argerror(L, LIST, lua_tostring(L, -1));
}

/* [-0, +0, -] Adds an item; false: there is no room. */
static bool add_item(Set *s, mproc_pollitem item) {
  if (s->count == s->capacity)
    return false;
  s->items[s->count++] = item;
  return true;
}

static bool add_handle(Set *s, lua_Integer h) {
  mproc_pollitem item = {(mproc_handle)h, MPROC_READ, 0};
  return add_item(s, item);
}

/* Whether a receive would not block; or a client has news of its opening. */
static bool is_conn_ready(lua_State *L, lmp_Connection *c, bool readable) {
  mproc_status st =
      lmp_isbusy(c) ? MPROC_AGAIN : mproc_connection_ready(c->core, readable);
  lmp_releaseheld(L, -1, c);
  if (st == MPROC_NOMEM)
    lmp_pushfailure(L, st, NULL, NULL);
  return st == MPROC_OK ||
         (c->unannounced && mproc_connection_is_open(c->core));
}

/* What a waiter was asked to wait for, by a scheduler that uses us. */
static bool add_waiting(Set *s, Entry *e, mproc_pollitem item,
                        mproc_time until) {
  e->ready = until <= mproc_os_now();
  s->wake = mproc_deadline_min(s->wake, until);
  return e->ready || add_item(s, item);
}

static bool add_connection(lua_State *L, Set *s, Entry *e, lua_Unsigned i,
                           lmp_Connection *c) {
  mproc_pollitem item;
  mproc_time wake;
  if (c->core == NULL)
    bad_object(L, i, "connection is closed");
  if (!c->may_read)
    bad_object(L, i, "connection is write-only");
  e->ready = is_conn_ready(L, c, false);
  mproc_connection_want(c->core, MPROC_READ, &item, &wake);
  s->wake = mproc_deadline_min(s->wake, wake);
  return e->ready || add_item(s, item);
}

static bool add_listener(lua_State *L, Set *s, Entry *e, lua_Unsigned i,
                         const lmp_Listener *l) {
  mproc_time wake;
  if (l->core == NULL)
    bad_object(L, i, "listener is closed");
  /* a step, also for the deadlines of its peers, which no handle tells of */
  e->ready = mproc_listener_step(l->core, s->waited, true) != MPROC_AGAIN;
  if (e->ready)
    return true;
  if (s->capacity - s->count < mproc_listener_want_count(l->core))
    return false;
  s->count += mproc_listener_want(l->core, s->items + s->count,
                                  s->capacity - s->count, &wake);
  s->wake = mproc_deadline_min(s->wake, wake);
  return true;
}

/*
** [-0, +0 or +1, e] Calls the method 'name' of the object on the top, and
** pushes its result; false: it has none, nothing is pushed.
*/
static bool call_method(lua_State *L, const char *name) {
  if (lua_getfield(L, -1, name) == LUA_TNIL) {
    lua_pop(L, 1);
    return false;
  }
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  return true;
}

/* [-0, +0, e] Whether the object on the top says it has data already read. */
static bool says_dirty(lua_State *L) {
  bool dirty = false;
  if (call_method(L, "dirty")) {
    dirty = lua_toboolean(L, -1) != 0;
    lua_pop(L, 1);
  }
  return dirty;
}

/* An object of another library, on the top: 'pollfd', 'fileno' or 'getfd'. */
static bool add_foreign(lua_State *L, Set *s, Entry *e, lua_Unsigned i) {
  lua_Integer h;
  int whole;
  if (lua_type(L, -1) != LUA_TUSERDATA && lua_type(L, -1) != LUA_TTABLE)
    bad_object(L, i, "cannot wait for this");
  e->ready = says_dirty(L);
  if (e->ready)
    return true;
  if (!call_method(L, "pollfd") && !call_method(L, "fileno") &&
      !call_method(L, "getfd"))
    bad_object(L, i, "cannot wait for this: no fileno, getfd or pollfd");
  h = lua_tointegerx(L, -1, &whole);
  lua_pop(L, 1);
  if (!whole || h < 0 || h > INT32_MAX)
    bad_object(L, i, "object has no open descriptor");
  return add_handle(s, h);
}

/* The object on the top. False: the Set is too small. */
static bool add_object(lua_State *L, Set *s, Entry *e, lua_Unsigned i) {
  lmp_Connection *c;
  const lmp_Listener *l;
  mproc_pollitem item;
  mproc_time until;
  if (lua_isinteger(L, -1)) {
    lua_Integer h = lua_tointeger(L, -1);
    if (h < 0 || h > INT32_MAX)
      bad_object(L, i, "invalid descriptor");
    return add_handle(s, h);
  }
  c = lmp_toconnection(L, -1);
  if (c != NULL)
    return add_connection(L, s, e, i, c);
  l = lmp_tolistener(L, -1);
  if (l != NULL)
    return add_listener(L, s, e, i, l);
  if (lmp_towaiting(L, -1, &item, &until))
    return add_waiting(s, e, item, until);
  return add_foreign(L, s, e, i);
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
    lua_pop(L, 1);
    if (!added)
      return false;
    s->any_ready = s->any_ready || e->ready;
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

/* Whether the object on the top is ready, after the handles were asked. */
static bool is_ready(lua_State *L, const Set *s, const Entry *e) {
  lmp_Connection *c = lmp_toconnection(L, -1);
  const lmp_Listener *l = lmp_tolistener(L, -1);
  const mproc_pollitem *item = s->items + e->first;
  if (e->ready)
    return true;
  if (c != NULL) /* closed meanwhile: using it will tell */
    return c->core == NULL ||
           is_conn_ready(L, c, mproc_connection_is_touched(c->core, item));
  if (l != NULL)
    return l->core == NULL ||
           mproc_listener_step(l->core, true, true) != MPROC_AGAIN;
  return item->ready != 0;
}

/* [-0, +1, e] Pushes the list of the objects that are ready; true: any. */
static bool collect(lua_State *L, const Set *s) {
  lua_Integer n = 0;
  lua_newtable(L);
  for (size_t i = 0; i < s->objects; i++) {
    lua_rawgeti(L, LIST, (lua_Integer)i + 1);
    if (is_ready(L, s, &s->entries[i]))
      lua_rawseti(L, -2, ++n);
    else
      lua_pop(L, 1);
  }
  return n > 0;
}

static int wait_step(lua_State *L, lmp_Wait *w) {
  Set *s;
  if (w->polled) {
    if (collect(L, (Set *)lua_touserdata(L, SET)))
      return 1;
    w->polled = false; /* parts of messages came: wait for the rest */
  }
  s = prepare(L, w->waited);
  if (s->any_ready || w->expired || w->woken) {
    mproc_status st = mproc_os_poll(s->items, s->count, 0, s->scratch);
    if (st < 0)
      return lmp_pushfailure(L, st, "waiting", NULL);
    if (collect(L, s) || w->expired)
      return 1;
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
  return lmp_block(L, wait_step, deadline);
}

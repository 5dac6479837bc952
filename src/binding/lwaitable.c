/*
** lwaitable.c: what can be waited for: our own objects, descriptors, and the
** objects of other libraries, by the methods that they have for that.
*/
#include "binding/lmp.h"

#include <string.h>

bool lmp_todescriptor(lua_State *L, int idx, mproc_handle *h) {
  int whole;
  lua_Integer n = lua_tointegerx(L, idx, &whole);
  if (lua_type(L, idx) != LUA_TNUMBER || !whole || n < 0 || n > INT32_MAX)
    return false;
  *h = (mproc_handle)n;
  return true;
}

bool lmp_callmethod(lua_State *L, int idx, const char *name) {
  idx = lua_absindex(L, idx);
  if (lua_getfield(L, idx, name) == LUA_TNIL) {
    lua_pop(L, 1);
    return false;
  }
  lua_pushvalue(L, idx);
  lua_call(L, 1, 1);
  return true;
}

static const char *to_connection(lua_State *L, lmp_Waitable *w) {
  lmp_Connection *c = (lmp_Connection *)lua_touserdata(L, -1);
  w->kind = LMP_WAIT_CONNECTION;
  w->u.connection = c;
  if (c->core == NULL)
    return "connection is closed";
  return c->may_read ? NULL : "connection is write-only";
}

static const char *to_listener(lua_State *L, lmp_Waitable *w) {
  w->kind = LMP_WAIT_LISTENER;
  w->u.listener = (lmp_Listener *)lua_touserdata(L, -1);
  return w->u.listener->core != NULL ? NULL : "listener is closed";
}

static const char *to_poller(lua_State *L, lmp_Waitable *w) {
  w->kind = LMP_WAIT_POLLER;
  w->u.poller = (lmp_Poller *)lua_touserdata(L, -1);
  return w->u.poller->core != NULL ? NULL : "poller is closed";
}

static const char *to_userdata(lua_State *L, lmp_Waitable *w) {
  const lmp_State *s = lmp_state(L);
  const void *mt = lmp_metatable(L, -1);
  if (mt != NULL && (mt == s->connection_mt || mt == s->client_mt))
    return to_connection(L, w);
  if (mt != NULL && mt == s->listener_mt)
    return to_listener(L, w);
  if (mt != NULL && mt == s->poller_mt)
    return to_poller(L, w);
  w->kind = LMP_WAIT_FOREIGN;
  return NULL;
}

const char *lmp_towaitable(lua_State *L, lmp_Waitable *w) {
  int type = lua_type(L, -1);
  if (type == LUA_TUSERDATA)
    return to_userdata(L, w);
  w->kind = LMP_WAIT_FOREIGN;
  if (type == LUA_TTABLE)
    return NULL;
  if (type != LUA_TNUMBER)
    return "cannot wait for this";
  w->kind = LMP_WAIT_HANDLE;
  return lmp_todescriptor(L, -1, &w->u.handle) ? NULL : "invalid descriptor";
}

int lmp_badwaitable(lua_State *L, int arg, lua_Unsigned i,
                    const char *problem) {
  const char *what = luaL_tolstring(L, -1, NULL);
  if (i > 0)
    lua_pushfstring(L, "%s (at [%I]: %s)", problem, (LUAI_UACINT)i, what);
  else
    lua_pushfstring(L, "%s (%s)", problem, what);
  return luaL_argerror(L, arg, lua_tostring(L, -1));
}

/* ---- other libraries ---- */

/*
** [-1, +0, -] What 'events' returned: "rw", or poll(2)'s bits, as in cqueues. A
** socket that waits for neither is here to be read.
*/
static uint8_t pop_events(lua_State *L) {
  uint8_t events = 0;
  if (lua_isinteger(L, -1)) {
    lua_Integer bits = lua_tointeger(L, -1);
    if (bits & 1) /* POLLIN and POLLOUT, the same on all systems */
      events |= MPROC_READ;
    if (bits & 4)
      events |= MPROC_WRITE;
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    const char *names = lua_tostring(L, -1);
    if (strchr(names, 'r') != NULL)
      events |= MPROC_READ;
    if (strchr(names, 'w') != NULL)
      events |= MPROC_WRITE;
  }
  lua_pop(L, 1);
  return events != 0 ? events : MPROC_READ;
}

/* [-0, +0, e] Asks 'events' and 'timeout', which go with 'pollfd'. */
static void ask_protocol(lua_State *L, lmp_Asked *a) {
  if (lmp_callmethod(L, -1, "events"))
    a->events = pop_events(L);
  if (lmp_callmethod(L, -1, "timeout")) {
    if (lua_type(L, -1) == LUA_TNUMBER) {
      lua_Number seconds = lua_tonumber(L, -1);
      a->ready = seconds <= 0;
      a->wake = mproc_deadline_after(mproc_os_now(), (double)seconds);
    }
    lua_pop(L, 1);
  }
}

/* [-0, +1, e] Pushes what the object has for a descriptor; false: nothing. */
static bool push_descriptor(lua_State *L, lmp_Asked *a) {
  if (lmp_callmethod(L, -1, "pollfd")) {
    a->changes = true;
    lua_insert(L, -2); /* descriptor, object */
    ask_protocol(L, a);
    lua_insert(L, -2);
    return true;
  }
  if (lmp_callmethod(L, -1, "fileno") || lmp_callmethod(L, -1, "getfd"))
    return true;
  /* a process, which has none any more once it is closed */
  a->changes = true;
  if (lua_getfield(L, -1, "sentinel") != LUA_TNIL)
    return true;
  lua_pop(L, 1);
  return false;
}

/* What a waiter was asked to wait for, by a scheduler that uses us. */
static bool ask_waiting(lua_State *L, lmp_Asked *a) {
  mproc_pollitem item;
  if (!lmp_towaiting(L, -1, &item, &a->wake))
    return false;
  a->handle = item.handle;
  a->events = item.events;
  a->changes = true;
  a->ready = a->wake <= mproc_os_now();
  return true;
}

const char *lmp_askforeign(lua_State *L, lmp_Asked *a) {
  lmp_Asked none = {MPROC_NO_HANDLE, MPROC_READ, false, false, MPROC_NEVER};
  const char *problem = NULL;
  *a = none;
  if (ask_waiting(L, a))
    return NULL;
  if (lmp_callmethod(L, -1, "dirty")) {
    a->changes = true;
    a->ready = lua_toboolean(L, -1) != 0;
    lua_pop(L, 1);
    if (a->ready)
      return NULL;
  }
  if (!push_descriptor(L, a))
    return "cannot wait for this: no fileno, getfd or pollfd";
  if (lua_isnil(L, -1) && a->wake != MPROC_NEVER)
    a->events = 0; /* there is only time to wait for */
  else if (!lmp_todescriptor(L, -1, &a->handle))
    problem = "object has no open descriptor";
  lua_pop(L, 1);
  return problem;
}

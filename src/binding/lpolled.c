/*
** lpolled.c: the objects in a Poller: which one is which entry of the core.
**
** The user values keep them alive. What ends by itself, as a connection that is
** closed, is let go of at the next call.
*/
#include "binding/lpoller.h"

/* ---- which object is which ---- */

mproc_polled *lmp_polledentry(lua_State *L, int idx) {
  mproc_polled *e;
  lua_pushvalue(L, idx);
  lua_rawget(L, LMP_POLLER_TABLE(LMP_POLLER_ENTRIES));
  e = (mproc_polled *)lua_touserdata(L, -1);
  lua_pop(L, 1);
  return lmp_pollercore(L) != NULL ? e : NULL;
}

/* [-0, +0, -] Takes 'id' out of the list of those that are asked. */
static void unlist(lua_State *L, lua_Integer id) {
  lua_Integer n =
      (lua_Integer)lua_rawlen(L, LMP_POLLER_TABLE(LMP_POLLER_CHANGING));
  for (lua_Integer i = n; i > 0; i--) {
    bool found;
    lua_rawgeti(L, LMP_POLLER_TABLE(LMP_POLLER_CHANGING), i);
    found = lua_tointeger(L, -1) == id;
    lua_pop(L, 1);
    if (found) { /* the last one takes its place */
      lua_rawgeti(L, LMP_POLLER_TABLE(LMP_POLLER_CHANGING), n);
      lua_rawseti(L, LMP_POLLER_TABLE(LMP_POLLER_CHANGING), i);
      lua_pushnil(L);
      lua_rawseti(L, LMP_POLLER_TABLE(LMP_POLLER_CHANGING), n);
      return;
    }
  }
}

/* [-0, +0, -] Forgets an object that has no entry any more. */
static void forget(lua_State *L, lua_Integer id) {
  unlist(L, id);
  lua_rawgeti(L, LMP_POLLER_TABLE(LMP_POLLER_OBJECTS), id);
  lua_pushnil(L);
  lua_rawset(L, LMP_POLLER_TABLE(
                    LMP_POLLER_ENTRIES)); /* is there: allocates nothing */
  luaL_unref(L, LMP_POLLER_TABLE(LMP_POLLER_OBJECTS), (int)id);
}

void lmp_sweeppoller(lua_State *L) {
  mproc_poller *core = lmp_pollercore(L);
  int64_t id;
  while (core != NULL && mproc_poller_take_ended(core, &id))
    forget(L, (lua_Integer)id);
}

/*
** [-0, +0, m] Makes places for the object at index 2; returns its id. With
** these, nothing can fail once it has an entry.
*/
static lua_Integer reserve(lua_State *L, bool changes) {
  lua_Integer id;
  if (lmp_polledentry(L, 2) == NULL) {
    lua_pushvalue(L, 2);
    lua_pushboolean(L, 0);
    lua_rawset(L, LMP_POLLER_TABLE(LMP_POLLER_ENTRIES));
  }
  lua_pushvalue(L, 2);
  id = luaL_ref(L, LMP_POLLER_TABLE(LMP_POLLER_OBJECTS));
  if (changes) {
    lua_pushinteger(L, id);
    lua_rawseti(
        L, LMP_POLLER_TABLE(LMP_POLLER_CHANGING),
        (lua_Integer)lua_rawlen(L, LMP_POLLER_TABLE(LMP_POLLER_CHANGING)) + 1);
  }
  return id;
}

/* [-0, +0, -] Notes the entry of the object at index 2, which has its places. */
static void note(lua_State *L, mproc_polled *e) {
  lua_pushvalue(L, 2);
  lua_pushlightuserdata(L, e);
  lua_rawset(L, LMP_POLLER_TABLE(LMP_POLLER_ENTRIES));
}

/* ---- adding and removing ---- */

/* [-0, +0, e] What the object at index 2 is, and asks for at first. */
static void classify(lua_State *L, lmp_Waitable *w, lmp_Asked *asked) {
  const lmp_Asked plain = {MPROC_NO_HANDLE, MPROC_READ, false, false,
                           MPROC_NEVER};
  const char *problem;
  lua_pushvalue(L, 2);
  problem = lmp_towaitable(L, w);
  *asked = plain;
  if (problem == NULL && w->kind == LMP_WAIT_POLLER &&
      mproc_poller_reaches(w->u.poller->core, lmp_pollercore(L)))
    problem = "a poller cannot wait for itself";
  if (problem == NULL && w->kind == LMP_WAIT_FOREIGN)
    problem = lmp_askforeign(L, asked);
  if (problem != NULL)
    lmp_badwaitable(L, 2, 0, problem);
  if (w->kind == LMP_WAIT_HANDLE)
    asked->handle = w->u.handle;
  if (w->kind == LMP_WAIT_POLLER)
    asked->changes = true; /* what is in it may */
  lua_pop(L, 1);
}

/* What it was may have changed since: a finalizer has closed it. */
static bool is_still(lua_State *L, lmp_Waitable *w) {
  const char *problem;
  lua_pushvalue(L, 2);
  problem = lmp_towaitable(L, w);
  lua_pop(L, 1);
  return problem == NULL;
}

static mproc_status add_entry(mproc_poller *core, const lmp_Waitable *w,
                              const lmp_Asked *asked, lua_Integer id,
                              mproc_polled **e) {
  switch (w->kind) {
  case LMP_WAIT_CONNECTION:
    return mproc_poller_add_connection(core, w->u.connection->core, id, e);
  case LMP_WAIT_LISTENER:
    return mproc_poller_add_listener(core, w->u.listener->core, id, e);
  case LMP_WAIT_POLLER:
    return mproc_poller_add_poller(core, w->u.poller->core, id, e);
  default:
    return mproc_poller_add_handle(core, asked->handle, asked->events,
                                   asked->wake, id, e);
  }
}

static int closed_meanwhile(lua_State *L) {
  return lmp_misuse(L, "closed while it was added");
}

/*
** The object is in: a number, or what an object of another library has for one,
** may name another descriptor now.
*/
static int add_again(lua_State *L) {
  lmp_Waitable w;
  lmp_Asked asked;
  mproc_polled *e;
  mproc_status st = MPROC_OK;
  classify(L, &w, &asked);
  e = lmp_polledentry(L, 2);
  if (e == NULL)
    return closed_meanwhile(L);
  if (asked.handle != MPROC_NO_HANDLE)
    st = mproc_poller_change(e, asked.handle, asked.events, asked.wake, true);
  if (st != MPROC_OK) {
    mproc_poller_end(e);
    lmp_sweeppoller(L);
    return lmp_pushfailure(L, st, "watching", NULL);
  }
  lua_pushboolean(L, 0);
  return 1;
}

int lmp_poller_add(lua_State *L) {
  mproc_poller *core;
  lmp_Waitable w;
  lmp_Asked asked;
  mproc_polled *e;
  mproc_status st;
  lua_Integer id;
  luaL_checkany(L, 2);
  lmp_beginpoller(L);
  lmp_sweeppoller(L);
  if (lmp_polledentry(L, 2) != NULL)
    return add_again(L);
  classify(L, &w, &asked);
  id = reserve(L, asked.changes);
  if (lmp_polledentry(L, 2) !=
      NULL) { /* a finalizer, or a method of it, added it */
    unlist(L, id);
    luaL_unref(L, LMP_POLLER_TABLE(LMP_POLLER_OBJECTS), (int)id);
    return add_again(L);
  }
  core = lmp_pollercore(L);
  if (core == NULL || !is_still(L, &w)) {
    forget(L, id);
    return closed_meanwhile(L);
  }
  st = add_entry(core, &w, &asked, id, &e);
  if (st != MPROC_OK) {
    forget(L, id);
    return lmp_pushfailure(L, st, "watching", NULL);
  }
  note(L, e);
  if (asked.ready)
    mproc_poller_mark(e);
  lua_pushboolean(L, 1);
  return 1;
}

int lmp_poller_remove(lua_State *L) {
  mproc_polled *e;
  luaL_checkany(L, 2);
  lmp_beginpoller(L);
  lmp_sweeppoller(L);
  e = lmp_polledentry(L, 2);
  if (e != NULL) {
    lua_Integer id = (lua_Integer)mproc_poller_id(e);
    mproc_poller_remove(e);
    forget(L, id);
  }
  lua_pushboolean(L, e != NULL);
  return 1;
}

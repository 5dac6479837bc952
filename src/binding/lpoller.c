/*
** lpoller.c: the userdata of a Poller: a set of objects that persists.
**
** Its user values say which object is which entry of the core. They keep the
** objects alive; what ends by itself (a connection that is closed) is let go of
** at the next call.
*/
#include "binding/lmp.h"

#include <string.h>

/* The user values: tables, or nil once it is closed. */
enum {
  OBJECTS = 1, /* an entry's id -> its object (luaL_ref) */
  ENTRIES,     /* object -> its entry, a light userdata; false: none yet */
  CHANGING,    /* a list of the ids of objects to be asked before each wait */
  NUV = CHANGING
};

/* Where a function has the tables, lest a finalizer take them away: above its
   one argument. */
#define TABLE(which) (2 + (which))

static lmp_Poller *check_any(lua_State *L) {
  return (lmp_Poller *)luaL_checkudata(L, 1, LMP_POLLER);
}

static mproc_poller *check_open(lua_State *L) {
  const lmp_Poller *p = check_any(L);
  if (p->core == NULL)
    lmp_misuse(L, "poller is closed");
  return p->core;
}

/* [-?, +?, -] Leaves the poller, one argument and the tables on the stack. */
static mproc_poller *begin(lua_State *L) {
  mproc_poller *core = check_open(L);
  lua_settop(L, 2);
  for (int i = 1; i <= NUV; i++)
    lua_getiuservalue(L, 1, i);
  return core;
}

/* [-0, +0, -] Its core, after something that may have closed it; or NULL. */
static mproc_poller *core_of(lua_State *L) {
  return ((const lmp_Poller *)lua_touserdata(L, 1))->core;
}

static int push_failure(lua_State *L, mproc_status st, const char *doing) {
  return lmp_pushfailure(L, st, doing, NULL);
}

/* ---- which object is which ---- */

/* [-0, +0, -] The entry of the object at 'idx', or NULL. */
static mproc_polled *entry_of(lua_State *L, int idx) {
  mproc_polled *e;
  lua_pushvalue(L, idx);
  lua_rawget(L, TABLE(ENTRIES));
  e = (mproc_polled *)lua_touserdata(L, -1);
  lua_pop(L, 1);
  return core_of(L) != NULL ? e : NULL;
}

/* [-0, +0, -] Takes 'id' out of the list of those that are asked. */
static void unlist(lua_State *L, lua_Integer id) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, TABLE(CHANGING));
  for (lua_Integer i = n; i > 0; i--) {
    bool found;
    lua_rawgeti(L, TABLE(CHANGING), i);
    found = lua_tointeger(L, -1) == id;
    lua_pop(L, 1);
    if (found) { /* the last one takes its place */
      lua_rawgeti(L, TABLE(CHANGING), n);
      lua_rawseti(L, TABLE(CHANGING), i);
      lua_pushnil(L);
      lua_rawseti(L, TABLE(CHANGING), n);
      return;
    }
  }
}

/* [-0, +0, -] Forgets an object that has no entry any more. */
static void forget(lua_State *L, lua_Integer id) {
  unlist(L, id);
  lua_rawgeti(L, TABLE(OBJECTS), id);
  lua_pushnil(L);
  lua_rawset(L, TABLE(ENTRIES)); /* is there: allocates nothing */
  luaL_unref(L, TABLE(OBJECTS), (int)id);
}

/* [-0, +0, -] Forgets the objects that have ended. */
static void sweep(lua_State *L) {
  mproc_poller *core = core_of(L);
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
  if (entry_of(L, 2) == NULL) {
    lua_pushvalue(L, 2);
    lua_pushboolean(L, 0);
    lua_rawset(L, TABLE(ENTRIES));
  }
  lua_pushvalue(L, 2);
  id = luaL_ref(L, TABLE(OBJECTS));
  if (changes) {
    lua_pushinteger(L, id);
    lua_rawseti(L, TABLE(CHANGING),
                (lua_Integer)lua_rawlen(L, TABLE(CHANGING)) + 1);
  }
  return id;
}

/* [-0, +0, -] Notes the entry of the object at index 2, which has its places. */
static void note(lua_State *L, mproc_polled *e) {
  lua_pushvalue(L, 2);
  lua_pushlightuserdata(L, e);
  lua_rawset(L, TABLE(ENTRIES));
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
      mproc_poller_reaches(w->u.poller->core, core_of(L)))
    problem = "a poller cannot wait for itself";
  if (problem == NULL && w->kind == LMP_WAIT_FOREIGN)
    problem = lmp_askforeign(L, asked);
  if (problem != NULL)
    lmp_badwaitable(L, 2, 0, problem);
  if (w->kind == LMP_WAIT_HANDLE)
    asked->handle = w->u.handle;
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
  e = entry_of(L, 2);
  if (e == NULL)
    return closed_meanwhile(L);
  if (asked.handle != MPROC_NO_HANDLE)
    st = mproc_poller_change(e, asked.handle, asked.events, asked.wake, true);
  if (st != MPROC_OK) {
    mproc_poller_end(e);
    sweep(L);
    return push_failure(L, st, "watching");
  }
  lua_pushboolean(L, 0);
  return 1;
}

static int poller_add(lua_State *L) {
  mproc_poller *core;
  lmp_Waitable w;
  lmp_Asked asked;
  mproc_polled *e;
  mproc_status st;
  lua_Integer id;
  luaL_checkany(L, 2);
  begin(L);
  sweep(L);
  if (entry_of(L, 2) != NULL)
    return add_again(L);
  classify(L, &w, &asked);
  id = reserve(L, asked.changes);
  if (entry_of(L, 2) != NULL) { /* a finalizer, or a method of it, added it */
    unlist(L, id);
    luaL_unref(L, TABLE(OBJECTS), (int)id);
    return add_again(L);
  }
  core = core_of(L);
  if (core == NULL || !is_still(L, &w)) {
    forget(L, id);
    return closed_meanwhile(L);
  }
  st = add_entry(core, &w, &asked, id, &e);
  if (st != MPROC_OK) {
    forget(L, id);
    return push_failure(L, st, "watching");
  }
  note(L, e);
  if (asked.ready)
    mproc_poller_mark(e);
  lua_pushboolean(L, 1);
  return 1;
}

static int poller_remove(lua_State *L) {
  mproc_polled *e;
  luaL_checkany(L, 2);
  begin(L);
  sweep(L);
  e = entry_of(L, 2);
  if (e != NULL) {
    lua_Integer id = (lua_Integer)mproc_poller_id(e);
    mproc_poller_remove(e);
    forget(L, id);
  }
  lua_pushboolean(L, e != NULL);
  return 1;
}

/* ---- waiting ---- */

/*
** [-0, +0, e] Asks an object of another library, on the top, what it waits for
** now. 'waited': not for the first time in this wait.
*/
static void ask_again(lua_State *L, bool waited) {
  lmp_Asked asked;
  const char *problem = lmp_askforeign(L, &asked);
  mproc_polled *e = entry_of(L, -1);
  mproc_status st = MPROC_OK;
  if (e == NULL) /* its methods have removed it, or closed us */
    return;
  if (waited) /* a time counts from where the wait began */
    asked.wake = mproc_deadline_min(asked.wake, mproc_poller_deadline(e));
  if (asked.ready)
    mproc_poller_mark(e);
  else if (problem == NULL)
    st = mproc_poller_change(e, asked.handle, asked.events, asked.wake, false);
  if (problem != NULL || st != MPROC_OK)
    mproc_poller_end(e); /* it has closed its descriptor */
}

/* [-0, +0, e] Asks all of them. */
static void ask_changing(lua_State *L, bool waited) {
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, TABLE(CHANGING)); i > 0;
       i--) {
    if (lua_rawgeti(L, TABLE(CHANGING), i) == LUA_TNUMBER) {
      lua_rawgeti(L, TABLE(OBJECTS), lua_tointeger(L, -1));
      ask_again(L, waited);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
}

/* [-0, +1, m] Pushes the list of what the last look has found. */
static void push_ready(lua_State *L) {
  lua_Integer n = 0;
  int64_t id;
  lua_newtable(L);
  while (core_of(L) != NULL && mproc_poller_take(core_of(L), &id)) {
    lua_rawgeti(L, TABLE(OBJECTS), (lua_Integer)id);
    lua_rawseti(L, -2, ++n);
  }
}

/* [-0, +0 or +1, m] Fills 'w'; with more than one item, in a userdata. */
static int again(lua_State *L, lmp_Wait *w) {
  mproc_poller *core = core_of(L);
  size_t n = mproc_poller_want_count(core);
  w->items = &w->one;
  w->scratch = NULL;
  if (n > 1) {
    size_t size = n * sizeof *w->items;
    w->items = (mproc_pollitem *)lua_newuserdatauv(
        L, size + mproc_os_poll_scratch(n), 0);
    w->scratch = w->items + n;
    core = core_of(L);
    if (core == NULL) { /* a finalizer was here: no wait, and misuse */
      w->count = 0;
      w->wake = 0;
      return LMP_AGAIN;
    }
  }
  w->count = mproc_poller_want(core, w->items, n);
  w->wake = mproc_poller_wake(core);
  return LMP_AGAIN;
}

/* Stack: poller; whether there is no time limit; and what this puts there. */
static int wait_step(lua_State *L, lmp_Wait *w) {
  mproc_poller *core = begin(L);
  mproc_status st;
  ask_changing(L, w->waited);
  core = check_open(L);
  sweep(L);
  if (mproc_poller_count(core) == 0 && lua_toboolean(L, 2))
    return lmp_misuse(L, "nothing to wait for, without a timeout");
  st = mproc_poller_look(core, w->waited);
  if (st != MPROC_OK)
    return push_failure(L, st, "waiting");
  if (!mproc_poller_has(core) && !w->expired)
    return again(L, w);
  push_ready(L);
  return 1;
}

static int poller_wait(lua_State *L) {
  mproc_time deadline;
  check_open(L);
  deadline = lmp_optdeadline(L, 2);
  lua_settop(L, 1);
  lua_pushboolean(L, deadline == MPROC_NEVER);
  return lmp_block(L, wait_step, deadline);
}

/* ---- for other event loops ---- */

static int poller_fileno(lua_State *L) {
  mproc_handle h = MPROC_NO_HANDLE;
  mproc_status st = mproc_poller_export(check_open(L), &h);
  if (st != MPROC_OK)
    return push_failure(L, st, "making a descriptor for a poller");
  if (h == MPROC_NO_HANDLE) {
    lua_pushnil(L);
    return lmp_pushmessageerror(L, "OSError",
                                "pollers have no descriptor: they were built "
                                "with poll(2)");
  }
  lua_pushinteger(L, (lua_Integer)h);
  return 1;
}

static int poller_getfd(lua_State *L) {
  const lmp_Poller *p = check_any(L);
  mproc_handle h = MPROC_NO_HANDLE;
  if (p->core != NULL && mproc_poller_export(p->core, &h) != MPROC_OK)
    h = MPROC_NO_HANDLE;
  lua_pushinteger(L, (lua_Integer)h);
  return 1;
}

static int poller_events(lua_State *L) {
  check_open(L);
  lua_pushliteral(L, "r");
  return 1;
}

int lmp_pushtimeout(lua_State *L, mproc_poller *core) {
  mproc_status st = mproc_poller_settle(core);
  mproc_time wake = mproc_poller_has(core) ? 0 : mproc_poller_wake(core);
  if (st != MPROC_OK)
    return push_failure(L, st, "waiting");
  if (wake == MPROC_NEVER)
    lua_pushnil(L);
  else
    lua_pushnumber(L, (lua_Number)mproc_deadline_left(wake, mproc_os_now()) /
                          (lua_Number)MPROC_SECOND);
  return 1;
}

static int poller_timeout(lua_State *L) {
  begin(L);
  ask_changing(L, false);
  return lmp_pushtimeout(L, check_open(L));
}

/* ---- what it is, and its end ---- */

static int poller_gc(lua_State *L) { /* never raises */
  lmp_Poller *p = (lmp_Poller *)luaL_testudata(L, 1, LMP_POLLER);
  mproc_poller *core;
  if (p == NULL || p->core == NULL)
    return 0;
  core = p->core;
  p->core = NULL;
  mproc_poller_free(core);
  for (int i = 1; i <= NUV; i++) {
    lua_pushnil(L);
    lua_setiuservalue(L, 1, i);
  }
  return 0;
}

void lmp_cancelpoller(lua_State *L, const mproc_poller *core) {
  lmp_cancelwaits(L, mproc_poller_handle(core));
}

static int poller_leave(lua_State *L) { /* __close: never raises */
  const lmp_Poller *p = (const lmp_Poller *)luaL_testudata(L, 1, LMP_POLLER);
  if (p != NULL && p->core != NULL)
    lmp_cancelpoller(L, p->core);
  return poller_gc(L);
}

static int poller_close(lua_State *L) {
  check_any(L);
  poller_leave(L);
  lua_pushboolean(L, 1);
  return 1;
}

static int poller_len(lua_State *L) {
  const lmp_Poller *p = check_any(L);
  size_t n = p->core == NULL ? 0 : mproc_poller_count(p->core);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static int poller_tostring(lua_State *L) {
  const lmp_Poller *p = check_any(L);
  if (p->core == NULL)
    lua_pushliteral(L, LMP_POLLER " (closed)");
  else
    lua_pushfstring(L, LMP_POLLER " (%I objects)",
                    (LUAI_UACINT)mproc_poller_count(p->core));
  return 1;
}

/* __index: a method (upvalue 2), or 'closed'. */
static int poller_index(lua_State *L) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TNIL &&
      lua_type(L, 2) == LUA_TSTRING &&
      strcmp(lua_tostring(L, 2), "closed") == 0)
    lua_pushboolean(L, check_any(L)->core == NULL);
  return 1;
}

int lmp_poller_new(lua_State *L) {
  lmp_Poller *p = (lmp_Poller *)lua_newuserdatauv(L, sizeof *p, NUV);
  mproc_status st;
  p->core = NULL; /* closed: __gc has nothing to do yet */
  luaL_setmetatable(L, LMP_POLLER);
  for (int i = 1; i <= NUV; i++) {
    lua_newtable(L);
    lua_setiuservalue(L, -2, i);
  }
  st = mproc_poller_new(&lmp_state(L)->ctx.allocator, &p->core);
  return st == MPROC_OK ? 1 : push_failure(L, st, "making a poller");
}

int lmp_is_poller(lua_State *L) {
  lua_pushboolean(L, luaL_testudata(L, 1, LMP_POLLER) != NULL);
  return 1;
}

int lmp_is_polled(lua_State *L) {
  const lmp_Poller *p = check_any(L);
  bool is_in = false;
  if (p->core != NULL) {
    begin(L);
    sweep(L);
    is_in = entry_of(L, 2) != NULL;
  }
  lua_pushboolean(L, is_in);
  return 1;
}

/* ---- the tables ---- */

/* clang-format off */
static const luaL_Reg methods[] = {
  {"add", poller_add},
  {"close", poller_close},
  {"events", poller_events},
  {"fileno", poller_fileno},
  {"getfd", poller_getfd},
  {"pollfd", poller_getfd},
  {"remove", poller_remove},
  {"timeout", poller_timeout},
  {"wait", poller_wait},
  {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
  {"__close", poller_leave},
  {"__gc", poller_gc},
  {"__len", poller_len},
  {"__tostring", poller_tostring},
  {NULL, NULL},
};
/* clang-format on */

void lmp_openpoller(lua_State *L) {
  lmp_newtype(L, LMP_POLLER, methods, metamethods, poller_index,
              &lmp_state(L)->poller_mt);
}

/*
** lpoller.c: the userdata of a Poller: a set of objects that persists.
*/
#include "binding/lpoller.h"

#include <limits.h>
#include <string.h>

/* The one in argument 1, open or not. */
static lmp_Poller *check_any(lua_State *L) {
  const void *mt = lmp_metatable(L, 1);
  if (mt == NULL || mt != lmp_state(L)->poller_mt)
    luaL_typeerror(L, 1, "Poller");
  return (lmp_Poller *)lua_touserdata(L, 1);
}

mproc_poller *lmp_pollercore(lua_State *L) {
  return ((const lmp_Poller *)lua_touserdata(L, 1))->core;
}

/* Its core, where it is known to be one; misuse where it is closed. */
static mproc_poller *still_open(lua_State *L) {
  mproc_poller *core = lmp_pollercore(L);
  if (core == NULL)
    lmp_misuse(L, "poller is closed");
  return core;
}

static mproc_poller *check_open(lua_State *L) {
  check_any(L);
  return still_open(L);
}

/* [-?, +?, -] Leaves the poller, one argument and the tables. */
static void push_tables(lua_State *L) {
  lua_settop(L, 2);
  for (int i = 1; i <= LMP_POLLER_NUV; i++)
    lua_getiuservalue(L, 1, i);
}

mproc_poller *lmp_beginpoller(lua_State *L) {
  mproc_poller *core = check_open(L);
  push_tables(L);
  return core;
}

/* ---- waiting ---- */

/*
** [-0, +0, e] Asks an object of another library, on the top, what it waits for
** now; a poller asks those in it. 'waited': not for the first time in this wait.
*/
static void ask_again(lua_State *L, bool waited) {
  lmp_Asked asked;
  const char *problem;
  mproc_polled *e;
  mproc_status st = MPROC_OK;
  if (luaL_testudata(L, -1, LMP_POLLER) != NULL) {
    lmp_askinside(L, waited);
    return;
  }
  problem = lmp_askforeign(L, &asked);
  e = lmp_polledentry(L, -1);
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

/* [-0, +0, e] Asks all of them, and forgets those that have ended. */
static void ask_changing(lua_State *L, bool waited) {
  for (lua_Integer i =
           (lua_Integer)lua_rawlen(L, LMP_POLLER_TABLE(LMP_POLLER_CHANGING));
       i > 0; i--) {
    if (lua_rawgeti(L, LMP_POLLER_TABLE(LMP_POLLER_CHANGING), i) ==
        LUA_TNUMBER) {
      lua_rawgeti(L, LMP_POLLER_TABLE(LMP_POLLER_OBJECTS),
                  lua_tointeger(L, -1));
      ask_again(L, waited);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lmp_sweeppoller(L); /* none is ended twice */
}

/* Stack: poller; whether it has waited. */
static int ask_inside(lua_State *L) {
  bool waited = lua_toboolean(L, 2) != 0;
  if (lmp_pollercore(L) == NULL)
    return 0; /* a finalizer has closed it */
  lmp_beginpoller(L);
  ask_changing(L, waited);
  return 0;
}

void lmp_askinside(lua_State *L, bool waited) {
  bool any = lua_getiuservalue(L, -1, LMP_POLLER_CHANGING) == LUA_TTABLE &&
             lua_rawlen(L, -1) > 0;
  lua_pop(L, 1);
  if (!any) /* or it is closed */
    return;
  luaL_checkstack(L, 4, NULL);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, ask_inside, 1);
  lua_pushvalue(L, -2);
  lua_pushboolean(L, waited);
  lua_call(L, 2, 0);
}

/* [-0, +1, m] Pushes the list of what the last look has found. */
static void push_ready(lua_State *L) {
  size_t count = mproc_poller_ready_count(lmp_pollercore(L));
  lua_Integer n = 0;
  int64_t id;
  lua_createtable(L, count < INT_MAX ? (int)count : 0, 0);
  while (lmp_pollercore(L) != NULL &&
         mproc_poller_take(lmp_pollercore(L), &id)) {
    lua_rawgeti(L, LMP_POLLER_TABLE(LMP_POLLER_OBJECTS), (lua_Integer)id);
    lua_rawseti(L, -2, ++n);
  }
}

/* When to look again in any case. */
static mproc_time wake_of(lua_State *L, const mproc_poller *core) {
  mproc_time wake = mproc_poller_wake(core);
  if (lmp_haswaiter(L) && mproc_poller_handle(core) == MPROC_NO_HANDLE)
    wake = mproc_deadline_min(wake, mproc_os_now() + LMP_BLIND_PAUSE);
  return wake;
}

/* [-0, +0 or +1, m] Fills 'w'; with more than one item, in a userdata. */
static int again(lua_State *L, lmp_Wait *w) {
  mproc_poller *core = lmp_pollercore(L);
  size_t n = mproc_poller_want_count(core);
  w->items = &w->one;
  w->scratch = NULL;
  if (n > 1) {
    size_t size = n * sizeof *w->items;
    w->items = (mproc_pollitem *)lua_newuserdatauv(
        L, size + mproc_os_poll_scratch(n), 0);
    w->scratch = w->items + n;
    core = lmp_pollercore(L);
    if (core == NULL) { /* a finalizer was here: no wait, and misuse */
      w->count = 0;
      w->wake = 0;
      return LMP_AGAIN;
    }
  }
  w->count = mproc_poller_want(core, w->items, n);
  w->wake = wake_of(L, core);
  return LMP_AGAIN;
}

/* Looks without waiting, and gives way in between. */
static mproc_status give_way(lmp_Poller *p) {
  mproc_status st;
  bool brief;
  if (mproc_habit_looks_first(&p->habit)) {
    st = mproc_poller_look(p->core, false, 0);
    mproc_habit_looked(&p->habit, mproc_poller_has(p->core));
  } else {
    st = mproc_poller_glance(p->core, false);
  }
  if (st != MPROC_OK || mproc_poller_has(p->core))
    return st;
  brief = mproc_os_yield();
  st = mproc_poller_look(p->core, false, 0);
  mproc_habit_gave_way(&p->habit, brief, mproc_poller_has(p->core));
  return st;
}

static mproc_status look(lua_State *L, const lmp_Wait *w, lmp_Poller *p) {
  bool may_wait = w->may_wait && !w->expired;
  if (lmp_hashabit(w) && mproc_habit_gives_way(&p->habit)) {
    mproc_status st = give_way(p);
    if (st != MPROC_OK || mproc_poller_has(p->core) || lmp_ishooked(L, w))
      return st; /* a signal's hook comes first */
  }
  return mproc_poller_look(p->core, w->waited, may_wait ? w->deadline : 0);
}

/* Stack: poller; whether there is no time limit; and what this puts there. */
static int wait_step(lua_State *L, lmp_Wait *w) {
  mproc_poller *core;
  mproc_status st;
  push_tables(L);
  ask_changing(L, w->waited);
  core = still_open(L);
  if (mproc_poller_count(core) == 0 && lua_toboolean(L, 2)) {
    lua_newtable(L); /* the last one has ended meanwhile */
    return 1;
  }
  st = look(L, w, (lmp_Poller *)lua_touserdata(L, 1));
  if (st == MPROC_OK && lmp_haswaiter(L) && !mproc_poller_has(core))
    st = mproc_poller_entrust(core); /* others may fill buffers meanwhile */
  if (st != MPROC_OK)
    return lmp_pushfailure(L, st, "waiting", NULL);
  if (!mproc_poller_has(core) && !w->expired)
    return again(L, w);
  push_ready(L);
  return 1;
}

static int poller_wait(lua_State *L) {
  const mproc_poller *core = check_open(L);
  mproc_time deadline = lmp_optdeadline(L, 2);
  if (deadline == MPROC_NEVER && mproc_poller_count(core) == 0)
    return lmp_misuse(L, "nothing to wait for, without a timeout");
  lua_settop(L, 1);
  lua_pushboolean(L, deadline == MPROC_NEVER);
  return lmp_block(L, wait_step, deadline);
}

/* ---- for other event loops ---- */

static int poller_fileno(lua_State *L) {
  mproc_handle h = MPROC_NO_HANDLE;
  mproc_status st = mproc_poller_export(check_open(L), &h);
  if (st != MPROC_OK)
    return lmp_pushfailure(L, st, "making a descriptor for a poller", NULL);
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
    return lmp_pushfailure(L, st, "waiting", NULL);
  lmp_pushleft(L, wake);
  return 1;
}

static int poller_timeout(lua_State *L) {
  lmp_beginpoller(L);
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
  for (int i = 1; i <= LMP_POLLER_NUV; i++) {
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
  lmp_Poller *p = (lmp_Poller *)lua_newuserdatauv(L, sizeof *p, LMP_POLLER_NUV);
  mproc_status st;
  p->core = NULL; /* closed: __gc has nothing to do yet */
  memset(&p->habit, 0, sizeof p->habit);
  luaL_setmetatable(L, LMP_POLLER);
  for (int i = 1; i <= LMP_POLLER_NUV; i++) {
    lua_newtable(L);
    lua_setiuservalue(L, -2, i);
  }
  st = mproc_poller_new(&lmp_state(L)->ctx.allocator, &p->core);
  return st == MPROC_OK ? 1 : lmp_pushfailure(L, st, "making a poller", NULL);
}

int lmp_is_poller(lua_State *L) {
  lua_pushboolean(L, luaL_testudata(L, 1, LMP_POLLER) != NULL);
  return 1;
}

int lmp_is_polled(lua_State *L) {
  const lmp_Poller *p = check_any(L);
  bool is_in = false;
  if (p->core != NULL) {
    lmp_beginpoller(L);
    lmp_sweeppoller(L);
    is_in = lmp_polledentry(L, 2) != NULL;
  }
  lua_pushboolean(L, is_in);
  return 1;
}

/* ---- the tables ---- */

/* clang-format off */
static const luaL_Reg methods[] = {
  {"add", lmp_poller_add},
  {"close", poller_close},
  {"events", poller_events},
  {"fileno", poller_fileno},
  {"getfd", poller_getfd},
  {"pollfd", poller_getfd},
  {"remove", lmp_poller_remove},
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

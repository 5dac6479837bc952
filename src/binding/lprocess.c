/*
** lprocess.c: the userdata of a process that spawn has started.
*/
#include "binding/lmp.h"

#include <string.h>

lmp_Process *lmp_newprocess(lua_State *L) {
  lmp_Process *p =
      (lmp_Process *)lua_newuserdatauv(L, sizeof *p, LMP_PROCESS_NUV);
  p->core = NULL; /* __gc has nothing to do yet */
  luaL_setmetatable(L, LMP_PROCESS);
  return p;
}

/* The Process at index 1, or NULL. */
static lmp_Process *to_process(lua_State *L) {
  const void *mt = lmp_metatable(L, 1);
  if (mt == NULL || mt != lmp_state(L)->process_mt)
    return NULL;
  return (lmp_Process *)lua_touserdata(L, 1);
}

/* The same, to be used. Only a finalizer can find one without a core. */
static lmp_Process *check_any(lua_State *L) {
  lmp_Process *p = to_process(L);
  if (p == NULL)
    luaL_typeerror(L, 1, "Process");
  if (p->core == NULL)
    lmp_misuse(L, "process was collected");
  return p;
}

/* The same, for what only its parent may do with it. */
static mproc_process *check_child(lua_State *L) {
  mproc_process *core = check_any(L)->core;
  if (!mproc_process_is_ours(core))
    lmp_misuse(L, "process is the child of another one");
  return core;
}

static const char *push_name(lua_State *L) {
  lua_getiuservalue(L, 1, LMP_PROCESS_NAME);
  return lua_tostring(L, -1);
}

static mproc_handle sentinel_of(const lmp_Process *p) {
  return mproc_process_sentinel(p->core);
}

/* ---- its end ---- */

/* Closes the sentinel of the process at index 1: those who wait for it in loops
   of the program go on. */
static void close_sentinel(lua_State *L) {
  lmp_cancelwaits(L, sentinel_of(check_any(L)));
  mproc_process_close(check_any(L)->core); /* that ran Lua */
}

/*
** Whether the sentinel has been ready already, when the process has not ended.
** A waiter does not tell; so that has to be asked.
*/
static bool was_ready(lmp_Wait *w, const mproc_process *core) {
  if (!w->woken)
    return w->polled;
  mproc_process_want(core, false, &w->one, &w->wake);
  return mproc_os_poll(&w->one, 1, 0, NULL) == MPROC_OK;
}

/* Stack: process. */
static int join_step(lua_State *L, lmp_Wait *w) {
  mproc_process *core = check_child(L);
  int exitcode = 0;
  mproc_status st = mproc_process_poll(core, &exitcode);
  if (st == MPROC_OK) {
    lua_pushinteger(L, exitcode);
    return 1;
  }
  if (st == MPROC_AGAIN && !w->expired) {
    w->items = &w->one;
    w->count = 1;
    mproc_process_want(core, was_ready(w, core), &w->one, &w->wake);
    return LMP_AGAIN;
  }
  return lmp_pushfailure(L, st == MPROC_AGAIN ? MPROC_TIMEOUT : st,
                         "waiting for the end of", push_name(L));
}

static int process_join(lua_State *L) {
  mproc_time deadline;
  check_child(L);
  deadline = lmp_optdeadline(L, 2);
  lua_settop(L, 1);
  return lmp_block(L, join_step, deadline);
}

static int process_is_alive(lua_State *L) {
  int exitcode;
  mproc_status st = mproc_process_poll(check_child(L), &exitcode);
  lua_pushboolean(L, st == MPROC_AGAIN);
  return 1;
}

static int send_signal(lua_State *L, bool kill) {
  mproc_status st = mproc_process_signal(check_child(L), kill);
  if (st != MPROC_OK)
    return lmp_pushfailure(L, st, "ending", push_name(L));
  lua_pushboolean(L, 1);
  return 1;
}

static int process_terminate(lua_State *L) {
  return send_signal(L, false);
}

static int process_kill(lua_State *L) {
  return send_signal(L, true);
}

/* core.release(process): closes the sentinel of one that has ended. */
int lmp_release(lua_State *L) {
  close_sentinel(L);
  return 0;
}

/* Stack: process. */
static int close_step(lua_State *L, lmp_Wait *w) {
  int results = join_step(L, w);
  if (results != LMP_AGAIN)
    close_sentinel(L);
  return results;
}

/*
** __close: closes the connection, without waiting, so that a child which reads
** from it sees the end; then joins. Where the program is a copy of the parent,
** it just lets go.
*/
static int process_leave(lua_State *L) {
  lmp_Process *p = check_any(L);
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, LMP_PROCESS_CONNECTION);
  luaL_callmeta(L, -1, "__close");
  lua_settop(L, 1);
  if (p->core == NULL || !mproc_process_is_ours(p->core))
    return 0;
  return lmp_block(L, close_step, MPROC_NEVER);
}

/*
** __gc: never waits or raises. A process that still runs becomes an orphan of
** the context, to be reaped later, and that at each collection: one of those
** that were collected is the canary, which is marked for finalization again for
** as long as there are orphans (Lua 5.4 manual, section 2.5.3).
*/
static int process_gc(lua_State *L) {
  lmp_State *s = lmp_state(L);
  lmp_Process *p = to_process(L);
  mproc_process *core;
  if (p == NULL)
    return 0;
  core = p->core;
  p->core = NULL;
  mproc_process_free(core);
  if (s->canary == NULL)
    s->canary = p;
  if (s->canary != p)
    return 0;
  mproc_process_sweep(&s->ctx);
  if (s->ctx.orphans != NULL && lua_getmetatable(L, 1))
    lua_setmetatable(L, 1);
  else
    s->canary = NULL;
  return 0;
}

/* ---- for event loops ---- */

static int process_fileno(lua_State *L) {
  const lmp_Process *p = check_any(L);
  if (sentinel_of(p) == MPROC_NO_HANDLE)
    return lmp_misuse(L, "process is closed");
  lua_pushinteger(L, (lua_Integer)sentinel_of(p));
  return 1;
}

static int process_getfd(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)sentinel_of(check_any(L)));
  return 1;
}

static int process_events(lua_State *L) {
  check_any(L);
  lua_pushliteral(L, "r");
  return 1;
}

/* ---- properties ---- */

static void push_closed(lua_State *L, const lmp_Process *p) {
  lua_pushboolean(L, sentinel_of(p) == MPROC_NO_HANDLE);
}

static void push_connection(lua_State *L, const lmp_Process *p) {
  (void)p;
  lua_getiuservalue(L, 1, LMP_PROCESS_CONNECTION);
}

static void push_exitcode(lua_State *L, const lmp_Process *p) {
  int exitcode = 0;
  mproc_status st = mproc_process_is_ours(p->core)
                        ? mproc_process_poll(p->core, &exitcode)
                        : mproc_process_known(p->core, &exitcode);
  if (st == MPROC_OK)
    lua_pushinteger(L, exitcode);
  else
    lua_pushnil(L);
}

static void push_pid(lua_State *L, const lmp_Process *p) {
  lua_pushinteger(L, (lua_Integer)mproc_process_pid(p->core));
}

static void push_sentinel(lua_State *L, const lmp_Process *p) {
  if (sentinel_of(p) == MPROC_NO_HANDLE)
    lua_pushnil(L);
  else
    lua_pushinteger(L, (lua_Integer)sentinel_of(p));
}

typedef struct Property {
  const char *name;
  void (*push)(lua_State *L, const lmp_Process *p);
} Property;

static const Property properties[] = {
    {"closed", push_closed},     {"connection", push_connection},
    {"exitcode", push_exitcode}, {"pid", push_pid},
    {"sentinel", push_sentinel},
};

/* __index: a method (upvalue 2), or a property. */
static int process_index(lua_State *L) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TNIL &&
      lua_type(L, 2) == LUA_TSTRING) {
    const lmp_Process *p = check_any(L);
    const char *name = lua_tostring(L, 2);
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
      if (strcmp(properties[i].name, name) == 0) {
        properties[i].push(L, p);
        break;
      }
    }
  }
  return 1;
}

static int process_tostring(lua_State *L) {
  const lmp_Process *p = check_any(L);
  const char *name = push_name(L);
  int exitcode = 0;
  mproc_status st = mproc_process_known(p->core, &exitcode);
  lua_pushfstring(L, LMP_PROCESS " (%s, pid %I", name,
                  (LUAI_UACINT)mproc_process_pid(p->core));
  if (st == MPROC_OK)
    lua_pushfstring(L, ", exit code %d)", exitcode);
  else
    lua_pushstring(L, st == MPROC_AGAIN ? ")" : ", ended)");
  lua_concat(L, 2);
  return 1;
}

/* ---- the tables ---- */

/* clang-format off */
static const luaL_Reg methods[] = {
  {"events", process_events},
  {"fileno", process_fileno},
  {"getfd", process_getfd},
  {"is_alive", process_is_alive},
  {"join", process_join},
  {"kill", process_kill},
  {"pollfd", process_getfd},
  {"terminate", process_terminate},
  {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
  {"__close", process_leave},
  {"__gc", process_gc},
  {"__tostring", process_tostring},
  {NULL, NULL},
};
/* clang-format on */

void lmp_openprocess(lua_State *L) {
  lmp_newtype(L, LMP_PROCESS, methods, metamethods, process_index,
              &lmp_state(L)->process_mt);
}

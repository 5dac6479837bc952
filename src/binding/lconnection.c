/*
** lconnection.c: the userdata of a Connection, which a Client's is, too.
*/
#include "binding/lmp.h"

#include <math.h>
#include <string.h>

/* Seconds of spinning that are as good as for ever. */
#define SPIN_MAX 1e9f

/* ---- the userdata ---- */

lmp_Connection *lmp_newconnection(lua_State *L, const char *type, int nuv) {
  lmp_Connection *c = (lmp_Connection *)lua_newuserdatauv(L, sizeof *c, nuv);
  c->core = NULL; /* closed: __gc has nothing to do yet */
  c->timeout = HUGE_VAL;
  c->spin = 0;
  c->received = 0;
  memset(&c->habit, 0, sizeof c->habit);
  c->waits = 0;
  c->may_read = c->may_write = c->anchored = false;
  luaL_setmetatable(L, type);
  return c;
}

void lmp_setcore(lmp_Connection *c, mproc_connection *core,
                 const mproc_connection_options *o) {
  c->core = core;
  c->may_read = o->readable;
  c->may_write = o->writable;
}

void lmp_releaseheld(lua_State *L, int idx, lmp_Connection *c) {
  if (c->anchored && (c->core == NULL || !mproc_connection_holds(c->core))) {
    idx = lua_absindex(L, idx);
    c->anchored = false;
    lua_pushnil(L);
    lua_setiuservalue(L, idx, LMP_HELD);
  }
}

bool lmp_isbusy(const lmp_Connection *c) {
  return c->waits > 0 && c->core != NULL && !mproc_connection_is_open(c->core);
}

mproc_status lmp_stepconnection(lmp_Connection *c) {
  mproc_status st =
      lmp_isbusy(c) ? MPROC_AGAIN : mproc_connection_step(c->core);
  if (st != MPROC_AGAIN)
    mproc_connection_heard(c->core);
  return st;
}

lmp_Connection *lmp_toconnection(lua_State *L, int idx) {
  const lmp_State *s = lmp_state(L);
  const void *mt = lmp_metatable(L, idx);
  if (mt == NULL || (mt != s->connection_mt && mt != s->client_mt))
    return NULL;
  return (lmp_Connection *)lua_touserdata(L, idx);
}

mproc_handle lmp_handleof(const lmp_Connection *c) {
  return c->core == NULL ? MPROC_NO_HANDLE : mproc_connection_handle(c->core);
}

bool lmp_isclosed(const lmp_Connection *c) {
  return c->core == NULL || mproc_connection_is_closed(c->core);
}

/* The one at argument 'idx', open or not. */
static lmp_Connection *check_any(lua_State *L, int idx) {
  lmp_Connection *c = lmp_toconnection(L, idx);
  if (c == NULL)
    luaL_typeerror(L, idx, "Connection");
  return c;
}

lmp_Connection *lmp_checkconnection(lua_State *L, int idx) {
  lmp_Connection *c = check_any(L, idx);
  if (c->core == NULL)
    lmp_misuse(L, "connection is closed");
  return c;
}

lmp_Connection *lmp_checkreadable(lua_State *L) {
  lmp_Connection *c = lmp_checkconnection(L, 1);
  if (!c->may_read)
    lmp_misuse(L, "connection is write-only");
  return c;
}

lmp_Connection *lmp_checkwritable(lua_State *L) {
  lmp_Connection *c = lmp_checkconnection(L, 1);
  if (!c->may_write)
    lmp_misuse(L, "connection is read-only");
  return c;
}

lmp_Connection *lmp_stillopen(lua_State *L) {
  lmp_Connection *c = (lmp_Connection *)lua_touserdata(L, 1);
  if (c->core == NULL)
    lmp_misuse(L, "connection is closed");
  return c;
}

mproc_time lmp_deadlineof(const lmp_Connection *c) {
  if (c->timeout == HUGE_VAL)
    return MPROC_NEVER;
  if (!(c->timeout > 0))
    return 0;
  return mproc_deadline_after(mproc_os_now(), c->timeout);
}

/* [-0, +1, m] Pushes the text that names the other end in messages. */
static const char *push_name(lua_State *L, int idx, const lmp_Connection *c) {
  char text[MPROC_ADDRESS_TEXT_MAX];
  mproc_handle h = lmp_handleof(c);
  mproc_address a;
  if (lua_getiuservalue(L, idx, LMP_NAME) == LUA_TSTRING)
    return lua_tostring(L, -1);
  lua_pop(L, 1);
  if (h != MPROC_NO_HANDLE &&
      (mproc_os_peer_address(h, &a) || mproc_os_local_address(h, &a)))
    return lua_pushstring(L, mproc_address_format(&a, text));
  if (h != MPROC_NO_HANDLE)
    return lua_pushfstring(L, "descriptor %d", (int)h);
  return lua_pushliteral(L, "the peer");
}

/*
** [-0, +2, v] Pushes nil and the error of 'st' for the connection at 'idx',
** with its peer's address; returns 2.
*/
static int push_failure(lua_State *L, int idx, mproc_status st,
                        const char *doing) {
  const char *name = push_name(L, idx, check_any(L, idx));
  return lmp_pushfailure(L, st, doing, name);
}

/* Nanoseconds between two looks at what another coroutine is opening. */
#define BUSY_PAUSE (MPROC_SECOND / 50)

void lmp_want(lmp_Wait *w, const lmp_Connection *c, uint8_t events) {
  w->spin = events == MPROC_READ ? (double)c->spin : 0;
  w->items = &w->one;
  w->count = 1;
  mproc_connection_want(c->core, events, &w->one, &w->wake);
}

int lmp_await(lua_State *L, lmp_Wait *w, const lmp_Connection *c,
              uint8_t events) {
  if (!lmp_isbusy(c)) {
    lmp_want(w, c, events);
    return LMP_AGAIN;
  }
  w->count = 0;
  w->wake = mproc_os_now() + BUSY_PAUSE;
  w->spin = 0;
  lua_gc(L, LUA_GCSTEP, 0);
  return LMP_AGAIN;
}

int lmp_notyet(lua_State *L, lmp_Wait *w, mproc_status st, uint8_t events,
               const char *doing) {
  if (st == MPROC_AGAIN && !w->expired)
    return lmp_await(L, w, lmp_stillopen(L), events);
  return push_failure(L, 1, st == MPROC_AGAIN ? MPROC_TIMEOUT : st, doing);
}

/* ---- closing ---- */

/* What to wait for on behalf of a receive, and of a message that is held. */
static mproc_pollitem wanted(const lmp_Connection *c, mproc_time *wake) {
  mproc_pollitem item = {MPROC_NO_HANDLE, 0, 0};
  mproc_connection_want(c->core, c->may_read ? MPROC_READ : 0, &item, wake);
  return item;
}

/* Lets those go on who wait for it in other coroutines. Never raises. */
static void cancel_waits(lua_State *L, const lmp_Connection *c) {
  mproc_time wake;
  if (c->core != NULL)
    lmp_cancelwaits(L, wanted(c, &wake).handle);
}

/* Lets go of the core, and of the string it may hold. Never raises. */
static void close_now(lua_State *L, lmp_Connection *c) {
  mproc_connection *core = c->core;
  c->core = NULL; /* first: a second call finds it closed */
  mproc_connection_free(core);
  lmp_releaseheld(L, 1, c);
}

/* Stack: connection. */
static int close_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = check_any(L, 1);
  mproc_status st = MPROC_OK;
  const char *name = NULL;
  if (c->core != NULL && mproc_connection_is_open(c->core))
    st = lmp_flushheld(L, c);
  if (st == MPROC_AGAIN && !w->expired)
    return lmp_await(L, w, c, MPROC_WRITE);
  if (st != MPROC_OK)
    name = push_name(L, 1, c); /* while it has one */
  cancel_waits(L, c);
  close_now(L, c);
  if (st != MPROC_OK)
    return lmp_pushfailure(L, st == MPROC_AGAIN ? MPROC_TIMEOUT : st,
                           "sending to", name);
  lua_pushboolean(L, 1);
  return 1;
}

static int conn_close(lua_State *L) {
  const lmp_Connection *c = check_any(L, 1);
  lua_settop(L, 1);
  return lmp_block(L, close_step, lmp_deadlineof(c));
}

/* __gc: never waits or raises. Nobody waits for it any more. */
static int conn_gc(lua_State *L) {
  lmp_Connection *c = lmp_toconnection(L, 1);
  if (c != NULL && c->core != NULL) {
    if (mproc_connection_holds(c->core))
      mproc_connection_flush(c->core); /* what goes without waiting */
    close_now(L, c);
  }
  return 0;
}

/* __close: never waits or raises. */
static int conn_leave(lua_State *L) {
  const lmp_Connection *c = lmp_toconnection(L, 1);
  if (c != NULL)
    cancel_waits(L, c);
  return conn_gc(L);
}

/* Stack: connection. */
static int detach_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_checkconnection(L, 1);
  mproc_status st = lmp_stepconnection(c);
  mproc_connection *core;
  if (st == MPROC_OK)
    st = lmp_flushheld(L, c);
  if (st != MPROC_OK)
    return lmp_notyet(L, w, st, MPROC_WRITE, "sending to");
  cancel_waits(L, c);
  core = lmp_checkconnection(L, 1)->core; /* that ran Lua */
  if (mproc_connection_is_closed(core))   /* by what the peer sent */
    return push_failure(L, 1, MPROC_BAD_LENGTH, "detaching from");
  if (mproc_connection_buffers(core)) {
    lua_pushnil(L);
    return lmp_pushmessageerror(L, "OSError",
                                "cannot detach: bytes that came are buffered");
  }
  lua_pushinteger(L, (lua_Integer)mproc_connection_handle(core));
  c->core = NULL;
  mproc_connection_detach(core);
  return 1;
}

static int conn_detach(lua_State *L) {
  const lmp_Connection *c = lmp_checkconnection(L, 1);
  lua_settop(L, 1);
  return lmp_block(L, detach_step, lmp_deadlineof(c));
}

static int conn_settimeout(lua_State *L) {
  lmp_Connection *c = lmp_checkconnection(L, 1);
  luaL_checkany(L, 2);
  c->timeout = lmp_optseconds(L, 2);
  mproc_connection_settimeout(c->core, c->timeout);
  lua_pushboolean(L, 1);
  return 1;
}

static int conn_setspin(lua_State *L) {
  lmp_Connection *c = lmp_checkconnection(L, 1);
  double spin;
  luaL_checkany(L, 2);
  spin = lua_isnil(L, 2) ? 0 : lmp_optseconds(L, 2);
  c->spin = spin < SPIN_MAX ? (float)spin : SPIN_MAX;
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- for other event loops ---- */

static int conn_fileno(lua_State *L) {
  const lmp_Connection *c = lmp_checkconnection(L, 1);
  mproc_time wake;
  mproc_handle h = wanted(c, &wake).handle;
  if (h == MPROC_NO_HANDLE && mproc_connection_is_closed(c->core))
    return lmp_misuse(L, "connection is closed");
  lua_pushinteger(L, (lua_Integer)h);
  return 1;
}

static int conn_getfd(lua_State *L) {
  const lmp_Connection *c = check_any(L, 1);
  mproc_time wake;
  mproc_handle h = MPROC_NO_HANDLE;
  if (c->core != NULL)
    h = wanted(c, &wake).handle;
  lua_pushinteger(L, (lua_Integer)h);
  return 1;
}

static int conn_events(lua_State *L) {
  const lmp_Connection *c = lmp_checkconnection(L, 1);
  mproc_time wake;
  uint8_t events = wanted(c, &wake).events;
  const char *const names[] = {"", "r", "w", "rw"};
  lua_pushstring(L, names[events & (MPROC_READ | MPROC_WRITE)]);
  return 1;
}

static bool is_dirty(lua_State *L, lmp_Connection *c) {
  bool dirty = c->core != NULL && c->may_read &&
               (mproc_connection_is_open(c->core) ||
                mproc_connection_is_closed(c->core)) &&
               mproc_connection_ready(c->core, false) == MPROC_OK;
  lmp_releaseheld(L, 1, c);
  return dirty;
}

static int conn_dirty(lua_State *L) {
  lua_pushboolean(L, is_dirty(L, check_any(L, 1)));
  return 1;
}

static int conn_timeout(lua_State *L) {
  lmp_Connection *c = lmp_checkconnection(L, 1);
  mproc_time wake;
  wanted(c, &wake);
  lmp_pushleft(L, is_dirty(L, c) ? 0 : wake);
  return 1;
}

/* ---- what it prints as ---- */

static int conn_tostring(lua_State *L) {
  const lmp_Connection *c = check_any(L, 1);
  luaL_getmetafield(L, 1, "__name");
  if (lmp_isclosed(c))
    lua_pushfstring(L, "%s (closed)", lua_tostring(L, -1));
  else if (mproc_connection_handle(c->core) == MPROC_NO_HANDLE)
    lua_pushfstring(L, "%s (connecting)", lua_tostring(L, -1));
  else
    lua_pushfstring(L, "%s (descriptor %d)", lua_tostring(L, -1),
                    (int)mproc_connection_handle(c->core));
  return 1;
}

/* ---- the tables ---- */

/* clang-format off */
const luaL_Reg lmp_connection_methods[] = {
  {"close", conn_close},
  {"cork", lmp_connection_cork},
  {"detach", conn_detach},
  {"dirty", conn_dirty},
  {"events", conn_events},
  {"fileno", conn_fileno},
  {"flush", lmp_connection_flush},
  {"getfd", conn_getfd},
  {"poll", lmp_connection_poll},
  {"pollfd", conn_getfd},
  {"recv", lmp_connection_recv},
  {"recv_bytes", lmp_connection_recv_bytes},
  {"recv_bytes_into", lmp_connection_recv_bytes_into},
  {"recv_handle", lmp_recv_handle},
  {"send", lmp_connection_send},
  {"send_bytes", lmp_connection_send_bytes},
  {"send_handle", lmp_send_handle},
  {"send_many", lmp_connection_send_many},
  {"setspin", conn_setspin},
  {"settimeout", conn_settimeout},
  {"timeout", conn_timeout},
  {NULL, NULL},
};

const luaL_Reg lmp_connection_metamethods[] = {
  {"__close", conn_leave},
  {"__gc", conn_gc},
  {"__tostring", conn_tostring},
  {NULL, NULL},
};
/* clang-format on */

void lmp_openconnection(lua_State *L) {
  lmp_newtype(L, LMP_CONNECTION, lmp_connection_methods,
              lmp_connection_metamethods, lmp_connection_index,
              &lmp_state(L)->connection_mt);
}

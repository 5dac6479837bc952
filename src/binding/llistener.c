/*
** llistener.c: the userdata of a Listener.
*/
#include "binding/lmp.h"

#include <string.h>

#define CODEC 1 /* user value: as LMP_CODEC, for those that are accepted */

static lmp_Listener *new_listener(lua_State *L) {
  lmp_Listener *l = (lmp_Listener *)lua_newuserdatauv(L, sizeof *l, CODEC);
  l->core = NULL; /* closed: __gc has nothing to do yet */
  l->poller = NULL;
  luaL_setmetatable(L, LMP_LISTENER);
  return l;
}

/* [-0, +0, -] The Listener at argument 1, or NULL. */
static lmp_Listener *to_listener(lua_State *L) {
  const void *mt = lmp_metatable(L, 1);
  if (mt == NULL || mt != lmp_state(L)->listener_mt)
    return NULL;
  return (lmp_Listener *)lua_touserdata(L, 1);
}

static lmp_Listener *check_any(lua_State *L) {
  lmp_Listener *l = to_listener(L);
  if (l == NULL)
    luaL_typeerror(L, 1, "Listener");
  return l;
}

static lmp_Listener *check_open(lua_State *L) {
  lmp_Listener *l = check_any(L);
  if (l->core == NULL)
    lmp_misuse(L, "listener is closed");
  return l;
}

/* ---- accepting ---- */

/* [-0, +2, m] The failure of a peer, or (NULL) of the listener itself. */
static int push_failure(lua_State *L, mproc_listener *core, mproc_status st,
                        const mproc_accepted *peer) {
  char text[MPROC_ADDRESS_TEXT_MAX];
  mproc_address who;
  if (peer != NULL && mproc_os_address(&peer->peer, &who))
    return lmp_pushfailure(L, st, "handshake with",
                           mproc_address_format(&who, text));
  mproc_address_format(mproc_listener_address(core), text);
  return lmp_pushfailure(L, st, peer != NULL ? "handshake at" : "accepting at",
                         text);
}

/* [-0, +n, m] Pushes the peer that can be taken, or why there is none. */
static int take(lua_State *L, const lmp_Listener *l) {
  /* the userdata first: nothing can raise once the peer is taken */
  lmp_Connection *c = lmp_newconnection(L, LMP_CONNECTION, LMP_CONNECTION_NUV);
  mproc_accepted a;
  if (l->core == NULL || !mproc_listener_has(l->core))
    return 0; /* a finalizer was here */
  mproc_listener_take(l->core, &a);
  if (a.status != MPROC_OK)
    return push_failure(L, l->core, a.status, &a);
  lmp_setcore(c, a.connection, &mproc_connection_defaults);
  lua_getiuservalue(L, 1, CODEC);
  lua_setiuservalue(L, -2, LMP_CODEC);
  return 1;
}

/*
** What other loops wait for: a poller over the listener and its pending peers,
** which one descriptor cannot tell of. Made when it is first asked for; not OK:
** there is none.
*/
static mproc_status open_poller(lua_State *L, lmp_Listener *l) {
  mproc_poller *p = NULL;
  mproc_polled *e;
  mproc_handle h;
  mproc_status st = MPROC_OK;
  if (l->poller != NULL)
    return MPROC_OK;
  st = mproc_poller_new(&lmp_state(L)->ctx.allocator, &p);
  if (st == MPROC_OK)
    st = mproc_poller_add_listener(p, l->core, 0, &e);
  if (st == MPROC_OK)
    st = mproc_poller_export(p, &h);
  if (st != MPROC_OK) {
    mproc_poller_free(p);
    return st;
  }
  l->poller = p;
  return MPROC_OK;
}

/*
** [-0, +0, -] Has 'w' wait for that poller, where a loop of the program does the
** waiting: others may accept meanwhile, and whoever they take in counts, too.
** False: there is no need, or no poller.
*/
static bool await_poller(lua_State *L, lmp_Listener *l, lmp_Wait *w) {
  mproc_handle h = MPROC_NO_HANDLE;
  if (!lmp_haswaiter(L) || open_poller(L, l) != MPROC_OK ||
      mproc_poller_export(l->poller, &h) != MPROC_OK || h == MPROC_NO_HANDLE)
    return false;
  w->one.handle = h;
  w->one.events = MPROC_READ;
  w->one.ready = 0;
  w->items = &w->one;
  w->count = 1;
  w->scratch = NULL;
  w->wake = mproc_poller_wake(l->poller);
  return true;
}

/*
** [-0, +0, m] Makes room in 'w' for 'n' items: more than one are in a userdata at
** index 2, which may be there from the wait before.
*/
static void make_items(lua_State *L, lmp_Wait *w, size_t n) {
  size_t size = n * sizeof *w->items;
  size_t whole = size + mproc_os_poll_scratch(n);
  if (n == 1) {
    w->items = &w->one;
    w->scratch = NULL;
    return;
  }
  lua_settop(L, 2);
  if (lua_rawlen(L, 2) < whole) {
    lua_settop(L, 1);
    lua_newuserdatauv(L, whole, 0);
  }
  w->items = (mproc_pollitem *)lua_touserdata(L, 2);
  w->scratch = w->items + n;
}

/* [-0, +0, m] Fills 'w', with what 'make_items' has put there. */
static int again(lua_State *L, lmp_Listener *l, lmp_Wait *w) {
  size_t n = mproc_listener_want_count(l->core);
  if (await_poller(L, l, w))
    return LMP_AGAIN;
  make_items(L, w, n);
  w->count = 0;
  w->wake = 0; /* should a finalizer have closed it: no wait, and misuse */
  if (l->core != NULL)
    w->count = mproc_listener_want(l->core, w->items, n, &w->wake);
  return LMP_AGAIN;
}

/*
** Another loop that waits for the listener sees what has changed. Should that
** fail, it wakes that loop once more.
*/
static void tell_others(const lmp_Listener *l) {
  if (l->poller != NULL)
    mproc_poller_settle(l->poller);
}

/*
** Whether to wait before the first look: to ask in vain for a peer costs Linux
** as much as to accept one (the socket is made first), a wait that ends at once
** a tenth of that.
*/
static bool waits_first(lua_State *L, const lmp_Listener *l,
                        const lmp_Wait *w) {
  return w->may_wait && !w->waited && !w->expired &&
         !mproc_listener_has(l->core) && !lmp_state(L)->ctx.slow;
}

/* Stack: listener, and what 'again' has put there. */
static int accept_step(lua_State *L, lmp_Wait *w) {
  lmp_Listener *l = check_open(L);
  bool called =
      !w->polled || mproc_listener_is_called(l->core, w->items, w->count);
  /* another loop waits as we would */
  bool attended = w->waited || l->poller != NULL;
  mproc_status st;
  if (waits_first(L, l, w)) {
    if (!attended)
      mproc_listener_back(l->core);
    mproc_listener_leave(l->core);
    return again(L, l, w);
  }
  st = mproc_listener_step(l->core, attended, called);
  if (st == MPROC_OK) {
    int top = lua_gettop(L);
    int results = take(L, l);
    tell_others(l);
    if (results > 0)
      return results;
    lua_settop(L, top);
    return accept_step(L, w);
  }
  tell_others(l);
  if (st == MPROC_AGAIN && !w->expired)
    return again(L, l, w);
  return push_failure(L, l->core, st == MPROC_AGAIN ? MPROC_TIMEOUT : st, NULL);
}

static int listener_accept(lua_State *L) {
  mproc_time deadline;
  check_open(L);
  deadline = lmp_optdeadline(L, 2);
  lua_settop(L, 1);
  return lmp_block(L, accept_step, deadline);
}

/* core.accept(listener) -> connection | nil, err | nothing where nobody is. */
int lmp_listener_accept(lua_State *L) {
  check_open(L);
  lua_settop(L, 1);
  return lmp_try(L, accept_step);
}

/* ---- what it is, and its end ---- */

static int listener_fileno(lua_State *L) {
  const lmp_Listener *l = check_open(L);
  lua_pushinteger(L, (lua_Integer)mproc_listener_handle(l->core));
  return 1;
}

static int listener_getfd(lua_State *L) {
  const lmp_Listener *l = check_any(L);
  lua_Integer fd = -1;
  if (l->core != NULL)
    fd = (lua_Integer)mproc_listener_handle(l->core);
  lua_pushinteger(L, fd);
  return 1;
}

static int listener_pollfd(lua_State *L) {
  lmp_Listener *l = check_open(L);
  mproc_handle h = MPROC_NO_HANDLE;
  mproc_status st = open_poller(L, l);
  if (st == MPROC_OK)
    st = mproc_poller_export(l->poller, &h);
  if (st != MPROC_OK)
    return push_failure(L, l->core, st, NULL);
  if (h == MPROC_NO_HANDLE) /* this system has no such thing */
    h = mproc_listener_handle(l->core);
  lua_pushinteger(L, (lua_Integer)h);
  return 1;
}

static int listener_events(lua_State *L) {
  check_open(L);
  lua_pushliteral(L, "r");
  return 1;
}

static int listener_timeout(lua_State *L) {
  lmp_Listener *l = check_open(L);
  mproc_status st = open_poller(L, l);
  if (st != MPROC_OK)
    return push_failure(L, l->core, st, NULL);
  return lmp_pushtimeout(L, l->poller);
}

static int listener_gc(lua_State *L) { /* never raises */
  lmp_Listener *l = to_listener(L);
  if (l != NULL) {
    mproc_listener *core = l->core;
    mproc_poller *poller = l->poller;
    l->core = NULL;
    l->poller = NULL;
    mproc_listener_free(core);
    mproc_poller_free(poller);
  }
  return 0;
}

static int listener_leave(lua_State *L) { /* __close: never raises */
  const lmp_Listener *l = to_listener(L);
  if (l != NULL && l->core != NULL)
    lmp_cancelwaits(L, mproc_listener_handle(l->core));
  if (l != NULL && l->poller != NULL)
    lmp_cancelpoller(L, l->poller);
  return listener_gc(L);
}

static int listener_close(lua_State *L) {
  check_any(L);
  listener_leave(L);
  lua_pushboolean(L, 1);
  return 1;
}

static int push_property(lua_State *L, const lmp_Listener *l,
                         const char *name) {
  const mproc_address *a = NULL;
  mproc_address last;
  if (strcmp(name, "closed") == 0) {
    lua_pushboolean(L, l->core == NULL);
    return 1;
  }
  if (l->core != NULL && strcmp(name, "address") == 0)
    a = mproc_listener_address(l->core);
  else if (l->core != NULL && strcmp(name, "last_accepted") == 0 &&
           mproc_listener_last_accepted(l->core, &last))
    a = &last;
  if (a == NULL)
    lua_pushnil(L);
  else
    lmp_pushaddress(L, a);
  return 1;
}

/* __index: a method (upvalue 2), or a property. */
static int listener_index(lua_State *L) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TNIL &&
      lua_type(L, 2) == LUA_TSTRING)
    return push_property(L, check_any(L), lua_tostring(L, 2));
  return 1;
}

static int listener_tostring(lua_State *L) {
  char text[MPROC_ADDRESS_TEXT_MAX];
  const lmp_Listener *l = check_any(L);
  if (l->core == NULL)
    lua_pushliteral(L, LMP_LISTENER " (closed)");
  else
    lua_pushfstring(
        L, LMP_LISTENER " (%s)",
        mproc_address_format(mproc_listener_address(l->core), text));
  return 1;
}

/* ---- the constructor ---- */

int lmp_listener_new(lua_State *L) {
  lmp_Options o;
  mproc_address a;
  const mproc_address *at = NULL;
  char text[MPROC_ADDRESS_TEXT_MAX] = "a fresh address";
  lmp_Listener *l;
  mproc_status st = MPROC_OK;
  lua_settop(L, 2);
  lmp_checkoptions(L, 2, LMP_FOR_LISTENER, &o);
  if (!lua_isnil(L, 1)) {
    st = lmp_checkaddress(L, 1, o.family, &a);
    if (st != MPROC_OK)
      return lmp_pushfailure(L, st, "listening", NULL);
    lmp_checkfamily(L, 1, (mproc_family)a.family);
    mproc_address_format(&a, text);
    at = &a;
    o.family = (mproc_family)a.family;
  } else if (o.family == MPROC_FAMILY_NONE) {
    o.family = mproc_os_default_family();
  }
  luaL_argcheck(L, o.listener.allow == NULL || o.family == MPROC_AF_UNIX, 2,
                "option 'allow' is for AF_UNIX only");
  l = new_listener(L);
  lmp_pushcodec(L, &o);
  lua_setiuservalue(L, -2, CODEC);
  st = mproc_listener_new(&lmp_state(L)->ctx, at, o.family, &o.listener,
                          &l->core);
  if (st != MPROC_OK)
    return lmp_pushfailure(L, st, "listening at", text);
  return 1;
}

/* ---- the tables ---- */

/* clang-format off */
static const luaL_Reg methods[] = {
  {"accept", listener_accept},
  {"close", listener_close},
  {"events", listener_events},
  {"fileno", listener_fileno},
  {"getfd", listener_getfd},
  {"pollfd", listener_pollfd},
  {"timeout", listener_timeout},
  {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
  {"__close", listener_leave},
  {"__gc", listener_gc},
  {"__tostring", listener_tostring},
  {NULL, NULL},
};
/* clang-format on */

void lmp_openlistener(lua_State *L) {
  lmp_newtype(L, LMP_LISTENER, methods, metamethods, listener_index,
              &lmp_state(L)->listener_mt);
}

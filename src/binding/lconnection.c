/*
** lconnection.c: the userdata of a Connection, and of a Client, which has all of
** its methods.
*/
#include "binding/lmp.h"

#include <math.h>
#include <string.h>

#include "binding/lbuffer.h"

/* Seconds of spinning that are as good as for ever. */
#define SPIN_MAX 1e9f

/* ---- the userdata ---- */

lmp_Connection *lmp_newconnection(lua_State *L, const char *type, int nuv) {
  lmp_Connection *c = (lmp_Connection *)lua_newuserdatauv(L, sizeof *c, nuv);
  c->core = NULL; /* closed: __gc has nothing to do yet */
  c->timeout = HUGE_VAL;
  c->spin = 0;
  c->received = 0;
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

static bool is_closed(const lmp_Connection *c) {
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

mproc_time lmp_deadlineof(const lmp_Connection *c) {
  if (c->timeout == HUGE_VAL)
    return MPROC_NEVER;
  return mproc_deadline_after(mproc_os_now(), c->timeout);
}

/* [-0, +1, m] Pushes the text that names the other end in messages. */
static const char *push_name(lua_State *L, int idx, const lmp_Connection *c) {
  char text[MPROC_ADDRESS_TEXT_MAX];
  mproc_handle h =
      c->core == NULL ? MPROC_NO_HANDLE : mproc_connection_handle(c->core);
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

static void want(lmp_Wait *w, const lmp_Connection *c, uint8_t events) {
  w->spin = events == MPROC_READ ? (double)c->spin : 0;
  w->items = &w->one;
  w->count = 1;
  mproc_connection_want(c->core, events, &w->one, &w->wake);
}

/*
** [-0, +0, -] Fills 'w' with what the connection waits for; LMP_AGAIN. Runs
** finalizers, where it is busy: that coroutine may be gone (dropped, closed, or
** its waiter has raised an error), which only the collector can tell, and while
** we wait nothing else may call that.
*/
static int await(lua_State *L, lmp_Wait *w, const lmp_Connection *c,
                 uint8_t events) {
  if (!lmp_isbusy(c)) {
    want(w, c, events);
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
    return await(L, w, lmp_checkconnection(L, 1), events);
  return push_failure(L, 1, st == MPROC_AGAIN ? MPROC_TIMEOUT : st, doing);
}

/* ---- receiving ---- */

static void take(lmp_Connection *c) {
  c->received++;
  mproc_connection_pop(c->core);
}

/*
** The end of a receive: its 'results' have been made of the message that the
** core gave when 'received' had been taken. Only now is it taken, too: what
** failed on the way has lost nothing. Making them may have run a finalizer that
** closed the connection, or refused the message, which may close it, too; or
** took it itself. False: it did that, and they are gone.
*/
static bool take_message(lua_State *L, lmp_Connection *c, uint64_t received,
                         int results) {
  if (c->received != received) {
    lua_pop(L, results);
    return false;
  }
  if (!is_closed(c))
    take(c);
  return true;
}

static void push_message(lua_State *L, mproc_view message) {
  lua_pushlstring(L, (const char *)message.data, message.size);
}

/* [-1, +2, m] The message on the top is a listener's challenge. */
static int unasked(lua_State *L) {
  return lmp_pushmessageerror(L, mproc_status_name(MPROC_AUTH_UNASKED),
                              mproc_status_text(MPROC_AUTH_UNASKED));
}

/* Until when a receive may wait in the system; 0: not at all. */
static mproc_time waits_until(const lmp_Wait *w, const lmp_Connection *c) {
  bool spins = c->spin > 0 && !w->spun;
  return w->may_wait && !spins ? w->deadline : 0;
}

/* Others wait for a handle 'h' that what the peer sent has closed. */
static void wake_waiting(lua_State *L, const lmp_Connection *c,
                         mproc_handle h) {
  if (c->waits > 0 && mproc_connection_is_closed(c->core))
    lmp_cancelwaits(L, h);
}

/* The next message, once the connection is open. */
static mproc_status receive(lua_State *L, const lmp_Wait *w, lmp_Connection *c,
                            uint64_t max, mproc_view *message) {
  mproc_status st = lmp_stepconnection(c);
  if (st == MPROC_OK) {
    mproc_handle h = mproc_connection_handle(c->core);
    st =
        mproc_connection_recv_waiting(c->core, max, waits_until(w, c), message);
    wake_waiting(L, c, h);
  }
  lmp_releaseheld(L, 1, c);
  return st;
}

/* Stack: connection, limit or nil. */
static int recv_bytes_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_checkreadable(L);
  uint64_t max = lmp_optsize(L, 2, UINT64_MAX);
  uint64_t received = c->received;
  int results = 1;
  mproc_view message = {NULL, 0};
  mproc_status st = receive(L, w, c, max, &message);
  if (st != MPROC_OK && st != MPROC_AUTH_UNASKED)
    return lmp_notyet(L, w, st, MPROC_READ, "receiving from");
  push_message(L, message);
  if (st == MPROC_AUTH_UNASKED)
    results = unasked(L);
  if (!take_message(L, c, received, results)) {
    w->may_wait = false; /* nor has anybody looked for Ctrl-C since */
    return recv_bytes_step(L, w);
  }
  return results;
}

static int conn_recv_bytes(lua_State *L) {
  const lmp_Connection *c = lmp_checkreadable(L);
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING)
    return luaL_argerror(
        L, 2,
        "size expected, got string (to loop over messages, use "
        "'for message in conn:messages() do')");
  lmp_optsize(L, 2, 0);
  return lmp_block(L, recv_bytes_step, lmp_deadlineof(c));
}

/* receive for a Buffer, which stays on the stack and where it is. */
static mproc_status receive_into(lua_State *L, const lmp_Wait *w,
                                 lmp_Connection *c, uint8_t *to, size_t room,
                                 bool *placed, mproc_view *message) {
  mproc_status st = lmp_stepconnection(c);
  if (st == MPROC_OK) {
    mproc_handle h = mproc_connection_handle(c->core);
    st = mproc_connection_recv_into(c->core, waits_until(w, c), to, room,
                                    placed, message);
    wake_waiting(L, c, h);
  }
  if (*placed)
    c->received++;
  lmp_releaseheld(L, 1, c);
  return st;
}

/* Stack: connection, buffer, first position. */
static int recv_into_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_checkreadable(L);
  lmp_Buffer *b = lmp_checkbuffer(L, 2);
  size_t offset = (size_t)lua_tointeger(L, 3) - 1;
  uint64_t received = c->received;
  bool placed = false;
  mproc_view message = {NULL, 0};
  mproc_status st = receive_into(L, w, c, b->data + offset, b->size - offset,
                                 &placed, &message);
  if (st != MPROC_OK && st != MPROC_AUTH_UNASKED)
    return lmp_notyet(L, w, st, MPROC_READ, "receiving from");
  if (st == MPROC_OK && message.size <= b->size - offset) {
    if (!placed && message.size > 0)
      memcpy(b->data + offset, message.data, message.size);
    if (!placed)
      take(c);
    lua_pushinteger(L, (lua_Integer)message.size);
    return 1;
  }
  push_message(L, message);
  if (st == MPROC_AUTH_UNASKED)
    unasked(L);
  else
    lmp_pushmessageerror(L, "BufferTooShort",
                         "the message is longer than the buffer has room");
  if (!take_message(L, c, received, 2)) {
    w->may_wait = false;
    return recv_into_step(L, w);
  }
  return 2;
}

static int conn_recv_bytes_into(lua_State *L) {
  const lmp_Connection *c = lmp_checkreadable(L);
  const lmp_Buffer *b = lmp_checkbuffer(L, 2);
  lua_Integer first = luaL_optinteger(L, 3, 1);
  lua_Integer size = (lua_Integer)b->size;
  if (first < 0)
    first += size + 1;
  luaL_argcheck(L, first >= 1 && first <= size + 1, 3, "out of range");
  lua_settop(L, 2);
  lua_pushinteger(L, first);
  return lmp_block(L, recv_into_step, lmp_deadlineof(c));
}

/* ---- values ---- */

/*
** [-0, +2, -] Pushes a function of the codec of the connection at index 1 (entry
** 'which' of it, or pickle's own, which the registry has under 'key') and its
** options, or nil.
*/
static void push_function(lua_State *L, int which, const void *key) {
  bool custom = lua_getiuservalue(L, 1, LMP_CODEC) == LUA_TTABLE;
  int codec = lua_gettop(L);
  if (custom)
    lua_rawgeti(L, codec, which);
  if (!custom || !lua_toboolean(L, -1)) {
    lua_settop(L, codec);
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
  }
  if (!custom || (lua_rawgeti(L, codec, which + 1), !lua_toboolean(L, -1))) {
    lua_settop(L, codec + 1);
    lua_pushnil(L);
  }
  lua_remove(L, codec);
}

/*
** [-1, +1 or +2, e] Replaces the value on the top by what that function makes
** of it. Returns 1, or 2 for nil and an error object: of that name, where a
** codec of the program's own has no object to give.
*/
static int recode(lua_State *L, int which, const void *key, const char *name) {
  int value = lua_gettop(L);
  int arguments;
  push_function(L, which, key);
  arguments = lua_isnil(L, -1) ? 1 : 2;
  lua_pushvalue(L, value);
  lua_insert(L, -2); /* value, function, value, options */
  lua_settop(L, value + 1 + arguments);
  lua_call(L, arguments, 2);
  lua_remove(L, value); /* result, error */
  if (!lua_isnil(L, -2)) {
    lua_pop(L, 1);
    return 1;
  }
  if (lua_type(L, -1) == LUA_TTABLE)
    return 2;
  if (lua_isnil(L, -1))
    lua_pushliteral(L, "the codec returned nil");
  else
    luaL_tolstring(L, -1, NULL);
  return lmp_pusherror(L, name);
}

/* Stack: connection, nil. */
static int recv_step(lua_State *L, lmp_Wait *w) {
  int results = recv_bytes_step(L, w);
  return results == 1 ? recode(L, 3, &lmp_state(L)->loads, "UnpicklingError")
                      : results;
}

static int conn_recv(lua_State *L) {
  const lmp_Connection *c = lmp_checkreadable(L);
  lua_settop(L, 1);
  lua_pushnil(L);
  return lmp_block(L, recv_step, lmp_deadlineof(c));
}

/*
** core.receive(conn [, bytes]) -> value | nil, err | nil: as recv, or recv_bytes
** where 'bytes' is true, but without waiting: nothing where not all is here.
*/
int lmp_connection_receive(lua_State *L) {
  lmp_Step step = lua_toboolean(L, 2) ? recv_bytes_step : recv_step;
  lmp_checkreadable(L);
  lua_settop(L, 1);
  lua_pushnil(L);
  return lmp_try(L, step);
}

/* Whether the wait that has just ended, or a look now, finds it readable. */
static bool is_readable_now(lmp_Wait *w, const lmp_Connection *c) {
  if (!w->polled) {
    if (lmp_isbusy(c))
      return false;
    want(w, c, MPROC_READ);
    if (mproc_os_poll(w->items, w->count, 0, NULL) != MPROC_OK)
      return false;
  }
  return mproc_connection_is_touched(c->core, &w->one);
}

/* Stack: connection. */
static int poll_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_checkreadable(L);
  mproc_status st;
  if (!mproc_connection_is_open(c->core))
    w->polled = false; /* what was waited for was the handshake's */
  st = lmp_isbusy(c) ? MPROC_AGAIN : mproc_connection_ready(c->core, false);
  if (st == MPROC_AGAIN && is_readable_now(w, c))
    st = mproc_connection_ready(c->core, true);
  w->polled = false;
  lmp_releaseheld(L, 1, c);
  if (mproc_connection_is_open(c->core))
    mproc_connection_heard(c->core);
  if (st == MPROC_AGAIN && !w->expired)
    return await(L, w, c, MPROC_READ);
  if (st == MPROC_NOMEM)
    return lmp_pushfailure(L, st, NULL, NULL);
  lua_pushboolean(L, st == MPROC_OK);
  return 1;
}

static int conn_poll(lua_State *L) {
  mproc_time deadline = 0;
  lmp_checkreadable(L);
  if (lua_gettop(L) >= 2) /* an explicit nil waits for ever, as None does */
    deadline = lmp_optdeadline(L, 2);
  lua_settop(L, 1);
  return lmp_block(L, poll_step, deadline);
}

/* ---- sending ---- */

mproc_status lmp_flushheld(lua_State *L, lmp_Connection *c) {
  mproc_status st = mproc_connection_flush(c->core);
  lmp_releaseheld(L, 1, c);
  return st;
}

void lmp_leaveheld(lua_State *L, const lmp_Connection *c) {
  if (c->core != NULL && mproc_connection_holds(c->core))
    lmp_cancelwaits(L, mproc_connection_handle(c->core));
}

void lmp_keepheld(lua_State *L, lmp_Connection *c, int idx) {
  if (mproc_connection_holds(c->core)) {
    lua_pushvalue(L, idx);
    lua_setiuservalue(L, 1, LMP_HELD);
    c->anchored = true;
  }
}

/*
** Stack: connection; the string, or true once it was accepted; its first and
** last position. A message that was accepted is as good as sent: when time
** runs out, the rest is held and later calls deliver it.
*/
static int send_bytes_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_checkwritable(L);
  mproc_status st = lmp_stepconnection(c);
  bool corked = mproc_connection_is_corked(c->core);
  if (st == MPROC_OK && !corked)
    st = lmp_flushheld(L, c);
  if (st == MPROC_OK && lua_type(L, 2) == LUA_TSTRING) {
    mproc_view message;
    lua_Integer first = lua_tointeger(L, 3);
    message.data = (const uint8_t *)lua_tostring(L, 2) + (first - 1);
    message.size = (size_t)(lua_tointeger(L, 4) - first + 1);
    st = mproc_connection_send(c->core, message);
    if (st == MPROC_OK) {
      if (!corked || message.size > MPROC_COPY_MAX)
        lmp_keepheld(L, c, 2);
      lua_pushboolean(L, 1);
      lua_replace(L, 2);
      if (!corked && mproc_connection_holds(c->core))
        st = MPROC_AGAIN;
    }
  }
  if (st == MPROC_AGAIN && w->expired && lua_type(L, 2) == LUA_TBOOLEAN) {
    lmp_leaveheld(L, c);
    st = MPROC_OK;
  }
  if (st != MPROC_OK)
    return lmp_notyet(L, w, st, MPROC_WRITE, "sending to");
  lua_pushboolean(L, 1);
  return 1;
}

/*
** [-0, +0, v] Checks the range in arguments 3 and 4 of 'size' bytes; leaves it
** there as absolute positions: 1 <= first <= last + 1 <= size + 1.
*/
static void check_range(lua_State *L, size_t size) {
  lua_Integer n = (lua_Integer)size;
  lua_Integer first = luaL_optinteger(L, 3, 1);
  lua_Integer last = luaL_optinteger(L, 4, -1);
  if (first < 0)
    first += n + 1;
  if (last < 0)
    last += n + 1;
  luaL_argcheck(L, first >= 1 && first <= n + 1, 3, "out of range");
  luaL_argcheck(L, last >= first - 1 && last <= n, 4, "out of range");
  lua_settop(L, 2);
  lua_pushinteger(L, first);
  lua_pushinteger(L, last);
}

static int conn_send_bytes(lua_State *L) {
  const lmp_Connection *c = lmp_checkwritable(L);
  size_t size;
  const char *data = lmp_checkbytes(L, 2, &size);
  check_range(L, size);
  if (lua_type(L, 2) != LUA_TSTRING) {
    /* a Buffer may change while the message is under way: send a copy */
    lua_Integer first = lua_tointeger(L, 3);
    lua_Integer count = lua_tointeger(L, 4) - first + 1;
    lua_pushlstring(L, data + (first - 1), (size_t)count);
    lua_replace(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 1);
    lua_pushinteger(L, count);
  }
  return lmp_block(L, send_bytes_step, lmp_deadlineof(c));
}

int lmp_dumpmessage(lua_State *L) {
  int results = recode(L, 1, &lmp_state(L)->dumps, "PicklingError");
  if (results == 1 && lua_type(L, -1) != LUA_TSTRING)
    return luaL_error(L, "codec.dumps returned a %s, not a string",
                      luaL_typename(L, -1));
  return results;
}

static int conn_send(lua_State *L) {
  const lmp_Connection *c = lmp_checkwritable(L);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  if (lmp_dumpmessage(L) == 2)
    return 2;
  lua_pushinteger(L, 1);
  lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 2));
  return lmp_block(L, send_bytes_step, lmp_deadlineof(c));
}

/* Stack: connection. */
static int flush_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_checkconnection(L, 1);
  mproc_status st = lmp_stepconnection(c);
  if (st == MPROC_OK)
    st = lmp_flushheld(L, c);
  if (st == MPROC_AGAIN && w->expired)
    lmp_leaveheld(L, c);
  if (st != MPROC_OK)
    return lmp_notyet(L, w, st, MPROC_WRITE, "sending to");
  lua_pushboolean(L, 1);
  return 1;
}

static int conn_flush(lua_State *L) {
  const lmp_Connection *c = lmp_checkconnection(L, 1);
  mproc_time deadline =
      lua_gettop(L) >= 2 ? lmp_optdeadline(L, 2) : lmp_deadlineof(c);
  mproc_connection_cork(c->core, false);
  lua_settop(L, 1);
  return lmp_block(L, flush_step, deadline);
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
    return await(L, w, c, MPROC_WRITE);
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
  if (is_dirty(L, c))
    wake = 0;
  if (wake == MPROC_NEVER) {
    lua_pushnil(L);
  } else {
    mproc_time left = mproc_deadline_left(wake, mproc_os_now());
    lua_pushnumber(L, (lua_Number)left / (lua_Number)MPROC_SECOND);
  }
  return 1;
}

/* ---- properties ---- */

static void push_closed(lua_State *L, const lmp_Connection *c) {
  lua_pushboolean(L, is_closed(c));
}

static void push_peer(lua_State *L, const lmp_Connection *c) {
  mproc_address a;
  mproc_handle h =
      c->core == NULL ? MPROC_NO_HANDLE : mproc_connection_handle(c->core);
  if (h != MPROC_NO_HANDLE && mproc_os_peer_address(h, &a))
    lmp_pushaddress(L, &a);
  else
    lua_pushnil(L);
}

static void push_credentials(lua_State *L, const lmp_Connection *c) {
  mproc_credentials peer;
  mproc_handle h =
      c->core == NULL ? MPROC_NO_HANDLE : mproc_connection_handle(c->core);
  if (h == MPROC_NO_HANDLE || !mproc_os_peer_credentials(h, &peer)) {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, (lua_Integer)peer.uid);
  lua_setfield(L, -2, "uid");
  lua_pushinteger(L, (lua_Integer)peer.gid);
  lua_setfield(L, -2, "gid");
  if (peer.pid != 0) {
    lua_pushinteger(L, (lua_Integer)peer.pid);
    lua_setfield(L, -2, "pid");
  }
}

static void push_readable(lua_State *L, const lmp_Connection *c) {
  lua_pushboolean(L, c->core == NULL ? c->may_read
                                     : mproc_connection_is_readable(c->core));
}

static void push_writable(lua_State *L, const lmp_Connection *c) {
  lua_pushboolean(L, c->may_write);
}

typedef struct Property {
  const char *name;
  void (*push)(lua_State *L, const lmp_Connection *c);
} Property;

static const Property properties[] = {
    {"closed", push_closed},     {"credentials", push_credentials},
    {"peer", push_peer},         {"readable", push_readable},
    {"writable", push_writable},
};

/* __index: a method (upvalue 2), or a property. */
int lmp_connection_index(lua_State *L) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TNIL &&
      lua_type(L, 2) == LUA_TSTRING) {
    const lmp_Connection *c = check_any(L, 1);
    const char *name = lua_tostring(L, 2);
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
      if (strcmp(properties[i].name, name) == 0) {
        properties[i].push(L, c);
        break;
      }
    }
  }
  return 1;
}

static int conn_tostring(lua_State *L) {
  const lmp_Connection *c = check_any(L, 1);
  luaL_getmetafield(L, 1, "__name");
  if (is_closed(c))
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
  {"flush", conn_flush},
  {"getfd", conn_getfd},
  {"poll", conn_poll},
  {"pollfd", conn_getfd},
  {"recv", conn_recv},
  {"recv_bytes", conn_recv_bytes},
  {"recv_bytes_into", conn_recv_bytes_into},
  {"recv_handle", lmp_recv_handle},
  {"send", conn_send},
  {"send_bytes", conn_send_bytes},
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

/*
** lreceive.c: what reads from a connection.
*/
#include "binding/lmp.h"

#include <string.h>

#include "binding/lbuffer.h"

/* ---- bytes ---- */

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
static bool take_message(lua_State *L, lmp_Connection *c, uint32_t received,
                         int results) {
  if (c->received != received) {
    lua_pop(L, results);
    return false;
  }
  if (!lmp_isclosed(c))
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

/* ---- looking for the next message ---- */

/* What a receive asks for, and gets. */
typedef struct Incoming {
  uint64_t max; /* bytes that the message may have */
  uint8_t *to;  /* where it is wanted, should it fit in 'room'; or NULL */
  size_t room;
  bool placed; /* it is there, and taken */
  mproc_view message;
} Incoming;

/* Until when a receive may wait in the system; 0: not at all. */
static mproc_time waits_until(const lmp_Wait *w, const lmp_Connection *c) {
  bool spins = c->spin > 0 && !w->spun;
  return w->may_wait && !spins ? w->deadline : 0;
}

/* 'begun': it does not wait for a message that has not begun. */
static mproc_status look(const lmp_Wait *w, lmp_Connection *c, bool begun,
                         Incoming *in) {
  mproc_time until = waits_until(w, c);
  mproc_status st;
  if (in->to == NULL)
    return mproc_connection_recv_waiting(c->core, in->max, until, begun,
                                         &in->message);
  st = mproc_connection_recv_into(c->core, until, begun, in->to, in->room,
                                  &in->placed, &in->message);
  if (in->placed)
    c->received++;
  return st;
}

static mproc_status find(lua_State *L, const lmp_Wait *w, lmp_Connection *c,
                         Incoming *in) {
  bool habit = c->spin <= 0 && lmp_hashabit(w);
  bool gives_way = habit && mproc_habit_gives_way(&c->habit);
  mproc_status st = MPROC_AGAIN;
  if (!habit || !mproc_connection_is_idle(c->core) ||
      mproc_habit_looks_first(&c->habit)) {
    st = look(w, c, gives_way, in);
    if (habit)
      mproc_habit_looked(&c->habit, st != MPROC_AGAIN);
  }
  if (gives_way && st == MPROC_AGAIN) {
    bool brief = mproc_os_yield();
    if (!lmp_ishooked(L, w)) /* a signal's comes before any wait in 'look' */
      st = look(w, c, true, in);
    mproc_habit_gave_way(&c->habit, brief, st != MPROC_AGAIN);
  }
  return st;
}

/* Others wait for a handle 'h' that what the peer sent has closed. */
static void wake_waiting(lua_State *L, const lmp_Connection *c,
                         mproc_handle h) {
  if (c->waits > 0 && mproc_connection_is_closed(c->core))
    lmp_cancelwaits(L, h);
}

/* The next message, once the connection is open. */
static mproc_status receive(lua_State *L, const lmp_Wait *w, lmp_Connection *c,
                            Incoming *in) {
  mproc_status st = lmp_stepconnection(c);
  if (st == MPROC_OK) {
    mproc_handle h = mproc_connection_handle(c->core);
    st = find(L, w, c, in);
    wake_waiting(L, c, h);
  }
  lmp_releaseheld(L, 1, c);
  return st;
}

/* ---- bytes ---- */

/*
** [-0, +0 or +1, m] Takes the next message where that is all there is to do: one
** that was read ahead. False: it takes a step.
*/
static bool take_next(lua_State *L, lmp_Connection *c) {
  uint32_t received = c->received;
  mproc_view message;
  if (!mproc_connection_next(c->core, &message))
    return false;
  push_message(L, message);
  return take_message(L, c, received, 1);
}

/* Stack: connection; the limit, if there is one. */
static int recv_bytes_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_stillopen(L);
  uint64_t max = lua_gettop(L) < 2 ? UINT64_MAX : lmp_optsize(L, 2, UINT64_MAX);
  uint32_t received = c->received;
  int results = 1;
  Incoming in = {max, NULL, 0, false, {NULL, 0}};
  mproc_status st = receive(L, w, c, &in);
  if (st != MPROC_OK && st != MPROC_AUTH_UNASKED)
    return lmp_notyet(L, w, st, MPROC_READ, "receiving from");
  push_message(L, in.message);
  if (st == MPROC_AUTH_UNASKED)
    results = unasked(L);
  if (!take_message(L, c, received, results)) {
    w->may_wait = false; /* nor has anybody looked for Ctrl-C since */
    return recv_bytes_step(L, w);
  }
  return results;
}

/* [-0, +0, v] Checks the limit at index 2, and leaves nothing behind it. */
static void check_limit(lua_State *L) {
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING)
    luaL_argerror(L, 2,
                  "size expected, got string (to loop over messages, use "
                  "'for message in conn:messages() do')");
  lmp_optsize(L, 2, 0);
}

int lmp_connection_recv_bytes(lua_State *L) {
  lmp_Connection *c = lmp_checkreadable(L);
  if (lua_gettop(L) > 1)
    check_limit(L);
  else if (take_next(L, c))
    return 1;
  return lmp_block(L, recv_bytes_step, lmp_deadlineof(c));
}

/* Stack: connection, buffer, first position. */
static int recv_into_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_stillopen(L);
  lmp_Buffer *b = (lmp_Buffer *)lua_touserdata(L, 2);
  size_t offset = (size_t)lua_tointeger(L, 3) - 1;
  uint32_t received = c->received;
  Incoming in = {
      UINT64_MAX, b->data + offset, b->size - offset, false, {NULL, 0}};
  mproc_status st = receive(L, w, c, &in);
  size_t size = in.message.size;
  if (st != MPROC_OK && st != MPROC_AUTH_UNASKED)
    return lmp_notyet(L, w, st, MPROC_READ, "receiving from");
  if (st == MPROC_OK && size <= in.room) {
    if (!in.placed && size > 0)
      memcpy(in.to, in.message.data, size);
    if (!in.placed)
      take(c);
    lua_pushinteger(L, (lua_Integer)size);
    return 1;
  }
  push_message(L, in.message);
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

int lmp_connection_recv_bytes_into(lua_State *L) {
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

/* Stack: connection. */
static int recv_step(lua_State *L, lmp_Wait *w) {
  int results = recv_bytes_step(L, w);
  return results == 1 ? lmp_loadmessage(L) : results;
}

int lmp_connection_recv(lua_State *L) {
  lmp_Connection *c = lmp_checkreadable(L);
  lua_settop(L, 1);
  if (take_next(L, c))
    return lmp_loadmessage(L);
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
  return lmp_try(L, step);
}

/* ---- iterators ---- */

/*
** [-0, +0, e] What io.lines makes of the results of a receive: nil at the end of
** file, and an error of any other failure.
*/
static int as_iterator(lua_State *L, int results) {
  bool ended;
  if (results != 2)
    return results;
  lua_getfield(L, -1, "name");
  ended = lua_type(L, -1) == LUA_TSTRING &&
          strcmp(lua_tostring(L, -1), "EOFError") == 0;
  lua_pop(L, 1);
  if (!ended)
    return lua_error(L);
  lua_pop(L, 1);
  return 1;
}

static int next_bytes_step(lua_State *L, lmp_Wait *w) {
  return as_iterator(L, recv_bytes_step(L, w));
}

static int next_value_step(lua_State *L, lmp_Wait *w) {
  return as_iterator(L, recv_step(L, w));
}

/* [-?, +1, v] Leaves the connection that an iterator has as upvalue. */
static lmp_Connection *begin_next(lua_State *L) {
  lmp_Connection *c;
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  c = lmp_stillopen(L);
  return c->may_read ? c : lmp_checkreadable(L);
}

static int next_bytes(lua_State *L) {
  lmp_Connection *c = begin_next(L);
  if (take_next(L, c))
    return 1;
  return lmp_block(L, next_bytes_step, lmp_deadlineof(c));
}

static int next_value(lua_State *L) {
  lmp_Connection *c = begin_next(L);
  if (take_next(L, c))
    return as_iterator(L, lmp_loadmessage(L));
  return lmp_block(L, next_value_step, lmp_deadlineof(c));
}

/* core.iterator(conn, bytes): what conn:messages gives. */
int lmp_connection_iterator(lua_State *L) {
  bool bytes = lua_toboolean(L, 2);
  if (lmp_toconnection(L, 1) == NULL)
    luaL_typeerror(L, 1, "Connection");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, bytes ? next_bytes : next_value, 2);
  return 1;
}

/* ---- poll ---- */

/* Whether the wait that has just ended, or a look now, finds it readable. */
static bool is_readable_now(lmp_Wait *w, const lmp_Connection *c) {
  if (!w->polled) {
    if (lmp_isbusy(c))
      return false;
    lmp_want(w, c, MPROC_READ);
    if (mproc_os_poll(w->items, w->count, 0, NULL) != MPROC_OK)
      return false;
  }
  return mproc_connection_is_touched(c->core, &w->one);
}

/* Stack: connection. */
static int poll_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_stillopen(L);
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
    return lmp_await(L, w, c, MPROC_READ);
  if (st == MPROC_NOMEM)
    return lmp_pushfailure(L, st, NULL, NULL);
  lua_pushboolean(L, st == MPROC_OK);
  return 1;
}

int lmp_connection_poll(lua_State *L) {
  mproc_time deadline = 0;
  lmp_checkreadable(L);
  if (lua_gettop(L) >= 2) /* an explicit nil waits for ever, as None does */
    deadline = lmp_optdeadline(L, 2);
  lua_settop(L, 1);
  return lmp_block(L, poll_step, deadline);
}

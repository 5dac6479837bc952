/*
** lsend.c: what sends over a connection.
*/
#include "binding/lmp.h"

#include "binding/lbuffer.h"

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

/* What of the string at index 2 is to be sent. */
static mproc_view message_of(lua_State *L) {
  mproc_view message;
  message.data = (const uint8_t *)lua_tolstring(L, 2, &message.size);
  if (lua_gettop(L) > 2) {
    lua_Integer first = lua_tointeger(L, 3);
    message.data += first - 1;
    message.size = (size_t)(lua_tointeger(L, 4) - first + 1);
  }
  return message;
}

/* [-0, +0, -] OK: it has left, or is queued. AGAIN: that cannot be yet; where it
   was accepted, true is in its place. */
static mproc_status send_string(lua_State *L, lmp_Connection *c, bool corked) {
  mproc_view message = message_of(L);
  mproc_status st = mproc_connection_send(c->core, message);
  if (st != MPROC_OK || (corked && message.size <= MPROC_COPY_MAX) ||
      !mproc_connection_holds(c->core))
    return st; /* it has left, or was copied */
  lmp_keepheld(L, c, 2);
  if (corked)
    return MPROC_OK;
  lua_pushboolean(L, 1);
  lua_replace(L, 2);
  return MPROC_AGAIN;
}

/* Whether the string at index 2 was accepted: true is in its place then. */
static bool is_accepted(lua_State *L) {
  return lua_type(L, 2) == LUA_TBOOLEAN;
}

/* [-0, +0, -] Sends what can leave now: what is held, and then the string. */
static mproc_status send_now(lua_State *L, lmp_Connection *c) {
  bool corked = mproc_connection_is_corked(c->core);
  bool accepted = is_accepted(L);
  mproc_status st = MPROC_OK;
  if (!corked && (accepted || c->anchored || mproc_connection_holds(c->core)))
    st = lmp_flushheld(L, c);
  return st == MPROC_OK && !accepted ? send_string(L, c, corked) : st;
}

static bool gives_way(lua_State *L, const lmp_Wait *w, lmp_Connection *c) {
  return lmp_hashabit(w) && !lmp_ishooked(L, w) &&
         (w->deadline == MPROC_NEVER || mproc_os_now() < w->deadline) &&
         mproc_habit_gives_way(&c->habit);
}

/* [-0, +0, -] As send_now, giving way for as long as that makes room. */
static mproc_status send_giving_way(lua_State *L, const lmp_Wait *w,
                                    lmp_Connection *c) {
  mproc_status st = send_now(L, c);
  bool found = true;
  while (st == MPROC_AGAIN && found && gives_way(L, w, c)) {
    size_t held = mproc_connection_held(c->core);
    bool accepted = is_accepted(L);
    bool brief = mproc_os_yield();
    st = send_now(L, c);
    found = st != MPROC_AGAIN || is_accepted(L) != accepted ||
            mproc_connection_held(c->core) < held;
    mproc_habit_gave_way(&c->habit, brief, found);
  }
  return st;
}

/*
** Stack: connection; the string, or true once it was accepted; where it is not
** to be sent whole, the first and the last position. A message that was accepted
** is as good as sent: when time runs out, the rest is held and later calls
** deliver it.
*/
static int send_bytes_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_stillopen(L);
  mproc_status st = lmp_stepconnection(c);
  if (st == MPROC_OK)
    st = send_giving_way(L, w, c);
  if (st == MPROC_AGAIN && w->expired && is_accepted(L)) {
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
** there as absolute positions: 1 <= first <= last + 1 <= size + 1. Without these
** arguments, leaves nothing there.
*/
static void check_range(lua_State *L, size_t size) {
  lua_Integer n = (lua_Integer)size;
  lua_Integer first, last;
  if (lua_gettop(L) == 2)
    return;
  first = luaL_optinteger(L, 3, 1);
  last = luaL_optinteger(L, 4, -1);
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

int lmp_connection_send_bytes(lua_State *L) {
  const lmp_Connection *c = lmp_checkwritable(L);
  size_t size;
  const char *data = lmp_checkbytes(L, 2, &size);
  check_range(L, size);
  if (lua_type(L, 2) != LUA_TSTRING) {
    /* a Buffer may change while the message is under way: send a copy */
    if (lua_gettop(L) > 2) {
      lua_Integer first = lua_tointeger(L, 3);
      size = (size_t)(lua_tointeger(L, 4) - first + 1);
      data += first - 1;
    }
    lua_pushlstring(L, data, size);
    lua_replace(L, 2);
    lua_settop(L, 2);
  }
  return lmp_block(L, send_bytes_step, lmp_deadlineof(c));
}

int lmp_connection_send(lua_State *L) {
  const lmp_Connection *c = lmp_checkwritable(L);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  if (lmp_dumpmessage(L) == 2)
    return 2;
  return lmp_block(L, send_bytes_step, lmp_deadlineof(c));
}

/* Stack: connection. */
static int flush_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_stillopen(L);
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

int lmp_connection_flush(lua_State *L) {
  const lmp_Connection *c = lmp_checkconnection(L, 1);
  mproc_time deadline =
      lua_gettop(L) >= 2 ? lmp_optdeadline(L, 2) : lmp_deadlineof(c);
  mproc_connection_cork(c->core, false);
  lua_settop(L, 1);
  return lmp_block(L, flush_step, deadline);
}

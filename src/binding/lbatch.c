/*
** lbatch.c: many messages in few system calls: send_many and cork.
*/
#include "binding/lmp.h"

#include "binding/lbuffer.h"

/* The stack of send_many: what the step needs is nowhere else. */
enum {
  CONN = 1,
  LIST,    /* the messages, or the values */
  OBJECTS, /* boolean: values, to be pickled */
  SENT,    /* how many were accepted */
  MESSAGE, /* the next one, where it had to be made; or nil */
  TOP = MESSAGE
};

/* As many views as are queued at once. */
#define VIEWS 64

/* As many messages as are on the stack at a time: each call counts. */
#define AT_ONCE 8

/* ---- one message by itself ---- */

/*
** [-0, +0 or +2, e] Makes the next message at MESSAGE: of a value, or of a long
** Buffer, which may change while it is under way. False: (nil, err) is pushed.
*/
static bool make_message(lua_State *L, lua_Integer i) {
  if (!lua_isnil(L, MESSAGE))
    return true;
  lua_rawgeti(L, LIST, i);
  if (lua_toboolean(L, OBJECTS)) {
    if (lmp_dumpmessage(L) == 2)
      return false;
  } else if (lua_type(L, -1) != LUA_TSTRING) {
    size_t size;
    const char *data = lmp_tobytes(L, -1, &size);
    if (data == NULL)
      luaL_error(L, "the list was changed: no message at [%I]", (LUAI_UACINT)i);
    lua_pushlstring(L, data, size);
    lua_remove(L, -2);
  }
  lua_replace(L, MESSAGE);
  return true;
}

/* Queues or sends MESSAGE, and lets it go once it is accepted. */
static mproc_status send_message(lua_State *L, lmp_Connection *c) {
  mproc_view v;
  size_t accepted = 0;
  mproc_status st;
  v.data = (const uint8_t *)lua_tolstring(L, MESSAGE, &v.size);
  st = mproc_connection_queue(c->core, &v, 1, &accepted);
  if (st != MPROC_OK)
    return st;
  if (v.size > MPROC_COPY_MAX)
    lmp_keepheld(L, c, MESSAGE);
  lua_pushnil(L);
  lua_replace(L, MESSAGE);
  return st;
}

/* ---- many ---- */

/* [-0, +0, -] Collects short messages from 'i' on; returns how many. */
static size_t collect(lua_State *L, lua_Integer i, mproc_view *views) {
  lua_Integer last = (lua_Integer)lua_rawlen(L, LIST);
  size_t n = 0;
  for (; n < VIEWS && i <= last; i++, n++) {
    lua_rawgeti(L, LIST, i); /* the list keeps it alive */
    views[n].data = (const uint8_t *)lmp_tobytes(L, -1, &views[n].size);
    if (views[n].data == NULL || views[n].size > MPROC_COPY_MAX)
      break;
    if (n % AT_ONCE == AT_ONCE - 1)
      lua_settop(L, TOP);
  }
  lua_settop(L, TOP);
  return n;
}

/*
** [-0, +0 or +2, e] Has message 'i', and as many after it as go with it,
** accepted; '*n' is how many. False: (nil, err) is pushed, '*st' is nothing.
*/
static bool send_some(lua_State *L, lmp_Connection *c, lua_Integer i,
                      mproc_status *st, size_t *n) {
  mproc_view views[VIEWS];
  size_t count = 0;
  if (!lua_toboolean(L, OBJECTS) && lua_isnil(L, MESSAGE))
    count = collect(L, i, views);
  if (count > 0) {
    *st = mproc_connection_queue(c->core, views, count, n);
    return true;
  }
  if (!make_message(L, i))
    return false;
  c = lmp_checkwritable(L); /* what was called there may have closed it */
  *st = send_message(L, c);
  *n = *st == MPROC_OK;
  return true;
}

/* [-0, +1, -] After nil and an error: how many were accepted. Returns 3. */
static int push_sent(lua_State *L) {
  lua_pushvalue(L, SENT);
  return 3;
}

/* [-0, +1, v] Value SENT + 1 cannot be a message; those before it are sent. */
static int give_up(lua_State *L) {
  lmp_Connection *c = lmp_checkwritable(L);
  if (!mproc_connection_is_corked(c->core)) {
    lmp_flushheld(L, c); /* without waiting: the rest is held */
    lmp_leaveheld(L, c);
  }
  return push_sent(L);
}

static int send_many_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_checkwritable(L);
  lua_Integer count = (lua_Integer)lua_rawlen(L, LIST);
  lua_Integer sent = lua_tointeger(L, SENT);
  mproc_status st = lmp_stepconnection(c);
  int results;
  while (st == MPROC_OK && sent < count) {
    size_t n = 0;
    if (!send_some(L, c, sent + 1, &st, &n))
      return give_up(L);
    sent += (lua_Integer)n;
    lua_pushinteger(L, sent);
    lua_replace(L, SENT);
  }
  if (st == MPROC_OK && !mproc_connection_is_corked(c->core))
    st = lmp_flushheld(L, c);
  if (st == MPROC_AGAIN && w->expired)
    lmp_leaveheld(L, c);
  if (st == MPROC_OK || (st == MPROC_AGAIN && w->expired && sent >= count)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  results = lmp_notyet(L, w, st, MPROC_WRITE, "sending to");
  return results == LMP_AGAIN ? LMP_AGAIN : push_sent(L);
}

/* Raises misuse, should one of them be no message. */
static void check_messages(lua_State *L) {
  lua_Integer count = (lua_Integer)lua_rawlen(L, LIST);
  int top = lua_gettop(L);
  for (lua_Integer i = 1; i <= count; i++) {
    size_t size;
    lua_rawgeti(L, LIST, i);
    if (lmp_tobytes(L, -1, &size) == NULL) {
      lua_pushfstring(L, "string or Buffer expected at [%I], got %s",
                      (LUAI_UACINT)i, luaL_typename(L, -1));
      luaL_argerror(L, LIST, lua_tostring(L, -1));
    }
    if (i % AT_ONCE == 0)
      lua_settop(L, top);
  }
  lua_settop(L, top);
}

/* conn:send_many(list [, mode]) -> true | nil, err, sent */
int lmp_connection_send_many(lua_State *L) {
  static const char *const modes[] = {"bytes", "objects", NULL};
  const lmp_Connection *c = lmp_checkwritable(L);
  bool objects;
  luaL_checktype(L, LIST, LUA_TTABLE);
  objects = luaL_checkoption(L, 3, "objects", modes) == 1;
  if (!objects)
    check_messages(L);
  lua_settop(L, LIST);
  lua_pushboolean(L, objects);
  lua_pushinteger(L, 0);
  lua_settop(L, TOP);
  return lmp_block(L, send_many_step, lmp_deadlineof(c));
}

/* conn:cork() -> true */
int lmp_connection_cork(lua_State *L) {
  const lmp_Connection *c = lmp_checkwritable(L);
  mproc_connection_cork(c->core, true);
  lua_pushboolean(L, 1);
  return 1;
}

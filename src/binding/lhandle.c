/*
** lhandle.c: descriptors that a connection passes on to another process, and
** takes from it.
*/
#include "binding/lmp.h"

/* Misuse, unless the connection, which is open, can pass descriptors. */
static void check_passes(lua_State *L, const lmp_Connection *c) {
  mproc_handle h = mproc_connection_handle(c->core);
  if (h != MPROC_NO_HANDLE && !mproc_os_passes_handles(h))
    lmp_misuse(L, "descriptors are passed over AF_UNIX connections only");
}

/* ---- sending ---- */

/* [-0, +0, e] The descriptor that argument 2 is, or has. */
static mproc_handle check_descriptor(lua_State *L) {
  int type = lua_type(L, 2);
  mproc_handle h = MPROC_NO_HANDLE;
  if (type == LUA_TNUMBER)
    lua_pushvalue(L, 2);
  else if ((type != LUA_TUSERDATA && type != LUA_TTABLE) ||
           (!lmp_callmethod(L, 2, "fileno") && !lmp_callmethod(L, 2, "getfd")))
    luaL_typeerror(L, 2, "descriptor, or an object that has one");
  luaL_argcheck(L, lmp_todescriptor(L, -1, &h), 2, "invalid descriptor");
  lua_pop(L, 1);
  return h;
}

/*
** Why the receiver could not go on with a connection where this process left
** it; NULL: it can.
*/
static const char *half_way(const mproc_connection *core) {
  if (!mproc_connection_is_open(core))
    return "it is not open yet";
  if (mproc_connection_buffers(core))
    return "bytes that came over it are buffered here (with readahead = "
           "false none are read ahead)";
  if (mproc_connection_holds(core))
    return "what it has to send is held here";
  return NULL;
}

/* [-0, +0 or +2, m] The number of results: 2 for the nil and the error. */
static int refuse(lua_State *L) {
  const lmp_Connection *c = lmp_toconnection(L, 2);
  const char *why = c == NULL || c->core == NULL ? NULL : half_way(c->core);
  if (why == NULL)
    return 0;
  lua_pushfstring(L, "cannot send the connection: %s", why);
  return lmp_pusherror(L, "OSError");
}

/* [-0, +0, -] A connection that is sent leaves nothing of ours on its socket. */
static void share(lua_State *L) {
  const lmp_Connection *c = lmp_toconnection(L, 2);
  if (c != NULL && c->core != NULL)
    mproc_connection_share(c->core);
}

/*
** Stack: connection; what to send, or true once that has left. It is asked for
** its descriptor each time: it may have been closed meanwhile, and its number
** be another's.
*/
static int send_handle_step(lua_State *L, lmp_Wait *w) {
  bool sent = lua_type(L, 2) == LUA_TBOOLEAN;
  mproc_handle passed = sent ? MPROC_NO_HANDLE : check_descriptor(L);
  lmp_Connection *c = lmp_checkwritable(L);
  mproc_status st = lmp_stepconnection(c);
  if (st == MPROC_OK)
    st = lmp_flushheld(L, c);
  if (st == MPROC_OK && !sent) {
    int results;
    check_passes(L, c);
    results = refuse(L);
    if (results > 0)
      return results;
    share(L);
    st = mproc_connection_send_handle(c->core, passed);
    if (st == MPROC_OK) {
      sent = true;
      lua_pushboolean(L, 1);
      lua_replace(L, 2);
    }
  }
  if (st == MPROC_OK)
    st = mproc_connection_settle(c->core);
  if (st == MPROC_AGAIN && w->expired && sent)
    st = MPROC_OK;
  if (st != MPROC_OK)
    return lmp_notyet(L, w, st, sent ? MPROC_READ : MPROC_WRITE,
                      "sending a descriptor to");
  lua_pushboolean(L, 1);
  return 1;
}

int lmp_send_handle(lua_State *L) {
  lmp_checkwritable(L);
  lua_settop(L, 2);
  check_descriptor(L); /* which may run code of the program's */
  return lmp_block(L, send_handle_step, lmp_deadlineof(lmp_checkwritable(L)));
}

/* ---- receiving ---- */

/* Stack: connection. */
static int recv_handle_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_checkreadable(L);
  mproc_handle passed = MPROC_NO_HANDLE;
  mproc_status st = lmp_stepconnection(c);
  if (st == MPROC_OK) {
    check_passes(L, c);
    st = mproc_connection_recv_handle(c->core, &passed);
    lmp_releaseheld(L, 1, c);
  }
  if (st != MPROC_OK)
    return lmp_notyet(L, w, st, MPROC_READ, "receiving a descriptor from");
  lua_pushinteger(L, (lua_Integer)passed); /* cannot fail: nothing leaks */
  return 1;
}

int lmp_recv_handle(lua_State *L) {
  const lmp_Connection *c = lmp_checkreadable(L);
  lua_settop(L, 1);
  return lmp_block(L, recv_handle_step, lmp_deadlineof(c));
}

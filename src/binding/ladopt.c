/*
** ladopt.c: the constructors of connections over handles that are there already
** or come in pairs: Connection(fd) and Pipe.
*/
#include "binding/lmp.h"

/*
** [-0, +n, e] Pushes the descriptor that argument 1 hands over: what 'detach'
** returns, or what 'getfd' returns, with 'setfd' to take it from its owner
** (LuaSocket). Returns 1, or 2 for the nil and error of a failed 'detach'.
*/
static int push_handed_over(lua_State *L) {
  if (lua_type(L, 1) != LUA_TUSERDATA && lua_type(L, 1) != LUA_TTABLE)
    return luaL_typeerror(L, 1, "descriptor");
  if (lua_getfield(L, 1, "detach") != LUA_TNIL) {
    lua_pushvalue(L, 1);
    lua_call(L, 1, 2); /* descriptor, or nil and an error */
    if (lua_isnil(L, -2))
      return 2;
    lua_pop(L, 1);
    return 1;
  }
  if (lua_getfield(L, 1, "getfd") == LUA_TNIL ||
      lua_getfield(L, 1, "setfd") == LUA_TNIL)
    return luaL_typeerror(L, 1, "descriptor, or an object that gives its up");
  if (lua_getfield(L, 1, "dirty") != LUA_TNIL) {
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (lua_toboolean(L, -1)) {
      lua_pushnil(L);
      return lmp_pushmessageerror(L, "OSError",
                                  "cannot adopt: it has read ahead");
    }
  }
  lua_pop(L, 1);
  lua_insert(L, -2); /* setfd, getfd */
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1); /* setfd, descriptor */
  lua_insert(L, -2);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, -1);
  lua_call(L, 2, 0);
  return 1;
}

static bool opt_boolean(lua_State *L, int idx, bool otherwise) {
  if (lua_isnoneornil(L, idx))
    return otherwise;
  luaL_checktype(L, idx, LUA_TBOOLEAN);
  return lua_toboolean(L, idx) != 0;
}

int lmp_connection_adopt(lua_State *L) {
  lmp_Options o;
  lmp_Connection *c;
  mproc_connection *core = NULL;
  mproc_status st;
  mproc_handle h = MPROC_NO_HANDLE;
  bool readable = opt_boolean(L, 2, true);
  bool writable = opt_boolean(L, 3, true);
  int self;
  lua_settop(L, 4);
  luaL_argcheck(L, readable || writable, 3,
                "at least one of readable and writable must be true");
  lmp_checkoptions(L, 4, LMP_FOR_ADOPTED, &o);
  o.listener.connection.readable = readable;
  o.listener.connection.writable = writable;
  c = lmp_newconnection(L, LMP_CONNECTION, LMP_CONNECTION_NUV);
  self = lua_gettop(L);
  lmp_pushcodec(L, &o);
  lua_setiuservalue(L, self, LMP_CODEC);
  if (lua_type(L, 1) == LUA_TNUMBER)
    lua_pushvalue(L, 1);
  else if (push_handed_over(L) == 2)
    return 2;
  luaL_argcheck(L, lmp_todescriptor(L, -1, &h), 1, "invalid descriptor");
  lua_pop(L, 1);
  st = mproc_connection_adopt(&lmp_state(L)->ctx, h, &o.listener.connection,
                              &core);
  if (st != MPROC_OK) {
    if (lua_type(L, 1) != LUA_TNUMBER) /* nobody else has it any more */
      mproc_os_close(h);
    lua_pushfstring(L, "descriptor %d", (int)h);
    return lmp_pushfailure(L, st, "adopting", lua_tostring(L, -1));
  }
  lmp_setcore(c, core, &o.listener.connection);
  lua_settop(L, self);
  return 1;
}

/* Gives each of two new connections its end of a new pipe. */
static mproc_status open_pipe(lua_State *L, lmp_Connection *const c[2],
                              bool duplex, mproc_connection_options *o) {
  mproc_context *ctx = &lmp_state(L)->ctx;
  mproc_handle h[2];
  mproc_status st = duplex ? mproc_os_socketpair(h) : mproc_os_pipe(h);
  if (st != MPROC_OK)
    return st;
  for (int i = 0; i < 2; i++) {
    mproc_connection *core = NULL;
    o->readable = duplex || i == 0;
    o->writable = duplex || i == 1;
    if (st == MPROC_OK)
      st = mproc_connection_adopt(ctx, h[i], o, &core);
    if (st == MPROC_OK)
      lmp_setcore(c[i], core, o);
    else
      mproc_os_close(h[i]);
  }
  return st;
}

int lmp_connection_pipe(lua_State *L) {
  lmp_Options o;
  lmp_Connection *c[2];
  mproc_status st;
  bool duplex = opt_boolean(L, 1, true);
  lua_settop(L, 2);
  lmp_checkoptions(L, 2, LMP_FOR_ADOPTED, &o);
  c[0] = lmp_newconnection(L, LMP_CONNECTION, LMP_CONNECTION_NUV);
  c[1] = lmp_newconnection(L, LMP_CONNECTION, LMP_CONNECTION_NUV);
  lmp_pushcodec(L, &o);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, -4, LMP_CODEC);
  lua_setiuservalue(L, -2, LMP_CODEC);
  st = open_pipe(L, c, duplex, &o.listener.connection);
  if (st != MPROC_OK)
    return lmp_pushfailure(L, st, "making a pipe", NULL);
  return 2;
}

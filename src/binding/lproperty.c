/*
** lproperty.c: what can be read from a Connection or a Client: its properties.
*/
#include "binding/lmp.h"

#include <string.h>

/* A Client's; a Connection has no such user value, which gives nil. */
static void push_address(lua_State *L, const lmp_Connection *c) {
  (void)c;
  lua_getiuservalue(L, 1, LMP_ADDRESS);
}

static void push_closed(lua_State *L, const lmp_Connection *c) {
  lua_pushboolean(L, lmp_isclosed(c));
}

static void push_peer(lua_State *L, const lmp_Connection *c) {
  mproc_address a;
  mproc_handle h = lmp_handleof(c);
  if (h != MPROC_NO_HANDLE && mproc_os_peer_address(h, &a))
    lmp_pushaddress(L, &a);
  else
    lua_pushnil(L);
}

static void push_credentials(lua_State *L, const lmp_Connection *c) {
  mproc_credentials peer;
  mproc_handle h = lmp_handleof(c);
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

/* clang-format off */
static const Property properties[] = {
  {"address", push_address},
  {"closed", push_closed},
  {"credentials", push_credentials},
  {"peer", push_peer},
  {"readable", push_readable},
  {"writable", push_writable},
};
/* clang-format on */

/* [-0, +1, v] Pushes the property of that name, or nil. */
static void push_property(lua_State *L, const char *name) {
  const lmp_Connection *c = lmp_toconnection(L, 1);
  if (c == NULL)
    luaL_typeerror(L, 1, "Connection");
  for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
    if (strcmp(properties[i].name, name) == 0) {
      properties[i].push(L, c);
      return;
    }
  }
  lua_pushnil(L);
}

/* __index: a method (upvalue 2), or a property. */
int lmp_connection_index(lua_State *L) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TNIL &&
      lua_type(L, 2) == LUA_TSTRING)
    push_property(L, lua_tostring(L, 2));
  return 1;
}

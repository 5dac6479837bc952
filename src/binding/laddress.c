/*
** laddress.c: addresses as Lua has them: {host, port}, or a path.
*/
#include "binding/lmp.h"

#define ADDRESS_TYPE "multiprocessing.address"

/* {host, port} at 'idx'. */
static void check_inet(lua_State *L, int idx, mproc_family family,
                       mproc_address *a) {
  const char *problem = NULL;
  lua_Integer port;
  int whole;
  if (lua_geti(L, idx, 1) != LUA_TSTRING)
    luaL_argerror(L, idx, "{host, port} expected: host is not a string");
  lua_geti(L, idx, 2);
  port = lua_tointegerx(L, -1, &whole);
  if (lua_type(L, -1) != LUA_TNUMBER || !whole)
    luaL_argerror(L, idx, "{host, port} expected: port is not an integer");
  if (port < 0 || port > 65535)
    luaL_argerror(L, idx, "port must be from 0 to 65535");
  if (!mproc_address_inet(a, family, lmp_toview(L, -2), (uint16_t)port,
                          &problem))
    luaL_argerror(L, idx, problem);
  lua_pop(L, 2);
}

mproc_status lmp_checkaddress(lua_State *L, int idx, mproc_family family,
                              mproc_address *a) {
  const char *problem = NULL;
  mproc_view path;
  if (lua_type(L, idx) == LUA_TTABLE) {
    check_inet(L, idx, family, a);
    return MPROC_OK;
  }
  if (lua_type(L, idx) != LUA_TSTRING)
    luaL_typeerror(L, idx, "{host, port} or path");
  path = lmp_toview(L, idx);
  if (path.size > MPROC_PATH_MAX)
    return MPROC_PATH_TOO_LONG;
  if (!mproc_address_path(a, family, path, mproc_os_has_abstract(), &problem))
    luaL_argerror(L, idx, problem);
  return MPROC_OK;
}

void lmp_checkfamily(lua_State *L, int idx, mproc_family family) {
  if (family != MPROC_FAMILY_NONE && !mproc_os_has_family(family)) {
    lua_pushfstring(L, "family %s is not recognized here",
                    mproc_family_name(family));
    luaL_argerror(L, idx, lua_tostring(L, -1));
  }
}

void lmp_pushaddress(lua_State *L, const mproc_address *a) {
  if (a->family != MPROC_AF_INET && a->family != MPROC_AF_INET6) {
    lua_pushlstring(L, a->name, a->size);
    return;
  }
  lua_createtable(L, 2, 0);
  lua_pushlstring(L, a->name, a->size);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, a->port);
  lua_rawseti(L, -2, 2);
  luaL_setmetatable(L, ADDRESS_TYPE);
}

int lmp_address_type(lua_State *L) {
  mproc_address a;
  a.family = MPROC_AF_UNIX;
  if (lua_type(L, 1) == LUA_TSTRING)
    a.family = (uint8_t)mproc_address_string_family(lmp_toview(L, 1));
  else
    lmp_checkaddress(L, 1, MPROC_FAMILY_NONE, &a);
  lua_pushstring(L, mproc_family_name((mproc_family)a.family));
  return 1;
}

void lmp_pushfamilies(lua_State *L) {
  int n = 0;
  lua_newtable(L);
  for (int f = MPROC_AF_INET; f <= MPROC_AF_PIPE; f++) {
    if (mproc_os_has_family((mproc_family)f)) {
      lua_pushstring(L, mproc_family_name((mproc_family)f));
      lua_rawseti(L, -2, ++n);
    }
  }
}

static int address_tostring(lua_State *L) {
  char text[MPROC_ADDRESS_TEXT_MAX];
  mproc_address a;
  check_inet(L, 1, MPROC_FAMILY_NONE, &a);
  lua_pushstring(L, mproc_address_format(&a, text));
  return 1;
}

void lmp_openaddress(lua_State *L) {
  luaL_newmetatable(L, ADDRESS_TYPE);
  lua_pushcfunction(L, address_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
}

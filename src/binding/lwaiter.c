/*
** lwaiter.c: the waiter of a program: what set_waiter is told.
*/
#include "binding/lmp.h"

#include <string.h>

/*
** [-0, +2, e] Pushes the two functions of the waiter in argument 1: a function,
** or a table with 'wait' and perhaps 'cancel'.
*/
static void push_functions(lua_State *L) {
  if (lua_type(L, 1) == LUA_TFUNCTION) {
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return;
  }
  if (lua_type(L, 1) != LUA_TTABLE)
    luaL_typeerror(L, 1, "function, table with 'wait', \"none\" or nil");
  lua_getfield(L, 1, "wait");
  luaL_argcheck(L, lua_isfunction(L, -1), 1, "'wait' is not a function");
  lua_getfield(L, 1, "cancel");
  luaL_argcheck(L, lua_isfunction(L, -1) || lua_isnil(L, -1), 1,
                "'cancel' is not a function");
}

/* connection.set_waiter(waiter) -> the one before, or nil */
int lmp_set_waiter(lua_State *L) {
  lmp_State *s = lmp_state(L);
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  if (lua_type(L, 1) == LUA_TSTRING &&
      strcmp(lua_tostring(L, 1), "none") == 0) {
    lua_pushnil(L);
    lua_replace(L, 1);
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &s->waiter);
  if (lua_isnil(L, 1))
    lua_settop(L, 4);
  else
    push_functions(L);
  s->has_waiter = false; /* should one of these raise */
  lua_rawsetp(L, LUA_REGISTRYINDEX, &s->waiter_cancel);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &s->waiter_wait);
  lua_pushvalue(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &s->waiter);
  s->has_waiter = !lua_isnil(L, 1);
  return 1;
}

bool lmp_haswaiter(lua_State *L) {
  return lmp_state(L)->has_waiter;
}

int lmp_nonblocking(lua_State *L) {
  mproc_handle h = (mproc_handle)luaL_checkinteger(L, 1);
  bool before = mproc_os_is_nonblocking(h);
  if (lua_gettop(L) > 1)
    mproc_os_set_nonblocking(h, lua_toboolean(L, 2) != 0);
  lua_pushboolean(L, before);
  return 1;
}

/*
** lcodec.c: values as messages: by pickle, or by a codec of the program's own.
*/
#include "binding/lmp.h"

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

int lmp_dumpmessage(lua_State *L) {
  int results = recode(L, 1, &lmp_state(L)->dumps, "PicklingError");
  if (results == 1 && lua_type(L, -1) != LUA_TSTRING)
    return luaL_error(L, "codec.dumps returned a %s, not a string",
                      luaL_typename(L, -1));
  return results;
}

int lmp_loadmessage(lua_State *L) {
  return recode(L, 3, &lmp_state(L)->loads, "UnpicklingError");
}

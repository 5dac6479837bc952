/*
** lcodec.c: values as messages: by pickle, or by a codec of the program's own.
*/
#include "binding/lmp.h"

/* ---- what options say of it ---- */

/* [-0, +0, m] Sets entry 'i' of the table on the top: {[name] = options}. */
static void set_option(lua_State *L, int i, const char *name, int idx) {
  if (idx == 0)
    return;
  if (lua_rawgeti(L, -1, i) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, i);
  }
  lua_pushvalue(L, idx);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* [-0, +0, m] Sets entry 'i' to the codec's function of that name, or false. */
static void set_function(lua_State *L, int i, const char *name, int codec) {
  if (codec == 0)
    lua_pushboolean(L, 0);
  else
    lua_getfield(L, codec, name);
  lua_rawseti(L, -2, i);
}

void lmp_pushcodec(lua_State *L, const lmp_Options *o) {
  if (o->codec == 0 && o->constructors == 0 && o->bytes == 0 &&
      o->protocol == 0) {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, 4, 0);
  set_function(L, 1, "dumps", o->codec);
  set_function(L, 2, "", 0);
  set_function(L, 3, "loads", o->codec);
  set_function(L, 4, "", 0);
  if (o->codec != 0) /* the options are pickle's */
    return;
  set_option(L, 2, "protocol", o->protocol);
  set_option(L, 4, "bytes", o->bytes);
  set_option(L, 4, "constructors", o->constructors);
}

/* ---- using it ---- */

/*
** [-0, +1 or +2, -] Puts a function of the codec of the connection at index 1
** (entry 'which' of it, or pickle's own, which the registry has under 'key')
** under the value on the top, and its options, if any, above. Returns the number
** of its arguments.
*/
static int push_call(lua_State *L, int which, const void *key) {
  if (lua_getiuservalue(L, 1, LMP_CODEC) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
    lua_insert(L, -2);
    return 1;
  }
  if (lua_rawgeti(L, -1, which), !lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
  }
  lua_insert(L, -3); /* function, value, codec */
  lua_rawgeti(L, -1, which + 1);
  lua_remove(L, -2);
  if (lua_toboolean(L, -1))
    return 2;
  lua_pop(L, 1);
  return 1;
}

/*
** [-1, +1 or +2, e] Replaces the value on the top by what that function makes
** of it. Returns 1, or 2 for nil and an error object: of that name, where a
** codec of the program's own has no object to give.
*/
static int recode(lua_State *L, int which, const void *key, const char *name) {
  lua_call(L, push_call(L, which, key), 2);
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

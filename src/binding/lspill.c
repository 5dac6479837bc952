/*
** lspill.c: the slots of frames that are too deep for the Lua stack.
*/
#include "binding/lspill.h"

#include <lauxlib.h>

void lmp_spill(lua_State *L, int spilled, size_t depth) {
  lua_Integer place = 2 * (lua_Integer)depth;
  if (lua_type(L, spilled) == LUA_TNIL) {
    lua_newtable(L);
    lua_replace(L, spilled);
  }
  lua_rawseti(L, spilled, place);
  lua_rawseti(L, spilled, place - 1);
}

void lmp_unspill(lua_State *L, int spilled, size_t depth) {
  lua_Integer place = 2 * (lua_Integer)depth;
  lua_rawgeti(L, spilled, place - 1);
  lua_rawgeti(L, spilled, place);
}

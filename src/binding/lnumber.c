/*
** lnumber.c: numbers that are checked: seconds, deadlines and sizes.
*/
#include "binding/lmp.h"

#include <math.h>

double lmp_optseconds(lua_State *L, int idx) {
  lua_Number seconds;
  if (lua_isnoneornil(L, idx))
    return HUGE_VAL;
  if (lua_type(L, idx) != LUA_TNUMBER)
    luaL_typeerror(L, idx, "seconds (a number) or nil");
  seconds = lua_tonumber(L, idx);
  luaL_argcheck(L, !isnan(seconds), idx, "seconds are not a number");
  return seconds < 0 ? 0 : (double)seconds;
}

mproc_time lmp_optdeadline(lua_State *L, int idx) {
  double seconds = lmp_optseconds(L, idx);
  if (!(seconds > 0))
    return 0; /* long ago: one look, and no other */
  return mproc_deadline_after(mproc_os_now(), seconds);
}

void lmp_pushleft(lua_State *L, mproc_time until) {
  if (until == MPROC_NEVER)
    lua_pushnil(L);
  else
    lua_pushnumber(L, (lua_Number)mproc_deadline_left(until, mproc_os_now()) /
                          (lua_Number)MPROC_SECOND);
}

uint64_t lmp_optsize(lua_State *L, int idx, uint64_t otherwise) {
  lua_Integer n;
  int whole;
  if (lua_isnoneornil(L, idx))
    return otherwise;
  if (lua_type(L, idx) != LUA_TNUMBER)
    luaL_typeerror(L, idx, "size (an integer) or nil");
  n = lua_tointegerx(L, idx, &whole);
  luaL_argcheck(L, whole, idx, "size is not an integer");
  luaL_argcheck(L, n >= 0, idx, "size is negative");
  return (uint64_t)n;
}

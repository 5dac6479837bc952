/*
** lpickle_kind.c: dumps: which plain tables are lists: those that have the keys 1
** to n and no other.
*/
#include "binding/lpickle.h"
#include "binding/lshape.h"

/* Whether the table on the top has exactly the keys 1 to n; a full count. */
static bool is_sequence(lua_State *L, lua_Integer n) {
  lua_Integer count = 0;
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    lua_pop(L, 1);
    if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 ||
        lua_tointeger(L, -1) > n) {
      lua_pop(L, 1);
      return false;
    }
    count++;
  }
  return count == n;
}

/* [-2, +0, -] Whether the table at 'table', below its first entry, which is on
   the top, has just 'n' entries. */
static bool has_entries(lua_State *L, int table, lua_Integer n) {
  do {
    lua_pop(L, 1);
    if (--n < 0) {
      lua_pop(L, 1);
      return false;
    }
  } while (lua_next(L, table) != 0);
  return n == 0;
}

/*
** By the API, nothing less than a full count is certain. Where a key is cannot
** be told, and in the hash, where lua_next takes even one that was removed, it
** may come behind the last index as well as in front of it.
*/
bool lmp_pickle_is_list(const Run *r, int table, lua_Integer n) {
  lua_State *L = r->L;
  if (n > 0 && !r->careful)
    return has_entries(L, table, n);
  lua_pop(L, 2);
  return n > 0 && is_sequence(L, n);
}

/* [-0, +0, -] Whether the table on the top has the keys 1 to 'n'. */
static bool has_no_hole(lua_State *L, lua_Integer n) {
  for (lua_Integer i = 1; i <= n; i++) {
    int type = lua_rawgeti(L, -1, i);
    lua_pop(L, 1);
    if (type == LUA_TNIL)
      return false;
  }
  return true;
}

bool lmp_pickle_is_array(const Run *r, const void *address, lua_Integer *n) {
  lua_State *L = r->L;
  if (!r->state->knows_shape || !lmp_hasnohash(address))
    return false;
  *n = (lua_Integer)lua_rawlen(L, -1);
  if (*n == 0)
    return false;
  lua_pushinteger(L, *n);
  if (lua_next(L, -2) == 0)
    return !r->careful || has_no_hole(L, *n);
  lua_pop(L, 2);
  return false;
}

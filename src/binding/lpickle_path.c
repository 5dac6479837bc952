/*
** lpickle_path.c: dumps: what cannot be pickled, and where it is.
*/
#include <string.h>

#include "binding/lpickle.h"

bool lmp_pickle_refuse(Run *r, const char *problem) {
  r->problem = problem;
  return false;
}

bool lmp_pickle_cannot(Run *r) {
  lua_State *L = r->L;
  const char *name = luaL_typename(L, -1);
  if (luaL_getmetafield(L, -1, "__name") == LUA_TSTRING)
    name = lua_tostring(L, -1);
  /* the string stays on the stack: nothing else will be done with it */
  r->problem = lua_pushfstring(L, "cannot pickle a %s", name);
  return false;
}

/* ---- the place ---- */

#define KEY_MAX 40 /* bytes of a key that are shown */

static bool is_name(const char *s, size_t size) {
  size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
                       "0123456789");
  return n > 0 && n == size && (s[0] < '0' || s[0] > '9');
}

/* [-0, +1, m] Pushes the step to the value of the string on the top. */
static void push_key(lua_State *L) {
  size_t size;
  const char *s = lua_tolstring(L, -1, &size);
  bool long_one = size > KEY_MAX;
  lua_pushstring(L, is_name(s, size) ? "." : "[\"");
  lua_pushlstring(L, s, long_one ? KEY_MAX : size);
  lua_pushfstring(L, "%s%s", long_one ? "…" : "",
                  is_name(s, size) ? "" : "\"]");
  lua_concat(L, 3);
}

/* [-0, +1, m] Pushes the step that frame 'f' was at; its slot is on the top. */
static void push_step(lua_State *L, const Frame *f) {
  static const char *const parts[] = {".class",  ".class", ".args",
                                      ".kwargs", "",       ".items",
                                      ".pairs",  ".state", ".state"};
  switch ((Kind)f->kind) {
  case OBJECT:
    lua_pushstring(L, parts[f->stage]);
    return;
  case SET:
  case FROZENSET:
    lua_pushliteral(L, "{element}");
    return;
  case DICT:
    if (f->half)
      lua_pushliteral(L, "{key}");
    else if (lua_type(L, -1) == LUA_TSTRING)
      push_key(L);
    else if (lua_isinteger(L, -1))
      lua_pushfstring(L, "[%I]", (LUAI_UACINT)lua_tointeger(L, -1));
    else
      lua_pushfstring(L, "[%s]", luaL_typename(L, -1));
    return;
  default:
    lua_pushfstring(L, "[%I]", (LUAI_UACINT)f->at);
    return;
  }
}

/* [-0, +1, m] Pushes the way from the root to the innermost frame's value; of
   a long one the two ends. Stack from BASE on: two slots for each frame. */
static void push_path(Run *r) {
  lua_State *L = r->L;
  const size_t most = 10;
  lua_pushliteral(L, "");
  for (size_t i = 0; i < r->depth; i++) {
    const Frame *f = &r->p->frames[i];
    if (r->depth > 2 * most && i == most) {
      lua_pushliteral(L, "…");
      lua_concat(L, 2);
      i = r->depth - most;
      f = &r->p->frames[i];
    }
    if (f->kind == OBJECT || f->kind == SET || f->kind == FROZENSET) {
      lua_pushnil(L);
    } else if (i + 1 < r->depth && i >= LMP_SPILL - 1) {
      lua_rawgeti(L, SPILLED, 2 * ((lua_Integer)i + 1));
    } else {
      size_t on_stack = i < LMP_SPILL - 1 ? i : LMP_SPILL - 1;
      lua_pushvalue(L, BASE + 2 * (int)on_stack + 1);
    }
    push_step(L, f);
    lua_remove(L, -2);
    lua_concat(L, 2);
  }
}

int lmp_pickle_refusal(Run *r) {
  lua_State *L = r->L;
  const char *problem = r->problem;
  const char *path;
  luaL_checkstack(L, 10, "pickle");
  push_path(r);
  path = lua_tostring(L, -1);
  if (path[0] == '\0')
    lua_pushstring(L, problem);
  else
    lua_pushfstring(L, "%s (at %s)", problem, path);
  return lmp_pusherror(L, "PicklingError");
}

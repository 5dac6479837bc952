/*
** lstate.c: what one Lua state has of the module, and functions and types that
** know it.
*/
#include <stdlib.h>
#include <string.h>

#include "binding/lmp.h"
#include "binding/lshape.h"

#define STATE "multiprocessing.state" /* its metatable */
#define INSTANCE "multiprocessing.state.instance"

static int state_gc(lua_State *L) {
  lmp_State *s = (lmp_State *)luaL_checkudata(L, 1, STATE);
  lmp_dropkept(s);
  mproc_process_forget(&s->ctx);
  mproc_context_close(&s->ctx);
  return 0;
}

/* Whether the environment turns the fast paths off. */
static bool is_slow_forced(void) {
  const char *force = getenv("MULTIPROCESSING_FORCE");
  return force != NULL && strcmp(force, "slow") == 0;
}

/* It is made before all that uses it, so that its finalizer runs last (Lua 5.4
   manual, section 2.5.3). */
void lmp_pushstate(lua_State *L) {
  lmp_State *s;
  mproc_allocator a;
  bool slow, knows_shape;
  if (lua_getfield(L, LUA_REGISTRYINDEX, INSTANCE) == LUA_TUSERDATA)
    return;
  lua_pop(L, 1);
  slow = is_slow_forced();
  knows_shape = !slow && lmp_knowsshape(L);
  s = (lmp_State *)lua_newuserdatauv(L, sizeof *s, LMP_USERVALUES);
  a.resize = lua_getallocf(L, &a.ud);
  mproc_context_open(&s->ctx, a, slow);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  s->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  s->canary = NULL;
  memset(s->types, 0, sizeof s->types);
  s->knows_shape = knows_shape;
  s->pickler = NULL;
  s->has_waiter = false;
  s->cancels = 0;
  s->kept = NULL;
  s->last_list = 0;
  s->last_list_failed = false;
  s->sets = NULL;
  s->singles = NULL;
  luaL_newmetatable(L, STATE);
  lua_pushcfunction(L, state_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, INSTANCE);
}

void lmp_setfunctions(lua_State *L, const luaL_Reg *functions) {
  lua_pushvalue(L, lua_upvalueindex(1));
  luaL_setfuncs(L, functions, 1);
}

const void *lmp_metatable(lua_State *L, int idx) {
  const void *mt;
  if (lua_type(L, idx) != LUA_TUSERDATA || !lua_getmetatable(L, idx))
    return NULL;
  mt = lua_topointer(L, -1);
  lua_pop(L, 1);
  return mt;
}

void lmp_newtype(lua_State *L, const char *name, const luaL_Reg *methods,
                 const luaL_Reg *metamethods, lua_CFunction index,
                 const void **mt) {
  luaL_newmetatable(L, name);
  *mt = lua_topointer(L, -1);
  lmp_setfunctions(L, metamethods);
  lua_newtable(L); /* metatable, methods */
  lmp_setfunctions(L, methods);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, index, 2); /* metatable, methods, index */
  lua_setfield(L, -3, "__index");
  lua_remove(L, -2);
}

/*
** module.c: luaopen_multiprocessing_core, the one symbol that is exported.
*/
#include "multiprocessing.h"

#include <string.h>

#include "binding/lbuffer.h"
#include "binding/lmp.h"

#define STATE "multiprocessing.state" /* its metatable */
#define STATE_INSTANCE "multiprocessing.state.instance"

lmp_State *lmp_state(lua_State *L) {
  return (lmp_State *)lua_touserdata(L, lua_upvalueindex(1));
}

static int state_gc(lua_State *L) {
  lmp_State *s = (lmp_State *)luaL_checkudata(L, 1, STATE);
  mproc_context_close(&s->ctx);
  return 0;
}

/*
** [-0, +1, m] Pushes the state of this Lua state. There is one only, however
** often the module is loaded: objects of an earlier load still use it. It is
** made before all of them, so its finalizer runs last (Lua 5.4 manual, section
** 2.5.3).
*/
static void push_state(lua_State *L) {
  lmp_State *s;
  if (lua_getfield(L, LUA_REGISTRYINDEX, STATE_INSTANCE) == LUA_TUSERDATA)
    return;
  lua_pop(L, 1);
  s = (lmp_State *)lua_newuserdatauv(L, sizeof *s, 0);
  s->ctx.allocator.resize = lua_getallocf(L, &s->ctx.allocator.ud);
  s->ctx.crypto = NULL;
  memset(s->types, 0, sizeof s->types);
  luaL_newmetatable(L, STATE);
  lua_pushcfunction(L, state_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, STATE_INSTANCE);
}

/* [-0, +0, m] Sets 'functions' in the table on the top, with the state. */
static void set_functions(lua_State *L, const luaL_Reg *functions) {
  lua_pushvalue(L, lua_upvalueindex(1));
  luaL_setfuncs(L, functions, 1);
}

void lmp_newtype(lua_State *L, const char *name, const luaL_Reg *methods,
                 const luaL_Reg *metamethods, lua_CFunction index,
                 const void **mt) {
  luaL_newmetatable(L, name);
  *mt = lua_topointer(L, -1);
  set_functions(L, metamethods);
  lua_newtable(L); /* metatable, methods */
  set_functions(L, methods);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, index, 2); /* metatable, methods, index */
  lua_setfield(L, -3, "__index");
  lua_remove(L, -2);
}

/* clang-format off */
static const luaL_Reg functions[] = {
  {"Client", lmp_client_new},
  {"Connection", lmp_connection_adopt},
  {"Listener", lmp_listener_new},
  {"Pipe", lmp_connection_pipe},
  {"address_type", lmp_address_type},
  {"handshake", lmp_handshake_new},
  {"wait", lmp_wait},
  {NULL, NULL},
};
/* clang-format on */

/*
** [-0, +1, e] Pushes the module's table. A function of its own, because it has
** the state as its upvalue, as all others do.
*/
static int open_module(lua_State *L) {
  lmp_openerror(L);
  lmp_openaddress(L);
  lmp_openhandshake(L);
  lua_newtable(L);
  set_functions(L, functions);
  lmp_openbuffer(L);
  lua_setfield(L, -2, "Buffer");
  lmp_pushfamilies(L);
  lua_setfield(L, -2, "families");
  lua_pushstring(L, mproc_family_name(mproc_os_default_family()));
  lua_setfield(L, -2, "default_family");
  lua_newtable(L); /* methods, for the Lua side to add to */
  lmp_openconnection(L);
  lua_setfield(L, -2, "Connection");
  lmp_openclient(L);
  lua_setfield(L, -2, "Client");
  lmp_openlistener(L);
  lua_setfield(L, -2, "Listener");
  lua_setfield(L, -2, "methods");
  lmp_openvalue(L);
  return 1;
}

int luaopen_multiprocessing_core(lua_State *L) {
  luaL_checkversion(L);
  push_state(L);
  lua_pushcclosure(L, open_module, 1);
  lua_call(L, 0, 1);
  return 1;
}

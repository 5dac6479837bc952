/*
** module.c: luaopen_multiprocessing_core, the one symbol that is exported.
*/
#include "multiprocessing.h"

#include "binding/lbuffer.h"
#include "binding/lmp.h"

/* clang-format off */
static const luaL_Reg functions[] = {
  {"Client", lmp_client_new},
  {"Connection", lmp_connection_adopt},
  {"Listener", lmp_listener_new},
  {"Pipe", lmp_connection_pipe},
  {"Poller", lmp_poller_new},
  {"accept", lmp_listener_accept},
  {"address_type", lmp_address_type},
  {"handshake", lmp_handshake_new},
  {"is_polled", lmp_is_polled},
  {"is_poller", lmp_is_poller},
  {"iterator", lmp_connection_iterator},
  {"nonblocking", lmp_nonblocking},
  {"parent", lmp_parent},
  {"receive", lmp_connection_receive},
  {"release", lmp_release},
  {"set_waiter", lmp_set_waiter},
  {"spawn", lmp_spawn},
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
  lmp_openwaiting(L);
  lua_newtable(L);
  lmp_setfunctions(L, functions);
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
  lmp_openpoller(L);
  lua_setfield(L, -2, "Poller");
  lmp_openprocess(L);
  lua_setfield(L, -2, "Process");
  lua_setfield(L, -2, "methods");
  lmp_openvalue(L);
  return 1;
}

int luaopen_multiprocessing_core(lua_State *L) {
  luaL_checkversion(L);
  lmp_pushstate(L);
  if (lua_getiuservalue(L, -1, LMP_MODULE) == LUA_TTABLE)
    return 1; /* loaded again: the same, with what Lua has added */
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, open_module, 1);
  lua_call(L, 0, 1); /* state, module */
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, -3, LMP_MODULE);
  return 1;
}

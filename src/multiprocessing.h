/*
** multiprocessing.h: for applications that embed Lua and link the module in:
**
**   luaL_requiref(L, "multiprocessing.core", luaopen_multiprocessing_core, 0);
**
** lua/multiprocessing/ has to be found by package.path (or be preloaded), too.
*/
#ifndef MULTIPROCESSING_H
#define MULTIPROCESSING_H

#include <lua.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The one symbol that the module exports; everything else is hidden. */
#if defined(__GNUC__)
#define MULTIPROCESSING_API __attribute__((visibility("default")))
#else
#define MULTIPROCESSING_API LUA_API
#endif

/*
** [-0, +1, e] Opens the module's C part in 'L' and pushes its table. It keeps
** nothing outside of 'L': any number of states may do so, each in its thread.
** It takes its memory from L's allocator, which must stay L's.
*/
MULTIPROCESSING_API int luaopen_multiprocessing_core(lua_State *L);

#ifdef __cplusplus
}
#endif

#endif

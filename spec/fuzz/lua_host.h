/*
** lua_host.h: what the fuzz targets share that need Lua: one state for all
** inputs, and the script that each input is given to. The script (a module that
** returns a function of a string) is found by LUA_PATH, as ours are. It throws
** where something is wrong; that is a crash to libFuzzer.
**
** The state's memory is capped for each input, so what is not linear in the
** input's size is an error of Lua's, "not enough memory".
*/
#ifndef MPROC_LUA_HOST_H
#define MPROC_LUA_HOST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "multiprocessing.h"

typedef struct host_memory {
  size_t used;
  size_t limit; /* of 'used' */
} host_memory;

static void *host_resize(void *ud, void *block, size_t old_size, size_t size) {
  host_memory *m = (host_memory *)ud;
  void *moved;
  if (block == NULL)
    old_size = 0; /* Lua says there what the block is for */
  if (size == 0) {
    free(block);
    m->used -= old_size;
    return NULL;
  }
  if (size > old_size && size - old_size > m->limit - m->used)
    return NULL;
  moved = realloc(block, size);
  if (moved != NULL)
    m->used += size - old_size;
  return moved;
}

static inline void host_require(lua_State *L, int status) {
  if (status != LUA_OK) {
    fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
    abort();
  }
}

/* The state; the script's function is at 1 on its stack, and debug.traceback
   at 2. */
static inline lua_State *host_open(host_memory *m, const char *script) {
  lua_State *L;
  m->limit = SIZE_MAX;
  L = lua_newstate(host_resize, m);
  if (L == NULL)
    abort();
  luaL_openlibs(L);
  luaL_requiref(L, "multiprocessing.core", luaopen_multiprocessing_core, 0);
  lua_settop(L, 0);
  lua_getglobal(L, "require");
  lua_pushstring(L, script);
  host_require(L, lua_pcall(L, 1, 1, 0));
  lua_getglobal(L, "debug");
  lua_getfield(L, -1, "traceback");
  lua_remove(L, -2);
  return L;
}

/* Gives an input to the script, with 'room' bytes of memory. */
static inline void host_run(lua_State *L, host_memory *m, const uint8_t *data,
                            size_t size, size_t room) {
  m->limit = SIZE_MAX;
  lua_pushvalue(L, 1);
  lua_pushlstring(L, size > 0 ? (const char *)data : "", size);
  lua_gc(L, LUA_GCCOLLECT);
  m->limit = m->used + room;
  host_require(L, lua_pcall(L, 1, 0, 2));
  lua_settop(L, 2);
}

#endif

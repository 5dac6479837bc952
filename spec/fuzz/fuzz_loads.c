/*
** fuzz_loads.c: any bytes as a pickle, given to pickle.loads: it fails with
** UnpicklingError or gives a value, and either way the memory that it takes is
** linear in their number; see fuzz_loads.lua.
**
** make fuzz
*/
#include "lua_host.h"

/* A byte may become an empty table, with a node and room to grow in; twice
   that much is fine, its square is not. */
#define ROOM(size) (1000 * (size) + 300000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static host_memory memory;
  static lua_State *L;
  if (L == NULL)
    L = host_open(&memory, "fuzz_loads");
  host_run(L, &memory, data, size, ROOM(size));
  return 0;
}

/*
** fuzz_roundtrip.c: any bytes as a pickle; what pickle.loads makes of them is
** what pickle.dumps writes, in any protocol; see fuzz_roundtrip.lua.
**
** make fuzz
*/
#include "lua_host.h"

/* The script keeps some values, and tables to compare them. */
#define ROOM(size) (20000 * (size) + 3000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static host_memory memory;
  static lua_State *L;
  if (L == NULL)
    L = host_open(&memory, "fuzz_roundtrip");
  host_run(L, &memory, data, size, ROOM(size));
  return 0;
}

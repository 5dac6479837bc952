/*
** lbuffer.h: the Buffer, bytes of a fixed size that a script can change.
*/
#ifndef LMP_LBUFFER_H
#define LMP_LBUFFER_H

#include <stddef.h>
#include <stdint.h>

#include <lua.h>

/*
** The userdata itself. It never moves and never changes its size, so a pointer
** to it is good for as long as the value stays on the stack; what the bytes
** are may change in any call that can run Lua code (a finalizer's, too).
*/
typedef struct lmp_Buffer {
  size_t size; /* of 'data'; fits a lua_Integer */
  uint8_t data[];
} lmp_Buffer;

/*
** [-0, +1, v] Pushes a new Buffer of 'size' bytes, for the caller to fill. A size
** that no block of memory has is raised as "buffer too large".
*/
lmp_Buffer *lmp_newbuffer(lua_State *L, lua_Unsigned size);

/* [-0, +0, -] The Buffer at 'idx', or NULL where another value is. */
lmp_Buffer *lmp_tobuffer(lua_State *L, int idx);

/* [-0, +0, v] The Buffer at argument 'idx'; any other value is misuse. */
lmp_Buffer *lmp_checkbuffer(lua_State *L, int idx);

/*
** [-0, +0, -] The bytes of the string or Buffer at 'idx', which belong to it;
** NULL: another value (a number, too).
*/
const char *lmp_tobytes(lua_State *L, int idx, size_t *size);

/*
** [-0, +0, v] The bytes of argument 'idx', which is a string or a Buffer; any
** other value (a number, too) is misuse. They belong to that value.
*/
const char *lmp_checkbytes(lua_State *L, int idx, size_t *size);

/*
** [-0, +1, e] Makes the metatable and pushes the constructor,
** 'connection.Buffer'. Needs the string library: its pack and unpack as they
** are now serve the methods of the same names.
*/
void lmp_openbuffer(lua_State *L);

#endif

/*
** lbuffer.c: the Buffer, bytes of a fixed size that a script can change.
*/
#include "binding/lbuffer.h"

#include <stdio.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define BUFFER_TYPE "multiprocessing.connection.Buffer"

/* The largest block there can be whose size is also an integer in Lua. */
#define MAX_BLOCK \
  (LUA_MAXINTEGER < PTRDIFF_MAX ? (size_t)LUA_MAXINTEGER : (size_t)PTRDIFF_MAX)

/* The most that '!' can align to (Lua manual, section 6.4.2). */
#define MAX_ALIGN 16

/* How much unpack copies at first: enough for the usual header. */
#define FIRST_WINDOW 256

/* Upvalues of every method. */
#define STRING_PACK lua_upvalueindex(1)
#define STRING_UNPACK lua_upvalueindex(2)

lmp_Buffer *lmp_tobuffer(lua_State *L, int idx) {
  return (lmp_Buffer *)luaL_testudata(L, idx, BUFFER_TYPE);
}

lmp_Buffer *lmp_checkbuffer(lua_State *L, int idx) {
  return (lmp_Buffer *)luaL_checkudata(L, idx, BUFFER_TYPE);
}

const char *lmp_tobytes(lua_State *L, int idx, size_t *size) {
  const lmp_Buffer *b;
  if (lua_type(L, idx) == LUA_TSTRING)
    return lua_tolstring(L, idx, size);
  b = lmp_tobuffer(L, idx);
  if (b == NULL)
    return NULL;
  *size = b->size;
  return (const char *)b->data;
}

const char *lmp_checkbytes(lua_State *L, int idx, size_t *size) {
  const char *bytes = lmp_tobytes(L, idx, size);
  if (bytes == NULL)
    luaL_typeerror(L, idx, "string or Buffer");
  return bytes;
}

lmp_Buffer *lmp_newbuffer(lua_State *L, lua_Unsigned size) {
  lmp_Buffer *b;
  if (size > MAX_BLOCK - sizeof *b)
    luaL_error(L, "buffer too large");
  b = (lmp_Buffer *)lua_newuserdatauv(L, sizeof *b + (size_t)size, 0);
  b->size = (size_t)size;
  luaL_setmetatable(L, BUFFER_TYPE);
  return b;
}

static int new_zeroed(lua_State *L) {
  lua_Integer size = luaL_checkinteger(L, 1);
  lmp_Buffer *b;
  luaL_argcheck(L, size >= 0, 1, "size is negative");
  b = lmp_newbuffer(L, (lua_Unsigned)size);
  memset(b->data, 0, b->size);
  return 1;
}

static int new_copy(lua_State *L) {
  size_t size;
  const char *s = lua_tolstring(L, 1, &size);
  lmp_Buffer *b = lmp_newbuffer(L, size);
  memcpy(b->data, s, size);
  return 1;
}

static int buffer_open(lua_State *L) {
  switch (lua_type(L, 1)) {
  case LUA_TNUMBER:
    return new_zeroed(L);
  case LUA_TSTRING:
    return new_copy(L);
  default:
    return luaL_typeerror(L, 1, "size or string");
  }
}

/*
** The offset of position 'i' (argument 'arg'; negative: from the end), from
** where 'n' bytes must lie within 'size'; else misuse.
*/
static size_t check_range(lua_State *L, int arg, lua_Integer i, size_t n,
                          size_t size) {
  /* what is before the first byte wraps, and so is over any size */
  lua_Unsigned at =
      i < 0 ? (lua_Unsigned)i + (lua_Unsigned)size : (lua_Unsigned)i - 1;
  if (at > size || n > size - at)
    luaL_argerror(
        L, arg,
        lua_pushfstring(L, "out of range: %I bytes at %I, the buffer has %I",
                        (LUAI_UACINT)n, (LUAI_UACINT)i, (LUAI_UACINT)size));
  return (size_t)at;
}

/* The offset of the first byte, as string.sub reads 'i'; may be over 'size'. */
static lua_Unsigned start_of(lua_Integer i, size_t size) {
  if (i > 0)
    return (lua_Unsigned)i - 1;
  if (i == 0 || i < -(lua_Integer)size)
    return 0;
  return (lua_Unsigned)size + (lua_Unsigned)i;
}

/* The offset after the last byte, as string.sub reads 'j'. */
static size_t end_of(lua_Integer j, size_t size) {
  if (j > (lua_Integer)size)
    return size;
  if (j >= 0)
    return (size_t)j;
  if (j < -(lua_Integer)size)
    return 0;
  return size - (size_t)(-(j + 1));
}

static int buffer_sub(lua_State *L) {
  const lmp_Buffer *b = lmp_checkbuffer(L, 1);
  lua_Unsigned start = start_of(luaL_checkinteger(L, 2), b->size);
  size_t end = end_of(luaL_optinteger(L, 3, -1), b->size);
  if (start < end)
    lua_pushlstring(L, (const char *)b->data + start, end - (size_t)start);
  else
    lua_pushliteral(L, "");
  return 1;
}

static int buffer_set(lua_State *L) {
  lmp_Buffer *b = lmp_checkbuffer(L, 1);
  lua_Integer i = luaL_checkinteger(L, 2);
  size_t n;
  const char *s = lmp_checkbytes(L, 3, &n);
  size_t at = check_range(L, 2, i, n, b->size);
  memmove(b->data + at, s, n); /* 's' may be of this buffer */
  lua_settop(L, 1);
  return 1;
}

/*
** The argument that luaL_argerror's message 'msg' names ('*why': where its
** reason starts; one byte follows it), or 0 where it is another message.
*/
static int blamed(const char *msg, int *why) {
  int arg = 0;
  *why = 0;
  if (msg != NULL)
    sscanf(msg, "bad argument #%d to '%*[^']' (%n", &arg, why);
  return *why > 0 ? arg : 0;
}

/*
** Raises the error on the top, which string.pack or string.unpack has raised,
** as the method's own: with the script's line, and naming the argument as the
** script counts them. 'values' is the index here of their second argument.
*/
static int reraise(lua_State *L, int status, int values) {
  const char *msg = lua_tostring(L, -1);
  int why;
  int arg = blamed(msg, &why);
  if (status != LUA_ERRRUN || msg == NULL)
    return lua_error(L);
  if (arg == 0) { /* not on an argument, or not theirs (a hook's) */
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
    return lua_error(L);
  }
  lua_pushlstring(L, msg + why, strlen(msg + why) - 1);
  return luaL_argerror(L, arg < 2 ? 2 : arg - 2 + values, lua_tostring(L, -1));
}

static int buffer_pack(lua_State *L) {
  lmp_Buffer *b = lmp_checkbuffer(L, 1);
  lua_Integer i;
  const char *s;
  size_t n, at;
  int status;
  luaL_checkstring(L, 2);
  i = luaL_checkinteger(L, 3);
  lua_copy(L, 2, 3);
  lua_copy(L, STRING_PACK, 2); /* b, string.pack, fmt, ... */
  status = lua_pcall(L, lua_gettop(L) - 2, 1, 0);
  if (status != LUA_OK)
    return reraise(L, status, 4);
  s = lmp_checkbytes(L, 2, &n);
  at = check_range(L, 3, i, n, b->size);
  memcpy(b->data + at, s, n);
  lua_pushinteger(L, (lua_Integer)(at + n) + 1);
  return 1;
}

/*
** [-0, +(results|1), m] Calls string.unpack with the format at index 2 on the
** 'n' bytes from 's' on, starting at position 'pos' of them.
*/
static int unpack_window(lua_State *L, const uint8_t *s, size_t n, size_t pos) {
  lua_pushvalue(L, STRING_UNPACK);
  lua_pushvalue(L, 2);
  lua_pushlstring(L, (const char *)s, n);
  lua_pushinteger(L, (lua_Integer)pos);
  return lua_pcall(L, 3, LUA_MULTRET, 0);
}

/*
** string.unpack wants a string, and a copy of all that follows 'i' would make
** a loop over many small records quadratic. So it gets a window; where it says
** that this (its second argument) is too short, a larger one. The window
** starts at a multiple of the largest alignment, so that padding is the same
** in it as in the whole.
*/
static int buffer_unpack(lua_State *L) {
  const lmp_Buffer *b = lmp_checkbuffer(L, 1);
  lua_Integer i;
  lua_Unsigned at;
  lua_Integer next;
  size_t base, rest, n;
  int status, why;
  luaL_checkstring(L, 2);
  i = luaL_optinteger(L, 3, 1);
  at = start_of(i, b->size);
  if (at > b->size)
    check_range(L, 3, i, 0, b->size); /* raises */
  base = (size_t)at - (size_t)at % MAX_ALIGN;
  rest = b->size - base;
  n = rest < FIRST_WINDOW ? rest : FIRST_WINDOW;
  lua_settop(L, 2);
  while ((status = unpack_window(L, b->data + base, n, at - base + 1)) !=
         LUA_OK) {
    if (n == rest || blamed(lua_tostring(L, -1), &why) != 2)
      return reraise(L, status, 2); /* short data: too much was asked for */
    n = n > rest / 4 ? rest : n * 4;
    lua_settop(L, 2);
  }
  next = lua_tointeger(L, -1) + (lua_Integer)base;
  lua_pop(L, 1); /* first: the results may fill the stack */
  lua_pushinteger(L, next);
  return lua_gettop(L) - 2;
}

static int buffer_eq(lua_State *L) {
  const lmp_Buffer *a = lmp_tobuffer(L, 1);
  const lmp_Buffer *b = lmp_tobuffer(L, 2);
  lua_pushboolean(L, a != NULL && b != NULL && a->size == b->size &&
                         memcmp(a->data, b->data, a->size) == 0);
  return 1;
}

static int buffer_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lmp_checkbuffer(L, 1)->size);
  return 1;
}

static int buffer_tostring(lua_State *L) {
  const lmp_Buffer *b = lmp_checkbuffer(L, 1);
  lua_pushlstring(L, (const char *)b->data, b->size);
  return 1;
}

/* [-0, +1, e] Pushes the string library's function 'name'. */
static void push_string_function(lua_State *L, const char *name) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, LUA_STRLIBNAME) != LUA_TTABLE ||
      lua_getfield(L, -1, name) != LUA_TFUNCTION)
    luaL_error(L, "multiprocessing needs string.%s (open the string library)",
               name);
  lua_replace(L, -3); /* function, string */
  lua_pop(L, 1);
}

/* clang-format off */
static const luaL_Reg methods[] = {
    {"pack", buffer_pack},
    {"set", buffer_set},
    {"sub", buffer_sub},
    {"unpack", buffer_unpack},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__eq", buffer_eq},
    {"__len", buffer_len},
    {"__tostring", buffer_tostring},
    {NULL, NULL},
};
/* clang-format on */

void lmp_openbuffer(lua_State *L) {
  luaL_newmetatable(L, BUFFER_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlibtable(L, methods);
  push_string_function(L, "pack");
  push_string_function(L, "unpack");
  luaL_setfuncs(L, methods, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, buffer_open);
}

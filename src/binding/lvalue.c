/*
** lvalue.c: tags, None, large integers, and globals by name.
*/
#include "binding/lvalue.h"

#include <math.h>
#include <string.h>

#include "binding/lmp.h"
#include "pickle/bigint.h"
#include "pickle/compat.h"

/* Each type's metatable is a user value of the state, and its lua_topointer is in
   lmp_State's 'types'. */

static const char *const type_names[LMP_VALUE_TYPES] = {
    "None",  "tuple", "set",    "frozenset", "dict",
    "bytes", "str",   "global", "object",    "int",
};

mproc_view lmp_toview(lua_State *L, int idx) {
  mproc_view v;
  v.data = (const uint8_t *)lua_tolstring(L, idx, &v.size);
  return v;
}

void lmp_pushtype(lua_State *L, lmp_ValueType type) {
  lua_getiuservalue(L, lua_upvalueindex(1), LMP_METATABLES + (int)type);
}

void lmp_pushnone(lua_State *L) {
  lua_getiuservalue(L, lua_upvalueindex(1), LMP_THE_NONE);
}

lmp_ValueType lmp_typetagged(const lmp_State *s, const void *metatable) {
  for (int type = 0; type < LMP_VALUE_TYPES; type++) {
    if (s->types[type] == metatable)
      return (lmp_ValueType)type;
  }
  return LMP_PLAIN;
}

lmp_ValueType lmp_typeof(lua_State *L, int idx) {
  const void *metatable;
  if (!lua_getmetatable(L, idx))
    return LMP_PLAIN;
  metatable = lua_topointer(L, -1);
  lua_pop(L, 1);
  return lmp_typetagged(lmp_state(L), metatable);
}

/* ---- large integers ---- */

void lmp_pushint(lua_State *L, mproc_view bytes) {
  int64_t small;
  lmp_Int *n;
  bytes = mproc_bigint_minimal(bytes);
  if (mproc_bigint_to_int(bytes, &small) && small >= LUA_MININTEGER &&
      small <= LUA_MAXINTEGER) {
    lua_pushinteger(L, (lua_Integer)small);
    return;
  }
  n = (lmp_Int *)lua_newuserdatauv(L, sizeof *n + bytes.size, 0);
  n->size = bytes.size;
  memcpy(n->data, bytes.data, bytes.size);
  lmp_pushtype(L, LMP_INT);
  lua_setmetatable(L, -2);
}

static mproc_view int_bytes(const lmp_Int *n) {
  mproc_view v = {n->data, n->size};
  return v;
}

/* NULL: it is none; a table may have its metatable. */
static const lmp_Int *to_int(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TUSERDATA || lmp_typeof(L, idx) != LMP_INT)
    return NULL;
  return (const lmp_Int *)lua_touserdata(L, idx);
}

static const lmp_Int *check_int(lua_State *L, int idx) {
  const lmp_Int *n = to_int(L, idx);
  if (n == NULL)
    luaL_typeerror(L, idx, "pickle.int");
  return n;
}

/* pickle.int(decimal | integer): exact, at any size. */
static int int_new(lua_State *L) {
  mproc_view text;
  mproc_view bytes;
  uint8_t *room;
  if (lua_type(L, 1) == LUA_TNUMBER) {
    lua_pushinteger(L, luaL_checkinteger(L, 1));
    return 1;
  }
  if (to_int(L, 1) != NULL) {
    lua_settop(L, 1);
    return 1;
  }
  text.data = (const uint8_t *)luaL_checklstring(L, 1, &text.size);
  room =
      (uint8_t *)lua_newuserdatauv(L, mproc_bigint_binary_room(text.size), 0);
  bytes.data = room;
  bytes.size = mproc_bigint_from_decimal(text, room);
  luaL_argcheck(L, bytes.size != SIZE_MAX, 1, "not a decimal integer");
  lmp_pushint(L, bytes);
  return 1;
}

static int int_tostring(lua_State *L) {
  const lmp_Int *n = check_int(L, 1);
  size_t room = mproc_bigint_decimal_room(n->size);
  char *text = (char *)lua_newuserdatauv(L, room, 0);
  size_t size = mproc_bigint_to_decimal(int_bytes(n), text);
  lua_pushlstring(L, text, size);
  return 1;
}

#define DOUBLE_BYTES 136 /* of the largest double, and its sign */

/* Writes the integer that 'real' (finite, from 2^62 on) is; returns its size. */
static size_t real_bytes(double real, uint8_t out[DOUBLE_BYTES]) {
  int exponent;
  uint64_t mantissa =
      (uint64_t)ldexp(frexp(real < 0 ? -real : real, &exponent), 53);
  size_t shift = (size_t)(exponent - 53);
  unsigned carry = 1;
  memset(out, 0, DOUBLE_BYTES);
  for (size_t bit = 0; bit < 53; bit++) {
    if ((mantissa >> bit & 1) != 0)
      out[(shift + bit) / 8] |= (uint8_t)(1u << (shift + bit) % 8);
  }
  for (size_t i = 0; real < 0 && i < DOUBLE_BYTES; i++) { /* negate */
    carry += (uint8_t)~out[i];
    out[i] = (uint8_t)carry;
    carry >>= 8;
  }
  return DOUBLE_BYTES;
}

/* What compare answers of a float that is no number. */
#define UNORDERED 2

/* -1, 0 or 1 as 'n' is less than, equal to, or greater than 'real'. */
static int compare_real(const lmp_Int *n, double real) {
  uint8_t bytes[DOUBLE_BYTES];
  mproc_view v = {bytes, 0};
  if (isnan(real))
    return UNORDERED;
  if (isinf(real))
    return real < 0 ? 1 : -1;
  if (real > -4.7e18 && real < 4.7e18) /* 'n' is beyond 64 bits */
    return mproc_bigint_sign(int_bytes(n));
  v.size = real_bytes(real, bytes);
  return mproc_bigint_compare(int_bytes(n), v);
}

/*
** -1, 0 or 1 as argument 1 is less than, equal to, or greater than argument 2,
** or UNORDERED; each is a large integer, an integer, or a float.
*/
static int compare(lua_State *L) {
  if (lua_type(L, 1) == LUA_TNUMBER) {
    int reversed;
    lua_rotate(L, 1, 1);
    reversed = compare(L);
    return reversed == UNORDERED ? UNORDERED : -reversed;
  }
  if (lua_isinteger(L, 2))
    return mproc_bigint_compare_int(int_bytes(check_int(L, 1)),
                                    lua_tointeger(L, 2));
  if (lua_type(L, 2) == LUA_TNUMBER)
    return compare_real(check_int(L, 1), (double)lua_tonumber(L, 2));
  return mproc_bigint_compare(int_bytes(check_int(L, 1)),
                              int_bytes(check_int(L, 2)));
}

static int int_eq(lua_State *L) {
  lua_pushboolean(L, to_int(L, 1) != NULL && to_int(L, 2) != NULL &&
                         compare(L) == 0);
  return 1;
}

static int int_lt(lua_State *L) {
  lua_pushboolean(L, compare(L) < 0);
  return 1;
}

static int int_le(lua_State *L) {
  lua_pushboolean(L, compare(L) <= 0);
  return 1;
}

/* ---- globals ---- */

/* [-0, +1, m] Pushes the key of a global in the table of them all. */
static void push_key(lua_State *L, mproc_view module, mproc_view name) {
  char key[128];
  if (module.size < sizeof key && name.size < sizeof key - module.size) {
    memcpy(key, module.data, module.size);
    key[module.size] = '\n'; /* which no module's name has */
    memcpy(key + module.size + 1, name.data, name.size);
    lua_pushlstring(L, key, module.size + 1 + name.size);
    return;
  }
  lua_pushlstring(L, (const char *)module.data, module.size);
  lua_pushliteral(L, "\n");
  lua_pushlstring(L, (const char *)name.data, name.size);
  lua_concat(L, 3);
}

/*
** [-0, +1, m] Pushes the one global of that name. The table of them is weak:
** what peers make up does not pile up.
*/
static void intern_global(lua_State *L, mproc_view module, mproc_view name) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lmp_state(L)->globals);
  push_key(L, module, name);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TNIL) { /* globals, key, nil */
    lua_pop(L, 1);
    lua_createtable(L, 0, 2);
    lua_pushlstring(L, (const char *)module.data, module.size);
    lua_setfield(L, -2, "module");
    lua_pushlstring(L, (const char *)name.data, name.size);
    lua_setfield(L, -2, "name");
    lmp_pushtype(L, LMP_GLOBAL);
    lua_setmetatable(L, -2); /* globals, key, global */
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, -5);
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

void lmp_pushglobal(lua_State *L, mproc_view module, mproc_view name,
                    bool old) {
  if (old)
    mproc_compat_2to3(&module, &name);
  intern_global(L, module, name);
}

void lmp_pushglobalname(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  lua_pushliteral(L, "module");
  lua_rawget(L, idx);
  lua_pushliteral(L, "name");
  lua_rawget(L, idx);
}

/* pickle.global(module, name) */
static int global_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  luaL_checktype(L, 2, LUA_TSTRING);
  intern_global(L, lmp_toview(L, 1), lmp_toview(L, 2));
  return 1;
}

/* ---- opening ---- */

/* clang-format off */
static const luaL_Reg functions[] = {
  {"dumps", lmp_dumps},
  {"global", global_new},
  {"int", int_new},
  {"loads", lmp_loads},
  {NULL, NULL},
};

static const luaL_Reg int_metamethods[] = {
  {"__eq", int_eq},
  {"__le", int_le},
  {"__lt", int_lt},
  {"__tostring", int_tostring},
  {NULL, NULL},
};
/* clang-format on */

/* [-0, +0, m] Makes the metatables, and sets them in the table on the top. */
static void make_types(lua_State *L) {
  lmp_State *s = lmp_state(L);
  for (int type = 0; type < LMP_VALUE_TYPES; type++) {
    lmp_pushtype(L, (lmp_ValueType)type);
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      lua_createtable(L, 0, 4);
      lua_pushfstring(L, "multiprocessing.pickle.%s", type_names[type]);
      lua_setfield(L, -2, "__name");
      lua_pushvalue(L, -1);
      lua_setiuservalue(L, lua_upvalueindex(1), LMP_METATABLES + type);
      s->types[type] = lua_topointer(L, -1);
    }
    lua_setfield(L, -2, type_names[type]);
  }
}

/* [-0, +0, m] Makes what there is one of: None, globals. */
static void make_singletons(lua_State *L) {
  lmp_State *s = lmp_state(L);
  lmp_pushnone(L);
  if (lua_isnil(L, -1)) {
    lua_newuserdatauv(L, 0, 0);
    lmp_pushtype(L, LMP_NONE);
    lua_setmetatable(L, -2);
    lua_setiuservalue(L, lua_upvalueindex(1), LMP_THE_NONE);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &s->globals);
  }
  lua_pop(L, 1);
}

/* [-0, +0, m] Puts a function of the table on the top in the registry, too. */
static void keep_function(lua_State *L, const char *name, const void *key) {
  lua_getfield(L, -1, name);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void lmp_openvalue(lua_State *L) {
  lua_newtable(L); /* pickle */
  lmp_setfunctions(L, functions);
  lua_newtable(L); /* types */
  make_types(L);
  lua_setfield(L, -2, "types");
  make_singletons(L);
  lmp_pushnone(L);
  lua_setfield(L, -2, "None");
  lmp_pushtype(L, LMP_INT);
  lmp_setfunctions(L, int_metamethods);
  lua_pop(L, 1);
  keep_function(L, "dumps", &lmp_state(L)->dumps);
  keep_function(L, "loads", &lmp_state(L)->loads);
  lua_setfield(L, -2, "pickle");
}

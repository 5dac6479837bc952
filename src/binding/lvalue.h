/*
** lvalue.h: the Lua values that stand for Python's where Lua has none of its
** own: None, tuples, sets, dicts, names, instances, large integers …
**
** Tuples, sets, frozensets and dicts are plain tables, tagged by a metatable;
** the metatables' methods are added by lua/multiprocessing/pickle.lua.
*/
#ifndef LMP_LVALUE_H
#define LMP_LVALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "core/bytes.h"

typedef enum lmp_ValueType {
  LMP_NONE,      /* the one None, a userdata */
  LMP_TUPLE,     /* {v1, v2, …} */
  LMP_SET,       /* {[v] = true, …} */
  LMP_FROZENSET, /* the same */
  LMP_DICT,      /* {[k] = v, …} */
  LMP_BYTES,     /* {string} */
  LMP_STR,       /* {string}: WTF-8 */
  LMP_GLOBAL,    /* {module =, name =}; there is one of each */
  LMP_OBJECT,    /* {class =, args =, …}; see lunpickle_object.c */
  LMP_INT,       /* a userdata: lmp_Int */
  LMP_VALUE_TYPES,
  LMP_PLAIN = LMP_VALUE_TYPES /* no tag */
} lmp_ValueType;

/* An integer that 64 bits cannot hold; see pickle/bigint.h. */
typedef struct lmp_Int {
  size_t size;
  uint8_t data[]; /* in the minimal form */
} lmp_Int;

/* [-0, +0, -] The bytes of the string at 'idx', which belong to it. */
mproc_view lmp_toview(lua_State *L, int idx);

/* [-0, +1, -] Pushes the metatable of a type. */
void lmp_pushtype(lua_State *L, lmp_ValueType type);

/* [-0, +1, -] Pushes None. */
void lmp_pushnone(lua_State *L);

/* [-0, +0, -] The type of the table or userdata at 'idx'; LMP_PLAIN: none. */
lmp_ValueType lmp_typeof(lua_State *L, int idx);

/* The type whose metatable this one is, by its lua_topointer. */
struct lmp_State;
lmp_ValueType lmp_typetagged(const struct lmp_State *s, const void *metatable);

/* [-0, +1, m] Pushes the integer, as a Lua integer where that holds it. */
void lmp_pushint(lua_State *L, mproc_view bytes);

/*
** [-0, +1, m] Pushes the global of that name, with Python 3's names; where
** 'old', the given ones are Python 2's (pickle/compat.h).
*/
void lmp_pushglobal(lua_State *L, mproc_view module, mproc_view name, bool old);

/* [-0, +2, m] Pushes the module and the name of the global at 'idx': strings,
   unless the program has changed them. */
void lmp_pushglobalname(lua_State *L, int idx);

/* [-0, +0, m] Adds None, the metatables, 'int' and 'global' to the module's
   table on the top, under 'pickle'. */
void lmp_openvalue(lua_State *L);

#endif

/*
** lpickle_scalar.h: dumps: the values that need no frame: strings, numbers,
** booleans, None. Inline, for they are what its inner loops are made of.
*/
#ifndef LMP_LPICKLE_SCALAR_H
#define LMP_LPICKLE_SCALAR_H

#include "binding/lpickle.h"

/* Where the string at 'address' is, if it is known. */
static inline Known *lmp_pickle_known(Run *r, const void *address) {
  uint64_t hash = (uint64_t)(uintptr_t)address * MPROC_MEMO_SEED;
  return &r->p->known[hash >> (64 - LMP_PICKLE_KNOWN_BITS)];
}

/* [-0, +0, v] Writes the string at 'idx', which is not known. */
void lmp_pickle_other_string(Run *r, int idx, const void *address);

/* [-0, +0, v] Writes the value at 'idx', of that type, which is not relative
   to the top, if it is a scalar other than nil. */
bool lmp_pickle_scalar(Run *r, int idx, int type);

/*
** [-0, +0, v] The string at 'idx'. It is written only once: then it takes less
** room, and whoever reads it makes one string of it.
*/
static inline void lmp_pickle_string(Run *r, int idx) {
  const void *address = lua_topointer(r->L, idx);
  const Known *known = lmp_pickle_known(r, address);
  if (known->address == address) {
    uint8_t *p = mproc_writer_room(r->w, 2);
    if (p != NULL)
      memcpy(p, known->get, 2);
  } else {
    lmp_pickle_other_string(r, idx, address);
  }
}

#define LMP_PICKLE_EXACT 9007199254740992.0 /* 2^53: no integer is lost below */

/* Whether no integer is the same; of the largest that are none it is not said. */
static inline bool lmp_pickle_has_fraction(double value) {
  return value > -LMP_PICKLE_EXACT && value < LMP_PICKLE_EXACT &&
         (double)(int64_t)value != value;
}

/*
** [-0, +0, -] The number at 'idx'. 'real': it probably is no integer, and then
** one call will do if it has a fraction. Returns whether it was none.
*/
static inline bool lmp_pickle_number(Run *r, int idx, bool real) {
  lua_State *L = r->L;
  if (real) {
    double value = (double)lua_tonumber(L, idx);
    if (lmp_pickle_has_fraction(value)) {
      mproc_writer_real(r->w, value);
      return true;
    }
  }
  if (lua_isinteger(L, idx)) {
    mproc_writer_int(r->w, (int64_t)lua_tointeger(L, idx));
    return false;
  }
  mproc_writer_real(r->w, (double)lua_tonumber(L, idx));
  return true;
}

/* [-0, +0, v] As lmp_pickle_scalar, for inner loops. '*real': as above, of the
   last number; to begin with, any. */
static inline bool lmp_pickle_next_scalar(Run *r, int idx, int type,
                                          bool *real) {
  if (type == LUA_TSTRING)
    lmp_pickle_string(r, idx);
  else if (type == LUA_TNUMBER)
    *real = lmp_pickle_number(r, idx, *real);
  else if (type == LUA_TBOOLEAN)
    mproc_writer_bool(r->w, lua_toboolean(r->L, idx) != 0);
  else if (type == LUA_TUSERDATA && r->none != NULL &&
           lua_touserdata(r->L, idx) == r->none)
    mproc_writer_none(r->w);
  else
    return lmp_pickle_scalar(r, idx, type);
  return true;
}

#endif

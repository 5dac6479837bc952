/*
** lpickle_tagged.c: dumps: tuples, sets and frozensets.
*/
#include <string.h>

#include "binding/lpickle_scalar.h"

/* ---- what is memoized when it is whole ---- */

/*
** A tuple, say. It may occur in itself by way of something that is memoized
** before its parts (a list): then it is written twice, and the outer one finds
** the inner one in the memo (CPython, save_tuple). Were it to occur a third
** time, there is no such thing.
*/
bool lmp_pickle_unfinished(Run *r, uint32_t *place) {
  uint32_t count = *place & ~LMP_PICKLE_UNFINISHED;
  if (count >= 2)
    return lmp_pickle_refuse(
        r, "cannot pickle a tuple or set that contains itself");
  *place = LMP_PICKLE_UNFINISHED | (count + 1);
  return true;
}

/* Its opcode, and its memo. One that its parts turned out to contain is in the
   memo already: then these are dropped. */
static void end_unfinished(Run *r, const Frame *f, mproc_pickle_opcode op) {
  uint32_t *place = lmp_pickle_place(r, f->address);
  if (!lmp_pickle_is_memoized(place)) {
    mproc_writer_op(r->w, op);
    lmp_pickle_memoize(r, place);
    return;
  }
  if (f->marked && r->w->protocol >= 1) {
    mproc_writer_op(r->w, MPROC_OP_POP_MARK);
  } else {
    lua_Integer drops = f->size + (f->marked ? 1 : 0);
    for (lua_Integer i = 0; i < drops; i++)
      mproc_writer_op(r->w, MPROC_OP_POP);
  }
  mproc_writer_get(r->w, *place);
}

/* ---- tuples ---- */

static mproc_pickle_opcode tuple_op(lua_Integer size, bool marked) {
  static const mproc_pickle_opcode short_ones[] = {
      MPROC_OP_TUPLE, MPROC_OP_TUPLE1, MPROC_OP_TUPLE2, MPROC_OP_TUPLE3};
  return marked ? MPROC_OP_TUPLE : short_ones[size];
}

bool lmp_pickle_tuple(Run *r, uint32_t *place) {
  lua_State *L = r->L;
  const int table = lua_gettop(L);
  const lua_Integer size = (lua_Integer)lua_rawlen(L, table);
  const bool marked = size > 3 || r->w->protocol < 2;
  Items items = {0, size, false, false, LUA_TNONE};
  Frame *f;
  if (size == 0 && r->w->protocol >= 1) {
    mproc_writer_op(r->w, MPROC_OP_EMPTY_TUPLE);
    lua_pop(L, 1);
    return true;
  }
  if (!lmp_pickle_unfinished(r, place))
    return false;
  if (marked)
    mproc_writer_op(r->w, MPROC_OP_MARK);
  lmp_pickle_items(r, table, table + 1, &items);
  if (items.at == size) { /* scalars only, which do not lead to it */
    mproc_writer_op(r->w, tuple_op(size, marked));
    lmp_pickle_memoize(r, place);
    lua_settop(L, table - 1);
    return true;
  }
  lua_settop(L, table);
  f = lmp_pickle_enter(r, TUPLE);
  f->at = items.at;
  f->size = size;
  f->marked = marked;
  return true;
}

void lmp_pickle_end_tuple(Run *r, const Frame *f) {
  end_unfinished(r, f, tuple_op(f->size, f->marked));
}

/* ---- sets ---- */

static void put_builtin(Run *r, const char *name) {
  mproc_view module = {(const uint8_t *)"builtins", 8};
  mproc_view n = {(const uint8_t *)name, strlen(name)};
  if (r->w->protocol < 3) {
    module.data = (const uint8_t *)"__builtin__";
    module.size = 11;
  }
  mproc_writer_global(r->w, module, n);
}

/* Below protocol 4: set([...]). */
bool lmp_pickle_set(Run *r, uint32_t *place, Kind kind) {
  const bool opcodes = r->w->protocol >= 4;
  if ((kind == FROZENSET || !opcodes) && !lmp_pickle_unfinished(r, place))
    return false;
  if (opcodes && kind == SET) {
    mproc_writer_op(r->w, MPROC_OP_EMPTY_SET);
    lmp_pickle_memoize(r, place);
  } else if (!opcodes) {
    put_builtin(r, kind == SET ? "set" : "frozenset");
    if (r->w->protocol < 2)
      mproc_writer_op(r->w, MPROC_OP_MARK);
  }
  lmp_pickle_mark(r, lmp_pickle_enter(r, kind));
  return true;
}

bool lmp_pickle_step_set(Run *r, bool *over) {
  lua_State *L = r->L;
  const size_t depth = r->depth;
  const int slot = lua_gettop(L);
  do {
    if (lua_next(L, slot - 1) == 0) {
      lua_pushnil(L);
      *over = true;
      return true;
    }
    lua_pop(L, 1);
    if (lmp_pickle_scalar(r, slot, lua_type(L, slot)))
      continue;
    lua_pushvalue(L, slot);
    if (!lmp_pickle_save(r))
      return false;
  } while (r->depth == depth);
  return true;
}

bool lmp_pickle_end_call(Run *r, const Frame *f) {
  uint32_t *place = lmp_pickle_place(r, f->address);
  if (!lmp_pickle_is_memoized(place)) {
    lmp_pickle_memoize(r, place);
    return true;
  }
  mproc_writer_op(r->w, MPROC_OP_POP);
  mproc_writer_get(r->w, *place);
  return false;
}

/* set([...]): the list, the tuple with it, the call. */
static void end_called_set(Run *r, const Frame *f) {
  mproc_writer_op(r->w, MPROC_OP_LIST);
  mproc_writer_op(r->w, r->w->protocol < 2 ? MPROC_OP_TUPLE : MPROC_OP_TUPLE1);
  mproc_writer_op(r->w, MPROC_OP_REDUCE);
  lmp_pickle_end_call(r, f);
}

void lmp_pickle_end_set(Run *r, const Frame *f) {
  if (r->w->protocol < 4)
    end_called_set(r, f);
  else if (f->kind == SET)
    mproc_writer_op(r->w, MPROC_OP_ADDITEMS);
  else
    end_unfinished(r, f, MPROC_OP_FROZENSET);
}

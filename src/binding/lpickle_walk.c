/*
** lpickle_walk.c: dumps: from a Lua value to opcodes.
**
** The value is walked without recursion. Each container that is being written
** has a frame; its Lua value and one more slot (the key that lua_next goes on
** from) are on the Lua stack, or, below the depth of SPILL frames, in a table.
** Tables are read raw; only a __reduce metamethod runs Lua code. What is in the
** frames is for lpickle_scalar.c, lpickle_table.c, lpickle_tagged.c and
** lpickle_object.c.
*/
#include <string.h>

#include "binding/lpickle_scalar.h"
#include "binding/lshape.h"

/* Frames for which there is room on the Lua stack from each multiple of it on,
   and what one of them may need beside its two slots. */
#define ROOM 16
#define SCRATCH 48

/* ---- memory ---- */

/* [-0, +0, v] Raises. */
static int no_memory(const Run *r) {
  return luaL_error(r->L, "not enough memory");
}

void lmp_pickle_grow(Run *r, mproc_memo *m) {
  if (mproc_memo_grow(m, r->w->allocator) != MPROC_OK)
    no_memory(r);
}

static void grow_frames(Run *r) {
  Pickler *p = r->p;
  const mproc_allocator *a = r->w->allocator;
  size_t capacity = p->capacity == 0 ? ROOM : 2 * p->capacity;
  void *frames = a->resize(a->ud, p->frames, p->capacity * sizeof *p->frames,
                           capacity * sizeof *p->frames);
  if (frames == NULL)
    no_memory(r);
  p->frames = (Frame *)frames;
  p->capacity = capacity;
}

/* ---- frames ---- */

static Frame *new_frame(Run *r, Kind kind, const void *address) {
  static const Frame none = {NULL, 0, 0, 0, false, false, false, false, 0, 0};
  Frame *f;
  if (r->depth == r->p->capacity)
    grow_frames(r);
  f = &r->p->frames[r->depth++];
  *f = none;
  f->address = address;
  f->kind = (uint8_t)kind;
  return f;
}

Frame *lmp_pickle_enter(Run *r, Kind kind) {
  lua_State *L = r->L;
  const void *address = lua_topointer(L, -1);
  if (r->depth >= LMP_SPILL) {
    lua_insert(L, -3); /* the frame's slots are below the value */
    lmp_spill(L, SPILLED, r->depth);
  } else if (r->depth % ROOM == 0) {
    luaL_checkstack(L, 2 * ROOM + SCRATCH, "pickle");
  }
  lua_pushnil(L);
  return new_frame(r, kind, address);
}

Frame *lmp_pickle_enter_fetched(Run *r) {
  lua_State *L = r->L;
  Frame *f;
  if (r->depth % ROOM != 0 && r->depth < LMP_SPILL)
    return new_frame(r, DICT, NULL);
  /* the frame below is spilled from right below the container */
  lua_rotate(L, r->depth < LMP_SPILL ? -3 : -5, 2);
  f = lmp_pickle_enter(r, DICT);
  lua_pop(L, 1);
  lua_rotate(L, -3, 1);
  return f;
}

Frame *lmp_pickle_enter_late(Run *r, size_t depth) {
  Frame *f = new_frame(r, DICT, NULL);
  Frame *place = &r->p->frames[depth];
  Frame under = *f;
  memmove(place + 1, place, (size_t)(f - place) * sizeof *f);
  *place = under;
  return place;
}

bool lmp_pickle_may_nest(const Run *r) {
  return !r->nested && r->depth + 1 < LMP_SPILL && r->depth % ROOM != ROOM - 1;
}

/* ---- one value ---- */

static bool save_tagged(Run *r, uint32_t *place, lmp_ValueType type) {
  switch (type) {
  case LMP_TUPLE:
    return lmp_pickle_tuple(r, place);
  case LMP_SET:
    return lmp_pickle_set(r, place, SET);
  case LMP_FROZENSET:
    return lmp_pickle_set(r, place, FROZENSET);
  case LMP_DICT:
    return lmp_pickle_dict(r, place);
  case LMP_BYTES:
  case LMP_STR:
    return lmp_pickle_wrapped(r, place, type);
  case LMP_GLOBAL:
    return lmp_pickle_global(r, place);
  case LMP_OBJECT:
    return lmp_pickle_object(r, place);
  case LMP_PLAIN:
    return lmp_pickle_reduced(r, place);
  default:
    return lmp_pickle_cannot(r);
  }
}

/* Keeps the value on the top alive: while Lua code runs, a table could go and
   another take its address. */
static void anchor(Run *r) {
  lua_State *L = r->L;
  if (lua_type(L, ANCHORS) == LUA_TNIL) {
    lua_newtable(L);
    lua_replace(L, ANCHORS);
  }
  lua_pushvalue(L, -1);
  lua_rawseti(L, ANCHORS, ++r->anchors);
}

/* [-0, +0, -] The metatable of the table on the top, which is at 'address', by
   their lua_topointer; NULL: it has none. */
static const void *metatable(const Run *r, const void *address) {
  const void *mt;
  if (r->state->knows_shape)
    return lmp_metatableof(address);
  if (!lua_getmetatable(r->L, -1))
    return NULL;
  mt = lua_topointer(r->L, -1);
  lua_pop(r->L, 1);
  return mt;
}

bool lmp_pickle_table(Run *r) {
  lua_State *L = r->L;
  const void *address = lua_topointer(L, -1);
  const void *mt;
  uint32_t *place;
  if (r->anchored)
    anchor(r);
  place = lmp_pickle_place(r, address);
  if (lmp_pickle_is_memoized(place)) {
    mproc_writer_get(r->w, *place);
    lua_pop(L, 1);
    return true;
  }
  mt = metatable(r, address);
  if (mt == NULL)
    return lmp_pickle_plain(r, place, address);
  return save_tagged(r, place, lmp_typetagged(r->state, mt));
}

bool lmp_pickle_save(Run *r) {
  lua_State *L = r->L;
  int type = lua_type(L, -1);
  if (type == LUA_TTABLE)
    return lmp_pickle_table(r);
  if (lmp_pickle_scalar(r, lua_gettop(L), type)) {
    lua_pop(L, 1);
    return true;
  }
  if (type == LUA_TNIL) {
    mproc_writer_none(r->w);
    lua_pop(L, 1);
    return true;
  }
  if (type != LUA_TUSERDATA)
    return lmp_pickle_cannot(r);
  if (r->anchored)
    anchor(r);
  return lmp_pickle_userdata(r);
}

/* ---- the innermost frame ---- */

static bool step(Run *r, bool *over) {
  switch ((Kind)lmp_pickle_frame(r)->kind) {
  case LIST:
  case ARGUMENTS:
  case TUPLE:
    return lmp_pickle_step_indexed(r, over);
  case SET:
  case FROZENSET:
    return lmp_pickle_step_set(r, over);
  case DICT:
    return lmp_pickle_step_dict(r, over);
  case OBJECT:
    return lmp_pickle_step_object(r, over);
  case PAIRS:
    return lmp_pickle_step_pairs(r, over);
  }
  return true;
}

static void end_container(Run *r, const Frame *f) {
  switch ((Kind)f->kind) {
  case LIST:
    if (f->marked)
      mproc_writer_op(r->w, MPROC_OP_APPENDS);
    break;
  case TUPLE:
    lmp_pickle_end_tuple(r, f);
    break;
  case SET:
  case FROZENSET:
    lmp_pickle_end_set(r, f);
    break;
  case DICT:
  case PAIRS:
    if (f->marked)
      mproc_writer_op(r->w, MPROC_OP_SETITEMS);
    break;
  case ARGUMENTS:
  case OBJECT:
    break;
  }
}

static void leave(Run *r) {
  end_container(r, lmp_pickle_frame(r));
  lua_pop(r->L, 2);
  r->depth--;
  if (r->depth > 0 && r->depth >= LMP_SPILL)
    lmp_unspill(r->L, SPILLED, r->depth);
}

bool lmp_pickle_walk(Run *r) {
  luaL_checkstack(r->L, SCRATCH, "pickle");
  lua_pushvalue(r->L, VALUE);
  if (!lmp_pickle_save(r))
    return false;
  while (r->depth > 0) {
    bool over = false;
    if (!step(r, &over))
      return false;
    if (over)
      leave(r);
  }
  return true;
}

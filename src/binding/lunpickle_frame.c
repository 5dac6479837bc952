/*
** lunpickle_frame.c: loads: the frames of containers that are being filled, and
** what is made once but occurs again.
*/
#include <limits.h>
#include <math.h>
#include <string.h>

#include "binding/lunpickle.h"

/* Frames for which there is room on the Lua stack from each multiple of it on,
   and what one of them may need beside its two slots. */
#define ROOM 16
#define SCRATCH 16

#define TWO_63 9223372036854775808.0

void lmp_unpickle_keep_shared(Run *r, mproc_node *n) {
  lua_State *L = r->L;
  if (lua_type(L, MADE) == LUA_TNIL) {
    lua_newtable(L);
    lua_replace(L, MADE);
  }
  n->place = ++r->made;
  lua_pushvalue(L, -1);
  lua_rawseti(L, MADE, (lua_Integer)n->place);
}

/* ---- frames ---- */

static Frame *new_frame(Run *r) {
  Unpickler *u = r->u;
  if (r->depth == u->capacity) {
    size_t capacity = u->capacity == 0 ? 16 : 2 * u->capacity;
    const mproc_allocator *a = u->tree.allocator;
    void *frames = a->resize(a->ud, u->frames, u->capacity * sizeof *u->frames,
                             capacity * sizeof *u->frames);
    if (frames == NULL)
      luaL_error(r->L, "not enough memory");
    u->frames = (Frame *)frames;
    u->capacity = capacity;
  }
  return &u->frames[r->depth++];
}

void lmp_unpickle_container(Run *r, const mproc_node *n) {
  lua_State *L = r->L;
  int count = lmp_unpickle_capped(n->as.items.count);
  switch ((mproc_node_kind)n->kind) {
  case MPROC_NODE_TUPLE:
    lua_createtable(L, count, 0);
    lmp_unpickle_tag(r, LMP_TUPLE);
    break;
  case MPROC_NODE_SET:
  case MPROC_NODE_FROZENSET:
    lua_createtable(L, 0, count);
    lmp_unpickle_tag(r, n->kind == MPROC_NODE_SET ? LMP_SET : LMP_FROZENSET);
    break;
  case MPROC_NODE_DICT:
    lua_createtable(L, 0, count / 2);
    lmp_unpickle_tag(r, LMP_DICT);
    break;
  default: /* a list; a persistent id waits here for its function */
    lua_createtable(L, count, 0);
    break;
  }
}

static size_t integer_place(int64_t key, size_t modulus) {
  return (size_t)((uint64_t)key % modulus);
}

static size_t real_place(double key, size_t modulus) {
  int exponent;
  double n;
  unsigned u;
  if (key >= -TWO_63 && key < TWO_63 && (double)(int64_t)key == key)
    return integer_place((int64_t)key, modulus); /* as it is in a table */
  n = frexp(key, &exponent) * -(double)INT_MIN;
  if (!(n > -TWO_63 && n < TWO_63))
    return SIZE_MAX;
  u = (unsigned)exponent + (unsigned)(int64_t)n;
  return (u <= INT_MAX ? u : ~u) % modulus;
}

/*
** The place of a numeric key in a table of 'size' nodes, as Lua 5.4 has it
** (ltable.c, mainposition); SIZE_MAX for other keys, whose places a peer cannot
** know.
*/
static size_t key_place(const mproc_value *key, size_t size) {
  size_t modulus = (size - 1) | 1;
  if (key->tag == MPROC_VALUE_INTEGER)
    return integer_place(key->as.integer, modulus);
  return key->tag == MPROC_VALUE_REAL ? real_place(key->as.real, modulus)
                                      : SIZE_MAX;
}

#define FLOOD_MIN 4096 /* keys; fewer do no harm */
#define FLOOD_CHAIN 255

/*
** Whether so many of the keys share one place in a table of 'size' nodes that
** it would take time with the square of their number to fill it.
*/
static bool is_flooded(Run *r, const mproc_items *items, size_t step,
                       size_t size, uint8_t *chains) {
  const mproc_value *v;
  uint32_t at = 0;
  size_t n = 0;
  while ((v = mproc_tree_piece(&r->u->tree, items, &at, &n)) != NULL) {
    for (size_t i = 0; i < n; i += step) {
      size_t place = key_place(&v[i], size);
      if (place != SIZE_MAX && chains[place]++ == FLOOD_CHAIN)
        return true;
    }
  }
  return false;
}

/* Refuses a dict or set whose keys were chosen to collide (cf. Python's issue
   13703); pieces of a dict begin with a key. */
static bool check_flood(Run *r, const mproc_node *n) {
  const mproc_allocator *a = r->u->tree.allocator;
  size_t step = n->kind == MPROC_NODE_DICT ? 2 : 1;
  size_t size = FLOOD_MIN;
  uint8_t *chains;
  bool flooded;
  if (n->as.items.count / step < FLOOD_MIN)
    return true;
  while (size < n->as.items.count / step)
    size *= 2;
  chains = (uint8_t *)mproc_alloc(a, size);
  if (chains == NULL)
    luaL_error(r->L, "not enough memory");
  flooded = is_flooded(r, &n->as.items, step, size, chains);
  mproc_free(a, chains, size);
  return !flooded || lmp_unpickle_refuse(r, "the keys of a dict collide");
}

static bool has_keys(const mproc_node *n) {
  return n->kind == MPROC_NODE_DICT || n->kind == MPROC_NODE_SET ||
         n->kind == MPROC_NODE_FROZENSET;
}

bool lmp_unpickle_enter(Run *r, uint32_t node, bool wrap) {
  mproc_node *n = mproc_tree_node(&r->u->tree, node);
  Frame *f;
  if (r->depth >= r->max_depth)
    return lmp_unpickle_refuse(r, "the pickle is nested too deeply");
  if (has_keys(n) && !check_flood(r, n))
    return false;
  if (r->depth >= LMP_SPILL)
    lmp_spill(r->L, SPILLED, r->depth);
  else if (r->depth % ROOM == 0)
    luaL_checkstack(r->L, 2 * ROOM + SCRATCH, "pickle");
  f = new_frame(r);
  memset(f, 0, sizeof *f);
  f->node = node;
  f->kind = n->kind;
  f->wrap = wrap;
  if (n->kind == MPROC_NODE_OBJECT) {
    lmp_unpickle_object(r, f, n);
    return true;
  }
  lmp_unpickle_items(f, &n->as.items);
  lmp_unpickle_container(r, n);
  if (n->kind == MPROC_NODE_PERSISTENT)
    n->place = LMP_UNPICKLE_MAKING;
  else
    lmp_unpickle_keep(r, n);
  lua_pushnil(r->L);
  return true;
}

/*
** lshape.c: whether tables are laid out as lshape.h has it: samples of them, made
** by Lua's API, are compared with what they must look like.
*/
#include "binding/lshape.h"

#if LUA_VERSION_NUM == 504 && !defined MPROC_LUA_API_ONLY

/* What a sample has. */
typedef struct Sample {
  int reserved_array, reserved_hash; /* lua_createtable's */
  int items;                         /* set after that: 1 to this */
  bool named;                        /* and then the key "k" */
  bool removed;                      /* which is nil then */
  bool hashed;                       /* whether there is a hash part */
  unsigned int array;                /* the size of the array part */
} Sample;

/* ltable.c: luaH_resize, rehash */
static const Sample samples[] = {
    {0, 0, 0, false, false, false, 0}, {4, 0, 0, false, false, false, 4},
    {4, 0, 4, false, false, false, 4}, {3, 0, 3, false, false, false, 3},
    {0, 0, 1, false, false, false, 1}, {0, 0, 5, false, false, false, 8},
    {4, 0, 5, false, false, false, 8}, {0, 4, 0, false, false, true, 0},
    {0, 4, 3, false, false, true, 0},  {0, 0, 0, true, false, true, 0},
    {0, 0, 0, true, true, true, 0},    {3, 2, 3, true, false, true, 3},
    {3, 2, 3, true, true, true, 3},    {4, 0, 4, true, true, true, 4},
};

/* [-0, +1, m] */
static void push_sample(lua_State *L, const Sample *s) {
  lua_createtable(L, s->reserved_array, s->reserved_hash);
  for (int i = 1; i <= s->items; i++) {
    lua_pushboolean(L, 1);
    lua_rawseti(L, -2, i);
  }
  if (s->named) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "k");
  }
  if (s->removed) {
    lua_pushnil(L);
    lua_setfield(L, -2, "k");
  }
}

/* [-0, +0, -] The table on the top. */
static lmp_Shape shape(lua_State *L) {
  lmp_Shape found;
  memcpy(&found, lua_topointer(L, -1), sizeof found);
  return found;
}

static bool is_as_sampled(const lmp_Shape *found, const Sample *s,
                          const char *dummy, const void *metatable) {
  return found->type == LUA_TTABLE && found->alimit == s->array &&
         (found->array != NULL) == (s->array > 0) && found->node != NULL &&
         (found->node != dummy) == s->hashed &&
         (found->lastfree != NULL) == s->hashed &&
         (s->hashed ? found->lastfree >= found->node : found->lsizenode == 0) &&
         found->metatable == metatable;
}

/* [-0, +0, m] Whether a new sample looks as it must, also with the table on the
   top as its metatable; 'dummy' is the node of a table without a hash part. */
static bool check(lua_State *L, const Sample *s, const char *dummy) {
  const void *metatable = lua_topointer(L, -1);
  lmp_Shape before, after;
  push_sample(L, s);
  before = shape(L);
  lua_pushvalue(L, -2);
  lua_setmetatable(L, -2);
  after = shape(L);
  lua_pop(L, 1);
  return is_as_sampled(&before, s, dummy, NULL) &&
         is_as_sampled(&after, s, dummy, metatable);
}

bool lmp_knowsshape(lua_State *L) {
  bool known = true;
  lua_newtable(L);
  for (size_t i = 0; known && i < sizeof samples / sizeof *samples; i++)
    known = check(L, &samples[i], shape(L).node);
  lua_pop(L, 1);
  return known;
}

#else

bool lmp_knowsshape(lua_State *L) {
  (void)L;
  return false;
}

#endif

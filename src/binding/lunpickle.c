/*
** lunpickle.c: pickle.loads: its options, and the memory that it uses again.
*/
#include <string.h>

#include "binding/lunpickle.h"
#include "core/digest.h"

#define KEEP (1 << 20)  /* bytes of memory kept from one call to the next */
#define INT_DIGITS 4300 /* CPython's limit (sys.int_info) */
#define TEXTS 8192      /* places of text on the Lua stack */

#define UNPICKLER "multiprocessing.unpickler"

/* ---- the owner ---- */

static void free_frames(Unpickler *u) {
  mproc_free(u->tree.allocator, u->frames, u->capacity * sizeof *u->frames);
  u->frames = NULL;
  u->capacity = 0;
}

static void free_memory(Unpickler *u) {
  free_frames(u);
  mproc_tree_free(&u->tree);
}

static int unpickler_gc(lua_State *L) {
  Unpickler *u = (Unpickler *)luaL_checkudata(L, 1, UNPICKLER);
  free_memory(u);
  u->last = true; /* other finalizers may still use it */
  return 0;
}

/* [-0, +1, m] Pushes a new unpickler: the one to use from now on. */
static Unpickler *new_unpickler(lua_State *L) {
  lmp_State *s = lmp_state(L);
  Unpickler *u = (Unpickler *)lua_newuserdatauv(L, sizeof *u, 0);
  uint8_t seed[sizeof u->tree.places.seed];
  memset(u, 0, sizeof *u);
  mproc_tree_init(&u->tree, &s->ctx.allocator);
  if (mproc_digest_random(seed, sizeof seed) == MPROC_OK)
    memcpy(&u->tree.places.seed, seed, sizeof seed);
  if (luaL_newmetatable(L, UNPICKLER)) {
    lua_pushcfunction(L, unpickler_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, lua_upvalueindex(1), LMP_UNPICKLER);
  return u;
}

/*
** [-0, +1, m] Pushes the unpickler, or a new one while another call uses it:
** from a constructor, say. A call that raises an error leaves its own to the
** collector.
*/
static Unpickler *borrow(lua_State *L) {
  Unpickler *u;
  lua_getiuservalue(L, lua_upvalueindex(1), LMP_UNPICKLER);
  u = (Unpickler *)lua_touserdata(L, -1);
  if (u == NULL || u->busy) {
    lua_pop(L, 1);
    u = new_unpickler(L);
  }
  u->busy = true;
  return u;
}

static void give_back(Unpickler *u) {
  u->busy = false;
  if (u->last) { /* nobody will finalize it again */
    free_memory(u);
    return;
  }
  mproc_tree_clear(&u->tree, KEEP);
  if (u->capacity > KEEP / sizeof *u->frames)
    free_frames(u);
}

bool lmp_unpickle_refuse(Run *r, const char *problem) {
  r->problem = problem;
  return false;
}

/* Makes room for text that is fetched again: on the stack, where pushing it
   again costs least, and, of so much, in MADE. */
static void make_room(Run *r) {
  lua_State *L = r->L;
  uint32_t n = r->u->tree.fetched;
  r->texts = n < TEXTS ? n : TEXTS;
  if (r->texts > 0 && !lua_checkstack(L, (int)r->texts + LUA_MINSTACK))
    r->texts = 0;
  lua_settop(L, BASE - 1 + (int)r->texts);
  if (n > r->texts) {
    r->made = n - r->texts;
    lua_createtable(L, lmp_unpickle_capped(r->made), 0);
    lua_replace(L, MADE);
  }
}

/* ---- the function ---- */

/* [-0, +1, m] Pushes an option; returns its type. */
static int push_option(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, OPTIONS);
}

/* A limit among the options; 'otherwise' where it is not said. */
static size_t limit(lua_State *L, const char *name, size_t otherwise) {
  size_t value = otherwise;
  int whole;
  lua_Integer n;
  int type = push_option(L, name);
  if (type != LUA_TNIL) {
    n = lua_tointegerx(L, -1, &whole);
    if (type != LUA_TNUMBER || !whole || n < 0) {
      lua_pushfstring(L, "option '%s': size expected", name);
      luaL_argerror(L, OPTIONS, lua_tostring(L, -1));
    }
    value = (size_t)n;
  }
  lua_pop(L, 1);
  return value;
}

/* Misuse, unless the option is of that type, or not said. */
static void check_option(lua_State *L, const char *name, int expected) {
  int type = push_option(L, name);
  if (type != LUA_TNIL && type != expected) {
    lua_pushfstring(L, "option '%s': %s expected, got %s", name,
                    lua_typename(L, expected), lua_typename(L, type));
    luaL_argerror(L, OPTIONS, lua_tostring(L, -1));
  }
  lua_pop(L, 1);
}

static void read_options(Run *r, mproc_tree_limits *limits) {
  lua_State *L = r->L;
  if (lua_isnil(L, OPTIONS))
    return;
  luaL_checktype(L, OPTIONS, LUA_TTABLE);
  lmp_checkkeys(L, OPTIONS,
                "bytes\0constructors\0max_depth\0max_int_digits\0"
                "max_memory\0persistent_load\0");
  check_option(L, "constructors", LUA_TTABLE);
  check_option(L, "persistent_load", LUA_TFUNCTION);
  limits->memory = limit(L, "max_memory", limits->memory);
  limits->int_digits = limit(L, "max_int_digits", limits->int_digits);
  r->max_depth = limit(L, "max_depth", r->max_depth);
  if (push_option(L, "bytes") != LUA_TNIL) {
    const char *mode = lua_tostring(L, -1);
    r->wrap = mode != NULL && strcmp(mode, "wrap") == 0;
    luaL_argcheck(L, r->wrap || (mode != NULL && strcmp(mode, "string") == 0),
                  OPTIONS, "option 'bytes': \"string\" or \"wrap\" expected");
  }
  lua_pop(L, 1);
}

/* How many arguments constructors may take of tuples that others take, too: more
   than an honest pickle says, yet its size bounds the time. */
static size_t unpacks(size_t size) {
  const size_t each = 64;
  return size < SIZE_MAX / 2 / each ? each * size + (1 << 20) : SIZE_MAX;
}

static int refuse(lua_State *L, Unpickler *u, const char *problem,
                  size_t offset) {
  give_back(u);
  if (offset == SIZE_MAX)
    lua_pushstring(L, problem);
  else
    lua_pushfstring(L, "%s at byte %I", problem, (LUAI_UACINT)offset);
  return lmp_pusherror(L, "UnpicklingError");
}

int lmp_loads(lua_State *L) {
  Run r = {L, NULL, 0, 0, 0, SIZE_MAX, 0, false, false, NULL};
  mproc_tree_limits limits = {SIZE_MAX, INT_DIGITS};
  mproc_view in;
  mproc_status st;
  in.data = (const uint8_t *)luaL_checklstring(L, INPUT, &in.size);
  lua_settop(L, OPTIONS);
  read_options(&r, &limits);
  r.unpacks = unpacks(in.size);
  r.u = borrow(L);
  st = mproc_tree_build(&r.u->tree, in, &limits);
  if (st == MPROC_NOMEM)
    return luaL_error(L, "not enough memory");
  if (st != MPROC_OK)
    return refuse(L, r.u, r.u->tree.problem, r.u->tree.offset);
  r.old_names = r.u->tree.protocol < 3;
  make_room(&r);
  if (!lmp_unpickle_walk(&r))
    return refuse(L, r.u, r.problem, SIZE_MAX);
  give_back(r.u);
  return 1;
}

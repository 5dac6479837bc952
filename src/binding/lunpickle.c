/*
** lunpickle.c: pickle.loads: the tree that a pickle describes, as Lua values.
**
** The tree is walked without recursion. Each container that is being filled
** has a frame; its Lua value and one more slot (the key of a dict's next value,
** an object's list of items) are on the Lua stack, or, below the depth of
** SPILL frames, in a table: so depth is limited by memory only.
*/
#include <limits.h>
#include <math.h>
#include <string.h>

#include "binding/lunpickle.h"
#include "core/digest.h"

#define SPILL 1000      /* frames on the Lua stack */
#define KEEP (1 << 20)  /* bytes of memory kept from one call to the next */
#define INT_DIGITS 4300 /* CPython's limit (sys.int_info) */
#define FLAT 32         /* items of a list that needs no frame */

/* Frames for which there is room on the Lua stack from each multiple of it on,
   and what one of them may need beside its two slots. */
#define ROOM 16
#define SCRATCH 16

#define UNPICKLER "multiprocessing.unpickler"

/* ---- the owner ---- */

static int unpickler_gc(lua_State *L) {
  Unpickler *u = (Unpickler *)luaL_checkudata(L, 1, UNPICKLER);
  mproc_free(u->tree.allocator, u->frames, u->capacity * sizeof *u->frames);
  u->frames = NULL;
  u->capacity = 0;
  mproc_tree_free(&u->tree);
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
  lua_rawsetp(L, LUA_REGISTRYINDEX, &s->unpicklers);
  return u;
}

/*
** [-0, +1, m] Pushes the unpickler, or a new one while another call uses it:
** from a constructor, say. A call that ends in an error leaves its own to the
** collector.
*/
static Unpickler *borrow(lua_State *L) {
  Unpickler *u;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lmp_state(L)->unpicklers);
  u = (Unpickler *)lua_touserdata(L, -1);
  if (u == NULL || u->busy) {
    lua_pop(L, 1);
    u = new_unpickler(L);
  }
  u->busy = true;
  return u;
}

static void give_back(Unpickler *u) {
  mproc_tree_clear(&u->tree, KEEP);
  if (u->capacity > KEEP / sizeof *u->frames) {
    mproc_free(u->tree.allocator, u->frames, u->capacity * sizeof *u->frames);
    u->frames = NULL;
    u->capacity = 0;
  }
  u->busy = false;
}

/* ---- values without parts ---- */

void lmp_unpickle_tag(Run *r, lmp_ValueType type) {
  lua_State *L = r->L;
  int slot = TYPES + (int)type;
  if (!r->types[type]) {
    lmp_pushtype(L, type);
    lua_replace(L, slot);
    r->types[type] = true;
  }
  lua_pushvalue(L, slot);
  lua_setmetatable(L, -2);
}

static void push_none(Run *r) {
  lua_State *L = r->L;
  int slot = TYPES + LMP_NONE;
  if (!r->types[LMP_NONE]) {
    lmp_pushnone(L);
    lua_replace(L, slot);
    r->types[LMP_NONE] = true;
  }
  lua_pushvalue(L, slot);
}

/* [-0, +1, m] Pushes short text; what occurs again is made once. */
static void push_text(Run *r, const mproc_value *v) {
  lua_State *L = r->L;
  mproc_slot *slot = mproc_tree_text(&r->u->tree, v);
  if (slot != NULL && slot->made) {
    lua_rawgeti(L, MADE, (lua_Integer)slot->number);
    return;
  }
  lua_pushlstring(L, (const char *)v->as.data, v->size);
  if (slot != NULL) {
    slot->made = true;
    lua_pushvalue(L, -1);
    lua_rawseti(L, MADE, (lua_Integer)slot->number);
  }
}

/* [-0, +1, m] Pushes a value that is no node. */
static inline void push_simple(Run *r, const mproc_value *v, bool wrap) {
  lua_State *L = r->L;
  mproc_view bytes = {NULL, v->size};
  switch ((mproc_value_tag)v->tag) {
  case MPROC_VALUE_NONE:
    push_none(r);
    break;
  case MPROC_VALUE_FALSE:
  case MPROC_VALUE_TRUE:
    lua_pushboolean(L, v->tag == MPROC_VALUE_TRUE);
    break;
  case MPROC_VALUE_INTEGER:
    lua_pushinteger(L, (lua_Integer)v->as.integer);
    break;
  case MPROC_VALUE_REAL:
    lua_pushnumber(L, (lua_Number)v->as.real);
    break;
  case MPROC_VALUE_TEXT:
    push_text(r, v);
    break;
  case MPROC_VALUE_BYTES:
    bytes.data = v->as.data;
    lmp_unpickle_bytes(r, bytes, wrap);
    break;
  case MPROC_VALUE_NODE:
    break;
  }
}

/* ---- what occurs again ---- */

/* Text that occurs again has the first places in MADE. */
static void begin_made(Run *r) {
  lua_State *L = r->L;
  uint32_t n = r->u->tree.fetched;
  if (n == 0)
    return;
  lua_createtable(L, n < 1u << 24 ? (int)n : 1 << 24, 0);
  lua_replace(L, MADE);
  r->made = n;
}

void lmp_unpickle_keep(Run *r, uint32_t node) {
  lua_State *L = r->L;
  mproc_node *n = mproc_tree_node(&r->u->tree, node);
  if (!n->shared)
    return;
  if (lua_type(L, MADE) == LUA_TNIL) {
    lua_newtable(L);
    lua_replace(L, MADE);
  }
  n->place = ++r->made;
  lua_pushvalue(L, -1);
  lua_rawseti(L, MADE, (lua_Integer)n->place);
}

/* ---- frames ---- */

bool lmp_unpickle_refuse(Run *r, const char *problem) {
  r->problem = problem;
  return false;
}

/* Moves the two slots of the innermost frame off the Lua stack. */
static void spill(Run *r) {
  lua_State *L = r->L;
  lua_Integer place = 2 * (lua_Integer)r->depth;
  if (lua_type(L, SPILLED) == LUA_TNIL) {
    lua_newtable(L);
    lua_replace(L, SPILLED);
  }
  lua_rawseti(L, SPILLED, place);
  lua_rawseti(L, SPILLED, place - 1);
}

/* Puts them back, below the value on the top. */
static void unspill(Run *r) {
  lua_State *L = r->L;
  lua_Integer place = 2 * (lua_Integer)r->depth;
  lua_rawgeti(L, SPILLED, place - 1);
  lua_rawgeti(L, SPILLED, place);
  lua_rotate(L, -3, 2);
}

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

static int capped(size_t n) {
  return n < 1u << 24 ? (int)n : 1 << 24;
}

/* The size of the array of a list of 'n'. One more than it needs is how dumps
   knows fast that it is a list. */
static int array_size(size_t n) {
  return capped(n < 24 ? n : n + 1);
}

/* [-0, +1, m] Pushes the container that a node is to become, without items. */
static void push_container(Run *r, const mproc_node *n) {
  lua_State *L = r->L;
  int count = capped(n->as.items.count);
  switch ((mproc_node_kind)n->kind) {
  case MPROC_NODE_TUPLE:
    lua_createtable(L, array_size(n->as.items.count), 0);
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
    lua_createtable(L, array_size(n->as.items.count), 0);
    break;
  }
}

/*
** The place of a numeric key in a table of 'size' nodes, as Lua 5.4 has it
** (ltable.c, mainposition); SIZE_MAX for other keys, whose places a peer cannot
** know.
*/
static size_t key_place(const mproc_value *key, size_t size) {
  size_t modulus = (size - 1) | 1;
  if (key->tag == MPROC_VALUE_INTEGER)
    return (size_t)((uint64_t)key->as.integer % modulus);
  if (key->tag == MPROC_VALUE_REAL) {
    int exponent;
    double n = frexp(key->as.real, &exponent) * -(double)INT_MIN;
    unsigned u;
    if (!(n > -9.3e18 && n < 9.3e18))
      return SIZE_MAX;
    u = (unsigned)exponent + (unsigned)(int64_t)n;
    return (u <= INT_MAX ? u : ~u) % modulus;
  }
  return SIZE_MAX;
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

/* Begins a node with parts; false: refused. */
static bool enter(Run *r, uint32_t node, bool wrap) {
  const mproc_node *n = mproc_tree_node(&r->u->tree, node);
  Frame *f;
  if (r->depth >= r->max_depth)
    return lmp_unpickle_refuse(r, "the pickle is nested too deeply");
  if (has_keys(n) && !check_flood(r, n))
    return false;
  if (r->depth >= SPILL)
    spill(r);
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
  push_container(r, n);
  lmp_unpickle_keep(r, node);
  lua_pushnil(r->L);
  return true;
}

/* ---- attaching a value: stack: container, slot, value ---- */

/*
** A key that Lua cannot hold, or cannot tell from another: b"a" beside "a",
** once both are strings.
*/
static bool check_key(Run *r, Frame *f, bool bytes) {
  lua_State *L = r->L;
  if (lua_type(L, -1) == LUA_TNUMBER && !lua_isinteger(L, -1) &&
      isnan(lua_tonumber(L, -1)))
    return lmp_unpickle_refuse(r, "NaN is no key in Lua");
  if (lua_type(L, -1) != LUA_TSTRING)
    return true;
  if (bytes || f->bytes_keys) {
    bool taken;
    lua_pushvalue(L, -1);
    taken = lua_rawget(L, -4) != LUA_TNIL;
    lua_pop(L, 1);
    if (taken)
      return lmp_unpickle_refuse(
          r, "bytes and text with the same content as keys");
  }
  f->bytes_keys = f->bytes_keys || bytes;
  return true;
}

static bool attach_to_dict(Run *r, Frame *f, bool bytes) {
  lua_State *L = r->L;
  if (!f->has_key) {
    if (!check_key(r, f, bytes))
      return false;
    lua_replace(L, -2);
    f->has_key = true;
    return true;
  }
  lua_pushvalue(L, -2);
  lua_insert(L, -2);
  lua_rawset(L, -4);
  f->has_key = false;
  return true;
}

/* [-1, +0, e] Attaches the value on the top to the innermost frame's. */
static bool attach(Run *r, bool bytes) {
  lua_State *L = r->L;
  Frame *f = lmp_unpickle_frame(r);
  switch ((mproc_node_kind)f->kind) {
  case MPROC_NODE_DICT:
    return attach_to_dict(r, f, bytes);
  case MPROC_NODE_SET:
  case MPROC_NODE_FROZENSET:
    if (!check_key(r, f, bytes))
      return false;
    lua_pushboolean(L, 1);
    lua_rawset(L, -4);
    return true;
  case MPROC_NODE_OBJECT:
    return lmp_unpickle_attach_part(r, f);
  default:
    lua_rawseti(L, -3, ++f->count);
    return true;
  }
}

/* ---- the walk ---- */

/* Pushes a node's value and attaches it, or begins its frame. */
static bool visit_node(Run *r, uint32_t node, bool wrap) {
  lua_State *L = r->L;
  const mproc_node *n = mproc_tree_node(&r->u->tree, node);
  if (n->place == LMP_UNPICKLE_MAKING)
    return lmp_unpickle_refuse(r, "an instance occurs in its own arguments");
  if (n->place != 0) {
    lua_rawgeti(L, MADE, (lua_Integer)n->place);
    if (n->kind == MPROC_NODE_BYTES)
      lmp_unpickle_rewrap(r, wrap);
    return attach(r, n->kind == MPROC_NODE_BYTES);
  }
  if (lmp_unpickle_leaf(r, n, wrap)) {
    lmp_unpickle_keep(r, node);
    return attach(r, n->kind == MPROC_NODE_BYTES);
  }
  return enter(r, node, wrap);
}

bool lmp_unpickle_visit(Run *r, const mproc_value *v, bool wrap) {
  if (v->tag == MPROC_VALUE_NODE)
    return visit_node(r, v->as.node, wrap);
  push_simple(r, v, wrap);
  return attach(r, v->tag == MPROC_VALUE_BYTES);
}

/* ---- values that need no frame ---- */

/* Whether a node is a list or tuple of a few simple values. */
static bool is_flat(const mproc_tree *t, const mproc_node *n) {
  const mproc_items *items = &n->as.items;
  const mproc_value *v = (const mproc_value *)t->values.data + items->start;
  if ((n->kind != MPROC_NODE_LIST && n->kind != MPROC_NODE_TUPLE) ||
      items->count > FLAT || items->more != 0)
    return false;
  for (size_t i = 0; i < items->count; i++) {
    if (v[i].tag == MPROC_VALUE_NODE)
      return false;
  }
  return true;
}

/* [-0, +1, m] Pushes the value of such a node. */
static void push_flat(Run *r, uint32_t node, bool wrap) {
  const mproc_tree *t = &r->u->tree;
  const mproc_node *n = mproc_tree_node(t, node);
  const mproc_items *items = &n->as.items;
  const mproc_value *v = (const mproc_value *)t->values.data + items->start;
  push_container(r, n);
  for (size_t i = 0; i < items->count; i++) {
    push_simple(r, &v[i], wrap);
    lua_rawseti(r->L, -2, (lua_Integer)i + 1);
  }
  lmp_unpickle_keep(r, node);
}

/* [-0, +1 or +0, m] Pushes a node that was made before, or needs no frame. */
static bool push_easy_node(Run *r, uint32_t node, bool wrap) {
  const mproc_node *n = mproc_tree_node(&r->u->tree, node);
  if (n->kind == MPROC_NODE_BYTES)
    return false;
  if (n->place != 0 && n->place != LMP_UNPICKLE_MAKING) {
    lua_rawgeti(r->L, MADE, (lua_Integer)n->place);
    return true;
  }
  if (n->place != 0 || r->depth >= r->max_depth || !is_flat(&r->u->tree, n))
    return false;
  push_flat(r, node, wrap);
  return true;
}

/* A list's or tuple's items go in without ado, as far as they can. */
static void attach_run(Run *r, Frame *f) {
  lua_State *L = r->L;
  const mproc_value *v = f->next;
  const mproc_value *end = v + f->left;
  lua_Integer count = f->count;
  int container = lua_gettop(L) - 1;
  for (; v < end; v++) {
    if (v->tag != MPROC_VALUE_NODE)
      push_simple(r, v, f->wrap);
    else if (!push_easy_node(r, v->as.node, f->wrap))
      break;
    lua_rawseti(L, container, ++count);
  }
  f->left = (size_t)(end - v);
  f->next = v;
  f->count = count;
}

/* [-0, +1 or +0, m] Pushes a key or value of a dict that needs no look at what
   it is: bytes do, and so do floats as keys. */
static inline bool push_easy(Run *r, const Frame *f, const mproc_value *v) {
  if (v->tag < MPROC_VALUE_BYTES) {
    push_simple(r, v, false);
    return true;
  }
  return v->tag == MPROC_VALUE_NODE && push_easy_node(r, v->as.node, f->wrap);
}

/* The same for a dict's entries; stops at any that needs more, perhaps between
   a key and its value. Stack: dict, slot. */
static void attach_entries(Run *r, Frame *f) {
  lua_State *L = r->L;
  int container = lua_gettop(L) - 1;
  while (f->left >= 2 && f->next->tag != MPROC_VALUE_REAL &&
         push_easy(r, f, f->next)) {
    if (!push_easy(r, f, f->next + 1)) {
      lua_replace(L, -2); /* the key waits in the slot */
      f->has_key = true;
      f->next++;
      f->left--;
      return;
    }
    lua_rawset(L, container);
    f->next += 2;
    f->left -= 2;
  }
}

static bool step_container(Run *r, bool *over) {
  Frame *f = lmp_unpickle_frame(r);
  *over = !lmp_unpickle_more(r, f);
  if (*over)
    return true;
  if (f->kind == MPROC_NODE_LIST || f->kind == MPROC_NODE_TUPLE)
    attach_run(r, f);
  else if (f->kind == MPROC_NODE_DICT && !f->has_key && !f->bytes_keys)
    attach_entries(r, f);
  return f->left == 0 || lmp_unpickle_visit(r, lmp_unpickle_next(f), f->wrap);
}

/* The innermost frame is whole: its value goes to the one around it. */
static bool leave(Run *r) {
  lua_State *L = r->L;
  const Frame *f = lmp_unpickle_frame(r);
  if (f->kind == MPROC_NODE_OBJECT)
    lmp_unpickle_note_how(r, f);
  else if (f->kind == MPROC_NODE_PERSISTENT && !lmp_unpickle_persistent(r))
    return false;
  lua_pop(L, 1);
  r->depth--;
  if (r->depth == 0)
    return true;
  if (r->depth >= SPILL)
    unspill(r);
  return attach(r, false);
}

/* [-0, +1, e] Pushes the tree's value; false: it is refused. */
static bool walk(Run *r) {
  const mproc_value *root = &r->u->tree.root;
  if (root->tag != MPROC_VALUE_NODE) {
    push_simple(r, root, r->wrap);
    return true;
  }
  if (lmp_unpickle_leaf(r, mproc_tree_node(&r->u->tree, root->as.node),
                        r->wrap))
    return true;
  if (!enter(r, root->as.node, r->wrap))
    return false;
  while (r->depth > 0) {
    bool over = false;
    bool fine = lmp_unpickle_frame(r)->kind == MPROC_NODE_OBJECT
                    ? lmp_unpickle_step_object(r, &over)
                    : step_container(r, &over);
    if (!fine || (over && !leave(r)))
      return false;
  }
  return true;
}

/* ---- the function ---- */

/* A limit among the options; 'otherwise' where it is not said. */
static size_t limit(lua_State *L, const char *name, size_t otherwise) {
  size_t value = otherwise;
  int whole;
  lua_Integer n;
  int type = lua_getfield(L, OPTIONS, name);
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
  int type = lua_getfield(L, OPTIONS, name);
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
  if (lua_getfield(L, OPTIONS, "bytes") != LUA_TNIL) {
    const char *mode = lua_tostring(L, -1);
    r->wrap = mode != NULL && strcmp(mode, "wrap") == 0;
    luaL_argcheck(L, r->wrap || (mode != NULL && strcmp(mode, "string") == 0),
                  OPTIONS, "option 'bytes': \"string\" or \"wrap\" expected");
  }
  lua_pop(L, 1);
}

static int push_refusal(lua_State *L, const char *problem, size_t offset) {
  if (offset == SIZE_MAX)
    lua_pushstring(L, problem);
  else
    lua_pushfstring(L, "%s at byte %I", problem, (LUAI_UACINT)offset);
  return lmp_pusherror(L, "UnpicklingError");
}

int lmp_loads(lua_State *L) {
  Run r = {L, NULL, 0, 0, SIZE_MAX, false, false, {false}, NULL};
  mproc_tree_limits limits = {SIZE_MAX, INT_DIGITS};
  mproc_view in;
  mproc_status st;
  in.data = (const uint8_t *)luaL_checklstring(L, INPUT, &in.size);
  lua_settop(L, OPTIONS);
  read_options(&r, &limits);
  r.u = borrow(L);
  lua_settop(L, BASE - 1);
  st = mproc_tree_build(&r.u->tree, in, &limits);
  if (st == MPROC_NOMEM)
    return luaL_error(L, "not enough memory");
  if (st != MPROC_OK)
    return push_refusal(L, r.u->tree.problem, r.u->tree.offset);
  r.old_names = r.u->tree.protocol < 3;
  begin_made(&r);
  if (!walk(&r))
    return push_refusal(L, r.problem, SIZE_MAX);
  give_back(r.u);
  return 1;
}

/*
** lunpickle.c: pickle.loads: the tree that a pickle describes, as Lua values.
**
** The tree is walked without recursion. Each container that is being filled
** has a frame; its Lua value and one more slot (the key of a dict's next value,
** an object's list of items) are on the Lua stack, or, below the depth of
** SPILL frames, in a table: so depth is limited by memory only.
**
** An instance becomes a table {class =, args =, …} that says how it was
** constructed, unless the program has registered a constructor for its class.
*/
#include <math.h>
#include <string.h>

#include "binding/lbuffer.h"
#include "binding/lmp.h"
#include "pickle/bigint.h"
#include "pickle/tree.h"

#define SPILL 1000      /* frames on the Lua stack */
#define KEEP (1 << 20)  /* bytes of memory kept from one call to the next */
#define INT_DIGITS 4300 /* CPython's limit (sys.int_info) */

/* The fixed places on the Lua stack. */
enum {
  INPUT = 1, /* the string */
  OPTIONS,   /* a table, or nil */
  OWNER,     /* the Unpickler */
  MADE,      /* place of a shared node -> its value; or nil */
  SPILLED,   /* the slots of the deeper frames; or nil */
  TYPES,     /* from here on: the metatables, once they were needed */
  BASE = TYPES + LMP_VALUE_TYPES
};

/* The 'place' of a node whose constructor waits for its arguments; that of
   others is where MADE has its value, or 0. */
#define IN_THE_MAKING UINT32_MAX

/* What an object's frame is about to attach. */
typedef enum Stage { CLASS, ARGS, KWARGS, ITEMS, PAIRS, STATE, DONE } Stage;

/* A container that is being filled. */
typedef struct Frame {
  uint32_t node;
  uint8_t kind;
  uint8_t stage;    /* of an object */
  bool constructed; /* an object: a registered function makes it */
  bool wrap;        /* bytes are to stay apart from text */
  bool has_key;     /* a dict: the second slot has the key */
  bool bytes_keys;  /* a dict or set: one of the keys was bytes */
  uint32_t at;      /* for mproc_tree_piece */
  const mproc_items *items;
  const mproc_value *next;
  size_t left;       /* values at 'next' */
  lua_Integer count; /* items attached */
} Frame;

/* Everything that must be freed: a userdata with a finalizer. */
typedef struct Unpickler {
  mproc_tree tree;
  Frame *frames;
  size_t capacity;
} Unpickler;

/* One call. */
typedef struct Run {
  lua_State *L;
  Unpickler *u;
  size_t depth;  /* frames in use */
  uint32_t made; /* places given in MADE */
  size_t max_depth;
  bool wrap;
  bool old_names;      /* Python 2's: protocol 2 and below */
  const char *problem; /* why the pickle is refused */
} Run;

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

/*
** [-0, +1, m] Pushes an unpickler: the idle one, which is nobody's until it is
** put back, or a new one. A call that ends in an error leaves its own to the
** collector.
*/
static Unpickler *borrow(lua_State *L) {
  lmp_State *s = lmp_state(L);
  Unpickler *u;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &s->unpicklers) == LUA_TUSERDATA) {
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &s->unpicklers);
    return (Unpickler *)lua_touserdata(L, -1);
  }
  lua_pop(L, 1);
  u = (Unpickler *)lua_newuserdatauv(L, sizeof *u, 0);
  mproc_tree_init(&u->tree, &s->ctx.allocator);
  u->frames = NULL;
  u->capacity = 0;
  if (luaL_newmetatable(L, UNPICKLER)) {
    lua_pushcfunction(L, unpickler_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return u;
}

static void give_back(lua_State *L, Unpickler *u) {
  mproc_tree_clear(&u->tree, KEEP);
  if (u->capacity > KEEP / sizeof *u->frames) {
    mproc_free(u->tree.allocator, u->frames, u->capacity * sizeof *u->frames);
    u->frames = NULL;
    u->capacity = 0;
  }
  lua_pushvalue(L, OWNER);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lmp_state(L)->unpicklers);
}

/* ---- values without parts ---- */

static void set_type(Run *r, lmp_ValueType type) {
  lua_State *L = r->L;
  int slot = TYPES + (int)type;
  if (lua_type(L, slot) == LUA_TNIL) {
    lmp_pushtype(L, type);
    lua_replace(L, slot);
  }
  lua_pushvalue(L, slot);
  lua_setmetatable(L, -2);
}

static void push_none(Run *r) {
  lua_State *L = r->L;
  int slot = TYPES + LMP_NONE;
  if (lua_type(L, slot) == LUA_TNIL) {
    lmp_pushnone(L);
    lua_replace(L, slot);
  }
  lua_pushvalue(L, slot);
}

/* [-0, +1, m] Pushes {string}, tagged. */
static void push_wrapped(Run *r, mproc_view v, lmp_ValueType type) {
  lua_createtable(r->L, 1, 0);
  lua_pushlstring(r->L, (const char *)v.data, v.size);
  lua_rawseti(r->L, -2, 1);
  set_type(r, type);
}

static void push_bytes(Run *r, mproc_view v, bool wrap) {
  if (wrap)
    push_wrapped(r, v, LMP_BYTES);
  else
    lua_pushlstring(r->L, (const char *)v.data, v.size);
}

static void push_buffer(lua_State *L, mproc_view v) {
  lmp_Buffer *b = lmp_newbuffer(L, v.size);
  if (v.size > 0)
    memcpy(b->data, v.data, v.size);
}

/* [-0, +1, m] Pushes an integer that protocol 0 wrote in decimal. */
static void push_decimal(lua_State *L, mproc_view digits) {
  mproc_view v;
  uint8_t *room =
      (uint8_t *)lua_newuserdatauv(L, mproc_bigint_binary_room(digits.size), 0);
  v.data = room;
  v.size = mproc_bigint_from_decimal(digits, room);
  lmp_pushint(L, v);
  lua_remove(L, -2);
}

/* [-0, +1, m] Pushes a value that is no node. */
static void push_simple(Run *r, const mproc_value *v, bool wrap) {
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
    lua_pushlstring(L, (const char *)v->as.data, v->size);
    break;
  case MPROC_VALUE_BYTES:
    bytes.data = v->as.data;
    push_bytes(r, bytes, wrap);
    break;
  case MPROC_VALUE_NODE:
    break;
  }
}

/* [-0, +1 or +0, m] Pushes a node that has no parts; false: it has some. */
static bool push_leaf(Run *r, const mproc_node *n, bool wrap) {
  lua_State *L = r->L;
  switch ((mproc_node_kind)n->kind) {
  case MPROC_NODE_TEXT:
    lua_pushlstring(L, (const char *)n->as.bytes.data, n->as.bytes.size);
    return true;
  case MPROC_NODE_SURROGATE:
    push_wrapped(r, n->as.bytes, LMP_STR);
    return true;
  case MPROC_NODE_BYTES:
    push_bytes(r, n->as.bytes, wrap);
    return true;
  case MPROC_NODE_BYTEARRAY:
    push_buffer(L, n->as.bytes);
    return true;
  case MPROC_NODE_LONG:
    lmp_pushint(L, n->as.bytes);
    return true;
  case MPROC_NODE_DECIMAL:
    push_decimal(L, n->as.bytes);
    return true;
  case MPROC_NODE_GLOBAL:
    lmp_pushglobal(L, n->as.global.module, n->as.global.name, r->old_names);
    return true;
  default:
    return false;
  }
}

/* ---- shared nodes ---- */

/* A node that occurs again: its value is kept. */
static void keep(Run *r, uint32_t node) {
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

static bool refuse(Run *r, const char *problem) {
  r->problem = problem;
  return false;
}

static Frame *innermost(const Run *r) {
  return &r->u->frames[r->depth - 1];
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

static void begin_items(Run *r, Frame *f, const mproc_items *items) {
  f->items = items;
  f->at = 0;
  f->left = 0;
  f->count = 0;
  (void)r;
}

/* Whether a registered function makes this object; pushes it if so. */
static bool push_constructor(Run *r, const mproc_object *o) {
  lua_State *L = r->L;
  const mproc_node *n;
  if (lua_type(L, OPTIONS) != LUA_TTABLE || o->callable.tag != MPROC_VALUE_NODE)
    return false;
  n = mproc_tree_node(&r->u->tree, o->callable.as.node);
  if (n->kind != MPROC_NODE_GLOBAL)
    return false;
  lua_pushliteral(L, "constructors");
  if (lua_rawget(L, OPTIONS) != LUA_TTABLE) {
    lua_pop(L, 1);
    return false;
  }
  lmp_pushglobal(L, n->as.global.module, n->as.global.name, r->old_names);
  lmp_pushglobalname(L, -1, false);
  lua_pushliteral(L, ".");
  lua_insert(L, -2);
  lua_concat(L, 3); /* constructors, global, name */
  if (lua_rawget(L, -3) == LUA_TNIL) {
    lua_pop(L, 3);
    return false;
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
  return true;
}

/* [-0, +2, m] Pushes the two slots of an object's frame. */
static void begin_object(Run *r, Frame *f, const mproc_node *n) {
  lua_State *L = r->L;
  const mproc_object *o = mproc_tree_object(&r->u->tree, n);
  f->constructed = push_constructor(r, o);
  f->stage = f->constructed ? ARGS : CLASS;
  f->wrap = true;
  if (f->constructed) {
    mproc_tree_node(&r->u->tree, f->node)->place = IN_THE_MAKING;
    lua_pushnil(L); /* there is no object yet */
    lua_insert(L, -2);
  } else {
    lua_createtable(L, 0, 4);
    set_type(r, LMP_OBJECT);
    keep(r, f->node);
    lua_pushnil(L);
  }
}

/* [-0, +2, m] Pushes the two slots of a container's frame. */
static void begin_container(Run *r, Frame *f, const mproc_node *n) {
  lua_State *L = r->L;
  const mproc_items *items = &n->as.items;
  int count = items->count < 1u << 24 ? (int)items->count : 1 << 24;
  begin_items(r, f, items);
  switch ((mproc_node_kind)n->kind) {
  case MPROC_NODE_TUPLE:
    lua_createtable(L, count, 0);
    set_type(r, LMP_TUPLE);
    break;
  case MPROC_NODE_SET:
  case MPROC_NODE_FROZENSET:
    lua_createtable(L, 0, count);
    set_type(r, n->kind == MPROC_NODE_SET ? LMP_SET : LMP_FROZENSET);
    break;
  case MPROC_NODE_DICT:
    lua_createtable(L, 0, count / 2);
    set_type(r, LMP_DICT);
    break;
  default: /* a list; a persistent id waits here for its function */
    lua_createtable(L, count, 0);
    break;
  }
  keep(r, f->node);
  lua_pushnil(L);
}

/* Begins a node with parts; false: too deep. */
static bool enter(Run *r, uint32_t node, bool wrap) {
  const mproc_node *n = mproc_tree_node(&r->u->tree, node);
  Frame *f;
  if (r->depth >= r->max_depth)
    return refuse(r, "the pickle is nested too deeply");
  if (r->depth >= SPILL)
    spill(r);
  else
    luaL_checkstack(r->L, 16, "pickle");
  f = new_frame(r);
  memset(f, 0, sizeof *f);
  f->node = node;
  f->kind = n->kind;
  f->wrap = wrap;
  if (n->kind == MPROC_NODE_OBJECT)
    begin_object(r, f, n);
  else
    begin_container(r, f, n);
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
    return refuse(r, "NaN is no key in Lua");
  if (lua_type(L, -1) != LUA_TSTRING)
    return true;
  if (bytes || f->bytes_keys) {
    bool taken;
    lua_pushvalue(L, -1);
    taken = lua_rawget(L, -4) != LUA_TNIL;
    lua_pop(L, 1);
    if (taken)
      return refuse(r, "bytes and text with the same content as keys");
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

/* One of an object's items or pairs, which are lists of their own. */
static void attach_to_part(Frame *f, lua_State *L) {
  f->count++;
  if (f->stage == ITEMS) {
    lua_rawseti(L, -2, f->count);
  } else if (f->count % 2 == 1) { /* a key: {key} */
    lua_createtable(L, 2, 0);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
    lua_rawseti(L, -2, f->count / 2 + 1);
  } else { /* its value */
    lua_rawgeti(L, -2, f->count / 2);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 1);
  }
}

/* What an object keeps each part under. */
static const char *const part_names[] = {"class", "args",  "kwargs",
                                         "items", "pairs", "state"};

/* [-1, +0, e] A constructed object's state or items: for the metamethod. */
static bool hand_over(Run *r, Stage stage) {
  static const char *const metamethods[] = {
      "", "", "", "__extend", "__setitems", "__setstate"};
  lua_State *L = r->L;
  if (luaL_getmetafield(L, -3, metamethods[stage]) == LUA_TNIL)
    return refuse(r, "what a constructor returned takes no items or state");
  lua_pushvalue(L, -4);
  lua_pushvalue(L, -3);
  lua_call(L, 2, 0);
  lua_pop(L, 1);
  return true;
}

/* Whether a constructor's result is one of our own objects. */
static bool is_object(lua_State *L, int idx) {
  return lua_type(L, idx) == LUA_TTABLE && lmp_typeof(L, idx) == LMP_OBJECT;
}

/* Stack: object, slot, the value of a part. */
static bool set_part(Run *r, Stage stage, bool constructed) {
  lua_State *L = r->L;
  if (constructed && !is_object(L, -3))
    return hand_over(r, stage);
  lua_pushstring(L, part_names[stage]);
  lua_insert(L, -2);
  lua_rawset(L, -4);
  return true;
}

/* Stack: nil, function, arguments (a tuple). */
static bool construct(Run *r, const Frame *f) {
  lua_State *L = r->L;
  int args = lua_gettop(L);
  lua_Unsigned n = lua_rawlen(L, args);
  if (n > 100000 || !lua_checkstack(L, (int)n + 10))
    return refuse(r, "too many arguments for a constructor");
  lua_pushvalue(L, args - 1);
  for (lua_Unsigned i = 1; i <= n; i++)
    lua_rawgeti(L, args, (lua_Integer)i);
  lua_call(L, (int)n, 1);
  if (lua_isnil(L, -1))
    return refuse(r, "a constructor returned nil");
  lua_replace(L, args - 2);
  lua_settop(L, args - 2);
  keep(r, f->node);
  lua_pushnil(L);
  return true;
}

static bool attach_to_object(Run *r, Frame *f) {
  Stage stage = (Stage)f->stage;
  if (stage == ITEMS || stage == PAIRS) {
    attach_to_part(f, r->L);
    return true;
  }
  f->stage++;
  if (stage == ARGS && f->constructed)
    return construct(r, f);
  return set_part(r, stage, f->constructed);
}

/* [-1, +0, e] Attaches the value on the top to the innermost frame's. */
static bool attach(Run *r, bool bytes) {
  lua_State *L = r->L;
  Frame *f = innermost(r);
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
    return attach_to_object(r, f);
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
  if (n->place == IN_THE_MAKING)
    return refuse(r, "an instance occurs in its own arguments");
  if (n->place != 0) {
    lua_rawgeti(L, MADE, (lua_Integer)n->place);
    return attach(r, false);
  }
  if (push_leaf(r, n, wrap)) {
    keep(r, node);
    return attach(r, n->kind == MPROC_NODE_BYTES);
  }
  return enter(r, node, wrap);
}

static bool visit(Run *r, const mproc_value *v, bool wrap) {
  if (v->tag == MPROC_VALUE_NODE)
    return visit_node(r, v->as.node, wrap);
  push_simple(r, v, wrap);
  return attach(r, v->tag == MPROC_VALUE_BYTES);
}

/* Whether the frame has more values to attach; then 'next' is the next one. */
static bool has_more(Run *r, Frame *f) {
  if (f->left == 0)
    f->next = mproc_tree_piece(&r->u->tree, f->items, &f->at, &f->left);
  return f->next != NULL;
}

static const mproc_value *take_value(Frame *f) {
  f->left--;
  return f->next++;
}

/* A list's or tuple's numbers and short strings go in without ado. */
static void attach_run(Run *r, Frame *f) {
  lua_State *L = r->L;
  const mproc_value *v = f->next;
  const mproc_value *end = v + f->left;
  lua_Integer count = f->count;
  for (; v < end && v->tag != MPROC_VALUE_NODE; v++) {
    push_simple(r, v, f->wrap);
    lua_rawseti(L, -3, ++count);
  }
  f->left = (size_t)(end - v);
  f->next = v;
  f->count = count;
}

/*
** [-0, +1 or +0, m] Pushes a value that needs neither a frame nor a look at
** what it is: anything simple but bytes, and text that was made before.
*/
static bool push_easy(Run *r, const mproc_value *v) {
  const mproc_node *n;
  if (v->tag < MPROC_VALUE_BYTES) {
    push_simple(r, v, false);
    return true;
  }
  if (v->tag == MPROC_VALUE_BYTES)
    return false;
  n = mproc_tree_node(&r->u->tree, v->as.node);
  if (n->kind != MPROC_NODE_TEXT || n->place == 0)
    return false;
  lua_rawgeti(r->L, MADE, (lua_Integer)n->place);
  return true;
}

/* The same for a dict's entries with such keys: of numbers, those that are no
   float; stops at any other, perhaps between a key and its value. */
static void attach_entries(Run *r, Frame *f) {
  lua_State *L = r->L;
  while (f->left >= 2 && f->next->tag != MPROC_VALUE_REAL &&
         push_easy(r, f->next)) {
    if (!push_easy(r, f->next + 1)) {
      lua_replace(L, -2); /* the key waits in the slot */
      f->has_key = true;
      f->next++;
      f->left--;
      return;
    }
    lua_rawset(L, -4);
    f->next += 2;
    f->left -= 2;
  }
}

/* Begins the items or the pairs of an object, if it has any. */
static bool begin_part(Run *r, Frame *f, const mproc_items *items) {
  if (items->count == 0) {
    f->stage++;
    return false;
  }
  lua_createtable(r->L, 0, 0);
  lua_replace(r->L, -2); /* the list is in the second slot */
  begin_items(r, f, items);
  return true;
}

/* Goes on with an object; '*over' once it is whole. */
static bool step_object(Run *r, bool *over) {
  Frame *f = innermost(r);
  const mproc_node *n = mproc_tree_node(&r->u->tree, f->node);
  const mproc_object *o = mproc_tree_object(&r->u->tree, n);
  switch ((Stage)f->stage) {
  case CLASS:
    return visit(r, &o->callable, true);
  case ARGS:
    return visit(r, &o->args, true);
  case KWARGS:
    if (o->how == MPROC_HOW_NEW_EX)
      return visit(r, &o->kwargs, true);
    f->stage = ITEMS;
    return true;
  case ITEMS:
  case PAIRS:
    if (f->items == NULL &&
        !begin_part(r, f, f->stage == ITEMS ? &o->items : &o->pairs))
      return true;
    if (has_more(r, f))
      return visit(r, take_value(f), true);
    f->items = NULL;
    lua_pushvalue(r->L, -1);
    return set_part(r, (Stage)f->stage++, f->constructed);
  case STATE:
    f->stage = DONE;
    if (!o->has_state)
      return true;
    f->stage = STATE;
    return visit(r, &o->state, true);
  case DONE:
    break;
  }
  *over = true;
  return true;
}

static bool step_container(Run *r, bool *over) {
  Frame *f = innermost(r);
  *over = !has_more(r, f);
  if (*over)
    return true;
  if (f->kind == MPROC_NODE_LIST || f->kind == MPROC_NODE_TUPLE)
    attach_run(r, f);
  else if (f->kind == MPROC_NODE_DICT && !f->has_key && !f->bytes_keys)
    attach_entries(r, f);
  return f->left == 0 || visit(r, take_value(f), f->wrap);
}

/* How an object was constructed, where that is not by a plain call. */
static void note_how(Run *r, const Frame *f) {
  static const char *const hows[] = {NULL, "new", "new_ex", "inst"};
  lua_State *L = r->L;
  const mproc_node *n = mproc_tree_node(&r->u->tree, f->node);
  uint8_t how = mproc_tree_object(&r->u->tree, n)->how;
  if (hows[how] != NULL && !f->constructed) {
    lua_pushliteral(L, "how");
    lua_pushstring(L, hows[how]);
    lua_rawset(L, -4);
  }
}

/* Stack: {id}, slot. Replaces it by what the program makes of the id. */
static bool load_persistent(Run *r) {
  lua_State *L = r->L;
  lua_pushliteral(L, "persistent_load");
  if (lua_type(L, OPTIONS) != LUA_TTABLE ||
      lua_rawget(L, OPTIONS) != LUA_TFUNCTION)
    return refuse(r, "a persistent id, and no persistent_load");
  lua_rawgeti(L, -3, 1);
  lua_call(L, 1, 1);
  if (lua_isnil(L, -1))
    return refuse(r, "persistent_load returned nil");
  lua_replace(L, -3);
  keep(r, innermost(r)->node);
  return true;
}

/* The innermost frame is whole: its value goes to the one around it. */
static bool leave(Run *r) {
  lua_State *L = r->L;
  const Frame *f = innermost(r);
  if (f->kind == MPROC_NODE_OBJECT)
    note_how(r, f);
  else if (f->kind == MPROC_NODE_PERSISTENT && !load_persistent(r))
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
  if (push_leaf(r, mproc_tree_node(&r->u->tree, root->as.node), r->wrap))
    return true;
  if (!enter(r, root->as.node, r->wrap))
    return false;
  while (r->depth > 0) {
    bool over = false;
    bool fine = innermost(r)->kind == MPROC_NODE_OBJECT
                    ? step_object(r, &over)
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
  if (lua_getfield(L, OPTIONS, name) != LUA_TNIL) {
    n = lua_tointegerx(L, -1, &whole);
    if (!whole || n < 0) {
      lua_pushfstring(L, "option '%s': size expected", name);
      luaL_argerror(L, OPTIONS, lua_tostring(L, -1));
    }
    value = (size_t)n;
  }
  lua_pop(L, 1);
  return value;
}

static void read_options(Run *r, mproc_tree_limits *limits) {
  lua_State *L = r->L;
  if (lua_isnil(L, OPTIONS))
    return;
  luaL_checktype(L, OPTIONS, LUA_TTABLE);
  lmp_checkkeys(L, OPTIONS,
                "bytes\0codec\0constructors\0max_depth\0"
                "max_int_digits\0max_memory\0persistent_load\0");
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
  Run r = {L, NULL, 0, 0, SIZE_MAX, false, false, NULL};
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
  if (!walk(&r))
    return push_refusal(L, r.problem, SIZE_MAX);
  give_back(L, r.u);
  return 1;
}

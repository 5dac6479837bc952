/*
** lpickle.c: pickle.dumps: a Lua value as a pickle.
**
** The value is walked without recursion. Each container that is being written
** has a frame; its Lua value and one more slot (the key that lua_next goes on
** from) are on the Lua stack, or, below the depth of SPILL frames, in a table.
** Tables are read raw; only a __reduce metamethod runs Lua code.
*/
#include <string.h>

#include "binding/lbuffer.h"
#include "binding/lmp.h"
#include "pickle/memo.h"
#include "pickle/utf8.h"
#include "pickle/writer.h"

#define SPILL 1000     /* frames on the Lua stack */
#define KEEP (1 << 20) /* bytes of memory kept from one call to the next */
#define PROTOCOL 4     /* what every Python from 3.4 on reads */
#define LONG_STRING 64 /* from this size on a string is worth memoizing */
#define UNFINISHED 0x80000000u /* in the memo: being written, not memoized */

/* The fixed places on the Lua stack. */
enum {
  VALUE = 1,
  OPTIONS, /* a table, or nil */
  OWNER,   /* the Pickler */
  REDUCED, /* value -> what its __reduce returned; or nil */
  SPILLED, /* the slots of the deeper frames; or nil */
  BASE
};

/* What a frame writes. */
typedef enum Kind {
  LIST,      /* also an object's items */
  ARGUMENTS, /* an object's, one by one after its class */
  TUPLE,
  SET,
  FROZENSET,
  DICT,
  OBJECT,
  PAIRS /* of an object: {{key, value}, …} */
} Kind;

/* What an object's frame writes next. */
typedef enum Stage {
  CLASS,
  ARGS,
  KWARGS,
  CONSTRUCT,
  ITEMS,
  EXTRA, /* the pairs */
  STATE,
  BUILD,
  DONE
} Stage;

/* A container that is being written. */
typedef struct Frame {
  const void *address; /* of its Lua value, for the memo */
  uint8_t kind;
  uint8_t stage;    /* of an object */
  bool half;        /* a dict: the key is written, the value is next */
  bool marked;      /* MARK is written, its opcode is still to come */
  lua_Integer at;   /* the index of the last item */
  lua_Integer size; /* items, where that is known */
} Frame;

/* Everything that must be freed: a userdata with a finalizer. */
typedef struct Pickler {
  mproc_writer writer;
  mproc_memo memo; /* address -> index */
  Frame *frames;
  size_t capacity;
} Pickler;

/* One call. */
typedef struct Run {
  lua_State *L;
  Pickler *p;
  mproc_writer *w;
  uint32_t memoized;
  size_t depth;
  const char *problem; /* why it cannot be pickled; a type's name in it */
} Run;

#define PICKLER "multiprocessing.pickler"

/* ---- the owner ---- */

static void free_frames(Pickler *p) {
  mproc_free(p->writer.allocator, p->frames, p->capacity * sizeof *p->frames);
  p->frames = NULL;
  p->capacity = 0;
}

static int pickler_gc(lua_State *L) {
  Pickler *p = (Pickler *)luaL_checkudata(L, 1, PICKLER);
  free_frames(p);
  mproc_memo_free(&p->memo, p->writer.allocator);
  mproc_writer_free(&p->writer, 0);
  return 0;
}

/* [-0, +1, m] Pushes a pickler; as lunpickle.c's borrow. */
static Pickler *borrow(lua_State *L) {
  lmp_State *s = lmp_state(L);
  Pickler *p;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &s->picklers) == LUA_TUSERDATA) {
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &s->picklers);
    return (Pickler *)lua_touserdata(L, -1);
  }
  lua_pop(L, 1);
  p = (Pickler *)lua_newuserdatauv(L, sizeof *p, 0);
  memset(p, 0, sizeof *p);
  mproc_writer_init(&p->writer, &s->ctx.allocator);
  if (luaL_newmetatable(L, PICKLER)) {
    lua_pushcfunction(L, pickler_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return p;
}

static void give_back(lua_State *L, Pickler *p) {
  mproc_writer_free(&p->writer, KEEP);
  if (p->memo.capacity > KEEP / sizeof *p->memo.slots)
    mproc_memo_free(&p->memo, p->writer.allocator);
  else
    mproc_memo_clear(&p->memo);
  if (p->capacity > KEEP / sizeof *p->frames)
    free_frames(p);
  lua_pushvalue(L, OWNER);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lmp_state(L)->picklers);
}

/* ---- the memo ---- */

static bool no_memory(Run *r) {
  luaL_error(r->L, "not enough memory");
  return false;
}

static void remember(Run *r, const void *address, uint32_t index) {
  mproc_status st = mproc_memo_set(&r->p->memo, r->w->allocator,
                                   (uint64_t)(uintptr_t)address, index);
  if (st != MPROC_OK)
    no_memory(r);
}

/* Memoizes the value that has just been written. */
static void memoize(Run *r, const void *address) {
  remember(r, address, r->memoized);
  mproc_writer_put(r->w, r->memoized++);
}

/* Whether the value is in the memo; '*index' is UNFINISHED and a count where
   it is a tuple (say) that is only being written. */
static bool recall(const Run *r, const void *address, uint32_t *index) {
  return mproc_memo_get(&r->p->memo, (uint64_t)(uintptr_t)address, index);
}

/* ---- strings ---- */

/* Whether all bytes are ASCII; for strings that are short. */
static bool is_ascii(const uint8_t *data, size_t size) {
  uint8_t all = 0;
  for (size_t i = 0; i < size; i++)
    all |= data[i];
  return all < 0x80;
}

static void write_string(Run *r, mproc_view v) {
  if (mproc_utf8_kind(v) == MPROC_UTF8_VALID)
    mproc_writer_text(r->w, v);
  else
    mproc_writer_bytes(r->w, v);
}

/* The string at 'idx'. A long one is written only once. */
static void save_string(Run *r, int idx) {
  lua_State *L = r->L;
  mproc_view v;
  const void *address;
  uint32_t index;
  v.data = (const uint8_t *)lua_tolstring(L, idx, &v.size);
  if (v.size < LONG_STRING) {
    if (r->w->protocol >= 4 && is_ascii(v.data, v.size))
      mproc_writer_short_text(r->w, v);
    else
      write_string(r, v);
    return;
  }
  address = lua_topointer(L, idx);
  if (recall(r, address, &index)) {
    mproc_writer_get(r->w, index);
  } else {
    write_string(r, v);
    memoize(r, address);
  }
}

/* [-0, +0, m] Writes the value at 'idx', which is of that type, if it is a
   scalar. */
static bool save_scalar(Run *r, int idx, int type) {
  lua_State *L = r->L;
  switch (type) {
  case LUA_TNUMBER:
    if (lua_isinteger(L, idx))
      mproc_writer_int(r->w, (int64_t)lua_tointeger(L, idx));
    else
      mproc_writer_real(r->w, (double)lua_tonumber(L, idx));
    return true;
  case LUA_TSTRING:
    save_string(r, idx);
    return true;
  case LUA_TBOOLEAN:
    mproc_writer_bool(r->w, lua_toboolean(L, idx) != 0);
    return true;
  case LUA_TNIL:
    mproc_writer_none(r->w);
    return true;
  default:
    return false;
  }
}

/* ---- frames ---- */

static Frame *innermost(const Run *r) {
  return &r->p->frames[r->depth - 1];
}

static void spill(Run *r) {
  lua_State *L = r->L;
  lua_Integer place = 2 * (lua_Integer)r->depth;
  if (lua_type(L, SPILLED) == LUA_TNIL) {
    lua_newtable(L);
    lua_replace(L, SPILLED);
  }
  /* container, slot, value: the value stays */
  lua_insert(L, -3);
  lua_rawseti(L, SPILLED, place);
  lua_rawseti(L, SPILLED, place - 1);
}

static void unspill(Run *r) {
  lua_State *L = r->L;
  lua_Integer place = 2 * (lua_Integer)r->depth;
  lua_rawgeti(L, SPILLED, place - 1);
  lua_rawgeti(L, SPILLED, place);
}

/*
** [-1, +2, m] Begins the frame of the container on the top, whose two slots
** these are from now on.
*/
static Frame *enter(Run *r, Kind kind) {
  lua_State *L = r->L;
  Pickler *p = r->p;
  Frame *f;
  if (r->depth >= SPILL)
    spill(r);
  else
    luaL_checkstack(L, 16, "pickle");
  if (r->depth == p->capacity) {
    const mproc_allocator *a = r->w->allocator;
    size_t capacity = p->capacity == 0 ? 16 : 2 * p->capacity;
    void *frames = a->resize(a->ud, p->frames, p->capacity * sizeof *f,
                             capacity * sizeof *f);
    if (frames == NULL)
      no_memory(r);
    p->frames = (Frame *)frames;
    p->capacity = capacity;
  }
  f = &p->frames[r->depth++];
  memset(f, 0, sizeof *f);
  f->address = lua_topointer(L, -1);
  f->kind = (uint8_t)kind;
  lua_pushnil(L);
  return f;
}

static bool refuse(Run *r, const char *problem) {
  r->problem = problem;
  return false;
}

/* ---- beginning containers; the value is on the top and is popped ---- */

static bool has_appends(const Run *r) {
  return r->w->protocol >= 1;
}

static void mark(Run *r, Frame *f) {
  mproc_writer_op(r->w, MPROC_OP_MARK);
  f->marked = true;
}

static void begin_list(Run *r, lua_Integer size) {
  Frame *f = enter(r, LIST);
  f->size = size;
  if (has_appends(r)) {
    mproc_writer_op(r->w, MPROC_OP_EMPTY_LIST);
  } else {
    mproc_writer_op(r->w, MPROC_OP_MARK);
    mproc_writer_op(r->w, MPROC_OP_LIST);
  }
  memoize(r, f->address);
  if (has_appends(r) && size > 0)
    mark(r, f);
}

static void begin_dict(Run *r) {
  Frame *f = enter(r, DICT);
  if (has_appends(r)) {
    mproc_writer_op(r->w, MPROC_OP_EMPTY_DICT);
  } else {
    mproc_writer_op(r->w, MPROC_OP_MARK);
    mproc_writer_op(r->w, MPROC_OP_DICT);
  }
  memoize(r, f->address);
}

/*
** What can be memoized only once it is whole (a tuple, say). It may occur in
** itself by way of something that is memoized before its parts (a list): then
** it is written twice, and the outer one finds the inner one in the memo
** (CPython, save_tuple). Were it to occur a third time, there is no such thing.
*/
static bool begin_unfinished(Run *r, const void *address) {
  uint32_t index;
  uint32_t count = 0;
  if (recall(r, address, &index))
    count = index & ~UNFINISHED;
  if (count >= 2)
    return refuse(r, "cannot pickle a tuple or set that contains itself");
  remember(r, address, UNFINISHED | (count + 1));
  return true;
}

static bool begin_tuple(Run *r) {
  lua_State *L = r->L;
  const void *address = lua_topointer(L, -1);
  lua_Integer size = (lua_Integer)lua_rawlen(L, -1);
  Frame *f;
  if (size == 0 && r->w->protocol >= 1) {
    mproc_writer_op(r->w, MPROC_OP_EMPTY_TUPLE);
    lua_pop(L, 1);
    return true;
  }
  if (!begin_unfinished(r, address))
    return false;
  f = enter(r, TUPLE);
  f->size = size;
  if (size > 3 || r->w->protocol < 2)
    mark(r, f);
  return true;
}

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
static bool begin_set(Run *r, Kind kind) {
  const void *address = lua_topointer(r->L, -1);
  bool opcodes = r->w->protocol >= 4;
  Frame *f;
  if ((kind == FROZENSET || !opcodes) && !begin_unfinished(r, address))
    return false;
  f = enter(r, kind);
  if (opcodes && kind == SET) {
    mproc_writer_op(r->w, MPROC_OP_EMPTY_SET);
    memoize(r, address);
  } else if (!opcodes) {
    put_builtin(r, kind == SET ? "set" : "frozenset");
    if (r->w->protocol < 2)
      mproc_writer_op(r->w, MPROC_OP_MARK);
  }
  mark(r, f);
  return true;
}

/* ---- plain tables ---- */

/* Whether the table on the top has exactly the keys 1 to n; a full count. */
static bool is_sequence(lua_State *L, lua_Integer n) {
  lua_Integer count = 0;
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    lua_pop(L, 1);
    if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 ||
        lua_tointeger(L, -1) > n) {
      lua_pop(L, 1);
      return false;
    }
    count++;
  }
  return count == n;
}

/* Whether lua_next finds nothing behind index 'n'; nothing at all, if 0. */
static bool ends_at(lua_State *L, lua_Integer n) {
  if (n == 0)
    lua_pushnil(L);
  else
    lua_pushinteger(L, n);
  if (lua_next(L, -2) == 0)
    return true;
  lua_pop(L, 2);
  return false;
}

/* lua_next(table, key), for what it raises of a key that the table lacks. */
static int probe(lua_State *L) {
  lua_next(L, 1);
  return 0;
}

/*
** Whether index 'n' of the table on the top is in its array: surely so where
** lua_next takes n + 1, which the table has not, for a key, since it knows keys
** in the array's range only. (At an array's very end it does not: then this is
** false, and costs a count.)
*/
static bool is_in_array(lua_State *L, lua_Integer n) {
  bool fine;
  lua_pushcfunction(L, probe);
  lua_pushvalue(L, -2);
  lua_pushinteger(L, n + 1);
  fine = lua_pcall(L, 2, 0, 0) == LUA_OK;
  if (!fine)
    lua_pop(L, 1);
  return fine;
}

#define WORTH_PROBING 24 /* items; fewer are counted as fast */

/*
** Whether the table on the top has exactly the keys 1 to n, where 'n' is its
** length. lua_next yields the array first: so if n is in the array and nothing
** comes behind it, there is nothing else.
*/
static bool is_list(lua_State *L, lua_Integer n) {
  if (!ends_at(L, n))
    return n > 0 && is_sequence(L, n);
  return n == 0 || (n >= WORTH_PROBING && is_in_array(L, n)) ||
         is_sequence(L, n);
}

/* A sequence is a list, and so is the empty table; any other is a dict. */
static void begin_plain(Run *r) {
  lua_Integer n = (lua_Integer)lua_rawlen(r->L, -1);
  if (is_list(r->L, n))
    begin_list(r, n);
  else
    begin_dict(r);
}

/* ---- objects ---- */

/* [-0, +1, m] Pushes the raw field of the object at 'idx'. */
static int push_field(lua_State *L, int idx, const char *name) {
  idx = lua_absindex(L, idx);
  lua_pushstring(L, name);
  return lua_rawget(L, idx);
}

static bool is_how(lua_State *L, int idx, const char *how) {
  bool same = false;
  if (push_field(L, idx, "how") == LUA_TSTRING)
    same = strcmp(lua_tostring(L, -1), how) == 0;
  lua_pop(L, 1);
  return same;
}

/* An object's class and arguments, which every one must have. */
static bool check_object(Run *r) {
  lua_State *L = r->L;
  bool fine = push_field(L, -1, "class") != LUA_TNIL;
  lua_pop(L, 1);
  if (!fine)
    return refuse(r, "cannot pickle an object without a class");
  fine =
      push_field(L, -1, "args") == LUA_TTABLE && lmp_typeof(L, -1) == LMP_TUPLE;
  lua_pop(L, 1);
  if (!fine)
    return refuse(r, "cannot pickle an object whose args are not a tuple");
  if (is_how(L, -1, "new_ex") && r->w->protocol < 4)
    return refuse(r, "keyword arguments need protocol 4");
  return true;
}

static bool begin_object(Run *r) {
  if (!check_object(r) || !begin_unfinished(r, lua_topointer(r->L, -1)))
    return false;
  enter(r, OBJECT)->stage = CLASS;
  return true;
}

static void put_newobj_function(Run *r) {
  mproc_view module = {(const uint8_t *)"copy_reg", 8};
  mproc_view name = {(const uint8_t *)"__newobj__", 10};
  mproc_writer_global(r->w, module, name);
}

/* [-1, +5, e] Calls the function on the top with the value below it. */
static void call_reduce(lua_State *L) {
  lua_pushvalue(L, -2);
  lua_call(L, 1, 5);
}

/*
** [-5, +1, m] Makes one value of the results of __reduce: a single one is the
** value to pickle; more are an object: class, arguments, state, items, pairs.
*/
static void pack_reduced(lua_State *L) {
  static const char *const fields[] = {"class", "args", "state", "items",
                                       "pairs"};
  int first = lua_gettop(L) - 4;
  if (lua_isnil(L, first + 1)) {
    lua_settop(L, first);
    return;
  }
  lua_createtable(L, 0, 5);
  for (int i = 0; i < 5; i++) {
    lua_pushvalue(L, first + i);
    lua_setfield(L, -2, fields[i]);
  }
  lmp_pushtype(L, LMP_OBJECT);
  lua_setmetatable(L, -2);
  lua_replace(L, first);
  lua_settop(L, first);
}

/*
** [-0, +1, e] Pushes what stands for the value on the top, which has a
** __reduce; it is called once for each value, so that what is shared stays
** shared, and a value that leads back to itself comes to an end. False: it has
** none, and nothing is pushed.
*/
static bool push_reduced(lua_State *L) {
  int value = lua_gettop(L);
  if (lua_type(L, REDUCED) == LUA_TTABLE) {
    lua_pushvalue(L, value);
    if (lua_rawget(L, REDUCED) != LUA_TNIL)
      return true;
    lua_pop(L, 1);
  }
  if (luaL_getmetafield(L, value, "__reduce") == LUA_TNIL)
    return false;
  call_reduce(L);
  pack_reduced(L);
  if (lua_type(L, REDUCED) == LUA_TNIL) {
    lua_newtable(L);
    lua_replace(L, REDUCED);
  }
  lua_pushvalue(L, value);
  lua_pushvalue(L, -2);
  lua_rawset(L, REDUCED);
  return true;
}

/* ---- one value ---- */

static bool cannot(Run *r) {
  lua_State *L = r->L;
  const char *name = luaL_typename(L, -1);
  if (luaL_getmetafield(L, -1, "__name") == LUA_TSTRING)
    name = lua_tostring(L, -1);
  /* the string stays on the stack: nothing else will be done with it */
  r->problem = lua_pushfstring(L, "cannot pickle a %s", name);
  return false;
}

/* The string inside a wrapper at the top. */
static bool unwrap(Run *r, mproc_view *v) {
  lua_State *L = r->L;
  if (lua_rawgeti(L, -1, 1) != LUA_TSTRING)
    return refuse(r, "cannot pickle a wrapper without its string");
  v->data = (const uint8_t *)lua_tolstring(L, -1, &v->size);
  lua_pop(L, 1); /* the wrapper keeps it alive */
  return true;
}

static bool save_wrapped(Run *r, lmp_ValueType type) {
  const void *address = lua_topointer(r->L, -1);
  mproc_view v;
  if (!unwrap(r, &v))
    return false;
  if (type == LMP_BYTES)
    mproc_writer_bytes(r->w, v);
  else if (mproc_utf8_kind(v) != MPROC_UTF8_INVALID)
    mproc_writer_text(r->w, v);
  else
    return refuse(r, "cannot pickle a str that is not UTF-8");
  memoize(r, address);
  lua_pop(r->L, 1);
  return true;
}

static bool save_global(Run *r) {
  lua_State *L = r->L;
  const void *address = lua_topointer(L, -1);
  mproc_view module;
  mproc_view name;
  lmp_pushglobalname(L, -1, r->w->protocol < 3);
  if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
    return refuse(r, "cannot pickle a global without its names");
  module.data = (const uint8_t *)lua_tolstring(L, -2, &module.size);
  name.data = (const uint8_t *)lua_tolstring(L, -1, &name.size);
  if (memchr(module.data, '\n', module.size) != NULL ||
      memchr(name.data, '\n', name.size) != NULL)
    return refuse(r, "cannot pickle a global with a newline in its name");
  mproc_writer_global(r->w, module, name);
  memoize(r, address);
  lua_pop(L, 3);
  return true;
}

static bool begin_tagged(Run *r, lmp_ValueType type) {
  switch (type) {
  case LMP_TUPLE:
    return begin_tuple(r);
  case LMP_SET:
    return begin_set(r, SET);
  case LMP_FROZENSET:
    return begin_set(r, FROZENSET);
  case LMP_DICT:
    begin_dict(r);
    return true;
  case LMP_BYTES:
  case LMP_STR:
    return save_wrapped(r, type);
  case LMP_GLOBAL:
    return save_global(r);
  case LMP_OBJECT:
    return begin_object(r);
  default:
    return cannot(r);
  }
}

/* A value that was seen before; false: it was not. */
static bool save_seen(Run *r) {
  uint32_t index;
  if (!recall(r, lua_topointer(r->L, -1), &index) || (index & UNFINISHED) != 0)
    return false;
  mproc_writer_get(r->w, index);
  lua_pop(r->L, 1);
  return true;
}

static bool save(Run *r);

/* The table or userdata on the top has a __reduce, or is like any other. */
static bool save_reduced(Run *r) {
  lua_State *L = r->L;
  bool same;
  if (!push_reduced(L))
    return lua_type(L, -1) == LUA_TTABLE ? (begin_plain(r), true) : cannot(r);
  same = lua_rawequal(L, -1, -2) != 0;
  lua_remove(L, -2);
  if (same)
    return refuse(r, "__reduce returned the value itself");
  return save(r);
}

static bool save_table(Run *r) {
  lua_State *L = r->L;
  lmp_ValueType type;
  if (save_seen(r))
    return true;
  if (!lua_getmetatable(L, -1)) {
    begin_plain(r);
    return true;
  }
  lua_pop(L, 1);
  type = lmp_typeof(L, -1);
  return type == LMP_PLAIN ? save_reduced(r) : begin_tagged(r, type);
}

static bool save_userdata(Run *r) {
  lua_State *L = r->L;
  const lmp_Buffer *b;
  const lmp_Int *n;
  const void *address = lua_topointer(L, -1);
  if (save_seen(r))
    return true;
  b = lmp_tobuffer(L, -1);
  if (b != NULL) {
    mproc_view v = {b->data, b->size};
    mproc_writer_bytearray(r->w, v);
    memoize(r, address);
    lua_pop(L, 1);
    return true;
  }
  switch (lmp_typeof(L, -1)) {
  case LMP_NONE:
    mproc_writer_none(r->w);
    break;
  case LMP_INT: {
    mproc_view v;
    n = (const lmp_Int *)lua_touserdata(L, -1);
    v.data = n->data;
    v.size = n->size;
    mproc_writer_long(r->w, v);
    break;
  }
  default:
    return save_reduced(r);
  }
  lua_pop(L, 1);
  return true;
}

/* [-1, +0 or +2, e] Writes the value on the top, or begins its frame. */
static bool save(Run *r) {
  lua_State *L = r->L;
  int type = lua_type(L, -1);
  if (type == LUA_TTABLE)
    return save_table(r);
  if (type == LUA_TUSERDATA)
    return save_userdata(r);
  if (!save_scalar(r, -1, type))
    return cannot(r);
  lua_pop(L, 1);
  return true;
}

/* ---- going on with the innermost frame; stack: container, slot ---- */

/* One more item is written, where that takes an opcode of its own. */
static void finish_item(Run *r, const Frame *f, mproc_pickle_opcode op) {
  if (!has_appends(r) && f->at > 0)
    mproc_writer_op(r->w, op);
}

/* Items by index; scalars, which need no frame, one after the other. */
static bool step_indexed(Run *r, bool *over) {
  lua_State *L = r->L;
  Frame *f = innermost(r);
  for (;;) {
    int type;
    if (f->kind == LIST)
      finish_item(r, f, MPROC_OP_APPEND);
    *over = f->at >= f->size;
    if (*over)
      return true;
    type = lua_rawgeti(L, -2, ++f->at);
    if (!save_scalar(r, -1, type))
      return save(r);
    lua_pop(L, 1);
  }
}

/* Writes the key at -2; false: it is no scalar, and is to be saved first. */
static bool save_key(Run *r) {
  return save_scalar(r, -2, lua_type(r->L, -2));
}

/* The value of the key in the slot, which has a frame of its own. */
static bool step_value(Run *r, Frame *f) {
  lua_State *L = r->L;
  f->half = false;
  lua_pushvalue(L, -1);
  lua_rawget(L, -3);
  return save(r);
}

static bool step_dict(Run *r, bool *over) {
  lua_State *L = r->L;
  Frame *f = innermost(r);
  if (f->half)
    return step_value(r, f);
  for (;;) {
    finish_item(r, f, MPROC_OP_SETITEM);
    if (lua_next(L, -2) == 0) {
      lua_pushnil(L); /* the slot */
      *over = true;
      return true;
    }
    if (f->at++ == 0 && has_appends(r))
      mark(r, f);
    if (!save_key(r)) {
      lua_pop(L, 1);
      lua_pushvalue(L, -1);
      f->half = true;
      return save(r);
    }
    if (!save_scalar(r, -1, lua_type(L, -1)))
      return save(r); /* the key is in the slot */
    lua_pop(L, 1);
  }
}

static bool step_set(Run *r, bool *over) {
  lua_State *L = r->L;
  if (lua_next(L, -2) == 0) {
    lua_pushnil(L);
    *over = true;
    return true;
  }
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  return save(r);
}

/* The pairs of an object: stack: list, pair or nil. */
static bool step_pairs(Run *r, bool *over) {
  lua_State *L = r->L;
  Frame *f = innermost(r);
  if (f->half) {
    f->half = false;
    lua_rawgeti(L, -1, 2);
    return save(r);
  }
  finish_item(r, f, MPROC_OP_SETITEM);
  *over = f->at >= f->size;
  if (*over)
    return true;
  lua_pop(L, 1);
  if (lua_rawgeti(L, -1, ++f->at) != LUA_TTABLE)
    return refuse(r, "cannot pickle an object whose pairs are not pairs");
  f->half = true;
  lua_rawgeti(L, -1, 1);
  return save(r);
}

/* The arguments, one after the other, after the class: __newobj__'s. */
static bool splice_args(Run *r) {
  lua_State *L = r->L;
  Frame *f;
  push_field(L, -2, "args");
  f = enter(r, ARGUMENTS);
  f->size = (lua_Integer)lua_rawlen(L, -2);
  return true;
}

static bool step_object_class(Run *r) {
  lua_State *L = r->L;
  Frame *f = innermost(r);
  f->stage = ARGS;
  if (is_how(L, -2, "inst")) {
    mproc_writer_op(r->w, MPROC_OP_MARK);
  } else if (is_how(L, -2, "new") && r->w->protocol < 2) {
    put_newobj_function(r);
    mproc_writer_op(r->w, MPROC_OP_MARK);
  }
  push_field(L, -2, "class");
  return save(r);
}

static bool save_field(Run *r, const char *name) {
  push_field(r->L, -2, name);
  return save(r);
}

/* The opcode that makes the object of what has been written. */
static void construct(Run *r) {
  lua_State *L = r->L;
  Frame *f = innermost(r);
  uint32_t index;
  if (is_how(L, -2, "inst")) {
    mproc_writer_op(r->w, MPROC_OP_OBJ);
  } else if (is_how(L, -2, "new_ex")) {
    mproc_writer_op(r->w, MPROC_OP_NEWOBJ_EX);
  } else if (is_how(L, -2, "new") && r->w->protocol >= 2) {
    mproc_writer_op(r->w, MPROC_OP_NEWOBJ);
  } else {
    if (is_how(L, -2, "new"))
      mproc_writer_op(r->w, MPROC_OP_TUPLE);
    mproc_writer_op(r->w, MPROC_OP_REDUCE);
  }
  if (recall(r, f->address, &index) && (index & UNFINISHED) == 0) {
    /* its arguments had it, by way of a list: that one is it */
    mproc_writer_op(r->w, MPROC_OP_POP);
    mproc_writer_get(r->w, index);
  } else {
    memoize(r, f->address);
  }
}

/* [-0, +2 or +0, e] Begins the frame of an object's items or pairs. */
static bool begin_part(Run *r, const char *name, Kind kind) {
  lua_State *L = r->L;
  Frame *f;
  lua_Integer n;
  if (push_field(L, -2, name) == LUA_TNIL) {
    lua_pop(L, 1);
    return true;
  }
  if (lua_type(L, -1) != LUA_TTABLE)
    return refuse(r, "cannot pickle an object whose items are not a list");
  n = (lua_Integer)lua_rawlen(L, -1);
  if (n == 0) {
    lua_pop(L, 1);
    return true;
  }
  f = enter(r, kind);
  f->size = n;
  if (has_appends(r))
    mark(r, f);
  return true;
}

static bool step_object(Run *r, bool *over) {
  lua_State *L = r->L;
  Frame *f = innermost(r);
  switch ((Stage)f->stage) {
  case CLASS:
    return step_object_class(r);
  case ARGS:
    f->stage = KWARGS;
    if (is_how(L, -2, "inst") || (is_how(L, -2, "new") && r->w->protocol < 2))
      return splice_args(r);
    return save_field(r, "args");
  case KWARGS:
    f->stage = CONSTRUCT;
    return is_how(L, -2, "new_ex") ? save_field(r, "kwargs") : true;
  case CONSTRUCT:
    f->stage = ITEMS;
    construct(r);
    return true;
  case ITEMS:
    f->stage = EXTRA;
    return begin_part(r, "items", LIST);
  case EXTRA:
    f->stage = STATE;
    return begin_part(r, "pairs", PAIRS);
  case STATE:
    f->stage = DONE;
    if (push_field(L, -2, "state") == LUA_TNIL) {
      lua_pop(L, 1);
      return true;
    }
    f->stage = BUILD;
    return save(r);
  case BUILD:
    f->stage = DONE;
    mproc_writer_op(r->w, MPROC_OP_BUILD);
    return true;
  case DONE:
    break;
  }
  *over = true;
  return true;
}

static bool step(Run *r, bool *over) {
  switch ((Kind)innermost(r)->kind) {
  case LIST:
  case ARGUMENTS:
  case TUPLE:
    return step_indexed(r, over);
  case SET:
  case FROZENSET:
    return step_set(r, over);
  case DICT:
    return step_dict(r, over);
  case OBJECT:
    return step_object(r, over);
  case PAIRS:
    return step_pairs(r, over);
  }
  return true;
}

/* ---- ending a frame ---- */

/*
** A tuple's, frozenset's or old set's opcode, and its memo. One that its parts
** turned out to contain is in the memo already: then these are dropped.
*/
static void end_unfinished(Run *r, const Frame *f, mproc_pickle_opcode op) {
  uint32_t index;
  bool seen = recall(r, f->address, &index) && (index & UNFINISHED) == 0;
  if (!seen) {
    mproc_writer_op(r->w, op);
    memoize(r, f->address);
    return;
  }
  if (f->marked && r->w->protocol >= 1) {
    mproc_writer_op(r->w, MPROC_OP_POP_MARK);
  } else {
    lua_Integer drops = f->size + (f->marked ? 1 : 0);
    for (lua_Integer i = 0; i < drops; i++)
      mproc_writer_op(r->w, MPROC_OP_POP);
  }
  mproc_writer_get(r->w, index);
}

static void end_tuple(Run *r, const Frame *f) {
  static const mproc_pickle_opcode short_ones[] = {
      MPROC_OP_TUPLE, MPROC_OP_TUPLE1, MPROC_OP_TUPLE2, MPROC_OP_TUPLE3};
  end_unfinished(r, f, f->marked ? MPROC_OP_TUPLE : short_ones[f->size]);
}

/* set([...]): the list, the tuple with it, the call. */
static void end_called_set(Run *r, const Frame *f) {
  uint32_t index;
  mproc_writer_op(r->w, MPROC_OP_LIST);
  mproc_writer_op(r->w, r->w->protocol < 2 ? MPROC_OP_TUPLE : MPROC_OP_TUPLE1);
  mproc_writer_op(r->w, MPROC_OP_REDUCE);
  if (recall(r, f->address, &index) && (index & UNFINISHED) == 0) {
    mproc_writer_op(r->w, MPROC_OP_POP);
    mproc_writer_get(r->w, index);
  } else {
    memoize(r, f->address);
  }
}

static void end_container(Run *r, const Frame *f) {
  switch ((Kind)f->kind) {
  case LIST:
    if (f->marked)
      mproc_writer_op(r->w, MPROC_OP_APPENDS);
    break;
  case TUPLE:
    end_tuple(r, f);
    break;
  case SET:
    if (r->w->protocol >= 4)
      mproc_writer_op(r->w, MPROC_OP_ADDITEMS);
    else
      end_called_set(r, f);
    break;
  case FROZENSET:
    if (r->w->protocol >= 4)
      end_unfinished(r, f, MPROC_OP_FROZENSET);
    else
      end_called_set(r, f);
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
  end_container(r, innermost(r));
  lua_pop(r->L, 2);
  r->depth--;
  if (r->depth > 0 && r->depth >= SPILL)
    unspill(r);
}

/* ---- the place of a failure ---- */

static bool is_name(const char *s) {
  size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
                       "0123456789");
  return n > 0 && s[n] == '\0' && (s[0] < '0' || s[0] > '9');
}

/* [-0, +1, m] Pushes the step that frame 'f' was at; its slot is on the top. */
static void push_step(lua_State *L, const Frame *f) {
  static const char *const parts[] = {".class",  ".class", ".args",
                                      ".kwargs", "",       ".items",
                                      ".pairs",  ".state", ".state"};
  switch ((Kind)f->kind) {
  case OBJECT:
    lua_pushstring(L, parts[f->stage]);
    return;
  case SET:
  case FROZENSET:
    lua_pushliteral(L, "{element}");
    return;
  case DICT:
    if (f->half)
      lua_pushliteral(L, "{key}");
    else if (lua_type(L, -1) == LUA_TSTRING && is_name(lua_tostring(L, -1)))
      lua_pushfstring(L, ".%s", lua_tostring(L, -1));
    else if (lua_type(L, -1) == LUA_TSTRING)
      lua_pushfstring(L, "[\"%s\"]", lua_tostring(L, -1));
    else if (lua_isinteger(L, -1))
      lua_pushfstring(L, "[%I]", (LUAI_UACINT)lua_tointeger(L, -1));
    else
      lua_pushfstring(L, "[%s]", luaL_typename(L, -1));
    return;
  default:
    lua_pushfstring(L, "[%I]", (LUAI_UACINT)f->at);
    return;
  }
}

/* [-0, +1, m] Pushes the way from the root to the innermost frame's value; of
   a long one the two ends. Stack from BASE on: two slots for each frame. */
static void push_path(Run *r) {
  lua_State *L = r->L;
  const size_t most = 10;
  lua_pushliteral(L, "");
  for (size_t i = 0; i < r->depth; i++) {
    const Frame *f = &r->p->frames[i];
    if (r->depth > 2 * most && i == most) {
      lua_pushliteral(L, "…");
      lua_concat(L, 2);
      i = r->depth - most;
      f = &r->p->frames[i];
    }
    if (f->kind == OBJECT || f->kind == SET || f->kind == FROZENSET) {
      lua_pushnil(L);
    } else if (i + 1 < r->depth && i >= SPILL - 1) {
      lua_rawgeti(L, SPILLED, 2 * ((lua_Integer)i + 1));
    } else {
      size_t on_stack = i < SPILL - 1 ? i : SPILL - 1;
      lua_pushvalue(L, BASE + 2 * (int)on_stack + 1);
    }
    push_step(L, f);
    lua_remove(L, -2);
    lua_concat(L, 2);
  }
}

static int push_refusal(Run *r) {
  lua_State *L = r->L;
  const char *problem = r->problem;
  const char *path;
  luaL_checkstack(L, 10, "pickle");
  push_path(r);
  path = lua_tostring(L, -1);
  if (path[0] == '\0')
    lua_pushstring(L, problem);
  else
    lua_pushfstring(L, "%s (at %s)", problem, path);
  return lmp_pusherror(L, "PicklingError");
}

/* ---- the function ---- */

static unsigned read_protocol(lua_State *L) {
  lua_Integer protocol = PROTOCOL;
  if (lua_isnil(L, OPTIONS))
    return PROTOCOL;
  luaL_checktype(L, OPTIONS, LUA_TTABLE);
  lmp_checkkeys(L, OPTIONS, "protocol\0");
  if (lua_getfield(L, OPTIONS, "protocol") != LUA_TNIL) {
    int whole;
    protocol = lua_tointegerx(L, -1, &whole);
    luaL_argcheck(
        L, whole && protocol >= 0 && protocol <= MPROC_PICKLE_PROTOCOL_MAX,
        OPTIONS, "option 'protocol': integer from 0 to 5 expected");
  }
  lua_pop(L, 1);
  return (unsigned)protocol;
}

static bool walk(Run *r) {
  lua_pushvalue(r->L, VALUE);
  if (!save(r))
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

int lmp_dumps(lua_State *L) {
  Run r = {L, NULL, NULL, 0, 0, NULL};
  mproc_view pickle;
  unsigned protocol;
  luaL_checkany(L, VALUE);
  lua_settop(L, OPTIONS);
  protocol = read_protocol(L);
  r.p = borrow(L);
  r.w = &r.p->writer;
  lua_settop(L, BASE - 1);
  mproc_memo_clear(&r.p->memo);
  mproc_writer_begin(r.w, protocol);
  if (!walk(&r))
    return push_refusal(&r);
  if (mproc_writer_end(r.w, &pickle) != MPROC_OK)
    no_memory(&r);
  lua_pushlstring(L, (const char *)pickle.data, pickle.size);
  give_back(L, r.p);
  return 1;
}

/*
** lpickle.c: pickle.dumps: a Lua value as a pickle.
**
** The value is walked without recursion. Each container that is being written
** has a frame; its Lua value and one more slot (the key that lua_next goes on
** from) are on the Lua stack, or, below the depth of SPILL frames, in a table.
** Tables are read raw; only a __reduce metamethod runs Lua code.
**
** Each call of Lua's API costs as much as writing a number. So items are
** fetched in batches, which are popped at once; a list of numbers and strings
** needs no frame; and no table is searched for twice what once tells.
*/
#include <string.h>

#include "binding/lbuffer.h"
#include "binding/lpickle.h"
#include "pickle/utf8.h"

#define KEEP (1 << 20) /* bytes of memory kept from one call to the next */
#define PROTOCOL 4     /* what every Python from 3.4 on reads */
#define BATCH 32       /* items on the Lua stack at a time */

/* Frames for which there is room on the Lua stack from each multiple of it on,
   and what one of them may need beside its two slots. */
#define ROOM 16
#define SCRATCH (BATCH + 16)

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
  mproc_memo_free(&p->strings, p->writer.allocator);
  mproc_writer_free(&p->writer, 0);
  return 0;
}

/* [-0, +1, m] Pushes a new pickler, which is the one to use from now on. */
static Pickler *new_pickler(lua_State *L) {
  lmp_State *s = lmp_state(L);
  Pickler *p = (Pickler *)lua_newuserdatauv(L, sizeof *p, 0);
  memset(p, 0, sizeof *p);
  mproc_writer_init(&p->writer, &s->ctx.allocator);
  p->memo.seed = p->strings.seed = MPROC_MEMO_SEED;
  if (luaL_newmetatable(L, PICKLER)) {
    lua_pushcfunction(L, pickler_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &s->picklers);
  return p;
}

/*
** [-0, +1, m] Pushes the pickler, or a new one while another call uses it: from
** a __reduce, say. A call that ends in an error leaves its own to the
** collector.
*/
static Pickler *borrow(lua_State *L) {
  Pickler *p;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lmp_state(L)->picklers);
  p = (Pickler *)lua_touserdata(L, -1);
  if (p == NULL || p->busy) {
    lua_pop(L, 1);
    p = new_pickler(L);
  }
  p->busy = true;
  return p;
}

static void clear_memo(Pickler *p, mproc_memo *m) {
  if (m->capacity > KEEP / sizeof *m->slots)
    mproc_memo_free(m, p->writer.allocator);
  else
    mproc_memo_clear(m);
}

static void give_back(Pickler *p) {
  mproc_writer_free(&p->writer, KEEP);
  clear_memo(p, &p->memo);
  clear_memo(p, &p->strings);
  if (p->capacity > KEEP / sizeof *p->frames)
    free_frames(p);
  p->busy = false;
}

/* ---- the memo ---- */

void lmp_pickle_nomemory(Run *r) {
  luaL_error(r->L, "not enough memory");
}

/* Where the memo has the index of what is at 'address', perhaps a new place. */
static inline uint32_t *memo_place(Run *r, mproc_memo *m, const void *address,
                                   bool *added) {
  uint32_t *place = NULL;
  *added = false;
  if (mproc_memo_add(m, r->w->allocator, (uint64_t)(uintptr_t)address, &place,
                     added) != MPROC_OK)
    lmp_pickle_nomemory(r);
  return place;
}

void lmp_pickle_memoize(Run *r, const void *address) {
  bool added;
  *memo_place(r, &r->p->memo, address, &added) = r->memoized;
  mproc_writer_put(r->w, r->memoized++);
}

/* ---- scalars ---- */

static void write_string(Run *r, mproc_view v) {
  if (mproc_utf8_kind(v) != MPROC_UTF8_VALID)
    mproc_writer_bytes(r->w, v);
  else if (v.size <= 0xff && r->w->protocol >= 4)
    mproc_writer_short_text(r->w, v);
  else
    mproc_writer_text(r->w, v);
}

/*
** The string at 'idx'. It is written only once: then it takes less room, and
** whoever reads it makes one string of it.
*/
static void save_string(Run *r, int idx) {
  mproc_view v;
  uint32_t *index;
  bool added;
  v.data = (const uint8_t *)lua_tolstring(r->L, idx, &v.size);
  index = memo_place(r, &r->p->strings, v.data, &added);
  if (!added) {
    mproc_writer_get(r->w, *index);
    return;
  }
  *index = r->memoized++;
  write_string(r, v);
  mproc_writer_put(r->w, *index);
}

#define EXACT 9007199254740992.0 /* 2^53: below it doubles hold any integer */

/* The number at 'idx'. What has a fraction needs no further look. */
static void save_number(Run *r, int idx) {
  lua_State *L = r->L;
  double value = (double)lua_tonumber(L, idx);
  bool small = value > -EXACT && value < EXACT;
  if (small && (double)(int64_t)value != value)
    mproc_writer_real(r->w, value);
  else if (!lua_isinteger(L, idx))
    mproc_writer_real(r->w, value);
  else if (small)
    mproc_writer_int(r->w, (int64_t)value);
  else
    mproc_writer_int(r->w, (int64_t)lua_tointeger(L, idx));
}

static bool is_none(Run *r, int idx) {
  lua_State *L = r->L;
  if (r->none == NULL) {
    lmp_pushnone(L);
    r->none = lua_touserdata(L, -1);
    lua_pop(L, 1);
  }
  return lua_touserdata(L, idx) == r->none;
}

/* [-0, +0, m] Writes the value at 'idx' (not relative to the top where it may
   be a userdata), which is of that type, if it is a scalar. */
static inline bool save_scalar(Run *r, int idx, int type) {
  switch (type) {
  case LUA_TNUMBER:
    save_number(r, idx);
    return true;
  case LUA_TSTRING:
    save_string(r, idx);
    return true;
  case LUA_TBOOLEAN:
    mproc_writer_bool(r->w, lua_toboolean(r->L, idx) != 0);
    return true;
  case LUA_TNIL:
    mproc_writer_none(r->w);
    return true;
  case LUA_TUSERDATA:
    if (!is_none(r, idx))
      return false;
    mproc_writer_none(r->w);
    return true;
  default:
    return false;
  }
}

/* ---- frames ---- */

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

static void grow_frames(Run *r) {
  Pickler *p = r->p;
  const mproc_allocator *a = r->w->allocator;
  size_t capacity = p->capacity == 0 ? ROOM : 2 * p->capacity;
  void *frames = a->resize(a->ud, p->frames, p->capacity * sizeof *p->frames,
                           capacity * sizeof *p->frames);
  if (frames == NULL)
    lmp_pickle_nomemory(r);
  p->frames = (Frame *)frames;
  p->capacity = capacity;
}

static Frame *new_frame(Run *r, Kind kind, const void *address) {
  static const Frame none = {NULL, 0, 0, false, false, false, 0, 0};
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
  if (r->depth >= LMP_PICKLE_SPILL)
    spill(r);
  else if (r->depth % ROOM == 0)
    luaL_checkstack(L, 2 * ROOM + SCRATCH, "pickle");
  lua_pushnil(L);
  return new_frame(r, kind, address);
}

/* ---- beginning containers; the value is on the top and is popped ---- */

/* Writes a new container without items, and memoizes it. */
static void write_empty(Run *r, const void *address, mproc_pickle_opcode op,
                        mproc_pickle_opcode marked_op) {
  if (lmp_pickle_appends(r)) {
    mproc_writer_op(r->w, op);
  } else {
    mproc_writer_op(r->w, MPROC_OP_MARK);
    mproc_writer_op(r->w, marked_op);
  }
  lmp_pickle_memoize(r, address);
}

/*
** Fetches items of the table at 'table' from index 'first' on, at most 'most',
** as far as they are scalars. Returns how many; the next value, if it is none,
** is on the top of them, and '*other' its type, or else LUA_TNIL.
*/
static int fetch(lua_State *L, int table, lua_Integer first, int most,
                 int *types, int *other) {
  int n;
  *other = LUA_TNIL;
  for (n = 0; n < most; n++) {
    int type = lua_rawgeti(L, table, first + n);
    if (type > LUA_TSTRING || type == LUA_TLIGHTUSERDATA) {
      *other = type;
      break;
    }
    types[n] = type;
  }
  return n;
}

/*
** Whether a nil is among the items of what was taken for a list without being
** counted: then it is no list.
*/
static bool has_hole(const Run *r, int n, const int *types) {
  for (int i = 0; !r->careful && i < n; i++) {
    if (types[i] == LUA_TNIL)
      return true;
  }
  return false;
}

/* Writes the 'n' scalars that lie on the stack from 'first' on. */
static void save_scalars(Run *r, int first, int n, const int *types) {
  for (int i = 0; i < n; i++)
    save_scalar(r, first + i, types[i]);
}

/* [-1 or 0, +0, m] A list of a few scalars, which needs no frame; false: it is
   no such list. */
static bool save_flat(Run *r, lua_Integer size) {
  lua_State *L = r->L;
  int types[BATCH];
  int other;
  int table = lua_gettop(L);
  if (size > BATCH || !lmp_pickle_appends(r))
    return false;
  fetch(L, table, 1, (int)size, types, &other);
  if (other == LUA_TNIL && has_hole(r, (int)size, types))
    other = LUA_TTABLE; /* the frame will see to it */
  if (other != LUA_TNIL) {
    lua_settop(L, table);
    return false;
  }
  write_empty(r, lua_topointer(L, table), MPROC_OP_EMPTY_LIST, MPROC_OP_LIST);
  if (size > 0) {
    mproc_writer_op(r->w, MPROC_OP_MARK);
    save_scalars(r, table + 1, (int)size, types);
    mproc_writer_op(r->w, MPROC_OP_APPENDS);
  }
  lua_settop(L, table - 1);
  return true;
}

static void begin_list(Run *r, lua_Integer size) {
  Frame *f;
  if (save_flat(r, size))
    return;
  f = lmp_pickle_enter(r, LIST);
  f->size = size;
  write_empty(r, f->address, MPROC_OP_EMPTY_LIST, MPROC_OP_LIST);
  if (lmp_pickle_appends(r) && size > 0)
    lmp_pickle_mark(r, f);
}

static void write_empty_dict(Run *r, const Frame *f) {
  write_empty(r, f->address, MPROC_OP_EMPTY_DICT, MPROC_OP_DICT);
}

static void begin_dict(Run *r) {
  write_empty_dict(r, lmp_pickle_enter(r, DICT));
}

/*
** The same for the table below its first entry, which is on the top and need
** not be sought again: [-3, +3, m], table, key, value being the frame's.
*/
static void begin_fetched_dict(Run *r) {
  lua_State *L = r->L;
  Frame *f;
  if (r->depth % ROOM == 0 || r->depth >= LMP_PICKLE_SPILL) {
    lua_pop(L, 2); /* the stack must grow, or be spilled, first */
    begin_dict(r);
    return;
  }
  f = new_frame(r, DICT, lua_topointer(L, -3));
  f->fetched = true;
  write_empty_dict(r, f);
}

/*
** What can be memoized only once it is whole (a tuple, say). It may occur in
** itself by way of something that is memoized before its parts (a list): then
** it is written twice, and the outer one finds the inner one in the memo
** (CPython, save_tuple). Were it to occur a third time, there is no such thing.
*/
bool lmp_pickle_unfinished(Run *r, const void *address) {
  uint32_t index;
  uint32_t count = 0;
  bool added;
  if (lmp_pickle_recall(r, address, &index))
    count = index & ~LMP_PICKLE_UNFINISHED;
  if (count >= 2)
    return lmp_pickle_refuse(
        r, "cannot pickle a tuple or set that contains itself");
  *memo_place(r, &r->p->memo, address, &added) =
      LMP_PICKLE_UNFINISHED | (count + 1);
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
  if (!lmp_pickle_unfinished(r, address))
    return false;
  f = lmp_pickle_enter(r, TUPLE);
  f->size = size;
  if (size > 3 || r->w->protocol < 2)
    lmp_pickle_mark(r, f);
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
  if ((kind == FROZENSET || !opcodes) && !lmp_pickle_unfinished(r, address))
    return false;
  f = lmp_pickle_enter(r, kind);
  if (opcodes && kind == SET) {
    mproc_writer_op(r->w, MPROC_OP_EMPTY_SET);
    lmp_pickle_memoize(r, address);
  } else if (!opcodes) {
    put_builtin(r, kind == SET ? "set" : "frozenset");
    if (r->w->protocol < 2)
      mproc_writer_op(r->w, MPROC_OP_MARK);
  }
  lmp_pickle_mark(r, f);
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

/* Whether the integer at 'idx' is 'n'. */
static bool is_integer(lua_State *L, int idx, lua_Integer n) {
  return lua_isinteger(L, idx) && lua_tointeger(L, idx) == n;
}

/*
** [-2, +0, m] Whether the keys of the table below the first entry, which is on
** the top and is that of 1, are 1, 2, 3 … in this order; '*size' of them.
*/
static bool counts_up(lua_State *L, lua_Integer *size) {
  *size = 1;
  for (;;) {
    lua_pop(L, 1);
    if (lua_next(L, -2) == 0)
      return true;
    if (!is_integer(L, -2, *size + 1)) {
      lua_pop(L, 2);
      return false;
    }
    ++*size;
  }
}

/* Whether nothing is behind index 'n' of the table on the top. */
static bool ends_at(lua_State *L, lua_Integer n) {
  lua_pushinteger(L, n);
  if (lua_next(L, -2) == 0)
    return true;
  lua_pop(L, 2);
  return false;
}

#define WORTH_PROBING 24 /* items; fewer are counted as fast */

/*
** [-2, +0, m] Whether the table below its first entry, which is on the top, has
** exactly the keys 1 to '*size'. lua_next yields the array first: so if the
** last is in the array and nothing comes behind it, there is nothing else, but
** there may be holes before it; they are noticed when it is written, which then
** begins again, 'careful'.
*/
static bool is_list(lua_State *L, bool careful, lua_Integer *size) {
  bool from_one = is_integer(L, -2, 1);
  lua_Integer n = (lua_Integer)lua_rawlen(L, -3);
  if (from_one && n >= WORTH_PROBING && !careful) {
    lua_settop(L, -3);
    *size = n;
    if (ends_at(L, n) && is_in_array(L, n))
      return true;
    lua_pushinteger(L, 1);
    lua_pushnil(L);
  }
  if (from_one && counts_up(L, size))
    return true;
  if (!from_one)
    lua_settop(L, -3);
  *size = n;
  return n > 0 && is_sequence(L, n);
}

/* A sequence is a list, and so is the empty table; any other is a dict. */
bool lmp_pickle_plain(Run *r) {
  lua_State *L = r->L;
  lua_Integer size = 0;
  lua_pushnil(L);
  if (lua_next(L, -2) == 0) {
    begin_list(r, 0);
  } else if (lua_type(L, -2) == LUA_TNUMBER) {
    if (is_list(L, r->careful, &size))
      begin_list(r, size);
    else
      begin_dict(r);
  } else {
    begin_fetched_dict(r);
  }
  return true;
}

/* ---- one value ---- */

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
    return lmp_pickle_wrapped(r, type);
  case LMP_GLOBAL:
    return lmp_pickle_global(r);
  case LMP_OBJECT:
    return lmp_pickle_object(r);
  default:
    return lmp_pickle_cannot(r);
  }
}

/* A value that was seen before; false: it was not. */
static bool save_seen(Run *r, const void *address) {
  uint32_t index;
  if (!lmp_pickle_recall(r, address, &index) ||
      (index & LMP_PICKLE_UNFINISHED) != 0)
    return false;
  mproc_writer_get(r->w, index);
  lua_pop(r->L, 1);
  return true;
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

static bool save_table(Run *r) {
  lua_State *L = r->L;
  lmp_ValueType type;
  if (r->anchored)
    anchor(r);
  if (save_seen(r, lua_topointer(L, -1)))
    return true;
  if (!lua_getmetatable(L, -1))
    return lmp_pickle_plain(r);
  lua_pop(L, 1);
  type = lmp_typeof(L, -1);
  return type == LMP_PLAIN ? lmp_pickle_reduced(r) : begin_tagged(r, type);
}

static void save_int(Run *r) {
  const lmp_Int *n = (const lmp_Int *)lua_touserdata(r->L, -1);
  mproc_view v = {n->data, n->size};
  mproc_writer_long(r->w, v);
  lmp_pickle_memoize(r, n);
  lua_pop(r->L, 1);
}

static bool save_userdata(Run *r) {
  lua_State *L = r->L;
  const void *address = lua_topointer(L, -1);
  const lmp_Buffer *b;
  mproc_view v;
  if (r->anchored)
    anchor(r);
  if (save_seen(r, address))
    return true;
  if (lmp_typeof(L, -1) == LMP_INT) {
    save_int(r);
    return true;
  }
  b = lmp_tobuffer(L, -1);
  if (b == NULL)
    return lmp_pickle_reduced(r);
  v.data = b->data;
  v.size = b->size;
  mproc_writer_bytearray(r->w, v);
  lmp_pickle_memoize(r, address);
  lua_pop(L, 1);
  return true;
}

bool lmp_pickle_save(Run *r) {
  lua_State *L = r->L;
  int type = lua_type(L, -1);
  if (type == LUA_TTABLE)
    return save_table(r);
  if (save_scalar(r, lua_gettop(L), type)) {
    lua_pop(L, 1);
    return true;
  }
  return type == LUA_TUSERDATA ? save_userdata(r) : lmp_pickle_cannot(r);
}

/* ---- going on with the innermost frame; stack: container, slot ---- */

/* Items by index; those that are scalars in batches. */
static bool step_indexed(Run *r, bool *over) {
  lua_State *L = r->L;
  Frame *f = lmp_pickle_frame(r);
  int first = lua_gettop(L) + 1;
  int batch = lmp_pickle_appends(r) ? BATCH : 1;
  for (;;) {
    int types[BATCH];
    int other;
    int n;
    lua_Integer left = f->size - f->at;
    if (f->kind == LIST)
      lmp_pickle_finish_item(r, f, MPROC_OP_APPEND);
    *over = left <= 0;
    if (*over)
      return true;
    n = fetch(L, first - 2, f->at + 1, left < batch ? (int)left : batch, types,
              &other);
    if (f->kind == LIST && has_hole(r, n, types)) {
      r->again = r->careful = true;
      return false;
    }
    save_scalars(r, first, n, types);
    f->at += n;
    if (other != LUA_TNIL) {
      f->at++;
      lua_copy(L, -1, first);
      lua_settop(L, first);
      return lmp_pickle_save(r);
    }
    lua_settop(L, first - 1);
  }
}

/* The value of the key in the slot, which has a frame of its own. */
static bool step_value(Run *r, Frame *f) {
  lua_State *L = r->L;
  f->half = false;
  lua_pushvalue(L, -1);
  lua_rawget(L, -3);
  return lmp_pickle_save(r);
}

/* Stack: dict, slot; where 'fetched', the value of the key in the slot. */
static bool step_dict(Run *r, bool *over) {
  lua_State *L = r->L;
  Frame *f = lmp_pickle_frame(r);
  int key;
  if (f->half)
    return step_value(r, f);
  key = lua_gettop(L) - (f->fetched ? 1 : 0);
  for (;;) {
    lmp_pickle_finish_item(r, f, MPROC_OP_SETITEM);
    if (!f->fetched && lua_next(L, key - 1) == 0) {
      lua_pushnil(L); /* the slot */
      *over = true;
      return true;
    }
    f->fetched = false;
    if (f->at++ == 0 && lmp_pickle_appends(r))
      lmp_pickle_mark(r, f);
    if (!save_scalar(r, key, lua_type(L, key))) {
      lua_settop(L, key);
      lua_pushvalue(L, key);
      f->half = true;
      return lmp_pickle_save(r);
    }
    if (!save_scalar(r, key + 1, lua_type(L, key + 1)))
      return lmp_pickle_save(r); /* the key is in the slot */
    lua_settop(L, key);
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
  return lmp_pickle_save(r);
}

static bool step(Run *r, bool *over) {
  switch ((Kind)lmp_pickle_frame(r)->kind) {
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
    return lmp_pickle_step_object(r, over);
  case PAIRS:
    return lmp_pickle_step_pairs(r, over);
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
  bool seen = lmp_pickle_recall(r, f->address, &index) &&
              (index & LMP_PICKLE_UNFINISHED) == 0;
  if (!seen) {
    mproc_writer_op(r->w, op);
    lmp_pickle_memoize(r, f->address);
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
  if (lmp_pickle_recall(r, f->address, &index) &&
      (index & LMP_PICKLE_UNFINISHED) == 0) {
    mproc_writer_op(r->w, MPROC_OP_POP);
    mproc_writer_get(r->w, index);
  } else {
    lmp_pickle_memoize(r, f->address);
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
  end_container(r, lmp_pickle_frame(r));
  lua_pop(r->L, 2);
  r->depth--;
  if (r->depth > 0 && r->depth >= LMP_PICKLE_SPILL)
    unspill(r);
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
    whole = whole && lua_type(L, -1) == LUA_TNUMBER;
    luaL_argcheck(
        L, whole && protocol >= 0 && protocol <= MPROC_PICKLE_PROTOCOL_MAX,
        OPTIONS, "option 'protocol': integer from 0 to 5 expected");
  }
  lua_pop(L, 1);
  return (unsigned)protocol;
}

static bool walk(Run *r) {
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

/* Forgets all that was written, but not what __reduce has returned. */
static void begin_again(Run *r, unsigned protocol) {
  r->again = false;
  r->depth = 0;
  r->memoized = 0;
  mproc_memo_clear(&r->p->memo);
  mproc_memo_clear(&r->p->strings);
  lua_settop(r->L, BASE - 1);
  mproc_writer_begin(r->w, protocol);
}

int lmp_dumps(lua_State *L) {
  Run r;
  mproc_view pickle;
  unsigned protocol;
  bool fine;
  memset(&r, 0, sizeof r);
  r.L = L;
  luaL_checkany(L, VALUE);
  lua_settop(L, OPTIONS);
  protocol = read_protocol(L);
  r.p = borrow(L);
  r.w = &r.p->writer;
  do {
    begin_again(&r, protocol);
    fine = walk(&r);
  } while (!fine && r.again);
  if (!fine)
    return lmp_pickle_refusal(&r);
  if (mproc_writer_end(r.w, &pickle) != MPROC_OK)
    lmp_pickle_nomemory(&r);
  lua_pushlstring(L, (const char *)pickle.data, pickle.size);
  give_back(r.p);
  return 1;
}

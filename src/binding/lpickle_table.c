/*
** lpickle_table.c: dumps: plain tables, as lists and dicts.
**
** Each call of Lua's API costs as much as writing a number. So what tells a
** list from a dict is found out with as few as possible (lpickle_kind.c), values
** stay on the stack until many can be popped at once, and a container has a frame
** only from its first item on that has one itself.
*/
#include "binding/lpickle_scalar.h"

#define BATCH 32 /* items on the Lua stack at a time */

/* Writes a new container, and memoizes it; 'filled': up to where its items or
   entries are to come. */
static void write_new(Run *r, uint32_t *place, mproc_pickle_opcode op,
                      mproc_pickle_opcode marked_op, bool filled) {
  mproc_writer *w = r->w;
  if (w->protocol >= 4) {
    uint8_t *p = mproc_writer_space(w, 3);
    *place = r->memoized++;
    if (p != NULL) {
      p[0] = (uint8_t)op;
      p[1] = MPROC_OP_MEMOIZE;
      p[2] = MPROC_OP_MARK;
      w->size += filled ? 3 : 2;
    }
    return;
  }
  if (w->protocol == 0) {
    mproc_writer_op(w, MPROC_OP_MARK);
    op = marked_op;
  }
  mproc_writer_op(w, op);
  lmp_pickle_memoize(r, place);
  if (filled && w->protocol > 0)
    mproc_writer_op(w, MPROC_OP_MARK);
}

/* ---- items by index ---- */

/* Items to come of which it pays to see whether they are all floats. */
#define MANY 8

/*
** [-0, +n, -] Writes the items from that at 'first' on, on the top, while they are
** numbers with a fraction, 'most' of them at most. Where that is not all, the next
** one is on the top. Returns how many it has written. Not in protocol 0.
*/
static int write_reals(Run *r, int table, int first, Items *items, int most) {
  lua_State *const L = r->L;
  uint8_t *p = mproc_writer_space(r->w, (size_t)most * MPROC_WRITER_REAL);
  int type = items->type, n = 0;
  while (type == LUA_TNUMBER && p != NULL) {
    double value = (double)lua_tonumber(L, first + n);
    if (!lmp_pickle_has_fraction(value))
      break;
    mproc_writer_store_real(p, value);
    p += MPROC_WRITER_REAL;
    if (++n == most)
      break;
    type = lua_rawgeti(L, table, items->at + n + 1);
  }
  r->w->size += (size_t)n * MPROC_WRITER_REAL;
  items->at += n;
  items->type = type;
  return n;
}

/* [-0, +n, v] As lmp_pickle_items, from the item on the top on, 'most' of them at
   most: as many as there is room for on the stack. */
static int write_items(Run *r, int table, int first, Items *items, int most) {
  lua_State *const L = r->L;
  bool real = false;
  int n = 0;
  if (items->type == LUA_TNUMBER && most >= MANY && !items->appended &&
      r->w->protocol > 0)
    n = write_reals(r, table, first, items, most);
  while (n < most && items->type != LUA_TTABLE) {
    if (!lmp_pickle_next_scalar(r, first + n, items->type, &real)) {
      if (items->type != LUA_TNIL || items->holes_matter)
        break;
      mproc_writer_none(r->w);
    }
    if (items->appended)
      mproc_writer_op(r->w, MPROC_OP_APPEND);
    items->at++;
    if (++n < most)
      items->type = lua_rawgeti(L, table, items->at + 1);
  }
  return n;
}

int lmp_pickle_items(Run *r, int table, int first, Items *items) {
  lua_State *L = r->L;
  if (items->at >= items->size)
    return 0;
  for (;;) {
    lua_Integer left = items->size - items->at;
    int most = left < BATCH ? (int)left : BATCH;
    int n;
    items->type = lua_rawgeti(L, table, items->at + 1);
    n = write_items(r, table, first, items, most);
    if (n < most || n == left)
      return n;
    lua_settop(L, first - 1);
  }
}

/* Whether an opcode follows each item. */
static bool is_appended(const Run *r, Kind kind) {
  return kind == LIST && !lmp_pickle_appends(r);
}

/* What was taken for a list without a look at its keys lacks one of them. */
static bool found_hole(Run *r) {
  r->again = r->careful = true;
  return false;
}

bool lmp_pickle_step_indexed(Run *r, bool *over) {
  lua_State *L = r->L;
  const size_t depth = r->depth;
  const int slot = lua_gettop(L);
  do {
    Frame *f = lmp_pickle_frame(r);
    Items items = {f->at, f->size, is_appended(r, (Kind)f->kind),
                   f->kind == LIST && !r->careful, LUA_TNONE};
    int below;
    if (f->due)
      mproc_writer_op(r->w, MPROC_OP_APPEND);
    f->due = items.appended;
    below = lmp_pickle_items(r, slot - 1, slot + 1, &items);
    *over = items.at >= items.size;
    if (*over) {
      lua_settop(L, slot);
      return true;
    }
    if (items.type == LUA_TNIL)
      return found_hole(r);
    f->at = items.at + 1;
    if (below > 0) {
      lua_copy(L, -1, slot + 1);
      lua_settop(L, slot + 1);
    }
    if (!(items.type == LUA_TTABLE ? lmp_pickle_table(r) : lmp_pickle_save(r)))
      return false;
  } while (r->depth == depth);
  return true;
}

/* [-1, +0 or +2, m] The list on the top, at 'table', of so many items. */
static bool begin_list(Run *r, uint32_t *place, int table, lua_Integer size) {
  lua_State *L = r->L;
  const bool marked = lmp_pickle_appends(r) && size > 0;
  Items items = {0, size, is_appended(r, LIST), !r->careful, LUA_TNONE};
  Frame *f;
  write_new(r, place, MPROC_OP_EMPTY_LIST, MPROC_OP_LIST, size > 0);
  lmp_pickle_items(r, table, table + 1, &items);
  if (items.at == size) {
    if (marked)
      mproc_writer_op(r->w, MPROC_OP_APPENDS);
    lua_settop(L, table - 1);
    return true;
  }
  if (items.type == LUA_TNIL)
    return found_hole(r);
  lua_settop(L, table);
  f = lmp_pickle_enter(r, LIST);
  f->at = items.at;
  f->size = size;
  f->marked = marked;
  return true;
}

/* ---- entries ---- */

/* Why write_entries has returned. */
typedef enum Entries {
  ALL_WRITTEN, /* key and value are popped */
  AT_KEY,      /* it is no scalar; nothing of the entry is written */
  AT_VALUE,    /* it is none; the key is written */
  AT_TABLE     /* and it is a table */
} Entries;

/* [-2, +0 or +2, v] Writes the entry whose key is at 'key' and whose value is
   on the top, and all that follow, while they are scalars. */
static Entries write_entries(Run *r, int key) {
  lua_State *L = r->L;
  const bool each = !lmp_pickle_appends(r);
  do {
    bool real = false;
    int type = lua_type(L, key);
    if (type == LUA_TSTRING)
      lmp_pickle_string(r, key);
    else if (!lmp_pickle_scalar(r, key, type))
      return AT_KEY;
    type = lua_type(L, key + 1);
    if (type == LUA_TTABLE)
      return AT_TABLE;
    if (!lmp_pickle_next_scalar(r, key + 1, type, &real))
      return AT_VALUE;
    if (each)
      mproc_writer_op(r->w, MPROC_OP_SETITEM);
    lua_pop(L, 1);
  } while (lua_next(L, key - 1) != 0);
  return ALL_WRITTEN;
}

/*
** [-1, +0 or +2, e] Saves the value on the top, of a dict that has no frame. If
** it is begun only, or refused, the dict has one after all: false, and '*fine'
** tells which.
*/
static bool save_nested(Run *r, bool is_table, bool *fine) {
  const size_t depth = r->depth;
  const bool each = !lmp_pickle_appends(r);
  Frame *f;
  r->nested = true;
  *fine = is_table ? lmp_pickle_table(r) : lmp_pickle_save(r);
  r->nested = false;
  if (*fine && r->depth == depth) {
    if (each)
      mproc_writer_op(r->w, MPROC_OP_SETITEM);
    return true;
  }
  f = lmp_pickle_enter_late(r, depth);
  f->marked = !each;
  f->due = each;
  return false;
}

/* [-3, +0 or +3, e] The dict at 'table', below its first entry, which is on the
   top. */
static bool begin_dict(Run *r, uint32_t *place, int table) {
  const bool marked = lmp_pickle_appends(r);
  Entries written;
  Frame *f;
  write_new(r, place, MPROC_OP_EMPTY_DICT, MPROC_OP_DICT, true);
  written = write_entries(r, table + 1);
  while (written >= AT_VALUE && lmp_pickle_may_nest(r)) {
    bool fine;
    if (!save_nested(r, written == AT_TABLE, &fine))
      return fine;
    written =
        lua_next(r->L, table) != 0 ? write_entries(r, table + 1) : ALL_WRITTEN;
  }
  if (written == ALL_WRITTEN) {
    if (marked)
      mproc_writer_op(r->w, MPROC_OP_SETITEMS);
    lua_pop(r->L, 1);
    return true;
  }
  f = lmp_pickle_enter_fetched(r);
  f->marked = marked;
  f->fetched = true;
  f->half = written >= AT_VALUE;
  return true;
}

bool lmp_pickle_dict(Run *r, uint32_t *place) {
  lua_State *L = r->L;
  lua_pushnil(L);
  if (lua_next(L, -2) != 0)
    return begin_dict(r, place, lua_gettop(L) - 2);
  write_new(r, place, MPROC_OP_EMPTY_DICT, MPROC_OP_DICT, false);
  lua_pop(L, 1);
  return true;
}

/* [-0 or -1, +0 or +2, e] Writes the value of the key in the slot. */
static bool save_value(Run *r, Frame *f) {
  lua_State *L = r->L;
  if (!f->fetched) {
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
  }
  f->half = f->fetched = false;
  f->due = !lmp_pickle_appends(r);
  return lmp_pickle_save(r);
}

/* [-1 or -2, +1 to +3, e] Writes scalars from the next entry on, or, where one
   is on the stack, from that; at a key that is none, saves it. */
static bool save_entries(Run *r, Frame *f, int key, bool *over) {
  lua_State *L = r->L;
  Entries written = ALL_WRITTEN;
  if (f->due)
    mproc_writer_op(r->w, MPROC_OP_SETITEM);
  if (f->fetched || lua_next(L, key - 1) != 0)
    written = write_entries(r, key);
  f->due = false;
  f->fetched = written >= AT_VALUE;
  f->half = written != ALL_WRITTEN;
  if (written == AT_KEY) {
    lua_settop(L, key);
    lua_pushvalue(L, key);
    return lmp_pickle_save(r);
  }
  if (written == ALL_WRITTEN) {
    lua_pushnil(L); /* the slot */
    *over = true;
  }
  return true;
}

/* Stack: dict, slot; where 'fetched', the value of the key in the slot. */
bool lmp_pickle_step_dict(Run *r, bool *over) {
  const size_t depth = r->depth;
  Frame *f = lmp_pickle_frame(r);
  const int key = lua_gettop(r->L) - (f->fetched ? 1 : 0);
  do {
    f = lmp_pickle_frame(r);
    if (!(f->half ? save_value(r, f) : save_entries(r, f, key, over)))
      return false;
  } while (!*over && r->depth == depth);
  return true;
}

/* ---- any of them ---- */

/* A sequence is a list, and so is the empty table; any other is a dict. */
bool lmp_pickle_plain(Run *r, uint32_t *place, const void *address) {
  lua_State *L = r->L;
  const int table = lua_gettop(L);
  lua_Integer size;
  if (lmp_pickle_is_array(r, address, &size))
    return begin_list(r, place, table, size);
  lua_pushnil(L);
  if (lua_next(L, table) == 0)
    return begin_list(r, place, table, 0);
  if (lua_type(L, table + 1) != LUA_TNUMBER)
    return begin_dict(r, place, table);
  size = (lua_Integer)lua_rawlen(L, table);
  if (lmp_pickle_is_list(r, table, size))
    return begin_list(r, place, table, size);
  return lmp_pickle_dict(r, place);
}

/*
** lpickle_object.c: dumps: instances, globals, wrapped strings, and values that
** say themselves what they are (__reduce).
*/
#include <string.h>

#include "binding/lpickle.h"
#include "pickle/compat.h"
#include "pickle/utf8.h"

/* [-0, +1, m] Pushes the raw field of the object at 'idx'. */
static int push_field(lua_State *L, int idx, const char *name) {
  idx = lua_absindex(L, idx);
  lua_pushstring(L, name);
  return lua_rawget(L, idx);
}

/* The string inside a wrapper at the top. */
static bool unwrap(Run *r, mproc_view *v) {
  lua_State *L = r->L;
  if (lua_rawgeti(L, -1, 1) != LUA_TSTRING)
    return lmp_pickle_refuse(r, "cannot pickle a wrapper without its string");
  *v = lmp_toview(L, -1);
  lua_pop(L, 1); /* the wrapper keeps it alive */
  return true;
}

bool lmp_pickle_wrapped(Run *r, uint32_t *place, lmp_ValueType type) {
  mproc_view v;
  if (!unwrap(r, &v))
    return false;
  if (type == LMP_BYTES)
    mproc_writer_bytes(r->w, v);
  else if (mproc_utf8_kind(v) != MPROC_UTF8_INVALID)
    mproc_writer_text(r->w, v);
  else
    return lmp_pickle_refuse(r, "cannot pickle a str that is not UTF-8");
  lmp_pickle_memoize(r, place);
  lua_pop(r->L, 1);
  return true;
}

/* Whether a reader takes it for a name. */
static bool is_name(mproc_view v) {
  return v.size > 0 && mproc_utf8_kind(v) == MPROC_UTF8_VALID;
}

bool lmp_pickle_global(Run *r, uint32_t *place) {
  lua_State *L = r->L;
  mproc_view module;
  mproc_view name;
  lmp_pushglobalname(L, -1);
  if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
    return lmp_pickle_refuse(r, "cannot pickle a global without its names");
  module = lmp_toview(L, -2);
  name = lmp_toview(L, -1);
  if (r->w->protocol < 3)
    mproc_compat_3to2(&module, &name);
  if (!is_name(module) || !is_name(name))
    return lmp_pickle_refuse(
        r, "cannot pickle a global with a name that is empty or not UTF-8");
  if (memchr(module.data, '\n', module.size) != NULL ||
      memchr(name.data, '\n', name.size) != NULL)
    return lmp_pickle_refuse(
        r, "cannot pickle a global with a newline in its name");
  mproc_writer_global(r->w, module, name);
  lmp_pickle_memoize(r, place);
  lua_pop(L, 3);
  return true;
}

/* ---- __reduce ---- */

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

/* Whether the value on the top has a __reduce, and is none of our own. */
static bool is_reducible(lua_State *L) {
  int type = lua_type(L, -1);
  if ((type != LUA_TTABLE && type != LUA_TUSERDATA) ||
      lmp_typeof(L, -1) != LMP_PLAIN ||
      luaL_getmetafield(L, -1, "__reduce") == LUA_TNIL)
    return false;
  lua_pop(L, 1);
  return true;
}

/* [-0, +0, e] Calls the __reduce of the value on the top, and notes in REDUCED
   what it returned. */
static void reduce(Run *r) {
  lua_State *L = r->L;
  int value = lua_gettop(L);
  luaL_getmetafield(L, value, "__reduce");
  call_reduce(L);
  /* strings may have gone meanwhile, and others come to where they were */
  lmp_pickle_forget_strings(r->p);
  pack_reduced(L);
  if (lua_isnil(L, -1)) { /* which no table can hold */
    lua_pop(L, 1);
    lmp_pushnone(L);
  }
  if (lua_type(L, REDUCED) == LUA_TNIL) {
    lua_newtable(L);
    lua_replace(L, REDUCED);
  }
  lua_pushvalue(L, value);
  lua_insert(L, -2);
  lua_rawset(L, REDUCED);
  r->reduced++;
}

/*
** [-1, +1, e] Replaces the value on the top by what stands for it. __reduce is
** called once for each value, so that what is shared stays shared, and what
** leads back to itself comes to an end.
*/
static void replace_reduced(Run *r) {
  lua_State *L = r->L;
  for (int tries = 0; tries < 2; tries++) {
    if (lua_type(L, REDUCED) == LUA_TTABLE) {
      lua_pushvalue(L, -1);
      if (lua_rawget(L, REDUCED) != LUA_TNIL)
        break;
      lua_pop(L, 1);
    }
    reduce(r);
  }
  lua_remove(L, -2);
}

/* The table or userdata on the top has a __reduce, or is like any other. */
bool lmp_pickle_reduced(Run *r, uint32_t *place) {
  lua_State *L = r->L;
  lua_Integer steps = 0;
  if (!is_reducible(L))
    return lua_type(L, -1) == LUA_TTABLE
               ? lmp_pickle_plain(r, place, lua_topointer(L, -1))
               : lmp_pickle_cannot(r);
  if (!r->anchored) { /* before Lua code runs for the first time */
    r->anchored = r->again = true;
    return false;
  }
  while (is_reducible(L)) {
    replace_reduced(r);
    if (++steps > r->reduced)
      return lmp_pickle_refuse(r, "__reduce returned the value itself");
  }
  return lmp_pickle_save(r);
}

/* ---- instances ---- */

/* How the object on the top says that it is constructed. */
static How read_how(lua_State *L) {
  static const char *const names[] = {"new", "new_ex", "inst"};
  How how = CALL;
  if (push_field(L, -1, "how") == LUA_TSTRING) {
    for (int i = 0; i < 3 && how == CALL; i++) {
      if (strcmp(lua_tostring(L, -1), names[i]) == 0)
        how = (How)(NEW + i);
    }
  }
  lua_pop(L, 1);
  return how;
}

/* An object's class and arguments, which every one must have. */
static bool check_object(Run *r, How how) {
  lua_State *L = r->L;
  bool fine = push_field(L, -1, "class") != LUA_TNIL;
  lua_pop(L, 1);
  if (!fine)
    return lmp_pickle_refuse(r, "cannot pickle an object without a class");
  fine =
      push_field(L, -1, "args") == LUA_TTABLE && lmp_typeof(L, -1) == LMP_TUPLE;
  lua_pop(L, 1);
  if (!fine)
    return lmp_pickle_refuse(
        r, "cannot pickle an object whose args are not a tuple");
  if (how == NEW_EX && r->w->protocol < 4)
    return lmp_pickle_refuse(r, "keyword arguments need protocol 4");
  return true;
}

bool lmp_pickle_object(Run *r, uint32_t *place) {
  const How how = read_how(r->L);
  Frame *f;
  if (!check_object(r, how) || !lmp_pickle_unfinished(r, place))
    return false;
  f = lmp_pickle_enter(r, OBJECT);
  f->stage = CLASS;
  f->how = (uint8_t)how;
  return true;
}

static void put_newobj_function(Run *r) {
  mproc_view module = {(const uint8_t *)"copy_reg", 8};
  mproc_view name = {(const uint8_t *)"__newobj__", 10};
  mproc_writer_global(r->w, module, name);
}

/* The pairs of an object: stack: list, pair or nil. */
bool lmp_pickle_step_pairs(Run *r, bool *over) {
  lua_State *L = r->L;
  Frame *f = lmp_pickle_frame(r);
  if (f->half) {
    f->half = false;
    lua_rawgeti(L, -1, 2);
    return lmp_pickle_save(r);
  }
  if (f->at > 0 && !lmp_pickle_appends(r))
    mproc_writer_op(r->w, MPROC_OP_SETITEM);
  *over = f->at >= f->size;
  if (*over)
    return true;
  lua_pop(L, 1);
  if (lua_rawgeti(L, -1, ++f->at) != LUA_TTABLE)
    return lmp_pickle_refuse(
        r, "cannot pickle an object whose pairs are not pairs");
  f->half = true;
  lua_rawgeti(L, -1, 1);
  return lmp_pickle_save(r);
}

/* The arguments, one after the other, after the class: __newobj__'s. */
static bool splice_args(Run *r) {
  lua_State *L = r->L;
  Frame *f;
  push_field(L, -2, "args");
  f = lmp_pickle_enter(r, ARGUMENTS);
  f->size = (lua_Integer)lua_rawlen(L, -2);
  return true;
}

static bool step_object_class(Run *r) {
  lua_State *L = r->L;
  Frame *f = lmp_pickle_frame(r);
  f->stage = ARGS;
  if (f->how == INST) {
    mproc_writer_op(r->w, MPROC_OP_MARK);
  } else if (f->how == NEW && r->w->protocol < 2) {
    put_newobj_function(r);
    mproc_writer_op(r->w, MPROC_OP_MARK);
  }
  push_field(L, -2, "class");
  return lmp_pickle_save(r);
}

static bool save_field(Run *r, const char *name) {
  push_field(r->L, -2, name);
  return lmp_pickle_save(r);
}

/* The opcode that makes the object of what has been written, if it is still to
   be made. */
static void construct(Run *r) {
  Frame *f = lmp_pickle_frame(r);
  if (f->how == INST) {
    mproc_writer_op(r->w, MPROC_OP_OBJ);
  } else if (f->how == NEW_EX) {
    mproc_writer_op(r->w, MPROC_OP_NEWOBJ_EX);
  } else if (f->how == NEW && r->w->protocol >= 2) {
    mproc_writer_op(r->w, MPROC_OP_NEWOBJ);
  } else {
    if (f->how == NEW)
      mproc_writer_op(r->w, MPROC_OP_TUPLE);
    mproc_writer_op(r->w, MPROC_OP_REDUCE);
  }
  if (!lmp_pickle_end_call(r, f))
    f->stage = DONE;
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
    return lmp_pickle_refuse(
        r, "cannot pickle an object whose items are not a list");
  n = (lua_Integer)lua_rawlen(L, -1);
  if (n == 0) {
    lua_pop(L, 1);
    return true;
  }
  f = lmp_pickle_enter(r, kind);
  f->size = n;
  if (lmp_pickle_appends(r))
    lmp_pickle_mark(r, f);
  return true;
}

bool lmp_pickle_step_object(Run *r, bool *over) {
  lua_State *L = r->L;
  Frame *f = lmp_pickle_frame(r);
  switch ((Stage)f->stage) {
  case CLASS:
    return step_object_class(r);
  case ARGS:
    f->stage = KWARGS;
    if (f->how == INST || (f->how == NEW && r->w->protocol < 2))
      return splice_args(r);
    return save_field(r, "args");
  case KWARGS:
    f->stage = CONSTRUCT;
    return f->how == NEW_EX ? save_field(r, "kwargs") : true;
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
    return lmp_pickle_save(r);
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

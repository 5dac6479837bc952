/*
** lunpickle_object.c: loads: instances, and what the program makes of them and
** of persistent ids.
**
** An instance becomes a table {class =, args =, …} that says how it was
** constructed, unless the program has registered a constructor for its class.
*/
#include "binding/lunpickle.h"

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
  lmp_pushglobalname(L, -1);
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

void lmp_unpickle_object(Run *r, Frame *f, const mproc_node *n) {
  lua_State *L = r->L;
  const mproc_object *o = mproc_tree_object(&r->u->tree, n);
  f->constructed = push_constructor(r, o);
  f->stage = f->constructed ? ARGS : CLASS;
  f->wrap = true;
  if (f->constructed) {
    mproc_tree_node(&r->u->tree, f->node)->place = LMP_UNPICKLE_MAKING;
    lua_pushnil(L); /* there is no object yet */
    lua_insert(L, -2);
  } else {
    lua_createtable(L, 0, 4);
    lmp_unpickle_tag(r, LMP_OBJECT);
    lmp_unpickle_keep(r, mproc_tree_node(&r->u->tree, f->node));
    lua_pushnil(L);
  }
}

/* ---- attaching the parts ---- */

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
    return lmp_unpickle_refuse(
        r, "what a constructor returned takes no items or state");
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

/* Reckons a tuple of 'n' arguments, where it is not this object's alone. */
static bool may_unpack(Run *r, const Frame *f, lua_Unsigned n) {
  const mproc_tree *t = &r->u->tree;
  const mproc_object *o = mproc_tree_object(t, mproc_tree_node(t, f->node));
  if (!mproc_tree_node(t, o->args.as.node)->shared)
    return true;
  if (n > r->unpacks)
    return lmp_unpickle_refuse(r, "the pickle takes a large part too often");
  r->unpacks -= (size_t)n;
  return true;
}

/* Stack: nil, function, arguments (a tuple). */
static bool construct(Run *r, const Frame *f) {
  lua_State *L = r->L;
  int args = lua_gettop(L);
  lua_Unsigned n = lua_rawlen(L, args);
  if (!may_unpack(r, f, n))
    return false;
  if (n > 100000 || !lua_checkstack(L, (int)n + 10))
    return lmp_unpickle_refuse(r, "too many arguments for a constructor");
  lua_pushvalue(L, args - 1);
  for (lua_Unsigned i = 1; i <= n; i++)
    lua_rawgeti(L, args, (lua_Integer)i);
  lua_call(L, (int)n, 1);
  if (lua_isnil(L, -1))
    return lmp_unpickle_refuse(r, "a constructor returned nil");
  lua_replace(L, args - 2);
  lua_settop(L, args - 2);
  lmp_unpickle_keep(r, mproc_tree_node(&r->u->tree, f->node));
  lua_pushnil(L);
  return true;
}

bool lmp_unpickle_attach_part(Run *r, Frame *f) {
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

/* ---- going on, and the end ---- */

/* Begins the items or the pairs of an object, if it has any. */
static bool begin_part(Run *r, Frame *f, const mproc_items *items) {
  if (items->count == 0) {
    f->stage++;
    return false;
  }
  lua_createtable(r->L, 0, 0);
  lua_replace(r->L, -2); /* the list is in the second slot */
  lmp_unpickle_items(f, items);
  return true;
}

bool lmp_unpickle_step_object(Run *r, bool *over) {
  Frame *f = lmp_unpickle_frame(r);
  const mproc_node *n = mproc_tree_node(&r->u->tree, f->node);
  const mproc_object *o = mproc_tree_object(&r->u->tree, n);
  switch ((Stage)f->stage) {
  case CLASS:
    return lmp_unpickle_visit(r, &o->callable, true);
  case ARGS:
    return lmp_unpickle_visit(r, &o->args, true);
  case KWARGS:
    if (o->how == MPROC_HOW_NEW_EX)
      return lmp_unpickle_visit(r, &o->kwargs, true);
    f->stage = ITEMS;
    return true;
  case ITEMS:
  case PAIRS:
    if (f->items == NULL &&
        !begin_part(r, f, f->stage == ITEMS ? &o->items : &o->pairs))
      return true;
    if (lmp_unpickle_more(r, f))
      return lmp_unpickle_visit(r, lmp_unpickle_next(f), true);
    f->items = NULL;
    lua_pushvalue(r->L, -1);
    return set_part(r, (Stage)f->stage++, f->constructed);
  case STATE:
    f->stage = DONE;
    if (!o->has_state)
      return true;
    f->stage = STATE;
    return lmp_unpickle_visit(r, &o->state, true);
  case DONE:
    break;
  }
  *over = true;
  return true;
}

void lmp_unpickle_note_how(Run *r, const Frame *f) {
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

bool lmp_unpickle_persistent(Run *r) {
  lua_State *L = r->L;
  lua_pushliteral(L, "persistent_load");
  if (lua_type(L, OPTIONS) != LUA_TTABLE ||
      lua_rawget(L, OPTIONS) != LUA_TFUNCTION)
    return lmp_unpickle_refuse(r, "a persistent id, and no persistent_load");
  lua_rawgeti(L, -3, 1);
  lua_call(L, 1, 1);
  if (lua_isnil(L, -1))
    return lmp_unpickle_refuse(r, "persistent_load returned nil");
  lmp_unpickle_keep(r,
                    mproc_tree_node(&r->u->tree, lmp_unpickle_frame(r)->node));
  lua_replace(L, -3);
  return true;
}

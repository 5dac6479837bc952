/*
** lunpickle_walk.c: loads: from the tree to Lua values.
**
** The tree is walked without recursion. Each container that is being filled
** has a frame; its Lua value and one more slot (the key of a dict's next value,
** an object's list of items) are on the Lua stack, or, below the depth of
** SPILL frames, in a table: so depth is limited by memory only.
*/
#include <math.h>

#include "binding/lunpickle.h"

#define FLAT 32 /* items of a list that needs no frame */

/* ---- values without parts ---- */

/* [-0, +1, m] Pushes short text. */
static inline void push_text(Run *r, const mproc_value *v) {
  lua_State *L = r->L;
  mproc_slot *slot = mproc_tree_text(&r->u->tree, v);
  if (slot == NULL)
    lua_pushlstring(L, (const char *)v->as.data, v->size);
  else if (slot->made && slot->number <= r->texts)
    lua_pushvalue(L, BASE - 1 + (int)slot->number);
  else
    lmp_unpickle_text(r, slot);
}

/* [-0, +1, m] Pushes a value that is no node. */
static inline void push_simple(Run *r, const mproc_value *v, bool wrap) {
  lua_State *L = r->L;
  mproc_view bytes = {NULL, v->size};
  switch ((mproc_value_tag)v->tag) {
  case MPROC_VALUE_NONE:
    lmp_pushnone(L);
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
  mproc_node *n = mproc_tree_node(&r->u->tree, node);
  if (n->place == LMP_UNPICKLE_MAKING)
    return lmp_unpickle_refuse(r, "an instance occurs in its own arguments");
  if (n->place != 0) {
    lua_rawgeti(L, MADE, (lua_Integer)n->place);
    if (n->kind == MPROC_NODE_BYTES)
      lmp_unpickle_rewrap(r, wrap);
    return attach(r, n->kind == MPROC_NODE_BYTES);
  }
  if (lmp_unpickle_leaf(r, n, wrap)) {
    lmp_unpickle_keep(r, n);
    return attach(r, n->kind == MPROC_NODE_BYTES);
  }
  return lmp_unpickle_enter(r, node, wrap);
}

bool lmp_unpickle_visit(Run *r, const mproc_value *v, bool wrap) {
  if (v->tag == MPROC_VALUE_NODE)
    return visit_node(r, v->as.node, wrap);
  push_simple(r, v, wrap);
  return attach(r, v->tag == MPROC_VALUE_BYTES);
}

/* ---- values that need no frame ---- */

/* The values of the first piece; NULL: there are none. */
static inline const mproc_value *first_values(const mproc_tree *t,
                                              const mproc_items *items) {
  return items->count > 0 ? (const mproc_value *)t->values.data + items->start
                          : NULL;
}

/* Whether a node is a list or tuple of a few simple values. */
static bool is_flat(const mproc_tree *t, const mproc_node *n) {
  const mproc_items *items = &n->as.items;
  const mproc_value *v;
  if ((n->kind != MPROC_NODE_LIST && n->kind != MPROC_NODE_TUPLE) ||
      items->count > FLAT || items->more != 0)
    return false;
  v = first_values(t, items);
  for (size_t i = 0; i < items->count; i++) {
    if (v[i].tag == MPROC_VALUE_NODE)
      return false;
  }
  return true;
}

/* [-0, +1, m] Pushes the value of such a node. */
static void push_flat(Run *r, uint32_t node, bool wrap) {
  const mproc_tree *t = &r->u->tree;
  mproc_node *n = mproc_tree_node(t, node);
  const mproc_items *items = &n->as.items;
  const mproc_value *v = first_values(t, items);
  lmp_unpickle_container(r, n);
  for (size_t i = 0; i < items->count; i++) {
    push_simple(r, &v[i], wrap);
    lua_rawseti(r->L, -2, (lua_Integer)i + 1);
  }
  lmp_unpickle_keep(r, n);
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
    for (; v < end && v->tag == MPROC_VALUE_REAL; v++) { /* in rows */
      lua_pushnumber(L, (lua_Number)v->as.real);
      lua_rawseti(L, container, ++count);
    }
    if (v == end)
      break;
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
  if (r->depth >= LMP_SPILL) {
    lmp_unspill(L, SPILLED, r->depth);
    lua_rotate(L, -3, 2); /* below the value */
  }
  return attach(r, false);
}

bool lmp_unpickle_walk(Run *r) {
  const mproc_value *root = &r->u->tree.root;
  if (root->tag != MPROC_VALUE_NODE) {
    push_simple(r, root, r->wrap);
    return true;
  }
  if (lmp_unpickle_leaf(r, mproc_tree_node(&r->u->tree, root->as.node),
                        r->wrap))
    return true;
  if (push_easy_node(r, root->as.node, r->wrap))
    return true;
  if (!lmp_unpickle_enter(r, root->as.node, r->wrap))
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

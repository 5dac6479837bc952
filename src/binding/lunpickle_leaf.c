/*
** lunpickle_leaf.c: loads: strings, bytes, large integers and globals.
*/
#include <string.h>

#include "binding/lbuffer.h"
#include "binding/lunpickle.h"
#include "pickle/bigint.h"

void lmp_unpickle_tag(Run *r, lmp_ValueType type) {
  lmp_pushtype(r->L, type);
  lua_setmetatable(r->L, -2);
}

void lmp_unpickle_text(Run *r, mproc_slot *slot) {
  lua_State *L = r->L;
  lua_Integer place = (lua_Integer)slot->number - (lua_Integer)r->texts;
  if (slot->made) {
    lua_rawgeti(L, MADE, place);
    return;
  }
  lua_pushlstring(L, (const char *)slot->value.as.data, slot->value.size);
  slot->made = true;
  if (place <= 0) {
    lua_copy(L, -1, BASE - 1 + (int)slot->number);
  } else {
    lua_pushvalue(L, -1);
    lua_rawseti(L, MADE, place);
  }
}

/* [-0, +1, m] Pushes {string}, tagged. */
static void push_wrapped(Run *r, mproc_view v, lmp_ValueType type) {
  lua_createtable(r->L, 1, 0);
  lua_pushlstring(r->L, (const char *)v.data, v.size);
  lua_rawseti(r->L, -2, 1);
  lmp_unpickle_tag(r, type);
}

void lmp_unpickle_bytes(Run *r, mproc_view v, bool wrap) {
  if (wrap)
    push_wrapped(r, v, LMP_BYTES);
  else
    lua_pushlstring(r->L, (const char *)v.data, v.size);
}

void lmp_unpickle_rewrap(Run *r, bool wrap) {
  lua_State *L = r->L;
  bool wrapped = lua_type(L, -1) == LUA_TTABLE;
  if (wrapped && !wrap) {
    lua_rawgeti(L, -1, 1);
    lua_replace(L, -2);
  } else if (wrap && !wrapped) {
    lua_createtable(L, 1, 0);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
    lmp_unpickle_tag(r, LMP_BYTES);
  }
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

bool lmp_unpickle_leaf(Run *r, const mproc_node *n, bool wrap) {
  lua_State *L = r->L;
  switch ((mproc_node_kind)n->kind) {
  case MPROC_NODE_TEXT:
    lua_pushlstring(L, (const char *)n->as.bytes.data, n->as.bytes.size);
    return true;
  case MPROC_NODE_SURROGATE:
    push_wrapped(r, n->as.bytes, LMP_STR);
    return true;
  case MPROC_NODE_BYTES:
    lmp_unpickle_bytes(r, n->as.bytes, wrap);
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

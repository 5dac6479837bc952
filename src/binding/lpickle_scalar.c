/*
** lpickle_scalar.c: dumps: what is seldom met among the values that need no
** frame, and userdata.
*/
#include "binding/lbuffer.h"
#include "binding/lpickle_scalar.h"
#include "pickle/utf8.h"

static void new_string(Run *r, int idx) {
  mproc_view v;
  v.data = (const uint8_t *)lua_tolstring(r->L, idx, &v.size);
  if (v.size <= 16 && mproc_utf8_is_short_ascii(v) && r->w->protocol >= 4)
    mproc_writer_short_text(r->w, v);
  else if (mproc_utf8_kind(v) != MPROC_UTF8_VALID)
    mproc_writer_bytes(r->w, v);
  else if (v.size <= 0xff && r->w->protocol >= 4)
    mproc_writer_short_text(r->w, v);
  else
    mproc_writer_text(r->w, v);
}

/* Its string came again. What has its place stays there: then two keys that
   contend for it are not both slow. */
static void know(Run *r, const void *address, uint32_t index) {
  Known *known = lmp_pickle_known(r, address);
  if (known->address != NULL)
    return;
  known->address = address;
  known->get[0] = MPROC_OP_BINGET;
  known->get[1] = (uint8_t)index;
  r->p->knows = true;
}

void lmp_pickle_other_string(Run *r, int idx, const void *address) {
  uint32_t *index = lmp_pickle_index(r, &r->p->strings, address);
  if (lmp_pickle_is_memoized(index)) {
    mproc_writer_get(r->w, *index);
    if (*index <= 0xff && r->w->protocol >= 1)
      know(r, address, *index);
  } else {
    new_string(r, idx);
    lmp_pickle_memoize(r, index);
  }
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

bool lmp_pickle_scalar(Run *r, int idx, int type) {
  switch (type) {
  case LUA_TBOOLEAN:
    mproc_writer_bool(r->w, lua_toboolean(r->L, idx) != 0);
    return true;
  case LUA_TNUMBER:
    lmp_pickle_number(r, idx, false);
    return true;
  case LUA_TSTRING:
    lmp_pickle_string(r, idx);
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

/* ---- userdata ---- */

static bool save_int(Run *r, uint32_t *place) {
  const lmp_Int *n = (const lmp_Int *)lua_touserdata(r->L, -1);
  mproc_view v = {n->data, n->size};
  mproc_writer_long(r->w, v);
  lmp_pickle_memoize(r, place);
  lua_pop(r->L, 1);
  return true;
}

static bool save_buffer(Run *r, uint32_t *place, const lmp_Buffer *b) {
  mproc_view v = {b->data, b->size};
  mproc_writer_bytearray(r->w, v);
  lmp_pickle_memoize(r, place);
  lua_pop(r->L, 1);
  return true;
}

bool lmp_pickle_userdata(Run *r) {
  lua_State *L = r->L;
  uint32_t *place = lmp_pickle_place(r, lua_topointer(L, -1));
  const lmp_Buffer *b;
  if (lmp_pickle_is_memoized(place)) {
    mproc_writer_get(r->w, *place);
    lua_pop(L, 1);
    return true;
  }
  if (lmp_typeof(L, -1) == LMP_INT)
    return save_int(r, place);
  b = lmp_tobuffer(L, -1);
  return b != NULL ? save_buffer(r, place, b) : lmp_pickle_reduced(r, place);
}

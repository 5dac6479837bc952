/*
** lpickle.c: pickle.dumps: its protocol, and the memory that it uses again.
*/
#include <string.h>

#include "binding/lpickle.h"

#define KEEP (1 << 20) /* bytes of memory kept from one call to the next */
#define PROTOCOL 4     /* what every Python from 3.4 on reads */

#define PICKLER "multiprocessing.pickler"

/* ---- the owner ---- */

static void free_frames(Pickler *p) {
  mproc_free(p->writer.allocator, p->frames, p->capacity * sizeof *p->frames);
  p->frames = NULL;
  p->capacity = 0;
}

static void free_memory(Pickler *p) {
  free_frames(p);
  mproc_memo_free(&p->memo, p->writer.allocator);
  mproc_memo_free(&p->strings, p->writer.allocator);
  mproc_writer_free(&p->writer, 0);
}

static int pickler_gc(lua_State *L) {
  Pickler *p = (Pickler *)luaL_checkudata(L, 1, PICKLER);
  free_memory(p);
  p->last = true; /* other finalizers may still use it */
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
  lua_setiuservalue(L, lua_upvalueindex(1), LMP_PICKLER);
  s->pickler = p;
  return p;
}

/*
** [-0, +1, m] Pushes the pickler, or a new one while another call uses it: from
** a __reduce, say. A call that raises an error leaves its own to the collector.
*/
static Pickler *borrow(lua_State *L, const lmp_State *s) {
  Pickler *p = s->pickler;
  if (p == NULL || p->busy)
    p = new_pickler(L);
  else
    lua_getiuservalue(L, lua_upvalueindex(1), LMP_PICKLER);
  p->busy = true;
  return p;
}

static void clear_memo(Pickler *p, mproc_memo *m) {
  if (m->capacity > KEEP / sizeof *m->slots)
    mproc_memo_free(m, p->writer.allocator);
  else
    mproc_memo_clear(m);
}

static void forget_known(Pickler *p) {
  if (p->knows)
    memset(p->known, 0, sizeof p->known);
  p->knows = false;
}

void lmp_pickle_forget_strings(Pickler *p) {
  mproc_memo_clear(&p->strings);
  forget_known(p);
}

static void give_back(Pickler *p) {
  mproc_writer_free(&p->writer, KEEP);
  clear_memo(p, &p->memo);
  clear_memo(p, &p->strings);
  forget_known(p);
  if (p->capacity > KEEP / sizeof *p->frames)
    free_frames(p);
  p->busy = false;
  if (p->last) /* nobody will finalize it again */
    free_memory(p);
}

/* ---- the function ---- */

/* [-0, +0, v] Checks the arguments; they are followed by nothing else then. */
static unsigned read_protocol(lua_State *L) {
  const int arguments = lua_gettop(L);
  lua_Integer protocol = PROTOCOL;
  if (arguments == VALUE)
    return PROTOCOL;
  luaL_checkany(L, VALUE);
  lua_settop(L, OPTIONS);
  if (lua_isnil(L, OPTIONS))
    return PROTOCOL;
  luaL_checktype(L, OPTIONS, LUA_TTABLE);
  lmp_checkkeys(L, OPTIONS, "protocol\0");
  lua_pushliteral(L, "protocol");
  if (lua_rawget(L, OPTIONS) != LUA_TNIL) {
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

/* Writes the value, with memos that are empty. */
static bool write_value(Run *r, unsigned protocol) {
  mproc_writer_begin(r->w, protocol);
  return lmp_pickle_walk(r);
}

/* Forgets all that was written, but not what __reduce has returned. */
static void forget(Run *r) {
  r->again = false;
  r->depth = 0;
  r->memoized = 0;
  mproc_memo_clear(&r->p->memo);
  lmp_pickle_forget_strings(r->p);
}

int lmp_dumps(lua_State *L) {
  Run r;
  mproc_view pickle;
  unsigned protocol;
  bool fine;
  memset(&r, 0, sizeof r);
  r.L = L;
  protocol = read_protocol(L);
  lua_settop(L, OWNER - 1);
  r.state = lmp_state(L);
  r.p = borrow(L, r.state);
  r.w = &r.p->writer;
  fine = write_value(&r, protocol);
  while (!fine && r.again) {
    lua_settop(L, BASE - 1);
    forget(&r);
    fine = write_value(&r, protocol);
  }
  if (!fine) {
    int results = lmp_pickle_refusal(&r);
    give_back(r.p);
    return results;
  }
  if (mproc_writer_end(r.w, &pickle) != MPROC_OK)
    return luaL_error(L, "not enough memory");
  lua_pushlstring(L, (const char *)pickle.data, pickle.size);
  give_back(r.p);
  return 1;
}

/*
** lkept.c: what connection.wait keeps from one call to the next. A program that
** waits for the same connections again and again gets a poller over them, so
** that the system is not asked about each one each time; what is left is to see
** that the list is the same.
**
** Kept are lists of connections only: these say when they end (core/watch.h), so
** an address in the list is the object it was as long as all are there.
*/
#include "binding/lmp.h"

#include <string.h>

/* Shorter lists are asked about as fast as compared. */
#define KEPT_MIN 32

struct lmp_Kept {
  mproc_poller *poller;
  size_t count;      /* objects in the list */
  bool *found;       /* which of them are ready */
  const void **list; /* lua_topointer of each */
};

static size_t kept_size(size_t count) {
  return sizeof(lmp_Kept) + count * (sizeof(const void *) + sizeof(bool));
}

void lmp_dropkept(lmp_State *s) {
  lmp_Kept *k = s->kept;
  s->kept = NULL;
  if (k != NULL) {
    mproc_poller_free(k->poller);
    mproc_free(&s->ctx.allocator, k, kept_size(k->count));
  }
}

/* A new one, for a list of 'count'; NULL: no memory, no descriptor, or pollers
   over poll(2), which save nothing. */
static lmp_Kept *new_kept(const mproc_allocator *a, size_t count) {
  lmp_Kept *k = (lmp_Kept *)mproc_alloc(a, kept_size(count));
  if (k == NULL)
    return NULL;
  if (mproc_poller_new(a, &k->poller) != MPROC_OK) {
    mproc_free(a, k, kept_size(count));
    return NULL;
  }
  if (mproc_poller_handle(k->poller) == MPROC_NO_HANDLE) {
    mproc_poller_free(k->poller);
    mproc_free(a, k, kept_size(count));
    return NULL;
  }
  k->count = count;
  k->list = (const void **)(void *)(k + 1);
  k->found = (bool *)(void *)(k->list + count);
  return k;
}

/* [-0, +0, -] Adds the object at 'idx' as number 'i'; false: it cannot be kept. */
static bool keep(lua_State *L, lmp_Kept *k, size_t i, int idx) {
  mproc_polled *e;
  lmp_Connection *c = lmp_toconnection(L, idx);
  if (c == NULL || c->core == NULL || !c->may_read)
    return false;
  if (mproc_poller_has_connection(k->poller, c->core))
    return false; /* it is to be told of twice */
  k->list[i] = lua_topointer(L, idx);
  return mproc_poller_add_connection(k->poller, c->core, (int64_t)i, &e) ==
         MPROC_OK;
}

/* [-0, +0, -] Keeps the list at 'list'; false: it cannot be kept. */
static bool keep_list(lua_State *L, int list, size_t count) {
  lmp_State *s = lmp_state(L);
  lmp_Kept *k;
  bool kept = true;
  lmp_dropkept(s);
  k = new_kept(&s->ctx.allocator, count);
  s->kept = k;
  if (k == NULL)
    return false;
  for (size_t i = 0; i < count && kept; i++) {
    lua_rawgeti(L, list, (lua_Integer)i + 1);
    kept = keep(L, k, i, -1);
    lua_pop(L, 1);
  }
  if (!kept)
    lmp_dropkept(s);
  return kept;
}

/* [-0, +0, -] Whether the list is the one that is kept, object by object. */
static bool is_same(lua_State *L, int list, const lmp_Kept *k) {
  enum { BATCH = 16 }; /* fewer calls; within LUA_MINSTACK */
  if (lua_rawlen(L, list) != k->count ||
      mproc_poller_count(k->poller) != k->count) /* or one has ended */
    return false;
  for (size_t i = 0; i < k->count;) {
    size_t n = k->count - i < BATCH ? k->count - i : BATCH;
    bool same = true;
    for (size_t j = 0; j < n; j++)
      lua_rawgeti(L, list, (lua_Integer)(i + j) + 1);
    for (size_t j = 0; j < n; j++)
      same = same && lua_touserdata(L, (int)j - (int)n) == k->list[i + j];
    lua_pop(L, (int)n);
    if (!same)
      return false;
    i += n;
  }
  return true;
}

void lmp_noticelist(lua_State *L, int list, size_t count, uint64_t digest) {
  lmp_State *s = lmp_state(L);
  if (digest != s->last_list) {
    s->last_list = digest;
    s->last_list_failed = false;
    return;
  }
  /* building it costs more than one wait gains: not each time in vain, nor anew
     where more are ready than a poller tells of at once */
  if (count < KEPT_MIN || s->ctx.slow || s->has_waiter || s->last_list_failed ||
      (s->kept != NULL && is_same(L, list, s->kept)))
    return;
  s->last_list_failed = !keep_list(L, list, count);
}

/*
** [-0, +0, -] Puts those that are ready into the table on the top, in the order
** of the list. Returns how many.
*/
static lua_Integer collect(lua_State *L, int list, lmp_Kept *k) {
  lua_Integer n = 0;
  size_t first = k->count;
  size_t last = 0;
  int64_t id;
  memset(k->found, 0, k->count); /* an error may have left some */
  while (mproc_poller_take(k->poller, &id)) {
    size_t i = (size_t)id;
    k->found[i] = true;
    first = i < first ? i : first;
    last = i + 1 > last ? i + 1 : last;
  }
  for (size_t i = first; i < last; i++) {
    if (k->found[i]) {
      lua_rawgeti(L, list, (lua_Integer)i + 1);
      lua_rawseti(L, -2, ++n);
    }
  }
  return n;
}

/* [-0, +0, -] Looks, where the list is the one that is kept; NULL: it is not, or
   that does not say it all. */
static lmp_Kept *look(lua_State *L, int list, const lmp_Wait *w) {
  lmp_State *s = lmp_state(L);
  lmp_Kept *k = s->kept;
  mproc_time deadline = w->may_wait && !w->expired ? w->deadline : 0;
  if (k == NULL || !is_same(L, list, k))
    return NULL;
  if (mproc_poller_look(k->poller, w->waited, deadline) != MPROC_OK) {
    lmp_dropkept(s);
    return NULL;
  }
  return mproc_poller_is_full(k->poller) ? NULL : k;
}

lmp_KeptAnswer lmp_askkept(lua_State *L, int list, lmp_Wait *w) {
  const lmp_State *s = lmp_state(L);
  lmp_Kept *k;
  /* a loop of the program would wait for a handle that others, who wait for
     another list, may close */
  if (s->kept == NULL || s->has_waiter)
    return LMP_NOT_KEPT;
  /* first: what it may finalize may drop what is kept */
  lua_createtable(L, 1, 0);
  k = look(L, list, w);
  if (k == NULL) {
    lua_pop(L, 1);
    return LMP_NOT_KEPT;
  }
  if (collect(L, list, k) > 0 || w->expired)
    return LMP_KEPT_READY;
  lua_pop(L, 1);
  w->items = &w->one;
  w->scratch = NULL;
  w->count = mproc_poller_want(k->poller, &w->one, 1);
  w->wake = mproc_poller_wake(k->poller);
  return LMP_KEPT_WAIT;
}

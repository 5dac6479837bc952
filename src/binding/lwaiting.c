/*
** lwaiting.c: a Waiting: what an operation waits for in an event loop of the
** program, instead of in the system.
**
** It keeps the operation while its coroutine sleeps. The loop knows one handle
** of it, whatever the operation waits for: where that is many, they are in a set
** of the system's, whose handle it is.
*/
#include "binding/lmp.h"

#include <string.h>

#define ANCHOR 1 /* user value: the connection whose 'waits' it counts in */

/* Where 'many', followed by the items, 'op.w.count' of them. */
typedef struct lmp_Waiting {
  lmp_Operation op;
  mproc_pollitem item;  /* what the program's loop waits for */
  mproc_time until;     /* and no longer than that */
  mproc_pollset *set;   /* NULL: 'item' is what the operation waits for */
  lmp_Connection *conn; /* that it is counted in; NULL: none */
  bool many;            /* it has a copy of the items, for a set */
  bool alone;           /* 'op.w.items' was its own 'one', wherever that was */
  struct lmp_Waiting *next;
  struct lmp_Waiting **link; /* what points here in the list of those with a
                                set, or of those without; NULL: in neither */
} lmp_Waiting;

static lmp_Waiting *to_waiting(lua_State *L, int idx) {
  const void *mt = lmp_metatable(L, idx);
  if (mt == NULL || mt != lmp_state(L)->waiting_mt)
    return NULL;
  return (lmp_Waiting *)lua_touserdata(L, idx);
}

static lmp_Waiting *check_waiting(lua_State *L) {
  lmp_Waiting *w = to_waiting(L, 1);
  if (w == NULL)
    luaL_typeerror(L, 1, "Waiting");
  return w;
}

/* ---- many handles in one ---- */

/* A loop is asked to wait for one handle, and to read from it or to write. */
static bool is_single(const lmp_Wait *w) {
  const uint8_t both = MPROC_READ | MPROC_WRITE;
  return w->count == 1 && w->items[0].events != both;
}

/* Whether a call on another object than a connection waits for 'h' itself. */
static bool is_taken(const lmp_State *s, mproc_handle h) {
  for (const lmp_Waiting *w = s->singles; w != NULL; w = w->next) {
    if (w->item.handle == h)
      return true;
  }
  return false;
}

/*
** A handle is shown to a loop by one of those that wait for it, in a method of
** its object: where several do, and it is closed, cqueues asks the system for it
** again when it has resumed the first.
*/
static bool wants_set(lua_State *L, const lmp_Wait *w) {
  const lmp_Connection *c;
  if (!is_single(w))
    return w->count > 0;
  if (w->items[0].handle == MPROC_NO_HANDLE)
    return false;
  c = lmp_toconnection(L, 1);
  if (c != NULL)
    return c->waits > 0;
  return lua_type(L, 1) != LUA_TUSERDATA || /* connection.wait */
         is_taken(lmp_state(L), w->items[0].handle);
}

static mproc_pollitem *items_of(lmp_Waiting *w) {
  return (mproc_pollitem *)(void *)(w + 1);
}

/* What all items together want of the handle of item 'i'. */
static uint8_t events_of(const mproc_pollitem *items, size_t count, size_t i) {
  uint8_t events = items[i].events;
  if (events & MPROC_WRITE) /* rare: most items want to read only */
    for (size_t k = 0; k < count; k++)
      if (items[k].handle == items[i].handle)
        events |= items[k].events;
  return events;
}

/* Puts the items that want to write, or those that do not, into the set. */
static void watch(lmp_Waiting *w, bool writers) {
  const mproc_pollitem *items = items_of(w);
  for (size_t i = 0; i < w->op.w.count; i++) {
    bool writes = (items[i].events & MPROC_WRITE) != 0;
    if (writes != writers || items[i].handle == MPROC_NO_HANDLE)
      continue;
    if (mproc_pollset_set(w->set, items[i].handle,
                          events_of(items, w->op.w.count, i), 1) != MPROC_OK)
      mproc_pollset_signal(w->set, true); /* as mproc_os_poll: it is ready */
  }
}

static void enlist(lmp_Waiting *w, lmp_Waiting **list) {
  w->next = *list;
  w->link = list;
  if (w->next != NULL)
    w->next->link = &w->next;
  *list = w;
}

/* Makes the set of what 'w' waits for, and its handle what to wait for. */
static void make_set(lua_State *L, lmp_Waiting *w) {
  lmp_State *s = lmp_state(L);
  const mproc_pollitem set = {MPROC_NO_HANDLE, MPROC_READ, 0};
  w->item = set;
  if (mproc_pollset_new(&s->ctx.allocator, &w->set) == MPROC_OK)
    w->item.handle = mproc_pollset_handle(w->set);
  if (w->item.handle == MPROC_NO_HANDLE && is_single(&w->op.w)) {
    w->item = *items_of(w);
    return;
  }
  if (w->item.handle == MPROC_NO_HANDLE) {
    w->until = mproc_deadline_min(w->until, mproc_os_now() + LMP_BLIND_PAUSE);
    return;
  }
  /* writers second: for a handle of both kinds theirs say it all */
  watch(w, false);
  watch(w, true);
  enlist(w, &s->sets);
}

/* ---- the Waiting ---- */

/* [-0, +1, m] Pushes a new one, which waits for nothing yet. */
static lmp_Waiting *new_waiting(lua_State *L, const lmp_Operation *op) {
  bool many = wants_set(L, &op->w);
  size_t size = many ? op->w.count * sizeof(mproc_pollitem) : 0;
  const mproc_pollitem nothing = {MPROC_NO_HANDLE, 0, 0};
  lmp_Waiting *w =
      (lmp_Waiting *)lua_newuserdatauv(L, sizeof *w + size, ANCHOR);
  w->op = *op;
  w->alone = op->w.items == &op->w.one;
  w->item = nothing;
  w->until = mproc_deadline_min(op->deadline, op->w.wake);
  w->many = many;
  w->set = NULL;
  w->conn = NULL;
  w->next = NULL;
  w->link = NULL;
  if (many)
    memcpy(items_of(w), op->w.items, size);
  luaL_setmetatable(L, LMP_WAITING);
  return w;
}

/* [-0, +0, -] Notes in the connection at index 1 that its handle is waited
   for. The Waiting is on the top. */
static void count_in(lua_State *L, lmp_Waiting *w) {
  lmp_Connection *c = lmp_toconnection(L, 1);
  if (c == NULL)
    return;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, ANCHOR);
  w->conn = c;
  if (c->waits++ == 0 && c->core != NULL)
    mproc_connection_reserve(c->core, true);
}

static void begin(lua_State *L, lmp_Waiting *w) {
  const lmp_Wait *wait = &w->op.w;
  if (w->many)
    make_set(L, w);
  else if (wait->count == 1)
    w->item = wait->items[0];
  if (w->item.handle == MPROC_NO_HANDLE)
    w->item.events = MPROC_READ; /* there is only time to wait for */
  else if (wait->count == 1)
    count_in(L, w);
  if (w->item.handle != MPROC_NO_HANDLE && w->conn == NULL && w->link == NULL)
    enlist(w, &lmp_state(L)->singles);
}

/* It waits no longer; again does nothing. */
static void end(lmp_Waiting *w) {
  if (w->conn != NULL && --w->conn->waits == 0 && w->conn->core != NULL)
    mproc_connection_reserve(w->conn->core, false);
  w->conn = NULL;
  if (w->link != NULL) {
    *w->link = w->next;
    if (w->next != NULL)
      w->next->link = w->link;
  }
  w->link = NULL;
  mproc_pollset_free(w->set);
  w->set = NULL;
  w->item.handle = MPROC_NO_HANDLE;
  w->until = 0;
}

bool lmp_towaiting(lua_State *L, int idx, mproc_pollitem *item,
                   mproc_time *until) {
  const lmp_Waiting *w = to_waiting(L, idx);
  if (w == NULL)
    return false;
  *item = w->item;
  *until = w->until;
  return true;
}

/* One or the other: what waits for both has a set, which is read. */
static const char *mode_of(const lmp_Waiting *w) {
  return w->item.events & MPROC_WRITE ? "w" : "r";
}

static int waiting_fileno(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_waiting(L)->item.handle);
  return 1;
}

static int waiting_events(lua_State *L) {
  lua_pushstring(L, mode_of(check_waiting(L)));
  return 1;
}

static int waiting_timeout(lua_State *L) {
  lmp_pushleft(L, check_waiting(L)->until);
  return 1;
}

static int waiting_tostring(lua_State *L) {
  const lmp_Waiting *w = check_waiting(L);
  lua_pushfstring(L, LMP_WAITING " (descriptor %d, \"%s\")",
                  (int)w->item.handle, mode_of(w));
  return 1;
}

static int waiting_gc(lua_State *L) {
  lmp_Waiting *w = to_waiting(L, 1);
  if (w != NULL)
    end(w);
  return 0;
}

/* Its only __index: the methods (upvalue 2). */
static int waiting_index(lua_State *L) {
  lua_settop(L, 2);
  lua_rawget(L, lua_upvalueindex(2));
  return 1;
}

/* ---- asking the waiter ---- */

/*
** Something was closed after 'op' had looked: before 'w' was there for others to
** find. It has nothing to wait for, and the next step sees what it was.
*/
static void give_up(lmp_Waiting *w) {
  end(w);
  w->item.events = MPROC_READ;
}

int lmp_pushwaiting(lua_State *L, const lmp_Operation *op, unsigned cancels) {
  lmp_Waiting *w;
  int place;
  luaL_checkstack(L, 8, NULL);
  w = new_waiting(L, op);
  place = lua_gettop(L);
  begin(L, w);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lmp_state(L)->waiter_wait);
  lua_pushvalue(L, place);
  lua_pushstring(L, mode_of(w));
  if (lmp_state(L)->cancels != cancels) { /* by a hook or a finalizer */
    give_up(w);
    lua_pop(L, 1);
    lua_pushstring(L, mode_of(w));
  }
  lmp_pushleft(L, w->until);
  return place;
}

bool lmp_popwaiting(lua_State *L, int idx, lmp_Operation *op) {
  lmp_Waiting *w = (lmp_Waiting *)lua_touserdata(L, idx);
  bool declined = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
  *op = w->op;
  if (w->alone)
    op->w.items = &op->w.one; /* where it is now */
  op->w.polled = false;
  op->w.woken = true;
  op->w.waited = true;
  if (w->set != NULL && w->item.handle == mproc_pollset_handle(w->set) &&
      w->item.handle != MPROC_NO_HANDLE)
    lmp_cancelwaits(L, w->item.handle); /* it is about to be closed */
  end(w);
  lua_settop(L, idx - 1);
  return !declined;
}

/* [-1, +0, -] Tells of an error, on the top, where none can be raised. */
static void warn(lua_State *L) {
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
  lua_warning(L, "error in the waiter's cancel (", 1);
  lua_warning(L, text, 1);
  lua_warning(L, ")", 0);
  lua_pop(L, 1);
}

/* Wakes those that wait for 'h' among others. */
static void signal_sets(const lmp_State *s, mproc_handle h) {
  for (lmp_Waiting *w = s->sets; w != NULL; w = w->next) {
    const mproc_pollitem *items = items_of(w);
    for (size_t i = 0; i < w->op.w.count; i++) {
      if (items[i].handle == h) {
        mproc_pollset_signal(w->set, true);
        break;
      }
    }
  }
}

void lmp_cancelwaits(lua_State *L, mproc_handle h) {
  lmp_State *s = lmp_state(L);
  s->cancels++; /* also for a poller over poll(2), which has no handle */
  if (h == MPROC_NO_HANDLE)
    return;
  signal_sets(s, h);
  if (!s->has_waiter)
    return;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &s->waiter_cancel) == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pushinteger(L, (lua_Integer)h);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK)
    warn(L);
}

/* ---- the tables ---- */

/* clang-format off */
static const luaL_Reg methods[] = {
  {"events", waiting_events},
  {"fileno", waiting_fileno},
  {"getfd", waiting_fileno},
  {"pollfd", waiting_fileno},
  {"timeout", waiting_timeout},
  {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
  {"__gc", waiting_gc},
  {"__tostring", waiting_tostring},
  {NULL, NULL},
};
/* clang-format on */

void lmp_openwaiting(lua_State *L) {
  lmp_newtype(L, LMP_WAITING, methods, metamethods, waiting_index,
              &lmp_state(L)->waiting_mt);
  lua_pop(L, 1);
}

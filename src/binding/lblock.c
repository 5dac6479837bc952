/*
** lblock.c: the one place of the binding that blocks.
**
** An operation is a step that is tried, and waited for, and tried again. All
** its state is on the Lua stack or in its objects, never in C locals, so this
** loop may be left by an error at any wait without losing anything, and by a
** yield, after which it begins anew (resume).
*/
#include "binding/lmp.h"

#include <string.h>

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

static bool is_hooked(lua_State *L, lua_State *main) {
  return lua_gethook(main) != NULL || (main != L && lua_gethook(L) != NULL);
}

bool lmp_ishooked(lua_State *L, const lmp_Wait *w) {
  return is_hooked(L, w->state->main);
}

/*
** [-0, +0, e] Lets a pending hook run, if there is one. Ctrl-C in the stock
** interpreter sets a hook on the main thread (lua.c, laction), which raises
** "interrupted!" at the next call there: so make one. In a coroutine that hook
** would not run before we are back in the main thread: one that has appeared since
** the operation began ('before') is moved here. A debugger's, which was there
** before, is not.
*/
static void checkpoint(lua_State *L, lua_State *main, lua_Hook before) {
  lua_Hook now;
  if (!is_hooked(L, main))
    return;
  now = lua_gethook(main);
  if (main != L && now != before && now != NULL) {
    int mask = lua_gethookmask(main);
    int count = lua_gethookcount(main);
    lua_sethook(main, NULL, 0, 0);
    lua_sethook(L, now, mask, count);
  }
  lua_pushcfunction(L, nothing);
  lua_call(L, 0, 0);
}

/* Whether the hook there is lua.c's for Ctrl-C: by what it asks for. */
static bool is_interrupt(lua_State *main) {
  const int all = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;
  return lua_gethookmask(main) == all && lua_gethookcount(main) == 1;
}

static mproc_status wait_once(lmp_Wait *w, mproc_time deadline) {
  mproc_status st;
  deadline = mproc_deadline_min(deadline, w->wake);
  st = mproc_os_poll(w->items, w->count, deadline, w->scratch);
  w->polled = st == MPROC_OK;
  w->woken = false;
  w->waited = true;
  return st;
}

/*
** Whether to try at once again, as a step that gave AGAIN has said: until that
** time is over.
*/
static bool spins(lmp_Wait *w) {
  mproc_time now;
  if (w->spun || w->spin <= 0)
    return false;
  now = mproc_os_now();
  if (w->spin_end == 0)
    w->spin_end = mproc_deadline_after(now, w->spin);
  w->spun = now >= w->spin_end;
  return !w->spun;
}

static int resume(lua_State *L, int status, lua_KContext waiting);

/* [-0, +0, e] Has the waiter wait, which may yield; false: it declined.
   'cancels': what lmp_State had before the last step. */
static bool ask(lua_State *L, lmp_Operation *op, unsigned cancels) {
  int waiting = lmp_pushwaiting(L, op, cancels);
  lua_callk(L, 3, 1, (lua_KContext)waiting, resume);
  return lmp_popwaiting(L, waiting, op);
}

/* [-0, +n, e] Goes on; 'block': with a wait for what the last step said. */
static int run(lua_State *L, lmp_Operation *op, bool block) {
  lmp_State *s = op->w.state;
  lua_State *main = s->main;
  lua_Hook before = lua_gethook(main);
  if (before != NULL && is_interrupt(main))
    before = NULL;
  for (unsigned turn = 0;; turn++) {
    unsigned cancels;
    int results;
    if (block) {
      mproc_status st = wait_once(&op->w, op->deadline);
      if (st == MPROC_INTERRUPTED)
        checkpoint(L, main, before);
      else if (st != MPROC_OK && st != MPROC_AGAIN)
        return lmp_pushfailure(L, st, "waiting", NULL);
    }
    block = false;
    /* not while a loop of the program is to do all waiting */
    op->w.may_wait = !s->has_waiter;
    if (op->w.may_wait) { /* as before any other wait */
      checkpoint(L, main, before);
      mproc_process_sweep(&s->ctx);
    }
    cancels = s->cancels;
    results = op->step(L, &op->w);
    if (results != LMP_AGAIN)
      return results;
    if (op->deadline != MPROC_NEVER && mproc_os_now() >= op->deadline) {
      op->w.polled = false;
      op->w.expired = true;
      continue;
    }
    if (op->w.may_wait && spins(&op->w)) {
      mproc_os_relax(turn);
      continue;
    }
    checkpoint(L, main, before);
    mproc_process_sweep(&s->ctx);
    block = !s->has_waiter || !ask(L, op, cancels);
  }
}

/* What follows 'ask' when the waiter has yielded: of C nothing else is left. */
static int resume(lua_State *L, int status, lua_KContext waiting) {
  lmp_Operation op;
  bool answered = lmp_popwaiting(L, (int)waiting, &op);
  (void)status;
  return run(L, &op, !answered);
}

/* An operation whose step has not been tried yet. */
static lmp_Operation operation(lua_State *L, lmp_Step step,
                               mproc_time deadline) {
  lmp_Operation op;
  memset(&op, 0, sizeof op);
  op.w.state = lmp_state(L);
  op.step = step;
  op.deadline = op.w.deadline = deadline;
  op.w.expired = deadline <= 0;
  op.w.one.handle = MPROC_NO_HANDLE;
  op.w.wake = MPROC_NEVER;
  return op;
}

int lmp_block(lua_State *L, lmp_Step step, mproc_time deadline) {
  lmp_Operation op = operation(L, step, deadline);
  return run(L, &op, false);
}

int lmp_try(lua_State *L, lmp_Step step) {
  lmp_Operation op = operation(L, step, 1);
  int results;
  op.w.waited = true; /* in that loop */
  results = step(L, &op.w);
  return results == LMP_AGAIN ? 0 : results;
}

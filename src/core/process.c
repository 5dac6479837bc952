/*
** process.c: the life of a child process, from its start to its exit status.
*/
#include "core/process.h"

/* How often to look where the sentinel does not tell exactly. */
#define PAUSE (MPROC_SECOND / 50)

struct mproc_process {
  mproc_context *ctx;
  mproc_process *next; /* of the context's orphans */
  mproc_child child;
  int64_t owner;       /* the process that started it */
  mproc_status status; /* mproc_process_poll's; final but for AGAIN */
  int exitcode;
};

/* ---- starting ---- */

/* Gives the child its end of a new pair, and adopts ours. */
static mproc_status start(mproc_process *p, const mproc_program *what,
                          const mproc_connection_options *o,
                          mproc_connection **c, mproc_spawn_step *failed) {
  mproc_connection *ours = NULL;
  mproc_handle h[2];
  mproc_status st = mproc_os_socketpair(h);
  if (st != MPROC_OK)
    return st;
  st = mproc_connection_adopt(p->ctx, h[0], o, &ours);
  if (st != MPROC_OK)
    mproc_os_close(h[0]);
  else
    st = mproc_os_spawn(&p->ctx->allocator, what, h[1], &p->child, failed);
  mproc_os_close(h[1]);
  if (st != MPROC_OK) {
    mproc_connection_free(ours);
    return st;
  }
  *c = ours;
  return MPROC_OK;
}

mproc_status mproc_process_spawn(mproc_context *ctx, const mproc_program *what,
                                 const mproc_connection_options *o,
                                 mproc_process **p, mproc_connection **c,
                                 mproc_spawn_step *failed) {
  mproc_process *fresh;
  mproc_status st;
  *failed = MPROC_SPAWN_PROCESS;
  mproc_process_sweep(ctx); /* there may be a limit on processes */
  fresh = (mproc_process *)mproc_alloc(&ctx->allocator, sizeof *fresh);
  if (fresh == NULL)
    return MPROC_NOMEM;
  fresh->ctx = ctx;
  fresh->owner = mproc_os_pid();
  fresh->status = MPROC_AGAIN;
  st = start(fresh, what, o, c, failed);
  if (st != MPROC_OK) {
    mproc_free(&ctx->allocator, fresh, sizeof *fresh);
    return st;
  }
  *p = fresh;
  return MPROC_OK;
}

/* ---- while it runs, and after ---- */

int64_t mproc_process_pid(const mproc_process *p) {
  return p->child.pid;
}

bool mproc_process_is_ours(const mproc_process *p) {
  return p->owner == mproc_os_pid();
}

mproc_handle mproc_process_sentinel(const mproc_process *p) {
  return p->child.sentinel;
}

mproc_status mproc_process_known(const mproc_process *p, int *exitcode) {
  if (p->status == MPROC_OK)
    *exitcode = p->exitcode;
  return p->status;
}

mproc_status mproc_process_poll(mproc_process *p, int *exitcode) {
  if (p->status == MPROC_AGAIN)
    p->status = mproc_os_reap(&p->child, &p->exitcode);
  return mproc_process_known(p, exitcode);
}

void mproc_process_want(const mproc_process *p, bool polled,
                        mproc_pollitem *item, mproc_time *wake) {
  item->handle = polled ? MPROC_NO_HANDLE : p->child.sentinel;
  item->events = MPROC_READ;
  item->ready = 0;
  *wake = MPROC_NEVER;
  if (polled || !p->child.is_pidfd)
    *wake = mproc_os_now() + PAUSE;
}

mproc_status mproc_process_signal(mproc_process *p, bool kill) {
  int exitcode;
  if (mproc_process_poll(p, &exitcode) != MPROC_AGAIN)
    return MPROC_OK; /* its pid may be another's by now */
  return mproc_os_signal(&p->child, kill);
}

/* ---- its end ---- */

/* From now on it is known by its pid alone. */
void mproc_process_close(mproc_process *p) {
  mproc_handle h = p->child.sentinel;
  p->child.sentinel = MPROC_NO_HANDLE;
  p->child.is_pidfd = false;
  if (h != MPROC_NO_HANDLE)
    mproc_os_close(h);
}

static void discard(mproc_process *p) {
  mproc_free(&p->ctx->allocator, p, sizeof *p);
}

/* Whether there is a status to be taken still. */
static bool is_running(mproc_process *p) {
  int exitcode;
  return mproc_process_is_ours(p) &&
         mproc_process_poll(p, &exitcode) == MPROC_AGAIN;
}

void mproc_process_free(mproc_process *p) {
  bool running;
  if (p == NULL)
    return;
  running = is_running(p);
  mproc_process_close(p);
  if (running) {
    p->next = p->ctx->orphans;
    p->ctx->orphans = p;
  } else {
    discard(p);
  }
}

void mproc_process_sweep(mproc_context *ctx) {
  mproc_process **link = &ctx->orphans;
  while (*link != NULL) {
    mproc_process *p = *link;
    if (is_running(p)) {
      link = &p->next;
    } else {
      *link = p->next;
      discard(p);
    }
  }
}

void mproc_process_forget(mproc_context *ctx) {
  mproc_process_sweep(ctx);
  while (ctx->orphans != NULL) {
    mproc_process *p = ctx->orphans;
    ctx->orphans = p->next;
    discard(p);
  }
}

/*
** process.h: a program that we started with one end of a socket pair, and what
** becomes of it.
**
** Nothing here blocks. A process whose owner has lost interest and that still
** runs is an orphan of the context until it ends, so that it never stays behind
** as a zombie.
*/
#ifndef MPROC_PROCESS_H
#define MPROC_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/connection.h"
#include "core/context.h"
#include "core/deadline.h"
#include "core/platform.h"
#include "core/status.h"

typedef struct mproc_process mproc_process;

/*
** Starts a program, as mproc_os_spawn does. OK: '*p' and the connection to it,
** '*c', are the caller's, and 'ctx' must outlive them. Other: '*failed' says
** what could not be done, and neither is there.
*/
mproc_status mproc_process_spawn(mproc_context *ctx, const mproc_program *what,
                                 const mproc_connection_options *o,
                                 mproc_process **p, mproc_connection **c,
                                 mproc_spawn_step *failed);

/* Its id, which is the system's again once mproc_process_poll has said OK. */
int64_t mproc_process_pid(const mproc_process *p);

/*
** Whether this process has started it. The rest is for its owner only: a child
** of fork(2) has a copy and no such child.
*/
bool mproc_process_is_ours(const mproc_process *p);

/* Readable once it has ended, still its own; MPROC_NO_HANDLE: closed. */
mproc_handle mproc_process_sentinel(const mproc_process *p);

/*
** OK: it has ended, and '*exitcode' is its exit status, or the negative number
** of the signal that ended it. AGAIN: it runs. A system error (ECHILD): it has
** ended, and somebody else has taken its exit status, or SIGCHLD is ignored.
** What has ended stays so, with the same answer.
*/
mproc_status mproc_process_poll(mproc_process *p, int *exitcode);

/* The answer of mproc_process_poll when it was last called; before: AGAIN. */
mproc_status mproc_process_known(const mproc_process *p, int *exitcode);

/*
** What to wait for after AGAIN. '*wake': when to call again in any case, which
** is soon if 'polled', if the item has been ready already.
*/
void mproc_process_want(const mproc_process *p, bool polled,
                        mproc_pollitem *item, mproc_time *wake);

/* SIGTERM, or SIGKILL. OK also where it has ended: nothing is sent then. */
mproc_status mproc_process_signal(mproc_process *p, bool kill);

/* Closes the sentinel; without it only a process that has ended is of use. */
void mproc_process_close(mproc_process *p);

/*
** Ends the interest in it, closes its sentinel, and frees it; NULL is fine. If
** it runs, then the context keeps it until mproc_process_sweep finds its end.
*/
void mproc_process_free(mproc_process *p);

/* Takes the exit status of each orphan that has ended. */
void mproc_process_sweep(mproc_context *ctx);

/* The last sweep: orphans that still run are forgotten. */
void mproc_process_forget(mproc_context *ctx);

#endif

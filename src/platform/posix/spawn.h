/*
** spawn.h: what the files share that start a process: spawn.c, program.c and
** child.c, and sentinel.c.
*/
#ifndef MPROC_POSIX_SPAWN_H
#define MPROC_POSIX_SPAWN_H

#include "platform/posix/posix.h"

#include <signal.h>

#define MPROC_POSIX_PARENT "MULTIPROCESSING_CONNECTION_FD"

/* The descriptor that a program has its connection as: the first that is free,
   and a single digit, which is all that dash(1) can redirect. */
#define MPROC_POSIX_CHANNEL 3

/* What is made of a program before the fork, after which nothing can be. */
typedef struct mproc_posix_image {
  char **paths; /* of the program, to be tried in this order; ends with NULL */
  char **envp;  /* ends with NULL */
  void *block;  /* that holds both */
  size_t size;
} mproc_posix_image;

/* program.c. Into '*image'; OK or NOMEM. */
mproc_status mproc_posix_image_make(const mproc_allocator *a,
                                    const mproc_program *what,
                                    mproc_posix_image *image);
void mproc_posix_image_free(const mproc_allocator *a, mproc_posix_image *image);

/* What the child tells the parent of its failure. */
typedef struct mproc_posix_report {
  int os_errno;
  mproc_spawn_step failed;
} mproc_posix_report;

/* All that the child needs; its descriptors are close-on-exec. */
typedef struct mproc_posix_start {
  const mproc_program *what;
  const mproc_posix_image *image;
  int channel;   /* to become MPROC_POSIX_CHANNEL */
  int lifeline;  /* above that, to be passed; -1: none */
  int report;    /* above that; where a mproc_posix_report goes */
  sigset_t mask; /* the program's; all signals are blocked now */
} mproc_posix_start;

/*
** child.c. Runs in the child, to its end or that of the program. It
** does only what signal-safety(7) allows.
*/
_Noreturn void mproc_posix_run(const mproc_posix_start *s);

/* sentinel.c. pidfd_open(2); ENOSYS where there is none. */
int mproc_posix_pidfd(pid_t pid);

#endif

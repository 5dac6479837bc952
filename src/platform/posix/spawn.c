/*
** spawn.c: the parent's side of starting a program: what has to be ready before
** fork(2), and how the child's failure comes back: over a pipe that closes by
** itself once the program runs.
*/
#include "platform/posix/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The descriptors of one start; -1: none. */
typedef struct Ends {
  int report[2];   /* the child's failure: read, write */
  int lifeline[2]; /* a sentinel without pidfd: read, write */
} Ends;

static void close_end(int *fd) {
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

static void close_ends(Ends *e) {
  close_end(&e->report[0]);
  close_end(&e->report[1]);
  close_end(&e->lifeline[0]);
  close_end(&e->lifeline[1]);
}

/* Moves it to where nothing overwrites it in the child. False: errno tells. */
static bool move_up(int *fd) {
  int low = *fd, saved;
  if (low > MPROC_POSIX_CHANNEL)
    return true;
  *fd = fcntl(low, F_DUPFD_CLOEXEC, MPROC_POSIX_CHANNEL + 1);
  saved = errno;
  close(low);
  errno = saved;
  return *fd >= 0;
}

static bool open_pipe(int fd[2]) {
  if (mproc_posix_pipe(fd) != 0)
    return false;
  return move_up(&fd[0]) && move_up(&fd[1]);
}

/* Whether the system has pidfds, and lets us have one. */
static bool has_pidfd(void) {
  int fd = mproc_posix_pidfd(getpid());
  if (fd < 0) /* or it has no room, which will show */
    return errno == EMFILE || errno == ENFILE || errno == ENOMEM;
  close(fd);
  return true;
}

/* Errno tells of false; close_ends is due in any case. */
static bool open_ends(Ends *e) {
  return open_pipe(e->report) && (has_pidfd() || open_pipe(e->lifeline));
}

/*
** Linux's vfork(2) copies no page tables, which takes long where the parent is
** large. The child has the parent's memory while this thread stands still; what
** it does with it, child.c, is less than that allows: it calls, and never comes
** back to here.
*/
#if defined __linux__ && !defined MPROC_POSIX_FALLBACKS
#define FORK vfork
#else
#define FORK fork
#endif

/* A fork, with all signals blocked: no handler runs in the child. */
static pid_t fork_quietly(mproc_posix_start *s) {
  sigset_t all;
  pid_t pid;
  int saved;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &s->mask);
  pid = FORK();
  saved = errno;
  if (pid == 0)
    mproc_posix_run(s);
  pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
  errno = saved;
  return pid;
}

/*
** Sets the child's sentinel. 'report' is closed but for its reading end: there
** is room for the pidfd. Should the child have ended and been reaped by others
** (SIGCHLD is ignored), then the end of 'report' is what has ended, too.
*/
static mproc_status open_sentinel(Ends *e, mproc_child *child) {
  int *end = &e->lifeline[0];
  child->is_pidfd = e->lifeline[0] < 0;
  if (child->is_pidfd) {
    int fd = mproc_posix_pidfd((pid_t)child->pid);
    int saved = errno;
    if (fd < 0 && saved != ESRCH)
      return mproc_status_system(saved);
    child->sentinel = fd;
    child->is_pidfd = fd >= 0;
    if (fd >= 0)
      return MPROC_OK;
    end = &e->report[0];
  }
  child->sentinel = *end;
  *end = -1;
  return MPROC_OK;
}

/* Waits until the program runs, which closes the pipe, or the child says why
   it does not. */
static mproc_status read_report(int fd, mproc_spawn_step *failed) {
  mproc_posix_report r;
  ssize_t got;
  do {
    got = read(fd, &r, sizeof r);
  } while (got < 0 && errno == EINTR);
  if (got != (ssize_t)sizeof r)
    return MPROC_OK;
  *failed = r.failed;
  return mproc_status_system(r.os_errno);
}

/* Waits for a child that is about to end. */
static void bury(pid_t pid) {
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    continue;
}

/* The parent's side, after the fork. */
static mproc_status follow(Ends *e, mproc_child *child,
                           mproc_spawn_step *failed) {
  mproc_status st;
  close_end(&e->report[1]);
  close_end(&e->lifeline[1]);
  st = read_report(e->report[0], failed);
  if (st == MPROC_OK) {
    st = open_sentinel(e, child);
    if (st != MPROC_OK)
      kill((pid_t)child->pid, SIGKILL);
  }
  if (st != MPROC_OK)
    bury((pid_t)child->pid);
  return st;
}

static mproc_status start(mproc_posix_start *s, Ends *e, mproc_child *child,
                          mproc_spawn_step *failed) {
  pid_t pid = fork_quietly(s);
  if (pid < 0)
    return mproc_posix_error();
  child->pid = pid;
  return follow(e, child, failed);
}

mproc_status mproc_os_spawn(const mproc_allocator *a, const mproc_program *what,
                            mproc_handle channel, mproc_child *child,
                            mproc_spawn_step *failed) {
  Ends e = {{-1, -1}, {-1, -1}};
  mproc_posix_image image;
  mproc_posix_start s;
  mproc_status st = MPROC_OK;
  *failed = MPROC_SPAWN_PROCESS;
  if (!open_ends(&e))
    st = mproc_posix_error();
  s.what = what;
  s.image = &image;
  s.channel = (int)channel;
  s.lifeline = e.lifeline[1];
  s.report = e.report[1];
  if (st == MPROC_OK)
    st = mproc_posix_image_make(a, what, &image);
  if (st == MPROC_OK) {
    st = start(&s, &e, child, failed);
    mproc_posix_image_free(a, &image);
  }
  close_ends(&e);
  return st;
}

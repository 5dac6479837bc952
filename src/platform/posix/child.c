/*
** child.c: what a child does until it is another program. Other threads of the
** parent may have held any lock at the fork(2), and after vfork(2) this is the
** parent's memory: so only calls that signal-safety(7) lists are made here,
** nothing is allocated, and nothing is written but locals.
*/
#include "platform/posix/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef NSIG
#define NSIG 65
#endif

/* Tells the parent of the error that errno has, and ends. */
static _Noreturn void fail(const mproc_posix_start *s,
                           mproc_spawn_step failed) {
  mproc_posix_report r;
  ssize_t put;
  memset(&r, 0, sizeof r);
  r.os_errno = errno;
  r.failed = failed;
  put = write(s->report, &r, sizeof r); /* at once: it is below PIPE_BUF */
  _exit(put == (ssize_t)sizeof r ? 127 : 126);
}

/* ---- descriptors 0 to 3 ---- */

/* A descriptor above these that is the same as 'fd'; -1: errno tells. */
static int above(int fd) {
  return fcntl(fd, F_DUPFD_CLOEXEC, MPROC_POSIX_CHANNEL + 1);
}

/*
** What is to become descriptor 'target', where no other target overwrites it:
** itself, or one above them. -1: errno tells.
*/
static int source_for(int target, mproc_handle wanted) {
  int fd = (int)wanted;
  if (wanted == MPROC_NULL_DEVICE) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || null > MPROC_POSIX_CHANNEL)
      return null;
    fd = above(null);
    close(null);
    return fd;
  }
  return fd > MPROC_POSIX_CHANNEL || fd == target ? fd : above(fd);
}

static int place(int source, int target) {
  if (source == target) /* dup2(2) would leave it close-on-exec */
    return fcntl(target, F_SETFD, 0);
  return dup2(source, target);
}

/* What to say of a failure with that descriptor. */
static mproc_spawn_step step_of(int target) {
  return target < 3 ? MPROC_SPAWN_STDIO : MPROC_SPAWN_PROCESS;
}

static void pass_first(const mproc_posix_start *s) {
  const mproc_handle *stdio = s->what->stdio;
  const mproc_handle wanted[] = {stdio[0], stdio[1], stdio[2], s->channel};
  int source[MPROC_POSIX_CHANNEL + 1];
  for (int i = 0; i <= MPROC_POSIX_CHANNEL; i++) {
    source[i] = i; /* inherited as it is, or not if it is close-on-exec */
    if (wanted[i] != MPROC_INHERIT)
      source[i] = source_for(i, wanted[i]);
    if (source[i] < 0)
      fail(s, step_of(i));
  }
  for (int i = 0; i <= MPROC_POSIX_CHANNEL; i++) {
    if (wanted[i] != MPROC_INHERIT && place(source[i], i) < 0)
      fail(s, step_of(i));
  }
}

/* ---- all other descriptors ---- */

static void set_cloexec(int fd) {
  int flags = fcntl(fd, F_GETFD);
  if (flags >= 0)
    fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

/* One by one, which reaches those below the limit. */
static void mark_each(void) {
  long max = sysconf(_SC_OPEN_MAX);
  if (max < 0 || max > INT_MAX)
    max = INT_MAX;
  for (int fd = MPROC_POSIX_CHANNEL + 1; fd < (int)max; fd++)
    set_cloexec(fd);
}

#if defined SYS_close_range && defined SYS_getdents64 && \
    !defined MPROC_POSIX_FALLBACKS

/* Linux 5.11; glibc's header may be older than the kernel. */
#define CLOEXEC_ONLY 4u /* CLOSE_RANGE_CLOEXEC */
#define FIRST_OTHER ((unsigned)MPROC_POSIX_CHANNEL + 1)

/* getdents64(2) */
typedef struct Entry {
  uint64_t inode;
  int64_t offset;
  unsigned short size;
  unsigned char type;
  char name[1];
} Entry;

static void mark_entry(const Entry *e) {
  int fd = 0;
  for (const char *p = e->name; *p >= '0' && *p <= '9'; p++)
    fd = fd * 10 + (*p - '0');
  if (fd > MPROC_POSIX_CHANNEL)
    set_cloexec(fd);
}

/* Those that /proc/self/fd has; opendir(3) would allocate. False: no /proc. */
static bool mark_listed(void) {
  union {
    Entry first;
    char bytes[4096];
  } u;
  long size;
  int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0)
    return false;
  while ((size = syscall(SYS_getdents64, directory, &u, sizeof u)) > 0) {
    long at = 0;
    while (at < size) {
      const Entry *e = (const Entry *)(const void *)(u.bytes + at);
      mark_entry(e);
      at += e->size;
    }
  }
  close(directory);
  return size == 0;
}

static void mark_all(void) {
  if (syscall(SYS_close_range, FIRST_OTHER, ~0u, CLOEXEC_ONLY) != 0 &&
      !mark_listed())
    mark_each();
}

#else

static void mark_all(void) {
  mark_each();
}

#endif

/* Marked and not closed: 'report' must last until the program runs. */
static void keep_others(const mproc_posix_start *s) {
  mark_all();
  if (s->lifeline >= 0 && fcntl(s->lifeline, F_SETFD, 0) < 0)
    fail(s, MPROC_SPAWN_PROCESS);
}

/* ---- signals ---- */

static bool is_caught(const struct sigaction *action) {
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

/*
** Signals have been blocked since before the fork, and handlers must not run
** here when they are let in: they are the parent's. What the parent ignores
** stays ignored, but for SIGPIPE (CPython, subprocess, 'restore_signals').
*/
static void reset_signals(const mproc_posix_start *s) {
  struct sigaction standard;
  memset(&standard, 0, sizeof standard);
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; signal++) {
    struct sigaction now;
    if (sigaction(signal, NULL, &now) == 0 &&
        (signal == SIGPIPE || is_caught(&now)))
      sigaction(signal, &standard, NULL);
  }
  pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
}

/* ---- the program ---- */

/* Tries each path. What is told is the first reason but that it is not there
   (CPython, _posixsubprocess.c, child_exec). */
static void execute(const mproc_posix_start *s) {
  int reason = 0;
  for (char *const *path = s->image->paths; *path != NULL; path++) {
    execve(*path, s->what->argv, s->image->envp);
    if (errno != ENOENT && errno != ENOTDIR && reason == 0)
      reason = errno;
  }
  if (reason != 0)
    errno = reason;
}

_Noreturn void mproc_posix_run(const mproc_posix_start *s) {
  pass_first(s);
  if (s->what->cwd != NULL && chdir(s->what->cwd) != 0)
    fail(s, MPROC_SPAWN_CWD);
  keep_others(s);
  reset_signals(s);
  execute(s);
  fail(s, MPROC_SPAWN_PROGRAM);
}

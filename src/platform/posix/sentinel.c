/*
** sentinel.c: a child that runs, and its end. A pidfd (Linux 5.3) names the
** process itself; a pid names whatever process has that number, but it stays
** the child's until its exit status is taken.
*/
#include "platform/posix/spawn.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOMENTS 10 /* milliseconds; see reap_pid */

/* The exit code of a status of waitpid(2). */
static int code_of(int status) {
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static mproc_status wait_pid(const mproc_child *child, int *exitcode) {
  int status = 0;
  pid_t pid;
  do {
    pid = waitpid((pid_t)child->pid, &status, WNOHANG);
  } while (pid < 0 && errno == EINTR);
  if (pid < 0)
    return mproc_posix_error();
  if (pid == 0)
    return MPROC_AGAIN;
  *exitcode = code_of(status);
  return MPROC_OK;
}

/* Whether it is the end of a pipe, and all others have closed theirs. */
static bool is_hung_up(mproc_handle sentinel) {
  struct pollfd item;
  item.fd = (int)sentinel;
  item.events = 0;
  item.revents = 0;
  return poll(&item, 1, 0) > 0 && (item.revents & POLLHUP) != 0;
}

/* A process closes its descriptors shortly before it is a zombie: who has seen
   the sentinel wants its exit code. */
static mproc_status reap_pid(const mproc_child *child, int *exitcode) {
  mproc_status st = wait_pid(child, exitcode);
  for (int i = 0; i < MOMENTS && st == MPROC_AGAIN; i++) {
    if (child->is_pidfd || !is_hung_up(child->sentinel))
      break;
    poll(NULL, 0, 1);
    st = wait_pid(child, exitcode);
  }
  return st;
}

#if defined SYS_pidfd_open && defined SYS_pidfd_send_signal && \
    !defined MPROC_POSIX_FALLBACKS

#define BY_PIDFD ((idtype_t)3) /* P_PIDFD, Linux 5.4 */

int mproc_posix_pidfd(pid_t pid) {
  return (int)syscall(SYS_pidfd_open, pid, 0);
}

mproc_status mproc_os_reap(const mproc_child *child, int *exitcode) {
  siginfo_t info;
  int result;
  if (!child->is_pidfd)
    return reap_pid(child, exitcode);
  memset(&info, 0, sizeof info);
  do {
    result = waitid(BY_PIDFD, (id_t)child->sentinel, &info, WEXITED | WNOHANG);
  } while (result < 0 && errno == EINTR);
  if (result < 0 && errno != ECHILD) /* an older kernel, say */
    return reap_pid(child, exitcode);
  if (result < 0)
    return mproc_status_system(ECHILD);
  if (info.si_pid == 0)
    return MPROC_AGAIN;
  *exitcode = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
  return MPROC_OK;
}

static int send_signal(const mproc_child *child, int signal) {
  if (child->is_pidfd)
    return (int)syscall(SYS_pidfd_send_signal, (int)child->sentinel, signal,
                        NULL, 0);
  return kill((pid_t)child->pid, signal);
}

#else

int mproc_posix_pidfd(pid_t pid) {
  (void)pid;
  errno = ENOSYS;
  return -1;
}

mproc_status mproc_os_reap(const mproc_child *child, int *exitcode) {
  return reap_pid(child, exitcode);
}

static int send_signal(const mproc_child *child, int signal) {
  return kill((pid_t)child->pid, signal);
}

#endif

mproc_status mproc_os_signal(const mproc_child *child, bool kill) {
  if (send_signal(child, kill ? SIGKILL : SIGTERM) != 0)
    return mproc_posix_error();
  return MPROC_OK;
}

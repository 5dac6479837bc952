/*
** sigpipe.c: writing to a pipe without SIGPIPE. POSIX sends the signal to the
** thread that writes (write(2), EPIPE), so it can be blocked there and taken
** back before anyone sees it.
*/
#include "platform/posix/posix.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

static sigset_t only_sigpipe(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  return set;
}

static bool is_pending(void) {
  sigset_t set;
  return sigpending(&set) == 0 && sigismember(&set, SIGPIPE) == 1;
}

#if defined __APPLE__ || defined __OpenBSD__ || defined MPROC_POSIX_FALLBACKS

/* sigwait(3) would wait for ever for a signal that is ignored and so was
   dropped. */
static void take(const sigset_t *set) {
  int taken;
  if (is_pending())
    sigwait(set, &taken);
}

#else

static void take(const sigset_t *set) {
  const struct timespec now = {0, 0};
  while (sigtimedwait(set, NULL, &now) < 0 && errno == EINTR)
    continue;
}

#endif

ssize_t mproc_posix_quietly(mproc_posix_put put, int fd, mproc_view a,
                            mproc_view b) {
  const sigset_t set = only_sigpipe();
  sigset_t before;
  bool theirs;
  ssize_t n;
  int saved;
  pthread_sigmask(SIG_BLOCK, &set, &before);
  /* One that is pending already is not ours to take. It can only be if it was
     blocked already. */
  theirs = sigismember(&before, SIGPIPE) == 1 && is_pending();
  n = put(fd, a, b);
  saved = errno;
  if (n < 0 && saved == EPIPE && !theirs)
    take(&set);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = saved;
  return n;
}

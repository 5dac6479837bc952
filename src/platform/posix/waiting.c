/*
** waiting.c: a read that waits in the system, and looking without a wait.
**
** Linux does not start recv(2) again after a signal on a socket that has
** SO_RCVTIMEO, whatever SA_RESTART says (signal(7), "Interruption of system
** calls"): so this one call waits, reads, and still lets Ctrl-C through. Of no
** other system do we know that.
*/
#include "platform/posix/posix.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#if defined __linux__ && !defined MPROC_POSIX_FALLBACKS

bool mproc_os_set_read_limit(mproc_handle h, uint32_t milliseconds) {
  struct timeval limit;
  limit.tv_sec = (time_t)(milliseconds / 1000);
  limit.tv_usec = (suseconds_t)(milliseconds % 1000 * 1000);
  return setsockopt((int)h, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0;
}

mproc_status mproc_os_read_waiting(mproc_handle h, void *out, size_t size,
                                   size_t *got) {
  ssize_t n = recv((int)h, out, size, 0);
  if (n < 0)
    return mproc_posix_failure(errno);
  if (n == 0)
    return MPROC_EOF;
  *got = (size_t)n;
  return MPROC_OK;
}

#else

bool mproc_os_set_read_limit(mproc_handle h, uint32_t milliseconds) {
  (void)h;
  (void)milliseconds;
  return false;
}

mproc_status mproc_os_read_waiting(mproc_handle h, void *out, size_t size,
                                   size_t *got) {
  return mproc_os_read(h, MPROC_SOCKET, out, size, got);
}

#endif

#if defined __GNUC__ && (defined __x86_64__ || defined __i386__)

static void pause_a_moment(void) {
  __builtin_ia32_pause();
}

#else

static void pause_a_moment(void) {}

#endif

#define MOMENT (MPROC_SECOND / 1000)

/* The clock that is read fastest: it shows how often the system's has ticked. */
#ifdef CLOCK_MONOTONIC_COARSE
#define TICKS CLOCK_MONOTONIC_COARSE
#else
#define TICKS CLOCK_MONOTONIC
#endif

bool mproc_os_yield(void) {
  struct timespec before, after;
  clock_gettime(TICKS, &before);
  sched_yield();
  clock_gettime(TICKS, &after);
  return (mproc_time)(after.tv_sec - before.tv_sec) * MPROC_SECOND +
             (after.tv_nsec - before.tv_nsec) <
         MOMENT;
}

void mproc_os_relax(unsigned turn) {
  const unsigned patience = 16; /* a peer may need this processor to answer */
  if (turn % patience == patience - 1)
    sched_yield();
  else
    pause_a_moment();
}

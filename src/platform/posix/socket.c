/*
** socket.c: stream sockets: made in pairs, connected without blocking, tuned.
*/
#include "platform/posix/posix.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

mproc_status mproc_os_socketpair(mproc_handle h[2]) {
  int fd[2];
  if (mproc_posix_socketpair(fd) != 0)
    return mproc_posix_error();
  h[0] = fd[0];
  h[1] = fd[1];
  return MPROC_OK;
}

/* ---- connecting ---- */

/* connect(2), EINPROGRESS: writable once it has ended, SO_ERROR tells how. */
static mproc_status pending_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    return mproc_posix_error();
  return error != 0 ? mproc_status_system(error) : MPROC_OK;
}

/* SO_ERROR is forgotten once told, this is not. */
static mproc_status has_peer(int fd) {
  struct sockaddr_storage peer;
  socklen_t size = sizeof peer;
  if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0)
    return mproc_posix_error();
  return MPROC_OK;
}

/* How connecting has ended, if it has; it is not known to have succeeded. */
static mproc_status outcome(int fd) {
  mproc_pollitem item = {fd, MPROC_WRITE, 0};
  mproc_status st;
  do {
    st = mproc_os_poll(&item, 1, 0, NULL);
  } while (st == MPROC_INTERRUPTED);
  if (st == MPROC_OK)
    st = pending_error(fd);
  return st == MPROC_OK ? has_peer(fd) : st;
}

mproc_status mproc_os_connected(mproc_handle h) {
  int fd = (int)h;
  mproc_status st = has_peer(fd); /* one question instead of three */
  if (st != MPROC_OK)
    st = outcome(fd);
  if (st == MPROC_OK)
    mproc_posix_set_nonblocking(fd, false);
  return st;
}

static mproc_status start(int fd, const mproc_sockaddr *to) {
  const struct sockaddr *sa = (const struct sockaddr *)(const void *)&to->u;
  int saved = connect(fd, sa, (socklen_t)to->size) == 0 ? 0 : errno;
  /* EINTR: it goes on by itself (POSIX, connect) */
  bool goes_on = saved == EINPROGRESS || saved == EINTR;
  if (saved != 0 && !goes_on)
    return mproc_status_system(saved);
  /* within one machine Linux has it connected by now */
  if (goes_on && has_peer(fd) != MPROC_OK)
    return MPROC_AGAIN;
  mproc_posix_set_nonblocking(fd, false);
  return MPROC_OK;
}

mproc_status mproc_os_connect(const mproc_sockaddr *to, mproc_handle *h) {
  mproc_status st;
  int fd = mproc_posix_socket(mproc_posix_family(to), true);
  if (fd < 0)
    return mproc_posix_error();
  st = start(fd, to);
  if (st == MPROC_OK || st == MPROC_AGAIN)
    *h = fd;
  else
    close(fd);
  return st;
}

/* ---- options ---- */

static int set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value);
}

#if defined __APPLE__
#define KEEPIDLE TCP_KEEPALIVE
#elif defined TCP_KEEPIDLE
#define KEEPIDLE TCP_KEEPIDLE
#endif

#ifdef KEEPIDLE

/* tcp(7). A peer that is gone is noticed after twice 'idle' seconds. */
static void set_keepalive_times(int fd, int idle) {
  const int probes = 4;
  int interval = idle / probes;
  set_option(fd, IPPROTO_TCP, KEEPIDLE, idle);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval > 0 ? interval : 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, probes);
}

#else

/* OpenBSD: they are the system's, the same for all sockets. */
static void set_keepalive_times(int fd, int idle) {
  (void)fd;
  (void)idle;
}

#endif

/* 'seconds' (> 0) rounded up, within what Linux takes (MAX_TCP_KEEPIDLE). */
static int whole_seconds(double seconds) {
  const int max = 32767;
  int whole;
  if (seconds >= max)
    return max;
  whole = (int)seconds;
  return whole < seconds ? whole + 1 : whole;
}

void mproc_os_tune(mproc_handle h, double keepalive) {
  int fd = (int)h;
  /* also the cheapest question whether it is TCP */
  if (set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) != 0)
    return;
  if (!(keepalive > 0))
    return;
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_keepalive_times(fd, whole_seconds(keepalive));
}

/* ---- what is accepted ---- */

#if defined __linux__ && !defined MPROC_POSIX_FALLBACKS

/* A new socket is a copy of the listening one (Stevens, "UNIX Network
   Programming", 7.4; for the acknowledgements only Linux's source says so). */
bool mproc_os_tune_accepted(mproc_handle listener, double keepalive,
                            bool answered) {
  mproc_os_tune(listener, keepalive);
  if (answered)
    set_option((int)listener, IPPROTO_TCP, TCP_QUICKACK, 0);
  return true;
}

#else

bool mproc_os_tune_accepted(mproc_handle listener, double keepalive,
                            bool answered) {
  (void)listener;
  (void)keepalive;
  (void)answered;
  return false;
}

#endif

/*
** compat.c: calls that not every POSIX system has. POSIX.1-2024 took up
** SOCK_CLOEXEC, accept4, pipe2 and ppoll together, so one test tells whether
** they are here. The replacements leave a moment in which another thread's
** fork(2) and exec(2) passes the descriptor on; nothing can be done about it.
** -DMPROC_POSIX_FALLBACKS builds the replacements anywhere, and those of other
** files here: .ci/run, step fallback, tries them.
*/
#include "platform/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int mproc_posix_set_nonblocking(int fd, bool on) {
  int value = on;
  return ioctl(fd, FIONBIO, &value);
}

mproc_status mproc_posix_failure(int os_errno) {
  if (os_errno == EAGAIN || os_errno == EWOULDBLOCK)
    return MPROC_AGAIN;
  if (os_errno == EINTR)
    return MPROC_INTERRUPTED;
  return mproc_status_system(os_errno);
}

/* accept(2)'s last arguments: room for the peer's name. */
static struct sockaddr *room_for(mproc_sockaddr *peer, socklen_t *size) {
  memset(peer, 0, sizeof *peer);
  *size = sizeof peer->u;
  return (struct sockaddr *)(void *)&peer->u;
}

#if defined SOCK_CLOEXEC && !defined MPROC_POSIX_FALLBACKS

int mproc_posix_socket(int family, bool nonblocking) {
  int type = SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0);
  return socket(family, type, 0);
}

int mproc_posix_socketpair(int fd[2]) {
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd);
}

int mproc_posix_accept(int listener, mproc_sockaddr *peer) {
  socklen_t size;
  struct sockaddr *name = room_for(peer, &size);
  int fd = accept4(listener, name, &size, SOCK_CLOEXEC);
  peer->size = size;
  return fd;
}

int mproc_posix_pipe(int fd[2]) {
  return pipe2(fd, O_CLOEXEC);
}

int mproc_posix_poll(struct pollfd *fds, nfds_t n, mproc_time left) {
  struct timespec time;
  mproc_time seconds = left / MPROC_SECOND;
  if (left == MPROC_NEVER)
    return ppoll(fds, n, NULL, NULL);
  /* time_t may have 32 bits */
  time.tv_sec = (time_t)(seconds < INT32_MAX ? seconds : INT32_MAX);
  time.tv_nsec = (long)(left % MPROC_SECOND);
  return ppoll(fds, n, &time, NULL);
}

#else

/* Closes what is open of the 'n' descriptors and returns -1, errno kept. */
static int give_up(const int *fd, int n) {
  int saved = errno;
  while (n-- > 0)
    close(fd[n]);
  errno = saved;
  return -1;
}

static int set_cloexec(const int *fd, int n) {
  for (int i = 0; i < n; i++)
    if (fcntl(fd[i], F_SETFD, FD_CLOEXEC) != 0)
      return give_up(fd, n);
  return 0;
}

int mproc_posix_socket(int family, bool nonblocking) {
  int fd = socket(family, SOCK_STREAM, 0);
  if (fd < 0 || set_cloexec(&fd, 1) != 0)
    return -1;
  if (nonblocking && mproc_posix_set_nonblocking(fd, true) != 0)
    return give_up(&fd, 1);
  return fd;
}

int mproc_posix_socketpair(int fd[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0)
    return -1;
  return set_cloexec(fd, 2);
}

/* BSD and macOS: an accepted socket inherits the listener's O_NONBLOCK. */
int mproc_posix_accept(int listener, mproc_sockaddr *peer) {
  socklen_t size;
  struct sockaddr *name = room_for(peer, &size);
  int fd = accept(listener, name, &size);
  peer->size = size;
  if (fd < 0 || set_cloexec(&fd, 1) != 0)
    return -1;
  if (mproc_posix_set_nonblocking(fd, false) != 0)
    return give_up(&fd, 1);
  return fd;
}

int mproc_posix_pipe(int fd[2]) {
  if (pipe(fd) != 0)
    return -1;
  return set_cloexec(fd, 2);
}

int mproc_posix_poll(struct pollfd *fds, nfds_t n, mproc_time left) {
  return poll(fds, n, mproc_posix_milliseconds(left));
}

#endif

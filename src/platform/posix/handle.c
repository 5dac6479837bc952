/*
** handle.c: bytes over a descriptor that may be in blocking mode, without
** blocking and without a signal. O_NONBLOCK belongs to the open file, which
** other processes may share (fcntl(2), F_SETFL), so it is never touched:
** sockets have flags for one call; so have Linux's pipes; all else is polled
** first.
*/
#include "platform/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Some systems refuse more than INT_MAX bytes in one call (macOS, read(2)). */
#define IO_MAX ((size_t)0x40000000)

/* Up to here one copy is faster than a vector of two. */
#define COPY_MAX ((size_t)16384)

mproc_status mproc_os_kind(mproc_handle h, mproc_handle_kind *kind) {
  struct stat st;
  if (fstat((int)h, &st) != 0)
    return mproc_posix_error();
  *kind = S_ISSOCK(st.st_mode) ? MPROC_SOCKET : MPROC_FILE;
  return MPROC_OK;
}

void mproc_os_close(mproc_handle h) {
  close((int)h);
}

static size_t smaller(size_t a, size_t b) {
  return a < b ? a : b;
}

/*
** The first 'max' bytes of 'a' and then 'b' as a vector, which is not const
** because read(2) uses the same one. Returns its length.
*/
static int fill(struct iovec v[2], size_t max, mproc_view a, mproc_view b) {
  size_t first = smaller(a.size, max);
  size_t second = smaller(b.size, max - first);
  int n = 0;
  if (first > 0) {
    v[n].iov_base = (void *)a.data;
    v[n++].iov_len = first;
  }
  if (second > 0) {
    v[n].iov_base = (void *)b.data;
    v[n++].iov_len = second;
  }
  return n;
}

/* ---- poll, then read or write ---- */

/* The wrong end of a FIFO is never ready: it must not be waited for. */
static bool is_open_for(int fd, short event) {
  int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
  return mode == O_RDWR || mode == (event == POLLIN ? O_RDONLY : O_WRONLY);
}

/*
** Whether poll(2) has 'event' for 'fd'; errno tells why not (EAGAIN, EBADF).
** Another process that takes the bytes, or the room, in the moment after can
** still make us block: the limit of Python's module, too.
*/
static bool is_ready(int fd, short event) {
  struct pollfd item;
  item.fd = fd;
  item.events = event;
  item.revents = 0;
  if (poll(&item, 1, 0) > 0)
    return true;
  errno = is_open_for(fd, event) ? EAGAIN : EBADF;
  return false;
}

static ssize_t polled_read(int fd, void *out, size_t size) {
  return is_ready(fd, POLLIN) ? read(fd, out, size) : -1;
}

/*
** How much can be written once poll(2) says POLLOUT. A pipe has room for
** PIPE_BUF bytes then (pipe(7), and Linux's pipe_poll); of a terminal, or
** whatever else is a character device, nobody says more than one.
*/
static size_t sure_room(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) ? 1 : PIPE_BUF;
}

static ssize_t polled_write(int fd, mproc_view a, mproc_view b) {
  struct iovec v[2];
  if (!is_ready(fd, POLLOUT))
    return -1;
  return writev(fd, v, fill(v, sure_room(fd), a, b));
}

/* ---- pipes, terminals … ---- */

#if defined RWF_NOWAIT && !defined MPROC_POSIX_FALLBACKS

/* Linux 6.18; glibc names it from 2.43 on. */
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

/*
** Whether preadv2(2)'s flags were refused and not the call itself: pipes know
** RWF_NOWAIT from Linux 6.4 on, FIFOs and terminals do not; a kernel or a
** sandbox that does not know the call says ENOSYS or EPERM. Asked anew each
** time: that costs one system call where the answer is no, and remembering it
** would cost a global variable.
*/
static bool is_refused(int os_errno) {
  return os_errno == EOPNOTSUPP || os_errno == ENOSYS || os_errno == EINVAL ||
         os_errno == EPERM;
}

static ssize_t file_read(int fd, void *out, size_t size) {
  struct iovec v = {out, size};
  ssize_t n = preadv2(fd, &v, 1, -1, RWF_NOWAIT);
  return n < 0 && is_refused(errno) ? polled_read(fd, out, size) : n;
}

static ssize_t write_flagged(int fd, mproc_view a, mproc_view b, int flags) {
  struct iovec v[2];
  int n = fill(v, IO_MAX, a, b);
  return pwritev2(fd, v, n, -1, flags);
}

static ssize_t nowait_write(int fd, mproc_view a, mproc_view b) {
  ssize_t n = write_flagged(fd, a, b, RWF_NOWAIT);
  return n < 0 && is_refused(errno) ? polled_write(fd, a, b) : n;
}

static ssize_t file_write(int fd, mproc_view a, mproc_view b) {
  ssize_t n = write_flagged(fd, a, b, RWF_NOWAIT | RWF_NOSIGNAL);
  return n < 0 && is_refused(errno)
             ? mproc_posix_quietly(nowait_write, fd, a, b)
             : n;
}

#else

static ssize_t file_read(int fd, void *out, size_t size) {
  return polled_read(fd, out, size);
}

static ssize_t file_write(int fd, mproc_view a, mproc_view b) {
  return mproc_posix_quietly(polled_write, fd, a, b);
}

#endif

/* ---- sockets ---- */

#if defined MSG_NOSIGNAL && !defined __APPLE__ && !defined MPROC_POSIX_FALLBACKS

#define SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)

static ssize_t send_copy(int fd, mproc_view a, mproc_view b) {
  uint8_t bytes[COPY_MAX];
  memcpy(bytes, a.data, a.size);
  memcpy(bytes + a.size, b.data, b.size);
  return send(fd, bytes, a.size + b.size, SEND_FLAGS);
}

static ssize_t send_vector(int fd, mproc_view a, mproc_view b) {
  struct iovec v[2];
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = v;
  message.msg_iovlen = fill(v, IO_MAX, a, b);
  return sendmsg(fd, &message, SEND_FLAGS);
}

static ssize_t socket_write(int fd, mproc_view a, mproc_view b) {
  mproc_view one = a.size > 0 ? a : b;
  if (a.size == 0 || b.size == 0)
    return send(fd, one.data, smaller(one.size, IO_MAX), SEND_FLAGS);
  if (a.size <= COPY_MAX && b.size <= COPY_MAX - a.size)
    return send_copy(fd, a, b);
  return send_vector(fd, a, b);
}

#else

/*
** macOS has had no MSG_NOSIGNAL, and takes no notice of MSG_DONTWAIT in
** send(2). POLLOUT promises SO_SNDLOWAT bytes there, 2048 by default: more
** than its PIPE_BUF, 512.
*/
static ssize_t socket_write(int fd, mproc_view a, mproc_view b) {
  return mproc_posix_quietly(polled_write, fd, a, b);
}

#endif

/* ---- both ---- */

mproc_status mproc_os_read(mproc_handle h, mproc_handle_kind kind, void *out,
                           size_t size, size_t *got) {
  size_t max = smaller(size, IO_MAX);
  ssize_t n;
  int saved;
  do {
    n = kind == MPROC_SOCKET ? recv((int)h, out, max, MSG_DONTWAIT)
                             : file_read((int)h, out, max);
    saved = errno;
  } while (n < 0 && saved == EINTR);
  if (n < 0)
    return mproc_posix_failure(saved);
  if (n == 0)
    return MPROC_EOF;
  *got = (size_t)n;
  return MPROC_OK;
}

mproc_status mproc_os_write(mproc_handle h, mproc_handle_kind kind,
                            mproc_view a, mproc_view b, size_t *put) {
  ssize_t n;
  int saved;
  do {
    n = kind == MPROC_SOCKET ? socket_write((int)h, a, b)
                             : file_write((int)h, a, b);
    saved = errno;
  } while (n < 0 && saved == EINTR);
  if (n < 0)
    return mproc_posix_failure(saved);
  if (n == 0)
    return MPROC_AGAIN;
  *put = (size_t)n;
  return MPROC_OK;
}

mproc_status mproc_os_pipe(mproc_handle h[2]) {
  int fd[2];
  if (mproc_posix_pipe(fd) != 0)
    return mproc_posix_error();
  h[0] = fd[0];
  h[1] = fd[1];
  return MPROC_OK;
}

bool mproc_os_is_nonblocking(mproc_handle h) {
  int flags = fcntl((int)h, F_GETFL);
  return flags != -1 && (flags & O_NONBLOCK) != 0;
}

void mproc_os_set_nonblocking(mproc_handle h, bool on) {
  mproc_posix_set_nonblocking((int)h, on);
}

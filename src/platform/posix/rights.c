/*
** rights.c: descriptors that are passed over AF_UNIX sockets: SCM_RIGHTS
** (unix(7)), in the form that CPython's multiprocessing/reduction.py gives it:
** with one byte of data, which is the number of descriptors.
*/
#include "platform/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux's SCM_MAX_FD. With room for all of them no system leaves some behind
   in the process that nobody is told of, as some do when they run out of it. */
#define DESCRIPTORS_MAX 253

bool mproc_os_passes_handles(mproc_handle h) {
  struct sockaddr_storage name;
  socklen_t size = sizeof name;
  memset(&name, 0, sizeof name);
  return getsockname((int)h, (struct sockaddr *)&name, &size) == 0 &&
         name.ss_family == AF_UNIX;
}

#if defined __APPLE__ || defined MPROC_ACKNOWLEDGE_HANDLES

bool mproc_os_acknowledges_handles(void) {
  return true;
}

#else

bool mproc_os_acknowledges_handles(void) {
  return false;
}

#endif

/* ---- sending ---- */

/* sendmsg(2) of the int in 'passed', with the one byte. */
static ssize_t send_rights(int fd, mproc_view passed, int flags) {
  union {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(int))];
  } control;
  uint8_t count = 1;
  struct iovec v = {&count, sizeof count};
  struct msghdr message;
  struct cmsghdr *rights;
  memset(&control, 0, sizeof control);
  memset(&message, 0, sizeof message);
  message.msg_iov = &v;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(rights), passed.data, passed.size);
  return sendmsg(fd, &message, flags);
}

#if defined MSG_NOSIGNAL && !defined __APPLE__ && !defined MPROC_POSIX_FALLBACKS

static ssize_t put_rights(int fd, mproc_view passed) {
  return send_rights(fd, passed, MSG_DONTWAIT | MSG_NOSIGNAL);
}

#else

/* macOS takes no notice of MSG_DONTWAIT in sendmsg(2), either. */
static ssize_t polled_put(int fd, mproc_view passed, mproc_view unused) {
  mproc_pollitem item = {fd, MPROC_WRITE, 0};
  (void)unused;
  if (mproc_os_poll(&item, 1, 0, NULL) != MPROC_OK) {
    errno = EAGAIN;
    return -1;
  }
  return send_rights(fd, passed, MSG_DONTWAIT);
}

static ssize_t put_rights(int fd, mproc_view passed) {
  const mproc_view none = {NULL, 0};
  return mproc_posix_quietly(polled_put, fd, passed, none);
}

#endif

mproc_status mproc_os_send_handle(mproc_handle h, mproc_handle passed) {
  int fd = (int)passed;
  mproc_view bytes;
  ssize_t n;
  int saved;
  bytes.data = (const uint8_t *)&fd;
  bytes.size = sizeof fd;
  do {
    n = put_rights((int)h, bytes);
    saved = errno;
  } while (n < 0 && saved == EINTR);
  return n < 0 ? mproc_posix_failure(saved) : MPROC_OK;
}

/* ---- receiving ---- */

/* What one recvmsg(2) gave. */
typedef struct Parcel {
  uint8_t byte;
  int flags;    /* MSG_CTRUNC: there were more descriptors than came */
  int first;    /* the first descriptor; -1: none */
  size_t count; /* all but the first are closed already */
} Parcel;

/*
** recvmsg(2) of one byte. OK: it is in 'p->byte', and '*message' tells of what
** came with it, should it have room for that. EOF. AGAIN.
*/
static mproc_status recv_byte(int fd, struct msghdr *message, Parcel *p,
                              int flags) {
  struct iovec v = {&p->byte, sizeof p->byte};
  ssize_t n;
  int saved;
  message->msg_iov = &v;
  message->msg_iovlen = 1;
  do {
    n = recvmsg(fd, message, flags | MSG_DONTWAIT);
    saved = errno;
  } while (n < 0 && saved == EINTR);
  p->flags = message->msg_flags;
  if (n < 0)
    return mproc_posix_failure(saved);
  return n == 0 ? MPROC_EOF : MPROC_OK;
}

#ifdef __linux__

/* A look without room for descriptors says MSG_CTRUNC where there are some. */
static bool comes_with_some(const Parcel *look) {
  return (look->flags & MSG_CTRUNC) != 0;
}

#else

/* The first byte of a message is another one, unless that has 16 MiB. */
static bool comes_with_some(const Parcel *look) {
  return look->byte == 1;
}

#endif

/* What the next byte is, without taking it. */
static mproc_status look_ahead(int fd) {
  struct msghdr message;
  Parcel look;
  mproc_status st;
  memset(&message, 0, sizeof message);
  st = recv_byte(fd, &message, &look, MSG_PEEK);
  if (st == MPROC_OK && !comes_with_some(&look))
    return MPROC_MESSAGE_NEXT;
  return st;
}

/*
** OK: there is a free descriptor. Without one the system would drop what it
** cannot hand over, so that is asked first; another thread may still be faster.
*/
static mproc_status have_room(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0)
    return mproc_posix_error();
  close(copy);
  return MPROC_OK;
}

/* Keeps the first descriptor of a control message, closes the others. */
static void unpack(const struct cmsghdr *rights, Parcel *p) {
  const uint8_t *data = CMSG_DATA(rights);
  size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t i = 0; i < count; i++) {
    int fd;
    memcpy(&fd, data + i * sizeof fd, sizeof fd);
    if (p->count++ == 0)
      p->first = fd;
    else
      close(fd);
  }
}

#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

static mproc_status take(int fd, Parcel *p) {
  union {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
  } control;
  struct msghdr message;
  mproc_status st;
  memset(&message, 0, sizeof message);
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  p->first = -1;
  p->count = 0;
  st = recv_byte(fd, &message, p, MSG_CMSG_CLOEXEC);
  if (st != MPROC_OK)
    return st;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL;
       c = CMSG_NXTHDR(&message, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
      unpack(c, p);
  return MPROC_OK;
}

/* What came, if it is what reduction.py's recv_handle takes. */
static mproc_status judge(const Parcel *p) {
  if (p->count == 0 && (p->flags & MSG_CTRUNC) != 0)
    return mproc_status_system(EMFILE); /* another thread was faster */
  if (p->count != 1 || p->byte != 1 || (p->flags & MSG_CTRUNC) != 0)
    return MPROC_BAD_HANDLE;
  if (MSG_CMSG_CLOEXEC == 0 && fcntl(p->first, F_SETFD, FD_CLOEXEC) != 0)
    return mproc_posix_error();
  return MPROC_OK;
}

/* reduction.py, recvfds: "A", whatever has come. */
static mproc_status acknowledge(mproc_handle h) {
  const mproc_view a = {(const uint8_t *)"A", 1}, none = {NULL, 0};
  size_t put = 0;
  mproc_status st;
  if (!mproc_os_acknowledges_handles())
    return MPROC_OK;
  st = mproc_os_write(h, MPROC_SOCKET, a, none, &put);
  /* what fills the way to the peer is not read: it would take that for "A" */
  return st == MPROC_AGAIN ? mproc_status_system(EAGAIN) : st;
}

mproc_status mproc_os_recv_handle(mproc_handle h, mproc_handle *passed) {
  Parcel p;
  mproc_status told;
  mproc_status st = look_ahead((int)h);
  if (st == MPROC_OK)
    st = have_room((int)h);
  if (st == MPROC_OK)
    st = take((int)h, &p);
  if (st != MPROC_OK)
    return st;
  told = acknowledge(h);
  st = judge(&p);
  if (st == MPROC_OK)
    st = told;
  if (st == MPROC_OK)
    *passed = p.first;
  else if (p.count > 0)
    close(p.first);
  return st;
}

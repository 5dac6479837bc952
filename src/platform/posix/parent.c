/*
** parent.c: the descriptor that the process which started us has passed.
*/
#include "platform/posix/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

/* The number that 'text' is, digits only; -1: it is none. */
static int parse(const char *text) {
  int n = 0;
  if (*text == '\0')
    return -1;
  for (; *text != '\0'; text++) {
    int digit = *text - '0';
    if (digit < 0 || digit > 9 || n > (INT_MAX - digit) / 10)
      return -1;
    n = n * 10 + digit;
  }
  return n;
}

mproc_status mproc_os_parent(mproc_handle *h) {
  const char *text = getenv(MPROC_POSIX_PARENT);
  int fd = text != NULL ? parse(text) : -1;
  mproc_handle_kind kind = MPROC_FILE;
  int flags;
  mproc_status st;
  if (text == NULL)
    return MPROC_NO_PARENT;
  if (fd < 0)
    return mproc_status_system(EINVAL);
  /* the variable may be another program's, and the number one of our own */
  flags = fcntl(fd, F_GETFD);
  if (flags < 0 || (flags & FD_CLOEXEC) != 0)
    return mproc_status_system(EBADF);
  st = mproc_os_kind(fd, &kind);
  if (st != MPROC_OK)
    return st;
  if (kind != MPROC_SOCKET)
    return mproc_status_system(ENOTSOCK);
  *h = fd;
  return MPROC_OK;
}

void mproc_os_claim_parent(mproc_handle h) {
  fcntl((int)h, F_SETFD, FD_CLOEXEC);
  unsetenv(MPROC_POSIX_PARENT);
}

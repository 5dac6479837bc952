/*
** pollset_kqueue.c: queues that are the BSDs' and macOS's kqueue(2).
*/
#include "platform/posix/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MAX 1024 /* events of one system call, on the stack */

bool mproc_posix_queue_is_shared(void) {
  return false;
}

int mproc_posix_queue_open(void) {
  int fd = kqueue();
  if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  return fd;
}

/* Returns 0 or an errno value. */
static int change(int queue, int fd, short filter, bool wanted, uint32_t tag) {
  struct kevent e;
  EV_SET(&e, (uintptr_t)fd, filter, wanted ? EV_ADD : EV_DELETE, 0, 0,
         (void *)(uintptr_t)tag);
  if (kevent(queue, &e, 1, NULL, 0, NULL) == 0)
    return 0;
  return !wanted && errno == ENOENT ? 0 : errno;
}

int mproc_posix_queue_set(int queue, int fd, uint8_t events, uint32_t tag) {
  struct stat st;
  int failed;
  if (fstat(fd, &st) != 0)
    return errno;
  /* its end is not ready for EVFILT_READ, as it is for poll(2) */
  if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
    return EPERM;
  failed = change(queue, fd, EVFILT_READ, (events & MPROC_READ) != 0, tag);
  if (failed == 0)
    failed = change(queue, fd, EVFILT_WRITE, (events & MPROC_WRITE) != 0, tag);
  if (failed != 0)
    mproc_posix_queue_remove(queue, fd);
  return failed;
}

void mproc_posix_queue_remove(int queue, int fd) {
  change(queue, fd, EVFILT_READ, false, 0);
  change(queue, fd, EVFILT_WRITE, false, 0);
}

int mproc_posix_queue_wait(int queue, mproc_time left, mproc_pollevent *events,
                           size_t max) {
  struct kevent got[WAIT_MAX];
  struct timespec time;
  mproc_time seconds = left / MPROC_SECOND;
  int limit = max < WAIT_MAX ? (int)max : WAIT_MAX;
  int n;
  time.tv_sec = (time_t)(seconds < INT32_MAX ? seconds : INT32_MAX);
  time.tv_nsec = (long)(left % MPROC_SECOND);
  n = kevent(queue, NULL, 0, got, limit, left == MPROC_NEVER ? NULL : &time);
  for (int i = 0; i < n; i++) {
    events[i].handle = (mproc_handle)got[i].ident;
    events[i].tag = (uint32_t)(uintptr_t)got[i].udata;
    events[i].ready = got[i].filter == EVFILT_READ ? MPROC_READ : MPROC_WRITE;
  }
  return n;
}

/*
** pollset_epoll.c: queues that are Linux's epoll(7).
*/
#include "platform/posix/queue.h"

#include <errno.h>
#include <sys/epoll.h>

#define WAIT_MAX 1024 /* events of one system call, on the stack */

bool mproc_posix_queue_is_shared(void) {
  return true;
}

int mproc_posix_queue_open(void) {
  return epoll_create1(EPOLL_CLOEXEC);
}

int mproc_posix_queue_set(int queue, int fd, uint8_t events, uint32_t tag) {
  struct epoll_event e;
  e.events = 0;
  if (events & MPROC_READ)
    e.events |= EPOLLIN;
  if (events & MPROC_WRITE)
    e.events |= EPOLLOUT;
  e.data.u64 = (uint64_t)tag << 32 | (uint32_t)fd;
  if (epoll_ctl(queue, EPOLL_CTL_ADD, fd, &e) == 0)
    return 0;
  if (errno == EEXIST && epoll_ctl(queue, EPOLL_CTL_MOD, fd, &e) == 0)
    return 0;
  return errno;
}

void mproc_posix_queue_remove(int queue, int fd) {
  struct epoll_event unused; /* NULL was refused before Linux 2.6.9 */
  epoll_ctl(queue, EPOLL_CTL_DEL, fd, &unused);
}

static uint8_t from_events(uint32_t events) {
  uint8_t ready = 0;
  if (events & (EPOLLERR | EPOLLHUP))
    return MPROC_READ | MPROC_WRITE;
  if (events & EPOLLIN)
    ready |= MPROC_READ;
  if (events & EPOLLOUT)
    ready |= MPROC_WRITE;
  return ready;
}

int mproc_posix_queue_wait(int queue, mproc_time left, mproc_pollevent *events,
                           size_t max) {
  struct epoll_event got[WAIT_MAX];
  int limit = max < WAIT_MAX ? (int)max : WAIT_MAX;
  int n = epoll_wait(queue, got, limit, mproc_posix_milliseconds(left));
  for (int i = 0; i < n; i++) {
    uint64_t data = got[i].data.u64;
    events[i].handle = (mproc_handle)(data & UINT32_MAX);
    events[i].tag = (uint32_t)(data >> 32);
    events[i].ready = from_events(got[i].events);
  }
  return n;
}

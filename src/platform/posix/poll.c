/*
** poll.c: waiting for handles with poll(2), which has no limit on a
** descriptor's number as select(2) has.
*/
#include "platform/posix/posix.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>

#define FEW 8 /* items that need no scratch */

struct pollfd mproc_posix_pollfd(mproc_handle h, uint8_t events) {
  struct pollfd fd;
  fd.fd = (int)h;
  fd.events = 0;
  if (events & MPROC_READ)
    fd.events |= POLLIN;
  if (events & MPROC_WRITE)
    fd.events |= POLLOUT;
  fd.revents = 0;
  return fd;
}

uint8_t mproc_posix_events(int revents) {
  uint8_t events = 0;
  if (revents & (POLLERR | POLLHUP | POLLNVAL))
    return MPROC_READ | MPROC_WRITE;
  if (revents & POLLIN)
    events |= MPROC_READ;
  if (revents & POLLOUT)
    events |= MPROC_WRITE;
  return events;
}

/* poll(2) passes over a negative one. POLLHUP comes unasked, so what waits for
   nothing is passed over, too. */
static struct pollfd to_pollfd(const mproc_pollitem *item) {
  mproc_handle h = item->events != 0 ? item->handle : -1;
  return mproc_posix_pollfd(h, item->events);
}

mproc_time mproc_posix_time_left(mproc_time deadline) {
  mproc_time now;
  if (deadline == MPROC_NEVER || deadline <= 0)
    return deadline > 0 ? deadline : 0;
  now = mproc_os_now();
  return deadline > now ? deadline - now : 0;
}

mproc_status mproc_posix_timed_out(mproc_time deadline) {
  return mproc_posix_time_left(deadline) > 0 ? MPROC_INTERRUPTED : MPROC_AGAIN;
}

int mproc_posix_milliseconds(mproc_time left) {
  const mproc_time ms = MPROC_SECOND / 1000;
  mproc_time rounded = left / ms + (left % ms != 0);
  if (left == MPROC_NEVER)
    return -1;
  return rounded < INT_MAX ? (int)rounded : INT_MAX;
}

mproc_status mproc_os_poll(mproc_pollitem *items, size_t n, mproc_time deadline,
                           void *scratch) {
  struct pollfd few[FEW];
  struct pollfd *fds = scratch != NULL ? (struct pollfd *)scratch : few;
  int ready, saved;
  assert(scratch != NULL || n <= FEW);
  for (size_t i = 0; i < n; i++)
    fds[i] = to_pollfd(&items[i]);
  ready = mproc_posix_poll(fds, (nfds_t)n, mproc_posix_time_left(deadline));
  saved = errno;
  if (ready < 0)
    return mproc_posix_failure(saved);
  for (size_t i = 0; i < n; i++)
    items[i].ready = mproc_posix_events(fds[i].revents) & items[i].events;
  return ready > 0 ? MPROC_OK : mproc_posix_timed_out(deadline);
}

size_t mproc_os_poll_scratch(size_t n) {
  return n * sizeof(struct pollfd);
}

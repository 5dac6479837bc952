/*
** pollset_poll.c: pollsets over poll(2), for systems that have nothing better:
** each call costs what is in the set.
*/
#include "platform/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define FIRST_CAPACITY 16

/* One after the other in memory, since poll(2) wants them so. */
struct mproc_pollset {
  const mproc_allocator *allocator;
  struct pollfd *fds; /* owned; 'capacity' of each, 'count' in use */
  uint32_t *tags;
  size_t capacity;
  size_t count;
  size_t next; /* where to go on telling */
  bool signalled;
};

mproc_status mproc_pollset_new(const mproc_allocator *a, mproc_pollset **out) {
  mproc_pollset *p = (mproc_pollset *)mproc_alloc(a, sizeof *p);
  if (p == NULL)
    return MPROC_NOMEM;
  p->allocator = a;
  *out = p;
  return MPROC_OK;
}

void mproc_pollset_free(mproc_pollset *p) {
  if (p == NULL)
    return;
  mproc_free(p->allocator, p->fds, p->capacity * sizeof *p->fds);
  mproc_free(p->allocator, p->tags, p->capacity * sizeof *p->tags);
  mproc_free(p->allocator, p, sizeof *p);
}

/* A child's copy is its own. */
bool mproc_pollset_is_inherited(const mproc_pollset *p) {
  (void)p;
  return false;
}

/* ---- what is in it ---- */

/* Its place; 'count': it has none. */
static size_t find(const mproc_pollset *p, mproc_handle h) {
  size_t i = 0;
  while (i < p->count && p->fds[i].fd != (int)h)
    i++;
  return i;
}

static mproc_status grow(mproc_pollset *p) {
  const mproc_allocator *a = p->allocator;
  size_t old = p->capacity;
  size_t capacity = old == 0 ? FIRST_CAPACITY : 2 * old;
  struct pollfd *fds = (struct pollfd *)mproc_alloc(a, capacity * sizeof *fds);
  uint32_t *tags = (uint32_t *)mproc_alloc(a, capacity * sizeof *tags);
  if (fds == NULL || tags == NULL) {
    mproc_free(a, fds, capacity * sizeof *fds);
    mproc_free(a, tags, capacity * sizeof *tags);
    return MPROC_NOMEM;
  }
  if (old > 0) {
    memcpy(fds, p->fds, old * sizeof *fds);
    memcpy(tags, p->tags, old * sizeof *tags);
  }
  mproc_free(a, p->fds, old * sizeof *fds);
  mproc_free(a, p->tags, old * sizeof *tags);
  p->fds = fds;
  p->tags = tags;
  p->capacity = capacity;
  return MPROC_OK;
}

static void drop_at(mproc_pollset *p, size_t i) {
  p->count--;
  p->fds[i] = p->fds[p->count];
  p->tags[i] = p->tags[p->count];
}

mproc_status mproc_pollset_set(mproc_pollset *p, mproc_handle h, uint8_t events,
                               uint32_t tag) {
  size_t i = find(p, h);
  if (events == 0) {
    mproc_pollset_remove(p, h);
    return MPROC_OK;
  }
  if (fcntl((int)h, F_GETFD) < 0)
    return mproc_posix_error();
  if (i == p->capacity) {
    mproc_status st = grow(p);
    if (st != MPROC_OK)
      return st;
  }
  if (i == p->count)
    p->count++;
  p->fds[i] = mproc_posix_pollfd(h, events);
  p->tags[i] = tag;
  return MPROC_OK;
}

void mproc_pollset_remove(mproc_pollset *p, mproc_handle h) {
  size_t i = find(p, h);
  if (i < p->count)
    drop_at(p, i);
}

/* ---- waiting ---- */

/* Tells of at most 'max', from 'next' on and around, and moves 'next'. */
static size_t tell(mproc_pollset *p, mproc_pollevent *events, size_t max) {
  size_t n = 0;
  size_t i = p->next;
  for (size_t left = p->count; left > 0 && n < max; left--, i++) {
    if (i >= p->count)
      i = 0;
    if (p->fds[i].revents != 0 && !(p->fds[i].revents & POLLNVAL)) {
      events[n].handle = p->fds[i].fd;
      events[n].tag = p->tags[i];
      events[n++].ready = mproc_posix_events(p->fds[i].revents);
    }
  }
  p->next = i;
  return n;
}

/* What was closed drops out by itself, as the other systems have it. */
static void drop_closed(mproc_pollset *p) {
  for (size_t i = p->count; i-- > 0;)
    if (p->fds[i].revents & POLLNVAL)
      drop_at(p, i);
}

mproc_status mproc_pollset_wait(mproc_pollset *p, mproc_time deadline,
                                mproc_pollevent *events, size_t max,
                                size_t *n) {
  int ready;
  *n = 0;
  if (p->signalled)
    deadline = 0;
  for (;;) {
    ready = mproc_posix_poll(p->fds, (nfds_t)p->count,
                             mproc_posix_time_left(deadline));
    if (ready < 0)
      return mproc_posix_failure(errno);
    if (ready == 0)
      return mproc_posix_timed_out(deadline);
    *n = tell(p, events, max);
    drop_closed(p);
    if (*n > 0)
      return MPROC_OK;
  }
}

/* ---- the set itself ---- */

mproc_handle mproc_pollset_handle(const mproc_pollset *p) {
  (void)p;
  return MPROC_NO_HANDLE;
}

mproc_status mproc_pollset_signal(mproc_pollset *p, bool on) {
  p->signalled = on;
  return MPROC_OK;
}

size_t mproc_pollset_want(const mproc_pollset *p, mproc_pollitem *items,
                          size_t max) {
  size_t n = max < p->count ? max : p->count;
  for (size_t i = 0; i < n; i++) {
    items[i].handle = p->fds[i].fd;
    items[i].events = mproc_posix_events(p->fds[i].events);
    items[i].ready = 0;
  }
  return n;
}

size_t mproc_pollset_want_count(const mproc_pollset *p) {
  return p->count;
}

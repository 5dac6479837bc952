/*
** queue.c: pollsets over a queue of the kernel's. What the queue does not take,
** files for one, is kept beside it: poll(2) calls it ready at any time.
*/
#include "platform/posix/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define OWN_TAG 0 /* mproc_pollset_set is given others */

struct mproc_pollset {
  const mproc_allocator *allocator;
  int64_t owner; /* the process that made it */
  int queue;
  int readable; /* the end of an ended pipe, or -1: while it is in the
                              queue, that is readable, too */
  bool signalled;
  mproc_pollevent *always; /* owned: what is always ready, in turn */
  size_t always_count;
  size_t always_capacity;
};

mproc_status mproc_pollset_new(const mproc_allocator *a, mproc_pollset **out) {
  mproc_pollset *p = (mproc_pollset *)mproc_alloc(a, sizeof *p);
  if (p == NULL)
    return MPROC_NOMEM;
  p->allocator = a;
  p->owner = mproc_os_pid();
  p->readable = -1;
  p->queue = mproc_posix_queue_open();
  if (p->queue < 0) {
    mproc_status st = mproc_posix_error();
    mproc_free(a, p, sizeof *p);
    return st;
  }
  *out = p;
  return MPROC_OK;
}

bool mproc_pollset_is_inherited(const mproc_pollset *p) {
  return p->owner != mproc_os_pid();
}

void mproc_pollset_free(mproc_pollset *p) {
  if (p == NULL)
    return;
  if (!mproc_pollset_is_inherited(p) || mproc_posix_queue_is_shared())
    close(p->queue);
  if (p->readable >= 0)
    close(p->readable);
  mproc_free(p->allocator, p->always, p->always_capacity * sizeof *p->always);
  mproc_free(p->allocator, p, sizeof *p);
}

/* ---- the queue's own readiness ---- */

/* Puts 'readable' into the queue, or takes it out, as is needed. */
static mproc_status update_readable(mproc_pollset *p) {
  if (!p->signalled && p->always_count == 0) {
    if (p->readable >= 0)
      mproc_posix_queue_remove(p->queue, p->readable);
    return MPROC_OK;
  }
  if (p->readable < 0) {
    int fd[2];
    if (mproc_posix_pipe(fd) != 0)
      return mproc_posix_error();
    close(fd[1]);
    p->readable = fd[0];
  }
  return mproc_status_system(
      mproc_posix_queue_set(p->queue, p->readable, MPROC_READ, OWN_TAG));
}

mproc_status mproc_pollset_signal(mproc_pollset *p, bool on) {
  mproc_status st = MPROC_OK;
  if (p->signalled != on && !mproc_pollset_is_inherited(p)) {
    p->signalled = on;
    st = update_readable(p);
    if (st != MPROC_OK)
      p->signalled = false;
  }
  return st;
}

/* ---- what is always ready ---- */

static void drop_at(mproc_pollset *p, size_t i) {
  p->always_count--;
  memmove(&p->always[i], &p->always[i + 1],
          (p->always_count - i) * sizeof *p->always);
}

static void drop_always(mproc_pollset *p, mproc_handle h) {
  for (size_t i = p->always_count; i-- > 0;)
    if (p->always[i].handle == h)
      drop_at(p, i);
  update_readable(p);
}

static mproc_status add_always(mproc_pollset *p, mproc_pollevent event) {
  const mproc_allocator *a = p->allocator;
  void *list = p->always;
  mproc_status st;
  if (p->always_count == p->always_capacity)
    list = mproc_grow(a, list, &p->always_capacity, sizeof *p->always);
  if (list == NULL)
    return MPROC_NOMEM;
  p->always = (mproc_pollevent *)list;
  p->always[p->always_count++] = event;
  st = update_readable(p);
  if (st != MPROC_OK)
    drop_always(p, event.handle);
  return st;
}

/* Writes at most 'max' of them, others each time. What was closed drops out. */
static size_t tell_always(mproc_pollset *p, mproc_pollevent *events,
                          size_t max) {
  size_t n = 0;
  for (size_t left = p->always_count; left > 0 && n < max; left--) {
    mproc_pollevent first = p->always[0];
    drop_at(p, 0);
    if (fcntl((int)first.handle, F_GETFD) >= 0) {
      p->always[p->always_count++] = first;
      events[n++] = first;
    }
  }
  if (n == 0)
    update_readable(p);
  return n;
}

/* ---- what is in it ---- */

mproc_status mproc_pollset_set(mproc_pollset *p, mproc_handle h, uint8_t events,
                               uint32_t tag) {
  mproc_pollevent event = {h, tag, events};
  int failed;
  /* its number may have been a file's before */
  if (events == 0 || p->always_count > 0)
    mproc_pollset_remove(p, h);
  if (events == 0)
    return MPROC_OK;
  failed = mproc_posix_queue_set(p->queue, (int)h, events, tag);
  return failed == EPERM ? add_always(p, event) : mproc_status_system(failed);
}

void mproc_pollset_remove(mproc_pollset *p, mproc_handle h) {
  if (mproc_pollset_is_inherited(p))
    return;
  mproc_posix_queue_remove(p->queue, (int)h);
  if (p->always_count > 0)
    drop_always(p, h);
}

/* ---- waiting ---- */

/* Takes 'readable', whose tag nobody else has, out of 'n' events; returns how
   many are left. */
static size_t without_readable(const mproc_pollset *p, mproc_pollevent *events,
                               size_t n) {
  size_t left = 0;
  for (size_t i = 0; i < n; i++)
    if (events[i].handle != p->readable || events[i].tag != OWN_TAG)
      events[left++] = events[i];
  return left;
}

mproc_status mproc_pollset_wait(mproc_pollset *p, mproc_time deadline,
                                mproc_pollevent *events, size_t max,
                                size_t *n) {
  size_t first = 0;
  int more;
  if (p->always_count > 0) /* half the room: the others have their turn, too */
    first = tell_always(p, events, (max + 1) / 2);
  if (first > 0 || p->signalled)
    deadline = 0;
  *n = first;
  more = mproc_posix_queue_wait(p->queue, mproc_posix_time_left(deadline),
                                events + first, max - first);
  if (more < 0 && first == 0)
    return mproc_posix_failure(errno);
  if (more > 0)
    *n += p->readable < 0 ? (size_t)more
                          : without_readable(p, events + first, (size_t)more);
  return *n > 0 ? MPROC_OK : mproc_posix_timed_out(deadline);
}

mproc_handle mproc_pollset_handle(const mproc_pollset *p) {
  return p->queue;
}

size_t mproc_pollset_want(const mproc_pollset *p, mproc_pollitem *items,
                          size_t max) {
  mproc_pollitem own = {p->queue, MPROC_READ, 0};
  if (max == 0)
    return 0;
  items[0] = own;
  return 1;
}

size_t mproc_pollset_want_count(const mproc_pollset *p) {
  (void)p;
  return 1;
}

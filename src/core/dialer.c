/*
** dialer.c: one attempt after the other, none of them blocking.
*/
#include "core/dialer.h"

#include <stddef.h>
#include <string.h>

#define ADDRESSES_MAX 8
#define PAUSE_FIRST (MPROC_SECOND / 1000)
#define PAUSE_LAST (MPROC_SECOND / 20)

struct mproc_dialer {
  const mproc_allocator *allocator;
  mproc_link *watches; /* its owner's */
  mproc_handle handle; /* connecting; MPROC_NO_HANDLE between attempts */
  mproc_time next;     /* when the next attempt may begin */
  mproc_time pause;    /* before the attempt after that one */
  size_t count;        /* addresses */
  size_t tried;        /* how many of them, in this round */
  bool retry;
  mproc_sockaddr addresses[]; /* 'count' of them */
};

static size_t size_with(size_t count) {
  return sizeof(mproc_dialer) + count * sizeof(mproc_sockaddr);
}

mproc_status mproc_dialer_new(const mproc_allocator *a, const mproc_address *to,
                              bool retry, mproc_link *watches,
                              mproc_dialer **out) {
  mproc_sockaddr addresses[ADDRESSES_MAX];
  size_t count = 0;
  mproc_dialer *d;
  mproc_status st =
      mproc_os_resolve(to, false, addresses, ADDRESSES_MAX, &count);
  if (st != MPROC_OK)
    return st;
  d = (mproc_dialer *)mproc_alloc(a, size_with(count));
  if (d == NULL)
    return MPROC_NOMEM;
  d->allocator = a;
  d->watches = watches;
  d->handle = MPROC_NO_HANDLE;
  d->pause = PAUSE_FIRST;
  d->retry = retry;
  d->count = count;
  memcpy(d->addresses, addresses, count * sizeof addresses[0]);
  *out = d;
  return MPROC_OK;
}

/* Another round, after a pause that doubles each time. */
static mproc_status rest(mproc_dialer *d, mproc_time now) {
  d->tried = 0;
  d->next = now + d->pause;
  d->pause = mproc_deadline_min(2 * d->pause, PAUSE_LAST);
  return MPROC_AGAIN;
}

/*
** Decides after a failed attempt. OK: try the next address at once.
** A full backlog is not a failure: someone is listening, and Python's blocking
** connect would wait, too; Linux just has no event for it (unix(7), EAGAIN).
*/
static mproc_status after_failure(mproc_dialer *d, mproc_time now,
                                  mproc_status st) {
  if (mproc_os_is_backlog_full(st))
    return rest(d, now);
  if (++d->tried < d->count)
    return MPROC_OK;
  if (d->retry && mproc_os_is_nobody_listening(st))
    return rest(d, now);
  return st;
}

static void drop_handle(mproc_dialer *d) {
  if (d->handle == MPROC_NO_HANDLE)
    return;
  mproc_watch_tell(d->watches, MPROC_RELEASED);
  mproc_os_close(d->handle);
  d->handle = MPROC_NO_HANDLE;
}

/* Begins an attempt, or looks how the one that is under way has come out. */
static mproc_status attempt(mproc_dialer *d) {
  mproc_status st;
  if (d->handle == MPROC_NO_HANDLE)
    return mproc_os_connect(&d->addresses[d->tried], &d->handle);
  st = mproc_os_connected(d->handle);
  if (st != MPROC_OK && st != MPROC_AGAIN)
    drop_handle(d);
  return st;
}

mproc_status mproc_dialer_step(mproc_dialer *d, mproc_time now,
                               mproc_handle *h) {
  mproc_status st = MPROC_OK;
  while (st == MPROC_OK) {
    if (d->handle == MPROC_NO_HANDLE && now < d->next)
      return MPROC_AGAIN;
    st = attempt(d);
    if (st == MPROC_OK) {
      *h = d->handle;
      return MPROC_OK;
    }
    if (st != MPROC_AGAIN)
      st = after_failure(d, now, st);
  }
  return st;
}

mproc_handle mproc_dialer_want(const mproc_dialer *d, mproc_time *wake) {
  *wake = d->handle == MPROC_NO_HANDLE ? d->next : MPROC_NEVER;
  return d->handle;
}

void mproc_dialer_release(mproc_dialer *d) {
  d->handle = MPROC_NO_HANDLE;
}

void mproc_dialer_free(mproc_dialer *d) {
  if (d == NULL)
    return;
  drop_handle(d);
  mproc_free(d->allocator, d, size_with(d->count));
}

/*
** opening.c: one step after the other until a channel is open.
*/
#include "core/opening.h"

#include "core/dialer.h"
#include "core/greeting.h"

struct mproc_opening {
  mproc_context *ctx;
  mproc_dialer *dialer;     /* only while connecting */
  mproc_greeting *greeting; /* NULL: there is no key */
  mproc_time deadline;      /* of connecting and handshake */
  double keepalive;         /* seconds */
  bool readahead;
  bool local;
  bool tuned;
  bool untimed; /* a client whose user has set no timeout */
};

/* ---- making one ---- */

static mproc_status new_opening(mproc_context *ctx, mproc_handshake_role role,
                                const mproc_connection_options *o,
                                mproc_opening **out) {
  mproc_status st = MPROC_OK;
  mproc_opening *p = (mproc_opening *)mproc_alloc(&ctx->allocator, sizeof *p);
  if (p == NULL)
    return MPROC_NOMEM;
  p->ctx = ctx;
  p->deadline = MPROC_NEVER;
  p->keepalive = o->keepalive;
  p->readahead = o->readahead;
  p->local = o->local;
  p->tuned = o->tuned;
  if (o->has_authkey)
    st = mproc_greeting_new(ctx, role, o->policy, o->authkey, &p->greeting);
  if (st == MPROC_OK)
    *out = p;
  else
    mproc_opening_free(p);
  return st;
}

/* The channel over a socket that we made or accepted. */
static mproc_status open_channel(const mproc_opening *p, mproc_handle h,
                                 mproc_channel **ch) {
  unsigned may = p->readahead ? MPROC_READAHEAD : 0;
  if (!p->ctx->slow)
    may |= MPROC_ALONE;
  if (!p->local && !p->tuned)
    mproc_os_tune(h, p->keepalive);
  if (!p->local)
    may |= MPROC_BY_READ;
  return mproc_channel_stream(&p->ctx->scratch, h, MPROC_SOCKET, may, ch);
}

mproc_status mproc_opening_accept(mproc_context *ctx, mproc_handle h,
                                  const mproc_connection_options *o,
                                  mproc_time deadline, mproc_opening **out,
                                  mproc_channel **ch) {
  mproc_opening *p;
  mproc_status st = new_opening(ctx, MPROC_LISTENER_ROLE, o, &p);
  if (st != MPROC_OK)
    return st;
  p->deadline = deadline;
  st = open_channel(p, h, ch);
  if (st == MPROC_OK)
    *out = p;
  else
    mproc_opening_free(p);
  return st;
}

mproc_status mproc_opening_dial(mproc_context *ctx, const mproc_address *to,
                                const mproc_connection_options *o,
                                const mproc_dial_options *dial,
                                mproc_link *watches, mproc_opening **out) {
  mproc_opening *p;
  mproc_status st = new_opening(ctx, MPROC_CLIENT_ROLE, o, &p);
  if (st != MPROC_OK)
    return st;
  p->local = to->family == MPROC_AF_UNIX;
  p->untimed = dial->timeout < 0;
  if (!p->untimed)
    p->deadline = mproc_deadline_after(mproc_os_now(), dial->timeout);
  st = mproc_dialer_new(&ctx->allocator, to, dial->retry, watches, &p->dialer);
  if (st == MPROC_OK)
    *out = p;
  else
    mproc_opening_free(p);
  return st;
}

/* ---- the steps ---- */

static mproc_status connect_step(mproc_opening *p, mproc_channel **ch) {
  mproc_handle h = MPROC_NO_HANDLE;
  mproc_time now = mproc_os_now();
  mproc_status st = mproc_dialer_step(p->dialer, now, &h);
  if (st == MPROC_OK)
    st = open_channel(p, h, ch);
  if (st != MPROC_OK)
    return st; /* NOMEM: the dialer keeps the handle for the next try */
  mproc_dialer_release(p->dialer);
  mproc_dialer_free(p->dialer);
  p->dialer = NULL;
  if (p->untimed && p->greeting != NULL)
    p->deadline = mproc_deadline_after(now, MPROC_HANDSHAKE_SECONDS);
  return st;
}

/* What has not ended by its deadline has failed of. */
static mproc_status lateness(const mproc_opening *p) {
  if (p->dialer != NULL)
    return MPROC_TIMEOUT;
  if (mproc_greeting_is_unanswered(p->greeting))
    return MPROC_AUTH_SILENT;
  return MPROC_AUTH_STALLED;
}

mproc_status mproc_opening_step(mproc_opening *p, mproc_channel **ch) {
  mproc_status st = MPROC_OK;
  if (p->dialer != NULL)
    st = connect_step(p, ch);
  if (st == MPROC_OK && p->greeting != NULL)
    st = mproc_greeting_step(p->greeting, *ch);
  if (st == MPROC_AGAIN && mproc_os_now() >= p->deadline)
    return lateness(p);
  return st;
}

void mproc_opening_want(const mproc_opening *p, const mproc_channel *ch,
                        mproc_pollitem *item, mproc_time *wake) {
  *wake = MPROC_NEVER;
  item->ready = 0;
  if (p->dialer != NULL) {
    item->handle = mproc_dialer_want(p->dialer, wake);
    item->events = MPROC_WRITE;
  } else {
    bool sends = p->greeting != NULL && mproc_greeting_sends(p->greeting, ch);
    item->handle = ch->ops->handle(ch);
    item->events = sends ? MPROC_WRITE : MPROC_READ;
  }
  *wake = mproc_deadline_min(*wake, p->deadline);
}

bool mproc_opening_postpone(mproc_opening *p, mproc_time by) {
  if (p->deadline == MPROC_NEVER)
    return false;
  p->deadline += by;
  return true;
}

/* ---- the end ---- */

void mproc_opening_free(mproc_opening *p) {
  if (p == NULL)
    return;
  mproc_dialer_free(p->dialer);
  mproc_greeting_free(p->greeting);
  mproc_free(&p->ctx->allocator, p, sizeof *p);
}

/*
** connection.c: the life of a connection, of which those are told who watch it.
*/
#include "core/connection_state.h"

const mproc_connection_options mproc_connection_defaults = {
    true,  true,      false,
    false, {NULL, 0}, {MPROC_SHA256, MPROC_DIGESTS_ALL},
    false, false,     UINT64_MAX,
    0};

/* ---- making one ---- */

static mproc_connection *new_connection(mproc_context *ctx,
                                        const mproc_connection_options *o) {
  mproc_connection *c =
      (mproc_connection *)mproc_alloc(&ctx->allocator, sizeof *c);
  if (c == NULL)
    return NULL;
  c->ctx = ctx;
  mproc_list_init(&c->watches);
  c->max_message = o->max_message;
  c->readable = o->readable;
  c->writable = o->writable;
  c->limit = MPROC_PATIENCE_LIMIT_MAX;
  return c;
}

mproc_status mproc_connection_adopt(mproc_context *ctx, mproc_handle h,
                                    const mproc_connection_options *o,
                                    mproc_connection **out) {
  mproc_handle_kind kind;
  mproc_connection *c;
  mproc_status st = mproc_os_kind(h, &kind);
  if (st != MPROC_OK)
    return st;
  c = new_connection(ctx, o);
  if (c == NULL)
    return MPROC_NOMEM;
  st = mproc_channel_stream(&ctx->scratch, h, kind,
                            o->readahead ? MPROC_READAHEAD : 0, &c->channel);
  if (st != MPROC_OK) {
    mproc_connection_free(c);
    return st;
  }
  c->state = OPEN;
  *out = c;
  return MPROC_OK;
}

mproc_status mproc_connection_greet(mproc_context *ctx, mproc_handle h,
                                    const mproc_connection_options *o,
                                    mproc_time deadline,
                                    mproc_connection **out) {
  mproc_connection *c = new_connection(ctx, o);
  mproc_status st;
  if (c == NULL)
    return MPROC_NOMEM;
  st = mproc_opening_accept(ctx, h, o, deadline, &c->opening, &c->channel);
  if (st != MPROC_OK) {
    mproc_connection_free(c);
    return st;
  }
  *out = c;
  return MPROC_OK;
}

mproc_status mproc_connection_dial(mproc_context *ctx, const mproc_address *to,
                                   const mproc_connection_options *o,
                                   const mproc_dial_options *dial,
                                   mproc_connection **out) {
  mproc_connection *c = new_connection(ctx, o);
  mproc_status st;
  if (c == NULL)
    return MPROC_NOMEM;
  c->may_be_asked = !o->has_authkey;
  st = mproc_opening_dial(ctx, to, o, dial, &c->watches, &c->opening);
  if (st != MPROC_OK) {
    mproc_connection_free(c);
    return st;
  }
  *out = c;
  return MPROC_OK;
}

/* ---- opening ---- */

static void close_channel(mproc_connection *c) {
  mproc_channel *ch = c->channel;
  if (ch == NULL)
    return;
  mproc_watch_tell(&c->watches, MPROC_RELEASED);
  c->channel = NULL;
  ch->ops->free(ch);
}

static void end_opening(mproc_connection *c) {
  mproc_opening *p = c->opening;
  c->opening = NULL;
  mproc_opening_free(p);
}

static mproc_status advance(mproc_connection *c) {
  mproc_status st = mproc_opening_step(c->opening, &c->channel);
  if (st == MPROC_AGAIN || st == MPROC_NOMEM)
    return st;
  c->state = st == MPROC_OK ? OPEN : FAILED;
  c->untold = (int16_t)st;
  end_opening(c);
  if (st != MPROC_OK)
    close_channel(c);
  return st;
}

/* What those who watch it go by, while it is not open. */
typedef struct Outlook {
  mproc_pollitem item;
  mproc_time wake;
  uint8_t state;
} Outlook;

static Outlook outlook(const mproc_connection *c) {
  Outlook o;
  mproc_connection_want(c, MPROC_READ, &o.item, &o.wake);
  o.state = c->state;
  return o;
}

/* Tells of a change only: two who watch the same would wake each other else. */
static void tell_change(mproc_connection *c, const Outlook *before) {
  Outlook now = outlook(c);
  if (now.item.handle != before->item.handle ||
      now.item.events != before->item.events || now.wake != before->wake ||
      now.state != before->state)
    mproc_watch_tell(&c->watches, MPROC_TOUCHED);
}

mproc_status mproc_connection_step(mproc_connection *c) {
  Outlook before;
  mproc_status st;
  if (c->state == OPEN)
    return MPROC_OK;
  if (c->state == FAILED)
    return c->untold;
  before = outlook(c);
  st = advance(c);
  tell_change(c, &before);
  return st;
}

void mproc_connection_postpone(mproc_connection *c, mproc_time by) {
  if (c->opening != NULL && mproc_opening_postpone(c->opening, by))
    mproc_watch_tell(&c->watches, MPROC_TOUCHED);
}

/* ---- what it waits for ---- */

void mproc_connection_want(const mproc_connection *c, uint8_t events,
                           mproc_pollitem *item, mproc_time *wake) {
  if (c->state == OPENING) {
    mproc_opening_want(c->opening, c->channel, item, wake);
    return;
  }
  item->handle = mproc_connection_handle(c);
  item->events = events;
  if (mproc_connection_holds_ours(c))
    item->events |= MPROC_WRITE;
  item->ready = 0;
  *wake = MPROC_NEVER;
}

bool mproc_connection_is_touched(const mproc_connection *c,
                                 const mproc_pollitem *item) {
  uint8_t telling = c->state == OPEN ? MPROC_READ : MPROC_READ | MPROC_WRITE;
  return (item->ready & telling) != 0;
}

/* ---- who watches it ---- */

mproc_link *mproc_connection_watches(mproc_connection *c) {
  return &c->watches;
}

void mproc_connection_unwatch(mproc_connection *c) {
  mproc_watch_tell(&c->watches, MPROC_ENDED);
}

bool mproc_connection_has_news(const mproc_connection *c) {
  return c->unannounced && c->state == OPEN;
}

void mproc_connection_announce(mproc_connection *c) {
  c->unannounced = true;
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
}

void mproc_connection_heard(mproc_connection *c) {
  c->unannounced = false;
}

void mproc_connection_reserve(mproc_connection *c, bool reserved) {
  c->reserved = reserved;
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
}

bool mproc_connection_is_reserved(const mproc_connection *c) {
  return c->reserved && c->state == OPENING;
}

/* ---- what it is, and its end ---- */

bool mproc_connection_is_open(const mproc_connection *c) {
  return c->state == OPEN;
}

bool mproc_connection_is_closed(const mproc_connection *c) {
  return c->state != OPENING && c->channel == NULL;
}

bool mproc_connection_is_readable(const mproc_connection *c) {
  return c->readable;
}

mproc_handle mproc_connection_handle(const mproc_connection *c) {
  if (c->channel == NULL)
    return MPROC_NO_HANDLE;
  return c->channel->ops->handle(c->channel);
}

mproc_status mproc_connection_lose_place(mproc_connection *c) {
  c->lost_place = true;
  if (c->writable)
    c->readable = false;
  else
    close_channel(c);
  return MPROC_BAD_LENGTH;
}

void mproc_connection_share(mproc_connection *c) {
  if (c->channel != NULL)
    c->channel->ops->share(c->channel);
}

mproc_handle mproc_connection_detach(mproc_connection *c) {
  mproc_channel *ch = c->channel;
  mproc_handle h = MPROC_NO_HANDLE;
  mproc_connection_unwatch(c);
  c->channel = NULL;
  if (ch != NULL)
    h = ch->ops->detach(ch);
  mproc_connection_free(c);
  return h;
}

void mproc_connection_free(mproc_connection *c) {
  if (c == NULL)
    return;
  end_opening(c);
  close_channel(c);
  mproc_connection_unwatch(c);
  mproc_free(&c->ctx->allocator, c, sizeof *c);
}

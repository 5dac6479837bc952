/*
** connection.c: the messages of a connection, and who watches it.
*/
#include "core/connection.h"

#include <assert.h>

#include "core/channel.h"

typedef enum State { OPENING, OPEN, FAILED } State;

/* There may be thousands: it is packed. */
struct mproc_connection {
  mproc_context *ctx;
  mproc_link watches;
  mproc_channel *channel; /* NULL while connecting and once it is closed */
  mproc_opening *opening; /* only while OPENING */
  uint64_t max_message;
  uint32_t holder; /* the process whose message the channel holds */
  int16_t untold;  /* a status: how sending failed while we were receiving, or
                     OK; why it has FAILED */
  uint8_t state : 2;
  uint8_t limit : 6; /* of its receives' patience */
  bool readable : 1;
  bool writable : 1;
  bool corked : 1;       /* messages wait for each other */
  bool lost_place : 1;   /* a length was bad: nothing can be read any more */
  bool may_be_asked : 1; /* a client without key, before its first message */
  bool unsettled : 1;    /* a handle was sent and is not acknowledged yet */
  bool unannounced : 1;  /* see mproc_connection_has_news */
  bool reserved : 1;     /* see mproc_connection_reserve */
};

const mproc_connection_options mproc_connection_defaults = {
    true,  true,      false,
    false, {NULL, 0}, {MPROC_SHA256, MPROC_DIGESTS_ALL},
    false, false,     UINT64_MAX,
    0};

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

/* ---- messages ---- */

/* The failure that nobody was told of yet; OK: there is none. */
static mproc_status take_untold(mproc_connection *c) {
  mproc_status st = c->untold;
  c->untold = MPROC_OK;
  return st;
}

/*
** Whether the channel holds a message. One that was begun before a fork(2) is
** its parent's: sent from the child, too, it would tear the stream.
*/
static bool holds(const mproc_connection *c) {
  return c->channel->ops->holds(c->channel);
}

static bool is_ours(const mproc_connection *c) {
  return c->holder == (uint32_t)mproc_os_pid();
}

static mproc_status send_now(mproc_connection *c, mproc_view message) {
  mproc_status st;
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  if (holds(c))
    return MPROC_NOT_OURS; /* ours would have been flushed first */
  st = c->channel->ops->send(c->channel, message);
  if (st == MPROC_OK && holds(c))
    c->holder = (uint32_t)mproc_os_pid();
  return st;
}

mproc_status mproc_connection_send(mproc_connection *c, mproc_view message) {
  mproc_status st;
  if (c->corked) {
    size_t accepted;
    return mproc_connection_queue(c, &message, 1, &accepted);
  }
  st = take_untold(c);
  assert(c->state == OPEN && c->channel != NULL);
  return st == MPROC_OK ? send_now(c, message) : st;
}

/* One message, after those that are queued already. */
static mproc_status queue_one(mproc_channel *ch, mproc_view message) {
  bool is_short = message.size <= MPROC_COPY_MAX;
  mproc_status st = is_short ? ch->ops->queue(ch, message) : MPROC_AGAIN;
  if (st != MPROC_AGAIN)
    return st;
  st = ch->ops->flush(ch);
  if (st != MPROC_OK)
    return st;
  return is_short ? ch->ops->queue(ch, message) : ch->ops->send(ch, message);
}

mproc_status mproc_connection_queue(mproc_connection *c,
                                    const mproc_view *messages, size_t n,
                                    size_t *accepted) {
  mproc_status st = take_untold(c);
  size_t i = 0;
  *accepted = 0;
  assert(c->state == OPEN && c->channel != NULL);
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  if (st != MPROC_OK || n == 0)
    return st;
  if (!holds(c))
    c->holder = (uint32_t)mproc_os_pid();
  else if (!is_ours(c))
    return MPROC_NOT_OURS;
  do {
    st = queue_one(c->channel, messages[i]);
    if (st == MPROC_OK)
      i++;
  } while (st == MPROC_OK && i < n && messages[i - 1].size <= MPROC_COPY_MAX);
  *accepted = i;
  return i > 0 ? MPROC_OK : st;
}

void mproc_connection_cork(mproc_connection *c, bool corked) {
  c->corked = corked;
}

bool mproc_connection_is_corked(const mproc_connection *c) {
  return c->corked;
}

mproc_status mproc_connection_flush(mproc_connection *c) {
  mproc_status st = take_untold(c);
  if (st == MPROC_OK && mproc_connection_holds(c)) {
    st = c->channel->ops->flush(c->channel);
    if (st != MPROC_AGAIN)
      mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  }
  return st;
}

/* Sends on what is held: the peer may wait for it before it answers. */
static void pump(mproc_connection *c) {
  if (mproc_connection_holds(c)) {
    mproc_status st = c->channel->ops->flush(c->channel);
    if (st != MPROC_AGAIN) {
      c->untold = (int16_t)st;
      mproc_watch_tell(&c->watches, MPROC_TOUCHED);
    }
  }
}

bool mproc_connection_holds(const mproc_connection *c) {
  /* what a handshake holds is its own affair */
  return c->state == OPEN && c->channel != NULL && holds(c) && is_ours(c);
}

/* The stream has lost its place (CPython, _bad_message_length). */
static mproc_status bad_length(mproc_connection *c) {
  c->lost_place = true;
  if (c->writable)
    c->readable = false;
  else
    close_channel(c);
  return MPROC_BAD_LENGTH;
}

void mproc_connection_settimeout(mproc_connection *c, double seconds) {
  c->limit = mproc_patience_limit(seconds);
}

/* What a receive does before it asks the channel. */
static mproc_status begin_recv(mproc_connection *c, uint64_t *max) {
  if (c->lost_place)
    return MPROC_BAD_LENGTH;
  assert(c->state == OPEN && c->channel != NULL);
  if (!c->corked)
    pump(c);
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  if (*max > c->max_message)
    *max = c->max_message;
  return mproc_connection_settle(c);
}

/* What it makes of the channel's answer. */
static mproc_status end_recv(mproc_connection *c, mproc_status st,
                             const mproc_view *message) {
  if (st == MPROC_AGAIN && c->corked)
    pump(c); /* nobody answers what has not left */
  if (st == MPROC_BAD_LENGTH)
    return bad_length(c);
  if (st == MPROC_OK && c->may_be_asked &&
      mproc_handshake_is_challenge(*message))
    return MPROC_AUTH_UNASKED;
  return st;
}

/* NULL: it must not wait, since it has to go on sending meanwhile. */
static const mproc_patience *patience(const mproc_connection *c,
                                      mproc_time deadline, bool begun,
                                      mproc_patience *p) {
  p->deadline = deadline;
  p->begun = begun;
  p->limit = c->limit;
  return deadline == 0 || holds(c) ? NULL : p;
}

mproc_status mproc_connection_recv_waiting(mproc_connection *c, uint64_t max,
                                           mproc_time deadline, bool begun,
                                           mproc_view *message) {
  mproc_patience p;
  mproc_status st = begin_recv(c, &max);
  if (st != MPROC_OK)
    return st;
  st = c->channel->ops->recv_waiting(c->channel, max,
                                     patience(c, deadline, begun, &p), message);
  return end_recv(c, st, message);
}

mproc_status mproc_connection_recv(mproc_connection *c, uint64_t max,
                                   mproc_view *message) {
  return mproc_connection_recv_waiting(c, max, 0, false, message);
}

mproc_status mproc_connection_recv_into(mproc_connection *c,
                                        mproc_time deadline, bool begun,
                                        uint8_t *to, size_t room, bool *placed,
                                        mproc_view *message) {
  mproc_patience p;
  uint64_t max = UINT64_MAX;
  mproc_status st = begin_recv(c, &max);
  *placed = false;
  if (st != MPROC_OK)
    return st;
  st = c->channel->ops->recv_into(c->channel, max,
                                  patience(c, deadline, begun, &p), to, room,
                                  placed, message);
  if (*placed) { /* which is a pop, too */
    c->may_be_asked = false;
    mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  }
  return end_recv(c, st, message);
}

void mproc_connection_pop(mproc_connection *c) {
  c->may_be_asked = false;
  c->channel->ops->pop(c->channel);
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
}

mproc_status mproc_connection_ready(mproc_connection *c, bool readable) {
  bool was_open = c->state == OPEN;
  mproc_status st = mproc_connection_step(c);
  if (st != MPROC_OK)
    return st == MPROC_AGAIN || st == MPROC_NOMEM ? st : MPROC_OK;
  if (c->lost_place)
    return MPROC_OK;
  if (!was_open)
    readable = false; /* it was the handshake's last message that made it so */
  pump(c);
  if (readable) /* what it takes from the system, others find only here */
    mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  if (c->unsettled) {
    st = readable ? mproc_connection_settle(c) : MPROC_AGAIN;
    if (st != MPROC_OK)
      return st == MPROC_AGAIN ? st : MPROC_OK;
    readable = false; /* what was seen may have been the acknowledgement */
  }
  return c->channel->ops->ready(c->channel, c->max_message, readable);
}

bool mproc_connection_is_idle(const mproc_connection *c) {
  mproc_channel *ch = c->channel;
  return c->state == OPEN && !c->lost_place && !c->unsettled && ch != NULL &&
         !ch->ops->holds(ch) && !ch->ops->buffers(ch) &&
         ch->ops->ready(ch, UINT64_MAX, false) == MPROC_AGAIN;
}

/* ---- handles ---- */

mproc_status mproc_connection_settle(mproc_connection *c) {
  uint8_t byte = 0;
  size_t got = 0;
  mproc_status st;
  if (!c->unsettled)
    return MPROC_OK;
  st = mproc_os_read(mproc_connection_handle(c), MPROC_SOCKET, &byte, 1, &got);
  if (st == MPROC_AGAIN)
    return st;
  c->unsettled = false;
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  if (st == MPROC_OK && byte != 'A')
    return bad_length(c);
  return st;
}

mproc_status mproc_connection_send_handle(mproc_connection *c,
                                          mproc_handle passed) {
  mproc_status st = take_untold(c);
  assert(c->state == OPEN && c->channel != NULL);
  if (st == MPROC_OK && holds(c))
    st = MPROC_NOT_OURS;
  if (st == MPROC_OK)
    st = mproc_connection_settle(c);
  if (st == MPROC_OK && mproc_connection_buffers(c))
    st = MPROC_BUFFERED;
  if (st == MPROC_OK)
    st = mproc_os_send_handle(mproc_connection_handle(c), passed);
  if (st == MPROC_OK)
    c->unsettled = mproc_os_acknowledges_handles();
  return st;
}

mproc_status mproc_connection_recv_handle(mproc_connection *c,
                                          mproc_handle *passed) {
  mproc_status st;
  if (c->lost_place)
    return MPROC_BAD_LENGTH;
  assert(c->state == OPEN && c->channel != NULL);
  pump(c);
  st = mproc_connection_settle(c);
  if (st == MPROC_OK && mproc_connection_buffers(c))
    st = MPROC_BUFFERED;
  if (st == MPROC_OK)
    st = mproc_os_recv_handle(mproc_connection_handle(c), passed);
  return st;
}

bool mproc_connection_buffers(const mproc_connection *c) {
  return c->channel != NULL && c->channel->ops->buffers(c->channel);
}

void mproc_connection_want(const mproc_connection *c, uint8_t events,
                           mproc_pollitem *item, mproc_time *wake) {
  if (c->state == OPENING) {
    mproc_opening_want(c->opening, c->channel, item, wake);
    return;
  }
  item->handle = mproc_connection_handle(c);
  item->events = events;
  if (mproc_connection_holds(c))
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

/*
** connection_messages.c: the messages that a connection sends and receives.
*/
#include "core/connection_state.h"

#include <assert.h>

/* ---- sending ---- */

static mproc_status send_now(mproc_connection *c, mproc_view message) {
  mproc_status st;
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  if (mproc_connection_is_sending(c))
    return MPROC_NOT_OURS; /* ours would have been flushed first */
  st = c->channel->ops->send(c->channel, message);
  if (st == MPROC_OK && mproc_connection_is_sending(c))
    c->holder = (uint32_t)mproc_os_pid();
  return st;
}

mproc_status mproc_connection_send(mproc_connection *c, mproc_view message) {
  mproc_status st;
  if (c->corked) {
    size_t accepted;
    return mproc_connection_queue(c, &message, 1, &accepted);
  }
  st = mproc_connection_take_untold(c);
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
  mproc_status st = mproc_connection_take_untold(c);
  size_t i = 0;
  *accepted = 0;
  assert(c->state == OPEN && c->channel != NULL);
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  if (st != MPROC_OK || n == 0)
    return st;
  if (!mproc_connection_is_sending(c))
    c->holder = (uint32_t)mproc_os_pid();
  else if (!mproc_connection_is_ours(c))
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
  mproc_status st = mproc_connection_take_untold(c);
  if (st == MPROC_OK && mproc_connection_holds_ours(c)) {
    st = c->channel->ops->flush(c->channel);
    if (st != MPROC_AGAIN)
      mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  }
  return st;
}

size_t mproc_connection_held(const mproc_connection *c) {
  return mproc_connection_holds_ours(c) ? c->channel->ops->held(c->channel) : 0;
}

bool mproc_connection_holds(const mproc_connection *c) {
  return mproc_connection_holds_ours(c);
}

/* ---- receiving ---- */

void mproc_connection_settimeout(mproc_connection *c, double seconds) {
  c->limit = mproc_patience_limit(seconds);
}

/* What a receive does before it asks the channel. */
static mproc_status begin_recv(mproc_connection *c, uint64_t *max) {
  if (c->lost_place)
    return MPROC_BAD_LENGTH;
  assert(c->state == OPEN && c->channel != NULL);
  if (!c->corked)
    mproc_connection_pump(c);
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  if (*max > c->max_message)
    *max = c->max_message;
  return c->unsettled ? mproc_connection_settle(c) : MPROC_OK;
}

/* What it makes of the channel's answer. */
static mproc_status end_recv(mproc_connection *c, mproc_status st,
                             const mproc_view *message) {
  if (st == MPROC_AGAIN && c->corked)
    mproc_connection_pump(c); /* nobody answers what has not left */
  if (st == MPROC_BAD_LENGTH)
    return mproc_connection_lose_place(c);
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
  return deadline == 0 || mproc_connection_is_sending(c) ? NULL : p;
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

bool mproc_connection_next(const mproc_connection *c, mproc_view *message) {
  mproc_channel *ch = c->channel;
  return c->state == OPEN && ch != NULL && !c->lost_place && !c->unsettled &&
         !c->may_be_asked && !c->unannounced && !c->ctx->slow &&
         ch->ops->next(ch, c->max_message, message);
}

void mproc_connection_pop(mproc_connection *c) {
  c->may_be_asked = false;
  c->channel->ops->pop(c->channel);
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
}

mproc_status mproc_connection_ready(mproc_connection *c, bool readable) {
  bool was_open = c->state == OPEN;
  mproc_status st = was_open ? MPROC_OK : mproc_connection_step(c);
  if (st != MPROC_OK)
    return st == MPROC_AGAIN || st == MPROC_NOMEM ? st : MPROC_OK;
  if (c->lost_place)
    return MPROC_OK;
  if (!was_open)
    readable = false; /* it was the handshake's last message that made it so */
  mproc_connection_pump(c);
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
         ch->ops->idle(ch);
}

bool mproc_connection_buffers(const mproc_connection *c) {
  return c->channel != NULL && c->channel->ops->buffers(c->channel);
}

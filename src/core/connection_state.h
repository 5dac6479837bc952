/*
** connection_state.h: what a connection consists of. Only for connection.c,
** connection_messages.c and connection_handles.c, which share it: nobody else
** includes this.
**
** What has its body here is on the way of each message.
*/
#ifndef MPROC_CONNECTION_STATE_H
#define MPROC_CONNECTION_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/channel.h"
#include "core/connection.h"

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

/* ---- connection.c ---- */

/*
** The stream has lost its place (CPython, _bad_message_length): nothing can be
** read any more. Returns BAD_LENGTH.
*/
mproc_status mproc_connection_lose_place(mproc_connection *c);

/* ---- what is held ---- */

/* The failure that nobody was told of yet; OK: there is none. */
static inline mproc_status mproc_connection_take_untold(mproc_connection *c) {
  mproc_status st = c->untold;
  c->untold = MPROC_OK;
  return st;
}

/*
** Whether the channel, which is there, holds a message. One that was begun
** before a fork(2) is its parent's: sent from the child, too, it would tear the
** stream.
*/
static inline bool mproc_connection_is_sending(const mproc_connection *c) {
  return c->channel->ops->held(c->channel) > 0;
}

/* Whether a message that the channel holds is this process's. */
static inline bool mproc_connection_is_ours(const mproc_connection *c) {
  return c->holder == (uint32_t)mproc_os_pid();
}

/* As mproc_connection_holds. */
static inline bool mproc_connection_holds_ours(const mproc_connection *c) {
  /* what a handshake holds is its own affair */
  return c->state == OPEN && c->channel != NULL &&
         mproc_connection_is_sending(c) && mproc_connection_is_ours(c);
}

/* Sends on what is held: the peer may wait for it before it answers. */
static inline void mproc_connection_pump(mproc_connection *c) {
  if (mproc_connection_holds_ours(c)) {
    mproc_status st = c->channel->ops->flush(c->channel);
    if (st != MPROC_AGAIN) {
      c->untold = (int16_t)st;
      mproc_watch_tell(&c->watches, MPROC_TOUCHED);
    }
  }
}

#endif

/*
** greeting.c: the machine's messages, queued and fetched.
*/
#include "core/greeting.h"

#include <string.h>

struct mproc_greeting {
  mproc_context *ctx;
  mproc_handshake machine;
  mproc_status outcome; /* AGAIN: more messages are to come */
  mproc_view unsent;    /* what the channel has not queued yet; in 'machine' */
  bool begun;
  size_t key_size;
  uint8_t key[1]; /* key_size bytes */
};

static size_t size_with(size_t key_size) {
  return sizeof(mproc_greeting) + key_size;
}

mproc_status mproc_greeting_new(mproc_context *ctx, mproc_handshake_role role,
                                mproc_handshake_policy policy, mproc_view key,
                                mproc_greeting **out) {
  uint8_t nonce[MPROC_HANDSHAKE_NONCE];
  mproc_crypto *crypto;
  mproc_greeting *g;
  mproc_status st = mproc_context_crypto(ctx, &crypto);
  if (st == MPROC_OK)
    st = mproc_digest_random(nonce, sizeof nonce);
  if (st != MPROC_OK)
    return st;
  g = (mproc_greeting *)mproc_alloc(&ctx->allocator, size_with(key.size));
  if (g == NULL)
    return MPROC_NOMEM;
  g->ctx = ctx;
  mproc_handshake_begin(&g->machine, crypto, role, policy, nonce);
  mproc_digest_wipe(nonce, sizeof nonce);
  g->outcome = MPROC_AGAIN;
  g->key_size = key.size;
  if (key.size > 0)
    memcpy(g->key, key.data, key.size);
  *out = g;
  return MPROC_OK;
}

void mproc_greeting_free(mproc_greeting *g) {
  if (g == NULL)
    return;
  mproc_handshake_end(&g->machine);
  mproc_digest_wipe(g->key, g->key_size);
  mproc_free(&g->ctx->allocator, g, size_with(g->key_size));
}

/* ---- sending ---- */

/*
** Why a message cannot be sent: what the peer said last, or how it left, tells
** more than a broken pipe does.
*/
static mproc_status why_unsent(mproc_channel *ch, mproc_status st) {
  mproc_view ignored;
  mproc_status last = ch->ops->recv(ch, MPROC_HANDSHAKE_MESSAGE_MAX, &ignored);
  return last == MPROC_OK || last == MPROC_AGAIN ? st : last;
}

/* Queues the machine's last message, and what may follow it at once. */
static mproc_status queue(mproc_greeting *g, mproc_channel *ch) {
  mproc_status st = MPROC_OK;
  while (st == MPROC_OK && g->unsent.size > 0) {
    st = ch->ops->queue(ch, g->unsent);
    if (st != MPROC_OK)
      break;
    g->unsent.size = 0;
    if (g->outcome == MPROC_AGAIN)
      mproc_handshake_ahead(&g->machine, &g->unsent);
  }
  return st;
}

/*
** Has the machine's messages on their way, or says AGAIN. As long as the peer's
** next one is here already, ours wait for each other. '*asked': they have left
** just now, so that no answer can be here before somebody has waited.
*/
static mproc_status send(mproc_greeting *g, mproc_channel *ch, bool *asked) {
  mproc_status st = queue(g, ch);
  *asked = false;
  if (st != MPROC_OK)
    return st;
  if (g->outcome == MPROC_AGAIN && ch->ops->buffers(ch) &&
      ch->ops->ready(ch, MPROC_HANDSHAKE_MESSAGE_MAX, false) == MPROC_OK)
    return MPROC_OK;
  *asked = ch->ops->held(ch) > 0;
  st = ch->ops->flush(ch);
  return mproc_os_is_hang_up(st) ? why_unsent(ch, st) : st;
}

/* ---- receiving ---- */

/* Feeds the machine the message that it waits for, once that is here. */
static mproc_status receive(mproc_greeting *g, mproc_channel *ch) {
  mproc_view key = {g->key, g->key_size};
  mproc_view in = {NULL, 0};
  mproc_status st;
  if (!g->begun) {
    g->begun = true;
    g->outcome = mproc_handshake_next(&g->machine, key, NULL, &g->unsent);
    return MPROC_OK;
  }
  st = ch->ops->recv(ch, MPROC_HANDSHAKE_MESSAGE_MAX, &in);
  if (st == MPROC_OK) {
    g->outcome = mproc_handshake_next(&g->machine, key, &in, &g->unsent);
    ch->ops->pop(ch);
  } else if (st == MPROC_BAD_LENGTH) {
    in.size = MPROC_HANDSHAKE_MESSAGE_MAX + 1; /* it says so to the peer */
    g->outcome = mproc_handshake_next(&g->machine, key, &in, &g->unsent);
    st = MPROC_OK;
  }
  return st;
}

/* ---- both ---- */

mproc_status mproc_greeting_step(mproc_greeting *g, mproc_channel *ch) {
  mproc_status st = MPROC_OK;
  bool is_first = !g->begun; /* the connection has just been made */
  while (st == MPROC_OK) {
    bool asked;
    st = send(g, ch, &asked);
    if (st == MPROC_OK && g->outcome != MPROC_AGAIN) {
      st = g->outcome;
      break;
    }
    if (st == MPROC_OK)
      st = asked || (is_first && g->begun) ? MPROC_AGAIN : receive(g, ch);
  }
  /* A peer that left before it could read our #FAILURE# has failed no less. */
  if (st != MPROC_AGAIN && st != MPROC_NOMEM && g->outcome != MPROC_AGAIN)
    st = g->outcome;
  else if (mproc_os_is_hang_up(st))
    st = MPROC_EOF; /* a write has found out, not a read: it is the same */
  return st;
}

bool mproc_greeting_sends(const mproc_greeting *g, const mproc_channel *ch) {
  return g->unsent.size > 0 || ch->ops->held(ch) > 0;
}

bool mproc_greeting_is_unanswered(const mproc_greeting *g) {
  return mproc_handshake_unanswered(&g->machine);
}

/*
** handshake.h: the authentication of a connection as a state machine: a
** message in, a message out, an outcome. It does no I/O and draws no
** randomness of its own.
**
** With an authkey the listener's side delivers a challenge and then answers
** one; the client's side answers first and then delivers. One round:
**
**   deliverer                                   answerer
**   "#CHALLENGE#" + message   ---------->
**                             <----------   response
**   "#WELCOME#" | "#FAILURE#" ---------->
**
** Two wires (CPython, multiprocessing/connection.py): up to 3.11 a message of
** 20 random bytes, answered by the raw HMAC-MD5; from 3.12 on "{digest}" and
** 40 random bytes, answered by "{digest}" and the HMAC of the whole message,
** prefix included. An answerer tells them apart by the message's length, a
** deliverer by the response's, so each of the four pairings works.
*/
#ifndef MPROC_HANDSHAKE_H
#define MPROC_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/digest.h"
#include "core/status.h"

/* the longest message of either side; else AUTH_OVERSIZE */
#define MPROC_HANDSHAKE_MESSAGE_MAX 256
/* random bytes in our challenge */
#define MPROC_HANDSHAKE_NONCE 40
/* "{digest}" and the nonce */
#define MPROC_HANDSHAKE_CHALLENGE_MAX 50
/* the longest that we send: "#CHALLENGE#" and that */
#define MPROC_HANDSHAKE_OUT_MAX 61

/* What our side does, in order. */
typedef enum mproc_handshake_role {
  MPROC_DELIVER_ONLY,  /* the public deliver_challenge */
  MPROC_ANSWER_ONLY,   /* the public answer_challenge */
  MPROC_LISTENER_ROLE, /* delivers, then answers */
  MPROC_CLIENT_ROLE    /* answers, then delivers */
} mproc_handshake_role;

/* What both ends of it must agree on, and what we insist on. */
typedef struct mproc_handshake_policy {
  mproc_digest challenge;    /* what our challenge asks for */
  mproc_digest_set accepted; /* what we accept and answer with; the old wire
                                counts as MPROC_MD5 */
} mproc_handshake_policy;

typedef struct mproc_handshake mproc_handshake;

/*
** The size of a handshake, for whoever wants to place it in memory of their
** own. It holds the nonce and the last message, both wiped by
** mproc_handshake_end, and never the key.
*/
struct mproc_handshake {
  mproc_crypto *crypto; /* not owned */
  mproc_handshake_policy policy;
  uint8_t state;       /* enum in handshake.c */
  uint8_t rounds_left; /* rounds after this one: 0 or 1 */
  bool ahead;          /* our challenge has left before the verdict came */
  uint8_t out_size;
  uint8_t challenge_size;
  uint8_t challenge[MPROC_HANDSHAKE_CHALLENGE_MAX];
  uint8_t out[MPROC_HANDSHAKE_OUT_MAX]; /* what the caller is to send */
};

/*
** Begins: nothing is sent yet, the first mproc_handshake_next makes the first
** message where our side speaks first. 'nonce' are fresh random bytes for our
** challenge (not used by MPROC_ANSWER_ONLY). 'crypto' stays the caller's and
** must outlive 'h'.
*/
void mproc_handshake_begin(mproc_handshake *h, mproc_crypto *crypto,
                           mproc_handshake_role role,
                           mproc_handshake_policy policy,
                           const uint8_t nonce[MPROC_HANDSHAKE_NONCE]);

/*
** Goes one message further. 'in' is the message that came, NULL in the first
** call only. In every outcome the caller first sends '*out' where its size is
** not 0; it lives in 'h' and stays until the next call.
** OK: both sides have shown that they know the key; done once '*out' is sent.
** AGAIN: call again with the next message.
** AUTH_...: failed, for good.
** 'key' is the authkey; an empty one is a key.
*/
mproc_status mproc_handshake_next(mproc_handshake *h, mproc_view key,
                                  const mproc_view *in, mproc_view *out);

/*
** A client's challenge need not wait for the verdict on its response: after
** mproc_handshake_next said AGAIN, and its '*out' has been copied, the message
** that may follow at once. '*out' as there. False: there is none.
*/
bool mproc_handshake_ahead(mproc_handshake *h, mproc_view *out);

/*
** Whether it is still waiting for the very first challenge: a peer that says
** nothing then probably has no authkey (cpython#123736).
*/
bool mproc_handshake_unanswered(const mproc_handshake *h);

/* Whether 'message' looks like a challenge of either wire. */
bool mproc_handshake_is_challenge(mproc_view message);

/* Wipes all of it. May be called in any state, and twice. */
void mproc_handshake_end(mproc_handshake *h);

#endif

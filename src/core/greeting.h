/*
** greeting.h: a handshake (handshake.h) over a channel (channel.h), without
** blocking: which messages leave together, and what a channel's failure means
** in the middle of one.
*/
#ifndef MPROC_GREETING_H
#define MPROC_GREETING_H

#include <stdbool.h>

#include "core/bytes.h"
#include "core/channel.h"
#include "core/context.h"
#include "core/handshake.h"
#include "core/status.h"

typedef struct mproc_greeting mproc_greeting;

/*
** Begins one, over no channel yet. OK: '*g' is the caller's, with a copy of
** 'key'. NOMEM. AUTH_CRYPTO: OpenSSL has no HMAC, or no randomness, to give.
** 'ctx' must outlive it.
*/
mproc_status mproc_greeting_new(mproc_context *ctx, mproc_handshake_role role,
                                mproc_handshake_policy policy, mproc_view key,
                                mproc_greeting **g);

/*
** Goes on. OK: it has ended well, and nothing of it is held by 'ch'. AGAIN: it
** waits, see mproc_greeting_sends. NOMEM: nothing is lost, call again. Other:
** it has failed: an outcome of mproc_handshake_next, or of the channel, where
** who has hung up is EOF, however that was noticed.
*/
mproc_status mproc_greeting_step(mproc_greeting *g, mproc_channel *ch);

/* Whether it waits to send, rather than to receive. */
bool mproc_greeting_sends(const mproc_greeting *g, const mproc_channel *ch);

/* mproc_handshake_unanswered */
bool mproc_greeting_is_unanswered(const mproc_greeting *g);

/*
** Wipes and frees it; NULL is fine. The channel copies what it holds of it, and
** may live on.
*/
void mproc_greeting_free(mproc_greeting *g);

#endif

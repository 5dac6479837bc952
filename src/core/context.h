/*
** context.h: what the objects of one host (one Lua state) share: its allocator,
** OpenSSL's digests, the block they read into, and the processes that nobody
** else remembers. There is no other shared state, so two hosts in two
** threads never meet.
*/
#ifndef MPROC_CONTEXT_H
#define MPROC_CONTEXT_H

#include <stdbool.h>

#include "core/bytes.h"
#include "core/digest.h"
#include "core/scratch.h"
#include "core/status.h"

/* Owned by the host; must outlive every object that was made with it. */
typedef struct mproc_context {
  mproc_allocator allocator;
  mproc_crypto *crypto;          /* NULL until an authkey is first used */
  struct mproc_process *orphans; /* see process.h; NULL: none */
  mproc_scratch scratch;
  bool slow; /* no fast path is taken: for tests of what is taken then */
} mproc_context;

/*
** Makes 'ctx', which must stay where it is, over memory from 'a' (copied).
** 'slow': see there.
*/
void mproc_context_open(mproc_context *ctx, mproc_allocator a, bool slow);

/*
** OpenSSL's digests, made at the first call: a program without authkeys never
** pays for them. Statuses of mproc_crypto_new. Owned by 'ctx'.
*/
mproc_status mproc_context_crypto(mproc_context *ctx, mproc_crypto **crypto);

/* Frees what 'ctx' has made, not 'ctx' itself. */
void mproc_context_close(mproc_context *ctx);

#endif

/*
** context.c: makes the shared digests on demand.
*/
#include "core/context.h"

#include <string.h>

void mproc_context_open(mproc_context *ctx, mproc_allocator a, bool slow) {
  memset(ctx, 0, sizeof *ctx);
  ctx->allocator = a;
  ctx->scratch.allocator = &ctx->allocator;
  ctx->scratch.off = ctx->slow = slow;
}

mproc_status mproc_context_crypto(mproc_context *ctx, mproc_crypto **crypto) {
  mproc_status st = MPROC_OK;
  if (ctx->crypto == NULL)
    st = mproc_crypto_new(&ctx->allocator, &ctx->crypto);
  if (st == MPROC_OK)
    *crypto = ctx->crypto;
  return st;
}

void mproc_context_close(mproc_context *ctx) {
  mproc_crypto_free(ctx->crypto, &ctx->allocator);
  ctx->crypto = NULL;
  mproc_scratch_close(&ctx->scratch);
}

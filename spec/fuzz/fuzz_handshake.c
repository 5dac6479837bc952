/*
** fuzz_handshake.c: a peer without the key that says anything at all. Its
** messages are cut out of the input; it must never be let in by our deliverer.
**
** clang -fsanitize=fuzzer,address,undefined -Isrc spec/fuzz/fuzz_handshake.c
**   src/core/handshake.c src/core/digest.c src/core/bytes.c -lcrypto
*/
#include <stdlib.h>
#include <string.h>

#include "core/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds) {
  if (!holds)
    abort();
}

static void *resize(void *ud, void *block, size_t old_size, size_t size) {
  (void)ud, (void)old_size;
  if (size > 0)
    return realloc(block, size);
  free(block);
  return NULL;
}

/* A copy of its own size for each message, so that ASan sees its end. */
static mproc_status feed(mproc_handshake *h, const uint8_t *data, size_t size,
                         mproc_view *out) {
  static const uint8_t key[] = "the key that nobody can guess";
  mproc_view secret = {key, sizeof key}, in = {NULL, 0};
  uint8_t *copy = (uint8_t *)malloc(size > 0 ? size : 1);
  mproc_status st;
  if (size > 0)
    memcpy(copy, data, size);
  in.data = copy;
  in.size = size;
  mproc_handshake_is_challenge(in);
  st = mproc_handshake_next(h, secret, &in, out);
  free(copy);
  return st;
}

/* The first byte chooses role, policy; then each message after its length. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const mproc_allocator heap = {resize, NULL};
  static const uint8_t nonce[MPROC_HANDSHAKE_NONCE] = "not random, for once";
  static mproc_crypto *crypto;
  mproc_handshake h;
  mproc_handshake_policy policy;
  mproc_handshake_role role;
  mproc_view key = {NULL, 0}, out = {NULL, 0};
  mproc_status st;
  if (size < 2)
    return 0;
  if (crypto == NULL)
    mproc_crypto_new(&heap, &crypto);
  role = (mproc_handshake_role)(data[0] % 4);
  policy.challenge = (mproc_digest)(data[0] / 4 % MPROC_DIGEST_COUNT);
  policy.accepted = data[1] & MPROC_DIGESTS_ALL;
  data += 2;
  size -= 2;
  mproc_handshake_begin(&h, crypto, role, policy, nonce);
  st = mproc_handshake_next(&h, key, NULL, &out);
  while (st == MPROC_AGAIN && size > 0) {
    /* lengths up to 510 in one byte: even ones, or a few more */
    size_t n = data[0] < 128 ? data[0] : 2 * (size_t)data[0];
    n = n < size - 1 ? n : size - 1;
    st = feed(&h, data + 1, n, &out);
    require(out.size <= MPROC_HANDSHAKE_OUT_MAX);
    data += 1 + n;
    size -= 1 + n;
  }
  /* an answerer has to believe "#WELCOME#", a deliverer nothing */
  require(st != MPROC_OK || role == MPROC_ANSWER_ONLY);
  mproc_handshake_end(&h);
  return 0;
}

/*
** digest.c: OpenSSL behind digest.h. One HMAC context for each digest is made
** when it is first needed and kept, since finding an algorithm costs OpenSSL 3
** far more than the MAC itself. Between two computations a context holds the
** zero key and no trace of a caller's. OpenSSL's error queue, which belongs to
** the host, is left as it was found.
*/
#include "core/digest.h"

#include <limits.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

typedef struct algorithm {
  const char *name;    /* Python's */
  const char *openssl; /* OpenSSL's */
  size_t size;         /* of the MAC, in bytes */
} algorithm;

static const algorithm algorithms[MPROC_DIGEST_COUNT] = {
    {"md5", "MD5", 16},           {"sha256", "SHA256", 32},
    {"sha384", "SHA384", 48},     {"sha3_256", "SHA3-256", 32},
    {"sha3_384", "SHA3-384", 48},
};

struct mproc_crypto {
  EVP_MAC *hmac;
  EVP_MAC_CTX *contexts[MPROC_DIGEST_COUNT]; /* NULL: not needed yet */
};

const char *mproc_digest_name(mproc_digest d) {
  return algorithms[d].name;
}

size_t mproc_digest_size(mproc_digest d) {
  return algorithms[d].size;
}

bool mproc_digest_find(mproc_view name, mproc_digest *d) {
  int i;
  for (i = 0; i < MPROC_DIGEST_COUNT; i++) {
    const char *known = algorithms[i].name;
    if (name.size == strlen(known) &&
        memcmp(name.data, known, name.size) == 0) {
      *d = (mproc_digest)i;
      return true;
    }
  }
  return false;
}

mproc_status mproc_crypto_new(const mproc_allocator *a, mproc_crypto **out) {
  mproc_crypto *c = (mproc_crypto *)mproc_alloc(a, sizeof *c);
  if (c == NULL)
    return MPROC_NOMEM;
  ERR_set_mark();
  c->hmac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
  ERR_pop_to_mark();
  if (c->hmac == NULL) {
    mproc_free(a, c, sizeof *c);
    return MPROC_AUTH_CRYPTO;
  }
  *out = c;
  return MPROC_OK;
}

void mproc_crypto_free(mproc_crypto *c, const mproc_allocator *a) {
  int i;
  if (c == NULL)
    return;
  for (i = 0; i < MPROC_DIGEST_COUNT; i++)
    EVP_MAC_CTX_free(c->contexts[i]);
  EVP_MAC_free(c->hmac);
  mproc_free(a, c, sizeof *c);
}

/*
** Gives a context its key. HMAC fills a short key up with zeros (RFC 2104), so
** one zero byte stands for the empty key, whose length OpenSSL may take to
** mean "keep the last one" (EVP_MAC_init(3)).
*/
static bool set_key(EVP_MAC_CTX *ctx, mproc_view key,
                    const OSSL_PARAM *params) {
  static const uint8_t zero = 0;
  if (key.size == 0)
    return EVP_MAC_init(ctx, &zero, 1, params) == 1;
  return EVP_MAC_init(ctx, key.data, key.size, params) == 1;
}

/* Overwrites the key in a context with the zero key. */
static bool forget_key(EVP_MAC_CTX *ctx) {
  mproc_view none = {NULL, 0};
  return set_key(ctx, none, NULL);
}

/* The context for 'd'; NULL: OpenSSL does not have it. */
static EVP_MAC_CTX *find_context(mproc_crypto *c, mproc_digest d) {
  if (c->contexts[d] == NULL) {
    mproc_view none = {NULL, 0};
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(c->hmac);
    OSSL_PARAM params[2];
    params[0] = OSSL_PARAM_construct_utf8_string(
        OSSL_MAC_PARAM_DIGEST, (char *)algorithms[d].openssl, 0);
    params[1] = OSSL_PARAM_construct_end();
    if (ctx == NULL || !set_key(ctx, none, params)) {
      EVP_MAC_CTX_free(ctx);
      return NULL;
    }
    c->contexts[d] = ctx;
  }
  return c->contexts[d];
}

static bool compute(EVP_MAC_CTX *ctx, mproc_digest d, mproc_view key,
                    mproc_view message, uint8_t *out) {
  size_t n = 0;
  return set_key(ctx, key, NULL) &&
         EVP_MAC_update(ctx, message.data, message.size) == 1 &&
         EVP_MAC_final(ctx, out, &n, MPROC_DIGEST_SIZE_MAX) == 1 &&
         n == algorithms[d].size;
}

mproc_status mproc_digest_hmac(mproc_crypto *c, mproc_digest d, mproc_view key,
                               mproc_view message,
                               uint8_t out[MPROC_DIGEST_SIZE_MAX]) {
  EVP_MAC_CTX *ctx;
  bool done = false;
  ERR_set_mark();
  ctx = find_context(c, d);
  if (ctx != NULL) {
    done = compute(ctx, d, key, message, out);
    if (!forget_key(ctx)) { /* freeing wipes it too */
      EVP_MAC_CTX_free(ctx);
      c->contexts[d] = NULL;
    }
  }
  ERR_pop_to_mark();
  return done ? MPROC_OK : MPROC_AUTH_CRYPTO;
}

mproc_status mproc_digest_random(uint8_t *out, size_t n) {
  bool done;
  ERR_set_mark();
  done = n <= INT_MAX && RAND_bytes(out, (int)n) == 1;
  ERR_pop_to_mark();
  return done ? MPROC_OK : MPROC_AUTH_CRYPTO;
}

bool mproc_digest_equal(const uint8_t *a, const uint8_t *b, size_t n) {
  return CRYPTO_memcmp(a, b, n) == 0;
}

void mproc_digest_wipe(void *p, size_t n) {
  OPENSSL_cleanse(p, n);
}

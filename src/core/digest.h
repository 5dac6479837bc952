/*
** digest.h: keyed digests (HMAC), random bytes, comparison in constant time
** and wiping. The only door to OpenSSL.
*/
#ifndef MPROC_DIGEST_H
#define MPROC_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"

/* The digests of Python's handshake (CPython 3.12, _ALLOWED_DIGESTS). */
typedef enum mproc_digest {
  MPROC_MD5,
  MPROC_SHA256,
  MPROC_SHA384,
  MPROC_SHA3_256,
  MPROC_SHA3_384,
  MPROC_DIGEST_COUNT
} mproc_digest;

/* A set of digests: bit 1 << digest. */
typedef unsigned mproc_digest_set;

#define MPROC_DIGESTS_ALL ((1u << MPROC_DIGEST_COUNT) - 1)
#define MPROC_DIGEST_SIZE_MAX 48
#define MPROC_DIGEST_NAME_MAX 8 /* strlen of the longest name */

/* Python's name of it ("sha3_256"). */
const char *mproc_digest_name(mproc_digest d);

/* How many bytes its MAC has. */
size_t mproc_digest_size(mproc_digest d);

/* Finds a digest by Python's name. False: there is none of that name. */
bool mproc_digest_find(mproc_view name, mproc_digest *d);

/* OpenSSL's HMAC, fetched once; one for each thread that uses the core. */
typedef struct mproc_crypto mproc_crypto;

/*
** A new one, the caller's; 'a' is for mproc_crypto_free, too. NOMEM.
** AUTH_CRYPTO: OpenSSL has no HMAC to give.
*/
mproc_status mproc_crypto_new(const mproc_allocator *a, mproc_crypto **c);

/* Wipes and frees it; NULL is fine. */
void mproc_crypto_free(mproc_crypto *c, const mproc_allocator *a);

/*
** Writes HMAC-d(key, message) to 'out' (mproc_digest_size(d) bytes). An empty
** key is a key. AUTH_CRYPTO: OpenSSL does not have this digest (MD5 under
** FIPS) or failed.
*/
mproc_status mproc_digest_hmac(mproc_crypto *c, mproc_digest d, mproc_view key,
                               mproc_view message,
                               uint8_t out[MPROC_DIGEST_SIZE_MAX]);

/* Fills 'out' with 'n' bytes of OpenSSL's randomness. AUTH_CRYPTO: none. */
mproc_status mproc_digest_random(uint8_t *out, size_t n);

/* Whether the 'n' bytes are the same, in time that depends on 'n' alone. */
bool mproc_digest_equal(const uint8_t *a, const uint8_t *b, size_t n);

/* Overwrites 'n' bytes so that no compiler leaves it out. */
void mproc_digest_wipe(void *p, size_t n);

#endif

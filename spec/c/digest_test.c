/*
** digest_test.c: the keyed digests against vectors of Python's hmac, keys of
** odd sizes, and what OpenSSL is left with afterwards: no key and no error.
*/
#include "guard.h"
#include "heap.h"
#include "test.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "core/digest.h"

/* ---- OpenSSL's memory, searched for keys ---- */

#define SECRET_SIZE 200
#define BLOCKS_MAX 65536

static uint8_t secret[SECRET_SIZE];
static struct {
  int on;        /* a secret is in use: what is freed is searched */
  size_t traces; /* blocks with a piece of the secret in them */
  struct {
    uint8_t *data;
    size_t size;
  } blocks[BLOCKS_MAX];
} watch;

static int has_trace(const uint8_t *data, size_t size) {
  size_t i, j;
  for (i = 0; i + 8 <= size; i++)
    for (j = 0; j + 8 <= SECRET_SIZE; j++)
      if (data[i] == secret[j] && memcmp(data + i, secret + j, 8) == 0)
        return 1;
  return 0;
}

static void *watch_malloc(size_t size, const char *file, int line) {
  size_t i;
  uint8_t *data = (uint8_t *)calloc(1, size);
  (void)file, (void)line;
  for (i = 0; data != NULL && i < BLOCKS_MAX; i++)
    if (watch.blocks[i].data == NULL) {
      watch.blocks[i].data = data;
      watch.blocks[i].size = size;
      return data;
    }
  free(data);
  return NULL;
}

static size_t watch_find(const void *data) {
  size_t i = 0;
  while (i < BLOCKS_MAX && watch.blocks[i].data != data)
    i++;
  if (i == BLOCKS_MAX)
    abort();
  return i;
}

static void watch_free(void *data, const char *file, int line) {
  size_t i;
  (void)file, (void)line;
  if (data == NULL)
    return;
  i = watch_find(data);
  if (watch.on)
    watch.traces +=
        (size_t)has_trace(watch.blocks[i].data, watch.blocks[i].size);
  watch.blocks[i].data = NULL;
  free(data);
}

static void *watch_realloc(void *data, size_t size, const char *file,
                           int line) {
  void *moved = watch_malloc(size, file, line);
  if (data != NULL && moved != NULL) {
    size_t old = watch.blocks[watch_find(data)].size;
    memcpy(moved, data, old < size ? old : size);
    watch_free(data, file, line);
  }
  return moved;
}

static size_t live_traces(void) {
  size_t i, n = 0;
  for (i = 0; i < BLOCKS_MAX; i++)
    if (watch.blocks[i].data != NULL)
      n += (size_t)has_trace(watch.blocks[i].data, watch.blocks[i].size);
  return n;
}

/* ---- vectors ---- */

typedef struct vector {
  mproc_digest digest;
  const char *prefix; /* of the message, before the nonce */
  const char *mac;
} vector;

/* Key "secret password"; message: the prefix and bytes 00 01 02 … 27. */
static const vector vectors[] = {
    {MPROC_MD5, "{sha256}", "f79aef2a543b083a8cfa1ae0a9e5ea49"},
    {MPROC_MD5, "{md5}", "6da4c2a293b0eb7afd5ba56b4552efdb"},
    {MPROC_SHA256, "{sha256}",
     "dff5756e964dc0ba9d1a61c0c3f731f0f09811a907abc551d07b614a8eaad8aa"},
    {MPROC_SHA384, "{sha384}",
     "1e102d068e1f04f7b49dfd7381003d7766263bec5820561de353a516a83e6522"
     "152f63622cc3c6f30113ea7bbb769f8a"},
    {MPROC_SHA3_256, "{sha3_256}",
     "d0eb650e27ee0057ca62f8f003c3312d811388a6e01d1d842e7860819ec017e5"},
    {MPROC_SHA3_384, "{sha3_384}",
     "aa3d48e95573d708ba68b4b38896f50e0e45e17c1962430f9745aef47fc4d0fa"
     "4b9e6a3f9c5bf1e69015280bfcb9e23a"},
};

/* Key: 200 bytes, most of them zero (long_key); message: 00 01 … 2f. */
static const char *const long_key_macs[MPROC_DIGEST_COUNT] = {
    "1a99f70cc66cbce5e6d691089309e3f0",
    "79187d88d896f4b54e2157862058a23d8a9440fea7ced7c3ab0395366cbb2258",
    "abe654f1834e1639aacd83ad46ae4ff90700bf8f2c01e6a10e038c7bd4d53a56"
    "44ef8c5f441e774b554be9ccd6e5fef0",
    "77fd203df711ce5aada71e666114619e1e0b5eaf2eebb41c06ec5658023bf9d3",
    "726a5b3d56008f185f834c61a17015a4088d13b1a908e89915820396b67c2701"
    "386d30a74a139be458d038268c81ff24",
};

/* Key: empty; message: 00 01 … 2f. */
static const char *const empty_key_macs[MPROC_DIGEST_COUNT] = {
    "a0cfa9db19b0996da3c0b9f148b67262",
    "7a4abfd27a7724a2c9d2f899481a1f98a552862f3fbfdce1a39f1a838dbd55d6",
    "360732e7447a7e51164ebc696c02061ead7f37c94691c4c830c8bb5ccc75ad69"
    "aa72ba3bc5d8112486c6d0c5c6b9e0be",
    "df8490a122075cc609742d6faf0d02d3c7ba3bb935e934a67f05e50a43be3092",
    "bd2daf6799d3c179c0d1d19034130ba131f0fca02ef0945d241a5a12ff1b0966"
    "7cb754056b40504b16d90fd6d13c0b5b",
};

static heap memory;
static mproc_crypto *crypto;
static guard area;

static mproc_view counting(uint8_t *out, size_t n) {
  size_t i;
  for (i = 0; i < n; i++)
    out[i] = (uint8_t)i;
  return test_view(out, n);
}

static mproc_view long_key(uint8_t out[SECRET_SIZE]) {
  unsigned i;
  for (i = 0; i < SECRET_SIZE; i++)
    out[i] = (uint8_t)(i % 3 == 0 ? i * 7 % 5 : 0);
  return test_view(out, SECRET_SIZE);
}

/* Computes with key and message at unmapped pages, and compares. */
static void check_mac(mproc_digest d, mproc_view key, mproc_view message,
                      const char *hex) {
  uint8_t expected[MPROC_DIGEST_SIZE_MAX], mac[MPROC_DIGEST_SIZE_MAX];
  guard keys = guard_new(256);
  CHECK_EQ(mproc_digest_hmac(crypto, d, guard_place(&keys, key),
                             guard_place(&area, message), mac),
           MPROC_OK);
  CHECK_BYTES(test_view(mac, mproc_digest_size(d)), test_hex(hex, expected));
  guard_free(&keys);
}

static void names(void) {
  static const char *const known[] = {"md5", "sha256", "sha384", "sha3_256",
                                      "sha3_384"};
  static const char *const unknown[] = {
      "",         "md",        "md55",   "MD5",     "sha1",  "sha512",
      "sha3-256", "sha3_2566", "SHA256", "sha3_25", "{md5}", "md5 "};
  size_t i;
  mproc_digest d;
  for (i = 0; i < MPROC_DIGEST_COUNT; i++) {
    CHECK(mproc_digest_find(guard_place(&area, test_text(known[i])), &d));
    CHECK_EQ(d, i);
    CHECK(strcmp(mproc_digest_name(d), known[i]) == 0);
    CHECK(strlen(known[i]) <= MPROC_DIGEST_NAME_MAX);
    CHECK(mproc_digest_size(d) <= MPROC_DIGEST_SIZE_MAX);
  }
  d = MPROC_DIGEST_COUNT;
  for (i = 0; i < sizeof unknown / sizeof *unknown; i++)
    CHECK(!mproc_digest_find(guard_place(&area, test_text(unknown[i])), &d));
  CHECK(!mproc_digest_find(TEST_LITERAL("md5\0"), &d));
  CHECK(!mproc_digest_find(test_view(NULL, 0), &d));
  CHECK_EQ(d, MPROC_DIGEST_COUNT);
}

static void protocol_vectors(void) {
  mproc_view key = test_text("secret password");
  uint8_t message[64];
  size_t i;
  check_mac(MPROC_MD5, key, counting(message, 20),
            "ab9e0fb85dc2fde9977e617c35111d6b");
  for (i = 0; i < sizeof vectors / sizeof *vectors; i++) {
    size_t n = strlen(vectors[i].prefix);
    memcpy(message, vectors[i].prefix, n);
    counting(message + n, 40);
    check_mac(vectors[i].digest, key, test_view(message, n + 40),
              vectors[i].mac);
  }
  memcpy(message, "{sha256}", 8);
  counting(message + 8, 40);
  check_mac(MPROC_SHA256, test_view(NULL, 0), test_view(message, 48),
            "d18b190a737f779d3125c4a2dfddcebf933e2f2713bc92fbe386ca25df9fd7af");
}

static void odd_keys(void) {
  uint8_t key[SECRET_SIZE], message[48];
  mproc_view text = counting(message, sizeof message);
  int d, round;
  long_key(key);
  for (round = 0; round < 2; round++) /* each key after each */
    for (d = 0; d < MPROC_DIGEST_COUNT; d++) {
      mproc_digest digest = (mproc_digest)d;
      check_mac(digest, test_view(key, sizeof key), text, long_key_macs[d]);
      check_mac(digest, test_view(NULL, 0), text, empty_key_macs[d]);
      check_mac(digest, test_view(key, sizeof key), text, long_key_macs[d]);
      check_mac(digest, test_view(key, 0), text, empty_key_macs[d]);
      check_mac(digest, test_text(""), text, empty_key_macs[d]);
    }
}

static void keys_differ_by_any_byte(void) {
  uint8_t key[SECRET_SIZE], first[MPROC_DIGEST_SIZE_MAX],
      mac[MPROC_DIGEST_SIZE_MAX];
  int d;
  for (d = 0; d < MPROC_DIGEST_COUNT; d++) {
    mproc_digest digest = (mproc_digest)d;
    mproc_view message = test_text("m");
    size_t size = mproc_digest_size(digest), i;
    mproc_digest_hmac(crypto, digest, long_key(key), message, first);
    for (i = 0; i < SECRET_SIZE; i += 13) {
      long_key(key);
      key[i] ^= 0x80;
      mproc_digest_hmac(crypto, digest, test_view(key, sizeof key), message,
                        mac);
      CHECK(!mproc_digest_equal(first, mac, size));
    }
  }
}

static void empty_message(void) {
  /* RFC 2202 and RFC 4231 have none; from Python's hmac */
  check_mac(MPROC_SHA256, test_text("k"), test_view(NULL, 0),
            "8bb990c40a7d61cb97597a942125025be50ac8beb74436e3735b98893a7f6620");
}

static void rfc_vectors(void) {
  /* RFC 2202, section 2, test case 2; RFC 4231, section 4.3 */
  mproc_view key = test_text("Jefe");
  mproc_view message = test_text("what do ya want for nothing?");
  check_mac(MPROC_MD5, key, message, "750c783e6ab0b503eaa86e310a5db738");
  check_mac(MPROC_SHA256, key, message,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  check_mac(MPROC_SHA384, key, message,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
            "8e2240ca5e69e2c78b3239ecfab21649");
}

/* As under FIPS: OpenSSL has digests, but not this one. */
static void missing_digest(void) {
  heap h;
  mproc_crypto *c = NULL, *none; /* no HMAC at all */
  uint8_t mac[MPROC_DIGEST_SIZE_MAX];
  mproc_view key = test_text("k");
  heap_init(&h, 0);
  CHECK_EQ(mproc_crypto_new(&h.allocator, &c), MPROC_OK);
  CHECK_EQ(mproc_digest_hmac(c, MPROC_SHA256, key, key, mac), MPROC_OK);
  EVP_set_default_properties(NULL, "fips=yes");
  CHECK_EQ(mproc_digest_hmac(c, MPROC_MD5, key, key, mac), MPROC_AUTH_CRYPTO);
  CHECK_EQ(mproc_digest_hmac(c, MPROC_SHA256, key, key, mac), MPROC_OK);
  CHECK_EQ(mproc_crypto_new(&h.allocator, &none), MPROC_AUTH_CRYPTO);
  CHECK_EQ(ERR_peek_error(), 0);
  EVP_set_default_properties(NULL, "");
  CHECK_EQ(mproc_digest_hmac(c, MPROC_MD5, key, key, mac), MPROC_OK);
  mproc_crypto_free(c, &h.allocator);
  CHECK_EQ(h.blocks, 0);
}

static void leaves_the_hosts_errors_alone(void) {
  uint8_t mac[MPROC_DIGEST_SIZE_MAX], byte;
  unsigned long error = ERR_PACK(ERR_LIB_USER, 0, 7);
  mproc_crypto *none;
  ERR_clear_error();
  CHECK_EQ(mproc_digest_random(&byte, SIZE_MAX), MPROC_AUTH_CRYPTO);
  CHECK_EQ(ERR_peek_error(), 0);
  ERR_raise(ERR_LIB_USER, 7);
  CHECK_EQ(
      mproc_digest_hmac(crypto, MPROC_MD5, test_text("k"), test_text("m"), mac),
      MPROC_OK);
  EVP_set_default_properties(NULL, "fips=yes");
  CHECK_EQ(mproc_crypto_new(&memory.allocator, &none), MPROC_AUTH_CRYPTO);
  EVP_set_default_properties(NULL, "");
  CHECK_EQ(ERR_get_error(), error);
  CHECK_EQ(ERR_get_error(), 0);
}

static void no_memory(void) {
  heap h;
  size_t n;
  for (n = 1;; n++) {
    mproc_crypto *c = NULL;
    mproc_status st;
    heap_init(&h, n);
    st = mproc_crypto_new(&h.allocator, &c);
    CHECK_EQ(st, c != NULL ? MPROC_OK : MPROC_NOMEM);
    mproc_crypto_free(c, &h.allocator);
    CHECK_EQ(h.blocks, 0);
    CHECK_EQ(h.wrong_sizes, 0);
    if (c != NULL)
      break;
  }
  CHECK_EQ(n, 2);
  mproc_crypto_free(NULL, &h.allocator);
}

static void keeps_no_key(void) {
  uint8_t mac[MPROC_DIGEST_SIZE_MAX], message[48];
  mproc_view text = counting(message, sizeof message);
  int d;
  size_t size, i;
  for (i = 0; i < SECRET_SIZE; i++)
    secret[i] = (uint8_t)(i * 37 + 11 + i / 7);
  watch.on = 1;
  for (d = 0; d < MPROC_DIGEST_COUNT; d++)
    for (size = 8; size <= SECRET_SIZE; size += 16) {
      CHECK_EQ(mproc_digest_hmac(crypto, (mproc_digest)d,
                                 test_view(secret, size), text, mac),
               MPROC_OK);
      CHECK_EQ(live_traces(), 0);
    }
  watch.on = 0;
  CHECK_EQ(watch.traces, 0);
}

static void random_bytes(void) {
  uint8_t a[64] = {0}, b[64] = {0}, zero[64] = {0};
  CHECK_EQ(mproc_digest_random(a, sizeof a), MPROC_OK);
  CHECK_EQ(mproc_digest_random(b, sizeof b), MPROC_OK);
  CHECK(memcmp(a, b, sizeof a) != 0);
  CHECK(memcmp(a, zero, sizeof a) != 0);
  CHECK_EQ(mproc_digest_random(b, 0), MPROC_OK);
}

static void equal(void) {
  uint8_t a[48], b[48];
  size_t i;
  counting(a, sizeof a);
  counting(b, sizeof b);
  CHECK(mproc_digest_equal(a, b, sizeof a));
  for (i = 0; i < sizeof a; i++) {
    b[i] ^= 1;
    CHECK(!mproc_digest_equal(a, b, sizeof a));
    CHECK(mproc_digest_equal(a, b, i));
    b[i] ^= 1;
  }
}

static void wipe(void) {
  uint8_t bytes[32], zero[32] = {0};
  counting(bytes, sizeof bytes);
  mproc_digest_wipe(bytes + 1, sizeof bytes - 2);
  CHECK_BYTES(test_view(bytes + 1, 30), test_view(zero, 30));
  CHECK_EQ(bytes[0], 0);
  CHECK_EQ(bytes[31], 31);
  mproc_digest_wipe(NULL, 0);
}

int main(void) {
  /* before OpenSSL's first allocation */
  CRYPTO_set_mem_functions(watch_malloc, watch_realloc, watch_free);
  area = guard_new(256);
  heap_init(&memory, 0);
  if (!CHECK_EQ(mproc_crypto_new(&memory.allocator, &crypto), MPROC_OK))
    return test_end("digest_test");
  TEST(names);
  TEST(protocol_vectors);
  TEST(odd_keys);
  TEST(keys_differ_by_any_byte);
  TEST(empty_message);
  TEST(rfc_vectors);
  TEST(missing_digest);
  TEST(leaves_the_hosts_errors_alone);
  TEST(no_memory);
  TEST(keeps_no_key);
  TEST(random_bytes);
  TEST(equal);
  TEST(wipe);
  mproc_crypto_free(crypto, &memory.allocator);
  CHECK_EQ(memory.blocks, 0);
  guard_free(&area);
  return test_end("digest_test");
}

/*
** handshake_test.c: the handshake against itself, against simulated old peers
** and against peers that cut, stretch or forge their messages. Every message
** ends at an unmapped page.
*/
#include "guard.h"
#include "heap.h"
#include "test.h"

#include <openssl/evp.h>

#include "core/handshake.h"

#define OLD_ONLY (1u << MPROC_MD5)
#define NOT_MD5 (MPROC_DIGESTS_ALL & ~OLD_ONLY)
#define CHALLENGE "#CHALLENGE#"
#define NONE test_view(NULL, 0)

static heap memory;
static mproc_crypto *crypto;
static guard area;
static uint8_t nonce[MPROC_HANDSHAKE_NONCE]; /* 00 01 02 … 27 */

static mproc_handshake_policy policy(mproc_digest challenge,
                                     mproc_digest_set accepted) {
  mproc_handshake_policy p;
  p.challenge = challenge;
  p.accepted = accepted;
  return p;
}

static mproc_handshake_policy usual(void) {
  return policy(MPROC_SHA256, MPROC_DIGESTS_ALL);
}

static mproc_view secret(void) {
  return test_text("secret password");
}

static mproc_status feed(mproc_handshake *h, mproc_view key, mproc_view in,
                         mproc_view *out) {
  in = guard_place(&area, in);
  return mproc_handshake_next(h, key, &in, out);
}

/* Begins and makes the first step; the message, if any, is in '*out'. */
static void start(mproc_handshake *h, mproc_handshake_role role,
                  mproc_handshake_policy p, mproc_view key, mproc_view *out) {
  mproc_handshake_begin(h, crypto, role, p, nonce);
  CHECK_EQ(mproc_handshake_next(h, key, NULL, out), MPROC_AGAIN);
}

/* Puts together a message of up to 512 bytes. */
static mproc_view join(uint8_t *out, mproc_view a, mproc_view b) {
  if (a.size > 0)
    memcpy(out, a.data, a.size);
  if (b.size > 0)
    memcpy(out + a.size, b.data, b.size);
  return test_view(out, a.size + b.size);
}

/* A challenge that asks for 'name' with 'n' bytes 00 01 02 … after it. */
static mproc_view challenge(uint8_t *out, const char *name, size_t n) {
  size_t size = (size_t)sprintf((char *)out, CHALLENGE "%s", name), i;
  for (i = 0; i < n; i++)
    out[size + i] = (uint8_t)i;
  return test_view(out, size + n);
}

/* What a peer answers to the whole frame 'asked': "{d}" and the MAC. */
static mproc_view response(uint8_t *out, mproc_digest d, mproc_view key,
                           mproc_view asked) {
  int n = sprintf((char *)out, "{%s}", mproc_digest_name(d));
  mproc_digest_hmac(crypto, d, key, test_view(asked.data + 11, asked.size - 11),
                    out + n);
  return test_view(out, (size_t)n + mproc_digest_size(d));
}

/* What an old peer answers: the raw HMAC-MD5 of all of it. */
static mproc_view old_response(uint8_t *out, mproc_view key, mproc_view asked) {
  mproc_digest_hmac(crypto, MPROC_MD5, key,
                    test_view(asked.data + 11, asked.size - 11), out);
  return test_view(out, 16);
}

/* ---- ours with ours ---- */

typedef struct outcome {
  mproc_status listener; /* AGAIN: never got to its end */
  mproc_status client;
} outcome;

/* Runs a whole handshake, each with a key of its own. */
static outcome run(mproc_handshake_policy listener, mproc_view listener_key,
                   mproc_handshake_policy client, mproc_view client_key) {
  mproc_handshake l, c;
  outcome o = {MPROC_AGAIN, MPROC_AGAIN};
  mproc_view to_client, to_listener;
  int turns;
  start(&c, MPROC_CLIENT_ROLE, client, client_key, &to_listener);
  CHECK_EQ(to_listener.size, 0);
  start(&l, MPROC_LISTENER_ROLE, listener, listener_key, &to_client);
  for (turns = 0; turns < 10; turns++) {
    if (o.client != MPROC_AGAIN || to_client.size == 0)
      break;
    o.client = feed(&c, client_key, to_client, &to_listener);
    if (o.listener != MPROC_AGAIN || to_listener.size == 0)
      break;
    o.listener = feed(&l, listener_key, to_listener, &to_client);
  }
  CHECK(turns < 10);
  mproc_handshake_end(&l);
  mproc_handshake_end(&c);
  return o;
}

static void all_pairs_of_digests(void) {
  int a, b;
  for (a = 0; a < MPROC_DIGEST_COUNT; a++)
    for (b = 0; b < MPROC_DIGEST_COUNT; b++) {
      outcome o = run(policy((mproc_digest)a, MPROC_DIGESTS_ALL), secret(),
                      policy((mproc_digest)b, MPROC_DIGESTS_ALL), secret());
      CHECK_EQ(o.listener, MPROC_OK);
      CHECK_EQ(o.client, MPROC_OK);
    }
}

static void wrong_keys(void) {
  static const char zeros[200] = {0};
  mproc_view keys[7];
  size_t i, j;
  keys[0] = secret();
  keys[1] = test_text("secret passwore");
  keys[2] = test_text("secret passwor");
  keys[3] = test_text("s");
  keys[4] = test_text("secret password ");
  keys[5] = TEST_LITERAL("secret\0password");
  keys[6] = test_view(zeros, 199); /* longer than a block: hashed first */
  for (i = 0; i < 7; i++)
    for (j = 0; j < 7; j++) {
      outcome o = run(usual(), keys[i], usual(), keys[j]);
      CHECK_EQ(o.listener, i == j ? MPROC_OK : MPROC_AUTH_MAC);
      CHECK_EQ(o.client, i == j ? MPROC_OK : MPROC_AUTH_REJECTED);
    }
}

static void odd_keys(void) {
  uint8_t key[200] = {0};
  outcome o = run(usual(), NONE, usual(), NONE);
  CHECK_EQ(o.listener, MPROC_OK);
  CHECK_EQ(o.client, MPROC_OK);
  o = run(usual(), NONE, usual(), secret());
  CHECK_EQ(o.listener, MPROC_AUTH_MAC);
  CHECK_EQ(o.client, MPROC_AUTH_REJECTED);
  o = run(usual(), secret(), usual(), NONE);
  CHECK_EQ(o.listener, MPROC_AUTH_MAC);
  key[100] = 7;
  o = run(usual(), test_view(key, 200), usual(), test_view(key, 200));
  CHECK_EQ(o.listener, MPROC_OK);
  CHECK_EQ(o.client, MPROC_OK);
  o = run(usual(), test_view(key, 200), usual(), test_view(key, 199));
  CHECK_EQ(o.listener, MPROC_AUTH_MAC);
}

/* A client that knows no key and says "#WELCOME#" to all. */
static void key_of_the_listener_is_checked_too(void) {
  mproc_handshake c;
  mproc_view out;
  uint8_t asked[64], mac[64];
  start(&c, MPROC_CLIENT_ROLE, usual(), secret(), &out);
  CHECK_EQ(feed(&c, secret(), challenge(asked, "{md5}", 40), &out),
           MPROC_AGAIN);
  CHECK_EQ(feed(&c, secret(), test_text("#WELCOME#"), &out), MPROC_AGAIN);
  CHECK_EQ(feed(&c, secret(), response(mac, MPROC_SHA256, NONE, out), &out),
           MPROC_AUTH_MAC);
  CHECK_BYTES(out, test_text("#FAILURE#"));
  mproc_handshake_end(&c);
}

static void policies(void) {
  outcome o = run(usual(), secret(), policy(MPROC_SHA256, OLD_ONLY), secret());
  CHECK_EQ(o.client, MPROC_AUTH_DIGEST); /* will not answer with SHA-256 */
  CHECK_EQ(o.listener, MPROC_AGAIN);
  o = run(policy(MPROC_MD5, MPROC_DIGESTS_ALL), secret(),
          policy(MPROC_SHA256, NOT_MD5), secret());
  CHECK_EQ(o.client, MPROC_AUTH_DIGEST);
  o = run(policy(MPROC_SHA384, NOT_MD5), secret(),
          policy(MPROC_SHA3_384, NOT_MD5), secret());
  CHECK_EQ(o.client, MPROC_OK);
  CHECK_EQ(o.listener, MPROC_OK);
  /* asks for what it does not accept */
  o = run(policy(MPROC_MD5, NOT_MD5), secret(), usual(), secret());
  CHECK_EQ(o.listener, MPROC_AUTH_DIGEST);
  CHECK_EQ(o.client, MPROC_AUTH_REJECTED);
  o = run(policy(MPROC_MD5, 0), secret(), usual(), secret());
  CHECK_EQ(o.listener, MPROC_AUTH_DIGEST);
}

/* ---- single halves ---- */

static void challenge_as_on_the_wire(void) {
  int d;
  for (d = 0; d < MPROC_DIGEST_COUNT; d++) {
    mproc_handshake h;
    mproc_view out;
    uint8_t expected[80];
    char name[16];
    sprintf(name, "{%s}", mproc_digest_name((mproc_digest)d));
    start(&h, MPROC_DELIVER_ONLY, policy((mproc_digest)d, MPROC_DIGESTS_ALL),
          secret(), &out);
    CHECK_BYTES(out, challenge(expected, name, 40));
    CHECK(mproc_handshake_is_challenge(guard_place(&area, out)));
    CHECK(!mproc_handshake_unanswered(&h));
    mproc_handshake_end(&h);
  }
}

typedef struct vector {
  const char *prefix; /* of the challenge's message */
  size_t random;      /* then so many bytes 00 01 02 … */
  const char *mac;    /* with the key "secret password" */
} vector;

static const vector vectors[] = {
    {"", 20, "ab9e0fb85dc2fde9977e617c35111d6b"},
    {"{md5}", 40, "6da4c2a293b0eb7afd5ba56b4552efdb"},
    {"{sha256}", 40,
     "dff5756e964dc0ba9d1a61c0c3f731f0f09811a907abc551d07b614a8eaad8aa"},
    {"{sha384}", 40,
     "1e102d068e1f04f7b49dfd7381003d7766263bec5820561de353a516a83e6522"
     "152f63622cc3c6f30113ea7bbb769f8a"},
    {"{sha3_256}", 40,
     "d0eb650e27ee0057ca62f8f003c3312d811388a6e01d1d842e7860819ec017e5"},
    {"{sha3_384}", 40,
     "aa3d48e95573d708ba68b4b38896f50e0e45e17c1962430f9745aef47fc4d0fa"
     "4b9e6a3f9c5bf1e69015280bfcb9e23a"},
};

#define VECTORS (sizeof vectors / sizeof *vectors)

/* What an answerer says: the prefix it was asked with, and the MAC. */
static mproc_view vector_response(const vector *v, uint8_t *out) {
  uint8_t mac[MPROC_DIGEST_SIZE_MAX];
  return join(out, test_text(v->prefix), test_hex(v->mac, mac));
}

static void vectors_answered(void) {
  size_t i;
  for (i = 0; i < VECTORS; i++) {
    mproc_handshake h;
    mproc_view out;
    uint8_t asked[80], expected[80];
    start(&h, MPROC_ANSWER_ONLY, usual(), secret(), &out);
    CHECK(mproc_handshake_unanswered(&h));
    CHECK_EQ(feed(&h, secret(),
                  challenge(asked, vectors[i].prefix, vectors[i].random), &out),
             MPROC_AGAIN);
    CHECK_BYTES(out, vector_response(&vectors[i], expected));
    CHECK(!mproc_handshake_unanswered(&h));
    CHECK_EQ(feed(&h, secret(), test_text("#WELCOME#"), &out), MPROC_OK);
    CHECK_EQ(out.size, 0);
    mproc_handshake_end(&h);
  }
}

static void vectors_delivered(void) {
  int d;
  for (d = 0; d < MPROC_DIGEST_COUNT; d++) {
    mproc_handshake h;
    mproc_view out;
    uint8_t answer[80];
    start(&h, MPROC_DELIVER_ONLY, policy((mproc_digest)d, MPROC_DIGESTS_ALL),
          secret(), &out);
    CHECK_EQ(feed(&h, secret(), vector_response(&vectors[1 + d], answer), &out),
             MPROC_OK);
    CHECK_BYTES(out, test_text("#WELCOME#"));
    mproc_handshake_end(&h);
  }
}

static void vectors_with_other_secrets(void) {
  mproc_handshake h;
  mproc_view out;
  uint8_t bytes[80];
  /* the empty key */
  start(&h, MPROC_DELIVER_ONLY, usual(), NONE, &out);
  CHECK_EQ(feed(&h, NONE,
                join(bytes, test_text("{sha256}"),
                     test_hex("d18b190a737f779d3125c4a2dfddcebf"
                              "933e2f2713bc92fbe386ca25df9fd7af",
                              bytes + 40)),
                &out),
           MPROC_OK);
  mproc_handshake_end(&h);
  /* an old client */
  start(&h, MPROC_DELIVER_ONLY, usual(), secret(), &out);
  CHECK_EQ(feed(&h, secret(),
                test_hex("f79aef2a543b083a8cfa1ae0a9e5ea49", bytes), &out),
           MPROC_OK);
  CHECK_BYTES(out, test_text("#WELCOME#"));
  mproc_handshake_end(&h);
}

/* A client's challenge may leave before the verdict on its response is here. */
static void challenge_ahead(void) {
  mproc_handshake c, l;
  mproc_view out;
  uint8_t challenge[MPROC_HANDSHAKE_OUT_MAX], response[64], answer[64];
  mproc_view early, ours, theirs;
  start(&c, MPROC_CLIENT_ROLE, usual(), secret(), &out);
  CHECK(!mproc_handshake_ahead(&c, &out));
  start(&l, MPROC_LISTENER_ROLE, usual(), secret(), &out);
  CHECK(!mproc_handshake_ahead(&l, &out));
  CHECK_EQ(feed(&c, secret(), out, &out), MPROC_AGAIN);
  ours = join(response, out, NONE);
  CHECK(mproc_handshake_ahead(&c, &out));
  CHECK(mproc_handshake_is_challenge(out));
  early = join(challenge, out, NONE);
  CHECK(!mproc_handshake_ahead(&c, &out));
  CHECK_EQ(feed(&l, secret(), ours, &out), MPROC_AGAIN);
  CHECK(!mproc_handshake_ahead(&l, &theirs));
  CHECK_EQ(feed(&c, secret(), out, &out), MPROC_AGAIN);
  CHECK_EQ(out.size, 0); /* it has left */
  CHECK(!mproc_handshake_ahead(&c, &out));
  CHECK_EQ(feed(&l, secret(), early, &out), MPROC_AGAIN);
  CHECK(!mproc_handshake_ahead(&l, &theirs));
  theirs = join(answer, out, NONE);
  CHECK_EQ(feed(&c, secret(), theirs, &out), MPROC_OK);
  CHECK_EQ(feed(&l, secret(), out, &out), MPROC_OK);
  mproc_handshake_end(&c);
  mproc_handshake_end(&l);
}

/* A peer may answer with another digest than we asked for, as in Python. */
static void other_digest_than_asked_for(void) {
  int asked, answered;
  for (asked = 0; asked < MPROC_DIGEST_COUNT; asked++)
    for (answered = 0; answered < MPROC_DIGEST_COUNT; answered++) {
      mproc_digest d = (mproc_digest)answered;
      mproc_handshake h;
      mproc_view out;
      uint8_t bytes[80];
      start(&h, MPROC_DELIVER_ONLY,
            policy((mproc_digest)asked, MPROC_DIGESTS_ALL), secret(), &out);
      CHECK_EQ(feed(&h, secret(), response(bytes, d, secret(), out), &out),
               MPROC_OK);
      start(&h, MPROC_DELIVER_ONLY,
            policy((mproc_digest)asked, MPROC_DIGESTS_ALL & ~(1u << d)),
            secret(), &out);
      CHECK_EQ(feed(&h, secret(), response(bytes, d, secret(), out), &out),
               MPROC_AUTH_DIGEST);
      CHECK_BYTES(out, test_text("#FAILURE#"));
      mproc_handshake_end(&h);
    }
}

/* ---- old peers ---- */

/* Our listener, an old client. */
static void old_client(mproc_view key, mproc_view peers_key,
                       mproc_handshake_policy p, mproc_status delivered,
                       mproc_status answered) {
  mproc_handshake h;
  mproc_view out;
  uint8_t bytes[80], expected[16];
  mproc_status st;
  start(&h, MPROC_LISTENER_ROLE, p, key, &out);
  st = feed(&h, key, old_response(bytes, peers_key, out), &out);
  CHECK_EQ(st, delivered);
  CHECK_BYTES(out,
              test_text(delivered == MPROC_AGAIN ? "#WELCOME#" : "#FAILURE#"));
  if (st == MPROC_AGAIN) {
    mproc_view asked = challenge(bytes, "", 20);
    CHECK(!mproc_handshake_unanswered(&h)); /* it has answered us */
    st = feed(&h, key, asked, &out);
    CHECK_EQ(st, MPROC_AGAIN);
    CHECK_BYTES(out, old_response(expected, key, asked));
    CHECK_EQ(feed(&h, key, test_text("#WELCOME#"), &out), answered);
    CHECK_EQ(out.size, 0);
  }
  mproc_handshake_end(&h);
}

/* Our client, an old listener. */
static void old_listener(mproc_view key, mproc_view peers_key,
                         mproc_handshake_policy p, mproc_status answered,
                         mproc_status delivered) {
  mproc_handshake h;
  mproc_view out;
  uint8_t bytes[80], expected[16];
  mproc_view asked = challenge(bytes, "", 20);
  start(&h, MPROC_CLIENT_ROLE, p, key, &out);
  CHECK(mproc_handshake_unanswered(&h));
  CHECK_EQ(feed(&h, key, asked, &out), answered);
  if (answered == MPROC_AGAIN) {
    CHECK_BYTES(out, old_response(expected, key, asked));
    CHECK_EQ(feed(&h, key, test_text("#WELCOME#"), &out), MPROC_AGAIN);
    CHECK_EQ(feed(&h, key, old_response(bytes, peers_key, out), &out),
             delivered);
    CHECK_BYTES(out,
                test_text(delivered == MPROC_OK ? "#WELCOME#" : "#FAILURE#"));
  } else
    CHECK_EQ(out.size, 0);
  mproc_handshake_end(&h);
}

static void old_peers(void) {
  old_client(secret(), secret(), usual(), MPROC_AGAIN, MPROC_OK);
  old_client(NONE, NONE, usual(), MPROC_AGAIN, MPROC_OK);
  old_client(secret(), NONE, usual(), MPROC_AUTH_MAC, 0);
  old_client(secret(), secret(), policy(MPROC_SHA256, OLD_ONLY), MPROC_AGAIN,
             MPROC_OK);
  old_client(secret(), secret(), policy(MPROC_SHA256, NOT_MD5),
             MPROC_AUTH_DIGEST, 0);
  old_listener(secret(), secret(), usual(), MPROC_AGAIN, MPROC_OK);
  old_listener(NONE, NONE, usual(), MPROC_AGAIN, MPROC_OK);
  old_listener(secret(), NONE, usual(), MPROC_AGAIN, MPROC_AUTH_MAC);
  old_listener(secret(), secret(), policy(MPROC_MD5, OLD_ONLY), MPROC_AGAIN,
               MPROC_OK);
  old_listener(secret(), secret(), policy(MPROC_SHA256, NOT_MD5),
               MPROC_AUTH_DIGEST, 0);
}

/* OpenSSL without MD5, as under FIPS. */
static void no_md5(void) {
  mproc_handshake h;
  mproc_view out, asked;
  uint8_t bytes[80], expected[80];
  mproc_crypto *with_md5 = crypto;
  CHECK_EQ(mproc_crypto_new(&memory.allocator, &crypto), MPROC_OK);
  mproc_digest_hmac(crypto, MPROC_SHA256, NONE, NONE, expected);
  EVP_set_default_properties(NULL, "fips=yes");
  asked = challenge(bytes, "", 20);
  start(&h, MPROC_ANSWER_ONLY, usual(), secret(), &out);
  CHECK_EQ(feed(&h, secret(), asked, &out), MPROC_AGAIN);
  CHECK_BYTES(out, response(expected, MPROC_SHA256, secret(), asked));
  start(&h, MPROC_ANSWER_ONLY, policy(MPROC_SHA256, OLD_ONLY), secret(), &out);
  CHECK_EQ(feed(&h, secret(), asked, &out), MPROC_AUTH_CRYPTO);
  CHECK_EQ(out.size, 0);
  start(&h, MPROC_ANSWER_ONLY, usual(), secret(), &out);
  CHECK_EQ(feed(&h, secret(), challenge(bytes, "{md5}", 40), &out),
           MPROC_AUTH_CRYPTO);
  CHECK_EQ(out.size, 0);
  start(&h, MPROC_DELIVER_ONLY, usual(), secret(), &out);
  CHECK_EQ(feed(&h, secret(), test_text("0123456789abcdef"), &out),
           MPROC_AUTH_CRYPTO);
  CHECK_BYTES(out, test_text("#FAILURE#"));
  EVP_set_default_properties(NULL, "");
  mproc_handshake_end(&h);
  mproc_crypto_free(crypto, &memory.allocator);
  crypto = with_md5;
}

/* ---- hostile and broken peers ---- */

static mproc_status answer_to(mproc_view in, mproc_view *out) {
  static mproc_handshake h;
  start(&h, MPROC_ANSWER_ONLY, usual(), secret(), out);
  return feed(&h, secret(), in, out);
}

static mproc_status verdict_on(mproc_view in, mproc_view *out) {
  static mproc_handshake h;
  start(&h, MPROC_DELIVER_ONLY, usual(), secret(), out);
  return feed(&h, secret(), in, out);
}

static mproc_status end_with(mproc_view in, mproc_view *out) {
  static mproc_handshake h;
  uint8_t bytes[80];
  start(&h, MPROC_ANSWER_ONLY, usual(), secret(), out);
  CHECK_EQ(feed(&h, secret(), challenge(bytes, "{sha256}", 40), out),
           MPROC_AGAIN);
  return feed(&h, secret(), in, out);
}

/* What an answerer makes of the first 'n' bytes of a good challenge. */
static mproc_status cut_challenge(const vector *v, size_t n) {
  if (n < 11)
    return MPROC_AUTH_NO_CHALLENGE;
  if (n < 31)
    return MPROC_AUTH_CHALLENGE_SHORT;
  (void)v; /* from 20 on a new challenge is good at any length */
  return MPROC_AGAIN;
}

static void every_prefix_of_challenges(void) {
  size_t i, n;
  for (i = 0; i < VECTORS; i++) {
    uint8_t bytes[80], expected[80];
    mproc_view out,
        all = challenge(bytes, vectors[i].prefix, vectors[i].random);
    for (n = 0; n <= all.size; n++) {
      mproc_status st = answer_to(test_view(bytes, n), &out);
      CHECK_EQ(st, cut_challenge(&vectors[i], n));
      if (n == 31) /* exactly 20: old, whatever the bytes */
        CHECK_BYTES(out, old_response(expected, secret(), test_view(bytes, n)));
      else if (st != MPROC_AGAIN)
        CHECK_EQ(out.size, 0);
    }
  }
}

/* What a deliverer makes of the first 'n' bytes of a good response. */
static mproc_status cut_response(mproc_view all, size_t prefix, size_t n) {
  if (n == 16)
    return prefix == 0 ? MPROC_OK : MPROC_AUTH_MAC;
  if (n == 20)
    return MPROC_AUTH_MAC_LENGTH;
  if (n < prefix || prefix == 0)
    return MPROC_AUTH_DIGEST;
  return n < all.size ? MPROC_AUTH_MAC_LENGTH : MPROC_OK;
}

static void every_prefix_of_responses(void) {
  int d;
  size_t n;
  for (d = -1; d < MPROC_DIGEST_COUNT; d++) {
    mproc_handshake h;
    uint8_t bytes[80];
    mproc_view out, all;
    size_t prefix = 0;
    start(&h, MPROC_DELIVER_ONLY, usual(), secret(), &out);
    if (d < 0)
      all = old_response(bytes, secret(), out);
    else {
      all = response(bytes, (mproc_digest)d, secret(), out);
      prefix = strlen(mproc_digest_name((mproc_digest)d)) + 2;
    }
    for (n = 0; n <= all.size; n++) {
      mproc_status st = verdict_on(test_view(bytes, n), &out);
      CHECK_EQ(st, cut_response(all, prefix, n));
      CHECK_BYTES(out, test_text(st == MPROC_OK ? "#WELCOME#" : "#FAILURE#"));
    }
    mproc_handshake_end(&h);
  }
}

static void response_of_20_bytes(void) {
  mproc_handshake h;
  mproc_view out, in = test_text("{sha512}0123456789ab");
  CHECK_EQ(verdict_on(test_text("0123456789abcdef0123"), &out),
           MPROC_AUTH_MAC_LENGTH);
  CHECK_EQ(verdict_on(in, &out), MPROC_AUTH_MAC_LENGTH); /* no prefix: old */
  CHECK_BYTES(out, test_text("#FAILURE#"));
  start(&h, MPROC_DELIVER_ONLY, policy(MPROC_SHA256, NOT_MD5), secret(), &out);
  CHECK_EQ(feed(&h, secret(), in, &out), MPROC_AUTH_DIGEST);
  mproc_handshake_end(&h);
}

static void every_prefix_of_verdicts(void) {
  static const char text[] = "#WELCOME##";
  mproc_view out;
  size_t n;
  for (n = 0; n <= 10; n++) {
    CHECK_EQ(end_with(test_view(text, n), &out),
             n == 9 ? MPROC_OK : MPROC_AUTH_REJECTED);
    CHECK_EQ(out.size, 0);
  }
  CHECK_EQ(end_with(test_text("#FAILURE#"), &out), MPROC_AUTH_REJECTED);
  CHECK_EQ(end_with(test_text("#welcome#"), &out), MPROC_AUTH_REJECTED);
}

static void every_flipped_bit_of_a_response(void) {
  int d;
  size_t i;
  for (d = 0; d < MPROC_DIGEST_COUNT; d++) {
    mproc_handshake h;
    uint8_t bytes[80];
    mproc_view out, all;
    start(&h, MPROC_DELIVER_ONLY, usual(), secret(), &out);
    all = response(bytes, (mproc_digest)d, secret(), out);
    for (i = 0; i < 8 * all.size; i++) {
      bytes[i / 8] ^= (uint8_t)(1u << i % 8);
      CHECK(verdict_on(all, &out) != MPROC_OK);
      CHECK_BYTES(out, test_text("#FAILURE#"));
      bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    CHECK_EQ(verdict_on(all, &out), MPROC_OK);
    mproc_handshake_end(&h);
  }
}

static void bad_challenges(void) {
  static const char *const prefixes[] = {
      "",         "{",         "}",       "{}",      "{sha1}",
      "{sha512}", "{SHA256}",  "sha256}", "{sha256", "{sha3_2566}",
      "{ md5}",   "{md5",      "md5",     "{{md5}",  "{sha3_256",
      " {md5}",   "{sha3-256}"};
  size_t i;
  for (i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
    uint8_t bytes[80];
    mproc_view out;
    CHECK_EQ(answer_to(challenge(bytes, prefixes[i], 40), &out),
             MPROC_AUTH_DIGEST);
    CHECK_EQ(out.size, 0);
  }
}

static void oversize(void) {
  uint8_t bytes[512];
  mproc_view out;
  challenge(bytes, "{sha256}", 300);
  CHECK_EQ(answer_to(test_view(bytes, 256), &out), MPROC_AGAIN);
  CHECK_EQ(out.size, 40);
  CHECK_EQ(answer_to(test_view(bytes, 257), &out), MPROC_AUTH_OVERSIZE);
  CHECK_EQ(out.size, 0);
  CHECK_EQ(end_with(test_view(bytes, 257), &out), MPROC_AUTH_OVERSIZE);
  CHECK_EQ(out.size, 0);
  CHECK_EQ(end_with(test_view(bytes, 256), &out), MPROC_AUTH_REJECTED);
  memcpy(bytes, "{sha256}", 8);
  CHECK_EQ(verdict_on(test_view(bytes, 256), &out), MPROC_AUTH_MAC_LENGTH);
  CHECK_EQ(verdict_on(test_view(bytes, 257), &out), MPROC_AUTH_OVERSIZE);
  CHECK_BYTES(out, test_text("#FAILURE#"));
  CHECK_EQ(verdict_on(NONE, &out), MPROC_AUTH_DIGEST);
  CHECK_EQ(answer_to(NONE, &out), MPROC_AUTH_NO_CHALLENGE);
}

/* ---- the rest ---- */

static void unanswered(void) {
  mproc_handshake h;
  mproc_view out;
  uint8_t bytes[80];
  mproc_handshake_begin(&h, crypto, MPROC_CLIENT_ROLE, usual(), nonce);
  CHECK(mproc_handshake_unanswered(&h));
  mproc_handshake_begin(&h, crypto, MPROC_LISTENER_ROLE, usual(), nonce);
  CHECK(!mproc_handshake_unanswered(&h));
  start(&h, MPROC_CLIENT_ROLE, usual(), secret(), &out);
  CHECK(mproc_handshake_unanswered(&h));
  feed(&h, secret(), challenge(bytes, "{md5}", 40), &out);
  CHECK(!mproc_handshake_unanswered(&h));
  feed(&h, secret(), test_text("#WELCOME#"), &out);
  CHECK(!mproc_handshake_unanswered(&h));
  start(&h, MPROC_ANSWER_ONLY, usual(), secret(), &out);
  CHECK(mproc_handshake_unanswered(&h));
  feed(&h, secret(), test_text("nonsense"), &out);
  CHECK(!mproc_handshake_unanswered(&h));
  mproc_handshake_end(&h);
  CHECK(!mproc_handshake_unanswered(&h));
}

static int looks_like(const char *name, size_t n) {
  uint8_t bytes[512];
  return mproc_handshake_is_challenge(
      guard_place(&area, challenge(bytes, name, n)));
}

static void is_challenge(void) {
  uint8_t bytes[80];
  mproc_view all = challenge(bytes, "{sha256}", 20);
  size_t n;
  for (n = 0; n < 12; n++)
    CHECK(!looks_like("", n));
  CHECK(!looks_like("", 19));
  CHECK(looks_like("", 20));
  CHECK(!looks_like("", 21));
  CHECK(!looks_like("", 40));
  CHECK(looks_like("{md5}", 20));
  CHECK(looks_like("{sha3_384}", 40));
  CHECK(!looks_like("{sha3_384}", 19));
  CHECK(looks_like("{sha256}", 12)); /* exactly 20 in all: old */
  CHECK(!looks_like("{sha512}", 40));
  CHECK(looks_like("{sha256}", 256 - 11 - 8));
  CHECK(!looks_like("{sha256}", 257 - 11 - 8));
  for (n = 0; n < all.size; n++)
    CHECK_EQ(
        mproc_handshake_is_challenge(guard_place(&area, test_view(bytes, n))),
        n == 31);
  CHECK(mproc_handshake_is_challenge(guard_place(&area, all)));
  bytes[0] = '%';
  CHECK(!mproc_handshake_is_challenge(all));
  CHECK(!mproc_handshake_is_challenge(NONE));
}

static int all_zero(const void *data, size_t size) {
  const uint8_t *bytes = (const uint8_t *)data;
  while (size > 0 && bytes[size - 1] == 0)
    size--;
  return size == 0;
}

static void end_wipes(void) {
  mproc_handshake h;
  mproc_view out;
  uint8_t bytes[80];
  int i;
  for (i = MPROC_DELIVER_ONLY; i <= MPROC_CLIENT_ROLE; i++) {
    mproc_handshake_begin(&h, crypto, (mproc_handshake_role)i, usual(), nonce);
    mproc_handshake_end(&h);
    CHECK(all_zero(&h, sizeof h));
    start(&h, (mproc_handshake_role)i, usual(), secret(), &out);
    feed(&h, secret(), challenge(bytes, "{sha256}", 40), &out);
    CHECK(!all_zero(h.out, sizeof h.out));
    mproc_handshake_end(&h);
    CHECK(all_zero(&h, sizeof h));
    mproc_handshake_end(&h);
    CHECK(all_zero(&h, sizeof h));
  }
}

/* An answerer has no challenge of its own, and needs no nonce. */
static void answer_only_reads_no_nonce(void) {
  mproc_handshake h;
  mproc_handshake_begin(&h, crypto, MPROC_ANSWER_ONLY, usual(), NULL);
  CHECK(all_zero(h.challenge, sizeof h.challenge));
  mproc_handshake_end(&h);
}

int main(void) {
  size_t i;
  area = guard_new(1024);
  heap_init(&memory, 0);
  if (!CHECK_EQ(mproc_crypto_new(&memory.allocator, &crypto), MPROC_OK))
    return test_end("handshake_test");
  for (i = 0; i < sizeof nonce; i++)
    nonce[i] = (uint8_t)i;
  TEST(all_pairs_of_digests);
  TEST(wrong_keys);
  TEST(odd_keys);
  TEST(key_of_the_listener_is_checked_too);
  TEST(policies);
  TEST(challenge_as_on_the_wire);
  TEST(vectors_answered);
  TEST(vectors_delivered);
  TEST(vectors_with_other_secrets);
  TEST(challenge_ahead);
  TEST(other_digest_than_asked_for);
  TEST(old_peers);
  TEST(no_md5);
  TEST(every_prefix_of_challenges);
  TEST(every_prefix_of_responses);
  TEST(response_of_20_bytes);
  TEST(every_prefix_of_verdicts);
  TEST(every_flipped_bit_of_a_response);
  TEST(bad_challenges);
  TEST(oversize);
  TEST(unanswered);
  TEST(is_challenge);
  TEST(end_wipes);
  TEST(answer_only_reads_no_nonce);
  mproc_crypto_free(crypto, &memory.allocator);
  CHECK_EQ(memory.blocks, 0);
  guard_free(&area);
  return test_end("handshake_test");
}

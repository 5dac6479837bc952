/*
** handshake.c: the two halves of a round, deliverer and answerer, as steps of
** one machine. The rules are those of CPython 3.13's deliver_challenge and
** answer_challenge; where we are stricter the policy says so.
*/
#include "core/handshake.h"

#include <assert.h>
#include <string.h>

#define CHALLENGE "#CHALLENGE#"
#define WELCOME "#WELCOME#"
#define FAILURE "#FAILURE#"

#define CHALLENGE_SIZE (sizeof CHALLENGE - 1)
#define OLD_CHALLENGE 20 /* size of an old challenge; of none that is newer */
#define OLD_RESPONSE 16  /* size of an old response: HMAC-MD5 */

static_assert(MPROC_HANDSHAKE_CHALLENGE_MAX ==
                  MPROC_DIGEST_NAME_MAX + 2 + MPROC_HANDSHAKE_NONCE,
              "room for the longest challenge");
static_assert(MPROC_HANDSHAKE_OUT_MAX ==
                  CHALLENGE_SIZE + MPROC_HANDSHAKE_CHALLENGE_MAX,
              "room for the longest message");

enum state {
  ENDED, /* as mproc_handshake_end leaves it */
  BEGIN_DELIVER,
  BEGIN_ANSWER,
  WAIT_RESPONSE,  /* deliverer: to our challenge */
  WAIT_CHALLENGE, /* answerer */
  WAIT_VERDICT,   /* answerer: on our response */
  DONE,
  FAILED
};

static mproc_view view(const void *data, size_t size) {
  mproc_view v;
  v.data = (const uint8_t *)data;
  v.size = size;
  return v;
}

static bool is_text(mproc_view message, const char *text, size_t size) {
  return message.size == size && memcmp(message.data, text, size) == 0;
}

/* Appends to what the caller is to send. */
static void put(mproc_handshake *h, const void *data, size_t size) {
  assert(size <= sizeof h->out - h->out_size);
  memcpy(h->out + h->out_size, data, size);
  h->out_size = (uint8_t)(h->out_size + size);
}

/* Writes "{digest}"; returns its size. */
static size_t write_prefix(mproc_digest d, uint8_t *out) {
  const char *name = mproc_digest_name(d);
  size_t n = strlen(name);
  out[0] = '{';
  memcpy(out + 1, name, n);
  out[n + 1] = '}';
  return n + 2;
}

/* Finds the "{digest}" that 'message' starts with. False: none we know. */
static bool read_prefix(mproc_view message, mproc_digest *d, size_t *size) {
  const uint8_t *close;
  if (message.size == 0 || message.data[0] != '{')
    return false;
  close = (const uint8_t *)memchr(message.data, '}', message.size);
  if (close == NULL)
    return false;
  *size = (size_t)(close - message.data) + 1;
  return mproc_digest_find(view(message.data + 1, *size - 2), d);
}

static bool accepts(const mproc_handshake *h, mproc_digest d) {
  return (h->policy.accepted >> d & 1u) != 0;
}

/* ---- the deliverer ---- */

static void put_challenge(mproc_handshake *h) {
  put(h, CHALLENGE, CHALLENGE_SIZE);
  put(h, h->challenge, h->challenge_size);
}

/* Takes a response apart into its digest and its MAC. */
static mproc_status read_response(const mproc_handshake *h, mproc_view in,
                                  mproc_digest *d, mproc_view *mac) {
  size_t prefix = 0;
  if (in.size > MPROC_HANDSHAKE_MESSAGE_MAX)
    return MPROC_AUTH_OVERSIZE;
  if (in.size == OLD_RESPONSE || in.size == OLD_CHALLENGE)
    *d = MPROC_MD5; /* an old client, whatever the bytes look like */
  else if (!read_prefix(in, d, &prefix))
    return MPROC_AUTH_DIGEST;
  if (!accepts(h, *d))
    return MPROC_AUTH_DIGEST;
  *mac = view(in.data + prefix, in.size - prefix);
  return mac->size == mproc_digest_size(*d) ? MPROC_OK : MPROC_AUTH_MAC_LENGTH;
}

static mproc_status verify(mproc_handshake *h, mproc_view key, mproc_view in) {
  mproc_digest d;
  mproc_view mac;
  uint8_t expected[MPROC_DIGEST_SIZE_MAX];
  mproc_status st = read_response(h, in, &d, &mac);
  if (st != MPROC_OK)
    return st;
  st = mproc_digest_hmac(h->crypto, d, key,
                         view(h->challenge, h->challenge_size), expected);
  if (st == MPROC_OK && !mproc_digest_equal(expected, mac.data, mac.size))
    st = MPROC_AUTH_MAC;
  mproc_digest_wipe(expected, sizeof expected);
  return st;
}

static mproc_status take_response(mproc_handshake *h, mproc_view key,
                                  mproc_view in) {
  mproc_status st = verify(h, key, in);
  if (st != MPROC_OK) {
    put(h, FAILURE, sizeof FAILURE - 1);
    return st;
  }
  put(h, WELCOME, sizeof WELCOME - 1);
  if (h->rounds_left == 0)
    return MPROC_OK;
  h->rounds_left--;
  h->state = WAIT_CHALLENGE;
  return MPROC_AGAIN;
}

/* ---- the answerer ---- */

/* Answers with "{d}" and the MAC. */
static mproc_status put_response(mproc_handshake *h, mproc_digest d,
                                 mproc_view key, mproc_view message) {
  uint8_t mac[MPROC_DIGEST_SIZE_MAX], prefix[MPROC_DIGEST_NAME_MAX + 2];
  mproc_status st = mproc_digest_hmac(h->crypto, d, key, message, mac);
  if (st != MPROC_OK)
    return st;
  put(h, prefix, write_prefix(d, prefix));
  put(h, mac, mproc_digest_size(d));
  return MPROC_OK;
}

/* Answers an old challenge with the raw MAC; where OpenSSL has no MD5 (FIPS)
   as a new one, which is the best that can be done, and what CPython does. */
static mproc_status put_old_response(mproc_handshake *h, mproc_view key,
                                     mproc_view message) {
  uint8_t mac[MPROC_DIGEST_SIZE_MAX];
  mproc_status st;
  if (!accepts(h, MPROC_MD5))
    return MPROC_AUTH_DIGEST;
  st = mproc_digest_hmac(h->crypto, MPROC_MD5, key, message, mac);
  if (st == MPROC_OK)
    put(h, mac, mproc_digest_size(MPROC_MD5));
  else if (accepts(h, MPROC_SHA256))
    st = put_response(h, MPROC_SHA256, key, message);
  return st;
}

static mproc_status answer(mproc_handshake *h, mproc_view key, mproc_view in) {
  mproc_digest d;
  mproc_view message;
  size_t prefix;
  if (in.size > MPROC_HANDSHAKE_MESSAGE_MAX)
    return MPROC_AUTH_OVERSIZE;
  if (in.size < CHALLENGE_SIZE ||
      memcmp(in.data, CHALLENGE, CHALLENGE_SIZE) != 0)
    return MPROC_AUTH_NO_CHALLENGE;
  message = view(in.data + CHALLENGE_SIZE, in.size - CHALLENGE_SIZE);
  if (message.size < OLD_CHALLENGE)
    return MPROC_AUTH_CHALLENGE_SHORT;
  if (message.size == OLD_CHALLENGE)
    return put_old_response(h, key, message);
  if (!read_prefix(message, &d, &prefix) || !accepts(h, d))
    return MPROC_AUTH_DIGEST;
  return put_response(h, d, key, message);
}

static mproc_status take_challenge(mproc_handshake *h, mproc_view key,
                                   mproc_view in) {
  mproc_status st = answer(h, key, in);
  if (st != MPROC_OK)
    return st;
  h->state = WAIT_VERDICT;
  return MPROC_AGAIN;
}

static mproc_status take_verdict(mproc_handshake *h, mproc_view in) {
  if (in.size > MPROC_HANDSHAKE_MESSAGE_MAX)
    return MPROC_AUTH_OVERSIZE;
  if (!is_text(in, WELCOME, sizeof WELCOME - 1))
    return MPROC_AUTH_REJECTED;
  if (h->rounds_left == 0)
    return MPROC_OK;
  h->rounds_left--;
  if (!h->ahead)
    put_challenge(h);
  h->state = WAIT_RESPONSE;
  return MPROC_AGAIN;
}

/* ---- the machine ---- */

void mproc_handshake_begin(mproc_handshake *h, mproc_crypto *crypto,
                           mproc_handshake_role role,
                           mproc_handshake_policy policy,
                           const uint8_t nonce[MPROC_HANDSHAKE_NONCE]) {
  size_t prefix;
  memset(h, 0, sizeof *h);
  h->crypto = crypto;
  h->policy = policy;
  h->state = role == MPROC_DELIVER_ONLY || role == MPROC_LISTENER_ROLE
                 ? BEGIN_DELIVER
                 : BEGIN_ANSWER;
  h->rounds_left = role == MPROC_LISTENER_ROLE || role == MPROC_CLIENT_ROLE;
  if (role == MPROC_ANSWER_ONLY)
    return;
  prefix = write_prefix(policy.challenge, h->challenge);
  memcpy(h->challenge + prefix, nonce, MPROC_HANDSHAKE_NONCE);
  h->challenge_size = (uint8_t)(prefix + MPROC_HANDSHAKE_NONCE);
}

static mproc_status step(mproc_handshake *h, mproc_view key, mproc_view in) {
  switch (h->state) {
  case BEGIN_DELIVER:
    put_challenge(h);
    h->state = WAIT_RESPONSE;
    return MPROC_AGAIN;
  case BEGIN_ANSWER:
    h->state = WAIT_CHALLENGE;
    return MPROC_AGAIN;
  case WAIT_RESPONSE:
    return take_response(h, key, in);
  case WAIT_CHALLENGE:
    return take_challenge(h, key, in);
  case WAIT_VERDICT:
    return take_verdict(h, in);
  default:
    assert(!"the handshake is over");
    return MPROC_AUTH_REJECTED; /* never let in, without asserts too */
  }
}

mproc_status mproc_handshake_next(mproc_handshake *h, mproc_view key,
                                  const mproc_view *in, mproc_view *out) {
  mproc_status st;
  assert((in == NULL) ==
         (h->state == BEGIN_DELIVER || h->state == BEGIN_ANSWER));
  h->out_size = 0;
  st = step(h, key, in != NULL ? *in : view(NULL, 0));
  if (st != MPROC_AGAIN)
    h->state = st == MPROC_OK ? DONE : FAILED;
  *out = view(h->out, h->out_size);
  return st;
}

bool mproc_handshake_ahead(mproc_handshake *h, mproc_view *out) {
  if (h->state != WAIT_VERDICT || h->rounds_left == 0 || h->ahead)
    return false;
  h->ahead = true;
  h->out_size = 0;
  put_challenge(h);
  *out = view(h->out, h->out_size);
  return true;
}

bool mproc_handshake_unanswered(const mproc_handshake *h) {
  /* having said nothing tells the first challenge from a listener's second
     round, which our verdict precedes */
  return h->state == BEGIN_ANSWER ||
         (h->state == WAIT_CHALLENGE && h->out_size == 0);
}

bool mproc_handshake_is_challenge(mproc_view message) {
  mproc_digest d;
  size_t prefix;
  if (message.size < CHALLENGE_SIZE ||
      message.size > MPROC_HANDSHAKE_MESSAGE_MAX ||
      memcmp(message.data, CHALLENGE, CHALLENGE_SIZE) != 0)
    return false;
  message = view(message.data + CHALLENGE_SIZE, message.size - CHALLENGE_SIZE);
  return message.size == OLD_CHALLENGE ||
         (read_prefix(message, &d, &prefix) &&
          message.size - prefix >= OLD_CHALLENGE);
}

void mproc_handshake_end(mproc_handshake *h) {
  mproc_digest_wipe(h, sizeof *h);
}

/*
** connection_test.c: what src/core/connection.h promises where the moment
** counts: between two of its calls, other processes cannot be stopped.
*/
#include "test.h"

#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "core/connection.h"
#include "core/listener.h"
#include "heap.h"

static heap memory;
static mproc_context context;

/* What an end says: a key, and read-ahead or not. */
static mproc_connection_options with_key(bool readahead) {
  mproc_connection_options o = mproc_connection_defaults;
  o.readahead = readahead;
  o.has_authkey = true;
  o.authkey = test_text("key");
  return o;
}

static mproc_listener *new_listener(void) {
  const mproc_listener_options options = {
      {8, -1, false}, with_key(true), 20.0, NULL, 0};
  mproc_listener *l = NULL;
  CHECK_EQ(mproc_listener_new(&context, NULL, MPROC_AF_UNIX, &options, &l),
           MPROC_OK);
  return l;
}

/*
** A client whose next step opens it: all that its handshake waits for is there,
** and nothing else. The listener then waits for the client's verdict.
*/
static mproc_connection *almost_open(mproc_listener *l,
                                     const mproc_connection_options *o) {
  const mproc_dial_options dial = {false, 20.0};
  mproc_connection *c = NULL;
  CHECK_EQ(
      mproc_connection_dial(&context, mproc_listener_address(l), o, &dial, &c),
      MPROC_OK);
  CHECK_EQ(mproc_connection_step(c), MPROC_AGAIN); /* connects */
  CHECK_EQ(mproc_listener_step(l, true, true), MPROC_AGAIN);
  CHECK_EQ(mproc_connection_step(c), MPROC_AGAIN); /* answers, and asks */
  CHECK_EQ(mproc_listener_step(l, true, true), MPROC_AGAIN);
  CHECK(!mproc_connection_is_open(c));
  return c;
}

/* What was readable was the handshake's, and is read by it. */
static void the_end_of_a_handshake_is_no_message(void) {
  for (int ahead = 0; ahead < 2; ahead++) {
    mproc_connection_options o = with_key(ahead == 1);
    mproc_listener *l = new_listener();
    mproc_connection *c = almost_open(l, &o);
    CHECK_EQ(mproc_connection_ready(c, true), MPROC_AGAIN);
    CHECK(mproc_connection_is_open(c));
    CHECK_EQ(mproc_connection_ready(c, false), MPROC_AGAIN);
    mproc_connection_free(c);
    mproc_listener_free(l);
  }
}

/* What comes right behind it is one. */
static void the_message_after_a_handshake_is_one(void) {
  for (int ahead = 0; ahead < 2; ahead++) {
    mproc_connection_options o = with_key(ahead == 1);
    mproc_listener *l = new_listener();
    mproc_connection *c = almost_open(l, &o);
    mproc_accepted peer;
    mproc_view message;
    CHECK_EQ(mproc_connection_ready(c, true), MPROC_AGAIN);
    CHECK_EQ(mproc_listener_step(l, true, true), MPROC_OK);
    mproc_listener_take(l, &peer);
    CHECK_EQ(mproc_connection_send(peer.connection, test_text("first")),
             MPROC_OK);
    CHECK_EQ(mproc_connection_ready(c, true), MPROC_OK);
    CHECK_EQ(mproc_connection_recv(c, 5, &message), MPROC_OK);
    CHECK_BYTES(message, test_text("first"));
    mproc_connection_free(peer.connection);
    mproc_connection_free(c);
    mproc_listener_free(l);
  }
}

/* A payload lies in its block as in a Lua string (scratch.c), read ahead or not. */
static void a_payload_lies_well(void) {
  const size_t aligned = _Alignof(max_align_t); /* as malloc does it */
  for (int ahead = 0; ahead < 2; ahead++) {
    mproc_connection_options o = with_key(ahead == 1);
    mproc_listener *l = new_listener();
    mproc_connection *c = almost_open(l, &o);
    mproc_accepted peer;
    CHECK_EQ(mproc_connection_ready(c, true), MPROC_AGAIN);
    CHECK_EQ(mproc_listener_step(l, true, true), MPROC_OK);
    mproc_listener_take(l, &peer);
    for (int i = 0; i < 2; i++) {
      mproc_view message = {NULL, 0};
      CHECK_EQ(mproc_connection_send(peer.connection, test_text("text")),
               MPROC_OK);
      CHECK_EQ(mproc_connection_recv(c, 4, &message), MPROC_OK);
      CHECK_EQ((uintptr_t)message.data % aligned, 8 % aligned);
      mproc_connection_pop(c);
    }
    mproc_connection_free(peer.connection);
    mproc_connection_free(c);
    mproc_listener_free(l);
  }
}

int main(void) {
  alarm(120); /* a call that blocks ends the test */
  heap_init(&memory, 0);
  mproc_context_open(&context, memory.allocator, false);
  TEST(the_end_of_a_handshake_is_no_message);
  TEST(the_message_after_a_handshake_is_one);
  TEST(a_payload_lies_well);
  mproc_context_close(&context);
  CHECK_EQ(memory.blocks, 0);
  return test_end("connection_test");
}

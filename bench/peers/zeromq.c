/*
** ZeroMQ's own library in C, which no Debian package binds to Lua 5.4: a PAIR
** of sockets, ipc:// and tcp://. It frames and batches by itself.
*/
#define _POSIX_C_SOURCE 200809L

#include "../worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

typedef struct peer {
  void *context;
  void *socket; /* NULL: none */
  char endpoint[256];
} peer;

static void check(int result, const char *what) {
  if (result < 0)
    worker_fail(what);
}

static void send_message(peer *p, const char *payload, size_t size) {
  check(zmq_send(p->socket, payload, size, 0), "zmq_send");
}

/* Receives one, and sends it back where 'back'. */
static void receive(peer *p, bool back) {
  zmq_msg_t message;
  zmq_msg_init(&message);
  check(zmq_msg_recv(&message, p->socket, 0), "zmq_msg_recv");
  if (back)
    check(zmq_msg_send(&message, p->socket, 0), "zmq_msg_send");
  zmq_msg_close(&message);
}

/* ---- opening and closing ---- */

static void open_socket(peer *p, char *const words[4]) {
  const int linger = 0;
  bool is_path = strcmp(words[0], "unix") == 0;
  const char *port = strcmp(words[1], "0") == 0 ? "*" : words[1];
  snprintf(p->endpoint, sizeof p->endpoint,
           is_path ? "ipc://%s" : "tcp://127.0.0.1:%s",
           is_path ? words[1] : port);
  p->socket = zmq_socket(p->context, ZMQ_PAIR);
  if (p->socket == NULL)
    worker_fail("zmq_socket");
  zmq_setsockopt(p->socket, ZMQ_LINGER, &linger, sizeof linger);
}

static double start_listening(worker *w, char *const words[4]) {
  peer *p = w->peer;
  size_t size = sizeof p->endpoint;
  open_socket(p, words);
  check(zmq_bind(p->socket, p->endpoint), "zmq_bind");
  check(zmq_getsockopt(p->socket, ZMQ_LAST_ENDPOINT, p->endpoint, &size),
        "zmq_getsockopt");
  if (strcmp(words[0], "unix") == 0)
    return 0;
  return atoi(strrchr(p->endpoint, ':') + 1);
}

static double target(worker *w, char *const words[4]) {
  peer *p = w->peer;
  open_socket(p, words);
  check(zmq_connect(p->socket, p->endpoint), "zmq_connect");
  return WORKER_OK;
}

/* A PAIR has only one. */
static double open_more(worker *w, char *const words[4]) {
  (void)w;
  return strcmp(words[0], "1") == 0 ? WORKER_OK : WORKER_CANNOT;
}

static double drop(worker *w, char *const words[4]) {
  peer *p = w->peer;
  (void)words;
  if (p->socket != NULL)
    zmq_close(p->socket);
  p->socket = NULL;
  return WORKER_OK;
}

/* ---- the workloads ---- */

static double w1(worker *w, char *const words[4]) {
  peer *p = w->peer;
  size_t size = (size_t)atol(words[1]);
  const char *message = worker_reserve(w, size);
  double start = 0;
  for (long i = 0; i <= atol(words[2]); i++) {
    if (w->is_server) {
      receive(p, true);
    } else {
      if (i == 1)
        start = worker_now();
      send_message(p, message, size);
      receive(p, false);
    }
  }
  return w->is_server ? WORKER_OK : worker_now() - start;
}

/* It queues a thousand messages, of whatever size. */
#define LONGEST ((size_t)1 << 20)

static double w2(worker *w, char *const words[4]) {
  peer *p = w->peer;
  size_t size = (size_t)atol(words[1]);
  if (size > LONGEST)
    return WORKER_CANNOT;
  const char *message = worker_reserve(w, size);
  long count = atol(words[2]);
  if (w->is_server) {
    receive(p, false);
    send_message(p, "", 0);
    for (long i = 0; i < count; i++)
      receive(p, false);
    send_message(p, "", 0);
    return WORKER_OK;
  }
  send_message(p, message, size);
  receive(p, false);
  double start = worker_now();
  for (long i = 0; i < count; i++)
    send_message(p, message, size);
  receive(p, false);
  return worker_now() - start;
}

int main(int argc, char **argv) {
  static const worker_command commands[] = {
      {"accept", open_more},
      {"connect", open_more},
      {"drop", drop},
      {"listen", start_listening},
      {"target", target},
      {"w1", w1},
      {"w2", w2},
      {NULL, NULL},
  };
  char ready[64];
  int major, minor, patch;
  zmq_version(&major, &minor, &patch);
  snprintf(ready, sizeof ready, "%d.%d.%d w1 w2:batched", major, minor, patch);
  peer p = {.context = zmq_ctx_new()};
  int code = worker_run(argc, argv, ready, commands, &p);
  drop(&(worker){.peer = &p}, NULL);
  zmq_ctx_term(p.context);
  return code;
}

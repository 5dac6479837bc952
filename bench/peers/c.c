/*
** The benchmark's yardstick: blocking sockets in plain C. One writev sends a
** frame; two reads, of 4 and of n bytes, receive it. Frames are those of
** Python's multiprocessing.connection.
*/
#define _POSIX_C_SOURCE 200809L

#include "../worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/opensslv.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct plain {
  struct sockaddr_storage address; /* where it listens, or connects to */
  socklen_t address_size;
  char key[64]; /* "-": none */
  int listener; /* -1: none */
  int *fds;
  size_t nfds;
} plain;

/* ---- frames ---- */

static void write_frame(int fd, const char *payload, size_t size) {
  uint32_t header = htonl((uint32_t)size);
  struct iovec parts[2] = {{&header, sizeof header}, {(char *)payload, size}};
  int part = 0;
  while (part < 2) {
    ssize_t n = writev(fd, parts + part, 2 - part);
    if (n < 0)
      worker_fail("writev");
    while (part < 2 && (size_t)n >= parts[part].iov_len)
      n -= (ssize_t)parts[part++].iov_len;
    if (part < 2) {
      parts[part].iov_base = (char *)parts[part].iov_base + n;
      parts[part].iov_len -= (size_t)n;
    }
  }
}

static void read_all(int fd, void *to, size_t size) {
  while (size > 0) {
    ssize_t n = read(fd, to, size);
    if (n == 0)
      errno = ECONNRESET;
    if (n <= 0)
      worker_fail("read");
    to = (char *)to + n;
    size -= (size_t)n;
  }
}

static size_t read_frame(worker *w, int fd) {
  uint32_t header;
  read_all(fd, &header, sizeof header);
  size_t size = ntohl(header);
  read_all(fd, worker_reserve(w, size), size);
  return size;
}

static void echo(worker *w, int fd) {
  size_t size = read_frame(w, fd);
  write_frame(fd, w->buffer, size);
}

/* One round trip. */
static void ask(worker *w, int fd, size_t size) {
  write_frame(fd, worker_reserve(w, size), size);
  if (read_frame(w, fd) != size)
    worker_fail("another size came back");
}

/* ---- opening and closing ---- */

static double set_address(plain *p, char *const words[4]) {
  memset(&p->address, 0, sizeof p->address);
  snprintf(p->key, sizeof p->key, "%s", words[2]);
  if (strcmp(words[0], "unix") == 0) {
    struct sockaddr_un *un = (struct sockaddr_un *)&p->address;
    un->sun_family = AF_UNIX;
    snprintf(un->sun_path, sizeof un->sun_path, "%s", words[1]);
    p->address_size = sizeof *un;
  } else {
    struct sockaddr_in *in = (struct sockaddr_in *)&p->address;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons((uint16_t)atoi(words[1]));
    p->address_size = sizeof *in;
  }
  return WORKER_OK;
}

static double target(worker *w, char *const words[4]) {
  return set_address(w->peer, words);
}

/* The port, or 0 for a path. */
static double start_listening(worker *w, char *const words[4]) {
  plain *p = w->peer;
  struct sockaddr *address = (struct sockaddr *)&p->address;
  set_address(p, words);
  p->listener = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (p->listener < 0 || bind(p->listener, address, p->address_size) != 0 ||
      listen(p->listener, 128) != 0 ||
      getsockname(p->listener, address, &p->address_size) != 0)
    worker_fail("listen");
  if (address->sa_family == AF_UNIX)
    return 0;
  return ntohs(((struct sockaddr_in *)address)->sin_port);
}

static int prepared(int fd, const char *what) {
  const int on = 1;
  if (fd < 0)
    worker_fail(what);
  /* fails, as it should, where it is no TCP socket */
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static int accept_one(const plain *p) {
  return prepared(accept(p->listener, NULL, NULL), "accept");
}

static int connect_one(const plain *p) {
  const struct sockaddr *address = (const struct sockaddr *)&p->address;
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, address, p->address_size) != 0)
    worker_fail("connect");
  return prepared(fd, "connect");
}

static void add(plain *p, int fd) {
  if ((p->nfds & (p->nfds - 1)) == 0) { /* full at each power of two */
    size_t room = p->nfds == 0 ? 1 : 2 * p->nfds;
    int *more = realloc(p->fds, room * sizeof *more);
    if (more == NULL)
      worker_fail("realloc");
    p->fds = more;
  }
  p->fds[p->nfds++] = fd;
}

/* accept N, connect N */
static double open_more(worker *w, char *const words[4]) {
  plain *p = w->peer;
  for (int n = atoi(words[0]); n > 0; n--)
    add(p, w->is_server ? accept_one(p) : connect_one(p));
  return WORKER_OK;
}

static double drop(worker *w, char *const words[4]) {
  plain *p = w->peer;
  (void)words;
  for (size_t i = 0; i < p->nfds; i++)
    close(p->fds[i]);
  if (p->listener >= 0)
    close(p->listener);
  free(p->fds);
  p->fds = NULL;
  p->nfds = 0;
  p->listener = -1;
  return WORKER_OK;
}

/* ---- the handshake, as Python 3.12 and newer have it ---- */

#define CHALLENGE "#CHALLENGE#"
#define WELCOME "#WELCOME#"
#define DIGEST "{sha256}"

enum { NCHALLENGE = 11, NWELCOME = 9, NDIGEST = 8, NRANDOM = 40, NHMAC = 32 };

static void sign(const plain *p, const char *message, size_t size, char *out) {
  unsigned int length;
  memcpy(out, DIGEST, NDIGEST);
  if (HMAC(EVP_sha256(), p->key, (int)strlen(p->key),
           (const unsigned char *)message, size, (unsigned char *)out + NDIGEST,
           &length) == NULL)
    worker_fail("HMAC");
}

static void deliver_challenge(worker *w, int fd) {
  const plain *p = w->peer;
  char message[NCHALLENGE + NDIGEST + NRANDOM];
  char wanted[NDIGEST + NHMAC];
  memcpy(message, CHALLENGE DIGEST, NCHALLENGE + NDIGEST);
  RAND_bytes((unsigned char *)message + NCHALLENGE + NDIGEST, NRANDOM);
  write_frame(fd, message, sizeof message);
  sign(p, message + NCHALLENGE, NDIGEST + NRANDOM, wanted);
  if (read_frame(w, fd) != sizeof wanted ||
      CRYPTO_memcmp(w->buffer, wanted, sizeof wanted) != 0)
    worker_fail("wrong answer");
  write_frame(fd, WELCOME, NWELCOME);
}

static void answer_challenge(worker *w, int fd) {
  const plain *p = w->peer;
  char response[NDIGEST + NHMAC];
  size_t size = read_frame(w, fd);
  if (size < NCHALLENGE || memcmp(w->buffer, CHALLENGE, NCHALLENGE) != 0)
    worker_fail("no challenge");
  sign(p, w->buffer + NCHALLENGE, size - NCHALLENGE, response);
  write_frame(fd, response, sizeof response);
  if (read_frame(w, fd) != NWELCOME)
    worker_fail("not welcome");
}

/* ---- the workloads ---- */

/* COUNT echoes, and one more, untimed, at the beginning. */
static double round_trips(worker *w, size_t size, long count) {
  const plain *p = w->peer;
  if (w->is_server) {
    for (long i = 0; i <= count; i++)
      echo(w, p->fds[0]);
    return WORKER_OK;
  }
  ask(w, p->fds[0], size);
  double start = worker_now();
  for (long i = 0; i < count; i++)
    ask(w, p->fds[0], size);
  return worker_now() - start;
}

static double w1(worker *w, char *const words[4]) {
  return round_trips(w, (size_t)atol(words[1]), atol(words[2]));
}

static double w4(worker *w, char *const words[4]) {
  return round_trips(w, worker_value_size(w, words[1]), atol(words[2]));
}

/* An untimed message and its acknowledgement, then COUNT and one for all. */
static double w2(worker *w, char *const words[4]) {
  const plain *p = w->peer;
  int fd = p->fds[0];
  size_t size = (size_t)atol(words[1]);
  long count = atol(words[2]);
  if (w->is_server) {
    read_frame(w, fd);
    write_frame(fd, "", 0);
    for (long i = 0; i < count; i++)
      read_frame(w, fd);
    write_frame(fd, "", 0);
    return WORKER_OK;
  }
  worker_reserve(w, size);
  write_frame(fd, w->buffer, size);
  read_frame(w, fd);
  double start = worker_now();
  for (long i = 0; i < count; i++)
    write_frame(fd, w->buffer, size);
  read_frame(w, fd);
  return worker_now() - start;
}

static void serve_watched(worker *w, long count) {
  const plain *p = w->peer;
  struct epoll_event events[64];
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0)
    worker_fail("epoll_create1");
  for (size_t i = 0; i < p->nfds; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = p->fds[i]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fds[i], &event) != 0)
      worker_fail("epoll_ctl");
  }
  while (count > 0) {
    int n = epoll_wait(epoll, events, 64, -1);
    if (n < 0)
      worker_fail("epoll_wait");
    for (int i = 0; i < n; i++)
      echo(w, events[i].data.fd);
    count -= n;
  }
  close(epoll);
}

/* One of the connections after the other has a message, and gets it back. */
static double w3(worker *w, char *const words[4]) {
  const plain *p = w->peer;
  long count = atol(words[2]);
  if (w->is_server) {
    serve_watched(w, count + 1);
    return WORKER_OK;
  }
  ask(w, p->fds[0], 64);
  double start = worker_now();
  size_t at = 0;
  for (long i = 0; i < count; i++) {
    at = (at + 7919) % p->nfds;
    ask(w, p->fds[at], 64);
  }
  return worker_now() - start;
}

static double w5(worker *w, char *const words[4]) {
  const plain *p = w->peer;
  double start = worker_now();
  for (long i = atol(words[2]); i > 0; i--) {
    int fd = w->is_server ? accept_one(p) : connect_one(p);
    if (w->is_server) {
      deliver_challenge(w, fd);
      answer_challenge(w, fd);
    } else {
      answer_challenge(w, fd);
      deliver_challenge(w, fd);
    }
    close(fd);
  }
  return w->is_server ? WORKER_OK : worker_now() - start;
}

/* COUNT connections more, each used once. */
static double w6(worker *w, char *const words[4]) {
  plain *p = w->peer;
  for (long i = atol(words[2]); i > 0; i--) {
    int fd = w->is_server ? accept_one(p) : connect_one(p);
    add(p, fd);
    if (w->is_server)
      echo(w, fd);
    else
      ask(w, fd, 64);
  }
  return WORKER_OK;
}

/* All connections have a message at once; COUNT counts the messages. */
static double w7(worker *w, char *const words[4]) {
  const plain *p = w->peer;
  long turns = atol(words[2]) / (long)p->nfds + 1;
  if (w->is_server) {
    serve_watched(w, turns * (long)p->nfds + 1);
    return WORKER_OK;
  }
  ask(w, p->fds[0], 64);
  double start = worker_now();
  for (long turn = 0; turn < turns; turn++) {
    for (size_t i = 0; i < p->nfds; i++)
      write_frame(p->fds[i], w->buffer, 64);
    for (size_t i = 0; i < p->nfds; i++)
      read_frame(w, p->fds[i]);
  }
  double taken = worker_now() - start;
  return taken / (double)(turns * (long)p->nfds) * (double)atol(words[2]);
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
      {"w3", w3},
      {"w4", w4},
      {"w5", w5},
      {"w6", w6},
      {"w7", w7},
      {NULL, NULL},
  };
  plain p = {.listener = -1};
  return worker_run(argc, argv,
                    "OpenSSL-" OPENSSL_VERSION_STR
                    " w1 w2 w3:epoll w4:bytes w5 w6 w7:epoll",
                    commands, &p);
}

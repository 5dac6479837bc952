/*
** poller_test.c: what a look of a poller costs, and that it keeps its books:
** who is in which list, whatever ends in whatever order. What is ready when is
** wait_spec's and poller_spec's.
*/
#define _GNU_SOURCE 1
#include "test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/poller.h"
#include "heap.h"

#define MANY 10000

static heap memory;
static mproc_context context;

static mproc_poller *new_poller(void) {
  mproc_poller *p = NULL;
  CHECK_EQ(mproc_poller_new(&context.allocator, &p), MPROC_OK);
  return p;
}

/* A connection over one end of a socket pair; the other end is '*peer'. */
static mproc_connection *new_connection(mproc_handle *peer, bool readahead) {
  mproc_connection_options o = mproc_connection_defaults;
  mproc_connection *c = NULL;
  mproc_handle h[2];
  o.readahead = readahead;
  CHECK_EQ(mproc_os_socketpair(h), MPROC_OK);
  CHECK_EQ(mproc_connection_adopt(&context, h[0], &o, &c), MPROC_OK);
  *peer = h[1];
  return c;
}

static void put(mproc_handle h, const char *bytes, size_t size) {
  CHECK_EQ(write((int)h, bytes, size), size);
}

/* Looks; how many are ready. '*last' is one of them. */
static size_t look(mproc_poller *p, int64_t *last) {
  size_t n = 0;
  CHECK_EQ(mproc_poller_look(p, false, 0), MPROC_OK);
  while (mproc_poller_take(p, last))
    n++;
  return n;
}

/* ---- what it costs ---- */

/* Counts what a connection tells, which it does when something is done to it. */
typedef struct Spy {
  mproc_watch watch;
  unsigned told;
} Spy;

static void count(mproc_watch *w, mproc_news news) {
  (void)news;
  MPROC_LISTED(&w->link, Spy, watch.link)->told++;
}

/* Room for so many descriptors, or for fewer; returns how many pairs that is. */
static size_t pairs_possible(size_t wanted) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 2 * wanted + 100)
    return (size_t)(limit.rlim_cur - 100) / 2;
  return wanted;
}

/* Of many that are watched, a look takes up the one that is ready. */
static void a_look_leaves_the_others_alone(void) {
  size_t n = pairs_possible(getenv("MULTIPROCESSING_SLOW") ? 500 : MANY);
  mproc_connection **c = (mproc_connection **)calloc(n, sizeof *c);
  mproc_handle *peer = (mproc_handle *)calloc(n, sizeof *peer);
  Spy *spy = (Spy *)calloc(n, sizeof *spy);
  mproc_poller *p = new_poller();
  mproc_polled *e;
  size_t told = 0, calls;
  int64_t id = -1;
  for (size_t i = 0; i < n; i++) {
    c[i] = new_connection(&peer[i], true);
    mproc_list_init(&spy[i].watch.link);
    spy[i].watch.tell = count;
    mproc_list_append(mproc_connection_watches(c[i]), &spy[i].watch.link);
    CHECK_EQ(mproc_poller_add_connection(p, c[i], (int64_t)i, &e), MPROC_OK);
  }
  CHECK_EQ(look(p, &id), 0);
  put(peer[n / 2], "\0\0\0\1x", 5);
  calls = memory.calls;
  for (int round = 0; round < 3; round++) {
    CHECK_EQ(look(p, &id), 1);
    CHECK_EQ(id, n / 2);
  }
  for (size_t i = 0; i < n; i++)
    told += spy[i].told;
  CHECK_EQ(told, spy[n / 2].told);
  CHECK(spy[n / 2].told > 0);
  CHECK(memory.calls - calls < 4); /* the message's own */
  for (size_t i = 0; i < n; i++) {
    mproc_list_remove(&spy[i].watch.link);
    mproc_connection_free(c[i]);
    mproc_os_close(peer[i]);
  }
  CHECK_EQ(mproc_poller_count(p), 0);
  for (size_t i = 0; i < n; i++)
    CHECK(mproc_poller_take_ended(p, &id));
  CHECK(!mproc_poller_take_ended(p, &id));
  mproc_poller_free(p);
  free(c);
  free(peer);
  free(spy);
}

/* ---- its books ---- */

static void one_connection_may_be_in_many(void) {
  mproc_poller *p[3];
  mproc_polled *e;
  mproc_handle peer;
  mproc_connection *c = new_connection(&peer, true);
  mproc_view message;
  int64_t id;
  for (int i = 0; i < 3; i++) {
    p[i] = new_poller();
    CHECK_EQ(mproc_poller_add_connection(p[i], c, i, &e), MPROC_OK);
  }
  put(peer, "\0\0\0\1x\0\0\0\1y", 10);
  CHECK_EQ(look(p[1], &id), 1); /* it takes the bytes from the system */
  CHECK_EQ(id, 1);
  CHECK_EQ(look(p[0], &id), 1);
  CHECK_EQ(look(p[2], &id), 1);
  for (int left = 1; left >= 0; left--) {
    CHECK_EQ(mproc_connection_recv(c, UINT64_MAX, &message), MPROC_OK);
    mproc_connection_pop(c);
    for (int i = 0; i < 3; i++)
      CHECK_EQ(look(p[i], &id), left);
  }
  mproc_poller_free(p[0]);
  mproc_connection_free(c);
  for (int i = 1; i < 3; i++) {
    CHECK_EQ(mproc_poller_count(p[i]), 0);
    CHECK(mproc_poller_take_ended(p[i], &id));
    CHECK_EQ(id, i);
    mproc_poller_free(p[i]);
  }
  mproc_os_close(peer);
}

static void it_may_be_taken_out_at_any_moment(void) {
  mproc_poller *p = new_poller();
  mproc_polled *e[3];
  mproc_connection *c[3];
  mproc_handle peer[3];
  int64_t id;
  for (int i = 0; i < 3; i++) {
    c[i] = new_connection(&peer[i], true);
    put(peer[i], "\0\0\0\1x", 5);
    CHECK_EQ(mproc_poller_add_connection(p, c[i], i, &e[i]), MPROC_OK);
    CHECK_EQ(mproc_poller_id(e[i]), i);
  }
  CHECK_EQ(mproc_poller_look(p, false, 0), MPROC_OK);
  mproc_poller_remove(e[0]);   /* ready, and not taken */
  mproc_connection_free(c[1]); /* the same */
  CHECK(mproc_poller_take(p, &id));
  CHECK_EQ(id, 2);
  CHECK(!mproc_poller_take(p, &id));
  CHECK_EQ(mproc_poller_count(p), 1);
  mproc_poller_remove(e[1]); /* ended, and not heard of */
  CHECK(!mproc_poller_take_ended(p, &id));
  CHECK_EQ(look(p, &id), 1);
  mproc_poller_remove(e[2]); /* taken */
  CHECK_EQ(look(p, &id), 0);
  CHECK_EQ(mproc_poller_count(p), 0);
  mproc_poller_free(p);
  mproc_connection_free(c[0]);
  mproc_connection_free(c[2]);
  for (int i = 0; i < 3; i++)
    mproc_os_close(peer[i]);
}

static void pollers_end_in_any_order(void) {
  for (int order = 0; order < 2; order++) {
    mproc_poller *inner = new_poller(), *outer = new_poller();
    mproc_polled *e;
    mproc_handle peer;
    mproc_connection *c = new_connection(&peer, true);
    int64_t id;
    CHECK_EQ(mproc_poller_add_poller(outer, inner, 1, &e), MPROC_OK);
    CHECK_EQ(mproc_poller_add_connection(inner, c, 2, &e), MPROC_OK);
    CHECK(mproc_poller_reaches(outer, inner));
    CHECK(!mproc_poller_reaches(inner, outer));
    put(peer, "\0\0\0\1x", 5);
    CHECK_EQ(look(outer, &id), 1);
    CHECK_EQ(id, 1);
    CHECK(mproc_poller_take(inner, &id)); /* found on the way */
    CHECK_EQ(id, 2);
    if (order == 0)
      mproc_poller_free(outer);
    mproc_poller_free(inner);
    if (order == 1) {
      CHECK_EQ(mproc_poller_count(outer), 0);
      CHECK_EQ(look(outer, &id), 0);
      mproc_poller_free(outer);
    }
    mproc_connection_free(c);
    mproc_os_close(peer);
  }
}

/* ---- a system that refuses ---- */

#ifdef __linux__

/* Stands before the system's where pollers are built on it. */
static bool refuses;
static bool is_asked;

int epoll_ctl(int queue, int op, int fd, struct epoll_event *event) {
  is_asked = true;
  if (refuses && op != EPOLL_CTL_DEL) {
    errno = ENOSPC; /* the user watches too many already */
    return -1;
  }
  return (int)syscall(SYS_epoll_ctl, queue, op, fd, event);
}

/* Leaves in the system's set what nothing but a new set rids the poller of: a
   handle that is ready, closed here and open elsewhere, which '*h' is. */
static void go_stale(mproc_poller *p, mproc_handle h[2]) {
  mproc_polled *e;
  mproc_handle copy;
  CHECK_EQ(mproc_os_socketpair(h), MPROC_OK);
  CHECK_EQ(mproc_poller_add_handle(p, h[0], MPROC_READ, MPROC_NEVER, 9, &e),
           MPROC_OK);
  copy = dup((int)h[0]);
  mproc_os_close(h[0]);
  mproc_poller_remove(e);
  h[0] = copy;
  put(h[1], "x", 1);
}

/* What a new set does not take is told of, and asked for again. */
static void what_is_refused_is_not_lost(void) {
  mproc_poller *p = new_poller();
  mproc_polled *e;
  mproc_handle peer, plain[2], stale[2];
  mproc_connection *c = new_connection(&peer, true);
  int64_t id;
  CHECK_EQ(mproc_os_socketpair(plain), MPROC_OK);
  CHECK_EQ(mproc_poller_add_connection(p, c, 1, &e), MPROC_OK);
  CHECK_EQ(mproc_poller_add_handle(p, plain[0], MPROC_READ, MPROC_NEVER, 2, &e),
           MPROC_OK);
  CHECK_EQ(look(p, &id), 0);
  if (is_asked) { /* else it is built on something else */
    go_stale(p, stale);
    refuses = true;
    look(p, &id);
    CHECK_EQ(look(p, &id), 2); /* using them will tell */
    CHECK_EQ(look(p, &id), 2);
    refuses = false;
    CHECK_EQ(look(p, &id), 0);
    put(peer, "\0\0\0\1x", 5);
    CHECK_EQ(look(p, &id), 1);
    CHECK_EQ(id, 1);
    put(plain[1], "x", 1);
    CHECK_EQ(look(p, &id), 2);
    mproc_os_close(stale[0]);
    mproc_os_close(stale[1]);
  }
  mproc_poller_free(p);
  mproc_connection_free(c);
  mproc_os_close(peer);
  mproc_os_close(plain[0]);
  mproc_os_close(plain[1]);
}

/* What was closed has dropped out, and stays out. */
static void what_was_closed_is_not_told(void) {
  mproc_poller *p = new_poller();
  mproc_polled *e;
  mproc_handle closed[2], stale[2];
  int64_t id;
  CHECK_EQ(mproc_os_socketpair(closed), MPROC_OK);
  CHECK_EQ(
      mproc_poller_add_handle(p, closed[0], MPROC_READ, MPROC_NEVER, 2, &e),
      MPROC_OK);
  go_stale(p, stale);
  mproc_os_close(closed[0]);
  for (int round = 0; round < 3; round++)
    CHECK_EQ(look(p, &id), 0);
  mproc_poller_free(p);
  mproc_os_close(closed[1]);
  mproc_os_close(stale[0]);
  mproc_os_close(stale[1]);
}

#endif

/* ---- without memory ---- */

static void memory_may_run_out(void) {
  for (size_t from = 1; from < 40; from++) {
    mproc_handle peer[20];
    mproc_connection *c[20];
    mproc_poller *p = NULL;
    mproc_polled *e;
    mproc_status st;
    int64_t id;
    size_t added = 0, calls;
    for (int i = 0; i < 20; i++)
      c[i] = new_connection(&peer[i], true);
    calls = memory.calls;
    memory.fail_from = calls + from;
    st = mproc_poller_new(&context.allocator, &p);
    for (int i = 0; st == MPROC_OK && i < 20; i++) {
      st = mproc_poller_add_connection(p, c[i], i, &e);
      added += st == MPROC_OK;
    }
    CHECK(st == MPROC_OK || st == MPROC_NOMEM);
    memory.fail_from = 0;
    if (p != NULL) {
      CHECK_EQ(mproc_poller_count(p), added);
      for (int i = 0; i < 20; i++)
        put(peer[i], "\0\0\0\1x", 5);
      CHECK_EQ(look(p, &id), added);
    }
    mproc_poller_free(p);
    for (int i = 0; i < 20; i++) {
      mproc_connection_free(c[i]);
      mproc_os_close(peer[i]);
    }
  }
}

static void a_look_without_memory_loses_nothing(void) {
  mproc_poller *p = new_poller();
  mproc_polled *e;
  mproc_handle peer;
  mproc_connection *c = new_connection(&peer, true);
  int64_t id;
  CHECK_EQ(mproc_poller_add_connection(p, c, 5, &e), MPROC_OK);
  CHECK_EQ(look(p, &id), 0);
  put(peer, "\0\0\0\1x", 5);
  memory.fail_from = memory.calls + 1;
  CHECK_EQ(mproc_poller_look(p, false, 0), MPROC_NOMEM);
  CHECK_EQ(mproc_poller_look(p, false, 0), MPROC_NOMEM);
  memory.fail_from = 0;
  CHECK_EQ(look(p, &id), 1);
  CHECK_EQ(id, 5);
  mproc_connection_free(c);
  mproc_poller_free(p);
  mproc_os_close(peer);
}

int main(void) {
  heap_init(&memory, 0);
  mproc_context_open(&context, memory.allocator, true); /* reads allocate */
  TEST(a_look_leaves_the_others_alone);
  TEST(one_connection_may_be_in_many);
  TEST(it_may_be_taken_out_at_any_moment);
  TEST(pollers_end_in_any_order);
#ifdef __linux__
  TEST(what_is_refused_is_not_lost);
  TEST(what_was_closed_is_not_told);
#endif
  TEST(memory_may_run_out);
  TEST(a_look_without_memory_loses_nothing);
  mproc_context_close(&context);
  CHECK_EQ(memory.blocks, 0);
  CHECK_EQ(memory.wrong_sizes, 0);
  return test_end("poller_test");
}

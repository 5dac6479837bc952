/*
** pollset_test.c: what src/platform promises of sets of handles, whichever of
** its pollsets was built.
*/
#define _GNU_SOURCE 1
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/platform.h"
#include "heap.h"

#define MS (MPROC_SECOND / 1000)
#define MAX 16

static heap memory;

static mproc_pollset *new_set(void) {
  mproc_pollset *p = NULL;
  CHECK_EQ(mproc_pollset_new(&memory.allocator, &p), MPROC_OK);
  return p;
}

static void open_pair(mproc_handle h[2]) {
  CHECK_EQ(mproc_os_socketpair(h), MPROC_OK);
}

static void close_both(mproc_handle h[2]) {
  mproc_os_close(h[0]);
  mproc_os_close(h[1]);
}

static void put(mproc_handle h) {
  CHECK_EQ(write((int)h, "x", 1), 1);
}

static void take(mproc_handle h) {
  char byte;
  CHECK_EQ(read((int)h, &byte, 1), 1);
}

/* What a look now tells of 'h': its events, or'ed; and whether each has 'tag'. */
static uint8_t look(mproc_pollset *p, mproc_handle h, uint32_t tag) {
  mproc_pollevent events[MAX];
  size_t n = 0;
  uint8_t ready = 0;
  mproc_status st = mproc_pollset_wait(p, 0, events, MAX, &n);
  CHECK_EQ(st, n > 0 ? MPROC_OK : MPROC_AGAIN);
  for (size_t i = 0; i < n; i++) {
    if (events[i].handle == h) {
      CHECK_EQ(events[i].tag, tag);
      ready |= events[i].ready;
    }
  }
  return ready;
}

/* How many events a look now has. */
static size_t count(mproc_pollset *p) {
  mproc_pollevent events[MAX];
  size_t n = 0;
  mproc_pollset_wait(p, 0, events, MAX, &n);
  return n;
}

/* What others see: of its handle, or of all that is in it. */
static bool is_seen_ready(const mproc_pollset *p) {
  mproc_pollitem items[8];
  size_t n = mproc_pollset_want(p, items, 8);
  CHECK_EQ(n, mproc_pollset_want_count(p));
  return mproc_os_poll(items, n, 0, NULL) == MPROC_OK;
}

/* ---- what is told ---- */

static void tells_of_what_is_ready(void) {
  mproc_pollset *p = new_set();
  mproc_handle a[2], b[2];
  open_pair(a);
  open_pair(b);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 7), MPROC_OK);
  CHECK_EQ(mproc_pollset_set(p, b[0], MPROC_READ, UINT32_MAX), MPROC_OK);
  CHECK_EQ(count(p), 0);
  CHECK(!is_seen_ready(p));
  put(a[1]);
  CHECK_EQ(look(p, a[0], 7), MPROC_READ);
  CHECK_EQ(count(p), 1);
  CHECK(is_seen_ready(p));
  put(b[1]);
  CHECK_EQ(look(p, b[0], UINT32_MAX), MPROC_READ);
  CHECK_EQ(count(p), 2);
  take(a[0]);
  CHECK_EQ(look(p, a[0], 7), 0);
  CHECK_EQ(look(p, b[0], UINT32_MAX), MPROC_READ); /* level-triggered */
  mproc_pollset_free(p);
  close_both(a);
  close_both(b);
}

static void tells_of_writing(void) {
  mproc_pollset *p = new_set();
  mproc_handle a[2];
  open_pair(a);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_WRITE, 1), MPROC_OK);
  CHECK_EQ(look(p, a[0], 1), MPROC_WRITE);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ | MPROC_WRITE, 2), MPROC_OK);
  CHECK_EQ(look(p, a[0], 2), MPROC_WRITE);
  put(a[1]);
  CHECK_EQ(look(p, a[0], 2), MPROC_READ | MPROC_WRITE);
  mproc_pollset_free(p);
  close_both(a);
}

static void tells_of_the_end(void) {
  mproc_pollset *p = new_set();
  mproc_handle a[2], b[2];
  open_pair(a);
  CHECK_EQ(mproc_os_pipe(b), MPROC_OK);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 1), MPROC_OK);
  CHECK_EQ(mproc_pollset_set(p, b[0], MPROC_READ, 2), MPROC_OK);
  mproc_os_close(a[1]);
  mproc_os_close(b[1]);
  CHECK(look(p, a[0], 1) & MPROC_READ);
  CHECK(look(p, b[0], 2) & MPROC_READ);
  CHECK_EQ(mproc_pollset_set(p, a[0], 0, 3), MPROC_OK); /* nor a hang-up */
  CHECK_EQ(look(p, a[0], 3), 0);
  mproc_pollset_free(p);
  mproc_os_close(a[0]);
  mproc_os_close(b[0]);
}

static void changes_and_removes(void) {
  mproc_pollset *p = new_set();
  mproc_handle a[2];
  open_pair(a);
  put(a[1]);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 1), MPROC_OK);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 2), MPROC_OK);
  CHECK_EQ(look(p, a[0], 2), MPROC_READ);
  CHECK_EQ(mproc_pollset_set(p, a[0], 0, 3), MPROC_OK);
  CHECK_EQ(count(p), 0);
  CHECK(!is_seen_ready(p));
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 4), MPROC_OK);
  CHECK_EQ(look(p, a[0], 4), MPROC_READ);
  mproc_pollset_remove(p, a[0]);
  mproc_pollset_remove(p, a[0]);
  CHECK_EQ(count(p), 0);
  mproc_pollset_free(p);
  close_both(a);
}

static void refuses_what_is_not_open(void) {
  mproc_pollset *p = new_set();
  mproc_handle a[2];
  open_pair(a);
  close_both(a);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 1), -EBADF);
  mproc_pollset_remove(p, a[0]);
  CHECK_EQ(count(p), 0);
  mproc_pollset_free(p);
}

/* ---- files ---- */

static mproc_handle open_file(void) {
  return open("/", O_RDONLY | O_CLOEXEC);
}

static void files_are_always_ready(void) {
  mproc_pollset *p = new_set();
  mproc_handle f = open_file(), a[2];
  open_pair(a);
  put(a[1]);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 1), MPROC_OK);
  CHECK_EQ(mproc_pollset_set(p, f, MPROC_READ, 2), MPROC_OK);
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(look(p, f, 2) & MPROC_READ, MPROC_READ);
    CHECK_EQ(look(p, a[0], 1), MPROC_READ);
  }
  take(a[0]);
  CHECK_EQ(count(p), 1);
  CHECK(is_seen_ready(p));
  CHECK_EQ(mproc_pollset_set(p, f, MPROC_READ, 3), MPROC_OK);
  CHECK_EQ(look(p, f, 3) & MPROC_READ, MPROC_READ);
  CHECK_EQ(count(p), 1);
  mproc_pollset_remove(p, f);
  CHECK_EQ(count(p), 0);
  CHECK(!is_seen_ready(p));
  mproc_pollset_free(p);
  mproc_os_close(f);
  close_both(a);
}

static void closed_files_drop_out(void) {
  mproc_pollset *p = new_set();
  mproc_handle f = open_file(), g = open_file();
  CHECK_EQ(mproc_pollset_set(p, f, MPROC_READ, 1), MPROC_OK);
  CHECK_EQ(mproc_pollset_set(p, g, MPROC_READ, 2), MPROC_OK);
  mproc_os_close(f);
  CHECK_EQ(look(p, g, 2) & MPROC_READ, MPROC_READ);
  CHECK_EQ(count(p), 1);
  mproc_os_close(g);
  CHECK_EQ(count(p), 0);
  CHECK(!is_seen_ready(p));
  mproc_pollset_free(p);
}

static void files_do_not_starve_others(void) {
  mproc_pollset *p = new_set();
  mproc_handle f[4], a[2];
  mproc_pollevent events[2];
  bool seen[4] = {false, false, false, false}, other = false;
  open_pair(a);
  put(a[1]);
  for (uint32_t i = 0; i < 4; i++) {
    f[i] = open_file();
    CHECK_EQ(mproc_pollset_set(p, f[i], MPROC_READ, i + 1), MPROC_OK);
  }
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 5), MPROC_OK);
  for (int round = 0; round < 5; round++) {
    size_t n = 0;
    CHECK_EQ(mproc_pollset_wait(p, 0, events, 2, &n), MPROC_OK);
    for (size_t i = 0; i < n; i++) {
      if (events[i].tag == 5)
        other = true;
      else
        seen[events[i].tag - 1] = true;
    }
  }
  CHECK(other && seen[0] && seen[1] && seen[2] && seen[3]);
  mproc_pollset_free(p);
  for (int i = 0; i < 4; i++)
    mproc_os_close(f[i]);
  close_both(a);
}

/* ---- numbers that are used again ---- */

static void a_number_may_be_used_again(void) {
  mproc_pollset *p = new_set();
  mproc_handle a[2], b[2];
  open_pair(a);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 1), MPROC_OK);
  close_both(a);
  CHECK_EQ(count(p), 0);
  open_pair(b); /* the same numbers: the lowest that are free */
  CHECK_EQ(b[0], a[0]);
  CHECK_EQ(mproc_pollset_set(p, b[0], MPROC_READ, 2), MPROC_OK);
  CHECK_EQ(count(p), 0);
  put(b[1]);
  CHECK_EQ(look(p, b[0], 2), MPROC_READ);
  close_both(b);
  b[0] = open_file();
  CHECK_EQ(b[0], a[0]);
  CHECK_EQ(mproc_pollset_set(p, b[0], MPROC_READ, 3), MPROC_OK);
  CHECK_EQ(look(p, b[0], 3) & MPROC_READ, MPROC_READ);
  mproc_os_close(b[0]);
  open_pair(a);
  CHECK_EQ(b[0], a[0]);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 4), MPROC_OK);
  CHECK_EQ(count(p), 0);
  mproc_pollset_free(p);
  close_both(a);
}

/*
** What was closed here and is open elsewhere may be told of for ever. Its number
** may be that of a handle which the set has for itself, and which nobody is to
** hear of: of the other, somebody must, or every wait ends at once.
*/
static void a_stale_number_may_be_its_own(void) {
  mproc_pollset *p = new_set();
  mproc_handle a[2], same, f;
  mproc_pollevent events[MAX];
  size_t n = 0;
  open_pair(a);
  same = dup((int)a[0]);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 1), MPROC_OK);
  f = open_file();
  mproc_os_close(a[0]);
  CHECK_EQ(mproc_pollset_set(p, f, MPROC_READ, 2), MPROC_OK);
  mproc_pollset_remove(p, f);
  put(a[1]);
  if (mproc_pollset_handle(p) != MPROC_NO_HANDLE && is_seen_ready(p)) {
    CHECK_EQ(mproc_pollset_wait(p, 0, events, MAX, &n), MPROC_OK);
    CHECK_EQ(n, 1);
    CHECK_EQ(events[0].tag, 1);
  }
  mproc_pollset_free(p);
  mproc_os_close(f);
  mproc_os_close(same);
  mproc_os_close(a[1]);
}

/* ---- waiting ---- */

static void waits_until_its_deadline(void) {
  mproc_pollset *p = new_set();
  mproc_handle a[2];
  mproc_pollevent events[MAX];
  size_t n = 1;
  mproc_time start = mproc_os_now();
  open_pair(a);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 1), MPROC_OK);
  CHECK_EQ(mproc_pollset_wait(p, start + 20 * MS, events, MAX, &n),
           MPROC_AGAIN);
  CHECK_EQ(n, 0);
  CHECK(mproc_os_now() - start >= 20 * MS);
  put(a[1]);
  CHECK_EQ(mproc_pollset_wait(p, MPROC_NEVER, events, MAX, &n), MPROC_OK);
  CHECK_EQ(n, 1);
  mproc_pollset_free(p);
  close_both(a);
}

static void each_has_its_turn(void) {
  enum { PAIRS = 9 };
  mproc_pollset *p = new_set();
  mproc_handle h[PAIRS][2];
  bool seen[PAIRS] = {false};
  for (uint32_t i = 0; i < PAIRS; i++) {
    open_pair(h[i]);
    put(h[i][1]);
    CHECK_EQ(mproc_pollset_set(p, h[i][0], MPROC_READ, i + 1), MPROC_OK);
  }
  for (int round = 0; round < PAIRS; round++) {
    mproc_pollevent events[2];
    size_t n = 0;
    CHECK_EQ(mproc_pollset_wait(p, 0, events, 2, &n), MPROC_OK);
    CHECK_EQ(n, 2);
    for (size_t i = 0; i < n; i++)
      seen[events[i].tag - 1] = true;
  }
  for (int i = 0; i < PAIRS; i++) {
    CHECK(seen[i]);
    close_both(h[i]);
  }
  mproc_pollset_free(p);
}

/* ---- the set itself ---- */

static void a_signal_makes_it_readable(void) {
  mproc_pollset *p = new_set();
  mproc_handle own = mproc_pollset_handle(p);
  mproc_pollevent events[MAX];
  size_t n = 1;
  CHECK_EQ(mproc_pollset_signal(p, true), MPROC_OK);
  CHECK_EQ(mproc_pollset_signal(p, true), MPROC_OK);
  CHECK_EQ(is_seen_ready(p), own != MPROC_NO_HANDLE);
  CHECK_EQ(mproc_pollset_wait(p, MPROC_NEVER, events, MAX, &n), MPROC_AGAIN);
  CHECK_EQ(n, 0);
  CHECK_EQ(mproc_pollset_signal(p, false), MPROC_OK);
  CHECK(!is_seen_ready(p));
  mproc_pollset_free(p);
}

static void a_set_can_be_in_a_set(void) {
  mproc_pollset *inner = new_set(), *outer = new_set();
  mproc_handle own = mproc_pollset_handle(inner), a[2];
  open_pair(a);
  CHECK_EQ(mproc_pollset_set(inner, a[0], MPROC_READ, 1), MPROC_OK);
  if (own != MPROC_NO_HANDLE) {
    CHECK_EQ(fcntl((int)own, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(mproc_pollset_set(outer, own, MPROC_READ, 2), MPROC_OK);
    CHECK_EQ(count(outer), 0);
    put(a[1]);
    CHECK_EQ(look(outer, own, 2), MPROC_READ);
  }
  mproc_pollset_free(outer);
  mproc_pollset_free(inner);
  close_both(a);
}

/* A child that frees its copy, or removes, leaves its parent's as it was. */
static void a_child_leaves_it_alone(void) {
  mproc_pollset *p = new_set();
  mproc_handle a[2];
  int status = -1;
  pid_t pid;
  open_pair(a);
  CHECK_EQ(mproc_pollset_set(p, a[0], MPROC_READ, 1), MPROC_OK);
  CHECK(!mproc_pollset_is_inherited(p));
  pid = fork();
  if (pid == 0) {
    bool has_handle = mproc_pollset_handle(p) != MPROC_NO_HANDLE;
    bool right = mproc_pollset_is_inherited(p) == has_handle;
    mproc_pollset_remove(p, a[0]);
    mproc_pollset_free(p);
    close_both(a);
    _exit(right ? 0 : 1);
  }
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
  put(a[1]);
  CHECK_EQ(look(p, a[0], 1), MPROC_READ);
  mproc_pollset_free(p);
  close_both(a);
}

/* ---- out of memory ---- */

static void memory_may_run_out(void) {
  mproc_handle h[40][2], f = open_file();
  for (int i = 0; i < 40; i++)
    open_pair(h[i]);
  for (size_t from = 1; from < 10; from++) {
    mproc_pollset *p = NULL;
    mproc_status st;
    heap_init(&memory, from);
    st = mproc_pollset_new(&memory.allocator, &p);
    for (uint32_t i = 0; st == MPROC_OK && i < 40; i++)
      st = mproc_pollset_set(p, h[i][0], MPROC_WRITE, i + 1);
    if (st == MPROC_OK)
      st = mproc_pollset_set(p, f, MPROC_READ, 41);
    CHECK_EQ(st, memory.calls < from ? MPROC_OK : MPROC_NOMEM);
    CHECK_EQ(p == NULL, from == 1);
    mproc_pollset_free(p);
    CHECK_EQ(memory.blocks, 0);
    CHECK_EQ(memory.wrong_sizes, 0);
  }
  for (int i = 0; i < 40; i++)
    close_both(h[i]);
  mproc_os_close(f);
}

int main(void) {
  heap_init(&memory, 0);
  TEST(tells_of_what_is_ready);
  TEST(tells_of_writing);
  TEST(tells_of_the_end);
  TEST(changes_and_removes);
  TEST(refuses_what_is_not_open);
  TEST(files_are_always_ready);
  TEST(closed_files_drop_out);
  TEST(files_do_not_starve_others);
  TEST(a_number_may_be_used_again);
  TEST(a_stale_number_may_be_its_own);
  TEST(waits_until_its_deadline);
  TEST(each_has_its_turn);
  TEST(a_signal_makes_it_readable);
  TEST(a_set_can_be_in_a_set);
  TEST(a_child_leaves_it_alone);
  TEST(memory_may_run_out);
  CHECK_EQ(memory.blocks, 0);
  return test_end("pollset_test");
}

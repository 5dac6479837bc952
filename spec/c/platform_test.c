/*
** platform_test.c: what src/platform promises of handles: bytes that never
** block and never signal, waiting, names of errors. Sockets with addresses
** have platform_socket_test.c.
*/
#define _GNU_SOURCE 1
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/platform.h"

#define MS (MPROC_SECOND / 1000)

static const mproc_view none = {NULL, 0};
static uint8_t big[1 << 20];

static mproc_status put(mproc_handle h, mproc_handle_kind kind,
                        const char *text, size_t *n) {
  return mproc_os_write(h, kind, test_text(text), none, n);
}

/* Writes until nothing more goes. Returns how much went. */
static size_t fill_up(mproc_handle h, mproc_handle_kind kind) {
  size_t n = 0, all = 0;
  mproc_status st;
  while ((st = mproc_os_write(h, kind, test_view(big, 4), test_view(big, 20000),
                              &n)) == MPROC_OK &&
         all < sizeof big * 16)
    all += n;
  CHECK_EQ(st, MPROC_AGAIN);
  return all;
}

static size_t drain(mproc_handle h, mproc_handle_kind kind) {
  size_t n = 0, all = 0;
  while (mproc_os_read(h, kind, big, sizeof big, &n) == MPROC_OK)
    all += n;
  return all;
}

static void close_both(mproc_handle h[2]) {
  mproc_os_close(h[0]);
  mproc_os_close(h[1]);
}

static bool is_cloexec(mproc_handle h) {
  return fcntl((int)h, F_GETFD) == FD_CLOEXEC;
}

static bool is_nonblocking(mproc_handle h) {
  return (fcntl((int)h, F_GETFL) & O_NONBLOCK) != 0;
}

/* A terminal's two ends, [0] the master; raw. */
static bool open_terminal(mproc_handle h[2]) {
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
    return false;
  h[0] = master;
  h[1] = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  return h[1] >= 0;
}

/* A FIFO's two ends, [0] to read from. */
static bool open_fifo(mproc_handle h[2]) {
  char dir[] = "/tmp/mproc-test-XXXXXX", path[64];
  if (mkdtemp(dir) == NULL)
    return false;
  snprintf(path, sizeof path, "%s/fifo", dir);
  if (mkfifo(path, 0600) != 0)
    return false;
  h[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  h[1] = open(path, O_WRONLY | O_CLOEXEC);
  fcntl((int)h[0], F_SETFL, O_RDONLY);
  unlink(path);
  rmdir(dir);
  return h[0] >= 0 && h[1] >= 0;
}

/* ---- errors ---- */

static void errno_codes(void) {
  CHECK(strcmp(mproc_os_errno_code(ECONNREFUSED), "ECONNREFUSED") == 0);
  CHECK(strcmp(mproc_os_errno_code(EADDRINUSE), "EADDRINUSE") == 0);
  CHECK(strcmp(mproc_os_errno_code(EWOULDBLOCK), "EAGAIN") == 0);
  CHECK(mproc_os_errno_code(0) == NULL);
  CHECK(mproc_os_errno_code(-1) == NULL);
  CHECK(mproc_os_errno_code(123456) == NULL);
}

static void errno_exceptions(void) {
  static const struct {
    int value;
    const char *name;
  } pep3151[] = {
      {EAGAIN, "BlockingIOError"},
      {EALREADY, "BlockingIOError"},
      {EINPROGRESS, "BlockingIOError"},
      {ECHILD, "ChildProcessError"},
      {EPIPE, "BrokenPipeError"},
      {ESHUTDOWN, "BrokenPipeError"},
      {ECONNABORTED, "ConnectionAbortedError"},
      {ECONNREFUSED, "ConnectionRefusedError"},
      {ECONNRESET, "ConnectionResetError"},
      {EEXIST, "FileExistsError"},
      {ENOENT, "FileNotFoundError"},
      {EINTR, "InterruptedError"},
      {EISDIR, "IsADirectoryError"},
      {ENOTDIR, "NotADirectoryError"},
      {EACCES, "PermissionError"},
      {EPERM, "PermissionError"},
      {ESRCH, "ProcessLookupError"},
      {ETIMEDOUT, "TimeoutError"},
      {EADDRINUSE, "OSError"},
      {123456, "OSError"},
  };
  for (size_t i = 0; i < sizeof pep3151 / sizeof *pep3151; i++)
    CHECK(strcmp(mproc_os_errno_exception(pep3151[i].value), pep3151[i].name) ==
          0);
}

static void errno_texts(void) {
  char text[128], little[8];
  CHECK(strcmp(mproc_os_errno_text(ENOENT, text, sizeof text),
               "No such file or directory") == 0);
  CHECK(strstr(mproc_os_errno_text(123456, text, sizeof text), "123456"));
  CHECK(mproc_os_errno_text(ENOENT, little, sizeof little) == little);
  CHECK(strlen(little) < sizeof little);
}

static void gai_errors(void) {
  mproc_status st = mproc_status_gai(EAI_NONAME);
  CHECK(strcmp(mproc_os_gai_code(st), "EAI_NONAME") == 0);
  CHECK(strcmp(mproc_os_gai_text(st), gai_strerror(EAI_NONAME)) == 0);
  CHECK(mproc_os_gai_code(mproc_status_gai(-4321)) == NULL);
}

static void retriable_errors(void) {
  CHECK(mproc_os_is_nobody_listening(mproc_status_system(ECONNREFUSED)));
  CHECK(mproc_os_is_nobody_listening(mproc_status_system(ENOENT)));
  CHECK(!mproc_os_is_nobody_listening(mproc_status_system(ECONNRESET)));
  CHECK(!mproc_os_is_nobody_listening(MPROC_OK));
  CHECK(!mproc_os_is_nobody_listening(MPROC_AGAIN));
  CHECK(mproc_os_is_backlog_full(mproc_status_system(EAGAIN)));
  CHECK(!mproc_os_is_backlog_full(mproc_status_system(ECONNREFUSED)));
}

/* ---- time and waiting ---- */

static void time_and_process(void) {
  mproc_time first = mproc_os_now();
  CHECK(first > 0);
  CHECK(mproc_os_now() >= first);
  CHECK_EQ(mproc_os_pid(), getpid());
}

static void poll_without_items_sleeps(void) {
  mproc_time start = mproc_os_now();
  CHECK_EQ(mproc_os_poll(NULL, 0, start + 20 * MS, NULL), MPROC_AGAIN);
  CHECK(mproc_os_now() - start >= 20 * MS);
}

static void poll_does_not_round_down(void) {
  mproc_time start = mproc_os_now();
  CHECK_EQ(mproc_os_poll(NULL, 0, start + MS / 3, NULL), MPROC_AGAIN);
  CHECK(mproc_os_now() - start >= MS / 3);
}

static void poll_past_deadlines(void) {
  CHECK_EQ(mproc_os_poll(NULL, 0, 0, NULL), MPROC_AGAIN);
  CHECK_EQ(mproc_os_poll(NULL, 0, -5, NULL), MPROC_AGAIN);
  CHECK_EQ(mproc_os_poll(NULL, 0, INT64_MIN, NULL), MPROC_AGAIN);
  CHECK_EQ(mproc_os_poll(NULL, 0, mproc_os_now(), NULL), MPROC_AGAIN);
}

static void poll_tells_what_is_ready(void) {
  mproc_handle h[2];
  size_t n;
  CHECK_EQ(mproc_os_socketpair(h), MPROC_OK);
  mproc_pollitem items[] = {{h[0], MPROC_READ | MPROC_WRITE, 0},
                            {h[1], MPROC_READ, 99},
                            {MPROC_NO_HANDLE, MPROC_READ, 99},
                            {h[1], 0, 99}};
  CHECK_EQ(mproc_os_poll(items, 4, MPROC_NEVER, NULL), MPROC_OK);
  CHECK_EQ(items[0].ready, MPROC_WRITE);
  CHECK_EQ(items[1].ready, 0);
  CHECK_EQ(items[2].ready, 0);
  CHECK_EQ(items[3].ready, 0);
  CHECK_EQ(put(h[1], MPROC_SOCKET, "x", &n), MPROC_OK);
  CHECK_EQ(mproc_os_poll(items, 4, 0, NULL), MPROC_OK);
  CHECK_EQ(items[0].ready, MPROC_READ | MPROC_WRITE);
  CHECK_EQ(mproc_os_poll(items + 1, 3, 0, NULL), MPROC_AGAIN);
  close_both(h);
}

static void poll_counts_a_hang_up_as_all(void) {
  mproc_handle h[2];
  CHECK_EQ(mproc_os_pipe(h), MPROC_OK);
  mproc_os_close(h[1]);
  mproc_pollitem item = {h[0], MPROC_READ | MPROC_WRITE, 0};
  CHECK_EQ(mproc_os_poll(&item, 1, MPROC_NEVER, NULL), MPROC_OK);
  CHECK_EQ(item.ready, MPROC_READ | MPROC_WRITE);
  item.events = 0; /* waits for nothing: a hang-up is none of its business */
  CHECK_EQ(mproc_os_poll(&item, 1, 0, NULL), MPROC_AGAIN);
  mproc_os_close(h[0]);
  item.events = MPROC_WRITE; /* not open now */
  CHECK_EQ(mproc_os_poll(&item, 1, MPROC_NEVER, NULL), MPROC_OK);
  CHECK_EQ(item.ready, MPROC_WRITE);
}

static void poll_many(void) {
  enum { N = 50 };
  mproc_pollitem items[N];
  mproc_handle h[2];
  void *scratch = malloc(mproc_os_poll_scratch(N));
  size_t n;
  CHECK_EQ(mproc_os_pipe(h), MPROC_OK);
  for (size_t i = 0; i < N; i++)
    items[i] = (mproc_pollitem){h[0], MPROC_READ, 0};
  CHECK_EQ(mproc_os_poll(items, N, 0, scratch), MPROC_AGAIN);
  CHECK_EQ(put(h[1], MPROC_FILE, "x", &n), MPROC_OK);
  CHECK_EQ(mproc_os_poll(items, N, MPROC_NEVER, scratch), MPROC_OK);
  CHECK_EQ(items[N - 1].ready, MPROC_READ);
  close_both(h);
  free(scratch);
}

static void on_signal(int number) {
  (void)number;
}

static void set_timer(int every_ms) {
  struct itimerval timer = {{0, every_ms * 1000}, {0, every_ms * 1000}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

static void poll_tells_of_a_signal(void) {
  struct sigaction action, before;
  mproc_handle h[2];
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART; /* poll(2) ends all the same: signal(7) */
  sigaction(SIGALRM, &action, &before);
  CHECK_EQ(mproc_os_pipe(h), MPROC_OK);
  mproc_pollitem item = {h[0], MPROC_READ, 0};
  set_timer(10);
  CHECK_EQ(mproc_os_poll(&item, 1, MPROC_NEVER, NULL), MPROC_INTERRUPTED);
  set_timer(0);
  sigaction(SIGALRM, &before, NULL);
  close_both(h);
}

/* ---- handles ---- */

static void kinds(void) {
  mproc_handle_kind kind = MPROC_FILE;
  mproc_handle s[2], p[2];
  CHECK_EQ(mproc_os_socketpair(s), MPROC_OK);
  CHECK_EQ(mproc_os_pipe(p), MPROC_OK);
  CHECK_EQ(mproc_os_kind(s[0], &kind), MPROC_OK);
  CHECK_EQ(kind, MPROC_SOCKET);
  CHECK_EQ(mproc_os_kind(p[1], &kind), MPROC_OK);
  CHECK_EQ(kind, MPROC_FILE);
  close_both(p);
  CHECK_EQ(mproc_os_kind(p[1], &kind), mproc_status_system(EBADF));
  close_both(s);
}

static void pairs_are_close_on_exec_and_blocking(void) {
  mproc_handle h[2];
  CHECK_EQ(mproc_os_socketpair(h), MPROC_OK);
  CHECK(is_cloexec(h[0]) && is_cloexec(h[1]));
  CHECK(!is_nonblocking(h[0]) && !is_nonblocking(h[1]));
  close_both(h);
  CHECK_EQ(mproc_os_pipe(h), MPROC_OK);
  CHECK(is_cloexec(h[0]) && is_cloexec(h[1]));
  CHECK(!is_nonblocking(h[0]) && !is_nonblocking(h[1]));
  close_both(h);
}

/* Everything that reading from 'r' can come to, and closes both. */
static void read_all_outcomes(mproc_handle r, mproc_handle w,
                              mproc_handle_kind kind) {
  uint8_t got[16];
  size_t n = 0;
  CHECK_EQ(mproc_os_read(r, kind, got, sizeof got, &n), MPROC_AGAIN);
  CHECK_EQ(put(w, kind, "abcdef", &n), MPROC_OK);
  CHECK_EQ(n, 6);
  CHECK_EQ(mproc_os_read(r, kind, got, 4, &n), MPROC_OK);
  CHECK_BYTES(test_view(got, n), test_text("abcd"));
  CHECK_EQ(mproc_os_read(r, kind, got, sizeof got, &n), MPROC_OK);
  CHECK_BYTES(test_view(got, n), test_text("ef"));
  mproc_os_close(w);
  CHECK_EQ(mproc_os_read(r, kind, got, sizeof got, &n), MPROC_EOF);
  mproc_os_close(r);
  CHECK_EQ(mproc_os_read(r, kind, got, 1, &n), mproc_status_system(EBADF));
}

/* What to make, and whether it is to be in non-blocking mode. */
typedef struct sample {
  bool (*make)(mproc_handle h[2]);
  mproc_handle_kind kind;
  bool nonblocking;
} sample;

static bool make_pipe(mproc_handle h[2]) {
  return mproc_os_pipe(h) == MPROC_OK;
}

static bool make_socketpair(mproc_handle h[2]) {
  return mproc_os_socketpair(h) == MPROC_OK;
}

static const sample samples[] = {
    {make_pipe, MPROC_FILE, false},
    {make_pipe, MPROC_FILE, true},
    {open_fifo, MPROC_FILE, false},
    {open_fifo, MPROC_FILE, true},
    {make_socketpair, MPROC_SOCKET, false},
    {make_socketpair, MPROC_SOCKET, true},
};

static void make(const sample *s, mproc_handle h[2]) {
  CHECK(s->make(h));
  if (s->nonblocking)
    for (int i = 0; i < 2; i++)
      fcntl((int)h[i], F_SETFL, fcntl((int)h[i], F_GETFL) | O_NONBLOCK);
}

#define EACH_SAMPLE(s)            \
  for (const sample *s = samples; \
       s < samples + sizeof samples / sizeof *samples; s++)

static void reading(void) {
  mproc_handle h[2];
  EACH_SAMPLE(s) {
    make(s, h);
    read_all_outcomes(h[0], h[1], s->kind);
  }
}

static void a_full_handle_does_not_block(void) {
  mproc_handle h[2];
  size_t n, all;
  EACH_SAMPLE(s) {
    make(s, h);
    all = fill_up(h[1], s->kind);
    CHECK(all >= 4096);
    CHECK_EQ(put(h[1], s->kind, "x", &n), MPROC_AGAIN);
    CHECK_EQ(
        mproc_os_write(h[1], s->kind, test_view(big, sizeof big), none, &n),
        MPROC_AGAIN);
    CHECK_EQ(is_nonblocking(h[1]), s->nonblocking);
    CHECK_EQ(drain(h[0], s->kind), all);
    CHECK_EQ(put(h[1], s->kind, "x", &n), MPROC_OK);
    CHECK_EQ(is_nonblocking(h[0]), s->nonblocking);
    close_both(h);
  }
}

static void two_parts_arrive_in_order(void) {
  static const size_t sizes[][2] = {{4, 5},     {0, 7},      {7, 0},
                                    {4, 4096},  {4, 16380},  {4, 16381},
                                    {16384, 1}, {12, 60000}, {5000, 5000}};
  static uint8_t out[70000], in[70000];
  mproc_handle h[2];
  for (size_t i = 0; i < sizeof out; i++)
    out[i] = (uint8_t)(i * 7 + i / 251);
  EACH_SAMPLE(s) {
    make(s, h);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      size_t a = sizes[i][0], all = a + sizes[i][1], sent = 0, got = 0, n = 0;
      while (sent < all || got < all) {
        mproc_view first = test_view(out + sent, sent < a ? a - sent : 0);
        mproc_view rest =
            test_view(out + sent + first.size, all - sent - first.size);
        if (sent < all &&
            mproc_os_write(h[1], s->kind, first, rest, &n) == MPROC_OK)
          sent += n;
        if (!CHECK_EQ(
                mproc_os_read(h[0], s->kind, in + got, sizeof in - got, &n),
                MPROC_OK))
          break;
        got += n;
      }
      CHECK_BYTES(test_view(in, got), test_view(out, all));
    }
    close_both(h);
  }
}

static void a_terminal_does_not_block(void) {
  mproc_handle h[2] = {MPROC_NO_HANDLE, MPROC_NO_HANDLE};
  size_t n = 0, all = 0;
  if (!CHECK(open_terminal(h)))
    return;
  CHECK_EQ(mproc_os_read(h[0], MPROC_FILE, big, 10, &n), MPROC_AGAIN);
  CHECK_EQ(mproc_os_read(h[1], MPROC_FILE, big, 10, &n), MPROC_AGAIN);
  memset(big, 'x', sizeof big);
  all = fill_up(h[1], MPROC_FILE);
  CHECK(all > 0);
  CHECK_EQ(drain(h[0], MPROC_FILE), all);
  CHECK(!is_nonblocking(h[0]) && !is_nonblocking(h[1]));
  close_both(h);
}

static void other_files(void) {
  uint8_t got[8];
  size_t n;
  int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  CHECK_EQ(mproc_os_read(fd, MPROC_FILE, got, sizeof got, &n), MPROC_EOF);
  CHECK_EQ(put(fd, MPROC_FILE, "x", &n), MPROC_OK);
  close(fd);
  fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
  if (fd < 0)
    return;
  CHECK_EQ(put(fd, MPROC_FILE, "abc", &n), MPROC_OK);
  CHECK_EQ(n, 3);
  CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
  CHECK_EQ(mproc_os_read(fd, MPROC_FILE, got, sizeof got, &n), MPROC_OK);
  CHECK_BYTES(test_view(got, n), test_text("abc"));
  CHECK_EQ(mproc_os_read(fd, MPROC_FILE, got, sizeof got, &n), MPROC_EOF);
  close(fd);
}

static void the_wrong_end(void) {
  mproc_handle h[2];
  size_t n;
  EACH_SAMPLE(s) {
    if (s->kind == MPROC_SOCKET)
      continue;
    make(s, h);
    CHECK_EQ(put(h[0], MPROC_FILE, "x", &n), mproc_status_system(EBADF));
    CHECK_EQ(mproc_os_read(h[1], MPROC_FILE, big, 1, &n),
             mproc_status_system(EBADF));
    close_both(h);
  }
}

/* ---- SIGPIPE: its disposition is the default, which kills ---- */

static bool sigpipe_is_pending(void) {
  sigset_t set;
  sigpending(&set);
  return sigismember(&set, SIGPIPE) == 1;
}

static bool sigpipe_is_blocked(void) {
  sigset_t set;
  pthread_sigmask(SIG_SETMASK, NULL, &set);
  return sigismember(&set, SIGPIPE) == 1;
}

static void write_to_closed(const sample *s) {
  mproc_handle h[2];
  size_t n;
  make(s, h);
  mproc_os_close(h[0]);
  CHECK_EQ(put(h[1], s->kind, "x", &n), mproc_status_system(EPIPE));
  CHECK_EQ(mproc_os_write(h[1], s->kind, test_view(big, 4),
                          test_view(big, sizeof big - 4), &n),
           mproc_status_system(EPIPE));
  mproc_os_close(h[1]);
}

static void sigpipe_does_not_kill(void) {
  struct sigaction action;
  EACH_SAMPLE(s) {
    write_to_closed(s);
    CHECK(!sigpipe_is_pending() && !sigpipe_is_blocked());
  }
  sigaction(SIGPIPE, NULL, &action);
  CHECK(action.sa_handler == SIG_DFL);
}

static void sigpipe_ignored(void) {
  signal(SIGPIPE, SIG_IGN);
  EACH_SAMPLE(s) write_to_closed(s);
  CHECK(!sigpipe_is_pending() && !sigpipe_is_blocked());
  signal(SIGPIPE, SIG_DFL);
}

static volatile sig_atomic_t caught;

static void on_sigpipe(int number) {
  (void)number;
  caught++;
}

static void sigpipe_handler_is_not_called(void) {
  signal(SIGPIPE, on_sigpipe);
  EACH_SAMPLE(s) write_to_closed(s);
  CHECK_EQ(caught, 0);
  raise(SIGPIPE); /* the program's own still comes */
  CHECK_EQ(caught, 1);
  signal(SIGPIPE, SIG_DFL);
}

static void a_blocked_sigpipe_stays_as_it_was(void) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  EACH_SAMPLE(s) write_to_closed(s);
  CHECK(!sigpipe_is_pending() && sigpipe_is_blocked());
  raise(SIGPIPE);
  EACH_SAMPLE(s) write_to_closed(s);
  CHECK(sigpipe_is_pending() && sigpipe_is_blocked());
  int taken;
  sigwait(&set, &taken);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int main(void) {
  signal(SIGPIPE, SIG_DFL);
  alarm(120); /* a call that blocks ends the test */
  TEST(errno_codes);
  TEST(errno_exceptions);
  TEST(errno_texts);
  TEST(gai_errors);
  TEST(retriable_errors);
  TEST(time_and_process);
  TEST(poll_without_items_sleeps);
  TEST(poll_does_not_round_down);
  TEST(poll_past_deadlines);
  TEST(poll_tells_what_is_ready);
  TEST(poll_counts_a_hang_up_as_all);
  TEST(poll_many);
  TEST(kinds);
  TEST(pairs_are_close_on_exec_and_blocking);
  TEST(reading);
  TEST(a_full_handle_does_not_block);
  TEST(two_parts_arrive_in_order);
  TEST(a_terminal_does_not_block);
  TEST(other_files);
  TEST(the_wrong_end);
  TEST(sigpipe_does_not_kill);
  TEST(sigpipe_ignored);
  TEST(sigpipe_handler_is_not_called);
  TEST(a_blocked_sigpipe_stays_as_it_was);
  TEST(poll_tells_of_a_signal); /* last: it takes alarm's timer */
  return test_end("platform_test");
}

/*
** platform_socket_test.c: what src/platform promises of sockets with
** addresses: listening, connecting, accepting, names, socket files.
*/
#define _GNU_SOURCE 1
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/platform.h"

static char directory[] = "/tmp/mproc-test-XXXXXX";

static const mproc_listen_options plain = {5, -1, false};
static const mproc_listen_options reusing = {5, -1, true};

static mproc_address address_of(mproc_family family, mproc_view name,
                                uint16_t port) {
  mproc_address a;
  memset(&a, 0, sizeof a);
  a.family = (uint8_t)family;
  a.port = port;
  a.size = (uint16_t)name.size;
  if (name.size > 0)
    memcpy(a.name, name.data, name.size);
  return a;
}

static mproc_address file_address(const char *name) {
  char path[64];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  return address_of(MPROC_AF_UNIX, test_text(path), 0);
}

static mproc_sockaddr resolved(const mproc_address *a) {
  mproc_sockaddr sa;
  size_t n = 0;
  memset(&sa, 0, sizeof sa);
  CHECK_EQ(mproc_os_resolve(a, true, &sa, 1, &n), MPROC_OK);
  CHECK_EQ(n, 1);
  return sa;
}

static mproc_status listen_at(const mproc_address *a,
                              const mproc_listen_options *options,
                              mproc_handle *h) {
  mproc_sockaddr sa = resolved(a);
  return mproc_os_listen(&sa, options, h);
}

/* Connects, and waits until that has come to an end. */
static mproc_status connect_to(const mproc_address *a, mproc_handle *h) {
  mproc_sockaddr sa = resolved(a);
  mproc_status st = mproc_os_connect(&sa, h);
  if (st == MPROC_AGAIN) {
    mproc_pollitem item = {*h, MPROC_WRITE, 0};
    CHECK_EQ(mproc_os_poll(&item, 1, MPROC_NEVER, NULL), MPROC_OK);
    st = mproc_os_connected(*h);
    if (st != MPROC_OK)
      mproc_os_close(*h);
  }
  return st;
}

static mproc_sockaddr peer; /* who was accepted last */

static mproc_status accept_next(mproc_handle listener, mproc_handle *h) {
  mproc_pollitem item = {listener, MPROC_READ, 0};
  CHECK_EQ(mproc_os_poll(&item, 1, MPROC_NEVER, NULL), MPROC_OK);
  return mproc_os_accept(listener, h, &peer);
}

static bool is_cloexec(mproc_handle h) {
  return fcntl((int)h, F_GETFD) == FD_CLOEXEC;
}

static bool is_nonblocking(mproc_handle h) {
  return (fcntl((int)h, F_GETFL) & O_NONBLOCK) != 0;
}

static bool is_same_address(const mproc_address *a, const mproc_address *b) {
  return a->family == b->family && a->port == b->port && a->size == b->size &&
         memcmp(a->name, b->name, a->size) == 0;
}

static int option(mproc_handle h, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  getsockopt((int)h, level, name, &value, &size);
  return value;
}

static void swap(mproc_handle a, mproc_handle b) {
  uint8_t got[8];
  size_t n = 0;
  CHECK_EQ(
      mproc_os_write(a, MPROC_SOCKET, test_text("he"), test_text("llo"), &n),
      MPROC_OK);
  CHECK_EQ(
      mproc_os_poll(&(mproc_pollitem){b, MPROC_READ, 0}, 1, MPROC_NEVER, NULL),
      MPROC_OK);
  CHECK_EQ(mproc_os_read(b, MPROC_SOCKET, got, sizeof got, &n), MPROC_OK);
  CHECK_BYTES(test_view(got, n), test_text("hello"));
}

/* A whole life: listens, connects, accepts, talks, closes. */
static void live(const mproc_address *at) {
  mproc_handle listener, client, server, nobody;
  mproc_address here, there;
  CHECK_EQ(listen_at(at, &plain, &listener), MPROC_OK);
  CHECK(is_cloexec(listener) && is_nonblocking(listener));
  CHECK_EQ(mproc_os_accept(listener, &server, &peer), MPROC_AGAIN);
  CHECK(mproc_os_local_address(listener, &here));
  CHECK_EQ(here.family, at->family);
  CHECK(!mproc_os_peer_address(listener, &there));
  CHECK_EQ(connect_to(&here, &client), MPROC_OK);
  CHECK_EQ(mproc_os_connected(client), MPROC_OK);
  CHECK_EQ(accept_next(listener, &server), MPROC_OK);
  CHECK_EQ(mproc_os_address(&peer, &there),
           mproc_os_local_address(client, &here));
  CHECK(at->family == MPROC_AF_UNIX || is_same_address(&there, &here));
  CHECK(mproc_os_local_address(listener, &here));
  CHECK_EQ(mproc_os_accept(listener, &nobody, &peer), MPROC_AGAIN);
  CHECK(is_cloexec(client) && !is_nonblocking(client));
  CHECK(is_cloexec(server) && !is_nonblocking(server));
  CHECK(mproc_os_peer_address(client, &there));
  CHECK(is_same_address(&there, &here));
  mproc_os_tune(client, 0);
  mproc_os_tune(server, 2.5);
  swap(client, server);
  swap(server, client);
  mproc_os_close(client);
  mproc_os_close(server);
  mproc_os_close(listener);
}

static void inet(void) {
  mproc_address a = address_of(MPROC_AF_INET, test_text("127.0.0.1"), 0);
  live(&a);
}

static bool has_inet6(void) {
  mproc_address a = address_of(MPROC_AF_INET6, test_text("::1"), 0);
  mproc_handle h;
  if (listen_at(&a, &plain, &h) != MPROC_OK)
    return false;
  mproc_os_close(h);
  return true;
}

static void inet6(void) {
  mproc_address a = address_of(MPROC_AF_INET6, test_text("::1"), 0);
  if (has_inet6())
    live(&a);
}

static void unix_file(void) {
  mproc_address a = file_address("life");
  live(&a);
  CHECK_EQ(unlink(a.name), 0);
}

static void unix_abstract(void) {
  char name[64];
  int size = snprintf(name, sizeof name, "%cmproc%cx\n%d", 0, 0, getpid());
  mproc_address a = address_of(MPROC_AF_UNIX, test_view(name, (size_t)size), 0);
  if (mproc_os_has_abstract())
    live(&a);
}

static void the_address_of_a_port_zero(void) {
  mproc_address a = address_of(MPROC_AF_INET, test_text("localhost"), 0);
  mproc_address here;
  mproc_handle h;
  CHECK_EQ(listen_at(&a, &plain, &h), MPROC_OK);
  CHECK(mproc_os_local_address(h, &here));
  CHECK(strcmp(here.name, "127.0.0.1") == 0);
  CHECK_EQ(here.size, 9);
  CHECK(here.port != 0);
  CHECK(option(h, SOL_SOCKET, SO_REUSEADDR) != 0);
  mproc_os_close(h);
}

static void addresses_that_are_none(void) {
  mproc_handle h[2];
  mproc_address a;
  CHECK_EQ(mproc_os_socketpair(h), MPROC_OK);
  CHECK(!mproc_os_local_address(h[0], &a));
  CHECK(!mproc_os_peer_address(h[0], &a));
  mproc_os_close(h[0]);
  mproc_os_close(h[1]);
  CHECK(!mproc_os_local_address(h[0], &a));
  CHECK_EQ(mproc_os_pipe(h), MPROC_OK);
  CHECK(!mproc_os_local_address(h[0], &a));
  CHECK(!mproc_os_peer_address(h[0], &a));
  mproc_os_close(h[0]);
  mproc_os_close(h[1]);
}

static void tuning(void) {
  mproc_address a = address_of(MPROC_AF_INET, test_text("127.0.0.1"), 0);
  mproc_handle h, pair[2];
  CHECK_EQ(listen_at(&a, &plain, &h), MPROC_OK);
  CHECK_EQ(option(h, IPPROTO_TCP, TCP_NODELAY), 0);
  mproc_os_tune(h, 0);
  CHECK(option(h, IPPROTO_TCP, TCP_NODELAY) != 0);
  CHECK_EQ(option(h, SOL_SOCKET, SO_KEEPALIVE), 0);
  mproc_os_tune(h, 9.5);
  CHECK(option(h, SOL_SOCKET, SO_KEEPALIVE) != 0);
#ifdef __linux__
  CHECK_EQ(option(h, IPPROTO_TCP, TCP_KEEPIDLE), 10);
  CHECK_EQ(option(h, IPPROTO_TCP, TCP_KEEPINTVL), 2);
  CHECK_EQ(option(h, IPPROTO_TCP, TCP_KEEPCNT), 4);
  mproc_os_tune(h, 0.001);
  CHECK_EQ(option(h, IPPROTO_TCP, TCP_KEEPIDLE), 1);
  CHECK_EQ(option(h, IPPROTO_TCP, TCP_KEEPINTVL), 1);
  mproc_os_tune(h, 1e300);
  CHECK_EQ(option(h, IPPROTO_TCP, TCP_KEEPIDLE), 32767);
#endif
  mproc_os_close(h);
  CHECK_EQ(mproc_os_socketpair(pair), MPROC_OK);
  mproc_os_tune(pair[0], 1);
  CHECK_EQ(option(pair[0], SOL_SOCKET, SO_KEEPALIVE), 0);
  mproc_os_close(pair[0]);
  mproc_os_close(pair[1]);
}

/* What a listening socket is tuned for, each that is accepted has. */
static void tuning_what_is_accepted(void) {
  mproc_address a = address_of(MPROC_AF_INET, test_text("127.0.0.1"), 0);
  mproc_handle listener, client, server;
  bool tuned;
  CHECK_EQ(listen_at(&a, &plain, &listener), MPROC_OK);
  tuned = mproc_os_tune_accepted(listener, 9.5, true);
  CHECK(mproc_os_local_address(listener, &a));
  CHECK_EQ(connect_to(&a, &client), MPROC_OK);
  CHECK_EQ(accept_next(listener, &server), MPROC_OK);
  CHECK_EQ(option(server, IPPROTO_TCP, TCP_NODELAY) != 0, tuned);
  CHECK_EQ(option(server, SOL_SOCKET, SO_KEEPALIVE) != 0, tuned);
#if defined __linux__ && !defined MPROC_POSIX_FALLBACKS
  CHECK(tuned);
  CHECK_EQ(option(server, IPPROTO_TCP, TCP_KEEPIDLE), 10);
  CHECK_EQ(option(server, IPPROTO_TCP, TCP_QUICKACK), 0);
#endif
  swap(client, server);
  mproc_os_close(client);
  mproc_os_close(server);
  mproc_os_close(listener);
}

/* ---- connecting to nobody ---- */

static void nobody_listens(void) {
  mproc_address path = file_address("nobody");
  mproc_address port = address_of(MPROC_AF_INET, test_text("127.0.0.1"), 0);
  mproc_handle h;
  mproc_status st = connect_to(&path, &h);
  CHECK_EQ(st, mproc_status_system(ENOENT));
  CHECK(mproc_os_is_nobody_listening(st));
  CHECK_EQ(listen_at(&port, &plain, &h), MPROC_OK);
  CHECK(mproc_os_local_address(h, &port));
  mproc_os_close(h);
  CHECK_EQ(connect_to(&port, &h), mproc_status_system(ECONNREFUSED));
}

static void a_failed_connection_stays_failed(void) {
  mproc_address a = address_of(MPROC_AF_INET, test_text("127.0.0.1"), 1);
  mproc_sockaddr sa = resolved(&a);
  mproc_handle h;
  if (mproc_os_connect(&sa, &h) != MPROC_AGAIN)
    return; /* it failed at once: that is tested above */
  mproc_pollitem item = {h, MPROC_WRITE, 0};
  CHECK_EQ(mproc_os_poll(&item, 1, MPROC_NEVER, NULL), MPROC_OK);
  CHECK_EQ(mproc_os_connected(h), mproc_status_system(ECONNREFUSED));
  CHECK(mproc_os_connected(h) < 0);
  mproc_os_close(h);
}

/* A blocking connect(2) would wait for the listener to accept. */
static void a_full_backlog(void) {
  enum { N = 8 };
  const mproc_listen_options tight = {0, -1, false};
  mproc_address a = file_address("full");
  mproc_handle listener, h[N];
  mproc_status st = MPROC_OK;
  size_t n = 0;
  CHECK_EQ(listen_at(&a, &tight, &listener), MPROC_OK);
  while (n < N && (st = connect_to(&a, &h[n])) == MPROC_OK)
    n++;
#ifdef __linux__
  CHECK(mproc_os_is_backlog_full(st));
  CHECK(!mproc_os_is_nobody_listening(st));
#endif
  while (n-- > 0)
    mproc_os_close(h[n]);
  mproc_os_close(listener);
  unlink(a.name);
}

/* TCP's listener drops the SYN then: connecting goes on. */
static void connecting_goes_on(void) {
  enum { N = 8 };
  const mproc_listen_options tight = {0, -1, false};
  mproc_address a = address_of(MPROC_AF_INET, test_text("127.0.0.1"), 0);
  mproc_handle listener, h[N];
  size_t pending = 0;
  CHECK_EQ(listen_at(&a, &tight, &listener), MPROC_OK);
  CHECK(mproc_os_local_address(listener, &a));
  mproc_sockaddr sa = resolved(&a);
  for (size_t i = 0; i < N; i++) {
    mproc_status st = mproc_os_connect(&sa, &h[i]);
    CHECK(st == MPROC_OK || st == MPROC_AGAIN);
    CHECK(st == MPROC_AGAIN || !is_nonblocking(h[i]));
  }
  for (size_t i = 0; i < N; i++)
    if (mproc_os_connected(h[i]) == MPROC_AGAIN) {
      CHECK(is_nonblocking(h[i]));
      pending++;
    }
#ifdef __linux__
  CHECK(pending > 0);
#endif
  for (size_t i = 0; i < N; i++)
    mproc_os_close(h[i]);
  mproc_os_close(listener);
}

/* ---- socket files ---- */

static unsigned mode_of(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static bool exists(const char *path) {
  mproc_file_id id;
  return mproc_os_file_id(path, &id);
}

static void the_mode_of_a_socket_file(void) {
  mproc_listen_options options = plain;
  mproc_address a = file_address("mode");
  mproc_handle h;
  options.mode = 0620;
  CHECK_EQ(listen_at(&a, &options, &h), MPROC_OK);
  CHECK_EQ(mode_of(a.name), 0620);
  mproc_os_close(h);
  unlink(a.name);
  options.mode = 0;
  CHECK_EQ(listen_at(&a, &options, &h), MPROC_OK);
  CHECK_EQ(mode_of(a.name), 0);
  mproc_os_close(h);
  unlink(a.name);
}

static void a_path_in_use(void) {
  mproc_address a = file_address("used");
  mproc_handle h, second;
  CHECK_EQ(listen_at(&a, &plain, &h), MPROC_OK);
  CHECK_EQ(listen_at(&a, &plain, &second), mproc_status_system(EADDRINUSE));
  CHECK_EQ(listen_at(&a, &reusing, &second), mproc_status_system(EADDRINUSE));
  CHECK_EQ(connect_to(&a, &second), MPROC_OK); /* the first one lives on */
  mproc_os_close(second);
  mproc_os_close(h);
  CHECK_EQ(listen_at(&a, &plain, &second), mproc_status_system(EADDRINUSE));
  CHECK(exists(a.name));
  unlink(a.name);
}

static void a_stale_socket_file_is_replaced(void) {
  mproc_address a = file_address("stale");
  mproc_handle h;
  CHECK_EQ(listen_at(&a, &plain, &h), MPROC_OK);
  mproc_os_close(h);
  CHECK_EQ(listen_at(&a, &reusing, &h), MPROC_OK);
  mproc_handle client;
  CHECK_EQ(connect_to(&a, &client), MPROC_OK);
  mproc_os_close(client);
  mproc_os_close(h);
  unlink(a.name);
}

static void reuse_without_a_file(void) {
  mproc_address a = file_address("new");
  mproc_handle h;
  CHECK_EQ(listen_at(&a, &reusing, &h), MPROC_OK);
  mproc_os_close(h);
  unlink(a.name);
  a = address_of(MPROC_AF_INET, test_text("127.0.0.1"), 0);
  CHECK_EQ(listen_at(&a, &reusing, &h), MPROC_OK);
  mproc_os_close(h);
}

static void reuse_of_an_abstract_name(void) {
  mproc_address a = address_of(MPROC_AF_UNIX, TEST_LITERAL("\0mproc-used"), 0);
  mproc_handle h, second;
  if (!mproc_os_has_abstract())
    return;
  CHECK_EQ(listen_at(&a, &reusing, &h), MPROC_OK);
  CHECK_EQ(listen_at(&a, &reusing, &second), mproc_status_system(EADDRINUSE));
  mproc_os_close(h);
}

static void reuse_spares_other_files(void) {
  mproc_address a = file_address("file"), link = file_address("link");
  mproc_address stale = file_address("stale");
  mproc_handle h;
  int fd = open(a.name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  CHECK(fd >= 0);
  close(fd);
  CHECK_EQ(listen_at(&a, &reusing, &h), mproc_status_system(EADDRINUSE));
  CHECK(exists(a.name));
  unlink(a.name);
  CHECK_EQ(listen_at(&stale, &plain, &h), MPROC_OK);
  mproc_os_close(h);
  CHECK_EQ(symlink(stale.name, link.name), 0);
  CHECK_EQ(listen_at(&link, &reusing, &h), mproc_status_system(EADDRINUSE));
  CHECK(exists(link.name) && exists(stale.name));
  unlink(link.name);
  unlink(stale.name);
}

static void reuse_spares_datagram_sockets(void) {
  mproc_address a = file_address("datagram");
  mproc_sockaddr sa = resolved(&a);
  mproc_handle h;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK_EQ(bind(fd, (struct sockaddr *)(void *)&sa.u, sa.size), 0);
  CHECK_EQ(listen_at(&a, &reusing, &h), mproc_status_system(EADDRINUSE));
  CHECK(exists(a.name));
  close(fd);
  unlink(a.name);
}

static void a_failure_leaves_nothing(void) {
  mproc_address a = file_address("no/such/directory");
  mproc_handle h;
  int next = dup(0);
  close(next);
  CHECK_EQ(listen_at(&a, &plain, &h), mproc_status_system(ENOENT));
  a = address_of(MPROC_AF_INET, test_text("192.0.2.1"), 0); /* not ours */
  CHECK_EQ(listen_at(&a, &plain, &h), mproc_status_system(EADDRNOTAVAIL));
  a = file_address("nobody");
  CHECK_EQ(connect_to(&a, &h), mproc_status_system(ENOENT));
  CHECK_EQ(dup(0), next); /* no descriptor was left open */
  close(next);
}

static void unlinking_the_same(void) {
  mproc_address a = file_address("first"), b = file_address("second");
  mproc_file_id first, second, none;
  mproc_handle h;
  CHECK_EQ(listen_at(&a, &plain, &h), MPROC_OK);
  mproc_os_close(h);
  CHECK_EQ(listen_at(&b, &plain, &h), MPROC_OK);
  mproc_os_close(h);
  CHECK(mproc_os_file_id(a.name, &first));
  CHECK(mproc_os_file_id(b.name, &second));
  mproc_os_unlink_same(a.name, second);
  CHECK(exists(a.name));
  mproc_os_unlink_same(a.name, first);
  CHECK(!mproc_os_file_id(a.name, &none));
  mproc_os_unlink_same(a.name, first); /* nothing there: nothing happens */
  mproc_os_unlink_same(b.name, second);
  CHECK(!exists(b.name));
}

static void private_path(const char *tmpdir, const char *base) {
  char path[MPROC_PATH_MAX + 1], parent[MPROC_PATH_MAX + 1];
  uint16_t size = 0;
  mproc_address a;
  mproc_handle h;
  setenv("TMPDIR", tmpdir, 1);
  CHECK_EQ(mproc_os_private_path("listener", path, &size), MPROC_OK);
  CHECK_EQ(size, strlen(path));
  CHECK(strncmp(path, base, strlen(base)) == 0);
  CHECK(strncmp(path + strlen(base), "/mproc-", 7) == 0);
  CHECK(strcmp(strrchr(path, '/'), "/listener") == 0);
  strcpy(parent, path);
  *strrchr(parent, '/') = '\0';
  CHECK_EQ(mode_of(parent), 0700);
  a = address_of(MPROC_AF_UNIX, test_text(path), 0);
  CHECK_EQ(listen_at(&a, &plain, &h), MPROC_OK);
  mproc_os_close(h);
  mproc_os_remove_private(path); /* not empty: stays */
  CHECK(exists(parent));
  unlink(path);
  mproc_os_remove_private(path);
  CHECK(!exists(parent));
}

static void private_paths(void) {
  char deep[128];
  snprintf(deep, sizeof deep, "%s/%070d", directory, 0);
  CHECK_EQ(mkdir(deep, 0700), 0);
  private_path(directory, directory);
  private_path(deep, "/tmp");
  private_path("", "/tmp");
  private_path("relative", "/tmp");
  private_path("/no/such/directory", "/tmp");
  unsetenv("TMPDIR");
  CHECK_EQ(rmdir(deep), 0);
}

static void a_private_name_too_long(void) {
  char name[200], path[MPROC_PATH_MAX + 1];
  uint16_t size;
  memset(name, 'x', sizeof name);
  name[sizeof name - 1] = '\0';
  CHECK_EQ(mproc_os_private_path(name, path, &size), MPROC_PATH_TOO_LONG);
}

/* ---- resolving ---- */

static struct sockaddr_in inet_of(const mproc_address *a, bool passive) {
  mproc_sockaddr sa;
  struct sockaddr_in in;
  size_t n = 0;
  memset(&in, 0, sizeof in);
  CHECK_EQ(mproc_os_resolve(a, passive, &sa, 1, &n), MPROC_OK);
  CHECK_EQ(n, 1);
  CHECK_EQ(sa.size, sizeof in);
  memcpy(&in, &sa.u, sizeof in);
  return in;
}

static void resolving_hosts(void) {
  mproc_address a = address_of(MPROC_AF_INET, test_text(""), 65535);
  struct sockaddr_in in = inet_of(&a, true);
  CHECK_EQ(ntohl(in.sin_addr.s_addr), INADDR_ANY);
  CHECK_EQ(ntohs(in.sin_port), 65535);
  in = inet_of(&a, false);
  CHECK_EQ(ntohl(in.sin_addr.s_addr), INADDR_LOOPBACK);
  a = address_of(MPROC_AF_INET, test_text("127.1.2.3"), 0);
  in = inet_of(&a, false);
  CHECK_EQ(ntohl(in.sin_addr.s_addr), 0x7f010203);
}

static void resolving_failures(void) {
  mproc_address a = address_of(MPROC_AF_INET, test_text("::1"), 1);
  mproc_sockaddr sa;
  size_t n;
  mproc_status st = mproc_os_resolve(&a, false, &sa, 1, &n);
  CHECK(st >= MPROC_GAI_FIRST);
  CHECK(strncmp(mproc_os_gai_code(st), "EAI_", 4) == 0);
  CHECK(strlen(mproc_os_gai_text(st)) > 0);
  a = address_of(MPROC_AF_PIPE, test_text("\\\\.\\pipe\\x"), 0);
  CHECK_EQ(mproc_os_resolve(&a, false, &sa, 1, &n),
           mproc_status_system(EAFNOSUPPORT));
}

static void resolving_paths(void) {
  const size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path;
  const size_t head = offsetof(struct sockaddr_un, sun_path);
  uint8_t name[200];
  mproc_sockaddr sa;
  mproc_address a;
  size_t n = 0;
  memset(name, 'x', sizeof name);
  a = address_of(MPROC_AF_UNIX, test_view(name, room - 1), 0);
  CHECK_EQ(mproc_os_resolve(&a, true, &sa, 1, &n), MPROC_OK);
  CHECK_EQ(sa.size, head + room);
  a = address_of(MPROC_AF_UNIX, test_view(name, room), 0);
  CHECK_EQ(mproc_os_resolve(&a, true, &sa, 1, &n), MPROC_PATH_TOO_LONG);
  name[0] = 0;
  a = address_of(MPROC_AF_UNIX, test_view(name, room), 0);
  CHECK_EQ(mproc_os_resolve(&a, true, &sa, 1, &n), MPROC_OK);
  CHECK_EQ(sa.size, head + room);
  a = address_of(MPROC_AF_UNIX, test_view(name, 5), 0);
  CHECK_EQ(mproc_os_resolve(&a, true, &sa, 1, &n), MPROC_OK);
  CHECK_EQ(sa.size, head + 5);
  a = address_of(MPROC_AF_UNIX, test_view(name, room + 1), 0);
  CHECK_EQ(mproc_os_resolve(&a, true, &sa, 1, &n), MPROC_PATH_TOO_LONG);
}

static void the_longest_names(void) {
  const size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path;
  char name[200];
  memset(name, 'x', sizeof name);
  snprintf(name, sizeof name, "%s/", directory);
  name[strlen(directory) + 1] = 'x';
  mproc_address a = address_of(MPROC_AF_UNIX, test_view(name, room - 1), 0);
  live(&a);
  CHECK_EQ(unlink(a.name), 0);
  name[0] = '\0';
  a = address_of(MPROC_AF_UNIX, test_view(name, room), 0);
  if (mproc_os_has_abstract())
    live(&a);
}

static void families(void) {
  CHECK_EQ(mproc_os_default_family(), MPROC_AF_UNIX);
  CHECK(mproc_os_has_family(MPROC_AF_INET));
  CHECK(mproc_os_has_family(MPROC_AF_INET6));
  CHECK(mproc_os_has_family(MPROC_AF_UNIX));
  CHECK(!mproc_os_has_family(MPROC_AF_PIPE));
  CHECK(!mproc_os_has_family(MPROC_FAMILY_NONE));
}

int main(void) {
  alarm(120); /* a call that blocks ends the test */
  if (mkdtemp(directory) == NULL)
    return 1;
  TEST(inet);
  TEST(inet6);
  TEST(unix_file);
  TEST(unix_abstract);
  TEST(the_address_of_a_port_zero);
  TEST(addresses_that_are_none);
  TEST(tuning);
  TEST(tuning_what_is_accepted);
  TEST(nobody_listens);
  TEST(a_failed_connection_stays_failed);
  TEST(a_full_backlog);
  TEST(connecting_goes_on);
  TEST(the_mode_of_a_socket_file);
  TEST(a_path_in_use);
  TEST(a_stale_socket_file_is_replaced);
  TEST(reuse_without_a_file);
  TEST(reuse_of_an_abstract_name);
  TEST(reuse_spares_other_files);
  TEST(reuse_spares_datagram_sockets);
  TEST(a_failure_leaves_nothing);
  TEST(unlinking_the_same);
  TEST(private_paths);
  TEST(a_private_name_too_long);
  TEST(resolving_hosts);
  TEST(resolving_failures);
  TEST(resolving_paths);
  TEST(the_longest_names);
  TEST(families);
  CHECK_EQ(rmdir(directory), 0);
  return test_end("platform_socket_test");
}

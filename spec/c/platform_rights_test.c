/*
** platform_rights_test.c: what src/platform promises of handles that are passed
** to another process, and of who that is.
*/
#define _GNU_SOURCE 1
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/platform.h"

static mproc_handle pair[2];

static void open_pair(void) {
  CHECK_EQ(mproc_os_socketpair(pair), MPROC_OK);
}

static void close_pair(void) {
  mproc_os_close(pair[0]);
  mproc_os_close(pair[1]);
}

/* The lowest number that is free: the same again, if nothing leaks. */
static int next_descriptor(void) {
  int fd = dup(0);
  close(fd);
  return fd;
}

/* Sends 'bytes' and 'count' descriptors (at most 253) with one sendmsg(2). */
static void send_raw(mproc_view bytes, size_t count) {
  union {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(253 * sizeof(int))];
  } control;
  struct iovec v = {(void *)bytes.data, bytes.size};
  struct msghdr message;
  struct cmsghdr *rights;
  memset(&control, 0, sizeof control); /* and so each descriptor is 0 */
  memset(&message, 0, sizeof message);
  message.msg_iov = &v;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(count * sizeof(int));
  CHECK_EQ(sendmsg((int)pair[0], &message, 0), bytes.size);
}

static mproc_status send_text(const char *text) {
  const mproc_view none = {NULL, 0};
  size_t put;
  return mproc_os_write(pair[0], MPROC_SOCKET, test_text(text), none, &put);
}

static void expect_text(const char *text) {
  uint8_t bytes[64];
  size_t got = 0;
  CHECK_EQ(mproc_os_read(pair[1], MPROC_SOCKET, bytes, sizeof bytes, &got),
           MPROC_OK);
  CHECK_BYTES(test_view(bytes, got), test_text(text));
}

/* A handle of a pipe arrives, and is another one for the same. */
static void pass_one(void) {
  mproc_handle pipe[2], passed = MPROC_NO_HANDLE;
  uint8_t byte = 0;
  CHECK_EQ(mproc_os_pipe(pipe), MPROC_OK);
  CHECK_EQ(mproc_os_send_handle(pair[0], pipe[0]), MPROC_OK);
  CHECK_EQ(mproc_os_recv_handle(pair[1], &passed), MPROC_OK);
  CHECK(passed != pipe[0] && passed >= 0);
  CHECK_EQ(fcntl((int)passed, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(write((int)pipe[1], "x", 1), 1);
  CHECK_EQ(read((int)passed, &byte, 1), 1);
  CHECK_EQ(byte, 'x');
  mproc_os_close(passed);
  mproc_os_close(pipe[0]);
  mproc_os_close(pipe[1]);
}

static void one_after_another(void) {
  int next = next_descriptor();
  open_pair();
  for (int i = 0; i < 3; i++)
    pass_one();
  close_pair();
  CHECK_EQ(next_descriptor(), next);
}

static void nothing_is_there(void) {
  mproc_handle passed = 77;
  open_pair();
  CHECK_EQ(mproc_os_recv_handle(pair[1], &passed), MPROC_AGAIN);
  CHECK_EQ(passed, 77);
  mproc_os_close(pair[0]);
  CHECK_EQ(mproc_os_recv_handle(pair[1], &passed), MPROC_EOF);
  mproc_os_close(pair[1]);
}

#ifdef __linux__ /* elsewhere the first byte of a message must not be 1 */
#define ALONE "\1lone"
#else
#define ALONE "alone"
#endif

static void a_message_is_not_touched(void) {
  mproc_handle passed;
  open_pair();
  CHECK_EQ(send_text(ALONE), MPROC_OK);
  CHECK_EQ(mproc_os_recv_handle(pair[1], &passed), MPROC_MESSAGE_NEXT);
  CHECK_EQ(mproc_os_recv_handle(pair[1], &passed), MPROC_MESSAGE_NEXT);
  expect_text(ALONE);
  pass_one();
  close_pair();
}

static void what_is_no_single_handle(void) {
  static const struct {
    const char *bytes;
    size_t count;
  } parcels[] = {{"\2", 2}, {"\1", 2}, {"\2", 1}, {"x", 1}, {"\375", 253}};
  int next = next_descriptor();
  open_pair();
  for (size_t i = 0; i < sizeof parcels / sizeof *parcels; i++) {
    mproc_handle passed;
    send_raw(test_text(parcels[i].bytes), parcels[i].count);
#ifndef __linux__
    if (parcels[i].bytes[0] != 1) {
      CHECK_EQ(mproc_os_recv_handle(pair[1], &passed), MPROC_MESSAGE_NEXT);
      expect_text(parcels[i].bytes);
      continue;
    }
#endif
    CHECK_EQ(mproc_os_recv_handle(pair[1], &passed), MPROC_BAD_HANDLE);
    pass_one();
  }
  close_pair();
  CHECK_EQ(next_descriptor(), next);
}

static void a_read_drops_what_comes_with_the_bytes(void) {
  int next;
  open_pair();
  next = next_descriptor();
  CHECK_EQ(send_text("before "), MPROC_OK);
  send_raw(test_text("with"), 3);
  CHECK_EQ(send_text("after"), MPROC_OK);
  expect_text("before with");
  expect_text("after");
  CHECK_EQ(next_descriptor(), next);
  close_pair();
}

static void no_descriptor_is_free(void) {
  mproc_handle passed = MPROC_NO_HANDLE;
  struct rlimit limit, low;
  open_pair();
  CHECK_EQ(mproc_os_send_handle(pair[0], 0), MPROC_OK);
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  low = limit;
  low.rlim_cur = (rlim_t)next_descriptor();
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  CHECK_EQ(mproc_os_recv_handle(pair[1], &passed), mproc_status_system(EMFILE));
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  CHECK_EQ(mproc_os_recv_handle(pair[1], &passed), MPROC_OK);
  mproc_os_close(passed);
  close_pair();
}

static void sending_fails(void) {
  int closed = next_descriptor();
  open_pair();
  mproc_os_close(pair[1]);
  CHECK_EQ(mproc_os_send_handle(pair[0], pair[0]), mproc_status_system(EPIPE));
  mproc_os_close(pair[0]);
  open_pair();
  CHECK_EQ(mproc_os_send_handle(pair[0], closed + 500),
           mproc_status_system(EBADF));
  while (send_text("fill") == MPROC_OK)
    continue;
  CHECK_EQ(mproc_os_send_handle(pair[0], pair[0]), MPROC_AGAIN);
  close_pair();
}

static void which_sockets_can(void) {
  mproc_handle pipe[2];
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  open_pair();
  CHECK(mproc_os_passes_handles(pair[0]));
  close_pair();
  CHECK(!mproc_os_passes_handles(pair[0]));
  CHECK(!mproc_os_passes_handles(fd));
  close(fd);
  CHECK_EQ(mproc_os_pipe(pipe), MPROC_OK);
  CHECK(!mproc_os_passes_handles(pipe[0]));
  mproc_os_close(pipe[0]);
  mproc_os_close(pipe[1]);
}

static void credentials(void) {
  mproc_credentials peer = {77, 77, 77};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(!mproc_os_peer_credentials(fd, &peer));
  CHECK_EQ(peer.pid, 77);
  close(fd);
  open_pair();
  CHECK(mproc_os_peer_credentials(pair[0], &peer));
  CHECK_EQ(peer.uid, getuid());
  CHECK_EQ(peer.gid, getgid());
  CHECK(peer.pid == getpid() || peer.pid == 0);
  close_pair();
  CHECK(!mproc_os_peer_credentials(pair[0], &peer));
}

int main(void) {
  alarm(120); /* a call that blocks ends the test */
  if (!mproc_os_acknowledges_handles()) {
    TEST(one_after_another);
    TEST(nothing_is_there);
    TEST(a_message_is_not_touched);
    TEST(what_is_no_single_handle);
    TEST(no_descriptor_is_free);
  }
  TEST(a_read_drops_what_comes_with_the_bytes);
  TEST(sending_fails);
  TEST(which_sockets_can);
  TEST(credentials);
  return test_end("platform_rights_test");
}

/*
** listen.c: sockets that listen: binding, the socket file and its
** permissions, replacing what a dead listener left behind, accepting.
*/
#include "platform/posix/posix.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct socket_file {
  char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
} socket_file;

/* The file that binding to 'at' makes. False: it makes none. */
static bool file_of(const mproc_sockaddr *at, socket_file *file) {
  struct sockaddr_un un;
  if (mproc_posix_family(at) != AF_UNIX)
    return false;
  memset(&un, 0, sizeof un);
  memcpy(&un, &at->u, at->size < sizeof un ? at->size : sizeof un);
  memset(file, 0, sizeof *file);
  memcpy(file->path, un.sun_path, sizeof un.sun_path);
  return file->path[0] != '\0'; /* else: the abstract namespace */
}

static mproc_status try_bind(int fd, const mproc_sockaddr *at) {
  const struct sockaddr *sa = (const struct sockaddr *)(const void *)&at->u;
  if (bind(fd, sa, (socklen_t)at->size) != 0)
    return mproc_posix_error();
  return MPROC_OK;
}

/* ---- the file of a listener that is gone ---- */

static bool is_socket_file(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/*
** Whether the system says that no one listens there. A listener that is alive
** sees the question as a connection that closes at once; nothing else can ask.
** Where a full backlog refuses, too (BSD), it counts as dead: so 'reuse' is
** for those who own the path.
*/
static bool is_refused(const mproc_sockaddr *at) {
  mproc_handle probe;
  mproc_status st = mproc_os_connect(at, &probe);
  if (st == MPROC_OK || st == MPROC_AGAIN)
    mproc_os_close(probe);
  return st == mproc_status_system(ECONNREFUSED);
}

/* Two that do this at once may both find it dead, and then the later one's
   file_id tells that what is there now is the other's (but for the moment
   between lstat(2) and unlink(2), which no call can close). */
static void remove_stale(const mproc_sockaddr *at) {
  socket_file file;
  mproc_file_id id;
  if (!file_of(at, &file) || !is_socket_file(file.path))
    return;
  if (!mproc_os_file_id(file.path, &id))
    return;
  if (is_refused(at))
    mproc_os_unlink_same(file.path, id);
}

static mproc_status bind_socket(int fd, const mproc_sockaddr *at, bool reuse) {
  mproc_status st = try_bind(fd, at);
  if (st == mproc_status_system(EADDRINUSE) && reuse) {
    remove_stale(at);
    st = try_bind(fd, at);
  }
  return st;
}

/* ---- listening ---- */

/* SO_REUSEADDR: rebind while old connections linger (socket(7)). For AF_UNIX
   it means nothing. */
static void set_reuseaddr(int fd) {
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

/* 'path' NULL: there is no file. */
static mproc_status open_to_all(int fd, const char *path,
                                const mproc_listen_options *options) {
  int saved = 0;
  if (path != NULL && options->mode >= 0 &&
      chmod(path, (mode_t)options->mode) != 0)
    saved = errno;
  else if (listen(fd, options->backlog) != 0)
    saved = errno;
  return saved != 0 ? mproc_status_system(saved) : MPROC_OK;
}

static mproc_status bind_and_listen(int fd, const mproc_sockaddr *at,
                                    const mproc_listen_options *options) {
  socket_file file;
  mproc_file_id id;
  const char *path = file_of(at, &file) ? file.path : NULL;
  mproc_status st = bind_socket(fd, at, options->reuse);
  bool made = st == MPROC_OK && path != NULL && mproc_os_file_id(path, &id);
  if (st == MPROC_OK)
    st = open_to_all(fd, path, options);
  if (st != MPROC_OK && made)
    mproc_os_unlink_same(path, id);
  return st;
}

mproc_status mproc_os_listen(const mproc_sockaddr *at,
                             const mproc_listen_options *options,
                             mproc_handle *h) {
  mproc_status st;
  int fd = mproc_posix_socket(mproc_posix_family(at), true);
  if (fd < 0)
    return mproc_posix_error();
  set_reuseaddr(fd);
  st = bind_and_listen(fd, at, options);
  if (st == MPROC_OK)
    *h = fd;
  else
    close(fd);
  return st;
}

/* ---- accepting ---- */

/* Whether this one caller has gone, and the next may be there. */
static bool is_passing(int os_errno) {
  return os_errno == EINTR || os_errno == ECONNABORTED || os_errno == EPROTO;
}

/* accept(2), "Error handling": Linux tells of a dead connection's network
   errors here; they are no fault of the listener's. */
static bool is_network(int os_errno) {
  return os_errno == ENETDOWN || os_errno == ENETUNREACH ||
         os_errno == EHOSTUNREACH || os_errno == ENOPROTOOPT;
}

mproc_status mproc_os_accept(mproc_handle listener, mproc_handle *h,
                             mproc_sockaddr *peer) {
  int fd, saved;
  do {
    fd = mproc_posix_accept((int)listener, peer);
    saved = errno;
  } while (fd < 0 && is_passing(saved));
  if (fd < 0)
    return is_network(saved) ? MPROC_AGAIN : mproc_posix_failure(saved);
  *h = fd;
  return MPROC_OK;
}

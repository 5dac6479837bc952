/*
** names.c: what a socket says of itself and of its peer.
*/
#include "platform/posix/posix.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

/* A numeric host, with its scope where it has one ("fe80::1%eth0"). */
static bool put_host(const mproc_sockaddr *name, mproc_address *out) {
  if (getnameinfo((const struct sockaddr *)(const void *)&name->u,
                  (socklen_t)name->size, out->name, sizeof out->name, NULL, 0,
                  NI_NUMERICHOST) != 0)
    return false;
  out->size = (uint16_t)strlen(out->name);
  return true;
}

static bool put_inet(const mproc_sockaddr *name, mproc_address *out) {
  struct sockaddr_in in;
  memcpy(&in, &name->u, sizeof in);
  out->family = MPROC_AF_INET;
  out->port = ntohs(in.sin_port);
  return put_host(name, out);
}

static bool put_inet6(const mproc_sockaddr *name, mproc_address *out) {
  struct sockaddr_in6 in;
  memcpy(&in, &name->u, sizeof in);
  out->family = MPROC_AF_INET6;
  out->port = ntohs(in.sin6_port);
  return put_host(name, out);
}

/* unix(7), "Address format": unnamed, abstract (all of it counts) or a path
   (which may lack its zero). */
static bool put_unix(const mproc_sockaddr *name, mproc_address *out) {
  const size_t start = offsetof(struct sockaddr_un, sun_path);
  size_t size = name->size > start ? name->size - start : 0;
  const char *path = (const char *)&name->u + start;
  if (size == 0 || size > MPROC_PATH_MAX)
    return false;
  if (path[0] != '\0')
    size = strnlen(path, size);
  else if (!mproc_os_has_abstract())
    return false; /* BSD: unnamed */
  out->family = MPROC_AF_UNIX;
  out->size = (uint16_t)size;
  memcpy(out->name, path, size);
  return true;
}

bool mproc_os_address(const mproc_sockaddr *name, mproc_address *out) {
  mproc_address address;
  int family = mproc_posix_family(name);
  bool known = false;
  memset(&address, 0, sizeof address);
  if (family == AF_INET)
    known = put_inet(name, &address);
  else if (family == AF_INET6)
    known = put_inet6(name, &address);
  else if (family == AF_UNIX)
    known = put_unix(name, &address);
  if (known)
    *out = address;
  return known;
}

/* getsockname(2) or getpeername(2) */
typedef int (*ask_name)(int fd, struct sockaddr *sa, socklen_t *size);

static bool ask(ask_name get, mproc_handle h, mproc_address *out) {
  mproc_sockaddr name;
  socklen_t size = sizeof name.u;
  memset(&name, 0, sizeof name);
  if (get((int)h, (struct sockaddr *)(void *)&name.u, &size) != 0)
    return false;
  name.size = size;
  return mproc_os_address(&name, out);
}

bool mproc_os_local_address(mproc_handle h, mproc_address *out) {
  return ask(getsockname, h, out);
}

bool mproc_os_peer_address(mproc_handle h, mproc_address *out) {
  return ask(getpeername, h, out);
}

#if defined __linux__

bool mproc_os_peer_credentials(mproc_handle h, mproc_credentials *out) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt((int)h, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return false;
  if (peer.uid == (uid_t)-1)
    return false;      /* another family than AF_UNIX */
  out->pid = peer.pid; /* 0: not of our PID namespace */
  out->uid = peer.uid;
  out->gid = peer.gid;
  return true;
}

#else

bool mproc_os_peer_credentials(mproc_handle h, mproc_credentials *out) {
  uid_t user;
  gid_t group;
  if (getpeereid((int)h, &user, &group) != 0)
    return false;
  out->pid = 0;
  out->uid = (uint32_t)user;
  out->gid = (uint32_t)group;
  return true;
}

#endif

/*
** resolve.c: from an address as users write it to the system's sockaddr.
*/
#include "platform/posix/posix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

_Static_assert(sizeof(struct sockaddr_storage) <=
                   sizeof((mproc_sockaddr *)NULL)->u,
               "mproc_sockaddr holds any address");

mproc_family mproc_os_default_family(void) {
  return MPROC_AF_UNIX;
}

bool mproc_os_has_family(mproc_family f) {
  return f == MPROC_AF_INET || f == MPROC_AF_INET6 || f == MPROC_AF_UNIX;
}

bool mproc_os_has_abstract(void) {
#ifdef __linux__
  return true;
#else
  return false;
#endif
}

int mproc_posix_family(const mproc_sockaddr *sa) {
  struct sockaddr head;
  memcpy(&head, &sa->u, sizeof head);
  return head.sa_family;
}

/*
** unix(7), "Address format": of an abstract name all bytes count and none
** follows; a path has its zero, which portable programs do not leave out.
*/
static mproc_status resolve_unix(const mproc_address *a, mproc_sockaddr *out) {
  struct sockaddr_un un;
  bool abstract = a->size > 0 && a->name[0] == '\0';
  size_t size = a->size + (abstract ? 0 : (size_t)1);
  if (a->size == 0)
    return mproc_status_system(EINVAL);
  if (size > sizeof un.sun_path)
    return MPROC_PATH_TOO_LONG;
  memset(&un, 0, sizeof un);
  un.sun_family = AF_UNIX;
  memcpy(un.sun_path, a->name, a->size);
  memset(out, 0, sizeof *out);
  memcpy(&out->u, &un, sizeof un);
  out->size = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + size);
  return MPROC_OK;
}

static mproc_status gai_failed(int eai, int os_errno) {
  if (eai == EAI_MEMORY)
    return MPROC_NOMEM;
  if (eai != EAI_SYSTEM)
    return mproc_status_gai(eai);
  return mproc_status_system(os_errno != 0 ? os_errno : EIO);
}

static size_t copy_found(const struct addrinfo *found, mproc_sockaddr *out,
                         size_t max) {
  size_t n = 0;
  for (; found != NULL && n < max; found = found->ai_next, n++) {
    memset(&out[n], 0, sizeof out[n]);
    memcpy(&out[n].u, found->ai_addr, found->ai_addrlen);
    out[n].size = (uint32_t)found->ai_addrlen;
  }
  return n;
}

/*
** An IPv4 address in its usual form says all that getaddrinfo(3) could, which
** takes many times as long.
*/
static bool resolve_ipv4(const mproc_address *a, mproc_sockaddr *out) {
  struct sockaddr_in in;
  memset(&in, 0, sizeof in);
  in.sin_family = AF_INET;
  in.sin_port = htons(a->port);
  if (a->family != MPROC_AF_INET ||
      inet_pton(AF_INET, a->name, &in.sin_addr) != 1)
    return false;
  memset(out, 0, sizeof *out);
  memcpy(&out->u, &in, sizeof in);
  out->size = sizeof in;
  return true;
}

static mproc_status resolve_inet(const mproc_address *a, bool passive,
                                 mproc_sockaddr *out, size_t max, size_t *n) {
  const char *host = a->size > 0 ? a->name : NULL;
  struct addrinfo hints, *found = NULL;
  char port[8];
  int eai, saved;
  if (resolve_ipv4(a, out)) {
    *n = 1;
    return MPROC_OK;
  }
  memset(&hints, 0, sizeof hints);
  hints.ai_family = a->family == MPROC_AF_INET ? AF_INET : AF_INET6;
  hints.ai_socktype = SOCK_STREAM;
  /* no host: every interface, or (not passive) the loopback one */
  hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
  snprintf(port, sizeof port, "%u", (unsigned)a->port);
  eai = getaddrinfo(host, port, &hints, &found);
  saved = errno;
  if (eai != 0)
    return gai_failed(eai, saved);
  *n = copy_found(found, out, max);
  freeaddrinfo(found);
  return MPROC_OK;
}

mproc_status mproc_os_resolve(const mproc_address *a, bool passive,
                              mproc_sockaddr *out, size_t max, size_t *n) {
  if (a->family == MPROC_AF_INET || a->family == MPROC_AF_INET6)
    return resolve_inet(a, passive, out, max, n);
  if (a->family == MPROC_AF_UNIX) {
    mproc_status st = resolve_unix(a, out);
    if (st == MPROC_OK)
      *n = 1;
    return st;
  }
  return mproc_status_system(EAFNOSUPPORT);
}

/*
** bound.c: a handle that listens, and the socket file that it stands for.
*/
#include "core/bound.h"

#include <string.h>

static mproc_status fresh_address(mproc_bound *b, mproc_family family) {
  mproc_address *a = &b->address;
  mproc_status st = MPROC_OK;
  if (family == MPROC_FAMILY_NONE)
    family = mproc_os_default_family();
  a->family = (uint8_t)family;
  if (family == MPROC_AF_INET || family == MPROC_AF_INET6) {
    const char *host = family == MPROC_AF_INET ? "localhost" : "::1";
    a->size = (uint16_t)strlen(host);
    memcpy(a->name, host, a->size);
  } else {
    st = mproc_os_private_path("listener", a->name, &a->size);
    b->has_private = st == MPROC_OK;
  }
  return st;
}

/* Tries each of the address's meanings until one can be bound. */
static mproc_status bind_first(mproc_bound *b, const mproc_listen_options *o) {
  mproc_sockaddr at[8];
  size_t n = 0;
  mproc_status st = mproc_os_resolve(&b->address, true, at, 8, &n);
  if (st != MPROC_OK)
    return st;
  for (size_t i = 0; i < n; i++) {
    st = mproc_os_listen(&at[i], o, &b->handle);
    if (st == MPROC_OK)
      break;
  }
  return st;
}

static void remember_binding(mproc_bound *b) {
  bool path = b->address.family == MPROC_AF_UNIX;
  if (path && !mproc_address_is_abstract(&b->address))
    b->has_file = mproc_os_file_id(b->address.name, &b->file);
  else /* the port is known only now */
    mproc_os_local_address(b->handle, &b->address);
}

void mproc_bound_init(mproc_bound *b) {
  memset(b, 0, sizeof *b);
  b->handle = MPROC_NO_HANDLE;
}

mproc_status mproc_bound_open(mproc_bound *b, const mproc_address *at,
                              mproc_family family,
                              const mproc_listen_options *o) {
  mproc_status st = MPROC_OK;
  b->owner = mproc_os_pid();
  if (at != NULL)
    b->address = *at;
  else
    st = fresh_address(b, family);
  if (st == MPROC_OK)
    st = bind_first(b, o);
  if (st == MPROC_OK)
    remember_binding(b);
  return st;
}

static void remove_files(const mproc_bound *b) {
  if (b->owner != mproc_os_pid())
    return; /* a forked child: the socket is still its parent's */
  if (b->has_file)
    mproc_os_unlink_same(b->address.name, b->file);
  if (b->has_private)
    mproc_os_remove_private(b->address.name);
}

void mproc_bound_close(mproc_bound *b) {
  remove_files(b); /* while the open socket still keeps its inode taken */
  if (b->handle != MPROC_NO_HANDLE)
    mproc_os_close(b->handle);
}

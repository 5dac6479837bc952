/*
** transport.h: bytes over one handle: read some, write some, never block.
*/
#ifndef MPROC_TRANSPORT_H
#define MPROC_TRANSPORT_H

#include <assert.h>
#include <stddef.h>

#include "core/bytes.h"
#include "core/platform.h"
#include "core/status.h"

typedef struct mproc_transport {
  mproc_handle handle; /* owned; MPROC_NO_HANDLE once closed */
  mproc_handle_kind kind;
} mproc_transport;

/* Takes over 'h', which is of that kind. */
void mproc_transport_open(mproc_transport *t, mproc_handle h,
                          mproc_handle_kind kind);

/* See mproc_os_read, mproc_os_read_waiting and mproc_os_write. */
static inline mproc_status mproc_transport_read(const mproc_transport *t,
                                                void *out, size_t size,
                                                size_t *got) {
  return mproc_os_read(t->handle, t->kind, out, size, got);
}

static inline mproc_status
mproc_transport_read_waiting(const mproc_transport *t, void *out, size_t size,
                             size_t *got) {
  assert(t->kind == MPROC_SOCKET);
  return mproc_os_read_waiting(t->handle, out, size, got);
}

static inline mproc_status mproc_transport_write(const mproc_transport *t,
                                                 mproc_view a, mproc_view b,
                                                 size_t *put) {
  return mproc_os_write(t->handle, t->kind, a, b, put);
}

/* Gives the handle up without closing it. */
mproc_handle mproc_transport_release(mproc_transport *t);

/* Closes the handle, where there still is one. */
void mproc_transport_close(mproc_transport *t);

#endif

/*
** transport.c: the owner of a handle and of what is known about it.
*/
#include "core/transport.h"

#include <assert.h>

void mproc_transport_open(mproc_transport *t, mproc_handle h,
                          mproc_handle_kind kind) {
  t->handle = h;
  t->kind = kind;
}

mproc_status mproc_transport_read(const mproc_transport *t, void *out,
                                  size_t size, size_t *got) {
  return mproc_os_read(t->handle, t->kind, out, size, got);
}

mproc_status mproc_transport_read_waiting(const mproc_transport *t, void *out,
                                          size_t size, size_t *got) {
  assert(t->kind == MPROC_SOCKET);
  return mproc_os_read_waiting(t->handle, out, size, got);
}

mproc_status mproc_transport_write(const mproc_transport *t, mproc_view a,
                                   mproc_view b, size_t *put) {
  return mproc_os_write(t->handle, t->kind, a, b, put);
}

mproc_handle mproc_transport_release(mproc_transport *t) {
  mproc_handle h = t->handle;
  t->handle = MPROC_NO_HANDLE;
  return h;
}

void mproc_transport_close(mproc_transport *t) {
  mproc_handle h = mproc_transport_release(t);
  if (h != MPROC_NO_HANDLE)
    mproc_os_close(h);
}

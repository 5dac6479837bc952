/*
** transport.c: the owner of a handle and of what is known about it.
*/
#include "core/transport.h"

void mproc_transport_open(mproc_transport *t, mproc_handle h,
                          mproc_handle_kind kind) {
  t->handle = h;
  t->kind = kind;
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

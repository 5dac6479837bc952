/*
** connection_handles.c: handles that are passed over a connection.
*/
#include "core/connection_state.h"

#include <assert.h>

mproc_status mproc_connection_settle(mproc_connection *c) {
  uint8_t byte = 0;
  size_t got = 0;
  mproc_status st;
  if (!c->unsettled)
    return MPROC_OK;
  st = mproc_os_read(mproc_connection_handle(c), MPROC_SOCKET, &byte, 1, &got);
  if (st == MPROC_AGAIN)
    return st;
  c->unsettled = false;
  mproc_watch_tell(&c->watches, MPROC_TOUCHED);
  if (st == MPROC_OK && byte != 'A')
    return mproc_connection_lose_place(c);
  return st;
}

mproc_status mproc_connection_send_handle(mproc_connection *c,
                                          mproc_handle passed) {
  mproc_status st = mproc_connection_take_untold(c);
  assert(c->state == OPEN && c->channel != NULL);
  if (st == MPROC_OK && mproc_connection_is_sending(c))
    st = MPROC_NOT_OURS;
  if (st == MPROC_OK)
    st = mproc_connection_settle(c);
  if (st == MPROC_OK && mproc_connection_buffers(c))
    st = MPROC_BUFFERED;
  if (st == MPROC_OK)
    st = mproc_os_send_handle(mproc_connection_handle(c), passed);
  if (st == MPROC_OK)
    c->unsettled = mproc_os_acknowledges_handles();
  return st;
}

mproc_status mproc_connection_recv_handle(mproc_connection *c,
                                          mproc_handle *passed) {
  mproc_status st;
  if (c->lost_place)
    return MPROC_BAD_LENGTH;
  assert(c->state == OPEN && c->channel != NULL);
  mproc_connection_pump(c);
  st = mproc_connection_settle(c);
  if (st == MPROC_OK && mproc_connection_buffers(c))
    st = MPROC_BUFFERED;
  if (st == MPROC_OK)
    st = mproc_os_recv_handle(mproc_connection_handle(c), passed);
  return st;
}

/*
** channel_stream.c: the channel of length frames over a byte stream.
*/
#include <assert.h>
#include <string.h>

#include "core/channel.h"
#include "core/frame.h"
#include "core/transport.h"

/* Bytes of queued messages that are enough for one write. */
#define QUEUE_FULL 65536

/* What a queue has room for at first: a few small messages, and with them a
   block that malloc keeps at hand (glibc: up to 1032 bytes). */
#define QUEUE_FIRST 768

typedef struct Stream {
  mproc_channel base;
  mproc_transport transport;
  mproc_inbox inbox;
  mproc_bytes queue;    /* frames that leave together; nothing else is held as
                           long as there are any */
  mproc_view out;       /* rest of the payload that is held */
  uint8_t header_start; /* what has left of the header of the message that is
                           held: made anew each time, from the payload's size */
  uint8_t header_size;
  mproc_status torn; /* why a message left in part only; or OK */
} Stream;

static Stream *stream_of(mproc_channel *c) {
  return (Stream *)(void *)c; /* 'base' is the first member */
}

static const Stream *const_stream_of(const mproc_channel *c) {
  return (const Stream *)(const void *)c;
}

static const mproc_allocator *allocator_of(const Stream *s) {
  return s->inbox.scratch->allocator;
}

/* ---- sending ---- */

static size_t header_left(const Stream *s) {
  return (size_t)(s->header_size - s->header_start);
}

/* Whether the message that 'send' was given has not all left. */
static bool is_sending(const Stream *s) {
  return s->header_start < s->header_size || s->out.size > 0;
}

static size_t stream_held(const mproc_channel *c) {
  const Stream *s = const_stream_of(c);
  return header_left(s) + s->out.size + mproc_bytes_size(&s->queue);
}

static void drop_held(Stream *s) {
  mproc_bytes_clear(&s->queue, allocator_of(s));
  s->header_start = s->header_size = 0;
  s->out.data = NULL;
  s->out.size = 0;
}

/* Counts 'n' bytes as gone, of the header first. */
static void advance(Stream *s, size_t n) {
  size_t of_header = header_left(s) < n ? header_left(s) : n;
  if (mproc_bytes_size(&s->queue) > 0) {
    mproc_bytes_consume(&s->queue, allocator_of(s), n);
    return;
  }
  s->header_start = (uint8_t)(s->header_start + of_header);
  n -= of_header;
  if (n > 0) {
    s->out.data += n;
    s->out.size -= n;
  }
}

/* Writes once; something is held. */
static mproc_status write_some(Stream *s) {
  uint8_t header[MPROC_FRAME_HEADER_MAX];
  mproc_view first = mproc_bytes_view(&s->queue);
  size_t put = 0;
  mproc_status st;
  if (header_left(s) > 0) { /* so all of the payload is, too */
    mproc_frame_encode(s->out.size, header);
    first.data = header + s->header_start;
    first.size = header_left(s);
  }
  st = mproc_transport_write(&s->transport, first, s->out, &put);
  if (st == MPROC_OK)
    advance(s, put);
  return st;
}

static mproc_status stream_flush(mproc_channel *c) {
  Stream *s = stream_of(c);
  while (stream_held(c) > 0) {
    mproc_status st = write_some(s);
    if (st == MPROC_AGAIN)
      return st;
    if (st != MPROC_OK) {
      /* nothing can follow a part of a message, nor one that was accepted */
      if (s->header_start > 0 || mproc_bytes_size(&s->queue) > 0)
        s->torn = st;
      drop_held(s);
      return st;
    }
  }
  return MPROC_OK;
}

static mproc_status stream_queue(mproc_channel *c, mproc_view message) {
  Stream *s = stream_of(c);
  uint8_t header[MPROC_FRAME_HEADER_MAX];
  size_t size;
  uint8_t *room;
  mproc_status st;
  if (s->torn != MPROC_OK)
    return s->torn;
  if (is_sending(s) || mproc_bytes_size(&s->queue) >= QUEUE_FULL)
    return MPROC_AGAIN;
  size = mproc_frame_encode(message.size, header);
  st = mproc_bytes_reserve(&s->queue, allocator_of(s),
                           s->queue.cap == 0 ? QUEUE_FIRST + message.size
                                             : size + message.size,
                           &room);
  if (st != MPROC_OK)
    return st;
  memcpy(room, header, size);
  if (message.size > 0)
    memcpy(room + size, message.data, message.size);
  mproc_bytes_commit(&s->queue, size + message.size);
  return MPROC_OK;
}

static mproc_status stream_send(mproc_channel *c, mproc_view message) {
  Stream *s = stream_of(c);
  uint8_t header[MPROC_FRAME_HEADER_MAX];
  mproc_status st;
  assert(stream_held(c) == 0);
  if (s->torn != MPROC_OK)
    return s->torn;
  s->header_start = 0;
  s->header_size = (uint8_t)mproc_frame_encode(message.size, header);
  s->out = message;
  st = stream_flush(c);
  if (st != MPROC_AGAIN)
    return st;
  if (s->header_start > 0 || s->out.size < message.size)
    return MPROC_OK; /* part has left: the rest is held */
  drop_held(s);
  return MPROC_AGAIN;
}

/* ---- receiving ---- */

static mproc_status stream_recv_waiting(mproc_channel *c, uint64_t max,
                                        const mproc_patience *patience,
                                        mproc_view *message) {
  Stream *s = stream_of(c);
  return mproc_inbox_recv(&s->inbox, &s->transport, max, patience, message);
}

static mproc_status stream_recv(mproc_channel *c, uint64_t max,
                                mproc_view *message) {
  return stream_recv_waiting(c, max, NULL, message);
}

static mproc_status stream_recv_into(mproc_channel *c, uint64_t max,
                                     const mproc_patience *patience,
                                     uint8_t *to, size_t room, bool *placed,
                                     mproc_view *message) {
  Stream *s = stream_of(c);
  return mproc_inbox_recv_into(&s->inbox, &s->transport, max, patience, to,
                               room, placed, message);
}

static bool stream_next(const mproc_channel *c, uint64_t max,
                        mproc_view *message) {
  return stream_held(c) == 0 &&
         mproc_inbox_next(&const_stream_of(c)->inbox, max, message);
}

static void stream_pop(mproc_channel *c) {
  mproc_inbox_pop(&stream_of(c)->inbox);
}

static bool stream_idle(const mproc_channel *c) {
  const Stream *s = const_stream_of(c);
  return stream_held(c) == 0 && !mproc_inbox_buffers(&s->inbox) &&
         s->inbox.failure == MPROC_OK;
}

static bool stream_buffers(const mproc_channel *c) {
  return mproc_inbox_buffers(&const_stream_of(c)->inbox);
}

static mproc_status stream_ready(mproc_channel *c, uint64_t max,
                                 bool readable) {
  Stream *s = stream_of(c);
  return mproc_inbox_ready(&s->inbox, &s->transport, max, readable);
}

/* ---- the handle, and the end ---- */

static mproc_handle stream_handle(const mproc_channel *c) {
  return const_stream_of(c)->transport.handle;
}

/* Frees all but the handle. */
static mproc_handle release(Stream *s) {
  mproc_handle h = mproc_transport_release(&s->transport);
  const mproc_allocator *a = allocator_of(s);
  mproc_inbox_clear(&s->inbox);
  mproc_bytes_clear(&s->queue, a);
  mproc_free(a, s, sizeof *s);
  return h;
}

static void stream_share(mproc_channel *c) {
  Stream *s = stream_of(c);
  mproc_inbox_restore(&s->inbox, &s->transport);
}

static mproc_handle stream_detach(mproc_channel *c) {
  stream_share(c);
  return release(stream_of(c));
}

static void stream_free(mproc_channel *c) {
  mproc_transport_close(&stream_of(c)->transport);
  release(stream_of(c));
}

static const mproc_channel_ops stream_ops = {
    stream_send,   stream_queue,        stream_flush,     stream_held,
    stream_recv,   stream_recv_waiting, stream_recv_into, stream_next,
    stream_pop,    stream_ready,        stream_idle,      stream_buffers,
    stream_handle, stream_share,        stream_detach,    stream_free,
};

mproc_status mproc_channel_stream(mproc_scratch *scratch, mproc_handle h,
                                  mproc_handle_kind kind, unsigned may,
                                  mproc_channel **c) {
  Stream *s = (Stream *)mproc_alloc(scratch->allocator, sizeof *s);
  if (s == NULL)
    return MPROC_NOMEM;
  s->base.ops = &stream_ops;
  mproc_transport_open(&s->transport, h, kind);
  s->inbox.scratch = scratch;
  s->inbox.readahead = (may & MPROC_READAHEAD) != 0;
  s->inbox.by_read = (may & MPROC_BY_READ) != 0;
  s->inbox.alone = (may & MPROC_ALONE) != 0 && kind == MPROC_SOCKET;
  *c = &s->base;
  return MPROC_OK;
}

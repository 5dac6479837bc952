/*
** channel_stream.c: the channel of length frames over a byte stream.
*/
#include <assert.h>
#include <string.h>

#include "core/channel.h"
#include "core/frame.h"
#include "core/transport.h"

/* Bytes that one read may take ahead of what was asked for. */
#define READ_AHEAD 16384

/* The first piece of a large message that memory is made for. */
#define FIRST_PIECE 65536

/* Bytes of queued messages that are enough for one write. */
#define QUEUE_FULL 65536

/* What a queue has room for at first: a few small messages. */
#define QUEUE_FIRST 1024

/* Reads in a row before the caller gets a say again. */
#define READS_MAX 64

typedef struct Stream {
  mproc_channel base;
  const mproc_allocator *allocator;
  mproc_transport transport;
  mproc_bytes in;       /* header and payload of the next message, and what
                            was read ahead of it */
  mproc_status failure; /* what 'ready' met and 'recv' has to tell; or OK */
  mproc_status torn;    /* why a message left in part only; or OK */
  mproc_bytes queue;    /* frames that leave together; nothing else is held
                            as long as there are any */
  mproc_view out;       /* rest of the payload that is held */
  uint8_t header[MPROC_FRAME_HEADER_MAX]; /* of the message that is held */
  uint8_t header_start;                   /* what has left of it */
  uint8_t header_size;
  bool readahead;
} Stream;

static Stream *stream_of(mproc_channel *c) {
  return (Stream *)(void *)c; /* 'base' is the first member */
}

static const Stream *const_stream_of(const mproc_channel *c) {
  return (const Stream *)(const void *)c;
}

/* ---- sending ---- */

static mproc_view header_left(const Stream *s) {
  mproc_view v = {s->header + s->header_start,
                  (size_t)(s->header_size - s->header_start)};
  return v;
}

/* Whether the message that 'send' was given has not all left. */
static bool is_sending(const Stream *s) {
  return s->header_start < s->header_size || s->out.size > 0;
}

static bool stream_holds(const mproc_channel *c) {
  const Stream *s = const_stream_of(c);
  return is_sending(s) || mproc_bytes_size(&s->queue) > 0;
}

static void drop_held(Stream *s) {
  mproc_bytes_clear(&s->queue, s->allocator);
  s->header_start = s->header_size = 0;
  s->out.data = NULL;
  s->out.size = 0;
}

/* Counts 'n' bytes as gone, of the header first. */
static void advance(Stream *s, size_t n) {
  size_t of_header = header_left(s).size < n ? header_left(s).size : n;
  if (mproc_bytes_size(&s->queue) > 0) {
    mproc_bytes_consume(&s->queue, s->allocator, n);
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
  mproc_view queue = mproc_bytes_view(&s->queue);
  mproc_view first = queue.size > 0 ? queue : header_left(s);
  size_t put = 0;
  mproc_status st = mproc_transport_write(&s->transport, first, s->out, &put);
  if (st == MPROC_OK)
    advance(s, put);
  return st;
}

static mproc_status stream_flush(mproc_channel *c) {
  Stream *s = stream_of(c);
  while (stream_holds(c)) {
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
  st = mproc_bytes_reserve(&s->queue, s->allocator,
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
  mproc_status st;
  assert(!stream_holds(c));
  if (s->torn != MPROC_OK)
    return s->torn;
  s->header_start = 0;
  s->header_size = (uint8_t)mproc_frame_encode(message.size, s->header);
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

/* What is known of the message at the head of the queue. */
typedef struct Head {
  mproc_status status; /* of mproc_frame_decode */
  size_t header;       /* bytes of header; where AGAIN, bytes to know more */
  uint64_t payload;
} Head;

static Head peek(const Stream *s, uint64_t max) {
  Head h = {MPROC_AGAIN, 0, 0};
  h.status =
      mproc_frame_decode(mproc_bytes_view(&s->in), max, &h.header, &h.payload);
  return h;
}

/* Bytes that the next message still lacks, as far as that is known. */
static size_t lacking(const Stream *s, const Head *h) {
  size_t here = mproc_bytes_size(&s->in);
  size_t whole = h->header;
  if (h->status == MPROC_OK)
    whole += (size_t)h->payload; /* at most PTRDIFF_MAX */
  return here < whole ? whole - here : 0;
}

/*
** How many bytes to read next, of 'lack' that the message lacks: what there is
** room for already, as long as that is worth a read; otherwise as much again
** as has come. So a peer's claim gets memory in proportion to what it has sent,
** and few reallocations.
*/
static size_t next_piece(const Stream *s, size_t lack) {
  size_t here = mproc_bytes_size(&s->in);
  size_t spare = s->in.cap - s->in.end;
  size_t most = here > FIRST_PIECE ? here : FIRST_PIECE;
  if (s->readahead && lack < READ_AHEAD)
    lack = READ_AHEAD;
  if (spare >= READ_AHEAD && spare < most)
    most = spare;
  return lack < most ? lack : most;
}

/*
** Reads once. The room is made before the read, since what was read cannot be
** put back; and given back when nothing came, so that an idle connection holds
** no memory.
*/
static mproc_status read_more(Stream *s, size_t lack) {
  size_t n = next_piece(s, lack);
  uint8_t *room;
  size_t got = 0;
  mproc_status st = mproc_bytes_reserve(&s->in, s->allocator, n, &room);
  if (st != MPROC_OK)
    return st;
  st = mproc_transport_read(&s->transport, room, n, &got);
  if (st == MPROC_OK)
    mproc_bytes_commit(&s->in, got);
  else if (mproc_bytes_size(&s->in) == 0)
    mproc_bytes_clear(&s->in, s->allocator);
  return st;
}

/* The stream has ended in the place where the queue stands. */
static mproc_status end_of_file(Stream *s) {
  bool between = mproc_bytes_size(&s->in) == 0;
  mproc_bytes_clear(&s->in, s->allocator);
  return between ? MPROC_EOF : MPROC_EOF_IN_MESSAGE;
}

/* Reads until the next message is whole; '*h' tells of it then. */
static mproc_status gather(Stream *s, uint64_t max, Head *h) {
  for (int reads = 0;; reads++) {
    size_t lack;
    mproc_status st;
    *h = peek(s, max);
    if (h->status == MPROC_BAD_LENGTH)
      return h->status;
    lack = lacking(s, h);
    if (lack == 0)
      return MPROC_OK;
    if (reads == READS_MAX)
      return MPROC_AGAIN;
    st = read_more(s, lack);
    if (st == MPROC_EOF)
      return end_of_file(s);
    if (st != MPROC_OK)
      return st;
  }
}

static mproc_status stream_recv(mproc_channel *c, uint64_t max,
                                mproc_view *message) {
  Stream *s = stream_of(c);
  Head h;
  mproc_status st = s->failure;
  if (st != MPROC_OK) {
    s->failure = MPROC_OK; /* told once: the next read asks the system anew */
    return st;
  }
  st = gather(s, max, &h);
  if (st == MPROC_OK) {
    *message = mproc_bytes_view(&s->in);
    message->data += h.header;
    message->size = (size_t)h.payload; /* less what was read ahead */
  }
  return st;
}

static void stream_pop(mproc_channel *c) {
  Stream *s = stream_of(c);
  Head h = peek(s, UINT64_MAX);
  assert(h.status == MPROC_OK && lacking(s, &h) == 0);
  mproc_bytes_consume(&s->in, s->allocator, h.header + (size_t)h.payload);
}

static bool stream_buffers(const mproc_channel *c) {
  return mproc_bytes_size(&const_stream_of(c)->in) > 0;
}

static mproc_status stream_ready(mproc_channel *c, uint64_t max,
                                 bool readable) {
  Stream *s = stream_of(c);
  Head h;
  mproc_status st;
  if (s->failure != MPROC_OK)
    return MPROC_OK;
  if (!s->readahead && !stream_buffers(c))
    return readable ? MPROC_OK : MPROC_AGAIN;
  h = peek(s, max);
  if (h.status == MPROC_BAD_LENGTH)
    return MPROC_OK;
  if (lacking(s, &h) == 0)
    return MPROC_OK;
  if (!readable)
    return MPROC_AGAIN;
  st = gather(s, max, &h);
  if (st == MPROC_OK || st == MPROC_AGAIN || st == MPROC_NOMEM)
    return st;
  if (st != MPROC_BAD_LENGTH) /* the queue shows that one again */
    s->failure = st;
  return MPROC_OK;
}

/* ---- the handle, and the end ---- */

static mproc_handle stream_handle(const mproc_channel *c) {
  return const_stream_of(c)->transport.handle;
}

static mproc_handle stream_detach(mproc_channel *c) {
  Stream *s = stream_of(c);
  mproc_handle h = mproc_transport_release(&s->transport);
  mproc_bytes_clear(&s->in, s->allocator);
  mproc_bytes_clear(&s->queue, s->allocator);
  mproc_free(s->allocator, s, sizeof *s);
  return h;
}

static void stream_free(mproc_channel *c) {
  mproc_transport_close(&stream_of(c)->transport);
  stream_detach(c);
}

static const mproc_channel_ops stream_ops = {
    stream_send,   stream_queue,  stream_flush, stream_holds,
    stream_recv,   stream_pop,    stream_ready, stream_buffers,
    stream_handle, stream_detach, stream_free,
};

mproc_status mproc_channel_stream(const mproc_allocator *a, mproc_handle h,
                                  mproc_handle_kind kind, bool readahead,
                                  mproc_channel **c) {
  Stream *s = (Stream *)mproc_alloc(a, sizeof *s);
  if (s == NULL)
    return MPROC_NOMEM;
  s->base.ops = &stream_ops;
  s->allocator = a;
  s->readahead = readahead;
  mproc_transport_open(&s->transport, h, kind);
  *c = &s->base;
  return MPROC_OK;
}

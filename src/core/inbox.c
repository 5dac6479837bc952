/*
** inbox.c: reads frames: ahead, into the scratch, or straight to where they
** are wanted.
*/
#include "core/inbox.h"

#include <assert.h>
#include <string.h>

#include "core/frame.h"

/* The first piece of a large message that memory is made for. */
#define FIRST_PIECE 65536

/* From that size on a frame is large: it is read by itself. */
#define LARGE 32768

/* Room in a block that is worth a read of its own. */
#define WORTH_A_READ 16384

/* Reads in a row before the caller gets a say again: for Ctrl-C, say. What was
   read straight to where it is wanted has to be moved then, so that has more: a
   gigabyte in pieces of 128 KiB, which takes a fifth of a second. One that gives
   little counts as SMALL_READ. */
#define READS_MAX 64
#define DIRECT_READS_MAX 8192
#define SMALL_READ 8

/* ---- waiting in the system ---- */

#define LIMIT_MIN 6 /* 64 ms: below it the system's clock is too coarse */

/* How much later than told the system may end a wait: its timers tick 100
   times a second at the slowest, and it rounds up twice. */
#define LATENESS (MPROC_SECOND / 50)

static mproc_time limit_time(unsigned limit) {
  return ((mproc_time)1 << limit) * (MPROC_SECOND / 1000);
}

uint8_t mproc_patience_limit(double seconds) {
  uint8_t limit = MPROC_PATIENCE_LIMIT_MAX;
  mproc_time half = mproc_deadline_after(0, seconds / 2);
  while (limit >= LIMIT_MIN && limit_time(limit) > half)
    limit--;
  return limit >= LIMIT_MIN ? limit : 0;
}

/*
** Sees to it that the limit is set. After fork(2) two processes share it: only
** the one that has set it may change it, so that it is what that one's deadlines
** rely on. The other waits in the system where it has no deadline, and counts
** on nothing: a wait that ends too early is "not yet" like any other.
*/
static bool has_limit(mproc_inbox *in, const mproc_transport *t,
                      const mproc_patience *p) {
  uint32_t self;
  if (in->limit == p->limit && p->deadline == MPROC_NEVER)
    return true;
  self = (uint32_t)mproc_os_pid();
  if (in->limit != 0 && in->limiter != self)
    return false;
  if (in->limit != p->limit) {
    if (!mproc_os_set_read_limit(t->handle, UINT32_C(1) << p->limit)) {
      in->alone = false;
      return false;
    }
    in->limit = p->limit;
    in->limiter = self;
  }
  return true;
}

static bool may_wait(mproc_inbox *in, const mproc_transport *t,
                     const mproc_patience *p) {
  if (p == NULL || !in->alone || p->limit == 0 || p->deadline == 0)
    return false;
  if (p->deadline != MPROC_NEVER &&
      mproc_deadline_left(p->deadline, mproc_os_now()) <
          limit_time(p->limit) + LATENESS)
    return false;
  return has_limit(in, t, p);
}

void mproc_inbox_restore(mproc_inbox *in, const mproc_transport *t) {
  /* after fork(2) the other process relies on what it has set */
  if (in->limit != 0 && in->limiter == (uint32_t)mproc_os_pid())
    mproc_os_set_read_limit(t->handle, 0);
  in->limit = 0;
  in->alone = false;
}

static mproc_status read_once(mproc_inbox *in, const mproc_transport *t,
                              const mproc_patience *p, uint8_t *out,
                              size_t size, size_t *got) {
  bool first = !mproc_inbox_buffers(in);
  mproc_status st;
  if ((first && (!in->by_read || p == NULL || p->begun)) || !may_wait(in, t, p))
    return mproc_transport_read(t, out, size, got);
  st = mproc_transport_read_waiting(t, out, size, got);
  return st == MPROC_INTERRUPTED ? MPROC_AGAIN : st;
}

/* ---- what is queued ---- */

/* What is known of the message at the head of the queue. */
typedef struct Head {
  mproc_status status; /* of mproc_frame_decode */
  size_t header;       /* bytes of header; where AGAIN, bytes to know more */
  uint64_t payload;
} Head;

static Head peek(const mproc_inbox *in, uint64_t max) {
  Head h = {MPROC_AGAIN, 0, 0};
  h.status =
      mproc_frame_decode(mproc_bytes_view(&in->in), max, &h.header, &h.payload);
  return h;
}

/* The size of the frame, as far as it is known. */
static size_t whole_size(const Head *h) {
  /* the payload has at most PTRDIFF_MAX */
  return h->status == MPROC_OK ? h->header + (size_t)h->payload : h->header;
}

/* Bytes that the next message still lacks, as far as that is known. */
static size_t lacking(const mproc_inbox *in, const Head *h) {
  size_t here = mproc_bytes_size(&in->in);
  size_t whole = whole_size(h);
  return here < whole ? whole - here : 0;
}

/* The payload of the message, which is whole; less what was read ahead. */
static mproc_view payload_of(const mproc_inbox *in, const Head *h) {
  mproc_view payload;
  payload.data = mproc_bytes_view(&in->in).data + h->header;
  payload.size = (size_t)h->payload;
  return payload;
}

/* Takes a frame of which 'here' bytes are queued. */
static void take(mproc_inbox *in, const Head *h, size_t here) {
  size_t whole = whole_size(h);
  in->expected = whole >= LARGE && whole <= UINT32_MAX ? (uint32_t)whole : 0;
  mproc_scratch_consume(in->scratch, &in->in, here, whole);
}

static size_t larger(size_t a, size_t b) {
  return a > b ? a : b;
}

static size_t smaller(size_t a, size_t b) {
  return a < b ? a : b;
}

/* ---- reading ---- */

/*
** How many bytes would be good to have, of a message that lacks 'lack' or more:
** many small ones in one read; but of a large one no more than it has, or what
** follows would have to be moved. One that follows a large one may be as large.
** 'exact': no more than that in any case.
*/
static size_t wish(const mproc_inbox *in, const Head *h, bool exact) {
  size_t lack = lacking(in, h);
  if (exact || !in->readahead)
    return lack;
  if (h->status == MPROC_OK && whole_size(h) >= LARGE)
    return lack;
  if (in->expected > mproc_bytes_size(&in->in))
    return in->expected - mproc_bytes_size(&in->in);
  return larger(lack, in->in.cap > 0 ? MPROC_SCRATCH_SIZE : WORTH_A_READ);
}

/* The bytes there is room for without another block; where most of what is in
   it has been consumed, what is left is moved to its start. Where the first byte
   of an empty block goes is for the scratch to say. */
static size_t free_room(const mproc_bytes *b) {
  size_t size = mproc_bytes_size(b);
  bool moves = size > 0 && b->start >= size / 4;
  return moves ? b->cap - size : b->cap - b->end;
}

/*
** How many bytes to read next: what there is room for already, as long as that
** is worth a read; otherwise as much again as has come. So a peer's claim gets
** memory in proportion to what it has sent, and few reallocations.
*/
static size_t next_piece(const mproc_inbox *in, const Head *h, bool exact) {
  size_t room = free_room(&in->in);
  size_t most = larger(mproc_bytes_size(&in->in), FIRST_PIECE);
  if (room >= WORTH_A_READ)
    most = room;
  return smaller(wish(in, h, exact), most);
}

/*
** Reads once. The room is made before the read, since what was read cannot be
** put back; and given back when nothing came, so that an idle connection holds
** no memory.
*/
static mproc_status read_more(mproc_inbox *in, const mproc_transport *t,
                              const mproc_patience *p, const Head *h,
                              bool exact) {
  uint8_t *room;
  size_t n, got = 0;
  mproc_status st = mproc_scratch_lend(in->scratch, &in->in);
  if (st != MPROC_OK)
    return st;
  n = next_piece(in, h, exact);
  st = mproc_bytes_reserve(&in->in, in->scratch->allocator, n, &room);
  if (st == MPROC_OK)
    st = read_once(in, t, p, room, n, &got);
  if (st == MPROC_OK)
    mproc_bytes_commit(&in->in, got);
  else if (!mproc_inbox_buffers(in))
    mproc_inbox_clear(in);
  return st;
}

/* The stream has ended in the place where the queue stands. */
static mproc_status end_of_file(mproc_inbox *in) {
  bool between = !mproc_inbox_buffers(in);
  mproc_inbox_clear(in);
  return between ? MPROC_EOF : MPROC_EOF_IN_MESSAGE;
}

/* How much 'gather' is to gather. */
typedef enum Goal {
  MESSAGE,
  HEADER,      /* of the next message; the rest may come with it */
  HEADER_ONLY, /* and no byte of the rest */
} Goal;

/* Reads until the next message, or its header, is whole; '*h' tells of it. */
static mproc_status gather(mproc_inbox *in, const mproc_transport *t,
                           uint64_t max, const mproc_patience *p, Goal goal,
                           Head *h) {
  for (int reads = 0;; reads++) {
    mproc_status st;
    *h = peek(in, max);
    if (h->status == MPROC_BAD_LENGTH)
      return h->status;
    if (h->status == MPROC_OK && (goal != MESSAGE || lacking(in, h) == 0))
      return MPROC_OK;
    if (reads == READS_MAX)
      return MPROC_AGAIN;
    st = read_more(in, t, p, h, goal == HEADER_ONLY);
    if (st == MPROC_EOF)
      return end_of_file(in);
    if (st != MPROC_OK)
      return st;
  }
}

/* Told once: the next read asks the system anew. */
static mproc_status take_failure(mproc_inbox *in) {
  mproc_status st = in->failure;
  in->failure = MPROC_OK;
  return st;
}

mproc_status mproc_inbox_recv(mproc_inbox *in, const mproc_transport *t,
                              uint64_t max, const mproc_patience *patience,
                              mproc_view *message) {
  Head h;
  mproc_status st = take_failure(in);
  if (st == MPROC_OK)
    st = gather(in, t, max, patience, MESSAGE, &h);
  if (st == MPROC_OK)
    *message = payload_of(in, &h);
  return st;
}

bool mproc_inbox_next(const mproc_inbox *in, uint64_t max,
                      mproc_view *message) {
  Head h = peek(in, max);
  if (in->failure != MPROC_OK || h.status != MPROC_OK || lacking(in, &h) > 0)
    return false;
  *message = payload_of(in, &h);
  return true;
}

void mproc_inbox_pop(mproc_inbox *in) {
  Head h = peek(in, UINT64_MAX);
  assert(h.status == MPROC_OK && lacking(in, &h) == 0);
  take(in, &h, whole_size(&h));
}

mproc_status mproc_inbox_ready(mproc_inbox *in, const mproc_transport *t,
                               uint64_t max, bool readable) {
  Head h;
  mproc_status st;
  if (in->failure != MPROC_OK)
    return MPROC_OK;
  if (!in->readahead && !mproc_inbox_buffers(in))
    return readable ? MPROC_OK : MPROC_AGAIN;
  h = peek(in, max);
  if (h.status == MPROC_BAD_LENGTH)
    return MPROC_OK;
  if (lacking(in, &h) == 0)
    return MPROC_OK;
  if (!readable)
    return MPROC_AGAIN;
  st = gather(in, t, max, NULL, MESSAGE, &h);
  if (st == MPROC_OK || st == MPROC_AGAIN || st == MPROC_NOMEM)
    return st;
  if (st != MPROC_BAD_LENGTH) /* the queue shows that one again */
    in->failure = st;
  return MPROC_OK;
}

/* ---- straight to where it is wanted ---- */

/* Queues 'n' bytes after all, for which there is room. */
static void put_back(mproc_inbox *in, const uint8_t *from, size_t n) {
  const mproc_allocator *a = in->scratch->allocator;
  mproc_view back;
  mproc_status st;
  back.data = from;
  back.size = n;
  st = mproc_bytes_append(&in->in, a, back);
  assert(st == MPROC_OK);
  (void)st;
  if (in->in.cap > MPROC_SCRATCH_SIZE &&
      mproc_bytes_size(&in->in) <= in->in.cap / 4)
    mproc_bytes_trim(&in->in, a);
}

static bool is_late(const mproc_patience *p) {
  return p->deadline != MPROC_NEVER && mproc_os_now() >= p->deadline;
}

/* Reads 'size' bytes to 'to'; where they do not all come, what has is queued. */
static mproc_status read_direct(mproc_inbox *in, const mproc_transport *t,
                                const mproc_patience *p, uint8_t *to,
                                size_t size) {
  size_t have = 0;
  mproc_status st = MPROC_OK;
  for (int reads = 0; st == MPROC_OK && have < size;) {
    size_t got = 0;
    st = reads >= DIRECT_READS_MAX || is_late(p)
             ? MPROC_AGAIN
             : read_once(in, t, p, to + have, size - have, &got);
    reads += got < WORTH_A_READ ? SMALL_READ : 1;
    have += got;
  }
  if (st == MPROC_EOF)
    return end_of_file(in);
  if (st != MPROC_OK)
    put_back(in, to, have);
  return st;
}

/* The rest of the message whose head is queued, to 'to'. */
static mproc_status place(mproc_inbox *in, const mproc_transport *t,
                          const mproc_patience *p, const Head *h, uint8_t *to) {
  mproc_view here;
  size_t lack = lacking(in, h);
  uint8_t *ignored;
  /* for what may have to be put back: the caller has as much memory, too */
  mproc_status st =
      mproc_bytes_reserve(&in->in, in->scratch->allocator, lack, &ignored);
  if (st != MPROC_OK)
    return st;
  here = mproc_bytes_view(&in->in);
  here.data += h->header;
  here.size -= h->header;
  if (here.size > 0)
    memcpy(to, here.data, here.size);
  st = read_direct(in, t, p, to + here.size, lack);
  if (st == MPROC_OK)
    take(in, h, mproc_bytes_size(&in->in));
  return st;
}

mproc_status mproc_inbox_recv_into(mproc_inbox *in, const mproc_transport *t,
                                   uint64_t max, const mproc_patience *patience,
                                   uint8_t *to, size_t room, bool *placed,
                                   mproc_view *message) {
  Head h;
  mproc_status st = take_failure(in);
  bool direct = st == MPROC_OK && room >= LARGE && may_wait(in, t, patience);
  *placed = false;
  if (direct)
    st = gather(in, t, max, patience, in->expected > 0 ? HEADER_ONLY : HEADER,
                &h);
  if (st != MPROC_OK)
    return st;
  if (!direct || lacking(in, &h) < LARGE / 2 || h.payload > room)
    return mproc_inbox_recv(in, t, max, patience, message);
  st = place(in, t, patience, &h, to);
  if (st == MPROC_OK) {
    *placed = true;
    message->data = to;
    message->size = (size_t)h.payload;
  }
  return st;
}

/* ---- the end ---- */

void mproc_inbox_clear(mproc_inbox *in) {
  mproc_scratch_clear(in->scratch, &in->in);
}

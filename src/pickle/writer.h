/*
** writer.h: writes the opcodes of a pickle, in any protocol from 0 to 5. Pure
** but for its memory.
**
** It knows how each simple value is written and nothing of containers: the
** caller writes MARK, TUPLE2, APPENDS and so on with mproc_writer_op, in the
** order that they must have. After NOMEM or an error the pickle is useless;
** the writer can be begun anew.
*/
#ifndef MPROC_WRITER_H
#define MPROC_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/bytes.h"
#include "core/status.h"
#include "pickle/opcode.h"

typedef struct mproc_writer {
  const mproc_allocator *allocator;
  uint8_t *data; /* owned; kept from one pickle to the next */
  size_t size;   /* of the pickle so far */
  size_t capacity;
  size_t frame; /* where the frame's opcode is; protocol 4 and up */
  unsigned protocol;
  bool failed; /* there was no memory: told by mproc_writer_end */
} mproc_writer;

/* Makes a writer that holds no memory. 'a' must outlive it. */
void mproc_writer_init(mproc_writer *w, const mproc_allocator *a);

/* Begins a pickle of protocol 0 to 5. */
void mproc_writer_begin(mproc_writer *w, unsigned protocol);

/* Makes room for 'n' more bytes; false: there is no memory. */
bool mproc_writer_grow(mproc_writer *w, size_t n);

/* Where 'n' bytes may be written, which then count; NULL: no memory. */
static inline uint8_t *mproc_writer_room(mproc_writer *w, size_t n) {
  uint8_t *room;
  if (n > w->capacity - w->size && !mproc_writer_grow(w, n))
    return NULL;
  room = w->data + w->size;
  w->size += n;
  return room;
}

/* Where 'n' bytes may be written, which do not count yet; NULL: no memory. */
static inline uint8_t *mproc_writer_space(mproc_writer *w, size_t n) {
  if (n > w->capacity - w->size && !mproc_writer_grow(w, n))
    return NULL;
  return w->data + w->size;
}

/* An opcode without an argument. */
static inline void mproc_writer_op(mproc_writer *w, mproc_pickle_opcode op) {
  uint8_t *p = mproc_writer_room(w, 1);
  if (p != NULL)
    *p = (uint8_t)op;
}

/*
** A str of at most 255 bytes of ASCII or other valid UTF-8, in protocol 4 or 5:
** the usual case of mproc_writer_text.
*/
static inline void mproc_writer_short_text(mproc_writer *w, mproc_view text) {
  uint8_t *p = mproc_writer_room(w, 2 + text.size);
  if (p != NULL) {
    p[0] = MPROC_OP_SHORT_BINUNICODE;
    p[1] = (uint8_t)text.size;
    memcpy(p + 2, text.data, text.size);
  }
}

/* None, True and False, integers and floats, as the protocol has them. */
static inline void mproc_writer_none(mproc_writer *w) {
  mproc_writer_op(w, MPROC_OP_NONE);
}

void mproc_writer_old_bool(mproc_writer *w, bool value); /* below 2 */

static inline void mproc_writer_bool(mproc_writer *w, bool value) {
  if (w->protocol >= 2)
    mproc_writer_op(w, value ? MPROC_OP_NEWTRUE : MPROC_OP_NEWFALSE);
  else
    mproc_writer_old_bool(w, value);
}

void mproc_writer_other_int(mproc_writer *w, int64_t value);

static inline void mproc_writer_int(mproc_writer *w, int64_t value) {
  uint8_t *p;
  if (value < 0 || value > 0xffff || w->protocol == 0) {
    mproc_writer_other_int(w, value);
  } else if (value <= 0xff) {
    p = mproc_writer_room(w, 2);
    if (p != NULL) {
      p[0] = MPROC_OP_BININT1;
      p[1] = (uint8_t)value;
    }
  } else {
    p = mproc_writer_room(w, 3);
    if (p != NULL) {
      p[0] = MPROC_OP_BININT2;
      p[1] = (uint8_t)value;
      p[2] = (uint8_t)(value >> 8);
    }
  }
}

void mproc_writer_text_real(mproc_writer *w, double value); /* protocol 0 */

#define MPROC_WRITER_REAL 9 /* bytes of a float, but in protocol 0 */

/* Writes these to 'p'. */
static inline void mproc_writer_store_real(uint8_t *p, double value) {
  uint8_t bytes[8]; /* compilers make one store of it */
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  bytes[0] = (uint8_t)(bits >> 56);
  bytes[1] = (uint8_t)(bits >> 48);
  bytes[2] = (uint8_t)(bits >> 40);
  bytes[3] = (uint8_t)(bits >> 32);
  bytes[4] = (uint8_t)(bits >> 24);
  bytes[5] = (uint8_t)(bits >> 16);
  bytes[6] = (uint8_t)(bits >> 8);
  bytes[7] = (uint8_t)bits;
  p[0] = MPROC_OP_BINFLOAT;
  memcpy(p + 1, bytes, sizeof bytes);
}

static inline void mproc_writer_real(mproc_writer *w, double value) {
  uint8_t *p;
  if (w->protocol == 0) {
    mproc_writer_text_real(w, value);
    return;
  }
  p = mproc_writer_room(w, MPROC_WRITER_REAL);
  if (p != NULL)
    mproc_writer_store_real(p, value);
}

/* An integer of any size, as bigint.h has it. False: no memory for it. */
void mproc_writer_long(mproc_writer *w, mproc_view bytes);

/*
** A str: 'text' is UTF-8, or WTF-8 where it has surrogates. It is not
** memoized.
*/
void mproc_writer_text(mproc_writer *w, mproc_view text);

/* bytes; below protocol 3 as a call of _codecs.encode, as CPython has it. */
void mproc_writer_bytes(mproc_writer *w, mproc_view bytes);

/* bytearray; below protocol 5 as a call of its class. */
void mproc_writer_bytearray(mproc_writer *w, mproc_view bytes);

/* A class or function by name; Python 2's names below protocol 3 are the
   caller's to look up. */
void mproc_writer_global(mproc_writer *w, mproc_view module, mproc_view name);

/* Memoizes the topmost value under 'index', the number of those before it. */
void mproc_writer_old_put(mproc_writer *w, uint32_t index); /* below 4 */

static inline void mproc_writer_put(mproc_writer *w, uint32_t index) {
  if (w->protocol >= 4)
    mproc_writer_op(w, MPROC_OP_MEMOIZE);
  else
    mproc_writer_old_put(w, index);
}

/* The value that was memoized under 'index'. */
void mproc_writer_other_get(mproc_writer *w, uint32_t index);

static inline void mproc_writer_get(mproc_writer *w, uint32_t index) {
  uint8_t *p;
  if (index > 0xff || w->protocol == 0) {
    mproc_writer_other_get(w, index);
    return;
  }
  p = mproc_writer_room(w, 2);
  if (p != NULL) {
    p[0] = MPROC_OP_BINGET;
    p[1] = (uint8_t)index;
  }
}

/*
** Ends the pickle. OK: '*pickle' is it, until the next begin. NOMEM: there was
** no memory at some point.
*/
mproc_status mproc_writer_end(mproc_writer *w, mproc_view *pickle);

/* Frees its memory where that is more than 'keep' bytes. */
void mproc_writer_free(mproc_writer *w, size_t keep);

#endif

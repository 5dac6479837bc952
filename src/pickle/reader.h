/*
** reader.h: takes a pickle apart into opcodes and their arguments. Pure:
** nothing is allocated or copied, no byte past the end is read, and no count is
** believed before its bytes are there.
**
** What the opcodes do is the caller's; so are the order in which they come,
** the stack, the memo, PROTO's number and STOP, after which there may be more.
**
** The first half of the file is inline: this is the inner loop of loads.
*/
#ifndef MPROC_PICKLE_READER_H
#define MPROC_PICKLE_READER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/bytes.h"
#include "pickle/opcode.h"
/* what arguments say that are text */
#include "pickle/text.h"
#include "pickle/utf8.h"

/* An opcode. Which fields are set beside 'code' and 'offset' is for the form
   of its argument to say (opcode.h); the others are left as they were. */
typedef struct mproc_pickle_op {
  uint8_t code;  /* mproc_pickle_opcode */
  size_t offset; /* of the opcode, from the start of the input */
  /* BYTES_...: them; LINE, INDEX, TWO_LINES: the first line without its
     newline. Points into the input. */
  mproc_view bytes;
  mproc_view second; /* TWO_LINES: the other one */
  union {
    int64_t i;  /* I4 */
    uint64_t u; /* U1, U2, U4, U8, FRAME, INDEX */
    double f;   /* F8 */
  } number;
} mproc_pickle_op;

/* A place in the input. */
typedef struct mproc_pickle_reader {
  const uint8_t *start;
  const uint8_t *at; /* start <= at <= end */
  const uint8_t *end;
} mproc_pickle_reader;

/* A reader at the start of 'in', which must outlive it and what it yields. */
static inline mproc_pickle_reader mproc_pickle_reader_init(mproc_view in) {
  mproc_pickle_reader r;
  r.start = r.at = in.data;
  r.end = in.size > 0 ? in.data + in.size : in.data;
  return r;
}

/* ---- for mproc_pickle_next only ---- */

/* The form (mproc_pickle_arg) of each opcode's argument. */
extern const uint8_t mproc_pickle_args[256];

/* Goes on where mproc_pickle_next meets a rare form; 'at' is still on the
   opcode, and op->code and op->offset are set. */
mproc_pickle_fault mproc_pickle_next_rare(mproc_pickle_reader *r,
                                          mproc_pickle_op *op);

/* Compilers make one load of each of these. */
static inline uint32_t mproc_pickle_le4(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
         (uint32_t)p[3] << 24;
}

static inline uint64_t mproc_pickle_le8(const uint8_t *p) {
  return mproc_pickle_le4(p) | (uint64_t)mproc_pickle_le4(p + 4) << 32;
}

static inline double mproc_pickle_be_double(const uint8_t *p) {
  uint64_t bits = (uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 |
                  (uint64_t)p[2] << 40 | (uint64_t)p[3] << 32 |
                  (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 |
                  (uint64_t)p[6] << 8 | (uint64_t)p[7];
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* The argument is the 'count' bytes from 'at' on, where they are there. */
static inline mproc_pickle_fault mproc_pickle_counted(mproc_pickle_reader *r,
                                                      mproc_pickle_op *op,
                                                      const uint8_t *at,
                                                      uint64_t count) {
  if (count > (uint64_t)(r->end - at))
    return MPROC_PICKLE_TRUNCATED;
  op->bytes.data = at;
  op->bytes.size = (size_t)count;
  r->at = at + count;
  return MPROC_PICKLE_OK;
}

/* ---- until here ---- */

/*
** Reads the opcode at r->at with its argument, and steps over them. Where that
** fails the reader stays, and op->offset tells the place; op->code is set too,
** unless nothing is left (TRUNCATED, with op->offset the input's size).
**
** FRAME's bytes must be there, but the frame is otherwise transparent: its
** opcodes come next, one by one. CPython's C module allows an opcode to go on
** past its frame's end too; pickle.py does not.
*/
static inline mproc_pickle_fault mproc_pickle_next(mproc_pickle_reader *r,
                                                   mproc_pickle_op *op) {
  const uint8_t *at = r->at;
  size_t left = (size_t)(r->end - at);
  op->offset = (size_t)(at - r->start);
  if (left-- == 0)
    return MPROC_PICKLE_TRUNCATED;
  op->code = *at++;
  switch ((mproc_pickle_arg)mproc_pickle_args[op->code]) {
  case MPROC_ARG_NONE:
    break;
  case MPROC_ARG_U1:
    if (left < 1)
      return MPROC_PICKLE_TRUNCATED;
    op->number.u = at[0];
    at += 1;
    break;
  case MPROC_ARG_U2:
    if (left < 2)
      return MPROC_PICKLE_TRUNCATED;
    op->number.u = at[0] | (unsigned)at[1] << 8;
    at += 2;
    break;
  case MPROC_ARG_I4:
    if (left < 4)
      return MPROC_PICKLE_TRUNCATED;
    op->number.i = (int32_t)mproc_pickle_le4(at);
    at += 4;
    break;
  case MPROC_ARG_F8:
    if (left < 8)
      return MPROC_PICKLE_TRUNCATED;
    op->number.f = mproc_pickle_be_double(at);
    at += 8;
    break;
  case MPROC_ARG_BYTES_U1:
    if (left < 1)
      return MPROC_PICKLE_TRUNCATED;
    return mproc_pickle_counted(r, op, at + 1, at[0]);
  case MPROC_ARG_BYTES_U4:
    if (left < 4)
      return MPROC_PICKLE_TRUNCATED;
    return mproc_pickle_counted(r, op, at + 4, mproc_pickle_le4(at));
  default:
    return mproc_pickle_next_rare(r, op);
  }
  r->at = at;
  return MPROC_PICKLE_OK;
}

#endif

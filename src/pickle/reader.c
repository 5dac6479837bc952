/*
** reader.c: the opcodes that mproc_pickle_next leaves: those of protocol 0,
** and what comes once in a pickle or only with much data behind it.
*/
#include "pickle/reader.h"

const uint8_t mproc_pickle_args[256] = {
#define X(name, byte, arg, protocol) [byte] = MPROC_ARG_##arg,
    MPROC_OPCODES(X)
#undef X
};

/* A U4, U8 or FRAME. */
static mproc_pickle_fault read_number(mproc_pickle_reader *r,
                                      mproc_pickle_op *op, size_t size) {
  const uint8_t *at = r->at + 1;
  if (size > (size_t)(r->end - at))
    return MPROC_PICKLE_TRUNCATED;
  op->number.u = size == 4 ? mproc_pickle_le4(at) : mproc_pickle_le8(at);
  r->at = at + size;
  return MPROC_PICKLE_OK;
}

static mproc_pickle_fault read_frame(mproc_pickle_reader *r,
                                     mproc_pickle_op *op) {
  const uint8_t *opcode = r->at;
  mproc_pickle_fault fault = read_number(r, op, 8);
  if (fault == MPROC_PICKLE_OK && op->number.u > (uint64_t)(r->end - r->at)) {
    r->at = opcode;
    fault = MPROC_PICKLE_TRUNCATED;
  }
  return fault;
}

static mproc_pickle_fault read_bytes_u8(mproc_pickle_reader *r,
                                        mproc_pickle_op *op) {
  const uint8_t *at = r->at + 1;
  if (r->end - at < 8)
    return MPROC_PICKLE_TRUNCATED;
  return mproc_pickle_counted(r, op, at + 8, mproc_pickle_le8(at));
}

static mproc_pickle_fault read_bytes_i4(mproc_pickle_reader *r,
                                        mproc_pickle_op *op) {
  const uint8_t *at = r->at + 1;
  uint32_t count;
  if (r->end - at < 4)
    return MPROC_PICKLE_TRUNCATED;
  count = mproc_pickle_le4(at);
  if (count > INT32_MAX)
    return MPROC_PICKLE_BAD_ARGUMENT; /* negative */
  return mproc_pickle_counted(r, op, at + 4, count);
}

/* The line that starts at '*at', which moves past its newline. */
static mproc_pickle_fault take_line(const mproc_pickle_reader *r,
                                    const uint8_t **at, mproc_view *line) {
  size_t left = (size_t)(r->end - *at);
  const uint8_t *newline = NULL;
  if (left > 0)
    newline = (const uint8_t *)memchr(*at, '\n', left);
  if (newline == NULL)
    return MPROC_PICKLE_TRUNCATED;
  line->data = *at;
  line->size = (size_t)(newline - *at);
  *at = newline + 1;
  return MPROC_PICKLE_OK;
}

static mproc_pickle_fault read_line(mproc_pickle_reader *r,
                                    mproc_pickle_op *op) {
  const uint8_t *at = r->at + 1;
  mproc_pickle_fault fault = take_line(r, &at, &op->bytes);
  if (fault == MPROC_PICKLE_OK)
    r->at = at;
  return fault;
}

static mproc_pickle_fault read_two_lines(mproc_pickle_reader *r,
                                         mproc_pickle_op *op) {
  const uint8_t *at = r->at + 1;
  mproc_pickle_fault fault = take_line(r, &at, &op->bytes);
  if (fault == MPROC_PICKLE_OK)
    fault = take_line(r, &at, &op->second);
  if (fault != MPROC_PICKLE_OK)
    return fault;
  if (op->bytes.size == 0 || op->second.size == 0)
    return MPROC_PICKLE_BAD_ARGUMENT;
  r->at = at;
  return MPROC_PICKLE_OK;
}

static mproc_pickle_fault read_index(mproc_pickle_reader *r,
                                     mproc_pickle_op *op) {
  const uint8_t *at = r->at + 1;
  mproc_pickle_fault fault = take_line(r, &at, &op->bytes);
  if (fault != MPROC_PICKLE_OK)
    return fault;
  if (!mproc_pickle_text_index(op->bytes, &op->number.u))
    return MPROC_PICKLE_BAD_ARGUMENT;
  r->at = at;
  return MPROC_PICKLE_OK;
}

mproc_pickle_fault mproc_pickle_next_rare(mproc_pickle_reader *r,
                                          mproc_pickle_op *op) {
  switch ((mproc_pickle_arg)mproc_pickle_args[op->code]) {
  case MPROC_ARG_U4:
    return read_number(r, op, 4);
  case MPROC_ARG_U8:
    return read_number(r, op, 8);
  case MPROC_ARG_FRAME:
    return read_frame(r, op);
  case MPROC_ARG_BYTES_U8:
    return read_bytes_u8(r, op);
  case MPROC_ARG_BYTES_I4:
    return read_bytes_i4(r, op);
  case MPROC_ARG_LINE:
    return read_line(r, op);
  case MPROC_ARG_TWO_LINES:
    return read_two_lines(r, op);
  case MPROC_ARG_INDEX:
    return read_index(r, op);
  default:
    return MPROC_PICKLE_UNKNOWN_OPCODE;
  }
}

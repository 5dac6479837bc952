/*
** fuzz_reader.c: any bytes as a pickle, and each argument as whatever it may
** be: UTF-8, or one of the texts of protocol 0.
**
** clang -fsanitize=fuzzer,address,undefined -Isrc spec/fuzz/fuzz_reader.c
**   src/pickle/reader.c src/pickle/text.c src/pickle/utf8.c
*/
#include <stdlib.h>
#include <string.h>

#include "pickle/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds) {
  if (!holds)
    abort();
}

/* Exactly as many bytes as the contract asks for, so that ASan sees more. */
static uint8_t *allocate(size_t size) {
  uint8_t *p = (uint8_t *)malloc(size > 0 ? size : 1);
  require(p != NULL);
  return p;
}

static void try_numbers(mproc_view line) {
  mproc_view number;
  int64_t i;
  double f;
  int decimal = mproc_pickle_text_decimal(line, &number);
  if (mproc_pickle_text_int(line, &i))
    require(decimal);
  if (decimal)
    require(number.size > 0 && number.data >= line.data &&
            number.size <= line.size - (size_t)(number.data - line.data));
  mproc_pickle_text_float(line, &f);
}

static void try_unquote(mproc_view line) {
  uint8_t *out = allocate(line.size);
  size_t n = mproc_pickle_unquote(line, out);
  require(n == SIZE_MAX || n <= line.size);
  free(out);
}

static void try_unraw(mproc_view line) {
  size_t room = MPROC_PICKLE_UNRAW_ROOM(line.size), n;
  uint8_t *out = allocate(room);
  bool surrogates;
  mproc_view text;
  n = mproc_pickle_unraw(line, out, room, &surrogates);
  if (n != SIZE_MAX) {
    text.data = out;
    text.size = n;
    require(n <= room);
    require(mproc_utf8_kind(text) ==
            (surrogates ? MPROC_UTF8_SURROGATES : MPROC_UTF8_VALID));
  }
  free(out);
}

/* A view into the input, after its opcode. */
static void check_view(const mproc_pickle_reader *r, mproc_view v,
                       size_t offset) {
  require(v.data > r->start + offset && v.data <= r->at);
  require(v.size <= (size_t)(r->at - v.data));
  mproc_utf8_kind(v);
  try_numbers(v);
  try_unquote(v);
  try_unraw(v);
}

static void check_op(const mproc_pickle_reader *r, const mproc_pickle_op *op) {
  switch ((mproc_pickle_arg)mproc_pickle_args[op->code]) {
  case MPROC_ARG_TWO_LINES:
    check_view(r, op->second, op->offset);
    check_view(r, op->bytes, op->offset);
    break;
  case MPROC_ARG_BYTES_U1:
  case MPROC_ARG_BYTES_U4:
  case MPROC_ARG_BYTES_U8:
  case MPROC_ARG_BYTES_I4:
  case MPROC_ARG_LINE:
  case MPROC_ARG_INDEX:
    check_view(r, op->bytes, op->offset);
    break;
  case MPROC_ARG_UNKNOWN:
    abort();
  default:
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mproc_view in = {data, size};
  mproc_pickle_reader r = mproc_pickle_reader_init(in);
  mproc_pickle_op op;
  const uint8_t *at = r.at;
  while (mproc_pickle_next(&r, &op) == MPROC_PICKLE_OK) {
    require(op.offset == (size_t)(at - data));
    require(r.at > at && r.at <= r.end);
    at = r.at;
    check_op(&r, &op);
  }
  require(r.at == at && op.offset == (size_t)(at - data));
  return 0;
}

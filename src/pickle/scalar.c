/*
** scalar.c: strings and numbers, in each of the forms that pickles have them.
*/
#include "pickle/bigint.h"
#include "pickle/build.h"

/* ---- strings ---- */

mproc_status mproc_build_push_bytes_node(mproc_build *b, mproc_node_kind kind,
                                         mproc_view bytes) {
  mproc_value v;
  mproc_status st = mproc_build_charge(b, bytes.size);
  if (st == MPROC_OK && bytes.size > MPROC_TEXT_SHORT)
    st = mproc_build_repeat(b, bytes.size);
  if (st == MPROC_OK)
    st = mproc_build_node(b, kind, &v);
  if (st != MPROC_OK)
    return st;
  mproc_tree_node(b->t, v.as.node)->as.bytes = bytes;
  return mproc_build_push(b, v);
}

/* Short ones are values of their own; of long ones there is one node each. */
static mproc_status push_string(mproc_build *b, mproc_value_tag short_tag,
                                mproc_node_kind long_kind, mproc_view bytes) {
  mproc_value v = mproc_build_simple(short_tag);
  if (bytes.size > MPROC_TEXT_SHORT)
    return mproc_build_push_bytes_node(b, long_kind, bytes);
  v.size = (uint8_t)bytes.size;
  v.as.data = bytes.data;
  return mproc_build_push(b, v);
}

mproc_status mproc_build_push_bytes(mproc_build *b, mproc_view bytes) {
  return push_string(b, MPROC_VALUE_BYTES, MPROC_NODE_BYTES, bytes);
}

mproc_status mproc_build_push_text(mproc_build *b, mproc_view text) {
  switch (mproc_utf8_kind(text)) {
  case MPROC_UTF8_VALID:
    return push_string(b, MPROC_VALUE_TEXT, MPROC_NODE_TEXT, text);
  case MPROC_UTF8_SURROGATES:
    return mproc_build_push_bytes_node(b, MPROC_NODE_SURROGATE, text);
  default:
    return mproc_build_fault(b, "text is not valid UTF-8");
  }
}

static bool is_ascii(mproc_view v) {
  for (size_t i = 0; i < v.size; i++) {
    if (v.data[i] >= 0x80)
      return false;
  }
  return true;
}

/* Python 2's str: text where it can be, as it is for Python 3 (which refuses
   the others; they are bytes here). */
static mproc_status push_old_string(mproc_build *b, mproc_view bytes) {
  return is_ascii(bytes) ? mproc_build_push_text(b, bytes)
                         : mproc_build_push_bytes(b, bytes);
}

mproc_status mproc_build_own_text(mproc_build *b, size_t size, uint8_t **out) {
  mproc_tree *t = b->t;
  size_t whole = sizeof(size_t) + size;
  uint8_t *block;
  mproc_status st = mproc_tree_reserve(t, &t->texts, 1, sizeof block);
  if (st == MPROC_OK && size > SIZE_MAX / 2)
    st = MPROC_NOMEM;
  if (st != MPROC_OK)
    return st;
  block = (uint8_t *)mproc_alloc(t->allocator, whole);
  if (block == NULL)
    return MPROC_NOMEM;
  memcpy(block, &whole, sizeof whole);
  ((uint8_t **)t->texts.data)[t->texts.count++] = block;
  *out = block + sizeof whole;
  return MPROC_OK;
}

static mproc_status do_string(mproc_build *b) {
  mproc_view v = {NULL, 0};
  uint8_t *out = NULL;
  mproc_status st = mproc_build_own_text(b, b->op.bytes.size, &out);
  if (st != MPROC_OK)
    return st;
  v.data = out;
  v.size = mproc_pickle_unquote(b->op.bytes, out);
  if (v.size == SIZE_MAX)
    return mproc_build_fault(b, "malformed string");
  return push_old_string(b, v);
}

static mproc_status do_unicode(mproc_build *b) {
  mproc_view v = {NULL, 0};
  uint8_t *out = NULL;
  size_t room = MPROC_PICKLE_UNRAW_ROOM(b->op.bytes.size);
  bool surrogates = false;
  mproc_status st = mproc_build_own_text(b, room, &out);
  if (st != MPROC_OK)
    return st;
  v.data = out;
  v.size = mproc_pickle_unraw(b->op.bytes, out, room, &surrogates);
  if (v.size == SIZE_MAX)
    return mproc_build_fault(b, "malformed text");
  return mproc_build_push_text(b, v);
}

/* ---- numbers ---- */

static mproc_status push_int(mproc_build *b, int64_t i) {
  mproc_value v = mproc_build_simple(MPROC_VALUE_INTEGER);
  v.as.integer = i;
  return mproc_build_push(b, v);
}

static mproc_status push_real(mproc_build *b, double real) {
  mproc_value v = mproc_build_simple(MPROC_VALUE_REAL);
  v.as.real = real;
  return mproc_build_push(b, v);
}

static mproc_status do_decimal(mproc_build *b) {
  mproc_view digits;
  int64_t i;
  if (!mproc_pickle_text_decimal(b->op.bytes, &digits))
    return mproc_build_fault(b, "malformed integer");
  if (mproc_pickle_text_int(b->op.bytes, &i))
    return push_int(b, i);
  if (digits.size - (digits.data[0] == '-' || digits.data[0] == '+') >
      b->limits->int_digits)
    return mproc_build_fault(b, "integer has too many digits");
  return mproc_build_push_bytes_node(b, MPROC_NODE_DECIMAL, digits);
}

static mproc_status do_int(mproc_build *b) {
  mproc_view v = b->op.bytes;
  if (v.size == 2 && v.data[0] == '0' && (v.data[1] == '0' || v.data[1] == '1'))
    return mproc_build_push(b, mproc_build_simple(v.data[1] == '1'
                                                      ? MPROC_VALUE_TRUE
                                                      : MPROC_VALUE_FALSE));
  return do_decimal(b);
}

/* Whatever 64 bits hold is no node, in however many bytes it came. */
static mproc_status do_long(mproc_build *b) {
  int64_t i;
  if (mproc_bigint_to_int(b->op.bytes, &i))
    return push_int(b, i);
  return mproc_build_push_bytes_node(b, MPROC_NODE_LONG, b->op.bytes);
}

static mproc_status do_float(mproc_build *b) {
  double real;
  if (mproc_pickle_text_float(b->op.bytes, &real) != MPROC_PICKLE_OK)
    return mproc_build_fault(b, "malformed float");
  return push_real(b, real);
}

/* ---- the opcodes ---- */

bool mproc_build_scalar(mproc_build *b, mproc_status *st) {
  const mproc_pickle_op *op = &b->op;
  switch ((mproc_pickle_opcode)op->code) {
  case MPROC_OP_BINFLOAT:
    *st = push_real(b, op->number.f);
    break;
  case MPROC_OP_BININT1:
  case MPROC_OP_BININT2:
    *st = push_int(b, (int64_t)op->number.u);
    break;
  case MPROC_OP_BININT:
    *st = push_int(b, op->number.i);
    break;
  case MPROC_OP_SHORT_BINUNICODE:
  case MPROC_OP_BINUNICODE:
  case MPROC_OP_BINUNICODE8:
    *st = mproc_build_push_text(b, op->bytes);
    break;
  case MPROC_OP_SHORT_BINBYTES:
  case MPROC_OP_BINBYTES:
  case MPROC_OP_BINBYTES8:
    *st = mproc_build_push_bytes(b, op->bytes);
    break;
  case MPROC_OP_BYTEARRAY8:
    *st = mproc_build_push_bytes_node(b, MPROC_NODE_BYTEARRAY, op->bytes);
    break;
  case MPROC_OP_SHORT_BINSTRING:
  case MPROC_OP_BINSTRING:
    *st = push_old_string(b, op->bytes);
    break;
  case MPROC_OP_STRING:
    *st = do_string(b);
    break;
  case MPROC_OP_UNICODE:
    *st = do_unicode(b);
    break;
  case MPROC_OP_INT:
    *st = do_int(b);
    break;
  case MPROC_OP_LONG:
    *st = do_decimal(b);
    break;
  case MPROC_OP_LONG1:
  case MPROC_OP_LONG4:
    *st = do_long(b);
    break;
  case MPROC_OP_FLOAT:
    *st = do_float(b);
    break;
  case MPROC_OP_NONE:
    *st = mproc_build_push(b, mproc_build_simple(MPROC_VALUE_NONE));
    break;
  case MPROC_OP_NEWTRUE:
    *st = mproc_build_push(b, mproc_build_simple(MPROC_VALUE_TRUE));
    break;
  case MPROC_OP_NEWFALSE:
    *st = mproc_build_push(b, mproc_build_simple(MPROC_VALUE_FALSE));
    break;
  default:
    return false;
  }
  return true;
}

/*
** writer.c: how each simple value is written in each protocol (CPython 3.13,
** Modules/_pickle.c, the save_ functions).
*/
#include "pickle/writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pickle/bigint.h"

#define FRAME_MIN 4 /* CPython's: less is not worth a frame */
#define FRAME_HEADER 9

void mproc_writer_init(mproc_writer *w, const mproc_allocator *a) {
  memset(w, 0, sizeof *w);
  w->allocator = a;
}

bool mproc_writer_grow(mproc_writer *w, size_t n) {
  size_t capacity = w->capacity < 512 ? 512 : w->capacity;
  void *data;
  if (w->failed || n > SIZE_MAX / 4 || w->size > SIZE_MAX / 4) {
    w->failed = true;
    return false;
  }
  while (capacity - w->size < n)
    capacity += capacity / 2;
  data = w->allocator->resize(w->allocator->ud, w->data, w->capacity, capacity);
  if (data == NULL) {
    w->failed = true;
    return false;
  }
  w->data = (uint8_t *)data;
  w->capacity = capacity;
  return true;
}

static void put(mproc_writer *w, const void *bytes, size_t n) {
  uint8_t *p = mproc_writer_room(w, n);
  if (p != NULL && n > 0)
    memcpy(p, bytes, n);
}

static void put_string(mproc_writer *w, const char *s) {
  put(w, s, strlen(s));
}

/* Writes the low 'n' bytes of 'value', the lowest first. */
static void store(uint8_t *p, uint64_t value, size_t n) {
  for (size_t i = 0; i < n; i++)
    p[i] = (uint8_t)(value >> (8 * i));
}

/* An opcode and an argument of 'n' bytes. */
static void put_op(mproc_writer *w, mproc_pickle_opcode op, uint64_t arg,
                   size_t n) {
  uint8_t *p = mproc_writer_room(w, n + 1);
  if (p != NULL) {
    p[0] = (uint8_t)op;
    store(p + 1, arg, n);
  }
}

/* An opcode, the size of 'v' in 'n' bytes, and 'v'. */
static void put_counted(mproc_writer *w, mproc_pickle_opcode op, mproc_view v,
                        size_t n) {
  put_op(w, op, v.size, n);
  put(w, v.data, v.size);
}

void mproc_writer_begin(mproc_writer *w, unsigned protocol) {
  w->size = 0;
  w->failed = false;
  w->protocol = protocol;
  if (protocol >= 2)
    put_op(w, MPROC_OP_PROTO, protocol, 1);
  w->frame = w->size;
  if (protocol >= 4)
    put_op(w, MPROC_OP_FRAME, 0, 8);
}

void mproc_writer_old_bool(mproc_writer *w, bool value) {
  put_string(w, value ? "I01\n" : "I00\n");
}

/* Protocol 0: INT, or LONG where 32 bits do not hold it. */
static void put_text_int(mproc_writer *w, int64_t value) {
  char text[32];
  if (value >= INT32_MIN && value <= INT32_MAX)
    snprintf(text, sizeof text, "I%lld\n", (long long)value);
  else
    snprintf(text, sizeof text, "L%lldL\n", (long long)value);
  put_string(w, text);
}

void mproc_writer_other_int(mproc_writer *w, int64_t value) {
  if (w->protocol == 0) {
    put_text_int(w, value);
  } else if (value >= INT32_MIN && value <= INT32_MAX) {
    put_op(w, MPROC_OP_BININT, (uint64_t)value, 4);
  } else if (w->protocol == 1) {
    put_text_int(w, value);
  } else {
    uint8_t bytes[MPROC_BIGINT_INT_MAX];
    mproc_view v = {bytes, mproc_bigint_from_int(value, bytes)};
    put_counted(w, MPROC_OP_LONG1, v, 1);
  }
}

/* Writes a locale's decimal point, if there is one, as '.'. It may be several
   bytes: all between the digits and what follows them. */
static size_t fix_point(char *text) {
  size_t before = strspn(text, "-0123456789");
  size_t point = strcspn(text + before, "0123456789e");
  if (point > 0) {
    text[before] = '.';
    memmove(text + before + 1, text + before + point,
            strlen(text + before + point) + 1);
  }
  return strlen(text);
}

/* The shortest text that reads back as the same double. */
void mproc_writer_text_real(mproc_writer *w, double value) {
  char text[40];
  mproc_writer_op(w, MPROC_OP_FLOAT);
  if (!isfinite(value)) {
    put_string(w, isnan(value) ? "nan\n" : value > 0 ? "inf\n" : "-inf\n");
    return;
  }
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value)
      break;
  }
  put(w, text, fix_point(text));
  put_string(w, "\n");
}

/* Protocols 0 and 1: LONG, in decimal. */
static void put_text_long(mproc_writer *w, mproc_view bytes) {
  size_t room = mproc_bigint_decimal_room(bytes.size);
  size_t at;
  mproc_writer_op(w, MPROC_OP_LONG);
  at = w->size;
  if (mproc_writer_room(w, room) == NULL)
    return;
  w->size = at + mproc_bigint_to_decimal(bytes, (char *)w->data + at);
  put_string(w, "L\n");
}

void mproc_writer_long(mproc_writer *w, mproc_view bytes) {
  bytes = mproc_bigint_minimal(bytes);
  if (w->protocol < 2)
    put_text_long(w, bytes);
  else if (bytes.size < 256)
    put_counted(w, MPROC_OP_LONG1, bytes, 1);
  else if (bytes.size <= INT32_MAX)
    put_counted(w, MPROC_OP_LONG4, bytes, 4);
  else
    w->failed = true;
}

/* ---- text ---- */

/* The code point at '*p', of valid WTF-8. */
static uint32_t next_point(const uint8_t **p) {
  const uint8_t *s = *p;
  if (s[0] < 0x80) {
    *p += 1;
    return s[0];
  }
  if (s[0] < 0xe0) {
    *p += 2;
    return (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
  }
  if (s[0] < 0xf0) {
    *p += 3;
    return (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 |
           (s[2] & 0x3f);
  }
  *p += 4;
  return (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3f) << 12 |
         (uint32_t)(s[2] & 0x3f) << 6 | (s[3] & 0x3f);
}

/* Whether raw-unicode-escape, or a line of its own, would misread it. */
static bool needs_escape(uint32_t point) {
  return point > 0xff || point == '\\' || point == 0 || point == '\n' ||
         point == '\r' || point == 0x1a;
}

/* Protocol 0: UNICODE, as raw_unicode_escape of CPython's _pickle.c. */
static void put_raw_text(mproc_writer *w, mproc_view text) {
  const uint8_t *p = text.data;
  const uint8_t *end = text.size > 0 ? p + text.size : p;
  mproc_writer_op(w, MPROC_OP_UNICODE);
  while (p < end) {
    uint32_t point = next_point(&p);
    char escaped[12];
    if (!needs_escape(point)) {
      uint8_t byte = (uint8_t)point;
      put(w, &byte, 1);
      continue;
    }
    snprintf(escaped, sizeof escaped, point > 0xffff ? "\\U%08x" : "\\u%04x",
             (unsigned)point);
    put_string(w, escaped);
  }
  put_string(w, "\n");
}

void mproc_writer_text(mproc_writer *w, mproc_view text) {
  if (w->protocol == 0)
    put_raw_text(w, text);
  else if (text.size <= 0xff && w->protocol >= 4)
    put_counted(w, MPROC_OP_SHORT_BINUNICODE, text, 1);
  else if (text.size <= UINT32_MAX)
    put_counted(w, MPROC_OP_BINUNICODE, text, 4);
  else if (w->protocol >= 4)
    put_counted(w, MPROC_OP_BINUNICODE8, text, 8);
  else
    w->failed = true;
}

/* ---- bytes ---- */

static mproc_view view(const char *s) {
  mproc_view v = {(const uint8_t *)s, strlen(s)};
  return v;
}

/* The bytes as text of which they are the Latin-1. */
static void put_latin1(mproc_writer *w, mproc_view bytes) {
  size_t size = bytes.size;
  uint8_t *p;
  if (w->protocol == 0) {
    /* UNICODE is Latin-1 itself, but for what must be escaped */
    mproc_writer_op(w, MPROC_OP_UNICODE);
    for (size_t i = 0; i < bytes.size; i++) {
      char escaped[12];
      if (needs_escape(bytes.data[i])) {
        snprintf(escaped, sizeof escaped, "\\u%04x", bytes.data[i]);
        put_string(w, escaped);
      } else {
        put(w, &bytes.data[i], 1);
      }
    }
    put_string(w, "\n");
    return;
  }
  for (size_t i = 0; i < bytes.size; i++)
    size += bytes.data[i] >> 7;
  if (size > UINT32_MAX) {
    w->failed = true;
    return;
  }
  put_op(w, MPROC_OP_BINUNICODE, size, 4);
  p = mproc_writer_room(w, size);
  for (size_t i = 0; p != NULL && i < bytes.size; i++) {
    uint8_t byte = bytes.data[i];
    if (byte >= 0x80)
      *p++ = (uint8_t)(0xc0 | byte >> 6);
    *p++ = byte >= 0x80 ? (uint8_t)(0x80 | (byte & 0x3f)) : byte;
  }
}

/* A call of what is on the stack with the topmost 'n' values: 0 to 2. */
static void put_call(mproc_writer *w, unsigned n, bool marked) {
  if (marked)
    mproc_writer_op(w, MPROC_OP_TUPLE);
  else
    mproc_writer_op(w, n == 1 ? MPROC_OP_TUPLE1 : MPROC_OP_TUPLE2);
  mproc_writer_op(w, MPROC_OP_REDUCE);
}

static void put_encoded(mproc_writer *w, mproc_view callable_module,
                        mproc_view callable, mproc_view bytes) {
  bool marked = w->protocol < 2; /* no TUPLE2 yet */
  mproc_writer_global(w, callable_module, callable);
  if (marked)
    mproc_writer_op(w, MPROC_OP_MARK);
  if (bytes.size > 0) {
    put_latin1(w, bytes);
    mproc_writer_text(w, view("latin1"));
  }
  if (bytes.size > 0 || marked) {
    put_call(w, 2, marked);
  } else {
    mproc_writer_op(w, MPROC_OP_EMPTY_TUPLE);
    mproc_writer_op(w, MPROC_OP_REDUCE);
  }
}

void mproc_writer_bytes(mproc_writer *w, mproc_view bytes) {
  if (w->protocol < 3 && bytes.size == 0)
    put_encoded(w, view("__builtin__"), view("bytes"), bytes);
  else if (w->protocol < 3)
    put_encoded(w, view("_codecs"), view("encode"), bytes);
  else if (bytes.size <= 0xff)
    put_counted(w, MPROC_OP_SHORT_BINBYTES, bytes, 1);
  else if (bytes.size <= UINT32_MAX)
    put_counted(w, MPROC_OP_BINBYTES, bytes, 4);
  else if (w->protocol >= 4)
    put_counted(w, MPROC_OP_BINBYTES8, bytes, 8);
  else
    w->failed = true;
}

void mproc_writer_bytearray(mproc_writer *w, mproc_view bytes) {
  if (w->protocol >= 5) {
    put_counted(w, MPROC_OP_BYTEARRAY8, bytes, 8);
  } else if (w->protocol >= 3) {
    mproc_writer_global(w, view("builtins"), view("bytearray"));
    mproc_writer_bytes(w, bytes);
    put_call(w, 1, false);
  } else {
    put_encoded(w, view("__builtin__"), view("bytearray"), bytes);
  }
}

/* ---- names and the memo ---- */

void mproc_writer_global(mproc_writer *w, mproc_view module, mproc_view name) {
  if (w->protocol >= 4) {
    mproc_writer_text(w, module);
    mproc_writer_text(w, name);
    mproc_writer_op(w, MPROC_OP_STACK_GLOBAL);
    return;
  }
  mproc_writer_op(w, MPROC_OP_GLOBAL);
  put(w, module.data, module.size);
  put_string(w, "\n");
  put(w, name.data, name.size);
  put_string(w, "\n");
}

static void put_index(mproc_writer *w, char op, uint32_t index) {
  char text[16];
  snprintf(text, sizeof text, "%c%lu\n", op, (unsigned long)index);
  put_string(w, text);
}

void mproc_writer_old_put(mproc_writer *w, uint32_t index) {
  if (w->protocol == 0)
    put_index(w, MPROC_OP_PUT, index);
  else if (index <= 0xff)
    put_op(w, MPROC_OP_BINPUT, index, 1);
  else
    put_op(w, MPROC_OP_LONG_BINPUT, index, 4);
}

void mproc_writer_other_get(mproc_writer *w, uint32_t index) {
  if (w->protocol == 0)
    put_index(w, MPROC_OP_GET, index);
  else
    put_op(w, MPROC_OP_LONG_BINGET, index, 4);
}

mproc_status mproc_writer_end(mproc_writer *w, mproc_view *pickle) {
  size_t framed;
  mproc_writer_op(w, MPROC_OP_STOP);
  if (w->failed)
    return MPROC_NOMEM;
  if (w->protocol >= 4) {
    framed = w->size - w->frame - FRAME_HEADER;
    if (framed < FRAME_MIN) {
      memmove(w->data + w->frame, w->data + w->frame + FRAME_HEADER, framed);
      w->size -= FRAME_HEADER;
    } else {
      store(w->data + w->frame + 1, framed, 8);
    }
  }
  pickle->data = w->data;
  pickle->size = w->size;
  return MPROC_OK;
}

void mproc_writer_free(mproc_writer *w, size_t keep) {
  if (w->capacity <= keep)
    return;
  mproc_free(w->allocator, w->data, w->capacity);
  w->data = NULL;
  w->size = w->capacity = 0;
}

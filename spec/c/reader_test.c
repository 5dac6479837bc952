/*
** reader_test.c: pickles taken apart: as CPython's pickletools does it, cut
** short at every byte, and with arguments that lie.
*/
#include "guard.h"
#include "test.h"

#include <stdbool.h>

#include "pickle/reader.h"
#include "pickle_samples.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define OPS_MAX 512

static guard area;

/* ---- an opcode as the samples have it ---- */

typedef struct opcode_facts {
  const char *name;
  mproc_pickle_arg arg;
  int protocol;
} opcode_facts;

static const opcode_facts facts[256] = {
#define X(name, byte, arg, protocol) \
  [byte] = {#name, MPROC_ARG_##arg, protocol},
    MPROC_OPCODES(X)
#undef X
};

static size_t put_hex(char *out, mproc_view v) {
  size_t n = (size_t)sprintf(out, " "), i;
  for (i = 0; i < v.size; i++)
    n += (size_t)sprintf(out + n, "%02x", v.data[i]);
  return n;
}

static size_t put_double(char *out, double f) {
  uint64_t bits;
  memcpy(&bits, &f, sizeof bits);
  return (size_t)sprintf(out, " %016llx", (unsigned long long)bits);
}

static size_t put_argument(char *out, const mproc_pickle_op *op) {
  size_t n;
  switch (facts[op->code].arg) {
  case MPROC_ARG_U1:
  case MPROC_ARG_U2:
  case MPROC_ARG_U4:
  case MPROC_ARG_U8:
  case MPROC_ARG_FRAME:
  case MPROC_ARG_INDEX:
    return (size_t)sprintf(out, " %llu", (unsigned long long)op->number.u);
  case MPROC_ARG_I4:
    return (size_t)sprintf(out, " %lld", (long long)op->number.i);
  case MPROC_ARG_F8:
    return put_double(out, op->number.f);
  case MPROC_ARG_TWO_LINES:
    n = put_hex(out, op->bytes);
    return n + put_hex(out + n, op->second);
  case MPROC_ARG_NONE:
    return 0;
  default:
    return put_hex(out, op->bytes);
  }
}

/* A line of a listing. */
static size_t put_op(char *out, const mproc_pickle_op *op) {
  size_t n = (size_t)sprintf(out, "%zu %s", op->offset, facts[op->code].name);
  n += put_argument(out + n, op);
  return n + (size_t)sprintf(out + n, "\n");
}

/* ---- the samples ---- */

static mproc_view sample_view(const pickle_sample *sample) {
  return test_view(sample->data, sample->size);
}

static void whole_samples(void) {
  size_t i;
  for (i = 0; i < COUNT(pickle_samples); i++) {
    const pickle_sample *sample = &pickle_samples[i];
    char listing[8192];
    size_t n = 0;
    mproc_view in = guard_place(&area, sample_view(sample));
    mproc_pickle_reader r = mproc_pickle_reader_init(in);
    mproc_pickle_op op;
    while (mproc_pickle_next(&r, &op) == MPROC_PICKLE_OK)
      n += put_op(listing + n, &op);
    CHECK(r.at == r.end);
    if (!CHECK_BYTES(test_view(listing, n), test_text(sample->listing)))
      printf("  %s:\n%s", sample->name, listing);
  }
}

/* Every opcode is in some sample, with the protocol that it came with or a
   later one, but for the old ones. */
static void every_opcode(void) {
  unsigned seen[256] = {0};
  size_t i, known = 0;
  for (i = 0; i < COUNT(pickle_samples); i++) {
    mproc_pickle_reader r =
        mproc_pickle_reader_init(sample_view(&pickle_samples[i]));
    mproc_pickle_op op;
    while (mproc_pickle_next(&r, &op) == MPROC_PICKLE_OK)
      seen[op.code]++;
  }
  for (i = 0; i < 256; i++) {
    if (facts[i].name == NULL)
      continue;
    known++;
    CHECK(facts[i].protocol <= MPROC_PICKLE_PROTOCOL_MAX);
    if (!CHECK(seen[i] > 0))
      printf("  %s\n", facts[i].name);
  }
  CHECK_EQ(known, 68);
}

/* Where each opcode of 'in' starts; after the last, where it ends. */
static size_t find_offsets(mproc_view in, size_t offsets[OPS_MAX + 1]) {
  mproc_pickle_reader r = mproc_pickle_reader_init(in);
  mproc_pickle_op op;
  size_t n = 0;
  while (n < OPS_MAX && mproc_pickle_next(&r, &op) == MPROC_PICKLE_OK)
    offsets[n++] = op.offset;
  offsets[n] = in.size;
  return n;
}

/*
** Whether a sample's first 'n' bytes give what is whole in them, and then
** TRUNCATED, where the reader stays.
*/
static bool read_prefix(mproc_view whole, size_t n, const size_t *offsets) {
  mproc_view in = guard_place(&area, test_view(whole.data, n));
  mproc_pickle_reader r = mproc_pickle_reader_init(in);
  mproc_pickle_op op;
  mproc_pickle_fault fault;
  size_t i = 0;
  while ((fault = mproc_pickle_next(&r, &op)) == MPROC_PICKLE_OK) {
    if (op.offset != offsets[i] || op.code != whole.data[offsets[i]] ||
        (size_t)(r.at - r.start) != offsets[i + 1])
      return false;
    i++;
  }
  if (fault != MPROC_PICKLE_TRUNCATED || op.offset != offsets[i] ||
      (size_t)(r.at - r.start) != offsets[i])
    return false;
  /* only a frame is found to be short before its last byte is reached */
  return offsets[i] == n || offsets[i + 1] > n ||
         whole.data[offsets[i]] == MPROC_OP_FRAME;
}

static void every_prefix(void) {
  size_t i, n, offsets[OPS_MAX + 1];
  for (i = 0; i < COUNT(pickle_samples); i++) {
    mproc_view whole = sample_view(&pickle_samples[i]);
    CHECK(find_offsets(whole, offsets) < OPS_MAX);
    for (n = 0; n < whole.size && read_prefix(whole, n, offsets); n++)
      ;
    if (!CHECK_EQ(n, whole.size))
      printf("  %s\n", pickle_samples[i].name);
  }
}

/* ---- single opcodes ---- */

static mproc_pickle_fault read_one(mproc_view in, mproc_pickle_op *op) {
  mproc_view placed = guard_place(&area, in);
  mproc_pickle_reader r = mproc_pickle_reader_init(placed);
  mproc_pickle_fault fault = mproc_pickle_next(&r, op);
  bool steps = fault == MPROC_PICKLE_OK ? r.at > r.start : r.at == r.start;
  if (!steps || op->offset != 0 || r.end != placed.data + placed.size)
    CHECK(!"where the reader is");
  return fault;
}

static void nothing(void) {
  mproc_pickle_op op;
  mproc_pickle_reader r = mproc_pickle_reader_init(test_view(NULL, 0));
  CHECK_EQ(mproc_pickle_next(&r, &op), MPROC_PICKLE_TRUNCATED);
  CHECK_EQ(op.offset, 0);
  CHECK_EQ(read_one(test_text(""), &op), MPROC_PICKLE_TRUNCATED);
}

static void unknown_opcodes(void) {
  size_t i;
  for (i = 0; i < 256; i++) {
    uint8_t bytes[16] = {0};
    mproc_pickle_op op;
    bytes[0] = (uint8_t)i;
    if (facts[i].name != NULL)
      continue;
    CHECK_EQ(read_one(test_view(bytes, 1), &op), MPROC_PICKLE_UNKNOWN_OPCODE);
    CHECK_EQ(op.code, i);
    CHECK_EQ(read_one(test_view(bytes, sizeof bytes), &op),
             MPROC_PICKLE_UNKNOWN_OPCODE);
  }
}

/* All the bits of a count or a number. */
typedef struct edge {
  const char *hex;
  mproc_pickle_fault fault;
  const char *op; /* where OK */
} edge;

static const edge edges[] = {
    {"4bff", MPROC_PICKLE_OK, "0 BININT1 255\n"},
    {"4dffff", MPROC_PICKLE_OK, "0 BININT2 65535\n"},
    {"4d0080", MPROC_PICKLE_OK, "0 BININT2 32768\n"},
    {"4affffff7f", MPROC_PICKLE_OK, "0 BININT 2147483647\n"},
    {"4a00000080", MPROC_PICKLE_OK, "0 BININT -2147483648\n"},
    {"4affffffff", MPROC_PICKLE_OK, "0 BININT -1\n"},
    {"84ffffffff", MPROC_PICKLE_OK, "0 EXT4 -1\n"},
    {"6affffffff", MPROC_PICKLE_OK, "0 LONG_BINGET 4294967295\n"},
    {"7200000080", MPROC_PICKLE_OK, "0 LONG_BINPUT 2147483648\n"},
    {"80ff", MPROC_PICKLE_OK, "0 PROTO 255\n"},
    {"477ff0000000000001", MPROC_PICKLE_OK, "0 BINFLOAT 7ff0000000000001\n"},
    {"47fff8000000000123", MPROC_PICKLE_OK, "0 BINFLOAT fff8000000000123\n"},
    {"478000000000000000", MPROC_PICKLE_OK, "0 BINFLOAT 8000000000000000\n"},
    /* counts of 0, 1, and one more than there is */
    {"5500", MPROC_PICKLE_OK, "0 SHORT_BINSTRING \n"},
    {"43010a", MPROC_PICKLE_OK, "0 SHORT_BINBYTES 0a\n"},
    {"430201", MPROC_PICKLE_TRUNCATED, NULL},
    {"8cff", MPROC_PICKLE_TRUNCATED, NULL},
    {"8a00", MPROC_PICKLE_OK, "0 LONG1 \n"},
    {"5800000000", MPROC_PICKLE_OK, "0 BINUNICODE \n"},
    {"58010000000a", MPROC_PICKLE_OK, "0 BINUNICODE 0a\n"},
    {"58020000000a", MPROC_PICKLE_TRUNCATED, NULL},
    {"42ffffffff00", MPROC_PICKLE_TRUNCATED, NULL},
    {"42000000800000", MPROC_PICKLE_TRUNCATED, NULL},
    {"8d0000000000000000", MPROC_PICKLE_OK, "0 BINUNICODE8 \n"},
    {"8e0100000000000000aa", MPROC_PICKLE_OK, "0 BINBYTES8 aa\n"},
    {"8e0200000000000000aa", MPROC_PICKLE_TRUNCATED, NULL},
    {"8e0100000001000000aa", MPROC_PICKLE_TRUNCATED, NULL},
    {"96ffffffffffffff7f00", MPROC_PICKLE_TRUNCATED, NULL},
    {"96000000000000008000", MPROC_PICKLE_TRUNCATED, NULL},
    {"8dffffffffffffffff00", MPROC_PICKLE_TRUNCATED, NULL},
    {"8df7ffffffffffffff00", MPROC_PICKLE_TRUNCATED, NULL}, /* wraps to 'at' */
    /* signed ones */
    {"8b00000000", MPROC_PICKLE_OK, "0 LONG4 \n"},
    {"5400000000", MPROC_PICKLE_OK, "0 BINSTRING \n"},
    {"54010000000a", MPROC_PICKLE_OK, "0 BINSTRING 0a\n"},
    {"8bffffff7f00", MPROC_PICKLE_TRUNCATED, NULL},
    {"54ffffff7f00", MPROC_PICKLE_TRUNCATED, NULL},
    {"8b00000080", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"8bffffffff", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"54ffffffff0000", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    /* frames */
    {"950000000000000000", MPROC_PICKLE_OK, "0 FRAME 0\n"},
    {"9501000000000000004e", MPROC_PICKLE_OK, "0 FRAME 1\n"},
    {"9501000000000000004e2e", MPROC_PICKLE_OK, "0 FRAME 1\n"},
    {"9502000000000000004e", MPROC_PICKLE_TRUNCATED, NULL},
    {"95ffffffffffffffff4e", MPROC_PICKLE_TRUNCATED, NULL},
    {"9500000000000000804e", MPROC_PICKLE_TRUNCATED, NULL},
};

static void argument_edges(void) {
  size_t i;
  for (i = 0; i < COUNT(edges); i++) {
    uint8_t bytes[32];
    char text[128];
    mproc_view in = test_hex(edges[i].hex, bytes);
    mproc_pickle_op op;
    mproc_pickle_fault fault = read_one(in, &op);
    if (!CHECK_EQ(fault, edges[i].fault))
      printf("  %s\n", edges[i].hex);
    else if (fault == MPROC_PICKLE_OK)
      CHECK_BYTES(test_view(text, put_op(text, &op)), test_text(edges[i].op));
    CHECK_EQ(op.code, bytes[0]);
  }
}

/* Lines: a newline ends them, nothing else does. */
static const struct {
  const char *in;
  mproc_pickle_fault fault;
  const char *op;
} lines[] = {
    {"V\n", MPROC_PICKLE_OK, "0 UNICODE \n"},
    {"Va\r\n", MPROC_PICKLE_OK, "0 UNICODE 610d\n"},
    {"I1\n2\n", MPROC_PICKLE_OK, "0 INT 31\n"},
    {"F1", MPROC_PICKLE_TRUNCATED, NULL},
    {"F", MPROC_PICKLE_TRUNCATED, NULL},
    {"ca\nb\n", MPROC_PICKLE_OK, "0 GLOBAL 61 62\n"},
    {"ia\nb\nc\n", MPROC_PICKLE_OK, "0 INST 61 62\n"},
    {"ca\nb", MPROC_PICKLE_TRUNCATED, NULL},
    {"ca\n", MPROC_PICKLE_TRUNCATED, NULL},
    {"c\n", MPROC_PICKLE_TRUNCATED, NULL},
    {"c\n\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"ca\n\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"i\nb\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"p0\n", MPROC_PICKLE_OK, "0 PUT 0\n"},
    {"p 12 \n", MPROC_PICKLE_OK, "0 PUT 12\n"},
    {"g+007\n", MPROC_PICKLE_OK, "0 GET 7\n"},
    {"g-0\n", MPROC_PICKLE_OK, "0 GET 0\n"},
    {"p18446744073709551615\n", MPROC_PICKLE_OK,
     "0 PUT 18446744073709551615\n"},
    {"p18446744073709551616\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"p28446744073709551615\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"p184467440737095516150\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"g-1\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"g\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"g \n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"g+\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"g1 2\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"g1L\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"g0x1\n", MPROC_PICKLE_BAD_ARGUMENT, NULL},
    {"g1", MPROC_PICKLE_TRUNCATED, NULL},
};

static void line_edges(void) {
  size_t i;
  for (i = 0; i < COUNT(lines); i++) {
    char text[128];
    mproc_pickle_op op;
    mproc_pickle_fault fault = read_one(test_text(lines[i].in), &op);
    if (!CHECK_EQ(fault, lines[i].fault))
      printf("  %s\n", lines[i].in);
    else if (fault == MPROC_PICKLE_OK)
      CHECK_BYTES(test_view(text, put_op(text, &op)), test_text(lines[i].op));
  }
}

/* Any opcode before any few bytes: no fault but those three. */
static void any_bytes(void) {
  static const uint8_t fills[] = {0, 1, '\n', '7', 0x7f, 0x80, 0xff};
  size_t code, fill, n, faults[4] = {0};
  for (code = 0; code < 256; code++)
    for (fill = 0; fill < COUNT(fills); fill++)
      for (n = 1; n <= 16; n++) {
        uint8_t bytes[16];
        mproc_pickle_op op;
        memset(bytes, fills[fill], sizeof bytes);
        bytes[0] = (uint8_t)code;
        faults[read_one(test_view(bytes, n), &op)]++;
      }
  CHECK_EQ(faults[MPROC_PICKLE_UNKNOWN_OPCODE], (256 - 68) * COUNT(fills) * 16);
}

int main(void) {
  area = guard_new(8192);
  TEST(whole_samples);
  TEST(every_opcode);
  TEST(every_prefix);
  TEST(nothing);
  TEST(unknown_opcodes);
  TEST(argument_edges);
  TEST(line_edges);
  TEST(any_bytes);
  guard_free(&area);
  return test_end("reader_test");
}

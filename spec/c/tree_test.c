/*
** tree_test.c: pickles as trees: the samples, cut short at every byte; what is
** malformed, and where; limits, memory that is linear in the input, and none.
*/
#include "guard.h"
#include "heap.h"
#include "test.h"

#include <stdbool.h>

#include "pickle/tree.h"
#include "pickle_samples.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const mproc_tree_limits no_limits = {SIZE_MAX, SIZE_MAX};
static guard area;

static mproc_view sample_view(const pickle_sample *sample) {
  return test_view(sample->data, sample->size);
}

/* ---- a tree as text ---- */

typedef struct text {
  char data[20000];
  size_t size;
  unsigned depth;
  const mproc_tree *tree;
} text;

static void put(text *out, const char *s) {
  size_t n = strlen(s);
  if (out->size + n < sizeof out->data) {
    memcpy(out->data + out->size, s, n + 1);
    out->size += n;
  }
}

static void put_view(text *out, mproc_view v) {
  for (size_t i = 0; i < v.size; i++) {
    char s[8] = {(char)v.data[i]};
    if (v.data[i] < 32 || v.data[i] >= 127)
      snprintf(s, sizeof s, "\\%02x", v.data[i]);
    put(out, s);
  }
}

static void put_value(text *out, const mproc_value *v);

static void put_items(text *out, const char *open, const mproc_items *items,
                      const char *close) {
  const mproc_value *v;
  uint32_t at = 0;
  size_t n = 0, total = 0;
  put(out, open);
  while ((v = mproc_tree_piece(out->tree, items, &at, &n)) != NULL)
    for (size_t i = 0; i < n; i++) {
      if (total++ > 0)
        put(out, " ");
      put_value(out, &v[i]);
    }
  CHECK_EQ(total, items->count);
  put(out, close);
}

static void put_object(text *out, const mproc_object *o) {
  static const char *const hows[] = {"call", "new", "new_ex", "inst"};
  put(out, hows[o->how]);
  put(out, "<");
  put_value(out, &o->callable);
  put(out, " ");
  put_value(out, &o->args);
  if (o->how == MPROC_HOW_NEW_EX) {
    put(out, " ");
    put_value(out, &o->kwargs);
  }
  put_items(out, " [", &o->items, "]");
  put_items(out, " {", &o->pairs, "}");
  if (o->has_state) {
    put(out, " ");
    put_value(out, &o->state);
  }
  put(out, ">");
}

static void put_node(text *out, const mproc_node *n) {
  static const char *const names[] = {"'",   "surrogate'", "b'",
                                      "ba'", "long'",      "decimal'"};
  static const char *const open[] = {"[", "(", "set(", "frozenset(", "{"};
  static const char *const close[] = {"]", ")", ")", ")", "}"};
  switch ((mproc_node_kind)n->kind) {
  case MPROC_NODE_LIST:
  case MPROC_NODE_TUPLE:
  case MPROC_NODE_SET:
  case MPROC_NODE_FROZENSET:
  case MPROC_NODE_DICT:
    put_items(out, open[n->kind - MPROC_NODE_LIST], &n->as.items,
              close[n->kind - MPROC_NODE_LIST]);
    break;
  case MPROC_NODE_GLOBAL:
    put_view(out, n->as.global.module);
    put(out, ".");
    put_view(out, n->as.global.name);
    break;
  case MPROC_NODE_PERSISTENT:
    put_items(out, "persistent(", &n->as.items, ")");
    break;
  case MPROC_NODE_OBJECT:
    put_object(out, mproc_tree_object(out->tree, n));
    break;
  default:
    put(out, names[n->kind]);
    put_view(out, n->as.bytes);
    put(out, "'");
    break;
  }
}

static void put_value(text *out, const mproc_value *v) {
  char s[64];
  switch ((mproc_value_tag)v->tag) {
  case MPROC_VALUE_NONE:
    put(out, "None");
    break;
  case MPROC_VALUE_FALSE:
    put(out, "False");
    break;
  case MPROC_VALUE_TRUE:
    put(out, "True");
    break;
  case MPROC_VALUE_INTEGER:
    snprintf(s, sizeof s, "%lld", (long long)v->as.integer);
    put(out, s);
    break;
  case MPROC_VALUE_REAL:
    snprintf(s, sizeof s, "%.17g", v->as.real);
    put(out, s);
    break;
  case MPROC_VALUE_TEXT:
  case MPROC_VALUE_BYTES:
    CHECK(v->size <= MPROC_TEXT_SHORT);
    put(out, v->tag == MPROC_VALUE_TEXT ? "'" : "b'");
    put_view(out, test_view(v->as.data, v->size));
    put(out, "'");
    break;
  case MPROC_VALUE_NODE:
    if (out->depth++ > 20)
      put(out, "...");
    else
      put_node(out, mproc_tree_node(out->tree, v->as.node));
    out->depth--;
    break;
  }
}

static const char *describe(text *out, const mproc_tree *t) {
  out->size = 0;
  out->depth = 0;
  out->tree = t;
  put(out, "");
  put_value(out, &t->root);
  return out->data;
}

/* ---- building ---- */

typedef struct bench {
  mproc_tree tree;
  heap heap;
} bench;

static void bench_init(bench *b, size_t fail_from) {
  heap_init(&b->heap, fail_from);
  mproc_tree_init(&b->tree, &b->heap.allocator);
}

static void bench_end(bench *b) {
  mproc_tree_free(&b->tree);
  CHECK_EQ(b->heap.blocks, 0);
  CHECK_EQ(b->heap.bytes, 0);
  CHECK_EQ(b->heap.wrong_sizes, 0);
}

static mproc_status build(bench *b, mproc_view in) {
  return mproc_tree_build(&b->tree, in, &no_limits);
}

/* ---- what pickles say ---- */

typedef struct meaning {
  const char *pickle;
  size_t size;
  const char *text;
} meaning;

#define MEANS(pickle, text) \
  { pickle, sizeof(pickle) - 1, text }

static const meaning meanings[] = {
    MEANS("N.", "None"),
    MEANS("\x80\4\x88\x89\x86.", "(True False)"),
    MEANS("(I01\nI00\nI1\nI-7\nL12L\nL-3\nt.", "(True False 1 -7 12 -3)"),
    MEANS("(K\xffM\xff\xffJ\xff\xff\xff\xff\x8a\1\x80\x8a\0t.",
          "(255 65535 -1 -128 0)"),
    MEANS("\x8a\x08\0\0\0\0\0\0\0\x80.", "-9223372036854775808"),
    MEANS("\x8a\x09\0\0\0\0\0\0\0\x80\0.",
          "long'\\00\\00\\00\\00\\00\\00\\00\\80\\00'"),
    MEANS("I9223372036854775807\n.", "9223372036854775807"),
    MEANS("L9223372036854775808L\n.", "decimal'9223372036854775808'"),
    MEANS("L-9223372036854775808L\n.", "-9223372036854775808"),
    MEANS("(F1.5\nF-inf\nG@\2\0\0\0\0\0\0t.", "(1.5 -inf 2.25)"),
    MEANS("(Vab\\u20ac\nU\1cS'd\\x41'\nU\1\xfft.",
          "('ab\\e2\\82\\ac' 'c' 'dA' b'\\ff')"),
    MEANS("V\\ud800\n.", "surrogate'\\ed\\a0\\80'"),
    MEANS("\x8c\3\xed\xa0\x80.", "surrogate'\\ed\\a0\\80'"),
    MEANS("(C\1\0B\0\0\0\0\x96\1\0\0\0\0\0\0\0xt.", "(b'\\00' b'' ba'x')"),
    /* containers, in pieces */
    MEANS("](K\1K\2ee.", NULL),
    MEANS("](K\1K\2eK\3a(K\4K\5e(eK\6a.", "[1 2 3 4 5 6]"),
    MEANS("}(K\1K\2uK\3K\4s(u.", "{1 2 3 4}"),
    MEANS("(K\1K\2d.", "{1 2}"),
    MEANS("(K\1l(d(t\x87.", "([1] {} ())"),
    MEANS("\x8f(K\1K\2\x90(K\3\x90.", "set(1 2 3)"),
    MEANS("(K\1K\2\x91.", "frozenset(1 2)"),
    MEANS("K\1\x85K\2K\3\x86K\4K\5K\6\x87\x87.", "((1) (2 3) (4 5 6))"),
    MEANS("]2\x86.", "([] [])"),
    /* POP takes a mark, too; an opcode above STOP's value may stay */
    MEANS("K\1(0.", "1"),
    MEANS("K\1K\0020.", "1"),
    MEANS("K\1(K\2K\0031.", "1"),
    MEANS("K\1K\2.", "2"),
    MEANS("N.garbage", "None"),
    /* the memo */
    MEANS("]q\0h\0\x86.", "([] [])"),
    MEANS("](]q\1h\1h\1e.", "[[] [] []]"),
    MEANS("K\1\x94K\2\x94h\0h\1\x86.", NULL),
    MEANS("(K\1\x94K\2\x94h\0h\1t.", "(1 2 1 2)"),
    MEANS("(X\1\0\0\0aq\7h\7h\7h\7t.", "('a' 'a' 'a' 'a')"),
    MEANS("(K\1q\0K\2q\0h\0t.", "(1 2 2)"),
    MEANS("(K\1r\xff\xff\xff\xffj\xff\xff\xff\xfft.", "(1 1)"),
    MEANS("(K\1p18446744073709551615\ng18446744073709551615\nt.", "(1 1)"),
    MEANS("(K\1q\5K\2\x94h\5h\1t.", "(1 2 1 2)"),
    /* names and instances */
    MEANS("cos\nsystem\n.", "os.system"),
    MEANS("\x8c\2os\x8c\6system\x93.", "os.system"),
    MEANS("ca\nb\nK\1\x85R.", "call<a.b (1) [] {}>"),
    MEANS("ca\nb\n)\x81K\1b.", "new<a.b () [] {} 1>"),
    MEANS("ca\nb\n)}\x92(K\1e(K\2K\3uK\4b.", "new_ex<a.b () {} [1] {2 3} 4>"),
    MEANS("(K\1ia\nb\n.", "inst<a.b (1) [] {}>"),
    MEANS("(ca\nb\nK\1K\2o.", "inst<a.b (1 2) [] {}>"),
    MEANS("(K\1o.", "inst<1 () [] {}>"),
    MEANS("Pid\n.", "persistent('id')"),
    MEANS("K\1Q.", "persistent(1)"),
    /* what newer protocols have opcodes for */
    MEANS("c__builtin__\nset\n](K\1K\2e\x85R.", "set(1 2)"),
    MEANS("cbuiltins\nfrozenset\n](K\1e\x85R.", "frozenset(1)"),
    MEANS("cbuiltins\nset\n)R.", "set()"),
    MEANS("c_codecs\nencode\nX\2\0\0\0\xc3\xbfX\6\0\0\0latin1\x86R.",
          "b'\\ff'"),
    MEANS("cbuiltins\nbytes\n)R.", "b''"),
    MEANS("cbuiltins\nbytearray\nC\2ab\x85R.", "ba'ab'"),
    MEANS("cbuiltins\nbytearray\n)R.", "ba''"),
    MEANS("cbuiltins\nbytearray\nK\5\x85R.",
          "call<builtins.bytearray (5) [] {}>"),
    MEANS("cbuiltins\neval\nX\1\0\0\x00x\x85R.",
          "call<builtins.eval ('x') [] {}>"),
};

static void what_pickles_say(void) {
  static text out;
  bench b;
  bench_init(&b, 0);
  for (size_t i = 0; i < COUNT(meanings); i++) {
    const meaning *m = &meanings[i];
    mproc_view in = guard_place(&area, test_view(m->pickle, m->size));
    mproc_status st = build(&b, in);
    if (m->text == NULL)
      continue;
    if (!CHECK_EQ(st, MPROC_OK))
      printf("  %zu: %s at %zu\n", i, b.tree.problem, b.tree.offset);
    else if (!CHECK_BYTES(test_text(describe(&out, &b.tree)),
                          test_text(m->text)))
      printf("  %zu: %s\n", i, out.data);
  }
  bench_end(&b);
}

/* Long text and bytes are nodes, of which there is one each. */
static void long_strings(void) {
  char pickle[200];
  bench b;
  bench_init(&b, 0);
  for (size_t n = MPROC_TEXT_SHORT - 1; n <= MPROC_TEXT_SHORT + 1; n++) {
    size_t size = (size_t)sprintf(pickle, "((X%c", (int)n);
    memcpy(pickle + size, "\0\0\0", 3);
    memset(pickle + size + 3, 'x', n);
    memcpy(pickle + size + 3 + n, "q\0h\0h\0h\0t.", 10);
    CHECK_EQ(
        build(&b, guard_place(&area, test_view(pickle, size + 3 + n + 10))),
        MPROC_OK);
    CHECK_EQ(b.tree.nodes.count, n > MPROC_TEXT_SHORT ? 2 : 1);
    CHECK_EQ(mproc_tree_node(&b.tree, b.tree.root.as.node)->as.items.count, 4);
  }
  bench_end(&b);
}

/* ---- the samples ---- */

/* All but these have a meaning here. */
static bool is_supported(const pickle_sample *s) {
  return strstr(s->name, "extensions") == NULL &&
         strstr(s->name, "buffers") == NULL &&
         strstr(s->name, "DUP, POP") == NULL &&
         strstr(s->name, "PUT and GET") == NULL &&
         strstr(s->name, "LONG_BINPUT") == NULL;
}

static void whole_samples(void) {
  static text out;
  bench b;
  bench_init(&b, 0);
  for (size_t i = 0; i < COUNT(pickle_samples); i++) {
    const pickle_sample *s = &pickle_samples[i];
    mproc_status st = build(&b, guard_place(&area, sample_view(s)));
    CHECK(st == MPROC_OK || st == MPROC_UNPICKLING);
    if (is_supported(s) && !CHECK_EQ(st, MPROC_OK))
      printf("  %s: %s at %zu\n", s->name, b.tree.problem, b.tree.offset);
    if (st == MPROC_OK)
      CHECK(strlen(describe(&out, &b.tree)) > 0);
  }
  bench_end(&b);
}

/* The three of the protocol's description, and one of each kind. */
static void some_samples(void) {
  static const struct {
    const char *name, *text;
  } known[] = {
      {"documented, 0", "[2.25 None 'junk' __builtin__.float]"},
      {"documented, 3", "[2.25 None 'junk' builtins.float]"},
      {"documented, 4", "[2.25 None 'junk' builtins.float]"},
      {"floats, 5", "[0 -0 1.5 1e+308 4.9406564584124654e-324 inf nan]"},
      {"instance, 2", "new<__main__.Instance () [] {} {'field' 1}>"},
      {"persistent, 4", "[persistent('pid 1')]"},
      {"LONG4", "197121"},
      {"more after STOP", "None"},
      {"empty lines", "('' persistent('') '')"},
  };
  static text out;
  bench b;
  size_t found = 0;
  bench_init(&b, 0);
  for (size_t i = 0; i < COUNT(pickle_samples); i++)
    for (size_t j = 0; j < COUNT(known); j++) {
      if (strcmp(pickle_samples[i].name, known[j].name) != 0)
        continue;
      found++;
      CHECK_EQ(build(&b, sample_view(&pickle_samples[i])), MPROC_OK);
      CHECK_BYTES(test_text(describe(&out, &b.tree)), test_text(known[j].text));
    }
  CHECK_EQ(found, COUNT(known));
  bench_end(&b);
}

/* As far as its STOP, no part of a pickle is one. */
static void every_prefix(void) {
  bench b;
  bench_init(&b, 0);
  for (size_t i = 0; i < COUNT(pickle_samples); i++) {
    const pickle_sample *s = &pickle_samples[i];
    size_t n, stop = s->size;
    if (strcmp(s->name, "more after STOP") == 0)
      stop = 2;
    for (n = 0; n < stop; n++) {
      mproc_view in = guard_place(&area, test_view(s->data, n));
      if (build(&b, in) != MPROC_UNPICKLING || b.tree.offset > n ||
          b.tree.problem == NULL)
        break;
    }
    if (!CHECK_EQ(n, stop))
      printf("  %s\n", s->name);
  }
  bench_end(&b);
}

/* Any byte of a sample changed: no harm. */
static void any_byte_changed(void) {
  static const uint8_t changes[] = {0x00, 0x01, 0x80, 0xff, '.', '(', 'R', 'e'};
  bench b;
  bench_init(&b, 0);
  for (size_t i = 0; i < COUNT(pickle_samples); i++) {
    const pickle_sample *s = &pickle_samples[i];
    for (size_t at = 0; at < s->size; at++)
      for (size_t c = 0; c < COUNT(changes); c++) {
        mproc_view in = guard_place(&area, sample_view(s));
        mproc_status st;
        area.base[area.size - s->size + at] = changes[c];
        st = build(&b, in);
        if (st != MPROC_OK &&
            (st != MPROC_UNPICKLING || b.tree.problem == NULL))
          CHECK(!"another status");
      }
  }
  bench_end(&b);
}

/* ---- faults ---- */

typedef struct flaw {
  const char *pickle;
  size_t size;
  size_t offset; /* of the opcode at fault */
} flaw;

#define FLAW(pickle, offset) \
  { pickle, sizeof(pickle) - 1, offset }

static const flaw flaws[] = {
    /* cut short, unknown, malformed */
    FLAW("", 0),
    FLAW("N", 1),
    FLAW("NK", 1),
    FLAW("\x80\4\x95\5\0\0\0\0\0\0\0N.", 2),
    FLAW("N\xff.", 1),
    FLAW("N\0.", 1),
    FLAW("T\xff\xff\xff\xff.", 0),
    FLAW("\x8b\xff\xff\xff\xff.", 0),
    FLAW("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", 0),
    FLAW("c\nb\n.", 0),
    FLAW("\x80\6N.", 0),
    FLAW("\x80\4N\x80\xff.", 3),
    /* what text says */
    FLAW("NI1x\n.", 1),
    FLAW("I\n.", 0),
    FLAW("L1_0L\n.", 0),
    FLAW("F1.5x\n.", 0),
    FLAW("F1e999\n.", 0),
    FLAW("Nabc\n.", 1),
    FLAW("S'abc\n.", 0),
    FLAW("Sabc\n.", 0),
    FLAW("S\n.", 0),
    FLAW("V\\u12\n.", 0),
    FLAW("X\1\0\0\0\xff.", 0),
    FLAW("\x8c\2\xc0\x80.", 0),
    FLAW("c\xff\nb\n.", 0),
    FLAW("P\xff\n.", 0),
    /* an empty stack, or one below a mark */
    FLAW(".", 0),
    FLAW("(.", 1),
    FLAW("N(.", 2),
    FLAW("0.", 0),
    FLAW("N00.", 2),
    FLAW("2.", 0),
    FLAW("K\1(2.", 3),
    FLAW("\x85.", 0),
    FLAW("N\x86.", 1),
    FLAW("N(N\x86.", 3),
    FLAW("NN\x87.", 2),
    FLAW("q\0.", 0),
    FLAW("\x94.", 0),
    FLAW("N(\x94.", 2),
    FLAW("Q.", 0),
    FLAW("R.", 0),
    FLAW("NR.", 1),
    FLAW("\x81.", 0),
    FLAW("N)\x92.", 2),
    FLAW("\x93.", 0),
    FLAW("b.", 0),
    FLAW("ca\nb\n)Rb.", 7),
    FLAW("a.", 0),
    FLAW("]a.", 1),
    FLAW("](Na.", 3),
    FLAW("}Ns.", 2),
    /* no mark */
    FLAW("]e.", 1),
    FLAW("}u.", 1),
    FLAW("\x8f\x90.", 1),
    FLAW("t.", 0),
    FLAW("l.", 0),
    FLAW("d.", 0),
    FLAW("\x91.", 0),
    FLAW("1.", 0),
    FLAW("o.", 0),
    FLAW("Nia\nb\n.", 1),
    FLAW("(o.", 1),
    /* what cannot take it */
    FLAW("NNa.", 2),
    FLAW(")Na.", 2),
    FLAW("}Na.", 2),
    FLAW("\x8fNa.", 2),
    FLAW("N(Ne.", 3),
    FLAW("(Ne.", 2),
    FLAW("](Nu.", 3),
    FLAW("](NNu.", 4),
    FLAW("]NNs.", 3),
    FLAW("](N\x90.", 3),
    FLAW("}(Nu.", 3),
    FLAW("(Nd.", 2),
    FLAW("(NNNd.", 4),
    FLAW("NNb.", 2),
    FLAW("]}b.", 2),
    /* arguments, names, indices */
    FLAW("ca\nb\nNR.", 6),
    FLAW("ca\nb\n]R.", 6),
    FLAW("ca\nb\n]\x81.", 6),
    FLAW("ca\nb\n)]\x92.", 7),
    FLAW("ca\nb\nN}\x92.", 7),
    FLAW("NN\x93.", 2),
    FLAW("\x8c\1aN\x93.", 4),
    FLAW("\x8c\1aC\1b\x93.", 6),
    FLAW("h\0.", 0),
    FLAW("Nq\1h\0.", 3),
    FLAW("Nq\0j\0\1\0\0.", 3),
    FLAW("Np1\ng18446744073709551615\n.", 4),
    /* what is not for us */
    FLAW("\x82\1.", 0),
    FLAW("\x83\1\0.", 0),
    FLAW("\x84\1\0\0\0.", 0),
    FLAW("\x97.", 0),
    FLAW("]\x98.", 1),
};

static void faults(void) {
  bench b;
  bench_init(&b, 0);
  for (size_t i = 0; i < COUNT(flaws); i++) {
    const flaw *f = &flaws[i];
    mproc_view in = guard_place(&area, test_view(f->pickle, f->size));
    if (!CHECK_EQ(build(&b, in), MPROC_UNPICKLING) ||
        !CHECK_EQ(b.tree.offset, f->offset) || !CHECK(b.tree.problem != NULL))
      printf("  %zu: %s\n", i, b.tree.problem);
    /* the tree is as good as new */
    CHECK_EQ(build(&b, TEST_LITERAL("](K\1K\2e.")), MPROC_OK);
    CHECK(b.tree.problem == NULL);
    CHECK_EQ(b.tree.nodes.count, 1);
  }
  bench_end(&b);
}

/* ---- limits ---- */

static void memory_limit(void) {
  static const char pickle[] =
      "(](K\1K\2e}(K\1]uC\x32"
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "ca\nb\n)RK\1bt.";
  mproc_view in = TEST_LITERAL(pickle);
  mproc_tree_limits limits = {0, 10};
  mproc_status st = MPROC_UNPICKLING;
  size_t least = 0, last = 0;
  bench b;
  bench_init(&b, 0);
  for (; st != MPROC_OK && limits.memory < 10000; limits.memory++) {
    st = mproc_tree_build(&b.tree, in, &limits);
    if (st == MPROC_OK)
      break;
    CHECK_EQ(st, MPROC_UNPICKLING);
    CHECK(b.tree.offset >= last); /* it gets further and further */
    last = b.tree.offset;
  }
  least = limits.memory;
  CHECK_EQ(st, MPROC_OK);
  CHECK(b.tree.cost <= least); /* the stack and the memo count, too */
  CHECK(least > 300 && least < 2000);
  bench_end(&b);
}

static void scalars_cost_their_place(void) {
  static const mproc_tree_limits none = {0, 0};
  static const mproc_tree_limits one = {sizeof(mproc_value), 0};
  bench b;
  bench_init(&b, 0);
  CHECK_EQ(mproc_tree_build(&b.tree, TEST_LITERAL("K\1."), &one), MPROC_OK);
  CHECK_EQ(mproc_tree_build(&b.tree, TEST_LITERAL("C\1a."), &one), MPROC_OK);
  CHECK_EQ(mproc_tree_build(&b.tree, TEST_LITERAL("]."), &none),
           MPROC_UNPICKLING);
  CHECK_EQ(b.tree.offset, 0);
  bench_end(&b);
}

/* Decimal digits cost time with their square: they are limited, binary ones,
   which do not, are not. */
static void digits_limit(void) {
  static const mproc_tree_limits limits = {SIZE_MAX, 30};
  char pickle[100];
  bench b;
  bench_init(&b, 0);
  for (int digits = 28; digits <= 32; digits++)
    for (int sign = 0; sign <= 1; sign++) {
      int n = sprintf(pickle, "NL%s%0*dL\n.", sign ? "-" : "", digits, 0);
      mproc_status st;
      memset(pickle + 2 + sign, '7', (size_t)digits);
      st = mproc_tree_build(&b.tree, test_view(pickle, (size_t)n), &limits);
      CHECK_EQ(st, digits <= 30 ? MPROC_OK : MPROC_UNPICKLING);
      if (st != MPROC_OK)
        CHECK_EQ(b.tree.offset, 1);
    }
  memset(pickle, 'x', sizeof pickle);
  memcpy(pickle, "\x8a\x50", 2);
  pickle[2 + 0x50] = '.';
  CHECK_EQ(mproc_tree_build(&b.tree, test_view(pickle, 3 + 0x50), &limits),
           MPROC_OK);
  bench_end(&b);
}

/* ---- memory and time are linear in the input ---- */

typedef struct growing {
  const char *head;
  const char *unit; /* repeated */
  size_t size;      /* of 'unit' */
} growing;

#define GROWS(head, unit) \
  { head, unit, sizeof(unit) - 1 }

static const growing growings[] = {
    GROWS("", "N"),
    GROWS("", "("),
    GROWS("", "]"),
    GROWS("N", "\x85"),
    GROWS("N", "2"),
    GROWS("N", "(1"),
    GROWS("]", "Na"),
    GROWS("]", "(Ne"),
    GROWS("}", "K\1Ns"),
    GROWS("\x8f", "(N\x90"),
    GROWS("ca\nb\n", ")R"),
    GROWS("ca\nb\n", ")\x81(Ne(NNu"),
    GROWS("N", "\x94"),
    GROWS("N", "Pa\n"),
    GROWS("Vabcdefghijklmnopqrstuvwxyz\np0\n", "g0\n"),
    GROWS("", "S'\\x41'\n"),
    GROWS("", "V\\u0041\n"),
    GROWS("c_codecs\nencode\np0\n0Vlatin1\np1\n0", "g0\nVa\ng1\n\x86R"),
    GROWS("cbuiltins\nset\np0\n0](NNep1\n0", "g0\ng1\n\x85R"),
    GROWS("cbuiltins\nbytearray\np0\n0Vx\np1\n0",
          "g0\nCA"
          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
          "\x85R"),
};

static size_t peak_of(const growing *g, size_t n) {
  size_t head = strlen(g->head), size = head + g->size * n;
  uint8_t *data = (uint8_t *)malloc(size);
  bench b;
  size_t peak;
  memcpy(data, g->head, head);
  for (size_t i = 0; i < n; i++)
    memcpy(data + head + g->size * i, g->unit, g->size);
  bench_init(&b, 0);
  CHECK_EQ(build(&b, test_view(data, size)), MPROC_UNPICKLING);
  CHECK_EQ(b.tree.offset, size); /* only STOP is missing */
  peak = b.heap.peak;
  CHECK(b.heap.calls < 200 + 2 * n);
  bench_end(&b);
  free(data);
  return peak;
}

static void linear_memory(void) {
  for (size_t i = 0; i < COUNT(growings); i++) {
    const growing *g = &growings[i];
    for (size_t n = 1000; n <= 8000; n *= 2) {
      size_t peak = peak_of(g, n);
      if (!CHECK(peak <= 4000 + 400 * g->size * n))
        printf("  %zu: %zu bytes for %zu\n", i, peak, g->size * n);
    }
  }
}

/* How many values and bytes all nodes have; SIZE_MAX: more than 'most'. */
static size_t described(const mproc_tree *t, size_t most) {
  size_t total = 0;
  for (uint32_t i = 0; i < t->nodes.count && total <= most; i++) {
    const mproc_node *n = mproc_tree_node(t, i);
    uint32_t at = 0;
    size_t count;
    if (n->kind < MPROC_NODE_LIST)
      total += n->as.bytes.size;
    else if (n->kind == MPROC_NODE_GLOBAL)
      total += n->as.global.module.size + n->as.global.name.size;
    else if (n->kind != MPROC_NODE_OBJECT)
      while (total <= most &&
             mproc_tree_piece(t, &n->as.items, &at, &count) != NULL)
        total += count;
  }
  return total <= most ? total : SIZE_MAX;
}

/* A large value, then calls that each use it again. */
static const struct {
  const char *head;  /* before the large one */
  const char *large; /* repeated, inside of it */
  const char *tail;
  const char *use; /* repeated */
} sharings[] = {
    {"cbuiltins\nset\np0\n0](", "N", "ep1\n0(", "g0\ng1\n\x85R"},
    {"cbuiltins\nfrozenset\np0\n0](", "N", "ep1\n0(", "g0\ng1\n\x85R"},
    {"c_codecs\nencode\np0\n0Vlatin1\np2\n0V", "x", "\np1\n0(",
     "g0\ng1\ng2\n\x86R"},
    {"cbuiltins\nbytearray\np0\n0Vlatin1\np2\n0V", "x", "\np1\n0(",
     "g0\ng1\ng2\n\x86R"},
    {"c_codecs\nencode\n(V", "x",
     "\nVlatin1\ntRp1\n0cbuiltins\nbytearray\np0\n0(", "g0\ng1\n\x85R"},
    {"V", "x", "\np1\n0(", "g1\ng1\n\x93"},
    {"](", "N", "ep1\n0(", "g1\n"},
    {"(V", "x", "\np1\n0(", "g1\n"},
};

/* What a pickle refers to many times is not copied each time. */
static void linear_sharing(void) {
  const size_t n = 2000;
  uint8_t *data = (uint8_t *)malloc(100 * n);
  for (size_t i = 0; i < COUNT(sharings); i++) {
    size_t size = (size_t)sprintf((char *)data, "%s", sharings[i].head);
    mproc_status st;
    bench b;
    for (size_t j = 0; j < n; j++)
      data[size++] = (uint8_t)sharings[i].large[0];
    size += (size_t)sprintf((char *)data + size, "%s", sharings[i].tail);
    for (size_t j = 0; j < n; j++)
      size += (size_t)sprintf((char *)data + size, "%s", sharings[i].use);
    size += (size_t)sprintf((char *)data + size, "t.");
    bench_init(&b, 0);
    st = build(&b, test_view(data, size));
    CHECK(st == MPROC_OK || st == MPROC_UNPICKLING);
    if (!CHECK(st != MPROC_OK || described(&b.tree, 50 * size) != SIZE_MAX) ||
        !CHECK(b.heap.peak <= 300 * size))
      printf("  %zu: %zu bytes of memory for %zu\n", i, b.heap.peak, size);
    bench_end(&b);
  }
  free(data);
}

/* A set that is made of a list in pieces is no part of what the list gets
   later: were it in it, it would be in itself. */
static void set_of_a_growing_list(void) {
  static const char pickle[] = "]q\0(K\1e(K\2ecbuiltins\nset\nh\0\x85Ra.";
  bench b;
  bench_init(&b, 0);
  if (build(&b, TEST_LITERAL(pickle)) == MPROC_OK)
    CHECK(described(&b.tree, 100) <= 17); /* list, name, tuple, set */
  bench_end(&b);
}

/* An index costs the same whatever its number. */
static void sparse_indices(void) {
  static uint8_t pickle[100000];
  size_t n = 0;
  bench b;
  pickle[n++] = 'N';
  for (uint32_t i = 0; i < 5000; i++) {
    uint32_t index = UINT32_MAX - i * 838861u;
    pickle[n++] = 'r';
    memcpy(pickle + n, &index, 4);
    n += 4;
  }
  for (uint32_t i = 0; i < 2000; i++)
    n += (size_t)sprintf((char *)pickle + n, "p1844674407370950%04u\n",
                         (unsigned)i);
  n += (size_t)sprintf((char *)pickle + n, "g18446744073709501999\n.");
  bench_init(&b, 0);
  CHECK_EQ(build(&b, test_view(pickle, n)), MPROC_OK);
  CHECK_EQ(b.tree.root.tag, MPROC_VALUE_NONE);
  CHECK_EQ(b.tree.memo.count, 7000);
  CHECK(b.heap.peak < 1500000);
  bench_end(&b);
}

/* A million lists in each other. */
static void deep(void) {
  const size_t depth = 200000;
  uint8_t *data = (uint8_t *)malloc(2 * depth);
  bench b;
  bench_init(&b, 0);
  memset(data, ']', depth);
  memset(data + depth, 'a', depth);
  data[2 * depth - 1] = '.';
  CHECK_EQ(build(&b, test_view(data, 2 * depth)), MPROC_OK);
  CHECK_EQ(b.tree.nodes.count, depth);
  CHECK_EQ(b.tree.stack.count, 0);
  bench_end(&b);
  free(data);
}

/* ---- no memory; use again ---- */

/* Every sample without memory from each allocation on; then with some. */
static void no_memory(void) {
  for (size_t i = 0; i < COUNT(pickle_samples); i++) {
    mproc_view in = sample_view(&pickle_samples[i]);
    mproc_status st = MPROC_NOMEM, expected;
    bench whole;
    bench_init(&whole, 0);
    expected = build(&whole, in);
    for (size_t n = 1; st == MPROC_NOMEM && n < 1000; n++) {
      bench b;
      bench_init(&b, n);
      st = build(&b, in);
      CHECK(st == MPROC_NOMEM || st == expected);
      b.heap.fail_from = 0;
      CHECK_EQ(build(&b, in), expected);
      CHECK_EQ(b.tree.nodes.count, whole.tree.nodes.count);
      bench_end(&b);
    }
    CHECK_EQ(st, expected);
    bench_end(&whole);
  }
}

/* One tree for all samples, cleared in between and not: as from a new one, and
   once it has grown it takes no more memory. */
static void use_again(void) {
  static text out, fresh_out;
  bench b;
  bench_init(&b, 0);
  for (int round = 0; round < 4; round++) {
    size_t calls = b.heap.calls;
    for (size_t i = 0; i < COUNT(pickle_samples); i++) {
      mproc_view in = sample_view(&pickle_samples[i]);
      bench fresh;
      mproc_status st = build(&b, in);
      bench_init(&fresh, 0);
      CHECK_EQ(build(&fresh, in), st);
      if (st == MPROC_OK)
        CHECK_BYTES(test_text(describe(&out, &b.tree)),
                    test_text(describe(&fresh_out, &fresh.tree)));
      CHECK_EQ(b.tree.cost, fresh.tree.cost);
      CHECK_EQ(b.tree.protocol, fresh.tree.protocol);
      bench_end(&fresh);
      if (i % 3 == 0)
        mproc_tree_clear(&b.tree, 1 << 20);
    }
    if (round > 0) /* only text that had to be decoded */
      CHECK(b.heap.calls - calls < 100);
  }
  mproc_tree_clear(&b.tree, 0);
  CHECK_EQ(b.heap.bytes, 0);
  mproc_tree_clear(&b.tree, 0);
  CHECK_EQ(build(&b, TEST_LITERAL("N.")), MPROC_OK);
  bench_end(&b);
}

/* clear keeps no more than it is told to. */
static void keeps(void) {
  for (size_t keep = 0; keep < 100000; keep = keep * 4 + 1000) {
    bench b;
    bench_init(&b, 0);
    peak_of(&growings[0], 10);
    for (size_t i = 0; i < COUNT(pickle_samples); i++)
      build(&b, sample_view(&pickle_samples[i]));
    mproc_tree_clear(&b.tree, keep);
    CHECK(b.heap.bytes <= 2 * keep + 1);
    bench_end(&b);
  }
}

int main(void) {
  area = guard_new(8192);
  TEST(what_pickles_say);
  TEST(long_strings);
  TEST(whole_samples);
  TEST(some_samples);
  TEST(every_prefix);
  TEST(any_byte_changed);
  TEST(faults);
  TEST(memory_limit);
  TEST(scalars_cost_their_place);
  TEST(digits_limit);
  TEST(linear_memory);
  TEST(linear_sharing);
  TEST(set_of_a_growing_list);
  TEST(sparse_indices);
  TEST(deep);
  TEST(no_memory);
  TEST(use_again);
  TEST(keeps);
  guard_free(&area);
  return test_end("tree_test");
}

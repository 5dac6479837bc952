/*
** tree.c: runs a pickle's opcodes on a stack of values, into a tree.
*/
#include "pickle/tree.h"

#include <string.h>

#include "pickle/reader.h"

/* What a node, or a piece of a container, is reckoned to cost once it is a Lua
   value: a table, an entry in one, a string. */
#define NODE_COST 64
#define ENTRY_COST 32

/* ---- growable arrays ---- */

/* Makes room for 'n' more elements of 'size' bytes. */
static mproc_status array_reserve(mproc_tree *t, mproc_array *a, size_t n,
                                  size_t size) {
  size_t capacity = a->capacity == 0 ? 16 : a->capacity;
  void *data;
  if (n <= a->capacity - a->count)
    return MPROC_OK;
  while (capacity - a->count < n) {
    if (capacity > SIZE_MAX / 4 / size)
      return MPROC_NOMEM;
    capacity *= 2;
  }
  data = t->allocator->resize(t->allocator->ud, a->data, a->capacity * size,
                              capacity * size);
  if (data == NULL)
    return MPROC_NOMEM;
  a->data = data;
  a->capacity = capacity;
  return MPROC_OK;
}

static void array_free(mproc_tree *t, mproc_array *a, size_t size) {
  mproc_free(t->allocator, a->data, a->capacity * size);
  memset(a, 0, sizeof *a);
}

/* ---- what the opcodes work on ---- */

/* One run: the tree, and what is needed only while it is built. */
typedef struct Build {
  mproc_tree *t;
  const mproc_tree_limits *limits;
  mproc_pickle_op op;
} Build;

static mproc_status fault(Build *b, const char *problem) {
  b->t->problem = problem;
  b->t->offset = b->op.offset;
  return MPROC_UNPICKLING;
}

static mproc_status charge(Build *b, size_t cost) {
  if (cost > b->limits->memory - b->t->cost)
    return fault(b, "the pickle takes more memory than allowed");
  b->t->cost += cost;
  return MPROC_OK;
}

static mproc_value *stack_at(const mproc_tree *t, size_t i) {
  return (mproc_value *)t->stack.data + i;
}

/* The height below which the innermost mark protects the stack. */
static size_t stack_floor(const mproc_tree *t) {
  const size_t *marks = (const size_t *)t->marks.data;
  return t->marks.count == 0 ? 0 : marks[t->marks.count - 1];
}

static mproc_status push_slowly(Build *b, mproc_value v) {
  mproc_array *s = &b->t->stack;
  mproc_status st = array_reserve(b->t, s, 1, sizeof v);
  if (st == MPROC_OK)
    *stack_at(b->t, s->count++) = v;
  return st;
}

static inline mproc_status push(Build *b, mproc_value v) {
  mproc_array *s = &b->t->stack;
  if (s->count == s->capacity)
    return push_slowly(b, v);
  *stack_at(b->t, s->count++) = v;
  return MPROC_OK;
}

/* Whether the stack has 'n' values above the innermost mark. */
static bool has(const Build *b, size_t n) {
  return b->t->stack.count - stack_floor(b->t) >= n;
}

static mproc_status underflow(Build *b) {
  return fault(b, "the stack holds too little for this opcode");
}

/* The topmost value, less 'depth'. */
static mproc_value *top(const Build *b, size_t depth) {
  return stack_at(b->t, b->t->stack.count - 1 - depth);
}

static void drop(Build *b, size_t n) {
  b->t->stack.count -= n;
}

static mproc_value simple(mproc_value_tag tag) {
  mproc_value v = {0, 0, {0}};
  v.tag = (uint32_t)tag;
  return v;
}

static mproc_status push_int(Build *b, int64_t i) {
  mproc_value v = simple(MPROC_VALUE_INTEGER);
  v.as.integer = i;
  return push(b, v);
}

static mproc_status push_real(Build *b, double real) {
  mproc_value v = simple(MPROC_VALUE_REAL);
  v.as.real = real;
  return push(b, v);
}

/* Makes a node of that kind, all else zero, and the value that is it. */
static mproc_status new_node(Build *b, mproc_node_kind kind, mproc_value *v) {
  mproc_array *nodes = &b->t->nodes;
  mproc_node *n;
  mproc_status st = charge(b, NODE_COST);
  if (st == MPROC_OK)
    st = array_reserve(b->t, nodes, 1, sizeof *n);
  if (st == MPROC_OK && nodes->count >= UINT32_MAX)
    st = fault(b, "the pickle has too many values");
  if (st != MPROC_OK)
    return st;
  n = (mproc_node *)nodes->data + nodes->count;
  memset(n, 0, sizeof *n);
  n->kind = (uint8_t)kind;
  *v = simple(MPROC_VALUE_NODE);
  v->as.node = (uint32_t)nodes->count++;
  return MPROC_OK;
}

/* The node that a value is; NULL: it is none, or of another kind. */
static mproc_node *as_node(const Build *b, const mproc_value *v,
                           mproc_node_kind kind) {
  mproc_node *n;
  if (v->tag != MPROC_VALUE_NODE)
    return NULL;
  n = mproc_tree_node(b->t, v->as.node);
  return n->kind == kind ? n : NULL;
}

static mproc_status push_node(Build *b, mproc_node_kind kind) {
  mproc_value v;
  mproc_status st = new_node(b, kind, &v);
  return st == MPROC_OK ? push(b, v) : st;
}

static mproc_status push_bytes_node(Build *b, mproc_node_kind kind,
                                    mproc_view bytes) {
  mproc_value v;
  mproc_status st = charge(b, bytes.size);
  if (st == MPROC_OK)
    st = new_node(b, kind, &v);
  if (st != MPROC_OK)
    return st;
  mproc_tree_node(b->t, v.as.node)->as.bytes = bytes;
  return push(b, v);
}

/* ---- strings ---- */

/* Short ones are values of their own; of long ones there is one node each. */
static mproc_status push_string(Build *b, mproc_value_tag short_tag,
                                mproc_node_kind long_kind, mproc_view bytes) {
  mproc_value v = simple(short_tag);
  if (bytes.size > MPROC_TEXT_SHORT)
    return push_bytes_node(b, long_kind, bytes);
  v.size = (uint32_t)bytes.size;
  v.as.data = bytes.data;
  return push(b, v);
}

static mproc_status push_bytes(Build *b, mproc_view bytes) {
  return push_string(b, MPROC_VALUE_BYTES, MPROC_NODE_BYTES, bytes);
}

static mproc_status push_text(Build *b, mproc_view text) {
  switch (mproc_utf8_kind(text)) {
  case MPROC_UTF8_VALID:
    return push_string(b, MPROC_VALUE_TEXT, MPROC_NODE_TEXT, text);
  case MPROC_UTF8_SURROGATES:
    return push_bytes_node(b, MPROC_NODE_SURROGATE, text);
  default:
    return fault(b, "text is not valid UTF-8");
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
static mproc_status push_old_string(Build *b, mproc_view bytes) {
  return is_ascii(bytes) ? push_text(b, bytes) : push_bytes(b, bytes);
}

/* Room of the tree's own for 'size' bytes of text that had to be decoded. */
static mproc_status own_text(Build *b, size_t size, uint8_t **out) {
  mproc_tree *t = b->t;
  size_t whole = sizeof(size_t) + size;
  uint8_t *block;
  mproc_status st = array_reserve(t, &t->texts, 1, sizeof block);
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

static mproc_status do_string(Build *b) {
  mproc_view v = {NULL, 0};
  uint8_t *out = NULL;
  mproc_status st = own_text(b, b->op.bytes.size, &out);
  if (st != MPROC_OK)
    return st;
  v.data = out;
  v.size = mproc_pickle_unquote(b->op.bytes, out);
  if (v.size == SIZE_MAX)
    return fault(b, "malformed string");
  return push_old_string(b, v);
}

static mproc_status do_unicode(Build *b) {
  mproc_view v = {NULL, 0};
  uint8_t *out = NULL;
  size_t room = MPROC_PICKLE_UNRAW_ROOM(b->op.bytes.size);
  bool surrogates = false;
  mproc_status st = own_text(b, room, &out);
  if (st != MPROC_OK)
    return st;
  v.data = out;
  v.size = mproc_pickle_unraw(b->op.bytes, out, room, &surrogates);
  if (v.size == SIZE_MAX)
    return fault(b, "malformed text");
  return push_text(b, v);
}

/* ---- numbers ---- */

static mproc_status do_decimal(Build *b) {
  mproc_view digits;
  int64_t i;
  if (!mproc_pickle_text_decimal(b->op.bytes, &digits))
    return fault(b, "malformed integer");
  if (mproc_pickle_text_int(b->op.bytes, &i))
    return push_int(b, i);
  if (digits.size > b->limits->int_digits)
    return fault(b, "integer has too many digits");
  return push_bytes_node(b, MPROC_NODE_DECIMAL, digits);
}

static mproc_status do_int(Build *b) {
  mproc_view v = b->op.bytes;
  if (v.size == 2 && v.data[0] == '0' && (v.data[1] == '0' || v.data[1] == '1'))
    return push(
        b, simple(v.data[1] == '1' ? MPROC_VALUE_TRUE : MPROC_VALUE_FALSE));
  return do_decimal(b);
}

static mproc_status do_long(Build *b) {
  uint64_t bits = 0;
  mproc_view v = b->op.bytes;
  if (v.size > 8)
    return push_bytes_node(b, MPROC_NODE_LONG, v);
  for (size_t i = 0; i < v.size; i++)
    bits |= (uint64_t)v.data[i] << (8 * i);
  if (v.size > 0 && v.size < 8 && v.data[v.size - 1] >= 0x80)
    bits |= ~UINT64_C(0) << (8 * v.size);
  return push_int(b, (int64_t)bits);
}

static mproc_status do_float(Build *b) {
  double real;
  if (mproc_pickle_text_float(b->op.bytes, &real) != MPROC_PICKLE_OK)
    return fault(b, "malformed float");
  return push_real(b, real);
}

/* ---- containers ---- */

/* Moves the topmost 'n' values off the stack to the end of 'items'. */
static mproc_status gather(Build *b, mproc_items *items, size_t n) {
  mproc_tree *t = b->t;
  size_t start = t->values.count;
  mproc_status st = charge(b, n * ENTRY_COST);
  if (n == 0)
    return MPROC_OK;
  if (st == MPROC_OK)
    st = array_reserve(t, &t->values, n, sizeof(mproc_value));
  if (st == MPROC_OK && items->count > 0)
    st = array_reserve(t, &t->pieces, 1, sizeof(mproc_piece));
  if (st == MPROC_OK && t->pieces.count >= UINT32_MAX - 1)
    st = fault(b, "the pickle has too many values");
  if (st != MPROC_OK)
    return st;
  memcpy((mproc_value *)t->values.data + start, top(b, n - 1),
         n * sizeof(mproc_value));
  t->values.count += n;
  drop(b, n);
  if (items->count == 0) {
    items->start = start;
    items->size = n;
  } else {
    mproc_piece *pieces = (mproc_piece *)t->pieces.data;
    mproc_piece piece = {start, n, 0};
    uint32_t *link =
        items->last == 0 ? &items->more : &pieces[items->last - 1].more;
    pieces[t->pieces.count++] = piece;
    *link = items->last = (uint32_t)t->pieces.count;
  }
  items->count += n;
  return MPROC_OK;
}

/* Takes the innermost mark away; '*n' values were above it. */
static mproc_status pop_mark(Build *b, size_t *n) {
  if (b->t->marks.count == 0)
    return fault(b, "no mark is set");
  *n = b->t->stack.count - stack_floor(b->t);
  b->t->marks.count--;
  return MPROC_OK;
}

static mproc_status do_mark(Build *b) {
  mproc_array *marks = &b->t->marks;
  mproc_status st = array_reserve(b->t, marks, 1, sizeof(size_t));
  if (st == MPROC_OK)
    ((size_t *)marks->data)[marks->count++] = b->t->stack.count;
  return st;
}

/* Pushes a container of the topmost 'n' values. */
static mproc_status enclose(Build *b, mproc_node_kind kind, size_t n) {
  mproc_value v;
  mproc_status st;
  mproc_items items = {0, 0, 0, 0, 0};
  if (!has(b, n))
    return underflow(b);
  if (kind == MPROC_NODE_DICT && n % 2 != 0)
    return fault(b, "a dict's key lacks its value");
  st = gather(b, &items, n);
  if (st == MPROC_OK)
    st = new_node(b, kind, &v);
  if (st != MPROC_OK)
    return st;
  mproc_tree_node(b->t, v.as.node)->as.items = items;
  return push(b, v);
}

static mproc_status enclose_marked(Build *b, mproc_node_kind kind) {
  size_t n = 0;
  mproc_status st = pop_mark(b, &n);
  return st == MPROC_OK ? enclose(b, kind, n) : st;
}

/* Where the value below the topmost 'n' keeps what is added to it: to a
   container of that kind, or, in 'objects' place, to an instance. */
static mproc_items *target(Build *b, size_t n, mproc_node_kind kind) {
  const mproc_value *v;
  mproc_node *node;
  if (!has(b, n + 1))
    return NULL;
  v = top(b, n);
  node = as_node(b, v, kind);
  if (node != NULL)
    return &node->as.items;
  node = as_node(b, v, MPROC_NODE_OBJECT);
  if (node != NULL && kind == MPROC_NODE_LIST)
    return &mproc_tree_object(b->t, node)->items;
  if (node != NULL && kind == MPROC_NODE_DICT)
    return &mproc_tree_object(b->t, node)->pairs;
  return NULL;
}

static mproc_status add(Build *b, mproc_node_kind kind, size_t n) {
  mproc_items *items = target(b, n, kind);
  if (items == NULL)
    return fault(b, "items for what cannot hold them");
  if (kind == MPROC_NODE_DICT && n % 2 != 0)
    return fault(b, "a dict's key lacks its value");
  return gather(b, items, n);
}

static mproc_status add_marked(Build *b, mproc_node_kind kind) {
  size_t n = 0;
  mproc_status st = pop_mark(b, &n);
  return st == MPROC_OK ? add(b, kind, n) : st;
}

/* ---- the memo ---- */

/* The slot of a memo index; NULL: nothing has it. */
static mproc_value *find_slot(const mproc_tree *t, uint64_t index) {
  mproc_value *slots = (mproc_value *)t->memo.data;
  uint32_t slot;
  if (index < t->dense)
    return &slots[index];
  return mproc_memo_get(&t->places, index, &slot) ? &slots[slot] : NULL;
}

/* Indices in a row, from 0 on, need no map; any other costs an entry in it. */
static mproc_status new_slot(Build *b, uint64_t index) {
  mproc_tree *t = b->t;
  mproc_status st = array_reserve(t, &t->memo, 1, sizeof(mproc_value));
  if (st == MPROC_OK && t->memo.count >= UINT32_MAX)
    st = fault(b, "the pickle has too many values");
  if (st != MPROC_OK)
    return st;
  if (index == t->dense && t->dense == t->memo.count)
    t->dense++;
  else
    st = mproc_memo_set(&t->places, t->allocator, index,
                        (uint32_t)t->memo.count);
  if (st == MPROC_OK)
    t->memo.count++;
  return st;
}

static mproc_status do_put(Build *b, uint64_t index) {
  mproc_array *memo = &b->t->memo;
  mproc_value *slot;
  if (!has(b, 1))
    return underflow(b);
  if (index == b->t->dense && index == memo->count && index < memo->capacity &&
      index < UINT32_MAX) { /* the usual case */
    ((mproc_value *)memo->data)[index] = *top(b, 0);
    b->t->dense = ++memo->count;
    return MPROC_OK;
  }
  slot = find_slot(b->t, index);
  if (slot == NULL) {
    mproc_status st = new_slot(b, index);
    if (st != MPROC_OK)
      return st;
    slot = find_slot(b->t, index);
  }
  *slot = *top(b, 0);
  return MPROC_OK;
}

/* In the 'size' of short text in the memo: it was fetched before. */
#define FETCHED 0x80000000u

/*
** Pushes what the memo has. Text that is fetched twice is likely to be fetched
** often (the keys of many dicts): from then on it is a node, so that it becomes
** a Lua string only once.
*/
static mproc_status do_get(Build *b, uint64_t index) {
  mproc_value *slot = find_slot(b->t, index);
  mproc_value v;
  if (slot == NULL)
    return fault(b, "nothing was memoized under this index");
  if (slot->tag == MPROC_VALUE_TEXT && (slot->size & FETCHED) == 0) {
    mproc_status st = push(b, *slot);
    slot->size |= FETCHED;
    return st;
  }
  if (slot->tag == MPROC_VALUE_TEXT) {
    mproc_view text = {slot->as.data, slot->size & ~FETCHED};
    mproc_status st = push_bytes_node(b, MPROC_NODE_TEXT, text);
    if (st != MPROC_OK)
      return st;
    *slot = *top(b, 0);
  } else {
    mproc_status st = push(b, *slot);
    if (st != MPROC_OK)
      return st;
  }
  v = *top(b, 0);
  if (v.tag == MPROC_VALUE_NODE)
    mproc_tree_node(b->t, v.as.node)->shared = true;
  return MPROC_OK;
}

static mproc_status do_dup(Build *b) {
  if (!has(b, 1))
    return underflow(b);
  if (top(b, 0)->tag == MPROC_VALUE_NODE)
    mproc_tree_node(b->t, top(b, 0)->as.node)->shared = true;
  return push(b, *top(b, 0));
}

/* POP takes the mark where nothing is above it (CPython, load_pop). */
static mproc_status do_pop(Build *b) {
  if (has(b, 1))
    drop(b, 1);
  else if (b->t->marks.count > 0)
    b->t->marks.count--;
  else
    return underflow(b);
  return MPROC_OK;
}

static mproc_status do_pop_mark(Build *b) {
  size_t n = 0;
  mproc_status st = pop_mark(b, &n);
  if (st == MPROC_OK)
    drop(b, n);
  return st;
}

/* ---- names and instances ---- */

static mproc_status push_global(Build *b, mproc_view module, mproc_view name) {
  mproc_node *n;
  mproc_status st = push_node(b, MPROC_NODE_GLOBAL);
  if (st != MPROC_OK)
    return st;
  n = as_node(b, top(b, 0), MPROC_NODE_GLOBAL);
  n->as.global.module = module;
  n->as.global.name = name;
  return MPROC_OK;
}

static mproc_status do_global(Build *b) {
  if (mproc_utf8_kind(b->op.bytes) != MPROC_UTF8_VALID ||
      mproc_utf8_kind(b->op.second) != MPROC_UTF8_VALID)
    return fault(b, "a name is not valid UTF-8");
  return push_global(b, b->op.bytes, b->op.second);
}

/* The bytes of a value that is text (or bytes); false: it is neither. */
static bool view_of(const Build *b, const mproc_value *v, bool text,
                    mproc_view *out) {
  const mproc_node *n =
      as_node(b, v, text ? MPROC_NODE_TEXT : MPROC_NODE_BYTES);
  if (n != NULL) {
    *out = n->as.bytes;
    return true;
  }
  out->data = v->as.data;
  out->size = v->size;
  return v->tag == (text ? MPROC_VALUE_TEXT : MPROC_VALUE_BYTES);
}

static mproc_status do_stack_global(Build *b) {
  mproc_view module = {NULL, 0};
  mproc_view name = {NULL, 0};
  if (!has(b, 2))
    return underflow(b);
  if (!view_of(b, top(b, 1), true, &module) ||
      !view_of(b, top(b, 0), true, &name))
    return fault(b, "a global's name is not a string");
  drop(b, 2);
  return push_global(b, module, name);
}

static mproc_status push_object(Build *b, mproc_how how, mproc_value callable,
                                mproc_value args, mproc_value kwargs) {
  mproc_array *objects = &b->t->objects;
  mproc_object *o;
  mproc_status st = charge(b, 2 * NODE_COST);
  if (st == MPROC_OK)
    st = array_reserve(b->t, objects, 1, sizeof *o);
  if (st == MPROC_OK)
    st = push_node(b, MPROC_NODE_OBJECT);
  if (st != MPROC_OK)
    return st;
  as_node(b, top(b, 0), MPROC_NODE_OBJECT)->as.object =
      (uint32_t)objects->count;
  o = (mproc_object *)objects->data + objects->count++;
  memset(o, 0, sizeof *o);
  o->how = (uint8_t)how;
  o->callable = callable;
  o->args = args;
  o->kwargs = kwargs;
  return MPROC_OK;
}

/* ---- what old protocols construct by a call, and newer ones by an opcode ---- */

static bool is(mproc_view v, const char *text) {
  return v.size == strlen(text) && memcmp(v.data, text, v.size) == 0;
}

static bool is_builtin(mproc_view module) {
  return is(module, "builtins") || is(module, "__builtin__");
}

static bool is_latin1(const Build *b, const mproc_value *v) {
  mproc_view name;
  return view_of(b, v, true, &name) &&
         (is(name, "latin1") || is(name, "latin-1"));
}

/* Pushes the bytes whose Latin-1 is 'text'; fault where it has more than that. */
static mproc_status push_latin1(Build *b, mproc_view text) {
  uint8_t *out = NULL;
  mproc_view v = {NULL, 0};
  mproc_status st = own_text(b, text.size, &out);
  size_t n = 0;
  for (size_t i = 0; st == MPROC_OK && i < text.size; i++) {
    uint8_t byte = text.data[i];
    if (byte >=
        0x80) { /* valid UTF-8: U+0080 to U+00FF are C2 or C3, and one */
      if (byte > 0xc3)
        st = fault(b, "text is not Latin-1");
      else
        byte = (uint8_t)(byte << 6 | (text.data[++i] & 0x3f));
    }
    if (st == MPROC_OK)
      out[n++] = byte;
  }
  v.data = out;
  v.size = n;
  return st == MPROC_OK ? push_bytes(b, v) : st;
}

/* Whether (args) is (text, "latin1"): the text. */
static bool is_encoded(const Build *b, const mproc_items *args,
                       mproc_view *text) {
  const mproc_value *v = (const mproc_value *)b->t->values.data + args->start;
  return args->count == 2 && view_of(b, &v[0], true, text) &&
         is_latin1(b, &v[1]);
}

/* bytes() and _codecs.encode(text, "latin1"), of protocols 0 to 2. */
static mproc_status call_bytes(Build *b, const mproc_items *args, bool *done) {
  mproc_view v = {NULL, 0};
  *done = true;
  if (args->count == 0)
    return push_bytes(b, v);
  if (is_encoded(b, args, &v))
    return push_latin1(b, v);
  *done = false;
  return MPROC_OK;
}

/* bytearray(bytes), and the same of protocols 0 to 2. */
static mproc_status call_bytearray(Build *b, const mproc_items *args,
                                   bool *done) {
  const mproc_value *values = (const mproc_value *)b->t->values.data;
  mproc_view v = {NULL, 0};
  mproc_status st = MPROC_OK;
  *done = true;
  if (is_encoded(b, args, &v)) {
    st = push_latin1(b, v);
    if (st != MPROC_OK)
      return st;
    view_of(b, top(b, 0), false, &v);
    drop(b, 1);
  } else if (args->count == 1 && view_of(b, &values[args->start], false, &v)) {
    /* as it is */
  } else if (args->count > 0) {
    *done = false;
    return MPROC_OK;
  }
  return push_bytes_node(b, MPROC_NODE_BYTEARRAY, v);
}

/* set([...]) and frozenset([...]), of protocols 0 to 3. */
static mproc_status call_set(Build *b, mproc_node_kind kind,
                             const mproc_items *args, bool *done) {
  const mproc_value *first =
      (const mproc_value *)b->t->values.data + args->start;
  mproc_items items = {0, 0, 0, 0, 0};
  const mproc_node *list = NULL;
  mproc_value v;
  mproc_status st;
  if (args->count == 1)
    list = as_node(b, first, MPROC_NODE_LIST);
  *done = args->count == 0 || list != NULL;
  if (!*done)
    return MPROC_OK;
  if (list != NULL)
    items = list->as.items;
  st = new_node(b, kind, &v);
  if (st != MPROC_OK)
    return st;
  mproc_tree_node(b->t, v.as.node)->as.items = items;
  return push(b, v);
}

/* Pushes the value of a call that newer protocols have an opcode for. */
static mproc_status call_known(Build *b, const mproc_node *callable,
                               const mproc_items *args, bool *done) {
  mproc_view module = callable->as.global.module;
  mproc_view name = callable->as.global.name;
  *done = false;
  if (is(module, "_codecs") && is(name, "encode") && args->count > 0)
    return call_bytes(b, args, done);
  if (!is_builtin(module))
    return MPROC_OK;
  if (is(name, "bytes") && args->count == 0)
    return call_bytes(b, args, done);
  if (is(name, "bytearray"))
    return call_bytearray(b, args, done);
  if (is(name, "set"))
    return call_set(b, MPROC_NODE_SET, args, done);
  if (is(name, "frozenset"))
    return call_set(b, MPROC_NODE_FROZENSET, args, done);
  return MPROC_OK;
}

/* Stack: callable, arguments. */
static mproc_status do_construct(Build *b, mproc_how how) {
  mproc_value callable;
  mproc_value args;
  const mproc_node *global;
  const mproc_node *tuple;
  bool done = false;
  if (!has(b, 2))
    return underflow(b);
  callable = *top(b, 1);
  args = *top(b, 0);
  global = as_node(b, &callable, MPROC_NODE_GLOBAL);
  tuple = as_node(b, &args, MPROC_NODE_TUPLE);
  if (tuple == NULL)
    return fault(b, "arguments are not a tuple");
  drop(b, 2);
  if (how == MPROC_HOW_CALL && global != NULL) {
    mproc_items items = tuple->as.items; /* nodes may move */
    mproc_status st = call_known(b, global, &items, &done);
    if (st != MPROC_OK || done)
      return st;
  }
  return push_object(b, how, callable, args, simple(MPROC_VALUE_NONE));
}

/* Stack: class, arguments, keyword arguments. */
static mproc_status do_newobj_ex(Build *b) {
  mproc_value v[3];
  if (!has(b, 3))
    return underflow(b);
  for (size_t i = 0; i < 3; i++)
    v[i] = *top(b, 2 - i);
  if (as_node(b, &v[1], MPROC_NODE_TUPLE) == NULL ||
      as_node(b, &v[2], MPROC_NODE_DICT) == NULL)
    return fault(b, "arguments are not a tuple and a dict");
  drop(b, 3);
  return push_object(b, MPROC_HOW_NEW_EX, v[0], v[1], v[2]);
}

/* An old-style instance: the class is on the stack, over 'n' arguments. */
static mproc_status instantiate(Build *b, size_t n) {
  mproc_value class_ = *top(b, 0);
  mproc_value args;
  mproc_status st;
  drop(b, 1);
  st = enclose(b, MPROC_NODE_TUPLE, n);
  if (st != MPROC_OK)
    return st;
  args = *top(b, 0);
  drop(b, 1);
  return push_object(b, MPROC_HOW_INST, class_, args, simple(MPROC_VALUE_NONE));
}

/* Stack: mark, arguments. */
static mproc_status do_inst(Build *b) {
  size_t n = 0;
  mproc_status st = pop_mark(b, &n);
  if (st == MPROC_OK)
    st = do_global(b);
  return st == MPROC_OK ? instantiate(b, n) : st;
}

/* Stack: mark, class, arguments. */
static mproc_status do_obj(Build *b) {
  size_t n = 0;
  mproc_value class_;
  mproc_status st = pop_mark(b, &n);
  if (st != MPROC_OK)
    return st;
  if (n == 0)
    return underflow(b);
  class_ = *top(b, n - 1);
  memmove(top(b, n - 1), top(b, n - 1) + 1, (n - 1) * sizeof class_);
  *top(b, 0) = class_;
  return instantiate(b, n - 1);
}

/* Stack: instance, state. */
static mproc_status do_build(Build *b) {
  mproc_node *n;
  mproc_object *o;
  if (!has(b, 2))
    return underflow(b);
  n = as_node(b, top(b, 1), MPROC_NODE_OBJECT);
  if (n == NULL)
    return fault(b, "state for what is no instance");
  o = mproc_tree_object(b->t, n);
  if (o->has_state)
    return fault(b, "an instance with two states");
  o->has_state = true;
  o->state = *top(b, 0);
  drop(b, 1);
  return MPROC_OK;
}

/* Stack: the id. */
static mproc_status do_persistent(Build *b) {
  return enclose(b, MPROC_NODE_PERSISTENT, 1);
}

/* ---- the loop ---- */

static mproc_status do_proto(Build *b) {
  if (b->op.number.u > MPROC_PICKLE_PROTOCOL_MAX)
    return fault(b, "unsupported pickle protocol");
  b->t->protocol = (unsigned)b->op.number.u;
  return MPROC_OK;
}

static mproc_status do_persid(Build *b) {
  mproc_status st = mproc_utf8_kind(b->op.bytes) == MPROC_UTF8_VALID
                        ? push_text(b, b->op.bytes)
                        : fault(b, "a persistent id is not valid UTF-8");
  return st == MPROC_OK ? do_persistent(b) : st;
}

/* One opcode, which is not STOP. */
static mproc_status run(Build *b) {
  const mproc_pickle_op *op = &b->op;
  switch ((mproc_pickle_opcode)op->code) {
  case MPROC_OP_BINFLOAT:
    return push_real(b, op->number.f);
  case MPROC_OP_BININT1:
  case MPROC_OP_BININT2:
    return push_int(b, (int64_t)op->number.u);
  case MPROC_OP_BININT:
    return push_int(b, op->number.i);
  case MPROC_OP_SHORT_BINUNICODE:
  case MPROC_OP_BINUNICODE:
  case MPROC_OP_BINUNICODE8:
    return push_text(b, op->bytes);
  case MPROC_OP_MEMOIZE:
    return do_put(b, b->t->memo.count);
  case MPROC_OP_BINPUT:
  case MPROC_OP_LONG_BINPUT:
  case MPROC_OP_PUT:
    return do_put(b, op->number.u);
  case MPROC_OP_BINGET:
  case MPROC_OP_LONG_BINGET:
  case MPROC_OP_GET:
    return do_get(b, op->number.u);
  case MPROC_OP_MARK:
    return do_mark(b);
  case MPROC_OP_NONE:
    return push(b, simple(MPROC_VALUE_NONE));
  case MPROC_OP_NEWTRUE:
    return push(b, simple(MPROC_VALUE_TRUE));
  case MPROC_OP_NEWFALSE:
    return push(b, simple(MPROC_VALUE_FALSE));
  case MPROC_OP_EMPTY_LIST:
    return push_node(b, MPROC_NODE_LIST);
  case MPROC_OP_EMPTY_DICT:
    return push_node(b, MPROC_NODE_DICT);
  case MPROC_OP_EMPTY_SET:
    return push_node(b, MPROC_NODE_SET);
  case MPROC_OP_EMPTY_TUPLE:
    return push_node(b, MPROC_NODE_TUPLE);
  case MPROC_OP_APPENDS:
    return add_marked(b, MPROC_NODE_LIST);
  case MPROC_OP_APPEND:
    return add(b, MPROC_NODE_LIST, 1);
  case MPROC_OP_SETITEMS:
    return add_marked(b, MPROC_NODE_DICT);
  case MPROC_OP_SETITEM:
    return add(b, MPROC_NODE_DICT, 2);
  case MPROC_OP_ADDITEMS:
    return add_marked(b, MPROC_NODE_SET);
  case MPROC_OP_TUPLE1:
    return enclose(b, MPROC_NODE_TUPLE, 1);
  case MPROC_OP_TUPLE2:
    return enclose(b, MPROC_NODE_TUPLE, 2);
  case MPROC_OP_TUPLE3:
    return enclose(b, MPROC_NODE_TUPLE, 3);
  case MPROC_OP_TUPLE:
    return enclose_marked(b, MPROC_NODE_TUPLE);
  case MPROC_OP_LIST:
    return enclose_marked(b, MPROC_NODE_LIST);
  case MPROC_OP_DICT:
    return enclose_marked(b, MPROC_NODE_DICT);
  case MPROC_OP_FROZENSET:
    return enclose_marked(b, MPROC_NODE_FROZENSET);
  case MPROC_OP_SHORT_BINBYTES:
  case MPROC_OP_BINBYTES:
  case MPROC_OP_BINBYTES8:
    return push_bytes(b, op->bytes);
  case MPROC_OP_BYTEARRAY8:
    return push_bytes_node(b, MPROC_NODE_BYTEARRAY, op->bytes);
  case MPROC_OP_SHORT_BINSTRING:
  case MPROC_OP_BINSTRING:
    return push_old_string(b, op->bytes);
  case MPROC_OP_STRING:
    return do_string(b);
  case MPROC_OP_UNICODE:
    return do_unicode(b);
  case MPROC_OP_INT:
    return do_int(b);
  case MPROC_OP_LONG:
    return do_decimal(b);
  case MPROC_OP_LONG1:
  case MPROC_OP_LONG4:
    return do_long(b);
  case MPROC_OP_FLOAT:
    return do_float(b);
  case MPROC_OP_GLOBAL:
    return do_global(b);
  case MPROC_OP_STACK_GLOBAL:
    return do_stack_global(b);
  case MPROC_OP_REDUCE:
    return do_construct(b, MPROC_HOW_CALL);
  case MPROC_OP_NEWOBJ:
    return do_construct(b, MPROC_HOW_NEW);
  case MPROC_OP_NEWOBJ_EX:
    return do_newobj_ex(b);
  case MPROC_OP_INST:
    return do_inst(b);
  case MPROC_OP_OBJ:
    return do_obj(b);
  case MPROC_OP_BUILD:
    return do_build(b);
  case MPROC_OP_DUP:
    return do_dup(b);
  case MPROC_OP_POP:
    return do_pop(b);
  case MPROC_OP_POP_MARK:
    return do_pop_mark(b);
  case MPROC_OP_PROTO:
    return do_proto(b);
  case MPROC_OP_FRAME:
    return MPROC_OK;
  case MPROC_OP_PERSID:
    return do_persid(b);
  case MPROC_OP_BINPERSID:
    return do_persistent(b);
  case MPROC_OP_EXT1:
  case MPROC_OP_EXT2:
  case MPROC_OP_EXT4:
    return fault(b, "extension codes are not supported");
  case MPROC_OP_NEXT_BUFFER:
  case MPROC_OP_READONLY_BUFFER:
    return fault(b, "out-of-band buffers are not supported");
  case MPROC_OP_STOP:
    break;
  }
  return MPROC_OK;
}

static mproc_status next(Build *b, mproc_pickle_reader *r) {
  switch (mproc_pickle_next(r, &b->op)) {
  case MPROC_PICKLE_TRUNCATED:
    return fault(b, "the pickle is truncated");
  case MPROC_PICKLE_UNKNOWN_OPCODE:
    return fault(b, "unknown opcode");
  case MPROC_PICKLE_BAD_ARGUMENT:
    return fault(b, "malformed argument");
  case MPROC_PICKLE_OK:
    break;
  }
  return MPROC_OK;
}

mproc_status mproc_tree_build(mproc_tree *t, mproc_view in,
                              const mproc_tree_limits *limits) {
  mproc_pickle_reader r = mproc_pickle_reader_init(in);
  Build b;
  mproc_status st = MPROC_OK;
  b.t = t;
  b.limits = limits;
  mproc_tree_clear(t, SIZE_MAX);
  do {
    st = next(&b, &r);
    if (st == MPROC_OK)
      st = run(&b);
  } while (st == MPROC_OK && b.op.code != MPROC_OP_STOP);
  if (st != MPROC_OK)
    return st;
  if (!has(&b, 1))
    return underflow(&b);
  t->root = *top(&b, 0);
  t->stack.count = 0;
  return MPROC_OK;
}

/* ---- the tree as its readers see it ---- */

mproc_node *mproc_tree_node(const mproc_tree *t, uint32_t node) {
  return (mproc_node *)t->nodes.data + node;
}

mproc_object *mproc_tree_object(const mproc_tree *t, const mproc_node *n) {
  return (mproc_object *)t->objects.data + n->as.object;
}

const mproc_value *mproc_tree_piece(const mproc_tree *t,
                                    const mproc_items *items, uint32_t *at,
                                    size_t *count) {
  const mproc_value *values = (const mproc_value *)t->values.data;
  const mproc_piece *piece;
  if (*at == UINT32_MAX || items->count == 0)
    return NULL;
  if (*at == 0) {
    *count = items->size;
    *at = items->more == 0 ? UINT32_MAX : items->more;
    return values + items->start;
  }
  piece = (const mproc_piece *)t->pieces.data + (*at - 1);
  *count = piece->size;
  *at = piece->more == 0 ? UINT32_MAX : piece->more;
  return values + piece->start;
}

void mproc_tree_init(mproc_tree *t, const mproc_allocator *a) {
  memset(t, 0, sizeof *t);
  t->allocator = a;
}

static void free_texts(mproc_tree *t) {
  for (size_t i = 0; i < t->texts.count; i++) {
    uint8_t *block = ((uint8_t **)t->texts.data)[i];
    size_t whole;
    memcpy(&whole, block, sizeof whole);
    mproc_free(t->allocator, block, whole);
  }
  t->texts.count = 0;
}

/* Empties it; frees it too where it holds more than 'keep' bytes. */
static void array_clear(mproc_tree *t, mproc_array *a, size_t size,
                        size_t keep) {
  if (a->capacity > keep / size)
    array_free(t, a, size);
  a->count = 0;
}

void mproc_tree_clear(mproc_tree *t, size_t keep) {
  keep /= 4; /* the large ones: nodes, values, stack, memo */
  free_texts(t);
  array_clear(t, &t->nodes, sizeof(mproc_node), keep);
  array_clear(t, &t->values, sizeof(mproc_value), keep);
  array_clear(t, &t->pieces, sizeof(mproc_piece), keep);
  array_clear(t, &t->objects, sizeof(mproc_object), keep);
  array_clear(t, &t->stack, sizeof(mproc_value), keep);
  array_clear(t, &t->marks, sizeof(size_t), keep);
  array_clear(t, &t->memo, sizeof(mproc_value), keep);
  array_clear(t, &t->texts, sizeof(uint8_t *), keep);
  if (t->places.capacity > keep / sizeof(mproc_memo_slot))
    mproc_memo_free(&t->places, t->allocator);
  else if (t->places.count > 0)
    mproc_memo_clear(&t->places);
  t->dense = 0;
  t->cost = 0;
  t->protocol = 0;
  t->problem = NULL;
}

void mproc_tree_free(mproc_tree *t) {
  mproc_tree_clear(t, 0);
}

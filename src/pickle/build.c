/*
** build.c: runs a pickle's opcodes on a stack of values, into a tree.
*/
#include "pickle/build.h"

/* What a node, or a piece of a container, is reckoned to cost once it is a Lua
   value: a table, an entry in one, a string. */
#define NODE_COST 64
#define ENTRY_COST 32

/* ---- the steps of opcodes ---- */

mproc_status mproc_build_fault(mproc_build *b, const char *problem) {
  b->t->problem = problem;
  b->t->offset = b->op.offset;
  return MPROC_UNPICKLING;
}

mproc_status mproc_build_underflow(mproc_build *b) {
  return mproc_build_fault(b, "the stack holds too little for this opcode");
}

mproc_status mproc_build_charge(mproc_build *b, size_t cost) {
  if (cost > b->limits->memory - b->t->cost)
    return mproc_build_fault(b, "the pickle takes more memory than allowed");
  b->t->cost += cost;
  return MPROC_OK;
}

mproc_status mproc_build_repeat(mproc_build *b, size_t n) {
  if (n > b->repeats)
    return mproc_build_fault(b, "the pickle takes a large part too often");
  b->repeats -= n;
  return MPROC_OK;
}

mproc_status mproc_build_push_slowly(mproc_build *b, mproc_value v) {
  mproc_array *s = &b->t->stack;
  mproc_status st = mproc_tree_reserve(b->t, s, 1, sizeof v);
  if (st == MPROC_OK)
    *mproc_build_stack(b, s->count++) = v;
  return st;
}

/* Makes a node of that kind, all else zero, and the value that is it. */
mproc_status mproc_build_node(mproc_build *b, mproc_node_kind kind,
                              mproc_value *v) {
  mproc_array *nodes = &b->t->nodes;
  mproc_node *n;
  mproc_status st = mproc_build_charge(b, NODE_COST);
  if (st == MPROC_OK)
    st = mproc_tree_reserve(b->t, nodes, 1, sizeof *n);
  if (st == MPROC_OK && nodes->count >= UINT32_MAX)
    st = mproc_build_fault(b, "the pickle has too many values");
  if (st != MPROC_OK)
    return st;
  n = (mproc_node *)nodes->data + nodes->count;
  memset(n, 0, sizeof *n);
  n->kind = (uint8_t)kind;
  *v = mproc_build_simple(MPROC_VALUE_NODE);
  v->as.node = (uint32_t)nodes->count++;
  return MPROC_OK;
}

mproc_status mproc_build_push_node(mproc_build *b, mproc_node_kind kind) {
  mproc_value v;
  mproc_status st = mproc_build_node(b, kind, &v);
  return st == MPROC_OK ? mproc_build_push(b, v) : st;
}

/* ---- containers ---- */

/* Moves the topmost 'n' values off the stack to the end of 'items'. */
static mproc_status gather(mproc_build *b, mproc_items *items, size_t n) {
  mproc_tree *t = b->t;
  size_t start = t->values.count;
  mproc_status st = mproc_build_charge(b, n * ENTRY_COST);
  if (n == 0)
    return MPROC_OK;
  if (st == MPROC_OK)
    st = mproc_tree_reserve(t, &t->values, n, sizeof(mproc_value));
  if (st == MPROC_OK && items->count > 0)
    st = mproc_tree_reserve(t, &t->pieces, 1, sizeof(mproc_piece));
  if (st == MPROC_OK && t->pieces.count >= UINT32_MAX - 1)
    st = mproc_build_fault(b, "the pickle has too many values");
  if (st != MPROC_OK)
    return st;
  memcpy((mproc_value *)t->values.data + start, mproc_build_top(b, n - 1),
         n * sizeof(mproc_value));
  t->values.count += n;
  mproc_build_drop(b, n);
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
mproc_status mproc_build_pop_mark(mproc_build *b, size_t *n) {
  if (b->t->marks.count == 0)
    return mproc_build_fault(b, "no mark is set");
  *n = b->t->stack.count - mproc_build_floor(b);
  b->t->marks.count--;
  return MPROC_OK;
}

static mproc_status do_mark(mproc_build *b) {
  mproc_array *marks = &b->t->marks;
  mproc_status st = mproc_tree_reserve(b->t, marks, 1, sizeof(size_t));
  if (st == MPROC_OK)
    ((size_t *)marks->data)[marks->count++] = b->t->stack.count;
  return st;
}

/* Pushes a container of the topmost 'n' values. */
mproc_status mproc_build_enclose(mproc_build *b, mproc_node_kind kind,
                                 size_t n) {
  mproc_value v;
  mproc_status st;
  mproc_items items = {0, 0, 0, 0, 0};
  if (!mproc_build_has(b, n))
    return mproc_build_underflow(b);
  if (kind == MPROC_NODE_DICT && n % 2 != 0)
    return mproc_build_fault(b, "a dict's key lacks its value");
  st = gather(b, &items, n);
  if (st == MPROC_OK)
    st = mproc_build_node(b, kind, &v);
  if (st != MPROC_OK)
    return st;
  mproc_tree_node(b->t, v.as.node)->as.items = items;
  return mproc_build_push(b, v);
}

static mproc_status enclose_marked(mproc_build *b, mproc_node_kind kind) {
  size_t n = 0;
  mproc_status st = mproc_build_pop_mark(b, &n);
  return st == MPROC_OK ? mproc_build_enclose(b, kind, n) : st;
}

/* Where the value below the topmost 'n' keeps what is added to it: to a
   container of that kind, or, in 'objects' place, to an instance. */
static mproc_items *target(mproc_build *b, size_t n, mproc_node_kind kind) {
  const mproc_value *v;
  mproc_node *node;
  if (!mproc_build_has(b, n + 1))
    return NULL;
  v = mproc_build_top(b, n);
  node = mproc_build_as(b, v, kind);
  if (node != NULL)
    return &node->as.items;
  node = mproc_build_as(b, v, MPROC_NODE_OBJECT);
  if (node != NULL && kind == MPROC_NODE_LIST)
    return &mproc_tree_object(b->t, node)->items;
  if (node != NULL && kind == MPROC_NODE_DICT)
    return &mproc_tree_object(b->t, node)->pairs;
  return NULL;
}

static mproc_status add(mproc_build *b, mproc_node_kind kind, size_t n) {
  mproc_items *items = target(b, n, kind);
  if (items == NULL)
    return mproc_build_fault(b, "items for what cannot hold them");
  if (kind == MPROC_NODE_DICT && n % 2 != 0)
    return mproc_build_fault(b, "a dict's key lacks its value");
  return gather(b, items, n);
}

static mproc_status add_marked(mproc_build *b, mproc_node_kind kind) {
  size_t n = 0;
  mproc_status st = mproc_build_pop_mark(b, &n);
  return st == MPROC_OK ? add(b, kind, n) : st;
}

/* ---- the memo ---- */

/* The slot of a memo index; NULL: nothing has it. */
static mproc_slot *find_slot(const mproc_tree *t, uint64_t index) {
  mproc_slot *slots = (mproc_slot *)t->memo.data;
  uint32_t slot;
  if (index < t->dense)
    return &slots[index];
  return mproc_memo_get(&t->places, index, &slot) ? &slots[slot] : NULL;
}

/* Indices in a row, from 0 on, need no map; any other costs an entry in it. */
static mproc_status new_slot(mproc_build *b, uint64_t index) {
  mproc_tree *t = b->t;
  mproc_status st = mproc_tree_reserve(t, &t->memo, 1, sizeof(mproc_slot));
  if (st == MPROC_OK && t->memo.count >= UINT32_MAX - 1)
    st = mproc_build_fault(b, "the pickle has too many values");
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

/* Memoizes 'v'. Text tells from now on which slot it is in. */
static void fill_slot(mproc_slot *slots, size_t slot, mproc_value *v) {
  if (v->tag == MPROC_VALUE_TEXT)
    v->memo = (uint32_t)slot + 1;
  slots[slot].value = *v;
  slots[slot].number = 0;
  slots[slot].made = false;
}

static mproc_status do_put(mproc_build *b, uint64_t index) {
  mproc_array *memo = &b->t->memo;
  mproc_slot *slot;
  if (!mproc_build_has(b, 1))
    return mproc_build_underflow(b);
  slot = find_slot(b->t, index);
  if (slot == NULL) {
    mproc_status st = new_slot(b, index);
    if (st != MPROC_OK)
      return st;
    slot = find_slot(b->t, index);
  }
  fill_slot((mproc_slot *)memo->data, (size_t)(slot - (mproc_slot *)memo->data),
            mproc_build_top(b, 0));
  return MPROC_OK;
}

/* Notes that what is in this slot occurs more than once. */
static inline void share(mproc_tree *t, mproc_slot *slot) {
  if (slot->value.tag == MPROC_VALUE_NODE)
    mproc_tree_node(t, slot->value.as.node)->shared = true;
  else if (slot->value.tag == MPROC_VALUE_TEXT && slot->number == 0)
    slot->number = ++t->fetched;
}

static mproc_status do_get(mproc_build *b, uint64_t index) {
  mproc_slot *slot = find_slot(b->t, index);
  if (slot == NULL)
    return mproc_build_fault(b, "nothing was memoized under this index");
  share(b->t, slot);
  return mproc_build_push(b, slot->value);
}

static mproc_status do_dup(mproc_build *b) {
  if (!mproc_build_has(b, 1))
    return mproc_build_underflow(b);
  if (mproc_build_top(b, 0)->tag == MPROC_VALUE_NODE)
    mproc_tree_node(b->t, mproc_build_top(b, 0)->as.node)->shared = true;
  return mproc_build_push(b, *mproc_build_top(b, 0));
}

/* POP takes the mark where nothing is above it (CPython, load_pop). */
static mproc_status do_pop(mproc_build *b) {
  if (mproc_build_has(b, 1))
    mproc_build_drop(b, 1);
  else if (b->t->marks.count > 0)
    b->t->marks.count--;
  else
    return mproc_build_underflow(b);
  return MPROC_OK;
}

static mproc_status do_pop_mark(mproc_build *b) {
  size_t n = 0;
  mproc_status st = mproc_build_pop_mark(b, &n);
  if (st == MPROC_OK)
    mproc_build_drop(b, n);
  return st;
}

/* ---- the loop ---- */

static mproc_status do_proto(mproc_build *b) {
  if (b->op.number.u > MPROC_PICKLE_PROTOCOL_MAX)
    return mproc_build_fault(b, "unsupported pickle protocol");
  b->t->protocol = (unsigned)b->op.number.u;
  return MPROC_OK;
}

/* One opcode of containers, the stack or the memo; false: it is none. */
static bool run_structure(mproc_build *b, mproc_status *st) {
  const mproc_pickle_op *op = &b->op;
  switch ((mproc_pickle_opcode)op->code) {
  case MPROC_OP_MARK:
    *st = do_mark(b);
    break;
  case MPROC_OP_EMPTY_LIST:
    *st = mproc_build_push_node(b, MPROC_NODE_LIST);
    break;
  case MPROC_OP_EMPTY_DICT:
    *st = mproc_build_push_node(b, MPROC_NODE_DICT);
    break;
  case MPROC_OP_EMPTY_SET:
    *st = mproc_build_push_node(b, MPROC_NODE_SET);
    break;
  case MPROC_OP_EMPTY_TUPLE:
    *st = mproc_build_push_node(b, MPROC_NODE_TUPLE);
    break;
  case MPROC_OP_APPENDS:
    *st = add_marked(b, MPROC_NODE_LIST);
    break;
  case MPROC_OP_APPEND:
    *st = add(b, MPROC_NODE_LIST, 1);
    break;
  case MPROC_OP_SETITEMS:
    *st = add_marked(b, MPROC_NODE_DICT);
    break;
  case MPROC_OP_SETITEM:
    *st = add(b, MPROC_NODE_DICT, 2);
    break;
  case MPROC_OP_ADDITEMS:
    *st = add_marked(b, MPROC_NODE_SET);
    break;
  case MPROC_OP_TUPLE1:
    *st = mproc_build_enclose(b, MPROC_NODE_TUPLE, 1);
    break;
  case MPROC_OP_TUPLE2:
    *st = mproc_build_enclose(b, MPROC_NODE_TUPLE, 2);
    break;
  case MPROC_OP_TUPLE3:
    *st = mproc_build_enclose(b, MPROC_NODE_TUPLE, 3);
    break;
  case MPROC_OP_TUPLE:
    *st = enclose_marked(b, MPROC_NODE_TUPLE);
    break;
  case MPROC_OP_LIST:
    *st = enclose_marked(b, MPROC_NODE_LIST);
    break;
  case MPROC_OP_DICT:
    *st = enclose_marked(b, MPROC_NODE_DICT);
    break;
  case MPROC_OP_FROZENSET:
    *st = enclose_marked(b, MPROC_NODE_FROZENSET);
    break;
  case MPROC_OP_MEMOIZE:
    *st = do_put(b, b->t->memo.count);
    break;
  case MPROC_OP_BINPUT:
  case MPROC_OP_LONG_BINPUT:
  case MPROC_OP_PUT:
    *st = do_put(b, op->number.u);
    break;
  case MPROC_OP_BINGET:
  case MPROC_OP_LONG_BINGET:
  case MPROC_OP_GET:
    *st = do_get(b, op->number.u);
    break;
  case MPROC_OP_DUP:
    *st = do_dup(b);
    break;
  case MPROC_OP_POP:
    *st = do_pop(b);
    break;
  case MPROC_OP_POP_MARK:
    *st = do_pop_mark(b);
    break;
  case MPROC_OP_PROTO:
    *st = do_proto(b);
    break;
  case MPROC_OP_EXT1:
  case MPROC_OP_EXT2:
  case MPROC_OP_EXT4:
    *st = mproc_build_fault(b, "extension codes are not supported");
    break;
  case MPROC_OP_NEXT_BUFFER:
  case MPROC_OP_READONLY_BUFFER:
    *st = mproc_build_fault(b, "out-of-band buffers are not supported");
    break;
  default:
    return false;
  }
  return true;
}

/* One opcode; FRAME and STOP do nothing. */
static mproc_status run(mproc_build *b) {
  mproc_status st = MPROC_OK;
  if (!run_structure(b, &st) && !mproc_build_scalar(b, &st))
    mproc_build_instance(b, &st);
  return st;
}

static mproc_status next(mproc_build *b, mproc_pickle_reader *r) {
  switch (mproc_pickle_next(r, &b->op)) {
  case MPROC_PICKLE_TRUNCATED:
    return mproc_build_fault(b, "the pickle is truncated");
  case MPROC_PICKLE_UNKNOWN_OPCODE:
    return mproc_build_fault(b, "unknown opcode");
  case MPROC_PICKLE_BAD_ARGUMENT:
    return mproc_build_fault(b, "malformed argument");
  case MPROC_PICKLE_OK:
    break;
  }
  return MPROC_OK;
}

/* ---- the usual opcodes ---- */

static inline mproc_value integer(int64_t i) {
  mproc_value v = mproc_build_simple(MPROC_VALUE_INTEGER);
  v.as.integer = i;
  return v;
}

static inline mproc_value real(double f) {
  mproc_value v = mproc_build_simple(MPROC_VALUE_REAL);
  v.as.real = f;
  return v;
}

/* Short text at 'at', after its opcode; its size, or 0: this is no usual one. */
static inline size_t usual_text(const uint8_t *at, const uint8_t *end,
                                mproc_value *v) {
  mproc_view text = {at + 1, at < end ? at[0] : 0};
  if (at == end || text.size > MPROC_TEXT_SHORT ||
      text.size >= (size_t)(end - at) ||
      mproc_utf8_kind(text) != MPROC_UTF8_VALID)
    return 0;
  *v = mproc_build_simple(MPROC_VALUE_TEXT);
  v->size = (uint8_t)text.size;
  v->as.data = text.data;
  return 1 + text.size;
}

/* The usual form of MEMOIZE: the next index in a row. */
static inline bool memoize_top(mproc_tree *t, mproc_value *top) {
  size_t slot = t->memo.count;
  if (slot != t->dense || slot >= t->memo.capacity || slot >= UINT32_MAX - 1)
    return false;
  fill_slot((mproc_slot *)t->memo.data, slot, top);
  t->dense = t->memo.count = slot + 1;
  return true;
}

/* The usual form of GET: of an index in a row. NULL: it is not. */
static inline const mproc_slot *usual_get(mproc_tree *t, uint32_t index) {
  mproc_slot *slot;
  if (index >= t->dense)
    return NULL;
  slot = (mproc_slot *)t->memo.data + index;
  share(t, slot);
  return slot;
}

/*
** Runs the opcodes of which most pickles consist for as long as nothing can
** fail: there is room on the stack, and the input goes on. Any other opcode,
** and any that is at fault, is left to run.
*/
static void run_usual(mproc_build *b, mproc_pickle_reader *r) {
  mproc_tree *t = b->t;
  const uint8_t *at = r->at;
  const uint8_t *end = r->end;
  mproc_value *stack = (mproc_value *)t->stack.data;
  mproc_value *floor, *top, *limit;
  if (stack == NULL)
    return;
  floor = stack + mproc_build_floor(b);
  top = stack + t->stack.count;
  limit = stack + t->stack.capacity;
  while (top < limit && at < end) {
    size_t size;
    switch ((mproc_pickle_opcode)at[0]) {
    case MPROC_OP_BINFLOAT:
      if (end - at < 9)
        break;
      *top++ = real(mproc_pickle_be_double(at + 1));
      at += 9;
      continue;
    case MPROC_OP_BININT1:
      if (end - at < 2)
        break;
      *top++ = integer(at[1]);
      at += 2;
      continue;
    case MPROC_OP_BININT2:
      if (end - at < 3)
        break;
      *top++ = integer(at[1] | at[2] << 8);
      at += 3;
      continue;
    case MPROC_OP_BININT:
      if (end - at < 5)
        break;
      *top++ = integer((int32_t)mproc_pickle_le4(at + 1));
      at += 5;
      continue;
    case MPROC_OP_NONE:
      *top++ = mproc_build_simple(MPROC_VALUE_NONE);
      at++;
      continue;
    case MPROC_OP_NEWTRUE:
      *top++ = mproc_build_simple(MPROC_VALUE_TRUE);
      at++;
      continue;
    case MPROC_OP_NEWFALSE:
      *top++ = mproc_build_simple(MPROC_VALUE_FALSE);
      at++;
      continue;
    case MPROC_OP_SHORT_BINUNICODE:
      size = usual_text(at + 1, end, top);
      if (size == 0)
        break;
      top++;
      at += 1 + size;
      continue;
    case MPROC_OP_MEMOIZE:
      if (top == floor || !memoize_top(t, top - 1))
        break;
      at++;
      continue;
    case MPROC_OP_BINGET:
    case MPROC_OP_LONG_BINGET: {
      bool wide = at[0] == MPROC_OP_LONG_BINGET;
      const mproc_slot *slot;
      size = wide ? 5 : 2;
      if ((size_t)(end - at) < size)
        break;
      slot = usual_get(t, wide ? mproc_pickle_le4(at + 1) : at[1]);
      if (slot == NULL)
        break;
      *top++ = slot->value;
      at += size;
      continue;
    }
    default:
      break;
    }
    break;
  }
  r->at = at;
  t->stack.count = (size_t)(top - stack);
}

/* What the stack, the marks and the memo hold, and what was reckoned. */
static mproc_status check_memory(mproc_build *b) {
  const mproc_tree *t = b->t;
  size_t held = t->stack.count * sizeof(mproc_value) +
                t->marks.count * sizeof(size_t) +
                t->memo.count * sizeof(mproc_slot);
  if (held > b->limits->memory - t->cost)
    return mproc_build_fault(b, "the pickle takes more memory than allowed");
  return MPROC_OK;
}

/* What a pickle of that size may take again. None that a pickler writes comes
   near: it takes each part once. */
static size_t allowance(size_t size) {
  return size < SIZE_MAX / 8 ? 4 * size + 4096 : SIZE_MAX;
}

mproc_status mproc_tree_build(mproc_tree *t, mproc_view in,
                              const mproc_tree_limits *limits) {
  mproc_pickle_reader r = mproc_pickle_reader_init(in);
  mproc_build b;
  mproc_status st = MPROC_OK;
  b.t = t;
  b.limits = limits;
  b.repeats = allowance(in.size);
  mproc_tree_clear(t, SIZE_MAX);
  do {
    run_usual(&b, &r);
    st = next(&b, &r);
    if (st == MPROC_OK)
      st = run(&b);
    if (st == MPROC_OK)
      st = check_memory(&b);
  } while (st == MPROC_OK && b.op.code != MPROC_OP_STOP);
  if (st != MPROC_OK)
    return st;
  if (!mproc_build_has(&b, 1))
    return mproc_build_underflow(&b);
  mproc_build_settle(&b);
  t->root = *mproc_build_top(&b, 0);
  t->stack.count = 0;
  return MPROC_OK;
}

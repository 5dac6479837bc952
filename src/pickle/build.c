/*
** build.c: runs a pickle's opcodes on a stack of values, into a tree.
*/
#include "pickle/build.h"

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
  mproc_status st = mproc_build_charge(b, MPROC_NODE_COST);
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
  mproc_build_fill((mproc_slot *)memo->data,
                   (size_t)(slot - (mproc_slot *)memo->data),
                   mproc_build_top(b, 0));
  return MPROC_OK;
}

static mproc_status do_get(mproc_build *b, uint64_t index) {
  mproc_slot *slot = find_slot(b->t, index);
  if (slot == NULL)
    return mproc_build_fault(b, "nothing was memoized under this index");
  mproc_build_share(b->t, slot);
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

/* One opcode of the stack, the memo or the stream; false: it is none. */
static bool run_structure(mproc_build *b, mproc_status *st) {
  const mproc_pickle_op *op = &b->op;
  switch ((mproc_pickle_opcode)op->code) {
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
  if (!run_structure(b, &st) && !mproc_build_container(b, &st) &&
      !mproc_build_scalar(b, &st))
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

/* What a pickle of that size may take again of names and of bytes that are to
   change their type. A pickler hardly ever takes a large one more than once. */
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
    mproc_build_usual(&b, &r);
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

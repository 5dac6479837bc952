/*
** container.c: lists, tuples, dicts and sets, as opcodes fill them from the
** stack.
*/
#include "pickle/build.h"

/* Moves the topmost 'n' values off the stack to the end of 'items'. */
static mproc_status gather(mproc_build *b, mproc_items *items, size_t n) {
  mproc_tree *t = b->t;
  mproc_status st = mproc_build_charge(b, n * MPROC_ENTRY_COST);
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
  mproc_build_take(t, items, mproc_build_top(b, n - 1), n);
  mproc_build_drop(b, n);
  return MPROC_OK;
}

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

/* ---- the opcodes ---- */

bool mproc_build_container(mproc_build *b, mproc_status *st) {
  switch ((mproc_pickle_opcode)b->op.code) {
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
  default:
    return false;
  }
  return true;
}

/*
** build.h: what the files that run a pickle's opcodes share: the stack, and the
** steps of which the opcodes are made. Private to build.c, usual.c, container.c,
** scalar.c and reduce.c.
**
** What returns a status has told b->t->problem where that is UNPICKLING.
*/
#ifndef MPROC_BUILD_H
#define MPROC_BUILD_H

#include <string.h>

#include "pickle/reader.h"
#include "pickle/tree.h"

/* What a node, or a piece of a container, is reckoned to cost once it is a Lua
   value: a table, an entry in one, a string. */
#define MPROC_NODE_COST 64
#define MPROC_ENTRY_COST 32

/* One run: the tree, and what is needed only while it is built. */
typedef struct mproc_build {
  mproc_tree *t;
  const mproc_tree_limits *limits;
  mproc_pickle_op op;
  size_t repeats; /* bytes and items that opcodes may still take again */
} mproc_build;

/* ---- tree.c ---- */

/* Makes room for 'n' more elements of 'size' bytes. */
mproc_status mproc_tree_reserve(mproc_tree *t, mproc_array *a, size_t n,
                                size_t size);

/* ---- build.c ---- */

/* UNPICKLING, because of 'problem' in this opcode. */
mproc_status mproc_build_fault(mproc_build *b, const char *problem);
mproc_status mproc_build_underflow(mproc_build *b);

/* Reckons 'cost' bytes against the limit. */
mproc_status mproc_build_charge(mproc_build *b, size_t cost);

/*
** Reckons 'n' bytes or items of a value that may have been taken before: what a
** pickle describes grows with its own size, not with how often it takes one
** large part.
*/
mproc_status mproc_build_repeat(mproc_build *b, size_t n);

/* Makes a node of that kind, all else zero, and the value that is it. */
mproc_status mproc_build_node(mproc_build *b, mproc_node_kind kind,
                              mproc_value *v);

/* Pushes where the stack is full. */
mproc_status mproc_build_push_slowly(mproc_build *b, mproc_value v);

mproc_status mproc_build_push_node(mproc_build *b, mproc_node_kind kind);

/* ---- container.c ---- */

/* Pushes a container of the topmost 'n' values. */
mproc_status mproc_build_enclose(mproc_build *b, mproc_node_kind kind,
                                 size_t n);

/* Takes the innermost mark away; '*n' values were above it. */
mproc_status mproc_build_pop_mark(mproc_build *b, size_t *n);

/* One opcode of marks or containers; false: it is none. */
bool mproc_build_container(mproc_build *b, mproc_status *st);

/* ---- scalar.c ---- */

/* Pushes a node that is those bytes. */
mproc_status mproc_build_push_bytes_node(mproc_build *b, mproc_node_kind kind,
                                         mproc_view bytes);

/* Push text, which must be UTF-8 (but for surrogates), and bytes. */
mproc_status mproc_build_push_text(mproc_build *b, mproc_view text);
mproc_status mproc_build_push_bytes(mproc_build *b, mproc_view bytes);

/* Room of the tree's own for 'size' bytes of text that had to be decoded. */
mproc_status mproc_build_own_text(mproc_build *b, size_t size, uint8_t **out);

/* One opcode whose argument is a string or a number in a rarer form; false: it
   is none of these. */
bool mproc_build_scalar(mproc_build *b, mproc_status *st);

/* ---- reduce.c ---- */

/* One opcode of globals, instances and persistent ids; false: it is none. */
bool mproc_build_instance(mproc_build *b, mproc_status *st);

/* Makes sets of the calls that make one; when all opcodes have run. */
void mproc_build_settle(mproc_build *b);

/* ---- usual.c ---- */

/*
** Runs the opcodes of which most pickles consist for as long as nothing can
** fail or take new memory; 'r' stops before any other, and any that is at fault.
*/
void mproc_build_usual(mproc_build *b, mproc_pickle_reader *r);

/* ---- the stack ---- */

static inline mproc_value mproc_build_simple(mproc_value_tag tag) {
  mproc_value v = {0, 0, 0, {0}};
  v.tag = (uint8_t)tag;
  return v;
}

static inline mproc_value *mproc_build_stack(const mproc_build *b, size_t i) {
  return (mproc_value *)b->t->stack.data + i;
}

static inline mproc_status mproc_build_push(mproc_build *b, mproc_value v) {
  mproc_array *s = &b->t->stack;
  if (s->count == s->capacity)
    return mproc_build_push_slowly(b, v);
  *mproc_build_stack(b, s->count++) = v;
  return MPROC_OK;
}

/* The height below which the innermost mark protects the stack. */
static inline size_t mproc_build_floor(const mproc_build *b) {
  const size_t *marks = (const size_t *)b->t->marks.data;
  size_t n = b->t->marks.count;
  return n == 0 ? 0 : marks[n - 1];
}

/* Whether the stack has 'n' values above the innermost mark. */
static inline bool mproc_build_has(const mproc_build *b, size_t n) {
  return b->t->stack.count - mproc_build_floor(b) >= n;
}

/* The topmost value, less 'depth'. */
static inline mproc_value *mproc_build_top(const mproc_build *b, size_t depth) {
  return mproc_build_stack(b, b->t->stack.count - 1 - depth);
}

static inline void mproc_build_drop(mproc_build *b, size_t n) {
  b->t->stack.count -= n;
}

/* The node that a value is; NULL: it is none, or of another kind. */
static inline mproc_node *mproc_build_as(const mproc_build *b,
                                         const mproc_value *v,
                                         mproc_node_kind kind) {
  mproc_node *n;
  if (v->tag != MPROC_VALUE_NODE)
    return NULL;
  n = mproc_tree_node(b->t, v->as.node);
  return n->kind == kind ? n : NULL;
}

/* The bytes of a value that is text (or bytes); false: it is neither. */
static inline bool mproc_build_view(const mproc_build *b, const mproc_value *v,
                                    bool text, mproc_view *out) {
  const mproc_node *n =
      mproc_build_as(b, v, text ? MPROC_NODE_TEXT : MPROC_NODE_BYTES);
  if (n != NULL) {
    *out = n->as.bytes;
    return true;
  }
  out->data = v->as.data;
  out->size = v->size;
  return v->tag == (text ? MPROC_VALUE_TEXT : MPROC_VALUE_BYTES);
}

/* ---- containers and the memo ---- */

/* Adds the 'n' values at 'from' to 'items'; there is room for them, and for one
   piece more unless they are the first. */
static inline void mproc_build_take(mproc_tree *t, mproc_items *items,
                                    const mproc_value *from, size_t n) {
  size_t start = t->values.count;
  memcpy((mproc_value *)t->values.data + start, from, n * sizeof *from);
  t->values.count += n;
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
}

/* Memoizes 'v'. Text tells from now on which slot it is in. */
static inline void mproc_build_fill(mproc_slot *slots, size_t slot,
                                    mproc_value *v) {
  if (v->tag == MPROC_VALUE_TEXT)
    v->memo = (uint32_t)slot + 1;
  slots[slot].value = *v;
  slots[slot].number = 0;
  slots[slot].made = false;
}

/* Notes that what is in this slot occurs more than once. */
static inline void mproc_build_share(mproc_tree *t, mproc_slot *slot) {
  if (slot->value.tag == MPROC_VALUE_NODE)
    mproc_tree_node(t, slot->value.as.node)->shared = true;
  else if (slot->value.tag == MPROC_VALUE_TEXT && slot->number == 0)
    slot->number = ++t->fetched;
}

#endif

/*
** build.h: what the files that run a pickle's opcodes share: the stack, and the
** steps of which the opcodes are made. Private to build.c, scalar.c and reduce.c.
**
** What returns a status has told b->t->problem where that is UNPICKLING.
*/
#ifndef MPROC_BUILD_H
#define MPROC_BUILD_H

#include <string.h>

#include "pickle/reader.h"
#include "pickle/tree.h"

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

/* Pushes a container of the topmost 'n' values. */
mproc_status mproc_build_enclose(mproc_build *b, mproc_node_kind kind,
                                 size_t n);

/* Takes the innermost mark away; '*n' values were above it. */
mproc_status mproc_build_pop_mark(mproc_build *b, size_t *n);

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

#endif

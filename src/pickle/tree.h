/*
** tree.h: a pickle as the tree of values it describes, before it becomes values
** of any language. Pure: nothing is imported, looked up or called; what a
** pickle would have constructed is an OBJECT that says how.
**
** All of it is linear in the input: a value is 16 bytes, strings stay where
** they are in the input, and a memo index costs the same whatever its number.
*/
#ifndef MPROC_TREE_H
#define MPROC_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"
#include "pickle/memo.h"

typedef enum mproc_value_tag {
  MPROC_VALUE_NONE,
  MPROC_VALUE_FALSE,
  MPROC_VALUE_TRUE,
  MPROC_VALUE_INTEGER,
  MPROC_VALUE_REAL,
  MPROC_VALUE_TEXT,  /* at most MPROC_TEXT_SHORT bytes of valid UTF-8 */
  MPROC_VALUE_BYTES, /* at most as many of anything */
  MPROC_VALUE_NODE
} mproc_value_tag;

#define MPROC_TEXT_SHORT \
  40 /* what Lua interns, so that repeating it is cheap */

/* One value. */
typedef struct mproc_value {
  uint8_t tag;   /* mproc_value_tag */
  uint8_t size;  /* TEXT, BYTES */
  uint32_t memo; /* TEXT: its slot in the memo + 1, or 0; see mproc_tree_text */
  union {
    int64_t integer;
    double real;
    const uint8_t *data; /* in the input, or in the tree's own text */
    uint32_t node;       /* index into 'nodes' */
  } as;
} mproc_value;

typedef enum mproc_node_kind {
  MPROC_NODE_TEXT,       /* 'bytes': valid UTF-8 */
  MPROC_NODE_SURROGATE,  /* 'bytes': WTF-8, text with lone surrogates */
  MPROC_NODE_BYTES,      /* 'bytes' */
  MPROC_NODE_BYTEARRAY,  /* 'bytes' */
  MPROC_NODE_LONG,       /* 'bytes': two's complement, little-endian */
  MPROC_NODE_DECIMAL,    /* 'bytes': digits of an integer that 64 bits cannot
                           hold, with its sign */
  MPROC_NODE_LIST,       /* 'items' */
  MPROC_NODE_TUPLE,      /* 'items' */
  MPROC_NODE_SET,        /* 'items' */
  MPROC_NODE_FROZENSET,  /* 'items' */
  MPROC_NODE_DICT,       /* 'items': key, value, key, value … */
  MPROC_NODE_GLOBAL,     /* 'global' */
  MPROC_NODE_PERSISTENT, /* 'items': the id alone */
  MPROC_NODE_OBJECT      /* 'object' */
} mproc_node_kind;

/* Values in a row, in pieces; see mproc_tree_piece. */
typedef struct mproc_items {
  size_t count;  /* values in all */
  size_t start;  /* of the first piece, in 'values' */
  size_t size;   /* of the first piece */
  uint32_t more; /* next piece + 1, in 'pieces'; 0: none */
  uint32_t last; /* last piece + 1; 0: the first */
} mproc_items;

typedef struct mproc_piece {
  size_t start;
  size_t size;
  uint32_t more;
} mproc_piece;

/* How an object is constructed. */
typedef enum mproc_how {
  MPROC_HOW_CALL,   /* callable(*args): REDUCE */
  MPROC_HOW_NEW,    /* callable.__new__(callable, *args): NEWOBJ */
  MPROC_HOW_NEW_EX, /* the same with keyword arguments: NEWOBJ_EX */
  MPROC_HOW_INST    /* an instance of protocol 0 and 1: INST, OBJ */
} mproc_how;

/* Everything that a pickle may say of an instance. */
typedef struct mproc_object {
  uint8_t how;   /* mproc_how */
  uint32_t node; /* which one it is */
  bool has_state;
  mproc_value callable;
  mproc_value args;   /* INST: a tuple, too */
  mproc_value kwargs; /* NEW_EX; otherwise NONE */
  mproc_value state;
  mproc_items items; /* what was appended to it */
  mproc_items pairs; /* key, value, … that were set in it */
} mproc_object;

typedef struct mproc_node {
  uint8_t kind;   /* mproc_node_kind */
  bool shared;    /* occurs more than once, or may */
  uint32_t place; /* for the reader of the tree; 0 at first */
  union {
    mproc_view bytes;
    mproc_items items;
    struct {
      mproc_view module;
      mproc_view name; /* with dots, where it is an attribute's */
    } global;
    uint32_t object; /* index into 'objects' */
  } as;
} mproc_node;

/* What was memoized. */
typedef struct mproc_slot {
  mproc_value value;
  uint32_t number; /* of a TEXT that was fetched: 1, 2, …; 0: it was not */
  bool made;       /* for the reader of the tree; false at first */
} mproc_slot;

/* A growable array; see tree.c. */
typedef struct mproc_array {
  void *data;
  size_t count;
  size_t capacity;
} mproc_array;

/* What a caller allows. */
typedef struct mproc_tree_limits {
  size_t memory;     /* bytes, of the tree and what it will become, roughly */
  size_t int_digits; /* of a decimal integer (CPython: 4300) */
} mproc_tree_limits;

typedef struct mproc_tree {
  const mproc_allocator *allocator;
  size_t held;         /* bytes of memory of all these arrays */
  mproc_array nodes;   /* mproc_node */
  mproc_array values;  /* mproc_value: what containers hold */
  mproc_array pieces;  /* mproc_piece */
  mproc_array objects; /* mproc_object */
  mproc_array stack;   /* mproc_value; empty once it is built */
  mproc_array marks;   /* size_t: heights of the stack */
  mproc_array memo;    /* mproc_slot */
  uint32_t fetched;    /* how many TEXTs in it were fetched */
  size_t dense;        /* the first slots: each is its own index */
  mproc_memo places;   /* index -> slot, of the others */
  mproc_array texts; /* uint8_t *: decoded text, each with its size in front */
  mproc_value root;
  size_t cost;         /* against mproc_tree_limits.memory */
  unsigned protocol;   /* as the pickle says; 0 where it does not */
  size_t offset;       /* of the opcode that was at fault */
  const char *problem; /* a static text, once it was */
} mproc_tree;

/* Makes an empty tree, which holds no memory. 'a' must outlive it. Where peers
   choose memo indices, 't->places.seed' should be made random then. */
void mproc_tree_init(mproc_tree *t, const mproc_allocator *a);

/*
** Reads the pickle in 'in' as far as its STOP; what follows is not looked at.
** OK: 't->root' is its value, and 'in' must stay as it is for as long as 't' is
** used. UNPICKLING: 't->problem' at byte 't->offset'. NOMEM.
** Any other tree that 't' held is gone; its memory is used again.
** Rules of the opcodes: CPython 3.13, Lib/pickletools.py and Modules/_pickle.c.
*/
mproc_status mproc_tree_build(mproc_tree *t, mproc_view in,
                              const mproc_tree_limits *limits);

/* The parts of a tree. */
static inline mproc_node *mproc_tree_node(const mproc_tree *t, uint32_t node) {
  return (mproc_node *)t->nodes.data + node;
}

static inline mproc_object *mproc_tree_object(const mproc_tree *t,
                                              const mproc_node *n) {
  return (mproc_object *)t->objects.data + n->as.object;
}

/* The memo slot of a TEXT that occurs again. NULL: this is its only occurrence,
   or its slot was used again. */
static inline mproc_slot *mproc_tree_text(const mproc_tree *t,
                                          const mproc_value *v) {
  mproc_slot *s;
  if (v->memo == 0)
    return NULL;
  s = (mproc_slot *)t->memo.data + (v->memo - 1);
  return s->number != 0 && s->value.as.data == v->as.data ? s : NULL;
}

/*
** Walks over 'items' piece by piece: '*at' is 0 at first. Returns the values of
** the next piece and their count, or NULL after the last.
*/
const mproc_value *mproc_tree_piece(const mproc_tree *t,
                                    const mproc_items *items, uint32_t *at,
                                    size_t *count);

/* Forgets the tree; keeps at most 'keep' bytes of memory for the next one. */
void mproc_tree_clear(mproc_tree *t, size_t keep);

/* Frees all that it holds. */
void mproc_tree_free(mproc_tree *t);

#endif

/*
** lunpickle.h: what the files of pickle.loads share: a run and its frames.
** Private to lunpickle*.c.
*/
#ifndef LMP_LUNPICKLE_H
#define LMP_LUNPICKLE_H

#include "binding/lmp.h"
#include "binding/lspill.h"
#include "pickle/tree.h"

/* The fixed places on the Lua stack. */
enum {
  INPUT = 1, /* the string */
  OPTIONS,   /* a table, or nil */
  OWNER,     /* the Unpickler */
  MADE,      /* number of what occurs again -> its value; or nil */
  SPILLED,   /* the slots of the deeper frames; or nil */
  BASE       /* from here on: text that was fetched */
};

/* The 'place' of a node whose constructor, or persistent_load, waits for its
   arguments; that of others is where MADE has its value, or 0. */
#define LMP_UNPICKLE_MAKING UINT32_MAX

/* What an object's frame is about to attach. */
typedef enum Stage { CLASS, ARGS, KWARGS, ITEMS, PAIRS, STATE, DONE } Stage;

/* A container that is being filled. */
typedef struct Frame {
  uint32_t node;
  uint8_t kind;
  uint8_t stage;    /* of an object */
  bool constructed; /* an object: a registered function makes it */
  bool wrap;        /* bytes are to stay apart from text */
  bool has_key;     /* a dict: the second slot has the key */
  bool bytes_keys;  /* a dict or set: one of the keys was bytes */
  uint32_t at;      /* for mproc_tree_piece */
  const mproc_items *items;
  const mproc_value *next;
  size_t left;       /* values at 'next' */
  lua_Integer count; /* items attached */
} Frame;

/* Everything that must be freed: a userdata with a finalizer. */
typedef struct Unpickler {
  mproc_tree tree;
  Frame *frames;
  size_t capacity;
  bool busy; /* some call uses it, or has raised an error */
  bool last; /* finalized: the state is about to close */
} Unpickler;

/* One call. */
typedef struct Run {
  lua_State *L;
  Unpickler *u;
  size_t depth;   /* frames in use */
  uint32_t texts; /* so many of the fetched have places on the stack */
  uint32_t made;  /* places given in MADE: to the other texts first */
  size_t max_depth;
  size_t unpacks; /* arguments that constructors may still take again */
  bool wrap;
  bool old_names;      /* Python 2's: protocol 2 and below */
  const char *problem; /* why the pickle is refused */
} Run;

static inline Frame *lmp_unpickle_frame(const Run *r) {
  return &r->u->frames[r->depth - 1];
}

/* Whether the frame has more values to attach; then 'next' is the next one. */
static inline bool lmp_unpickle_more(Run *r, Frame *f) {
  if (f->left == 0)
    f->next = mproc_tree_piece(&r->u->tree, f->items, &f->at, &f->left);
  return f->next != NULL;
}

static inline const mproc_value *lmp_unpickle_next(Frame *f) {
  f->left--;
  return f->next++;
}

/* Begins to attach 'items'. */
static inline void lmp_unpickle_items(Frame *f, const mproc_items *items) {
  f->items = items;
  f->at = 0;
  f->left = 0;
  f->count = 0;
}

/* For the API's sizes, which are int. */
static inline int lmp_unpickle_capped(size_t n) {
  return n < 1u << 24 ? (int)n : 1 << 24;
}

/* ---- lunpickle.c ---- */

/* Returns false, and sets r->problem. */
bool lmp_unpickle_refuse(Run *r, const char *problem);

/* ---- lunpickle_frame.c ---- */

/* [-0, +0, m] Keeps the value on the top, which is a node's. */
void lmp_unpickle_keep_shared(Run *r, mproc_node *n);

/* [-0, +0, m] The same, where the node occurs again. */
static inline void lmp_unpickle_keep(Run *r, mproc_node *n) {
  if (n->shared)
    lmp_unpickle_keep_shared(r, n);
}

/* [-0, +1, m] Pushes the container that a node is to become, without items. */
void lmp_unpickle_container(Run *r, const mproc_node *n);

/* [-0, +2, e] Begins a node with parts; false: refused. */
bool lmp_unpickle_enter(Run *r, uint32_t node, bool wrap);

/* ---- lunpickle_walk.c ---- */

/* [-0, +1, e] Pushes the tree's value; false: it is refused. */
bool lmp_unpickle_walk(Run *r);

/* [-0, +0 or +2, e] Attaches a value to the innermost frame's, or begins its
   own frame; false: it is refused. */
bool lmp_unpickle_visit(Run *r, const mproc_value *v, bool wrap);

/* ---- lunpickle_leaf.c ---- */

/* [-0, +0, m] Sets the metatable of the table on the top. */
void lmp_unpickle_tag(Run *r, lmp_ValueType type);

/* [-0, +1, m] Pushes text that was fetched, and keeps it for the next time: at
   its number's place on the stack, or, of so much, in MADE. */
void lmp_unpickle_text(Run *r, mproc_slot *slot);

/* [-0, +1, m] Pushes bytes; where 'wrap', so that they stay apart from text. */
void lmp_unpickle_bytes(Run *r, mproc_view v, bool wrap);

/* [-1, +1, m] Bytes on the top that were made before, perhaps in the other form:
   wrapped or not, as they are wanted here. */
void lmp_unpickle_rewrap(Run *r, bool wrap);

/* [-0, +1 or +0, m] Pushes a node that has no parts; false: it has some. */
bool lmp_unpickle_leaf(Run *r, const mproc_node *n, bool wrap);

/* ---- lunpickle_object.c ---- */

/* [-0, +2, m] Pushes the two slots of an object's frame. */
void lmp_unpickle_object(Run *r, Frame *f, const mproc_node *n);

/* [-1, +0, e] Attaches the value on the top to an object; false: refused. */
bool lmp_unpickle_attach_part(Run *r, Frame *f);

/* Goes on with an object; '*over' once it is whole; false: refused. */
bool lmp_unpickle_step_object(Run *r, bool *over);

/* How an object was constructed, where that is not by a plain call. */
void lmp_unpickle_note_how(Run *r, const Frame *f);

/* Stack: {id}, slot. Replaces it by what the program makes of the id. */
bool lmp_unpickle_persistent(Run *r);

#endif

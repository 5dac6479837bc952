/*
** lpickle.h: what the files of pickle.dumps share: a run, its frames and its
** memo. Private to lpickle.c, lpickle_object.c and lpickle_path.c.
*/
#ifndef LMP_LPICKLE_H
#define LMP_LPICKLE_H

#include "binding/lmp.h"
#include "pickle/memo.h"
#include "pickle/writer.h"

#define LMP_PICKLE_SPILL 1000 /* frames on the Lua stack */

/* In the memo, with a count: being written (so often), not memoized. */
#define LMP_PICKLE_UNFINISHED 0x80000000u

/* The fixed places on the Lua stack. */
enum {
  VALUE = 1,
  OPTIONS, /* a table, or nil */
  OWNER,   /* the Pickler */
  REDUCED, /* value -> what its __reduce returned; or nil */
  ANCHORS, /* a list; or nil */
  SPILLED, /* the slots of the deeper frames; or nil */
  BASE
};

/* What a frame writes. */
typedef enum Kind {
  LIST,      /* also an object's items */
  ARGUMENTS, /* an object's, one by one after its class */
  TUPLE,
  SET,
  FROZENSET,
  DICT,
  OBJECT,
  PAIRS /* of an object: {{key, value}, …} */
} Kind;

/* What an object's frame writes next. */
typedef enum Stage {
  CLASS,
  ARGS,
  KWARGS,
  CONSTRUCT,
  ITEMS,
  EXTRA, /* the pairs */
  STATE,
  BUILD,
  DONE
} Stage;

/* A container that is being written. */
typedef struct Frame {
  const void *address; /* of its Lua value, for the memo */
  uint8_t kind;
  uint8_t stage;    /* of an object */
  bool half;        /* a dict: the key is written, the value is next */
  bool fetched;     /* a dict: key and value are on the stack already */
  bool marked;      /* MARK is written, its opcode is still to come */
  lua_Integer at;   /* the index of the last item */
  lua_Integer size; /* items, where that is known */
} Frame;

/* Everything that must be freed: a userdata with a finalizer. */
typedef struct Pickler {
  mproc_writer writer;
  mproc_memo memo;    /* address -> index */
  mproc_memo strings; /* the same, of strings' bytes */
  Frame *frames;
  size_t capacity;
  bool busy; /* some call uses it, or has ended in an error */
} Pickler;

/* One call. */
typedef struct Run {
  lua_State *L;
  Pickler *p;
  mproc_writer *w;
  uint32_t memoized;
  size_t depth;
  bool careful;        /* tables are counted before they are taken for lists */
  bool anchored;       /* what is written is kept alive in ANCHORS */
  bool again;          /* begin again, with one of these */
  lua_Integer anchors; /* values in ANCHORS */
  lua_Integer reduced; /* values in REDUCED */
  const char *problem; /* why it cannot be pickled; a type's name in it */
  const void *none;    /* the address of None, once it was needed */
} Run;

static inline Frame *lmp_pickle_frame(const Run *r) {
  return &r->p->frames[r->depth - 1];
}

/* Whether there are opcodes for many items at once. */
static inline bool lmp_pickle_appends(const Run *r) {
  return r->w->protocol >= 1;
}

static inline void lmp_pickle_mark(Run *r, Frame *f) {
  mproc_writer_op(r->w, MPROC_OP_MARK);
  f->marked = true;
}

/* The last item is written, if any: where that takes an opcode of its own. */
static inline void lmp_pickle_finish_item(Run *r, const Frame *f,
                                          mproc_pickle_opcode op) {
  if (!lmp_pickle_appends(r) && f->at > 0)
    mproc_writer_op(r->w, op);
}

/* Whether the value is in the memo; '*index' is UNFINISHED and a count where
   it is a tuple (say) that is only being written. */
static inline bool lmp_pickle_recall(const Run *r, const void *address,
                                     uint32_t *index) {
  return mproc_memo_get(&r->p->memo, (uint64_t)(uintptr_t)address, index);
}

/* ---- lpickle.c ---- */

/* [-0, +0, v] Raises. */
void lmp_pickle_nomemory(Run *r);

/* [-0, +0, v] Memoizes the value that has just been written. */
void lmp_pickle_memoize(Run *r, const void *address);

/* Begins what can be memoized only once it is whole; false: it is refused. */
bool lmp_pickle_unfinished(Run *r, const void *address);

/*
** [-1, +2, m] Begins the frame of the container on the top, whose two slots
** these are from now on.
*/
Frame *lmp_pickle_enter(Run *r, Kind kind);

/* [-1, +0 or +2, e] Writes the value on the top, or begins its frame. False:
   it cannot be pickled, and r->problem says why. */
bool lmp_pickle_save(Run *r);

/* [-1, +2, m] The same for the table on the top, whatever its metatable. */
bool lmp_pickle_plain(Run *r);

/* ---- lpickle_object.c ---- */

/* As lmp_pickle_save, for an instance, a global, wrapped text or bytes, and
   for what has a __reduce (or is like any other table). */
bool lmp_pickle_object(Run *r);
bool lmp_pickle_global(Run *r);
bool lmp_pickle_wrapped(Run *r, lmp_ValueType type);
bool lmp_pickle_reduced(Run *r);

/* Goes on with the innermost frame, which is an object's or its pairs'. */
bool lmp_pickle_step_object(Run *r, bool *over);
bool lmp_pickle_step_pairs(Run *r, bool *over);

/* ---- lpickle_path.c ---- */

/* Return false, and set r->problem. */
bool lmp_pickle_refuse(Run *r, const char *problem);
bool lmp_pickle_cannot(Run *r); /* [-0, +1, m] what is on the top */

/* [-0, +2, m] Pushes nil and the PicklingError; returns 2. */
int lmp_pickle_refusal(Run *r);

#endif

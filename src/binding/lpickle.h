/*
** lpickle.h: what the files of pickle.dumps share: a run, its frames and its
** memo. Private to lpickle.c and lpickle_*.c.
*/
#ifndef LMP_LPICKLE_H
#define LMP_LPICKLE_H

#include "binding/lmp.h"
#include "binding/lspill.h"
#include "pickle/memo.h"
#include "pickle/writer.h"

/* In the memo, with a count: being written (so often), not memoized. */
#define LMP_PICKLE_UNFINISHED 0x80000000u

/* The fixed places on the Lua stack. */
enum {
  VALUE = 1,
  OPTIONS, /* a table, or nil */
  REDUCED, /* value -> what its __reduce returned; or nil */
  ANCHORS, /* a list; or nil */
  SPILLED, /* the slots of the deeper frames; or nil */
  OWNER,   /* the Pickler */
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

/* How an object says that it is constructed. */
typedef enum How { CALL, NEW, NEW_EX, INST } How;

/* A container that is being written. */
typedef struct Frame {
  const void
      *address; /* of its Lua value, for the memo; a dict's may be NULL */
  uint8_t kind;
  uint8_t stage;    /* of an object */
  uint8_t how;      /* of an object, as it was when it began */
  bool half;        /* a dict: the key is written, the value is next */
  bool fetched;     /* a dict: key and value are on the stack already */
  bool marked;      /* MARK is written, its opcode is still to come */
  bool due;         /* so is the opcode of the last item; protocol 0 */
  lua_Integer at;   /* the index of the last item */
  lua_Integer size; /* items, where that is known */
} Frame;

/*
** A string that came again, and what is written for it then: BINGET and its
** index. Keys that all dicts of a list have are found here, where the memo is
** not needed.
*/
typedef struct Known {
  const void *address; /* NULL: no string */
  uint8_t get[2];
} Known;

#define LMP_PICKLE_KNOWN_BITS 8

/* Everything that must be freed: a userdata with a finalizer. */
typedef struct Pickler {
  mproc_writer writer;
  mproc_memo memo;                         /* address -> index */
  mproc_memo strings;                      /* the same, of strings */
  Known known[1 << LMP_PICKLE_KNOWN_BITS]; /* some of these, by their address */
  bool knows;                              /* whether there are any */
  Frame *frames;
  size_t capacity;
  bool busy; /* some call uses it, or has raised an error */
  bool last; /* finalized: the state is about to close */
} Pickler;

/* One call. */
typedef struct Run {
  lua_State *L;
  Pickler *p;
  mproc_writer *w;
  const lmp_State *state;
  uint32_t memoized;
  size_t depth;
  bool nested;         /* below a dict that has no frame (yet) */
  bool careful;        /* all keys of a table are seen before it is a list */
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

/* [-0, +0, v] Makes room in a memo. */
void lmp_pickle_grow(Run *r, mproc_memo *m);

/* [-0, +0, v] Where a memo has the index of what is at 'address', until it
   changes; UNFINISHED: it was not in it. */
static inline uint32_t *lmp_pickle_index(Run *r, mproc_memo *m,
                                         const void *address) {
  if (mproc_memo_is_full(m))
    lmp_pickle_grow(r, m);
  return mproc_memo_at(m, (uint64_t)(uintptr_t)address, LMP_PICKLE_UNFINISHED);
}

/* [-0, +0, v] The same of the memo for values that are not strings; UNFINISHED,
   with a count how often: it is being written. */
static inline uint32_t *lmp_pickle_place(Run *r, const void *address) {
  return lmp_pickle_index(r, &r->p->memo, address);
}

static inline bool lmp_pickle_is_memoized(const uint32_t *place) {
  return (*place & LMP_PICKLE_UNFINISHED) == 0;
}

/* Memoizes the value that has just been written. */
static inline void lmp_pickle_memoize(Run *r, uint32_t *place) {
  *place = r->memoized;
  mproc_writer_put(r->w, r->memoized++);
}

/* ---- lpickle.c ---- */

/* Makes the next string of each be written anew. */
void lmp_pickle_forget_strings(Pickler *p);

/* ---- lpickle_walk.c ---- */

/*
** [-1, +2, m] Begins the frame of the container on the top, whose two slots
** these are from now on.
*/
Frame *lmp_pickle_enter(Run *r, Kind kind);

/* [-3, +3, m] The same for a dict, below its key, which is in the second slot,
   and its value, which stays on the top. */
Frame *lmp_pickle_enter_fetched(Run *r);

/*
** Whether a dict that has no frame may save a value, which may begin one: where
** none does so already, lest we recurse, and where frames are not about to need
** more of the stack.
*/
bool lmp_pickle_may_nest(const Run *r);

/* [-0, +0, v] Begins the frame of that dict after all, as that of 'depth': below
   the value's, if that has one. */
Frame *lmp_pickle_enter_late(Run *r, size_t depth);

/* [-1, +0 or +2, e] Writes the value on the top, or begins its frame. False:
   it cannot be pickled, and r->problem says why. */
bool lmp_pickle_save(Run *r);

/* The same, where it is known to be a table. */
bool lmp_pickle_table(Run *r);

/* [-0, +0 or more, e] Writes the value at VALUE and all that is in it. False: as
   above. */
bool lmp_pickle_walk(Run *r);

/* ---- lpickle_scalar.c; see lpickle_scalar.h, too ---- */

/* As lmp_pickle_save, for a userdata. */
bool lmp_pickle_userdata(Run *r);

/* ---- lpickle_table.c ---- */

/* As lmp_pickle_save, for the table on the top, whatever its metatable, as a
   list or a dict; 'place' is where the memo has it, 'address' its
   lua_topointer. */
bool lmp_pickle_plain(Run *r, uint32_t *place, const void *address);
bool lmp_pickle_dict(Run *r, uint32_t *place);

/* Goes on with the innermost frame; '*over': that was all of it. */
bool lmp_pickle_step_indexed(Run *r, bool *over);
bool lmp_pickle_step_dict(Run *r, bool *over);

/* What lmp_pickle_items is to write. */
typedef struct Items {
  lua_Integer at; /* the index of the last one that is written already */
  lua_Integer size;
  bool appended;     /* APPEND follows each of them */
  bool holes_matter; /* nil is not written as None */
  int type;          /* of the next one, once it is on the top */
} Items;

/*
** [-0, +n, v] Writes the items of the table at 'table' that are to come while they
** are scalars; 'first' is the first free place on the stack. Where that is not all,
** 'items' tells of the next one, and 'n' is at least 1. Returns how many values are
** below that.
*/
int lmp_pickle_items(Run *r, int table, int first, Items *items);

/* ---- lpickle_kind.c ---- */

/*
** [-0, +0, -] Whether the table on the top has exactly the keys 1 to '*n', its raw
** length, as far as that can be told without a count: all keys are in the array
** part, and none is larger. False: it has to be counted, or is empty. 'address':
** its lua_topointer. Unless 'careful' there may be holes, which are noticed when
** it is written, which then begins again, 'careful'.
*/
bool lmp_pickle_is_array(const Run *r, const void *address, lua_Integer *n);

/*
** [-2, +0, -] The same of the table at 'table', below its first entry, which is on
** the top, by a count; 'n' is its raw length. Unless 'careful' it goes by the
** number of keys alone: again there may be holes.
*/
bool lmp_pickle_is_list(const Run *r, int table, lua_Integer n);

/* ---- lpickle_tagged.c ---- */

/* Begins what can be memoized only once it is whole; false: it is refused. */
bool lmp_pickle_unfinished(Run *r, uint32_t *place);

/* Memoizes what a call has made. False: its parts had it already, by way of a
   list; that one is taken, and is whole. */
bool lmp_pickle_end_call(Run *r, const Frame *f);

/* As lmp_pickle_save, for tables with these metatables. */
bool lmp_pickle_tuple(Run *r, uint32_t *place);
bool lmp_pickle_set(Run *r, uint32_t *place, Kind kind);

bool lmp_pickle_step_set(Run *r, bool *over);

/* Writes the opcode that makes it of its items, or what comes to that. */
void lmp_pickle_end_tuple(Run *r, const Frame *f);
void lmp_pickle_end_set(Run *r, const Frame *f);

/* ---- lpickle_object.c ---- */

/* As lmp_pickle_save, for an instance, a global, wrapped text or bytes, and
   for what has a __reduce (or is like any other table). */
bool lmp_pickle_object(Run *r, uint32_t *place);
bool lmp_pickle_global(Run *r, uint32_t *place);
bool lmp_pickle_wrapped(Run *r, uint32_t *place, lmp_ValueType type);
bool lmp_pickle_reduced(Run *r, uint32_t *place);

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

/*
** usual.c: the inner loop of loads: the opcodes of which most pickles consist.
**
** Each is run here only where nothing can go wrong: its argument is there, the
** stack holds what it takes, no array must grow and no limit is near. All else
** is left to the other files, which say what is at fault, and go on where
** nothing is.
*/
#include "pickle/build.h"

/* The state of a run while it is in the loop. */
typedef struct Loop {
  mproc_tree *t;
  size_t memory; /* the limit */
  const uint8_t *at;
  const uint8_t *end;
  mproc_value *stack;
  mproc_value *floor; /* what is below belongs to an outer mark */
  mproc_value *top;
  mproc_value *limit;
} Loop;

/* ---- limits ---- */

/* Whether the limit is so far that what is held and 'cost', and the room for one
   value and one mark more, are within it. */
static bool is_within(const Loop *l, size_t cost) {
  const mproc_tree *t = l->t;
  size_t held = ((size_t)(l->top - l->stack) + 1) * sizeof(mproc_value) +
                (t->marks.count + 1) * sizeof(size_t) +
                (t->memo.count + 1) * sizeof(mproc_slot);
  size_t left = l->memory - t->cost;
  return held <= left && cost <= left - held;
}

static inline bool affords(const Loop *l, size_t cost) {
  return l->memory == SIZE_MAX || is_within(l, cost);
}

static inline bool has_room(const mproc_array *a, size_t n) {
  return n <= a->capacity - a->count;
}

/* ---- values without parts, and the memo ---- */

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

/* The size of a short string, which is at 'at', after its opcode; SIZE_MAX: it is
   no such. */
static inline size_t short_size(const uint8_t *at, const uint8_t *end) {
  size_t size = at < end ? at[0] : SIZE_MAX;
  return size <= MPROC_TEXT_SHORT && size < (size_t)(end - at) ? size
                                                               : SIZE_MAX;
}

static inline mproc_value short_string(mproc_value_tag tag, const uint8_t *at,
                                       size_t size, uint32_t memo) {
  mproc_value v = mproc_build_simple(tag);
  v.size = (uint8_t)size;
  v.memo = memo;
  v.as.data = at;
  return v;
}

static inline bool is_text(const uint8_t *at, size_t size) {
  mproc_view s = {at, size};
  return mproc_utf8_is_short_ascii(s) || mproc_utf8_kind(s) == MPROC_UTF8_VALID;
}

/* Whether what is memoized next can have the next of the indices in a row. */
static inline bool can_memoize(const mproc_tree *t) {
  return t->memo.count == t->dense && t->memo.count < t->memo.capacity &&
         t->memo.count < UINT32_MAX - 1;
}

static inline void memoize(mproc_tree *t, mproc_value v) {
  mproc_slot *slot = (mproc_slot *)t->memo.data + t->memo.count;
  slot->value = v;
  slot->number = 0;
  slot->made = false;
  t->dense = ++t->memo.count;
}

/* Memoizes the value under 'top', where its index is the next. */
static inline bool put(mproc_tree *t, mproc_value *top, size_t index) {
  if (index != t->memo.count || !can_memoize(t))
    return false;
  mproc_build_fill((mproc_slot *)t->memo.data, index, top - 1);
  t->dense = ++t->memo.count;
  return true;
}

/*
** Pushes the text at 'at'. Most is memoized by the next opcode, at 'next', and
** is so at once, for a value is not read fast right after it was written.
** Returns what comes next.
*/
static inline const uint8_t *push_text(mproc_tree *t, mproc_value *top,
                                       const uint8_t *at, const uint8_t *next,
                                       const uint8_t *end) {
  size_t size = (size_t)(next - at);
  if (next < end && next[0] == MPROC_OP_MEMOIZE && can_memoize(t)) {
    mproc_value v =
        short_string(MPROC_VALUE_TEXT, at, size, (uint32_t)t->memo.count + 1);
    *top = v;
    memoize(t, v);
    return next + 1;
  }
  *top = short_string(MPROC_VALUE_TEXT, at, size, 0);
  return next;
}

/* Fetches a value whose index is one in a row. */
static inline bool get(mproc_tree *t, mproc_value *top, size_t index) {
  mproc_slot *slot;
  if (index >= t->dense)
    return false;
  slot = (mproc_slot *)t->memo.data + index;
  mproc_build_share(t, slot);
  *top = slot->value;
  return true;
}

/* Runs the opcodes of these for as long as they come. */
static void run_leaves(Loop *l) {
  mproc_tree *t = l->t;
  const uint8_t *at = l->at;
  const uint8_t *end = l->end;
  const mproc_value *floor = l->floor;
  const mproc_value *limit = l->limit;
  mproc_value *top = l->top;
  while (top < limit && at < end) {
    size_t size;
    switch ((mproc_pickle_opcode)at[0]) {
    case MPROC_OP_BINFLOAT:
      if (end - at < 9)
        break;
      do { /* they come in rows */
        *top++ = real(mproc_pickle_be_double(at + 1));
        at += 9;
      } while (end - at >= 9 && at[0] == MPROC_OP_BINFLOAT && top < limit);
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
      size = short_size(at + 1, end);
      if (size == SIZE_MAX || !is_text(at + 2, size))
        break;
      at = push_text(t, top++, at + 2, at + 2 + size, end);
      continue;
    case MPROC_OP_MEMOIZE:
      if (top == floor || !put(t, top, t->memo.count))
        break;
      at++;
      continue;
    case MPROC_OP_BINGET:
      if (end - at < 2 || !get(t, top, at[1]))
        break;
      top++;
      at += 2;
      continue;
    case MPROC_OP_LONG_BINGET:
      if (end - at < 5 || !get(t, top, mproc_pickle_le4(at + 1)))
        break;
      top++;
      at += 5;
      continue;
    default:
      break;
    }
    break;
  }
  l->at = at;
  l->top = top;
}

/* ---- containers ---- */

static inline mproc_value *floor_under(const Loop *l, size_t marks) {
  const size_t *heights = (const size_t *)l->t->marks.data;
  return l->stack + (marks == 0 ? 0 : heights[marks - 1]);
}

static bool mark(Loop *l) {
  mproc_array *marks = &l->t->marks;
  if (!has_room(marks, 1) || !affords(l, 0))
    return false;
  ((size_t *)marks->data)[marks->count++] = (size_t)(l->top - l->stack);
  l->floor = l->top;
  l->at++;
  return true;
}

/* Pushes a node, and memoizes it if that comes next, as push_text does. */
static inline void push_node(Loop *l, uint32_t node) {
  mproc_value v = mproc_build_simple(MPROC_VALUE_NODE);
  v.as.node = node;
  *l->top++ = v;
  l->at++;
  if (l->at < l->end && l->at[0] == MPROC_OP_MEMOIZE && can_memoize(l->t)) {
    memoize(l->t, v);
    l->at++;
  }
}

/* Pushes a node of the topmost 'n' values; there is room for all of it. */
static inline void make_node(Loop *l, mproc_node_kind kind, size_t n) {
  mproc_tree *t = l->t;
  uint32_t place = (uint32_t)t->nodes.count++;
  mproc_node *node = mproc_tree_node(t, place);
  memset(node, 0, sizeof *node);
  node->kind = (uint8_t)kind;
  t->cost += MPROC_NODE_COST;
  if (n > 0) {
    l->top -= n;
    t->cost += n * MPROC_ENTRY_COST;
    mproc_build_take(t, &node->as.items, l->top, n);
  }
  push_node(l, place);
}

static bool enclose(Loop *l, mproc_node_kind kind, size_t n) {
  const mproc_tree *t = l->t;
  if ((size_t)(l->top - l->floor) < n || !has_room(&t->nodes, 1) ||
      t->nodes.count >= UINT32_MAX || !has_room(&t->values, n) ||
      t->pieces.count >= UINT32_MAX - 1 ||
      !affords(l, MPROC_NODE_COST + n * MPROC_ENTRY_COST))
    return false;
  make_node(l, kind, n);
  return true;
}

static bool enclose_marked(Loop *l, mproc_node_kind kind) {
  size_t marks = l->t->marks.count;
  if (marks == 0 || !enclose(l, kind, (size_t)(l->top - l->floor)))
    return false;
  l->t->marks.count = marks - 1;
  l->floor = floor_under(l, marks - 1);
  return true;
}

/* Adds the values from 'from' to the top to the container below them, which must
   not be below 'floor'. */
static bool add(Loop *l, mproc_node_kind kind, mproc_value *from,
                const mproc_value *floor) {
  mproc_tree *t = l->t;
  size_t n = (size_t)(l->top - from);
  mproc_node *node;
  if (from - floor < 1 || from[-1].tag != MPROC_VALUE_NODE ||
      (kind == MPROC_NODE_DICT && n % 2 != 0))
    return false;
  node = mproc_tree_node(t, from[-1].as.node);
  if (node->kind != kind || !has_room(&t->values, n) ||
      (node->as.items.count > 0 && !has_room(&t->pieces, 1)) ||
      t->pieces.count >= UINT32_MAX - 1 || !affords(l, n * MPROC_ENTRY_COST))
    return false;
  if (n > 0) {
    t->cost += n * MPROC_ENTRY_COST;
    mproc_build_take(t, &node->as.items, from, n);
  }
  l->top = from;
  l->at++;
  return true;
}

static bool add_marked(Loop *l, mproc_node_kind kind) {
  size_t marks = l->t->marks.count;
  mproc_value *floor;
  if (marks == 0)
    return false;
  floor = floor_under(l, marks - 1);
  if (!add(l, kind, l->floor, floor))
    return false;
  l->t->marks.count = marks - 1;
  l->floor = floor;
  return true;
}

static bool add_topmost(Loop *l, mproc_node_kind kind, size_t n) {
  return (size_t)(l->top - l->floor) >= n && add(l, kind, l->top - n, l->floor);
}

/* ---- the stream ---- */

static bool proto(Loop *l) {
  if (l->end - l->at < 2 || l->at[1] > MPROC_PICKLE_PROTOCOL_MAX ||
      !affords(l, 0))
    return false;
  l->t->protocol = l->at[1];
  l->at += 2;
  return true;
}

static bool frame(Loop *l) {
  if (l->end - l->at < 9 || !affords(l, 0) ||
      mproc_pickle_le8(l->at + 1) > (uint64_t)(l->end - l->at - 9))
    return false;
  l->at += 9;
  return true;
}

static bool short_bytes(Loop *l) {
  size_t size = short_size(l->at + 1, l->end);
  if (size == SIZE_MAX || !affords(l, 0))
    return false;
  *l->top++ = short_string(MPROC_VALUE_BYTES, l->at + 2, size, 0);
  l->at += 2 + size;
  return true;
}

/* Older protocols' MEMOIZE; the opcode and its index are 'size' bytes. */
static bool numbered_put(Loop *l, size_t size) {
  size_t index;
  if ((size_t)(l->end - l->at) < size || l->top == l->floor || !affords(l, 0))
    return false;
  index = size == 2 ? l->at[1] : mproc_pickle_le4(l->at + 1);
  if (!put(l->t, l->top, index))
    return false;
  l->at += size;
  return true;
}

/* Runs any other opcode; there is room for one value more. False: it is left. */
static bool step(Loop *l) {
  switch ((mproc_pickle_opcode)l->at[0]) {
  case MPROC_OP_MARK:
    return mark(l);
  case MPROC_OP_EMPTY_LIST:
    return enclose(l, MPROC_NODE_LIST, 0);
  case MPROC_OP_EMPTY_DICT:
    return enclose(l, MPROC_NODE_DICT, 0);
  case MPROC_OP_EMPTY_TUPLE:
    return enclose(l, MPROC_NODE_TUPLE, 0);
  case MPROC_OP_TUPLE1:
    return enclose(l, MPROC_NODE_TUPLE, 1);
  case MPROC_OP_TUPLE2:
    return enclose(l, MPROC_NODE_TUPLE, 2);
  case MPROC_OP_TUPLE3:
    return enclose(l, MPROC_NODE_TUPLE, 3);
  case MPROC_OP_TUPLE:
    return enclose_marked(l, MPROC_NODE_TUPLE);
  case MPROC_OP_APPEND:
    return add_topmost(l, MPROC_NODE_LIST, 1);
  case MPROC_OP_APPENDS:
    return add_marked(l, MPROC_NODE_LIST);
  case MPROC_OP_SETITEM:
    return add_topmost(l, MPROC_NODE_DICT, 2);
  case MPROC_OP_SETITEMS:
    return add_marked(l, MPROC_NODE_DICT);
  case MPROC_OP_SHORT_BINBYTES:
    return short_bytes(l);
  case MPROC_OP_BINPUT:
    return numbered_put(l, 2);
  case MPROC_OP_LONG_BINPUT:
    return numbered_put(l, 5);
  case MPROC_OP_PROTO:
    return proto(l);
  case MPROC_OP_FRAME:
    return frame(l);
  default:
    return false;
  }
}

void mproc_build_usual(mproc_build *b, mproc_pickle_reader *r) {
  mproc_tree *t = b->t;
  Loop l;
  if (t->stack.capacity == 0)
    return;
  l.t = t;
  l.memory = b->limits->memory;
  l.at = r->at;
  l.end = r->end;
  l.stack = (mproc_value *)t->stack.data;
  l.floor = l.stack + mproc_build_floor(b);
  l.top = l.stack + t->stack.count;
  l.limit = l.stack + t->stack.capacity;
  do {
    run_leaves(&l);
  } while (l.top < l.limit && l.at < l.end && step(&l));
  r->at = l.at;
  t->stack.count = (size_t)(l.top - l.stack);
}

/*
** reduce.c: globals, instances and persistent ids; and what old protocols
** construct by a call, but newer ones have an opcode for.
*/
#include "pickle/build.h"

#define OBJECT_COST 128 /* of a Lua value for it, beside its parts */
#define NAME_LONG 1000  /* bytes, more than the names of any class have */

/* ---- names and instances ---- */

static mproc_status push_global(mproc_build *b, mproc_view module,
                                mproc_view name) {
  mproc_node *n;
  mproc_status st = MPROC_OK;
  if (module.size == 0 || name.size == 0)
    return mproc_build_fault(b, "a global's name is empty");
  if (module.size + name.size > 2 * MPROC_TEXT_SHORT)
    st = mproc_build_repeat(b, module.size + name.size);
  if (st == MPROC_OK)
    st = mproc_build_push_node(b, MPROC_NODE_GLOBAL);
  if (st != MPROC_OK)
    return st;
  n = mproc_build_as(b, mproc_build_top(b, 0), MPROC_NODE_GLOBAL);
  n->as.global.module = module;
  n->as.global.name = name;
  return MPROC_OK;
}

static mproc_status do_global(mproc_build *b) {
  if (mproc_utf8_kind(b->op.bytes) != MPROC_UTF8_VALID ||
      mproc_utf8_kind(b->op.second) != MPROC_UTF8_VALID)
    return mproc_build_fault(b, "a name is not valid UTF-8");
  return push_global(b, b->op.bytes, b->op.second);
}

static mproc_status do_stack_global(mproc_build *b) {
  mproc_view module = {NULL, 0};
  mproc_view name = {NULL, 0};
  if (!mproc_build_has(b, 2))
    return mproc_build_underflow(b);
  if (!mproc_build_view(b, mproc_build_top(b, 1), true, &module) ||
      !mproc_build_view(b, mproc_build_top(b, 0), true, &name))
    return mproc_build_fault(b, "a global's name is not a string");
  mproc_build_drop(b, 2);
  return push_global(b, module, name);
}

/* Each instance's class may be looked up by its name. */
static mproc_status charge_name(mproc_build *b, const mproc_value *callable) {
  const mproc_node *n = mproc_build_as(b, callable, MPROC_NODE_GLOBAL);
  size_t size =
      n == NULL ? 0 : n->as.global.module.size + n->as.global.name.size;
  return size > NAME_LONG ? mproc_build_repeat(b, size) : MPROC_OK;
}

static mproc_status push_object(mproc_build *b, mproc_how how,
                                mproc_value callable, mproc_value args,
                                mproc_value kwargs) {
  mproc_array *objects = &b->t->objects;
  mproc_object *o;
  mproc_status st = charge_name(b, &callable);
  if (st == MPROC_OK)
    st = mproc_build_charge(b, OBJECT_COST);
  if (st == MPROC_OK)
    st = mproc_tree_reserve(b->t, objects, 1, sizeof *o);
  if (st == MPROC_OK)
    st = mproc_build_push_node(b, MPROC_NODE_OBJECT);
  if (st != MPROC_OK)
    return st;
  mproc_build_as(b, mproc_build_top(b, 0), MPROC_NODE_OBJECT)->as.object =
      (uint32_t)objects->count;
  o = (mproc_object *)objects->data + objects->count++;
  memset(o, 0, sizeof *o);
  o->node = mproc_build_top(b, 0)->as.node;
  o->how = (uint8_t)how;
  o->callable = callable;
  o->args = args;
  o->kwargs = kwargs;
  return MPROC_OK;
}

/* ---- what old protocols construct by a call, and newer ones by an opcode ---- */

static bool is(mproc_view v, const char *text) {
  return v.size == strlen(text) && memcmp(v.data, text, v.size) == 0;
}

/* Names are Python 2's below protocol 3. */
static bool is_builtin(const mproc_build *b, mproc_view module) {
  return is(module, "builtins") ||
         (b->t->protocol < 3 && is(module, "__builtin__"));
}

static bool is_latin1(const mproc_build *b, const mproc_value *v) {
  mproc_view name;
  return mproc_build_view(b, v, true, &name) &&
         (is(name, "latin1") || is(name, "latin-1"));
}

/* Pushes the bytes whose Latin-1 is 'text'; fault where it has more than that. */
static mproc_status push_latin1(mproc_build *b, mproc_view text) {
  uint8_t *out = NULL;
  mproc_view v = {NULL, 0};
  mproc_status st = mproc_build_own_text(b, text.size, &out);
  size_t n = 0;
  for (size_t i = 0; st == MPROC_OK && i < text.size; i++) {
    uint8_t byte = text.data[i];
    if (byte >= 0x80) { /* U+0080 to U+00FF are C2 or C3, and one more */
      if (byte > 0xc3)
        st = mproc_build_fault(b, "text is not Latin-1");
      else
        byte = (uint8_t)(byte << 6 | (text.data[++i] & 0x3f));
    }
    if (st == MPROC_OK)
      out[n++] = byte;
  }
  v.data = out;
  v.size = n;
  return st == MPROC_OK ? mproc_build_push_bytes(b, v) : st;
}

/* Whether (args) is (text, "latin1"): the text. */
static bool is_encoded(const mproc_build *b, const mproc_items *args,
                       mproc_view *text) {
  const mproc_value *v = (const mproc_value *)b->t->values.data;
  return args->count == 2 && mproc_build_view(b, &v[args->start], true, text) &&
         is_latin1(b, &v[args->start + 1]);
}

/* bytes() and _codecs.encode(text, "latin1"), of protocols 0 to 2. */
static mproc_status call_bytes(mproc_build *b, const mproc_items *args,
                               bool *done) {
  mproc_view v = {NULL, 0};
  *done = true;
  if (args->count == 0)
    return mproc_build_push_bytes(b, v);
  if (is_encoded(b, args, &v))
    return push_latin1(b, v);
  *done = false;
  return MPROC_OK;
}

/* bytearray(bytes), and the same of protocols 0 to 2. */
static mproc_status call_bytearray(mproc_build *b, const mproc_items *args,
                                   bool *done) {
  const mproc_value *values = (const mproc_value *)b->t->values.data;
  mproc_view v = {NULL, 0};
  mproc_status st = MPROC_OK;
  *done = true;
  if (is_encoded(b, args, &v)) {
    st = push_latin1(b, v);
    if (st != MPROC_OK)
      return st;
    mproc_build_view(b, mproc_build_top(b, 0), false, &v);
    mproc_build_drop(b, 1);
  } else if (args->count == 1 &&
             mproc_build_view(b, &values[args->start], false, &v)) {
    /* as it is */
  } else if (args->count > 0) {
    *done = false;
    return MPROC_OK;
  }
  return mproc_build_push_bytes_node(b, MPROC_NODE_BYTEARRAY, v);
}

/*
** Whether an object is set([...]) or frozenset([...]), as protocols 0 to 3 have
** it, of a list that nothing else has: '*items' are what is in it then. Only
** when all opcodes have run is it known that nothing else has it.
*/
static bool is_set_call(const mproc_build *b, const mproc_object *o,
                        mproc_items *items) {
  const mproc_value *values = (const mproc_value *)b->t->values.data;
  const mproc_node *tuple = mproc_build_as(b, &o->args, MPROC_NODE_TUPLE);
  const mproc_node *list;
  memset(items, 0, sizeof *items);
  if (tuple->shared || tuple->as.items.count > 1 || o->has_state ||
      o->items.count > 0 || o->pairs.count > 0)
    return false;
  if (tuple->as.items.count == 0)
    return true;
  list = mproc_build_as(b, &values[tuple->as.items.start], MPROC_NODE_LIST);
  if (list == NULL || list->shared)
    return false;
  *items = list->as.items;
  return true;
}

void mproc_build_settle(mproc_build *b) {
  mproc_object *objects = (mproc_object *)b->t->objects.data;
  for (size_t i = 0; i < b->t->objects.count; i++) {
    const mproc_object *o = &objects[i];
    const mproc_node *global =
        mproc_build_as(b, &o->callable, MPROC_NODE_GLOBAL);
    mproc_node *n = mproc_tree_node(b->t, o->node);
    mproc_items items;
    bool frozen;
    if (global == NULL || o->how != MPROC_HOW_CALL ||
        !is_builtin(b, global->as.global.module))
      continue;
    frozen = is(global->as.global.name, "frozenset");
    if ((frozen || is(global->as.global.name, "set")) &&
        is_set_call(b, o, &items)) {
      n->kind = frozen ? MPROC_NODE_FROZENSET : MPROC_NODE_SET;
      n->as.items = items;
    }
  }
}

/* Pushes the value of a call that newer protocols have an opcode for. */
static mproc_status call_known(mproc_build *b, const mproc_node *callable,
                               const mproc_items *args, bool *done) {
  mproc_view module = callable->as.global.module;
  mproc_view name = callable->as.global.name;
  *done = false;
  if (is(module, "_codecs") && is(name, "encode") && args->count > 0)
    return call_bytes(b, args, done);
  if (!is_builtin(b, module))
    return MPROC_OK;
  if (is(name, "bytes") && args->count == 0)
    return call_bytes(b, args, done);
  if (is(name, "bytearray"))
    return call_bytearray(b, args, done);
  return MPROC_OK;
}

/* Stack: callable, arguments. */
static mproc_status do_construct(mproc_build *b, mproc_how how) {
  mproc_value callable;
  mproc_value args;
  const mproc_node *global;
  const mproc_node *tuple;
  bool done = false;
  if (!mproc_build_has(b, 2))
    return mproc_build_underflow(b);
  callable = *mproc_build_top(b, 1);
  args = *mproc_build_top(b, 0);
  global = mproc_build_as(b, &callable, MPROC_NODE_GLOBAL);
  tuple = mproc_build_as(b, &args, MPROC_NODE_TUPLE);
  if (tuple == NULL)
    return mproc_build_fault(b, "arguments are not a tuple");
  mproc_build_drop(b, 2);
  if (how == MPROC_HOW_CALL && global != NULL) {
    mproc_items items = tuple->as.items; /* nodes may move */
    mproc_status st = call_known(b, global, &items, &done);
    if (st != MPROC_OK || done)
      return st;
  }
  return push_object(b, how, callable, args,
                     mproc_build_simple(MPROC_VALUE_NONE));
}

/* Stack: class, arguments, keyword arguments. */
static mproc_status do_newobj_ex(mproc_build *b) {
  mproc_value v[3];
  if (!mproc_build_has(b, 3))
    return mproc_build_underflow(b);
  for (size_t i = 0; i < 3; i++)
    v[i] = *mproc_build_top(b, 2 - i);
  if (mproc_build_as(b, &v[1], MPROC_NODE_TUPLE) == NULL ||
      mproc_build_as(b, &v[2], MPROC_NODE_DICT) == NULL)
    return mproc_build_fault(b, "arguments are not a tuple and a dict");
  mproc_build_drop(b, 3);
  return push_object(b, MPROC_HOW_NEW_EX, v[0], v[1], v[2]);
}

/* An old-style instance: the class is on the stack, over 'n' arguments. */
static mproc_status instantiate(mproc_build *b, size_t n) {
  mproc_value class_ = *mproc_build_top(b, 0);
  mproc_value args;
  mproc_status st;
  mproc_build_drop(b, 1);
  st = mproc_build_enclose(b, MPROC_NODE_TUPLE, n);
  if (st != MPROC_OK)
    return st;
  args = *mproc_build_top(b, 0);
  mproc_build_drop(b, 1);
  return push_object(b, MPROC_HOW_INST, class_, args,
                     mproc_build_simple(MPROC_VALUE_NONE));
}

/* Stack: mark, arguments. */
static mproc_status do_inst(mproc_build *b) {
  size_t n = 0;
  mproc_status st = mproc_build_pop_mark(b, &n);
  if (st == MPROC_OK)
    st = do_global(b);
  return st == MPROC_OK ? instantiate(b, n) : st;
}

/* Stack: mark, class, arguments. */
static mproc_status do_obj(mproc_build *b) {
  size_t n = 0;
  mproc_value class_;
  mproc_status st = mproc_build_pop_mark(b, &n);
  if (st != MPROC_OK)
    return st;
  if (n == 0)
    return mproc_build_underflow(b);
  class_ = *mproc_build_top(b, n - 1);
  memmove(mproc_build_top(b, n - 1), mproc_build_top(b, n - 1) + 1,
          (n - 1) * sizeof class_);
  *mproc_build_top(b, 0) = class_;
  return instantiate(b, n - 1);
}

/* Stack: instance, state. */
static mproc_status do_build(mproc_build *b) {
  mproc_node *n;
  mproc_object *o;
  if (!mproc_build_has(b, 2))
    return mproc_build_underflow(b);
  n = mproc_build_as(b, mproc_build_top(b, 1), MPROC_NODE_OBJECT);
  if (n == NULL)
    return mproc_build_fault(b, "state for what is no instance");
  /* Python's own pickler writes the state again after the arguments, where
     these hold the instance; the last one counts */
  o = mproc_tree_object(b->t, n);
  o->has_state = true;
  o->state = *mproc_build_top(b, 0);
  mproc_build_drop(b, 1);
  return MPROC_OK;
}

/* Stack: the id. */
static mproc_status do_persistent(mproc_build *b) {
  return mproc_build_enclose(b, MPROC_NODE_PERSISTENT, 1);
}

static mproc_status do_persid(mproc_build *b) {
  mproc_status st =
      mproc_utf8_kind(b->op.bytes) == MPROC_UTF8_VALID
          ? mproc_build_push_text(b, b->op.bytes)
          : mproc_build_fault(b, "a persistent id is not valid UTF-8");
  return st == MPROC_OK ? do_persistent(b) : st;
}

/* ---- the opcodes ---- */

bool mproc_build_instance(mproc_build *b, mproc_status *st) {
  switch ((mproc_pickle_opcode)b->op.code) {
  case MPROC_OP_GLOBAL:
    *st = do_global(b);
    break;
  case MPROC_OP_STACK_GLOBAL:
    *st = do_stack_global(b);
    break;
  case MPROC_OP_REDUCE:
    *st = do_construct(b, MPROC_HOW_CALL);
    break;
  case MPROC_OP_NEWOBJ:
    *st = do_construct(b, MPROC_HOW_NEW);
    break;
  case MPROC_OP_NEWOBJ_EX:
    *st = do_newobj_ex(b);
    break;
  case MPROC_OP_INST:
    *st = do_inst(b);
    break;
  case MPROC_OP_OBJ:
    *st = do_obj(b);
    break;
  case MPROC_OP_BUILD:
    *st = do_build(b);
    break;
  case MPROC_OP_PERSID:
    *st = do_persid(b);
    break;
  case MPROC_OP_BINPERSID:
    *st = do_persistent(b);
    break;
  default:
    return false;
  }
  return true;
}

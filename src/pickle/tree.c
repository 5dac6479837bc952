/*
** tree.c: the memory of a tree, and the ways to its parts.
*/
#include "pickle/tree.h"

#include <string.h>

#include "pickle/build.h"

/* ---- growable arrays ---- */

mproc_status mproc_tree_reserve(mproc_tree *t, mproc_array *a, size_t n,
                                size_t size) {
  size_t capacity = a->capacity == 0 ? 16 : a->capacity;
  void *data;
  if (n <= a->capacity - a->count)
    return MPROC_OK;
  while (capacity - a->count < n) {
    if (capacity > SIZE_MAX / 4 / size)
      return MPROC_NOMEM;
    capacity *= 2;
  }
  data = t->allocator->resize(t->allocator->ud, a->data, a->capacity * size,
                              capacity * size);
  if (data == NULL)
    return MPROC_NOMEM;
  t->held += (capacity - a->capacity) * size;
  a->data = data;
  a->capacity = capacity;
  return MPROC_OK;
}

static void array_free(mproc_tree *t, mproc_array *a, size_t size) {
  mproc_free(t->allocator, a->data, a->capacity * size);
  t->held -= a->capacity * size;
  memset(a, 0, sizeof *a);
}

/* ---- the tree as its readers see it ---- */

const mproc_value *mproc_tree_piece(const mproc_tree *t,
                                    const mproc_items *items, uint32_t *at,
                                    size_t *count) {
  const mproc_value *values = (const mproc_value *)t->values.data;
  const mproc_piece *piece;
  if (*at == UINT32_MAX || items->count == 0)
    return NULL;
  if (*at == 0) {
    *count = items->size;
    *at = items->more == 0 ? UINT32_MAX : items->more;
    return values + items->start;
  }
  piece = (const mproc_piece *)t->pieces.data + (*at - 1);
  *count = piece->size;
  *at = piece->more == 0 ? UINT32_MAX : piece->more;
  return values + piece->start;
}

void mproc_tree_init(mproc_tree *t, const mproc_allocator *a) {
  memset(t, 0, sizeof *t);
  t->allocator = a;
  t->places.seed = MPROC_MEMO_SEED;
}

static void free_texts(mproc_tree *t) {
  for (size_t i = 0; i < t->texts.count; i++) {
    uint8_t *block = ((uint8_t **)t->texts.data)[i];
    size_t whole;
    memcpy(&whole, block, sizeof whole);
    mproc_free(t->allocator, block, whole);
  }
  t->texts.count = 0;
}

/* Frees each of the arrays that has more than its share of 'keep'. */
static void shrink(mproc_tree *t, size_t keep) {
  const struct {
    mproc_array *array;
    size_t size;
  } all[] = {
      {&t->nodes, sizeof(mproc_node)},   {&t->values, sizeof(mproc_value)},
      {&t->pieces, sizeof(mproc_piece)}, {&t->objects, sizeof(mproc_object)},
      {&t->stack, sizeof(mproc_value)},  {&t->marks, sizeof(size_t)},
      {&t->memo, sizeof(mproc_slot)},    {&t->texts, sizeof(uint8_t *)}};
  keep /= 4; /* the large ones: nodes, values, stack, memo */
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    if (all[i].array->capacity * all[i].size > keep)
      array_free(t, all[i].array, all[i].size);
  }
}

void mproc_tree_clear(mproc_tree *t, size_t keep) {
  if (t->texts.count > 0)
    free_texts(t);
  if (t->held > keep)
    shrink(t, keep);
  t->nodes.count = t->values.count = t->pieces.count = 0;
  t->objects.count = t->stack.count = t->marks.count = t->memo.count = 0;
  if (t->places.capacity > keep / 4 / sizeof(mproc_memo_slot))
    mproc_memo_free(&t->places, t->allocator);
  else if (t->places.count > 0)
    mproc_memo_clear(&t->places);
  t->dense = 0;
  t->fetched = 0;
  t->cost = 0;
  t->protocol = 0;
  t->problem = NULL;
}

void mproc_tree_free(mproc_tree *t) {
  mproc_tree_clear(t, 0);
}

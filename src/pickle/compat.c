/*
** compat.c: Python 2's names of globals, and Python 3's.
*/
#include "pickle/compat.h"

#include <string.h>

#include "pickle/compat_names.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static mproc_view view_of(const char *text) {
  mproc_view v;
  v.data = (const uint8_t *)text;
  v.size = strlen(text);
  return v;
}

/* As strcmp, but that 'v' may have zeros in it. */
static int compare(mproc_view v, const char *text) {
  size_t size = strlen(text);
  size_t common = v.size < size ? v.size : size;
  int order = common > 0 ? memcmp(v.data, text, common) : 0;
  if (order != 0 || v.size == size)
    return order;
  return v.size < size ? -1 : 1;
}

/* Which of the 'n' entries, sorted, has these names; NULL: none. */
static const mproc_compat_entry *find(const mproc_compat_entry *entries,
                                      size_t n, mproc_view module,
                                      mproc_view name) {
  while (n > 0) {
    const mproc_compat_entry *middle = entries + n / 2;
    int order = compare(module, middle->module);
    if (order == 0)
      order = compare(name, middle->name);
    if (order == 0)
      return middle;
    if (order > 0) {
      entries = middle + 1;
      n--;
    }
    n /= 2;
  }
  return NULL;
}

static void translate(const mproc_compat_entry *entries, size_t n,
                      mproc_view *module, mproc_view *name) {
  const mproc_compat_entry *entry = find(entries, n, *module, *name);
  if (entry == NULL)
    entry = find(entries, n, *module, view_of(""));
  if (entry == NULL)
    return;
  *module = view_of(entry->to_module);
  if (entry->to_name[0] != '\0')
    *name = view_of(entry->to_name);
}

void mproc_compat_2to3(mproc_view *module, mproc_view *name) {
  translate(names_2to3, COUNT(names_2to3), module, name);
}

void mproc_compat_3to2(mproc_view *module, mproc_view *name) {
  translate(names_3to2, COUNT(names_3to2), module, name);
}

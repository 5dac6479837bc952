/*
** compat_test.c: Python 2's names and Python 3's: every entry of both tables, all
** that is nearly one, and what CPython says of some.
*/
#include "guard.h"
#include "test.h"

#include "pickle/compat.h"
#include "pickle/compat_names.h"

typedef void (*translator)(mproc_view *module, mproc_view *name);

typedef struct direction {
  translator translate;
  const mproc_compat_entry *entries;
  size_t count;
} direction;

static const direction directions[] = {
    {mproc_compat_2to3, names_2to3, sizeof names_2to3 / sizeof *names_2to3},
    {mproc_compat_3to2, names_3to2, sizeof names_3to2 / sizeof *names_3to2},
};

static guard module_area, name_area;

static int same(mproc_view a, const char *b) {
  return a.size == strlen(b) && (a.size == 0 || memcmp(a.data, b, a.size) == 0);
}

/* The slow way: from entry to entry. */
static const mproc_compat_entry *look(const direction *d, mproc_view module,
                                      mproc_view name) {
  size_t i;
  for (i = 0; i < d->count; i++)
    if (same(module, d->entries[i].module) && same(name, d->entries[i].name))
      return &d->entries[i];
  return NULL;
}

static void check(const direction *d, mproc_view module, mproc_view name) {
  mproc_view got_module = guard_place(&module_area, module);
  mproc_view got_name = guard_place(&name_area, name);
  const mproc_compat_entry *e = look(d, module, name);
  if (e == NULL)
    e = look(d, module, test_text(""));
  d->translate(&got_module, &got_name);
  CHECK_BYTES(got_module, e != NULL ? test_text(e->to_module) : module);
  CHECK_BYTES(got_name, e != NULL && e->to_name[0] != '\0'
                            ? test_text(e->to_name)
                            : name);
}

/* Text that is like 'text', in room of 32 bytes: how many ways there are. */
#define WAYS 8

static mproc_view alike(const char *text, int way, char *room) {
  size_t size = strlen(text);
  memset(room, 0, 32); /* one zero more: way 1 */
  memcpy(room, text, size);
  switch (way) {
  case 0:
    return test_view(room, size);
  case 1:
    return test_view(room, size + 1);
  case 2:
    return test_view(room, size > 0 ? size - 1 : 0);
  case 3:
    room[size] = 'x';
    return test_view(room, size + 1);
  case 4:
    room[0]++;
    return test_view(room, size);
  case 5:
    room[0]--;
    return test_view(room, size);
  case 6:
    room[size > 0 ? size - 1 : 0] = '\xff';
    return test_view(room, size);
  default:
    return test_view(NULL, 0);
  }
}

static void every_entry(void) {
  size_t i, j;
  for (i = 0; i < 2; i++)
    for (j = 0; j < directions[i].count; j++) {
      const mproc_compat_entry *e = &directions[i].entries[j];
      mproc_view module = test_text(e->module), name = test_text(e->name);
      CHECK(look(&directions[i], module, name) == e); /* there is one of each */
      directions[i].translate(&module, &name);
      CHECK_BYTES(module, test_text(e->to_module));
      CHECK_BYTES(name, test_text(e->to_name));
    }
}

/* Cut, longer, before and after, with a zero: of the module, the name, both. */
static void all_alike(void) {
  char module[32], name[32];
  size_t i, j;
  int way;
  for (i = 0; i < 2; i++)
    for (j = 0; j < directions[i].count; j++)
      for (way = 0; way < WAYS * WAYS; way++) {
        const mproc_compat_entry *e = &directions[i].entries[j];
        check(&directions[i], alike(e->module, way / WAYS, module),
              alike(e->name, way % WAYS, name));
      }
}

/* Each module with each name. */
static void all_pairs(void) {
  size_t i, j, k;
  for (i = 0; i < 2; i++)
    for (j = 0; j < directions[i].count; j++)
      for (k = 0; k < directions[i].count; k++)
        check(&directions[i], test_text(directions[i].entries[j].module),
              test_text(directions[i].entries[k].name));
}

static void check_text(translator translate, const char *module,
                       const char *name, const char *to_module,
                       const char *to_name) {
  mproc_view got_module = test_text(module), got_name = test_text(name);
  translate(&got_module, &got_name);
  CHECK_BYTES(got_module, test_text(to_module));
  CHECK_BYTES(got_name, test_text(to_name));
}

/* From CPython 3.13's Lib/_compat_pickle.py. */
static void known_names(void) {
  static const translator to3 = mproc_compat_2to3, to2 = mproc_compat_3to2;
  check_text(to3, "__builtin__", "unicode", "builtins", "str");
  check_text(to3, "__builtin__", "set", "builtins", "set");
  check_text(to3, "itertools", "izip", "builtins", "zip");
  check_text(to3, "itertools", "count", "itertools", "count");
  check_text(to3, "urllib2", "HTTPError", "urllib.error", "HTTPError");
  check_text(to3, "urllib2", "Request", "urllib.request", "Request");
  check_text(to3, "builtins", "unicode", "builtins", "unicode");
  check_text(to2, "builtins", "str", "__builtin__", "unicode");
  check_text(to2, "builtins", "set", "__builtin__", "set");
  check_text(to2, "builtins", "FileNotFoundError", "exceptions", "OSError");
  check_text(to2, "collections", "OrderedDict", "collections", "OrderedDict");
  check_text(to2, "collections.abc", "Set", "_abcoll", "Set");
  check_text(to2, "__main__", "str", "__main__", "str");
  check_text(to2, "", "", "", "");
}

/* Before the first entries, and after the last ones. */
static void outside(void) {
  size_t i;
  for (i = 0; i < 2; i++) {
    check(&directions[i], test_view(NULL, 0), test_view(NULL, 0));
    check(&directions[i], TEST_LITERAL("\0"), test_text("x"));
    check(&directions[i], test_text("!"), test_text("str"));
    check(&directions[i], test_text("~"), test_text("str"));
    check(&directions[i], test_text("\xff\xff"), test_text("\xff"));
  }
}

int main(void) {
  module_area = guard_new(64);
  name_area = guard_new(64);
  TEST(every_entry);
  TEST(all_alike);
  TEST(all_pairs);
  TEST(known_names);
  TEST(outside);
  guard_free(&module_area);
  guard_free(&name_area);
  return test_end("compat_test");
}

/*
** guard.h: places bytes so that they end exactly where an unmapped page
** begins: reading one byte too many is a crash, without any sanitizer.
** Include it first: it asks for more than C11 of the system's headers.
*/
#ifndef MPROC_GUARD_H
#define MPROC_GUARD_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#ifndef _DARWIN_C_SOURCE
#define _DARWIN_C_SOURCE
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/bytes.h"

typedef struct guard {
  uint8_t *base;
  size_t size; /* of what can be read and written */
  size_t page;
} guard;

/* A guarded area of at least 'size' bytes. */
static inline guard guard_new(size_t size) {
  guard g;
  void *base;
  g.page = (size_t)sysconf(_SC_PAGESIZE);
  g.size = (size + g.page - 1) / g.page * g.page;
  base = mmap(NULL, g.size + g.page, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g.base = (uint8_t *)base;
  if (base == MAP_FAILED || mprotect(g.base + g.size, g.page, PROT_NONE) != 0) {
    perror("guard_new");
    abort();
  }
  return g;
}

static inline void guard_free(guard *g) {
  munmap(g->base, g->size + g->page);
}

/* Copies 'v' to the end of the area, in the place of what was there. */
static inline mproc_view guard_place(const guard *g, mproc_view v) {
  mproc_view placed;
  if (v.size > g->size)
    abort();
  placed.size = v.size;
  placed.data = g->base + (g->size - v.size);
  if (v.size > 0)
    memcpy(g->base + (g->size - v.size), v.data, v.size);
  return placed;
}

#endif

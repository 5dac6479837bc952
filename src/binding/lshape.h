/*
** lshape.h: what a table's struct says at once, and Lua's API slowly or not at
** all: that there is nothing in its hash part, and what its metatable is.
**
** dumps must know that a table has the keys 1 to n and no other before it writes
** it as a list. By the API that takes a walk with lua_next, 8 ns an entry: half of
** what a list of numbers costs. Of a table without a hash part all keys are in the
** array part, which lua_next takes in their order; then one call, from n on, tells
** that none is larger. A metatable takes three calls.
**
** What is read is 'lastfree' and 'metatable' of struct Table (lobject.h). The one
** is NULL exactly while 'node' is the dummy node that all tables without a hash
** part share (ltable.c: setnodevector, isdummy). Three things protect that: it is
** compiled for Lua 5.4 only; what tables of this very Lua look like is compared
** with what they must, once in each state; and where that differs, or with
** -DMPROC_LUA_API_ONLY, or with MULTIPROCESSING_FORCE=slow, only the API is used
** and tables are counted.
*/
#ifndef LMP_LSHAPE_H
#define LMP_LSHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <lua.h>

/* Lua 5.4's struct Table. Its pointers are to what does not concern us. */
typedef struct lmp_Shape {
  void *next;           /* CommonHeader, as far as 'marked' */
  unsigned char type;   /* LUA_TTABLE */
  unsigned char marked; /* the collector's */
  unsigned char flags;
  unsigned char lsizenode; /* logarithm of the hash part's size */
  unsigned int alimit;     /* of a new array part, its size */
  void *array;
  char *node;     /* the hash part, or the dummy node */
  char *lastfree; /* in it or at its end; NULL: it is the dummy node */
  void *metatable;
  void *gclist;
} lmp_Shape;

/*
** [-0, +0, m] Whether the tables of this Lua are laid out like that: if not,
** nothing of what follows may be called.
*/
bool lmp_knowsshape(lua_State *L);

/* A pointer that the table, by its lua_topointer, has 'at' so many bytes. */
static inline const void *lmp_shapefield(const void *table, size_t at) {
  const void *pointer;
  memcpy(&pointer, (const char *)table + at, sizeof pointer);
  return pointer;
}

/* Whether the table has no hash part, not even one that is empty. */
static inline bool lmp_hasnohash(const void *table) {
  return lmp_shapefield(table, offsetof(lmp_Shape, lastfree)) == NULL;
}

/* The lua_topointer of its metatable; NULL: it has none. */
static inline const void *lmp_metatableof(const void *table) {
  return lmp_shapefield(table, offsetof(lmp_Shape, metatable));
}

#endif

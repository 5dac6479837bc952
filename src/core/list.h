/*
** list.h: doubly linked lists that allocate nothing: the links are members of
** what is listed, which can leave in constant time.
*/
#ifndef MPROC_LIST_H
#define MPROC_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A place in a list, or its head. In no list: linked to itself. */
typedef struct mproc_link {
  struct mproc_link *next;
  struct mproc_link *prev;
} mproc_link;

/* What has the link 'l' as its member 'member'. */
#define MPROC_LISTED(l, type, member) \
  ((type *)(void *)((char *)(l)-offsetof(type, member)))

/* Makes an empty list of a head, or a link that is in no list. */
static inline void mproc_list_init(mproc_link *l) {
  l->next = l->prev = l;
}

/* Of a head: whether it has no members. Of a link: whether it is in no list. */
static inline bool mproc_list_is_empty(const mproc_link *l) {
  return l->next == l;
}

/* Takes 'l' out of its list, if it is in one. */
static inline void mproc_list_remove(mproc_link *l) {
  l->next->prev = l->prev;
  l->prev->next = l->next;
  mproc_list_init(l);
}

/* Puts 'l' at the end of the list 'head', and out of the one it was in. */
static inline void mproc_list_append(mproc_link *head, mproc_link *l) {
  mproc_list_remove(l);
  l->prev = head->prev;
  l->next = head;
  head->prev->next = l;
  head->prev = l;
}

/* Appends all of 'from' to 'to'. */
static inline void mproc_list_move(mproc_link *to, mproc_link *from) {
  while (!mproc_list_is_empty(from))
    mproc_list_append(to, from->next);
}

#endif

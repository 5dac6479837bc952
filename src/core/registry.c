/*
** registry.c: a hash table of handles.
*/
#include "core/registry.h"

#define EVENTS_MAX 256 /* of one look; the others come with the next */
#define FIRST_BUCKETS 16

struct mproc_registered {
  mproc_registered *next; /* in its bucket */
  mproc_link wishes;
  mproc_handle handle;
  uint32_t tag;   /* which of the handles that have had this number */
  uint8_t events; /* as the pollset has it; 0: it has not */
};

struct mproc_registry {
  const mproc_allocator *allocator;
  mproc_pollset *set;
  mproc_registered **buckets; /* owned; a power of two; NULL before the first */
  size_t bucket_count;
  size_t count;
  uint32_t last_tag;
  mproc_pollevent events[EVENTS_MAX];
};

/* ---- the table ---- */

static mproc_registered **bucket(const mproc_registry *r, mproc_handle h) {
  return &r->buckets[(size_t)h & (r->bucket_count - 1)];
}

static mproc_registered *find(const mproc_registry *r, mproc_handle h) {
  mproc_registered *g = NULL;
  if (r->bucket_count > 0)
    g = *bucket(r, h);
  while (g != NULL && g->handle != h)
    g = g->next;
  return g;
}

static mproc_status grow(mproc_registry *r) {
  size_t old_count = r->bucket_count;
  mproc_registered **old = r->buckets, **fresh;
  size_t count = old_count == 0 ? FIRST_BUCKETS : 2 * old_count;
  fresh = (mproc_registered **)mproc_alloc(r->allocator, count * sizeof *fresh);
  if (fresh == NULL)
    return MPROC_NOMEM;
  r->buckets = fresh;
  r->bucket_count = count;
  for (size_t i = 0; i < old_count; i++) {
    mproc_registered *g, *next;
    for (g = old[i]; g != NULL; g = next) {
      mproc_registered **place = bucket(r, g->handle);
      next = g->next;
      g->next = *place;
      *place = g;
    }
  }
  mproc_free(r->allocator, old, old_count * sizeof *old);
  return MPROC_OK;
}

/* A new one for 'h', without wishes; NULL: no memory. */
static mproc_registered *insert(mproc_registry *r, mproc_handle h) {
  mproc_registered *g, **place;
  if (r->count == r->bucket_count && grow(r) != MPROC_OK)
    return NULL;
  g = (mproc_registered *)mproc_alloc(r->allocator, sizeof *g);
  if (g == NULL)
    return NULL;
  mproc_list_init(&g->wishes);
  g->handle = h;
  place = bucket(r, h);
  g->next = *place;
  *place = g;
  r->count++;
  return g;
}

static void discard(mproc_registry *r, mproc_registered *g) {
  mproc_registered **place = bucket(r, g->handle);
  while (*place != g)
    place = &(*place)->next;
  *place = g->next;
  r->count--;
  mproc_free(r->allocator, g, sizeof *g);
}

/* ---- wishes ---- */

void mproc_wish_init(mproc_wish *w, void *owner) {
  mproc_list_init(&w->link);
  mproc_list_init(&w->due);
  w->handle = NULL;
  w->owner = owner;
  w->events = w->ready = 0;
}

/* 'w' is for nothing; what it was for may be out of wishes. */
static void forget(mproc_wish *w) {
  mproc_list_remove(&w->link);
  mproc_list_remove(&w->due);
  w->handle = NULL;
  w->events = w->ready = 0;
}

static uint8_t wanted(mproc_registered *g) {
  uint8_t events = 0;
  for (mproc_link *l = g->wishes.next; l != &g->wishes; l = l->next)
    events |= MPROC_LISTED(l, mproc_wish, link)->events;
  return events;
}

static uint32_t next_tag(mproc_registry *r) {
  if (++r->last_tag == 0) /* which a pollset does not take */
    r->last_tag = 1;
  return r->last_tag;
}

/* Has the pollset as the wishes for 'g' are; 'again': in any case. */
static mproc_status update(mproc_registry *r, mproc_registered *g, bool again) {
  uint8_t events = wanted(g);
  mproc_status st;
  if (events == g->events && !again)
    return MPROC_OK;
  if (again)
    g->tag = next_tag(r);
  st = mproc_pollset_set(r->set, g->handle, events, g->tag);
  if (st == MPROC_OK)
    g->events = events;
  return st;
}

void mproc_registry_leave(mproc_registry *r, mproc_wish *w) {
  mproc_registered *g = w->handle;
  forget(w);
  if (g == NULL)
    return;
  if (!mproc_list_is_empty(&g->wishes)) {
    if (!mproc_registry_is_inherited(r)) /* or mproc_registry_renew does it */
      update(r, g, false); /* no harm if it cannot: it tells of too much */
    return;
  }
  if (g->events != 0)
    mproc_pollset_remove(r->set, g->handle);
  discard(r, g);
}

void mproc_registry_release(mproc_registry *r, mproc_wish *w) {
  mproc_registered *g = w->handle;
  if (g == NULL)
    return;
  mproc_pollset_remove(r->set, g->handle);
  while (!mproc_list_is_empty(&g->wishes))
    forget(MPROC_LISTED(g->wishes.next, mproc_wish, link));
  discard(r, g);
}

mproc_status mproc_registry_set(mproc_registry *r, mproc_wish *w,
                                mproc_handle h, uint8_t events, bool again) {
  mproc_registered *g = w->handle;
  mproc_status st;
  if (h == MPROC_NO_HANDLE || events == 0) {
    mproc_registry_leave(r, w);
    return MPROC_OK;
  }
  if (g == NULL || g->handle != h) {
    mproc_registry_leave(r, w);
    g = find(r, h);
    /* The number of one that is here may be another's now. */
    again = true;
    if (g == NULL)
      g = insert(r, h);
    if (g == NULL)
      return MPROC_NOMEM;
    mproc_list_append(&g->wishes, &w->link);
    w->handle = g;
  }
  w->events = events;
  st = update(r, g, again);
  if (st != MPROC_OK)
    mproc_registry_leave(r, w);
  return st;
}

mproc_status mproc_registry_again(mproc_registry *r, const mproc_wish *w) {
  return w->handle == NULL ? MPROC_OK : update(r, w->handle, false);
}

/* ---- looking ---- */

/* The wishes that one event makes true. False: nobody here wished for it. */
static bool tell(const mproc_registry *r, const mproc_pollevent *event,
                 mproc_link *due) {
  mproc_registered *g = find(r, event->handle);
  if (g == NULL || g->tag != event->tag)
    return false;
  for (mproc_link *l = g->wishes.next; l != &g->wishes; l = l->next) {
    mproc_wish *w = MPROC_LISTED(l, mproc_wish, link);
    uint8_t ready = w->events & event->ready;
    if (ready != 0) {
      w->ready |= ready;
      mproc_list_append(due, &w->due);
    }
  }
  return true;
}

mproc_status mproc_registry_look(mproc_registry *r, mproc_time deadline,
                                 mproc_link *due, bool *stale, bool *full) {
  size_t n = 0;
  mproc_status st =
      mproc_pollset_wait(r->set, deadline, r->events, EVENTS_MAX, &n);
  *stale = false;
  *full = n == EVENTS_MAX;
  for (size_t i = 0; i < n; i++)
    if (!tell(r, &r->events[i], due))
      *stale = true;
  return st == MPROC_AGAIN || st == MPROC_INTERRUPTED ? MPROC_OK : st;
}

/* ---- the set ---- */

mproc_status mproc_registry_new(const mproc_allocator *a,
                                mproc_registry **out) {
  mproc_registry *r = (mproc_registry *)mproc_alloc(a, sizeof *r);
  mproc_status st;
  if (r == NULL)
    return MPROC_NOMEM;
  r->allocator = a;
  st = mproc_pollset_new(a, &r->set);
  if (st != MPROC_OK) {
    mproc_free(a, r, sizeof *r);
    return st;
  }
  *out = r;
  return MPROC_OK;
}

static void discard_all(mproc_registry *r) {
  for (size_t i = 0; i < r->bucket_count; i++) {
    while (r->buckets[i] != NULL) {
      mproc_registered *g = r->buckets[i];
      while (!mproc_list_is_empty(&g->wishes))
        forget(MPROC_LISTED(g->wishes.next, mproc_wish, link));
      discard(r, g);
    }
  }
}

void mproc_registry_free(mproc_registry *r) {
  if (r == NULL)
    return;
  mproc_pollset_free(r->set);
  discard_all(r);
  mproc_free(r->allocator, r->buckets, r->bucket_count * sizeof *r->buckets);
  mproc_free(r->allocator, r, sizeof *r);
}

static void append_all(mproc_link *due, mproc_registered *g) {
  for (mproc_link *l = g->wishes.next; l != &g->wishes; l = l->next)
    mproc_list_append(due, &MPROC_LISTED(l, mproc_wish, link)->due);
}

bool mproc_registry_is_inherited(const mproc_registry *r) {
  return mproc_pollset_is_inherited(r->set);
}

/* Whether 'h', which the set has refused, was closed: its number is nobody's, or
   the new set's own by now. */
static bool is_closed(const mproc_registry *r, mproc_handle h) {
  mproc_handle_kind kind;
  return h == mproc_pollset_handle(r->set) ||
         mproc_os_kind(h, &kind) != MPROC_OK;
}

mproc_status mproc_registry_renew(mproc_registry *r, mproc_link *due) {
  mproc_pollset *set;
  mproc_status st = mproc_pollset_new(r->allocator, &set);
  if (st != MPROC_OK)
    return st;
  mproc_pollset_free(r->set);
  r->set = set;
  for (size_t i = 0; i < r->bucket_count; i++) {
    for (mproc_registered *g = r->buckets[i]; g != NULL; g = g->next) {
      g->events = wanted(g);
      st = mproc_pollset_set(set, g->handle, g->events, g->tag);
      if (st == MPROC_OK)
        continue;
      g->events = 0;
      if (!is_closed(r, g->handle))
        append_all(due, g);
    }
  }
  return MPROC_OK;
}

mproc_pollset *mproc_registry_pollset(const mproc_registry *r) {
  return r->set;
}

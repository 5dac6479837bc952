/*
** habit.h: what the waits of an object have been like, and so how it is to go
** about the next one.
**
** Whether to look before it waits: where the last looks have found nothing, as
** where each message answers another one, a look is a system call for nothing.
**
** Whether to give the processor up once, look again, and only then wait: a peer
** that shares the processor then does what it has to do, with nobody put to sleep
** and woken, which is a third of what a small message costs. Where the peer runs
** elsewhere, or others want the processor, that is in vain; so it is done the
** less often the more often in a row it was.
**
** Pure: it is told whether something was found, and counts.
*/
#ifndef MPROC_HABIT_H
#define MPROC_HABIT_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: none yet. There may be thousands: it is packed. */
typedef struct mproc_habit {
  uint16_t skip;         /* waits to come that do not give way */
  uint8_t in_vain;       /* how often more that was in vain than it was not */
  uint8_t idle : 4;      /* waits that do not look first, once one has … */
  uint8_t idle_left : 4; /* … of these, those to come */
} mproc_habit;

#define MPROC_HABIT_IDLE_MAX 15    /* one wait of 16 looks first in any case */
#define MPROC_HABIT_IN_VAIN_MAX 14 /* then one wait of 16,383 gives way */
#define MPROC_HABIT_LONG_COUNTS \
  5 /* a long moment weighs as many that were in vain */

/* Whether this wait is to look first; one that may do without counts. */
static inline bool mproc_habit_looks_first(mproc_habit *h) {
  if (h->idle_left == 0)
    return true;
  h->idle_left--;
  return false;
}

/* The look before a wait has found something, or nothing. */
static inline void mproc_habit_looked(mproc_habit *h, bool found) {
  h->idle = found ? 0 : (h->idle * 2u + 1) & MPROC_HABIT_IDLE_MAX;
  h->idle_left = h->idle;
}

/* Whether this wait is to give way first; one that is not counts. */
static inline bool mproc_habit_gives_way(mproc_habit *h) {
  if (h->skip == 0)
    return true;
  h->skip--;
  return false;
}

/*
** It did, and then found something, or nothing. 'brief': that took but a moment
** (mproc_os_yield). One long moment may be a tick of the clock in a brief one;
** two are somebody else's. The first in vain changes nothing: a wait that does not
** give way puts the next of the peer's out of step, too.
*/
static inline void mproc_habit_gave_way(mproc_habit *h, bool brief,
                                        bool found) {
  unsigned in_vain = h->in_vain;
  if (!brief)
    in_vain += in_vain > 0 ? MPROC_HABIT_LONG_COUNTS : 1;
  else if (!found)
    in_vain++;
  else if (in_vain > 0)
    in_vain--;
  if (in_vain > MPROC_HABIT_IN_VAIN_MAX)
    in_vain = MPROC_HABIT_IN_VAIN_MAX;
  h->in_vain = (uint8_t)in_vain;
  h->skip = (uint16_t)(in_vain > 0 ? (1u << in_vain) - 2 : 0);
}

#endif

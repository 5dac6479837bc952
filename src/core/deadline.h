/*
** deadline.h: points in time, as nanoseconds of a monotonic clock.
**
** Users speak of seconds; a caller turns them into a deadline once and passes
** that down, so that an interrupted wait goes on with the time that is left.
*/
#ifndef MPROC_DEADLINE_H
#define MPROC_DEADLINE_H

#include <stdint.h>

typedef int64_t mproc_time; /* nanoseconds; origin is the platform's */

#define MPROC_NEVER INT64_MAX
#define MPROC_SECOND INT64_C(1000000000)

/*
** 'seconds' from 'now'. Below zero counts as zero (as in Python); NaN too;
** what is too far to count is MPROC_NEVER.
*/
mproc_time mproc_deadline_after(mproc_time now, double seconds);

/* Whichever comes first. */
static inline mproc_time mproc_deadline_min(mproc_time a, mproc_time b) {
  return a < b ? a : b;
}

/* Nanoseconds left at 'now': 0 once it has passed; MPROC_NEVER stays so. */
mproc_time mproc_deadline_left(mproc_time deadline, mproc_time now);

#endif

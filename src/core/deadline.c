/*
** deadline.c: seconds into deadlines and deadlines into what is left of them.
** Fractions of a nanosecond count as a whole one: no wait ends early.
*/
#include "core/deadline.h"

#define TWO_63 9223372036854775808.0 /* first double that no int64_t holds */

mproc_time mproc_deadline_after(mproc_time now, double seconds) {
  double ns = seconds * (double)MPROC_SECOND;
  mproc_time left;
  if (!(ns > 0)) /* NaN too */
    return now;
  if (ns >= TWO_63)
    return MPROC_NEVER;
  left = (mproc_time)ns;
  if ((double)left < ns) /* only below 2^53, so it cannot overflow */
    left++;
  if (now > 0 && left >= MPROC_NEVER - now)
    return MPROC_NEVER;
  return now + left;
}

mproc_time mproc_deadline_left(mproc_time deadline, mproc_time now) {
  if (deadline == MPROC_NEVER)
    return MPROC_NEVER;
  if (deadline <= now)
    return 0;
  if (now < 0 && deadline > MPROC_NEVER + now) /* the difference overflows */
    return MPROC_NEVER;
  return deadline - now;
}

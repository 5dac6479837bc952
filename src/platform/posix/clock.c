/*
** clock.c: the time, and which process we are.
*/
#include "platform/posix/posix.h"

#include <time.h>
#include <unistd.h>

mproc_time mproc_os_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (mproc_time)now.tv_sec * MPROC_SECOND + now.tv_nsec;
}

int64_t mproc_os_pid(void) {
  return (int64_t)getpid();
}

/*
** queue.h: a queue of events that the kernel keeps, as epoll(7) and kqueue(2)
** are: what differs between the two. queue.c makes a pollset of either.
*/
#ifndef MPROC_POSIX_QUEUE_H
#define MPROC_POSIX_QUEUE_H

#include "platform/posix/posix.h"

/* Whether a child of fork(2) has its parent's queues; or nothing at all, and
   their numbers are free for others. */
bool mproc_posix_queue_is_shared(void);

/* A new queue, close-on-exec. -1: errno tells. */
int mproc_posix_queue_open(void);

/*
** Watches 'fd' for 'events' (not 0), instead of what it was watched for.
** Returns 0 or an errno value; EPERM: it cannot be polled.
*/
int mproc_posix_queue_set(int queue, int fd, uint8_t events, uint32_t tag);

/* Watches it no more, if it was. */
void mproc_posix_queue_remove(int queue, int fd);

/*
** Waits for 'left' nanoseconds, or a little more, and writes at most 'max'
** events. Returns how many; -1: errno tells.
*/
int mproc_posix_queue_wait(int queue, mproc_time left, mproc_pollevent *events,
                           size_t max);

#endif

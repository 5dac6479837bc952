/*
** posix.h: what the files of this folder share: the system's interfaces that
** they ask for, and the calls that not every POSIX system has. Each of them
** includes it before any other header.
*/
#ifndef MPROC_POSIX_H
#define MPROC_POSIX_H

/* accept4, ppoll, preadv2, struct ucred: feature_test_macros(7) */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifndef _NETBSD_SOURCE
#define _NETBSD_SOURCE 1
#endif
/* or stat(2) fails for a large inode number where off_t has 32 bits */
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#include "core/platform.h"

/*
** POSIX.1-2024's calls, or their replacements (compat.c). Each returns what
** the call it is named after does, and leaves errno as it does; all
** descriptors are close-on-exec.
*/

/* A stream socket. */
int mproc_posix_socket(int family, bool nonblocking);

/* Two connected AF_UNIX stream sockets. */
int mproc_posix_socketpair(int fd[2]);

/* accept(2); the new socket is in blocking mode, whatever the listener is. */
int mproc_posix_accept(int listener, mproc_sockaddr *peer);

/* pipe(2): [0] to read from. */
int mproc_posix_pipe(int fd[2]);

/* poll(2) for 'left' nanoseconds, never fewer (MPROC_NEVER: no limit) unless
   that is more than the system can count. */
int mproc_posix_poll(struct pollfd *fds, nfds_t n, mproc_time left);

/* What poll(2) is asked of 'h'; what its answer, or such a question, says. */
struct pollfd mproc_posix_pollfd(mproc_handle h, uint8_t events);
uint8_t mproc_posix_events(int revents);

/* Nanoseconds until 'deadline', at least 0; MPROC_NEVER stays so. */
mproc_time mproc_posix_time_left(mproc_time deadline);

/* The status of a wait that came back without anything ready: AGAIN; or, where
   it was for longer than the system can count, INTERRUPTED. */
mproc_status mproc_posix_timed_out(mproc_time deadline);

/* As poll(2) takes it: milliseconds, rounded up lest a loop be busy; -1. */
int mproc_posix_milliseconds(mproc_time left);

/* The status of the call that has failed just now: the system error in errno. */
static inline mproc_status mproc_posix_error(void) {
  return mproc_status_system(errno);
}

/* The status of a call that failed: AGAIN, INTERRUPTED, or system. */
mproc_status mproc_posix_failure(int os_errno);

/* The AF_ constant in 'sa'. */
int mproc_posix_family(const mproc_sockaddr *sa);

/* ioctl(2), FIONBIO. */
int mproc_posix_set_nonblocking(int fd, bool on);

/* write(2) of 'a' and then 'b', in some way. */
typedef ssize_t (*mproc_posix_put)(int fd, mproc_view a, mproc_view b);

/*
** Calls 'put' and gives its result and its errno, but keeps the SIGPIPE that
** it may cause away from the program, without a change to the signal's
** disposition, which is the program's own (sigpipe.c).
*/
ssize_t mproc_posix_quietly(mproc_posix_put put, int fd, mproc_view a,
                            mproc_view b);

#endif

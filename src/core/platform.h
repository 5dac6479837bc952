/*
** platform.h: all that the core needs of an operating system. One folder under
** src/platform implements it for each system; no other file of the core knows
** which one it runs on.
**
** No call here blocks, but mproc_os_poll, mproc_pollset_wait and
** mproc_os_read_waiting (which are how we wait), mproc_os_resolve (the system's
** resolver, which has no other way), mproc_os_spawn (until the program runs, or
** could not), and, for some milliseconds, mproc_os_reap. A handle that a call
** returns belongs to the caller and is close-on-exec.
*/
#ifndef MPROC_PLATFORM_H
#define MPROC_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/address.h"
#include "core/bytes.h"
#include "core/deadline.h"
#include "core/status.h"

/* A descriptor. Wide enough for a Windows HANDLE or SOCKET. */
typedef intptr_t mproc_handle;

#define MPROC_NO_HANDLE ((mproc_handle)-1)

/* ---- errors ---- */

/* "ECONNREFUSED" for an errno value; NULL where it has no name here. */
const char *mproc_os_errno_code(int os_errno);

/*
** The name of Python's exception for an errno value: OSError or the child of
** it that PEP 3151 assigns ("ConnectionRefusedError").
*/
const char *mproc_os_errno_exception(int os_errno);

/* The system's text for it, zero-terminated in 'out'. Returns 'out'. */
const char *mproc_os_errno_text(int os_errno, char *out, size_t size);

/* "EAI_NONAME" and the text, of a status made by mproc_status_gai. */
const char *mproc_os_gai_code(mproc_status st);
const char *mproc_os_gai_text(mproc_status st);

/* Whether nobody listens (yet) at the address that gave 'st': retry may help. */
bool mproc_os_is_nobody_listening(mproc_status st);

/* Whether a write failed because the other end has closed (EPIPE). */
bool mproc_os_is_hang_up(mproc_status st);

/* Whether connecting failed only because the listener's backlog is full. */
bool mproc_os_is_backlog_full(mproc_status st);

/* ---- time and process ---- */

/* Now, on a monotonic clock (clock_gettime(2), CLOCK_MONOTONIC). */
mproc_time mproc_os_now(void);

/* The id of this process: what tells a forked child from its parent. */
int64_t mproc_os_pid(void);

/* ---- waiting ---- */

enum { MPROC_READ = 1, MPROC_WRITE = 2 };

/* One handle to wait for. */
typedef struct mproc_pollitem {
  mproc_handle handle; /* MPROC_NO_HANDLE: none, never ready */
  uint8_t events;      /* MPROC_READ | MPROC_WRITE: what for */
  uint8_t ready;       /* out: what would not block; an error or a hang-up
                          counts as all that was asked for */
} mproc_pollitem;

/*
** Waits until a handle is ready, 'deadline' has passed or a signal came. One
** system call. 'scratch' has room for mproc_os_poll_scratch(n) bytes, aligned
** for any type (NULL: allowed up to 8 items).
** OK: at least one is ready. AGAIN: the time is up, none is. INTERRUPTED: a
** signal handler ran; nothing is known of the items. A handle that is not
** open counts as ready: using it will tell.
*/
mproc_status mproc_os_poll(mproc_pollitem *items, size_t n, mproc_time deadline,
                           void *scratch);
size_t mproc_os_poll_scratch(size_t n);

/*
** Lets others that can run here have the processor for a moment (sched_yield(2)).
** False: it may have been a long one: the system's clock has ticked, which it does
** each 1 to 10 ms.
*/
bool mproc_os_yield(void);

/*
** To be called between two looks at a handle by who looks all the time: lets
** others have the processor. 'turn' counts these calls.
*/
void mproc_os_relax(unsigned turn);

/* ---- waiting for many handles, again and again ---- */

/*
** A set of handles that the system keeps, so that a wait costs what is ready
** and not what is watched: epoll, kqueue, or poll(2), where it does cost that
** (POLLER in the Makefile). Level-triggered: what is ready is told by each wait
** until it is not ready any more.
*/
typedef struct mproc_pollset mproc_pollset;

/* What a wait tells of one handle. */
typedef struct mproc_pollevent {
  mproc_handle handle;
  uint32_t tag;  /* of the mproc_pollset_set that watches it */
  uint8_t ready; /* MPROC_READ | MPROC_WRITE; an error or a hang-up counts as
                    both, asked for or not */
} mproc_pollevent;

/* An empty set, the caller's. NOMEM; a system error (EMFILE). 'a' must outlive
   it. */
mproc_status mproc_pollset_new(const mproc_allocator *a, mproc_pollset **p);

/* Frees it; the handles in it stay open. NULL is fine. */
void mproc_pollset_free(mproc_pollset *p);

/*
** Whether 'p' was made before this process was forked: some systems share it
** with the parent then, others have closed it. All that may be done with it is
** to free it, which leaves the parent's alone; mproc_pollset_remove and
** mproc_pollset_signal do nothing.
*/
bool mproc_pollset_is_inherited(const mproc_pollset *p);

/*
** Watches 'h' for 'events' from now on, instead of what it was watched for; 0:
** not at all. What cannot be polled, as a file, is always ready, as it is for
** mproc_os_poll. 'tag', which is not 0, comes with what is told of it. Not OK:
** NOMEM, or a system error (EBADF, ENOSPC; ELOOP: a set in itself); 'h' is not
** watched then.
*/
mproc_status mproc_pollset_set(mproc_pollset *p, mproc_handle h, uint8_t events,
                               uint32_t tag);

/*
** Watches it no more; nothing happens if it was not. To be called before 'h' is
** closed. A handle that was closed before drops out by itself, unless another
** process has it, too: then a set may go on to tell of it, with its old tag, and
** only a new set helps. With poll(2) it drops out at the next wait, unless its
** number is in use again by then: that one is told of.
*/
void mproc_pollset_remove(mproc_pollset *p, mproc_handle h);

/*
** Waits until something is ready, 'deadline' has passed or a signal came, and
** writes at most 'max' (> 1) events; the next call goes on with others, if there
** are more. A handle may have two. Statuses as of mproc_os_poll; '*n' is set in
** any case. With mproc_pollset_signal on, it does not wait.
*/
mproc_status mproc_pollset_wait(mproc_pollset *p, mproc_time deadline,
                                mproc_pollevent *events, size_t max, size_t *n);

/*
** The handle of the set itself, readable while something in it is ready;
** MPROC_NO_HANDLE where it has none (poll(2)).
*/
mproc_handle mproc_pollset_handle(const mproc_pollset *p);

/* Keeps that handle readable, or no longer. A system error (EMFILE). */
mproc_status mproc_pollset_signal(mproc_pollset *p, bool on);

/*
** What mproc_os_poll is to be asked to wait for the set: its own handle, or all
** that are in it. Writes at most 'max' items, of mproc_pollset_want_count(p),
** and returns how many.
*/
size_t mproc_pollset_want(const mproc_pollset *p, mproc_pollitem *items,
                          size_t max);
size_t mproc_pollset_want_count(const mproc_pollset *p);

/* ---- bytes over a handle ---- */

/* What a handle is, as far as reading and writing differ. */
typedef enum mproc_handle_kind {
  MPROC_SOCKET, /* a stream socket */
  MPROC_FILE    /* a pipe, FIFO, terminal …: whatever else can be polled */
} mproc_handle_kind;

/* Tells what 'h' is. A system error: it is not open, say. */
mproc_status mproc_os_kind(mproc_handle h, mproc_handle_kind *kind);

/*
** Reads up to 'size' (> 0) bytes, without blocking and without changing the
** handle's own blocking mode, which other processes may share.
** OK: '*got' > 0 of them came. EOF: the other end is closed. AGAIN: none yet.
*/
mproc_status mproc_os_read(mproc_handle h, mproc_handle_kind kind, void *out,
                           size_t size, size_t *got);

/*
** Has mproc_os_read_waiting wait for at most that long on the socket 'h'; 0: it
** is as it was when it was made. False: this system, or this socket, has no such
** wait. It is the socket's property (SO_RCVTIMEO), seen by every process that
** shares it: their blocking reads end with EAGAIN then.
*/
bool mproc_os_set_read_limit(mproc_handle h, uint32_t milliseconds);

/*
** mproc_os_read on a socket that has a limit, but waits for the first byte.
** AGAIN: none came within the limit. INTERRUPTED: a signal handler ran.
*/
mproc_status mproc_os_read_waiting(mproc_handle h, void *out, size_t size,
                                   size_t *got);

/*
** Writes as much of 'a' and then 'b' as goes without blocking; at least one is
** not empty. SIGPIPE is never raised. OK: '*put' > 0 bytes went. AGAIN: none.
*/
mproc_status mproc_os_write(mproc_handle h, mproc_handle_kind kind,
                            mproc_view a, mproc_view b, size_t *put);

/*
** Whether what is done with the open file of 'h' elsewhere never blocks
** (O_NONBLOCK); and says whether it shall. For what another library has changed
** behind our back: the calls here do without.
*/
bool mproc_os_is_nonblocking(mproc_handle h);
void mproc_os_set_nonblocking(mproc_handle h, bool on);

/* Closes it. Errors are of no use to anyone and not told. */
void mproc_os_close(mproc_handle h);

/*
** Two connected stream sockets; or the two ends of a pipe, [0] to read from. A
** system error (EMFILE): there is none.
*/
mproc_status mproc_os_socketpair(mproc_handle h[2]);
mproc_status mproc_os_pipe(mproc_handle h[2]);

/* ---- sockets with addresses ---- */

/* A resolved address: the system's sockaddr_storage, by value. */
typedef struct mproc_sockaddr {
  uint32_t size;
  union {
    uint8_t bytes[128]; /* RFC 3493's sockaddr_storage, on all systems */
    int64_t align;
  } u;
} mproc_sockaddr;

/* The family that a Listener without address gets. */
mproc_family mproc_os_default_family(void);

/* Whether this system has it (AF_PIPE: Windows only). */
bool mproc_os_has_family(mproc_family f);

/* Whether a path may name the abstract namespace (Linux, unix(7)). */
bool mproc_os_has_abstract(void);

/*
** Resolves 'a' into at most 'max' (> 0) addresses, in the resolver's order;
** '*n' is how many. 'passive': for a listener, an empty host is every
** interface. Blocks for as long as the system's resolver does where the host is
** a name. gai statuses; PATH_TOO_LONG.
*/
mproc_status mproc_os_resolve(const mproc_address *a, bool passive,
                              mproc_sockaddr *out, size_t max, size_t *n);

/*
** Starts connecting a new socket. OK: '*h' is connected. AGAIN: '*h' is
** connecting; it becomes writable when that has come to an end, which
** mproc_os_connected tells. Other: failed, no socket is left.
*/
mproc_status mproc_os_connect(const mproc_sockaddr *to, mproc_handle *h);

/*
** How connecting 'h' ended (OK: it is connected, and in blocking mode like any
** other socket; AGAIN: it has not ended). Never closes it.
*/
mproc_status mproc_os_connected(mproc_handle h);

/* TCP_NODELAY, and SO_KEEPALIVE after 'keepalive' idle seconds where > 0. Does
   nothing to a socket that is not TCP. */
void mproc_os_tune(mproc_handle h, double keepalive);

/*
** The same for all that will be accepted from a listening socket, which saves
** the calls for each. 'answered': what a peer sends first is answered at once, so
** the answer may carry TCP's acknowledgement, and no packet has to leave for that
** alone (tcp(7), TCP_QUICKACK; after the first answer Linux does so in any case).
** False: this system has no such thing, tune each.
*/
bool mproc_os_tune_accepted(mproc_handle listener, double keepalive,
                            bool answered);

/* How a listening socket is made. */
typedef struct mproc_listen_options {
  int backlog; /* listen(2) */
  int mode;    /* permission bits of the socket file; -1: the umask's */
  bool reuse;  /* replace a socket file that no one listens on */
} mproc_listen_options;

/*
** Binds a new non-blocking socket to 'at' and listens. SO_REUSEADDR is set.
** The socket file, where there is one, has its permissions before anyone can
** connect. Not OK: no socket and no new file is left.
*/
mproc_status mproc_os_listen(const mproc_sockaddr *at,
                             const mproc_listen_options *options,
                             mproc_handle *h);

/*
** Accepts from a listening socket; '*peer' is who it is (mproc_os_address).
** AGAIN: nobody is waiting, or whoever did has gone. A system error (EMFILE):
** whoever waits goes on to.
*/
mproc_status mproc_os_accept(mproc_handle listener, mproc_handle *h,
                             mproc_sockaddr *peer);

/*
** The address in 'name'; the socket's own, or its peer's. False: there is none to
** tell (an unnamed AF_UNIX socket, not a socket, no longer connected).
*/
bool mproc_os_address(const mproc_sockaddr *name, mproc_address *out);
bool mproc_os_local_address(mproc_handle h, mproc_address *out);
bool mproc_os_peer_address(mproc_handle h, mproc_address *out);

/* Who a process is. */
typedef struct mproc_credentials {
  int64_t pid; /* 0: the system cannot tell */
  uint32_t uid;
  uint32_t gid;
} mproc_credentials;

/*
** Of the process that connected an AF_UNIX socket, or listened, or made the
** pair; as it was then (unix(7), SO_PEERCRED; getpeereid(3)). False: the system
** cannot tell.
*/
bool mproc_os_peer_credentials(mproc_handle h, mproc_credentials *out);

/* ---- handles that are passed to another process ---- */

/* Whether that can be done over 'h': it is an AF_UNIX socket. */
bool mproc_os_passes_handles(mproc_handle h);

/*
** Sends the peer a handle of its own of what 'passed' is; ours stays ours. With
** it goes one byte (CPython, multiprocessing/reduction.py, sendfds).
** AGAIN: nothing has left. A system error: EBADF ('passed' is not open), EPIPE,
** ETOOMANYREFS (too many are on their way, unix(7)), ….
*/
mproc_status mproc_os_send_handle(mproc_handle h, mproc_handle passed);

/*
** Receives one. OK: '*passed' is the caller's. AGAIN: nothing is there. EOF.
** MESSAGE_NEXT: bytes without a handle are next. EMFILE: no descriptor is free.
** None of these has taken anything (EMFILE: unless another thread was faster).
** BAD_HANDLE: more than one came, or not as reduction.py sends it; all of it is
** taken, and closed.
*/
mproc_status mproc_os_recv_handle(mproc_handle h, mproc_handle *passed);

/*
** Whether each handle is answered by one byte, "A", which mproc_os_recv_handle
** sends and the sender has to read: reduction.py, ACKNOWLEDGE (macOS).
*/
bool mproc_os_acknowledges_handles(void);

/* ---- socket files ---- */

/* Which file a path named when it was made: its device and inode. */
typedef struct mproc_file_id {
  uint64_t device;
  uint64_t inode;
} mproc_file_id;

/* What 'path' (zero-terminated) names now. False: nothing. */
bool mproc_os_file_id(const char *path, mproc_file_id *id);

/*
** Unlinks 'path' if it still names the file 'id'. To be called before the
** socket that made the file is closed: until then the system does not give the
** file's inode number to another.
*/
void mproc_os_unlink_same(const char *path, mproc_file_id id);

/*
** Makes a new private directory (0700) in the system's place for temporary
** files and writes the path of a file that is to be in it, "<directory>/" and
** 'name', into 'out'. OK: '*size' is its length without the zero.
*/
mproc_status mproc_os_private_path(const char *name,
                                   char out[MPROC_PATH_MAX + 1],
                                   uint16_t *size);

/* Removes the (empty) directory that mproc_os_private_path made for 'path'. */
void mproc_os_remove_private(const char *path);

/* ---- processes ---- */

/* Besides a handle: what becomes descriptor 0, 1 or 2 of a new process. */
#define MPROC_INHERIT MPROC_NO_HANDLE        /* our own */
#define MPROC_NULL_DEVICE ((mproc_handle)-2) /* /dev/null */

/* A program to be started; all of it the caller's. */
typedef struct mproc_program {
  char *const *argv; /* ends with NULL, has one at least. Without a slash the
                        first is looked up in PATH, that of 'envp' if given */
  char *const *envp; /* "NAME=value", ends with NULL; NULL: as ours */
  const char *cwd;   /* the directory it starts in; NULL: ours */
  mproc_handle stdio[3];
} mproc_program;

/* What could not be done, of starting a program. */
typedef enum mproc_spawn_step {
  MPROC_SPAWN_PROCESS, /* making a process, and what that takes */
  MPROC_SPAWN_STDIO,   /* passing descriptors 0, 1 and 2 */
  MPROC_SPAWN_CWD,     /* changing to 'cwd' */
  MPROC_SPAWN_PROGRAM  /* executing argv[0] */
} mproc_spawn_step;

/* A child of this process. */
typedef struct mproc_child {
  int64_t pid;
  mproc_handle sentinel; /* the caller's; readable once it has ended */
  bool is_pidfd;         /* it tells of the end of this process exactly. If not:
                            the end of a pipe which the child's descendants may
                            keep open, and which the child may close itself */
} mproc_child;

/*
** Starts a program, which inherits descriptors 0, 1 and 2 and 'channel', whose
** number there is in its environment as MULTIPROCESSING_CONNECTION_FD; where
** there is no pidfd_open(2), also the end of a pipe that is the sentinel. No
** handler of ours runs in it, SIGPIPE has its default action, and it has the
** signal mask of this thread. Returns once the program runs.
** Not OK: '*failed' says what could not be done, and no process is left: NOMEM,
** or a system error (EMFILE, EAGAIN, ENOENT, EACCES, …).
*/
mproc_status mproc_os_spawn(const mproc_allocator *a, const mproc_program *what,
                            mproc_handle channel, mproc_child *child,
                            mproc_spawn_step *failed);

/*
** Takes the exit status of a child that has ended; its pid is the system's
** again. OK: '*exitcode' is it, or the negative number of the signal that ended
** it. AGAIN: it runs. A system error (ECHILD): somebody else has taken it, or it
** is not ours. Where the sentinel is a pipe, and has ended, it waits for up to
** 10 ms for the child to do the same.
*/
mproc_status mproc_os_reap(const mproc_child *child, int *exitcode);

/* SIGTERM, or SIGKILL, to a child that mproc_os_reap has not yet taken. */
mproc_status mproc_os_signal(const mproc_child *child, bool kill);

/*
** The handle that mproc_os_spawn passed to this process as 'channel'; nothing
** is changed. NO_PARENT: it was not started so, or the handle was claimed. A
** system error: EINVAL: what the environment says is no number. EBADF: that
** descriptor is not open, or close-on-exec and so not inherited. ENOTSOCK.
*/
mproc_status mproc_os_parent(mproc_handle *h);

/*
** Makes it close-on-exec and takes it out of the environment, so that no program
** that we start thinks it has it (as sd_listen_fds(3) does; like unsetenv(3) not
** while another thread reads the environment).
*/
void mproc_os_claim_parent(mproc_handle h);

#endif

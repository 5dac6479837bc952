/*
** sys.c: the raw POSIX that specs need to play real peers.
**
** What the system refuses returns nil and the errno's name ("EPIPE"); a wrong
** argument throws. Descriptors are integers, made close-on-exec; times are
** seconds. Blocking calls go on after a signal, so that a spec may raise a
** storm of them against the module under test only.
*/

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

/* The one thing a signal handler can do: count. */
static volatile sig_atomic_t alarm_count = 0;

static const struct {
  int code;
  const char *name;
} errnames[] = {
    {EACCES, "EACCES"},
    {EADDRINUSE, "EADDRINUSE"},
    {EAGAIN, "EAGAIN"},
    {EBADF, "EBADF"},
    {ECHILD, "ECHILD"},
    {ECONNREFUSED, "ECONNREFUSED"},
    {ECONNRESET, "ECONNRESET"},
    {EEXIST, "EEXIST"},
    {EINVAL, "EINVAL"},
    {EIO, "EIO"},
    {EISDIR, "EISDIR"},
    {EMFILE, "EMFILE"},
    {ENAMETOOLONG, "ENAMETOOLONG"},
    {ENOENT, "ENOENT"},
    {ENOEXEC, "ENOEXEC"},
    {ENOMEM, "ENOMEM"},
    {ENOTCONN, "ENOTCONN"},
    {ENOTDIR, "ENOTDIR"},
    {ENOTEMPTY, "ENOTEMPTY"},
    {ENOTSOCK, "ENOTSOCK"},
    {EPERM, "EPERM"},
    {EPIPE, "EPIPE"},
    {ESRCH, "ESRCH"},
    {ETIMEDOUT, "ETIMEDOUT"},
};

static int fail_with(lua_State *L, int code) {
  luaL_pushfail(L);
  for (size_t i = 0; i < sizeof errnames / sizeof *errnames; i++) {
    if (errnames[i].code == code) {
      lua_pushstring(L, errnames[i].name);
      return 2;
    }
  }
  lua_pushfstring(L, "errno %d", code);
  return 2;
}

static int fail(lua_State *L) {
  return fail_with(L, errno);
}

/* true, or nil and the name of the error where 'result' is -1 */
static int push_outcome(lua_State *L, int result) {
  if (result == -1)
    return fail(L);
  lua_pushboolean(L, 1);
  return 1;
}

static int push_integer(lua_State *L, lua_Integer result) {
  if (result == -1)
    return fail(L);
  lua_pushinteger(L, result);
  return 1;
}

static int check_int(lua_State *L, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= INT_MIN && n <= INT_MAX, arg, "out of range");
  return (int)n;
}

static size_t check_size(lua_State *L, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 0, arg, "negative size");
  return (size_t)n;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct timeval to_timeval(double seconds) {
  struct timeval t;
  t.tv_sec = (time_t)seconds;
  t.tv_usec = (suseconds_t)((seconds - (double)t.tv_sec) * 1e6);
  return t;
}

static void set_cloexec(int fd) {
  fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int push_fd(lua_State *L, int fd) {
  if (fd == -1)
    return fail(L);
  set_cloexec(fd);
  lua_pushinteger(L, fd);
  return 1;
}

static int push_fd_pair(lua_State *L, int result, const int fds[2]) {
  if (result == -1)
    return fail(L);
  for (int i = 0; i < 2; i++)
    push_fd(L, fds[i]);
  return 2;
}

static int sys_pipe(lua_State *L) {
  int fds[2];
  return push_fd_pair(L, pipe(fds), fds);
}

static int sys_socketpair(lua_State *L) {
  int fds[2];
  return push_fd_pair(L, socketpair(AF_UNIX, SOCK_STREAM, 0, fds), fds);
}

/* send_fds(fd, bytes, ...) -> true: one sendmsg(2) with these descriptors */
static int sys_send_fds(lua_State *L) {
  enum { MAX = 253 }; /* Linux's SCM_MAX_FD */
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(MAX * sizeof(int))];
  } control;
  int fd = check_int(L, 1), count = lua_gettop(L) - 2;
  size_t n;
  struct iovec v;
  struct msghdr message;
  v.iov_base = (void *)luaL_checklstring(L, 2, &n);
  v.iov_len = n;
  luaL_argcheck(L, count > 0 && count <= MAX, 3, "1 to 253 descriptors");
  memset(&control, 0, sizeof control);
  memset(&message, 0, sizeof message);
  message.msg_iov = &v;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
  for (int i = 0; i < count; i++) {
    int passed = check_int(L, i + 3);
    memcpy(CMSG_DATA(rights) + (size_t)i * sizeof passed, &passed,
           sizeof passed);
  }
  if (sendmsg(fd, &message, MSG_NOSIGNAL) == -1)
    return fail(L);
  lua_pushboolean(L, 1);
  return 1;
}

/* open(path, "r" | "w") -> fd */
static int sys_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  const char *mode = luaL_checkstring(L, 2);
  int flags = *mode == 'w' ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY;
  return push_fd(L, open(path, flags, 0600));
}

static int sys_dup(lua_State *L) {
  return push_fd(L, dup(check_int(L, 1)));
}

static int sys_close(lua_State *L) {
  return push_outcome(L, close(check_int(L, 1)));
}

static ssize_t read_some(int fd, char *p, size_t n) {
  ssize_t got;
  do {
    got = read(fd, p, n);
  } while (got == -1 && errno == EINTR);
  return got;
}

/* Reads until 'n' bytes are there or the file ends; -1: nothing came. */
static ssize_t read_all(int fd, char *p, size_t n) {
  size_t done = 0;
  while (done < n) {
    ssize_t got = read_some(fd, p + done, n - done);
    if (got == -1 && done == 0)
      return -1;
    if (got <= 0)
      break;
    done += (size_t)got;
  }
  return (ssize_t)done;
}

static int push_read(lua_State *L, ssize_t (*reader)(int, char *, size_t)) {
  int fd = check_int(L, 1);
  size_t n = check_size(L, 2);
  luaL_Buffer b;
  char *p = luaL_buffinitsize(L, &b, n);
  ssize_t got = reader(fd, p, n);
  int code = errno;
  luaL_pushresultsize(&b, got > 0 ? (size_t)got : 0);
  return got == -1 ? fail_with(L, code) : 1;
}

/* read(fd, n) -> what there is, at most n bytes; "" at end of file */
static int sys_read(lua_State *L) {
  return push_read(L, read_some);
}

/* read_exactly(fd, n) -> n bytes, or fewer at end of file */
static int sys_read_exactly(lua_State *L) {
  return push_read(L, read_all);
}

/* Writes without SIGPIPE: blocked meanwhile, and eaten where it came. */
static ssize_t quiet_write(int fd, const char *p, size_t n) {
  sigset_t mask, old, pending;
  sigemptyset(&mask);
  sigaddset(&mask, SIGPIPE);
  sigprocmask(SIG_BLOCK, &mask, &old);
  ssize_t done = write(fd, p, n);
  int code = errno, sig;
  sigpending(&pending);
  if (done == -1 && code == EPIPE && sigismember(&pending, SIGPIPE))
    sigwait(&mask, &sig);
  sigprocmask(SIG_SETMASK, &old, NULL);
  errno = code;
  return done;
}

/* write(fd, s) -> true once all of it is written */
static int sys_write(lua_State *L) {
  int fd = check_int(L, 1);
  size_t n;
  const char *p = luaL_checklstring(L, 2, &n);
  while (n > 0) {
    ssize_t done = quiet_write(fd, p, n);
    if (done == -1 && errno != EINTR)
      return fail(L);
    if (done > 0) {
      p += done;
      n -= (size_t)done;
    }
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* try_write(fd, s) -> count of the bytes that went out without waiting */
static int sys_try_write(lua_State *L) {
  int fd = check_int(L, 1);
  size_t n;
  const char *p = luaL_checklstring(L, 2, &n);
  int flags = fcntl(fd, F_GETFL);
  if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
    return fail(L);
  ssize_t done = quiet_write(fd, p, n);
  int code = errno;
  fcntl(fd, F_SETFL, flags);
  errno = code;
  return push_integer(L, done);
}

/* poll(fd, "r" | "w", seconds) -> boolean: would that not block? */
static int sys_poll(lua_State *L) {
  struct pollfd p;
  p.fd = check_int(L, 1);
  p.events = *luaL_checkstring(L, 2) == 'w' ? POLLOUT : POLLIN;
  p.revents = 0;
  double deadline = now() + luaL_checknumber(L, 3);
  int n;
  do {
    double left = deadline - now();
    n = poll(&p, 1, left > 0 ? (int)(left * 1e3) + 1 : 0);
  } while (n == -1 && errno == EINTR);
  if (n == -1)
    return fail(L);
  lua_pushboolean(L, n > 0);
  return 1;
}

static int sys_is_cloexec(lua_State *L) {
  int flags = fcntl(check_int(L, 1), F_GETFD);
  if (flags == -1)
    return fail(L);
  lua_pushboolean(L, flags & FD_CLOEXEC);
  return 1;
}

static int sys_is_nonblocking(lua_State *L) {
  int flags = fcntl(check_int(L, 1), F_GETFL);
  if (flags == -1)
    return fail(L);
  lua_pushboolean(L, flags & O_NONBLOCK);
  return 1;
}

/* Calls f(fd, ud) for each open descriptor but the one this walk needs. */
static int each_fd(void (*f)(int fd, void *ud), void *ud) {
  DIR *dir = opendir("/dev/fd");
  struct dirent *entry;
  if (dir == NULL)
    return -1;
  while ((entry = readdir(dir)) != NULL) {
    int fd = atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != dirfd(dir))
      f(fd, ud);
  }
  return closedir(dir);
}

static void count_fd(int fd, void *ud) {
  (void)fd;
  ++*(lua_Integer *)ud;
}

/* nfds() -> number of open descriptors of this process */
static int sys_nfds(lua_State *L) {
  lua_Integer n = 0;
  if (each_fd(count_fd, &n) == -1)
    return fail(L);
  lua_pushinteger(L, n);
  return 1;
}

/* A path that starts with '\0' is a name in Linux's abstract namespace. */
static socklen_t check_unix_address(lua_State *L, int arg,
                                    struct sockaddr_un *address) {
  size_t n;
  const char *path = luaL_checklstring(L, arg, &n);
  luaL_argcheck(L, n < sizeof address->sun_path, arg, "path too long");
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, n);
  n += offsetof(struct sockaddr_un, sun_path);
  return (socklen_t)(*path == '\0' ? n : n + 1);
}

static int push_fd_or_close(lua_State *L, int fd, int result) {
  if (result == -1 && fd != -1) {
    int code = errno;
    close(fd);
    return fail_with(L, code);
  }
  return push_fd(L, fd);
}

static int connect_to(int fd, const struct sockaddr *address, socklen_t n) {
  return fd == -1 ? -1 : connect(fd, address, n);
}

static int listen_at(int fd, const struct sockaddr *address, socklen_t n,
                     int backlog) {
  if (fd == -1 || bind(fd, address, n) == -1)
    return -1;
  return listen(fd, backlog);
}

/* unix_connect(path) -> fd */
static int sys_unix_connect(lua_State *L) {
  struct sockaddr_un a;
  socklen_t n = check_unix_address(L, 1, &a);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return push_fd_or_close(L, fd, connect_to(fd, (struct sockaddr *)&a, n));
}

/* unix_listen(path [, backlog]) -> fd */
static int sys_unix_listen(lua_State *L) {
  struct sockaddr_un a;
  socklen_t n = check_unix_address(L, 1, &a);
  int backlog = (int)luaL_optinteger(L, 2, 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  int result = listen_at(fd, (struct sockaddr *)&a, n, backlog);
  return push_fd_or_close(L, fd, result);
}

/* The numeric 'host' as an address; AF_INET6 where it is a literal of that. */
static socklen_t check_inet_address(lua_State *L, const char *host,
                                    lua_Integer port,
                                    struct sockaddr_storage *address) {
  struct addrinfo hints, *info;
  char service[24];
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  snprintf(service, sizeof service, "%lld", (long long)port);
  if (getaddrinfo(host, service, &hints, &info) != 0)
    luaL_error(L, "not a numeric address: %s", host);
  socklen_t n = info->ai_addrlen;
  memcpy(address, info->ai_addr, n);
  freeaddrinfo(info);
  return n;
}

/* inet_connect(host, port) -> fd */
static int sys_inet_connect(lua_State *L) {
  struct sockaddr_storage a;
  const char *host = luaL_checkstring(L, 1);
  socklen_t n = check_inet_address(L, host, luaL_checkinteger(L, 2), &a);
  int fd = socket(a.ss_family, SOCK_STREAM, 0);
  return push_fd_or_close(L, fd, connect_to(fd, (struct sockaddr *)&a, n));
}

static int bound_port(int fd) {
  struct sockaddr_storage a;
  socklen_t n = sizeof a;
  if (getsockname(fd, (struct sockaddr *)&a, &n) == -1)
    return 0;
  return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                       : ((struct sockaddr_in *)&a)->sin_port);
}

/* inet_listen([host = "127.0.0.1" [, backlog]]) -> fd, port */
static int sys_inet_listen(lua_State *L) {
  struct sockaddr_storage a;
  const char *host = luaL_optstring(L, 1, "127.0.0.1");
  int backlog = (int)luaL_optinteger(L, 2, 1);
  socklen_t n = check_inet_address(L, host, 0, &a);
  int fd = socket(a.ss_family, SOCK_STREAM, 0);
  int result = listen_at(fd, (struct sockaddr *)&a, n, backlog);
  int pushed = push_fd_or_close(L, fd, result);
  if (pushed == 2)
    return 2; /* nil, name */
  lua_pushinteger(L, bound_port(fd));
  return 2;
}

static int sys_accept(lua_State *L) {
  int listener = check_int(L, 1), fd;
  do {
    fd = accept(listener, NULL, NULL);
  } while (fd == -1 && errno == EINTR);
  return push_fd(L, fd);
}

/* shutdown(fd, "r" | "w" | "rw") */
static int sys_shutdown(lua_State *L) {
  static const char *const names[] = {"r", "w", "rw", NULL};
  static const int values[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
  int fd = check_int(L, 1);
  return push_outcome(
      L, shutdown(fd, values[luaL_checkoption(L, 2, NULL, names)]));
}

/* reset(fd): closes so that the other end meets ECONNRESET (TCP) */
static int sys_reset(lua_State *L) {
  int fd = check_int(L, 1);
  struct linger linger;
  linger.l_onoff = 1;
  linger.l_linger = 0;
  if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == -1)
    return fail(L);
  return push_outcome(L, close(fd));
}

/* set_buffers(fd, bytes): of the socket, in both directions */
static int sys_set_buffers(lua_State *L) {
  int fd = check_int(L, 1), n = check_int(L, 2);
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof n) == -1)
    return fail(L);
  return push_outcome(L, setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof n));
}

/* read_limit(fd): SO_RCVTIMEO, in seconds */
static int sys_read_limit(lua_State *L) {
  struct timeval limit;
  socklen_t size = sizeof limit;
  if (getsockopt(check_int(L, 1), SOL_SOCKET, SO_RCVTIMEO, &limit, &size) == -1)
    return fail(L);
  lua_pushnumber(L, (lua_Number)limit.tv_sec + (lua_Number)limit.tv_usec / 1e6);
  return 1;
}

static int sys_clearenv(lua_State *L) {
  return push_outcome(L, clearenv() == 0 ? 0 : -1);
}

static int sys_fork(lua_State *L) {
  return push_integer(L, fork());
}

/* waitpid(pid [, nohang]) -> exit code, negative for a signal; where 'nohang'
** is true and the process still runs: nil, "EAGAIN" */
static int sys_waitpid(lua_State *L) {
  pid_t pid = (pid_t)check_int(L, 1), done;
  int options = lua_toboolean(L, 2) ? WNOHANG : 0, status;
  do {
    done = waitpid(pid, &status, options);
  } while (done == -1 && errno == EINTR);
  if (done == -1)
    return fail(L);
  if (done == 0)
    return fail_with(L, EAGAIN);
  lua_pushinteger(L, WIFSIGNALED(status) ? -WTERMSIG(status)
                                         : WEXITSTATUS(status));
  return 1;
}

static int sys_kill(lua_State *L) {
  pid_t pid = (pid_t)check_int(L, 1);
  return push_outcome(L, kill(pid, check_int(L, 2)));
}

static int sys_getpid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static int sys_getppid(lua_State *L) {
  lua_pushinteger(L, getppid());
  return 1;
}

static int sys_getuid(lua_State *L) {
  lua_pushinteger(L, getuid());
  return 1;
}

/* exit(code): at once; no finalizer runs, no buffer is flushed */
static int sys_exit(lua_State *L) {
  _exit((int)luaL_optinteger(L, 1, 0));
}

typedef struct Spawn {
  char **argv; /* ends with NULL; the strings live in the Lua table */
  int std[3];  /* what becomes descriptors 0, 1 and 2; -1: inherited */
  int *keep;   /* other descriptors that the program inherits */
  size_t nkeep;
  unsigned limit; /* seconds until SIGALRM ends it; 0: none */
  int env;        /* stack index of the changes to the environment */
  int report;     /* where the child tells the errno of a failed start */
} Spawn;

static void check_argv(lua_State *L, int arg, Spawn *s) {
  luaL_checktype(L, arg, LUA_TTABLE);
  size_t n = lua_rawlen(L, arg);
  luaL_argcheck(L, n > 0, arg, "empty");
  s->argv = lua_newuserdatauv(L, (n + 1) * sizeof *s->argv, 0);
  for (size_t i = 0; i < n; i++) {
    int type = lua_rawgeti(L, arg, (lua_Integer)i + 1);
    luaL_argcheck(L, type == LUA_TSTRING, arg, "strings expected");
    s->argv[i] = (char *)lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  s->argv[n] = NULL;
}

static lua_Integer option_integer(lua_State *L, int options, const char *name,
                                  lua_Integer otherwise) {
  lua_getfield(L, options, name);
  lua_Integer n = luaL_optinteger(L, -1, otherwise);
  lua_pop(L, 1);
  return n;
}

static void check_inherit(lua_State *L, int options, Spawn *s) {
  lua_getfield(L, options, "inherit");
  int list = lua_gettop(L);
  s->nkeep = lua_istable(L, list) ? lua_rawlen(L, list) : 0;
  s->keep = lua_newuserdatauv(L, (s->nkeep + 1) * sizeof *s->keep, 0);
  for (size_t i = 0; i < s->nkeep; i++) {
    lua_rawgeti(L, list, (lua_Integer)i + 1);
    s->keep[i] = check_int(L, -1);
    lua_pop(L, 1);
  }
}

static void check_spawn(lua_State *L, Spawn *s) {
  static const char *const names[] = {"stdin", "stdout", "stderr"};
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    lua_newtable(L);
    lua_replace(L, 2);
  }
  luaL_checktype(L, 2, LUA_TTABLE);
  check_argv(L, 1, s);
  for (int i = 0; i < 3; i++)
    s->std[i] = (int)option_integer(L, 2, names[i], -1);
  s->limit = (unsigned)option_integer(L, 2, "limit", 0);
  check_inherit(L, 2, s);
  lua_getfield(L, 2, "env");
  s->env = lua_gettop(L);
}

/* All below runs in the child, where a Lua error must not happen. */

static void child_environment(lua_State *L, const Spawn *s) {
  if (!lua_istable(L, s->env))
    return;
  for (lua_pushnil(L); lua_next(L, s->env); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      continue;
    if (lua_type(L, -1) == LUA_TSTRING)
      setenv(lua_tostring(L, -2), lua_tostring(L, -1), 1);
    else
      unsetenv(lua_tostring(L, -2)); /* false */
  }
}

static void close_on_exec(int fd, void *ud) {
  const Spawn *s = ud;
  for (size_t i = 0; i < s->nkeep; i++) {
    if (s->keep[i] == fd) {
      fcntl(fd, F_SETFD, 0);
      return;
    }
  }
  if (fd > 2)
    set_cloexec(fd);
}

static void child_signals(const Spawn *s) {
  static const int signals[] = {SIGALRM, SIGINT, SIGPIPE, SIGTERM};
  sigset_t none;
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    signal(signals[i], SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  alarm(s->limit);
}

static void child_exec(lua_State *L, Spawn *s) {
  for (int i = 0; i < 3; i++)
    if (s->std[i] != -1 && dup2(s->std[i], i) == -1)
      return;
  if (each_fd(close_on_exec, s) == -1)
    return;
  child_environment(L, s);
  child_signals(s);
  execvp(s->argv[0], s->argv);
}

/* Returns 0, or the errno that the child met before its program started. */
static int start_error(int report) {
  int code = 0;
  if (read_all(report, (char *)&code, sizeof code) != sizeof code)
    code = 0;
  close(report);
  return code;
}

/* spawn(argv [, {stdin =, stdout =, stderr = fd; inherit = {fds};
** env = {NAME = value | false}; limit = seconds}]) -> pid
** The program gets descriptors 0 to 2 and those in 'inherit', default signals,
** the environment with the changes in 'env', and SIGALRM after 'limit'. */
static int sys_spawn(lua_State *L) {
  Spawn s;
  int report[2];
  check_spawn(L, &s);
  if (pipe(report) == -1)
    return fail(L);
  set_cloexec(report[0]);
  set_cloexec(report[1]);
  pid_t pid = fork();
  if (pid == 0) {
    child_exec(L, &s);
    ssize_t ignored = write(report[1], &errno, sizeof errno);
    _exit(ignored == sizeof errno ? 127 : 126);
  }
  int code = errno;
  close(report[1]);
  int started = start_error(report[0]);
  if (pid == -1)
    return fail_with(L, code);
  if (started != 0) {
    waitpid(pid, NULL, 0);
    return fail_with(L, started);
  }
  lua_pushinteger(L, pid);
  return 1;
}

/* mkdtemp() -> path of a new directory, mode 0700 */
static int sys_mkdtemp(lua_State *L) {
  const char *base = getenv("TMPDIR");
  char path[PATH_MAX];
  int n = snprintf(path, sizeof path, "%s/lua-spec-XXXXXX",
                   base != NULL && *base != '\0' ? base : "/tmp");
  if (n < 0 || (size_t)n >= sizeof path)
    return fail_with(L, ENAMETOOLONG);
  if (mkdtemp(path) == NULL)
    return fail(L);
  lua_pushstring(L, path);
  return 1;
}

static const char *type_name(mode_t mode) {
  if (S_ISSOCK(mode))
    return "socket";
  if (S_ISREG(mode))
    return "file";
  if (S_ISDIR(mode))
    return "directory";
  if (S_ISLNK(mode))
    return "link";
  return S_ISFIFO(mode) ? "fifo" : "other";
}

/* stat(path) -> {type =, mode = permission bits, ino =, dev =, uid =};
** does not follow a link */
static int sys_stat(lua_State *L) {
  struct stat st;
  if (lstat(luaL_checkstring(L, 1), &st) == -1)
    return fail(L);
  lua_createtable(L, 0, 5);
  lua_pushstring(L, type_name(st.st_mode));
  lua_setfield(L, -2, "type");
  lua_pushinteger(L, st.st_mode & 07777);
  lua_setfield(L, -2, "mode");
  lua_pushinteger(L, (lua_Integer)st.st_ino);
  lua_setfield(L, -2, "ino");
  lua_pushinteger(L, (lua_Integer)st.st_dev);
  lua_setfield(L, -2, "dev");
  lua_pushinteger(L, st.st_uid);
  lua_setfield(L, -2, "uid");
  return 1;
}

/* listdir(path) -> array of names, without "." and ".." */
static int sys_listdir(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_newtable(L);
  DIR *dir = opendir(path);
  struct dirent *entry;
  if (dir == NULL)
    return fail(L);
  for (lua_Integer n = 1; (entry = readdir(dir)) != NULL;) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
      continue;
    lua_pushstring(L, name);
    lua_rawseti(L, -2, n++);
  }
  closedir(dir);
  return 1;
}

static int sys_unlink(lua_State *L) {
  return push_outcome(L, unlink(luaL_checkstring(L, 1)));
}

static int sys_rmdir(lua_State *L) {
  return push_outcome(L, rmdir(luaL_checkstring(L, 1)));
}

static int sys_chmod(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  return push_outcome(L, chmod(path, (mode_t)check_int(L, 2)));
}

static int sys_umask(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)umask((mode_t)check_int(L, 1)));
  return 1;
}

/* A field of /proc/self/status in bytes; -1 where there is none. Not
** getrusage: its maximum outlives exec, and counts the parent's memory. */
static lua_Integer status_field(const char *name) {
  FILE *f = fopen("/proc/self/status", "r");
  char line[256];
  long kib = -1;
  size_t n = strlen(name);
  if (f == NULL)
    return -1;
  errno = EIO; /* unless the field is there */
  while (kib == -1 && fgets(line, sizeof line, f) != NULL)
    if (strncmp(line, name, n) == 0)
      kib = atol(line + n);
  fclose(f);
  return kib == -1 ? -1 : (lua_Integer)kib * 1024;
}

/* rss() -> resident bytes now */
static int sys_rss(lua_State *L) {
  return push_integer(L, status_field("VmRSS:"));
}

/* peak_rss() -> the most resident bytes that this program had */
static int sys_peak_rss(lua_State *L) {
  return push_integer(L, status_field("VmHWM:"));
}

/* monotonic() -> seconds from some fixed point */
static int sys_monotonic(lua_State *L) {
  lua_pushnumber(L, (lua_Number)now());
  return 1;
}

/* alarm(seconds [, interval]): SIGALRM then, and at each interval; 0: none */
static int sys_alarm(lua_State *L) {
  struct itimerval timer;
  timer.it_value = to_timeval(luaL_checknumber(L, 1));
  timer.it_interval = to_timeval(luaL_optnumber(L, 2, 0));
  return push_outcome(L, setitimer(ITIMER_REAL, &timer, NULL));
}

static void count_alarm(int sig) {
  (void)sig;
  alarm_count++;
}

/* on_alarm(how): what SIGALRM does. "nothing": it is counted and interrupts
** system calls; "restart": the same with SA_RESTART; "ignore"; "default" */
static int sys_on_alarm(lua_State *L) {
  static const char *const names[] = {"nothing", "restart", "ignore", "default",
                                      NULL};
  int how = luaL_checkoption(L, 1, NULL, names);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  sigemptyset(&action.sa_mask);
  action.sa_handler = how < 2 ? count_alarm : how == 2 ? SIG_IGN : SIG_DFL;
  action.sa_flags = how == 1 ? SA_RESTART : 0;
  return push_outcome(L, sigaction(SIGALRM, &action, NULL));
}

/* alarms() -> how many were counted so far */
static int sys_alarms(lua_State *L) {
  lua_pushinteger(L, alarm_count);
  return 1;
}

/* ignore(signal [, false]): from now on, also in programs that are started; or
** its default action again */
static int sys_ignore(lua_State *L) {
  bool ignore = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  sigemptyset(&action.sa_mask);
  action.sa_handler = ignore ? SIG_IGN : SIG_DFL;
  return push_outcome(L, sigaction(check_int(L, 1), &action, NULL));
}

/* Sets the soft limit, -1 for none; returns what it was. */
static int swap_limit(lua_State *L, int resource) {
  struct rlimit limit;
  lua_Integer n = luaL_checkinteger(L, 1);
  if (getrlimit(resource, &limit) == -1)
    return fail(L);
  lua_Integer old =
      limit.rlim_cur == RLIM_INFINITY ? -1 : (lua_Integer)limit.rlim_cur;
  limit.rlim_cur = n < 0 ? limit.rlim_max : (rlim_t)n;
  if (setrlimit(resource, &limit) == -1)
    return fail(L);
  lua_pushinteger(L, old);
  return 1;
}

/* setrlimit_nofile(n) -> the limit on descriptors that was */
static int sys_setrlimit_nofile(lua_State *L) {
  return swap_limit(L, RLIMIT_NOFILE);
}

/* setrlimit_as(bytes) -> the limit on address space that was */
static int sys_setrlimit_as(lua_State *L) {
  return swap_limit(L, RLIMIT_AS);
}

static const luaL_Reg functions[] = {
    {"accept", sys_accept},
    {"alarm", sys_alarm},
    {"alarms", sys_alarms},
    {"chmod", sys_chmod},
    {"clearenv", sys_clearenv},
    {"close", sys_close},
    {"dup", sys_dup},
    {"exit", sys_exit},
    {"fork", sys_fork},
    {"getpid", sys_getpid},
    {"getppid", sys_getppid},
    {"getuid", sys_getuid},
    {"ignore", sys_ignore},
    {"inet_connect", sys_inet_connect},
    {"inet_listen", sys_inet_listen},
    {"is_cloexec", sys_is_cloexec},
    {"is_nonblocking", sys_is_nonblocking},
    {"kill", sys_kill},
    {"listdir", sys_listdir},
    {"mkdtemp", sys_mkdtemp},
    {"monotonic", sys_monotonic},
    {"nfds", sys_nfds},
    {"on_alarm", sys_on_alarm},
    {"open", sys_open},
    {"peak_rss", sys_peak_rss},
    {"pipe", sys_pipe},
    {"poll", sys_poll},
    {"read", sys_read},
    {"read_exactly", sys_read_exactly},
    {"read_limit", sys_read_limit},
    {"reset", sys_reset},
    {"rmdir", sys_rmdir},
    {"rss", sys_rss},
    {"send_fds", sys_send_fds},
    {"set_buffers", sys_set_buffers},
    {"setrlimit_as", sys_setrlimit_as},
    {"setrlimit_nofile", sys_setrlimit_nofile},
    {"shutdown", sys_shutdown},
    {"socketpair", sys_socketpair},
    {"spawn", sys_spawn},
    {"stat", sys_stat},
    {"try_write", sys_try_write},
    {"umask", sys_umask},
    {"unix_connect", sys_unix_connect},
    {"unix_listen", sys_unix_listen},
    {"unlink", sys_unlink},
    {"waitpid", sys_waitpid},
    {"write", sys_write},
    {NULL, NULL},
};

static const struct {
  const char *name;
  int value;
} signals[] = {
    {"SIGALRM", SIGALRM}, {"SIGCHLD", SIGCHLD}, {"SIGCONT", SIGCONT},
    {"SIGINT", SIGINT},   {"SIGKILL", SIGKILL}, {"SIGPIPE", SIGPIPE},
    {"SIGSTOP", SIGSTOP}, {"SIGTERM", SIGTERM}, {"SIGUSR1", SIGUSR1},
};

int luaopen_sys(lua_State *L);

int luaopen_sys(lua_State *L) {
  luaL_newlib(L, functions);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    lua_pushinteger(L, signals[i].value);
    lua_setfield(L, -2, signals[i].name);
  }
  return 1;
}

/*
** error.c: names for the system's errors: errno values as C writes them, the
** exceptions that Python makes of them (PEP 3151), and getaddrinfo's.
*/
#include "platform/posix/posix.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

typedef struct numbered {
  int value;
  const char *name;
} numbered;

/* An entry of a table: a constant and its name. */
#define NAMED(constant) \
  { constant, #constant }

/* POSIX.1-2008's, then what not every system has. Of two names for one value
   the first is given. */
static const numbered codes[] = {
    NAMED(E2BIG),
    NAMED(EACCES),
    NAMED(EADDRINUSE),
    NAMED(EADDRNOTAVAIL),
    NAMED(EAFNOSUPPORT),
    NAMED(EAGAIN),
    NAMED(EWOULDBLOCK),
    NAMED(EALREADY),
    NAMED(EBADF),
    NAMED(EBADMSG),
    NAMED(EBUSY),
    NAMED(ECANCELED),
    NAMED(ECHILD),
    NAMED(ECONNABORTED),
    NAMED(ECONNREFUSED),
    NAMED(ECONNRESET),
    NAMED(EDEADLK),
    NAMED(EDESTADDRREQ),
    NAMED(EDOM),
    NAMED(EDQUOT),
    NAMED(EEXIST),
    NAMED(EFAULT),
    NAMED(EFBIG),
    NAMED(EHOSTUNREACH),
    NAMED(EIDRM),
    NAMED(EILSEQ),
    NAMED(EINPROGRESS),
    NAMED(EINTR),
    NAMED(EINVAL),
    NAMED(EIO),
    NAMED(EISCONN),
    NAMED(EISDIR),
    NAMED(ELOOP),
    NAMED(EMFILE),
    NAMED(EMLINK),
    NAMED(EMSGSIZE),
    NAMED(ENAMETOOLONG),
    NAMED(ENETDOWN),
    NAMED(ENETRESET),
    NAMED(ENETUNREACH),
    NAMED(ENFILE),
    NAMED(ENOBUFS),
    NAMED(ENODEV),
    NAMED(ENOENT),
    NAMED(ENOEXEC),
    NAMED(ENOLCK),
    NAMED(ENOMEM),
    NAMED(ENOMSG),
    NAMED(ENOPROTOOPT),
    NAMED(ENOSPC),
    NAMED(ENOSYS),
    NAMED(ENOTCONN),
    NAMED(ENOTDIR),
    NAMED(ENOTEMPTY),
    NAMED(ENOTSOCK),
    NAMED(EOPNOTSUPP),
    NAMED(ENOTSUP),
    NAMED(ENOTTY),
    NAMED(ENXIO),
    NAMED(EOVERFLOW),
    NAMED(EPERM),
    NAMED(EPIPE),
    NAMED(EPROTO),
    NAMED(EPROTONOSUPPORT),
    NAMED(EPROTOTYPE),
    NAMED(ERANGE),
    NAMED(EROFS),
    NAMED(ESPIPE),
    NAMED(ESRCH),
    NAMED(ESTALE),
    NAMED(ETIMEDOUT),
    NAMED(ETXTBSY),
    NAMED(EXDEV),
#ifdef EHOSTDOWN
    NAMED(EHOSTDOWN),
#endif
#ifdef ENONET
    NAMED(ENONET),
#endif
#ifdef ENOTCAPABLE
    NAMED(ENOTCAPABLE),
#endif
#ifdef EPFNOSUPPORT
    NAMED(EPFNOSUPPORT),
#endif
#ifdef EREMOTEIO
    NAMED(EREMOTEIO),
#endif
#ifdef ESHUTDOWN
    NAMED(ESHUTDOWN),
#endif
#ifdef ESOCKTNOSUPPORT
    NAMED(ESOCKTNOSUPPORT),
#endif
#ifdef ETOOMANYREFS
    NAMED(ETOOMANYREFS),
#endif
#ifdef EUSERS
    NAMED(EUSERS),
#endif
};

/* CPython, Objects/exceptions.c, _PyExc_InitState: errnomap. */
static const numbered exceptions[] = {
    {EAGAIN, "BlockingIOError"},
    {EALREADY, "BlockingIOError"},
    {EINPROGRESS, "BlockingIOError"},
    {EWOULDBLOCK, "BlockingIOError"},
    {EPIPE, "BrokenPipeError"},
#ifdef ESHUTDOWN
    {ESHUTDOWN, "BrokenPipeError"},
#endif
    {ECHILD, "ChildProcessError"},
    {ECONNABORTED, "ConnectionAbortedError"},
    {ECONNREFUSED, "ConnectionRefusedError"},
    {ECONNRESET, "ConnectionResetError"},
    {EEXIST, "FileExistsError"},
    {ENOENT, "FileNotFoundError"},
    {EINTR, "InterruptedError"},
    {EISDIR, "IsADirectoryError"},
    {ENOTDIR, "NotADirectoryError"},
    {EACCES, "PermissionError"},
    {EPERM, "PermissionError"},
#ifdef ENOTCAPABLE
    {ENOTCAPABLE, "PermissionError"},
#endif
    {ESRCH, "ProcessLookupError"},
    {ETIMEDOUT, "TimeoutError"},
};

/* EAI_SYSTEM and EAI_MEMORY are made errno's (resolve.c) and listed for
   completeness only. */
static const numbered gai_codes[] = {
    NAMED(EAI_AGAIN),      NAMED(EAI_BADFLAGS), NAMED(EAI_FAIL),
    NAMED(EAI_FAMILY),     NAMED(EAI_MEMORY),   NAMED(EAI_NONAME),
    NAMED(EAI_OVERFLOW),   NAMED(EAI_SERVICE),  NAMED(EAI_SOCKTYPE),
    NAMED(EAI_SYSTEM),
/* what RFC 2553 had and RFC 3493 has not */
#ifdef EAI_ADDRFAMILY
    NAMED(EAI_ADDRFAMILY),
#endif
#ifdef EAI_NODATA
    NAMED(EAI_NODATA),
#endif
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static const char *find(const numbered *table, size_t n, int value) {
  for (size_t i = 0; i < n; i++)
    if (table[i].value == value)
      return table[i].name;
  return NULL;
}

const char *mproc_os_errno_code(int os_errno) {
  return find(codes, COUNT(codes), os_errno);
}

const char *mproc_os_errno_exception(int os_errno) {
  const char *name = find(exceptions, COUNT(exceptions), os_errno);
  return name != NULL ? name : "OSError";
}

#if defined __GLIBC__ || defined __ANDROID__

/* With _GNU_SOURCE strerror_r(3) returns the text, in 'out' or elsewhere. */
const char *mproc_os_errno_text(int os_errno, char *out, size_t size) {
  const char *text = strerror_r(os_errno, out, size);
  if (text != out)
    snprintf(out, size, "%s", text);
  return out;
}

#else

const char *mproc_os_errno_text(int os_errno, char *out, size_t size) {
  if (strerror_r(os_errno, out, size) != 0)
    snprintf(out, size, "Unknown error %d", os_errno);
  return out;
}

#endif

/* The EAI_ constant in 'st': Linux counts down from -1, BSD up from 1. */
static int gai_value(mproc_status st) {
  int value = st - MPROC_GAI_FIRST;
  return EAI_NONAME < 0 ? -value : value;
}

const char *mproc_os_gai_code(mproc_status st) {
  return find(gai_codes, COUNT(gai_codes), gai_value(st));
}

const char *mproc_os_gai_text(mproc_status st) {
  return gai_strerror(gai_value(st));
}

bool mproc_os_is_nobody_listening(mproc_status st) {
  int e = mproc_status_errno(st);
  return e == ECONNREFUSED || e == ENOENT;
}

bool mproc_os_is_hang_up(mproc_status st) {
  return mproc_status_errno(st) == EPIPE;
}

/* connect(2): EAGAIN, for AF_UNIX on Linux. Elsewhere a full backlog cannot be
   told from nobody listening. */
bool mproc_os_is_backlog_full(mproc_status st) {
  int e = mproc_status_errno(st);
  return e == EAGAIN || e == EWOULDBLOCK;
}

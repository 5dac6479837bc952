/*
** status.h: how an operation of the core came out.
**
** A status is one int. Zero is success; the positive ones below are outcomes
** of our own; a negative one is a system error, the errno value negated (as
** the kernel and libuv write it); one from MPROC_GAI_FIRST on is an error of
** getaddrinfo. So a status needs no memory and no owner, and can be passed
** through every layer. 16 bits hold it: no system's errno values go beyond 4095.
*/
#ifndef MPROC_STATUS_H
#define MPROC_STATUS_H

/*
** Each outcome with the name of Python's exception for it and the text that
** says what happened. OK and AGAIN are never shown to a user.
*/
#define MPROC_OUTCOMES(X)                                                      \
  X(OK, "", "success")                                                         \
  /* nothing is wrong: call again once the handle is ready */                  \
  X(AGAIN, "BlockingIOError", "operation would block")                         \
  X(INTERRUPTED, "InterruptedError", "interrupted by a signal")                \
  X(NOMEM, "MemoryError", "not enough memory")                                 \
  X(TIMEOUT, "TimeoutError", "timed out")                                      \
  /* the peer closed between two messages */                                   \
  X(EOF, "EOFError", "end of file")                                            \
  X(EOF_IN_MESSAGE, "OSError", "got end of file during message")               \
  /* a length that is negative, or over the caller's limit */                  \
  X(BAD_LENGTH, "OSError", "bad message length")                               \
  /* a child of fork(2) cannot send while its parent's message is under way */ \
  X(NOT_OURS, "OSError", "a message of the parent process is under way")       \
  /* handles that are passed: what comes next is none, and was not taken */    \
  X(MESSAGE_NEXT, "RuntimeError", "a message came, not a descriptor")          \
  X(BAD_HANDLE, "RuntimeError", "another thing than one descriptor came")      \
  /* bytes that came are here already, where only the system's were wanted */  \
  X(BUFFERED, "OSError",                                                       \
    "bytes that came are buffered (receive them first; with readahead = "      \
    "false none are read ahead)")                                              \
  /* the address cannot name a socket here */                                  \
  X(PATH_TOO_LONG, "OSError", "AF_UNIX path too long")                         \
  X(NO_PARENT, "ProcessLookupError",                                           \
    "this program was not started by spawn, or has its connection already")    \
  /* not a pickle, or one that is refused; see pickle/tree.h */                \
  X(UNPICKLING, "UnpicklingError", "malformed pickle")                         \
  /* the handshake; see handshake.h for who sees which */                      \
  X(AUTH_OVERSIZE, "AuthenticationError", "handshake message too long")        \
  X(AUTH_NO_CHALLENGE, "AuthenticationError",                                  \
    "protocol error, expected a challenge")                                    \
  X(AUTH_CHALLENGE_SHORT, "AuthenticationError", "challenge too short")        \
  X(AUTH_DIGEST, "AuthenticationError",                                        \
    "unsupported message length, missing digest prefix, or digest not "        \
    "allowed")                                                                 \
  X(AUTH_MAC_LENGTH, "AuthenticationError",                                    \
    "digest received has the wrong length")                                    \
  X(AUTH_MAC, "AuthenticationError", "digest received was wrong")              \
  X(AUTH_REJECTED, "AuthenticationError", "digest sent was rejected")          \
  X(AUTH_CRYPTO, "AuthenticationError", "digest unavailable in OpenSSL")       \
  X(AUTH_UNASKED, "AuthenticationError",                                       \
    "the listener asks for an authkey, and this client has none")              \
  X(AUTH_USER, "AuthenticationError", "the peer's user is not in 'allow'")     \
  X(AUTH_SILENT, "TimeoutError",                                               \
    "handshake timed out: no challenge came (has the listener an authkey?)")   \
  X(AUTH_STALLED, "TimeoutError", "handshake timed out")

typedef int mproc_status;

enum {
#define X(name, exception, text) MPROC_##name,
  MPROC_OUTCOMES(X)
#undef X
      MPROC_OUTCOME_COUNT,
  /* MPROC_GAI_FIRST + |EAI_...| */
  MPROC_GAI_FIRST = 1000
};

/* The status of the system error 'os_errno' (an errno value, above 0). */
static inline mproc_status mproc_status_system(int os_errno) {
  return -os_errno;
}

/* The status of getaddrinfo's error 'eai' (an EAI_ constant; never 0). */
static inline mproc_status mproc_status_gai(int eai) {
  return MPROC_GAI_FIRST + (eai < 0 ? -eai : eai);
}

/* The errno value in 'st', or 0 where there is none. */
static inline int mproc_status_errno(mproc_status st) {
  return st < 0 ? -st : 0;
}

/*
** The name of Python's exception for an outcome of our own; NULL for a system
** error, which platform.h names.
*/
const char *mproc_status_name(mproc_status st);

/* What happened, in English without a full stop; NULL for a system error. */
const char *mproc_status_text(mproc_status st);

#endif

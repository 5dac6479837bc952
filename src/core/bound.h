/*
** bound.h: from an address to a handle that listens there, and the socket file
** that it stands for until it is closed.
*/
#ifndef MPROC_BOUND_H
#define MPROC_BOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "core/address.h"
#include "core/platform.h"
#include "core/status.h"

typedef struct mproc_bound {
  mproc_handle handle;   /* MPROC_NO_HANDLE: none */
  mproc_address address; /* as bound */
  int64_t owner;         /* the process that may unlink */
  mproc_file_id file;
  bool has_file;
  bool has_private; /* the file's directory is ours, too */
} mproc_bound;

/* As it is before mproc_bound_open. */
void mproc_bound_init(mproc_bound *b);

/*
** Binds and listens. 'at' NULL: a fresh address of 'family' (NONE: the
** platform's default): a socket file in a private directory, or port 0. Not OK:
** PATH_TOO_LONG, a gai status, a system error (EADDRINUSE, EACCES, …).
** mproc_bound_close is to follow, whichever it is.
*/
mproc_status mproc_bound_open(mproc_bound *b, const mproc_address *at,
                              mproc_family family,
                              const mproc_listen_options *o);

/*
** Closes the handle and removes the file (and private directory), if this process
** made it and it is still the same.
*/
void mproc_bound_close(mproc_bound *b);

#endif

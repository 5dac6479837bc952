/*
** dialer.h: from an address to a connected handle: each of the host's
** addresses in turn, a pause when the listener's backlog is full, and trying
** again while no one is listening yet. Deadlines are its owner's.
*/
#ifndef MPROC_DIALER_H
#define MPROC_DIALER_H

#include <stdbool.h>

#include "core/address.h"
#include "core/bytes.h"
#include "core/deadline.h"
#include "core/platform.h"
#include "core/status.h"
#include "core/watch.h"

typedef struct mproc_dialer mproc_dialer;

/*
** A new dialer for 'to', owned by the caller. Asks the system's resolver,
** which may block. 'retry': go on for as long as no one is listening.
** 'watches' are its owner's, told before it closes a handle. NOMEM, a gai
** status, PATH_TOO_LONG, a system error.
*/
mproc_status mproc_dialer_new(const mproc_allocator *a, const mproc_address *to,
                              bool retry, mproc_link *watches,
                              mproc_dialer **d);

/*
** Goes as far as it can at 'now'. OK: '*h' is connected, in blocking mode,
** still the dialer's, until mproc_dialer_release; may be asked again. AGAIN:
** call again when what mproc_dialer_want asks for has come. Other: failed (the
** last address's error).
*/
mproc_status mproc_dialer_step(mproc_dialer *d, mproc_time now,
                               mproc_handle *h);

/* What to wait for: the handle to become writable (or none), and a time. */
mproc_handle mproc_dialer_want(const mproc_dialer *d, mproc_time *wake);

/* Gives the connected handle up to the caller, who has a place for it now. */
void mproc_dialer_release(mproc_dialer *d);

/* Frees it, and closes a handle that is still connecting. NULL is fine. */
void mproc_dialer_free(mproc_dialer *d);

#endif

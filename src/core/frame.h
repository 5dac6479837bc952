/*
** frame.h: the length prefix of a message on a byte stream. Pure.
**
** 4 bytes, big-endian, signed: the payload's size; or -1, and then 8 bytes,
** big-endian, unsigned, for more than 0x7fffffff (CPython 3.6 to 3.13,
** multiprocessing/connection.py, Connection._send_bytes and _recv_bytes).
*/
#ifndef MPROC_FRAME_H
#define MPROC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"

#define MPROC_FRAME_SHORT 4       /* size of the usual header */
#define MPROC_FRAME_HEADER_MAX 12 /* size of the long one */

/* Writes the header for 'size' bytes of payload; returns its size: 4 or 12. */
size_t mproc_frame_encode(uint64_t size, uint8_t out[MPROC_FRAME_HEADER_MAX]);

/*
** Decodes the header at the start of 'in'; consumes nothing.
** OK: the payload has '*size' bytes and starts after '*used' (4 or 12).
** AGAIN: 'in' is too short to tell; '*used' is how many bytes are needed to
** tell more (4, or 12 once the first 4 are -1).
** BAD_LENGTH: the length is negative and not -1, or over 'max', or cannot be
** held in memory at all (over PTRDIFF_MAX).
** A long header for a size that would fit the short one is accepted, as
** CPython accepts it.
*/
mproc_status mproc_frame_decode(mproc_view in, uint64_t max, size_t *used,
                                uint64_t *size);

#endif

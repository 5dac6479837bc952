/*
** utf8.h: whether bytes are UTF-8. Pure.
*/
#ifndef MPROC_PICKLE_UTF8_H
#define MPROC_PICKLE_UTF8_H

#include "core/bytes.h"

typedef enum mproc_utf8 {
  MPROC_UTF8_VALID, /* as in RFC 3629; ASCII and nothing at all too */
  /* UTF-8 but for surrogates, each in three bytes of its own (WTF-8): what
     Python writes for a str that has some. A high one before a low one stays
     two characters there ('surrogatepass'), so it is allowed here. */
  MPROC_UTF8_SURROGATES,
  MPROC_UTF8_INVALID
} mproc_utf8;

/* What kind of text 'v' is. */
mproc_utf8 mproc_utf8_kind(mproc_view v);

#endif

/*
** text.h: what the textual arguments of protocol 0 say: the lines of INT,
** LONG, FLOAT, STRING, UNICODE, PUT and GET. Pure.
**
** A line comes without its newline. Accepted is what CPython 3.11 accepts
** (Modules/_pickle.c: load_int, load_long, load_float, load_string,
** load_unicode, load_put), less what no pickler has ever written: underscores,
** and numbers in base 2, 8 and 16. One function serves INT and LONG, so INT may
** have LONG's 'L'.
*/
#ifndef MPROC_PICKLE_TEXT_H
#define MPROC_PICKLE_TEXT_H

#include <stdbool.h>

#include "core/bytes.h"
#include "pickle/opcode.h"

/*
** The decimal in the line of an INT or a LONG, which may have whitespace
** around it and an 'L' at its end. True: '*number' is the part of 'line' with
** an optional sign and the digits, as mproc_bigint_from_decimal takes them.
** False: this is no decimal number. Zeros before other digits are refused:
** Python reads them as octal in INT, and not at all in LONG. So INT's "01"
** for True (and "00" for False) must be looked for first.
*/
bool mproc_pickle_text_decimal(mproc_view line, mproc_view *number);

/*
** The value of that decimal. False: it does not fit 64 bits, or there is none
** (then mproc_pickle_text_decimal is false too).
*/
bool mproc_pickle_text_int(mproc_view line, int64_t *out);

/*
** The line of a PUT or a GET: decimal, with an optional sign and whitespace,
** zeros before it allowed. False: it is no number, negative, or over 64 bits.
*/
bool mproc_pickle_text_index(mproc_view line, uint64_t *out);

/*
** The line of a FLOAT: what repr writes and float() reads ("inf" and "nan" in
** any case, too), correctly rounded, in any locale. BAD_ARGUMENT: it is no
** number, or too large for a double (CPython: OverflowError; "1e-999" is 0).
*/
mproc_pickle_fault mproc_pickle_text_float(mproc_view line, double *out);

/*
** The bytes of a STRING: quoted, with the escapes of Python 2's str; escapes
** that it does not know stay as they are. 'out' has room for line.size bytes
** and may be where 'line' is. Returns how many were written, or SIZE_MAX where
** the quotes do not match, "\x" lacks a digit, or a backslash ends it.
*/
size_t mproc_pickle_unquote(mproc_view line, uint8_t *out);

/* Room for what mproc_pickle_unraw makes of any line of that size: a byte from
   0x80 on grows to two, an escape shrinks. */
#define MPROC_PICKLE_UNRAW_ROOM(size) (2 * (size))

/*
** The text of a UNICODE (Python's raw-unicode-escape: \uXXXX and \UXXXXXXXX
** after an even number of backslashes; any other byte is Latin-1) as UTF-8, or
** as WTF-8 where '*surrogates' becomes true. Two \u escapes that are a
** surrogate pair stay two surrogates, as in Python 3. Returns the size, or
** SIZE_MAX for an escape that is cut short or over 0x10ffff, or where 'room'
** does not suffice.
*/
size_t mproc_pickle_unraw(mproc_view line, uint8_t *out, size_t room,
                          bool *surrogates);

#endif

#!/usr/bin/env python3
"""Prints writer_samples.h: simple values, and what CPython's pickle writes of each
in each protocol, without the memo's opcodes where nothing refers to them.

    python3 spec/c/writer_samples.py > spec/c/writer_samples.h
"""
import collections
import pickle
import pickletools
import struct
import sys

from pickle_samples import c_literal

INTEGERS = [0, 1, -1, 255, 256, 65535, 65536, -128, -32768, 2**31 - 1, 2**31,
            -2**31, -2**31 - 1, 2**32, 2**63 - 1, -2**63]
LONGS = [2**63, -2**63 - 1, 2**64, 10**40, -10**40, 2**2039 - 1, 2**2039]
REALS = ["0000000000000000", "8000000000000000", "3ff8000000000000",
         "0000000000000001", "7fefffffffffffff", "7ff0000000000000",
         "fff0000000000000", "3fb999999999999a", "c1e65a0bbfffffff",
         "4059000000000000", "430c6bf526340000"]
TEXTS = ["", "a", "n\nl\\ r\r z\x1a \x00", "\x7f\x80\xff", "\u20ac\uffff",
         "\U00010000\U0010ffff", "\ud83d", "\ud83d\ude00", "x" * 255, "x" * 256]
BYTES = [b"", b"a", b"\0\n\r\x1a\\\x7f\x80\xff", b"\xfe" * 255, b"x" * 256]
GLOBALS = [collections.OrderedDict, struct.Struct]


def values():
    """Kind, what the test gives to the writer, the value."""
    yield "NONE", b"", None
    yield "TRUE", b"", True
    yield "FALSE", b"", False
    for value in INTEGERS:
        yield "INTEGER", value.to_bytes(8, "little", signed=True), value
    for value in LONGS:
        size = (value.bit_length() >> 3) + 1
        yield "LONG", value.to_bytes(size, "little", signed=True), value
    for bits in REALS:
        data = bytes.fromhex(bits)
        yield "REAL", data[::-1], struct.unpack(">d", data)[0]
    for value in TEXTS:
        yield "TEXT", value.encode("utf-8", "surrogatepass"), value
    for value in BYTES:
        yield "BYTES", value, value
    for value in BYTES[:3]:
        yield "BYTEARRAY", value, bytearray(value)
    for value in GLOBALS:
        name = "%s\n%s" % (value.__module__, value.__name__)
        yield "GLOBAL", name.encode(), value


HEAD = """/*
** writer_samples.h: simple values, and what CPython writes of each in protocols
** 0 to 5, less the memo. Made by writer_samples.py, here with CPython %s.
*/
#ifndef MPROC_WRITER_SAMPLES_H
#define MPROC_WRITER_SAMPLES_H

#include <stddef.h>

typedef enum writer_kind {
  NONE,
  TRUE,
  FALSE,
  INTEGER, /* 'data': 64 bits, little-endian, two's complement */
  LONG,    /* the same, of any size */
  REAL,    /* 64 bits, little-endian */
  TEXT,
  BYTES,
  BYTEARRAY,
  GLOBAL /* module, newline, name */
} writer_kind;

typedef struct writer_bytes {
  const char *data;
  size_t size;
} writer_bytes;

typedef struct writer_sample {
  writer_kind kind;
  writer_bytes value;
  writer_bytes pickles[6]; /* by protocol */
} writer_sample;

/* clang-format off */
#define BYTES_OF(literal) {literal, sizeof(literal) - 1}

static const writer_sample writer_samples[] = {"""

TAIL = """};
#undef BYTES_OF
/* clang-format on */

#endif"""


def literal(data, indent):
    return ("\n" + indent).join('"%s"' % line for line in c_literal(data))


def main():
    print(HEAD % ".".join(map(str, sys.version_info[:3])))
    for kind, data, value in values():
        print("  {%s, BYTES_OF(%s), {" % (kind, literal(data, "    ")))
        for protocol in range(6):
            written = pickletools.optimize(pickle.dumps(value, protocol))
            print("    BYTES_OF(%s)," % literal(written, "      "))
        print("  }},")
    print(TAIL)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Prints pickle_samples.h: pickles of all protocols, with every opcode in them,
and what pickletools says of each.

    python3 spec/c/pickle_samples.py > spec/c/pickle_samples.h
"""
import io
import pickle
import pickletools
import sys
from pickle import PickleBuffer


class Instance:
    """Its pickle has a class, a state and, with Named, arguments."""


class Named(str):
    def __getnewargs_ex__(self):
        return ("x",), {"y": 1}


class Persistent(pickle._Pickler):
    def persistent_id(self, obj):
        return "pid 1" if obj is Instance else None


def persist(value, protocol):
    out = io.BytesIO()
    Persistent(out, protocol).dump(value)
    return out.getvalue()


def values():
    shared = ["s"]
    loop = []
    loop.append(loop)
    instance = Instance()
    instance.field = 1
    yield "numbers", [None, True, False, 0, 1, 255, 256, 65535, 65536, -1,
                      2**31 - 1, -2**31, 2**31, -2**63, 2**100, -2**100]
    yield "texts", ["", "a", "\u00e9", "\u20ac", "\U0001f600", "\ud83d",
                    "n\nl\\", b"b\x00", b"\xff\xfe", bytearray(b"ba")]
    yield "containers", [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], {},
                         {"k": 1}, {"a": 1, 2: (3,)}, shared, shared, set(),
                         {5}, frozenset([6]), loop]
    yield "floats", [0.0, -0.0, 1.5, 1e308, 5e-324, float("inf"), float("nan")]
    yield "instance", instance


def samples():
    # the three of the protocol's description: [2.25, None, "junk", float]
    yield ("documented, 0",
           b"(lp0\nF2.25\naNaVjunk\np1\nac__builtin__\nfloat\np2\na.")
    yield ("documented, 3",
           b"\x80\x03]q\0(G@\x02\0\0\0\0\0\0NX\x04\0\0\0junkq\x01"
           b"cbuiltins\nfloat\nq\x02e.")
    yield ("documented, 4",
           b"\x80\x04\x95+\0\0\0\0\0\0\0]\x94(G@\x02\0\0\0\0\0\0N"
           b"\x8c\x04junk\x94\x8c\x08builtins\x94\x8c\x05float\x94\x93\x94e.")
    for protocol in range(6):
        for name, value in values():
            yield "%s, %d" % (name, protocol), pickle.dumps(value, protocol)
        yield "persistent, %d" % protocol, persist([Instance], protocol)
    for protocol in (2, 3, 4):
        yield "arguments, %d" % protocol, pickle.dumps(Named("x"), protocol)
    buffers = [PickleBuffer(b"r"), PickleBuffer(bytearray(b"w"))]
    yield "buffers, 5", pickle.dumps(buffers, 5,
                                     buffer_callback=lambda b: None)
    # what others write, or only for large data
    yield "LONG4", b"\x80\x02\x8b\x03\0\0\0\x01\x02\x03."
    yield "BINBYTES", b"\x80\x03B\x03\0\0\0\0\xff\n."
    yield "BYTEARRAY8", b"\x80\x05\x96\x02\0\0\0\0\0\0\0\0\x01."
    yield ("BINUNICODE8 and BINBYTES8", b"\x80\x04\x8d\x03\0\0\0\0\0\0\0abc"
                                        b"\x8e\x02\0\0\0\0\0\0\0\xff\0\x86.")
    yield ("strings of Python 2",
           b"(S'it\\'s \\x41'\nS\"q\"\nT\x02\0\0\0abU\x01c\x88t.")
    yield ("INT and LONG", b"(I01\nI00\nI-5\nL7L\nL-99999999999999999999L\nt.")
    yield "INST and OBJ", b"((I1\nibuiltins\nlist\n(cbuiltins\ndict\nI2\not."
    yield "DUP, POP, POP_MARK", b"N20((NN10N."
    yield "LONG_BINPUT", b"]q\x05(h\x05r\xff\xff\xff\xffj\x04\x03\x02\x01e."
    yield "PUT and GET", b"]p18446744073709551615\ng0\ng007\n."
    yield "extensions", b"\x80\x02\x82\x01\x83\x01\x02\x84\x01\x02\x03\x84\x85."
    yield ("FRAME of any size", b"\x80\x04\x95\0\0\0\0\0\0\0\0"
                                b"\x95\x02\0\0\0\0\0\0\0N.")
    yield "empty lines", b"(V\nP\nS''\nt."
    yield "more after STOP", b"N.N."


# How many bytes of count are before the data.
COUNTS = {
    "string1": 1, "bytes1": 1, "unicodestring1": 1, "long1": 1,
    "string4": 4, "bytes4": 4, "unicodestring4": 4, "long4": 4,
    "bytes8": 8, "bytearray8": 8, "unicodestring8": 8,
}


def argument(op, raw):
    """`raw` is what is between this opcode's byte and the next one."""
    if op.arg is None:
        return ""
    form = op.arg.name
    if form in COUNTS:
        return " " + raw[COUNTS[form]:].hex()
    if form == "float8":
        return " " + raw.hex()
    if form.startswith("uint") or form == "int4":
        return " %d" % int.from_bytes(raw, "little", signed=form == "int4")
    if op.name in ("GET", "PUT"):
        return " %d" % int(raw)
    return "".join(" " + line.hex() for line in raw[:-1].split(b"\n"))


def listing(data):
    """A line for each opcode, those after STOP too."""
    base = 0
    while base < len(data):
        ops = list(pickletools.genops(data[base:]))
        ends = [at for _, _, at in ops[1:]] + [ops[-1][2] + 1]
        for (op, _, at), end in zip(ops, ends):
            raw = data[base + at + 1:base + end]
            yield "%d %s%s" % (base + at, op.name, argument(op, raw))
        base += ends[-1]


def c_literal(data, width=64):
    """Lines of a C string: printable ASCII as it is, the rest in octal, which
    ends after three digits whatever follows."""
    line = ""
    for byte in data:
        if byte == 10:
            line += "\\n"
        elif 32 <= byte < 127 and byte not in b'"\\?':
            line += chr(byte)
        else:
            line += "\\%03o" % byte
        if len(line) >= width:
            yield line
            line = ""
    yield line


def pack(ops, width=70):
    """C literals of some opcodes each."""
    line = ""
    for op in ops:
        piece = op + "\\n"
        if line and len(line) + len(piece) > width:
            yield line
            line = ""
        line += piece
        while len(line) > width:
            yield line[:width]
            line = line[width:]
    yield line


HEAD = """/*
** pickle_samples.h: pickles of all protocols, with every opcode in them, each
** with its opcodes as pickletools has them: offset, name, argument (numbers in
** decimal; bytes, lines and doubles in hexadecimal). Made by pickle_samples.py,
** here with CPython %s.
*/
#ifndef MPROC_PICKLE_SAMPLES_H
#define MPROC_PICKLE_SAMPLES_H

#include <stddef.h>

typedef struct pickle_sample {
  const char *name; /* its number is the protocol */
  const char *data;
  size_t size;
  const char *listing; /* a line for each opcode */
} pickle_sample;

/* clang-format off */
#define SAMPLE(name, data, listing) {name, data, sizeof(data) - 1, listing}

static const pickle_sample pickle_samples[] = {"""

TAIL = """};
#undef SAMPLE
/* clang-format on */

#endif"""


def main():
    print(HEAD % ".".join(map(str, sys.version_info[:3])))
    seen = set()
    for name, data in samples():
        ops = list(listing(data))
        seen.update(line.split()[1] for line in ops)
        print('  SAMPLE("%s",' % name)
        print("\n".join('    "%s"' % line for line in c_literal(data)) + ",")
        text = "".join(line + "\n" for line in ops).encode()
        assert len(text) < 4096, "C11, 5.2.4.1: no longer literals"
        print("\n".join('    "%s"' % line for line in pack(ops)) + "),")
    print(TAIL)
    missing = {op.name for op in pickletools.opcodes} - seen
    assert not missing, missing


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes pickles into a folder, for the fuzzers to begin with: small ones of
every protocol, and some of what goes wrong.

    python3 spec/fuzz/make_corpus.py FOLDER
"""
import array
import collections
import datetime
import decimal
import fractions
import os
import pathlib
import pickle
import struct
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "c"))
import pickle_samples  # noqa: E402


class Exact(dict):
    def __reduce__(self):
        return Exact, (), {"state": 1}, iter([1]), iter([("k", b"v")])


def values():
    shared = [b"shared", "s" * 70]
    loop = {}
    loop["self"] = (loop, [loop])
    knot = []
    knot.append((knot,))
    yield from (shared * 2, loop, knot, (shared, b"\xff" * 50, {1.5: None}))
    yield [collections.OrderedDict(a=1), collections.defaultdict(list, {1: [2]}),
           collections.deque([1, 2], 3), complex(1, 2), range(3), slice(1, 2)]
    yield [array.array("d", [1.5]), datetime.datetime(2022, 10, 15, 1, 2, 3),
           datetime.timedelta(1), datetime.timezone.utc]
    yield [decimal.Decimal("1.5"), fractions.Fraction(1, 2), uuid.UUID(int=1),
           pathlib.PurePosixPath("/a"), ValueError("x"), Exact(a=1)]
    yield {"keys": {1: 2, "1": 3, (1, 2): 4, None: 5, b"b": 6, True: 7}}
    yield [{frozenset([1]), (2,)}, bytearray(b"ba"), float("nan"), -0.0, 2**70]
    yield [len, dict.fromkeys, pickle.Pickler]


# What lies, in ways that once mattered here or elsewhere.
NASTY = [
    # two sets of one list, which go on with it
    b"]q\0(K\1e(K\2ecbuiltins\nset\nh\0\x85Ra.",
    b"cbuiltins\nset\nq\0](K\1]eq\1](h\0h\1\x85Rh\0h\1\x85Req\2"
    b"](h\0h\2\x85Rh\0h\2\x85Re.",
    # long text and bytes, used often
    b"c_codecs\nencode\nq\0U\6latin1q\2X\x32\0\0\0" + b"x" * 50
    + b"q\1](h\0h\1h\2\x86Rh\0h\1h\2\x86Re.",
    b"cbuiltins\nbytearray\nq\0B\x32\0\0\0" + b"x" * 50
    + b"q\1](h\0h\1\x85Rh\0h\1\x85Re.",
    b"X\x32\0\0\0" + b"x" * 50 + b"q\0h\0\x93h\0h\0\x93\x86.",
    # bytes that an instance and a list share
    b"\x80\x03C\x32" + b"A" * 50 + b"q\0ca\nb\nh\0\x85R\x86.",
    # indices
    b"]r\xff\xff\xff\xffj\xff\xff\xff\xff\x86.",
    b"]p18446744073709551615\ng18446744073709551615\n\x86.",
    # sizes
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", b"\x8b\xff\xff\xff\xff.",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
    # nesting
    b"(" * 200 + b"." , b"]" * 200 + b"a" * 199 + b".",
    b")" + b"\x85" * 200 + b".",
    # keys
    b"}(G\x7f\xf8\0\0\0\0\0\0K\1u.", b"}(C\1aK\1X\1\0\0\0aK\2u.",
    b"}(X\1\0\0\0aK\1C\1aK\2u.", b"\x8f(G\x7f\xf8\0\0\0\0\0\0\x90.",
    # instances in themselves
    b"ca\nb\n]q\0\x85R}b.", b"ca\nb\n)\x81q\0h\0b.",
    b"ca\nb\n]q\0\x85Rq\1h\0h\1a0.", b"(I1\nia\nb\n.", b"(ca\nb\n]o.",
    b"ca\nb\n)}(X\1\0\0\0kK\1u\x92.", b"ca\nb\n)R(K\1e(K\2K\3u}b.",
    # persistent ids, extensions, buffers
    b"Pnil\n.", b"X\1\0\0\0pQ.", b"\x82\1.", b"\x97.",
    # text of protocol 0
    b"V\\ud800\\udc00\n.", b"S'\\x41\\'\\n'\n.", b"L" + b"9" * 40 + b"L\n.",
    b"F1e400\n.", b"Fnan\n.", b"I01\n.", b"\x80\x04\x8c\0\x8c\1a\x93.",
    b"0.", b"1.", b"(0N.", b"2.", b"", b".", b"\x80\x06N.",
]


def corpus():
    for _, data in pickle_samples.samples():
        yield data
    for value in values():
        for protocol in range(6):
            yield pickle.dumps(value, protocol)
    yield from NASTY
    for code in range(256):
        yield b"(]K\1" + struct.pack("<BQ", code, 1) + b"\n\n."


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for number, data in enumerate(corpus()):
        with open(os.path.join(folder, "%03d" % number), "wb") as file:
            file.write(data)


if __name__ == "__main__":
    main()

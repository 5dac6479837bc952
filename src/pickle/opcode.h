/*
** opcode.h: the opcodes of pickle: their bytes, CPython's names for them, the
** form of the argument that follows, the protocol that brought them, and how
** reading one may fail.
**
** After CPython 3.11: Lib/pickletools.py (opcodes) and Modules/_pickle.c.
*/
#ifndef MPROC_PICKLE_OPCODE_H
#define MPROC_PICKLE_OPCODE_H

/* The forms of an argument. Numbers are little-endian unless it says other. */
typedef enum mproc_pickle_arg {
  MPROC_ARG_UNKNOWN = 0, /* there is no such opcode */
  MPROC_ARG_NONE,
  MPROC_ARG_U1,
  MPROC_ARG_U2,
  MPROC_ARG_U4,
  MPROC_ARG_U8,
  MPROC_ARG_I4,
  MPROC_ARG_F8,        /* big-endian IEEE 754 double */
  MPROC_ARG_BYTES_U1,  /* a U1, then as many bytes */
  MPROC_ARG_BYTES_U4,  /* a U4, then as many bytes */
  MPROC_ARG_BYTES_U8,  /* a U8, then as many bytes */
  MPROC_ARG_BYTES_I4,  /* an I4, never negative, then as many bytes */
  MPROC_ARG_LINE,      /* what comes before the next newline */
  MPROC_ARG_TWO_LINES, /* neither of them empty */
  MPROC_ARG_INDEX,     /* a line: a decimal number, not negative */
  MPROC_ARG_FRAME      /* a U8; as many bytes of opcodes follow */
} mproc_pickle_arg;

/* X(NAME, byte, form of the argument, protocol), by protocol. */
#define MPROC_OPCODES(X)                 \
  X(MARK, '(', NONE, 0)                  \
  X(STOP, '.', NONE, 0)                  \
  X(POP, '0', NONE, 0)                   \
  X(DUP, '2', NONE, 0)                   \
  X(FLOAT, 'F', LINE, 0)                 \
  X(INT, 'I', LINE, 0)                   \
  X(LONG, 'L', LINE, 0)                  \
  X(NONE, 'N', NONE, 0)                  \
  X(PERSID, 'P', LINE, 0)                \
  X(REDUCE, 'R', NONE, 0)                \
  X(STRING, 'S', LINE, 0)                \
  X(UNICODE, 'V', LINE, 0)               \
  X(APPEND, 'a', NONE, 0)                \
  X(BUILD, 'b', NONE, 0)                 \
  X(GLOBAL, 'c', TWO_LINES, 0)           \
  X(DICT, 'd', NONE, 0)                  \
  X(GET, 'g', INDEX, 0)                  \
  X(INST, 'i', TWO_LINES, 0)             \
  X(LIST, 'l', NONE, 0)                  \
  X(PUT, 'p', INDEX, 0)                  \
  X(SETITEM, 's', NONE, 0)               \
  X(TUPLE, 't', NONE, 0)                 \
                                         \
  X(POP_MARK, '1', NONE, 1)              \
  X(BINFLOAT, 'G', F8, 1)                \
  X(BININT, 'J', I4, 1)                  \
  X(BININT1, 'K', U1, 1)                 \
  X(BININT2, 'M', U2, 1)                 \
  X(BINPERSID, 'Q', NONE, 1)             \
  X(BINSTRING, 'T', BYTES_I4, 1)         \
  X(SHORT_BINSTRING, 'U', BYTES_U1, 1)   \
  X(BINUNICODE, 'X', BYTES_U4, 1)        \
  X(EMPTY_LIST, ']', NONE, 1)            \
  X(APPENDS, 'e', NONE, 1)               \
  X(BINGET, 'h', U1, 1)                  \
  X(LONG_BINGET, 'j', U4, 1)             \
  X(OBJ, 'o', NONE, 1)                   \
  X(BINPUT, 'q', U1, 1)                  \
  X(LONG_BINPUT, 'r', U4, 1)             \
  X(SETITEMS, 'u', NONE, 1)              \
  X(EMPTY_DICT, '}', NONE, 1)            \
  X(EMPTY_TUPLE, ')', NONE, 1)           \
                                         \
  X(PROTO, 0x80, U1, 2)                  \
  X(NEWOBJ, 0x81, NONE, 2)               \
  X(EXT1, 0x82, U1, 2)                   \
  X(EXT2, 0x83, U2, 2)                   \
  X(EXT4, 0x84, I4, 2)                   \
  X(TUPLE1, 0x85, NONE, 2)               \
  X(TUPLE2, 0x86, NONE, 2)               \
  X(TUPLE3, 0x87, NONE, 2)               \
  X(NEWTRUE, 0x88, NONE, 2)              \
  X(NEWFALSE, 0x89, NONE, 2)             \
  X(LONG1, 0x8a, BYTES_U1, 2)            \
  X(LONG4, 0x8b, BYTES_I4, 2)            \
                                         \
  X(BINBYTES, 'B', BYTES_U4, 3)          \
  X(SHORT_BINBYTES, 'C', BYTES_U1, 3)    \
                                         \
  X(SHORT_BINUNICODE, 0x8c, BYTES_U1, 4) \
  X(BINUNICODE8, 0x8d, BYTES_U8, 4)      \
  X(BINBYTES8, 0x8e, BYTES_U8, 4)        \
  X(EMPTY_SET, 0x8f, NONE, 4)            \
  X(ADDITEMS, 0x90, NONE, 4)             \
  X(FROZENSET, 0x91, NONE, 4)            \
  X(NEWOBJ_EX, 0x92, NONE, 4)            \
  X(STACK_GLOBAL, 0x93, NONE, 4)         \
  X(MEMOIZE, 0x94, NONE, 4)              \
  X(FRAME, 0x95, FRAME, 4)               \
                                         \
  X(BYTEARRAY8, 0x96, BYTES_U8, 5)       \
  X(NEXT_BUFFER, 0x97, NONE, 5)          \
  X(READONLY_BUFFER, 0x98, NONE, 5)

/* MPROC_OP_MARK = '(' and so on. */
typedef enum mproc_pickle_opcode {
#define X(name, byte, arg, protocol) MPROC_OP_##name = byte,
  MPROC_OPCODES(X)
#undef X
} mproc_pickle_opcode;

#define MPROC_PICKLE_PROTOCOL_MAX 5

/* How reading an opcode, or the text in its argument, may fail. */
typedef enum mproc_pickle_fault {
  MPROC_PICKLE_OK,
  MPROC_PICKLE_TRUNCATED, /* the input ends before this opcode does */
  MPROC_PICKLE_UNKNOWN_OPCODE,
  /* a negative count, no index in PUT or GET, no name in GLOBAL or INST */
  MPROC_PICKLE_BAD_ARGUMENT
} mproc_pickle_fault;

#endif

---@meta
-- luacheck: no unused

--- Bytes of a fixed size that can be changed in place: what `recv_bytes_into`
--- fills, `send_bytes` sends, and Python's `bytearray` arrives as.
--- Made by `connection.Buffer(size)`, all zeros, or `connection.Buffer(s)`,
--- with the bytes of the string `s`.
---
--- `#b` is the size in bytes, `tostring(b)` gives the bytes as a string, and
--- `a == b` compares the bytes of two Buffers. Positions count from 1; negative
--- ones count from the end.
---@class multiprocessing.Buffer
---@operator len: integer
local Buffer = {}

--- The bytes from `i` to `j`, as `string.sub` gives them.
---@param i integer
---@param j integer? default -1: up to the end
---@return string
---@nodiscard
function Buffer:sub(i, j) end

--- Writes all of `s` over the bytes from position `i` on. `s` may be this very
--- Buffer. Throws, and writes nothing, where they do not fit.
---@param i integer
---@param s string|multiprocessing.Buffer
---@return multiprocessing.Buffer self
function Buffer:set(i, s) end

--- Writes `string.pack(fmt, ...)` at position `i`. Throws, and writes nothing,
--- where it does not fit. Alignment (`!`) counts from `i`, as in any result of
--- `string.pack`; for `unpack` it counts from the start of the Buffer, so an
--- aligned format reads back at a position where these agree (1, for one).
---@param fmt string
---@param i integer
---@param ... string|number the values
---@return integer next the position after the last byte written
function Buffer:pack(fmt, i, ...) end

--- The values that `string.unpack(fmt, tostring(b), i)` gives, the position
--- after the last byte read at their end; copies about as much as it reads.
---@param fmt string
---@param i integer? default 1
---@return any ... the values, then the position after them
---@nodiscard
function Buffer:unpack(fmt, i) end

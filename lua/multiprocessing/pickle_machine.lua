--- Numbers in the formats of machines, as array.array and numpy have them, in
-- Lua tables.

local core = require "multiprocessing.core"
local values = require "multiprocessing.pickle_values"

local machine = {}

local BATCH = 64 -- numbers that one call unpacks

-- ---- what string.unpack gives, as the number it is ----

-- 64 bits without a sign: what Lua has no integer for is a pickle.int.
local function unsigned(n)
  if n >= 0 then return n end
  local tens = (n >> 1) // 5
  return core.pickle.int(("%d%d"):format(tens, n - tens * 10))
end

-- IEEE 754 binary16.
local function half(bits)
  local exponent, fraction = bits >> 10 & 31, bits & 1023
  local x
  if exponent == 31 then
    x = fraction == 0 and math.huge or 0 / 0
  elseif exponent == 0 then
    x = fraction * 2.0 ^ -24
  else
    x = (1024 + fraction) * 2.0 ^ (exponent - 25)
  end
  return bits >= 0x8000 and -x or x
end

local function boolean(n) return n ~= 0 end

local function character(n)
  return 0 <= n and n <= 0x10FFFF and utf8.char(n) or "\u{FFFD}"
end

---@class multiprocessing.pickle.Format
---@field size integer bytes of a number
---@field code string what string.unpack calls it
---@field convert fun(n: number): any

local function format(size, code, convert)
  return {size = size, code = code, convert = convert}
end

--- By kind and size, as numpy writes them: "i4", "f8".
---@type table<string, multiprocessing.pickle.Format>
machine.formats = {
  b1 = format(1, "B", boolean),
  i1 = format(1, "i1"), i2 = format(2, "i2"),
  i4 = format(4, "i4"), i8 = format(8, "i8"),
  u1 = format(1, "I1"), u2 = format(2, "I2"),
  u4 = format(4, "I4"), u8 = format(8, "i8", unsigned),
  f2 = format(2, "I2", half), f4 = format(4, "f"), f8 = format(8, "d"),
  character2 = format(2, "I2", character),
  character4 = format(4, "I4", character),
}

--- `count` numbers of that format from the start of `data`.
---@param data string
---@param order "<"|">"
---@return any[]
function machine.list(data, order, kind, count)
  local list = {}
  local unpack, size, convert = string.unpack, kind.size, kind.convert
  local batch = order .. kind.code:rep(BATCH)
  local done = 0
  while count - done >= BATCH do
    table.move({unpack(batch, data, done * size + 1)}, 1, BATCH, done + 1, list)
    done = done + BATCH
  end
  for i = done + 1, count do
    list[i] = unpack(order .. kind.code, data, (i - 1) * size + 1)
  end
  if convert then
    for i = 1, count do list[i] = convert(list[i]) end
  end
  return list
end

-- ---- array.array ----

-- By the numbers of CPython's Modules/arraymodule.c, enum machine_format_code:
-- each little-endian, then big-endian from the third on.
local codes = {"u1", "i1"}
for _, name in ipairs {"u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8",
                       "character2", "character4"} do
  codes[#codes + 1] = name
  codes[#codes + 1] = name
end

--- What an array of CPython's machine format number `code` holds, if known.
---@return any[]?
function machine.array(data, code)
  data = values.bytes(data)
  local kind = math.type(code) == "integer" and machine.formats[codes[code + 1]]
  if not data or not kind or #data % kind.size ~= 0 then return nil end
  local order = code >= 2 and code % 2 == 1 and ">" or "<"
  return machine.list(data, order, kind, #data // kind.size)
end

return machine

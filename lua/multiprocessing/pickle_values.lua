--- Telling apart the values that stand for Python's; reading the simple ones.

local core = require "multiprocessing.core"

local values = {}

--- The metatables, by the names of the types.
values.types = core.pickle.types
values.None = core.pickle.None

local names = {}
for name, metatable in pairs(values.types) do names[metatable] = name end

local buffer = getmetatable(core.Buffer(0))

--- "None", "tuple", "set", "frozenset", "dict", "bytes", "str", "global",
-- "object" or "int"; nil: none of these.
function values.type(value)
  return names[getmetatable(value)]
end

function values.is_buffer(value)
  return getmetatable(value) == buffer
end

--- What is None in Python is nil in a view.
function values.optional(value)
  if rawequal(value, values.None) then return nil end
  return value
end

--- The bytes of a string, of a wrapped one, or of a Buffer; else nil.
---@return string?
function values.bytes(value)
  local kind = values.type(value)
  if kind == "bytes" or kind == "str" then value = rawget(value, 1) end
  if values.is_buffer(value) then return tostring(value) end
  return type(value) == "string" and value or nil
end

-- Digits of an integer take time with the square of their number.
local LARGE = core.pickle.int("1" .. ("0"):rep(1000))
local SMALL = core.pickle.int("-1" .. ("0"):rep(1000))

--- Whether an integer has more digits than anything needs: over 1000.
function values.is_long(value)
  return value >= LARGE or value <= SMALL
end

--- A Lua number of any number that came; else nil.
---@return number?
function values.number(value)
  if values.type(value) == "int" then
    if values.is_long(value) then return value > 0 and math.huge or -math.huge end
    return tonumber(tostring(value))
  end
  return type(value) == "number" and value or nil
end

function values.is_integer(value)
  return math.type(value) == "integer" or values.type(value) == "int"
end

--- The value if it is a table (tagged or not) that is no object, else an empty
-- one: a view may be of anything.
---@return table
function values.table(value)
  local kind = type(value) == "table" and values.type(value)
  return (kind == nil or kind == "tuple" or kind == "dict") and value or {}
end

--- A decimal integer as the number it is, or an exact large one.
---@param digits string
function values.integer(digits)
  return core.pickle.int(digits)
end

--- "module.name" of a global; else nil.
---@return string?
function values.global_name(value)
  if values.type(value) ~= "global" then return nil end
  return ("%s.%s"):format(rawget(value, "module"), rawget(value, "name"))
end

--- Throws misuse of argument `n` of the function `name`.
---@param level integer? how many calls `name` is above this one; default 1
function values.misuse(n, name, problem, level)
  error(("bad argument #%d to '%s' (%s)"):format(n, name, problem),
        2 + (level or 1))
end

--- Throws misuse, unless the argument is of that type.
function values.expect(n, name, value, expected, level)
  if type(value) ~= expected then
    values.misuse(n, name, ("%s expected, got %s"):format(
      expected, values.type(value) or type(value)), (level or 1) + 1)
  end
end

return values

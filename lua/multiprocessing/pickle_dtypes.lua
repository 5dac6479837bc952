--- numpy's dtypes: their text, and how their elements are read.

local core = require "multiprocessing.core"
local machine = require "multiprocessing.pickle_machine"
local values = require "multiprocessing.pickle_values"
local views = require "multiprocessing.pickle_views"

local dtypes = {}

-- "<M8[25s]": the unit is at the end of the state, ({}, (b"s", 25, 1, 1)).
local function unit_text(state)
  local unit = values.table(values.table(state[9])[2])
  local name, count = values.bytes(unit[1]), values.number(unit[2])
  if not name or name == "generic" then return "" end
  return ("[%s%s]"):format(count == 1 and "" or count or "?", name)
end

--- The text of a dtype, "<f8": of an object as numpy pickles it, or of text.
function dtypes.text(dtype)
  if views.classof(dtype) ~= "numpy.dtype" then return values.bytes(dtype) end
  local name = values.bytes(views.arguments(dtype)[1])
  local state = values.table(rawget(dtype, "state"))
  local order = values.bytes(state[2])
  if not name or not order then return name end
  local is_time = name:find("^[Mm]8") ~= nil
  return order .. name .. (is_time and unit_text(state) or "")
end

views.register("numpy.dtype", {
  methods = {str = dtypes.text},
  tostring = function(object, repr)
    local text = dtypes.text(object)
    return text and ("dtype(%s)"):format(repr(text))
  end,
})

---@class multiprocessing.pickle.Element
---@field size integer bytes of an element
---@field order "<"|">"
---@field format multiprocessing.pickle.Format? of a number
---@field parts integer numbers in an element
--- what becomes of its numbers, or its bytes
---@field convert fun(t: any[]|string): any

local function complex(parts)
  return core.pickle.global("builtins", "complex")(parts[1], parts[2])
end

local function characters(list)
  return (table.concat(list):gsub("\0+$", ""))
end

local function without_zeros(bytes)
  return (bytes:gsub("\0+$", ""))
end

local native = string.pack("=I2", 1) == "\1\0" and "<" or ">"
local orders = {["<"] = "<", [">"] = ">", ["="] = native, ["|"] = native,
                [""] = native}

--- How the elements of a plain dtype are read; nil for any other.
---@return multiprocessing.pickle.Element?
function dtypes.element(text)
  local mark, kind, digits = (text or ""):match("^([<>=|]?)(%a)(%d+)")
  local order = orders[mark]
  local size = digits and #digits < 10 and math.tointeger(tonumber(digits))
  if not size then return nil end
  if kind == "M" or kind == "m" then kind = "i" end
  local format = machine.formats[kind .. size]
  if format then
    return {size = size, order = order, format = format, parts = 1}
  elseif kind == "c" and (size == 8 or size == 16) then
    return {size = size, order = order, parts = 2, convert = complex,
            format = machine.formats["f" .. size // 2]}
  elseif kind == "U" then
    return {size = 4 * size, order = order, parts = size, convert = characters,
            format = machine.formats.character4}
  elseif kind == "S" then
    return {size = size, order = order, convert = without_zeros}
  end
  return nil
end

--- `count` elements from the start of `data`, in a list.
function dtypes.read(data, element, count)
  if element.parts == 1 and element.format then
    return machine.list(data, element.order, element.format, count)
  end
  local list = {}
  for i = 1, count do
    local bytes = data:sub((i - 1) * element.size + 1, i * element.size)
    if element.format then
      list[i] = element.convert(
        machine.list(bytes, element.order, element.format, element.parts))
    else
      list[i] = element.convert(bytes)
    end
  end
  return list
end

return dtypes

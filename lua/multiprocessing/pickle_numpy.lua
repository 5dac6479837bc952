--- Views of numpy's arrays and scalars, and the way to make an array in Lua.

local core = require "multiprocessing.core"
local dtypes = require "multiprocessing.pickle_dtypes"
local values = require "multiprocessing.pickle_values"
local views = require "multiprocessing.pickle_views"

local numpy = {}

local DIMENSIONS = 64 -- numpy's own limit

local dtype_text, element_of, read = dtypes.text, dtypes.element, dtypes.read

local global = core.pickle.global
local ndarray = global("numpy", "ndarray")

-- Where numpy keeps its functions: before and since numpy 2.
local function each_core(name, wrapper)
  views.wrappers["numpy.core." .. name] = wrapper
  views.wrappers["numpy._core." .. name] = wrapper
end

-- ---- arrays ----

-- The class is the first argument; there is nothing else in them to show.
each_core("multiarray._reconstruct", {
  arguments = function() return {} end,
})

each_core("numeric._frombuffer", {
  class = function() return ndarray end,
  arguments = function() return {} end,
})

---@class multiprocessing.pickle.Layout
---@field dtype string?
---@field shape integer[]
---@field source any what holds the bytes, or a list of values (dtype "|O")
---@field fortran boolean

-- The three ways in which an array is made: each gives shape, dtype, whether
-- the first index runs fastest, and the bytes.
local function array_parts(object)
  local args = values.table(rawget(object, "args"))
  local state = values.table(rawget(object, "state"))
  if #state == 5 then -- _reconstruct: protocols 0 to 4
    return state[2], state[3], state[4] == true, state[5]
  elseif rawget(object, "class") == ndarray then -- numpy.ndarray: from Lua
    return args[1], args[2], values.bytes(args[6]) == "F", args[3]
  end -- _frombuffer: protocol 5
  return args[3], args[2], values.bytes(args[4]) == "F", args[1]
end

local function plain_shape(shape)
  local copy = {}
  for i, n in ipairs(values.table(shape)) do
    if math.type(n) ~= "integer" or n < 0 or i > DIMENSIONS then return nil end
    copy[i] = n
  end
  return copy
end

---@return multiprocessing.pickle.Layout?
local function layout_of(object)
  local shape, dtype, fortran, source = array_parts(object)
  shape = type(shape) == "table" and plain_shape(shape)
  if not shape then return nil end
  return {
    shape = shape, dtype = dtype_text(dtype),
    fortran = fortran, source = source,
  }
end

-- Elements of all of a shape; nil for more than `limit`.
local function count_of(shape, limit)
  local count = 1
  for _, n in ipairs(shape) do
    if n == 0 then return 0 end
  end
  for _, n in ipairs(shape) do
    if count > limit // n then return nil end
    count = count * n
  end
  return count
end

-- All elements as they lie in memory; nil where the bytes do not fit the shape.
local function elements_of(layout)
  if type(layout.source) == "table" and not values.type(layout.source) then
    local items = layout.source -- values of any kind
    return count_of(layout.shape, #items) == #items and items or nil
  end
  local data, element = values.bytes(layout.source), element_of(layout.dtype)
  if not data or not element then return nil end
  if element.size == 0 then return nil end
  local count = count_of(layout.shape, #data // element.size)
  if not count or count * element.size ~= #data then return nil end
  return read(data, element, count)
end

-- How far apart neighbours along each dimension are, in elements.
local function strides_of(layout)
  local strides, step = {}, 1
  local first, last, by = #layout.shape, 1, -1
  if layout.fortran then first, last, by = last, first, 1 end
  for i = first, last, by do
    strides[i] = step
    step = step * layout.shape[i]
  end
  return strides
end

local function nested(layout, elements, strides, dimension, offset)
  local n = layout.shape[dimension]
  if not n then return elements[offset] end
  local list = {}
  for i = 1, n do
    list[i] = nested(layout, elements, strides, dimension + 1,
                     offset + (i - 1) * strides[dimension])
  end
  return list
end

-- Python's array.tolist(); but an array without elements is always an empty
-- list, because it may claim any shape.
local function tolist(object)
  local layout = layout_of(object)
  local elements = layout and elements_of(layout)
  if not elements then return nil end
  if #elements == 0 then return {} end
  return nested(layout, elements, strides_of(layout), 1, 1)
end

-- The one element at indices that count from 1.
local function get(object, ...)
  local layout = layout_of(object)
  local element = layout and element_of(layout.dtype)
  if not element or select("#", ...) ~= #layout.shape then return nil end
  local strides, offset = strides_of(layout), 0
  for i, n in ipairs(layout.shape) do
    local index = select(i, ...)
    if math.type(index) ~= "integer" or index < 1 or index > n then
      return nil
    end
    offset = offset + (index - 1) * strides[i]
  end
  local first = offset * element.size + 1
  local last = first + element.size - 1
  local source = layout.source
  local bytes = values.is_buffer(source) and source:sub(first, last)
                or (values.bytes(source) or ""):sub(first, last)
  if #bytes ~= element.size then return nil end
  return read(bytes, element, 1)[1]
end

-- object -> the Buffer made of its bytes
local buffers = setmetatable({}, {__mode = "k"})

-- One Buffer for as long as the object lives: it is read more often than once.
local function data_of(object)
  local layout = layout_of(object)
  local source = layout and layout.source
  if values.is_buffer(source) then return source end
  local data = values.bytes(source)
  if not data then return nil end
  local known = buffers[object]
  if not known or known.data ~= data then
    known = {data = data, buffer = core.Buffer(data)}
    buffers[object] = known
  end
  return known.buffer
end

local function layout_field(name)
  return function(object)
    local layout = layout_of(object)
    return layout and layout[name]
  end
end

views.register("numpy.ndarray", {
  fields = {
    data = data_of,
    dtype = layout_field "dtype",
    fortran = layout_field "fortran",
    shape = layout_field "shape",
  },
  methods = {get = get, list = tolist},
  tostring = function(object, repr)
    local layout = layout_of(object)
    if not layout or not layout.dtype then return nil end
    local shape = setmetatable(layout.shape, values.types.tuple)
    return ("<numpy.ndarray dtype=%s shape=%s>"):format(repr(layout.dtype),
                                                        repr(shape))
  end,
})

-- ---- scalars ----

local kinds = {
  b = "bool", i = "int", u = "uint", f = "float", c = "complex",
  U = "str_", S = "bytes_", M = "datetime64", m = "timedelta64",
}

-- (dtype, bytes): "numpy.float64" of "<f8".
local function scalar_class(args)
  local kind, size = (dtype_text(args[1]) or ""):match("(%a)(%d+)")
  local name = kinds[kind] or "generic"
  if (kind or ""):find("[iufc]") then name = name .. tonumber(size) * 8 // 1 end
  return global("numpy", name)
end

local function scalar_value(object)
  local args = values.table(rawget(object, "args"))
  local data, element = values.bytes(args[2]), element_of(dtype_text(args[1]))
  if not data or not element or #data ~= element.size then return nil end
  return read(data, element, 1)[1]
end

each_core("multiarray.scalar", {
  class = scalar_class,
  arguments = function(args) return {args[1], args[2]} end,
})

local scalar = {
  fields = {
    dtype = function(object)
      return dtype_text(values.table(rawget(object, "args"))[1])
    end,
    shape = function() return {} end,
    value = scalar_value,
  },
  tostring = function(object, repr)
    local value = scalar_value(object)
    return value ~= nil and ("numpy.%s(%s)"):format(object.name, repr(value))
           or nil
  end,
}
function scalar.fields.data(object)
  local data = values.bytes(values.table(rawget(object, "args"))[2])
  return data and core.Buffer(data)
end

for _, name in ipairs {"bool", "int8", "int16", "int32", "int64", "uint8",
                       "uint16", "uint32", "uint64", "float16", "float32",
                       "float64", "complex64", "complex128", "str_", "bytes_",
                       "datetime64", "timedelta64"} do
  views.register("numpy." .. name, scalar)
end

-- ---- from Lua ----

local function check_array(t)
  local function refuse(problem) values.misuse(1, "ndarray", problem, 3) end
  values.expect(1, "ndarray", t, "table", 2)
  local element = element_of(values.bytes(t.dtype))
  if not element then
    refuse("field 'dtype': a plain dtype such as \"<f8\" expected")
  end
  local shape = type(t.shape) == "table" and plain_shape(t.shape)
  if not shape then
    refuse("field 'shape': a list of sizes expected")
  end
  local data = t.data
  if type(data) ~= "string" and not values.is_buffer(data) then
    refuse("field 'data': string or Buffer expected")
  end
  local count = count_of(shape, #data)
  if not count or count * element.size ~= #data then
    refuse(("dtype '%s' and the shape do not fit %d bytes"):format(t.dtype,
                                                                  #data))
  end
  return shape
end

--- An object that Python loads as a numpy array: numpy.ndarray(shape, dtype,
-- buffer), over a bytearray, so that it can be written there. A Buffer is not
-- copied; a string is.
---@param t multiprocessing.pickle.Array
---@return multiprocessing.pickle.Object
function numpy.ndarray(t)
  local shape = setmetatable(check_array(t), values.types.tuple)
  local data = t.data
  if type(data) == "string" then data = core.Buffer(data) end
  local args = {shape, t.dtype, data}
  if t.fortran then args[4], args[5], args[6] = 0, core.pickle.None, "F" end
  return setmetatable({
    class = ndarray, args = setmetatable(args, values.types.tuple),
  }, values.types.object)
end

return numpy

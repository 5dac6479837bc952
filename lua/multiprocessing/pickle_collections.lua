--- Views of Python's builtin and standard containers: complex, range, slice,
-- OrderedDict, defaultdict, Counter, deque, array.array.

local machine = require "multiprocessing.pickle_machine"
local values = require "multiprocessing.pickle_values"
local views = require "multiprocessing.pickle_views"

-- A field that is an argument; None is nil.
local function argument(i)
  return function(object)
    return values.optional(views.arguments(object)[i])
  end
end

local function all_integers(args)
  for i = 1, #args do
    if not values.is_integer(args[i]) then return false end
  end
  return true
end

-- ---- complex, range, slice ----

views.register("builtins.complex", {
  fields = {real = argument(1), imag = argument(2)},
  tostring = function(object, repr)
    local real, imag = object.real, object.imag
    if math.type(real) ~= "float" or math.type(imag) ~= "float" then
      return nil
    end
    local function part(x) return (repr(x):gsub("%.0$", "")) end
    local text = part(imag) .. "j"
    if real == 0 and 1 / real > 0 then return text end
    local sign = text:find("^%-") and "" or "+"
    return ("(%s%s%s)"):format(part(real), sign, text)
  end,
})

views.register("builtins.range", {
  fields = {start = argument(1), stop = argument(2), step = argument(3)},
  tostring = function(object, repr)
    local args = views.arguments(object)
    if #args ~= 3 or not all_integers(args) then return nil end
    local text = ("range(%s, %s"):format(repr(args[1]), repr(args[2]))
    return text .. (args[3] == 1 and ")" or ", " .. repr(args[3]) .. ")")
  end,
})

views.register("builtins.slice", {
  fields = {start = argument(1), stop = argument(2), step = argument(3)},
  tostring = function(object, repr)
    local args = views.arguments(object)
    if #args ~= 3 then return nil end
    return ("slice(%s, %s, %s)"):format(repr(args[1]), repr(args[2]),
                                        repr(args[3]))
  end,
})

-- ---- collections ----

-- The pairs in their order, as Python prints a dict.
local function ordered_pairs(object, repr)
  local parts = {}
  for i, pair in ipairs(rawget(object, "pairs") or {}) do
    local text = repr(pair[1])
    if text == "..." then
      parts[i] = text
      break
    end
    parts[i] = text .. ": " .. repr(pair[2])
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

views.register("collections.OrderedDict", {
  tostring = function(object, repr)
    return ("OrderedDict(%s)"):format(ordered_pairs(object, repr))
  end,
})

views.register("collections.defaultdict", {
  fields = {default_factory = argument(1)},
  tostring = function(object, repr)
    return ("defaultdict(%s, %s)"):format(repr(object.default_factory),
                                          ordered_pairs(object, repr))
  end,
})

views.register("collections.Counter", {
  methods = {
    dict = function(object)
      local dict = setmetatable({}, values.types.dict)
      for key, value in next, values.table(views.arguments(object)[1]) do
        dict[key] = value
      end
      return dict
    end,
  },
  tostring = function(object, repr)
    local counts = views.arguments(object)[1]
    return ("Counter(%s)"):format(counts ~= nil and repr(counts) or "")
  end,
})

views.register("collections.deque", {
  fields = {maxlen = argument(2)},
  methods = {
    list = function(object)
      local items = rawget(object, "items") or {}
      return table.move(items, 1, #items, 1, {})
    end,
  },
  tostring = function(object, repr)
    local items = repr(rawget(object, "items") or {})
    local maxlen = object.maxlen
    if maxlen == nil then return ("deque(%s)"):format(items) end
    return ("deque(%s, maxlen=%s)"):format(items, repr(maxlen))
  end,
})

-- ---- array.array ----

-- Protocols 3 to 5: (class, typecode, format of the machine, bytes); older ones
-- and programs that make one: (typecode, list).
views.wrappers["array._array_reconstructor"] = {
  arguments = function(args)
    return {args[2], machine.array(args[4], args[3])}
  end,
}

views.register("array.array", {
  fields = {
    typecode = function(object)
      local args = values.table(rawget(object, "args"))
      return values.bytes(args[#args == 4 and 2 or 1])
    end,
  },
  methods = {
    list = function(object)
      local items = values.table(views.arguments(object)[2])
      return table.move(items, 1, #items, 1, {})
    end,
  },
  tostring = function(object, repr)
    local typecode, items = object.typecode, object:list()
    if not typecode then return nil end
    if #items == 0 then return ("array(%s)"):format(repr(typecode)) end
    return ("array(%s, %s)"):format(repr(typecode), repr(items))
  end,
})

return {}

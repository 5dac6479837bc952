--- multiprocessing.pickle: Python's pickle for Lua: `dumps`, `loads`, and the
-- values for which Lua has none of its own.
-- The C core reads and writes pickles; this module makes the values, and tells
-- how they print and compare. What instances of known classes show is in views.

local core = require "multiprocessing.core"
local numpy = require "multiprocessing.pickle_numpy"
local repr = require "multiprocessing.pickle_repr"
local values = require "multiprocessing.pickle_values"
local views = require "multiprocessing.pickle_views"
require "multiprocessing.pickle_collections"
require "multiprocessing.pickle_datetime"
require "multiprocessing.pickle_exceptions"
require "multiprocessing.pickle_numbers"
require "multiprocessing.pickle_paths"

local types = values.types
local expect, misuse = values.expect, values.misuse

local pickle = {
  None = core.pickle.None,
  classof = views.classof,
  dumps = core.pickle.dumps,
  global = core.pickle.global,
  int = core.pickle.int,
  loads = core.pickle.loads,
  ndarray = numpy.ndarray,
  repr = repr.repr,
  type = values.type,
}

-- ---- tagged tables ----

-- As setmetatable does, but never over another metatable.
local function tag(name, t)
  expect(1, name, t, "table")
  local metatable = getmetatable(t)
  if metatable ~= nil and metatable ~= types[name] then
    misuse(1, name, "it has another metatable")
  end
  return setmetatable(t, types[name])
end

--- Makes a tuple of a sequence: tags that very table. None is `pickle.None`.
---@param t any[]
function pickle.tuple(t)
  return tag("tuple", t)
end

--- Makes a dict of a table: tags that very one.
---@param t table
function pickle.dict(t)
  return tag("dict", t)
end

local function new_set(name, list)
  expect(1, name, list, "table")
  local set = {}
  for i = 1, #list do
    local value = list[i]
    if value == nil or value ~= value then
      misuse(1, name, ("item %d: nil and NaN cannot be in it"):format(i))
    end
    set[value] = true
  end
  return setmetatable(set, types[name])
end

--- A new set of the items of a sequence. It is a table whose keys they are.
---@param list any[]
function pickle.set(list)
  return new_set("set", list)
end

--- A new frozenset of the items of a sequence.
---@param list any[]
function pickle.frozenset(list)
  return new_set("frozenset", list)
end

-- ---- wrapped strings ----

-- What a wrapper is made of: a string, a Buffer, or another wrapper.
local function content(name, value)
  local bytes = values.bytes(value)
  if not bytes then
    misuse(1, name, ("string expected, got %s"):format(
      values.type(value) or type(value)), 2)
  end
  return bytes
end

--- bytes, also where they are valid UTF-8.
---@param s string|multiprocessing.Buffer
function pickle.bytes(s)
  return setmetatable({content("bytes", s)}, types.bytes)
end

-- UTF-8, but for surrogates, which Python's str may have.
local function is_wtf8(s)
  return utf8.len((s:gsub("\xED[\xA0-\xBF][\x80-\xBF]", "?"))) ~= nil
end

--- str: UTF-8, where surrogates may be as well.
---@param s string
function pickle.str(s)
  local text = content("str", s)
  if not is_wtf8(text) then misuse(1, "str", "not UTF-8") end
  return setmetatable({text}, types.str)
end

-- ---- instances ----

local hows = {new = true, new_ex = true, inst = true}

local function check_part(name, value, is_right, expected)
  if not is_right then
    misuse(1, "object", ("field '%s': %s expected, got %s"):format(
      name, expected, values.type(value) or type(value)), 3)
  end
end

local function is_plain(value)
  return type(value) == "table" and getmetatable(value) == nil
end

local function is_callable(value)
  local kind = values.type(value)
  return kind == "global" or kind == "object"
end

-- Throws misuse, unless the fields are what an instance is made of.
local function check_object(t)
  for name in next, t do
    if not views.raw_fields[name] then
      misuse(1, "object", ("unknown field '%s'"):format(tostring(name)), 2)
    end
  end
  local args, kwargs, how = t.args, t.kwargs, t.how
  check_part("class", t.class, is_callable(t.class), "global or object")
  check_part("args", args, args == nil or is_plain(args)
             or values.type(args) == "tuple", "tuple")
  check_part("how", how, how == nil or hows[how],
             "\"new\", \"new_ex\" or \"inst\"")
  check_part("kwargs", kwargs, kwargs == nil or how == "new_ex"
             and (is_plain(kwargs) or values.type(kwargs) == "dict"),
             "dict, and how = \"new_ex\",")
  check_part("items", t.items, t.items == nil or is_plain(t.items), "list")
  check_part("pairs", t.pairs, t.pairs == nil or is_plain(t.pairs),
             "list of {key, value}")
end

--- An instance of a Python class, by how Python is to make it; see
-- multiprocessing.pickle.Object. Tags that very table, and `args` and `kwargs`.
---@param t table
function pickle.object(t)
  expect(1, "object", t, "table")
  if getmetatable(t) == types.object then return t end
  if getmetatable(t) ~= nil then
    misuse(1, "object", "it has another metatable")
  end
  check_object(t)
  t.args = setmetatable(t.args or {}, types.tuple)
  if t.how == "new_ex" then
    t.kwargs = setmetatable(t.kwargs or {}, types.dict)
  end
  return setmetatable(t, types.object)
end

--- What Python will construct by calling the global: `date(2022, 10, 15)` makes
-- an object where `date` is a global. Nothing is called here. nil is None.
function types.global.__call(global, ...)
  local args = table.pack(...)
  for i = 1, args.n do
    if args[i] == nil then args[i] = pickle.None end
  end
  args.n = nil
  return pickle.object {class = global, args = args}
end

--- Sets what instances of a class show: names that are computed when they are
-- asked for, methods, and how they print. nil: as if nothing was known of it.
---@param class string "module.Class"
---@param view {fields: table?, methods: table?, tostring: function?}?
function pickle.view(class, view)
  expect(1, "view", class, "string")
  if view ~= nil then
    expect(2, "view", view, "table")
    for name in next, view.fields or {} do
      if views.raw_fields[name] then
        misuse(2, "view", ("'%s' is a field of every object"):format(name))
      end
    end
  end
  views.register(class, view)
end

-- ---- comparing ----

local function wrapped_equal(a, b)
  return values.type(a) == values.type(b) and rawget(a, 1) == rawget(b, 1)
end

types.bytes.__eq = wrapped_equal
types.str.__eq = wrapped_equal

local function is_tuple(value) return getmetatable(value) == types.tuple end

-- Item by item, with `==`. Tuples in tuples are compared in a loop and once
-- each, so depth, sharing and cycles do no harm.
function types.tuple.__eq(a, b)
  if not is_tuple(a) or not is_tuple(b) then return false end
  local queue, met = {a, b}, {[a] = {[b] = true}}
  local function compare(x, y)
    if not is_tuple(x) or not is_tuple(y) then return x == y end
    met[x] = met[x] or {}
    if not met[x][y] and not rawequal(x, y) then
      met[x][y] = true
      queue[#queue + 1], queue[#queue + 2] = x, y
    end
    return true
  end
  while #queue > 0 do
    local y, x = table.remove(queue), table.remove(queue)
    if rawlen(x) ~= rawlen(y) then return false end
    for i = 1, rawlen(x) do
      if not compare(x[i], y[i]) then return false end
    end
  end
  return true
end

-- ---- sizes ----

--- The number of bytes.
function types.bytes.__len(value) return #rawget(value, 1) end
types.str.__len = types.bytes.__len

--- The number of elements, which are counted each time.
function types.set.__len(set)
  local n = 0
  for _ in next, set do n = n + 1 end
  return n
end

types.frozenset.__len = types.set.__len

return pickle

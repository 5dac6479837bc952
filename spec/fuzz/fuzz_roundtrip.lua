-- fuzz_roundtrip.lua: an input as a pickle: loads, dumps, loads, dumps, loads, of
-- which the last two values must be the same, and the first too where the protocol
-- has a way to write all of it. fuzz_roundtrip.c gives the inputs.

local pickle = require "multiprocessing.pickle"

local LOADS = {bytes = "wrap", max_int_digits = 10000} -- each value is exact
local ROUNDS = 6

-- What dumps may refuse of what loads gave; any other refusal is a bug.
local REFUSALS = {
  "contains itself", "keyword arguments need protocol 4",
  "newline in its name",
}

-- ---- telling two values apart, whatever their tables' order ----

-- Small integers for contents; shared by the values to compare.
local function new_names()
  local names, n = {}, 0
  return function(content)
    if not names[content] then
      n = n + 1
      names[content] = n
    end
    return names[content]
  end
end

-- Digits take time with the square of their number: those of an integer that
-- occurs often are made once.
local decimals = setmetatable({}, {__mode = "k"})

local function decimal(int)
  decimals[int] = decimals[int] or tostring(int)
  return decimals[int]
end

-- What a value without parts says; nil where it has some.
local function leaf(value)
  local kind = pickle.type(value) or math.type(value) or type(value)
  if kind == "int" then return "int " .. decimal(value) end
  if kind == "float" then return "float " .. string.pack("<d", value) end
  if kind == "global" then
    return ("global %s\n%s"):format(rawget(value, "module"), rawget(value, "name"))
  end
  if kind == "None" or kind == "integer" or kind == "string" or kind == "boolean" then
    return kind .. " " .. tostring(value)
  end
  return nil
end

local FIELDS = {"class", "args", "kwargs", "items", "pairs", "state", "how"}

-- The parts of a value, in order or else in groups of `group` without one.
local function parts_of(value, kind)
  local parts = {}
  if kind == "object" then
    for i, name in ipairs(FIELDS) do
      local part = rawget(value, name)
      parts[i] = part == nil and "nothing" or part
    end
  elseif kind == "dict" or kind == "set" or kind == "frozenset" then
    for key, part in next, value do
      parts[#parts + 1] = key
      if kind == "dict" then parts[#parts + 1] = part end
    end
    return parts, kind == "dict" and 2 or 1
  elseif type(value) == "table" then -- also the string in a wrapper
    for i = 1, rawlen(value) do parts[i] = rawget(value, i) end
  else
    parts[1] = tostring(value) -- of a Buffer
  end
  return parts, nil
end

-- The values that are reached and have parts: a list of {kind, parts, group}, and
-- where each is in it. The first is the root.
local function reach(root)
  local nodes, places = {}, {}
  local function meet(value)
    if places[value] or leaf(value) then return end
    local kind = pickle.type(value) or type(value)
    local parts, group = parts_of(value, kind)
    nodes[#nodes + 1] = {kind = kind, parts = parts, group = group}
    places[value] = #nodes
  end
  meet(root)
  local i = 1
  while nodes[i] do
    for _, part in ipairs(nodes[i].parts) do meet(part) end
    i = i + 1
  end
  return nodes, places
end

-- What Python makes of a call of these is written as such a call by old protocols:
-- an object that is one may come back as what it would have made. (Python 2's module
-- is one of that name in newer protocols, where an object may have items, too.)
local KNOWN = {
  ["builtins.bytes"] = true, ["builtins.bytearray"] = true,
  ["builtins.set"] = true, ["builtins.frozenset"] = true,
  ["__builtin__.bytes"] = true, ["__builtin__.bytearray"] = true,
  ["_codecs.encode"] = true,
}

local function has_known_call(root)
  for _, node in ipairs((reach(root))) do
    local class = node.parts[1]
    if node.kind == "object" and pickle.type(class) == "global" and
       KNOWN[class.module .. "." .. class.name] then
      return true
    end
  end
  return false
end

-- Refines what is known of each node by what is known of its parts.
local function colors(root, name)
  local nodes, places = reach(root)
  local now = {}
  for i, node in ipairs(nodes) do now[i] = name(node.kind) end
  local function color(value)
    local place = places[value]
    return place and now[place] or name(leaf(value))
  end
  for _ = 1, ROUNDS do
    local after = {}
    for i, node in ipairs(nodes) do
      local said, group = {}, node.group or 1
      for at = 1, #node.parts, group do
        local both = {}
        for j = at, at + group - 1 do both[#both + 1] = color(node.parts[j]) end
        said[#said + 1] = table.concat(both, "=")
      end
      if node.group then table.sort(said) end
      after[i] = name(node.kind .. " " .. table.concat(said, ","))
    end
    now = after
  end
  local first = color(root)
  local counted = {}
  for i, node in ipairs(nodes) do
    -- the empty tuple is the same whether it is shared or not
    if node.kind ~= "tuple" or #node.parts > 0 then counted[#counted + 1] = now[i] end
  end
  table.sort(counted)
  return first, table.concat(counted, " ")
end

local function require_same(a, b, what)
  if has_known_call(a) then return end
  local name = new_names()
  local root_a, all_a = colors(a, name)
  local root_b, all_b = colors(b, name)
  if root_a ~= root_b then error(what .. ": not equal") end
  if all_a ~= all_b then error(what .. ": not as shared") end
end

-- ---- one input ----

local function is_refusal(err)
  assert(err.name == "PicklingError", err)
  local message = tostring(err)
  for _, refusal in ipairs(REFUSALS) do
    if message:find(refusal, 1, true) then return true end
  end
  return false
end

-- Where bytes are strings, a dict may have keys like b"a" and "a" only within an
-- instance, whose parts keep them apart. What is in one and elsewhere, too, is what
-- it is where it comes first, and a dict's order may change that.
local function is_two_in_one(err, options)
  return options.bytes ~= "wrap" and
         tostring(err):find("bytes and text with the same content", 1, true)
end

-- How much a pickle may take again goes by its size, of which what follows STOP is
-- a part: what is written may have less.
local function is_too_often(err)
  return tostring(err):find("takes a large part too often", 1, true)
end

-- Items or a state for what is no object any more.
local function is_no_object(err)
  return tostring(err):find(" for what ", 1, true)
end

local function again(value, protocol, options)
  local dumped, err = pickle.dumps(value, {protocol = protocol})
  if not dumped then
    if is_refusal(err) then return nil end
    error(err)
  end
  local loaded
  loaded, err = pickle.loads(dumped, options)
  if loaded == nil then
    if is_two_in_one(err, options) or is_too_often(err) or
       is_no_object(err) and has_known_call(value) then
      return nil
    end
    error(("%s of what was written: %q"):format(err, dumped))
  end
  return loaded
end

local function try(input, protocol)
  local first, err = pickle.loads(input, LOADS)
  if first == nil then
    assert(err.name == "UnpicklingError", err)
    return
  end
  local second = again(first, protocol, LOADS)
  if second == nil then return end
  if protocol >= 3 then
    require_same(first, second, "once")
  else
    -- __newobj__ is written as a call, and Python 2's names, of which some are
    -- those of several in Python 3
    second = again(second, protocol, LOADS)
    if second == nil then return end
  end
  local third = again(second, protocol, LOADS)
  if third == nil then return end
  require_same(second, third, "twice")
end

return function(input)
  local protocol = #input % 6
  try(input, protocol)
  local value = pickle.loads(input)
  if value ~= nil then again(value, protocol, {max_int_digits = 10000}) end
end

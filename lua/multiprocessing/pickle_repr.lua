--- How values print: as in Python, in bounded length. Cycles, what is nested
-- deeply and what is too long show as `...`.

local values = require "multiprocessing.pickle_values"
local views = require "multiprocessing.pickle_views"

local repr = {}

local LIMIT = 1000 -- bytes, roughly
local DEPTH = 16 -- of nesting: also what keeps the C stack out of it
local SORTED = 100 -- up to so many keys are put in order

-- ---- numbers and strings ----

local function number(value)
  if math.type(value) == "integer" then return tostring(value) end
  if value ~= value then return "nan" end
  if value == math.huge then return "inf" end
  if value == -math.huge then return "-inf" end
  if math.abs(value) < 1e16 and value == math.floor(value) then
    return ("%.1f"):format(value)
  end
  for digits = 15, 17 do
    local text = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then return text end
  end
  return tostring(value) -- a number that the format cannot tell exactly
end

local escapes = {
  ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}

local function escape(char)
  return escapes[char] or ("\\x%02x"):format(char:byte())
end

-- Quotes as Python does: single ones, unless double ones save escaping.
local function quote(text)
  if not text:find("'", 1, true) then return "'" .. text .. "'" end
  if not text:find('"', 1, true) then return '"' .. text .. '"' end
  return "'" .. text:gsub("'", "\\'") .. "'"
end

-- As many bytes as there is room for, and what to put after them.
local function cut(text, room)
  if #text <= room then return text, "" end
  room = math.max(room, 0)
  while room > 0 and (text:byte(room + 1) & 0xC0) == 0x80 do room = room - 1 end
  return text:sub(1, room), "..."
end

-- A lone surrogate, three bytes of WTF-8.
local function surrogate(bytes)
  return ("\\u%04x"):format(utf8.codepoint(bytes, 1, 1, true))
end

local function text(value, room)
  local head, more = cut(value, room)
  head = head:gsub("[%c\\]", escape)
  head = head:gsub("\xED[\xA0-\xBF][\x80-\xBF]", surrogate)
  return quote(head) .. more
end

local function bytes(value, room)
  local head, more = value, ""
  if #head > room then head, more = head:sub(1, math.max(room, 0)), "..." end
  return "b" .. quote((head:gsub("[%c\\\x7F-\xFF]", escape))) .. more
end

-- A string leaves as str where it is UTF-8, else as bytes.
local function string_(value, room)
  local head = cut(value, room)
  return (utf8.len(head) and text or bytes)(value, room)
end

-- ---- what has parts ----

local render

-- `open`, the parts that `write` gives for each step of the iterator, `close`.
local function sequence(state, open, close, write, iterator, s, control)
  local parts, separator = {open}, ""
  state.room = state.room - #open - #close
  for a, b in iterator, s, control do
    if state.room <= 0 then
      parts[#parts + 1] = separator .. "..."
      break
    end
    state.room = state.room - #separator
    parts[#parts + 1] = separator .. write(a, b)
    separator = ", "
  end
  parts[#parts + 1] = close
  return table.concat(parts)
end

local function list(state, value, open, close)
  return sequence(state, open, close, function(_, item)
    return render(state, item)
  end, ipairs(value))
end

local function tuple(state, value)
  return list(state, value, "(", rawlen(value) == 1 and ",)" or ")")
end

local ranks = {number = 1, string = 2}

local function before(a, b)
  local rank_a, rank_b = ranks[type(a)] or 3, ranks[type(b)] or 3
  if rank_a ~= rank_b then return rank_a < rank_b end
  return rank_a < 3 and a < b
end

-- Goes over a table's keys, in order where they are few.
local function ordered(value)
  local keys = {}
  for key in next, value do
    keys[#keys + 1] = key
    if #keys > SORTED then return next, value end
  end
  table.sort(keys, before)
  local i = 0
  return function()
    i = i + 1
    if keys[i] ~= nil then return keys[i], rawget(value, keys[i]) end
  end
end

local function dict(state, value)
  return sequence(state, "{", "}", function(key, item)
    key = render(state, key)
    state.room = state.room - 2
    return key .. ": " .. render(state, item)
  end, ordered(value))
end

local function set(state, value, open, close, empty)
  if next(value) == nil then return empty end
  return sequence(state, open, close, function(key)
    return render(state, key)
  end, ordered(value))
end

-- Whether a table leaves as a list; of a large one, whether its first items do.
local function is_list(value)
  local n, seen = rawlen(value), 0
  for key in next, value do
    if math.type(key) ~= "integer" or key < 1 or key > n then return false end
    seen = seen + 1
    if seen > SORTED then return true end
  end
  return seen == n
end

local function plain(state, value)
  if is_list(value) then return list(state, value, "[", "]") end
  return dict(state, value)
end

-- ---- globals and instances ----

-- The types among Python's builtins: by name, the others may be functions.
local builtin_types = {}
for name in ([[bool bytearray bytes complex dict float frozenset int list
    memoryview object property range set slice str tuple
    type]]):gmatch("%a+") do
  builtin_types["builtins." .. name] = name
end

local function global(value)
  local name = values.global_name(value)
  local class = builtin_types[name] or name:match("^builtins%.(%u%a+)$")
  if class then return ("<class '%s'>"):format(class) end
  return ("<global '%s'>"):format(name)
end

local function keywords(state, value)
  return sequence(state, "**", "", function() return dict(state, value) end,
                  ipairs {value})
end

local function arguments(state, object)
  local parts = {list(state, views.arguments(object), "", "")}
  local kwargs = rawget(object, "kwargs")
  if type(kwargs) == "table" then
    if parts[1] == "" then parts[1] = nil end
    parts[#parts + 1] = keywords(state, kwargs)
  end
  return "(" .. table.concat(parts, ", ") .. ")"
end

-- An instance of which nothing more is known than how it is constructed.
local function instance(state, object)
  local class = views.class(object)
  local parts = {values.global_name(class) or render(state, class)}
  parts[1] = parts[1] .. arguments(state, object)
  for _, name in ipairs {"items", "pairs", "state"} do
    local part = rawget(object, name)
    if part ~= nil then
      parts[#parts + 1] = name .. "=" .. render(state, part)
    end
  end
  return "<" .. table.concat(parts, " ") .. ">"
end

local function object(state, value)
  local view = views.of(value)
  return view.tostring and view.tostring(value, state.repr)
         or instance(state, value)
end

-- ---- everything ----

local renderers = {
  None = function() return "None" end,
  tuple = tuple,
  set = function(state, value) return set(state, value, "{", "}", "set()") end,
  frozenset = function(state, value)
    return set(state, value, "frozenset({", "})", "frozenset()")
  end,
  dict = dict,
  bytes = function(state, value)
    return bytes(values.bytes(value) or "", state.room)
  end,
  str = function(state, value)
    return text(values.bytes(value) or "", state.room)
  end,
  global = function(_, value) return global(value) end,
  object = object,
  int = function(state, value)
    if values.is_long(value) then return "<int of many digits>" end
    return table.concat {cut(tostring(value), state.room)}
  end,
}

-- A value of the host's own.
local function foreign(value, room)
  local head, more = cut(tostring(value), room)
  return "<" .. head .. more .. ">"
end

local function leaf(state, value)
  local kind = type(value)
  if value == nil then return "None" end
  if kind == "boolean" then return value and "True" or "False" end
  if kind == "number" then return number(value) end
  if kind == "string" then return string_(value, state.room) end
  if values.is_buffer(value) then
    -- no more of it is copied than is shown
    local room = math.max(state.room, 0)
    return "bytearray(" .. bytes(value:sub(1, room + 1), room) .. ")"
  end
  return foreign(value, state.room)
end

local function with_parts(state, value, renderer)
  if state.depth >= DEPTH or state.inside[value] then return "..." end
  state.inside[value] = true
  state.depth = state.depth + 1
  local result = renderer(state, value)
  state.depth = state.depth - 1
  state.inside[value] = nil
  return result
end

function render(state, value)
  if state.room <= 0 then return "..." end
  local renderer = renderers[values.type(value)]
  if not renderer and type(value) == "table" and not getmetatable(value) then
    renderer = plain
  end
  local room = state.room
  local result
  if renderer and type(value) == "table" then
    result = with_parts(state, value, renderer)
  elseif renderer then
    result = renderer(state, value)
  else
    result = leaf(state, value)
  end
  -- whatever a view did not account for
  state.room = math.min(state.room, room - #result)
  return result
end

--- Python's repr(value).
---@param value any
---@param limit integer? about how many bytes it may have; default 1000
---@return string
function repr.repr(value, limit)
  local state = {room = limit or LIMIT, depth = 0, inside = {}}
  function state.repr(part) return render(state, part) end
  return render(state, value)
end

--- A string itself, the repr of anything else.
---@return string
function repr.str(value)
  if type(value) == "string" or values.type(value) == "str" then
    return values.bytes(value)
  end
  return repr.repr(value)
end

local function metamethod(value) return repr.repr(value) end

for name, metatable in pairs(values.types) do
  if name ~= "int" then metatable.__tostring = metamethod end
end

return repr

--- Views: what an instance shows beyond how it was constructed.
--
-- An object's own fields (class, args, state, …) say how Python makes it, and
-- are what leaves again. A view adds names that are computed from them when they
-- are asked for: `date.year`, `deque:list()`. It is chosen by the object's class.
-- Whatever a peer claims, the views of this library give nil, not an error.

local values = require "multiprocessing.pickle_values"

local views = {}

--- What an object holds, and what no view may be called.
views.raw_fields = {
  class = true, args = true, kwargs = true, state = true, items = true,
  pairs = true, how = true,
}

-- ---- what an object is an instance of ----

---@class multiprocessing.pickle.Wrapper
--- the class, of the arguments; nil: it is the first of them
---@field class (fun(args: table): any)?
---@field arguments fun(args: table): table the class's own arguments

--- Functions that Python calls for an instance of some class, by name.
---@type table<string, multiprocessing.pickle.Wrapper>
views.wrappers = {}

-- Protocols 0 and 1: (class, object, None), or (class, base, base's value).
views.wrappers["copyreg._reconstructor"] = {
  arguments = function(args)
    local base = values.global_name(args[2])
    if base == "builtins.object" then return {} end
    return base == "builtins.tuple" and values.table(args[3]) or {args[3]}
  end,
}

views.wrappers["copyreg.__newobj__"] = {
  arguments = function(args) return table.move(args, 2, #args, 1, {}) end,
}

views.wrappers["copyreg.__newobj_ex__"] = {
  arguments = function(args) return values.table(args[2]) end,
}

-- What is known of each global: its name, wrapper, and the view of instances.
local known = setmetatable({}, {__mode = "k"})

local function about(global)
  local entry = known[global]
  if not entry then
    local name = values.global_name(global)
    entry = {name = name, wrapper = views.wrappers[name]}
    known[global] = entry
  end
  return entry
end

local function is_global(value)
  return values.type(value) == "global"
end

-- A class's method is getattr(class, "name"), constructed for its part.
local function method_name(object)
  if values.type(object) ~= "object"
     or values.global_name(rawget(object, "class")) ~= "builtins.getattr" then
    return nil
  end
  local args = values.table(rawget(object, "args"))
  local class, name = values.global_name(args[1]), values.bytes(args[2])
  return class and name and class .. "." .. name
end

-- The arguments as they came, and the wrapper that they are for, if any.
local function raw_call(object)
  local class = rawget(object, "class")
  local wrapper
  if is_global(class) then
    wrapper = about(class).wrapper
  else
    wrapper = views.wrappers[method_name(class) or ""]
  end
  return values.table(rawget(object, "args")), wrapper
end

--- The class of an object: a global, unless Python has no name for it.
function views.class(object)
  local args, wrapper = raw_call(object)
  if wrapper then
    local class = wrapper.class and wrapper.class(args) or args[1]
    if is_global(class) then return class end
  end
  return rawget(object, "class")
end

--- The arguments that its class was constructed with.
---@return table
function views.arguments(object)
  local args, wrapper = raw_call(object)
  if wrapper and views.class(object) ~= rawget(object, "class") then
    return wrapper.arguments(args)
  end
  return args
end

--- "module.Class" of an object; nil for what is none, or has no such name.
---@return string?
function views.classof(object)
  if values.type(object) ~= "object" then return nil end
  return values.global_name((views.class(object)))
end

-- ---- what every object shows ----

local base = {fields = {}, methods = {}}

--- The name of the class without its module.
function base.fields.name(object)
  local class = views.class(object)
  return is_global(class) and rawget(class, "name") or nil
end

--- The one argument: what an enum's member, or an int's, a str's, … child is.
function base.fields.value(object)
  local args = views.arguments(object)
  if #args == 1 and rawget(object, "how") ~= "inst" then return args[1] end
end

--- The attributes: the state itself where that is a dict; with slots, a new
-- dict.
function base.fields.fields(object)
  local state = rawget(object, "state")
  if type(state) ~= "table" then return nil end
  local kind = values.type(state)
  if kind == nil or kind == "dict" then return state end
  if kind ~= "tuple" or #state ~= 2 then return nil end
  local all = {}
  for i = 1, 2 do
    for key, value in next, values.table(state[i]) do all[key] = value end
  end
  return setmetatable(all, values.types.dict)
end

-- What protocols 0 and 1 give the base class; nil where that is not `name`.
local function base_value(object, name)
  local callable = values.global_name(rawget(object, "class"))
  if callable ~= "copyreg._reconstructor" then return nil end
  local args = values.table(rawget(object, "args"))
  return values.global_name(args[2]) == name and values.table(args[3]) or nil
end

--- Python's list(object), for children of list and tuple (and what has a view).
function base.methods.list(object)
  local items = rawget(object, "items") or base_value(object, "builtins.list")
                or views.arguments(object)
  return table.move(items, 1, #items, 1, {})
end

--- Python's dict(object), for children of dict (and what has a view).
function base.methods.dict(object)
  local dict = setmetatable({}, values.types.dict)
  for key, value in next, base_value(object, "builtins.dict") or {} do
    dict[key] = value
  end
  for _, pair in ipairs(values.table(rawget(object, "pairs"))) do
    local key = values.table(pair)[1]
    if key ~= nil and key == key then dict[key] = pair[2] end
  end
  return dict
end

--- Python's str(object), where a view knows better than this.
function base.methods.str(object)
  return tostring(object)
end

-- ---- the registry ----

local registered = {}

--- A view for each class of a kind, where none is registered: gets the name.
---@type fun(name: string): table?
views.fallback = function() return nil end

-- The entries of `given` over those of `common`.
local function over(common, given)
  local merged = {}
  for name, f in pairs(common) do merged[name] = f end
  for name, f in pairs(given or {}) do merged[name] = f end
  return merged
end

--- A view as the lookups below want it.
function views.complete(view)
  return {
    fields = over(base.fields, view.fields),
    methods = over(base.methods, view.methods),
    tostring = view.tostring,
  }
end

--- The view of what no view is known of.
views.unknown = views.complete {}

--- Sets the view of a class (and of its instances only, not of its children's).
---@param name string "module.Class"
---@param view {fields: table?, methods: table?, tostring: function?}?
function views.register(name, view)
  registered[name] = view and views.complete(view)
  for _, entry in pairs(known) do entry.view = nil end
end

--- The view of an object.
function views.of(object)
  local class = views.class(object)
  if not is_global(class) then return views.unknown end
  local entry = about(class)
  entry.view = entry.view or registered[entry.name]
               or views.fallback(entry.name) or views.unknown
  return entry.view
end

-- ---- metamethods of objects ----

local metatable = values.types.object

function metatable.__index(object, key)
  if views.raw_fields[key] then return nil end
  local view = views.of(object)
  local field = view.fields[key]
  if field then return field(object) end
  return view.methods[key]
end

-- What a view shows is computed: setting it would change nothing that leaves.
function metatable.__newindex(object, key, value)
  if not views.raw_fields[key] then
    error(("a pickle.object has no field '%s' to set"):format(tostring(key)), 2)
  end
  rawset(object, key, value)
end

return views

--- Views of exceptions: `name`, `message` (Python's str(exception)), and what
-- an OSError knows. Those that the peer's program defines look like any other
-- call of a class, so whatever has no other view has a message.

local repr = require "multiprocessing.pickle_repr"
local values = require "multiprocessing.pickle_values"
local views = require "multiprocessing.pickle_views"

local function message(object)
  local args = views.arguments(object)
  if rawget(object, "how") ~= nil then return nil end
  if #args == 0 then return "" end
  return #args == 1 and repr.str(args[1]) or repr.repr(args)
end

local function key_error_message(object)
  local args = views.arguments(object)
  return #args == 1 and repr.repr(args[1]) or message(object)
end

local function os_error_message(object)
  local args = views.arguments(object)
  if #args < 2 then return message(object) end
  local text = ("[Errno %s] %s"):format(repr.str(args[1]), repr.str(args[2]))
  if args[3] == nil or args[3] == values.None then return text end
  text = text .. ": " .. repr.repr(args[3])
  return args[5] ~= nil and text .. " -> " .. repr.repr(args[5]) or text
end

local function call(object, repr_of)
  local parts = {}
  for i, arg in ipairs(views.arguments(object)) do parts[i] = repr_of(arg) end
  return object.name .. "(" .. table.concat(parts, ", ") .. ")"
end

-- errno and strerror are there only where both are.
local function os_error_part(i)
  return function(object)
    local args = views.arguments(object)
    return #args >= 2 and values.optional(args[i]) or nil
  end
end

local function exception(get_message, fields)
  fields = fields or {}
  fields.message = get_message
  return {
    fields = fields,
    methods = {str = get_message},
    tostring = call,
  }
end

local plain = views.complete(exception(message))
local os_error = views.complete(exception(os_error_message, {
  errno = os_error_part(1),
  strerror = os_error_part(2),
  filename = os_error_part(3),
}))

-- OSError, its other names, and its children: their last word is Error, too.
local os_errors = {}
for name in ([[OSError IOError EnvironmentError BlockingIOError BrokenPipeError
    ChildProcessError ConnectionAbortedError ConnectionError
    ConnectionRefusedError ConnectionResetError FileExistsError
    FileNotFoundError InterruptedError IsADirectoryError NotADirectoryError
    PermissionError ProcessLookupError TimeoutError]]):gmatch("%a+") do
  os_errors["builtins." .. name] = true
end

views.unknown.fields.message = message
views.register("builtins.KeyError", exception(key_error_message))

-- What is capitalized among the builtins is an exception, or is no class.
function views.fallback(name)
  if os_errors[name] then return os_error end
  return name:find("^builtins%.%u") and plain or nil
end

return {}

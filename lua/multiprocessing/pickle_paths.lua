--- Views of pathlib's paths.

local values = require "multiprocessing.pickle_values"
local views = require "multiprocessing.pickle_views"

-- Before Python 3.13 the arguments are the parts, of which the first may end in
-- a separator: "/", "C:\\".
local function join(object, separator)
  local parts = {}
  for i, part in ipairs(views.arguments(object)) do
    parts[i] = values.bytes(part)
    if not parts[i] then return nil end
  end
  local path = ""
  for i, part in ipairs(parts) do
    local ends = i == 1 or path:sub(-1) == separator
    path = path .. (ends and "" or separator) .. part
  end
  return path == "" and "." or path
end

local function view(separator)
  local function str(object) return join(object, separator) end
  return {
    methods = {str = str},
    tostring = function(object, repr)
      local path = str(object)
      if not path then return nil end
      if separator == "\\" then path = path:gsub("\\", "/") end
      return ("%s(%s)"):format(object.name, repr(path))
    end,
  }
end

local posix, windows = view "/", view "\\"
for _, module in ipairs {"pathlib.", "pathlib._local."} do
  for _, name in ipairs {"Path", "PosixPath", "PurePath", "PurePosixPath"} do
    views.register(module .. name, posix)
  end
  for _, name in ipairs {"WindowsPath", "PureWindowsPath"} do
    views.register(module .. name, windows)
  end
end

return {}

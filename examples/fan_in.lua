-- The fan-in of Python's documentation: starts four children, which are this
-- program, too, and prints what they send in the order in which it comes.
--   lua5.4 fan_in.lua
local connection = require "multiprocessing.connection"
local pickle = require "multiprocessing.pickle"

local parent = connection.parent()
if parent then -- this is a child
  for i = 0, 9 do assert(parent:send(pickle.tuple {i, arg[1]})) end
  return
end

local function interpreter()
  local first = 0
  while arg[first - 1] do first = first - 1 end
  return arg[first]
end

local readers, processes = {}, {}
for i = 1, 4 do
  local name = "Process-" .. i
  processes[i] = assert(connection.spawn {interpreter(), arg[0], name})
  readers[i] = processes[i].connection
end

for _, message, err in connection.messages(readers) do
  print(pickle.repr(assert(message, err)))
end
for _, process in ipairs(processes) do assert(process:close() == 0) end

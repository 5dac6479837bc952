-- The fan-in of Python's documentation: four writers, whose messages are read
-- with wait in the order in which they come.
--   lua5.4 doc_fan_in.lua PATH     four of doc_fan_in_writer.lua or .py join
local connection = require "multiprocessing.connection"
local pickle = require "multiprocessing.pickle"

local listener <close> = assert(connection.Listener(arg[1], {backlog = 4}))
print("ready")
io.stdout:flush() -- a pipe would keep it back

local readers = {}
for conn in listener:connections() do
  readers[#readers + 1] = conn
  if #readers == 4 then break end
end

while #readers > 0 do
  for _, reader in ipairs(connection.wait(readers)) do
    local message, err = reader:recv()
    if message ~= nil then
      print(pickle.repr(message))
    else
      assert(err.name == "EOFError", err)
      for i, other in ipairs(readers) do
        if other == reader then table.remove(readers, i) end
      end
      reader:close()
    end
  end
end

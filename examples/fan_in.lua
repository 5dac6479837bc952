-- Starts four writers, which are this program, too, and prints what they send
-- in the order in which it comes.
--   lua5.4 fan_in.lua
local connection = require "multiprocessing.connection"

-- One writer: its name is an argument, the address comes on standard input.
if arg[1] == "writer" then
  local conn <close> = assert(connection.Client(io.read("l")))
  for i = 1, 3 do
    assert(conn:send_bytes(("writer %s, message %d"):format(arg[2], i)))
  end
  return
end

local function interpreter()
  local first = 0
  while arg[first - 1] do first = first - 1 end
  return arg[first]
end

-- No address: a new socket in a directory that only this user may enter.
local listener <close> = assert(connection.Listener(nil, {backlog = 4}))
local command = ("'%s' '%s' writer %%d"):format(interpreter(), arg[0])
local writers, readers = {}, {}
for i = 1, 4 do
  writers[i] = assert(io.popen(command:format(i), "w"))
  writers[i]:write(listener.address, "\n"):flush()
end
for i = 1, 4 do readers[i] = assert(listener:accept(10)) end

for reader in connection.ready(readers) do
  local message, err = reader:recv_bytes()
  if message then
    print(message)
  else
    assert(err.name == "EOFError", err)
    for i, other in ipairs(readers) do
      if other == reader then table.remove(readers, i) end
    end
    reader:close()
  end
end
for _, writer in ipairs(writers) do assert(writer:close()) end

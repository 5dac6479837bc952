-- Answers every message with the same in capitals.
--   lua5.4 demo_server.lua PATH [PEERS]   ends after so many peers, or never
local connection = require "multiprocessing.connection"

local path, peers = arg[1], tonumber(arg[2] or math.huge)
local listener <close> =
  assert(connection.Listener(path, {authkey = "secret password"}))
print("ready")
io.stdout:flush() -- a pipe would keep it back

for conn in listener:connections() do
  for message in conn:messages("bytes") do
    assert(conn:send_bytes(message:upper()))
  end
  conn:close()
  peers = peers - 1
  if peers == 0 then break end
end

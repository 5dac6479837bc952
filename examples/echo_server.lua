-- Answers every message with itself, for many clients at once.
--   lua5.4 echo_server.lua PATH         at a Unix socket
--   lua5.4 echo_server.lua HOST PORT    over TCP
-- The key is $ECHO_KEY. echo_client.py talks to it.
local connection = require "multiprocessing.connection"

local address = arg[2] and {arg[1], assert(math.tointeger(tonumber(arg[2])))} or arg[1]
local listener <close> = assert(connection.Listener(address, {
  authkey = os.getenv("ECHO_KEY") or "secret password", backlog = 64, max_message = 1 << 20,
}))

io.stdout:setvbuf("line")
print("listening at " .. tostring(listener.address))
for event, conn, message in connection.serve(listener, {mode = "bytes"}) do
  if event == "message" then
    local sent, err = conn:send_bytes(message)
    if not sent then print("dropped: " .. tostring(err)) conn:close() end
  elseif event == "error" then
    print((conn and "dropped: " or "turned away: ") .. tostring(message))
  end
end

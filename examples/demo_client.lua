-- Sends some messages to demo_server.lua and prints the answers.
local connection = require "multiprocessing.connection"

local conn <close> =
  assert(connection.Client(arg[1], {authkey = "secret password"}))
conn:settimeout(20) -- a demo that hangs is no demo

for _, message in ipairs {"hello from lua", "goodbye"} do
  assert(conn:send_bytes(message))
  local answer = assert(conn:recv_bytes())
  print(("    sent %q, received %q"):format(message, answer))
  assert(answer == message:upper(), "that is not the message in capitals")
end

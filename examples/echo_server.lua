-- Answers every message with itself, for many clients at once.
--   lua5.4 echo_server.lua PATH         at a Unix socket
--   lua5.4 echo_server.lua HOST PORT    over TCP
-- The key is $ECHO_KEY. echo_client.py talks to it.
local connection = require "multiprocessing.connection"

local address = arg[1]
if arg[2] then address = {arg[1], assert(math.tointeger(tonumber(arg[2])))} end
local listener <close> = assert(connection.Listener(address, {
  authkey = os.getenv("ECHO_KEY") or "secret password",
  backlog = 64, max_message = 1 << 20,
}))

local function say(...)
  print(...)
  io.stdout:flush()
end

local watched = {listener}

local function welcome()
  local conn, err = listener:accept(0)
  if conn then
    conn:settimeout(1) -- nobody keeps the others waiting for longer
    table.insert(watched, conn)
  elseif err.name ~= "TimeoutError" then
    say("turned away: " .. tostring(err))
  end
end

local function dismiss(conn)
  for i, object in ipairs(watched) do
    if object == conn then table.remove(watched, i) end
  end
  conn:close()
end

local function echo(conn)
  local message, err = conn:recv_bytes()
  if message then message, err = conn:send_bytes(message) end
  if message then return end
  if err.name ~= "EOFError" then say("dropped: " .. tostring(err)) end
  dismiss(conn)
end

say("listening at " .. tostring(listener.address))
for object in connection.ready(watched) do
  if object == listener then welcome() else echo(object) end
end

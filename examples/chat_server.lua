-- A chat: what one says, all others hear. The first message is one's name.
--   lua5.4 chat_server.lua PATH
-- Messages are strings, by send and recv: from Python, too.
local connection = require "multiprocessing.connection"

local listener <close> = assert(connection.Listener(arg[1], {backlog = 16}))
local names = {} -- connection -> name

local function tell(text, except)
  for conn in pairs(names) do
    -- who does not read for a second, or has gone, is left out
    if conn ~= except and not conn:send(text) then names[conn] = nil conn:close() end
  end
end

io.stdout:write("ready\n"):flush()
for event, conn, message in connection.serve(listener) do
  local name = names[conn]
  if event == "close" and name then names[conn] = nil tell(name .. " leaves") end
  if event == "message" and name then tell(name .. ": " .. tostring(message), conn) end
  if event == "message" and not name then
    names[conn] = tostring(message)
    tell(names[conn] .. " joins")
  end
end

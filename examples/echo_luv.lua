-- Answers every message with itself, in luv's loop: `apt-get install lua-luv`.
--   lua5.4 echo_luv.lua PATH
-- The key is $ECHO_KEY. echo_client.py talks to it.
local connection = require "multiprocessing.connection"
local uv = require "luv"
connection.set_waiter(require "multiprocessing.waiter.luv")

local function spawn(f, ...)
  local ok, err = coroutine.resume(coroutine.create(function(...)
    local done, problem = pcall(f, ...)
    if not done then print("dropped: " .. tostring(problem)) end
  end), ...)
  if not ok then error(err, 0) end
end

local function serve(conn)
  for message in conn:messages("bytes") do
    if not conn:send_bytes(message) then break end
  end
  conn:close()
end

spawn(function()
  local listener <close> = assert(connection.Listener(arg[1], {
    authkey = os.getenv("ECHO_KEY") or "secret password", backlog = 64,
  }))
  print("listening at " .. tostring(listener.address))
  io.stdout:flush()
  for conn in listener:connections() do spawn(serve, conn) end
end)

uv.run()

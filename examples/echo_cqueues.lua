-- Answers every message with itself, in a cqueues loop that has other things to
-- do, too: `apt-get install lua-cqueues`.
--   lua5.4 echo_cqueues.lua PATH
-- The key is $ECHO_KEY. echo_client.py talks to it.
local connection = require "multiprocessing.connection"
local cqueues = require "cqueues"
connection.set_waiter(require "multiprocessing.waiter.cqueues")

local loop = cqueues.new()

local function serve(conn)
  for message in conn:messages("bytes") do
    if not conn:send_bytes(message) then break end
  end
  conn:close()
end

loop:wrap(function()
  local listener <close> = assert(connection.Listener(arg[1], {
    authkey = os.getenv("ECHO_KEY") or "secret password", backlog = 64,
  }))
  print("listening at " .. tostring(listener.address))
  io.stdout:flush()
  for conn in listener:connections() do
    loop:wrap(function()
      local ok, err = pcall(serve, conn)
      if not ok then print("dropped: " .. tostring(err)) end
    end)
  end
end)

loop:wrap(function() -- something else that the loop does
  while true do
    cqueues.sleep(3600)
    print("an hour has passed")
  end
end)

assert(loop:loop())

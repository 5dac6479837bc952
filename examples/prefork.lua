-- Workers that are started beforehand serve the clients of one listener: this
-- program accepts, and passes each connection on to a worker that is free. A
-- worker is this program, too, and serves one client at a time.
--   lua5.4 prefork.lua WORKERS PATH         at a Unix socket
--   lua5.4 prefork.lua WORKERS HOST PORT    over TCP
-- The key is $ECHO_KEY. echo_client.py talks to it.
local connection = require "multiprocessing.connection"

-- A worker. What a client does is its own affair: only its connection ends.
local function serve(conn)
  local message, err = conn:recv_bytes()
  while message do
    message, err = conn:send_bytes(message)
    if message then message, err = conn:recv_bytes() end
  end
  conn:close()
  if err.name ~= "EOFError" then io.stderr:write("dropped: ", tostring(err), "\n") end
end

local parent = connection.parent()
if parent then
  while parent:send("free") do
    local fd = parent:recv_handle()
    if not fd then break end -- the parent has ended
    serve(assert(connection.Connection(fd)))
  end
  return
end

-- The parent.
local function say(...)
  print(...)
  io.stdout:flush()
end

local function interpreter()
  local first = 0
  while arg[first - 1] do first = first - 1 end
  return arg[first]
end

local address = arg[2]
if arg[3] then address = {arg[2], assert(math.tointeger(tonumber(arg[3])))} end
local listener <close> = assert(connection.Listener(address, {
  authkey = os.getenv("ECHO_KEY") or "secret password",
  backlog = 64,
  readahead = false, -- what a client sends at once is for the worker to read
}))

local processes, workers = {}, {} -- the workers: our ends of their connections
for i = 1, assert(math.tointeger(tonumber(arg[1]))) do
  processes[i] = assert(connection.spawn {interpreter(), arg[0]})
  workers[i] = processes[i].connection
end

-- The next worker that says it is free. One that has ended is let go.
local function free_worker()
  while true do
    assert(#workers > 0, "no worker is left")
    local worker = assert(connection.wait(workers))[1]
    if worker:recv() then return worker end
    for i, other in ipairs(workers) do
      if other == worker then table.remove(workers, i) end
    end
  end
end

say("listening at " .. tostring(listener.address))
local function turn_away(err) say("turned away: " .. tostring(err)) end
for conn in listener:connections(turn_away) do
  repeat
    local passed = free_worker():send_handle(conn)
  until passed -- or that worker ended just now
  conn:close()
end

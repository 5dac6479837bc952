--- luv, Lua's binding to libuv: callbacks.

local worker = require "worker"
local uv = worker.require "luv"

local HIGH_WATER = 1 << 20 -- bytes that may be unsent before a sender waits

local listener, where
local connections = {}
local on_message -- what each message is given to: (conn, message)

-- Frames

-- A callback for read_start that gives whole messages to on_message.
local function splitter(conn)
  local parts, have, need = {}, 0, 4
  return function(err, chunk)
    assert(not err, err)
    if not chunk then return end
    table.insert(parts, chunk)
    have = have + #chunk
    if have < need then return end
    local bytes, at = parts[2] and table.concat(parts) or parts[1], 1
    repeat
      local size = string.unpack(">I4", bytes, at)
      need = 4 + size
      if have < need then break end
      on_message(conn, bytes:sub(at + 4, at + 3 + size))
      at, have, need = at + need, have - need, 4
    until have < 4
    parts = {have > 0 and (at == 1 and bytes or bytes:sub(at)) or nil}
  end
end

local function send(conn, message)
  conn:write({string.pack(">I4", #message), message})
end

-- Opening and closing

local both, server, client = {}, {}, {}

function both.drop()
  for _, conn in ipairs(connections) do conn:close() end
  if listener then listener:close() end
  connections, listener = {}, nil
  uv.run() -- all that is left is closing
end

local function new_stream()
  if where.family == "unix" then return uv.new_pipe(false) end
  local stream = uv.new_tcp()
  stream:nodelay(true)
  return stream
end

local function add(conn)
  conn:read_start(splitter(conn))
  table.insert(connections, conn)
end

function server.listen(family, address)
  where = {family = family}
  listener = new_stream()
  if family == "unix" then
    assert(listener:bind(address))
  else
    assert(listener:bind("127.0.0.1", address))
  end
  assert(listener:listen(128, function(err)
    assert(not err, err)
    local conn = new_stream()
    assert(listener:accept(conn))
    if family == "inet" then conn:nodelay(true) end
    add(conn)
    uv.stop()
  end))
  return family == "unix" and address or listener:getsockname().port
end

function client.target(family, address)
  where = {family = family, address = address}
end

-- Calls back when `conn` is connected.
local function connect(callback)
  local conn = new_stream()
  local function connected(err)
    assert(not err, err)
    add(conn)
    callback(conn)
  end
  if where.family == "unix" then
    conn:connect(where.address, connected)
  else
    conn:connect("127.0.0.1", where.address, connected)
  end
end

function server.accept(n)
  local goal = #connections + n
  while #connections < goal do uv.run() end
end

function client.connect(n)
  for _ = 1, n do
    connect(uv.stop)
    uv.run()
  end
end

-- The workloads. What goes on in all of them: a callback for each message, and
-- the loop, which stops when the last one was there.

--- Runs the loop until `count` messages came; each is given to `f(conn, message)`.
local function take(count, f)
  function on_message(conn, message)
    count = count - 1
    if f then f(conn, message) end
    if count == 0 then uv.stop() end
  end
  while count > 0 do uv.run() end -- a new connection stops it, too
end

local function ask(conn, message)
  send(conn, message)
  take(1)
end

function server.w1(_, _, count)
  take(count + 1, send)
end

-- Asks `count` times, each time in the callback of the last answer.
local function ask_in_turn(count, ask_next)
  ask_next()
  take(count, function()
    count = count - 1
    if count > 0 then ask_next() end
  end)
end

function client.w1(_, size, count)
  local conn, message = connections[1], ("m"):rep(size)
  ask(conn, message)
  return worker.time(ask_in_turn, count, function() send(conn, message) end)
end

function server.w2(_, _, count)
  take(1, send)
  take(count)
  send(connections[1], "")
end

-- Until less than that is unsent.
local function drain(conn)
  while conn:get_write_queue_size() > HIGH_WATER do uv.run("once") end
end

function client.w2(_, size, count)
  local conn, message = connections[1], ("m"):rep(size)
  ask(conn, message)
  return worker.time(function()
    for _ = 1, count do
      send(conn, message)
      if conn:get_write_queue_size() > HIGH_WATER then drain(conn) end
    end
    take(1)
  end)
end

function server.w3(_, _, count)
  take(count + 1, send)
end

local message64 = ("m"):rep(64)

function client.w3(_, _, count)
  local at, n = 0, #connections
  ask(connections[1], message64)
  return worker.time(ask_in_turn, count, function()
    at = (at + 7919) % n
    send(connections[at + 1], message64)
  end)
end

function server.w7(_, _, count)
  take(worker.flood_count(connections, count), send)
end

function client.w7(_, _, count)
  local n = #connections
  local turns = count // n + 1
  ask(connections[1], message64)
  local taken = worker.time(function()
    for _ = 1, turns do
      for _, conn in ipairs(connections) do send(conn, message64) end
      take(n)
    end
  end)
  return taken / (turns * n) * count
end

function server.w6(_, _, count)
  local goal = #connections + count
  take(count, send)
  assert(#connections == goal)
  collectgarbage()
  collectgarbage()
end

function client.w6(_, _, count)
  for _ = 1, count do
    connect(function(conn) send(conn, message64) end)
    take(1)
  end
end

worker.run(uv.version_string(), "w1 w2 w3 w6 w7",
  worker.commands(both, server, client))

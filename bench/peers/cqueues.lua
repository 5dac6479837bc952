--- cqueues: a coroutine for each connection of a server; in W5 with luaossl.

local worker = require "worker"
local cqueues = worker.require "cqueues"
local socket = require "cqueues.socket"
local handshake = require "handshake"

local loop = cqueues.new()
local listener, target, key
local connections = {}
local serving, served = 0, 0 -- connections with a coroutine; messages

--- Runs `f(...)` in a coroutine of the loop, to its end.
local function run(f, ...)
  local arguments, result, done = table.pack(...), nil, false
  loop:wrap(function()
    result = f(table.unpack(arguments, 1, arguments.n))
    done = true
  end)
  while not done do assert(loop:step()) end
  return result
end

-- Frames

local function send(conn, message, buffered)
  assert(conn:write(string.pack(">I4", #message), message))
  if not buffered then assert(conn:flush()) end
end

local function receive(conn)
  local size = string.unpack(">I4", assert(conn:read(4)))
  return size > 0 and assert(conn:read(size)) or ""
end

local function echo(conn)
  send(conn, receive(conn))
end

local function ask(conn, message)
  send(conn, message)
  receive(conn)
end

-- Opening and closing

local both, server, client = {}, {}, {}

local function shut(conn)
  cqueues.cancel(conn)
  conn:close()
end

function both.drop()
  for _, conn in ipairs(connections) do shut(conn) end
  if listener then shut(listener) end
  connections, listener, loop, serving = {}, nil, cqueues.new(), 0
end

local function options(family, address)
  if family == "unix" then return {path = address} end
  return {host = "127.0.0.1", port = address, nodelay = true}
end

-- Binary, and written when we say so.
local function prepared(conn)
  conn:setmode("b", "bf")
  return conn
end

function server.listen(family, address, given_key)
  key = given_key
  listener = assert(socket.listen(options(family, address)))
  assert(listener:listen())
  if family == "unix" then return address end
  return (select(3, listener:localname()))
end

function client.target(family, address, given_key)
  target, key = options(family, address), given_key
end

local function accept()
  return prepared(assert(listener:accept()))
end

local function connect()
  local conn = prepared(assert(socket.connect(target)))
  assert(conn:connect())
  return conn
end

local function open_more(open, n)
  run(function()
    for _ = 1, n do table.insert(connections, open()) end
  end)
end

function server.accept(n) open_more(accept, n) end
function client.connect(n) open_more(connect, n) end

-- The workloads

function server.w1(_, _, count)
  run(function()
    for _ = 0, count do echo(connections[1]) end
  end)
end

function client.w1(_, size, count)
  local conn, message = connections[1], ("m"):rep(size)
  return run(function()
    ask(conn, message)
    return worker.time(function()
      for _ = 1, count do ask(conn, message) end
    end)
  end)
end

function server.w2(_, _, count)
  local conn = connections[1]
  run(function()
    echo(conn)
    for _ = 1, count do receive(conn) end
    send(conn, "")
  end)
end

function client.w2(way, size, count)
  local conn, message = connections[1], ("m"):rep(size)
  return run(function()
    ask(conn, message)
    return worker.time(function()
      for _ = 1, count do send(conn, message, way == "batched") end
      conn:flush()
      receive(conn)
    end)
  end)
end

-- A coroutine for each connection that has none.
local function serve(count)
  for i = serving + 1, #connections do
    local conn = connections[i]
    loop:wrap(function()
      while true do
        echo(conn)
        served = served + 1
      end
    end)
  end
  serving, served = #connections, 0
  while served < count do assert(loop:step()) end
end

local message64 = ("m"):rep(64)
local function ask64(conn) ask(conn, message64) end

function server.w3(_, _, count)
  serve(count + 1)
end

function client.w3(_, _, count)
  return run(function()
    ask64(connections[1])
    return worker.time(worker.poke, connections, count, ask64)
  end)
end

function server.w7(_, _, count)
  serve(worker.flood_count(connections, count))
end

function client.w7(_, _, count)
  return run(function()
    ask64(connections[1])
    return worker.flood(connections, count, function(conn)
      send(conn, message64)
    end, receive)
  end)
end

function server.w5(_, _, count)
  run(function()
    for _ = 1, count do
      local conn = accept()
      handshake.deliver(conn, key, send, receive)
      handshake.answer(conn, key, send, receive)
      shut(conn)
    end
  end)
end

function client.w5(_, _, count)
  return run(worker.time, function()
    for _ = 1, count do
      local conn = connect()
      handshake.answer(conn, key, send, receive)
      handshake.deliver(conn, key, send, receive)
      shut(conn)
    end
  end)
end

function server.w6(_, _, count)
  run(function()
    for _ = 1, count do
      local conn = accept()
      table.insert(connections, conn)
      echo(conn)
    end
  end)
  collectgarbage()
  collectgarbage()
end

function client.w6(_, _, count)
  run(function()
    for _ = 1, count do
      local conn = connect()
      table.insert(connections, conn)
      ask64(conn)
    end
  end)
end

worker.run(tostring(cqueues.VERSION),
  "w1 w2:-,batched w3 w6 w7" .. (handshake and " w5:luaossl" or ""),
  worker.commands(both, server, client))

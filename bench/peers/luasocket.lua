--- LuaSocket, blocking; in W4 with lua-cjson, in W5 with luaossl.

local worker = require "worker"
local socket = worker.require "socket"
local unix = worker.require "socket.unix"
local handshake = require "handshake"
local has_cjson, cjson = pcall(require, "cjson")

local BOTH_COPIED = 16384 -- bytes that are cheaper copied than sent apart

local listener, where, key
local connections = {}

-- Frames

local function send(conn, message)
  if #message <= BOTH_COPIED then
    assert(conn:send(string.pack(">s4", message)))
  else
    assert(conn:send(string.pack(">I4", #message)))
    assert(conn:send(message))
  end
end

local function receive(conn)
  local size = string.unpack(">I4", assert(conn:receive(4)))
  local message, err = "", nil
  if size > 0 then message, err = conn:receive(size) end
  return message or error(err, 0)
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

function both.drop()
  for _, conn in ipairs(connections) do conn:close() end
  if listener then listener:close() end
  connections, listener = {}, nil
end

local function prepared(conn)
  if where.family == "inet" then conn:setoption("tcp-nodelay", true) end
  return conn
end

function server.listen(family, address, given_key)
  where, key = {family = family}, given_key
  listener = family == "unix" and assert(unix.stream()) or assert(socket.tcp())
  if family == "unix" then
    assert(listener:bind(address))
  else
    assert(listener:bind("127.0.0.1", address))
  end
  assert(listener:listen(128))
  return family == "unix" and address or select(2, listener:getsockname())
end

function client.target(family, address, given_key)
  where, key = {family = family, address = address}, given_key
end

local function accept()
  return prepared(assert(listener:accept()))
end

local function connect()
  local conn
  if where.family == "unix" then
    conn = assert(unix.stream())
    assert(conn:connect(where.address))
  else
    conn = assert(socket.connect("127.0.0.1", where.address))
  end
  return prepared(conn)
end

function server.accept(n)
  for _ = 1, n do table.insert(connections, accept()) end
end

function client.connect(n)
  for _ = 1, n do table.insert(connections, connect()) end
end

-- The workloads

function server.w1(_, _, count)
  for _ = 0, count do echo(connections[1]) end
end

function client.w1(_, size, count)
  local conn, message = connections[1], ("m"):rep(size)
  ask(conn, message)
  return worker.time(function()
    for _ = 1, count do ask(conn, message) end
  end)
end

function server.w2(_, _, count)
  local conn = connections[1]
  echo(conn)
  for _ = 1, count do receive(conn) end
  send(conn, "")
end

function client.w2(_, size, count)
  local conn, message = connections[1], ("m"):rep(size)
  ask(conn, message)
  return worker.time(function()
    for _ = 1, count do send(conn, message) end
    receive(conn)
  end)
end

local function serve(count)
  while count > 0 do
    for _, conn in ipairs(socket.select(connections, nil)) do
      echo(conn)
      count = count - 1
    end
  end
end

-- For both, lest one waits for the other.
local function check_selectable()
  if #connections > 1000 then
    error("select takes no descriptor over 1,023", 0)
  end
end

local message64 = ("m"):rep(64)
local function ask64(conn) ask(conn, message64) end

function server.w3(_, _, count)
  check_selectable()
  serve(count + 1)
end

function client.w3(_, _, count)
  check_selectable()
  ask64(connections[1])
  return worker.time(worker.poke, connections, count, ask64)
end

function server.w7(_, _, count)
  serve(worker.flood_count(connections, count))
end

function client.w7(_, _, count)
  ask64(connections[1])
  return worker.flood(connections, count, function(conn)
    send(conn, message64)
  end, receive)
end

function server.w4(_, _, count)
  local conn = connections[1]
  for _ = 0, count do send(conn, cjson.encode(cjson.decode(receive(conn)))) end
end

function client.w4(_, name, count)
  local conn, value = connections[1], worker.plain_value(name, cjson.null)
  local function turn()
    send(conn, cjson.encode(value))
    cjson.decode(receive(conn))
  end
  turn()
  return worker.time(function()
    for _ = 1, count do turn() end
  end)
end

function server.w5(_, _, count)
  for _ = 1, count do
    local conn = accept()
    handshake.deliver(conn, key, send, receive)
    handshake.answer(conn, key, send, receive)
    conn:close()
  end
end

function client.w5(_, _, count)
  return worker.time(function()
    for _ = 1, count do
      local conn = connect()
      handshake.answer(conn, key, send, receive)
      handshake.deliver(conn, key, send, receive)
      conn:close()
    end
  end)
end

function server.w6(_, _, count)
  for _ = 1, count do
    local conn = accept()
    table.insert(connections, conn)
    echo(conn)
  end
  collectgarbage()
  collectgarbage()
end

function client.w6(_, _, count)
  for _ = 1, count do
    local conn = connect()
    table.insert(connections, conn)
    ask64(conn)
  end
end

worker.run(socket._VERSION:match("%d[%d.]*"),
  "w1 w2 w3:select w6 w7:select" .. (has_cjson and " w4:cjson" or "")
  .. (handshake and " w5:luaossl" or ""),
  worker.commands(both, server, client))

--- This library.

local worker = require "worker"
local connection = worker.require "multiprocessing.connection"
local pickle = require "multiprocessing.pickle"

local listener, target
local connections = {}

local function check(result, err)
  if not result then error(err, 0) end
  return result
end

-- Opening and closing

local both, server, client = {}, {}, {}

-- "-" is no key.
local function options(key)
  return {authkey = key ~= "-" and key or nil}
end

local function address_of(family, address)
  return family == "unix" and address or {"127.0.0.1", address}
end

function both.drop()
  for _, conn in ipairs(connections) do conn:close() end
  if listener then listener:close() end
  connections, listener = {}, nil
end

function server.listen(family, address, key)
  local opts = options(key)
  opts.backlog = 128
  listener = check(connection.Listener(address_of(family, address), opts))
  return family == "unix" and address or listener.address[2]
end

function server.accept(n)
  for _ = 1, n do table.insert(connections, check(listener:accept())) end
end

function client.target(family, address, key)
  target = {address_of(family, address), options(key)}
end

local function connect()
  return check(connection.Client(target[1], target[2]))
end

function client.connect(n)
  for _ = 1, n do table.insert(connections, connect()) end
end

-- One message, there and back

local function echo(conn)
  conn:send_bytes(check(conn:recv_bytes()))
end

local function ask(conn, message)
  conn:send_bytes(message)
  check(conn:recv_bytes())
end

local spins = connection.Pipe(false).setspin and os.getenv("BENCH_CPUS") == "2"

local function set_way(way)
  if spins then connections[1]:setspin(way == "spinning" and 0.001 or 0) end
end

function server.w1(way, _, count)
  local conn = connections[1]
  set_way(way)
  for _ = 0, count do echo(conn) end
end

function client.w1(way, size, count)
  local conn, message = connections[1], ("m"):rep(size)
  set_way(way)
  ask(conn, message)
  return worker.time(function()
    for _ = 1, count do ask(conn, message) end
  end)
end

-- A stream; each way is a pair of a sender and a receiver

local function receive(conn, count)
  for _ = 1, count do
    if not conn:recv_bytes() then error("it ended", 0) end
  end
end

local function receive_into(conn, count, size)
  local buffer = connection.Buffer(math.max(size, 1))
  for _ = 1, count do
    if not conn:recv_bytes_into(buffer) then error("it ended", 0) end
  end
end

local function iterate(conn, count)
  if count == 0 then return end
  for _ in conn:messages("bytes") do
    count = count - 1
    if count == 0 then return end
  end
  error("it ended", 0)
end

local function send(conn, message, count)
  for _ = 1, count do
    if not conn:send_bytes(message) then error("it ended", 0) end
  end
end

-- As many as make 64 KiB, 256 at most.
local function batch(message)
  return math.max(1, math.min(256, 65536 // math.max(#message, 1)))
end

local function send_many(conn, message, count)
  local list = {}
  for i = 1, batch(message) do list[i] = message end
  while count > 0 do
    if count < #list then list = table.move(list, 1, count, 1, {}) end
    check(conn:send_many(list, "bytes"))
    count = count - #list
  end
end

local function send_corked(conn, message, count)
  local n = batch(message)
  while count > 0 do
    conn:cork()
    send(conn, message, math.min(n, count))
    check(conn:flush())
    count = count - n
  end
end

local ways = {
  recv_bytes = {send, receive},
  recv_bytes_into = {send, receive_into},
  messages = {send, iterate},
  send_many = {send_many, iterate},
  cork = {send_corked, iterate},
}

function server.w2(way, size, count)
  local conn = connections[1]
  echo(conn)
  ways[way][2](conn, count, size)
  conn:send_bytes("")
end

function client.w2(way, size, count)
  local conn, message = connections[1], ("m"):rep(size)
  ask(conn, message)
  return worker.time(function()
    ways[way][1](conn, message, count)
    check(conn:recv_bytes())
  end)
end

-- Waiting for one of many

local serve = {}

function serve.wait(count)
  while count > 0 do
    for _, conn in ipairs(check(connection.wait(connections))) do
      echo(conn)
      count = count - 1
    end
  end
end

function serve.Poller(count)
  local poller <close> = connection.Poller()
  for _, conn in ipairs(connections) do poller:add(conn) end
  while count > 0 do
    for _, conn in ipairs(check(poller:wait())) do
      echo(conn)
      count = count - 1
    end
  end
end

local message64 = ("m"):rep(64)
local function ask64(conn) ask(conn, message64) end

function server.w3(way, _, count)
  serve[way](count + 1)
end

function client.w3(_, _, count)
  ask64(connections[1])
  return worker.time(worker.poke, connections, count, ask64)
end

-- The same without the round trip: the one in the middle stays ready.
local function middle()
  return connections[#connections // 2 + 1]
end

function server.look()
  middle():send_bytes(message64)
end

function client.look(way, _, count)
  local poller <close> = connection.Poller()
  for _, conn in ipairs(connections) do poller:add(conn) end
  local function find()
    return check(way == "wait" and connection.wait(connections) or poller:wait())
  end
  for _ = 1, 3 do find() end -- what wait keeps, it keeps by then
  local taken = worker.time(function()
    for _ = 1, count do find() end
  end)
  check(middle():recv_bytes())
  return taken
end

function server.w7(way, _, count)
  serve[way](worker.flood_count(connections, count))
end

function client.w7(_, _, count)
  ask64(connections[1])
  return worker.flood(connections, count, function(conn)
    conn:send_bytes(message64)
  end, function(conn)
    check(conn:recv_bytes())
  end)
end

-- Objects, setting up, memory

function server.w4(_, _, count)
  local conn = connections[1]
  for _ = 0, count do conn:send(check(conn:recv())) end
end

function client.w4(_, name, count)
  local conn, value = connections[1], worker.value(name)
  local function turn()
    conn:send(value)
    check(conn:recv())
  end
  turn()
  return worker.time(function()
    for _ = 1, count do turn() end
  end)
end

function server.w5(_, _, count)
  for _ = 1, count do check(listener:accept()):close() end
end

function client.w5(_, _, count)
  return worker.time(function()
    for _ = 1, count do connect():close() end
  end)
end

function server.w6(_, _, count)
  for _ = 1, count do
    local conn = check(listener:accept())
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

both.codec = worker.codec(pickle.dumps, pickle.loads, worker.value)

-- What this version of the library has

local function has(name)
  return connection.Pipe(false)[name] ~= nil
end

local waiting = connection.Poller and "wait,Poller" or "wait"
worker.run(_VERSION:gsub(" ", "-"), table.concat({
  spins and "w1:-,spinning" or "w1",
  "w2:recv_bytes,recv_bytes_into,messages"
    .. (has "send_many" and ",send_many" or "") .. (has "cork" and ",cork" or ""),
  "w3:" .. waiting, "look:" .. waiting, "w4 w5 w6", "w7:" .. waiting, "codec:dumps,loads",
}, " "), worker.commands(both, server, client))

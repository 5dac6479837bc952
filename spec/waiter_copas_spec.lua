-- Connections in Copas with the waiter, and in LuaSocket's select without it.

-- Debian's Copas is for older Luas, and runs in ours.
package.path = package.path .. ";/usr/share/lua/5.2/?.lua;/usr/share/lua/5.1/?.lua"

local connection = require "multiprocessing.connection"
local copas = require "copas"
local helpers = require "helpers"
local loop_cases = require "loop_cases"
local socket = require "socket"

local LIMIT = helpers.timeout

local failure, running

local function spawn(f)
  running = running + 1
  copas.addthread(function()
    local ok, err = xpcall(f, debug.traceback)
    if not ok then failure = failure or err end
    running = running - 1
  end)
end

local function start(...)
  failure, running = nil, 0
  for _, f in ipairs {...} do spawn(f) end
  while running > 0 and not failure do copas.step(0.01) end
  if failure then error(failure, 0) end
end

describe("multiprocessing.waiter.copas", function()
  loop_cases({
    waiter = require "multiprocessing.waiter.copas",
    start = start, spawn = spawn, conversations = 100, -- select has a limit
  }, {it = it, pending = pending, before_each = before_each, after_each = after_each})
end)

describe("socket.select", function()
  it("tells which connections can be received from", function()
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    local readable, _, err = socket.select({b, d}, nil, 0)
    assert.same({}, {readable[1]})
    assert.equal("timeout", err)
    assert(c:send("to d"))
    readable = socket.select({b, d}, nil, LIMIT)
    assert.equal(d, readable[1])
    assert.is_nil(readable[2])
    assert.equal("to d", d:recv())
    assert(a:send("to b"))
    readable = socket.select({b, d}, nil, LIMIT)
    assert.equal(b, readable[1])
  end)

  it("knows what has been read ahead", function()
    local listener <close> = assert(connection.Listener())
    local client <close> = assert(connection.Client(listener.address))
    local conn <close> = assert(listener:accept(LIMIT))
    for i = 1, 2 do assert(client:send(i)) end
    assert.equal(1, conn:recv())
    local readable = socket.select({conn}, nil, LIMIT)
    assert.equal(conn, readable[1])
    assert.equal(2, conn:recv())
  end)

  it("tells that a listener has a peer, and that one can be written", function()
    local listener <close> = assert(connection.Listener())
    local client <close> = assert(connection.Client(listener.address, {
      nonblocking = true,
    }))
    local readable = socket.select({listener}, nil, LIMIT)
    assert.equal(listener, readable[1])
    local conn <close> = assert(listener:accept(LIMIT))
    local _, writable = socket.select(nil, {client, conn}, LIMIT)
    assert.equal(2, #writable)
  end)

  it("passes over what is closed", function()
    local _, b, _ <close> = helpers.pair()
    b:close()
    local readable, _, err = socket.select({b}, nil, 0)
    assert.is_nil(readable[1])
    assert.equal("timeout", err)
  end)

  it("is enough for a loop of one's own", function()
    local waiting = {r = {}, w = {}}
    connection.set_waiter(function(object, mode)
      if not coroutine.isyieldable() then return false end
      waiting[mode][object] = coroutine.running()
      coroutine.yield()
    end)
    local function objects(mode)
      local list = {}
      for object in pairs(waiting[mode]) do table.insert(list, object) end
      return list
    end
    local function go_on(mode, ready)
      for _, object in ipairs(ready) do
        local thread = waiting[mode][object]
        waiting[mode][object] = nil
        assert(coroutine.resume(thread))
      end
    end
    local a, b, _ <close> = helpers.pair()
    local large, got = ("x"):rep(1 << 20), nil
    coroutine.wrap(function() got = b:recv() end)()
    coroutine.wrap(function() assert(a:send(large)) end)()
    while next(waiting.r) or next(waiting.w) do
      local readable, writable = socket.select(objects "r", objects "w", LIMIT)
      go_on("r", readable)
      go_on("w", writable)
    end
    connection.set_waiter(nil)
    assert.is_true(got == large)
  end)
end)

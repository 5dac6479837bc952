-- Connections in luv's loop: with the waiter, and with a uv_poll of one's own.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local loop_cases = require "loop_cases"
local uv = require "luv"

local LIMIT = helpers.timeout
local waiter = require "multiprocessing.waiter.luv"

-- An error in a callback of luv's would end the process.
local failure, running

local function spawn(f)
  running = running + 1
  local thread = coroutine.create(function()
    local ok, err = xpcall(f, debug.traceback)
    if not ok then failure = failure or err end
    running = running - 1
  end)
  assert(coroutine.resume(thread))
end

local function start(...)
  failure, running = nil, 0
  for _, f in ipairs {...} do spawn(f) end
  while running > 0 and not failure and uv.run("once") do end
  if failure then error(failure, 0) end
  assert.equal(0, running, "some wait for ever")
end

describe("multiprocessing.waiter.luv", function()
  loop_cases({
    waiter = waiter, start = start, spawn = spawn, conversations = 1000,
  }, {it = it, pending = pending, before_each = before_each, after_each = after_each})

  it("leaves nothing that keeps the loop running", function()
    connection.set_waiter(waiter)
    local a, b, _ <close> = helpers.pair()
    start(function() assert.equal(1, b:recv()) end, function() assert(a:send(1)) end)
    connection.set_waiter(nil)
    assert.is_false(uv.run())
    assert.is_false(uv.loop_alive())
  end)

  it("has room for a handle of one's own afterwards", function()
    connection.set_waiter(waiter)
    local a, b, _ <close> = helpers.pair()
    start(function() assert.equal(1, b:recv()) end, function() assert(a:send(1)) end)
    connection.set_waiter(nil)
    local handle = assert(uv.new_poll(b:fileno()))
    local got
    handle:start("r", function()
      got = b:recv()
      handle:close()
    end)
    assert(a:send("polled"))
    uv.run()
    assert.equal("polled", got)
  end)

  it("forgets a coroutine that is closed", function()
    connection.set_waiter(waiter)
    local a, b, _ <close> = helpers.pair()
    b:settimeout(LIMIT)
    local thread = coroutine.create(function() b:recv() end)
    assert(coroutine.resume(thread))
    assert(uv.loop_alive())
    assert(coroutine.close(thread))
    uv.run("nowait") -- which closes the timer
    assert.is_false(uv.loop_alive())
    start(function() assert.equal("next", b:recv()) end, function() assert(a:send("next")) end)
    connection.set_waiter(nil)
    assert.is_false(uv.run())
  end)

  it("leaves an error to luv, which tells it", function()
    local child <close> = helpers.lua([[
      local connection = require "multiprocessing.connection"
      local uv = require "luv"
      connection.set_waiter(require "multiprocessing.waiter.luv")
      local a, b = connection.Pipe()
      coroutine.wrap(function()
        b:recv()
        error("own error")
      end)()
      a:send(1)
      uv.run()
    ]], {stderr = "stdout"})
    local _, said = child:wait(LIMIT)
    assert.matches("own error", said)
  end)
end)

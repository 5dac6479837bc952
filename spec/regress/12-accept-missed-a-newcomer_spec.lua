-- A coroutine waited in accept; another call, accept(0), took a newcomer in. The
-- waiting one watched the peers that it had known when it began to wait, so the
-- newcomer's handshake stood still until it had taken too long.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

describe("A coroutine that waits in accept", function()
  it("goes on with a handshake that another call has begun", function()
    local listener <close> = assert(connection.Listener(nil, {authkey = "key"}))
    local asked
    local before = connection.set_waiter(function(object, mode)
      if not coroutine.isyieldable() then return false end
      asked = object
      return coroutine.yield(mode)
    end)
    local _ <close> = setmetatable({}, {__close = function()
      connection.set_waiter(before)
    end})
    local accepted
    local thread = coroutine.create(function() accepted = assert(listener:accept()) end)
    assert(coroutine.resume(thread))
    local client = helpers.fork(function()
      connection.set_waiter(nil)
      local conn <close> = assert(connection.Client(listener.address, {authkey = "key"}))
      assert(conn:recv() == "welcome")
    end)
    connection.wait({listener:fileno()}, helpers.timeout)
    assert.equal("TimeoutError", select(2, listener:accept(0)).name) -- it is in
    while not accepted do
      assert.same({asked}, connection.wait({asked}, helpers.timeout))
      assert(coroutine.resume(thread, true))
    end
    assert(accepted:send("welcome"))
    assert.equal(0, (client:wait()))
  end)
end)

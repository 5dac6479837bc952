-- A coroutine that is about to wait for an object is given a Waiting, and to make
-- that may run a finalizer. Where it closed the object, the coroutine was put to
-- wait for a descriptor that was closed before, or another's by now: nobody told
-- it, since the close came first.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

describe("A coroutine whose object a finalizer closes as it begins to wait", function()
  local before
  local waited -- {handle, mode, timeout}: what the waiter was asked

  before_each(function()
    before = connection.set_waiter({
      wait = function(object, mode, timeout)
        waited = {object:pollfd(), mode, timeout}
        coroutine.yield()
      end,
    })
  end)

  after_each(function()
    collectgarbage("restart")
    connection.set_waiter(before)
  end)

  --- Begins `call` such that `close` runs in the first collection after that.
  local function begin(call, close)
    local finalized = false
    local thread = coroutine.create(function()
      coroutine.yield()
      return call()
    end)
    assert(coroutine.resume(thread))
    local mode = collectgarbage("generational")
    collectgarbage()
    collectgarbage("stop")
    setmetatable({}, {__gc = function()
      finalized = true
      close()
    end})
    collectgarbage("restart")
    local ok, err = coroutine.resume(thread)
    assert.is_true(finalized)
    collectgarbage(mode)
    return thread, ok, err
  end

  --- It throws misuse, at once or when its waiter, who is not to wait, returns.
  local function assert_closed(what, call, close)
    waited = nil
    local thread, ok, err = begin(call, close)
    if ok then
      assert.same({-1, "r", 0}, waited)
      ok, err = coroutine.resume(thread)
    end
    assert.is_false(ok)
    assert.matches(what .. " is closed", err)
  end

  local function pipe()
    local near, far = assert(connection.Pipe())
    return near, helpers.closing(near, far)
  end

  it("is not put to wait for it: a connection", function()
    local near, _ <close> = pipe()
    assert_closed("connection", function() return near:recv_bytes() end,
                  function() near:close() end)
  end)

  it("is not put to wait for it: a listener", function()
    local listener <close> = assert(connection.Listener())
    assert_closed("listener", function() return listener:accept() end,
                  function() listener:close() end)
  end)

  it("is not put to wait for it: a poller", function()
    local near, _ <close> = pipe()
    local poller <close> = assert(connection.Poller())
    poller:add(near)
    assert_closed("poller", function() return poller:wait() end,
                  function() poller:close() end)
  end)
end)

-- wait kept a poller over a list that was waited for again, also where a waiter
-- waits in a loop of the program. That loop was given the poller's handle: a wait
-- for another list closed it, and nobody told it of a connection that was closed.
-- The coroutine slept on.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local N = 40

describe("connection.wait in a coroutine, for a list that it was called with before", function()
  local before
  local handles = {} -- what each coroutine waits for

  before_each(function()
    before = connection.set_waiter(function(object)
      local thread, is_main = coroutine.running()
      if is_main then return false end
      handles[thread] = object:pollfd()
      return coroutine.yield()
    end)
  end)

  after_each(function() connection.set_waiter(before) end)

  local function sleep_on(list)
    helpers.keep(list)
    local thread = coroutine.create(function() return connection.wait(list) end)
    assert(coroutine.resume(thread))
    return thread
  end

  local function is_called(thread)
    local handle = handles[thread] -- -1 with poll(2): it looks now and then
    return handle == -1 or sys.poll(handle, "r", helpers.timeout)
  end

  it("is woken after others have waited for another list", function()
    local one, far, _ <close> = helpers.pairs(N)
    local thread = sleep_on(one)
    local two, _, _ <close> = helpers.pairs(N) -- luacheck: ignore 411
    helpers.keep(two)
    far[7]:send_bytes("x")
    assert.is_true(is_called(thread))
    assert.same({true, {one[7]}}, {coroutine.resume(thread)})
  end)

  it("is woken when one of them is closed", function()
    local list, _, _ <close> = helpers.pairs(N)
    local thread = sleep_on(list)
    list[9]:close()
    assert.is_true(is_called(thread))
    local done, err = coroutine.resume(thread)
    assert.is_false(done)
    assert.matches("closed %(at %[9%]", err)
  end)

  it("is woken where the list was kept before there was a waiter", function()
    connection.set_waiter(nil)
    local list, far, _ <close> = helpers.pairs(N)
    helpers.keep(list)
    connection.set_waiter(function(object)
      handles[coroutine.running()] = object:pollfd()
      return coroutine.yield()
    end)
    local thread = coroutine.create(function() return connection.wait(list) end)
    assert(coroutine.resume(thread))
    connection.set_waiter(nil)
    local other, _, _ <close> = helpers.pairs(N) -- luacheck: ignore 411
    helpers.keep(other)
    far[7]:send_bytes("x")
    assert.is_true(is_called(thread))
    assert.same({true, {list[7]}}, {coroutine.resume(thread)})
  end)
end)

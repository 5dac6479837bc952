-- A coroutine that waits for a Poller in a loop of the program (set_waiter) slept
-- though another coroutine added a connection with a message in its buffer, or
-- left one there: the loop watches the system's set, which knows of no buffers.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

describe("Poller:wait in a coroutine", function()
  local before
  local handle -- what the coroutine waits for
  local looks_again -- or for a time

  before_each(function()
    before = connection.set_waiter(function(object, _, timeout)
      if not coroutine.isyieldable() then return false end
      handle, looks_again = object:pollfd(), timeout ~= nil
      return coroutine.yield()
    end)
  end)

  after_each(function() connection.set_waiter(before) end)

  local function wait_for(poller)
    local thread = coroutine.create(function() return poller:wait() end)
    assert(coroutine.resume(thread))
    return thread
  end

  --- 'otherwise': with poll(2) no handle tells, and it looks now and then.
  local function is_called(otherwise)
    if looks_again then return otherwise end
    return sys.poll(handle, "r", 0)
  end

  --- A connection that has a message in its buffer after one recv_bytes.
  local function with_two_messages()
    local near, far = assert(connection.Pipe(true, {readahead = true}))
    far:send_many({"one", "two"}, "bytes")
    return near, far, helpers.closing(near, far)
  end

  it("is woken by a connection that is added with a message in its buffer", function()
    local near, _, _ <close> = with_two_messages()
    local idle, other = assert(connection.Pipe())
    local _ <close> = helpers.closing(idle, other) -- luacheck: ignore 411
    local poller <close> = assert(connection.Poller())
    poller:add(idle)
    local thread = wait_for(poller)
    assert.is_false(is_called(false))
    assert.equal("one", near:recv_bytes())
    poller:add(near)
    assert.is_true(is_called(true))
    assert.same({true, {near}}, {coroutine.resume(thread)})
    assert.equal("two", near:recv_bytes())
    wait_for(poller)
    assert.is_false(is_called(false))
  end)

  it("is woken by what another coroutine left in a buffer", function()
    local near, far, _ <close> = with_two_messages()
    local poller <close> = assert(connection.Poller())
    local outer <close> = assert(connection.Poller())
    outer:add(poller)
    poller:add(near)
    assert.equal(1, #outer:wait(helpers.timeout))
    assert.equal("one", near:recv_bytes())
    assert.equal("two", near:recv_bytes())
    for _, which in ipairs {poller, outer} do
      local thread = wait_for(which)
      assert.is_false(is_called(false))
      far:send_many({"one", "two"}, "bytes")
      assert.equal("one", near:recv_bytes())
      assert.is_true(is_called(true))
      assert(coroutine.resume(thread))
      assert.equal("two", near:recv_bytes())
    end
  end)
end)

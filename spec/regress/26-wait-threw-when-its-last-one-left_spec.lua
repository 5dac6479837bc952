-- What promises to end when nothing is left (serve, messages, ready, connections)
-- threw misuse where another coroutine closed the last object, or took it out,
-- while it waited: the wait inside found nothing to wait for.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

describe("In a coroutine,", function()
  local before

  before_each(function()
    before = connection.set_waiter(function()
      if not coroutine.isyieldable() then return false end
      coroutine.yield()
    end)
  end)

  after_each(function() connection.set_waiter(before) end)

  --- Whether `f` waits, and ends in order after `meanwhile`.
  local function ends(f, meanwhile)
    local thread = coroutine.create(f)
    assert(coroutine.resume(thread))
    assert.equal("suspended", coroutine.status(thread))
    meanwhile()
    assert(coroutine.resume(thread))
    assert.equal("dead", coroutine.status(thread))
  end

  local function drain(...)
    for _ in ... do error("there is nothing to give") end
  end

  it("serve ends when its listener is closed", function()
    local listener <close> = assert(connection.Listener())
    ends(function() drain(connection.serve(listener)) end,
         function() listener:close() end)
  end)

  it("connections ends when its listener is closed", function()
    local listener <close> = assert(connection.Listener())
    ends(function() drain(listener:connections(error)) end,
         function() listener:close() end)
  end)

  it("connections throws what is no misuse of the closed listener", function()
    local listener <close> = assert(connection.Listener())
    connection.set_waiter(function()
      listener:close()
      error("the program's own")
    end)
    assert.error_matches(function() drain(listener:connections(error)) end,
                         "the program's own", nil, true)
  end)

  it("messages ends when its last connection is closed", function()
    local near, _, _ <close> = helpers.pair()
    ends(function() drain(connection.messages({near})) end,
         function() near:close() end)
  end)

  it("ready ends when the last object is taken out of its Poller, or closed", function()
    for _, leave in ipairs {"remove", "close"} do
      local near, _, _ <close> = helpers.pair()
      local poller <close> = assert(connection.Poller())
      poller:add(near)
      ends(function() drain(connection.ready(poller)) end, function()
        if leave == "close" then near:close() else poller:remove(near) end
      end)
    end
  end)

  it("Poller:wait gives an empty list when its last object is closed", function()
    local near, _, _ <close> = helpers.pair()
    local poller <close> = assert(connection.Poller())
    poller:add(near)
    local found
    ends(function() found = poller:wait() end, function() near:close() end)
    assert.same({}, found)
    helpers.assert_misuse("nothing to wait for", poller.wait, poller)
  end)
end)

describe("Poller:wait", function()
  it("gives an empty list where an object of another library has gone", function()
    local near, _, _ <close> = helpers.pair()
    local open = true
    local object = {
      pollfd = function() return open and near:fileno() or -1 end,
      timeout = function() return nil end,
    }
    local poller <close> = assert(connection.Poller())
    poller:add(object)
    open = false
    assert.same({}, poller:wait())
    assert.equal(0, #poller)
  end)
end)

describe("connection.ready", function()
  it("ends when the last process in a Poller is closed in its loop", function()
    local poller <close> = assert(connection.Poller())
    local count = 0
    for _ = 1, 2 do poller:add(assert(connection.spawn({"true"}))) end
    for process in connection.ready(poller) do
      count = count + 1
      process:close()
    end
    assert.equal(2, count)
  end)
end)

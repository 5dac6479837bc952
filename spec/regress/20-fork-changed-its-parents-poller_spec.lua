-- A forked child that closed its copy of a Poller, or collected it, took events out
-- of the set that it shares with its parent (epoll): where several objects in the
-- Poller had one descriptor, the parent was told no more of some.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

-- An object that waits for another one's descriptor to become writable.
local function writer(object)
  return {
    pollfd = function() return object:fileno() end,
    events = function() return "w" end,
    timeout = function() return nil end,
  }
end

-- A Poller with a connection and an object that writes to the same descriptor, which
-- is ready: the Poller, these two, the connection's other end, and what closes all.
local function shared_descriptor()
  local near, far = assert(connection.Pipe())
  local poller = assert(connection.Poller())
  local other = writer(near)
  assert(poller:add(near))
  assert(poller:add(other))
  assert.same({other}, poller:wait(helpers.timeout))
  return poller, near, other, far, helpers.closing(poller, near, far)
end

describe("A Poller of a forked child", function()
  for name, ending in pairs {
    close = function(poller) poller:close() end,
    remove = function(poller, object) poller:remove(object) end,
  } do
    it("leaves the parent's as it is by " .. name, function()
      local poller, near, _, far, all = shared_descriptor()
      local _ <close> = all
      local child <close> = helpers.fork(function() ending(poller, near) end)
      assert.equal(0, child:wait())
      assert(far:send_bytes("message"))
      local ready = assert(poller:wait(helpers.timeout))
      assert.equal(2, #ready)
    end)
  end

  it("asks for no more than what is in it", function()
    local poller, near, other, far, all = shared_descriptor()
    local _ <close> = all
    local child <close> = helpers.fork(function()
      poller:remove(other)
      local fd = poller:fileno()
      assert(fd == nil or not sys.poll(fd, "r", 0)) -- nil: pollers over poll(2)
      assert(far:send_bytes("message"))
      assert(poller:wait(helpers.timeout)[1] == near)
    end)
    assert.equal(0, child:wait())
  end)
end)

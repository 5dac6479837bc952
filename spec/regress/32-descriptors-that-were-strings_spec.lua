-- What is a descriptor was decided in five places, which did not agree: where an
-- object's fileno returned "3", some took that for descriptor 3, and Connection even
-- owned it; an integral float was one here and misuse there.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

describe("A descriptor", function()
  --- What takes objects that have one; the result of each is true-like.
  local takers = {
    wait = function(object) return connection.wait({object}, 0) end,
    ["Poller:add"] = function(object)
      local poller <close> = assert(connection.Poller())
      return poller:add(object)
    end,
    send_handle = function(object)
      local near, _, _ <close> = helpers.pair()
      return near:send_handle(object)
    end,
    spawn = function(object)
      local process <close> = assert(connection.spawn({"true"}, {stderr = object}))
      return process
    end,
  }

  for name, take in pairs(takers) do
    it("is a number, of what an object says to " .. name, function()
      local near, _, _ <close> = helpers.pair()
      local fd = near:fileno()
      for _, bad in ipairs {tostring(fd), fd + 0.5, -1, 1 << 40, true} do
        helpers.assert_misuse("descriptor", take, {fileno = function() return bad end})
      end
      assert.truthy(take({fileno = function() return fd end}))
      assert.truthy(take({getfd = function() return fd + 0.0 end}))
    end)

    it("is an integer, given to " .. name, function()
      local near, _, _ <close> = helpers.pair()
      local fd = near:fileno()
      helpers.assert_misuse("descriptor", take, fd + 0.5)
      helpers.assert_misuse("descriptor", take, -1)
      assert.truthy(take(fd))
      assert.truthy(take(fd + 0.0))
    end)
  end

  it("is a number, of what an object gives up to Connection", function()
    local r, w = assert(sys.pipe())
    local _ <close> = helpers.closing(helpers.raw(r), helpers.raw(w))
    for _, bad in ipairs {tostring(r), r + 0.5, -1} do
      helpers.assert_misuse("invalid descriptor", connection.Connection,
                            {detach = function() return bad end})
    end
    collectgarbage()
    assert(sys.write(w, "x"))
    assert.equal("x", sys.read(r, 1))
  end)
end)

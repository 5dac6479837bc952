-- A process that was closed was ended in its Poller by each call of poller:timeout,
-- once more each time: #poller went below 0, and what was in it was not what it said.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local processes = require "processes"

describe("poller:timeout", function()
  it("forgets an object that has ended, once", function()
    local poller <close> = assert(connection.Poller())
    local near, _, _ <close> = helpers.pair()
    local process = assert(connection.spawn(processes.lua("")))
    poller:add(near)
    poller:add(process)
    process:close()
    for _ = 1, 3 do
      assert.is_nil(poller:timeout())
      assert.equal(1, #poller)
    end
    assert.is_false(poller:remove(process))
    poller:remove(near)
    assert.equal(0, #poller)
    helpers.assert_misuse("nothing to wait for", poller.wait, poller)
  end)
end)

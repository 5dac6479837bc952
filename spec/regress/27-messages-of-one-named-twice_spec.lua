-- connection.messages{a, a} threw nil: poller:add says false of what is in already,
-- and that was taken for a failure.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

describe("connection.messages", function()
  it("gives each message once of a connection that is in the list twice", function()
    local near, far, _ <close> = helpers.pair()
    far:send_bytes("one")
    far:send_bytes("two")
    far:close()
    local got = {}
    for conn, message in connection.messages({near, near}, "bytes") do
      assert.equal(near, conn)
      table.insert(got, message)
    end
    assert.same({"one", "two"}, got)
  end)
end)

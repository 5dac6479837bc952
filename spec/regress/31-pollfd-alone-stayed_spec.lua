-- An object of another library that has `pollfd`, but neither `events` nor
-- `timeout`, was not asked anew by a Poller: it stayed when it had no descriptor any
-- more, and when it had another one.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

describe("An object in a Poller that has nothing but pollfd", function()
  it("is asked at each wait, and drops out when it has no descriptor", function()
    local near, far, _ <close> = helpers.pair()
    local fd = near:fileno()
    local object = {pollfd = function() return fd end}
    local poller <close> = assert(connection.Poller())
    poller:add(object)
    assert.same({}, poller:wait(0))
    fd = far:fileno()
    near:send_bytes("x")
    assert.same({object}, poller:wait(helpers.timeout))
    fd = -1
    assert.same({}, poller:wait(0))
    assert.equal(0, #poller)
  end)
end)

-- `timeout = math.huge` for a Client was taken for no timeout at all, for which the
-- handshake has 20 seconds. Now it is for ever.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

describe("A client's timeout", function()
  it("may be for ever, for the handshake, too", function()
    local dir <close> = helpers.tmpdir()
    local raw <close> = helpers.raw_listener(dir:join("socket"))
    local client <close> = assert(connection.Client(raw.address, {
      authkey = "key", timeout = math.huge, nonblocking = true,
    }))
    local silent <close> = raw:accept()
    assert.is_false(client:poll()) -- connected, and in the handshake
    assert.is_nil(client:timeout())
    assert.is_true(silent.fd >= 0)
  end)
end)

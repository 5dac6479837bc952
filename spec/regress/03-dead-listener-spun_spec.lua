-- What goes wrong with a peer does not end the loop of listener:connections(). Nor
-- did a descriptor that somebody else had closed: the loop spun for ever with
-- half a million errors a second.
-- Now what cannot get better is thrown.

local connection = require "multiprocessing.connection"
local sys = require "sys"

describe("listener:connections", function()
  it("throws where the listener's descriptor is no longer one", function()
    local listener <close> = assert(connection.Listener())
    assert(sys.close(listener:fileno()))
    local failures = 0
    local ok, err = pcall(function()
      for _ in listener:connections(function()
        failures = failures + 1
        assert(failures < 10, "it goes on and on")
      end) do end
    end)
    assert.is_false(ok)
    assert.equal("EBADF", err.code, tostring(err))
  end)
end)

-- The clock of the handshakes stood still whenever nobody waited for the listener.
-- So for a program that only ever polls, as a game does in each frame, or that
-- always has something else ready, it never moved: 128 silent peers filled the
-- house for good, and nobody else was admitted.
-- Now an absence is excused but for a small share of the handshake's time.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local TIMEOUT = 0.4 -- of a handshake
local WORK = 0.005 -- that the program has to do each time
local ENOUGH = 5 * (helpers.slow and 10 or 1)

-- Goes on with `attend` until it has told of the silent peer.
local function is_told(attend)
  local listener <close> = assert(connection.Listener(nil, {
    authkey = "key", timeout = TIMEOUT,
  }))
  local raw <close> = helpers.raw_client(listener)
  local start = sys.monotonic()
  while sys.monotonic() - start < ENOUGH do
    local err = attend(listener)
    if err and err.message:find("handshake") then return raw.fd >= 0 end
    connection.wait({}, WORK)
  end
  return false
end

describe("A silent peer is late", function()
  it("for a program that polls the listener", function()
    assert.is_true(is_told(function(listener)
      return select(2, listener:accept(0))
    end))
  end)

  it("for a program that always has a message to work on", function()
    local reader, writer, _ <close> = helpers.pair()
    assert(writer:send_bytes("more"))
    assert.is_true(is_told(function(listener)
      for _, object in ipairs(assert(connection.wait {reader, listener})) do
        if object == listener then return select(2, listener:accept(0)) end
      end
    end))
  end)
end)

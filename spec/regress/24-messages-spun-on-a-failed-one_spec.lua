-- A connection that failed outside the loop's own receive (a client that was not
-- let in, a recv of the program's in the loop) counted as closed by the program, so
-- its turn was over each time; but it stays in the poller, ready. The loop took all
-- of the processor and never ended.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

--- `f()`, or an error once it has run longer than it ever needs.
local function without_end_throws(f)
  debug.sethook(function() error("it spins", 0) end, "", 10000000)
  local _ <close> = setmetatable({}, {__close = function() debug.sethook() end})
  return f()
end

describe("connection.messages", function()
  local function failures_of(conn, inside)
    local names = {}
    without_end_throws(function()
      for failed, message, err in connection.messages({conn}, "bytes") do
        if message then inside(failed) else table.insert(names, err.name) end
      end
    end)
    return names
  end

  it("tells of a client that could not connect", function()
    local listener = assert(connection.Listener())
    local address = listener.address
    listener:close()
    local client <close> = assert(connection.Client(address, {nonblocking = true}))
    assert.same({"FileNotFoundError"}, failures_of(client))
  end)

  it("tells of one that failed in the loop", function()
    local reader, writer = assert(connection.Pipe(false, {max_message = 10}))
    local _ <close> = helpers.closing(reader, writer)
    writer:send_bytes("a")
    writer:send_bytes(("x"):rep(20))
    local failures = failures_of(reader, function(conn)
      helpers.assert_fails("OSError", conn:recv_bytes())
    end)
    assert.same({"OSError"}, failures)
  end)
end)

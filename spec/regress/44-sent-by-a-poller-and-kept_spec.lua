-- A long message that a send has left to be sent later, and a Poller sent, was kept in
-- memory for as long as the connection only sent.

local connection = require "multiprocessing.connection"

local LONG = 8 << 20

local function memory()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count" * 1024
end

describe("A message that a Poller has sent", function()
  it("is let go by the next send", function()
    local a, b = connection.Pipe()
    local poller <close> = assert(connection.Poller())
    a:settimeout(0)
    b:settimeout(0)
    assert(poller:add(a))
    local before = memory()
    assert(a:send_bytes(("x"):rep(LONG)))
    assert.is_true(memory() - before > LONG / 2)
    while not b:recv_bytes() do poller:wait(0) end
    assert(a:send_bytes("y"))
    assert.is_true(memory() - before < LONG / 2)
  end)
end)

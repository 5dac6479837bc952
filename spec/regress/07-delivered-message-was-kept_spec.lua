-- A string that send_bytes has to hold is anchored, so that it need not be copied.
-- Where `dirty` or `timeout` delivered the rest of it, the anchor stayed: the
-- string lived on until the next send.

local helpers = require "helpers"

local SIZE = 1 << 20

local function kilobytes()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count")
end

describe("A held message", function()
  for _, method in ipairs {"dirty", "timeout"} do
    it("is let go once it has been delivered by " .. method, function()
      local a, b, _ <close> = helpers.pair()
      a:settimeout(0)
      b:settimeout(0)
      local before = kilobytes()
      assert(a:send_bytes(("x"):rep(SIZE)))
      assert.equal("rw", a:events())
      while not b:recv_bytes() do a[method](a) end
      assert.equal("r", a:events())
      assert.is_true(kilobytes() - before < SIZE / 1024 / 2)
    end)
  end
end)

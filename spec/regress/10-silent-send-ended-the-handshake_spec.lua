-- deliver_challenge and answer_challenge take any object with send_bytes and
-- recv_bytes. One whose send_bytes returns nothing, as Python's does, was taken
-- for one that failed: they returned nil, and no error.

local connection = require "multiprocessing.connection"

-- Sends into one list, receives from another; waits by yielding.
local function object(inbox, outbox)
  return {
    send_bytes = function(_, message) table.insert(outbox, message) end,
    recv_bytes = function()
      while #inbox == 0 do coroutine.yield() end
      return table.remove(inbox, 1)
    end,
  }
end

describe("deliver_challenge and answer_challenge", function()
  it("go on where send_bytes returns nothing", function()
    local there, back = {}, {}
    local deliver = coroutine.create(connection.deliver_challenge)
    local answer = coroutine.create(connection.answer_challenge)
    assert(coroutine.resume(deliver, object(back, there), "key"))
    local _, answered, delivered
    _, answered = assert(coroutine.resume(answer, object(there, back), "key"))
    assert.is_nil(answered) -- it waits for the verdict
    _, delivered = assert(coroutine.resume(deliver))
    _, answered = assert(coroutine.resume(answer))
    assert.is_true(delivered)
    assert.is_true(answered)
  end)
end)

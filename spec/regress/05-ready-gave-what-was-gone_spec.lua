-- Whether its list had changed was told by the list's length only. Where the loop
-- took an object out and put another one in its place, connection.ready() still
-- gave the old one, which was closed by then.
-- Now an object that was queued is looked for in the list before it is given.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

describe("connection.ready", function()
  it("passes over an object that another one has replaced", function()
    local a, to_a, _ <close> = helpers.pair()
    local b, to_b, _ <close> = helpers.pair()
    local c, to_c, _ <close> = helpers.pair()
    for _, writer in ipairs {to_a, to_b, to_c} do assert(writer:send_bytes("1")) end
    local objects, given = {a, b}, {}
    for object in connection.ready(objects, 0) do
      table.insert(given, object == a and "a" or object == c and "c" or "gone")
      if object == a then
        b:close()
        objects[2] = c
      end
      if given[#given] == "gone" then break end
      assert(object:recv_bytes())
    end
    assert.same({"a", "c"}, given)
  end)
end)

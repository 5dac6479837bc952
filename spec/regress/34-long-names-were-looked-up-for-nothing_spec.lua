-- With constructors, even an empty table of them, loads makes a string of a class's
-- name for each instance. A long name that is fetched from the memo costs a pickle
-- two bytes: 400 kB took 30 seconds.

local pickle = require "multiprocessing.pickle"

-- A list of `n` instances of a class whose module's name has `size` bytes.
local function instances(size, n)
  return "\x80\4c" .. ("m"):rep(size) .. "\nC\n\x94](" .. ("h\0)R"):rep(n) .. "e."
end

describe("pickle.loads", function()
  it("refuses instances that repeat a long name", function()
    local value, err = pickle.loads(instances(2000, 100), {constructors = {}})
    assert.is_nil(value)
    assert.equal("UnpicklingError", err.name)
    assert.matches("takes a large part too often", tostring(err), 1, true)
  end)

  it("takes any name that a class may have", function()
    local value = assert(pickle.loads(instances(900, 1000), {constructors = {}}))
    assert.equal(1000, #value)
  end)
end)

-- Instances that share a tuple of arguments: each took as many of what a pickle may
-- take again as the tuple has, though it is unpacked only for a constructor. A small
-- pickle of Python's was refused: 100 objects, each (P, TABLE) by its __reduce__.

local pickle = require "multiprocessing.pickle"

-- A list of `n` instances of m.P with one tuple of `size` arguments.
local function instances(n, size)
  return "\x80\4](cm\nP\n\x94(" .. ("N"):rep(size) .. "t\x94R" ..
         ("h\0h\1R"):rep(n - 1) .. "e."
end

local calls
local options = {constructors = {["m.P"] = function(...)
  calls = calls + 1
  return select("#", ...)
end}}

describe("pickle.loads", function()
  before_each(function() calls = 0 end)

  it("takes instances that share their arguments", function()
    local value = assert(pickle.loads(instances(100, 300)))
    assert.equal(100, #value)
    assert.equal(value[1].args, value[100].args)
    assert.equal(300, #value[100].args)
  end)

  it("constructs them", function()
    local value = assert(pickle.loads(instances(100, 300), options))
    assert.equal(300, value[100])
    assert.equal(100, calls)
  end)

  it("ends with what would construct far more than the pickle has", function()
    local value, err = pickle.loads(instances(2000, 20000), options)
    assert.is_nil(value)
    assert.equal("UnpicklingError", err.name)
    assert.matches("takes a large part too often", tostring(err), 1, true)
    assert.is_true(calls < 1000)
  end)
end)

-- Options are what a table has itself. Of those that it inherits by __index, loads and
-- dumps honoured some, unchecked, and not others.

local pickle = require "multiprocessing.pickle"

local function inheriting(options)
  return setmetatable({}, {__index = options})
end

describe("Options that a table inherits", function()
  it("are none to loads", function()
    local options = inheriting{
      bytes = "wrap", max_depth = 0, max_int_digits = 1, max_memory = 1,
      constructors = {["m.C"] = error}, persistent_load = error, unknown = true,
    }
    assert.equal("a", pickle.loads("C\1a.", options))
    assert.same({{}}, pickle.loads("(l(la.", options))
    assert.is_truthy(pickle.loads("L123456789012345678901L\n.", options))
    assert.equal("object", pickle.type(pickle.loads("cm\nC\n)R.", options)))
  end)

  it("are none to dumps", function()
    assert.equal(pickle.dumps({1}), pickle.dumps({1}, inheriting{protocol = 0}))
  end)
end)

-- A call of set in the module __builtin__ was a set in any protocol. From 3 on names
-- are Python 3's, which has no such module: Python refuses to load it. As a set it
-- became another value, once it was written and read again.

local pickle = require "multiprocessing.pickle"

describe("pickle.loads", function()
  it("takes __builtin__ for builtins below protocol 3 only", function()
    for _, start in ipairs{"", "\x80\2"} do
      assert.equal("set", pickle.type(pickle.loads(start .. "c__builtin__\nset\n(]tR.")))
    end
    for _, start in ipairs{"\x80\3", "\x80\4"} do
      local value = pickle.loads(start .. "c__builtin__\nset\n(]tR.")
      assert.equal("object", pickle.type(value))
      assert.equal("__builtin__", value.class.module)
      value = pickle.loads(start .. "c__builtin__\nbytearray\n(C\1atR.")
      assert.equal("object", pickle.type(value))
    end
  end)

  it("takes builtins for what it is in every protocol", function()
    for _, start in ipairs{"", "\x80\2", "\x80\4"} do
      assert.equal("set", pickle.type(pickle.loads(start .. "cbuiltins\nset\n(]tR.")))
    end
  end)
end)

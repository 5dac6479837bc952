-- The tables of Python 2's names were asked for a global's name as far as its first
-- zero: so loads took "__builtin__\0evil" and "unicode" for str, whose constructor it
-- called then, and dumps wrote such a name as another one. And dumps wrote names that
-- are empty or not UTF-8, which nobody reads.

local helpers = require "helpers"
local pickle = require "multiprocessing.pickle"

describe("pickle.loads", function()
  it("takes a name with a zero for itself", function()
    local global = pickle.loads("c__builtin__\0evil\nunicode\n.")
    assert.equal("__builtin__\0evil", global.module)
    assert.equal("unicode", global.name)
  end)

  it("calls no constructor for it", function()
    local value = pickle.loads("c__builtin__\0evil\nunicode\n(tR.",
                               {constructors = {["builtins.str"] = error}})
    assert.equal("object", pickle.type(value))
  end)
end)

describe("pickle.dumps", function()
  it("writes a name with a zero as it is", function()
    local dumped = assert(pickle.dumps(pickle.global("builtins\0x", "str"), {protocol = 2}))
    local global = pickle.loads(dumped)
    assert.equal("builtins\0x", global.module)
    assert.equal("str", global.name)
  end)

  for what, names in pairs{
    ["an empty module"] = {"", "x"}, ["an empty name"] = {"x", ""},
    ["a module that is not UTF-8"] = {"a\xff", "b"},
    ["a name that is not UTF-8"] = {"a", "\xed\xa0\x80"},
  } do
    it("refuses " .. what, function()
      for protocol = 0, 5 do
        local err = helpers.assert_fails("PicklingError", pickle.dumps(
          {pickle.global(names[1], names[2])}, {protocol = protocol}))
        assert.matches("empty or not UTF%-8 %(at %[1%]%)", tostring(err))
      end
    end)
  end
end)

-- An object that its own arguments hold, by way of a list, is written inside them,
-- whole; what follows the arguments then takes that one again (as CPython's pickler
-- has it). Its items and state were written a second time (as CPython does, too): items
-- doubled with each round trip, and two states are an UnpicklingError.

local pickle = require "multiprocessing.pickle"

-- module.make([object]) with items, pairs and a state
local function recursive()
  local held = {}
  local object = pickle.object{
    class = pickle.global("module", "make"), args = pickle.tuple{held},
    items = {"one", "two"}, pairs = {{"key", "value"}}, state = pickle.dict{a = 1},
  }
  held[1] = object
  return object
end

describe("An object that its arguments hold", function()
  for protocol = 0, 5 do
    it("has its items, pairs and state once, in protocol " .. protocol, function()
      local value = recursive()
      for _ = 1, 2 do
        value = assert(pickle.loads(assert(
          pickle.dumps(value, {protocol = protocol}))))
        assert.equal(value, value.args[1][1])
        assert.same({"one", "two"}, value.items)
        assert.same({{"key", "value"}}, value.pairs)
        assert.same({a = 1}, value.state)
      end
    end)
  end
end)

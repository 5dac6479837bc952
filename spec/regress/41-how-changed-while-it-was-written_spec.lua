-- dumps asked an object at each stage how it is constructed. A __reduce among its
-- arguments could change that: the pickle then lacked the MARK that its opcode takes.

local pickle = require "multiprocessing.pickle"

describe("pickle.dumps", function()
  for how, other in pairs{call = "inst", inst = "new", new = "inst"} do
    it(("writes an object as it began, by %s and not by %s"):format(how, other), function()
      for protocol = 0, 5 do
        local object
        local changing = setmetatable({}, {__reduce = function()
          object.how = other
          return "argument"
        end})
        object = pickle.object{class = pickle.global("m", "C"),
                               args = {changing, 1}, how = how ~= "call" and how or nil}
        local value = assert(pickle.loads(assert(
          pickle.dumps(object, {protocol = protocol}))))
        assert.same({"argument", 1}, {select(-2, table.unpack(value.args))})
      end
    end)
  end
end)

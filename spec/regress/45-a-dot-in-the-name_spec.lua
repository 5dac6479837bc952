-- The tables of Python 2's names were asked for "module.name", so a part of the
-- module's name could come before the dot or after it: loads took "process.Process" of
-- multiprocessing for multiprocessing.context.Process, whose constructor it called
-- then, and dumps wrote "server.CGIHTTPRequestHandler" of http as another global.
-- Python asks for the pair (pickle.py, find_class and save_global).

local pickle = require "multiprocessing.pickle"

describe("pickle.loads", function()
  it("takes a name with a dot for itself", function()
    local global = pickle.loads("cmultiprocessing\nprocess.Process\n.")
    assert.equal("multiprocessing", global.module)
    assert.equal("process.Process", global.name)
  end)

  it("calls no constructor for it", function()
    local value = pickle.loads("cmultiprocessing\nprocess.Process\n(tR.", {
      constructors = {["multiprocessing.context.Process"] = error}})
    assert.equal("object", pickle.type(value))
  end)
end)

describe("pickle.dumps", function()
  it("writes a name with a dot as it is", function()
    for protocol = 0, 2 do
      local global = pickle.global("http", "server.CGIHTTPRequestHandler")
      local dumped = assert(pickle.dumps(global, {protocol = protocol}))
      assert.equal(global, pickle.loads(dumped))
    end
  end)
end)

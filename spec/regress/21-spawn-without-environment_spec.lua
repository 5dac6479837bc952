-- A program that had called clearenv(3) crashed in spawn: there is no list of
-- variables then, not even an empty one.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

describe("spawn in a process that has no environment", function()
  it("gives the program its connection and nothing else", function()
    local child <close> = helpers.fork(function(out)
      assert(sys.clearenv())
      local process <close> = assert(connection.spawn({"env"}, {stdout = out}))
      return assert(process:join(helpers.timeout))
    end)
    local code, said = child:wait()
    assert.equal("MULTIPROCESSING_CONNECTION_FD=3\n", said)
    assert.equal(0, code)
  end)

  it("takes the environment that it is given", function()
    local child <close> = helpers.fork(function(out)
      assert(sys.clearenv())
      local process <close> = assert(connection.spawn({"sh", "-c", "echo $NAME"}, {
        stdout = out, env = {NAME = "value"},
      }))
      return assert(process:join(helpers.timeout))
    end)
    local code, said = child:wait()
    assert.equal("value\n", said)
    assert.equal(0, code)
  end)
end)

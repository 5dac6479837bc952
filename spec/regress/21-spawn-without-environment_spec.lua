-- A program that had called clearenv(3) crashed in spawn: there is no list of
-- variables then, not even an empty one.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

-- What a program says that a process without an environment has spawned.
local function assert_says(expected, argv, env)
  local child <close> = helpers.fork(function(out)
    assert(sys.clearenv())
    local process <close> = assert(connection.spawn(argv, {stdout = out, env = env}))
    return assert(process:join(helpers.timeout))
  end)
  local code, said = child:wait()
  assert.equal(expected, said)
  assert.equal(0, code)
end

describe("spawn in a process that has no environment", function()
  it("gives the program its connection and nothing else", function()
    assert_says("MULTIPROCESSING_CONNECTION_FD=3\n", {"env"})
  end)

  it("takes the environment that it is given", function()
    assert_says("value\n", {"sh", "-c", "echo $NAME"}, {NAME = "value"})
  end)
end)

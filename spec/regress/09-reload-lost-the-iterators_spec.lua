-- Whoever loaded multiprocessing.core a second time, having forgotten the first,
-- got a new table of methods, without those that Lua adds to it: every object in
-- the program lost `messages` and `connections`.

local helpers = require "helpers"

local SCRIPT = [[
  local connection = require "multiprocessing.connection"
  local a = connection.Pipe()
  local listener = assert(connection.Listener())
  package.loaded["multiprocessing.core"] = nil
  require "multiprocessing.core"
  print(a.messages, connection.Pipe().messages, listener.connections)
]]

describe("multiprocessing.core", function()
  it("can be loaded again, and takes nothing from what is there", function()
    local child <close> = helpers.lua(SCRIPT, {stderr = "stdout"})
    local code, said = child:wait()
    assert.equal(0, code, said)
    assert.matches("^function: %S+%s+function: %S+%s+function: %S+\n$", said)
  end)
end)

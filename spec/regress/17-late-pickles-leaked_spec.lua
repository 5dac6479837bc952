-- While a state closes, a finalizer may call dumps or loads after their memory's
-- owner was finalized itself, which happens once only: what they took then was
-- never freed. valgrind found it, where the order of finalizers was such.

local helpers = require "helpers"

describe("pickle, from a finalizer while the state closes,", function()
  it("frees all the memory that it takes", function()
    local host <close> = helpers.host("plain", "spec/fixtures/late_finalizer.lua")
    local code, said = host:wait()
    assert.equal(0, code, said)
  end)
end)

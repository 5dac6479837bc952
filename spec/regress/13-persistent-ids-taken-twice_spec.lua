-- A persistent id that a pickle takes twice (by its memo, or DUP) was nil the
-- second time: a hole in a list, and "table index is nil" where it was a key.
-- loads kept the slot above the value instead of the value. And an id that
-- contains itself got at the table in which loads had put it aside.

local pickle = require "multiprocessing.pickle"

local function load(input)
  return pickle.loads(input, {persistent_load = function(id) return {id} end})
end

describe("pickle.loads with persistent_load", function()
  it("gives the same value wherever the pickle takes it again", function()
    local list = assert(load "](X\1\0\0\0aQq\0h\0e.")
    assert.same({{"a"}, {"a"}}, list)
    assert.equal(list[1], list[2])
    list = assert(load "](X\1\0\0\0aQ2e.")
    assert.equal(list[1], list[2])
  end)

  it("gives it as a key, too", function()
    local dict = assert(load "}(X\1\0\0\0aQ22K\2u.")
    local key, value = next(dict)
    assert.same({"a"}, key)
    assert.equal(2, value)
  end)

  it("refuses an id that contains itself", function()
    local value, err = load "]q\0h\0Qq\1h\0h\1a0."
    assert.is_nil(value)
    assert.equal("UnpicklingError", err.name)
  end)
end)

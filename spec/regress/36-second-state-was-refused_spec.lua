-- pickle._Pickler, Python's pickler in Python, and whatever is derived from it, writes
-- the state of an object that its own arguments hold twice: inside of them and after
-- them. loads refused it; Python sets the one, then the other.

local pickle = require "multiprocessing.pickle"

-- What pickle._dumps(failure, 3) makes of an exception whose argument has it as an
-- attribute, and which has the attribute `extra`.
local FAILURE = "\x80\3c__main__\nFailure\nq\0c__main__\nNode\nq\1)\x81q\2}q\3" ..
  "X\7\0\0\0failureq\4h\0h\2\x85q\5Rq\6}q\7X\5\0\0\0extraq\8K\1sbsb0h\5R0h\6h\7b."

describe("pickle.loads", function()
  it("takes the last of an instance's states", function()
    local value = assert(pickle.loads("cm\nC\n)R}(K\1K\2ub}(K\3K\4ub."))
    assert.same({[3] = 4}, value.state)
  end)

  it("reads an instance whose state came inside of its arguments, too", function()
    local value = assert(pickle.loads(FAILURE))
    assert.equal(1, value.state.extra)
    assert.equal(value, value.args[1].state.failure)
  end)
end)

-- tostring gives a value in about a thousand characters, but made all the digits of
-- the integers in it first, in time with the square of their number: 6 seconds for a
-- pickle of 300 kB.

local pickle = require "multiprocessing.pickle"

-- A pickle of 2^(8 * size - 1) - 1, and one of its negative less two.
local function long(size)
  return "\x8b" .. string.pack("<I4", size) .. ("\xff"):rep(size - 1) .. "\x7f"
end

local function negative(size)
  return "\x8b" .. string.pack("<I4", size) .. ("\0"):rep(size - 1) .. "\x80"
end

local function loads(...)
  return assert(pickle.loads("\x80\4" .. table.concat{...} .. "."))
end

describe("A value's text", function()
  it("leaves the digits of very large integers out", function()
    local n = "<int of many digits>"
    assert.equal(("(%s, %s)"):format(n, n),
                 tostring(loads(long(100000), negative(100000), "\x86")))
    assert.equal(("Fraction(%s, 3)"):format(n),
                 tostring(loads("cfractions\nFraction\n", long(100000), "K\3\x86R")))
  end)

  it("has those of others", function()
    assert.equal("(" .. ("9"):rep(900) .. ",)",
                 tostring(pickle.tuple{pickle.int(("9"):rep(900))}))
  end)

  it("does not need those of a UUID's number", function()
    local uuid = loads("cuuid\nUUID\n)\x81}\x8c\3int", long(100000), "sb")
    assert.matches("^<uuid.UUID", tostring(uuid))
  end)
end)

describe("A Fraction", function()
  it("is a number, of whatever size its parts are", function()
    local fraction = loads("cfractions\nFraction\n", long(100000), "K\3\x86R")
    assert.equal(math.huge, fraction:number())
    fraction = loads("cfractions\nFraction\n", negative(100000), "K\3\x86R")
    assert.equal(-math.huge, fraction:number())
  end)

  it("has no more digits than Python reads", function()
    local text = ("1"):rep(9000) .. "/3"
    assert.is_nil(loads("cfractions\nFraction\nX", string.pack("<s4", text),
                        "\x85R").numerator)
  end)
end)

-- loads refuses a dict whose integers or floats are chosen to share one place in
-- Lua's table, which would take time with the square of their number to fill. A long
-- integer of nine bytes was not looked at, and a float that is whole was looked at as
-- a float, though Lua makes an integer of each: 32,000 keys took more than a second.

local pickle = require "multiprocessing.pickle"

local COUNT = 6000 -- keys; a table of 8192 places takes them
local STEP = 8191

-- A dict whose keys are `write` of numbers that leave the same rest.
local function colliding(write)
  local keys = {}
  for i = 1, COUNT do keys[i] = write(i * STEP) .. "N" end
  return "\x80\4}(" .. table.concat(keys) .. "u."
end

local forms = {
  ["integers"] = function(n) return "\x8a\8" .. string.pack("<i8", n) end,
  ["integers of nine bytes"] = function(n)
    return "\x8a\9" .. string.pack("<i8", n) .. "\0"
  end,
  ["integers of four bytes' length"] = function(n)
    return "\x8b\9\0\0\0" .. string.pack("<i8", n) .. "\0"
  end,
  ["whole floats"] = function(n) return "G" .. string.pack(">d", n) end,
}

describe("pickle.loads", function()
  for name, write in pairs(forms) do
    it("refuses keys that collide, as " .. name, function()
      local value, err = pickle.loads(colliding(write))
      assert.is_nil(value)
      assert.equal("UnpicklingError", err.name)
      assert.matches("keys of a dict collide", tostring(err), 1, true)
    end)
  end

  it("takes as many other keys", function()
    local keys = {}
    for i = 1, COUNT do
      keys[i] = "G" .. string.pack(">d", i) .. "NG" .. string.pack(">d", i + 0.5) .. "N"
    end
    local value = assert(pickle.loads("\x80\4}(" .. table.concat(keys) .. "u."))
    assert.equal(pickle.None, value[COUNT])
    assert.equal(pickle.None, value[COUNT + 0.5])
  end)

  it("gives an integer of more bytes than it needs", function()
    assert.equal(-2, pickle.loads("\x80\4\x8a\9\xfe" .. ("\xff"):rep(8) .. "."))
    assert.equal(math.mininteger,
                 pickle.loads("\x80\4\x8a\x0a" .. string.pack("<i8", math.mininteger)
                              .. "\xff\xff."))
  end)
end)

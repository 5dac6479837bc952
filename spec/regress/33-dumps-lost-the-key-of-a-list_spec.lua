-- Whether a table is a list was found out by a few probes of lua_next, which also
-- takes a key that is in a table's hash but was removed. So a table whose integers
-- are in the hash could pass for a list, and its other keys were not written.

local helpers = require "helpers"
local pickle = require "multiprocessing.pickle"

-- {[key] = 1, [1] = 1, …, [n] = n}, all of them in the hash, less the last.
local function hashed(key, n)
  local parts = {("[%q] = 1"):format(key)}
  for i = 1, n do parts[#parts + 1] = ("[%d] = %d"):format(i, i) end
  local value = load("return {" .. table.concat(parts, ", ") .. "}")()
  value[n] = nil
  return value
end

describe("pickle.dumps", function()
  it("writes all keys of a table that resembles a list", function()
    local lost = {}
    for i = 1, helpers.slow and 300 or 1000 do
      local key = "k" .. i
      local value = assert(pickle.loads(assert(pickle.dumps(hashed(key, 31)))))
      if value[key] ~= 1 then lost[#lost + 1] = key end
    end
    assert.same({}, lost)
  end)

  it("takes a sequence for a list wherever its items are", function()
    local value = hashed("k", 31)
    value.k = nil
    assert.equal(pickle.dumps(table.move(value, 1, 30, 1, {})), pickle.dumps(value))
  end)
end)

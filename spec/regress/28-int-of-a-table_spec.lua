-- The metatable of a large integer can be had by getmetatable, and set for a table:
-- its metamethods took that for the integer, and read memory that was none.

local helpers = require "helpers"
local pickle = require "multiprocessing.pickle"

describe("A table with the metatable of pickle.int", function()
  local large = pickle.int("99999999999999999999999")
  local fake = setmetatable({}, getmetatable(large))
  local other = setmetatable({}, getmetatable(large))

  it("is misuse where an integer is asked for", function()
    local uses = {
      function() return tostring(fake) end,
      function() return fake < other end,
      function() return fake <= large end,
      function() return large < fake end,
      function() return fake < 1 end,
      function() return 1.5 <= fake end,
    }
    for _, use in ipairs(uses) do
      helpers.assert_misuse("pickle.int expected", use)
    end
    helpers.assert_misuse("string expected", pickle.int, fake)
  end)

  it("equals nothing but itself", function()
    assert.is_false(fake == other)
    assert.is_false(rawequal(large, fake) or fake == large)
    assert.is_true(large == pickle.int("99999999999999999999999"))
  end)
end)

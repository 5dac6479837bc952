-- dumps put the items of a short list on the Lua stack, beyond the 20 places that
-- Lua promises a C function, without asking for room. Valgrind saw it write behind
-- the stack where that was small and nearly full, as a coroutine's is.

local pickle = require "multiprocessing.pickle"

describe("pickle.dumps", function()
  it("has room for a short list on a small stack", function()
    for size = 1, 32 do
      local list = {}
      for i = 1, size do list[i] = i + 0.5 end
      for _, value in ipairs {list, pickle.tuple {table.unpack(list)}} do
        local dumps = coroutine.wrap(function(v)
          local a, b, c, d, e, f, g, h, i, j, k, l, m =
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
          return pickle.dumps(v), a + b + c + d + e + f + g + h + i + j + k + l + m
        end)
        local pickled = dumps(value)
        assert.same(list, {table.unpack(pickle.loads(pickled))})
      end
    end
  end)
end)

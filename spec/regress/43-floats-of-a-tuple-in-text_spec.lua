-- Protocol 0 is text. In it eight or more floats in a row in a tuple were written as
-- they are in protocol 1.

local pickle = require "multiprocessing.pickle"

describe("In protocol 0 the floats of a tuple are text", function()
  for _, n in ipairs{7, 8, 9, 31, 32, 33, 100} do
    for name, first in pairs{number = 1, text = "a", table = {}} do
      it(("%d behind a %s"):format(n, name), function()
        local items, lines = {first}, {}
        for i = 1, n do
          items[i + 1] = i + 0.5
          lines[i] = ("F%.1f\n"):format(i + 0.5)
        end
        local text = pickle.dumps(pickle.tuple(items), {protocol = 0})
        assert.is_truthy(text:find(table.concat(lines), 1, true))
        assert.is_nil(text:find("[^\n -~]"))
      end)
    end
  end

  it("where there is nothing else", function()
    local text = pickle.dumps(pickle.tuple({0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5}),
      {protocol = 0})
    assert.equal("(" .. ("F0.5\n"):rep(8) .. "tp0\n.", text)
  end)
end)

-- Which plain tables pickle.dumps takes for lists: those with the keys 1 to n and no
-- other, by a full count, wherever Lua keeps these keys and whatever was in the table
-- before. dumps itself counts as seldom as it can.

local helpers = require "helpers"
local pickle = require "multiprocessing.pickle"

local SEED = 20240229
local ROUNDS = helpers.slow and 150 or 3000

--- The kind that a full count tells, and the number of entries.
local function counted(t)
  local count, largest = 0, 0
  for key in next, t do
    count = count + 1
    if math.type(key) ~= "integer" or key < 1 then
      largest = math.huge
    elseif key > largest then
      largest = key
    end
  end
  return largest == count and "list" or "dict", count
end

local function kind_of(t)
  return getmetatable(t) == nil and "list" or pickle.type(t)
end

-- `back` is what became of `t`.
local function assert_kept(t, back, what)
  local kind, count = counted(t)
  assert.equal(kind, kind_of(back), what)
  assert.equal(count, select(2, counted(back)), what)
  for key, value in next, t do
    if rawget(back, key) ~= value then
      assert.equal(value, rawget(back, key), ("%s: [%s]"):format(what, key))
    end
  end
end

-- By itself, and among others that are written before and after it.
local function check(t, what)
  for protocol = 0, 5 do
    local options = {protocol = protocol}
    assert_kept(t, pickle.loads(assert(pickle.dumps(t, options))), what)
  end
  local values = {"a", {1.5, "a"}, t, {k = t, l = {"a", t}}, "a"}
  local back = pickle.loads(assert(pickle.dumps(values)))
  assert_kept(t, back[3], what)
  assert.equal(back[3], back[4].k)
  assert.equal(back[3], back[4].l[2])
  assert.same({"a", "a", 1.5, "a", "a"},
    {back[1], back[5], back[2][1], back[2][2], back[4].l[1]})
end

local SIZES = helpers.slow and {0, 1, 3, 4, 9, 33}
  or {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 100}

-- Ways to come to the keys 1 to n, and values that are not the keys.
local builders = {
  appended = function(n)
    local t = {}
    for i = 1, n do t[i] = -i end
    return t
  end,
  ["built backwards"] = function(n)
    local t = {}
    for i = n, 1, -1 do t[i] = -i end
    return t
  end,
  ["written out"] = function(n)
    local t = {}
    for i = 1, n do t[i] = -i end
    return {table.unpack(t, 1, n)}
  end,
  ["in the hash"] = function(n)
    local parts = {}
    for i = 1, n do parts[i] = ("[%d] = %d"):format(i, -i) end
    return load("return {" .. table.concat(parts, ", ") .. "}")()
  end,
  ["half in the hash"] = function(n)
    local parts = {}
    for i = 1, n // 2 do parts[i] = ("%d"):format(-i) end
    for i = n // 2 + 1, n do parts[i] = ("[%d] = %d"):format(i, -i) end
    return load("return {" .. table.concat(parts, ", ") .. "}")()
  end,
  shrunk = function(n)
    local t = {}
    for i = 1, 3 * n + 5 do t[i] = -i end
    for i = 3 * n + 5, n + 1, -1 do t[i] = nil end
    return t
  end,
  ["shrunk and filled again"] = function(n)
    local t = {}
    for i = 1, 2 * n + 5 do t[i] = -i end
    for i = 1, 2 * n + 5 do t[i] = nil end
    for i = 1, n do t[i] = -i end
    return t
  end,
  ["with keys that were removed"] = function(n)
    local t = {x = 1, y = 2, [0.5] = 3, [-1] = 4}
    for i = 1, n do t[i] = -i end
    t.x, t.y, t[0.5], t[-1] = nil, nil, nil, nil
    return t
  end,
  ["made for other keys"] = function(n)
    local t = load("return {" .. ("x = 1, "):rep(n + 1) .. "}")()
    t.x = nil
    for i = 1, n do t[i] = -i end
    return t
  end,
  packed = function(n)
    local t = {}
    for i = 1, n do t[i] = -i end
    t = table.pack(table.unpack(t, 1, n))
    t.n = nil
    return t
  end,
  ["whose length was asked for"] = function(n)
    local t = {}
    for i = 1, n do
      t[i] = -i
      assert(#t == i)
    end
    for i = n + 1, 2 * n do t[i] = -i end
    for i = 2 * n, n + 1, -1 do
      t[i] = nil
      assert(#t == i - 1)
    end
    return t
  end,
  ["set by whole floats"] = function(n)
    local t = {}
    for i = 1, n do t[i + 0.0] = -i end
    return t
  end,
  ["emptied by the collector"] = function(n)
    local t = setmetatable({}, {__mode = "kv"})
    for i = 1, n do t[i] = -i end
    for i = n + 1, n + 10 do t[i] = {} end
    t[{}] = 1
    collectgarbage()
    return setmetatable(t, nil)
  end,
}

-- What makes a dict of them, but where it leaves the keys 1 to some n.
local spoilers = {
  ["a name"] = function(t) t.name = 1 end,
  n = function(t, n) t.n = n end,
  zero = function(t) t[0] = 1 end,
  ["a negative key"] = function(t) t[-1] = 1 end,
  ["a fraction"] = function(t) t[1.5] = 1 end,
  ["2^53"] = function(t) t[2^53] = 1 end,
  ["the largest integer"] = function(t) t[math.maxinteger] = 1 end,
  ["the least integer"] = function(t) t[math.mininteger] = 1 end,
  ["a boolean"] = function(t) t[true] = 1 end,
  ["one behind a hole"] = function(t, n) t[n + 2] = 1 end,
  ["one far behind"] = function(t, n) t[2 * n + 100] = 1 end,
  ["no first one"] = function(t) t[1] = nil end,
  ["no second one"] = function(t) t[2] = nil end,
  ["a hole in the middle"] = function(t, n) t[n // 2 + 1] = nil end,
  ["a hole before the last"] = function(t, n) t[n - 1] = nil end,
  ["no last one"] = function(t, n) t[n] = nil end,
  ["only the last one"] = function(t, n) for i = 1, n - 1 do t[i] = nil end end,
  ["only the first half"] = function(t, n) for i = n // 2 + 1, n do t[i] = nil end end,
  ["only the second half"] = function(t, n) for i = 1, n // 2 do t[i] = nil end end,
  ["every other one"] = function(t, n) for i = 1, n, 2 do t[i] = nil end end,
  nothing = function(t, n) for i = 1, n do t[i] = nil end end,
}

describe("pickle.dumps takes for a list", function()
  for how, build in pairs(builders) do
    it("a table " .. how, function()
      for _, n in ipairs(SIZES) do
        local t = build(n)
        assert.equal("list", (counted(t)))
        check(t, ("%d, %s"):format(n, how))
      end
    end)

    it("what a count says of one " .. how .. " and changed then", function()
      for _, n in ipairs(SIZES) do
        for name, spoil in pairs(spoilers) do
          local t = build(n)
          spoil(t, n)
          check(t, ("%d, %s, %s"):format(n, how, name))
        end
      end
    end)
  end

  it("what a count says of any table, whatever was done to it", function()
    math.randomseed(SEED)
    local names = {}
    for how in pairs(builders) do names[#names + 1] = how end
    table.sort(names)
    local other = {"x", "y", "z", 0.5, -1, 0, true, 2^53, math.maxinteger}
    for round = 1, ROUNDS do
      local n = math.random(0, 40)
      local t = builders[names[math.random(#names)]](n)
      for _ = 1, math.random(0, 30) do
        local key = math.random(n + 3)
        if math.random(6) == 1 then key = other[math.random(#other)] end
        if math.random(2) == 1 then t[key] = nil else t[key] = round end
        if math.random(4) == 1 then
          t[#t] = nil
        elseif math.random(4) == 1 then
          t[#t + 1] = round
        end
      end
      check(t, "round " .. round)
    end
  end)
end)

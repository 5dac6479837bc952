-- fuzz_loads.lua: an input as a pickle, with and without limits, constructors and
-- persistent_load. What fails is nil and an UnpicklingError; only what a
-- constructor throws is thrown. fuzz_loads.c gives the inputs.

local pickle = require "multiprocessing.pickle"

-- ---- what a program may register ----

local Made = {}

function Made.__setstate(self, state) self.state = state end
function Made.__extend(self, items) self.items = items end
function Made.__setitems(self, pairs) self.pairs = pairs end

local function make(...)
  return setmetatable({n = select("#", ...)}, Made)
end

local THROWN = {} -- by a constructor

local constructors = {
  ["a.b"] = make,
  ["__main__.Instance"] = make,
  ["builtins.set"] = make,
  ["decimal.Decimal"] = function(text) return text end,
  ["fractions.Fraction"] = function() return nil end,
  ["uuid.UUID"] = function() error(THROWN) end,
}

local function persistent_load(id)
  if id == "nil" then return nil end
  return {id}
end

local modes = {
  {}, -- the program trusts its peer with all but its life
  {bytes = "wrap", max_depth = 20, max_int_digits = 50, max_memory = 20000},
  {constructors = constructors, persistent_load = persistent_load},
}

-- ---- one input ----

local function check(done, value, err)
  if not done then
    if value ~= THROWN then error(value, 0) end
  elseif value == nil then
    assert(err.name == "UnpicklingError", err)
    assert(#tostring(err) > 0)
  end
end

return function(input)
  for _, options in ipairs(modes) do
    check(pcall(pickle.loads, input, options))
  end
end

-- Random pickles: opcodes in any order that a reader takes, where picklers have a few
-- only. What is read of one is written, and read again: it must be the same; see
-- fuzz/fuzz_roundtrip.lua.

local helpers = require "helpers"
local roundtrip = require "fuzz.fuzz_roundtrip"

local SEED = 20221122
local COUNT = (helpers.slow or helpers.sanitized) and 100 or 3000
local MARK = "mark"

local random = math.random

local function pick(list)
  return list[random(#list)]
end

local MODULES = {"builtins", "__builtin__", "m", "_codecs", "copy_reg", "copyreg",
                 "exceptions"}
local NAMES = {"set", "frozenset", "bytes", "bytearray", "encode", "C", "__newobj__",
               "_reconstructor", "object", "dict", "OSError", "ConnectionError"}
local TEXTS = {"", "a", "b", "latin1", "é", ("x"):rep(45), ("é"):rep(25)}
local BYTES = {"", "a", "\xff", "ab", ("x"):rep(45), ("\xff"):rep(50)}

-- A pickle in the making: its opcodes, and of what kind each value on the stack is.
local Writer = {}
Writer.__index = Writer

local function new_writer()
  return setmetatable({opcodes = {}, stack = {}, memo = {}}, Writer)
end

-- An opcode that takes `n` values off the stack and puts one of that kind on it.
function Writer:put(opcode, n, kind)
  self.opcodes[#self.opcodes + 1] = opcode
  for _ = 1, n do self.stack[#self.stack] = nil end
  self.stack[#self.stack + 1] = kind
end

function Writer:memoize()
  local index = random(0, 2)
  self:put("q" .. string.char(index), 0)
  self.memo[index] = self:top()
end

-- The same, of what has parts: it is often memoized.
function Writer:make(opcode, n, kind)
  self:put(opcode, n, kind)
  if random(3) > 1 then self:memoize() end
end

-- The kind of the topmost value, or of one below it; nil beyond the innermost mark.
function Writer:top(depth)
  if (depth or 0) >= self:above() then return nil end
  return self.stack[#self.stack - (depth or 0)]
end

-- How many values are above the innermost mark; whether it may be taken: not the
-- first, which is for the tuple of all that is left at the end.
function Writer:above()
  local stack = self.stack
  for i = #stack, 2, -1 do
    if stack[i] == MARK then return #stack - i, true end
  end
  return #stack - 1, false
end

-- What the values above the mark are for; nil: there is no mark, or nothing below.
function Writer:below()
  local n, marked = self:above()
  return marked and self.stack[#self.stack - n - 1] or nil
end

-- Each writes one opcode, where the stack has what that takes.
local steps = {}

local function step(weight, write)
  for _ = 1, weight do steps[#steps + 1] = write end
end

-- values without parts, empty containers
step(1, function(w) w:put("N", 0, "None") end)
step(1, function(w) w:put("K" .. string.char(random(0, 3)), 0, "int") end)
step(1, function(w) w:put("\x8c" .. string.pack("s1", pick(TEXTS)), 0, "text") end)
step(1, function(w) w:put("C" .. string.pack("s1", pick(BYTES)), 0, "bytes") end)
step(4, function(w) w:make("]", 0, "list") end)
step(1, function(w) w:make("}", 0, "dict") end)
step(1, function(w) w:make("\x8f", 0, "set") end)
step(1, function(w) w:make(")", 0, "tuple") end)
step(2, function(w) w:put(("c%s\n%s\n"):format(pick(MODULES), pick(NAMES)), 0, "global") end)

-- containers of what is on the stack
step(2, function(w) w:put("(", 0, MARK) end)
step(4, function(w)
  if w:above() >= 1 then w:make("\x85", 1, "tuple") end
end)
step(1, function(w)
  if w:above() >= 2 then w:make("\x86", 2, "tuple") end
end)
step(1, function(w)
  local n, marked = w:above()
  local made = pick{{"t", "tuple"}, {"l", "list"}, {"\x91", "frozenset"}}
  if marked then w:make(made[1], n + 1, made[2]) end
end)
step(1, function(w)
  local n, marked = w:above()
  if marked and n % 2 == 0 then w:make("d", n + 1, "dict") end
end)

-- the memo, and values twice
step(2, function(w)
  if w:above() >= 1 then w:memoize() end
end)
step(12, function(w)
  local index = random(0, 2)
  if w.memo[index] then w:put("h" .. string.char(index), 0, w.memo[index]) end
end)
step(1, function(w)
  if w:above() >= 1 then w:put("2", 0, w:top()) end
end)
step(1, function(w)
  if w:above() >= 1 and random(2) == 1 then w:put("0", 1) end
end)

-- items and pairs
step(5, function(w)
  local into = w:top(1)
  if into == "list" or into == "object" then w:put("a", 1) end
end)
step(1, function(w)
  local into = w:top(2)
  if into == "dict" or into == "object" then w:put("s", 2) end
end)
step(2, function(w)
  local n, into = w:above(), w:below()
  if into == "list" or into == "object" then
    w:put("e", n + 1)
  elseif into == "set" then
    w:put("\x90", n + 1)
  end
end)
step(1, function(w)
  local n, into = w:above(), w:below()
  if (into == "dict" or into == "object") and n % 2 == 0 then w:put("u", n + 1) end
end)

-- instances
step(5, function(w)
  if w:top() == "tuple" and w:top(1) then w:make(pick{"R", "R", "\x81"}, 2, "object") end
end)
step(1, function(w)
  if w:top() == "dict" and w:top(1) == "tuple" and w:top(2) then
    w:make("\x92", 3, "object")
  end
end)
step(1, function(w)
  local n, marked = w:above()
  if marked and n >= 1 then w:make("o", n + 1, "object") end
end)
step(2, function(w)
  if w:top(1) == "object" then w:put("b", 1) end
end)

local function random_pickle()
  local w = new_writer()
  if random(4) > 1 then w:put("\x80" .. string.char(random(0, 5)), 0) end
  w:put("(", 0, MARK)
  for _ = 1, random(5, 40) do pick(steps)(w) end
  repeat
    local n, marked = w:above()
    w:put("t", n + 1, "tuple")
  until not marked
  -- what follows STOP makes the size, which chooses the protocol
  return table.concat(w.opcodes) .. "." .. ("x"):rep(random(0, 5))
end

describe("pickle.dumps", function()
  it("writes what loads reads in any order of opcodes", function()
    math.randomseed(SEED)
    for _ = 1, COUNT do
      local input = random_pickle()
      local ok, err = pcall(roundtrip, input)
      if not ok then error(("%s of %q"):format(err, input)) end
    end
  end)
end)

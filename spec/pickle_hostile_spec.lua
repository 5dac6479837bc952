-- Pickles that lie, are cut off or make no sense: UnpicklingError or an inert
-- value, in time and memory that the input's size bounds.

local helpers = require "helpers"
local pickle = require "multiprocessing.pickle"

local PROTO4 = "\x80\4"
local ROUNDS = helpers.slow and 500 or 12000

--- A value, or nil and an UnpicklingError: nothing else may come of a pickle.
local function tame(bytes, options)
  local value, err = pickle.loads(bytes, options)
  if value ~= nil then return value end
  if type(err) ~= "userdata" and type(err) ~= "table"
     or err.name ~= "UnpicklingError" then
    error(("%q: %s"):format(bytes:sub(1, 200), err))
  end
  return nil, err
end

local function refused(bytes, message, options)
  local value, err = tame(bytes, options)
  if value ~= nil then
    error(("%q was taken as %s"):format(bytes:sub(1, 200), pickle.repr(value)), 2)
  end
  if message then assert.matches(message, err.message, 1, true) end
end

local function load(bytes, options)
  local value, err = pickle.loads(bytes, options)
  if value == nil then error(err, 2) end
  return value
end

-- A value with something of everything.
local function sample()
  local shared = {"shared", 2.5}
  local loop = {shared}
  loop[2] = loop
  local big = pickle.int("-123456789012345678901234567890")
  return {
    1, -1, 255, 256, 65535, 65536, 1 << 40, math.mininteger, big, 0.5, -0.0,
    true, false, pickle.None, "text", "\u{20AC}", "\xff\0bytes", ("x"):rep(300),
    pickle.bytes("b"), pickle.str("\xED\xA0\x80"), {}, {1}, {a = 1, b = {2}},
    pickle.tuple {}, pickle.tuple {1}, pickle.tuple {1, 2}, pickle.tuple {1, 2, 3},
    pickle.tuple {1, 2, 3, 4}, pickle.set {1, "a"}, pickle.frozenset {2},
    pickle.dict {[1] = 2}, pickle.global("builtins", "float"), shared, loop,
    pickle.object {class = pickle.global("m", "C"), args = {1, "a"},
                   state = pickle.dict {x = 1}, items = {1, 2},
                   pairs = {{"k", "v"}}},
    pickle.object {class = pickle.global("m", "C"), args = {}, how = "new"},
    pickle.object {class = pickle.global("m", "C"), args = {1}, how = "inst"},
  }
end

local samples = {}
for protocol = 0, 5 do
  samples[protocol] = assert(pickle.dumps(sample(), {protocol = protocol}))
end

--- The processor's seconds that f(x) takes: the best of three times.
local function time(f, x)
  local best = math.huge
  for _ = 1, 3 do
    collectgarbage()
    local start = os.clock()
    f(x)
    best = math.min(best, os.clock() - start)
  end
  return best
end

describe("loads of a pickle that is cut off", function()
  for protocol = 0, 5 do
    it("refuses every prefix, protocol " .. protocol, function()
      local whole = samples[protocol]
      assert(load(whole))
      for size = 0, #whole - 1 do refused(whole:sub(1, size)) end
      assert(load(whole .. "and more"))
    end)
  end
end)

describe("loads of a size that lies", function()
  local counted = { -- opcode, format of the size, the largest
    T = "<i4", U = "<I1", B = "<i4", C = "<I1", X = "<I4", ["\x8c"] = "<I1",
    ["\x8d"] = "<I8", ["\x8e"] = "<I8", ["\x95"] = "<I8", ["\x96"] = "<I8",
    ["\x8a"] = "<I1", ["\x8b"] = "<i4",
  }
  local largest = {["<i4"] = 0x7fffffff, ["<I4"] = 0xffffffff, ["<I1"] = 255,
                   ["<I8"] = -1}

  it("refuses it at once", function()
    collectgarbage()
    local before = collectgarbage("count")
    for opcode, format in pairs(counted) do
      for _, size in ipairs {largest[format], 200, 100} do
        local lie = opcode .. string.pack(format, size) .. ("x"):rep(99)
        refused(lie)
        refused(PROTO4 .. lie .. ".")
      end
    end
    for _, size in ipairs {math.maxinteger, 1 << 62, 1 << 40, 1 << 32} do
      for _, opcode in ipairs {"\x8d", "\x8e", "\x95", "\x96"} do
        refused(opcode .. string.pack("<I8", size) .. "x.")
      end
    end
    assert(collectgarbage("count") - before < 1024)
  end)

  it("refuses a negative one", function()
    for _, opcode in ipairs {"T", "B", "\x8b"} do
      refused(opcode .. string.pack("<i4", -1) .. "x.")
    end
  end)
end)

describe("loads of a memo index", function()
  it("costs what it holds, whatever its number", function()
    for _, index in ipairs {0xffffffff, 0x7fffffff, 0x80000000, 1 << 20} do
      local bytes = "]r" .. string.pack("<I4", index) .. "(Nj"
                    .. string.pack("<I4", index) .. "e."
      collectgarbage()
      local before = collectgarbage("count")
      local list = load(bytes)
      assert(rawequal(list, list[2]))
      assert(collectgarbage("count") - before < 64)
    end
    local list = load("]p18446744073709551615\n(Ng18446744073709551615\ne.")
    assert(rawequal(list, list[2]))
  end)

  it("refuses one that is not there, or no number", function()
    for _, bytes in ipairs {"h\0.", "j\xff\xff\xff\xff.", "g0\n.", "Nq\0h\1.",
                            "Np-1\n.", "Npx\n.", "g\n.", "g-1\n.", "gx\n.",
                            "q\0.", "p0\n.", "\x94.", "Np 1\n0g1\nx."} do
      refused(bytes)
    end
  end)

  it("holds many scattered ones in linear time", function()
    local function scattered(n)
      local parts = {"("}
      for i = 1, n do
        parts[#parts + 1] = "Nr" .. string.pack("<I4", i * 2654435761 & 0xffffffff)
      end
      parts[#parts + 1] = "l."
      return table.concat(parts)
    end
    local n = helpers.slow and 2000 or 100000
    local one, four = time(load, scattered(n)), time(load, scattered(4 * n))
    assert(four < 20 * one + 0.05, ("%g s, then %g s"):format(one, four))
  end)
end)

describe("loads of random mutations", function()
  -- xorshift: the same bytes with every Lua
  local state = 88172645463325252
  local function random(n)
    state = state ~ state << 13
    state = state ~ state >> 7
    state = state ~ state << 17
    return (state >> 1) % n
  end

  local opcodes = "(.0123FIJKLMNPQRSTUVX}])abcdeghijlopqrstu\x80\x81\x82\x83\x84"
    .. "\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96"
    .. "\x97\x98BC"

  local function byte()
    if random(2) == 0 then return string.char(random(256)) end
    local i = random(#opcodes) + 1
    return opcodes:sub(i, i)
  end

  local function mutate(bytes)
    for _ = 0, random(4) do
      local i, n = random(#bytes) + 1, random(6)
      local kind = random(4)
      if kind == 0 then
        bytes = bytes:sub(1, i - 1) .. byte() .. bytes:sub(i + 1)
      elseif kind == 1 then
        bytes = bytes:sub(1, i - 1) .. byte() .. bytes:sub(i)
      elseif kind == 2 then
        bytes = bytes:sub(1, i - 1) .. bytes:sub(i + n)
      else
        local from = random(#bytes) + 1
        bytes = bytes:sub(1, i) .. bytes:sub(from, from + 4 * n) .. bytes:sub(i + 1)
      end
    end
    return bytes
  end

  for protocol = 0, 5 do
    it("yields a value that leaves again, or an error; protocol " .. protocol,
       function()
      local taken = 0
      for _ = 1, ROUNDS // 6 do
        local bytes = mutate(samples[protocol])
        local value = tame(bytes)
        if value ~= nil then
          taken = taken + 1
          local again, err = pickle.dumps(value, {protocol = protocol})
          if again then
            assert(load(again) ~= nil)
          elseif err.name ~= "PicklingError" then
            error(("%q: %s"):format(bytes, err))
          end
          pickle.repr(value)
        end
      end
      assert(taken > 0)
    end)
  end

  it("yields a value or an error of random opcodes", function()
    local taken = 0
    for _ = 1, ROUNDS do
      local parts = {}
      for i = 1, random(20) + 1 do parts[i] = byte() end
      local bytes = table.concat(parts) .. "."
      local value = tame(bytes)
      if value ~= nil then
        taken = taken + 1
        local again, err = pickle.dumps(value)
        if not again and err.name ~= "PicklingError" then
          error(("%q: %s"):format(bytes, err))
        end
      end
    end
    assert(taken > 0)
  end)
end)

describe("loads of a call", function()
  it("calls nothing: it arrives as an object", function()
    for bytes, name in pairs {
      ["cos\nsystem\n(S'touch /tmp/x'\ntR."] = "os.system",
      ["cposix\nsystem\n(S'touch /tmp/x'\ntR."] = "posix.system",
      ["c__builtin__\neval\n(S'1'\ntR."] = "builtins.eval",
      ["\x80\3cbuiltins\nexec\nX\1\0\0\0x\x85R."] = "builtins.exec",
      ["\x80\4\x8c\2os\x8c\6system\x93\x8c\2ls\x85R."] = "os.system",
      ["(S'ls'\nios\nsystem\n."] = "os.system",
      ["(cos\nsystem\nS'ls'\no."] = "os.system",
      ["\x80\2cos\nsystem\nU\2ls\x85\x81."] = "os.system",
      ["\x80\4cos\nsystem\n)}\x92."] = "os.system",
      ["cos\nexecute\n(S'ls'\ntR."] = "os.execute",
      ["c_G\nprint\n)R."] = "_G.print",
      ["cbuiltins\ngetattr\n(cos\nS'system'\ntR."] = false,
    } do
      if name then
        local value = load(bytes)
        assert.equal("object", pickle.type(value))
        assert.equal(name, ("%s.%s"):format(value.class.module, value.class.name))
      else
        tame(bytes)
      end
    end
  end)

  it("calls nothing that a name of the host's leads to", function()
    local called = false
    _G.a_function_of_the_host = function() called = true end
    load("c_G\na_function_of_the_host\n)R.")
    load("c__main__\na_function_of_the_host\n(tR.")
    _G.a_function_of_the_host = nil
    assert.is_false(called)
  end)

  it("looks constructors up raw, and by whole names", function()
    local asked = false
    local constructors = setmetatable({}, {__index = function()
      asked = true
    end})
    local value = load("cos\nsystem\n)R.", {constructors = constructors})
    assert.is_false(asked)
    assert.equal("object", pickle.type(value))
    value = load("cos.path\nx\n)R.", {constructors = {
      os = error, ["os.path"] = error, x = error, [""] = error}})
    assert.equal("object", pickle.type(value))
  end)

  it("refuses arguments that are no tuple", function()
    for _, bytes in ipairs {"ca\nb\nNR.", "ca\nb\n]R.", "ca\nb\nN\x81.",
                            "ca\nb\nNN\x92.", "ca\nb\n)N\x92."} do
      refused(bytes)
    end
  end)

  it("refuses what the registry of extensions or a program would give", function()
    for _, bytes in ipairs {"\x82\1.", "\x83\1\0.", "\x84\1\0\0\0.", "\x82\0.",
                            "\x84\xff\xff\xff\xff.", "Pid\n.", "NQ.", "(NQl.",
                            "\x97.", "N\x98.", "\x80\5]\x97a."} do
      refused(bytes)
    end
  end)

  it("gives persistent ids to persistent_load, if there is one", function()
    local ids = {}
    local options = {persistent_load = function(id)
      ids[#ids + 1] = id
      return {id}
    end}
    local value = load("(Pone\nU\3twoQ(NtQl.", options)
    assert.equal("one", value[1][1])
    assert.equal("two", value[2][1])
    assert.equal("tuple", pickle.type(value[3][1]))
    assert.equal(3, #ids)
    refused("Pid\n.", nil, {persistent_load = function() end})
  end)
end)

describe("loads of keys", function()
  it("refuses NaN", function()
    local nan = "G\x7f\xf8\0\0\0\0\0\0"
    refused("}" .. nan .. "Ns.", "NaN")
    refused("}(K\1K\2" .. nan .. "K\3u.", "NaN")
    refused("\x80\4\x8f(" .. nan .. "\x90.", "NaN")
    refused("\x80\4(" .. nan .. "\x91.", "NaN")
    refused("(F nan\nNd.")
    tame("c__builtin__\nset\n((lp0\nFnan\natR.")
  end)

  it("refuses bytes beside text of the same content, in either order", function()
    for _, keys in ipairs {"C\1aK\1\x8c\1aK\2", "\x8c\1aK\1C\1aK\2"} do
      refused("\x80\4}(" .. keys .. "u.")
      assert(load("\x80\4}(" .. keys .. "u.", {bytes = "wrap"}))
    end
    for _, keys in ipairs {"C\1a\x8c\1a", "\x8c\1aC\1a", "K\1\x8c\1aC\1bC\1a"} do
      refused("\x80\4\x8f(" .. keys .. "\x90.")
      refused("\x80\4(" .. keys .. "\x91.")
      assert(load("\x80\4(" .. keys .. "\x91.", {bytes = "wrap"}))
    end
    local long = ("a"):rep(100)
    refused("\x80\4}(C\x64" .. long .. "K\1\x8c\x64" .. long .. "K\2u.")
    refused("\x80\4}(\x8c\x64" .. long .. "K\1C\x64" .. long .. "K\2u.")
    refused("\x80\4}C\1aK\1s\x8c\1aK\2s.")
    refused("\x80\4}\x8c\1aK\1sC\1aK\2s.")
  end)

  it("refuses such keys whose bytes are shared", function()
    refused("\x80\4(C\1a\x94}(h\0K\1\x8c\1aK\2ut.")
    refused("\x80\4(C\1a\x94}(\x8c\1aK\2h\0K\1ut.")
    refused("\x80\4(\x8c\1a\x94}(h\0K\1C\1aK\2ut.")
  end)

  it("takes the last value of a key that comes twice, as Python does", function()
    assert.equal(2, load("}(K\1K\1K\1K\2u.")[1])
    assert.equal(2, load("\x80\4}(\x8c\1aK\1\x8c\1aK\2u.").a)
    assert.equal(2, load("}K\1K\1sK\1K\2s.")[1])
  end)

  it("refuses a key without its value", function()
    refused("}(K\1u.")
    refused("(K\1d.")
    refused("ca\nb\n)R(K\1u.")
  end)

  it("takes any value for a key, even a list or the dict itself", function()
    tame("}(]K\1u.")
    tame("}q\0h\0K\1s.")
    tame("\x80\4\x8f\x94(h\0\x90.")
  end)

  it("takes many keys of one hash in linear time", function()
    local function dict(n, key)
      local parts = {"\x80\4}("}
      for i = 1, n do parts[#parts + 1] = key(i) .. "N" end
      parts[#parts + 1] = "u."
      return table.concat(parts)
    end
    local function wide(i) return ("%010d"):format(i):rep(10) end
    local n = helpers.slow and 1000 or 30000
    for _, key in ipairs {
      function(i) return "\x8a\8" .. string.pack("<i8", i << 32) end,
      function(i) return "G" .. string.pack(">d", 0.5 + i * 2.0 ^ 20) end,
      function(i) return "X\100\0\0\0" .. wide(i) end,
      function(i) return "C\100" .. wide(i) end,
    } do
      local one, four = time(load, dict(n, key)), time(load, dict(4 * n, key))
      assert(four < 20 * one + 0.05, ("%g s, then %g s"):format(one, four))
    end
  end)
end)

describe("loads of opcodes that make no sense", function()
  it("refuses an unbalanced stack", function()
    for _, bytes in ipairs {
      "", ".", "0.", "1.", "2.", "(.", "((.", "N0.", "(0.", "(1.", "(N1.", "(2.",
      "a.", "Na.", "]a.", "N]a.", "e.", "(e.", "]e.", "](", "s.", "}s.", "}Ns.",
      "u.", "(u.", "}(Nu.", "t0.", "t.", "l.", "d.", "R.", "NR.", "b.", "Nb.",
      "o.", "(o.", "\x85.", "N\x86.", "NN\x87.", "(\x85.", "(N\x86.", "N(N\x87.",
      "\x81.", "N\x81.", "\x92.", "NN\x92.", "\x93.", "N\x93.", "(N\x93.",
      "\x90.", "\x8f\x90.", "(\x90.", "\x91.", "Q.", "(Q.", "\x94.", "(\x94.",
      "q\0.", "(q\0.", "(p0\n.", "(r\0\0\0\0.", "(Nt1.", "](NNe0.", "N(.",
      "(K\1t", "I\n.", "F\n.", "L\n.", "S\n.", "V", "c\n", "ca\n", "\xff.", "\0.",
      "\x80.", "\x80\6.", "\x80\6N.", "\x80\xffN.", "(i.", "N(ia\nb\n",
      "]((e.", "]N(a.", "}N(s.", "ca\nb\n(R.", "ca\nb\n(b.", "(N(o.",
    } do
      refused(bytes)
    end
  end)

  it("takes what POP, DUP and POP_MARK leave", function()
    assert.equal(1, load("K\1K\0020."))
    assert.equal(1, load("K\1(K\2K\0031."))
    assert.equal(1, load("K\1(0."))
    local pair = load("]2\x86.")
    assert(rawequal(pair[1], pair[2]))
    local list = load("]2a.")
    assert(rawequal(list, list[1]))
    tame("N2222222t.")
    tame("(((((t1t1t.")
  end)

  it("refuses items and state for what takes none", function()
    for _, scalar in ipairs {"N", "K\1", "\x88", "X\1\0\0\0a", "C\1a", ")",
                             "K\1\x85", "ca\nb\n", "G\0\0\0\0\0\0\0\0"} do
      refused(scalar .. "K\1a.")
      refused(scalar .. "(K\1e.")
      refused(scalar .. "K\1K\1s.")
      refused(scalar .. "(K\1K\1u.")
      refused(scalar .. "}b.")
      refused(scalar .. "(K\1\x90.")
    end
    for _, bytes in ipairs {"]K\1K\1s.", "}K\1a.", "}}b.", "]}b.", "\x8fK\1a.",
                            "}(K\1\x90.", "](K\1\x90.", "\x8f(K\1K\2u."} do
      refused(bytes)
    end
  end)

  it("refuses text and numbers that are none", function()
    for _, bytes in ipairs {
      "Ix\n.", "I1 2\n.", "I0x10\n.", "I1.5\n.", "I\n.", "I-\n.", "Lx\n.", "LL\n.",
      "L1x\n.", "Fx\n.", "F1.5x\n.", "F\n.", "F0x1p4\n.", "Sx\n.", "S'x\n.",
      "S'x\"\n.", "S\"\n.", "S'\\x4'\n.", "X\1\0\0\0\xff.",
      "X\2\0\0\0\xc3\x28.", "\x8c\2\xc0\x80.", "\x8c\4\xf4\x90\x80\x80.",
      "V\\u12\n.", "V\\U00110000\n.", "c\xff\nb\n.", "ca\n\xff\n.",
      "\x80\4\x8c\1aN\x93.", "\x80\4N\x8c\1a\x93.", "\x80\4C\1a\x8c\1a\x93.",
    } do
      refused(bytes)
    end
  end)

  it("refuses an instance in its own arguments, or shows it", function()
    tame("ca\nb\n(]q\0h\0tRq\1.")
    tame("]q\0ca\nb\n(h\0tRa.")
    tame("]q\0ca\nb\n(h\0tRa.", {constructors = {["a.b"] = function(x)
      return {x}
    end}})
  end)

  it("says at which byte", function()
    local _, err = pickle.loads("(K\1K\2\xff.")
    assert.matches("at byte 5$", err.message)
    _, err = pickle.loads("")
    assert.matches("at byte 0$", err.message)
  end)
end)

describe("loads of depth", function()
  local DEPTH = helpers.slow and 20000 or 300000

  it("is limited by memory only", function()
    for open, close in pairs {
      ["]"] = "a", ["("] = "t", ["(K\1"] = "l", ["ca\nb\n("] = "tR",
      ["}K\1"] = "s", ["(ca\nb\n"] = "o", [")"] = "\x85", ["\x80\4("] = "\x91",
      ["ca\nb\n)R"] = "b",
    } do
      local bytes = open:rep(DEPTH) .. (open:find("%]$") and "]" or "N")
                    .. close:rep(DEPTH) .. "."
      if close == "\x85" then bytes = ")" .. close:rep(DEPTH) .. "." end
      tame(bytes)
      collectgarbage()
    end
  end)

  it("of MARKs alone is refused", function()
    refused(("("):rep(DEPTH))
    refused(("("):rep(DEPTH) .. ".")
    refused(("("):rep(DEPTH) .. "N" .. ("1"):rep(DEPTH) .. ".")
    tame(("("):rep(DEPTH) .. ("t"):rep(DEPTH) .. ".")
  end)

  it("over max_depth is refused", function()
    local bytes = ("("):rep(100) .. ("t"):rep(100) .. "."
    assert(load(bytes, {max_depth = 100}))
    refused(bytes, nil, {max_depth = 99})
    refused("].", nil, {max_depth = 0})
    assert.equal(1, load("K\1.", {max_depth = 0}))
  end)
end)

describe("loads within max_memory", function()
  it("refuses what takes more", function()
    local n = helpers.slow and 1000 or 100000
    for _, bytes in ipairs {
      "(" .. ("N"):rep(n) .. "l.", "(" .. ("]"):rep(n) .. "l.",
      "(" .. ("}"):rep(n) .. "t.", "(" .. ("ca\nb\n)R"):rep(n) .. "l.",
      "N" .. ("2"):rep(n) .. ".", ("("):rep(n) .. ".",
      "]" .. ("\x94"):rep(n) .. ".", "(" .. ("K\1K\1"):rep(n) .. "d.",
      "(V" .. ("\\u20ac"):rep(n) .. "\nl.",
    } do
      refused(bytes, nil, {max_memory = #bytes // 2})
      refused(bytes, nil, {max_memory = 0})
    end
    assert(load("K\1.", {max_memory = 100000}))
    assert(load("(" .. ("N"):rep(n) .. "l.", {max_memory = 1000 * n}))
  end)

  it("stays there, for references to one large text too", function()
    collectgarbage()
    local before = collectgarbage("count")
    local text = "X" .. string.pack("<s4", ("x"):rep(1 << 20)) .. "q\0"
    local value = load("(" .. text .. ("h\0"):rep(1000) .. "l.")
    assert.equal(1001, #value)
    collectgarbage()
    assert(collectgarbage("count") - before < 8 * 1024)
  end)

  it("takes memory in proportion to the input by itself", function()
    if helpers.sanitized or helpers.slow then return end
    local n = 1000000
    for _, bytes in ipairs {
      "(" .. ("N"):rep(n) .. "l.", "(" .. ("]"):rep(n) .. "l.",
      ("("):rep(n) .. ("t"):rep(n) .. ".",
    } do
      collectgarbage()
      local before = collectgarbage("count")
      local value = load(bytes)
      local kept = (collectgarbage("count") - before) * 1024
      assert(value)
      assert(kept < 600 * #bytes, ("%d bytes for %d"):format(kept, #bytes))
    end
    local status = assert(io.open("/proc/self/status"))
    local peak = tonumber(status:read("a"):match("VmHWM:%s*(%d+) kB"))
    status:close()
    assert(peak < 3 << 20, peak .. " kB")
  end)
end)

describe("loads of large integers", function()
  it("limits the digits of protocols 0 and 1", function()
    local digits = ("9"):rep(4300)
    assert.equal(digits, tostring(load("L" .. digits .. "L\n.")))
    assert.equal("-" .. digits, tostring(load("I-" .. digits .. "\n.")))
    refused("L" .. digits .. "9L\n.", "digits")
    refused("I" .. digits .. "9\n.", "digits")
    refused("L" .. ("9"):rep(10000000) .. "L\n.", "digits")
    assert(load("L" .. digits .. "9L\n.", {max_int_digits = 4301}))
    refused("L" .. ("9"):rep(100) .. "L\n.", nil, {max_int_digits = 99})
    assert.equal(12345, load("L12345L\n."))
  end)

  it("takes LONG4 of megabytes at once, and gives it back", function()
    local size = helpers.slow and 1 << 14 or 1 << 22
    local bytes = ("\x5a"):rep(size - 1) .. "\x7f"
    local start = os.clock()
    local value = load("\x80\2\x8b" .. string.pack("<s4", bytes) .. ".")
    local again = assert(pickle.dumps(value, {protocol = 2}))
    assert(os.clock() - start < 2)
    assert(again:find(bytes, 1, true))
  end)

  it("writes them in the form that is shortest", function()
    local value = load("\x80\2\x8b\x10\0\0\0\1" .. ("\0"):rep(15) .. ".")
    assert.equal("integer", math.type(value))
    assert.equal(1, value)
    value = load("\x80\2\x8a\x10\xff" .. ("\xff"):rep(15) .. ".")
    assert.equal(-1, value)
    assert.equal(0, load("\x80\2\x8a\0."))
    assert.equal(0, load("\x80\2\x8b\0\0\0\0."))
  end)
end)

describe("the time of loads and dumps", function()
  it("is linear in the size, whatever the shape", function()
    local n = helpers.slow and 300 or 20000
    local shapes = {
      function(k) return "(" .. ("N"):rep(k) .. "l." end,
      function(k) return "]" .. ("Na"):rep(k) .. "." end,
      function(k) return "]" .. ("(Ne"):rep(k) .. "." end,
      function(k) return "ca\nb\n)R" .. ("Na"):rep(k) .. "." end,
      function(k) return "ca\nb\n)R" .. ("K\1Ns"):rep(k) .. "." end,
      function(k) return "}" .. ("(K\1Nu"):rep(k) .. "." end,
      function(k) return "(]]" .. ("2"):rep(k) .. ("Na"):rep(k) .. "l." end,
      function(k) return "(]q\0]q\1" .. ("h\0Na0h\1Na0"):rep(k) .. "l." end,
      function(k) return "]" .. ("\x94"):rep(k) .. "." end,
      function(k) return "(" .. ("("):rep(k) .. ("1"):rep(k) .. "t." end,
      function(k) return "V" .. ("\\u20ac"):rep(k) .. "\n." end,
      function(k) return "S'" .. ("\\x41"):rep(k) .. "'\n." end,
      function(k) return ("("):rep(k) .. ("t"):rep(k) .. "." end,
      function(k) return "(" .. ("ca\nb\n)R"):rep(k) .. "t." end,
      function(k) return "\x80\4\x8f" .. ("(K\1\x90"):rep(k) .. "." end,
      function(k) return "(" .. ("Vtext\n"):rep(k) .. "t." end,
      function(k) return "]q\0" .. ("h\0a"):rep(k) .. "." end,
      function(k) return "(((" .. ("N"):rep(k) .. "ttt." end,
      function(k) return "(" .. ("\x80\2N"):rep(k) .. "t." end,
    }
    for i, shape in ipairs(shapes) do
      local one, four = time(tame, shape(n)), time(tame, shape(4 * n))
      assert(four < 20 * one + 0.05,
             ("shape %d: %g s, then %g s"):format(i, one, four))
      local value, more = tame(shape(n)), tame(shape(4 * n))
      if value ~= nil then
        one, four = time(pickle.dumps, value), time(pickle.dumps, more)
        assert(four < 20 * one + 0.05,
               ("dumps of shape %d: %g s, then %g s"):format(i, one, four))
      end
    end
  end)

  it("is linear in the length of decimal integers' limit too", function()
    local function digits(k) return "L" .. ("7"):rep(k) .. "L\n." end
    local limit = {max_int_digits = math.maxinteger}
    local n = helpers.slow and 1000 or 20000
    -- a limit of the program's own may cost what it costs; not for ever
    local start = os.clock()
    load(digits(n), limit)
    assert(os.clock() - start < 5)
  end)

  it("leaves nothing behind after failures", function()
    local function fail()
      for protocol = 0, 5 do
        tame(samples[protocol]:sub(1, -2))
        tame(samples[protocol] .. ".")
        pickle.dumps({samples, print})
      end
    end
    for _ = 1, 10 do fail() end
    collectgarbage()
    collectgarbage()
    local before = collectgarbage("count")
    for _ = 1, helpers.slow and 50 or 1000 do fail() end
    collectgarbage()
    collectgarbage()
    assert(collectgarbage("count") - before < 64)
  end)
end)


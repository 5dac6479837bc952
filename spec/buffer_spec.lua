local connection = require "multiprocessing.connection"

local Buffer = connection.Buffer

-- Calls f(...), which must throw, and returns the message.
local function misuse(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  assert.is_string(message)
  return message
end

-- As misuse, for b:name(...): a method call, whose arguments count from 1
-- without b. Also checks that the message has the place of the call.
local function method_misuse(b, name, ...)
  local call = assert(load("local b = ... return b:" .. name .. "(select(2, ...))", "=call"))
  local message = misuse(call, b, ...)
  local place, rest = message:match("^(call:1: )(.*)")
  assert(place, message)
  return rest
end

local function has(part, message)
  assert(message:find(part, 1, true), ("no %q in %q"):format(part, message))
end

describe("connection.Buffer", function()
  it("makes zeros of a size", function()
    assert.equal("\0\0\0", tostring(Buffer(3)))
    assert.equal("", tostring(Buffer(0)))
  end)

  it("takes a float with an integer value as a size", function()
    assert.equal("\0\0", tostring(Buffer(2.0)))
  end)

  it("copies a string, a numeric one too", function()
    assert.equal("a\0b", tostring(Buffer("a\0b")))
    assert.equal("10", tostring(Buffer("10")))
    assert.equal("", tostring(Buffer("")))
  end)

  it("throws for a size that is negative or fractional", function()
    has("bad argument #1 to ", misuse(Buffer, -1))
    has("(size is negative)", misuse(Buffer, -1))
    has("(size is negative)", misuse(Buffer, math.mininteger))
    has("no integer representation", misuse(Buffer, 1.5))
    has("no integer representation", misuse(Buffer, 1e300))
    has("no integer representation", misuse(Buffer, 0 / 0))
    has("no integer representation", misuse(Buffer, math.huge))
  end)

  it("throws for a size that no block of memory has", function()
    has("buffer too large", misuse(Buffer, math.maxinteger))
    has("buffer too large", misuse(Buffer, math.maxinteger - 1))
  end)

  it("throws for a value of another type", function()
    for _, value in ipairs { true, {}, print, Buffer(1), io.stdout } do
      has("#1", misuse(Buffer, value))
      has("size or string expected", misuse(Buffer, value))
    end
    has("size or string expected, got no value", misuse(Buffer))
    has("size or string expected, got nil", misuse(Buffer, nil))
  end)

  it("has a name of its own", function()
    assert.equal("multiprocessing.connection.Buffer", getmetatable(Buffer(0)).__name)
  end)

  it("has no fields to set", function()
    assert.has_error(function() Buffer(1).size = 2 end)
    assert.has_error(function() Buffer(1)[1] = 2 end)
  end)
end)

describe("#Buffer", function()
  it("is the number of bytes", function()
    assert.equal(0, #Buffer(0))
    assert.equal(3, #Buffer("a\0b"))
    assert.equal(100000, #Buffer(100000))
    assert.equal("integer", math.type(#Buffer(3)))
  end)

  it("throws for another value", function()
    has("multiprocessing.connection.Buffer expected, got table",
      misuse(getmetatable(Buffer(0)).__len, {}))
  end)
end)

describe("tostring(Buffer)", function()
  it("is the bytes as they are at the time", function()
    local b = Buffer("abc")
    local before = tostring(b)
    b:set(1, "x")
    assert.equal("abc", before)
    assert.equal("xbc", tostring(b))
  end)

  it("throws for another value", function()
    has("multiprocessing.connection.Buffer expected",
      misuse(getmetatable(Buffer(0)).__tostring, io.stdout))
  end)
end)

describe("Buffer ==", function()
  it("compares the bytes", function()
    assert.is_true(Buffer("ab\0") == Buffer("ab\0"))
    assert.is_true(Buffer(0) == Buffer(""))
    assert.is_false(Buffer("ab") == Buffer("ac"))
    assert.is_false(Buffer("ab") == Buffer("abc"))
  end)

  it("is false for any other value", function()
    local b = Buffer("ab")
    local eq = getmetatable(b).__eq
    assert.is_false(b == "ab")
    assert.is_false(b == io.stdout)
    assert.is_false(io.stdout == b)
    assert.is_false(eq(b, "ab"))
    assert.is_false(eq("ab", "ab"))
    assert.is_false(eq())
  end)
end)

describe("Buffer:sub", function()
  it("is string.sub at every index around the edges", function()
    for _, s in ipairs { "", "a", "\0bcdefgh\255" } do
      local b = Buffer(s)
      for i = -12, 12 do
        assert.equal(s:sub(i), b:sub(i))
        for j = -12, 12 do
          assert.equal(s:sub(i, j), b:sub(i, j))
        end
      end
    end
  end)

  it("is string.sub at the extremes", function()
    local s = "abc"
    local b = Buffer(s)
    local ends = { math.mininteger, math.mininteger + 1, 1 << 32, -(1 << 32), 2.0, "2",
      math.maxinteger - 1, math.maxinteger }
    for _, i in ipairs(ends) do
      for _, j in ipairs(ends) do
        assert.equal(s:sub(i, j), b:sub(i, j))
      end
      assert.equal(s:sub(1, i), b:sub(1, i))
      assert.equal(s:sub(i, -1), b:sub(i, -1))
    end
    assert.equal("bc", b:sub(2, nil))
  end)

  it("throws for indices that are none", function()
    local b = Buffer("abc")
    has("bad argument #1 to 'sub' (number expected, got no value)", method_misuse(b, "sub"))
    has("bad argument #1 to 'sub' (number expected, got table)", method_misuse(b, "sub", {}))
    has("bad argument #1 to 'sub' (number has no integer", method_misuse(b, "sub", 1.5))
    has("bad argument #2 to 'sub' (number expected, got string)", method_misuse(b, "sub", 1, "x"))
    has("bad argument #2 to 'sub' (number has no integer", method_misuse(b, "sub", 1, 1.5))
  end)

  it("throws for another object", function()
    has("multiprocessing.connection.Buffer expected, got string", misuse(Buffer(1).sub, "abc", 1))
  end)
end)

describe("Buffer:set", function()
  it("writes a string at a position and returns the buffer", function()
    local b = Buffer(5)
    assert.is_true(rawequal(b, b:set(2, "x\0y")))
    assert.equal("\0x\0y\0", tostring(b))
    b:set(1, "abcde")
    assert.equal("abcde", tostring(b))
    b:set(5, "!")
    assert.equal("abcd!", tostring(b))
  end)

  it("counts negative positions from the end", function()
    assert.equal("abcxy", tostring(Buffer("abcde"):set(-2, "xy")))
    assert.equal("xbcde", tostring(Buffer("abcde"):set(-5, "x")))
  end)

  it("writes another buffer", function()
    assert.equal("axyde", tostring(Buffer("abcde"):set(2, Buffer("xy"))))
  end)

  it("writes the buffer into itself", function()
    local b = Buffer("abc")
    assert.equal("abc", tostring(b:set(1, b)))
    has("out of range", method_misuse(b, "set", 2, b))
  end)

  it("writes nothing anywhere up to the end", function()
    local b = Buffer("ab")
    for _, i in ipairs { 1, 2, 3, -1, -2 } do
      assert.equal("ab", tostring(b:set(i, "")))
      assert.equal("ab", tostring(b:set(i, Buffer(0))))
    end
    assert.equal(0, #Buffer(0):set(1, ""))
  end)

  it("throws for a range outside, and writes nothing", function()
    local b = Buffer("abc")
    local outside = {
      { 0, "" }, { 0, "x" }, { 4, "x" }, { 5, "" }, { 3, "xy" }, { 1, "wxyz" }, { -4, "" }, { -4, "x" },
      { -1, "xy" }, { math.maxinteger, "x" }, { math.mininteger, "x" }, { math.mininteger, "" },
      { 2, Buffer(3) }, { -3, Buffer(4) }
    }
    for _, case in ipairs(outside) do
      has("bad argument #1 to 'set' (out of range: ", method_misuse(b, "set", case[1], case[2]))
    end
    assert.equal("abc", tostring(b))
    has("(out of range: 2 bytes at 3, the buffer has 3)", method_misuse(b, "set", 3, "xy"))
    has("out of range", method_misuse(Buffer(0), "set", -1, ""))
    has("out of range", method_misuse(Buffer(0), "set", 1, "x"))
  end)

  it("throws for other values", function()
    local b = Buffer("abc")
    has("bad argument #1 to 'set' (number expected, got no value)", method_misuse(b, "set"))
    has("bad argument #1 to 'set' (number expected, got string)", method_misuse(b, "set", "x", "y"))
    has("bad argument #1 to 'set' (number has no integer", method_misuse(b, "set", 1.5, "y"))
    has("bad argument #2 to 'set' (string or Buffer expected, got no value)", method_misuse(b, "set", 1))
    has("bad argument #2 to 'set' (string or Buffer expected, got number)", method_misuse(b, "set", 1, 7))
    has("bad argument #2 to 'set' (string or Buffer expected, got FILE*)",
      method_misuse(b, "set", 1, io.stdout))
    has("multiprocessing.connection.Buffer expected, got string", misuse(b.set, "abc", 1, "x"))
    assert.equal("abc", tostring(b))
  end)
end)

describe("Buffer:pack", function()
  it("writes string.pack's bytes and returns the position after them", function()
    local b = Buffer(8)
    assert.equal(4, b:pack(">I2B", 1, 0x0102, 3))
    assert.equal(8, b:pack("s1", -5, "xyz"))
    assert.equal("\1\2\3\3xyz\0", tostring(b))
    assert.equal(9, b:pack("B", 8, 255))
    assert.equal("\255", b:sub(-1))
  end)

  it("writes nothing for an empty format", function()
    assert.equal(1, Buffer(0):pack("", 1))
    assert.equal(3, Buffer("ab"):pack("", 3))
    assert.equal(2, Buffer("ab"):pack("", -1))
  end)

  it("takes many values", function()
    local b = Buffer(200)
    local values = {}
    for k = 1, 200 do values[k] = k end
    assert.equal(201, b:pack(("B"):rep(200), 1, table.unpack(values)))
    assert.equal(string.char(table.unpack(values)), tostring(b))
  end)

  it("aligns from where it writes, as string.pack does", function()
    local b = Buffer(9)
    assert.equal(10, b:pack("<!4 I1I4", 2, 1, 2))
    assert.equal("\0" .. string.pack("<!4 I1I4", 1, 2), tostring(b))
  end)

  it("throws where it would not fit, and writes nothing", function()
    local b = Buffer("abcd")
    for _, i in ipairs { 2, 0, 4, 5, -3, -1, -5, 100, math.maxinteger, math.mininteger } do
      has("bad argument #2 to 'pack' (out of range: 4 bytes at ", method_misuse(b, "pack", "I4", i, 1))
    end
    has("out of range", method_misuse(b, "pack", "BBBz", 1, 1, 2, 3, "x"))
    has("out of range", method_misuse(b, "pack", "", 6))
    has("out of range", method_misuse(Buffer(0), "pack", "B", 1, 1))
    assert.equal("abcd", tostring(b))
  end)

  it("throws for other values, counting as the caller does", function()
    local b = Buffer("abcd")
    has("bad argument #1 to 'pack' (string expected, got no value)", method_misuse(b, "pack"))
    has("bad argument #1 to 'pack' (string expected, got table)", method_misuse(b, "pack", {}, 1))
    has("bad argument #2 to 'pack' (number expected, got no value)", method_misuse(b, "pack", "B"))
    has("bad argument #2 to 'pack' (number expected, got string)", method_misuse(b, "pack", "B", "x", 1))
    has("bad argument #2 to 'pack' (number has no integer", method_misuse(b, "pack", "B", 1.5, 1))
    has("bad argument #3 to 'pack' (number expected, got nil)", method_misuse(b, "pack", "B", 1))
    has("bad argument #3 to 'pack' (number expected, got string)", method_misuse(b, "pack", "B", 1, "x"))
    has("bad argument #3 to 'pack' (unsigned overflow)", method_misuse(b, "pack", "B", 1, 256))
    has("bad argument #4 to 'pack' (string contains zeros)", method_misuse(b, "pack", "Bz", 1, 1, "a\0"))
    has("bad argument #4 to 'pack' (string expected, got multiprocessing.connection.Buffer)",
      method_misuse(b, "pack", "Bz", 1, 1, b))
    has("bad argument #1 to 'pack' (format asks for alignment not power of 2)",
      method_misuse(b, "pack", "!4 i3", 1, 1))
    has("invalid format option '?'", method_misuse(b, "pack", "?", 1))
    has("out of limits [1,16]", method_misuse(b, "pack", "i17", 1, 1))
    has("missing size for format option 'c'", method_misuse(b, "pack", "c", 1, "x"))
    has("multiprocessing.connection.Buffer expected, got string", misuse(b.pack, "abc", "B", 1, 1))
    assert.equal("abcd", tostring(b))
  end)
end)

describe("Buffer:unpack", function()
  local function same(fmt, s, ...)
    assert.same(table.pack(string.unpack(fmt, s, ...)), table.pack(Buffer(s):unpack(fmt, ...)))
  end

  it("gives string.unpack's values and the position after them", function()
    same(">I2s1z", "\1\2\3abcxyz\0rest")
    same("B", "abc", 3)
    same("B", "abc", -1)
    same("B", "abc", 0)
    same("B", "abc", -9)
    same("B", "abc", math.mininteger)
    same("c0", "abc", 4)
    same("", "", 1)
    same("", "")
    same("d", string.pack("d", 1.5), nil)
    assert.same({ 97, 2 }, { Buffer("a"):unpack("B") })
  end)

  it("aligns as in the whole of the bytes, at every position", function()
    local bytes = {}
    for k = 1, 400 do bytes[k] = string.char(k % 251) end
    local s = table.concat(bytes)
    local b = Buffer(s)
    local formats = { "<!I4", "<!1 B I4", "<!2 B I4", "<!4 B I4", "<!8 B I8 B", "<!16 i16", "<!16 B i8",
      "<B !8 Xi8 B", "<! Xi4 I2", "<!2 Xi8", "<!16 Xi16", "< Xi4 B", "<!4 B XI4", "<!4 B ! I8 B" }
    for _, fmt in ipairs(formats) do
      for i = 1, 300 do
        local wanted = table.pack(pcall(string.unpack, fmt, s, i))
        local got = table.pack(pcall(b.unpack, b, fmt, i))
        assert.equal(wanted[1], got[1])
        if wanted[1] then assert.same(wanted, got) end
      end
    end
  end)

  it("reads what is longer than its first copy", function()
    local long = ("0123456789"):rep(10000)
    for _, n in ipairs { 230, 240, 250, 254, 255, 256, 257, 1000, 1024, 5000, 65536, 100000 } do
      local piece = long:sub(1, n)
      same("<s4B", "......" .. string.pack("<s4B", piece, 7), 7)
      same("<zB", "......" .. string.pack("<zB", piece, 7), 7)
      same("<c" .. n .. "!4i4", "......" .. piece .. ("x"):rep(8), 7)
    end
    same("c100000", long)
    same(("B"):rep(200) .. "s4" .. "z", ("x"):rep(200) .. string.pack("s4z", long, "end"))
  end)

  it("costs what it reads and not what follows", function()
    local records = {}
    for k = 1, 20000 do records[k] = string.pack("<s4", ("x"):rep(k % 400)) end
    local b = Buffer(table.concat(records))
    collectgarbage()
    collectgarbage("stop")
    local before = collectgarbage("count")
    local next = 1
    for k = 1, 50 do
      local s
      s, next = b:unpack("<s4", next)
      assert.equal(k, #s)
    end
    local grown = 1024 * (collectgarbage("count") - before)
    collectgarbage("restart")
    assert.is_true(grown < #b, ("50 small records of %d bytes took %.0f bytes"):format(#b, grown))
  end)

  it("throws where the bytes do not suffice", function()
    local short = "bad argument #1 to 'unpack' (data string too short)"
    has(short, method_misuse(Buffer(3), "unpack", "I4"))
    has(short, method_misuse(Buffer(0), "unpack", "B"))
    has(short, method_misuse(Buffer(4), "unpack", "I4", 2))
    has(short, method_misuse(Buffer(100000), "unpack", "c100001"))
    has("unfinished string for format 'z'", method_misuse(Buffer(("x"):rep(100000)), "unpack", "z"))
    has("unfinished string for format 'z'", method_misuse(Buffer("x"), "unpack", "z", 2))
  end)

  it("throws for a position after the end", function()
    has("bad argument #2 to 'unpack' (out of range: ", method_misuse(Buffer("abc"), "unpack", "B", 5))
    has("bad argument #2 to 'unpack' (out of range: ", method_misuse(Buffer(0), "unpack", "", 2))
    has("out of range", method_misuse(Buffer("abc"), "unpack", "B", math.maxinteger))
    if math.maxinteger >> 31 > 0 then -- more than a size_t of 32 bits holds
      has("out of range", method_misuse(Buffer("abc"), "unpack", "B", (1 << 32) + 1))
    end
  end)

  it("throws for other values", function()
    local b = Buffer(("\255"):rep(1000))
    has("bad argument #1 to 'unpack' (string expected, got no value)", method_misuse(b, "unpack"))
    has("bad argument #1 to 'unpack' (string expected, got nil)", method_misuse(b, "unpack", nil, 1))
    has("bad argument #2 to 'unpack' (number expected, got string)", method_misuse(b, "unpack", "B", "x"))
    has("bad argument #2 to 'unpack' (number has no integer", method_misuse(b, "unpack", "B", 1.5))
    has("bad argument #1 to 'unpack' (format asks for alignment not power of 2)",
      method_misuse(b, "unpack", "!4 i3"))
    has("invalid format option '?'", method_misuse(b, "unpack", "?"))
    has("missing size for format option 'c'", method_misuse(b, "unpack", "c"))
    has("does not fit into Lua Integer", method_misuse(b, "unpack", "<I16"))
    has("multiprocessing.connection.Buffer expected, got string", misuse(b.unpack, "abc", "B"))
  end)

  it("does not swallow what a hook throws", function()
    local b = Buffer(1000) -- more than unpack copies at first
    local reason = {}
    for _, thrown in ipairs { reason, "interrupted!" } do
      local co = coroutine.create(function() return b:unpack("I4") end)
      debug.sethook(co, function()
        if debug.getinfo(2, "f").func == string.unpack then
          debug.sethook(co)
          error(thrown, 0)
        end
      end, "c")
      local ok, err = coroutine.resume(co)
      assert.is_false(ok)
      if thrown == reason then
        assert.equal(reason, err)
      else
        has("interrupted!", err)
      end
    end
  end)
end)

describe("A Buffer under a hard-working collector", function()
  local modes = {
    incremental = function() collectgarbage("incremental", 1, 1000, 1) end,
    generational = function() collectgarbage("generational", 1, 1) end
  }

  after_each(function() collectgarbage("incremental", 200, 100, 13) end)

  for name, start in pairs(modes) do
    it("keeps its bytes in " .. name .. " mode, whatever finalizers write", function()
      start()
      local shared = Buffer(600)
      local finalized = 0
      local function litter()
        return setmetatable({}, {
          __gc = function()
            finalized = finalized + 1
            shared:set(1 + finalized % 600, "y")
            shared:pack("B", 1 + finalized * 7 % 600, finalized % 256)
          end
        })
      end
      local kept = {}
      for k = 1, 400 do
        litter()
        local b = Buffer(("%d"):format(k)):set(1, Buffer(1):set(1, "+"))
        kept[k] = b
        assert.equal(501, shared:pack("s4c496", -600, "", ("z"):rep(496)))
        shared:unpack("<I4c596")
        assert.equal(600, #tostring(shared))
        assert.equal(299, #shared:sub(2, 300))
        if k % 10 == 0 then collectgarbage("step") end
      end
      assert.is_true(finalized > 0)
      for k, b in ipairs(kept) do
        assert.equal("+" .. ("%d"):format(k):sub(2), tostring(b))
      end
    end)
  end

  it("is collected", function()
    local weak = setmetatable({ Buffer(1000) }, { __mode = "v" })
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)
end)

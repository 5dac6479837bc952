-- pickle.dumps and pickle.loads: what each Lua value leaves as and each of Python's
-- arrives as, options, __reduce, errors and the places that they name.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local pickle = require "multiprocessing.pickle"

local Buffer = connection.Buffer
local DEPTH = helpers.slow and 20000 or 1000000

local function dump(value, protocol)
  return assert(pickle.dumps(value, {protocol = protocol}))
end

local function load(bytes, options)
  return assert(pickle.loads(bytes, options))
end

--- Goes out at that protocol and comes back; options of loads.
local function copy(value, protocol, options)
  return load(dump(value, protocol), options)
end

local function each_protocol(f)
  for protocol = 0, 5 do f(protocol) end
end

local function not_picklable(message, value, options)
  local bytes, err = pickle.dumps(value, options)
  assert.is_nil(bytes)
  assert.equal("PicklingError", err.name)
  assert.equal(message, err.message)
end

local function not_loadable(message, bytes, options)
  local value, err = pickle.loads(bytes, options)
  assert.is_nil(value)
  assert.equal("UnpicklingError", err.name)
  assert.matches(message, err.message, 1, true)
end

local function same_float(a, b)
  return math.type(b) == "float" and string.pack(">d", a) == string.pack(">d", b)
end

describe("pickle of a number", function()
  it("keeps integers at every edge", function()
    each_protocol(function(protocol)
      for bits = 0, 63 do
        for d = -2, 2 do
          for _, n in ipairs {(1 << bits) + d, -(1 << bits) + d} do
            local back = copy(n, protocol)
            assert(math.type(back) == "integer" and back == n, n)
          end
        end
      end
    end)
  end)

  it("keeps floats to the bit", function()
    each_protocol(function(protocol)
      for _, x in ipairs {
        0.0, -0.0, 1.0, -1.5, 0.1, 1 / 3, math.pi, math.huge, -math.huge,
        5e-324, -5e-324, 2.2250738585072014e-308, 2.225073858507201e-308,
        1.7976931348623157e308, 2.0 ^ 53, 2.0 ^ 63, -2.0 ^ 63, 1e22, 1e23, 1e100,
      } do
        assert(same_float(x, copy(x, protocol)), x)
      end
      local nan = copy(0 / 0, protocol)
      assert(math.type(nan) == "float" and nan ~= nan)
    end)
  end)

  it("keeps larger integers exactly, as pickle.int", function()
    each_protocol(function(protocol)
      for _, digits in ipairs {
        "9223372036854775808", "-9223372036854775809", "18446744073709551615",
        "18446744073709551616", "-18446744073709551616",
        "123456789012345678901234567890", "1" .. ("0"):rep(4000),
        "-" .. ("9"):rep(4000),
      } do
        local back = copy(pickle.int(digits), protocol)
        assert.equal("int", pickle.type(back))
        assert.equal(digits, tostring(back))
        assert(back == pickle.int(digits))
      end
    end)
  end)

  it("makes integers of what 64 bits hold", function()
    for _, digits in ipairs {"0", "-0", "1", "-1", "9223372036854775807",
                             "-9223372036854775808"} do
      local n = pickle.int(digits)
      assert(math.type(n) == "integer" and n == math.tointeger(digits), digits)
    end
    assert.equal(7, pickle.int(7))
    for _, bad in ipairs {"", "x", "1x", "0x10", "1.5", "--1", "1 2", "-", {}, 1.5,
                          false} do
      assert.error(function() pickle.int(bad) end)
    end
  end)

  it("compares larger integers", function()
    local a, b = pickle.int("9223372036854775808"), pickle.int("-9223372036854775809")
    assert(a == pickle.int("9223372036854775808") and a ~= b and b < a and a > b)
    assert(b <= a and a >= b and a <= a)
    assert(a > math.maxinteger and math.maxinteger < a and a >= 0 and 0 <= a)
    assert(b < math.mininteger and math.mininteger > b and 0 >= b)
    assert(a > 1.5 and 1.5 < a and b < -1.5)
    assert(a ~= 1)
  end)

  it("compares larger integers with large floats, inf and nan", function()
    local a = pickle.int("9223372036854775808")
    assert(a < math.huge and a > -math.huge)
    local nan = 0 / 0
    assert.same({false, false, false, false}, {a < nan, a > nan, nan < a, a <= nan})
    assert(a <= 2.0 ^ 63 and a < 2.0 ^ 64)
  end)
end)

describe("pickle of a string", function()
  it("keeps it, whatever is in it", function()
    each_protocol(function(protocol)
      for _, s in ipairs {
        "", "a", "\0", "a\0b", "\n", "\\", "\\u0041", "\r\n\x1a", "'\"",
        "\u{E9}", "\u{20AC}", "\u{1F600}", "\u{10FFFF}", "\u{FFFF}", "\u{FEFF}",
        "\x80", "\xff\xfe", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        ("x"):rep(63), ("x"):rep(64), ("x"):rep(255), ("x"):rep(256),
        ("\xff"):rep(255), ("\xff"):rep(256), ("\u{20AC}"):rep(100),
        ("x"):rep(70000), ("\xff"):rep(70000),
      } do
        assert(copy(s, protocol) == s, ("%q at %d"):format(s:sub(1, 20), protocol))
      end
    end)
  end)

  it("is str where it is UTF-8, else bytes; wrapped, what it says", function()
    each_protocol(function(protocol)
      local function kind(value)
        return pickle.type(copy(value, protocol, {bytes = "wrap"})) or "str"
      end
      assert.equal("str", kind("text"))
      assert.equal("str", kind(""))
      assert.equal("bytes", kind("\xff"))
      assert.equal("bytes", kind(pickle.bytes "text"))
      assert.equal("bytes", kind(pickle.bytes ""))
      assert.equal("str", kind(pickle.str "text"))
    end)
  end)

  it("keeps lone surrogates in a pickle.str", function()
    each_protocol(function(protocol)
      for _, s in ipairs {"\xed\xa0\x80", "a\xed\xbf\xbfb", "\xed\xb0\x80\xed\xa0\x80"} do
        local back = copy(pickle.str(s), protocol)
        assert.equal("str", pickle.type(back))
        assert.equal(pickle.str(s), back)
      end
    end)
    assert.error(function() pickle.str("\xff") end)
    assert.error(function() pickle.str(nil) end)
    assert.error(function() pickle.bytes({}) end)
  end)

  it("keeps two surrogates apart, as Python's str has them", function()
    local back = copy(load("V\\ud83d\\ude00\n."))
    assert.equal(pickle.str("\xed\xa0\xbd\xed\xb8\x80"), back)
  end)

  it("keeps a Buffer as one", function()
    each_protocol(function(protocol)
      for _, s in ipairs {"", "text", "\0\xff", ("x"):rep(70000)} do
        local back = copy(Buffer(s), protocol)
        assert(back == Buffer(s))
      end
    end)
  end)
end)

describe("pickle of nothing and of truth", function()
  it("keeps them", function()
    each_protocol(function(protocol)
      assert.equal(pickle.None, copy(nil, protocol))
      assert.equal(pickle.None, copy(pickle.None, protocol))
      assert.is_true(copy(true, protocol))
      assert.is_true(copy({false}, protocol)[1] == false)
    end)
  end)

  it("is no failure where the value is false", function()
    local value, err = pickle.loads(dump(false))
    assert.is_false(value)
    assert.is_nil(err)
  end)
end)

describe("pickle of a table", function()
  --- "list" or "dict": what it leaves as.
  local function kind(t, protocol)
    return getmetatable(copy(t, protocol)) == nil and "list" or "dict"
  end

  local function assert_list(t)
    each_protocol(function(protocol)
      local back = copy(t, protocol)
      assert.is_nil(getmetatable(back))
      assert.same(t, back)
    end)
  end

  local function assert_dict(t)
    each_protocol(function(protocol)
      local back = copy(t, protocol)
      assert.equal("dict", pickle.type(back))
      local n = 0
      for key, value in next, t do
        n = n + 1
        assert.equal(value, back[key])
      end
      for _ in next, back do n = n - 1 end
      assert.equal(0, n)
    end)
  end

  it("is a list where the keys are 1 to n", function()
    assert_list {}
    assert_list {1}
    assert_list {false}
    assert_list {1, 2, 3}
    assert_list {n = nil, 1}
    assert_list {1, 2, 3, nil, nil}
  end)

  it("is a list of any length, however it was built", function()
    for _, n in ipairs {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33,
                        63, 64, 65, 100, 127, 128, 129, 1000, 1024, 1025} do
      local ascending, descending, odd_first, moved = {}, {}, {}, {}
      for i = 1, n do ascending[i] = i end
      for i = n, 1, -1 do descending[i] = i end
      for i = 1, n, 2 do odd_first[i] = i end
      for i = 2, n, 2 do odd_first[i] = i end
      for i = 1, n + 5 do moved[i] = i end
      for i = n + 1, n + 5 do moved[i] = nil end
      local floats = {}
      for i = 1, n do floats[i + 0.0] = i end
      local packed = {table.unpack(ascending)}
      for _, t in ipairs {ascending, descending, odd_first, moved, floats, packed} do
        assert.equal("list", kind(t), n)
        assert.same(ascending, copy(t))
      end
    end
  end)

  it("is a dict with any other key, however it was built", function()
    for _, n in ipairs {1, 2, 3, 4, 5, 8, 16, 23, 24, 25, 32, 33, 64, 100, 1024} do
      for _, key in ipairs {"x", 0, -1, n + 2, n + 100, 0.5, true, math.mininteger,
                            math.maxinteger, print} do
        local before, after, descending, removed = {[key] = true}, {}, {}, {}
        for i = 1, n do before[i], after[i] = i, i end
        after[key] = true
        descending[key] = true
        for i = n, 1, -1 do descending[i] = i end
        for i = 1, n + 1 do removed[i] = i end
        removed[n + 1] = nil
        removed[key] = true
        if key == print then
          for _, t in ipairs {before, after, descending, removed} do
            assert.equal("PicklingError", select(2, pickle.dumps(t)).name)
          end
        else
          for _, t in ipairs {before, after, descending, removed} do
            assert.equal("dict", kind(t), ("%d, %s"):format(n, key))
          end
        end
      end
    end
  end)

  it("is a dict where it has a hole", function()
    for _, n in ipairs {2, 3, 4, 8, 24, 25, 32, 33, 64, 100} do
      for _, hole in ipairs {1, 2, n // 2, n - 1} do
        if hole < 1 or hole >= n then goto continue end
        local punched, built = {}, {}
        for i = 1, n do punched[i] = i end
        punched[hole] = nil
        for i = n, 1, -1 do if i ~= hole then built[i] = i end end
        assert.equal("dict", kind(punched), ("%d without %d"):format(n, hole))
        assert.equal("dict", kind(built), ("%d without %d"):format(n, hole))
        ::continue::
      end
    end
    assert_dict {nil, 2}
    assert_dict {1, nil, 3}
    assert_dict {[2] = 1}
  end)

  it("is what its keys say after some were removed", function()
    local t = {a = 1}
    t.a = nil
    assert.equal("list", kind(t))
    t = {1, 2, 3, a = 1}
    t.a = nil
    assert_list(t)
    t = {1, 2, 3}
    t[2], t[3] = nil, nil
    assert_list(t)
    t[1] = nil
    assert_list(t)
    for i = 1, 100 do t[i] = i end
    for i = 1, 100 do t[i] = nil end
    assert_list(t)
    t.x = 1
    assert_dict(t)
  end)

  it("keeps every kind of key", function()
    assert_dict {a = 1, [""] = 2, [0] = 3, [-1] = 4, [0.5] = 5, [true] = 6,
                 [false] = 7, [math.huge] = 8, [math.mininteger] = 9,
                 ["\xff"] = 10, [pickle.None] = 11}
  end)

  it("keeps tagged ones as what they are, empty ones too", function()
    each_protocol(function(protocol)
      for _, t in ipairs {
        pickle.tuple {}, pickle.tuple {1}, pickle.tuple {1, 2}, pickle.tuple {1, 2, 3},
        pickle.tuple {1, 2, 3, 4}, pickle.set {}, pickle.set {1, "a", true},
        pickle.frozenset {}, pickle.frozenset {1}, pickle.dict {},
        pickle.dict {1, 2}, pickle.dict {a = 1},
      } do
        local back = copy(t, protocol)
        assert.equal(getmetatable(t), getmetatable(back))
        for key, value in next, t do assert.equal(value, rawget(back, key)) end
        for key in next, back do assert(rawget(t, key) ~= nil) end
      end
    end)
  end)

  it("reads raw", function()
    local t = setmetatable({1, 2}, {
      __index = error, __len = error, __pairs = error, __newindex = error})
    assert.same({1, 2}, copy(t))
  end)

  it("keeps None in tuples and lists", function()
    local back = copy {pickle.None, pickle.tuple {pickle.None, 1}}
    assert.equal(pickle.None, back[1])
    assert.equal(pickle.None, back[2][1])
  end)

  it("keeps globals by name, one of each", function()
    each_protocol(function(protocol)
      local global = pickle.global("builtins", "float")
      assert.equal(global, copy(global, protocol))
      global = pickle.global("some.module", "Outer.Inner")
      assert.equal(global, copy(global, protocol))
    end)
    assert.equal(pickle.global("builtins", "range"), load("c__builtin__\nxrange\n."))
    assert.matches("c__builtin__\nxrange\n", dump(pickle.global("builtins", "range"), 2),
                   1, true)
  end)

  it("keeps every part of an object", function()
    each_protocol(function(protocol)
      for _, how in ipairs {"call", "new", "new_ex", "inst"} do
        -- keyword arguments need 4; below 2 copyreg.__newobj__ is called
        if protocol < (how == "new_ex" and 4 or how == "new" and 2 or 0) then
          goto continue
        end
        local object = pickle.object {
          class = pickle.global("m", "C"), args = {1, "two"},
          how = how ~= "call" and how or nil,
          kwargs = how == "new_ex" and {k = 1} or nil,
          state = pickle.dict {x = pickle.bytes "b"}, items = {1, 2, 3},
          pairs = {{"a", 1}, {"b", 2}},
        }
        local back = copy(object, protocol)
        assert.equal("object", pickle.type(back))
        assert.equal(object.class, back.class)
        assert.equal("two", back.args[2])
        assert.equal(2, #back.args)
        assert.equal(pickle.bytes "b", back.state.x)
        assert.same({1, 2, 3}, back.items)
        assert.same({{"a", 1}, {"b", 2}}, back.pairs)
        assert.equal(object.how, back.how)
        if how == "new_ex" then assert.equal(1, back.kwargs.k) end
        assert.equal(dump(back, protocol), dump(copy(back, protocol), protocol))
        ::continue::
      end
    end)
  end)

  it("keeps a state of None, and false apart from none", function()
    local C = pickle.global("m", "C")
    assert.equal(pickle.None,
                 rawget(copy(pickle.object {class = C, state = pickle.None}), "state"))
    assert.equal(false, rawget(copy(pickle.object {class = C, state = false}), "state"))
    assert.equal(nil, rawget(copy(pickle.object {class = C}), "state"))
  end)
end)

describe("pickle of what is shared", function()
  it("shares it on the other side", function()
    each_protocol(function(protocol)
      local C = pickle.global("m", "C")
      for _, shared in ipairs {
        {1}, {}, {a = 1}, pickle.tuple {1}, pickle.set {1}, pickle.frozenset {1},
        pickle.dict {}, pickle.object {class = C}, Buffer "x",
      } do
        local back = copy({shared, {shared}, {k = shared}, {1}}, protocol)
        assert(rawequal(back[1], back[2][1]) and rawequal(back[1], back[3].k))
        assert(not rawequal(back[1], back[4]))
      end
    end)
  end)

  it("writes a long string once", function()
    local s = ("x"):rep(1000)
    assert(#dump {s, s, {s}, {[s] = s}} < 1500)
  end)

  it("has a short string wherever it occurs, however many there are", function()
    for _, n in ipairs {1, 20, 300, 10000} do
      local shared, list, dict = {}, {}, {}
      for i = 1, n do
        list[i], list[n + i], dict["key " .. i] = "key " .. i, "key " .. i, i
      end
      local back = copy({list, dict, shared, {list[n], shared}})
      assert.equal(2 * n, #back[1])
      for i = 1, n do
        local key = "key " .. i
        assert(back[1][i] == key and back[1][n + i] == key and back[2][key] == i)
      end
      assert.equal("key " .. n, back[4][1])
      assert(rawequal(back[3], back[4][2]) and #shared == 0)
    end
  end)

  it("has each of two values that had one index in the memo", function()
    local read = "(X\1\0\0\0aq\0h\0X\1\0\0\0bq\0h\0h\0l."
    assert.same({"a", "a", "b", "b", "b"}, load(read))
    read = "(X\1\0\0\0aq\0h\0]q\0h\0l."
    assert.same({"a", "a", {}, {}}, load(read))
  end)

  it("keeps cycles", function()
    each_protocol(function(protocol)
      local list = {}
      list[1] = list
      local back = copy(list, protocol)
      assert(rawequal(back, back[1]))

      local dict = {}
      dict.me = dict
      back = copy(dict, protocol)
      assert(rawequal(back, back.me))

      local inner = {}
      local tuple = pickle.tuple {inner}
      inner[1] = tuple
      back = copy(tuple, protocol)
      assert.equal("tuple", pickle.type(back))
      assert(rawequal(back, back[1][1]))
      back = copy(inner, protocol)
      assert(rawequal(back, back[1][1]))

      local members = {}
      local wide = pickle.tuple {1, 2, 3, members, 5}
      members[1], members[2] = wide, wide
      back = copy(wide, protocol)
      assert(rawequal(back, back[4][1]) and rawequal(back, back[4][2]))

      local object = pickle.object {class = pickle.global("m", "C")}
      object.state = {object}
      object.items = {object}
      object.pairs = {{"k", object}}
      back = copy(object, protocol)
      assert(rawequal(back, back.state[1]) and rawequal(back, back.items[1]))
      assert(rawequal(back, back.pairs[1][2]))

      local args = {}
      object = pickle.object {class = pickle.global("m", "C"), args = {args}}
      args[1] = object
      back = copy(args, protocol)
      assert(rawequal(back, back[1].args[1]))
    end)
  end)

  it("refuses what cannot be made", function()
    local tuple = pickle.tuple {}
    tuple[1] = tuple
    local frozen = pickle.frozenset {}
    frozen[frozen] = true
    local object = pickle.object {class = pickle.global("m", "C")}
    object.args = pickle.tuple {object}
    each_protocol(function(protocol)
      for _, value in ipairs {tuple, frozen, object} do
        local bytes, err = pickle.dumps(value, {protocol = protocol})
        assert.is_nil(bytes)
        assert.equal("PicklingError", err.name)
      end
    end)
  end)
end)

describe("A type with __reduce", function()
  local C = pickle.global("m", "C")

  local function reducing(...)
    local results = table.pack(...)
    return setmetatable({}, {__reduce = function()
      return table.unpack(results, 1, results.n)
    end})
  end

  it("leaves as the one value that it returns", function()
    each_protocol(function(protocol)
      for _, value in ipairs {1, "s", true, false, 0.5, pickle.None} do
        assert.equal(value, copy({reducing(value)}, protocol)[1])
      end
      assert.same({1, {2}}, copy(reducing {1, {2}}, protocol))
      assert.equal(pickle.None, copy(reducing(nil), protocol))
      assert.equal(pickle.None, copy(reducing(), protocol))
      assert.same({1}, copy(reducing(reducing(reducing {1})), protocol))
    end)
  end)

  it("leaves as an instance: class, arguments, state, items, pairs", function()
    each_protocol(function(protocol)
      local back = copy(reducing(C, pickle.tuple {1}), protocol)
      assert.equal(C, back.class)
      assert.equal(1, back.args[1])
      back = copy(reducing(C, pickle.tuple {}, {x = 1}, {1, 2}, {{"a", 3}}), protocol)
      assert.equal(1, back.state.x)
      assert.same({1, 2}, back.items)
      assert.same({{"a", 3}}, back.pairs)
      back = copy(reducing(C, pickle.tuple {}, nil, {1}), protocol)
      assert.equal(nil, rawget(back, "state"))
      assert.same({1}, back.items)
    end)
  end)

  it("is asked once, with itself, and stays shared", function()
    local calls = 0
    local value
    value = setmetatable({}, {__reduce = function(...)
      calls = calls + 1
      assert(select("#", ...) == 1 and rawequal(..., value))
      return {1}
    end})
    local back = copy {value, value, {value}}
    assert.equal(1, calls)
    assert(rawequal(back[1], back[2]) and rawequal(back[1], back[3][1]))
  end)

  it("may lead back to itself", function()
    each_protocol(function(protocol)
      local value = setmetatable({}, {__reduce = function(self) return {self} end})
      local back = copy(value, protocol)
      assert(rawequal(back, back[1]))
      value = setmetatable({}, {__reduce = function(self)
        return C, pickle.tuple {}, {me = self}
      end})
      back = copy(value, protocol)
      assert(rawequal(back, back.state.me))
    end)
  end)

  it("may be a userdata", function()
    local metatable = getmetatable(io.stdout)
    metatable.__reduce = function() return "a file" end
    local back = copy {io.stdout, io.stdout}
    metatable.__reduce = nil
    assert.same({"a file", "a file"}, back)
  end)

  it("may not return itself, nor go round for ever", function()
    local value = setmetatable({}, {__reduce = function(self) return self end})
    not_picklable("__reduce returned the value itself (at [1].x)", {{x = value}})
  end)

  it("may not go round for ever", function()
    -- in a child, which can be ended
    local child <close> = helpers.lua([[
      local pickle = require "multiprocessing.pickle"
      local a, b = {}, {}
      setmetatable(a, {__reduce = function() return b end})
      setmetatable(b, {__reduce = function() return a end})
      print(select(2, pickle.dumps(a)).name)]], {limit = 5})
    assert.equal("PicklingError", child:line())
  end)

  it("passes its errors on", function()
    local problem = {}
    local value = setmetatable({}, {__reduce = function() error(problem) end})
    local ok, err = pcall(pickle.dumps, {value})
    assert.is_false(ok)
    assert.equal(problem, err)
    assert.same({1}, copy {1})
  end)

  it("is refused where its arguments are no tuple", function()
    for _, args in ipairs {{}, 1, "s", true, pickle.set {}} do
      local bytes, err = pickle.dumps(reducing(C, args))
      assert.is_nil(bytes)
      assert.equal("PicklingError", err.name)
    end
    for _, extra in ipairs {1, "s", true} do
      local bytes, err = pickle.dumps(reducing(C, pickle.tuple {}, nil, extra))
      assert.is_nil(bytes)
      assert.equal("PicklingError", err.name)
    end
  end)

  it("may dump other values meanwhile", function()
    local value = setmetatable({}, {__reduce = function()
      return {dump {1, 2, {3}}, dump({("x"):rep(100)}, 0)}
    end})
    local back = copy {value, "after", {value}}
    assert.same({1, 2, {3}}, load(back[1][1]))
    assert.same({("x"):rep(100)}, load(back[1][2]))
    assert.equal("after", back[2])
  end)

  it("may change what is being dumped", function()
    local t = {}
    local value = setmetatable({}, {__reduce = function()
      for i = 1, 100 do t["new" .. i] = i end
      for i = 1, 20 do t[i] = nil end
      return 0
    end})
    for i = 1, 20 do t[i] = {value} end
    pcall(pickle.dumps, t)
    t = {x = value, y = 1, z = {}}
    pcall(pickle.dumps, t)
    assert.same({1}, copy {1})
  end)

  it("cannot yield, and says so", function()
    local value = setmetatable({}, {__reduce = coroutine.yield})
    local co = coroutine.create(function() return pickle.dumps(value) end)
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("yield", err)
  end)
end)

describe("dumps", function()
  it("names what it cannot pickle, and its place", function()
    not_picklable("cannot pickle a function", print)
    not_picklable("cannot pickle a thread", coroutine.create(print))
    not_picklable("cannot pickle a function (at [3].callback)",
                  {1, 2, {callback = print}})
    not_picklable("cannot pickle a function (at [1][1][2])", {{{1, print}}})
    not_picklable("cannot pickle a function (at .a.b)", {a = {b = print}})
    not_picklable("cannot pickle a function (at [\"not a name\"])",
                  {["not a name"] = print})
    not_picklable("cannot pickle a function (at [-1])", {[-1] = print})
    not_picklable("cannot pickle a function (at .x{key})", {x = {[print] = 1}})
    not_picklable("cannot pickle a function (at .x[2])",
                  {x = pickle.tuple {1, print}})
    not_picklable("cannot pickle a function (at {element})", pickle.set {print})
    local C = pickle.global("m", "C")
    not_picklable("cannot pickle a function (at .args[2])",
                  pickle.object {class = C, args = {1, print}})
    not_picklable("cannot pickle a function (at .state.x)",
                  pickle.object {class = C, state = {x = print}})
    not_picklable("cannot pickle a function (at .items[1])",
                  pickle.object {class = C, items = {print}})
    not_picklable("cannot pickle a FILE* (at [1])", {io.stdout})
  end)

  it("names the place of a value behind a pair", function()
    local C = pickle.global("m", "C")
    local _, err = pickle.dumps(pickle.object {class = C, pairs = {{"k", print}}})
    assert.matches("(at .pairs[1]", err.message, 1, true)
  end)

  it("shortens the place of what is deep", function()
    local value = print
    for _ = 1, 5000 do value = {value} end
    local _, err = pickle.dumps(value)
    assert(#err.message < 300)
    assert.matches("^cannot pickle a function %(at %[1%]%[1%].*…", err.message)
  end)

  it("shows what it can of keys with zeros and long ones", function()
    local _, err = pickle.dumps {["a\0b"] = print}
    assert.matches("a", err.message, 1, true)
    _, err = pickle.dumps {[("k"):rep(100000)] = print}
    assert(#err.message < 1000, #err.message)
  end)

  it("throws where it is misused", function()
    assert.error(function() pickle.dumps() end)
    for _, protocol in ipairs {-1, 6, 1.5, "4", "x", {}, true} do
      assert(not pcall(pickle.dumps, 1, {protocol = protocol}), protocol)
    end
    assert.error(function() pickle.dumps(1, 4) end)
    assert.error(function() pickle.dumps(1, {unknown = 1}) end)
  end)

  it("writes protocol 4 unless told otherwise", function()
    assert.equal(dump({1}, 4), dump {1})
    assert.equal("\x80\4", dump(nil):sub(1, 2))
    for protocol = 2, 5 do
      assert.equal("\x80" .. string.char(protocol), dump(nil, protocol):sub(1, 2))
    end
    assert.equal("N.", dump(nil, 0))
  end)

  it("refuses tables that are tagged and are not what they say", function()
    local types = require "multiprocessing.core".pickle.types
    for name, t in pairs {
      bytes = {}, str = {1}, global = {}, object = {},
    } do
      local bytes, err = pickle.dumps(setmetatable(t, types[name]))
      assert.is_nil(bytes)
      assert.equal("PicklingError", err.name)
    end
    for _, t in ipairs {
      {class = 1}, {class = pickle.global("a", "b"), args = 1},
      {class = pickle.global("a", "b"), args = {}},
      {class = pickle.global("a", "b"), args = pickle.tuple {}, items = 1},
      {class = pickle.global("a", "b"), args = pickle.tuple {}, pairs = {1}},
    } do
      pickle.dumps(setmetatable(t, types.object))
    end
    pickle.dumps(setmetatable({module = {}, name = 1}, types.global))
  end)
end)

describe("loads", function()
  it("throws where it is misused", function()
    assert.error(function() pickle.loads() end)
    assert.error(function() pickle.loads({}) end)
    assert.error(function() pickle.loads("N.", 1) end)
    local taken = {}
    for name, values in pairs {
      bytes = {"x", 1, {}, true}, max_depth = {-1, 1.5, "x", {}},
      max_memory = {-1, 1.5, {}}, max_int_digits = {-1, {}, 0.5},
      unknown = {1}, constructors = {1, "x", true, print},
      persistent_load = {1, "x", {}},
    } do
      for _, value in ipairs(values) do
        if pcall(pickle.loads, "N.", {[name] = value}) then
          taken[#taken + 1] = ("%s = %s"):format(name, value)
        end
      end
    end
    assert.same({}, taken)
  end)

  it("says at which byte it stopped", function()
    not_loadable("the pickle is truncated at byte 1", "N")
    not_loadable("at byte 2", "NN\xff.")
    not_loadable("at byte 0", "")
  end)

  it("arrives at the types of the mapping", function()
    each_protocol(function(protocol)
      local value = copy({
        t = pickle.tuple {1}, s = pickle.set {1}, f = pickle.frozenset {1},
        d = {x = 1}, l = {1}, n = pickle.None, g = pickle.global("a", "b"),
      }, protocol)
      for key, kind in pairs {t = "tuple", s = "set", f = "frozenset", d = "dict",
                              n = "None", g = "global"} do
        assert.equal(kind, pickle.type(value[key]))
      end
      assert.is_nil(pickle.type(value.l))
      assert.is_true(value.s[1])
    end)
  end)

  it("wraps bytes in an instance's parts whatever is asked", function()
    local object = pickle.object {
      class = pickle.global("m", "C"), args = {pickle.bytes "a"},
      state = {pickle.bytes "b"}, items = {pickle.bytes "c"},
    }
    local back = copy {object, pickle.bytes "d"}
    assert.equal(pickle.bytes "a", back[1].args[1])
    assert.equal(pickle.bytes "b", back[1].state[1])
    assert.equal(pickle.bytes "c", back[1].items[1])
    assert.equal("d", back[2])
    back = copy({object, pickle.bytes "d"}, 4, {bytes = "wrap"})
    assert.equal(pickle.bytes "d", back[2])
    assert.equal("d", copy(pickle.bytes "d", 4, {bytes = "string"}))
  end)

  it("gives what is in an instance as bytes, shared with the outside too", function()
    local shared = pickle.bytes(("s"):rep(100))
    local object = pickle.object {class = pickle.global("m", "C"), args = {shared}}
    each_protocol(function(protocol)
      local back = copy({shared, object}, protocol)
      assert.equal(("s"):rep(100), back[1])
      assert.equal(shared, back[2].args[1])
      back = copy({object, shared}, protocol)
      assert.equal(("s"):rep(100), back[2])
      assert.equal(shared, back[1].args[1])
    end)
  end)
end)

describe("constructors", function()
  local bytes = "cdecimal\nDecimal\n(S'1.5'\nI2\ntR."

  it("make what they return of an instance", function()
    local options = {constructors = {["decimal.Decimal"] = function(...)
      return {...}
    end}}
    assert.same({"1.5", 2}, load(bytes, options))
    assert.equal("object", pickle.type(load(bytes)))
    assert.equal("object", pickle.type(load("ca\nb\n)R.", options)))
  end)

  it("serve every way of construction", function()
    local options = {constructors = {["a.b"] = function(...) return {...} end}}
    for _, pickled in ipairs {"ca\nb\n(K\1tR.", "ca\nb\n(K\1t\x81.", "(K\1ia\nb\n.",
                              "(ca\nb\nK\1o.", "\x80\4\x8c\1a\x8c\1b\x93K\1\x85R."} do
      assert.same({1}, load(pickled, options))
    end
  end)

  it("may return false, and not nil", function()
    local function with(f) return {constructors = {["a.b"] = f}} end
    assert.equal(false, (pickle.loads("ca\nb\n)R.", with(function() return false end))))
    not_loadable("nil", "ca\nb\n)R.", with(function() end))
  end)

  it("share what they make", function()
    local calls = 0
    local back = load("ca\nb\n)Rq\0h\0\x86.", {constructors = {["a.b"] = function()
      calls = calls + 1
      return {}
    end}})
    assert.equal(1, calls)
    assert(rawequal(back[1], back[2]))
  end)

  it("hand state and items to metamethods", function()
    local got = {}
    local metatable = {
      __setstate = function(self, state) got.state, got.self = state, self end,
      __extend = function(_, items) got.items = items end,
      __setitems = function(_, pairs) got.pairs = pairs end,
    }
    local made = setmetatable({}, metatable)
    local options = {constructors = {["a.b"] = function() return made end}}
    assert.equal(made, load("ca\nb\n)R(K\1K\2e(K\3K\4u}K\5K\6sb.", options))
    assert.same({1, 2}, got.items)
    assert.same({{3, 4}}, got.pairs)
    assert.equal(6, got.state[5])
    assert.equal(made, got.self)
    options.constructors["a.b"] = function() return {} end
    for _, part in ipairs {"}b", "K\1a", "K\1K\1s"} do
      not_loadable("takes no", "ca\nb\n)R" .. part .. ".", options)
    end
  end)

  it("get None as pickle.None, and nothing as no argument", function()
    local n
    local options = {constructors = {["a.b"] = function(...)
      n = select("#", ...)
      return ... or true
    end}}
    assert.equal(pickle.None, load("ca\nb\n(NtR.", options))
    assert.equal(1, n)
    load("ca\nb\n)R.", options)
    assert.equal(0, n)
  end)

  it("pass their errors on", function()
    local problem = {}
    local options = {constructors = {["a.b"] = function() error(problem) end}}
    for _ = 1, 3 do
      local ok, err = pcall(pickle.loads, "(K\1ca\nb\n)Rt.", options)
      assert.is_false(ok)
      assert.equal(problem, err)
      assert.equal(1, load("K\1."))
    end
  end)

  it("may load and dump meanwhile, at any depth", function()
    local options = {}
    options.constructors = {["a.b"] = function(n)
      if n == 0 then return {} end
      local inner = load(("ca\nb\n(I%d\ntR."):format(n - 1), options)
      assert.same({1, {2}}, copy {1, {2}})
      return {inner}
    end}
    local back = load("(K\7ca\nb\n(K\x14tRK\x08t.", options)
    assert.equal(7, back[1])
    assert.equal(8, back[3])
    local depth, value = 0, back[2]
    while value[1] do depth, value = depth + 1, value[1] end
    assert.equal(20, depth)
  end)

  it("may collect garbage meanwhile", function()
    local options = {constructors = {["a.b"] = function(x)
      collectgarbage()
      return {x}
    end}}
    local parts = {}
    for i = 1, 50 do parts[i] = ("ca\nb\n(Vtext number %d\ntR"):format(i) end
    local back = load("(" .. table.concat(parts) .. "l.", options)
    for i = 1, 50 do assert.equal("text number " .. i, back[i][1]) end
  end)

  it("may run in a coroutine", function()
    local co = coroutine.wrap(function()
      return load("ca\nb\n)R.", {constructors = {["a.b"] = function() return 5 end}})
    end)
    assert.equal(5, co())
  end)

  it("see nothing half-made of a cycle that they are in", function()
    local value, err = pickle.loads("]q\0ca\nb\n(h\0tRa.", {constructors = {
      ["a.b"] = function(list) return {list} end}})
    assert(value == nil and err.name == "UnpicklingError"
           or rawequal(value, value[1][1]))
  end)
end)

describe("pickle at depth", function()
  it("has no limit of the C stack: lists, tuples, dicts", function()
    for name, wrap in pairs {
      list = function(x) return {x} end,
      tuple = function(x) return pickle.tuple {x} end,
      dict = function(x) return {x = x} end,
    } do
      local value = {}
      for _ = 1, DEPTH do value = wrap(value) end
      local bytes = dump(value)
      local back = load(bytes)
      local depth, key = 0, name == "dict" and "x" or 1
      while back[key] do depth, back = depth + 1, back[key] end
      assert.equal(DEPTH, depth)
      value, back = nil, nil -- luacheck: ignore
      collectgarbage()
    end
  end)

  it("has none for objects and mixtures, at every protocol", function()
    local n = DEPTH // 100
    each_protocol(function(protocol)
      local C = pickle.global("m", "C")
      local value = {}
      for i = 1, n do
        if i % 4 == 0 then
          value = pickle.object {class = C, args = {value}}
        elseif i % 4 == 1 then
          value = pickle.object {class = C, state = value}
        elseif i % 4 == 2 then
          value = pickle.frozenset {value}
        else
          value = {x = value}
        end
      end
      load(dump(value, protocol))
    end)
  end)

  -- where the frames of dumps move, and the places behind them
  local function each_edge(f)
    for _, edge in ipairs {1, 16, 32, 1000, 1016} do
      for depth = math.max(0, edge - 2), edge + 2 do f(depth) end
    end
  end

  -- A table key is one that has a frame itself.
  local function wrapped(value, depth)
    for i = 1, depth do
      value = {a = i, flat = {i, "b"}, [pickle.tuple {i}] = i / 2, inner = value}
    end
    return value
  end

  it("keeps what is beside and behind the deeper value", function()
    for _, protocol in ipairs {0, 1, 4} do
      each_edge(function(depth)
        local back = copy(wrapped({x = {y = {}}}, depth), protocol)
        for i = depth, 1, -1 do
          local tuple
          for key, value in pairs(back) do
            if type(key) == "table" then tuple = {key[1], value} end
          end
          assert.same({i, i / 2}, tuple)
          assert.same({i, i, "b"}, {back.a, table.unpack(back.flat)})
          back = back.inner
        end
        assert.same({x = {y = {}}}, back)
      end)
    end
  end)

  it("names the place wherever the frames are", function()
    each_edge(function(depth)
      for place, value in pairs {
        [".x"] = {x = print}, [".x[2]"] = {x = {1, print}}, ["[1].x"] = {{x = print}},
        [".x{key}"] = {x = {[print] = 1}},
      } do
        local _, err = pickle.dumps(wrapped(value, depth))
        local path = (".inner"):rep(depth) .. place
        if not err.message:find("…", 1, true) then
          assert.equal(("cannot pickle a function (at %s)"):format(path), err.message)
        else
          local first, last = err.message:match "%(at (.*)…(.*)%)$"
          assert.equal(path:sub(1, #first), first)
          assert.equal(path:sub(-#last), last)
        end
      end
    end)
  end)

  it("stops at max_depth", function()
    local value = {}
    for _ = 1, 9 do value = {value} end
    local bytes = dump(value)
    assert(load(bytes, {max_depth = 10}))
    not_loadable("deep", bytes, {max_depth = 9})
    assert.equal(1, load("K\1.", {max_depth = 0}))
  end)
end)

describe("A finalizer in the middle", function()
  it("may load and dump", function()
    local mode = collectgarbage("generational")
    local runs = 0
    local function litter()
      setmetatable({}, {__gc = function()
        runs = runs + 1
        assert(copy({1, {x = 2}}, runs % 6)[2].x == 2)
        if runs < 500 then litter() end
      end})
    end
    litter()
    local value = {}
    for i = 1, 200 do value[i] = {name = "item " .. i, list = {i, i + 0.5}} end
    for _ = 1, helpers.slow and 5 or 50 do
      local back = copy(value)
      assert.equal("item 200", back[200].name)
      assert.equal(1.5, back[1].list[2])
    end
    collectgarbage()
    collectgarbage(mode)
    assert(runs > 0)
  end)

  it("may fail there, and no one minds", function()
    local warned = pcall(warn, "@off")
    assert(warned)
    for _ = 1, 100 do
      setmetatable({}, {__gc = function()
        pickle.dumps({{print}})
        pickle.loads("((((")
        local bad = setmetatable({}, {__reduce = error})
        pickle.dumps({bad})
      end})
    end
    for _ = 1, 100 do
      assert.same({1, {2}, {3}}, copy {1, {2}, {3}})
      collectgarbage("step")
    end
  end)
end)

describe("The memory of pickle", function()
  it("goes back", function()
    local function work()
      local value = {}
      for i = 1, 1000 do value[i] = {i, ("x"):rep(i)} end
      copy(value)
      pickle.dumps {value, print}
      pcall(pickle.dumps, {value, setmetatable({}, {__reduce = error})})
      pickle.loads(dump(value):sub(1, -2))
    end
    local function used()
      for _ = 1, 3 do collectgarbage() end
      return collectgarbage("count")
    end
    for _ = 1, 5 do work() end
    local before = used()
    for _ = 1, helpers.slow and 5 or 50 do work() end
    assert(used() - before < 100)
  end)

  it("of one large value is not kept", function()
    local function resident()
      for _ = 1, 3 do collectgarbage() end
      local statm = assert(io.open("/proc/self/statm"))
      local pages = statm:read("n", "n") and statm:seek("set") and
                    select(2, statm:read("n", "n"))
      statm:close()
      return pages * 4096
    end
    if helpers.sanitized or helpers.slow then return end
    copy {("x"):rep(1000)}
    local before = resident()
    copy {("x"):rep(64 << 20), ("y"):rep(64 << 20)}
    assert(resident() - before < 32 << 20)
  end)
end)

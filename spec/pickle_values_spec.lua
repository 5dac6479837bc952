-- The values of multiprocessing.pickle in Lua alone: making, printing, comparing,
-- and what instances show. What comes from real Pythons is in
-- pickle_python_views_spec.lua.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local pickle = require "multiprocessing.pickle"

local None, bytes, tuple = pickle.None, pickle.bytes, pickle.tuple

local function throws(problem, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(problem, 1, true), err)
  return err
end

--- An object as Python's pickle has it: `class` is "module.Name".
local function object(class, args, more)
  local module, name = class:match("^(.*)%.([^.]+)$")
  local t = more or {}
  t.class, t.args = pickle.global(module, name), tuple(args)
  return pickle.object(t)
end

local function timedelta(...)
  return object("datetime.timedelta", {...})
end

local function timezone(...)
  return object("datetime.timezone", {timedelta(...)})
end

local utc = timezone(0, 0, 0)

describe("pickle.type", function()
  it("names what stands for a Python type", function()
    local samples = {
      None = None, tuple = tuple {}, set = pickle.set {}, dict = pickle.dict {},
      frozenset = pickle.frozenset {}, bytes = bytes "", str = pickle.str "",
      global = pickle.global("m", "n"), object = object("m.C", {}),
      int = pickle.int("18446744073709551616"),
    }
    for name, value in pairs(samples) do
      assert.equal(name, pickle.type(value))
    end
  end)

  it("is nil for Lua's own", function()
    for _, value in ipairs {1, 1.5, "s", true, {}, print,
                            connection.Buffer(1)} do
      assert.is_nil(pickle.type(value))
    end
    assert.is_nil(pickle.type(nil))
  end)
end)

describe("pickle.tuple and pickle.dict", function()
  it("tag the very table, and again do nothing", function()
    local t = {1, 2}
    assert.is_true(rawequal(t, tuple(t)))
    assert.is_true(rawequal(t, tuple(t)))
    local d = {a = 1}
    assert.is_true(rawequal(d, pickle.dict(d)))
  end)

  it("refuse what is no table, and tables of another kind", function()
    local err = throws("bad argument #1 to 'tuple' (table expected, got string)",
                       function() tuple "x" end)
    assert.truthy(err:find("pickle_values_spec", 1, true), err)
    throws("table expected, got int", pickle.dict,
           pickle.int("18446744073709551616"))
    throws("another metatable", tuple, pickle.dict {})
    throws("another metatable", pickle.dict, setmetatable({}, {}))
  end)
end)

describe("pickle.set", function()
  it("has the items of a sequence as its keys", function()
    local set = pickle.set {"a", "b", "a", None}
    assert.is_true(set.a and set.b and set[None])
    assert.equal(3, #set)
    assert.equal("frozenset", pickle.type(pickle.frozenset {1}))
    assert.equal(1, #pickle.frozenset {1})
  end)

  it("refuses what cannot be a key", function()
    throws("bad argument #1 to 'set' (item 2", pickle.set, {1, 0 / 0})
    throws("bad argument #1 to 'frozenset' (table expected", pickle.frozenset, 1)
  end)
end)

describe("pickle.bytes and pickle.str", function()
  it("wrap strings, Buffers and each other", function()
    assert.equal("ab", bytes("ab")[1])
    assert.equal("ab", bytes(connection.Buffer("ab"))[1])
    assert.equal("ab", pickle.str(bytes "ab")[1])
    assert.equal(3, #bytes "a\0b")
    assert.equal(2, #pickle.str "é")
  end)

  it("compare by content, but never with each other", function()
    assert.is_true(bytes "a" == bytes "a")
    assert.is_false(bytes "a" == bytes "b")
    assert.is_false(bytes "a" == pickle.str "a")
    assert.is_false(bytes "a" == "a")
  end)

  it("let only UTF-8 with surrogates be str", function()
    assert.equal("str", pickle.type(pickle.str "\xED\xA0\x80"))
    throws("not UTF-8", pickle.str, "\xFF")
    throws("not UTF-8", pickle.str, "\xE2\xED\xA0\x80\x82\xAC")
    throws("string expected, got number", bytes, 1)
  end)
end)

describe("tuples", function()
  it("compare by their items", function()
    assert.is_true(tuple {1, "a", tuple {2}} == tuple {1, "a", tuple {2}})
    assert.is_true(tuple {bytes "x"} == tuple {bytes "x"})
    assert.is_true(tuple {1} == tuple {1.0})
    assert.is_false(tuple {1} == tuple {1, 2})
    assert.is_false(tuple {1, tuple {2}} == tuple {1, tuple {3}})
    assert.is_false(tuple {tuple {1}} == tuple {1})
    assert.is_false(tuple {} == pickle.dict {})
    assert.is_false(tuple {connection.Buffer("a")} == tuple {None})
  end)

  it("compare however deep, shared or cyclic they are", function()
    local function deep(innermost)
      local t = tuple {innermost}
      for _ = 1, 10000 do t = tuple {t} end
      return t
    end
    assert.is_true(deep(1) == deep(1))
    assert.is_false(deep(1) == deep(2))
    local function doubled()
      local t = tuple {1}
      for _ = 1, 200 do t = tuple {t, t} end
      return t
    end
    assert.is_true(doubled() == doubled())
    local function cyclic()
      local t = tuple {1}
      t[2] = t
      return t
    end
    assert.is_true(cyclic() == cyclic())
  end)
end)

describe("pickle.repr", function()
  local function shows(expected, value)
    assert.equal(expected, pickle.repr(value))
  end

  it("prints as Python does", function()
    shows("None", nil)
    shows("True", true)
    shows("12", 12)
    shows("2.25", 2.25)
    shows("1.0", 1.0)
    shows("-0.0", -0.0)
    shows("0.1", 0.1)
    shows("1e+300", 1e300)
    shows("1e+16", 1e16)
    shows("1000000000000000.0", 1e15)
    shows("0.30000000000000004", 0.1 + 0.2)
    shows("inf", math.huge)
    shows("nan", 0 / 0)
    shows("[1, 'a', None, [], {'k': 1}]", {1, "a", None, {}, {k = 1}})
    shows("bytearray(b'a\\xff')", connection.Buffer("a\xff"))
  end)

  it("quotes and escapes strings", function()
    shows([['it\'s "x"']], [[it's "x"]])
    shows([["it's"]], "it's")
    shows([['a\n\t\\\x00\x7f']], "a\n\t\\\0\x7f")
    shows("'é€😀'", "é€😀")
    shows([[b'\xff\xe9']], "\xff\xe9")
    shows([['\ud800']], pickle.str "\xED\xA0\x80")
    shows("b'abc'", bytes "abc")
  end)

  it("is what tostring gives of tagged values", function()
    assert.equal("None", tostring(None))
    assert.equal("()", tostring(tuple {}))
    assert.equal("(1,)", tostring(tuple {1}))
    assert.equal("(None, (1, 'a'))", tostring(tuple {None, tuple {1, "a"}}))
    assert.equal("set()", tostring(pickle.set {}))
    assert.equal("{1, 2, 'a', 'b'}", tostring(pickle.set {"b", 2, "a", 1}))
    assert.equal("frozenset()", tostring(pickle.frozenset {}))
    assert.equal("frozenset({1})", tostring(pickle.frozenset {1}))
    assert.equal("{}", tostring(pickle.dict {}))
    assert.equal("{1: 'a', 'k': [True]}", tostring(pickle.dict {"a", k = {true}}))
    assert.equal("<class 'float'>", tostring(pickle.global("builtins", "float")))
    assert.equal("<class 'ValueError'>",
                 tostring(pickle.global("builtins", "ValueError")))
    assert.equal("<global 'os.system'>", tostring(pickle.global("os", "system")))
    local large = "36893488147419103232"
    assert.equal(large, tostring(pickle.int(large)))
  end)

  it("shows cycles and what is nested deeply as dots", function()
    local list = {1}
    list[2] = list
    shows("[1, ...]", list)
    local dict = pickle.dict {}
    dict.self = tuple {dict}
    shows("{'self': (...,)}", dict)
    local deep = {}
    for _ = 1, 100000 do deep = {deep} end
    assert.truthy(pickle.repr(deep):find("^%[+%.%.%.%]+$"))
    local shared = {}
    shows("[[], []]", {shared, shared})
  end)

  it("is bounded, whatever the size", function()
    local big = {}
    for i = 1, 100000 do big[i] = i end
    local wide = {}
    for i = 1, 1000 do wide[i] = big end
    local keys = {}
    for i = 1, 100000 do keys["k" .. i] = big end
    local bomb = tuple {1}
    for _ = 1, 100 do bomb = tuple {bomb, bomb} end
    local counter = object("collections.Counter", {pickle.dict(keys)})
    for _, value in ipairs {big, wide, keys, bomb, counter, pickle.set(big),
                            ("x"):rep(1e6), bytes(("\xff"):rep(1e6)),
                            connection.Buffer(1000000)} do
      local text = pickle.repr(value)
      assert.truthy(#text < 5000, #text)
      assert.truthy(text:find("...", 1, true))
    end
    assert.truthy(#pickle.repr(big, 50) < 80)
    assert.equal("'é'...", pickle.repr("éé", 3))
  end)

  it("shows the host's own values", function()
    assert.truthy(pickle.repr(print):find("^<builtin: .*>$")
                  or pickle.repr(print):find("^<function: .*>$"))
    shows("<thing>", setmetatable({}, {__tostring = function() return "thing" end}))
  end)
end)

describe("pickle.object", function()
  it("tags the table, and its arguments", function()
    local float = pickle.global("builtins", "float")
    local t = {class = float, args = {1}}
    local made = pickle.object(t)
    assert.is_true(rawequal(t, made))
    assert.equal("tuple", pickle.type(made.args))
    assert.equal("tuple", pickle.type(pickle.object({class = float}).args))
    assert.is_true(rawequal(made, pickle.object(made)))
  end)

  it("refuses what is no instance", function()
    local class = pickle.global("m", "C")
    local err = throws("field 'class': global or object expected, got string",
                       function() pickle.object {class = "m.C"} end)
    assert.truthy(err:find("pickle_values_spec", 1, true), err)
    err = throws("unknown field 'klass'",
                 function() pickle.object {class = class, klass = 1} end)
    assert.truthy(err:find("pickle_values_spec", 1, true), err)
    throws("field 'args': tuple expected, got dict", pickle.object,
           {class = class, args = pickle.dict {}})
    throws("field 'how'", pickle.object, {class = class, how = "so"})
    throws("field 'kwargs'", pickle.object, {class = class, kwargs = {}})
    throws("field 'items': list expected", pickle.object,
           {class = class, items = 1})
    throws("field 'pairs'", pickle.object, {class = class, pairs = tuple {}})
    throws("table expected, got nil", pickle.object)
  end)

  it("takes no fields but its own", function()
    local made = object("datetime.date", {2022, 10, 15})
    throws("no field 'year' to set", function() made.year = 1 end)
    made.state = 5
    assert.equal(5, rawget(made, "state"))
  end)

  it("prints how it is constructed", function()
    local function shows(expected, ...)
      assert.equal(expected, tostring(object(...)))
    end
    shows("<m.C()>", "m.C", {})
    shows("<m.C(1, 'a')>", "m.C", {1, "a"})
    shows("<m.C() state={'a': 1}>", "m.C", {}, {how = "new", state = {a = 1}})
    shows("<m.C() items=[1]>", "m.C", {}, {items = {1}})
    shows("<m.C() pairs=[['a', 1]]>", "m.C", {}, {pairs = {{"a", 1}}})
    shows("<m.C(**{'k': 1})>", "m.C", {}, {how = "new_ex", kwargs = {k = 1}})
    shows("<m.C(2, **{'k': 1})>", "m.C", {2}, {how = "new_ex", kwargs = {k = 1}})
    local inner = object("builtins.getattr", {pickle.global("m", "C"), "f"})
    assert.equal("<<builtins.getattr(<global 'm.C'>, 'f')>(1)>",
                 tostring(pickle.object {class = inner, args = {1}}))
  end)

  it("may contain itself", function()
    local deque = object("collections.deque", {})
    deque.items = {deque}
    assert.equal("deque([...])", tostring(deque))
  end)
end)

describe("a global", function()
  it("makes an object where it is called", function()
    local date = pickle.global("datetime", "date")
    local made = date(2022, nil, 15)
    assert.equal(date, made.class)
    assert.is_true(tuple {2022, None, 15} == made.args)
    assert.is_nil(made.how)
    assert.equal("()", tostring(date().args))
  end)
end)

describe("pickle.classof", function()
  it("names the class, whatever Python calls for the instance", function()
    assert.equal("datetime.date",
                 pickle.classof(object("datetime.date", {bytes "\7\xe6\10\15"})))
    local class, base = pickle.global("m", "C"), pickle.global("builtins", "object")
    assert.equal("m.C", pickle.classof(
      object("copyreg._reconstructor", {class, base, None})))
    assert.equal("m.C", pickle.classof(object("copyreg.__newobj__", {class, 1})))
    assert.equal("array.array", pickle.classof(object(
      "array._array_reconstructor",
      {pickle.global("array", "array"), "b", 1, bytes ""})))
  end)

  it("is nil where there is no name, and for what is no object", function()
    assert.is_nil(pickle.classof(1))
    assert.is_nil(pickle.classof(nil))
    assert.is_nil(pickle.classof(tuple {}))
    assert.is_nil(pickle.classof(pickle.object {class = object("m.C", {})}))
    assert.equal("copyreg._reconstructor",
                 pickle.classof(object("copyreg._reconstructor", {1})))
  end)
end)

describe("every object", function()
  local class = pickle.global("m", "C")

  local function old(base, value)
    return object("copyreg._reconstructor",
                  {class, pickle.global("builtins", base), value})
  end

  it("has its attributes in fields", function()
    local state = pickle.dict {a = 1}
    assert.is_true(rawequal(state, object("m.C", {}, {state = state}).fields))
    local slots = object("m.C", {}, {state = tuple {None, pickle.dict {b = 2}}})
    assert.same({b = 2}, slots.fields)
    local both = object("m.C", {}, {state = tuple {state, pickle.dict {b = 2}}})
    assert.same({a = 1, b = 2}, both.fields)
    assert.is_nil(object("m.C", {}, {state = 5}).fields)
    assert.is_nil(object("m.C", {}).fields)
  end)

  it("has a name, and a value where there is one argument", function()
    local red = object("m.Color.Inner", {1})
    assert.equal("Inner", red.name)
    assert.equal(1, red.value)
    assert.is_nil(object("m.C", {1, 2}).value)
    assert.equal(5, old("int", 5).value)
  end)

  it("lists what children of list, tuple and dict have", function()
    local point = object("m.Point", {1, 2}, {how = "new"})
    assert.same({1, 2}, point:list())
    assert.same({1, 2}, old("tuple", tuple {1, 2}):list())
    assert.same({1, 2}, old("list", {1, 2}):list())
    assert.same({1, 2}, object("m.C", {}, {items = {1, 2}}):list())
    assert.same({a = 1}, object("m.C", {}, {pairs = {{"a", 1}}}):dict())
    assert.same({a = 1}, old("dict", pickle.dict {a = 1}):dict())
    assert.same({}, object("m.C", {}, {pairs = {{0 / 0, 1}}}):dict())
  end)

  it("has no other fields", function()
    assert.is_nil(object("m.C", {}).year)
    assert.is_nil(object("m.C", {})[1])
    assert.is_nil(object("m.C", {}).kwargs)
  end)
end)

describe("pickle.view", function()
  it("adds fields, methods and a way to print", function()
    pickle.view("shop.Price", {
      fields = {cents = function(price) return price.args[1] end},
      methods = {add = function(price, n) return price.cents + n end},
      tostring = function(price, repr) return "$" .. repr(price.cents) end,
    })
    local price = object("shop.Price", {250})
    assert.equal(250, price.cents)
    assert.equal(251, price:add(1))
    assert.equal("$250", tostring(price))
    assert.equal("[$250]", pickle.repr {price})
    assert.equal("Price", price.name)
    pickle.view("shop.Price", nil)
    assert.is_nil(price.cents)
    assert.equal("<shop.Price(250)>", tostring(price))
  end)

  it("cannot hide how an object is constructed", function()
    throws("'args' is a field of every object", pickle.view, "m.C",
           {fields = {args = print}})
  end)
end)

describe("a view of", function()
  local function shows(expected, value)
    assert.equal(expected, tostring(value))
    return value
  end

  it("OrderedDict, defaultdict and Counter is their dict", function()
    local pairs_ = {{"b", 1}, {"a", 2}}
    local od = shows("OrderedDict({'b': 1, 'a': 2})",
                     object("collections.OrderedDict", {}, {pairs = pairs_}))
    assert.same({b = 1, a = 2}, od:dict())
    shows("OrderedDict({})", object("collections.OrderedDict", {}))
    local list = pickle.global("builtins", "list")
    local dd = shows("defaultdict(<class 'list'>, {'a': [1]})",
                     object("collections.defaultdict", {list},
                            {pairs = {{"a", {1}}}}))
    assert.equal(list, dd.default_factory)
    assert.is_nil(object("collections.defaultdict", {None}).default_factory)
    local counter = shows("Counter({'a': 2})", object(
      "collections.Counter", {pickle.dict {a = 2}}))
    assert.same({a = 2}, counter:dict())
  end)

  it("deque is its list and maxlen", function()
    local deque = shows("deque([1, 2], maxlen=5)", object(
      "collections.deque", {tuple {}, 5}, {items = {1, 2}}))
    assert.equal(5, deque.maxlen)
    assert.same({1, 2}, deque:list())
    deque = shows("deque([])", object("collections.deque", {}))
    assert.is_nil(deque.maxlen)
    assert.same({}, deque:list())
    assert.same({}, object("collections.deque", {tuple {}, 5}):list())
  end)

  it("complex, range and slice is their parts", function()
    local z = shows("(1+2j)", object("builtins.complex", {1.0, 2.0}))
    assert.equal(2.0, z.imag)
    shows("2.5j", object("builtins.complex", {0.0, 2.5}))
    shows("(-0-1j)", object("builtins.complex", {-0.0, -1.0}))
    local r = shows("range(1, 10)", object("builtins.range", {1, 10, 1}))
    assert.equal(10, r.stop)
    shows("range(1, 10, -2)", object("builtins.range", {1, 10, -2}))
    local s = shows("slice(1, None, 2)", object("builtins.slice", {1, None, 2}))
    assert.is_nil(s.stop)
    assert.equal(2, s.step)
  end)

  it("array.array is its numbers, from bytes or a list", function()
    local class = pickle.global("array", "array")
    local function array(typecode, code, data)
      return object("array._array_reconstructor",
                    {class, typecode, code, bytes(data)})
    end
    local a = shows("array('i', [1, -2])",
                    array("i", 8, string.pack("<i4i4", 1, -2)))
    assert.equal("i", a.typecode)
    assert.same({1, -2}, a:list())
    assert.same({1, -2}, array("i", 9, string.pack(">i4i4", 1, -2)):list())
    assert.same({255}, array("B", 0, "\xff"):list())
    assert.same({-1}, array("b", 1, "\xff"):list())
    assert.same({1.5}, array("f", 14, string.pack("<f", 1.5)):list())
    assert.same({1.5}, array("d", 17, string.pack(">d", 1.5)):list())
    assert.same({"h", "é"}, array("u", 20, string.pack("<I4I4", 0x68, 0xe9)):list())
    local big = array("Q", 10, string.pack("<i8i8", -1, 7)):list()
    assert.is_true(big[1] == pickle.int("18446744073709551615"))
    assert.equal(7, big[2])
  end)

  it("a long array.array is all of it", function()
    local class, parts = pickle.global("array", "array"), {}
    for i = 1, 1000 do parts[i] = string.pack("<i2", i - 500) end
    local list = object("array._array_reconstructor",
                        {class, "h", 4, bytes(table.concat(parts))}):list()
    assert.equal(1000, #list)
    for i = 1, 1000 do assert.equal(i - 500, list[i]) end
  end)

  it("array.array of older protocols is a list already", function()
    local a = shows("array('d', [1.5])", object("array.array", {"d", {1.5}}))
    assert.same({1.5}, a:list())
    assert.equal("d", a.typecode)
    shows("array('b')", object("array.array", {"b", {}}))
  end)

  it("date is its parts", function()
    local date = shows("datetime.date(2022, 10, 15)",
                       object("datetime.date", {bytes "\7\xe6\10\15"}))
    assert.same({2022, 10, 15}, {date.year, date.month, date.day})
    assert.equal("2022-10-15", date:isoformat())
    assert.equal("2022-10-15", date:str())
    local made = shows("datetime.date(2022, 10, 15)",
                       pickle.global("datetime", "date")(2022, 10, 15))
    assert.equal(15, made.day)
  end)

  it("time is its parts, fold and zone", function()
    local data = bytes "\x81\2\3\0\0\4"
    local time = shows("datetime.time(1, 2, 3, 4, fold=1, "
                       .. "tzinfo=datetime.timezone.utc)",
                       object("datetime.time", {data, utc}))
    assert.same({1, 2, 3, 4, 1}, {time.hour, time.minute, time.second,
                                  time.microsecond, time.fold})
    assert.is_true(rawequal(utc, time.tzinfo))
    assert.equal("01:02:03.000004+00:00", time:isoformat())
    shows("datetime.time(1, 2)", object("datetime.time", {bytes "\1\2\0\0\0\0"}))
    local made = shows("datetime.time(1, 2, 3)",
                       pickle.global("datetime", "time")(1, 2, 3))
    assert.equal(2, made.minute)
    assert.is_nil(made.tzinfo)
  end)

  it("datetime is its parts, fold and zone", function()
    local data = bytes "\7\xe6\x8a\15\1\2\3\6\xf8U"
    local dt = shows("datetime.datetime(2022, 10, 15, 1, 2, 3, 456789, fold=1)",
                     object("datetime.datetime", {data}))
    assert.same({2022, 10, 15, 1, 2, 3, 456789, 1},
                {dt.year, dt.month, dt.day, dt.hour, dt.minute, dt.second,
                 dt.microsecond, dt.fold})
    assert.equal("2022-10-15T01:02:03.456789", dt:isoformat())
    assert.equal("2022-10-15 01:02:03.456789", dt:str())
    shows("datetime.datetime(2022, 10, 15, 0, 0)",
          pickle.global("datetime", "datetime")(2022, 10, 15))
    local made = pickle.global("datetime", "datetime")(2022, 10, 15, 1)
    assert.equal(1, made.hour)
    assert.equal(0, made.second)
  end)

  it("datetime has a timestamp where its zone is known", function()
    local function at(zone, ...)
      local datetime = pickle.global("datetime", "datetime")
      local args = {...}
      for i = #args + 1, 7 do args[i] = 0 end
      args[8] = zone
      return datetime(table.unpack(args, 1, 8)):timestamp()
    end
    assert.equal(0.0, at(utc, 1970, 1, 1))
    assert.equal(1665795723.5, at(utc, 2022, 10, 15, 1, 2, 3, 500000))
    assert.equal(951782400.0, at(utc, 2000, 2, 29))
    assert.equal(-62135596800.0, at(utc, 1, 1, 1))
    assert.equal(1665795723.0 - 7200,
                 at(timezone(0, 7200, 0), 2022, 10, 15, 1, 2, 3))
    assert.equal(os.time {year = 2022, month = 10, day = 15, hour = 1} + 0.0,
                 at(nil, 2022, 10, 15, 1))
    assert.is_nil(at(object("m.Zone", {}), 2022, 10, 15))
  end)

  it("timedelta and timezone is their parts", function()
    local delta = shows("datetime.timedelta(days=1, seconds=2, microseconds=3)",
                        timedelta(1, 2, 3))
    assert.same({1, 2, 3}, {delta.days, delta.seconds, delta.microseconds})
    assert.equal(86402.000003, delta:total_seconds())
    shows("datetime.timedelta(0)", timedelta(0, 0, 0))
    shows("datetime.timezone.utc", utc)
    local zone = shows("datetime.timezone(datetime.timedelta(seconds=7200))",
                       timezone(0, 7200, 0))
    assert.equal(7200.0, zone.offset)
    assert.equal("UTC+02:00", zone.tzname)
    local west = timezone(-1, 68400, 0)
    assert.equal(-18000.0, west.offset)
    assert.equal("UTC-05:00", west:str())
    local named = object("datetime.timezone", {timedelta(0, 7200, 0), "CEST"})
    shows("datetime.timezone(datetime.timedelta(seconds=7200), 'CEST')", named)
    assert.equal("CEST", named.tzname)
  end)

  it("Decimal and Fraction is exact text and a number", function()
    local d = shows("Decimal('1.50')", object("decimal.Decimal", {"1.50"}))
    assert.equal("1.50", d:str())
    assert.equal(1.5, d:number())
    local function number(text)
      return object("decimal.Decimal", {text}):number()
    end
    assert.equal(1200.0, number "1.2E+3")
    assert.equal(-math.huge, number "-Infinity")
    assert.is_true(number "NaN" ~= number "NaN")
    assert.is_true(number "-sNaN12" ~= number "-sNaN12")
    assert.is_nil(number "0x10")
    local f = shows("Fraction(1, 4)", object("fractions.Fraction", {"1/4"}))
    assert.same({1, 4}, {f.numerator, f.denominator})
    assert.equal(0.25, f:number())
    assert.equal("1/4", f:str())
    shows("Fraction(-1, 4)", object("fractions.Fraction", {-1, 4}))
    assert.equal("3", object("fractions.Fraction", {"3"}):str())
    local large = object("fractions.Fraction", {"36893488147419103232/3"})
    assert.equal("36893488147419103232", tostring(large.numerator))
    assert.equal(2.0 ^ 65 / 3, large:number())
  end)

  it("UUID is its digits", function()
    local function uuid(int)
      return object("uuid.UUID", {}, {how = "new", state = {int = int}})
    end
    local u = shows("UUID('00000000-0000-0000-0000-000000000005')", uuid(5))
    assert.equal("00000000000000000000000000000005", u.hex)
    u = uuid(pickle.int("24197857161011715162171839636988778104"))
    assert.equal("12345678-1234-5678-1234-567812345678", u:str())
    u = uuid(pickle.int("340282366920938463463374607431768211455"))
    assert.equal(("f"):rep(32), u.hex)
    assert.is_nil(uuid(pickle.int("340282366920938463463374607431768211456")).hex)
    assert.is_nil(uuid(-1).hex)
    local made = pickle.global("uuid", "UUID")
    assert.equal(("1"):rep(32), made("{" .. ("1"):rep(32) .. "}").hex)
  end)

  it("paths is joined parts", function()
    local function path(class, ...)
      return object("pathlib." .. class, {...})
    end
    assert.equal("/a/b.txt", path("PurePosixPath", "/", "a", "b.txt"):str())
    assert.equal("/a/b.txt", path("_local.PosixPath", "/a/b.txt"):str())
    assert.equal("a/b", path("PosixPath", "a", "b"):str())
    assert.equal(".", path("PosixPath"):str())
    assert.equal("C:\\x\\y", path("PureWindowsPath", "C:\\", "x", "y"):str())
    shows("PosixPath('/a')", path("PosixPath", "/", "a"))
    shows("PureWindowsPath('C:/x')", path("PureWindowsPath", "C:\\", "x"))
  end)

  it("exceptions is a name and a message", function()
    local function exception(name, ...)
      return object("builtins." .. name, {...})
    end
    local err = shows("ValueError('bad')", exception("ValueError", "bad"))
    assert.same({"ValueError", "bad"}, {err.name, err.message})
    assert.equal("", exception("ValueError").message)
    assert.equal("('bad', 3)", exception("ValueError", "bad", 3).message)
    assert.equal("'k'", exception("KeyError", "k").message)
    local os_error = exception("FileNotFoundError", 2, "no", "f")
    assert.equal("[Errno 2] no: 'f'", os_error.message)
    assert.same({2, "no", "f"},
                {os_error.errno, os_error.strerror, os_error.filename})
    assert.equal("[Errno 2] no", exception("OSError", 2, "no").message)
    assert.is_nil(exception("OSError", "text").errno)
    local own = object("m.MyError", {"x"}, {state = {extra = 1}})
    assert.same({"MyError", "x", 1}, {own.name, own.message, own.fields.extra})
    shows("ValueError(ValueError('x'))",
          exception("ValueError", exception("ValueError", "x")))
  end)
end)

describe("numpy arrays", function()
  local ndarray = pickle.global("numpy", "ndarray")

  local function dtype(name, order, ...)
    return object("numpy.dtype", {name, false, true},
                  {state = tuple {3, order, None, None, None, -1, -1, 0, ...}})
  end

  local function array(shape, dtype_, fortran, data)
    return object("numpy._core.multiarray._reconstruct",
                  {ndarray, tuple {0}, bytes "b"},
                  {state = tuple {1, tuple(shape), dtype_, fortran, bytes(data)}})
  end

  local six = string.pack("<i2i2i2i2i2i2", 1, 2, 3, 4, 5, 6)

  it("show dtype, shape, data and elements", function()
    local a = array({2, 3}, dtype("i2", "<"), false, six)
    assert.equal("numpy.ndarray", pickle.classof(a))
    assert.equal("<i2", a.dtype)
    assert.same({2, 3}, a.shape)
    assert.is_false(a.fortran)
    assert.is_true(a.data == connection.Buffer(six))
    assert.is_true(rawequal(a.data, a.data))
    assert.same({{1, 2, 3}, {4, 5, 6}}, a:list())
    assert.equal(6, a:get(2, 3))
    assert.is_nil(a:get(3, 1))
    assert.is_nil(a:get(1))
    assert.equal("<numpy.ndarray dtype='<i2' shape=(2, 3)>", tostring(a))
  end)

  it("may lie by columns", function()
    local a = array({2, 3}, dtype("i2", "<"), true, six)
    assert.same({{1, 3, 5}, {2, 4, 6}}, a:list())
    assert.equal(5, a:get(1, 3))
  end)

  it("of protocol 5 are over a bytearray", function()
    local buffer = connection.Buffer(six)
    local a = object("numpy.core.numeric._frombuffer",
                     {buffer, dtype("i2", "<"), tuple {6}, "C"})
    assert.is_true(rawequal(buffer, a.data))
    assert.same({1, 2, 3, 4, 5, 6}, a:list())
    assert.equal(4, a:get(4))
  end)

  it("have elements of each plain dtype", function()
    local function elements(name, order, data, count, ...)
      return array({count}, dtype(name, order, ...), false, data):list()
    end
    assert.same({true, false}, elements("b1", "|", "\1\0", 2))
    assert.same({-1}, elements("i1", "|", "\xff", 1))
    assert.same({258}, elements("i2", ">", "\1\2", 1))
    assert.same({1.5}, elements("f4", "<", string.pack("<f", 1.5), 1))
    assert.same({1.0, -2.0, 65504.0, 2.0 ^ -24, math.huge},
                elements("f2", "<", "\0\x3c\0\xc0\xff\x7b\1\0\0\x7c", 5))
    assert.same({"ab", "c"}, elements("S2", "|", "abc\0", 2))
    assert.same({"a", "é"}, elements("U1", "<", "a\0\0\0\xe9\0\0\0", 2))
    assert.equal("(1+2j)", tostring(
      elements("c16", "<", string.pack("<dd", 1, 2), 1)[1]))
    assert.is_true(pickle.int("18446744073709551615")
                   == elements("u8", "<", ("\xff"):rep(8), 1)[1])
    local days = array({1}, dtype("M8", "<", tuple {
      pickle.dict {}, tuple {bytes "D", 1, 1, 1}}), false, string.pack("<i8", 9))
    assert.equal("<M8[D]", days.dtype)
    assert.same({9}, days:list())
  end)

  it("without dimensions are one element", function()
    local a = array({}, dtype("i2", "<"), false, "\5\0")
    assert.equal(5, a:list())
    assert.equal(5, a:get())
    assert.same({}, array({0}, dtype("i2", "<"), false, ""):list())
  end)

  it("of other dtypes show what they can", function()
    local objects = object("numpy.core.multiarray._reconstruct",
                           {ndarray, tuple {0}, bytes "b"},
                           {state = tuple {1, tuple {2, 1}, dtype("O8", "|"),
                                           false, {"a", 1}}})
    assert.same({{"a"}, {1}}, objects:list())
    assert.is_nil(objects.data)
    local void = array({1}, dtype("V3", "|"), false, "abc")
    assert.is_nil(void:list())
    assert.equal("abc", tostring(void.data))
  end)

  it("that lie about their size show no elements", function()
    for _, shape in ipairs {{7}, {5}, {-6}, {1 << 62, 4}, {0, 1 << 62},
                            {math.maxinteger, math.maxinteger}, {2.0, 3}} do
      local a = array(shape, dtype("i2", "<"), false, six)
      assert.is_nil(a:list())
    end
    assert.same({}, array({1 << 62, 0}, dtype("i2", "<"), false, ""):list())
    assert.is_nil(array({1}, dtype("U99999999999", "<"), false, six):list())
    local many = {}
    for i = 1, 10000 do many[i] = 1 end
    assert.is_nil(array(many, dtype("i2", "<"), false, "\1\0"):list())
  end)

  it("are made by pickle.ndarray", function()
    local a = pickle.ndarray {dtype = "<i2", shape = {2, 3}, data = six}
    assert.equal("numpy.ndarray", pickle.classof(a))
    assert.equal("<i2", a.dtype)
    assert.same({2, 3}, a.shape)
    assert.same({{1, 2, 3}, {4, 5, 6}}, a:list())
    local buffer = connection.Buffer(six)
    local f = pickle.ndarray {dtype = "<i2", shape = {2, 3}, data = buffer,
                              fortran = true}
    assert.is_true(rawequal(buffer, f.data))
    assert.is_true(f.fortran)
    assert.same({{1, 3, 5}, {2, 4, 6}}, f:list())
  end)

  it("cannot be made of what does not fit", function()
    local function refused(problem, t)
      local err = throws(problem, function() pickle.ndarray(t) end)
      assert.truthy(err:find("pickle_values_spec", 1, true), err)
    end
    refused("field 'dtype'", {shape = {1}, data = "a"})
    refused("field 'dtype'", {dtype = "O", shape = {1}, data = "a"})
    refused("field 'shape'", {dtype = "i1", shape = {-1}, data = "a"})
    refused("field 'shape'", {dtype = "i1", data = "a"})
    refused("field 'data'", {dtype = "i1", shape = {1}, data = 5})
    refused("do not fit 1 bytes", {dtype = "i2", shape = {1}, data = "a"})
    refused("table expected", "x")
  end)

  it("have scalars beside them", function()
    local function scalar(name, order, data)
      return object("numpy.core.multiarray.scalar",
                    {dtype(name, order), bytes(data)})
    end
    local s = scalar("f8", "<", string.pack("<d", 1.5))
    assert.equal("numpy.float64", pickle.classof(s))
    assert.same({"<f8", 1.5}, {s.dtype, s.value})
    assert.equal(8, #s.data)
    assert.equal("numpy.float64(1.5)", tostring(s))
    assert.equal("numpy.bool(False)", tostring(scalar("b1", "|", "\0")))
    assert.is_false(scalar("b1", "|", "\0").value)
    assert.is_nil(scalar("f8", "<", "1").value)
    assert.equal("dtype('<f8')", tostring(dtype("f8", "<")))
    assert.equal("<f8", dtype("f8", "<"):str())
  end)
end)

describe("views of what makes no sense", function()
  local classes = {
    "array._array_reconstructor", "array.array", "builtins.KeyError",
    "builtins.OSError", "builtins.ValueError", "builtins.complex",
    "builtins.range", "builtins.slice", "collections.Counter",
    "collections.OrderedDict", "collections.defaultdict", "collections.deque",
    "copyreg.__newobj__", "copyreg.__newobj_ex__", "copyreg._reconstructor",
    "datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta",
    "datetime.timezone", "decimal.Decimal", "fractions.Fraction", "m.C",
    "numpy._core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer", "numpy.dtype", "numpy.float64",
    "numpy.ndarray", "pathlib.PosixPath", "pathlib.WindowsPath", "uuid.UUID",
    "zoneinfo.ZoneInfo", "zoneinfo.ZoneInfo._unpickle",
  }
  local fields = {
    "name", "value", "message", "fields", "real", "start", "default_factory",
    "maxlen", "typecode", "year", "hour", "tzinfo", "fold", "days", "offset",
    "tzname", "numerator", "denominator", "hex", "errno", "filename", "dtype",
    "shape", "data", "fortran", "key",
  }
  local methods = {
    "str", "list", "dict", "number", "isoformat", "timestamp", "get",
    "total_seconds",
  }

  local function global(name)
    return pickle.global(name:match("^(.*)%.([^.]+)$"))
  end

  local state = 1
  local function random(n) -- the same ones in each run
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return (state >> 8) % n + 1
  end

  local value
  local function some(n, depth)
    local t = {}
    for i = 1, random(n + 1) - 1 do t[i] = value(depth - 1) end
    return t
  end

  local function random_object(depth)
    local t = {class = global(classes[random(#classes)])}
    t.args = tuple(some(6, depth))
    if random(2) == 1 then t.state = value(depth - 1) end
    if random(4) == 1 then t.items = some(3, depth) end
    if random(4) == 1 then
      t.pairs = {}
      for i = 1, random(3) do t.pairs[i] = {value(0), value(depth - 1)} end
    end
    return pickle.object(t)
  end

  local leaves = {
    function() return None end, function() return random(100) - 50 end,
    function() return math.mininteger end, function() return -1e300 end,
    function() return 0 / 0 end, function() return ("<f8"):sub(1, random(3)) end,
    function() return bytes(("\xff\3"):rep(random(6) - 1)) end,
    function() return global(classes[random(#classes)]) end,
    function() return pickle.int("340282366920938463463374607431768211456") end,
    function() return connection.Buffer(random(20)) end,
    function() return "i8" end, function() return "-1/0" end,
    function() return false end,
  }
  local containers = {
    random_object, random_object,
    function(depth) return tuple(some(5, depth)) end,
    function(depth) return some(3, depth) end,
    function(depth) return pickle.dict {int = value(depth - 1), [1] = 2} end,
    function() return pickle.set {1, 2} end,
  }

  function value(depth)
    if depth <= 0 or random(3) == 1 then return leaves[random(#leaves)]() end
    return containers[random(#containers)](depth)
  end

  it("give nil and print somehow, but throw nothing", function()
    for _ = 1, helpers.slow and 200 or 3000 do
      local made = random_object(3)
      for _, name in ipairs(fields) do
        local _ = made[name]
      end
      for _, name in ipairs(methods) do
        if made[name] then made[name](made, 1, 1) end
      end
      assert.equal("string", type(tostring(made)))
    end
  end)
end)

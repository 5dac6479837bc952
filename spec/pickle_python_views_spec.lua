-- What instances of real Pythons show in Lua, and that they leave as they came:
-- each Python, each protocol. Its repr and str are the oracle for ours.

local helpers = require "helpers"
local pickle = require "multiprocessing.pickle"
local python_peer = require "python_peer"

local SCRIPT = "spec/fixtures/python_views.py"
local hex = python_peer.hex

local function unhex(text)
  return (text:sub(2):gsub("%x%x", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

-- ---- what each instance shows ----

local function has(fields)
  return function(object)
    for name, value in pairs(fields) do assert.equal(value, object[name], name) end
  end
end

local function lists(list)
  return function(object) assert.same(list, object:list()) end
end

local function integers(bits)
  local top = 1 << bits - 1
  return lists {0, 1, 127, -top, top - 1}
end

local function naturals(bits)
  return lists {0, 1, 127, (1 << bits) - 1}
end

local whole = {year = 2022, month = 10, day = 15, hour = 1, minute = 2,
               second = 3, microsecond = 456789}

local checks = {
  OrderedDict = function(od) assert.same({b = 1, a = {2}}, od:dict()) end,
  defaultdict = function(dd)
    assert.equal(pickle.global("builtins", "list"), dd.default_factory)
    assert.same({a = {1}}, dd:dict())
  end,
  Counter = function(counter) assert.same({a = 2, b = 1}, counter:dict()) end,
  deque = lists {1, "x"},
  deque_maxlen = has {maxlen = 5},
  deque_empty = lists {},
  deque_recursive = function(d) assert.is_true(rawequal(d, d:list()[2])) end,
  complex = has {real = 1.0, imag = -2.5},
  range = has {start = 1, stop = 10, step = 2},
  slice = has {start = 1, stop = nil, step = 2},
  array_b = integers(8), array_unsigned_B = naturals(8),
  array_h = integers(16), array_unsigned_H = naturals(16),
  array_i = integers(32), array_unsigned_I = naturals(32),
  array_l = integers(64), array_q = integers(64),
  array_unsigned_Q = function(array)
    assert.equal("18446744073709551615", tostring(array:list()[4]))
  end,
  array_f = lists {1.5, -0.25},
  array_d = lists {1.5, 0.1, math.huge},
  array_u = lists {"h", "é", "€"},
  array_empty = lists {},
  array_long = function(array)
    local list = array:list()
    assert.equal(1000, #list)
    for i, n in ipairs(list) do assert.equal(i - 501, n) end
  end,
  date = has {year = 2022, month = 10, day = 15},
  date_text = has {year = 0x0707, month = 12, day = 13},
  time = has {hour = 1, minute = 2, second = 3, microsecond = 4, fold = 0},
  time_utc = function(time)
    assert.equal("datetime.timezone", pickle.classof(time.tzinfo))
  end,
  datetime = has(whole),
  datetime_utc = function(datetime)
    has(whole)(datetime)
    assert.equal(1665795723.456789, datetime:timestamp())
  end,
  datetime_cest = function(datetime)
    has(whole)(datetime)
    assert.equal(1665795723.456789 - 7200, datetime:timestamp())
    assert.equal("CEST", datetime.tzinfo.tzname)
  end,
  datetime_short = function(datetime)
    assert.equal(-62135578800.0, datetime:timestamp())
  end,
  datetime_last = function(datetime)
    assert.equal(253402300799.999999, datetime:timestamp())
  end,
  timedelta = function(delta)
    has {days = -1, seconds = 2, microseconds = 3}(delta)
    assert.equal(-86397.999997, delta:total_seconds())
  end,
  timezone = has {offset = -18000.0, tzname = "UTC-05:00"},
  timezone_named = has {offset = 7200.0, tzname = "CEST"},
  timezone_utc = has {offset = 0.0, tzname = "UTC"},
  Decimal = function(d) assert.equal(1.5, d:number()) end,
  Decimal_big = function(d)
    assert.equal(-1.2345678901234568e34, d:number())
  end,
  Decimal_inf = function(d) assert.equal(-math.huge, d:number()) end,
  Fraction = has {numerator = -1, denominator = 4},
  Fraction_big = function(f)
    assert.equal("36893488147419103232", tostring(f.numerator))
  end,
  UUID = has {hex = "12345678123456781234567812345678"},
  ValueError = function(err)
    has {name = "ValueError", message = "bad"}(err)
    assert.equal("x", err.fields.extra[1])
    assert.is_true(err.fields.extra[2] == pickle.bytes "y")
  end,
  KeyError = has {name = "KeyError", message = "'k'"},
  FileNotFoundError = has {errno = 2, strerror = "no", filename = "f"},
  MyError = has {name = "MyError", message = "mine"},
  enum = has {name = "Color", value = 1},
  flag = has {name = "Permission", value = 6},
  namedtuple = lists {1, "y"},
  instance = function(plain)
    assert.equal("__main__.Plain", pickle.classof(plain))
    assert.equal("plain", plain.fields.name)
    assert.is_true(plain.fields.data == pickle.bytes "text")
    assert.is_true(rawequal(plain, plain.fields.me))
  end,
  slots = function(slots)
    assert.equal("__main__.Slots", pickle.classof(slots))
    assert.same({p = 1, q = {2}}, slots.fields)
  end,
  keyword_only = function(object) assert.equal(3, object.fields.key) end,
  MyDict = function(dict) assert.same({a = 1}, dict:dict()) end,
  MyList = lists {1, 2},
  MyInt = has {name = "MyInt", value = 5},
  zoneinfo = function(datetime)
    assert.equal("Europe/Paris", datetime.tzinfo.key)
    assert.is_nil(datetime:timestamp())
  end,

  numpy_f8 = function(array)
    has {dtype = "<f8"}(array)
    assert.same({2, 3}, array.shape)
    assert.same({{0.0, 1.0, 2.0}, {3.0, 4.0, 5.0}}, array:list())
    assert.equal(48, #array.data)
    assert.equal(5.0, (array.data:unpack("<d", 41)))
    assert.equal(5.0, array:get(2, 3))
  end,
  numpy_fortran = function(array)
    has {fortran = true}(array)
    assert.same({{0, 1, 2}, {3, 4, 5}}, array:list())
  end,
  numpy_transposed = lists {{0, 3}, {1, 4}, {2, 5}},
  numpy_3d = function(array) assert.equal(23, array:get(2, 3, 4)) end,
  numpy_0d = function(array) assert.equal(5, array:list()) end,
  numpy_empty = lists {},
  numpy_bool = lists {true, false},
  numpy_f2 = lists {1.0, -2.0, 65504.0, 2.0 ^ -24, math.huge},
  numpy_f4 = lists {1.5, -0.25},
  numpy_u8 = function(array)
    assert.equal("18446744073709551615", tostring(array:list()[2]))
  end,
  numpy_complex = function(array) assert.equal(2.0, array:get(1).imag) end,
  numpy_text = lists {"ab", "hé"},
  numpy_bytes = lists {"ab", "c"},
  numpy_days = function(array)
    has {dtype = "<M8[D]"}(array)
    assert.same({19280}, array:list())
  end,
  numpy_objects = lists {1, "x", pickle.None},
  numpy_record = has {dtype = "|V12"},
  numpy_readonly = lists {0, 1, 2},
  numpy_float64 = has {name = "float64", dtype = "<f8", value = 1.5},
  numpy_int32 = has {name = "int32", value = -3},
  numpy_uint8 = has {name = "uint8", value = 200},
  numpy_false = has {dtype = "|b1", value = false},
  numpy_complex64 = function(scalar) assert.equal(1.0, scalar.value.imag) end,
  numpy_dtype = function(dtype) assert.equal("<f4", dtype:str()) end,
}

-- ---- where ours prints as Python does ----

local reprs, strs = {}, {}
for name in ([[
    defaultdict deque deque_maxlen deque_empty complex range slice
    array_b array_i array_unsigned_H array_q array_unsigned_Q array_d array_empty
    date date_text time time_utc datetime datetime_utc datetime_last
    timezone_utc Decimal Decimal_big Decimal_inf Fraction Fraction_big UUID
    UUID_small PurePosixPath PurePosixPath_relative Path Path_empty PureWindowsPath
    ValueError_two]]):gmatch("%S+") do
  reprs[name] = true
end
for name in ([[
    date time time_utc datetime datetime_utc datetime_cest datetime_short
    datetime_last timezone_utc timezone timezone_named Decimal Decimal_big
    Decimal_inf Fraction Fraction_big UUID UUID_small PurePosixPath
    PurePosixPath_relative Path Path_empty PureWindowsPath ValueError
    ValueError_two KeyError FileNotFoundError MyError]]):gmatch("%S+") do
  strs[name] = true
end

local function check(sample)
  local object = sample.value
  assert.equal("object", pickle.type(object))
  if checks[sample.name] then checks[sample.name](object) end
  if reprs[sample.name] then assert.equal(sample.repr, tostring(object)) end
  if strs[sample.name] then
    assert.equal(sample.str, object.message or object:str())
  end
  assert.equal("string", type(tostring(object)))
end

-- ---- the conversation ----

local function read_samples(child)
  local samples = {}
  for line in function() return child:line() end do
    if line == "end" then return samples end
    local name, data, repr, str = line:match("^(%S+) (%S+) (%S+) (%S+)$")
    samples[#samples + 1] = {
      name = name, data = unhex(data), repr = unhex(repr), str = unhex(str),
    }
  end
  error("the Python ended: " .. child:rest())
end

local function send_back(child, sample, protocol)
  local data = assert(pickle.dumps(sample.value, {protocol = protocol}))
  assert(child:write(("%s %s\n"):format(sample.name, hex(data))))
  assert.equal(sample.name .. " ok", child:line())
end

local function converse(child, protocol)
  assert(child:write(("pickle %d\n"):format(protocol)))
  local samples = read_samples(child)
  assert.is_true(#samples > 10)
  local problems = {}
  for _, sample in ipairs(samples) do
    local ok, err = xpcall(function()
      sample.value = assert(pickle.loads(sample.data))
      check(sample)
      send_back(child, sample, protocol)
    end, function(problem)
      return type(problem) == "table" and tostring(problem.message) or problem
    end)
    if not ok then
      problems[#problems + 1] = sample.name .. ": " .. tostring(err)
    end
  end
  assert.equal("", table.concat(problems, "\n"))
end

local function highest(python) return python.minor >= 8 and 5 or 4 end

-- One test a protocol, all of them with one process.
local function each_protocol(last, python, ...)
  local arguments = {...}
  local child
  setup(function()
    child = helpers.python(python, SCRIPT, table.unpack(arguments))
  end)
  teardown(function() child:close() end)
  for protocol = 0, last do
    it("show what they are and leave as they came, protocol " .. protocol,
       function() converse(child, protocol) end)
  end
end

for _, python in ipairs(helpers.pythons()) do
  describe("instances of Python " .. python.version, function()
    each_protocol(highest(python), python)
  end)
end

-- ---- what Lua makes ----

-- What a script prints of these values, which are its arguments.
local function as_python_sees(python, script, protocol, list)
  local argv = {python.path, "-c", script}
  for i, value in ipairs(list) do
    argv[3 + i] = hex(assert(pickle.dumps(value, {protocol = protocol}))):sub(2)
  end
  local child <close> = helpers.start(argv, {stderr = "stdout"})
  return child:rest()
end

-- ---- numpy ----

local function has_numpy(path)
  local started, child = pcall(helpers.start, {path, "-c", "import numpy"},
                               {stderr = "stdout"})
  return started and child:wait() == 0
end

-- Distributions have numpy for their own Python only.
local function find_numpy()
  for _, python in ipairs(helpers.pythons()) do
    if has_numpy(python.path) then return python end
  end
  return has_numpy("/usr/bin/python3") and {path = "/usr/bin/python3"} or nil
end

describe("numpy's arrays and scalars", function()
  local python = find_numpy()
  if not python then
    pending("need a Python that has numpy (Debian: python3-numpy)")
    return
  end
  each_protocol(5, python, "numpy")

  local script = [[
import pickle, sys, numpy
for data in sys.argv[1:]:
    a = pickle.loads(bytes.fromhex(data))
    print(type(a).__name__, a.dtype.str, a.shape, a.tolist(), a.flags.writeable)]]

  for protocol = 0, 5 do
    it("are made in Lua, protocol " .. protocol, function()
      local data = string.pack("<dddddd", 0, 1, 2, 3, 4, 5)
      assert.equal([==[
ndarray <f8 (2, 3) [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] True
ndarray <f8 (2, 3) [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]] True
ndarray |u1 () 7 True
]==], as_python_sees(python, script, protocol, {
        pickle.ndarray {dtype = "<f8", shape = {2, 3}, data = data},
        pickle.ndarray {dtype = "<f8", shape = {2, 3}, data = data,
                        fortran = true},
        pickle.ndarray {dtype = "|u1", shape = {}, data = "\7"},
      }))
    end)
  end
end)

describe("objects made in Lua", function()
  local script = [[
import pickle, sys
for data in sys.argv[1:]:
    print(repr(pickle.loads(bytes.fromhex(data))))]]

  local function made(...) return pickle.global(...) end

  local samples = {
    {"datetime.date(2022, 10, 15)", made("datetime", "date")(2022, 10, 15)},
    {"Decimal('1.50')", made("decimal", "Decimal")("1.50")},
    {"array('i', [1, 2])", made("array", "array")("i", {1, 2})},
    {"PurePosixPath('/a/b')", made("pathlib", "PurePosixPath")("/a", "b")},
    {"UUID('11111111-1111-1111-1111-111111111111')",
     made("uuid", "UUID")(("1"):rep(32))},
    {"range(1, 5)", made("builtins", "range")(1, 5)},
    {"slice(None, 5, None)", made("builtins", "slice")(nil, 5, nil)},
    {"deque([1, 2], maxlen=3)", pickle.object {
      class = made("collections", "deque"), args = {{}, 3}, items = {1, 2}}},
  }
  local pythons = helpers.pythons()

  for _, python in ipairs {pythons[1], pythons[#pythons]} do
    it("are what they say in Python " .. python.version, function()
      local expected, objects = {}, {}
      for i, sample in ipairs(samples) do
        expected[i], objects[i] = sample[1] .. "\n", sample[2]
      end
      for protocol = 0, 4 do
        assert.equal(table.concat(expected),
                     as_python_sees(python, script, protocol, objects))
      end
    end)
  end
end)

describe("compat_names.h", function()
  it("is what the newest Python has", function()
    local pythons = helpers.pythons()
    local python = pythons[#pythons]
    if not python or python.version ~= "3.13" then
      pending("needs Python 3.13, from which it was made")
      return
    end
    local child <close> = helpers.python(python, "tools/make-compat-pickle")
    local file <close> = assert(io.open("src/pickle/compat_names.h"))
    assert.equal(file:read("a"), child:rest())
  end)
end)

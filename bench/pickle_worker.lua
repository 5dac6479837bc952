-- Lua's side of bench/pickle: CODEC and FOLDER of the values; then, a line each on
-- stdin, VALUE dumps|loads COUNT, which is answered with the seconds it took, or
-- with "-" where the codec cannot carry the value.

local name, folder = ...
io.stdout:setvbuf("line")

-- Pure Lua; Debian has it for 5.3 at most.
package.path = package.path .. ";/usr/share/lua/5.3/?.lua"

local function try_require(module)
  local found, it = pcall(require, module)
  if found then return it end
  print(("- no module '%s'"):format(module))
  os.exit(0)
end

local pickle = try_require "multiprocessing.pickle"

local codecs = {}

function codecs.multiprocessing()
  return pickle.dumps, pickle.loads, ""
end

function codecs.cjson()
  local cjson = try_require "cjson"
  return cjson.encode, cjson.decode, cjson._VERSION, cjson.null
end

function codecs.MessagePack()
  local mp = try_require "MessagePack"
  return mp.pack, mp.unpack, mp._VERSION:match("%d[%d.]*")
end

local dumps, loads, version, null = codecs[name]()

-- Plain tables, and the codec's own None.
local function plain(value)
  if rawequal(value, pickle.None) and name ~= "multiprocessing" then return null end
  if type(value) ~= "table" then return value end
  if pickle.type(value) ~= "tuple" or name ~= "multiprocessing" then
    setmetatable(value, nil)
  end
  for key, part in pairs(value) do value[key] = plain(part) end
  return value
end

local function read(value)
  local file <close> = assert(io.open(folder .. "/" .. value, "rb"))
  return plain(assert(pickle.loads(file:read("a"))))
end

local values = setmetatable({}, {__index = function(t, key)
  t[key] = read(key)
  return t[key]
end})

local function run(f, argument, count)
  local clock = os.clock
  collectgarbage()
  local start = clock()
  for _ = 1, count do f(argument) end
  return clock() - start
end

print("ready " .. version)
for line in io.lines() do
  local value, what, count = line:match("^(%S+) (%S+) (%d+)$")
  if value == "bytes1M" and name == "cjson" then
    print("-") -- JSON has no bytes
  elseif what == "dumps" then
    print(run(dumps, values[value], tonumber(count)))
  else
    print(run(loads, assert(dumps(values[value])), tonumber(count)))
  end
end

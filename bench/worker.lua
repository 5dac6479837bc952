--- What the benchmark's peers in Lua share: the commands on standard input,
-- which bench/README.md describes, a clock, and the values.

local sys = require "sys" -- of the specs; for the clock only

local worker = {
  role = arg[1],   -- "server" or "client"
  folder = arg[2], -- of the values
  now = sys.monotonic,
}

--- The module, or the end: the driver is told what is missing.
function worker.require(name)
  local found, module = pcall(require, name)
  if found then return module end
  print(("- no module '%s'"):format(name))
  os.exit(0)
end

--- One line for the answer to a failure.
local function reason(err)
  return "- " .. tostring(err):gsub("\n.*", "")
end

--- Says what there is to measure, then executes commands until stdin ends.
---@param version string without spaces
---@param ways string such as "w1 w3:wait,Poller"
---@param commands table<string, function> by name; what they return is the answer
function worker.run(version, ways, commands)
  io.stdout:setvbuf("line")
  print(("ready %s %s"):format(version, ways))
  for line in io.lines() do
    local words = {}
    for word in line:gmatch("%S+") do
      table.insert(words, math.tointeger(tonumber(word)) or word)
    end
    local done, answer = pcall(commands[words[1]], table.unpack(words, 2))
    print(done and (answer or "ok") or reason(answer))
  end
end

--- The commands of this process's role.
---@param both table<string, function> what server and client share
function worker.commands(both, server, client)
  local own = worker.role == "server" and server or client
  for name, command in pairs(own) do both[name] = command end
  return both
end

--- Seconds that `f(...)` takes.
function worker.time(f, ...)
  local start = worker.now()
  f(...)
  return worker.now() - start
end

--- Which of `n` connections has the message of step `i`, and calls
--- `ask(connections[that])`: 7919 is a prime, so each has its turn.
function worker.poke(connections, count, ask)
  local at, n = 0, #connections
  for _ = 1, count do
    at = (at + 7919) % n
    ask(connections[at + 1])
  end
end

--- w7 of a client: all connections have a message at once; as if for `count`.
function worker.flood(connections, count, send, receive)
  local turns = count // #connections + 1
  local taken = worker.time(function()
    for _ = 1, turns do
      for i = 1, #connections do send(connections[i]) end
      for i = 1, #connections do receive(connections[i]) end
    end
  end)
  return taken / (turns * #connections) * count
end

--- How many messages that makes in a server, the untimed first one included.
function worker.flood_count(connections, count)
  return (count // #connections + 1) * #connections + 1
end

-- The values

-- Plain tables, and the codec's own None.
local function plain(pickle, value, null)
  if rawequal(value, pickle.None) then return null end
  if type(value) ~= "table" then return value end
  setmetatable(value, nil)
  for key, part in pairs(value) do value[key] = plain(pickle, part, null) end
  return value
end

--- A value of the folder, as it leaves with conn:send.
function worker.value(name)
  local pickle = worker.require "multiprocessing.pickle"
  local file <close> = assert(io.open(worker.folder .. "/" .. name, "rb"))
  return assert(pickle.loads(file:read("a")))
end

--- The same for a codec that has no tuples, and `null` for None.
function worker.plain_value(name, null)
  return plain(worker.require "multiprocessing.pickle", worker.value(name), null)
end

local function repeat_call(f, argument, count)
  for _ = 1, count do f(argument) end
end

--- The command of the workload codec; processor time.
---@param read fun(name: string): any the value of that name
---@param cannot table<string, boolean>? names of values that it cannot carry
function worker.codec(dumps, loads, read, cannot)
  local values = setmetatable({}, {__index = function(t, name)
    t[name] = read(name)
    return t[name]
  end})
  return function(way, name, count)
    if cannot and cannot[name] then error("cannot carry " .. name, 0) end
    local f, argument = dumps, values[name]
    if way == "loads" then f, argument = loads, assert(dumps(argument)) end
    collectgarbage()
    local start = os.clock()
    repeat_call(f, argument, count)
    return os.clock() - start
  end
end

return worker

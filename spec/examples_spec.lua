-- The programs in examples/, run as a reader would run them.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local KEY = "secret password"

local function any_python()
  return assert(helpers.pythons()[1], "no Python 3 on this machine")
end

describe("examples/demo_server.lua", function()
  it("answers both demo clients, then ends", function()
    local dir <close> = helpers.tmpdir()
    local path = dir:join("socket")
    local server <close> = helpers.lua("examples/demo_server.lua", path, 2)
    assert.equal("ready", server:line())

    local python <close> =
      helpers.python(any_python(), "examples/demo_client.py", path)
    local code, said = python:wait()
    assert.equal(0, code)
    assert.matches("sent b'hello from python', received b'HELLO FROM PYTHON'",
                   said, 1, true)

    local lua <close> = helpers.lua("examples/demo_client.lua", path)
    code, said = lua:wait()
    assert.equal(0, code)
    assert.matches('sent "goodbye", received "GOODBYE"', said, 1, true)
    assert.equal(0, (server:wait()))
  end)
end)

describe("examples/echo_server.lua", function()
  local function start(...)
    local arguments = {...}
    table.insert(arguments, {stderr = "stdout"})
    local server = helpers.lua("examples/echo_server.lua", table.unpack(arguments))
    return server, assert(server:line():match("^listening at (.*)$"))
  end

  local function join(address)
    local conn = assert(connection.Client(address, {authkey = KEY, timeout = LIMIT}))
    conn:settimeout(LIMIT)
    return conn
  end

  it("echoes the lines of echo_client.py, over either family", function()
    local dir <close> = helpers.tmpdir()
    for _, arguments in ipairs {{dir:join("socket")}, {"127.0.0.1", 0}} do
      local server <close>, address = start(table.unpack(arguments))
      local host, port = address:match("^(127%.0%.0%.1):(%d+)$")
      local client <close> = helpers.python(
        any_python(), "examples/echo_client.py",
        table.unpack(host and {host, port} or {address}))
      for _, line in ipairs {"hello", "is anybody there?"} do
        client:write(line .. "\n")
        assert.equal(line, client:line())
      end
      assert.equal(0, (client:wait()))
      assert(server:kill(sys.SIGINT)) -- Ctrl-C
      assert.equal(1, (server:wait()))
    end
  end)

  it("serves clients side by side, whatever one of them does", function()
    local dir <close> = helpers.tmpdir()
    local server <close>, address = start(dir:join("socket"))
    local silent <close> = helpers.raw_client(address)
    local a <close> = join(address)
    local b <close> = join(address)
    assert(b:send_bytes("from b"))
    assert.equal("from b", (b:recv_bytes()))
    assert(a:send_bytes("from a"))
    assert.equal("from a", (a:recv_bytes()))

    local greedy <close> = join(address)
    greedy:send_bytes(("x"):rep((1 << 20) + 1))
    assert.matches("^dropped: OSError: .*bad message length", server:line())
    local stranger, err = connection.Client(address, {authkey = "wrong"})
    assert.is_nil(stranger)
    assert.equal("AuthenticationError", err.name)
    assert.matches("^turned away: AuthenticationError", server:line())

    assert(a:send_bytes("still there"))
    assert.equal("still there", (a:recv_bytes()))
    assert.is_true(silent:poll("r", LIMIT)) -- it was challenged all the same
  end)

  it("has room again when clients leave", function()
    local dir <close> = helpers.tmpdir()
    local server <close>, address = start(dir:join("socket"))
    for i = 1, 20 do
      local conn <close> = join(address)
      assert(conn:send_bytes("client " .. i))
      assert.equal("client " .. i, (conn:recv_bytes()))
    end
    assert.is_nil(server.exitcode)
  end)
end)

for _, name in ipairs {"echo_cqueues.lua", "echo_luv.lua"} do
  describe("examples/" .. name, function()
    it("echoes for many clients at once", function()
      local dir <close> = helpers.tmpdir()
      local path = dir:join("socket")
      local server <close> = helpers.lua("examples/" .. name, path,
                                         {stderr = "stdout"})
      assert.equal("listening at " .. path, server:line())
      local silent <close> = helpers.raw_client(path)
      local clients = {}
      for i = 1, 5 do
        clients[i] = assert(connection.Client(path, {authkey = KEY, timeout = LIMIT}))
        clients[i]:settimeout(LIMIT)
      end
      for i = 5, 1, -1 do
        assert(clients[i]:send_bytes("from " .. i))
        assert.equal("from " .. i, clients[i]:recv_bytes())
        clients[i]:close()
      end
      local python <close> =
        helpers.python(any_python(), "examples/echo_client.py", path)
      python:write("hello\n")
      assert.equal("hello", python:line())
      assert.equal(0, (python:wait()))
      assert.is_nil(server.exitcode)
      assert.is_true(silent:poll("r", LIMIT))
    end)
  end)
end

describe("examples/chat_server.lua", function()
  it("lets everybody hear what one says", function()
    local dir <close> = helpers.tmpdir()
    local path = dir:join("socket")
    local server <close> = helpers.lua("examples/chat_server.lua", path)
    assert.equal("ready", server:line())
    local function join(name)
      local conn = assert(connection.Client(path))
      conn:settimeout(LIMIT)
      assert(conn:send(name))
      assert.equal(name .. " joins", (conn:recv()))
      return conn
    end
    local ada = join("ada")
    local bob <close> = join("bob")
    assert.equal("bob joins", (ada:recv()))
    assert(bob:send("hello"))
    assert.equal("bob: hello", (ada:recv()))
    ada:close()
    assert.equal("ada leaves", (bob:recv()))
  end)
end)

describe("examples/work_queue.lua", function()
  for language, worker in pairs {
    Lua = function(path)
      return helpers.lua("examples/work_queue_worker.lua", path)
    end,
    Python = function(path)
      return helpers.python(any_python(), "examples/work_queue_worker.py", path)
    end,
  } do
    it("has its work done by workers in " .. language .. ", and takes it back", function()
      local dir <close> = helpers.tmpdir()
      local path = dir:join("socket")
      local queue <close> = helpers.lua("examples/work_queue.lua", path)
      assert.equal("ready", queue:line())
      do -- takes a job, and leaves
        local idler <close> = assert(connection.Client(path))
        idler:settimeout(LIMIT)
        assert.equal(1, (idler:recv()))
      end
      local busy <close> = worker(path)
      local squares = {}
      for i = 1, 20 do squares[i] = i * i end
      assert.equal(table.concat(squares, " "), queue:line())
      assert.equal(0, (queue:wait()))
      assert.equal(0, (busy:wait()))
    end)
  end
end)

describe("examples/fan_in.lua", function()
  it("prints each message of each child, those of one in their order", function()
    local program <close> = helpers.lua("examples/fan_in.lua")
    local code, said = program:wait()
    assert.equal(0, code)
    local seen, count = {}, 0
    for number, name in said:gmatch("%((%d), '(Process%-%d)'%)\n") do
      assert.equal(seen[name] or 0, tonumber(number))
      seen[name] = tonumber(number) + 1
      count = count + 1
    end
    assert.same({["Process-1"] = 10, ["Process-2"] = 10, ["Process-3"] = 10,
                 ["Process-4"] = 10}, seen)
    assert.equal(40, count)
  end)
end)

describe("examples/spawn_python.lua", function()
  for _, python in ipairs(helpers.pythons()) do
    it("has work done by Python " .. python.version, function()
      local program <close> = helpers.lua("examples/spawn_python.lua", python.path)
      local code, said = program:wait()
      assert.equal("mean 3, median 2\nmean 5, median 5\nexit code 0\n", said)
      assert.equal(0, code)
    end)
  end
end)

describe("examples/prefork.lua", function()
  local function start(...)
    local arguments = {...}
    table.insert(arguments, {stderr = "stdout"})
    local server = helpers.lua("examples/prefork.lua", table.unpack(arguments))
    return server, assert(server:line():match("^listening at (.*)$"))
  end

  local function stop(server)
    assert(server:kill(sys.SIGINT)) -- Ctrl-C
    assert.equal(1, (server:wait())) -- when the workers have ended, too
  end

  local function join(address, greeting)
    local conn = assert(connection.Client(address, {authkey = KEY, timeout = LIMIT}))
    conn:settimeout(LIMIT)
    assert(conn:send_bytes(greeting))
    return conn
  end

  it("has each worker serve a client, over either family", function()
    local dir <close> = helpers.tmpdir()
    for _, arguments in ipairs {{2, dir:join("socket")}, {2, "127.0.0.1", 0}} do
      local server <close>, text = start(table.unpack(arguments))
      local host, port = text:match("^(127%.0%.0%.1):(%d+)$")
      local address = host and {host, math.tointeger(port)} or text
      local a <close> = join(address, "from a")
      local b <close> = join(address, "from b")
      assert.equal("from a", a:recv_bytes())
      assert.equal("from b", b:recv_bytes()) -- both are served at once
      local c <close> = join(address, "from c")
      assert.is_false(c:poll(0)) -- and a third one waits for its turn
      assert(a:close())
      assert.equal("from c", c:recv_bytes())
      b:close()
      c:close()
      stop(server)
    end
  end)

  it("echoes the lines of echo_client.py, one client after another", function()
    local dir <close> = helpers.tmpdir()
    local server <close>, address = start(1, dir:join("socket"))
    for _ = 1, 3 do
      local client <close> = helpers.python(any_python(), "examples/echo_client.py",
                                            address)
      client:write("hello\n")
      assert.equal("hello", client:line())
      assert.equal(0, (client:wait()))
    end
    stop(server)
  end)
end)

-- What is opened is closed, what is taken is given back: descriptors, memory,
-- registry entries, files; also where something goes wrong in the middle, and
-- across fork and exec.

local connection = require "multiprocessing.connection"
local sys = require "sys"
local helpers = require "helpers"
local processes = require "processes"

local CHILD = "spec/fixtures/leak_child.lua"
local ROUNDS = helpers.slow and 200 or 2000
local LARGE = ("x"):rep(5 * 1024 * 1024)

-- Collects all garbage, that of finalizers included.
local function collect()
  for _ = 1, 3 do collectgarbage() end
end

-- Runs `f` often; the descriptors must be as many as before, once the garbage
-- is gone. Each few rounds it is collected anyway: a limit on descriptors must
-- not decide. `finish` ends what they began.
local function keeps_descriptors(f, rounds, finish)
  collect()
  local before = helpers.nfds()
  for i = 1, rounds or ROUNDS do
    f(i)
    if i % 50 == 0 then collectgarbage() end
  end
  if finish then finish() end
  collect()
  assert.equal(before, helpers.nfds())
end

local fails = helpers.assert_fails

-- A listener, a client and what the listener accepted.
local function meet(options)
  local listener = assert(connection.Listener(nil, options))
  local client = assert(connection.Client(listener.address, {
    authkey = options and options.authkey, nonblocking = true,
  }))
  local server
  repeat
    local ready = assert(connection.wait({listener, client}, helpers.timeout))
    assert(#ready > 0)
    for _, object in ipairs(ready) do
      if object == listener then server = assert(listener:accept()) end
    end
  until server
  assert(client:handshake())
  return listener, client, server
end

describe("an object that is abandoned", function()
  it("gives its descriptors back: Pipe", function()
    keeps_descriptors(function(i)
      local a = assert(connection.Pipe(i % 2 == 0))
      a = assert(connection.Connection(a)) -- handed on
      return a
    end)
  end)

  it("gives its descriptors back: Connection", function()
    keeps_descriptors(function()
      local fd, other = assert(sys.socketpair())
      assert(connection.Connection(fd))
      assert(connection.Connection(other, false, true))
    end)
  end)

  it("gives its descriptors and files back: Listener", function()
    local directory <close> = helpers.tmpdir()
    keeps_descriptors(function(i)
      local address = directory:join("socket" .. i)
      local options = {authkey = i % 2 == 0 and "key" or nil}
      assert(connection.Listener(address, options))
      assert(connection.Listener({"127.0.0.1", 0}, options))
    end)
    assert.same({}, sys.listdir(directory.path))
  end)

  it("gives its descriptors back: Client, accepted connection", function()
    keeps_descriptors(function()
      meet()
    end, ROUNDS / 4)
  end)

  it("gives its descriptors back in the middle of a handshake", function()
    local listener <close> = assert(connection.Listener(nil, {
      authkey = "key", backlog = 10,
    }))
    keeps_descriptors(function()
      assert(connection.Client(listener.address, {
        authkey = "key", nonblocking = true,
      }))
      connection.wait({listener}, 0)
    end, ROUNDS, function()
      collect()
      repeat -- the listener's own share: those that it greeted
        local _, err = listener:accept(0)
      until err.name == "TimeoutError"
    end)
  end)

  it("gives its descriptors back: Poller", function()
    local a, b, _ <close> = helpers.pair()
    keeps_descriptors(function(i)
      local poller = assert(connection.Poller())
      assert(poller:add(a))
      assert(poller:add(b))
      assert(poller:add(0))
      assert(poller:wait(0))
      if i % 2 == 0 then assert(poller:close()) end
    end)
  end)

  it("gives the pending peers' descriptors back: Listener", function()
    keeps_descriptors(function()
      local listener = assert(connection.Listener(nil, {
        authkey = "key", backlog = 10,
      }))
      for _ = 1, 5 do helpers.raw_client(listener) end
      assert.same({}, connection.wait({listener}, 0))
    end, ROUNDS / 10)
  end)

  it("gives its descriptors back: Process", function()
    local pids = {}
    keeps_descriptors(function(i)
      pids[i] = assert(connection.spawn {"true"}).pid
    end, ROUNDS / 20, function()
      for _, pid in ipairs(pids) do
        processes.await_gone(pid, collectgarbage)
      end
    end)
  end)

  it("gives its memory back: Buffer, held message, half a message", function()
    local function round()
      local a, b = assert(connection.Pipe())
      a:settimeout(0)
      b:settimeout(0)
      assert(a:send_bytes(LARGE))
      fails("TimeoutError", b:recv_bytes())
      return connection.Buffer(1000000)
    end
    round()
    collect()
    local before = collectgarbage("count")
    for _ = 1, 20 do round() end
    collect()
    assert.truthy(collectgarbage("count") - before < 100)
  end)
end)

describe("a descriptor that is passed", function()
  it("is one more for the receiver alone", function()
    local a, b, _ <close> = helpers.pair()
    keeps_descriptors(function()
      assert(a:send_handle(a))
      assert(connection.Connection(assert(b:recv_handle()))):close()
    end)
  end)

  it("is no one's where nobody receives it", function()
    keeps_descriptors(function()
      local a, b, _ <close> = helpers.pair()
      assert(a:send_handle(a))
      assert(b:send_handle(a))
    end)
  end)

  it("is dropped where a message was wanted", function()
    local a, b, _ <close> = helpers.pair()
    keeps_descriptors(function()
      assert(sys.send_fds(a:fileno(), helpers.frame("message"), 0, 1, 2))
      assert.equal("message", b:recv_bytes())
    end)
  end)

  it("is dropped with what else came wrong", function()
    local a, b, _ <close> = helpers.pair()
    keeps_descriptors(function(i)
      assert(sys.send_fds(a:fileno(), string.char(i % 256), 0, 1, 2))
      fails("RuntimeError", b:recv_handle())
    end)
  end)
end)

describe("what goes wrong in the middle", function()
  it("leaves no descriptor: binding", function()
    local listener <close> = assert(connection.Listener({"127.0.0.1", 0}))
    local directory <close> = helpers.tmpdir()
    local path = directory:join("socket")
    local other <close> = assert(connection.Listener(path))
    keeps_descriptors(function()
      fails("OSError", connection.Listener(listener.address))
      fails("OSError", connection.Listener(path))
      fails("OSError", connection.Listener(path, {reuse = true}))
      fails("FileNotFoundError", connection.Listener(directory:join("no/path")))
      fails("OSError", connection.Listener(("long/"):rep(40)))
    end)
    assert.equal(path, other.address)
    assert.equal("socket", sys.stat(path).type)
  end)

  it("leaves no descriptor: connecting", function()
    local listener = assert(connection.Listener({"127.0.0.1", 0}))
    local address = listener.address
    listener:close()
    keeps_descriptors(function()
      fails("ConnectionRefusedError", connection.Client(address))
      fails("FileNotFoundError", connection.Client("/no/such/path"))
      fails("TimeoutError", connection.Client("/no/such/path", {
        retry = true, timeout = 0,
      }))
    end)
  end)

  it("leaves no descriptor: spawn", function()
    keeps_descriptors(function()
      fails("FileNotFoundError", connection.spawn {"/no/such/program"})
      fails("FileNotFoundError", connection.spawn({"true"}, {cwd = "/no/such"}))
      fails("OSError", connection.spawn({"true"}, {stdin = 0x7ffffffe}))
      assert.error(function() connection.spawn {} end)
      assert.error(function() connection.spawn({"true"}, {env = {1}}) end)
      fails("ProcessLookupError", connection.parent())
    end, ROUNDS / 20)
  end)

  it("leaves no descriptor: spawn without room for all of them", function()
    if helpers.slow then
      pending("valgrind has limits of its own")
      return
    end
    collect()
    local before = helpers.nfds()
    local limit = assert(sys.setrlimit_nofile(-1))
    local _ <close> = setmetatable({}, {__close = function()
      sys.setrlimit_nofile(limit)
    end})
    local first = assert(sys.dup(0)) -- the lowest that is free
    sys.close(first)
    local failures, process, err = 0
    repeat
      sys.setrlimit_nofile(first + failures)
      process, err = connection.spawn(processes.idle, {stderr = "null"})
      sys.setrlimit_nofile(-1)
      if not process then
        assert.equal("EMFILE", err.code, tostring(err))
        failures = failures + 1
        assert.equal(before, helpers.nfds())
      end
    until process
    assert.truthy(failures >= 4, failures) -- two pairs, at least
    process:close()
    assert.equal(before, helpers.nfds())
    assert.equal("ECHILD", select(2, sys.waitpid(-1, true)))
  end)

  it("leaves no descriptor: misuse", function()
    local raw <close> = helpers.raw(assert(sys.dup(0)))
    keeps_descriptors(function()
      assert.error(function() connection.Listener(nil, {colour = "red"}) end)
      assert.error(function() connection.Client({"localhost"}) end)
      assert.error(function() connection.Pipe("maybe") end)
      assert.error(function() connection.Connection(raw.fd, false, false) end)
      assert.error(function() connection.Connection(raw.fd, true, true, 1) end)
    end)
    assert.truthy(sys.is_cloexec(raw.fd)) -- still open, and still ours
  end)

  it("leaves no descriptor: a handshake", function()
    local listener <close> = assert(connection.Listener(nil, {
      authkey = "key", backlog = 10,
    }))
    keeps_descriptors(function()
      local client = assert(connection.Client(listener.address, {
        authkey = "wrong", nonblocking = true,
      }))
      local ended = {}
      repeat
        local ready = assert(connection.wait({listener, client},
                                             helpers.timeout))
        for _, object in ipairs(ready) do ended[object] = true end
      until ended[listener] and ended[client]
      fails("AuthenticationError", listener:accept())
      fails("AuthenticationError", client:handshake())
    end, ROUNDS / 4)
  end)

  it("leaves no descriptor: adopting", function()
    local path <close> = helpers.tmpdir()
    keeps_descriptors(function()
      fails("OSError", connection.Connection(0x7fffffff))
      assert.error(function() connection.Connection(-1) end)
      assert.error(function() connection.Connection(path) end)
    end)
  end)

  it("leaves no descriptor: running out of them", function()
    if helpers.slow then
      pending("valgrind takes a peer from the backlog before it says EMFILE")
      return
    end
    local listener <close> = assert(connection.Listener(nil, {authkey = "key"}))
    local waiting <close> = assert(connection.Client(listener.address, {
      authkey = "key", nonblocking = true,
    }))
    collect()
    local before = helpers.nfds()
    local highest = math.max(before, listener:fileno(), waiting:fileno())
    local limit = assert(sys.setrlimit_nofile(highest + 3))
    local _ <close> = setmetatable({}, {__close = function()
      sys.setrlimit_nofile(limit)
    end})
    local hog = {}
    repeat
      local a, b = connection.Pipe()
      table.insert(hog, {a, b})
    until not a
    local last = sys.dup(0)
    while last do
      table.insert(hog, helpers.raw(last))
      last = sys.dup(0)
    end
    local function full(value, err)
      assert.is_nil(value)
      assert.equal("EMFILE", err.code)
    end
    full(connection.Pipe())
    full(connection.Pipe(false))
    full(connection.Listener())
    full(connection.Client(listener.address))
    full(listener:accept(0))
    hog = nil -- luacheck: ignore 311
    collect()
    assert.equal(before, helpers.nfds())
    -- and it goes on where it was
    local server
    repeat
      for _, object in ipairs(connection.wait({listener, waiting},
                                              helpers.timeout)) do
        if object == listener then server = assert(listener:accept()) end
      end
    until server
    server:close()
  end)
end)

describe("memory", function()
  it("does not grow in the registry", function()
    local function entries()
      local n = 0
      for _ in pairs(debug.getregistry()) do n = n + 1 end
      return n
    end
    local function round()
      local listener, client, server = meet {authkey = "key"}
      assert(client:send_bytes("hello"))
      assert.equal("hello", server:recv_bytes())
      assert(connection.wait({listener, server, client}, 0))
      server:settimeout(0)
      fails("TimeoutError", server:recv_bytes())
      client:close()
      server:close()
      listener:close()
    end
    round()
    collect()
    local before = entries()
    for _ = 1, 50 do round() end
    collect()
    assert.equal(before, entries())
  end)

  -- Freed memory is not resident any more, but with a sanitizer's allocator.
  local function measures()
    if sys.rss() and not (os.getenv("LD_PRELOAD") or ""):find("asan") then
      return true
    end
    pending("resident memory cannot be measured here")
    return false
  end

  -- In a host that counts all memory of Lua's and of the module's.
  it("goes back after large messages", function()
    local child <close> = helpers.host("plain", "spec/fixtures/leak_script.lua")
    local code, said = child:wait()
    assert.equal(0, code, said)
  end)

  -- Both ends in processes of their own; each connection has been used.
  local function cost_of_idle_connections(key)
    local n = helpers.slow and 300 or 2000
    local limit = assert(sys.setrlimit_nofile(-1))
    local arguments = {CHILD, n, key}
    table.insert(arguments, {stderr = "stdout"})
    local child <close> = helpers.lua(table.unpack(arguments))
    local address = child:line()
    local clients = {}
    for i = 1, n do
      local client = assert(connection.Client(address, {
        authkey = key, timeout = helpers.timeout, retry = true,
      }))
      assert(client:send_bytes("hello"))
      assert.equal("hello", client:recv_bytes())
      clients[i] = client
    end
    local said = child:line()
    local rss, count = said:match("^(%d+) (%d+)$")
    assert(rss, said)
    assert.equal(0, child:wait())
    for _, client in ipairs(clients) do client:close() end
    sys.setrlimit_nofile(limit)
    return math.tointeger(rss), math.tointeger(count)
  end

  for name, key in pairs {["without a key"] = false, ["with a key"] = "key"} do
    it("is not held by an idle accepted connection " .. name, function()
      if not measures() then return end
      local rss, count = cost_of_idle_connections(key or nil)
      local cost = ("%d bytes resident, %d of Lua's"):format(rss, count)
      if os.getenv("MULTIPROCESSING_REPORT") then print(name, cost) end
      assert.truthy(rss < 1024, cost)
      assert.truthy(count < 512, cost)
    end)
  end

  it("of a held message goes with a close that cannot deliver it", function()
    local peer <close> = helpers.raw_peer()
    collect()
    local before = collectgarbage("count")
    peer.conn:settimeout(0)
    assert(peer.conn:send_bytes(("y"):rep(#LARGE)))
    fails("TimeoutError", peer.conn:close())
    collect()
    assert.truthy(collectgarbage("count") - before < 100,
                  "a closed connection keeps the string")
  end)
end)

describe("close-on-exec", function()
  local function assert_cloexec(object)
    assert.is_true(sys.is_cloexec(object:fileno()))
  end

  it("is set for both ends of a Pipe", function()
    for _, duplex in ipairs {true, false} do
      local a, b, _ <close> = helpers.pair(duplex)
      assert_cloexec(a)
      assert_cloexec(b)
    end
  end)

  for name, address in pairs {
    unix = false, abstract = helpers.abstract_name(), inet = {"127.0.0.1", 0},
  } do
    it("is set for a listener, a client, what is accepted: " .. name, function()
      local listener <close> = assert(connection.Listener(address or nil,
                                                          {authkey = "key"}))
      local client <close> = assert(connection.Client(listener.address, {
        authkey = "key", nonblocking = true,
      }))
      assert_cloexec(listener)
      assert_cloexec(client) -- and still connecting
      local server
      repeat
        for _, object in ipairs(connection.wait({listener, client},
                                                helpers.timeout)) do
          if object == listener then server = assert(listener:accept()) end
        end
      until server
      local _ <close> = server
      assert(client:handshake())
      assert_cloexec(client)
      assert_cloexec(server)
    end)
  end

  it("leaves a program that is started nothing of ours", function()
    local function seen()
      local program <close> = assert(io.popen("ls /dev/fd | wc -l"))
      return math.tointeger(program:read("n"))
    end
    local before = seen()
    local a, b, _ <close> = helpers.pair()
    local listener, client, server = meet {authkey = "key"}
    local _ <close> = helpers.closing(server, client, listener)
    assert.equal(before, seen())
    assert.truthy(a and b)
  end)
end)

describe("a forked child", function()
  local function assert_alive(listener, path)
    assert.equal("socket", (sys.stat(path) or {}).type)
    local raw <close> = helpers.raw_client(listener)
    local conn <close> = assert(listener:accept(helpers.timeout))
    raw:write_frame("alive")
    assert.equal("alive", conn:recv_bytes())
  end

  it("leaves its parent's socket file alone when it closes", function()
    local listener <close> = assert(connection.Listener())
    local path = listener.address
    local child <close> = helpers.fork(function()
      assert(listener:close())
      assert(not sys.stat(path .. "x"))
    end)
    assert.equal(0, child:wait())
    assert_alive(listener, path)
    listener:close()
    assert.is_nil(sys.stat(path))
    assert.is_nil(sys.stat(path:match("^(.*)/"))) -- the private directory
  end)

  it("leaves its parent's socket file alone when it collects", function()
    local directory <close> = helpers.tmpdir()
    local path = directory:join("socket")
    local kept = {assert(connection.Listener(path))}
    local child <close> = helpers.fork(function()
      kept = nil
      collect()
      return sys.stat(path) and 0 or 1
    end)
    assert.equal(0, child:wait())
    assert_alive(kept[1], path)
    kept[1]:close()
    assert.is_nil(sys.stat(path))
  end)

  it("leaves its parent's socket file alone when it exits", function()
    local program = [[
      local connection = require "multiprocessing.connection"
      local sys = require "sys"
      local listener = assert(connection.Listener())
      local path = listener.address
      local pid = assert(sys.fork())
      if pid == 0 then os.exit(0, true) end
      assert(sys.waitpid(pid) == 0)
      print(sys.stat(path) and "there" or "gone")
      io.stdout:flush()
      listener = nil
      collectgarbage()
      print(sys.stat(path:match("^(.*)/")) and "there" or "gone")]]
    local child <close> = helpers.lua(program, {stderr = "stdout"})
    local code, said = child:wait()
    assert.equal("there\ngone\n", said)
    assert.equal(0, code)
  end)

  -- Runs `f(kept)` in the child of a parent whose connection, kept[1], holds a
  -- message; that must arrive once.
  local function sends_nothing(f)
    local fd, other = assert(sys.socketpair())
    local raw <close> = helpers.raw(fd)
    local kept = {assert(connection.Connection(other))}
    kept[1]:settimeout(0)
    assert(kept[1]:send_bytes(LARGE))
    local received, flushed = {}, false
    local function receive()
      while raw:poll("r", 0) do
        local bytes = assert(raw:read(65536))
        table.insert(received, bytes)
      end
    end
    receive() -- now there is room
    assert.is_true(#received > 0)
    local child <close> = helpers.fork(function() f(kept) end)
    assert.equal(0, child:wait())
    while not flushed do
      flushed = kept[1]:flush(0)
      receive()
    end
    assert.equal(#helpers.frame(LARGE), #table.concat(received))
    assert.truthy(table.concat(received) == helpers.frame(LARGE))
    kept[1]:close()
  end

  it("sends nothing of a message that its parent holds: garbage", function()
    sends_nothing(function(kept)
      kept[1] = nil
      collect()
    end)
  end)

  it("sends nothing of a message that its parent holds: close", function()
    sends_nothing(function(kept) kept[1]:close() end)
  end)

  it("sends nothing of a message that its parent holds: <close>", function()
    sends_nothing(function(kept)
      local _ <close> = kept[1]
    end)
  end)
end)

-- Client: connecting in all families, retry, deadlines, nonblocking.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local SHORT = helpers.short
local INET = {"127.0.0.1", 0}
local KEY = "secret password"

local assert_fails = helpers.assert_fails
local assert_misuse = helpers.assert_misuse

local function elapsed(f, ...)
  local start = sys.monotonic()
  local results = table.pack(f(...))
  return sys.monotonic() - start, table.unpack(results, 1, results.n)
end

local function listen(address, options)
  return assert(connection.Listener(address, options))
end

local function connect(address, options)
  local client = assert(connection.Client(address, options))
  client:settimeout(LIMIT)
  return client
end

--- An address where no one listens: of a listener that was.
local function deserted()
  local listener <close> = listen(INET)
  return listener.address
end

--- A raw listener with a full backlog at `path`, and what closes it all.
local function full_listener(path)
  local server = helpers.raw_listener(path, 0)
  local waiting = helpers.raw_client(path)
  return server, waiting, helpers.closing(waiting, server)
end

--- A child that listens at `path` from when it is told to, takes one peer and
--- echoes what it says.
local function late_listener(path)
  return helpers.lua([[
    local connection = require "multiprocessing.connection"
    assert(io.read() == "go")
    local listener <close> = assert(connection.Listener(arg[1]))
    local conn <close> = assert(listener:accept(]] .. LIMIT .. [[))
    for message in conn:messages("bytes") do assert(conn:send_bytes(message)) end
  ]], path)
end

local function has_ipv6()
  local fd = sys.inet_listen("::1")
  if fd then sys.close(fd) end
  return fd ~= nil
end

describe("Client", function()
  local places = {
    {"AF_INET", function() return INET end}, {"AF_UNIX", function() return nil end},
    {"the abstract namespace", helpers.abstract_name},
  }
  if has_ipv6() then table.insert(places, {"AF_INET6", function() return {"::1", 0} end}) end

  for _, place in ipairs(places) do
    it("reaches a listener in " .. place[1], function()
      local listener <close> = listen(place[2]())
      local client <close> = connect(listener.address)
      local conn <close> = assert(listener:accept(LIMIT))
      assert(client:send_bytes("there"))
      assert.equal("there", conn:recv_bytes())
      assert(conn:send_bytes("back"))
      assert.equal("back", client:recv_bytes())
    end)

    it("has the address that it was given, in " .. place[1], function()
      local listener <close> = listen(place[2]())
      local client <close> = connect(listener.address)
      assert.same(listener.address, client.address)
      assert.equal(tostring(listener.address), tostring(client.address))
    end)

    it("has its peer's address in " .. place[1], function()
      local listener <close> = listen(place[2]())
      local client <close> = connect(listener.address)
      assert.same(listener.address, client.peer)
    end)
  end

  it("keeps the name of the host in its address", function()
    local listener <close> = listen(INET)
    local client <close> = connect({"localhost", listener.address[2]})
    assert.equal("localhost", client.address[1])
    assert.equal("127.0.0.1", client.peer[1])
  end)

  it("has an address that does not change with the table it was given", function()
    local listener <close> = listen(INET)
    local address = {"127.0.0.1", listener.address[2]}
    local client <close> = connect(address)
    address[1] = "elsewhere"
    assert.equal("127.0.0.1", client.address[1])
  end)

  it("still knows its address when it is closed", function()
    local listener <close> = listen(INET)
    local client = connect(listener.address)
    client:close()
    assert.same(listener.address, client.address)
  end)

  it("prints its type and descriptor, or that it is closed", function()
    local listener <close> = listen()
    local client <close> = connect(listener.address)
    assert.equal(("multiprocessing.connection.Client (descriptor %d)"):format(client:fileno()),
                 tostring(client))
    client:close()
    assert.equal("multiprocessing.connection.Client (closed)", tostring(client))
  end)

  it("has every method of a Connection, and the names that Lua looks for", function()
    local listener <close> = listen()
    local client <close> = connect(listener.address)
    local conn <close> = assert(listener:accept(LIMIT))
    for _, name in ipairs {
      "send_bytes", "recv_bytes", "recv_bytes_into", "poll", "settimeout", "flush", "fileno",
      "getfd", "dirty", "pollfd", "events", "timeout", "close", "detach", "messages",
    } do
      assert.equal("function", type(conn[name]), name)
      assert.equal("function", type(client[name]), name)
    end
    assert.is_nil(conn.handshake)
    local mt = getmetatable(client)
    assert.equal("multiprocessing.connection.Client", mt.__name)
    for _, name in ipairs {"__gc", "__close", "__tostring"} do
      assert.equal("function", type(mt[name]), name)
    end
  end)

  it("is closed on exec and in blocking mode", function()
    for _, address in ipairs {INET, helpers.abstract_name()} do
      local listener <close> = listen(address)
      local client <close> = connect(listener.address)
      assert.is_true(sys.is_cloexec(client:fileno()))
      assert.is_false(sys.is_nonblocking(client:fileno()))
    end
  end)

  it("passes max_message and readahead on", function()
    local listener <close> = listen()
    local client <close> = connect(listener.address, {max_message = 6, readahead = false})
    local conn <close> = assert(listener:accept(LIMIT))
    for _, message in ipairs {"first", "second", "the third"} do
      assert(conn:send_bytes(message))
    end
    assert.equal("first", client:recv_bytes())
    assert.is_false(client:dirty())
    assert.equal("second", client:recv_bytes())
    assert_fails("OSError", client:recv_bytes())
    assert.is_false(client.readable)
  end)

  it("reads ahead by default", function()
    local listener <close> = listen()
    local client <close> = connect(listener.address)
    local conn <close> = assert(listener:accept(LIMIT))
    for _, message in ipairs {"first", "second"} do assert(conn:send_bytes(message)) end
    assert.equal("first", client:recv_bytes())
    assert.is_true(client:dirty())
  end)
end)

describe("Client: misuse of an argument", function()
  for name, address in pairs {
    ["a number"] = 6000, ["a boolean"] = true, ["an empty path"] = "",
    ["a path with a zero"] = "/tmp/a\0b", ["an empty table"] = {},
    ["a port that is a string"] = {"localhost", "1"}, ["no port"] = {"localhost"},
    ["a port out of range"] = {"localhost", 65536}, ["a host with a zero"] = {"a\0b", 1},
  } do
    it("throws for " .. name .. " as address", function()
      assert_misuse("bad argument #1", connection.Client, address)
    end)
  end

  it("throws without an address", function()
    assert_misuse("bad argument #1", connection.Client)
    assert_misuse("bad argument #1", connection.Client, nil, {family = "AF_INET"})
  end)

  it("throws for a named pipe, which this system has not", function()
    assert_misuse("AF_PIPE", connection.Client, [[\\.\pipe\spec]])
    assert_misuse("AF_PIPE", connection.Client, "x", {family = "AF_PIPE"})
  end)

  it("throws for an address that is not of the family", function()
    assert_misuse("family", connection.Client, "/tmp/x", {family = "AF_INET"})
    assert_misuse("family", connection.Client, INET, {family = "AF_UNIX"})
  end)

  it("throws for an option that it does not know, and names it", function()
    for _, name in ipairs {"backlog", "mode", "reuse", "allow", "authKey"} do
      assert_misuse("'" .. name .. "'", connection.Client, INET, {[name] = 1})
    end
    assert_misuse("bad argument #2", connection.Client, INET, 5)
  end)

  local options = {
    family = {1, "AF_X25"}, authkey = {1, true}, timeout = {"1", 0 / 0, {}},
    retry = {1, "yes"}, max_message = {-1, 1.5, "1"}, digest = {"sha1", 1},
    digests = {{}, {"sha1"}, "md5"}, keepalive = {"1", true}, readahead = {1},
    nonblocking = {1, "true"},
  }
  for name, values in pairs(options) do
    it("throws for a wrong " .. name .. ", and names it", function()
      for _, value in ipairs(values) do
        assert_misuse("bad argument #2.*" .. name:gsub("s$", ""),
                      connection.Client, INET, {[name] = value})
      end
    end)
  end

  it("throws for a timeout of handshake that is no number of seconds", function()
    local listener <close> = listen()
    local client <close> = connect(listener.address)
    for _, timeout in ipairs {"1", {}, true, 0 / 0} do
      assert_misuse("bad argument #1 to 'handshake'", function() client:handshake(timeout) end)
    end
    client:close()
    assert_misuse("closed", function() client:handshake() end)
  end)
end)

describe("Client: what the world does", function()
  it("is ConnectionRefusedError where no one listens, and names the address", function()
    local address = deserted()
    local err = assert_fails("ConnectionRefusedError", connection.Client(address))
    assert.equal("ECONNREFUSED", err.code)
    assert.equal("integer", math.type(err.errno))
    assert.matches(tostring(address), err.message, 1, true)
    assert.matches("^ConnectionRefusedError: ", tostring(err))
  end)

  it("is ConnectionRefusedError at a stale socket file and an unused abstract name", function()
    local dir <close> = helpers.tmpdir()
    helpers.raw_listener(dir:join("stale")):close()
    assert_fails("ConnectionRefusedError", connection.Client(dir:join("stale")))
    assert_fails("ConnectionRefusedError", connection.Client(helpers.abstract_name()))
  end)

  it("is FileNotFoundError where there is no socket file", function()
    local dir <close> = helpers.tmpdir()
    local err = assert_fails("FileNotFoundError", connection.Client(dir:join("none")))
    assert.equal("ENOENT", err.code)
    assert.matches(dir:join("none"), err.message, 1, true)
  end)

  it("is gaierror for a host that is none of the family", function()
    local err = assert_fails("gaierror", connection.Client({"::1", 1}, {family = "AF_INET"}))
    assert.matches("^EAI_", err.code)
    assert.is_nil(err.errno)
    assert_fails("gaierror", connection.Client({"127.0.0.1", 1}, {family = "AF_INET6"}))
  end)

  it("is OSError for a path that is too long", function()
    for _, size in ipairs {108, 256, 70000} do
      local err = assert_fails("OSError", connection.Client("/" .. ("x"):rep(size)))
      assert.equal("ENAMETOOLONG", err.code)
    end
  end)

  it("leaves no descriptor behind", function()
    local before = helpers.nfds()
    local address = deserted()
    for _ = 1, 10 do
      assert_fails("ConnectionRefusedError", connection.Client(address))
      assert_fails("ConnectionRefusedError", connection.Client(address, {authkey = KEY}))
      assert_fails("TimeoutError", connection.Client(address, {retry = true, timeout = 0}))
    end
    assert.equal(before, helpers.nfds())
  end)
end)

describe("Client: retry", function()
  local dir, path

  before_each(function()
    dir = helpers.tmpdir()
    path = dir:join("socket")
  end)

  after_each(function() dir:close() end)

  it("waits for a listener that another process starts", function()
    local child <close> = late_listener(path)
    local client <close> = assert(connection.Client(path, {
      retry = true, timeout = LIMIT, nonblocking = true,
    }))
    assert_fails("TimeoutError", client:handshake(SHORT))
    child:write("go\n")
    assert.is_true(client:handshake(LIMIT))
    client:settimeout(LIMIT)
    assert(client:send_bytes("hello"))
    assert.equal("hello", client:recv_bytes())
    client:close()
    assert.equal(0, (child:wait()))
  end)

  it("blocks until then, without a timeout too", function()
    for _, timeout in ipairs {LIMIT, false} do
      local child <close> = late_listener(path)
      child:write("go\n")
      local client <close> = connect(path, {retry = true, timeout = timeout or nil})
      assert(client:send_bytes("hello"))
      assert.equal("hello", client:recv_bytes())
      client:close()
      assert.equal(0, (child:wait()))
    end
  end)

  it("takes a listener's place at a stale file", function()
    helpers.raw_listener(path):close()
    local client <close> = assert(connection.Client(path, {retry = true, nonblocking = true}))
    assert_fails("TimeoutError", client:handshake(0))
    local listener <close> = listen(path, {reuse = true})
    assert.is_true(client:handshake(LIMIT))
    assert.is_false(listener.closed)
  end)

  it("comes in on TCP, too", function()
    local address = deserted()
    local client <close> = assert(connection.Client(address, {retry = true, nonblocking = true}))
    assert_fails("TimeoutError", client:handshake(SHORT))
    local listener <close> = listen(address)
    assert.is_true(client:handshake(LIMIT))
    assert.is_false(listener.closed)
  end)

  it("ends at the timeout with TimeoutError", function()
    for _, address in ipairs {path, deserted(), helpers.abstract_name()} do
      local took, client, err = elapsed(connection.Client, address, {
        retry = true, timeout = SHORT,
      })
      assert_fails("TimeoutError", client, err)
      assert.is_true(took >= SHORT and took < LIMIT / 2)
    end
  end)

  it("tries once where the timeout is 0 or negative", function()
    for _, timeout in ipairs {0, -1} do
      local took, client, err = elapsed(connection.Client, path, {retry = true, timeout = timeout})
      assert_fails("TimeoutError", client, err)
      assert.is_true(took < LIMIT / 10)
    end
    local listener <close> = listen(path)
    local client <close> = connect(path, {retry = true, timeout = 0})
    assert.is_false(client.closed or listener.closed)
  end)

  it("is not for errors that time does not heal", function()
    assert_fails("gaierror", connection.Client({"::1", 1}, {family = "AF_INET", retry = true}))
    sys.close(assert(sys.open(path, "w")))
    local took, client, err = elapsed(connection.Client, path .. "/x", {retry = true, timeout = LIMIT})
    assert.is_nil(client)
    assert.equal("NotADirectoryError", err.name)
    assert.is_true(took < LIMIT / 2)
  end)

  it("is not for wrong keys", function()
    local listener <close> = listen(path, {authkey = KEY, backlog = 4})
    local client <close> = assert(connection.Client(path, {
      authkey = "wrong", retry = true, nonblocking = true,
    }))
    connection.wait({listener, client}, LIMIT)
    assert_fails("AuthenticationError", listener:accept(LIMIT))
    assert_fails("AuthenticationError", client:handshake(LIMIT))
    assert_fails("TimeoutError", listener:accept(0))
  end)

  it("is off by default, and where it is false", function()
    assert_fails("FileNotFoundError", connection.Client(path, {timeout = LIMIT}))
    assert_fails("FileNotFoundError", connection.Client(path, {retry = false}))
  end)
end)

describe("Client: timeout", function()
  it("limits connecting where the backlog is full", function()
    local dir <close> = helpers.tmpdir()
    local _, _, _ <close> = full_listener(dir:join("socket"))
    local took, client, err = elapsed(connection.Client, dir:join("socket"), {timeout = SHORT})
    assert_fails("TimeoutError", client, err)
    assert.is_true(took >= SHORT and took < LIMIT / 2)
    assert.matches(dir:join("socket"), err.message, 1, true)
    assert.not_matches("handshake", err.message)
  end)

  it("leaves time to get in when the backlog has room again", function()
    local dir <close> = helpers.tmpdir()
    local server, _, _ <close> = full_listener(dir:join("socket"))
    local client <close> = assert(connection.Client(dir:join("socket"), {nonblocking = true}))
    assert_fails("TimeoutError", client:handshake(SHORT))
    local accepted <close> = server:accept()
    assert.is_true(client:handshake(LIMIT))
    assert.is_true(accepted.fd >= 0)
  end)

  it("covers the handshake as well", function()
    local server <close> = helpers.raw_listener()
    local took, client, err = elapsed(connection.Client, server.address, {
      authkey = KEY, timeout = SHORT,
    })
    assert_fails("TimeoutError", client, err)
    assert.is_true(took >= SHORT and took < LIMIT / 2)
    assert.matches("authkey", err.message)
  end)

  it("covers connecting and the handshake together", function()
    local dir <close> = helpers.tmpdir()
    local server, _, _ <close> = full_listener(dir:join("socket"))
    local start = sys.monotonic()
    local client <close> = assert(connection.Client(dir:join("socket"), {
      authkey = KEY, timeout = 3 * SHORT, nonblocking = true,
    }))
    assert_fails("TimeoutError", client:handshake(2 * SHORT))
    local accepted <close> = server:accept()
    assert_fails("TimeoutError", client:handshake(LIMIT))
    local took = sys.monotonic() - start
    assert.is_true(took >= 3 * SHORT and took < 4.9 * SHORT, "took " .. took)
    assert.is_true(accepted.fd >= 0)
  end)

  it("ends a client with a key at our listener without one, saying what is likely wrong",
     function()
    local listener <close> = listen()
    local err = assert_fails("TimeoutError", connection.Client(listener.address, {
      authkey = KEY, timeout = SHORT,
    }))
    assert.matches("authkey", err.message)
    assert.matches(listener.address, err.message, 1, true)
  end)

  it("does not limit what comes after", function()
    local listener <close> = listen()
    local client <close> = assert(connection.Client(listener.address, {timeout = SHORT}))
    local conn <close> = assert(listener:accept(LIMIT))
    connection.wait({}, 2 * SHORT)
    assert(conn:send_bytes("late"))
    client:settimeout(LIMIT)
    assert.equal("late", client:recv_bytes())
  end)

  it("may be for ever", function()
    local listener <close> = listen()
    local client <close> = connect(listener.address, {timeout = math.huge})
    assert.is_false(client.closed)
  end)
end)

describe("Client without a key at a listener with one", function()
  local function meet_challenge()
    local listener = listen(nil, {authkey = KEY})
    local client = connect(listener.address)
    assert_fails("TimeoutError", listener:accept(0))
    return client, listener, helpers.closing(client, listener)
  end

  it("gets AuthenticationError from its first recv_bytes, with the challenge", function()
    local client, _, _ <close> = meet_challenge()
    local err = assert_fails("AuthenticationError", client:recv_bytes())
    assert.matches("^#CHALLENGE#{sha256}", err.bytes)
    assert.matches("authkey", err.message)
  end)

  it("gets it from recv_bytes_into, whose buffer stays as it was", function()
    local client, _, _ <close> = meet_challenge()
    local buffer = connection.Buffer(256)
    local err = assert_fails("AuthenticationError", client:recv_bytes_into(buffer))
    assert.matches("^#CHALLENGE#", err.bytes)
    assert.equal(("\0"):rep(256), tostring(buffer))
  end)

  it("gets it thrown from messages", function()
    local client, _, _ <close> = meet_challenge()
    local ok, err = pcall(function()
      for _ in client:messages("bytes") do error("a message") end
    end)
    assert.is_false(ok)
    assert.equal("AuthenticationError", err.name)
  end)

  it("gets messages that only look like a challenge, later ones, as they are", function()
    local server <close> = helpers.raw_listener()
    local client <close> = connect(server.address)
    local raw <close> = server:accept()
    local messages = {"#CHALLENGE#", "#CHALLENGE#" .. ("x"):rep(20)}
    for _, message in ipairs(messages) do raw:write_frame(message) end
    for _, message in ipairs(messages) do assert.equal(message, client:recv_bytes()) end
  end)
end)

describe("Client with nonblocking = true", function()
  it("returns at once, connecting, where a blocking one would wait", function()
    local dir <close> = helpers.tmpdir()
    local _, _, _ <close> = full_listener(dir:join("socket"))
    local took, client = elapsed(connection.Client, dir:join("socket"), {nonblocking = true})
    local _ <close> = client
    assert.is_true(took < LIMIT / 10)
    assert.equal("multiprocessing.connection.Client (connecting)", tostring(client))
    assert.is_false(client.closed)
    assert.is_nil(client.peer)
    assert.equal(dir:join("socket"), client.address)
    assert.equal(-1, client:getfd())
  end)

  it("returns a client also where connecting fails at once", function()
    local client <close> = assert(connection.Client(deserted(), {nonblocking = true}))
    assert.same({client}, connection.wait({client}, LIMIT))
    local err = assert_fails("ConnectionRefusedError", client:handshake())
    assert.equal("ECONNREFUSED", err.code)
    assert_fails("ConnectionRefusedError", client:handshake(0))
    assert_fails("ConnectionRefusedError", client:recv_bytes())
    assert_fails("ConnectionRefusedError", client:send_bytes("x"))
    assert_fails("ConnectionRefusedError", client:flush())
    assert_fails("ConnectionRefusedError", client:detach())
    assert.is_true(client:poll(0))
    assert.is_true(client:close())
  end)

  it("throws for misuse and fails at once where the host is unknown", function()
    assert.has_error(function() connection.Client(nil, {nonblocking = true}) end)
    assert_fails("gaierror", connection.Client({"::1", 1}, {
      family = "AF_INET", nonblocking = true,
    }))
  end)

  it("is reported by wait when it is established, though no message is there", function()
    local listener <close> = listen(INET)
    local client <close> = assert(connection.Client(listener.address, {nonblocking = true}))
    assert.same({client}, connection.wait({client}, LIMIT))
    assert.is_true(client:handshake(0))
    assert.same({}, connection.wait({client}, 0))
    local conn <close> = assert(listener:accept(LIMIT))
    assert(conn:send_bytes("x"))
    assert.same({client}, connection.wait({client}, LIMIT))
  end)

  it("is reported by wait when it is established with a key", function()
    local listener <close> = listen(INET, {authkey = KEY})
    local client <close> = assert(connection.Client(listener.address, {
      nonblocking = true, authkey = KEY,
    }))
    assert.same({}, connection.wait({client}, 0))
    local ready = connection.wait({client, listener}, LIMIT)
    assert.equal(client, ready[1])
    assert.is_true(client:handshake(0))
    local conn <close> = assert(listener:accept(LIMIT))
    assert.same({}, connection.wait({client, conn}, 0))
  end)

  it("is reported by wait when it has failed", function()
    local server <close> = helpers.raw_listener()
    local client <close> = assert(connection.Client(server.address, {
      nonblocking = true, authkey = KEY,
    }))
    assert.same({}, connection.wait({client}, 0))
    server:accept():close()
    assert.same({client}, connection.wait({client}, LIMIT))
    assert.same({client}, connection.wait({client}, 0))
    assert_fails("EOFError", client:handshake(0))
    assert.same({client}, connection.wait({client}, 0))
  end)

  it("says TimeoutError in handshake(timeout), and goes on later", function()
    local listener <close> = listen(nil, {authkey = KEY})
    local client <close> = assert(connection.Client(listener.address, {
      nonblocking = true, authkey = KEY,
    }))
    for _, timeout in ipairs {0, -1, SHORT} do
      assert_fails("TimeoutError", client:handshake(timeout))
    end
    connection.wait({client, listener}, LIMIT)
    local conn <close> = assert(listener:accept(LIMIT))
    assert.is_true(client:handshake())
    assert.is_true(client:handshake(0))
    assert.is_false(conn.closed)
  end)

  it("finishes the handshake first in any other method", function()
    local methods = {
      function(client) return client:send_bytes("x") end,
      function(client) return client:flush() end,
      function(client) return client:recv_bytes() end,
      function(client) return client:recv_bytes_into(connection.Buffer(1)) end,
      function(client) return client:poll(LIMIT) end,
    }
    for _, method in ipairs(methods) do
      local listener <close> = listen(nil, {authkey = KEY})
      local child <close> = helpers.fork(function()
        local conn <close> = assert(listener:accept(LIMIT))
        conn:settimeout(LIMIT)
        conn:send_bytes("m") -- the client may have left by then
        conn:recv_bytes()
      end)
      local client <close> = assert(connection.Client(listener.address, {
        nonblocking = true, authkey = KEY,
      }))
      client:settimeout(LIMIT)
      assert(method(client))
      assert.is_true(client:handshake(0))
      client:close()
      assert.equal(0, (child:wait()))
    end
  end)

  it("does not wait in other methods where its timeout is 0", function()
    local listener <close> = listen(nil, {authkey = KEY})
    local client <close> = assert(connection.Client(listener.address, {
      nonblocking = true, authkey = KEY,
    }))
    client:settimeout(0)
    assert_fails("TimeoutError", client:send_bytes("x"))
    assert_fails("TimeoutError", client:recv_bytes())
    assert_fails("TimeoutError", client:recv_bytes_into(connection.Buffer(1)))
    assert_fails("TimeoutError", client:flush())
    assert.is_false(client:poll())
    assert_fails("TimeoutError", client:detach())
    connection.wait({client, listener}, LIMIT)
    local conn <close> = assert(listener:accept(LIMIT))
    assert.is_true(client:send_bytes("x"))
    conn:settimeout(LIMIT)
    assert.equal("x", conn:recv_bytes()) -- once
    assert.is_false(conn:poll())
  end)

  it("polls true only for a message, not for the end of its handshake", function()
    for _, ahead in ipairs {true, false} do
      local listener <close> = listen(nil, {authkey = KEY})
      local child <close> = helpers.fork(function(out)
        local conn <close> = assert(listener:accept(LIMIT))
        out:write("accepted\n")
        conn:poll(LIMIT)
      end)
      local client <close> = assert(connection.Client(listener.address, {
        nonblocking = true, authkey = KEY, readahead = ahead,
      }))
      repeat -- the client goes on with the handshake in here only
        assert.is_false(client:poll(SHORT), "readahead = " .. tostring(ahead))
      until child.stdout:poll("r", 0)
      assert.equal("accepted", child:line())
      assert.is_false(client:poll(0))
      client:close()
      assert.equal(0, (child:wait()))
    end
  end)

  it("tells other loops what it waits for", function()
    local server <close> = helpers.raw_listener()
    local client <close> = assert(connection.Client(server.address, {
      nonblocking = true, authkey = KEY, timeout = LIMIT,
    }))
    assert_fails("TimeoutError", client:handshake(0))
    assert.equal("r", client:events())
    assert.equal("integer", math.type(client:fileno()))
    assert.equal(client:fileno(), client:pollfd())
    local left = client:timeout()
    assert.is_true(left > 0 and left <= LIMIT)
  end)

  it("may be closed, or collected, on its way", function()
    local dir <close> = helpers.tmpdir()
    local _, _, _ <close> = full_listener(dir:join("socket"))
    local server <close> = helpers.raw_listener(nil, 8)
    local before = helpers.nfds()
    for _, address in ipairs {dir:join("socket"), server.address} do
      local client = assert(connection.Client(address, {nonblocking = true, authkey = KEY}))
      assert.is_true(client:close())
      assert.is_true(client.closed)
      assert_misuse("closed", function() client:handshake() end)
      assert_misuse("closed", function() client:recv_bytes() end)
      do local _ = assert(connection.Client(address, {nonblocking = true, authkey = KEY})) end
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, helpers.nfds())
  end)

  it("is as good as another once it is established", function()
    local listener <close> = listen(INET)
    local client <close> = assert(connection.Client(listener.address, {nonblocking = true}))
    local conn <close> = assert(listener:accept(LIMIT))
    client:settimeout(LIMIT)
    assert(client:send_bytes("there"))
    assert.equal("there", conn:recv_bytes())
    assert(conn:send_bytes("back"))
    assert.equal("back", client:recv_bytes())
    assert.is_false(sys.is_nonblocking(client:fileno()))
    assert.is_true(sys.is_cloexec(client:fileno()))
  end)

  it("handshake is true at once for a blocking client", function()
    local listener <close> = listen()
    local client <close> = connect(listener.address)
    assert.is_true(client:handshake())
    assert.is_true(client:handshake(0))
  end)
end)

describe("Client: descriptors", function()
  it("are as many as before once it is closed, and whatever its handshake said", function()
    local listener <close> = listen(INET, {authkey = KEY, backlog = 8})
    local before = helpers.nfds()
    for _, key in ipairs {KEY, "wrong"} do
      local client = assert(connection.Client(listener.address, {
        authkey = key, nonblocking = true,
      }))
      connection.wait({listener, client}, LIMIT)
      local conn = listener:accept(LIMIT)
      client:handshake(LIMIT)
      client:close()
      if conn then conn:close() end
    end
    assert.equal(before, helpers.nfds())
  end)

  it("are as many as before once it is collected", function()
    local listener <close> = listen(nil, {backlog = 8})
    local before = helpers.nfds()
    for _ = 1, 5 do connection.Client(listener.address) end
    collectgarbage()
    collectgarbage()
    assert.equal(before, helpers.nfds())
  end)

  it("are not lost where there are no more", function()
    local listener <close> = listen(INET)
    local hog, limit = {}, sys.setrlimit_nofile(helpers.nfds() + 32)
    repeat
      local fd = sys.dup(listener:fileno())
      table.insert(hog, fd)
    until not fd
    local client, err = connection.Client(listener.address)
    for _, fd in ipairs(hog) do sys.close(fd) end
    sys.setrlimit_nofile(limit)
    assert.equal("EMFILE", assert_fails("OSError", client, err).code)
    local other <close> = connect(listener.address)
    assert.is_false(other.closed)
  end)
end)

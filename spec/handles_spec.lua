-- Descriptors that are passed over a connection, between Lua programs and to and
-- from multiprocessing.reduction of every Python of this machine; and who the
-- other end is.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local python_peer = require "python_peer"
local sys = require "sys"

local hex = python_peer.hex
local LIMIT = helpers.timeout
local LARGE = ("large message "):rep(30000) -- more than a socket's buffer

local assert_fails = helpers.assert_fails

-- A pipe's two ends as raw peers, one to read from and one to write to, and what
-- closes both.
local function raw_pipe()
  local fd, other = assert(sys.pipe())
  local r, w = helpers.raw(fd), helpers.raw(other)
  return r, w, helpers.closing(r, w)
end

-- That 'fd', which is taken over, can be read from, and gives `text`.
local function assert_reads(text, fd, err)
  assert(fd, tostring(err))
  local r <close> = helpers.raw(fd)
  assert.is_true(sys.is_cloexec(fd))
  assert.equal(text, r:read_exactly(#text))
end

-- Sends the end of a pipe that gives `text`.
local function send_reader(conn, text)
  local r, w, _ <close> = raw_pipe()
  assert(w:write(text))
  return conn:send_handle(r)
end

-- Sends the end of a pipe into which `text` comes, and waits for it.
local function send_writer(peer, conn, text)
  local r, w, _ <close> = raw_pipe()
  peer:tell("recv_handle", hex(text))
  assert(conn:send_handle(w.fd))
  peer:expect("ok")
  assert.equal(text, r:read_exactly(#text))
end

local function keeps_descriptors(f)
  collectgarbage()
  local before = helpers.nfds()
  f()
  assert.equal(before, helpers.nfds())
end

-- A client's connection and a listener's over AF_UNIX.
local function meet(options)
  local listener <close> = assert(connection.Listener(nil, options))
  local all = {nonblocking = true}
  for name, value in pairs(options or {}) do all[name] = value end
  local client = assert(connection.Client(listener.address, all))
  local server
  repeat
    for _, object in ipairs(assert(connection.wait({listener, client}, LIMIT))) do
      if object == listener then server = assert(listener:accept()) end
    end
  until server
  assert(client:handshake(LIMIT))
  client:settimeout(LIMIT)
  server:settimeout(LIMIT)
  return client, server, helpers.closing(client, server)
end

-- Both ends of a TCP connection.
local function meet_inet()
  local listener <close> = assert(connection.Listener({"127.0.0.1", 0}))
  local client = assert(connection.Client(listener.address))
  local server = assert(listener:accept(LIMIT))
  return client, server, helpers.closing(client, server)
end

describe("Connection:send_handle", function()
  it("passes a descriptor by its number, which stays the caller's", function()
    local a, b, _ <close> = helpers.pair()
    local r, w, _ <close> = raw_pipe()
    keeps_descriptors(function()
      assert.is_true(a:send_handle(r.fd))
      local received = assert(b:recv_handle())
      assert.not_equal(r.fd, received)
      assert(w:write("hello"))
      assert_reads("hello", received)
      assert(w:write("there"))
      assert.equal("there", r:read_exactly(5))
    end)
  end)

  it("passes what an object with fileno or getfd has", function()
    local a, b, _ <close> = helpers.pair()
    for _, method in ipairs {"fileno", "getfd"} do
      local r, w, _ <close> = raw_pipe()
      assert(w:write(method))
      assert(a:send_handle({[method] = function() return r.fd end}))
      assert_reads(method, b:recv_handle())
    end
  end)

  it("passes a connection, with which the receiver goes on", function()
    local a, b, _ <close> = helpers.pair()
    local client, server, _ <close> = meet {authkey = "key"}
    assert(a:send_handle(server))
    assert(server:close())
    local moved <close> = assert(connection.Connection(assert(b:recv_handle())))
    assert(client:send_bytes("question"))
    assert.equal("question", moved:recv_bytes())
    assert(moved:send {"answer"})
    assert.same({"answer"}, client:recv())
  end)

  it("passes the connection over itself", function()
    local a, b, _ <close> = helpers.pair()
    assert(a:send_handle(a))
    local same <close> = assert(connection.Connection(assert(b:recv_handle())))
    assert(same:send_bytes("from b to b"))
    assert.equal("from b to b", b:recv_bytes())
  end)

  it("passes a listener's socket", function()
    local a, b, _ <close> = helpers.pair()
    local listener <close> = assert(connection.Listener())
    assert(a:send_handle(listener))
    local fd <close> = helpers.raw(assert(b:recv_handle()))
    local client <close> = assert(connection.Client(listener.address))
    local raw <close> = helpers.raw(assert(sys.accept(fd.fd)))
    assert(client:send_bytes("hello"))
    assert.equal("hello", raw:read_frame())
  end)

  it("lets a message that is held leave first", function()
    local a, b, _ <close> = helpers.pair()
    a:settimeout(0)
    b:settimeout(0)
    assert(a:send_bytes(LARGE))
    assert_fails("TimeoutError", send_reader(a, "too early"))
    local message
    repeat
      message = b:recv_bytes()
      a:flush()
    until message
    assert.is_true(message == LARGE)
    assert(send_reader(a, "in turn"))
    assert_reads("in turn", b:recv_handle())
  end)

  it("lets messages that are corked leave first", function()
    local a, b, _ <close> = helpers.pair()
    a:cork()
    assert(a:send_bytes("corked"))
    assert(send_reader(a, "descriptor"))
    assert.equal("corked", b:recv_bytes())
    assert_reads("descriptor", b:recv_handle())
  end)

  it("keeps the order of messages and descriptors", function()
    local a, b, _ <close> = helpers.pair()
    for i = 1, 5 do
      assert(a:send_bytes("before " .. i))
      assert(send_reader(a, "descriptor " .. i))
    end
    assert(a:send_bytes("after"))
    for i = 1, 5 do
      assert.equal("before " .. i, b:recv_bytes())
      assert_reads("descriptor " .. i, b:recv_handle())
    end
    assert.equal("after", b:recv_bytes())
  end)

  it("finishes the handshake first", function()
    local listener <close> = assert(connection.Listener(nil, {
      authkey = "key", readahead = false, -- or the handshake may read ahead
    }))
    local child <close> = helpers.fork(function(out)
      local conn = assert(connection.Client(listener.address, {
        authkey = "key", nonblocking = true, readahead = false,
      }))
      conn:settimeout(LIMIT)
      assert(conn:send_handle(out))
      local r = helpers.raw(assert(conn:recv_handle()))
      assert(out:write(r:read_exactly(2)))
    end)
    local conn <close> = assert(listener:accept(LIMIT))
    conn:settimeout(LIMIT)
    local out <close> = helpers.raw(assert(conn:recv_handle()))
    assert(out:write("to me, "))
    assert(send_reader(conn, "to"))
    out:close()
    local code, said = child:wait()
    assert.equal("to me, to", said)
    assert.equal(0, code)
  end)

  it("waits until there is room", function()
    local fd, other = assert(sys.socketpair())
    local conn <close> = assert(connection.Connection(fd))
    local peer <close> = helpers.raw(other)
    repeat until (sys.try_write(fd, ("x"):rep(4096)) or 0) == 0
    conn:settimeout(0)
    assert_fails("TimeoutError", send_reader(conn, "no room"))
    while peer:poll("r", 0) do assert(peer:read(65536)) end
    assert(send_reader(conn, "room"))
    assert.equal("\1", peer:read(10))
  end)

  it("fails when the peer has closed, and raises no signal", function()
    local a, b, _ <close> = helpers.pair()
    assert(b:close())
    local err = assert_fails("BrokenPipeError", a:send_handle(0))
    assert.matches("sending a descriptor to", err.message, 1, true)
  end)

  it("fails where the descriptor is not open", function()
    local a, b, _ <close> = helpers.pair()
    local r, w = raw_pipe()
    local number = r.fd
    r:close()
    w:close()
    assert.equal("EBADF", assert_fails("OSError", a:send_handle(number)).code)
    assert(a:send_bytes("nothing has left"))
    assert.equal("nothing has left", b:recv_bytes())
  end)

  it("refuses while bytes that came are buffered", function()
    local client, server, _ <close> = meet()
    assert(server:send_bytes("one"))
    assert(server:send_bytes("two"))
    assert.equal("one", client:recv_bytes())
    local err = assert_fails("OSError", client:send_handle(0))
    assert.matches("readahead = false", err.message, 1, true)
    assert.equal("two", client:recv_bytes())
    assert.is_true(client:send_handle(0))
  end)

  it("refuses a connection whose bytes are buffered here", function()
    local a, b, _ <close> = helpers.pair()
    local client, server, _ <close> = meet()
    assert(client:send_bytes("one"))
    assert(client:send_bytes("two"))
    assert.equal("one", server:recv_bytes())
    local err = assert_fails("OSError", a:send_handle(server))
    assert.matches("cannot send the connection: bytes that came over it", err.message,
                   1, true)
    assert.equal("two", server:recv_bytes())
    assert.is_true(a:send_handle(server))
    helpers.raw(assert(b:recv_handle())):close()
  end)

  it("refuses a connection that holds what is to be sent", function()
    local a, _, _ <close> = helpers.pair()
    local client, _, _ <close> = meet()
    client:settimeout(0)
    assert(client:send_bytes(LARGE))
    local err = assert_fails("OSError", a:send_handle(client))
    assert.matches("is held here", err.message, 1, true)
  end)

  it("refuses a connection that is not open yet", function()
    local a, _, _ <close> = helpers.pair()
    local listener <close> = assert(connection.Listener(nil, {authkey = "key"}))
    local client <close> = assert(connection.Client(listener.address, {
      authkey = "key", nonblocking = true,
    }))
    local err = assert_fails("OSError", a:send_handle(client))
    assert.matches("not open yet", err.message, 1, true)
  end)

  it("is misuse with anything that has no descriptor", function()
    local a, b, _ <close> = helpers.pair()
    local closed = assert(connection.Pipe())
    closed:close()
    for _, value in ipairs {-1, 1.5, "0", 2 ^ 40, true, {}, io.stdout} do
      assert.error_matches(function() a:send_handle(value) end, "descriptor")
    end
    assert.error_matches(function() a:send_handle() end, "descriptor")
    assert.error_matches(function() a:send_handle(closed) end, "is closed")
    assert.error_matches(function()
      a:send_handle {getfd = function() return -1 end}
    end, "bad argument #1 to 'send_handle' %(invalid descriptor%)")
    b:settimeout(0)
    assert_fails("TimeoutError", b:recv_handle())
  end)

  it("asks an object anew each time it tries, for it may be closed", function()
    local conn, _, _ <close> = helpers.pair()
    local asked = 0
    assert.error_matches(function()
      conn:send_handle {fileno = function()
        asked = asked + 1
        return asked == 1 and 0 or -1
      end}
    end, "invalid descriptor")
  end)

  it("is misuse when fileno closes the connection", function()
    local a, _, _ <close> = helpers.pair()
    assert.error_matches(function()
      a:send_handle {fileno = function()
        a:close()
        return 0
      end}
    end, "connection is closed")
  end)
end)

describe("Connection:recv_handle", function()
  it("waits for a descriptor", function()
    local a, b, _ <close> = helpers.pair()
    local child <close> = helpers.fork(function(out)
      assert_reads("hello", b:recv_handle())
      out:write("got it")
    end)
    assert(send_reader(a, "hello"))
    assert.equal("got it", child:rest())
    assert.equal(0, child:wait())
  end)

  it("gives up when time is up, and goes on later", function()
    local a, b, _ <close> = helpers.pair()
    b:settimeout(0)
    local err = assert_fails("TimeoutError", b:recv_handle())
    assert.matches("receiving a descriptor from", err.message, 1, true)
    b:settimeout(0.01)
    assert_fails("TimeoutError", b:recv_handle())
    assert(send_reader(a, "late"))
    assert_reads("late", b:recv_handle())
  end)

  it("is EOFError when the peer has closed", function()
    local a, b, _ <close> = helpers.pair()
    assert(send_reader(a, "last"))
    assert(a:close())
    assert_reads("last", b:recv_handle())
    assert_fails("EOFError", b:recv_handle())
  end)

  it("takes nothing of a message that comes instead", function()
    for _, message in ipairs {"", "a message", ("x"):rep(20000)} do
      local a, b, _ <close> = helpers.pair()
      assert(a:send_bytes(message))
      local err = assert_fails("RuntimeError", b:recv_handle())
      assert.matches("a message came", err.message, 1, true)
      assert_fails("RuntimeError", b:recv_handle())
      assert.is_true(b:recv_bytes() == message)
      assert(send_reader(a, "next"))
      assert_reads("next", b:recv_handle())
    end
  end)

  it("takes no byte that comes alone", function()
    local peer <close> = helpers.raw_peer()
    assert(peer.raw:write("\1"))
    assert_fails("RuntimeError", peer.conn:recv_handle())
    assert_fails("RuntimeError", peer.conn:recv_handle())
  end)

  for name, parcel in pairs {
    ["two descriptors"] = {"\2", 0, 0}, ["another byte"] = {"\0", 0},
    ["two as one"] = {"\1", 0, 0}, ["one as two"] = {"\2", 0},
  } do
    it("keeps none of what is no single descriptor: " .. name, function()
      local peer <close> = helpers.raw_peer()
      keeps_descriptors(function()
        assert(sys.send_fds(peer.raw.fd, table.unpack(parcel)))
        assert_fails("RuntimeError", peer.conn:recv_handle())
      end)
      local a <close> = assert(connection.Connection(peer.raw))
      assert(send_reader(a, "next")) -- what was wrong is gone
      assert_reads("next", peer.conn:recv_handle())
    end)
  end

  it("keeps none of as many descriptors as can come", function()
    local peer <close> = helpers.raw_peer()
    local all = {}
    for i = 1, 253 do all[i] = 0 end
    keeps_descriptors(function()
      assert(sys.send_fds(peer.raw.fd, "\253", table.unpack(all)))
      assert_fails("RuntimeError", peer.conn:recv_handle())
    end)
  end)

  it("takes nothing where no descriptor is free", function()
    local a, b, _ <close> = helpers.pair()
    assert(send_reader(a, "patience"))
    local kept = {}
    local limit = assert(sys.setrlimit_nofile(helpers.nfds() + 20))
    for _ = 1, 1000 do
      local fd = sys.dup(0)
      if not fd then break end
      table.insert(kept, helpers.raw(fd))
    end
    local value, err = b:recv_handle()
    for _, raw in ipairs(kept) do raw:close() end
    sys.setrlimit_nofile(limit)
    assert.equal("EMFILE", assert_fails("OSError", value, err).code)
    assert_reads("patience", b:recv_handle())
  end)

  it("refuses while bytes that came are buffered", function()
    local client, server, _ <close> = meet()
    assert(client:send_bytes("message"))
    keeps_descriptors(function()
      assert(send_reader(client, "read ahead"))
      assert.equal("message", server:recv_bytes())
      local err = assert_fails("OSError", server:recv_handle())
      assert.matches("readahead = false", err.message, 1, true)
    end)
  end)

  it("refuses in the middle of a message", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(0)
    assert(peer.raw:write("\0\0\0\2a"))
    assert_fails("TimeoutError", peer.conn:recv_bytes())
    assert_fails("OSError", peer.conn:recv_handle())
    assert(peer.raw:write("b"))
    assert.equal("ab", peer.conn:recv_bytes())
  end)

  it("loses nothing to messages without read-ahead", function()
    local client, server, _ <close> = meet {readahead = false}
    for i = 1, 5 do
      assert(client:send_bytes("message " .. i))
      assert(send_reader(client, "descriptor " .. i))
    end
    for i = 1, 5 do
      assert.is_true(server:poll(LIMIT))
      assert.equal("message " .. i, server:recv_bytes())
      assert.same({server}, connection.wait({server}, LIMIT))
      assert_reads("descriptor " .. i, server:recv_handle())
    end
  end)

  it("delivers what is held meanwhile", function()
    local a, b, _ <close> = helpers.pair()
    a:settimeout(0)
    b:settimeout(LIMIT)
    assert(a:send_bytes(LARGE))
    a:settimeout(LIMIT)
    local child <close> = helpers.fork(function()
      assert(b:recv_bytes() == LARGE)
      assert(send_reader(b, "thanks"))
    end)
    assert_reads("thanks", a:recv_handle())
    assert.equal(0, child:wait())
  end)

  it("goes on failing after a bad length", function()
    local peer <close> = helpers.raw_peer()
    assert(peer.raw:write("\255\255\255\254"))
    assert_fails("OSError", peer.conn:recv_bytes())
    assert.equal("EMSGSIZE", assert_fails("OSError", peer.conn:recv_handle()).code)
  end)
end)

describe("Connection:recv_bytes", function()
  it("keeps no descriptor that comes with a message", function()
    for _, readahead in ipairs {true, false} do
      local client, server, _ <close> = meet {readahead = readahead}
      keeps_descriptors(function()
        assert(sys.send_fds(client:fileno(), helpers.frame("with two"), 0, 0))
        assert(client:send_bytes("without"))
        assert.equal("with two", server:recv_bytes())
        assert.equal("without", server:recv_bytes())
      end)
    end
  end)
end)

describe("Both", function()
  it("are misuse on a connection that is closed, or goes the other way", function()
    local a, b, _ <close> = helpers.pair()
    local reader <close> = assert(connection.Connection(a:detach(), true, false))
    local writer <close> = assert(connection.Connection(b:detach(), false, true))
    assert.error_matches(function() reader:send_handle(0) end, "read%-only")
    assert.error_matches(function() writer:recv_handle() end, "write%-only")
    assert(writer:send_handle(0))
    helpers.raw(assert(reader:recv_handle())):close()
    reader:close()
    writer:close()
    assert.error_matches(function() writer:send_handle(0) end, "is closed")
    assert.error_matches(function() reader:recv_handle() end, "is closed")
  end)

  it("are misuse over anything but AF_UNIX", function()
    local client, server, _ <close> = meet_inet()
    local reader, writer, _ <close> = helpers.pair(false)
    for _, pair in ipairs {{client, server}, {writer, reader}} do
      local from, to = table.unpack(pair)
      assert.error_matches(function() from:send_handle(0) end, "AF_UNIX")
      assert.error_matches(function() to:recv_handle() end, "AF_UNIX")
      assert(from:send_bytes("still fine"))
      assert.equal("still fine", to:recv_bytes())
    end
  end)

  it("fail like any other call on a client that could not connect", function()
    local client <close> = assert(connection.Client("/no/such/path", {
      nonblocking = true,
    }))
    assert_fails("FileNotFoundError", client:recv_handle())
    assert_fails("FileNotFoundError", client:send_handle(0))
  end)
end)

-- Against Python

local function python_cases(python)
  local shared

  setup(function() shared = python_peer.new(python) end)
  teardown(function() shared:close() end)

  local function exchange(peer, conn)
    conn:settimeout(LIMIT)
    for i = 1, 3 do
      local text = "descriptor " .. i
      peer:tell("send_handle", hex(text))
      assert_reads(text, conn:recv_handle())
      peer:expect("ok")
      send_writer(peer, conn, text)
      peer:tell("send", hex(text)) -- and messages in between
      assert.equal(text, conn:recv_bytes())
      peer:expect("ok")
      assert(conn:send_bytes(text))
      assert.equal(hex(text), peer:ask("recv"))
    end
  end

  for name, key in pairs {["without a key"] = "-", ["with a key"] = hex("key")} do
    local options = {authkey = key ~= "-" and "key" or nil, timeout = LIMIT}

    it("is a client " .. name, function()
      local listener <close> = assert(connection.Listener(nil, options))
      shared:tell("connect", "AF_UNIX", hex(listener.address), key)
      local conn <close> = assert(listener:accept(LIMIT))
      shared:expect("ok")
      assert.equal(tonumber(shared:ask("pid")), conn.credentials.pid)
      exchange(shared, conn)
    end)

    it("is a listener " .. name, function()
      local dir <close> = helpers.tmpdir()
      local address = shared:listen("AF_UNIX", dir:join("socket"), options.authkey)
      shared:tell("accept")
      local conn <close> = assert(connection.Client(address, options))
      shared:expect("ok")
      assert.equal(tonumber(shared:ask("pid")), conn.credentials.pid)
      exchange(shared, conn)
    end)
  end

  it("inherits an end of a socket pair, and fails as its own do", function()
    local fd, other = assert(sys.socketpair())
    local conn <close> = assert(connection.Connection(fd))
    local peer <close> = python_peer.new(python, {other})
    peer:ask("adopt", other, "true", "true")
    sys.close(other)
    exchange(peer, conn)

    keeps_descriptors(function()
      peer:ask("send_handles", 2)
      assert_fails("RuntimeError", conn:recv_handle())
    end)
    peer:ask("send", hex("a message"))
    assert_fails("RuntimeError", conn:recv_handle())
    assert.equal("a message", conn:recv_bytes())

    assert(conn:send_bytes("")) -- of which it takes one byte each time
    for _ = 1, 4 do
      peer:tell("recv_handle", hex("never written"))
      peer:expect("RuntimeError")
    end
    peer:ask("close")
    assert_fails("EOFError", conn:recv_handle())
    assert_fails("BrokenPipeError", conn:send_handle(0))
  end)
end

describe("multiprocessing.reduction of Python", function()
  local pythons = helpers.pythons()
  for i, python in ipairs(pythons) do
    if not helpers.slow or i == 1 or i == #pythons then
      describe(python.version, function() python_cases(python) end)
    end
  end

  it("is here", function() assert.is_true(#helpers.pythons() > 0) end)
end)

-- Who the other end is

describe("Connection.credentials", function()
  it("are those of the process at the other end", function()
    local listener <close> = assert(connection.Listener())
    local child <close> = helpers.fork(function(out)
      local client <close> = assert(connection.Client(listener.address))
      local mine = client.credentials
      assert(client:send {mine.pid, mine.uid, mine.gid})
      out:write("done")
    end)
    local conn <close> = assert(listener:accept(LIMIT))
    local theirs = conn.credentials
    assert.equal(child.pid, theirs.pid)
    assert.equal(sys.getuid(), theirs.uid)
    assert.equal("integer", math.type(theirs.gid))
    assert.same({sys.getpid(), theirs.uid, theirs.gid}, {table.unpack(conn:recv())})
    assert.equal(0, child:wait())
  end)

  it("are for a Pipe those of the process that made it", function()
    local a, b, _ <close> = helpers.pair()
    assert.same(a.credentials, b.credentials)
    assert.equal(sys.getpid(), a.credentials.pid)
    assert.equal(sys.getuid(), a.credentials.uid)
  end)

  it("are nil where the system cannot tell", function()
    local client, server, _ <close> = meet_inet()
    local reader, writer, _ <close> = helpers.pair(false)
    for _, conn in ipairs {client, server, reader, writer} do
      assert.is_nil(conn.credentials)
    end
  end)

  it("are nil for a closed connection, and one that could not connect", function()
    local a, b, _ <close> = helpers.pair()
    a:close()
    assert.is_nil(a.credentials)
    assert.is_table(b.credentials) -- as they were then
    local client <close> = assert(connection.Client("/no/such/path", {
      nonblocking = true,
    }))
    assert.is_nil(client.credentials)
  end)
end)

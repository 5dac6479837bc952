-- A Connection's methods and properties: over the ends of a Pipe, adopted
-- descriptors, and sockets that were accepted or dialled.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local ALPHABET = "abcdefghijklmnopqrstuvwxyz"

local has_socket, socket = pcall(require, "socket")

local stock_assert = load("return assert")() -- not busted's

local assert_fails = helpers.assert_fails

--- `f` throws, and what it throws has each of `...` in it, as plain text.
local function assert_misuse(f, ...)
  local called, message = pcall(f)
  assert.is_false(called, "nothing was thrown")
  assert.equal("string", type(message))
  for _, part in ipairs {...} do
    assert.is_truthy(message:find(part, 1, true),
                     ("'%s' does not say '%s'"):format(message, part))
  end
end

--- A raw peer of a listener, the accepted connection, and what closes both.
local function accepted_peer(address)
  local listener <close> = assert(connection.Listener(address))
  local raw = helpers.raw_client(listener)
  local conn = assert(listener:accept(LIMIT))
  conn:settimeout(LIMIT)
  return raw, conn, helpers.closing(raw, conn)
end

--- A Client, and the raw peer that accepted it.
local function client_peer(address, options)
  local listener <close> = helpers.raw_listener(address)
  local client = assert(connection.Client(listener.address, options))
  local raw = listener:accept()
  return raw, client, helpers.closing(raw, client)
end

--- A Client that stays in its handshake: the listener never says a word.
local function silent_peer()
  return client_peer(nil, {nonblocking = true, authkey = "key"})
end

-- One `it` for each kind of connection that can be read and written.
local duplex_kinds = {
  ["the end of a Pipe"] = function()
    local raw, conn = connection.Pipe()
    raw = helpers.raw(assert(raw:detach()))
    conn:settimeout(LIMIT)
    return raw, conn, helpers.closing(raw, conn)
  end,
  ["an adopted socket"] = function()
    local peer = helpers.raw_peer()
    peer.conn:settimeout(LIMIT)
    return peer.raw, peer.conn, peer
  end,
  ["an accepted connection"] = accepted_peer,
  ["an accepted TCP connection"] = function()
    return accepted_peer({"127.0.0.1", 0})
  end,
  ["a Client"] = client_peer,
}

local function each_duplex(sentence, test)
  for kind, make in pairs(duplex_kinds) do
    it(sentence .. ", on " .. kind, function()
      local raw, conn, both = make()
      local _ <close> = both
      test(raw, conn)
    end)
  end
end

describe("An error", function()
  it("has Python's name, the errno and its code", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:close()
    local err = assert_fails("BrokenPipeError", peer.conn:send_bytes("x"))
    assert.equal("EPIPE", err.code)
    assert.equal("integer", math.type(err.errno))
    assert.equal("string", type(err.message))
  end)

  it("has no errno and no code where the system gave none", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(0)
    local late = assert_fails("TimeoutError", peer.conn:recv_bytes())
    peer.raw:close()
    local err = assert_fails("EOFError", peer.conn:recv_bytes())
    assert.is_nil(late.errno)
    assert.is_nil(late.code)
    assert.is_nil(err.errno)
    assert.is_nil(err.code)
    assert.is_nil(err.bytes)
  end)

  it("reads well", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:close()
    local err = assert_fails("EOFError", peer.conn:recv_bytes())
    assert.equal("EOFError: " .. err.message, tostring(err))
    assert.matches("^receiving from .+: end of file$", err.message)
  end)

  it("names the path that the client talks to", function()
    local dir <close> = helpers.tmpdir()
    local path = dir:join("socket")
    local raw, client, both = client_peer(path)
    local _ <close> = both
    raw:close()
    local receiving = assert_fails("EOFError", client:recv_bytes())
    local sending = assert_fails("BrokenPipeError", client:send_bytes("x"))
    assert.is_truthy(receiving.message:find(path, 1, true))
    assert.is_truthy(sending.message:find(path, 1, true))
  end)

  it("names host and port of the peer", function()
    local raw, conn, both = accepted_peer({"127.0.0.1", 0})
    local _ <close> = both
    raw:close()
    local err = assert_fails("EOFError", conn:recv_bytes())
    assert.is_truthy(err.message:find("127.0.0.1:" .. conn.peer[2], 1, true))
  end)

  it("names the descriptor where the peer has no address", function()
    local peer <close> = helpers.raw_peer("reader")
    peer.raw:close()
    local err = assert_fails("EOFError", peer.conn:recv_bytes())
    assert.is_truthy(err.message:find("descriptor " .. peer.conn:fileno(), 1,
                                      true))
  end)

  it("is thrown as it is by assert", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:close()
    local called, err = pcall(function()
      stock_assert(peer.conn:recv_bytes())
    end)
    assert.is_false(called)
    assert.equal("EOFError", err.name)
  end)

  it("is what the stock interpreter prints", function()
    local child <close> = helpers.lua([[
      local connection = require "multiprocessing.connection"
      local a, b = connection.Pipe()
      b:close()
      assert(a:recv_bytes())
    ]], {stderr = "stdout"})
    local code, output = child:wait()
    assert.equal(1, code)
    assert.matches("EOFError: receiving from ", output)
  end)

  it("is ConnectionResetError where a TCP peer reset", function()
    local raw, conn, both = accepted_peer({"127.0.0.1", 0})
    local _ <close> = both
    raw:reset()
    local err = assert_fails("ConnectionResetError", conn:recv_bytes())
    assert.equal("ECONNRESET", err.code)
  end)
end)

describe("connection.Connection", function()
  it("adopts a descriptor, and closes it", function()
    local fd, other = assert(sys.socketpair())
    local raw <close> = helpers.raw(other)
    local conn <close> = assert(connection.Connection(fd))
    assert.equal(fd, conn:fileno())
    assert.is_true(conn.readable)
    assert.is_true(conn.writable)
    assert(conn:send_bytes("hello"))
    assert.equal("hello", raw:read_frame())
    conn:close()
    assert.equal("", raw:read(1))
  end)

  it("adopts for reading only, or for writing only", function()
    local reading <close> = helpers.raw_peer("reader")
    local writing <close> = helpers.raw_peer("writer")
    assert.same({true, false}, {reading.conn.readable, reading.conn.writable})
    assert.same({false, true}, {writing.conn.readable, writing.conn.writable})
    assert_misuse(function() reading.conn:send_bytes("x") end, "send_bytes",
                  "read-only")
    assert_misuse(function() writing.conn:recv_bytes() end, "recv_bytes",
                  "write-only")
    assert_misuse(function()
      writing.conn:recv_bytes_into(connection.Buffer(1))
    end, "recv_bytes_into", "write-only")
    assert_misuse(function() writing.conn:poll() end, "poll", "write-only")
    assert_misuse(function() connection.wait({writing.conn}, 0) end,
                  "write-only")
  end)

  it("throws where it could neither read nor write", function()
    local raw <close> = helpers.raw(assert(sys.open("/dev/null", "r")))
    local fd = raw:fileno()
    assert_misuse(function() connection.Connection(fd, false, false) end,
                  "#3", "readable", "writable")
    assert.is_truthy(sys.is_cloexec(fd)) -- it is still open
  end)

  it("says EBADF of a descriptor that is not open", function()
    local fd = assert(sys.open("/dev/null", "r"))
    sys.close(fd)
    local err = assert_fails("OSError", connection.Connection(fd))
    assert.equal("EBADF", err.code)
    assert.is_truthy(err.message:find(tostring(fd), 1, true))
  end)

  for name, value in pairs {
    negative = -1, ["too large"] = 1 << 40, ["a fraction"] = 1.5,
    ["not a number"] = 0 / 0, ["a string"] = "0", ["a boolean"] = true,
    ["a function"] = print, ["a table without a descriptor"] = {},
    ["a file"] = io.stdout,
  } do
    it("throws where the descriptor is " .. name, function()
      assert_misuse(function() connection.Connection(value) end,
                    "bad argument #1", "'Connection'", "descriptor")
    end)
  end

  it("throws where there is no descriptor", function()
    assert_misuse(function() connection.Connection() end, "bad argument #1")
    assert_misuse(function() connection.Connection(nil) end, "bad argument #1")
  end)

  it("throws for wrong flags and options, and leaves the descriptor alone",
     function()
    local raw <close> = helpers.raw(assert(sys.open("/dev/null", "r")))
    local fd = raw:fileno()
    assert_misuse(function() connection.Connection(fd, 1) end, "#2", "boolean")
    assert_misuse(function() connection.Connection(fd, true, "yes") end, "#3",
                  "boolean")
    assert_misuse(function() connection.Connection(fd, true, true, 1) end,
                  "#4", "options")
    for name, value in pairs {
      authkey = "x", family = "AF_UNIX", timeout = 1, keepalive = 1,
      nonblocking = true, anything = 1,
    } do
      assert_misuse(function()
        connection.Connection(fd, true, true, {[name] = value})
      end, "#4", name)
    end
    assert_misuse(function()
      connection.Connection(fd, true, true, {max_message = "10"})
    end, "#4", "max_message")
    assert_misuse(function()
      connection.Connection(fd, true, true, {max_message = -1})
    end, "#4", "max_message")
    assert_misuse(function()
      connection.Connection(fd, true, true, {readahead = 1})
    end, "#4", "readahead")
    assert_misuse(function()
      connection.Connection(fd, true, true, {"max_message"})
    end, "#4")
    assert.is_truthy(sys.is_cloexec(fd))
  end)

  it("takes over the descriptor of another connection", function()
    local peer <close> = helpers.raw_peer()
    local fd = peer.conn:fileno()
    local conn <close> = assert(connection.Connection(peer.conn))
    assert.is_true(peer.conn.closed)
    assert.equal(fd, conn:fileno())
    peer.raw:write_frame("hello")
    conn:settimeout(LIMIT)
    assert.equal("hello", conn:recv_bytes())
  end)

  it("leaves a connection alone that has bytes buffered", function()
    local raw, conn, both = accepted_peer()
    local _ <close> = both
    raw:write(helpers.frame("one") .. helpers.frame("two"))
    assert.equal("one", conn:recv_bytes())
    assert_fails("OSError", connection.Connection(conn))
    assert.is_false(conn.closed)
    assert.equal("two", conn:recv_bytes())
  end)

  it("leaves a connection alone where an argument is wrong", function()
    local peer <close> = helpers.raw_peer()
    assert_misuse(function() connection.Connection(peer.conn, 1) end, "#2")
    assert_misuse(function()
      connection.Connection(peer.conn, true, true, {unknown = 1})
    end, "#4")
    assert.is_false(peer.conn.closed)
  end)

  it("throws where the other connection is closed", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:close()
    assert_misuse(function() connection.Connection(peer.conn) end, "closed")
  end)

  it("takes what an object's detach gives", function()
    local fd, other = assert(sys.socketpair())
    local raw <close> = helpers.raw(other)
    local owner = {detach = function(self)
      self.gone = true
      return fd
    end}
    local conn <close> = assert(connection.Connection(owner))
    assert.is_true(owner.gone)
    assert(conn:send_bytes("hello"))
    assert.equal("hello", raw:read_frame())
  end)

  it("hands on the failure of an object's detach", function()
    local failure = {name = "OSError"}
    local owner = {detach = function() return nil, failure end}
    local conn, err = connection.Connection(owner)
    assert.is_nil(conn)
    assert.equal(failure, err)
  end)

  it("takes a descriptor by getfd and setfd", function()
    local fd, other = assert(sys.socketpair())
    local raw <close> = helpers.raw(other)
    local owner = {fd = fd}
    function owner:getfd() return self.fd end
    function owner:setfd(n) self.fd = n end
    local conn <close> = assert(connection.Connection(owner))
    assert.equal(-1, owner.fd)
    raw:write_frame("hello")
    conn:settimeout(LIMIT)
    assert.equal("hello", conn:recv_bytes())
  end)

  it("throws where such an object has no open descriptor", function()
    local owner = {getfd = function() return -1 end, setfd = function() end}
    assert_misuse(function() connection.Connection(owner) end, "#1",
                  "descriptor")
  end)

  it("leaks nothing where what it took is not open", function()
    local before = helpers.nfds()
    local fd = assert(sys.open("/dev/null", "r"))
    sys.close(fd)
    local owner = {detach = function() return fd end}
    local err = assert_fails("OSError", connection.Connection(owner))
    assert.equal("EBADF", err.code)
    assert.equal(before, helpers.nfds())
  end)

  describe("of a LuaSocket object", function()
    local test = has_socket and it or pending

    local function luasocket_pair()
      local listener <close> = helpers.raw_listener()
      local owner = assert(socket.tcp())
      assert(owner:connect(table.unpack(listener.address)))
      return listener:accept(), owner
    end

    test("takes its descriptor away", function()
      local raw, owner = luasocket_pair()
      local fd = owner:getfd()
      local conn = assert(connection.Connection(owner))
      local _ <close> = helpers.closing(raw, conn)
      assert.equal(fd, conn:fileno())
      assert.equal(-1, owner:getfd())
      owner:close()
      conn:settimeout(LIMIT)
      raw:write_frame("hello")
      assert.equal("hello", conn:recv_bytes())
      assert(conn:send_bytes("world"))
      assert.equal("world", raw:read_frame())
    end)

    test("does not lose what it has buffered", function()
      local raw, owner = luasocket_pair()
      raw:write("line\n" .. helpers.frame("hello"))
      assert.equal("line", owner:receive("*l"))
      assert.is_true(owner:dirty())
      local conn, err = connection.Connection(owner)
      local _ <close> = helpers.closing(raw, conn or owner)
      if not conn then -- refused, as a connection's detach is
        assert.equal("OSError", err and err.name)
        assert.is_true(owner:dirty())
      else
        conn:settimeout(LIMIT)
        raw:shutdown("w")
        assert.equal("hello", conn:recv_bytes())
      end
    end)
  end)

  it("says EBADF where the descriptor is not open for that", function()
    local r, w = assert(sys.pipe())
    local reader <close> = assert(connection.Connection(r))
    local writer <close> = assert(connection.Connection(w))
    assert.equal("EBADF", assert_fails("OSError",
                                       reader:send_bytes("x")).code)
    assert.equal("EBADF", assert_fails("OSError", writer:recv_bytes()).code)
  end)

  it("adopts what is neither a socket nor a pipe", function()
    local dir <close> = helpers.tmpdir()
    local path = dir:join("file")
    do
      local writer <close> = assert(connection.Connection(
        assert(sys.open(path, "w")), false, true))
      assert(writer:send_bytes("one"))
      assert(writer:send_bytes(("two"):rep(10000)))
    end
    local reader <close> = assert(connection.Connection(
      assert(sys.open(path, "r")), true, false))
    assert.equal("one", reader:recv_bytes())
    assert.equal(("two"):rep(10000), reader:recv_bytes())
    assert_fails("EOFError", reader:recv_bytes())
  end)

  it("is limited by max_message", function()
    local fd, other = assert(sys.socketpair())
    local raw <close> = helpers.raw(other)
    local conn <close> = assert(connection.Connection(fd, true, true, {
      max_message = 4,
    }))
    raw:write(helpers.frame("four") .. helpers.frame("fives"))
    assert.equal("four", conn:recv_bytes(10))
    assert_fails("OSError", conn:recv_bytes(10))
    assert_fails("OSError", conn:recv_bytes())
  end)

  it("reads ahead where it is told to", function()
    local fd, other = assert(sys.socketpair())
    local raw <close> = helpers.raw(other)
    local conn <close> = assert(connection.Connection(fd, true, true, {
      readahead = true,
    }))
    raw:write(helpers.frame("one") .. helpers.frame("two"))
    assert.equal("one", conn:recv_bytes())
    assert.is_false(sys.poll(fd, "r", 0))
    assert.is_true(conn:dirty())
    assert.equal("two", conn:recv_bytes())
    assert.is_false(conn:dirty())
  end)
end)

describe("connection.Pipe", function()
  it("throws for wrong arguments", function()
    assert_misuse(function() connection.Pipe(1) end, "#1", "boolean")
    assert_misuse(function() connection.Pipe(true, 1) end, "#2", "options")
    assert_misuse(function() connection.Pipe(true, {authkey = "x"}) end, "#2",
                  "authkey")
  end)

  it("limits both ends by max_message", function()
    local a, b = assert(connection.Pipe(true, {max_message = 3}))
    local _ <close> = helpers.closing(a, b)
    assert(a:send_bytes("four"))
    assert_fails("OSError", b:recv_bytes())
  end)

  it("reads ahead where it is told to", function()
    local r, w = assert(connection.Pipe(false, {readahead = true}))
    local _ <close> = helpers.closing(r, w)
    assert(w:send_bytes("one"))
    assert(w:send_bytes("two"))
    assert.equal("one", r:recv_bytes())
    assert.is_true(r:dirty())
    assert.equal("two", r:recv_bytes())
  end)

  for name, duplex in pairs {duplex = true, simplex = false} do
    it("has descriptors that a program it starts does not get, " .. name,
       function()
      local a, b, _ <close> = helpers.pair(duplex)
      assert.is_true(sys.is_cloexec(a:fileno()))
      assert.is_true(sys.is_cloexec(b:fileno()))
    end)

    it("never sets O_NONBLOCK, " .. name, function()
      local r, w, _ <close> = helpers.pair(duplex)
      local big = ("x"):rep(1 << 20)
      w:settimeout(0)
      r:settimeout(0)
      assert(w:send_bytes(big))
      assert_fails("TimeoutError", w:send_bytes("x"))
      assert_fails("TimeoutError", r:recv_bytes())
      r:poll(0)
      connection.wait({r}, 0)
      assert.is_false(sys.is_nonblocking(r:fileno()))
      assert.is_false(sys.is_nonblocking(w:fileno()))
    end)
  end

  -- valgrind does not lower the limit.
  local unless_slow = helpers.slow and pending or it

  unless_slow("leaves no descriptor behind where there is only one left",
              function()
    local child <close> = helpers.fork(function()
      local raw = assert(sys.open("/dev/null", "r"))
      sys.close(raw)
      local old = sys.setrlimit_nofile(raw + 1)
      local a, err = connection.Pipe()
      sys.setrlimit_nofile(old)
      assert(a == nil and err.name == "OSError" and err.code == "EMFILE")
      assert(assert(sys.open("/dev/null", "r")) == raw)
    end)
    assert.equal(0, (child:wait()))
  end)
end)

describe("Connection:send_bytes", function()
  each_duplex("sends any bytes as one frame", function(raw, conn)
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    local all = table.concat(bytes)
    for _, message in ipairs {"", "\0", all, all:rep(64), all:rep(64) .. "x"} do
      assert.is_true(conn:send_bytes(message))
      assert.is_true(raw:read_exactly(4 + #message) == helpers.frame(message))
    end
  end)

  it("sends the part from i to j, counted as string.sub does", function()
    local peer <close> = helpers.raw_peer()
    for _, range in ipairs {
      {1}, {1, -1}, {26}, {2, 3}, {5, 4}, {26, 25}, {27, 26}, {-26}, {-1, -1},
      {-5, -2}, {3.0, 4.0}, {nil, 3}, {1, 0},
    } do
      local i, j = range[1], range[2]
      assert(peer.conn:send_bytes(ALPHABET, i, j))
      assert.equal(ALPHABET:sub(i or 1, j or -1), peer.raw:read_frame())
    end
  end)

  it("sends the empty string by any range that it has", function()
    local peer <close> = helpers.raw_peer()
    for _, range in ipairs {{}, {1}, {1, 0}, {1, -1}} do
      assert(peer.conn:send_bytes("", range[1], range[2]))
      assert.equal("", peer.raw:read_frame())
    end
  end)

  for _, case in ipairs {
    {28, nil, "#2"}, {0, nil, "#2"}, {-27, nil, "#2"},
    {math.maxinteger, nil, "#2"}, {math.mininteger, nil, "#2"},
    {1, 27, "#3"}, {3, 1, "#3"}, {1, -28, "#3"}, {27, 25, "#3"},
    {1, math.maxinteger, "#3"}, {1, math.mininteger, "#3"},
    {1.5, nil, "#2"}, {1, 1.5, "#3"}, {"x", nil, "#2"}, {1, {}, "#3"},
    {{}, nil, "#2"}, {0 / 0, nil, "#2"},
  } do
    local i, j, argument = case[1], case[2], case[3]
    local name = ("%s, %s"):format(type(i) == "table" and "{}" or i,
                                   type(j) == "table" and "{}" or j)
    it("throws for the range " .. name .. ", and sends nothing", function()
      local peer <close> = helpers.raw_peer()
      assert_misuse(function() peer.conn:send_bytes(ALPHABET, i, j) end,
                    "send_bytes", argument)
      assert_misuse(function()
        peer.conn:send_bytes(connection.Buffer(ALPHABET), i, j)
      end, "send_bytes", argument)
      assert.is_false(peer.raw:poll("r", 0))
    end)
  end

  it("throws for what is neither a string nor a Buffer", function()
    local peer <close> = helpers.raw_peer()
    for _, value in ipairs {1, 1.5, true, {}, print, io.stdout, peer.conn} do
      assert_misuse(function() peer.conn:send_bytes(value) end,
                    "bad argument #1", "send_bytes")
    end
    assert_misuse(function() peer.conn:send_bytes() end, "#1", "send_bytes")
    assert_misuse(function() peer.conn:send_bytes(nil) end, "#1")
    assert.is_false(peer.raw:poll("r", 0))
  end)

  it("sends a Buffer, or a part of it", function()
    local peer <close> = helpers.raw_peer()
    local buffer = connection.Buffer(ALPHABET)
    for _, range in ipairs {{}, {3}, {3, 5}, {-3, -2}, {27, 26}} do
      assert(peer.conn:send_bytes(buffer, range[1], range[2]))
      assert.equal(ALPHABET:sub(range[1] or 1, range[2] or -1),
                   peer.raw:read_frame())
    end
  end)

  it("sends a Buffer as it was when it was accepted", function()
    local peer <close> = helpers.raw_peer()
    local size = 1 << 20
    local buffer = connection.Buffer(("a"):rep(size))
    peer.conn:settimeout(0)
    assert.is_true(peer.conn:send_bytes(buffer))
    buffer:set(1, ("b"):rep(size))
    local child <close> = helpers.fork(function(out)
      peer.conn:close()
      out:write(peer.raw:read_frame() == ("a"):rep(size) and "same" or "other")
    end)
    assert(peer.conn:flush(LIMIT))
    assert.equal("same", child:rest())
  end)

  it("leaves what has come readable after the peer is gone", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:write_frame("farewell")
    peer.raw:close()
    assert_fails("BrokenPipeError", peer.conn:send_bytes("x"))
    assert_fails("BrokenPipeError", peer.conn:send_bytes("x"))
    assert.is_false(peer.conn.closed)
    assert.equal("farewell", peer.conn:recv_bytes())
    assert_fails("EOFError", peer.conn:recv_bytes())
  end)
end)

describe("Connection:recv_bytes", function()
  each_duplex("takes a message of just maxlength", function(raw, conn)
    raw:write(helpers.frame("12345") .. helpers.frame("") ..
              helpers.frame("next"))
    assert.equal("12345", conn:recv_bytes(5))
    assert.equal("", conn:recv_bytes(0))
    assert.equal("next", conn:recv_bytes(math.maxinteger))
  end)

  each_duplex("is at its end for ever after a longer one", function(raw, conn)
    raw:write(helpers.frame("123456") .. helpers.frame("next"))
    assert.is_true(conn.readable)
    local err = assert_fails("OSError", conn:recv_bytes(5))
    assert.is_truthy(err.message:find("bad message length", 1, true))
    for _ = 1, 3 do
      assert_fails("OSError", conn:recv_bytes())
      assert_fails("OSError", conn:recv_bytes(10))
      assert_fails("OSError", conn:recv_bytes_into(connection.Buffer(10)))
    end
    assert.is_false(conn.readable)
    assert.is_true(conn.writable)
    assert.is_false(conn.closed)
  end)

  each_duplex("leaves the other direction open then", function(raw, conn)
    raw:write_frame("123456")
    assert_fails("OSError", conn:recv_bytes(5))
    assert.is_true(conn:send_bytes("still here"))
    assert.equal("still here", raw:read_frame())
    assert.is_true(conn:flush())
    assert.is_true(conn:close())
  end)

  each_duplex("would not block then", function(raw, conn)
    raw:write_frame("123456")
    assert_fails("OSError", conn:recv_bytes(5))
    assert.is_true(conn:poll())
    assert.same({conn}, connection.wait({conn}, LIMIT))
    assert.is_true(conn:dirty())
    assert.equal(0, conn:timeout())
  end)

  it("closes a read-only connection then, and still never throws", function()
    local peer <close> = helpers.raw_peer("reader")
    local conn, fd = peer.conn, peer.conn:fileno()
    peer.raw:write(helpers.frame("123456") .. helpers.frame("next"))
    assert_fails("OSError", conn:recv_bytes(5))
    assert.is_true(conn.closed)
    assert.same({nil, "EBADF"}, {sys.is_cloexec(fd)})
    for _ = 1, 3 do
      assert_fails("OSError", conn:recv_bytes())
      assert_fails("OSError", conn:recv_bytes(10))
      assert_fails("OSError", conn:recv_bytes_into(connection.Buffer(10)))
      assert.is_true(conn:poll())
      assert.is_true(conn:poll(nil))
      assert.same({conn}, connection.wait({conn}, LIMIT))
    end
    assert.is_true(conn:dirty())
    assert.equal(-1, conn:getfd())
    assert.equal(-1, conn:pollfd())
    assert.equal(0, conn:timeout())
    assert.equal("string", type(conn:events()))
    assert.is_true(conn:flush())
    assert.is_true(conn:settimeout(1))
    assert.is_nil(conn.peer)
    assert.matches("closed", tostring(conn))
    assert.is_true(conn:close())
    assert_misuse(function() conn:recv_bytes() end, "closed")
  end)

  it("throws for a limit that is no size", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:write_frame("hello")
    for _, value in ipairs {-1, 1.5, 0 / 0, true, {}, math.huge} do
      assert_misuse(function() peer.conn:recv_bytes(value) end,
                    "bad argument #1", "recv_bytes", "size")
    end
    assert.equal("hello", peer.conn:recv_bytes(nil))
  end)

  it("throws for a text, and tells of messages", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:write_frame("hello")
    assert_misuse(function() peer.conn:recv_bytes("hello") end,
                  "bad argument #1", "recv_bytes", "messages")
    assert_misuse(function() peer.conn:recv_bytes("10") end, "messages")
    assert.equal("hello", peer.conn:recv_bytes())
  end)

  it("tells of messages where it is used as an iterator", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:write(helpers.frame("one") .. helpers.frame("two"))
    local got = {}
    assert_misuse(function()
      for message in peer.conn.recv_bytes, peer.conn do
        got[#got + 1] = message
      end
    end, "messages")
    assert.same({"one"}, got)
    assert.equal("two", peer.conn:recv_bytes())
  end)

  each_duplex("meets the end of file as often as it is called",
              function(raw, conn)
    raw:write_frame("last")
    raw:close()
    assert.equal("last", conn:recv_bytes())
    for _ = 1, 3 do assert_fails("EOFError", conn:recv_bytes()) end
    assert.is_false(conn.closed)
  end)
end)

describe("Connection:recv_bytes_into", function()
  local filled = ("."):rep(10)

  it("writes from position i on, and counts", function()
    local peer <close> = helpers.raw_peer()
    for _, case in ipairs {
      {nil, "1234567890", "1234567890"}, {1, "abc", "abc......."},
      {8, "abc", ".......abc"}, {-3, "abc", ".......abc"},
      {-10, "abc", "abc......."}, {10, "x", ".........x"},
      {11, "", ".........."}, {3.0, "x", "..x......."}, {nil, "", filled},
    } do
      local i, message, expected = case[1], case[2], case[3]
      local buffer = connection.Buffer(filled)
      peer.raw:write_frame(message)
      assert.equal(#message, peer.conn:recv_bytes_into(buffer, i))
      assert.equal(expected, tostring(buffer))
    end
  end)

  it("throws where the position is outside, and takes nothing", function()
    local peer <close> = helpers.raw_peer()
    local buffer = connection.Buffer(filled)
    peer.raw:write_frame("hello")
    for _, i in ipairs {0, 12, -11, math.maxinteger, math.mininteger, 1.5, {},
                        "x"} do
      assert_misuse(function() peer.conn:recv_bytes_into(buffer, i) end,
                    "bad argument #2", "recv_bytes_into")
    end
    assert.equal(5, peer.conn:recv_bytes_into(buffer))
  end)

  it("throws for what is no Buffer, and takes nothing", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:write_frame("hello")
    for _, value in ipairs {1, "text", true, {}, io.stdout, peer.conn} do
      assert_misuse(function() peer.conn:recv_bytes_into(value) end,
                    "bad argument #1", "recv_bytes_into", "Buffer")
    end
    assert_misuse(function() peer.conn:recv_bytes_into() end, "#1")
    assert.equal("hello", peer.conn:recv_bytes())
  end)

  each_duplex("gives a message that does not fit in err.bytes",
              function(raw, conn)
    raw:write(helpers.frame("0123456789x") .. helpers.frame("next"))
    local buffer = connection.Buffer(filled)
    local err = assert_fails("BufferTooShort", conn:recv_bytes_into(buffer))
    assert.equal("0123456789x", err.bytes)
    assert.matches("^BufferTooShort: ", tostring(err))
    assert.equal(filled, tostring(buffer))
    assert.equal(4, conn:recv_bytes_into(buffer))
    assert.equal("next......", tostring(buffer))
  end)

  it("counts the room from its position on", function()
    local peer <close> = helpers.raw_peer()
    local buffer = connection.Buffer(filled)
    peer.raw:write(helpers.frame("abcd") .. helpers.frame("abc"))
    local err = assert_fails("BufferTooShort",
                             peer.conn:recv_bytes_into(buffer, 8))
    assert.equal("abcd", err.bytes)
    assert.equal(3, peer.conn:recv_bytes_into(buffer, 8))
  end)

  it("takes an empty message into an empty Buffer", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:write(helpers.frame("") .. helpers.frame("x"))
    local buffer = connection.Buffer(0)
    assert.equal(0, peer.conn:recv_bytes_into(buffer))
    assert.equal("x", assert_fails("BufferTooShort",
                                   peer.conn:recv_bytes_into(buffer)).bytes)
  end)
end)

describe("Connection:poll", function()
  for kind, simplex in pairs {["a Pipe"] = false, ["a simplex Pipe"] = true} do
    it("takes no byte from another reader, on " .. kind, function()
      local r, w, _ <close> = helpers.pair(not simplex)
      local raw <close> = helpers.raw(assert(sys.dup(r:fileno())))
      assert(w:send_bytes("hello"))
      assert.is_true(r:poll())
      assert.is_true(r:poll(LIMIT))
      assert.is_true(r:poll(nil))
      assert.same({r}, connection.wait({r}, LIMIT))
      assert.is_false(r:dirty())
      assert.equal("hello", raw:read_frame())
      assert.is_false(r:poll())
    end)
  end

  for _, kind in ipairs {"socket", "reader"} do
    it("is true once any byte is there, on an adopted " .. kind, function()
      local peer <close> = helpers.raw_peer(kind)
      assert.is_false(peer.conn:poll())
      peer.raw:write("\0")
      assert.is_true(peer.conn:poll())
      assert.same({peer.conn}, connection.wait({peer.conn}, 0))
    end)

    it("is true at the end of file, on an adopted " .. kind, function()
      local peer <close> = helpers.raw_peer(kind)
      peer.raw:close()
      assert.is_true(peer.conn:poll())
      assert.is_true(peer.conn:poll())
      assert_fails("EOFError", peer.conn:recv_bytes())
      assert.is_true(peer.conn:poll())
    end)

    it("waits for the rest of a message that was begun, on an adopted " ..
       kind, function()
      local peer <close> = helpers.raw_peer(kind)
      local conn, raw = peer.conn, peer.raw
      conn:settimeout(0)
      raw:write("\0\0\0\5he")
      assert_fails("TimeoutError", conn:recv_bytes())
      assert.is_false(conn:poll())
      assert.is_false(conn:dirty())
      raw:write("ll")
      assert.is_false(conn:poll())
      assert.same({}, connection.wait({conn}, 0))
      raw:write("o" .. helpers.frame("next"))
      assert.is_true(conn:poll())
      assert.is_true(conn:dirty())
      assert.same({conn}, connection.wait({conn}, 0))
      local other <close> = helpers.raw(assert(sys.dup(conn:fileno())))
      assert.equal("next", other:read_frame()) -- no byte of it was taken
      assert.equal("hello", conn:recv_bytes())
      assert.is_false(conn:dirty())
    end)
  end

  for kind, make in pairs {
    ["an accepted connection"] = accepted_peer, ["a Client"] = client_peer,
  } do
    it("is true for a whole message only, on " .. kind, function()
      local raw, conn, both = make()
      local _ <close> = both
      raw:write("\0\0\0\5hell")
      assert.is_true(sys.poll(conn:fileno(), "r", LIMIT))
      assert.is_false(conn:poll())
      assert.same({}, connection.wait({conn}, 0))
      raw:write("o")
      assert.is_true(conn:poll(LIMIT))
      assert.is_true(conn:poll())
      assert.same({conn}, connection.wait({conn}, 0))
      assert.equal("hello", conn:recv_bytes())
      assert.is_false(conn:poll())
    end)

    it("counts what is buffered, on " .. kind, function()
      local raw, conn, both = make()
      local _ <close> = both
      raw:write(helpers.frame("one") .. helpers.frame("two") .. "\0\0\0\5h")
      assert.is_true(conn:poll(LIMIT))
      assert.equal("one", conn:recv_bytes())
      assert.is_true(conn:dirty())
      assert.equal(0, conn:timeout())
      assert.is_true(conn:poll())
      assert.same({conn}, connection.wait({conn}))
      assert.equal("two", conn:recv_bytes())
      assert.is_false(conn:dirty())
      assert.is_nil(conn:timeout())
      assert.is_false(conn:poll())
    end)

    it("is true at the end of file in a message, on " .. kind, function()
      local raw, conn, both = make()
      local _ <close> = both
      raw:write("\0\0\0\5h")
      raw:close()
      assert.is_true(conn:poll(LIMIT))
      assert.is_true(conn:poll())
      assert_fails("OSError", conn:recv_bytes())
    end)
  end

  it("takes nothing where another process polls", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:write_frame("hello")
    local child <close> = helpers.fork(function()
      return peer.conn:poll(nil) and peer.conn:poll(0)
             and #connection.wait({peer.conn}) == 1 and 0 or 2
    end)
    assert.equal(0, (child:wait()))
    assert.equal("hello", peer.conn:recv_bytes())
  end)

  it("waits for ever for nil, and not at all for less than nothing",
     function()
    local raw, conn, both = accepted_peer()
    local _ <close> = both
    local start = sys.monotonic()
    assert.is_false(conn:poll(-1))
    assert.is_false(conn:poll(-math.huge))
    assert.is_true(sys.monotonic() - start < LIMIT)
    local child <close> = helpers.fork(function()
      assert(conn:send_bytes("go"))
      assert(raw:read_frame() == "go")
      assert(raw:write_frame("hello"))
    end)
    assert.is_true(conn:poll(nil))
    assert.equal("hello", conn:recv_bytes())
    assert.equal(0, (child:wait()))
  end)

  it("takes its own time, not the connection's", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(LIMIT)
    local start = sys.monotonic()
    assert.is_false(peer.conn:poll())
    assert.is_false(peer.conn:poll(0.01))
    local time = sys.monotonic() - start
    assert.is_true(time >= 0.01 and time < LIMIT)
  end)

  it("throws for what is no number", function()
    local peer <close> = helpers.raw_peer()
    for _, value in ipairs {"1", true, {}, 0 / 0} do
      assert_misuse(function() peer.conn:poll(value) end, "bad argument #1",
                    "poll", "seconds")
    end
  end)
end)

describe("Connection:messages", function()
  each_duplex("gives the messages until end of file", function(raw, conn)
    raw:write(helpers.frame("one") .. helpers.frame("") .. helpers.frame("3"))
    raw:shutdown("w")
    local got = {}
    for message in conn:messages("bytes") do got[#got + 1] = message end
    assert.same({"one", "", "3"}, got)
  end)

  it("throws any other failure", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:write(helpers.frame("one") .. "\0\0\0\9x")
    peer.raw:close()
    local got = {}
    local called, err = pcall(function()
      for message in peer.conn:messages("bytes") do got[#got + 1] = message end
    end)
    assert.is_false(called)
    assert.equal("OSError", err.name)
    assert.same({"one"}, got)
  end)

  it("throws for an unknown mode, whatever that is", function()
    local peer <close> = helpers.raw_peer()
    for _, mode in ipairs {"lines", 1, true, {}} do
      assert_misuse(function() peer.conn:messages(mode) end, "#1", "messages")
    end
  end)
end)

describe("Connection:fileno, :getfd and :pollfd", function()
  each_duplex("are its descriptor while it is open", function(raw, conn)
    local fd = conn:fileno()
    assert.equal("integer", math.type(fd))
    raw:write("x")
    assert.is_true(sys.poll(fd, "r", LIMIT))
    assert.equal(fd, conn:getfd())
    assert.equal(fd, conn:pollfd())
  end)

  it("are -1 once it is closed, but for fileno, which throws", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:close()
    assert.equal(-1, peer.conn:getfd())
    assert.equal(-1, peer.conn:pollfd())
    assert_misuse(function() peer.conn:fileno() end, "fileno", "closed")
  end)

  it("are the socket while a handshake goes on", function()
    local _, client, both = silent_peer()
    local _ <close> = both
    client:poll()
    assert.is_true(client:fileno() >= 0)
    assert.equal(client:fileno(), client:getfd())
    assert.equal(client:fileno(), client:pollfd())
  end)
end)

describe("Connection:events, :timeout and :dirty", function()
  each_duplex("are r, nil and false where nothing is there", function(_, conn)
    assert.equal("r", conn:events())
    assert.is_nil(conn:timeout())
    assert.is_false(conn:dirty())
  end)

  it("are nothing, nil and false where it is write-only", function()
    local peer <close> = helpers.raw_peer("writer")
    assert.equal("", peer.conn:events())
    assert.is_nil(peer.conn:timeout())
    assert.is_false(peer.conn:dirty())
  end)

  it("tell of a message that is held", function()
    local duplex <close> = helpers.raw_peer()
    local writing <close> = helpers.raw_peer("writer")
    for events, peer in pairs {rw = duplex, w = writing} do
      peer.conn:settimeout(0)
      assert.is_true(peer.conn:send_bytes(("x"):rep(1 << 20)))
      assert.equal(events, peer.conn:events())
      assert.is_nil(peer.conn:timeout())
      assert.is_false(peer.conn:dirty())
    end
  end)

  it("tell what a handshake waits for, and until when", function()
    local raw, client, both = client_peer(nil, {
      nonblocking = true, authkey = "key", timeout = LIMIT,
    })
    local _ <close> = both
    assert.is_false(client:poll())
    assert.equal("r", client:events())
    assert.is_false(client:dirty())
    assert.is_true(client:timeout() > 0 and client:timeout() <= LIMIT)
    raw:close()
    assert_fails("EOFError", client:handshake(LIMIT))
  end)

  it("tell of a connection that could not be opened", function()
    local dir <close> = helpers.tmpdir()
    local client <close> = assert(connection.Client(dir:join("nobody"), {
      nonblocking = true, retry = false,
    }))
    assert.is_true(client:poll(LIMIT))
    assert.same({client}, connection.wait({client}, LIMIT))
    assert.is_true(client:dirty())
    assert.equal(0, client:timeout())
    assert_fails("FileNotFoundError", client:recv_bytes())
    assert_fails("FileNotFoundError", client:send_bytes("x"))
    assert.is_true(client.closed)
    assert.equal(-1, client:getfd())
  end)

  it("tell when a client tries again", function()
    local dir <close> = helpers.tmpdir()
    local client <close> = assert(connection.Client(dir:join("nobody"), {
      nonblocking = true, retry = true, timeout = LIMIT,
    }))
    assert.is_false(client:poll())
    assert.is_true(client:timeout() <= LIMIT)
    assert.is_false(client:dirty())
    assert.is_false(client.closed)
    assert.matches("connecting", tostring(client))
  end)

  it("is false once it is closed, and the others throw", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:close()
    assert.is_false(peer.conn:dirty())
    assert_misuse(function() peer.conn:events() end, "events", "closed")
    assert_misuse(function() peer.conn:timeout() end, "timeout", "closed")
  end)
end)

describe("Connection.peer", function()
  it("is host and port of the other end", function()
    local listener <close> = helpers.raw_listener()
    local client <close> = assert(connection.Client(listener.address))
    local raw <close> = listener:accept()
    assert.same(listener.address, {client.peer[1], client.peer[2]})
    assert.is_truthy(raw)
  end)

  it("is the path of the other end", function()
    local dir <close> = helpers.tmpdir()
    local path = dir:join("socket")
    local _, client, both = client_peer(path)
    local _ <close> = both
    assert.equal(path, client.peer)
    assert.equal(path, client.address)
  end)

  it("is nil where the other end has no name, or is no socket", function()
    local _, conn, both = accepted_peer()
    local _ <close> = both
    local a, b, pair <close> = helpers.pair()
    local r, w, pipe <close> = helpers.pair(false)
    for _, c in ipairs {conn, a, b, r, w} do assert.is_nil(c.peer) end
    assert.is_truthy(pair and pipe)
  end)

  it("is nil once it is closed", function()
    local _, conn, both = accepted_peer({"127.0.0.1", 0})
    local _ <close> = both
    assert.equal("127.0.0.1", conn.peer[1])
    conn:close()
    assert.is_nil(conn.peer)
  end)
end)

describe("Connection.closed, .readable and .writable", function()
  each_duplex("say what it is", function(_, conn)
    assert.same({false, true, true},
                {conn.closed, conn.readable, conn.writable})
    conn:close()
    assert.is_true(conn.closed)
  end)

  it("cannot be set", function()
    local peer <close> = helpers.raw_peer()
    assert.has_error(function() peer.conn.closed = true end)
    assert.has_error(function() peer.conn.anything = true end)
    assert.is_false(peer.conn.closed)
  end)

  it("are all the properties: any other name is nil", function()
    local peer <close> = helpers.raw_peer()
    assert.is_nil(peer.conn.anything)
    assert.is_nil(peer.conn.address)
    assert.is_nil(peer.conn[1])
    assert.is_nil(peer.conn[true])
  end)
end)

describe("Connection:detach", function()
  each_duplex("gives up the descriptor as it is", function(raw, conn)
    local fd = conn:fileno()
    raw:write_frame("for the connection")
    assert.equal("for the connection", conn:recv_bytes())
    assert.equal(fd, conn:detach())
    assert.is_true(conn.closed)
    local own <close> = helpers.raw(fd)
    raw:write("raw")
    assert.equal("raw", own:read_exactly(3))
    own:write("bytes")
    assert.equal("bytes", raw:read_exactly(5))
  end)

  it("is refused while bytes are buffered", function()
    local raw, conn, both = accepted_peer()
    local _ <close> = both
    raw:write(helpers.frame("one") .. helpers.frame("two"))
    assert.equal("one", conn:recv_bytes())
    local err = assert_fails("OSError", conn:detach())
    assert.matches("detach", err.message)
    assert.is_nil(err.bytes)
    assert.is_false(conn.closed)
    assert.equal("two", conn:recv_bytes())
    local own <close> = helpers.raw(assert(conn:detach()))
    raw:write("raw")
    assert.equal("raw", own:read_exactly(3))
  end)

  it("is refused in the middle of a message", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(0)
    peer.raw:write("\0\0\0\4ab")
    assert_fails("TimeoutError", peer.conn:recv_bytes())
    assert_fails("OSError", peer.conn:detach())
    peer.raw:write("cd")
    assert.equal("abcd", peer.conn:recv_bytes())
    local own <close> = helpers.raw(assert(peer.conn:detach()))
    assert.is_true(own:fileno() >= 0)
  end)

  it("first delivers what is held, within the timeout", function()
    local peer <close> = helpers.raw_peer()
    local size = 1 << 20
    peer.conn:settimeout(0)
    assert(peer.conn:send_bytes(("x"):rep(size)))
    assert_fails("TimeoutError", peer.conn:detach())
    assert.is_false(peer.conn.closed)
    local child <close> = helpers.fork(function()
      peer.conn:close()
      return #peer.raw:read_frame() == size and 0 or 2
    end)
    peer.conn:settimeout(LIMIT)
    local own <close> = helpers.raw(assert(peer.conn:detach()))
    assert.equal(0, (child:wait()))
    assert.is_true(own:fileno() >= 0)
  end)

  it("fails, and does not throw, where the peer's doing has closed it",
     function()
    local peer <close> = helpers.raw_peer("reader")
    peer.raw:write_frame("123456")
    assert_fails("OSError", peer.conn:recv_bytes(5))
    assert_fails("OSError", peer.conn:detach())
  end)
end)

describe("Connection:settimeout", function()
  it("throws without an argument, and for what is no number", function()
    local peer <close> = helpers.raw_peer()
    assert_misuse(function() peer.conn:settimeout() end, "#1", "settimeout")
    for _, value in ipairs {"1", true, {}, 0 / 0} do
      assert_misuse(function() peer.conn:settimeout(value) end,
                    "bad argument #1", "settimeout", "seconds")
    end
  end)

  it("takes nil, infinity and less than nothing", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(-5)
    assert_fails("TimeoutError", peer.conn:recv_bytes())
    peer.raw:write(helpers.frame("one") .. helpers.frame("two"))
    peer.conn:settimeout(nil)
    assert.equal("one", peer.conn:recv_bytes())
    peer.conn:settimeout(math.huge)
    assert.equal("two", peer.conn:recv_bytes())
  end)

  it("takes more seconds than a clock can count", function()
    local peer <close> = helpers.raw_peer()
    for _, seconds in ipairs {1e10, 1e18, 1e300, math.maxinteger} do
      peer.conn:settimeout(seconds)
      peer.raw:write_frame("x")
      assert.equal("x", peer.conn:recv_bytes())
    end
  end)
end)

describe("Connection:close", function()
  each_duplex("closes the descriptor, as often as it is called",
              function(raw, conn)
    local fd = conn:fileno()
    assert.is_true(conn:close())
    assert.same({nil, "EBADF"}, {sys.is_cloexec(fd)})
    assert.is_true(conn:close())
    assert.is_true(conn:close())
    assert.equal("", raw:read(1))
  end)

  it("never closes a descriptor that was opened since", function()
    local peer <close> = helpers.raw_peer()
    local fd = peer.conn:fileno()
    peer.conn:close()
    local null <close> = helpers.raw(assert(sys.open("/dev/null", "r")))
    assert.equal(fd, null:fileno()) -- the lowest that is free
    peer.conn:close()
    getmetatable(peer.conn).__close(peer.conn)
    getmetatable(peer.conn).__gc(peer.conn)
    assert.is_truthy(sys.is_cloexec(fd))
  end)

  it("makes every later use misuse", function()
    local peer <close> = helpers.raw_peer()
    local conn = peer.conn
    conn:close()
    for name, call in pairs {
      detach = function() conn:detach() end,
      events = function() conn:events() end,
      fileno = function() conn:fileno() end,
      flush = function() conn:flush() end,
      poll = function() conn:poll() end,
      recv_bytes = function() conn:recv_bytes() end,
      recv_bytes_into = function()
        conn:recv_bytes_into(connection.Buffer(1))
      end,
      send_bytes = function() conn:send_bytes("x") end,
      settimeout = function() conn:settimeout(1) end,
      timeout = function() conn:timeout() end,
    } do
      assert_misuse(call, name, "closed")
    end
    assert_misuse(function() connection.wait({conn}, 0) end, "closed")
  end)

  it("ends a client that is still connecting", function()
    local before = helpers.nfds()
    local dir <close> = helpers.tmpdir()
    local client = assert(connection.Client(dir:join("nobody"), {
      nonblocking = true, retry = true,
    }))
    assert.is_false(client.closed)
    assert.is_true(client:close())
    assert.is_true(client.closed)
    assert.matches("closed", tostring(client))
    assert.equal(before, helpers.nfds())
  end)

  it("happens at the end of a block, also by an error", function()
    local peer <close> = helpers.raw_peer()
    local called = pcall(function()
      local conn <close> = peer.conn
      error(conn)
    end)
    assert.is_false(called)
    assert.is_true(peer.conn.closed)
    assert.equal("", peer.raw:read(1))
  end)

  it("happens when the connection is collected", function()
    local fd, other = assert(sys.socketpair())
    local raw <close> = helpers.raw(other)
    local function forget() assert(connection.Connection(fd)) end
    forget()
    collectgarbage()
    collectgarbage()
    assert.equal("", raw:read(1))
    assert.same({nil, "EBADF"}, {sys.is_cloexec(fd)})
  end)
end)

describe("tostring", function()
  it("tells the type and the descriptor, or that it is closed", function()
    local peer <close> = helpers.raw_peer()
    local conn = peer.conn
    assert.equal(("multiprocessing.connection.Connection (descriptor %d)")
                 :format(conn:fileno()), tostring(conn))
    conn:close()
    assert.equal("multiprocessing.connection.Connection (closed)",
                 tostring(conn))
  end)

  it("tells of a Client that it is one", function()
    local _, client, both = client_peer()
    local _ <close> = both
    assert.matches("^multiprocessing%.connection%.Client ", tostring(client))
    assert.equal("multiprocessing.connection.Client",
                 getmetatable(client).__name)
  end)
end)

describe("The methods of a connection", function()
  it("throw for a self that is none", function()
    local peer <close> = helpers.raw_peer()
    for name, method in pairs {
      close = peer.conn.close, detach = peer.conn.detach,
      dirty = peer.conn.dirty, events = peer.conn.events,
      fileno = peer.conn.fileno, flush = peer.conn.flush,
      getfd = peer.conn.getfd, poll = peer.conn.poll,
      pollfd = peer.conn.pollfd, recv_bytes = peer.conn.recv_bytes,
      recv_bytes_into = peer.conn.recv_bytes_into,
      send_bytes = peer.conn.send_bytes, settimeout = peer.conn.settimeout,
      timeout = peer.conn.timeout,
    } do
      for _, value in ipairs {1, "x", {}, io.stdout, connection.Buffer(1)} do
        local called, message = pcall(method, value)
        assert.is_false(called, name)
        assert.matches("Connection expected", message, 1, true)
      end
      assert.is_false((pcall(method)), name)
    end
  end)

  it("throw from __tostring and __index for a self that is none", function()
    local peer <close> = helpers.raw_peer()
    local mt = getmetatable(peer.conn)
    assert.has_error(function() mt.__tostring({}) end)
    assert.has_error(function() mt.__index({}, "closed") end)
    assert.has_no_error(function() mt.__gc({}) end)
    assert.has_no_error(function() mt.__close(io.stdout) end)
  end)
end)

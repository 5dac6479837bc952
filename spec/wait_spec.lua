-- connection.wait: which objects are ready, and when. A Poller has to find the
-- same: what is said of objects is said of both.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local SHORT = helpers.short
local INET = {"127.0.0.1", 0}
local KEY = "secret password"

local wait = connection.wait

--- A function that does what wait does by a Poller, which goes on from one call to
--- the next, and what closes that.
local function waiter_by_poller()
  local poller, watched = assert(connection.Poller()), {}
  return function(list, timeout)
    local wanted, is_ready, ready = {}, {}, {}
    for _, object in ipairs(list) do wanted[object] = true end
    for object in pairs(watched) do
      if not wanted[object] then poller:remove(object) end
    end
    for object in pairs(wanted) do assert.is_boolean((poller:add(object))) end
    watched = wanted
    for _, object in ipairs(poller:wait(timeout)) do
      assert.is_nil(is_ready[object])
      is_ready[object] = true
    end
    for _, object in ipairs(list) do
      if is_ready[object] then table.insert(ready, object) end
    end
    return ready
  end, poller
end

local assert_misuse = helpers.assert_misuse
local elapsed = helpers.elapsed

--- An object of another library, as far as wait knows.
local function foreign(methods)
  return setmetatable({}, {__index = methods})
end

describe("wait", function()
  it("gives the ready ones in the order of the list", function()
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    for _, conn in ipairs {a, c, d} do assert(conn:send_bytes("x")) end
    assert.same({d, c, b}, wait({d, a, c, b}, LIMIT))
    assert.same({b, c, d}, wait({b, c, d, a}, LIMIT))
  end)

  it("gives an object as often as the list has it", function()
    local a, b, _ <close> = helpers.pair()
    assert(a:send_bytes("x"))
    assert.same({b, b}, wait({b, a, b}, LIMIT))
  end)

  it("gives each of two kinds of reference to one descriptor", function()
    local a, b, _ <close> = helpers.pair()
    assert(a:send_bytes("x"))
    assert.same({b:fileno(), b}, wait({b:fileno(), b}, LIMIT))
  end)

  it("gives a new list, and leaves the old one as it is", function()
    local a, b, _ <close> = helpers.pair()
    assert(a:send_bytes("x"))
    local list = {b, a}
    local ready = wait(list, LIMIT)
    assert.same({b}, ready)
    assert.same({b, a}, list)
    assert.are_not.equal(list, ready)
  end)

  it("takes nothing: what is ready stays ready", function()
    local a, b, _ <close> = helpers.pair()
    assert(a:send_bytes("x"))
    for _ = 1, 3 do assert.same({b}, wait({b}, LIMIT)) end
    assert.equal("x", b:recv_bytes())
    assert.same({}, wait({b}, 0))
  end)

  it("waits until something is ready, without a timeout", function()
    local a, b, _ <close> = helpers.pair()
    for _, arguments in ipairs {{n = 1}, {n = 2}, {nil, math.huge, n = 2}} do
      local child <close> = helpers.fork(function() assert(a:send_bytes("x")) end)
      arguments[1] = {b}
      assert.same({b}, wait(table.unpack(arguments, 1, arguments.n)))
      assert.equal("x", b:recv_bytes())
      assert.equal(0, (child:wait()))
    end
  end)

  it("gives an empty list at its timeout, and not before", function()
    local a, b, _ <close> = helpers.pair()
    local ready, took = elapsed(wait, {a, b}, SHORT)
    assert.same({}, ready)
    assert.is_true(took >= SHORT and took < LIMIT / 2)
  end)

  it("looks once where the timeout is 0 or negative", function()
    local a, b, _ <close> = helpers.pair()
    for _, timeout in ipairs {0, -1, -math.huge} do
      local ready, took = elapsed(wait, {a, b}, timeout)
      assert.same({}, ready)
      assert.is_true(took < LIMIT / 10)
    end
    assert(a:send_bytes("x"))
    for _, timeout in ipairs {0, -1, -math.huge} do assert.same({b}, wait({a, b}, timeout)) end
  end)

  it("sleeps where the list is empty", function()
    local ready, took = elapsed(wait, {}, SHORT)
    assert.same({}, ready)
    assert.is_true(took >= SHORT and took < LIMIT / 2)
    assert.same({}, wait({}, 0))
    assert.same({}, wait({}, -1))
  end)

  it("goes on with the time that is left when signals come", function()
    local a, b, _ <close> = helpers.pair()
    local child <close> = helpers.fork(function()
      sys.on_alarm("nothing")
      sys.alarm(SHORT / 10, SHORT / 10)
      local ready, took = elapsed(wait, {a, b}, 3 * SHORT)
      sys.alarm(0)
      assert.same({}, ready)
      assert(took >= 3 * SHORT and took < LIMIT / 2, took)
      assert(sys.alarms() > 3)
    end)
    assert.equal(0, (child:wait()))
  end)
end)

describe("wait: misuse", function()
  it("throws where there is nothing to wait for, and no timeout", function()
    assert_misuse("bad argument #1", wait, {})
    assert_misuse("bad argument #1", wait, {}, nil)
    assert_misuse("bad argument #1", wait, {}, math.huge)
  end)

  it("throws for what is no list", function()
    local a, _, _ <close> = helpers.pair()
    for _, list in ipairs {1, "x", true, a} do assert_misuse("bad argument #1", wait, list, 0) end
    assert_misuse("bad argument #1", wait)
    assert_misuse("bad argument #1", wait, nil, 0)
  end)

  it("throws for a timeout that is no number of seconds", function()
    local a, _, _ <close> = helpers.pair()
    for _, timeout in ipairs {"1", {}, true, 0 / 0} do
      assert_misuse("bad argument #2", wait, {a}, timeout)
    end
  end)

  it("throws for objects that cannot be waited for, and says which", function()
    local a, _, _ <close> = helpers.pair()
    for _, object in ipairs {"x", true, 1.5, {}, print, io.stdout, coroutine.create(print)} do
      assert_misuse("bad argument #1.*%[2%]", wait, {a, object}, 0)
    end
  end)

  it("throws for integers that are no descriptors", function()
    for _, fd in ipairs {-1, math.mininteger, math.maxinteger, 1 << 31} do
      assert_misuse("bad argument #1.*%[1%]", wait, {fd}, 0)
    end
  end)

  it("throws for a closed connection, client or listener, and says which", function()
    local listener = assert(connection.Listener())
    local client = assert(connection.Client(listener.address))
    local conn = assert(listener:accept(LIMIT))
    local a, b, _ <close> = helpers.pair()
    for _, object in ipairs {conn, client, listener} do
      object:close()
      assert_misuse("bad argument #1.*closed.*%[3%]", wait, {a, b, object}, 0)
    end
  end)

  it("throws for a write-only connection", function()
    local r, w, _ <close> = helpers.pair(false)
    assert_misuse("write%-only", wait, {r, w}, 0)
  end)

  it("throws for a foreign object whose descriptor is closed or no integer", function()
    for _, fd in ipairs {-1, "x", 1.5, {}, false} do
      local object = foreign {fileno = function() return fd or nil end}
      assert_misuse("bad argument #1.*%[1%]", wait, {object}, 0)
    end
  end)

  it("lets an error of a foreign object's method through", function()
    local object = foreign {fileno = function() error("its own trouble") end}
    assert_misuse("its own trouble", wait, {object}, 0)
  end)

  it("leaves the objects usable", function()
    local a, b, _ <close> = helpers.pair()
    assert(a:send_bytes("x"))
    assert.has_error(function() wait({b, "x"}, 0) end)
    assert.same({b}, wait({b}, 0))
  end)
end)

-- Of both: `wait` is connection.wait, or does the same by a Poller.
local function describe_objects(way, wait) -- luacheck: ignore 431
  describe(way .. ": connections", function()
    it("are ready with a whole message, where they may read ahead", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      raw:write_frame("message")
      assert.same({conn}, wait({conn}, LIMIT))
      assert.equal("message", conn:recv_bytes())
    end)

    it("are not ready with a part of a message, where they may read ahead", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      local bytes = helpers.frame("message")
      for i = 1, #bytes - 1 do
        raw:write(bytes:sub(i, i))
        assert.same({}, wait({conn}, 0))
      end
      assert.same({}, wait({conn}, SHORT))
      raw:write(bytes:sub(-1))
      assert.same({conn}, wait({conn}, LIMIT))
      assert.equal("message", conn:recv_bytes())
    end)

    it("become ready while it waits, when the rest of the message comes", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      raw:write("\0\0\0\9half")
      assert.same({}, wait({conn}, 0))
      local child <close> = helpers.fork(function()
        for byte in ("/half"):gmatch(".") do raw:write(byte) end
      end)
      assert.same({conn}, wait({conn}, LIMIT))
      assert.equal("half/half", conn:recv_bytes())
      assert.equal(0, (child:wait()))
    end)

    it("do not keep it from waiting with half messages: it does not spin", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      raw:write("\0\0\0\9half")
      local cpu = os.clock()
      assert.same({}, wait({conn}, 3 * SHORT))
      assert.is_true(os.clock() - cpu < SHORT)
    end)

    it("are ready with a message far larger than a socket's buffer, once it is whole", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      local size = helpers.slow and 1 << 20 or 1 << 23
      local child <close> = helpers.fork(function()
        raw:write(helpers.frame(("x"):rep(size)))
        return 0
      end)
      assert.same({conn}, wait({conn}, LIMIT))
      conn:settimeout(0)
      assert.equal(size, #assert(conn:recv_bytes()))
      assert.equal(0, (child:wait()))
    end)

    it("are ready for each message that was read ahead", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      raw:write(helpers.frame("one") .. helpers.frame("") .. helpers.frame("three") .. "\0\0")
      for _, message in ipairs {"one", "", "three"} do
        assert.same({conn}, wait({conn}, LIMIT))
        assert.equal(message, conn:recv_bytes())
      end
      assert.same({}, wait({conn}, 0))
    end)

    it("that hold buffered messages do not hide others that are ready", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      local a, b, _ <close> = helpers.pair()
      raw:write(helpers.frame("one") .. helpers.frame("two"))
      assert.equal("one", conn:recv_bytes())
      assert(a:send_bytes("x"))
      assert.same({conn, b}, wait({conn, a, b}, LIMIT))
      assert.same({b, conn}, wait({b, conn, a}, LIMIT))
    end)

    it("are ready at the end of file, again and again", function()
      for _, peer in ipairs {helpers.raw_peer(), helpers.raw_peer("reader")} do
        local _ <close> = peer
        peer.raw:close()
        for _ = 1, 2 do
          assert.same({peer.conn}, wait({peer.conn}, LIMIT))
          assert.equal("EOFError", select(2, peer.conn:recv_bytes()).name)
        end
      end
      local conn, raw, _ <close> = helpers.ahead_peer()
      raw:close()
      for _ = 1, 2 do
        assert.same({conn}, wait({conn}, LIMIT))
        assert.equal("EOFError", select(2, conn:recv_bytes()).name)
      end
    end)

    it("are ready at the end of file inside a message", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      raw:write("\0\0\0\9half")
      raw:close()
      assert.same({conn}, wait({conn}, LIMIT))
      assert.equal("OSError", select(2, conn:recv_bytes()).name)
    end)

    it("are ready with a length that is bad, and stay so", function()
      for _, header in ipairs {"\xff\xff\xff\xfe", "\0\0\0\11"} do
        local conn, raw, _ <close> = helpers.ahead_peer({max_message = 10})
        raw:write(header)
        for _ = 1, 2 do
          assert.same({conn}, wait({conn}, LIMIT))
          assert.equal("OSError", select(2, conn:recv_bytes()).name)
        end
      end
    end)

    it("are ready when they were reset", function()
      local listener <close> = assert(connection.Listener(INET))
      local raw = helpers.raw_client(listener)
      local conn <close> = assert(listener:accept(LIMIT))
      raw:reset()
      assert.same({conn}, wait({conn}, LIMIT))
      assert.equal("ConnectionResetError", select(2, conn:recv_bytes()).name)
    end)

    it("that were adopted are ready with any byte, which stays where it is", function()
      for _, kind in ipairs {"socket", "reader"} do
        local peer <close> = helpers.raw_peer(kind)
        peer.raw:write("\0")
        assert.same({peer.conn}, wait({peer.conn}, LIMIT))
        assert.equal("\0", sys.read(peer.conn:fileno(), 16))
        assert.same({}, wait({peer.conn}, 0))
      end
    end)

    it("that were adopted are not ready in the middle of a message they have begun", function()
      local peer <close> = helpers.raw_peer()
      peer.raw:write("\0\0\0\4ab")
      peer.conn:settimeout(0)
      assert.equal("TimeoutError", select(2, peer.conn:recv_bytes()).name)
      assert.same({}, wait({peer.conn}, 0))
      peer.raw:write("c")
      assert.same({}, wait({peer.conn}, SHORT))
      peer.raw:write("d")
      assert.same({peer.conn}, wait({peer.conn}, LIMIT))
      assert.equal("abcd", peer.conn:recv_bytes())
    end)

    it("can be a thousand", function()
      local limit = sys.setrlimit_nofile(-1)
      local list, raws, count = {}, {}, helpers.slow and 200 or 1000
      local _ <close> = setmetatable({}, {__close = function()
        for i = 1, #list do
          list[i]:close()
          raws[i]:close()
        end
        sys.setrlimit_nofile(limit)
      end})
      for i = 1, count do
        local raw, fd = assert(sys.socketpair())
        raws[i] = helpers.raw(raw)
        local conn = assert(connection.Connection(fd))
        list[i] = conn
      end
      assert.same({}, wait(list, 0))
      local expected = {}
      for i = 1, count, 7 do
        raws[i]:write_frame("x")
        table.insert(expected, list[i])
      end
      local ready = wait(list, LIMIT)
      assert.equal(#expected, #ready)
      for i, conn in ipairs(expected) do assert.is_true(rawequal(conn, ready[i])) end
    end)
  end)

  describe(way .. ": descriptors and objects of other libraries", function()
    it("may be integers", function()
      local r, w = assert(sys.pipe())
      local reader <close> = helpers.raw(r)
      local writer <close> = helpers.raw(w)
      assert.same({}, wait({r}, 0))
      writer:write("x")
      assert.same({r}, wait({r}, LIMIT))
      assert.equal("x", reader:read(1))
      writer:close()
      assert.same({r}, wait({r}, LIMIT))
    end)

    if way == "wait" then -- a Poller refuses it
      it("are ready where the descriptor is not open: using it will tell", function()
        local r, w = assert(sys.pipe())
        sys.close(w)
        sys.close(r)
        assert.same({r}, wait({r}, LIMIT))
      end)
    end

    for _, name in ipairs {"fileno", "getfd", "pollfd"} do
      it("are asked for their descriptor by " .. name, function()
        local r, w = assert(sys.pipe())
        local reader <close> = helpers.raw(r)
        local writer <close> = helpers.raw(w)
        local object = foreign {[name] = function(self) return self and reader.fd end}
        assert.same({}, wait({object}, 0))
        writer:write("x")
        assert.same({object}, wait({object}, LIMIT))
      end)
    end

    it("may be userdata or tables with plain methods", function()
      local r, w = assert(sys.pipe())
      local reader <close> = helpers.raw(r)
      local writer <close> = helpers.raw(w)
      writer:write("x")
      local object = {fileno = function() return r end}
      assert.same({object, reader}, wait({object, reader}, LIMIT))
    end)

    it("are ready at once where `dirty` says so", function()
      local r, w = assert(sys.pipe())
      local reader <close> = helpers.raw(r)
      local writer <close> = helpers.raw(w)
      local dirty = true
      local object = foreign {
        dirty = function() return dirty end, fileno = function() return reader.fd end,
      }
      assert.same({object}, wait({object}, LIMIT))
      assert.is_true(writer.fd >= 0)
      dirty = false
      assert.same({}, wait({object}, 0))
    end)

    local has_socket, socket = pcall(require, "socket")
    if has_socket then
      it("may be LuaSocket's, whose buffered bytes count", function()
        local server = assert(socket.bind("127.0.0.1", 0))
        local _, port = server:getsockname()
        assert.same({}, wait({server}, 0))
        local raw <close> = helpers.raw_client({"127.0.0.1", tonumber(port)})
        assert.same({server}, wait({server}, LIMIT))
        local peer = assert(server:accept())
        assert.same({}, wait({peer}, 0))
        raw:write("one\ntwo\n")
        assert.same({peer}, wait({peer}, LIMIT))
        assert.equal("one", (peer:receive("*l")))
        assert.same({peer}, wait({peer}, LIMIT))
        assert.equal("two", (peer:receive("*l")))
        assert.same({}, wait({peer}, 0))
        peer:close()
        assert_misuse("bad argument #1", wait, {peer}, 0)
        server:close()
      end)
    else
      pending("may be LuaSocket's, whose buffered bytes count")
    end

    local has_posix, unistd = pcall(require, "posix.unistd")
    if has_posix then
      it("may be luaposix's: descriptors, and what has them", function()
        local r, w = assert(unistd.pipe())
        local object = {fileno = function(self) return self.fd end, fd = r}
        assert.same({}, wait({r, object}, 0))
        assert(unistd.write(w, "x"))
        assert.same({r, object}, wait({r, object}, LIMIT))
        assert(unistd.read(r, 1))
        assert.same({}, wait({r, object}, 0))
        unistd.close(w)
        assert.same({object, r}, wait({object, r}, LIMIT))
        unistd.close(r)
      end)
    else
      pending("may be luaposix's: descriptors, and what has them"
              .. " (luaposix: no module for this Lua)")
    end

    local has_luv, uv = pcall(require, "luv")
    if has_luv then
      it("may be luv's handles", function()
        local fd, own = assert(sys.socketpair())
        local raw <close> = helpers.raw(fd)
        local pipe, tcp = uv.new_pipe(false), uv.new_tcp()
        assert(pipe:open(own))
        assert(tcp:bind("127.0.0.1", 0))
        assert(tcp:listen(1, function() end))
        assert.same({}, wait({tcp, pipe}, 0))
        raw:write("x")
        assert.same({pipe}, wait({tcp, pipe}, LIMIT))
        local peer <close> = helpers.raw_client({"127.0.0.1", tcp:getsockname().port})
        assert.same({tcp, pipe}, wait({tcp, pipe}, LIMIT))
        assert.is_true(peer.fd >= 0)
        tcp:close()
        pipe:close()
        uv.run()
      end)
    else
      pending("may be luv's handles")
    end

    it("are waited for as `events` says, where they have `pollfd`", function()
      local peer <close> = helpers.raw_peer()
      local events, asked = "r", 0
      local object = foreign {
        pollfd = function() return peer.raw.fd end,
        events = function()
          asked = asked + 1
          return events
        end,
      }
      assert.same({}, wait({object}, 0))
      for _, writing in ipairs {"w", "rw", 4, 5} do
        events = writing
        assert.same({object}, wait({object}, LIMIT))
        events = "r"
        assert.same({}, wait({object}, 0))
      end
      assert.is_true(asked >= 9)
    end)

    it("are ready when their `timeout` is over, where they have `pollfd`", function()
      local peer <close> = helpers.raw_peer()
      local timeout
      local object = foreign {
        pollfd = function() return peer.raw.fd end,
        timeout = function() return timeout end,
      }
      assert.same({}, wait({object}, 0))
      timeout = SHORT -- and says so again and again, as a socket does
      local ready, took = elapsed(wait, {object}, LIMIT)
      assert.same({object}, ready)
      assert.is_true(took >= SHORT and took < LIMIT / 2, "took " .. took)
      timeout = 0
      assert.same({object}, wait({object}, LIMIT))
      timeout = nil
      assert.same({}, wait({object}, 0))
      local clock = foreign {
        pollfd = function() end,
        timeout = function() return SHORT end,
      }
      assert.same({clock}, wait({clock, object}, LIMIT))
    end)

    local has_cqueues = pcall(require, "cqueues")
    if has_cqueues then
      it("may be those of cqueues", function()
        local cqueues_socket = require "cqueues.socket"
        local raw_fd, fd = assert(sys.socketpair())
        local raw <close> = helpers.raw(raw_fd)
        local object = assert(cqueues_socket.fdopen(fd))
        assert.same({}, wait({object}, 0))
        raw:write("x\n")
        assert.same({object}, wait({object}, LIMIT))
        object:close()
      end)

      it("may be a controller of cqueues", function()
        local cqueues = require "cqueues"
        local loop = cqueues.new()
        local ran = false
        assert.same({}, wait({loop}, 0))
        loop:wrap(function()
          cqueues.poll(SHORT / 10)
          ran = true
        end)
        loop:step(0)
        while not ran do
          wait({loop}, loop:timeout())
          assert(loop:step(0))
        end
        assert.is_true(ran)
      end)
    else
      pending("may be those of cqueues")
    end
  end)

  describe(way .. ": listeners", function()
    --- A listener is ready exactly where accept(0) has an answer.
    local function assert_acceptable(listener)
      assert.same({listener}, wait({listener}, LIMIT))
      assert.same({listener}, wait({listener}, 0))
      return listener:accept(0)
    end

    for _, address in ipairs {INET, false} do
      it("are ready when a peer is there, " .. (address and "AF_INET" or "AF_UNIX"), function()
        local listener <close> = assert(connection.Listener(address or nil))
        assert.same({}, wait({listener}, 0))
        local raw <close> = helpers.raw_client(listener)
        local conn <close> = assert_acceptable(listener)
        assert.is_false(conn.closed or raw.fd < 0)
        assert.same({}, wait({listener}, 0))
      end)
    end

    it("become ready while it waits", function()
      local listener <close> = assert(connection.Listener(nil, {authkey = KEY}))
      local child <close> = helpers.fork(function()
        local client <close> = assert(connection.Client(listener.address, {
          authkey = KEY, timeout = LIMIT,
        }))
        client:poll(LIMIT)
      end)
      assert.same({listener}, wait({listener}))
      local conn <close> = assert(listener:accept(0))
      assert(conn:send_bytes("x"))
      assert.equal(0, (child:wait()))
    end)

    it("with a key are not ready while the peer says nothing", function()
      local listener <close> = assert(connection.Listener(INET, {authkey = KEY}))
      local raw <close> = helpers.raw_client(listener)
      assert.same({}, wait({listener}, SHORT))
      assert.matches("^#CHALLENGE#", raw:read_frame()) -- but it was attended to
      assert.same({}, wait({listener}, SHORT))
      raw:write("\0\0\0\9half")
      assert.same({}, wait({listener}, SHORT))
      assert.equal("TimeoutError", select(2, listener:accept(0)).name)
    end)

    it("with a key are ready when a peer has failed, and accept tells of it", function()
      local listener <close> = assert(connection.Listener(INET, {authkey = KEY}))
      local raw <close> = helpers.raw_client(listener)
      assert.same({}, wait({listener}, 0))
      raw:write_frame("garbage")
      local conn, err = assert_acceptable(listener)
      assert.is_nil(conn)
      assert.equal("AuthenticationError", err.name)
      assert.same({}, wait({listener}, 0))
    end)

    it("with a key are ready when a peer's time is up, at that time", function()
      local listener <close> = assert(connection.Listener(INET, {authkey = KEY, timeout = SHORT}))
      local raw <close> = helpers.raw_client(listener)
      local cpu = os.clock()
      local ready, took = elapsed(wait, {listener}, 20 * SHORT)
      assert.same({listener}, ready)
      assert.is_true(took >= SHORT and took < 10 * SHORT, "took " .. took)
      assert.is_true(os.clock() - cpu < SHORT, "it did not wait, it span")
      local conn, err = listener:accept(0)
      assert.is_nil(conn)
      assert.equal("TimeoutError", err.name)
      assert.matches("handshake", err.message)
      assert.is_true(raw.fd >= 0)
    end)

    it("with a key do not spin beside others when a peer's time is up", function()
      local a, b, _ <close> = helpers.pair()
      local listener <close> = assert(connection.Listener(INET, {authkey = KEY, timeout = SHORT}))
      local raw <close> = helpers.raw_client(listener)
      local ready, took = elapsed(wait, {a, listener, b}, 20 * SHORT)
      assert.same({listener}, ready)
      assert.is_true(took < 10 * SHORT and raw.fd >= 0, "took " .. took)
    end)

    it("with a full house make room in time", function()
      local listener <close> = assert(connection.Listener(INET, {authkey = KEY, backlog = 256}))
      local raws = {}
      for i = 1, 130 do raws[i] = helpers.raw_client(listener) end
      local _ <close> = helpers.closing(table.unpack(raws))
      local ready, took = elapsed(wait, {listener}, helpers.slow and LIMIT or 4)
      assert.same({listener}, ready)
      assert.is_true(took < (helpers.slow and LIMIT or 3), "took " .. took)
      assert.equal("TimeoutError", select(2, listener:accept(0)).name)
    end)

    it("with a key are ready when a peer has left", function()
      local listener <close> = assert(connection.Listener(INET, {authkey = KEY}))
      helpers.raw_client(listener):close()
      local conn, err = assert_acceptable(listener)
      assert.is_nil(conn)
      assert.equal("EOFError", err.name)
    end)

    it("stay ready until each of many is taken", function()
      local listener <close> = assert(connection.Listener(INET, {backlog = 8}))
      local raws = {}
      for i = 1, 5 do raws[i] = helpers.raw_client(listener) end
      local _ <close> = helpers.closing(table.unpack(raws))
      for _ = 1, 5 do
        local conn <close> = assert_acceptable(listener)
        assert.is_false(conn.closed)
      end
      assert.same({}, wait({listener}, 0))
    end)

    it("stand in their place among connections", function()
      local listener <close> = assert(connection.Listener(INET))
      local other <close> = assert(connection.Listener())
      local a, b, _ <close> = helpers.pair()
      local raw <close> = helpers.raw_client(listener)
      assert(a:send_bytes("x"))
      assert.same({b, listener}, wait({b, other, listener, a}, LIMIT))
      assert.same({listener, b}, wait({listener, a, b, other}, LIMIT))
      assert.is_true(raw.fd >= 0)
    end)

    it("are served with their connections by one loop", function()
      local listener <close> = assert(connection.Listener(nil, {authkey = KEY, backlog = 8}))
      local children = {}
      for i = 1, 4 do
        children[i] = helpers.fork(function()
          local client <close> = assert(connection.Client(listener.address, {
            authkey = KEY, timeout = LIMIT,
          }))
          client:settimeout(LIMIT)
          for round = 1, 5 do
            assert(client:send_bytes(i .. "/" .. round))
            assert(client:recv_bytes() == i .. "/" .. round)
          end
        end)
      end
      local _ <close> = helpers.closing(table.unpack(children))
      local objects, served, left = {listener}, 0, 4
      while left > 0 do
        local ready = wait(objects, LIMIT)
        assert.is_true(#ready > 0)
        for _, object in ipairs(ready) do
          local message
          if object == listener then
            table.insert(objects, (assert(listener:accept(0))))
          else
            message = object:recv_bytes()
            if message then
              served = served + 1
              assert(object:send_bytes(message))
            else
              object:close()
              left = left - 1
              for i = #objects, 1, -1 do
                if objects[i] == object then table.remove(objects, i) end
              end
            end
          end
        end
      end
      assert.equal(20, served)
      for _, child in ipairs(children) do assert.equal(0, (child:wait())) end
    end)

    it("with many pending peers are waited for on all of their descriptors", function()
      local listener <close> = assert(connection.Listener(INET, {authkey = KEY, backlog = 64}))
      local raws = {}
      for i = 1, 40 do raws[i] = helpers.raw_client(listener) end
      local _ <close> = helpers.closing(table.unpack(raws))
      assert.same({}, wait({listener}, 0))
      local a, b, _ <close> = helpers.pair()
      assert.same({}, wait({a, listener, listener, b}, 0))
      raws[40]:write_frame("garbage")
      assert.same({listener, listener}, wait({a, listener, listener, b}, LIMIT))
    end)
  end)
end

describe_objects("wait", connection.wait)

describe("With a Poller", function()
  local wait_by_poller, poller
  before_each(function() wait_by_poller, poller = waiter_by_poller() end)
  after_each(function() poller:close() end)
  describe_objects("Poller:wait", function(...) return wait_by_poller(...) end)
end)

-- What waits, and what receives.
local SYSTEM_CALLS = "read,readv,recvfrom,recvmsg,?accept,accept4,?poll,ppoll,?select,"
  .. "pselect6,?epoll_wait,epoll_pwait,?epoll_pwait2,epoll_ctl,?epoll_create,epoll_create1"

--- The system calls of a Lua program after each of its `mark(name)`, by strace:
--- {name = {"ppoll", …}}; or nil, reason where there is none, or it may not trace.
local function system_calls(script)
  local dir <close> = helpers.tmpdir()
  local log = dir:join("trace")
  local argv = {"strace", "-qq", "-o", log, "-e", "trace=openat," .. SYSTEM_CALLS}
  local program = helpers.lua_command(
    [[local function mark(name) io.open("/of-the-spec/" .. name) end ]] .. script)
  table.move(program, 1, #program, #argv + 1, argv)
  local started, child = pcall(helpers.start, argv, {
    stderr = "stdout",
    -- a sanitizer cannot look for leaks while it is traced
    env = {MULTIPROCESSING_FORCE = false, ASAN_OPTIONS = "detect_leaks=0"},
  })
  if not started then return nil, child end
  local code, said = child:wait()
  if code ~= 0 then
    assert.matches("strace", said)
    return nil, said
  end
  local calls, current = {}, {}
  for line in io.lines(log) do
    local name = line:match('^openat%(.-"/of%-the%-spec/(.-)"')
    if name then
      current = {}
      calls[name] = current
    else
      table.insert(current, line:match("^([%w_]+)%("))
    end
  end
  return calls
end

describe("wait: system calls", function()
  it("are one, and one for a long list that stays the same, however it is kept", function()
    local calls, reason = system_calls [[
      local connection = require "multiprocessing.connection"
      local a, b = assert(connection.Pipe())
      local many, others = {}, {}
      for i = 1, 40 do many[i], others[i] = assert(connection.Pipe()) end
      mark "two"
      connection.wait({a, b}, 0)
      mark "many"
      connection.wait(many, 0)
      mark "many, again"
      connection.wait(many, 0)
      mark "many, for the third time"
      connection.wait(many, 0)
      mark "Poller"
      local poller = connection.Poller()
      poller:add(b)
      mark "wait of a Poller"
      poller:wait(0)
      mark "end"]]
    if not calls then pending(reason) end
    local function waits(name)
      assert.equal(1, #calls[name], name .. ": " .. table.concat(calls[name], " "))
      return (calls[name][1]:gsub("^ppoll$", "poll"):gsub("^epoll_p?wait2?$", "epoll_wait"))
    end
    assert.equal("poll", waits("two"))
    assert.equal("poll", waits("many"))
    local poller <close> = assert(connection.Poller())
    local kept = poller:fileno() and "epoll_wait" or "poll" -- as it is built
    assert.equal(kept, waits("many, for the third time"))
    assert.equal(kept, waits("wait of a Poller"))
  end)
end)

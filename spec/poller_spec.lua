-- connection.Poller: a set of objects that persists. What makes an object ready
-- is wait_spec's, which has it of both.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local SHORT = helpers.short
local INET = {"127.0.0.1", 0}
local KEY = "secret password"

local has_descriptor
do
  local poller <close> = assert(connection.Poller())
  has_descriptor = poller:fileno() ~= nil -- not where it was built with poll(2)
end

local assert_misuse = helpers.assert_misuse
local elapsed = helpers.elapsed

--- A Poller with these in it.
local function poller_of(...)
  local poller = assert(connection.Poller())
  for _, object in ipairs {...} do assert.is_true(poller:add(object)) end
  return poller
end

--- `expected` are ready, in whatever order.
local function assert_ready(expected, poller, timeout)
  local ready = poller:wait(timeout)
  local found = {}
  for _, object in ipairs(ready) do found[object] = true end
  for _, object in ipairs(expected) do assert.is_true(found[object], tostring(object)) end
  assert.equal(#expected, #ready)
end

--- Closes descriptor `fd` and opens another of the same number, one end of a
--- pair; the other end comes first, what closes both last.
local function reopen(fd)
  sys.close(fd)
  local a, b = assert(sys.socketpair())
  if b == fd then a, b = b, a end
  assert.equal(fd, a)
  local other, own = helpers.raw(b), helpers.raw(a)
  return other, own, helpers.closing(other, own)
end

local function collect()
  for _ = 1, 3 do collectgarbage() end
end

describe("Poller:wait", function()
  it("gives what is ready, for as long as it is", function()
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    local poller <close> = poller_of(b, d)
    assert_ready({}, poller, 0)
    assert(a:send_bytes("x"))
    assert_ready({b}, poller, LIMIT)
    assert(c:send_bytes("y"))
    assert_ready({b, d}, poller, LIMIT)
    assert.equal("x", b:recv_bytes())
    assert_ready({d}, poller, LIMIT)
    assert.equal("y", d:recv_bytes())
    assert_ready({}, poller, 0)
  end)

  it("waits until something is ready, without a timeout", function()
    local peer <close> = helpers.raw_peer()
    local poller <close> = poller_of(peer.conn)
    local child <close> = helpers.fork(function() peer.raw:write_frame("x") end)
    assert_ready({peer.conn}, poller)
    assert.equal(0, (child:wait()))
  end)

  it("gives an empty list at its timeout, and not before", function()
    local a, b, _ <close> = helpers.pair()
    local poller <close> = poller_of(a, b)
    local ready, took = elapsed(poller.wait, poller, SHORT)
    assert.same({}, ready)
    assert.is_true(took >= SHORT, "took " .. took)
    assert.same({}, poller:wait(-1))
    assert.same({}, poller:wait(0))
  end)

  it("sleeps where there is nothing in it", function()
    local poller <close> = assert(connection.Poller())
    local ready, took = elapsed(poller.wait, poller, SHORT)
    assert.same({}, ready)
    assert.is_true(took >= SHORT, "took " .. took)
  end)

  it("throws where there is nothing in it, and no timeout", function()
    local poller <close> = assert(connection.Poller())
    assert_misuse("nothing to wait for", poller.wait, poller)
    local a, b, _ <close> = helpers.pair()
    poller:add(a)
    a:close()
    assert_misuse("nothing to wait for", poller.wait, poller)
    poller:add(b)
    poller:remove(b)
    assert_misuse("nothing to wait for", poller.wait, poller, math.huge)
  end)

  it("throws for a timeout that is no number", function()
    local poller <close> = assert(connection.Poller())
    assert_misuse("bad argument #1 to 'wait'", function() poller:wait("soon") end)
    assert_misuse("bad argument #1 to 'wait'", function() poller:wait(0 / 0) end)
  end)

  it("finds each of many messages that were read ahead at once", function()
    local conn, raw, _ <close> = helpers.ahead_peer()
    local a, b, _ <close> = helpers.pair()
    local poller <close> = poller_of(conn, b)
    raw:write(helpers.frame("1") .. helpers.frame("2") .. helpers.frame("3"))
    for i = 1, 3 do
      assert_ready({conn}, poller, LIMIT)
      assert_ready({conn}, poller, 0)
      assert.equal(tostring(i), conn:recv_bytes())
    end
    assert_ready({}, poller, 0)
    assert(a:send_bytes("x"))
    assert_ready({b}, poller, 0)
  end)

  it("finds what another wait has read ahead", function()
    local conn, raw, _ <close> = helpers.ahead_peer()
    local poller <close> = poller_of(conn)
    local other <close> = poller_of(conn)
    assert_ready({}, poller, 0)
    raw:write(helpers.frame("1") .. helpers.frame("2"))
    assert_ready({conn}, other, LIMIT)
    assert.same({conn}, connection.wait({conn}, LIMIT))
    assert_ready({conn}, poller, 0)
    assert.equal("1", conn:recv_bytes())
    assert_ready({conn}, poller, 0)
    assert.equal("2", conn:recv_bytes())
    assert_ready({}, poller, 0)
    assert_ready({}, other, 0)
  end)

  it("is not woken by half a message for nothing, and sees the rest", function()
    local conn, raw, _ <close> = helpers.ahead_peer()
    local poller <close> = poller_of(conn)
    raw:write("\0\0\0\4ab")
    local cpu = os.clock()
    assert_ready({}, poller, SHORT)
    assert.is_true(os.clock() - cpu < SHORT, "it did not wait, it span")
    raw:write("cd")
    assert_ready({conn}, poller, LIMIT)
    assert.equal("abcd", conn:recv_bytes())
  end)

  it("sends on a message that is held", function()
    local peer <close> = helpers.raw_peer()
    local large = ("x"):rep(helpers.slow and 1000000 or 5000000)
    peer.conn:settimeout(0)
    local poller <close> = poller_of(peer.conn)
    assert_ready({}, poller, 0)
    assert(peer.conn:send_bytes(large))
    local child <close> = helpers.fork(function()
      assert(peer.raw:read_frame() == large)
      peer.raw:write_frame("thanks")
    end)
    assert_ready({peer.conn}, poller, LIMIT)
    assert.equal("thanks", peer.conn:recv_bytes())
    assert.equal(0, (child:wait()))
  end)

  it("gives a client once it is connected, or has failed", function()
    local listener <close> = assert(connection.Listener(INET))
    local client <close> = assert(connection.Client(listener.address, {nonblocking = true}))
    local poller <close> = poller_of(client)
    assert_ready({client}, poller, LIMIT)
    assert(client:handshake())
    assert_ready({}, poller, 0)
    local raw <close> = helpers.raw_listener()
    local address = raw.address
    raw:close()
    local failing <close> = assert(connection.Client(address, {
      nonblocking = true, retry = false,
    }))
    poller:add(failing)
    assert_ready({failing}, poller, LIMIT)
    assert_ready({failing}, poller, LIMIT)
    assert.equal("ConnectionRefusedError", select(2, failing:handshake(0)).name)
  end)

  it("follows a client from one attempt to the next", function()
    local path <close> = helpers.tmpdir()
    local address = path:join("socket")
    local client <close> = assert(connection.Client(address, {
      nonblocking = true, timeout = LIMIT, retry = true, authkey = KEY,
    }))
    local poller <close> = poller_of(client)
    assert_ready({}, poller, SHORT)
    local child <close> = helpers.fork(function()
      local listener <close> = assert(connection.Listener(address, {authkey = KEY}))
      local conn <close> = assert(listener:accept(LIMIT))
      assert(conn:send_bytes("hello"))
      conn:poll(LIMIT)
    end)
    assert_ready({client}, poller, LIMIT)
    assert(client:handshake())
    assert_ready({client}, poller, LIMIT)
    assert.equal("hello", client:recv_bytes())
    client:close()
    assert.equal(0, (child:wait()))
  end)

  it("gives a client whose time is up", function()
    local raw <close> = helpers.raw_listener()
    local client <close> = assert(connection.Client(raw.address, {
      nonblocking = true, timeout = SHORT, authkey = KEY,
    }))
    local poller <close> = poller_of(client)
    local ready, took = elapsed(poller.wait, poller, LIMIT)
    assert.same({client}, ready)
    assert.is_true(took < LIMIT / 2, "took " .. took)
    assert.equal("TimeoutError", select(2, client:handshake(0)).name)
  end)

  it("serves a listener and its connections in one loop", function()
    local listener <close> = assert(connection.Listener(nil, {authkey = KEY, backlog = 8}))
    local poller <close> = poller_of(listener)
    local silent <close> = helpers.raw_client(listener)
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
    local served, left = 0, 4
    while left > 0 do
      local ready = poller:wait(LIMIT)
      assert.is_true(#ready > 0)
      for _, object in ipairs(ready) do
        local message = object ~= listener and object:recv_bytes()
        if object == listener then
          assert.is_true(poller:add((assert(listener:accept(0)))))
        elseif message then
          served = served + 1
          assert(object:send_bytes(message))
        else
          object:close() -- and is out of the poller
          left = left - 1
        end
      end
    end
    assert.equal(20, served)
    assert.equal(1, #poller)
    assert.is_true(silent.fd >= 0)
    for _, child in ipairs(children) do assert.equal(0, (child:wait())) end
  end)

  it("finds peers that a listener has pending when it is added", function()
    local listener <close> = assert(connection.Listener(nil, {authkey = KEY}))
    local raw <close> = helpers.raw_client(listener)
    assert.same({}, connection.wait({listener}, 0))
    local poller <close> = poller_of(listener)
    assert_ready({}, poller, 0)
    raw:write_frame("garbage")
    assert_ready({listener}, poller, LIMIT)
    assert_ready({listener}, poller, 0)
    assert.equal("AuthenticationError", select(2, listener:accept(0)).name)
    assert_ready({}, poller, 0)
  end)

  it("forgets a pending peer that accept has taken, and finds it added", function()
    local listener <close> = assert(connection.Listener(nil, {authkey = KEY}))
    local poller <close> = poller_of(listener)
    local client <close> = assert(connection.Client(listener.address, {
      authkey = KEY, nonblocking = true,
    }))
    poller:add(client)
    local conn
    repeat
      for _, object in ipairs(poller:wait(LIMIT)) do
        if object == listener then conn = assert(listener:accept(0)) end
        if object == client then assert(client:handshake()) end
      end
    until conn
    local _ <close> = conn
    assert(client:send_bytes("x"))
    assert_ready({}, poller, 0)
    poller:add(conn)
    assert_ready({conn}, poller, LIMIT)
  end)

  it("gives a descriptor, a file at any time", function()
    local r, w = assert(sys.pipe())
    local file = assert(sys.open("README.md", "r"))
    local _ <close> = helpers.closing(helpers.raw(r), helpers.raw(w), helpers.raw(file))
    local poller <close> = poller_of(r, file)
    assert_ready({file}, poller)
    assert_ready({file}, poller)
    assert(sys.write(w, "x"))
    assert_ready({r, file}, poller, LIMIT)
    assert.is_true(poller:remove(file))
    assert_ready({r}, poller, LIMIT)
  end)

  it("gives a process by its sentinel", function()
    local r, w = assert(sys.pipe())
    local _ <close> = helpers.raw(r)
    local process = {sentinel = r}
    local poller <close> = poller_of(process)
    assert_ready({}, poller, 0)
    sys.close(w)
    assert_ready({process}, poller, LIMIT)
    assert.same({process}, connection.wait({process}, LIMIT))
  end)

  it("gives each of many that are ready its turn", function()
    local limit = sys.setrlimit_nofile(-1)
    local n, all = 600, {}
    local _ <close> = setmetatable({}, {__close = function()
      for _, conn in ipairs(all) do conn:close() end
      sys.setrlimit_nofile(limit)
    end})
    local poller <close> = assert(connection.Poller())
    for i = 1, n do
      local a, b = assert(connection.Pipe(false))
      all[2 * i - 1], all[2 * i] = a, b
      assert(b:send_bytes("x"))
      assert.is_true(poller:add(a))
    end
    local seen, count = {}, 0
    for _ = 1, n do -- nobody takes anything
      for _, conn in ipairs(poller:wait(0)) do
        if not seen[conn] then
          seen[conn] = true
          count = count + 1
        end
      end
      if count == n then break end
    end
    assert.equal(n, count)
  end)

  it("lets a chatty peer not hide another", function()
    local conn, raw, _ <close> = helpers.ahead_peer()
    local a, b, _ <close> = helpers.pair()
    local poller <close> = poller_of(conn, b)
    raw:write(helpers.frame("x"):rep(100))
    assert_ready({conn}, poller, LIMIT)
    assert.equal("x", conn:recv_bytes())
    assert(a:send_bytes("y"))
    assert_ready({conn, b}, poller, LIMIT)
  end)
end)

describe("Poller:add and Poller:remove", function()
  it("tell whether something has changed", function()
    local a, b, _ <close> = helpers.pair()
    local poller <close> = assert(connection.Poller())
    assert.is_false(poller:remove(a))
    assert.is_true(poller:add(a))
    assert.is_false(poller:add(a))
    assert.is_true(poller:add(b))
    assert.equal(2, #poller)
    assert(b:send_bytes("x"))
    assert_ready({a}, poller, LIMIT)
    assert.is_true(poller:remove(a))
    assert.is_false(poller:remove(a))
    assert.equal(1, #poller)
    assert_ready({}, poller, 0)
    assert.is_true(poller:add(a))
    assert_ready({a}, poller, 0)
    assert.is_false(poller:remove(17))
    assert.is_false(poller:remove("no such thing"))
  end)

  it("take an object out that is ready, buffered or not", function()
    local conn, raw, _ <close> = helpers.ahead_peer()
    local poller <close> = poller_of(conn)
    raw:write(helpers.frame("1") .. helpers.frame("2"))
    assert_ready({conn}, poller, LIMIT)
    assert.is_true(poller:remove(conn))
    assert_ready({}, poller, 0)
    assert.equal("1", conn:recv_bytes())
    assert_ready({}, poller, 0)
    assert.is_true(poller:add(conn))
    assert_ready({conn}, poller, 0)
  end)

  it("throw for what cannot be waited for", function()
    local poller <close> = assert(connection.Poller())
    local a, b, _ <close> = helpers.pair()
    local r, w, _ <close> = helpers.pair(false)
    local listener = assert(connection.Listener())
    local client = assert(connection.Client(listener.address))
    for _, object in ipairs {b, listener, client} do object:close() end
    for value, problem in pairs {
      [b] = "connection is closed", [listener] = "listener is closed",
      [client] = "connection is closed", [w] = "connection is write%-only",
      [-1] = "invalid descriptor", [2^40 | 0] = "invalid descriptor",
      [1.5] = "invalid descriptor", fd = "cannot wait", [print] = "cannot wait",
      [{}] = "cannot wait for this: no fileno",
      [{fileno = function() return -1 end}] = "object has no open descriptor",
      [{pollfd = function() return "1" end}] = "object has no open descriptor",
    } do
      assert_misuse("bad argument #1 to 'add' %(" .. problem,
                    function() poller:add(value) end)
    end
    assert_misuse("bad argument #1", function() poller:add() end)
    assert_misuse("bad argument #1", function() poller:add(nil) end)
    assert_misuse("oops", poller.add, poller, {fileno = function() error("oops") end})
    assert.is_true(poller:add(r))
    assert.equal(1, #poller)
    assert.is_false(a.closed)
  end)

  it("throw for a poller in itself, by whatever way", function()
    local inner <close> = assert(connection.Poller())
    local middle <close> = poller_of(inner)
    local outer <close> = poller_of(middle)
    for _, poller in ipairs {inner, middle, outer} do
      assert_misuse("cannot wait for itself", inner.add, inner, poller)
    end
    assert_misuse("cannot wait for itself", middle.add, middle, outer)
    assert.is_true(outer:add(inner))
  end)

  it("say what the system refuses", function()
    local poller <close> = assert(connection.Poller())
    local r, w = assert(sys.pipe())
    sys.close(r)
    sys.close(w)
    local added, err = poller:add(r)
    assert.is_nil(added)
    assert.equal("EBADF", err.code)
    assert.equal(0, #poller)
    assert.is_false(poller:remove(r))
  end)

  it("know an object by itself, and its descriptor by its number", function()
    local a, b, _ <close> = helpers.pair()
    local poller <close> = poller_of(a, a:fileno())
    assert.is_false(poller:add(a:fileno()))
    assert_ready({}, poller, 0)
    assert(b:send_bytes("x"))
    assert_ready({a, a:fileno()}, poller, LIMIT)
    assert.is_true(poller:remove(a:fileno()))
    assert_ready({a}, poller, LIMIT)
    assert.is_true(poller:add(a:fileno()))
    assert.is_true(poller:remove(a))
    assert_ready({a:fileno()}, poller, LIMIT)
  end)
end)

describe("An object in a Poller", function()
  it("drops out when it is closed", function()
    local a, b, _ <close> = helpers.pair()
    local listener = assert(connection.Listener(nil, {authkey = KEY}))
    local client = assert(connection.Client(listener.address, {nonblocking = true}))
    local inner = assert(connection.Poller())
    local poller <close> = poller_of(a, b, listener, client, inner)
    assert.equal(5, #poller)
    poller:wait(0)
    for _, object in ipairs {a, listener, client, inner} do object:close() end
    assert.equal(1, #poller)
    assert_ready({b}, poller, LIMIT) -- the end of file
    for _, object in ipairs {a, listener, client, inner} do
      assert.is_false(poller:remove(object))
    end
  end)

  it("drops out when it is closed while it is ready", function()
    local conn, raw, _ <close> = helpers.ahead_peer()
    local poller <close> = poller_of(conn)
    raw:write(helpers.frame("1") .. helpers.frame("2"))
    assert_ready({conn}, poller, LIMIT)
    conn:close()
    assert_ready({}, poller, 0)
  end)

  it("drops out when it is detached, and leaves its descriptor in", function()
    local a, b, _ <close> = helpers.pair()
    local fd = a:fileno()
    local poller <close> = poller_of(a, fd)
    assert.equal(fd, a:detach())
    local raw <close> = helpers.raw(fd)
    assert.equal(1, #poller)
    assert(b:send_bytes("x"))
    assert_ready({fd}, poller, LIMIT)
    assert.is_true(raw.fd == fd)
  end)

  it("stays when it fails, until it is closed", function()
    local peer <close> = helpers.raw_peer("reader")
    local poller <close> = poller_of(peer.conn)
    peer.raw:write("\255\255\255\254") -- a bad length: closes it
    assert_ready({peer.conn}, poller, LIMIT)
    assert.equal("OSError", select(2, peer.conn:recv_bytes()).name)
    assert.is_true(peer.conn.closed)
    assert_ready({peer.conn}, poller, LIMIT)
    peer.conn:close()
    assert_ready({}, poller, 0)
  end)

  it("is another with the same descriptor number", function()
    local poller <close> = assert(connection.Poller())
    local fds = {}
    for round = 1, 3 do
      local a, b = assert(connection.Pipe())
      table.insert(fds, a:fileno())
      assert.is_true(poller:add(a))
      assert_ready({}, poller, 0)
      assert(b:send_bytes("x"))
      assert_ready({a}, poller, LIMIT)
      if round % 2 == 0 then assert.equal("x", a:recv_bytes()) end
      b:close()
      a:close()
    end
    assert.same({fds[1], fds[1], fds[1]}, fds)
    assert.equal(0, #poller)
  end)

  it("may be a number again whose descriptor was closed", function()
    local fd, first = assert(sys.socketpair())
    local poller <close> = poller_of(fd)
    sys.close(first)
    local other, own, _ <close> = reopen(fd)
    assert.is_false(poller:add(own.fd))
    assert_ready({}, poller, 0)
    other:write("x")
    assert_ready({fd}, poller, LIMIT)
    assert.equal(1, #poller)
  end)

  it("does not take the place of a number that was closed", function()
    local fd, first = assert(sys.socketpair())
    local poller <close> = poller_of(fd)
    sys.close(first)
    local other, own, _ <close> = reopen(fd)
    local conn <close> = assert(connection.Connection(own:detach()))
    assert.is_true(poller:add(conn))
    other:write_frame("x")
    local ready = poller:wait(LIMIT)
    assert.is_true(ready[1] == conn or ready[2] == conn)
    assert.equal("x", conn:recv_bytes())
    assert_ready({}, poller, 0)
  end)

  it("that is closed here and open elsewhere is told of no more once it is removed", function()
    local raw_fd, fd = assert(sys.socketpair())
    local raw <close> = helpers.raw(raw_fd)
    local a, b, _ <close> = helpers.pair()
    local poller <close> = poller_of(fd, b)
    local child <close> = helpers.start({"cat"}, {inherit = {fd}})
    sys.close(fd)
    assert.is_true(poller:remove(fd))
    raw:write("x") -- epoll goes on to tell of it
    local cpu = os.clock()
    assert_ready({}, poller, SHORT)
    assert.is_true(os.clock() - cpu < SHORT, "it did not wait, it span")
    assert(a:send_bytes("x"))
    assert_ready({b}, poller, LIMIT)
    assert.equal(0, (child:wait()))
  end)

  it("is kept alive by it", function()
    local poller <close> = assert(connection.Poller())
    local a, b = assert(connection.Pipe())
    local kept = setmetatable({a}, {__mode = "v"})
    assert.is_true(poller:add(a))
    a = nil -- luacheck: ignore 311
    collect()
    assert.is_true(kept[1] ~= nil)
    assert(b:send_bytes("x"))
    assert.equal("x", poller:wait(LIMIT)[1]:recv_bytes())
    assert.is_true(poller:remove(kept[1]))
    collect()
    assert.is_nil(kept[1])
    assert_ready({}, poller, 0)
    assert.equal("EOFError", select(2, b:recv_bytes()).name)
  end)

  it("goes with it, in whatever order, in a cycle too", function()
    collect()
    local before = helpers.nfds()
    for i = 1, helpers.slow and 20 or 200 do
      local objects = {assert(connection.Pipe())}
      if i % 2 == 0 then table.insert(objects, 1, (connection.Poller())) end
      table.insert(objects, (connection.Listener(nil, {authkey = KEY})))
      table.insert(objects, (connection.Poller()))
      local poller = assert(connection.Poller())
      for _, object in ipairs(objects) do assert.is_true(poller:add(object)) end
      poller:add(setmetatable({poller, fileno = function() return 0 end}, {}))
      poller:wait(0)
    end
    collect()
    assert.equal(before, helpers.nfds())
  end)

  it("may be closed by a finalizer in the middle of a wait", function()
    local poller <close> = assert(connection.Poller())
    for _ = 1, 50 do
      local a, b = assert(connection.Pipe())
      assert.is_true(poller:add(a))
      assert(b:send_bytes("x"))
      setmetatable({}, {__gc = function() a:close() end})
    end
    local count = 0
    for _ = 1, 100 do count = count + #poller:wait(0) end
    collect()
    assert.is_true(count >= 0)
    assert.same({}, poller:wait(0))
    assert.equal(0, #poller)
  end)
end)

describe("A Poller", function()
  it("can be closed, more than once", function()
    local a, b, _ <close> = helpers.pair()
    local poller = poller_of(a)
    assert.is_false(poller.closed)
    assert.matches("Poller %(1 objects?%)", tostring(poller))
    assert.is_true(poller:close())
    assert.is_true(poller:close())
    assert.is_true(poller.closed)
    assert.equal(0, #poller)
    assert.matches("Poller %(closed%)", tostring(poller))
    for _, name in ipairs {"wait", "fileno", "events", "timeout"} do
      assert_misuse("poller is closed", poller[name], poller)
    end
    assert_misuse("poller is closed", poller.add, poller, b)
    assert_misuse("poller is closed", poller.remove, poller, a)
    assert.equal(-1, poller:getfd())
    assert(a:send_bytes("x")) -- what was in it goes on
    assert.equal("x", b:recv_bytes())
  end)

  it("can be closed by what it asks", function()
    local poller <close> = assert(connection.Poller())
    local r, w, _ <close> = helpers.pair()
    local rounds = 0
    poller:add {
      fileno = function() return r:fileno() end,
      dirty = function()
        rounds = rounds + 1
        if rounds > 1 then poller:close() end
      end,
    }
    assert_misuse("poller is closed", poller.wait, poller, LIMIT)
    assert.is_false(w.closed)
  end)

  it("can be closed while it is added to", function()
    local poller <close> = assert(connection.Poller())
    assert_misuse("closed", poller.add, poller, {
      fileno = function() poller:close() return 0 end,
    })
    assert.is_true(poller.closed)
  end)

  it("is refused where there is no descriptor for it", function()
    if not has_descriptor then return end
    local limit = assert(sys.setrlimit_nofile(-1))
    local hog = {}
    local _ <close> = setmetatable({}, {__close = function()
      sys.setrlimit_nofile(limit)
      for _, fd in ipairs(hog) do sys.close(fd) end
    end})
    sys.setrlimit_nofile(64)
    local fd
    repeat
      fd = sys.dup(0)
      table.insert(hog, fd)
    until not fd
    local poller, err = connection.Poller()
    assert.is_nil(poller)
    assert.equal("EMFILE", err.code)
  end)

  it("takes no arguments that are not its own", function()
    assert_misuse("bad argument #1", connection.Poller().wait, {})
    assert_misuse("bad argument #1", connection.Poller().add, connection, 0)
  end)

  it("belongs to the process that made it, in a forked child", function()
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    local outer <close> = assert(connection.Poller())
    local poller <close> = poller_of(b, d)
    outer:add(poller)
    if has_descriptor then assert(poller:fileno()) end
    local child <close> = helpers.fork(function()
      b:close()
      assert_ready({}, outer, 0)
      assert(#poller == 1)
      assert(c:send_bytes("in the child"))
      assert_ready({poller}, outer, LIMIT)
      assert_ready({d}, poller, LIMIT)
      d:recv_bytes()
      local e, f = connection.Pipe()
      assert(poller:add(f))
      assert(e:send_bytes("x"))
      assert_ready({f}, poller, LIMIT)
      poller:close()
    end)
    assert.equal(0, (child:wait()))
    assert_ready({}, poller, 0)
    assert_ready({}, outer, 0)
    assert(a:send_bytes("x"))
    assert_ready({poller}, outer, LIMIT)
    assert_ready({b}, poller, LIMIT)
    assert.equal("x", b:recv_bytes())
    assert(c:send_bytes("y"))
    assert_ready({d}, poller, LIMIT)
  end)

  it("is left alone by a forked child that collects it", function()
    local a, b, _ <close> = helpers.pair()
    local poller <close> = poller_of(b)
    local child <close> = helpers.fork(function()
      b:close()
      poller:close()
      collectgarbage()
    end)
    assert.equal(0, (child:wait()))
    assert(a:send_bytes("x"))
    assert_ready({b}, poller, LIMIT)
  end)
end)

describe("Poller:wait with a waiter", function()
  local asked, cancelled

  before_each(function()
    asked, cancelled = {}, {}
    local main = coroutine.running()
    connection.set_waiter {
      wait = function(object, mode, timeout)
        if coroutine.running() == main then return false end
        table.insert(asked, {fd = object:pollfd(), mode = mode, timeout = timeout})
        coroutine.yield()
      end,
      cancel = function(fd) cancelled[fd] = true end,
    }
  end)

  after_each(function() connection.set_waiter(nil) end)

  it("yields, with one descriptor for all that is in it", function()
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    local poller <close> = poller_of(b, d)
    local wait = coroutine.wrap(function() return poller:wait(LIMIT) end)
    wait()
    wait() -- too early
    assert.equal(2, #asked)
    assert.equal("r", asked[1].mode)
    assert.is_true(asked[1].timeout > 0 and asked[1].timeout <= LIMIT)
    if has_descriptor then assert.is_false(sys.poll(asked[1].fd, "r", 0)) end
    assert(c:send_bytes("x"))
    if has_descriptor then assert.is_true(sys.poll(asked[1].fd, "r", LIMIT)) end
    assert.same({d}, wait())
    assert.is_false(a.closed)
  end)

  it("throws when it is closed meanwhile", function()
    local a, b, _ <close> = helpers.pair()
    local poller = poller_of(a, b)
    local wait = coroutine.wrap(function() return pcall(poller.wait, poller) end)
    wait()
    poller:close()
    if has_descriptor then assert.is_true(cancelled[asked[1].fd]) end
    local ok, message = wait()
    assert.is_false(ok)
    assert.matches("poller is closed", message)
  end)

  it("lets a client alone that a coroutine opens, and takes it then", function()
    local listener <close> = assert(connection.Listener(nil, {authkey = KEY}))
    local client <close> = assert(connection.Client(listener.address, {
      authkey = KEY, nonblocking = true,
    }))
    local poller <close> = poller_of(client)
    local opened
    local open = coroutine.wrap(function() opened = client:handshake() end)
    open()
    local cpu = os.clock()
    assert_ready({}, poller, SHORT)
    assert.is_true(os.clock() - cpu < SHORT, "it did not wait, it span")
    local conn
    repeat
      conn = listener:accept(0)
      if not opened then open() end
    until conn and opened
    local _ <close> = conn
    assert(conn:send_bytes("x"))
    assert_ready({client}, poller, LIMIT)
    assert.equal("x", client:recv_bytes())
  end)
end)

describe("A Poller in a Poller", function()
  it("is ready when something in it is", function()
    local conn, raw, _ <close> = helpers.ahead_peer()
    local inner <close> = poller_of(conn)
    local middle <close> = poller_of(inner)
    local outer <close> = poller_of(middle)
    assert_ready({}, outer, 0)
    raw:write(helpers.frame("1") .. helpers.frame("2"))
    for i = 1, 2 do
      assert_ready({middle}, outer, LIMIT)
      assert.same({middle, outer}, connection.wait({middle, outer}, LIMIT))
      assert_ready({inner}, middle, 0)
      assert_ready({conn}, inner, 0)
      assert.equal(tostring(i), conn:recv_bytes())
    end
    assert_ready({}, outer, 0)
    assert_ready({}, inner, 0)
  end)

  it("is not ready with half a message", function()
    local conn, raw, _ <close> = helpers.ahead_peer()
    local inner <close> = poller_of(conn)
    local outer <close> = poller_of(inner)
    raw:write("\0\0\0\2a")
    assert_ready({}, outer, SHORT)
    assert.same({}, connection.wait({inner}, SHORT))
    raw:write("b")
    assert_ready({inner}, outer, LIMIT)
    assert.same({inner}, connection.wait({inner}, LIMIT))
  end)

  it("is ready at its own deadlines", function()
    local listener <close> = assert(connection.Listener(nil, {authkey = KEY, timeout = SHORT}))
    local raw <close> = helpers.raw_client(listener)
    local inner <close> = poller_of(listener)
    local outer <close> = poller_of(inner)
    assert_ready({inner}, outer, LIMIT)
    assert_ready({listener}, inner, 0)
    assert.equal("TimeoutError", select(2, listener:accept(0)).name)
    assert.is_true(raw.fd >= 0)
  end)

  it("sees what is added to it later", function()
    local a, b, _ <close> = helpers.pair()
    local inner <close> = assert(connection.Poller())
    local outer <close> = poller_of(inner)
    assert_ready({}, outer, 0)
    assert(a:send_bytes("x"))
    inner:add(b)
    assert_ready({inner}, outer, 0)
    inner:remove(b)
    assert_ready({}, outer, 0)
  end)
end)

describe("For other loops, a Poller", function()
  if not has_descriptor then
    it("has no descriptor where it was built with poll(2)", function()
      local poller <close> = assert(connection.Poller())
      local fd, err = poller:fileno()
      assert.is_nil(fd)
      assert.equal("OSError", err.name)
      assert.equal(-1, poller:getfd())
      assert.equal(-1, poller:pollfd())
    end)
    return
  end

  it("has a descriptor that is readable while something is ready", function()
    local a, b, _ <close> = helpers.pair()
    local poller <close> = poller_of(b)
    local fd = poller:fileno()
    assert.equal(fd, poller:getfd())
    assert.equal(fd, poller:pollfd())
    assert.equal("r", poller:events())
    assert.is_true(sys.is_cloexec(fd))
    assert_ready({}, poller, 0)
    assert.is_false(sys.poll(fd, "r", 0))
    assert(a:send_bytes("x"))
    assert.is_true(sys.poll(fd, "r", LIMIT))
    assert_ready({b}, poller, 0)
    assert.is_true(sys.poll(fd, "r", 0))
    assert.equal("x", b:recv_bytes())
    assert_ready({}, poller, 0)
    assert.is_false(sys.poll(fd, "r", 0))
  end)

  it("is readable for what is buffered, too", function()
    local conn, raw, _ <close> = helpers.ahead_peer()
    local poller <close> = poller_of(conn)
    local fd = poller:fileno()
    raw:write(helpers.frame("1") .. helpers.frame("2"))
    for i = 1, 2 do
      assert.is_true(sys.poll(fd, "r", LIMIT))
      assert_ready({conn}, poller, 0)
      assert.equal(tostring(i), conn:recv_bytes())
    end
    assert_ready({}, poller, 0)
    assert.is_false(sys.poll(fd, "r", 0))
    raw:write(helpers.frame("3") .. helpers.frame("4"))
    assert.equal("3", conn:recv_bytes()) -- without the poller
    assert.is_true(sys.poll(fd, "r", 0))
    assert_ready({conn}, poller, 0)
    assert.equal("4", conn:recv_bytes())
    assert_ready({}, poller, 0)
    assert.is_false(sys.poll(fd, "r", 0))
  end)

  it("is readable for files", function()
    local file <close> = helpers.raw(assert(sys.open("README.md", "r")))
    local poller <close> = poller_of(file)
    assert.is_true(sys.poll(poller:fileno(), "r", 0))
    poller:remove(file)
    assert_ready({}, poller, 0)
    assert.is_false(sys.poll(poller:fileno(), "r", 0))
  end)

  it("says how long they may wait", function()
    local conn, raw, _ <close> = helpers.ahead_peer()
    local poller <close> = poller_of(conn)
    assert.is_nil(poller:timeout())
    raw:write(helpers.frame("1") .. helpers.frame("2"))
    assert_ready({conn}, poller, LIMIT)
    assert.equal(0, poller:timeout())
    assert.equal("1", conn:recv_bytes())
    assert.equal(0, poller:timeout())
    assert.equal("2", conn:recv_bytes())
    assert.is_nil(poller:timeout())
    local silent <close> = helpers.raw_listener()
    local client <close> = assert(connection.Client(silent.address, {
      nonblocking = true, timeout = 1000, authkey = KEY,
    }))
    poller:add(client)
    assert.is_true(poller:timeout() > 900 and poller:timeout() <= 1000)
  end)

  local has_cqueues, cqueues = pcall(require, "cqueues")
  if has_cqueues then
    it("can be polled by cqueues", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      local poller <close> = poller_of(conn)
      local loop, got = cqueues.new(), {}
      loop:wrap(function()
        while #got < 3 do
          cqueues.poll(poller)
          for _, object in ipairs(poller:wait(0)) do
            table.insert(got, object:recv_bytes())
          end
        end
      end)
      loop:wrap(function()
        raw:write(helpers.frame("1") .. helpers.frame("2"))
        cqueues.poll(SHORT / 10)
        raw:write(helpers.frame("3"))
      end)
      assert(loop:loop(LIMIT))
      assert.same({"1", "2", "3"}, got)
    end)

    it("can hold cqueues' objects, as they change", function()
      local a, b = require("cqueues.socket").pair()
      local r, w = assert(connection.Pipe(false))
      local _ <close> = helpers.closing(a, b, r, w)
      local poller <close> = poller_of(a, r)
      assert_ready({}, poller, 0)
      b:write("line\n")
      b:flush()
      assert_ready({a}, poller, LIMIT)
      assert.equal("line", a:read("*l"))
      assert_ready({}, poller, 0)
      assert.is_true(poller:remove(a))
      b:write("line\n")
      b:flush()
      assert_ready({}, poller, 0)
    end)
  else
    pending("can be polled by cqueues")
  end

  local has_luv, uv = pcall(require, "luv")
  if has_luv then
    it("can be polled by luv, and hold its handles", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      local fd, own = assert(sys.socketpair())
      local peer <close> = helpers.raw(fd)
      local pipe = uv.new_pipe(false)
      assert(pipe:open(own))
      local poller <close> = poller_of(conn, pipe)
      local watcher, got = uv.new_poll(poller:fileno()), {}
      watcher:start("r", function()
        for _, object in ipairs(poller:wait(0)) do
          if object == conn then
            table.insert(got, conn:recv_bytes())
          else
            poller:remove(pipe)
            table.insert(got, "pipe")
          end
        end
        if #got == 3 then watcher:stop() end
      end)
      raw:write(helpers.frame("1") .. helpers.frame("2"))
      peer:write("x")
      uv.run()
      table.sort(got)
      assert.same({"1", "2", "pipe"}, got)
      watcher:close()
      pipe:close()
      uv.run()
    end)
  else
    pending("can be polled by luv, and hold its handles")
  end

  local has_socket, socket = pcall(require, "socket")
  if has_socket then
    it("can be selected by LuaSocket", function()
      local a, b, _ <close> = helpers.pair()
      local poller <close> = poller_of(b)
      assert.same({}, (socket.select({poller}, nil, 0)))
      assert(a:send_bytes("x"))
      assert.equal(poller, socket.select({poller}, nil, LIMIT)[1])
      assert_ready({b}, poller, 0)
    end)
  else
    pending("can be selected by LuaSocket")
  end
end)

describe("For other loops, a Listener", function()
  it("says what to wait for", function()
    local listener <close> = assert(connection.Listener(nil, {authkey = KEY, timeout = 1000}))
    assert.equal("r", listener:events())
    assert.is_nil(listener:timeout())
    local raw <close> = helpers.raw_client(listener)
    assert.equal("TimeoutError", select(2, listener:accept(0)).name)
    assert.is_true(listener:timeout() > 900)
    raw:write_frame("garbage")
    assert.same({listener}, connection.wait({listener}, LIMIT))
    assert.equal(0, listener:timeout())
    assert.equal("AuthenticationError", select(2, listener:accept(0)).name)
    assert.is_nil(listener:timeout())
    listener:close()
    for _, name in ipairs {"pollfd", "events", "timeout"} do
      assert_misuse("listener is closed", listener[name], listener)
    end
  end)

  if not has_descriptor then
    it("has no more than its socket where pollers are built with poll(2)", function()
      local listener <close> = assert(connection.Listener())
      assert.equal(listener:fileno(), listener:pollfd())
    end)
    return
  end

  it("has a descriptor that tells of its pending peers, too", function()
    local listener <close> = assert(connection.Listener(INET, {authkey = KEY}))
    local fd = listener:pollfd()
    assert.not_equal(fd, listener:fileno())
    assert.equal(fd, listener:pollfd())
    assert.is_true(sys.is_cloexec(fd))
    assert.is_false(sys.poll(fd, "r", 0))
    local raw <close> = helpers.raw_client(listener)
    assert.is_true(sys.poll(fd, "r", LIMIT))
    assert.equal("TimeoutError", select(2, listener:accept(0)).name)
    assert.is_false(sys.poll(fd, "r", SHORT))
    assert.matches("^#CHALLENGE#", raw:read_frame())
    raw:write_frame("garbage")
    assert.is_true(sys.poll(fd, "r", LIMIT))
    assert.equal("AuthenticationError", select(2, listener:accept(0)).name)
    assert.is_false(sys.poll(fd, "r", 0))
  end)

  it("has one that stays readable until everybody is taken", function()
    local listener <close> = assert(connection.Listener(nil, {backlog = 8}))
    local fd, raws = listener:pollfd(), {}
    for i = 1, 3 do raws[i] = helpers.raw_client(listener) end
    local _ <close> = helpers.closing(table.unpack(raws))
    for _ = 1, 3 do
      assert.is_true(sys.poll(fd, "r", LIMIT))
      local conn <close> = assert(listener:accept(0))
      assert.is_false(conn.closed)
    end
    assert.is_false(sys.poll(fd, "r", 0))
  end)

  local has_cqueues, cqueues = pcall(require, "cqueues")
  if has_cqueues then
    it("can be polled by cqueues, handshakes and their deadlines included", function()
      local listener <close> = assert(connection.Listener(nil, {
        authkey = KEY, timeout = 2 * SHORT,
      }))
      local silent <close> = helpers.raw_client(listener)
      local client <close> = assert(connection.Client(listener.address, {
        authkey = KEY, nonblocking = true,
      }))
      local loop, conn, failure = cqueues.new(), nil, nil
      loop:wrap(function()
        while not (conn and failure) do
          cqueues.poll(listener)
          local accepted, err = listener:accept(0)
          if accepted then
            conn = accepted
          elseif err.message:find("handshake") then
            failure = err
          end
        end
      end)
      loop:wrap(function()
        while not client:handshake(0) do cqueues.poll(client) end
      end)
      assert(loop:loop(LIMIT))
      assert.equal("TimeoutError", failure.name)
      assert.is_true(silent.fd >= 0)
      conn:close()
    end)
  else
    pending("can be polled by cqueues, handshakes and their deadlines included")
  end
end)

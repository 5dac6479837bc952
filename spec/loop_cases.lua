-- What must hold in any event loop, for the specs of the adapters.

local assert = require "luassert"
local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local processes = require "processes"
local sys = require "sys"

local LIMIT = helpers.timeout
local KEY = "secret password"
local LARGE = ("x"):rep(helpers.slow and 1 << 20 or 1 << 22)

local fails = helpers.assert_fails

-- Two descriptors for each conversation, and some for everything else.
local function descriptors_for(conversations)
  return helpers.nfds() + 50 + 2 * conversations
end

-- The limit on descriptors, raised as far as may be; and what it was.
local function raise_limit()
  local before = assert(sys.setrlimit_nofile(-1))
  return assert(sys.setrlimit_nofile(-1)), before
end

local function has_room_for(conversations)
  local limit, before = raise_limit()
  sys.setrlimit_nofile(before)
  return limit < 0 or descriptors_for(conversations) <= limit
end

--- Defines the tests. `loop.waiter`: what set_waiter is given; `loop.start(f, ...)`
-- runs the functions as coroutines, and returns when all of them, and those
-- that `loop.spawn(f)` has added, have ended; an error of one is one of its own.
-- `loop.conversations`: how many at once; `loop.dislikes_closed`: it fails where a
-- descriptor is closed for which several wait. `busted`: a spec's own functions.
return function(loop, busted)
  local it, before_each, after_each =
    busted.it, busted.before_each, busted.after_each
  before_each(function() connection.set_waiter(loop.waiter) end)
  after_each(function() connection.set_waiter(nil) end)

  local conversations = helpers.slow and loop.conversations // 10 or loop.conversations
  local title = ("holds %d conversations at once"):format(conversations)
  local if_room = it
  if not has_room_for(conversations) then
    if_room, title = busted.pending, title .. " (too few descriptors)"
  end
  if_room(title, function()
    local count = conversations
    local _, limit = raise_limit()
    local listener = assert(connection.Listener(nil, {authkey = KEY, backlog = 128}))
    local served, done, most = 0, 0, 0

    local function serve(conn)
      for message in conn:messages() do assert(conn:send(message)) end
      conn:close()
      served = served + 1
    end

    local function accept()
      for i = 1, count do
        local conn = assert(listener:accept())
        most = math.max(most, i - served)
        loop.spawn(function() serve(conn) end)
      end
    end

    local ready = 0
    local function converse(i)
      local conn = assert(connection.Client(listener.address, {
        authkey = KEY, timeout = LIMIT, retry = true,
      }))
      for j = 1, 3 do
        assert(conn:send({i, j}))
        local answer = assert(conn:recv())
        assert(answer[1] == i and answer[2] == j)
        -- none leaves before all are served
        if j == 1 then ready = ready + 1 end
        while ready < count do connection.wait({}, 0.01) end
      end
      conn:close()
      done = done + 1
    end

    local functions = {accept}
    for i = 1, count do functions[i + 1] = function() converse(i) end end
    loop.start(table.unpack(functions))
    listener:close()
    sys.setrlimit_nofile(limit)
    assert.equal(count, done)
    assert.equal(count, served)
    assert.equal(count, most)
  end)

  it("lets a connection be read and written at the same time", function()
    local a, b, _ <close> = helpers.pair()
    local got = {}
    loop.start(
      function() assert(a:send_bytes(LARGE)) end,
      function() assert(b:send_bytes(LARGE)) end,
      function() assert(a:send_bytes(LARGE)) end,
      function() got.a = a:recv_bytes() end,
      function()
        got.b1 = b:recv_bytes()
        got.b2 = b:recv_bytes()
      end)
    for _, name in ipairs {"a", "b1", "b2"} do assert.is_true(got[name] == LARGE) end
  end)

  it("goes on elsewhere while one waits", function()
    local a, b, _ <close> = helpers.pair()
    local order = {}
    loop.start(
      function() table.insert(order, b:recv()) end,
      function()
        table.insert(order, "not blocked")
        assert(a:send("message"))
      end)
    assert.same({"not blocked", "message"}, order)
  end)

  it("keeps timeouts", function()
    local a, b, _ <close> = helpers.pair()
    local listener <close> = assert(connection.Listener())
    local timed_out = false
    loop.start(
      function()
        b:settimeout(0.02)
        fails("TimeoutError", b:recv())
        timed_out = true
        b:settimeout(nil)
        assert.equal("late", b:recv())
      end,
      function() fails("TimeoutError", listener:accept(0.02)) end,
      function() assert.same({}, connection.wait({a, listener}, 0.02)) end,
      function() assert.same({}, connection.wait({}, 0.02)) end,
      function()
        repeat assert.is_false(a:poll(0.01)) until timed_out
        assert(a:send("late"))
      end)
  end)

  it("waits for many", function()
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    local got = {}
    loop.start(
      function()
        repeat
          for _, conn in ipairs(connection.wait({b, d})) do
            table.insert(got, conn:recv())
          end
        until #got == 2
      end,
      function()
        assert(c:send("c"))
        assert(d:send("d"))
        assert.equal("d", c:recv())
        assert(a:send("a"))
      end)
    table.sort(got)
    assert.same({"a", "c"}, got)
  end)

  it("wakes who waits for what is closed", function()
    local count = 0
    local function misused(f, ...)
      local ok, err = pcall(f, ...)
      assert.is_false(ok)
      assert.matches("is closed", err)
      count = count + 1
    end
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    local listener = assert(connection.Listener())
    local full <close> = c
    full:settimeout(0)
    assert(full:send_bytes(LARGE))
    loop.start(
      function() misused(a.recv, a) end,
      function() misused(a.recv, a) end,
      function() misused(full.flush, full, LIMIT) end,
      function() misused(connection.wait, {b, d, listener}) end,
      function() misused(listener.accept, listener) end,
      function()
        assert(a:close())
        full:settimeout(0)
        full:close()
        assert(listener:close())
        -- others have their numbers
        local e, f, _ <close> = helpers.pair()
        assert(e:send("e"))
        assert.equal("e", f:recv())
      end)
    assert.equal(5, count)
  end)

  local if_liked = loop.dislikes_closed and busted.pending or it
  if_liked("wakes all who wait for what is closed, and whose number nobody has", function()
    local a, _, _ <close> = helpers.pair()
    local listener = assert(connection.Listener())
    local process = assert(connection.spawn(processes.shell "read x <&3; exit 5"))
    local count = 0
    local function ends(f, ...)
      local arguments = table.pack(...)
      return function()
        pcall(f, table.unpack(arguments, 1, arguments.n))
        count = count + 1
      end
    end
    loop.start(
      ends(a.recv, a), ends(a.recv, a), ends(a.poll, a, LIMIT),
      ends(connection.wait, {a}), ends(connection.wait, {a}),
      ends(listener.accept, listener), ends(listener.accept, listener),
      ends(connection.wait, {listener}), ends(connection.wait, {listener}),
      ends(process.join, process), ends(process.join, process),
      ends(connection.wait, {process}), ends(connection.wait, {process}),
      function()
        connection.wait({}, 0.001) -- so that the loop knows all of them
        process.connection:close()
        assert(sys.poll(process.sentinel, "r", LIMIT))
        a:close()
        listener:close()
        process:close()
      end)
    assert.equal(13, count)
  end)

  it("waits for the ends of processes", function()
    local count, ended = helpers.slow and 3 or 20, 0
    local functions = {}
    for i = 1, count do
      functions[i] = function()
        local process <close> = assert(connection.spawn(processes.shell(
          "read x <&3; echo $x >&3; read x <&3; exit $x")))
        local conn = process.connection
        fails("TimeoutError", process:join(0.001))
        sys.write(conn:fileno(), "echo\n")
        connection.wait({conn})
        assert.equal("echo\n", sys.read(conn:fileno(), 5))
        sys.write(conn:fileno(), i .. "\n")
        assert.equal(i, process:join())
        ended = ended + 1
      end
    end
    loop.start(table.unpack(functions))
    assert.equal(count, ended)
  end)

  it("wakes who waits for a process that another one closes", function()
    local process = assert(connection.spawn(processes.shell "read x <&3; exit 5"))
    local fd, code = process.sentinel, nil
    loop.start(
      function() code = process:join() end,
      function()
        connection.wait({}, 0.001) -- so that the loop knows it
        process.connection:close()
        assert(sys.poll(fd, "r", LIMIT))
        assert.equal(5, process:close()) -- at once: before the loop can tell
        -- others have its number
        local a, b, _ <close> = helpers.pair()
        loop.spawn(function() assert(b:send("b")) end)
        assert.equal("b", a:recv())
      end)
    assert.equal(5, code)
  end)

  it("takes no harm from descriptors that come and go", function()
    local path_of_nobody = "\0" .. ("nobody"):rep(5) .. sys.getpid()
    loop.start(function()
      for i = 1, 30 do
        local a, b = assert(connection.Pipe())
        local done = false
        loop.spawn(function()
          assert.equal(i, b:recv())
          done = true
          if i % 2 == 0 then b:close() end
        end)
        assert(a:send(i))
        while not done do connection.wait({}, 0.001) end
        a, b = nil, nil -- luacheck: ignore 311
        collectgarbage()
        fails("ConnectionRefusedError",
              connection.Client(path_of_nobody, {timeout = LIMIT}))
      end
    end)
  end)

  it("opens a connection that many wait for", function()
    local listener = assert(connection.Listener({"127.0.0.1", 0}, {authkey = KEY}))
    local client <close> = assert(connection.Client(listener.address, {
      authkey = KEY, nonblocking = true,
    }))
    local got
    loop.start(
      function() got = client:recv() end,
      function() assert(client:send("question")) end,
      function()
        local conn <close> = assert(listener:accept())
        assert.equal("question", conn:recv())
        assert(conn:send("answer"))
      end)
    assert.equal("answer", got)
    listener:close()
    local late <close> = assert(connection.Client(listener.address or {"127.0.0.1", 1}, {
      authkey = KEY, nonblocking = true,
    }))
    local function receive() fails("ConnectionRefusedError", late:recv()) end
    loop.start(receive, receive, function() assert.is_nil(late:handshake()) end)
  end)

  it("never makes a shared descriptor non-blocking", function()
    local raw, conn
    local peer <close> = helpers.raw_peer()
    raw, conn = peer.raw, peer.conn
    loop.start(
      function() assert.equal("hello", conn:recv_bytes()) end,
      function()
        assert.is_false(sys.is_nonblocking(conn:fileno()))
        raw:write_frame("hello")
      end)
  end)

  it("tells an error of the waiting coroutine", function()
    local a, b, _ <close> = helpers.pair()
    local seen
    loop.start(
      function()
        seen = table.pack(pcall(function()
          assert(b:recv())
          error("own error", 0)
        end))
      end,
      function() assert(a:send(1)) end)
    assert.same({false, "own error", n = 2}, seen)
  end)

  it("blocks outside of the loop", function()
    local a, b, _ <close> = helpers.pair()
    assert(a:send("before"))
    assert.equal("before", b:recv())
    assert.is_false(b:poll(0.001))
    b:settimeout(0.001)
    fails("TimeoutError", b:recv())
    local child <close> = helpers.fork(function() assert(a:send("from the child")) end)
    b:settimeout(LIMIT)
    assert.equal("from the child", b:recv())
    assert.equal(0, (child:wait()))
  end)
end

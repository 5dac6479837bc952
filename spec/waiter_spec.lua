-- connection.set_waiter: what would block asks the program, and may yield. The
-- event loop here is a few lines over connection.wait; the loops that others have
-- written are in waiter_cqueues_spec and its neighbours.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local processes = require "processes"
local sys = require "sys"

local LIMIT = helpers.timeout
local KEY = "secret password"
local LARGE = ("x"):rep(helpers.slow and 1 << 20 or 1 << 22)

-- A loop

local Loop = {}
Loop.__index = Loop

function Loop:resume(thread, ...)
  local ok, object = coroutine.resume(thread, ...)
  if not ok then error(debug.traceback(thread, tostring(object)), 0) end
  if coroutine.status(thread) == "suspended" then
    table.insert(self.objects, object)
    self.threads[object] = thread
  end
end

function Loop:spawn(f, ...)
  local thread = coroutine.create(f)
  self.mine[thread] = true
  self:resume(thread, ...)
  return thread
end

-- Runs until all have ended.
function Loop:run()
  while self.objects[1] do
    local ready = connection.wait(self.objects, LIMIT)
    assert(ready[1], "nothing happens any more")
    local left = {}
    for _, object in ipairs(self.objects) do left[object] = true end
    for _, object in ipairs(ready) do left[object] = nil end
    local objects = {}
    for _, object in ipairs(self.objects) do
      if left[object] then table.insert(objects, object) end
    end
    self.objects = objects
    for _, object in ipairs(ready) do
      local thread = self.threads[object]
      self.threads[object] = nil
      self:resume(thread)
    end
  end
end

-- Sets the waiter, and notes what it is asked.
local function new_loop()
  local self = setmetatable({
    objects = {}, threads = {}, asked = {}, cancelled = {},
    mine = setmetatable({}, {__mode = "k"}),
  }, Loop)
  connection.set_waiter({
    wait = function(object, mode, timeout)
      if not self.mine[coroutine.running()] then return false end
      table.insert(self.asked, {object = object, mode = mode, timeout = timeout})
      coroutine.yield(object)
    end,
    cancel = function(fd)
      table.insert(self.cancelled, fd)
      self:forget(fd)
    end,
  })
  return self
end

-- Has those go on who wait for `fd`: with something ready instead.
function Loop:forget(fd)
  for i, object in ipairs(self.objects) do
    if object:pollfd() == fd then
      local r, w = assert(sys.pipe())
      sys.close(w)
      local thread = self.threads[object]
      local stand_in = helpers.raw(r)
      self.objects[i], self.threads[object] = stand_in, nil
      self.threads[stand_in] = thread
    end
  end
end

local function spawn_and_run(...)
  local loop = new_loop()
  for _, f in ipairs {...} do loop:spawn(f) end
  loop:run()
  return loop
end

local fails = helpers.assert_fails
local misused = helpers.assert_misuse

after_each(function()
  connection.set_waiter(nil)
  collectgarbage() -- coroutines that are left over
end)

-- A connection whose peer never reads, and which can take no more.
local function full_pair()
  local a, b, closing = helpers.pair()
  a:settimeout(0)
  assert(a:send_bytes(LARGE)) -- accepted; most of it is held
  a:settimeout(LIMIT)
  return a, b, closing
end

describe("A waiter", function()
  -- What blocks until the other one has acted; what it is asked is `mode`.
  local function asks(mode, block, act)
    local loop, order = new_loop(), {}
    loop:spawn(function()
      block()
      table.insert(order, "blocked")
    end)
    assert.is_true(#loop.asked > 0, "it was not asked")
    assert.equal(mode, loop.asked[1].mode)
    loop:spawn(function()
      table.insert(order, "other")
      act()
    end)
    loop:run()
    assert.same("other", order[1])
    assert.same("blocked", order[2])
    return loop
  end

  it("is asked by recv, recv_bytes, recv_bytes_into and messages", function()
    local a, b, _ <close> = helpers.pair()
    asks("r", function() assert.equal("one", b:recv()) end,
         function() assert(a:send("one")) end)
    asks("r", function() assert.equal("two", b:recv_bytes()) end,
         function() assert(a:send_bytes("two")) end)
    local buffer = connection.Buffer(5)
    asks("r", function() assert.equal(5, b:recv_bytes_into(buffer)) end,
         function() assert(a:send_bytes("three")) end)
    assert.equal("three", tostring(buffer))
    asks("r", function()
      local next_message = b:messages("bytes")
      assert.equal("four", next_message())
    end, function() assert(a:send_bytes("four")) end)
  end)

  it("is asked by poll", function()
    local a, b, _ <close> = helpers.pair()
    asks("r", function() assert.is_true(b:poll(LIMIT)) end,
         function() assert(a:send_bytes("bytes")) end)
    assert.equal("bytes", b:recv_bytes())
    spawn_and_run(function() assert.is_false(b:poll(0.001)) end)
  end)

  it("is asked by send, send_bytes, send_many and flush", function()
    for name, call in pairs {
      send_many = function(a) assert(a:send_many({LARGE}, "bytes")) end,
      send = function(a) assert(a:send(LARGE)) end,
      send_bytes = function(a) assert(a:send_bytes(LARGE)) end,
      flush = function(a)
        a:settimeout(0)
        assert(a:send_bytes(LARGE))
        assert(a:flush(LIMIT))
      end,
    } do
      local a, b, _ <close> = helpers.pair()
      asks("w", function() call(a) end, function()
        assert.equal(LARGE, name == "send" and b:recv() or b:recv_bytes())
      end)
    end
  end)

  it("is asked by recv_handle, and by send_handle where there is no room", function()
    local a, b, _ <close> = helpers.pair()
    local r, w = assert(sys.pipe())
    local _ <close> = helpers.closing(helpers.raw(r), helpers.raw(w))
    asks("r", function() sys.close(assert(b:recv_handle())) end,
         function() assert(a:send_handle(r)) end)

    local peer <close> = helpers.raw_peer()
    local fd = peer.conn:fileno()
    repeat until (sys.try_write(fd, ("x"):rep(4096)) or 0) == 0
    asks("w", function() assert(peer.conn:send_handle(r)) end, function()
      while peer.raw:poll("r", 0) do assert(peer.raw:read(65536)) end
    end)
    assert.equal("\1", peer.raw:read(10))
  end)

  it("is asked by connection.messages and serve", function()
    local a, b, _ <close> = helpers.pair()
    asks("r", function()
      for conn, message in connection.messages {b} do
        assert.equal(b, conn)
        assert.equal("one", message)
      end
    end, function()
      assert(a:send("one"))
      a:close()
    end)

    local listener <close> = assert(connection.Listener())
    local seen = {}
    asks("r", function()
      for event, _, message in connection.serve(listener) do
        table.insert(seen, event)
        if event == "message" then assert.equal("two", message) end
        if event == "close" then listener:close() end
      end
    end, function()
      local client <close> = assert(connection.Client(listener.address))
      assert(client:send("two"))
    end)
    assert.same({"open", "message", "close"}, seen)
  end)

  it("is asked by a receive at once: setspin has no effect", function()
    local a, b, _ <close> = helpers.pair()
    b:setspin(math.huge)
    asks("r", function() assert.equal("one", b:recv()) end,
         function() assert(a:send("one")) end)
    asks("r", function() assert.is_true(b:poll(LIMIT)) end,
         function() assert(a:send("two")) end)
    assert.equal("two", b:recv())
  end)

  it("is asked by detach, and by a close that delivers", function()
    for _, name in ipairs {"close", "detach"} do
      local a, b, _ <close> = full_pair()
      asks("w", function()
        local result = assert(a[name](a))
        if name == "detach" then sys.close(result) end
      end, function() assert.equal(LARGE, b:recv_bytes()) end)
    end
  end)

  it("is asked by accept, connections, Client and handshake", function()
    local listener <close> = assert(connection.Listener(nil, {authkey = KEY}))
    local function join()
      connection.Client(listener.address, {authkey = KEY}):close()
    end
    asks("r", function() assert(listener:accept(LIMIT)):close() end, join)
    asks("r", function()
      local next_connection = listener:connections()
      next_connection():close()
    end, join)

    local function accept() assert(listener:accept(LIMIT)):close() end
    asks("r", join, accept)
    local client <close> = assert(connection.Client(listener.address, {
      authkey = KEY, nonblocking = true,
    }))
    asks("r", function() assert(client:handshake(LIMIT)) end, accept)
  end)

  it("is asked by a Client that tries again", function()
    local dir <close> = helpers.tmpdir()
    local path = dir:join("socket")
    local listener
    local loop = asks("r", function()
      assert(connection.Client(path, {retry = true, timeout = LIMIT})):close()
    end, function()
      listener = assert(connection.Listener(path))
      assert(listener:accept(LIMIT)):close()
    end)
    listener:close()
    assert.equal(-1, loop.asked[1].object:pollfd())
    assert.is_true(loop.asked[1].timeout < 1) -- there is only time to wait for
  end)

  it("is asked by wait, ready and an empty wait", function()
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    asks("r", function() assert.same({b}, connection.wait({d, b}, LIMIT)) end,
         function() assert(a:send_bytes("to b")) end)
    asks("r", function() assert.same({d}, connection.wait({d}, LIMIT)) end,
         function() assert(c:send_bytes("to d")) end)
    assert(b:recv_bytes())
    asks("r", function()
      local next_ready = connection.ready({b}, LIMIT)
      assert.equal(b, next_ready())
    end, function() assert(a:send_bytes("to b")) end)
    asks("r", function() assert.same({}, connection.wait({}, 0.001)) end,
         function() end)
  end)

  it("is asked by join, close and the end of <close> of a process", function()
    for _, finish in ipairs {
      function(process) assert.equal(0, process:join()) end,
      function(process) assert.equal(0, process:close()) end,
      function(process) local _ <close> = process end,
    } do
      local r, w = assert(sys.pipe())
      local process <close> = assert(connection.spawn(processes.plain("cat"), {
        stdin = r, stdout = "null",
      }))
      sys.close(r)
      asks("r", function() finish(process) end, function() sys.close(w) end)
      assert.equal(0, process.exitcode)
    end
  end)

  it("that comes back early sees a process that closed its sentinel to its end", function()
    -- as a daemon does; where there is no pidfd, that looks like an end
    local process <close> = assert(connection.spawn(processes.shell [[
      for fd in 4 5 6 7 8 9; do eval "exec $fd>&-"; done
      echo ready >&3
      read line <&3]]))
    assert.equal("ready\n", sys.read(process.connection:fileno(), 6))
    local descriptors = {}
    connection.set_waiter(function(object) table.insert(descriptors, object:pollfd()) end)
    fails("TimeoutError", process:join(0.03))
    local looks_ended = sys.poll(process.sentinel, "r", 0)
    assert.not_equal(-1, descriptors[1])
    assert.equal(looks_ended, descriptors[2] == -1) -- only time to wait for
    connection.set_waiter(nil)
    process.connection:close()
    assert.equal(1, process:join(LIMIT))
  end)

  it("is asked by the challenge functions", function()
    local a, b, _ <close> = helpers.pair()
    asks("r", function()
      assert.is_true(connection.answer_challenge(a, KEY))
      assert.is_true(connection.deliver_challenge(a, KEY))
    end, function()
      assert.is_true(connection.deliver_challenge(b, KEY))
      assert.is_true(connection.answer_challenge(b, KEY))
    end)
  end)

  it("is asked with the seconds that are left, or nil", function()
    local a, b, _ <close> = helpers.pair()
    local loop = asks("r", function() b:recv_bytes() end,
                      function() a:send_bytes("") end)
    assert.is_nil(loop.asked[1].timeout)
    b:settimeout(LIMIT)
    loop = asks("r", function() b:recv_bytes() end,
                function() a:send_bytes("") end)
    assert.is_true(loop.asked[1].timeout <= LIMIT)
    assert.is_true(loop.asked[1].timeout > LIMIT / 2)
  end)

  it("is asked for both directions as one", function()
    local a, b, _ <close> = full_pair()
    local loop = asks("r", function() assert.equal("answer", a:recv_bytes()) end,
                      function()
      assert.equal(LARGE, b:recv_bytes()) -- a sends on while it receives
      assert(b:send_bytes("answer"))
    end)
    assert.not_equal(a:fileno(), loop.asked[1].object:pollfd())
  end)

  it("is shown an object that says what to wait for", function()
    local a, b, _ <close> = helpers.pair()
    local seen
    local loop = new_loop()
    loop:spawn(function()
      b:settimeout(LIMIT)
      b:recv_bytes()
    end)
    local object = loop.asked[1].object
    assert.equal(b:fileno(), object:pollfd())
    assert.equal(b:fileno(), object:getfd())
    assert.equal(b:fileno(), object:fileno())
    assert.equal("r", object:events())
    assert.is_true(object:timeout() <= LIMIT)
    assert.matches("Waiting %(descriptor %d+, \"r\"%)", tostring(object))
    seen = connection.wait({object}, 0)
    assert.same({}, seen)
    assert(a:send_bytes("now"))
    assert.same({object}, connection.wait({object}, 0))
    loop:run()
    assert.equal(-1, object:pollfd()) -- over
    assert.equal(0, object:timeout())
    misused("Waiting expected", object.pollfd, b)
  end)

  it("that declines leaves it to the thread to block", function()
    local a, b, _ <close> = helpers.pair()
    local count = 0
    connection.set_waiter(function()
      count = count + 1
      a:send_bytes("while it was asked")
      return false
    end)
    assert.equal("while it was asked", b:recv_bytes())
    b:settimeout(0.001)
    connection.set_waiter(function() return false end)
    fails("TimeoutError", b:recv_bytes())
    assert.equal(1, count)
    -- also after it has yielded
    connection.set_waiter(function()
      coroutine.yield()
      return false
    end)
    local thread = coroutine.create(function() return b:recv_bytes() end)
    assert(coroutine.resume(thread))
    a:send_bytes("after the yield")
    assert.equal("after the yield", select(2, coroutine.resume(thread)))
  end)

  it("may return early, or at once", function()
    local a, b, _ <close> = helpers.pair()
    local count = 0
    connection.set_waiter(function()
      count = count + 1
      if count == 1000 then a:send_bytes("at last") end
    end)
    assert.equal("at last", b:recv_bytes())
    assert.equal(1000, count)
    b:settimeout(0.001)
    fails("TimeoutError", b:recv_bytes())
    assert.is_false(b:poll(0.001))
    assert.same({}, connection.wait({a, b}, 0.001))
    local listener <close> = assert(connection.Listener())
    fails("TimeoutError", listener:accept(0.001))
  end)

  it("that raises an error ends the call, which has lost nothing", function()
    local a, b, _ <close> = helpers.pair()
    sys.write(a:fileno(), "\0\0\0\4ab")
    connection.set_waiter(function() error("not now", 0) end)
    assert.same({false, "not now"}, {pcall(b.recv_bytes, b)})
    assert.same({false, "not now"}, {pcall(connection.wait, {b}, LIMIT)})
    assert.same({false, "not now"}, {pcall(a.send_bytes, a, LARGE)})
    connection.set_waiter(nil)
    sys.write(a:fileno(), "")
    a:settimeout(0)
    assert.is_true(a:flush(0) == nil) -- the message is held, and goes on
  end)

  it("may be a function or a table, and 'none' is none", function()
    local function wait() return false end
    local pair = {wait = wait, cancel = function() end}
    assert.is_nil(connection.set_waiter(wait))
    assert.equal(wait, connection.set_waiter(pair))
    assert.equal(pair, connection.set_waiter("none"))
    assert.is_nil(connection.set_waiter({wait = wait}))
    connection.set_waiter(nil)
    misused("bad argument #1", connection.set_waiter)
    misused("bad argument #1", connection.set_waiter, 1)
    misused("bad argument #1", connection.set_waiter, "some")
    misused("'wait' is not a function", connection.set_waiter, {})
    misused("'cancel' is not a function", connection.set_waiter,
            {wait = wait, cancel = 1})
    assert.is_nil(connection.set_waiter(nil))
  end)

  it("that is taken away leaves those who wait to the thread", function()
    local a, b, _ <close> = helpers.pair()
    local loop = new_loop()
    loop:spawn(function()
      assert.equal("first", b:recv_bytes())
      b:settimeout(0.001)
      fails("TimeoutError", b:recv_bytes())
    end)
    connection.set_waiter(nil)
    assert(a:send_bytes("first"))
    loop:run()
  end)

  it("is not there for a codec, which cannot yield", function()
    local seen = {}
    local codec = {
      dumps = function(value)
        table.insert(seen, coroutine.isyieldable())
        return value
      end,
      loads = function(s)
        table.insert(seen, coroutine.isyieldable())
        return s
      end,
    }
    local a, b = connection.Pipe(true, {codec = codec})
    local _ <close> = helpers.closing(a, b)
    spawn_and_run(function() assert.equal("value", b:recv()) end,
                  function() assert(a:send("value")) end)
    assert.same({false, false}, seen)
  end)
end)

describe("Coroutines with one connection", function()
  it("send large messages that arrive whole", function()
    local a, b, _ <close> = helpers.pair()
    local got = {}
    spawn_and_run(
      function() assert(a:send_bytes(("1"):rep(#LARGE))) end,
      function() assert(a:send_bytes(("2"):rep(#LARGE))) end,
      function() assert(a:send(("3"):rep(#LARGE))) end,
      function()
        for i = 1, 2 do got[i] = b:recv_bytes() end
        got[3] = b:recv()
      end)
    table.sort(got)
    for i = 1, 3 do assert.is_true(got[i] == tostring(i):rep(#LARGE)) end
  end)

  it("receive while another one sends", function()
    local a, b, _ <close> = helpers.pair()
    spawn_and_run(
      function() assert.is_true(a:recv_bytes() == LARGE) end,
      function() assert(a:send_bytes(LARGE)) end,
      function() assert(b:send_bytes(LARGE)) end,
      function() assert.is_true(b:recv_bytes() == LARGE) end)
  end)

  for name, leave_held in pairs {
    send_bytes = function(a)
      assert(a:send_bytes(LARGE))
    end,
    send_many = function(a)
      assert(a:send_many({LARGE}, "bytes"))
    end,
    ["send_many that gives up"] = function(a)
      local done, _, sent = a:send_many {LARGE, print}
      assert.is_nil(done)
      assert.equal(1, sent)
    end,
    ["a flush of what was corked"] = function(a)
      a:cork()
      assert(a:send_bytes(LARGE))
      fails("TimeoutError", a:flush())
    end,
  } do
    for how, receive in pairs {
      recv_bytes = function(a) return a:recv_bytes() end,
      wait = function(a)
        assert.same({a}, connection.wait({a}))
        return a:recv_bytes()
      end,
    } do
      it(how .. " that waits already delivers what is held after " .. name, function()
        local a, b, _ <close> = helpers.pair()
        spawn_and_run(
          function() assert.equal("answer", receive(a)) end,
          function()
            a:settimeout(0)
            leave_held(a)
          end,
          function()
            b:settimeout(LIMIT)
            assert.is_true(#assert(b:recv_bytes()) >= #LARGE)
            assert(b:send_bytes("answer"))
          end)
      end)
    end
  end

  it("share what comes", function()
    local a, b, _ <close> = helpers.pair()
    local got = {}
    local function receive() table.insert(got, b:recv()) end
    spawn_and_run(receive, receive, receive, function()
      for i = 1, 3 do assert(a:send(i)) end
    end)
    table.sort(got)
    assert.same({1, 2, 3}, got)
  end)

  it("wait together for it to open", function()
    local listener <close> = assert(connection.Listener(nil, {authkey = KEY}))
    local client <close> = assert(connection.Client(listener.address, {
      authkey = KEY, nonblocking = true,
    }))
    local conn
    spawn_and_run(
      function() assert.equal("answer", client:recv()) end,
      function() assert(client:send("question")) end,
      function() assert(client:handshake()) end,
      function()
        conn = assert(listener:accept(LIMIT))
        assert.equal("question", conn:recv())
        assert(conn:send("answer"))
      end)
    conn:close()
  end)

  it("learn together that it does not", function()
    local listener = assert(connection.Listener({"127.0.0.1", 0}, {authkey = KEY}))
    local client <close> = assert(connection.Client(listener.address, {
      authkey = KEY, nonblocking = true,
    }))
    local function receive()
      local message, err = client:recv()
      assert.is_nil(message)
      assert.truthy(({EOFError = true, ConnectionResetError = true})[err.name], err.name)
    end
    spawn_and_run(receive, receive, receive,
                  function() connection.wait({client}, LIMIT) end,
                  function() listener:close() end)
  end)
end)

describe("Closing what another coroutine waits for", function()
  local function closed_meanwhile(message, block, close)
    local loop = new_loop()
    local seen
    loop:spawn(function() seen = table.pack(pcall(block)) end)
    loop:spawn(close)
    loop:run()
    assert.is_false(seen[1], "it ended well")
    assert.matches(message, seen[2])
    return loop
  end

  it("is misuse in a call on it", function()
    for _, close in ipairs {
      function(conn) assert(conn:close()) end,
      function(conn) local _ <close> = conn end,
      function(conn) sys.close(assert(conn:detach())) end,
    } do
      local _, b, _ <close> = helpers.pair()
      local fd = b:fileno()
      local loop = closed_meanwhile("connection is closed",
                                    function() b:recv() end,
                                    function() close(b) end)
      assert.equal(fd, loop.cancelled[1])
    end
    local _, b, _ <close> = helpers.pair()
    closed_meanwhile("connection is closed", function() b:poll(LIMIT) end,
                     function() b:close() end)
    local a, _, _ <close> = full_pair()
    closed_meanwhile("connection is closed", function() a:flush() end,
                     function() local _ <close> = a end)
    local listener = assert(connection.Listener())
    closed_meanwhile("listener is closed", function() listener:accept() end,
                     function() listener:close() end)
    listener = assert(connection.Listener())
    closed_meanwhile("listener is closed", function() listener:accept() end,
                     function() local _ <close> = listener end)
  end)

  it("is misuse in a wait for many", function()
    local _, b, _ <close> = helpers.pair()
    local _, d, _ <close> = helpers.pair()
    closed_meanwhile("connection is closed %(at %[2%]",
                     function() connection.wait({b, d}) end,
                     function() d:close() end)
    closed_meanwhile("connection is closed %(at %[1%]",
                     function() connection.wait({b}) end,
                     function() b:close() end)
  end)

  it("is told to the waiter before it happens", function()
    local _, b, _ <close> = helpers.pair()
    local fd, open = b:fileno(), nil
    connection.set_waiter({
      wait = function() return false end,
      cancel = function(number)
        assert.equal(fd, number)
        open = sys.is_cloexec(fd)
      end,
    })
    assert(b:close())
    assert.is_true(open)
    open = nil
    assert(b:close())
    assert.is_nil(open) -- once
  end)

  it("goes well whatever the waiter does", function()
    local _, b, _ <close> = helpers.pair()
    local _, d, _ <close> = helpers.pair()
    connection.set_waiter({
      wait = function() return false end,
      cancel = function() error("no such descriptor") end,
    })
    assert(b:close())
    do local _ <close> = d end
    assert.is_true(b.closed and d.closed)

    local _, f, _ <close> = helpers.pair()
    connection.set_waiter({
      wait = function() return false end,
      cancel = function() f:close() end,
    })
    assert(f:close())
    local _, h, _ <close> = helpers.pair()
    connection.set_waiter({
      wait = function() return false end,
      cancel = function() connection.set_waiter(nil) h:close() end,
    })
    misused("connection is closed", h.detach, h)
  end)

  it("has a join go on, whose process has ended", function()
    for _, close in ipairs {
      function(process) assert.equal(5, process:close()) end,
      function(process) local _ <close> = process end,
    } do
      local process = assert(connection.spawn(processes.shell "read x <&3; exit 5"))
      local fd, code, ready = process.sentinel, nil, nil
      local loop = new_loop()
      loop:spawn(function() code = process:join() end)
      loop:spawn(function()
        local ok, err = pcall(connection.wait, {process})
        ready = not ok and err
      end)
      process.connection:close()
      assert.is_true(sys.poll(fd, "r", LIMIT))
      loop.cancelled = {}
      close(process) -- before the loop could tell
      assert.same({fd}, loop.cancelled)
      loop:run()
      assert.equal(5, code)
      assert.matches("no open descriptor", ready)
    end
  end)

  it("is also what an oversize message does to a reader", function()
    local fd, other = assert(sys.pipe())
    local reader <close> = assert(connection.Connection(fd, true, false,
                                                        {max_message = 10}))
    local raw <close> = helpers.raw(other)
    local errors = {}
    local function receive()
      local message, err = reader:recv_bytes()
      assert.is_nil(message)
      table.insert(errors, err.name)
    end
    spawn_and_run(receive, receive, function() raw:write_frame(("x"):rep(11)) end)
    assert.same({"OSError", "OSError"}, errors)
  end)
end)

describe("A coroutine that is dropped while it waits", function()
  local function collect()
    for _ = 1, 3 do collectgarbage() end
  end

  it("leaves nothing", function()
    local function wait_in_many_ways()
      local a, b = assert(connection.Pipe())
      local listener = assert(connection.Listener(nil, {authkey = KEY}))
      for _, f in ipairs {
        function() b:recv() end,
        function() listener:accept() end,
        function() connection.wait({a, b, listener}) end,
        function() a:send_bytes(LARGE) end,
        function() connection.Client(listener.address, {authkey = KEY}) end,
      } do
        local thread = coroutine.create(f)
        assert(coroutine.resume(thread))
        assert.equal("suspended", coroutine.status(thread))
      end
    end
    connection.set_waiter(function() coroutine.yield() end)
    collect()
    local before = helpers.nfds()
    for _ = 1, 10 do wait_in_many_ways() end
    collect()
    assert.equal(before, helpers.nfds())
  end)

  it("has its message delivered", function()
    local a, b, _ <close> = helpers.pair()
    connection.set_waiter(function() coroutine.yield() end)
    do
      local thread = coroutine.create(function() a:send_bytes(LARGE) end)
      assert(coroutine.resume(thread))
    end
    collect()
    connection.set_waiter(nil)
    a:settimeout(0)
    b:settimeout(0)
    local message
    repeat
      message = b:recv_bytes()
      a:flush()
    until message
    assert.is_true(message == LARGE)
  end)

  -- A client whose handshake a coroutine has begun, which was left by `leave`.
  local function goes_on_opening(leave)
    local listener <close> = assert(connection.Listener(nil, {authkey = KEY}))
    local client <close> = assert(connection.Client(listener.address, {
      authkey = KEY, nonblocking = true,
    }))
    local thread = coroutine.create(function() client:recv() end)
    leave(thread)
    connection.set_waiter(nil)
    thread = nil -- luacheck: ignore
    collectgarbage("stop") -- nobody else looks for what is left
    local child <close> = helpers.fork(function()
      assert(assert(listener:accept(LIMIT)):send("hello"))
    end)
    client:settimeout(LIMIT)
    local got, err = client:recv()
    collectgarbage("restart")
    assert.equal("hello", got, tostring(err))
    client:close()
    assert.equal(0, (child:wait()))
  end

  it("leaves one that others can open, before it is collected", function()
    goes_on_opening(function(thread)
      connection.set_waiter(function() coroutine.yield() end)
      assert(coroutine.resume(thread))
    end)
  end)

  it("leaves it so, too, where the waiter has raised an error", function()
    goes_on_opening(function(thread)
      connection.set_waiter(function() error("cancelled", 0) end)
      assert.same({false, "cancelled"}, {coroutine.resume(thread)})
    end)
  end)

  it("leaves it so, too, where it was closed", function()
    goes_on_opening(function(thread)
      connection.set_waiter(function() coroutine.yield() end)
      assert(coroutine.resume(thread))
      assert(coroutine.close(thread))
    end)
  end)

  it("leaves a connection that another one can open", function()
    local listener <close> = assert(connection.Listener())
    local client <close> = assert(connection.Client(listener.address, {
      nonblocking = true,
    }))
    connection.set_waiter(function() coroutine.yield() end)
    assert(coroutine.resume(coroutine.create(function() client:recv() end)))
    collect()
    connection.set_waiter(nil)
    local conn <close> = assert(listener:accept(LIMIT))
    assert(conn:send("hello"))
    assert.equal("hello", client:recv())
  end)
end)

-- Receiving: what is shared by all connections of a program, what waits in the
-- system, what goes straight into a Buffer, and spinning.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local MANY = helpers.slow and 20 or 200
local FAST = os.getenv("MULTIPROCESSING_FORCE") ~= "slow"

-- Linux's wait in a read, which is no POSIX fallback.
local LIMITS = sys.stat("/proc/self/stat") and not os.getenv("MULTIPROCESSING_FALLBACKS")

--- A raw peer of a listener, and the connection that was accepted.
local function meet(options, address)
  local listener <close> = assert(connection.Listener(address, options))
  local raw = helpers.raw_client(listener)
  local conn = assert(listener:accept(LIMIT))
  conn:settimeout(LIMIT)
  return raw, conn, helpers.closing(raw, conn)
end

local function meet_tcp(options) return meet(options, {"127.0.0.1", 0}) end

--- Not the same byte all over.
local function bytes(size, salt)
  return (("%d:0123456789abcdef"):format(salt or 0)):rep(size // 16 + 1):sub(1, size)
end

local function is_same(expected, got)
  return expected == got
end

local function assert_late(value, err)
  assert.is_nil(value)
  assert.equal("TimeoutError", err.name)
end

local function in_child(f)
  local child <close> = helpers.fork(f)
  local code, said = child:wait()
  assert.equal("", said)
  assert.equal(0, code)
end

--- Puts what no message can come from in the place of an open descriptor: the
--- system would say ENOTSOCK.
local function put_nothing_at(fd)
  assert(sys.close(fd))
  local lower = {} -- numbers that are free, too, and come first
  while true do
    local new = assert(sys.open("/dev/null", "r"))
    if new == fd then break end
    table.insert(lower, new)
  end
  for _, number in ipairs(lower) do sys.close(number) end
end

for kind, make in pairs {["an AF_UNIX socket"] = meet, ["TCP"] = meet_tcp} do
  describe("A receive that waits, over " .. kind, function()
    it("ends when a message comes", function()
      local raw, conn, both = make()
      local _ <close> = both
      local child <close> = helpers.fork(function()
        conn:close()
        for _ = 1, MANY do assert(raw:write_frame(raw:read_frame() .. "!")) end
      end)
      raw:close()
      for i = 1, MANY do
        conn:settimeout(i % 3 == 0 and LIMIT or nil)
        assert(conn:send_bytes("message " .. i))
        assert.equal(("message %d!"):format(i), conn:recv_bytes())
      end
      assert.equal(0, (child:wait()))
    end)

    it("ends when the peer leaves", function()
      local raw, conn, both = make()
      local _ <close> = both
      local child <close> = helpers.fork(function()
        conn:close()
        raw:read_frame()
        raw:write("\0\0\0\5he")
        raw:close()
      end)
      raw:close()
      assert(conn:send_bytes("go"))
      local message, err = conn:recv_bytes()
      assert.is_nil(message)
      assert.equal("OSError", err.name)
      assert.equal("EOFError", select(2, conn:recv_bytes()).name)
      assert.equal(0, (child:wait()))
    end)

    for _, time in ipairs {0, 0.001, 0.03, 0.15, 0.3} do
      it(("keeps to its timeout of %g s"):format(time), function()
        local raw, conn, both = make()
        local _ <close> = both
        conn:settimeout(time)
        local start = sys.monotonic()
        assert_late(conn:recv_bytes())
        assert.is_true(sys.monotonic() - start >= time)
        raw:write("\0\0\0\5he")
        start = sys.monotonic()
        assert_late(conn:recv_bytes())
        assert.is_true(sys.monotonic() - start >= time)
        raw:write("llo")
        assert.equal("hello", conn:recv_bytes())
      end)
    end

    it("is not shortened by signals", function()
      in_child(function()
        local _, conn, both = make()
        local _ <close> = both
        sys.on_alarm("restart")
        sys.alarm(0.001, 0.001)
        conn:settimeout(0.3)
        local start = sys.monotonic()
        assert_late(conn:recv_bytes())
        assert(sys.monotonic() - start >= 0.3)
        sys.alarm(0)
        assert(sys.alarms() > 1)
      end)
    end)

    it("keeps to a timeout that was another at first", function()
      local raw, conn, both = make()
      local _ <close> = both
      raw:write_frame("one")
      conn:settimeout(nil)
      assert.equal("one", conn:recv_bytes())
      for _, time in ipairs {0.2, 0.05, 0.4, 0} do
        conn:settimeout(time)
        local start = sys.monotonic()
        assert_late(conn:recv_bytes())
        assert.is_true(sys.monotonic() - start >= time)
      end
      conn:settimeout(math.huge)
      raw:write_frame("two")
      assert.equal("two", conn:recv_bytes())
    end)

    it("delivers what is held meanwhile", function()
      local raw, conn, both = make()
      local _ <close> = both
      local large = bytes(1 << 23)
      conn:settimeout(0)
      assert.is_true(conn:send_bytes(large))
      local child <close> = helpers.fork(function()
        conn:close()
        assert(is_same(large, raw:read_frame()))
        raw:write_frame("thanks")
      end)
      raw:close()
      conn:settimeout(nil)
      assert.equal("thanks", conn:recv_bytes())
      assert.equal(0, (child:wait()))
    end)

    it("goes on in a forked child, each with its own timeout", function()
      local raw, conn, both = make()
      local _ <close> = both
      conn:settimeout(0.2)
      assert_late(conn:recv_bytes())
      in_child(function()
        for _, time in ipairs {0.15, 0.3} do
          conn:settimeout(time)
          local start = sys.monotonic()
          assert_late(conn:recv_bytes())
          assert(sys.monotonic() - start >= time)
        end
        conn:settimeout(nil)
        raw:write_frame("to the child")
        assert(conn:recv_bytes() == "to the child")
      end)
      assert_late(conn:recv_bytes())
      raw:write_frame("to the parent")
      assert.equal("to the parent", conn:recv_bytes())
    end)

    it("leaves no trace on a descriptor that is given up", function()
      local raw, conn, both = make()
      local _ <close> = both
      conn:settimeout(0.2)
      raw:write("\0\0\0\5he")
      assert_late(conn:recv_bytes())
      if FAST and LIMITS then
        assert.is_true(sys.read_limit(conn:fileno()) > 0)
      end
      raw:write("llo")
      assert.equal("hello", conn:recv_bytes())
      local fd = assert(conn:detach())
      assert.equal(0, sys.read_limit(fd))
      sys.close(fd)
    end)
  end)
end

describe("A receive from what others may share", function()
  it("changes nothing about the socket", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(0.2)
    peer.raw:write("\0\0\0\5he")
    assert_late(peer.conn:recv_bytes())
    assert.equal(0, sys.read_limit(peer.conn:fileno()))
    local a, b, _ <close> = helpers.pair()
    a:settimeout(0.2)
    assert_late(a:recv_bytes())
    assert.equal(0, sys.read_limit(a:fileno()))
    assert.equal(0, sys.read_limit(b:fileno()))
  end)
end)

describe("The bytes that connections have read ahead", function()
  -- `count` peers of one listener, closed with the result.
  local function peers(count)
    local listener <close> = assert(connection.Listener())
    local list, all = {}, {}
    for i = 1, count do
      local raw = helpers.raw_client(listener)
      local conn = assert(listener:accept(LIMIT))
      conn:settimeout(LIMIT)
      list[i] = {raw = raw, conn = conn}
      table.move({raw, conn}, 1, 2, #all + 1, all)
    end
    return list, helpers.closing(table.unpack(all))
  end

  it("stay each connection's own", function()
    local list, all = peers(MANY)
    local _ <close> = all
    for i, peer in ipairs(list) do
      for j = 1, 3 do
        peer.raw:write_frame(("%d of %d"):format(j, i) .. (" "):rep(i * 37))
      end
    end
    for j = 1, 3 do
      for i, peer in ipairs(list) do
        local message = assert(peer.conn:recv_bytes())
        assert.is_true(is_same(("%d of %d"):format(j, i) .. (" "):rep(i * 37),
                               message))
      end
    end
    for _, peer in ipairs(list) do assert.is_false(peer.conn:poll()) end
  end)

  it("stay so in the middle of messages of all sizes", function()
    local list, all = peers(8)
    local _ <close> = all
    local sizes = {0, 1, 5000, 32760, 40000, 65536, 131072, 180000}
    for round = 0, 7 do
      local frames = {}
      for i = 1, #list do
        frames[i] = helpers.frame(bytes(sizes[(i + round) % 8 + 1], i))
      end
      for part = 0, 2 do -- in thirds, a byte of each first
        for i, peer in ipairs(list) do
          local third = #frames[i] // 3
          local last = part == 2 and #frames[i] or (part + 1) * third
          peer.raw:write(frames[i]:sub(part * third + 1, last))
          if part < 2 then
            peer.conn:settimeout(0)
            assert_late(peer.conn:recv_bytes())
          end
        end
      end
      for i, peer in ipairs(list) do
        peer.conn:settimeout(LIMIT)
        assert.is_true(is_same(frames[i]:sub(5), assert(peer.conn:recv_bytes())))
      end
    end
  end)

  local function of_one(conn) return conn:messages("bytes") end

  local function of_many(conn, other)
    local next_message, state, control, closing =
      connection.messages({conn, other}, "bytes")
    return function() return select(2, next_message()) end, state, control, closing
  end

  for name, messages in pairs {
    ["conn:messages"] = of_one, ["connection.messages"] = of_many,
  } do
    it("are given by " .. name .. " before the system is asked again", function()
      local conn, raw, _ <close> = helpers.ahead_peer()
      local other, far, _ <close> = helpers.pair()
      raw:write(helpers.frame("1") .. helpers.frame("2") .. helpers.frame("3"))
      local got = {}
      for message in messages(conn, other) do
        table.insert(got, message)
        if #got == 1 then
          put_nothing_at(conn:fileno())
          far:send_bytes("of another one")
        end
        if #got == 3 or message == "of another one" then break end
      end
      assert.same({"1", "2", "3"}, got)
    end)
  end

  it("survive that their neighbours are closed", function()
    local list, all = peers(3)
    local _ <close> = all
    for i, peer in ipairs(list) do
      peer.raw:write(helpers.frame("one " .. i) .. helpers.frame("two " .. i)
                     .. "\0\0")
      assert.equal("one " .. i, peer.conn:recv_bytes())
    end
    list[3].conn:close()
    assert.equal("two 1", list[1].conn:recv_bytes())
    list[1].conn:close()
    assert.equal("two 2", list[2].conn:recv_bytes())
    list[2].raw:write("\0\1!")
    assert.equal("!", list[2].conn:recv_bytes())
  end)

  it("survive finalizers that receive from others", function()
    local list, all = peers(2)
    local _ <close> = all
    local a, b = list[1], list[2]
    local got, total = {}, MANY // 4
    local inner = 0
    local function leave_garbage()
      setmetatable({}, {__gc = function()
        if inner < total then
          inner = inner + 1
          assert(b.conn:recv_bytes() == "inner " .. inner)
        end
      end})
    end
    for i = 1, total do
      b.raw:write_frame("inner " .. i)
      a.raw:write_frame(("outer %d "):format(i) .. ("."):rep(300))
    end
    for i = 1, total do
      leave_garbage()
      got[i] = assert(a.conn:recv_bytes())
      collectgarbage("step")
    end
    collectgarbage()
    for i = 1, total do
      assert.is_true(is_same(("outer %d "):format(i) .. ("."):rep(300), got[i]))
    end
    for i = inner + 1, total do
      assert.equal("inner " .. i, b.conn:recv_bytes())
    end
    assert.is_true(inner > 0, "no finalizer ran")
  end)

  it("are not copied to memory that a forked child shares", function()
    local raw, conn, both = meet()
    local _ <close> = both
    raw:write(helpers.frame("first") .. helpers.frame("second"))
    assert.equal("first", conn:recv_bytes())
    in_child(function() assert(conn:recv_bytes() == "second") end)
    assert.equal("second", conn:recv_bytes())
  end)
end)

describe("Large messages", function()
  local sizes = helpers.slow and {65536, 300000}
                or {32764, 65536, 131068, 131072, 300000, 1 << 20, 5 << 20}

  for kind, make in pairs {["an AF_UNIX socket"] = meet, ["TCP"] = meet_tcp} do
    -- The peer sends `messages`; `f` receives them.
    local function stream(messages, options, f)
      local raw, conn, both = make(options)
      local _ <close> = both
      local child <close> = helpers.fork(function()
        conn:close()
        for _, message in ipairs(messages) do raw:write_frame(message) end
        raw:close()
      end)
      raw:close()
      f(conn)
      assert.equal("EOFError", select(2, conn:recv_bytes()).name)
      assert.equal(0, (child:wait()))
    end

    local function mixed()
      local messages = {}
      for i, size in ipairs(sizes) do
        for j = 1, 3 do
          table.insert(messages, bytes(size, i * 10 + j))
          table.insert(messages, "small " .. j)
        end
        table.insert(messages, bytes(size, i))
        table.insert(messages, bytes(size + 1, i))
      end
      return messages
    end

    for _, readahead in ipairs {true, false} do
      local how = (" (readahead = %s, %s)"):format(readahead, kind)

      it("arrive among small ones" .. how, function()
        local messages = mixed()
        stream(messages, {readahead = readahead}, function(conn)
          for _, message in ipairs(messages) do
            assert.is_true(is_same(message, assert(conn:recv_bytes())))
          end
        end)
      end)

      it("arrive in a Buffer, and change nothing beside them" .. how, function()
        local messages = mixed()
        local buffer = connection.Buffer((6 << 20) + 10)
        stream(messages, {readahead = readahead}, function(conn)
          for i, message in ipairs(messages) do
            local first, n = i % 3 + 2, #message
            buffer:set(first - 1, "<")
            buffer:set(first + n, ">")
            assert.equal(n, conn:recv_bytes_into(buffer, first))
            assert.equal("<", buffer:sub(first - 1, first - 1))
            assert.is_true(is_same(message, buffer:sub(first, first + n - 1)))
            assert.equal(">", buffer:sub(first + n, first + n))
          end
        end)
      end)
    end

    it("are whole in BufferTooShort, over " .. kind, function()
      local message = bytes(300000)
      local buffer = connection.Buffer(200000)
      stream({bytes(100000), message, "next"}, nil, function(conn)
        assert.equal(100000, conn:recv_bytes_into(buffer))
        local _, err = conn:recv_bytes_into(buffer)
        assert.equal("BufferTooShort", err.name)
        assert.is_true(is_same(message, err.bytes))
        assert.equal("next", conn:recv_bytes())
      end)
    end)

    it("that time runs out on are kept, over " .. kind, function()
      local raw, conn, both = make()
      local _ <close> = both
      local message = bytes(200000)
      local frame = helpers.frame(message) .. helpers.frame("next")
      local buffer = connection.Buffer(#message)
      for _, cut in ipairs {2, 4, 5, 70000} do
        raw:write(frame:sub(1, cut))
        for _, time in ipairs {0, 0.15} do
          conn:settimeout(time)
          assert_late(conn:recv_bytes_into(buffer))
        end
        conn:settimeout(LIMIT)
        local child <close> = helpers.fork(function()
          conn:close()
          raw:write(frame:sub(cut + 1))
        end)
        assert.equal(#message, conn:recv_bytes_into(buffer))
        assert.is_true(is_same(message, tostring(buffer)))
        assert.equal("next", conn:recv_bytes())
        assert.equal(0, (child:wait()))
      end
    end)

    it("that end too early are OSError, over " .. kind, function()
      local frame = helpers.frame(bytes(200000)):sub(1, 100000)
      local raw, conn, both = make()
      local _ <close> = both
      local child <close> = helpers.fork(function()
        conn:close()
        raw:write(frame)
        raw:close()
      end)
      raw:close()
      local buffer = connection.Buffer(200000)
      local _, err = conn:recv_bytes_into(buffer)
      assert.equal("OSError", err.name)
      assert.equal("EOFError", select(2, conn:recv_bytes_into(buffer)).name)
      assert.equal(0, (child:wait()))
    end)

    it("over max_message are refused, over " .. kind, function()
      local raw, conn, both = make({max_message = 100000})
      local _ <close> = both
      raw:write("\0\2\0\0")
      local buffer = connection.Buffer(200000)
      local _, err = conn:recv_bytes_into(buffer)
      assert.equal("EMSGSIZE", err.code)
    end)
  end
end)

describe("Connection:setspin", function()
  it("keeps the processor busy meanwhile, as no other wait does", function()
    local a, _, _ <close> = helpers.pair()
    a:settimeout(0.2)
    local function processor_time(spin)
      a:setspin(spin)
      local before = os.clock()
      assert_late(a:recv_bytes())
      return os.clock() - before
    end
    processor_time(nil) -- what is done only once
    local idle = processor_time(nil)
    assert.is_true(processor_time(0.2) > 20 * idle)
  end)

  it("is misuse without an argument, or with a wrong one", function()
    local a, _, _ <close> = helpers.pair()
    for _, wrong in ipairs {"now", true, {}, 0 / 0} do
      assert.is_false(pcall(a.setspin, a, wrong))
    end
    assert.is_false(pcall(a.setspin, a))
    a:close()
    assert.is_false(pcall(a.setspin, a, 1))
  end)

  it("takes seconds, 0 and nil", function()
    local a, b, _ <close> = helpers.pair()
    for _, spin in ipairs {0.001, 0, -1, 5, math.huge, 1e300} do
      assert.is_true(a:setspin(spin))
      b:send_bytes("x")
      assert.equal("x", a:recv_bytes())
    end
    assert.is_true(a:setspin(nil))
  end)

  local ends = {
    ["an AF_UNIX socket"] = meet,
    ["TCP"] = meet_tcp,
    ["an adopted socket"] = function()
      local peer = helpers.raw_peer()
      return peer.raw, peer.conn, peer
    end,
  }
  for kind, make in pairs(ends) do
    for _, spin in ipairs {0.0001, 0.02, math.huge} do
      it(("of %g s finds what comes, over %s"):format(spin, kind), function()
        local raw, conn, both = make()
        local _ <close> = both
        conn:settimeout(nil)
        conn:setspin(spin)
        local child <close> = helpers.fork(function()
          conn:close()
          for _ = 1, 20 do raw:write_frame(raw:read_frame()) end
        end)
        raw:close()
        for i = 1, 10 do
          conn:send_bytes("spin " .. i)
          assert.equal("spin " .. i, conn:recv_bytes())
          conn:send_bytes("poll " .. i)
          assert.is_true(conn:poll(nil))
          assert.equal("poll " .. i, conn:recv_bytes())
        end
        assert.equal("EOFError", select(2, conn:recv_bytes()).name)
        assert.equal(0, (child:wait()))
      end)

      it(("of %g s keeps to the timeout, over %s"):format(spin, kind),
         function()
        local raw, conn, both = make()
        local _ <close> = both
        conn:setspin(spin)
        raw:write("\0\0\0\5he")
        for _, time in ipairs {0, 0.01, 0.1} do
          conn:settimeout(time)
          local start = sys.monotonic()
          assert_late(conn:recv_bytes())
          assert.is_true(sys.monotonic() - start >= time)
          start = sys.monotonic()
          assert.is_false(conn:poll(time))
          assert.is_true(sys.monotonic() - start >= time)
        end
        raw:write("llo")
        assert.equal("hello", conn:recv_bytes())
      end)
    end
  end
end)

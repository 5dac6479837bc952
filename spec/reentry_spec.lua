-- One connection in the hands of many: finalizers that run in the middle of a
-- call, and coroutines.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

local LIMIT = helpers.timeout

--- A raw peer of a listener, the accepted connection, and what closes both.
local function accepted_peer()
  local listener <close> = assert(connection.Listener())
  local raw = helpers.raw_client(listener)
  local conn = assert(listener:accept(LIMIT))
  conn:settimeout(LIMIT)
  return raw, conn, helpers.closing(raw, conn)
end

local function adopted_peer()
  local peer = helpers.raw_peer()
  peer.conn:settimeout(LIMIT)
  return peer.raw, peer.conn, peer
end

describe("A finalizer", function()
  local mode

  before_each(function() mode = collectgarbage("generational") end)
  after_each(function()
    collectgarbage("restart")
    collectgarbage(mode)
  end)

  -- Calls `receive` such that `finalizer` runs in the middle of it, at the
  -- first thing that it allocates; the results.
  local function with_finalizer(finalizer, receive)
    local inside, ran_inside = false, false
    local function leave_garbage()
      setmetatable({}, {__gc = function()
        ran_inside = inside
        finalizer()
      end})
    end
    collectgarbage()
    collectgarbage("stop")
    leave_garbage()
    inside = true
    collectgarbage("restart")
    local results = table.pack(receive())
    inside = false
    assert.is_true(ran_inside, "it did not run in the call")
    return table.unpack(results, 1, results.n)
  end

  local one, two = ("1"):rep(5000), ("2"):rep(5000)

  for kind, make in pairs {
    ["an adopted socket"] = adopted_peer,
    ["an accepted connection"] = accepted_peer,
  } do
    it("that closes the connection loses no message, on " .. kind, function()
      local raw, conn, both = make()
      local _ <close> = both
      raw:write(helpers.frame(one) .. helpers.frame(two))
      local got = with_finalizer(function() conn:close() end,
                                 function() return conn:recv_bytes() end)
      assert.equal(one, got)
      assert.is_true(conn.closed)
    end)

    it("that receives gets another message than the call, on " .. kind,
       function()
      local raw, conn, both = make()
      local _ <close> = both
      raw:write(helpers.frame(one) .. helpers.frame(two))
      local inner
      local got = with_finalizer(function() inner = conn:recv_bytes() end,
                                 function() return conn:recv_bytes() end)
      assert.is_true(inner == one and got == two or
                     inner == two and got == one)
      assert.is_false(conn:poll())
    end)

    it("that receives and then closes gets it alone, on " .. kind, function()
      local raw, conn, both = make()
      local _ <close> = both
      raw:write_frame(one)
      local inner
      local called, got = pcall(with_finalizer, function()
        inner = conn:recv_bytes()
        conn:close()
      end, function() return conn:recv_bytes() end)
      assert.equal(one, inner)
      assert.is_false(called and got == one, "the message came twice")
    end)

    it("that receives gets the next one during BufferTooShort, on " .. kind,
       function()
      local raw, conn, both = make()
      local _ <close> = both
      raw:write(helpers.frame(one) .. helpers.frame(two))
      local buffer, inner = connection.Buffer(10), nil
      local _, err = with_finalizer(
        function() inner = conn:recv_bytes() end,
        function() return conn:recv_bytes_into(buffer) end)
      assert.equal("BufferTooShort", err.name)
      assert.is_true(inner == one and err.bytes == two or
                     inner == two and err.bytes == one)
      assert.is_false(conn:poll())
    end)
  end

  it("that refuses the message ends a connection which only reads, not the call",
     function()
    local reader, writer = assert(connection.Pipe(false))
    local _ <close> = helpers.closing(reader, writer)
    writer:send_bytes(one)
    local refusal
    local got = with_finalizer(function()
      refusal = select(2, reader:recv_bytes(1))
    end, function() return reader:recv_bytes() end)
    assert.equal("EMSGSIZE", refusal.code)
    assert.equal(one, got)
    assert.is_true(reader.closed)
  end)

  it("loses and doubles nothing among thousands of messages", function()
    local raw, conn, both = accepted_peer()
    local _ <close> = both
    local total, seen, count = helpers.slow and 200 or 5000, {}, 0
    local function note(message)
      if message then
        local n = tonumber(message:match("%d+"))
        assert(not seen[n], "a message came twice")
        seen[n], count = true, count + 1
      end
    end
    local function leave_garbage()
      setmetatable({}, {__gc = function()
        conn:settimeout(0)
        note(conn:recv_bytes())
        conn:settimeout(LIMIT)
      end})
    end
    local child <close> = helpers.fork(function()
      conn:close()
      for i = 1, total do raw:write_frame(("%d "):format(i) .. one) end
      raw:close()
    end)
    raw:close()
    repeat
      leave_garbage()
      local message, err = conn:recv_bytes()
      note(message)
      assert(message or err.name == "EOFError" or err.name == "TimeoutError",
             err)
    until err and err.name == "EOFError"
    assert.equal(total, count)
    assert.equal(0, (child:wait()))
  end)
end)

describe("Two coroutines", function()
  it("may use one connection", function()
    local peer <close> = helpers.raw_peer()
    local conn, got = peer.conn, {}
    conn:settimeout(0)
    local function reader(name)
      return coroutine.wrap(function()
        while true do
          local message, err = conn:recv_bytes()
          if message then
            got[#got + 1] = name .. message
          elseif err.name == "EOFError" then
            return true
          end
          coroutine.yield()
        end
      end)
    end
    local a, b = reader("a"), reader("b")
    peer.raw:write("\0\0\0\3on")
    a()
    b()
    peer.raw:write("e" .. helpers.frame("two") .. "\0\0")
    b() -- goes on with what the other began
    a()
    peer.raw:write("\0\2no")
    b()
    assert.same({"bone", "atwo", "bno"}, got)
    peer.raw:close()
    assert.is_true(a())
    assert.is_true(b())
  end)

  it("send one message after the other", function()
    local peer <close> = helpers.raw_peer()
    local conn, size = peer.conn, 1 << 20
    local function sender(byte)
      return coroutine.wrap(function()
        while not conn:send_bytes(byte:rep(size)) do coroutine.yield(false) end
        return true
      end)
    end
    conn:settimeout(0)
    local a, b = sender("a"), sender("b")
    assert.is_true(a())
    assert.is_false(b())
    local child <close> = helpers.fork(function()
      conn:close()
      assert(peer.raw:read_frame() == ("a"):rep(size))
      assert(peer.raw:read_frame() == ("b"):rep(size))
    end)
    conn:settimeout(LIMIT)
    assert.is_true(b())
    assert.equal(0, (child:wait()))
  end)

  it("are not in each other's way when one of them dies in a call",
     function()
    local peer <close> = helpers.raw_peer()
    local conn = peer.conn
    conn:settimeout(LIMIT)
    local dying = coroutine.create(function() conn:recv_bytes(-1) end)
    assert.is_false((coroutine.resume(dying)))
    peer.raw:write_frame("hello")
    local living = coroutine.wrap(function() return conn:recv_bytes() end)
    assert.equal("hello", living())
  end)
end)

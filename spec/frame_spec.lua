-- Peers that lie or stall at the level of frames: lengths that cannot be, sizes
-- that never come, messages in any number of pieces, ends in any place.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local MIB = 1 << 20

local assert_fails = helpers.assert_fails

local function assert_late(...)
  return assert_fails("TimeoutError", ...)
end

--- The address space of this process in bytes: what was asked for counts, too,
--- and not only what was used.
local function memory()
  local status = io.open("/proc/self/status")
  if not status then return sys.rss() end
  local kib = status:read("a"):match("VmSize:%s*(%d+)")
  status:close()
  return kib * 1024
end

--- A header of eight bytes.
local function long(size)
  return "\xff\xff\xff\xff" .. string.pack(">i8", size)
end

local function accepted_peer(options)
  local listener <close> = assert(connection.Listener(nil, options))
  local raw = helpers.raw_client(listener)
  local conn = assert(listener:accept(LIMIT))
  local peer = helpers.closing(raw, conn)
  peer.raw, peer.conn = raw, conn
  return peer
end

-- Local ones: what the peer writes is there at once.
local kinds = {
  ["an adopted socket"] = function() return helpers.raw_peer() end,
  ["a pipe"] = function() return helpers.raw_peer("reader") end,
  ["an accepted connection"] = accepted_peer,
}

local function each(sentence, test)
  for kind, make in pairs(kinds) do
    it(sentence .. ", on " .. kind, function()
      local peer <close> = make()
      test(peer.raw, peer.conn)
    end)
  end
end

--- Whatever is called now and later fails, and nothing throws.
local function assert_ruined(conn)
  local could_write = conn.writable
  assert_fails("OSError", conn:recv_bytes())
  for _ = 1, 2 do
    assert_fails("OSError", conn:recv_bytes())
    assert_fails("OSError", conn:recv_bytes(10))
    assert_fails("OSError", conn:recv_bytes_into(connection.Buffer(10)))
    assert.is_true(conn:poll())
    assert.same({conn}, connection.wait({conn}, LIMIT))
  end
  assert.equal(not could_write, conn.closed)
  if could_write then
    assert.is_false(conn.readable)
    assert.is_true(conn:send_bytes("still here"))
  end
end

describe("A length", function()
  for name, header in pairs {
    ["-2"] = "\xff\xff\xff\xfe", ["-3"] = "\xff\xff\xff\xfd",
    ["-256"] = "\xff\xff\xff\x00", ["-65536"] = "\xff\xff\x00\x00",
    ["the least"] = "\x80\x00\x00\x00", ["one more than that"] =
    "\x80\x00\x00\x01", ["that of a text"] = "\xe4\xbd\xa0\xe5",
  } do
    each("that is negative is a bad message: " .. name, function(raw, conn)
      raw:write(header .. helpers.frame("next"))
      conn:settimeout(LIMIT)
      assert_ruined(conn)
    end)
  end

  each("that is negative is bad before any byte of payload comes",
       function(raw, conn)
    raw:write("\xff\xff\xff\xfe")
    conn:settimeout(0)
    local err = assert_fails("OSError", conn:recv_bytes())
    assert.matches("bad message length", err.message)
    assert.equal("EMSGSIZE", err.code)
  end)

  for _, message in ipairs {"", "x", "hello", ("y"):rep(70000)} do
    each(("of eight bytes may be small: %d"):format(#message),
         function(raw, conn)
      local child <close> = helpers.fork(function()
        conn:close()
        raw:write(long(#message) .. message .. helpers.frame("next"))
      end)
      conn:settimeout(LIMIT)
      assert.is_true(conn:poll(LIMIT))
      assert.is_true(conn:recv_bytes() == message)
      assert.equal("next", conn:recv_bytes())
      assert.equal(0, (child:wait()))
    end)
  end

  each("of eight bytes counts against the limit", function(raw, conn)
    raw:write(long(6) .. "123456")
    conn:settimeout(LIMIT)
    assert_fails("OSError", conn:recv_bytes(5))
    assert_ruined(conn)
  end)

  for name, header in pairs {
    ["2^31 - 1"] = "\x7f\xff\xff\xff", ["2^31"] = long(1 << 31),
    ["2^32"] = long(1 << 32), ["2^40"] = long(1 << 40),
    ["2^62"] = long(1 << 62), ["2^63 - 1"] = long(math.maxinteger),
    ["2^63 - 13"] = long(math.maxinteger - 12),
  } do
    each("that never comes costs no memory: " .. name, function(raw, conn)
      local before = memory()
      conn:settimeout(0)
      raw:write(header .. "something")
      for _ = 1, 100 do
        assert_late(conn:recv_bytes())
        assert.is_false(conn:poll())
      end
      assert.is_true(memory() - before < 16 * MIB)
      raw:close()
      conn:settimeout(LIMIT)
      assert_fails("OSError", conn:recv_bytes())
      assert_fails("EOFError", conn:recv_bytes())
    end)

    each("over the limit is refused at once: " .. name, function(raw, conn)
      raw:write(header)
      conn:settimeout(0)
      assert_fails("OSError", conn:recv_bytes(MIB))
      assert_ruined(conn)
    end)
  end

  for name, header in pairs {
    ["2^63"] = long(math.mininteger), ["2^64 - 1"] = long(-1),
    ["2^64 - 12"] = long(-12),
  } do
    each("that no memory can have is a bad message: " .. name,
         function(raw, conn)
      local before = memory()
      raw:write(header .. "something")
      conn:settimeout(0)
      assert_ruined(conn)
      assert.is_true(memory() - before < 16 * MIB)
    end)
  end

  each("gets memory as its bytes come", function(raw, conn)
    local size = (helpers.slow and 2 or 8) * MIB
    local before = memory()
    raw:write(long(1 << 40))
    conn:settimeout(0)
    for _ = 1, size // 32768 do -- each fits into a pipe
      raw:write(("x"):rep(32768))
      assert_late(conn:recv_bytes())
    end
    assert.is_true(memory() - before < 8 * size)
    raw:close()
    assert_fails("OSError", conn:recv_bytes())
  end)

  it("over max_message ruins an accepted connection, not the listener",
     function()
    local listener <close> = assert(connection.Listener(nil, {
      max_message = 10,
    }))
    for _ = 1, 3 do
      local raw <close> = helpers.raw_client(listener)
      local conn <close> = assert(listener:accept(LIMIT))
      raw:write(helpers.frame("0123456789") .. helpers.frame("0123456789x"))
      assert.equal("0123456789", conn:recv_bytes())
      assert_ruined(conn)
    end
  end)

  it("over a Client's max_message ruins that", function()
    local listener <close> = helpers.raw_listener()
    local client <close> = assert(connection.Client(listener.address, {
      max_message = 10,
    }))
    local raw <close> = listener:accept()
    raw:write(helpers.frame("0123456789") .. helpers.frame("0123456789x"))
    assert.equal("0123456789", client:recv_bytes(11))
    assert_fails("OSError", client:recv_bytes(11))
    assert_ruined(client)
  end)

  it("is not read ahead of its turn", function()
    local peer <close> = accepted_peer()
    peer.raw:write(helpers.frame("good") .. "\xff\xff\xff\xfe")
    assert.equal("good", peer.conn:recv_bytes())
    assert_ruined(peer.conn)
  end)

  it("ends the loop over messages with an error", function()
    local peer <close> = accepted_peer()
    peer.raw:write(helpers.frame("good") .. "\xff\xff\xff\xfe")
    local got = {}
    local called, err = pcall(function()
      for message in peer.conn:messages("bytes") do got[#got + 1] = message end
    end)
    assert.is_false(called)
    assert.equal("OSError", err.name)
    assert.same({"good"}, got)
  end)
end)

describe("A frame", function()
  local samples = {
    ["of five bytes"] = helpers.frame("hello"),
    ["of no bytes"] = helpers.frame(""),
    ["with eight bytes of length"] = long(5) .. "hello",
    ["with eight bytes of length, and no others"] = long(0),
  }

  for name, frame in pairs(samples) do
    local message = frame:match("hello") or ""

    each(name .. " is taken byte by byte", function(raw, conn)
      conn:settimeout(0)
      for i = 1, #frame - 1 do
        raw:write(frame:sub(i, i))
        assert_late(conn:recv_bytes())
        assert.is_false(conn:poll())
        assert.is_false(conn:dirty())
        assert.same({}, connection.wait({conn}, 0))
      end
      raw:write(frame:sub(-1))
      assert.is_true(conn:poll())
      assert.same({conn}, connection.wait({conn}, 0))
      assert.equal(message, conn:recv_bytes())
      assert_late(conn:recv_bytes())
    end)

    each(name .. " is taken in any two pieces", function(raw, conn)
      conn:settimeout(0)
      for i = 1, #frame - 1 do
        raw:write(frame:sub(1, i))
        assert_late(conn:recv_bytes())
        raw:write(frame:sub(i + 1) .. helpers.frame("between"))
        assert.equal(message, conn:recv_bytes())
        assert.equal("between", conn:recv_bytes())
      end
    end)

    for i = 1, #frame - 1 do
      each(("%s is cut off after %d"):format(name, i), function(raw, conn)
        raw:write(helpers.frame("before") .. frame:sub(1, i))
        raw:close()
        conn:settimeout(LIMIT)
        assert.equal("before", conn:recv_bytes())
        local err = assert_fails("OSError", conn:recv_bytes())
        assert.matches("got end of file during message", err.message)
        for _ = 1, 3 do
          assert_fails("EOFError", conn:recv_bytes())
          assert_fails("EOFError", conn:recv_bytes_into(connection.Buffer(1)))
        end
      end)
    end

    it(name .. " is shown by poll once it is whole, on an accepted connection",
       function()
      local peer <close> = accepted_peer()
      local raw, conn = peer.raw, peer.conn
      for i = 1, #frame - 1 do
        raw:write(frame:sub(i, i))
        assert.is_false(conn:poll())
        assert.same({}, connection.wait({conn}, 0))
      end
      raw:write(frame:sub(-1))
      assert.is_true(conn:poll())
      assert.same({conn}, connection.wait({conn}, 0))
      conn:settimeout(0)
      assert.equal(message, conn:recv_bytes())
    end)
  end

  each("at the end of file is whole", function(raw, conn)
    raw:write(helpers.frame("last") .. helpers.frame(""))
    raw:close()
    conn:settimeout(LIMIT)
    assert.equal("last", conn:recv_bytes())
    assert.equal("", conn:recv_bytes())
    assert_fails("EOFError", conn:recv_bytes())
  end)

  each("is not there at an end of file without any", function(raw, conn)
    raw:close()
    conn:settimeout(LIMIT)
    assert_fails("EOFError", conn:recv_bytes())
    assert_fails("EOFError", conn:recv_bytes_into(connection.Buffer(1)))
    assert_fails("EOFError", conn:recv_bytes(0))
  end)

  it("that a TCP peer resets is ConnectionResetError", function()
    local listener <close> = assert(connection.Listener({"127.0.0.1", 0}))
    local raw <close> = helpers.raw_client(listener)
    local conn <close> = assert(listener:accept(LIMIT))
    raw:write("\0\0\0\9half")
    conn:settimeout(0)
    assert_late(conn:recv_bytes())
    raw:reset()
    conn:settimeout(LIMIT)
    assert_fails("ConnectionResetError", conn:recv_bytes())
    assert.is_nil((conn:recv_bytes()))
  end)

  it("half of which came does not make its reader ready for ever", function()
    local peer <close> = accepted_peer()
    peer.raw:write("\0\0\0\9half")
    local start = sys.monotonic()
    assert.is_false(peer.conn:poll(0.05))
    assert.same({}, connection.wait({peer.conn}, 0.05))
    assert.is_true(sys.monotonic() - start >= 0.1)
  end)

  it("that stalls keeps no one else waiting", function()
    local stalled <close> = accepted_peer()
    local other <close> = accepted_peer()
    stalled.raw:write("\0\0\0\9half")
    other.raw:write_frame("hello")
    assert.same({other.conn},
                connection.wait({stalled.conn, other.conn}, LIMIT))
    stalled.raw:write("-full")
    assert.same({stalled.conn, other.conn},
                connection.wait({stalled.conn, other.conn}, LIMIT))
  end)
end)

describe("Messages without bytes", function()
  each("are as many as were sent", function(raw, conn)
    local count = 1000
    raw:write(helpers.frame(""):rep(count))
    raw:close()
    conn:settimeout(LIMIT)
    for _ = 1, count do
      assert.is_true(conn:poll())
      assert.equal("", conn:recv_bytes())
    end
    assert_fails("EOFError", conn:recv_bytes())
  end)
end)

describe("Many small messages in one packet", function()
  local count = helpers.slow and 500 or 5000
  local frames = {}
  for i = 1, count do frames[i] = helpers.frame(("%d"):format(i)) end
  local packet = table.concat(frames)

  each("stay apart", function(raw, conn)
    local child <close> = helpers.fork(function()
      conn:close()
      raw:write(packet)
    end)
    conn:settimeout(LIMIT)
    for i = 1, count do assert(conn:recv_bytes() == tostring(i)) end
    raw:close()
    assert.equal(0, (child:wait()))
    assert_fails("EOFError", conn:recv_bytes())
  end)

  each("stay apart for every way to receive", function(raw, conn)
    local child <close> = helpers.fork(function()
      conn:close()
      raw:write(packet)
    end)
    local buffer, short = connection.Buffer(10), connection.Buffer(0)
    conn:settimeout(LIMIT)
    for i = 1, count do
      local expected = tostring(i)
      if i % 4 == 0 then
        assert(conn:recv_bytes() == expected)
      elseif i % 4 == 1 then
        assert(conn:recv_bytes_into(buffer) == #expected)
        assert(buffer:sub(1, #expected) == expected)
      elseif i % 4 == 2 then
        assert(conn:recv_bytes(#expected) == expected)
      else
        local value, err = conn:recv_bytes_into(short)
        assert(value == nil and err.bytes == expected)
      end
    end
    assert.equal(0, (child:wait()))
    assert.is_false(conn:poll())
  end)

  it("are read ahead, and each of them makes the connection ready",
     function()
    local peer <close> = accepted_peer()
    local conn, few = peer.conn, 100
    peer.raw:write(table.concat(frames, "", 1, few))
    assert.equal("1", conn:recv_bytes())
    assert.is_false(sys.poll(conn:fileno(), "r", 0)) -- the system has none
    for i = 2, few do
      assert.is_true(conn:dirty())
      assert.equal(0, conn:timeout())
      assert.same({conn}, connection.wait({conn}))
      assert.is_true(conn:poll())
      assert.equal(tostring(i), conn:recv_bytes())
    end
    assert.is_false(conn:dirty())
    assert.is_false(conn:poll())
  end)

  it("leave those for the next reader that nobody asked for", function()
    for _, kind in ipairs {"socket", "reader"} do
      local peer <close> = helpers.raw_peer(kind)
      local other <close> = helpers.raw(assert(sys.dup(peer.conn:fileno())))
      peer.raw:write(table.concat(frames, "", 1, 10))
      for i = 1, 10, 2 do
        assert.is_true(peer.conn:poll())
        assert.equal(tostring(i), peer.conn:recv_bytes())
        assert.equal(tostring(i + 1), other:read_frame())
      end
    end
  end)

  -- A sanitizer keeps what was freed.
  local sanitized = (os.getenv("LD_PRELOAD") or ""):find("asan", 1, true)
  local unless_sanitized = sanitized and pending or it

  unless_sanitized("cost an idle connection no memory afterwards", function()
    local peer <close> = accepted_peer()
    local rounds = helpers.slow and 2 or 20
    local before = memory()
    local child <close> = helpers.fork(function()
      peer.conn:close()
      for _ = 1, rounds do peer.raw:write_frame(("x"):rep(MIB)) end
    end)
    for _ = 1, rounds do
      assert.is_true(#peer.conn:recv_bytes() == MIB)
      collectgarbage()
    end
    collectgarbage()
    assert.equal(0, (child:wait()))
    assert.is_true(memory() - before < 16 * MIB)
  end)
end)

describe("A peer that speaks another protocol", function()
  for name, bytes in pairs {
    HTTP = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    SSH = "SSH-2.0-OpenSSH_9.6\r\n",
    TLS = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    zeros = ("\0"):rep(3),
  } do
    each("cannot do more than fail: " .. name, function(raw, conn)
      raw:write(bytes)
      raw:close()
      conn:settimeout(LIMIT)
      assert_fails("OSError", conn:recv_bytes())
    end)
  end

  it("is refused at the first header where there is a limit", function()
    local peer <close> = accepted_peer({max_message = MIB})
    peer.raw:write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    peer.conn:settimeout(0)
    assert_fails("OSError", peer.conn:recv_bytes())
    assert_ruined(peer.conn)
  end)

  it("gets nothing wrong with random bytes but errors", function()
    local seed = 20240229
    local function random(n) -- the same ones in every run
      seed = (seed * 1103515245 + 12345) % (1 << 31)
      return (seed >> 8) % n
    end
    for _ = 1, helpers.slow and 30 or 300 do
      local peer <close> = random(2) == 0 and helpers.raw_peer()
                           or accepted_peer({max_message = 4096})
      local conn, bytes = peer.conn, {}
      for i = 1, random(200) do
        bytes[i] = string.char(random(8) > 0 and random(4) or random(256))
      end
      peer.raw:write(table.concat(bytes))
      peer.raw:close()
      conn:settimeout(LIMIT)
      local total = 0
      local message, err = conn:recv_bytes()
      while message do
        total = total + 4 + #message
        message, err = conn:recv_bytes()
      end
      assert.is_true(total <= #bytes)
      assert.is_true(err.name == "EOFError" or err.name == "OSError" or
                     err.name == "ConnectionResetError", tostring(err))
      assert.equal(total == #bytes, err.name == "EOFError")
    end
  end)
end)

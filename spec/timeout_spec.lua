-- Timeouts and whole messages: a message goes out whole or not at all, and
-- comes in whole however often a call runs out of time in the middle of it.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local SHORT = 0.05
local ENOUGH = helpers.timeout / 10 -- where waiting in vain is a failure

-- Far more than any buffer of the system holds; not the same byte all over.
local BIG_SIZE = helpers.slow and 1 << 21 or 1 << 24
local BIG = ("0123456789abcde"):rep(BIG_SIZE // 15 + 1):sub(1, BIG_SIZE)

local assert_fails = helpers.assert_fails

local GONE = {BrokenPipeError = true, ConnectionResetError = true}

--- The peer has left; which of the two names that gets is the kernel's choice.
local function assert_gone(value, err)
  assert.is_nil(value)
  assert.is_true(GONE[err.name], tostring(err))
end

local function assert_late(...)
  return assert_fails("TimeoutError", ...)
end

local function assert_misuse(f, ...)
  local called, message = pcall(f)
  assert.is_false(called, "nothing was thrown")
  for _, part in ipairs {...} do
    assert.is_truthy(tostring(message):find(part, 1, true), message)
  end
end

--- Writes to the connection's own descriptor until nothing more goes; the
--- count of the bytes.
local function fill(conn)
  local total = 0
  for _, size in ipairs {1 << 16, 1 << 10, 1} do
    local chunk = ("."):rep(size)
    local count = sys.try_write(conn:fileno(), chunk)
    while count do
      total = total + count
      count = sys.try_write(conn:fileno(), chunk)
    end
  end
  return total
end

--- Reads while `conn` flushes; everything that came until that was done.
local function deliver(raw, conn)
  local parts = {}
  while true do
    local done, err = conn:flush(0)
    if done then break end
    assert.equal("TimeoutError", err.name, tostring(err))
    assert.is_true(raw:poll("r", LIMIT))
    parts[#parts + 1] = assert(raw:read(1 << 20))
  end
  while raw:poll("r", 0) do parts[#parts + 1] = assert(raw:read(1 << 20)) end
  return table.concat(parts)
end

--- A process that has `raw` to itself: it runs `f(raw)`.
local function process_at(peer, f)
  local child = helpers.fork(function()
    peer.conn:close()
    f(peer.raw)
    peer.raw:close()
  end)
  peer.raw:close()
  return child
end

-- Not assert.equal, whose message would be of that size.
local function is_same(expected, got)
  return #expected == #got and expected == got
end

-- The system lets TCP's buffers grow to more than a small BIG, unless it is told.
local TCP_BUFFER = 1 << 16

local function tcp_peer()
  local listener <close> = assert(connection.Listener({"127.0.0.1", 0}))
  local raw = helpers.raw_client(listener)
  local conn = assert(listener:accept(LIMIT))
  assert(raw:set_buffers(TCP_BUFFER))
  assert(sys.set_buffers(conn:fileno(), TCP_BUFFER))
  local peer = helpers.closing(raw, conn)
  peer.raw, peer.conn = raw, conn
  return peer
end

--- Every way out: a connection that writes, and the raw other end.
local writers = {
  ["a socket"] = function() return helpers.raw_peer() end,
  ["a pipe"] = function() return helpers.raw_peer("writer") end,
  ["a TCP connection"] = tcp_peer,
}

--- Every way in.
local readers = {
  ["a socket"] = function() return helpers.raw_peer() end,
  ["a pipe"] = function() return helpers.raw_peer("reader") end,
  ["a TCP connection"] = tcp_peer,
}

local function each(kinds, sentence, test)
  for kind, make in pairs(kinds) do
    it(sentence .. ", over " .. kind, function()
      local peer <close> = make()
      test(peer.raw, peer.conn, peer)
    end)
  end
end

-- Those where what one end writes is at the other at once.
local instant = {
  ["a socket"] = writers["a socket"], ["a pipe"] = writers["a pipe"],
}

describe("A send without time", function()
  each(instant, "gives TimeoutError where not one byte has left",
       function(raw, conn)
    local filler = fill(conn)
    conn:settimeout(0)
    for _, message in ipairs {"never sent", "", BIG} do
      assert_late(conn:send_bytes(message))
    end
    assert.equal(("."):rep(filler), raw:read_exactly(filler))
    assert.is_false(raw:poll("r", 0))
    assert.is_true(conn:flush()) -- nothing is held
    assert.is_true(conn:send_bytes("sent"))
    assert.equal("sent", raw:read_frame())
  end)

  each(writers, "holds the rest of a message that has left in part",
       function(raw, conn)
    conn:settimeout(0)
    assert.is_true(conn:send_bytes(BIG))
    assert_late(conn:send_bytes("next"))
    assert_late(conn:send_bytes("next"))
    assert_late(conn:flush())
    local got = deliver(raw, conn)
    got = got .. assert(raw:read_exactly(4 + #BIG - #got))
    assert.is_true(is_same(helpers.frame(BIG), got))
    assert.is_false(raw:poll("r", 0)) -- "next" was refused, not kept
  end)

  each(instant, "keeps the order, byte for byte", function(raw, conn)
    local expected, parts = {}, {}
    conn:settimeout(0)
    for i = 1, 200 do
      local message = string.char(i):rep(i * (helpers.slow and 100 or 1000))
      while not conn:send_bytes(message) do
        parts[#parts + 1] = assert(raw:read(30000))
      end
      expected[i] = helpers.frame(message)
    end
    parts[#parts + 1] = deliver(raw, conn)
    assert.is_true(is_same(table.concat(expected), table.concat(parts)))
  end)

  each(writers, "is the same with a timeout that is below zero",
       function(raw, conn)
    conn:settimeout(-1)
    assert.is_true(conn:send_bytes(BIG))
    assert_late(conn:send_bytes("next"))
    assert.is_true(raw:poll("r", LIMIT))
  end)

  each(writers, "takes no string that was collected", function(raw, conn)
    conn:settimeout(0)
    local size = 1 << 22
    local function send(byte)
      return conn:send_bytes(string.char(byte):rep(size))
    end
    assert.is_true(send(65))
    collectgarbage()
    collectgarbage()
    local others = {}
    for i = 1, 4 do others[i] = string.char(65 + i):rep(size) end
    local got = deliver(raw, conn)
    got = got .. assert(raw:read_exactly(4 + size - #got))
    assert.is_true(is_same(helpers.frame(("A"):rep(size)), got))
    assert.equal(4, #others)
  end)

  it("holds the string no longer than it must", function()
    local peer <close> = helpers.raw_peer()
    collectgarbage()
    local before = collectgarbage("count")
    peer.conn:settimeout(0)
    assert(peer.conn:send_bytes(("x"):rep(1 << 22)))
    deliver(peer.raw, peer.conn)
    collectgarbage()
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 1024)
  end)
end)

describe("A send with a timeout", function()
  each(writers, "takes about that long, and then holds the rest",
       function(_, conn)
    conn:settimeout(SHORT)
    local start = sys.monotonic()
    assert.is_true(conn:send_bytes(BIG))
    local time = sys.monotonic() - start
    assert.is_true(time >= SHORT and time < LIMIT)
    start = sys.monotonic()
    assert_late(conn:send_bytes("next"))
    time = sys.monotonic() - start
    assert.is_true(time >= SHORT and time < LIMIT)
  end)

  each(writers, "delivers what is held first", function(_, conn, peer)
    conn:settimeout(0)
    assert.is_true(conn:send_bytes(BIG))
    assert_late(conn:send_bytes("refused"))
    local child <close> = process_at(peer, function(raw)
      assert(is_same(BIG, raw:read_frame()))
      assert(raw:read_frame() == "next")
      assert(raw:read_frame() == nil)
    end)
    conn:settimeout(LIMIT)
    assert.is_true(conn:send_bytes("next"))
    assert.is_true(conn:close())
    assert.equal(0, (child:wait()))
  end)

  each(writers, "and no limit sends what no buffer holds",
       function(_, conn, peer)
    local child <close> = process_at(peer, function(raw)
      for _ = 1, 2 do assert(is_same(BIG, raw:read_frame())) end
    end)
    assert.is_true(conn:send_bytes(BIG))
    assert.is_true(conn:send_bytes(BIG))
    assert.is_true(conn:close())
    assert.equal(0, (child:wait()))
  end)

  each(writers, "fails where the peer leaves in the middle",
       function(_, conn, peer)
    conn:settimeout(LIMIT)
    local child <close> = process_at(peer, function(raw) raw:read(100) end)
    local err = select(2, conn:send_bytes(BIG))
    assert.is_truthy(err and (err.name == "BrokenPipeError" or
                              err.name == "ConnectionResetError"), err)
    assert_gone(conn:send_bytes("next"))
    assert.equal(0, (child:wait()))
  end)

  each(writers, "tells later that what was held could not go",
       function(raw, conn)
    conn:settimeout(0)
    assert.is_true(conn:send_bytes(BIG))
    raw:close()
    conn:settimeout(LIMIT)
    local err = select(2, conn:flush())
    assert.is_truthy(err and (err.name == "BrokenPipeError" or
                              err.name == "ConnectionResetError"), err)
    assert_gone(conn:send_bytes("next"))
  end)
end)

describe("Connection:flush", function()
  it("has nothing to do where nothing is held", function()
    for _, make in pairs(writers) do
      local peer <close> = make()
      assert.is_true(peer.conn:flush())
      assert.is_true(peer.conn:flush(0))
      assert.is_true(peer.conn:flush(nil))
    end
    local reading <close> = helpers.raw_peer("reader")
    assert.is_true(reading.conn:flush())
  end)

  each(writers, "takes its own timeout before the connection's",
       function(_, conn)
    conn:settimeout(0)
    assert(conn:send_bytes(BIG))
    conn:settimeout(2 * LIMIT)
    local start = sys.monotonic()
    assert_late(conn:flush(0))
    assert_late(conn:flush(-1))
    assert_late(conn:flush(SHORT))
    local time = sys.monotonic() - start
    assert.is_true(time >= SHORT and time < LIMIT)
  end)

  each(writers, "takes the connection's where it is called without",
       function(_, conn)
    conn:settimeout(0)
    assert(conn:send_bytes(BIG))
    conn:settimeout(SHORT)
    local start = sys.monotonic()
    assert_late(conn:flush())
    local time = sys.monotonic() - start
    assert.is_true(time >= SHORT and time < LIMIT)
  end)

  each(writers, "waits for ever for nil", function(_, conn, peer)
    conn:settimeout(0)
    assert(conn:send_bytes(BIG))
    local child <close> = process_at(peer, function(raw)
      assert(is_same(BIG, raw:read_frame()))
    end)
    assert.is_true(conn:flush(nil))
    assert.equal(0, (child:wait()))
  end)

  it("throws for what is no number", function()
    local peer <close> = helpers.raw_peer()
    for _, value in ipairs {"1", true, {}, 0 / 0} do
      assert_misuse(function() peer.conn:flush(value) end, "bad argument #1",
                    "flush", "seconds")
    end
  end)
end)

describe("A message that is held", function()
  -- The peer answers once it has the whole of what it was asked.
  local function answering(peer)
    return process_at(peer, function(raw)
      assert(is_same(BIG, raw:read_frame()))
      assert(raw:write_frame("answer"))
      assert(raw:read_frame() == nil)
    end)
  end

  -- With the question held, and the peer reading.
  local function with_question(test)
    return function()
      local peer <close> = helpers.raw_peer()
      peer.conn:settimeout(0)
      assert.is_true(peer.conn:send_bytes(BIG))
      local child <close> = answering(peer)
      peer.conn:settimeout(ENOUGH)
      test(peer.conn)
      peer.conn:close()
      assert.equal(0, (child:wait()))
    end
  end

  it("goes on while recv_bytes waits for the answer", with_question(
     function(conn)
    assert.equal("answer", assert(conn:recv_bytes()))
  end))

  it("goes on while recv_bytes_into waits for the answer", with_question(
     function(conn)
    assert.equal(6, assert(conn:recv_bytes_into(connection.Buffer(6))))
  end))

  it("goes on while poll waits for the answer", with_question(
     function(conn)
    assert.is_true(conn:poll(ENOUGH))
    assert.equal("answer", conn:recv_bytes())
  end))

  it("goes on while wait waits for the answer", with_question(
     function(conn)
    assert.same({conn}, connection.wait({conn}, ENOUGH))
    assert.equal("answer", conn:recv_bytes())
  end))

  it("does not keep a receive from what has come", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(0)
    assert.is_true(peer.conn:send_bytes(BIG))
    peer.raw:write_frame("hello")
    assert.is_true(peer.conn:poll())
    assert.equal("hello", peer.conn:recv_bytes())
    assert_late(peer.conn:recv_bytes())
    assert_late(peer.conn:flush())
  end)

  it("does not keep a receive from what a peer left that is gone",
     function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(0)
    assert.is_true(peer.conn:send_bytes(BIG))
    peer.raw:write_frame("farewell")
    while peer.raw:poll("r", 0) do peer.raw:read(1 << 20) end
    peer.raw:close()
    assert.equal("farewell", peer.conn:recv_bytes())
  end)
end)

describe("A receive that runs out of time", function()
  each(readers, "keeps what has come, byte by byte", function(raw, conn)
    local message = "byte by byte"
    local frame = helpers.frame(message)
    conn:settimeout(0)
    for i = 1, #frame - 1 do
      raw:write(frame:sub(i, i))
      assert.is_true(sys.poll(conn:fileno(), "r", LIMIT))
      assert_late(conn:recv_bytes())
    end
    raw:write(frame:sub(-1))
    conn:settimeout(LIMIT)
    assert.equal(message, conn:recv_bytes())
  end)

  each(readers, "goes on into a Buffer, and the other way round",
       function(raw, conn)
    local buffer = connection.Buffer(5)
    conn:settimeout(0)
    raw:write("\0\0\0\5he")
    assert_late(conn:recv_bytes())
    raw:write("llo")
    conn:settimeout(LIMIT)
    assert.equal(5, conn:recv_bytes_into(buffer))
    assert.equal("hello", tostring(buffer))
    conn:settimeout(0)
    raw:write("\0\0\0\5wo")
    assert_late(conn:recv_bytes_into(buffer))
    assert.equal("hello", tostring(buffer))
    raw:write("rld")
    conn:settimeout(LIMIT)
    assert.equal("world", conn:recv_bytes())
  end)

  each(readers, "goes on with a message that no buffer holds",
       function(raw, conn)
    local frame, sent = helpers.frame(BIG), 0
    conn:settimeout(0)
    while sent < #frame - 1 do
      local last = math.min(sent + 300000, #frame - 1)
      sent = sent + (raw:try_write(frame:sub(sent + 1, last)) or 0)
      assert_late(conn:recv_bytes())
    end
    raw:write(frame:sub(-1))
    conn:settimeout(LIMIT)
    assert.is_true(is_same(BIG, conn:recv_bytes()))
  end)

  each(readers, "takes about that long", function(raw, conn)
    conn:settimeout(SHORT)
    for _, bytes in ipairs {"", "\0\0", "\0\5hel"} do
      raw:write(bytes)
      local start = sys.monotonic()
      assert_late(conn:recv_bytes())
      local time = sys.monotonic() - start
      assert.is_true(time >= SHORT and time < LIMIT)
    end
    raw:write("lo")
    assert.equal("hello", conn:recv_bytes())
  end)

  each(readers, "is late even where bytes drip in all the time",
       function(_, conn, peer)
    local child <close> = process_at(peer, function(raw)
      raw:write("\0\1\0\0")
      while raw:write("x") do raw:poll("r", 0.001) end
    end)
    conn:settimeout(SHORT)
    local start = sys.monotonic()
    assert_late(conn:recv_bytes())
    assert.is_true(sys.monotonic() - start < LIMIT)
    conn:close()
    child:kill()
  end)

  each(readers, "respects the limit of the call that goes on",
       function(raw, conn)
    conn:settimeout(0)
    raw:write("\0\0\0\6he")
    assert.is_true(sys.poll(conn:fileno(), "r", LIMIT))
    assert_late(conn:recv_bytes(10))
    assert_fails("OSError", conn:recv_bytes(5))
    raw:write("lllo")
    assert_fails("OSError", conn:recv_bytes())
  end)

  it("keeps a header that a timed-out call has read for a larger limit",
     function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(0)
    peer.raw:write("\0\0\0\6he")
    assert_late(peer.conn:recv_bytes(6))
    peer.raw:write("llos")
    assert.equal("hellos", peer.conn:recv_bytes(7))
  end)

  it("keeps what has come though sends go the other way meanwhile",
     function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(0)
    peer.raw:write("\0\0\0\5he")
    assert_late(peer.conn:recv_bytes())
    assert.is_true(peer.conn:send_bytes("out"))
    assert.equal("out", peer.raw:read_frame())
    peer.raw:write("llo")
    assert.equal("hello", peer.conn:recv_bytes())
  end)

  it("takes a message that is there without any time", function()
    for _, make in pairs(readers) do
      local peer <close> = make()
      peer.raw:write(helpers.frame("one") .. helpers.frame("two"))
      assert.is_true(sys.poll(peer.conn:fileno(), "r", LIMIT))
      peer.conn:settimeout(0)
      assert.equal("one", peer.conn:recv_bytes())
      assert.equal(3, peer.conn:recv_bytes_into(connection.Buffer(3)))
      assert_late(peer.conn:recv_bytes())
    end
  end)

  it("meets the end of file without any time", function()
    for _, make in pairs(readers) do
      local peer <close> = make()
      peer.raw:close()
      assert.is_true(sys.poll(peer.conn:fileno(), "r", LIMIT))
      peer.conn:settimeout(0)
      assert_fails("EOFError", peer.conn:recv_bytes())
    end
  end)
end)

describe("Connection:close", function()
  each(writers, "delivers what is held", function(_, conn, peer)
    conn:settimeout(0)
    assert(conn:send_bytes(BIG))
    local child <close> = process_at(peer, function(raw)
      assert(is_same(BIG, raw:read_frame()))
      assert(raw:read_frame() == nil)
    end)
    conn:settimeout(LIMIT)
    assert.is_true(conn:close())
    assert.is_true(conn.closed)
    assert.equal(0, (child:wait()))
  end)

  each(writers, "gives TimeoutError where there is no time for that",
       function(raw, conn)
    conn:settimeout(0)
    assert(conn:send_bytes(BIG))
    assert_late(conn:close())
    assert.is_true(conn.closed)
    assert.equal(-1, conn:getfd())
    assert.is_true(conn:close())
    local got = 0
    local bytes = assert(raw:read(1 << 20))
    while bytes ~= "" do -- as much as left, and then its end
      got = got + #bytes
      bytes = assert(raw:read(1 << 20))
    end
    assert.is_true(got > 0 and got < 4 + #BIG)
  end)

  each(writers, "waits for its timeout", function(_, conn)
    conn:settimeout(0)
    assert(conn:send_bytes(BIG))
    conn:settimeout(SHORT)
    local start = sys.monotonic()
    assert_late(conn:close())
    local time = sys.monotonic() - start
    assert.is_true(time >= SHORT and time < LIMIT)
    assert.is_true(conn.closed)
  end)

  each(writers, "says so where the peer is gone, and closes",
       function(raw, conn)
    local fd = conn:fileno()
    conn:settimeout(0)
    assert(conn:send_bytes(BIG))
    raw:close()
    local ok, err = conn:close()
    assert.is_nil(ok)
    assert.is_true(err.name == "BrokenPipeError" or
                   err.name == "ConnectionResetError")
    assert.same({nil, "EBADF"}, {sys.is_cloexec(fd)})
    assert.is_true(conn:close())
  end)

  for _, way in ipairs {"__close", "__gc"} do
    each(writers, ("does not wait when it is %s"):format(way),
         function(_, conn)
      conn:settimeout(0)
      assert(conn:send_bytes(BIG))
      conn:settimeout(nil) -- close would wait for ever
      getmetatable(conn)[way](conn)
      assert.is_true(conn.closed)
    end)
  end

  each(instant, "takes what goes without waiting along when it is __close",
       function(raw, conn)
    local size = 1 << 18
    conn:settimeout(0)
    assert(conn:send_bytes(("x"):rep(size)))
    local got = assert(raw:read_exactly(4))
    while raw:poll("r", 0) do got = got .. assert(raw:read(size)) end
    do local _ <close> = conn end
    local rest = assert(raw:read(size))
    assert.is_true(#rest > 0 or #got == 4 + size)
  end)
end)

describe("A call that Ctrl-C leaves in the middle", function()
  -- Runs `script` in the stock interpreter, with `conn` and `interrupted(f)`,
  -- which is true where Ctrl-C comes during `f`.
  local function interpreter(conn, script)
    return helpers.lua([[
      local connection = require "multiprocessing.connection"
      local conn = assert(connection.Connection(tonumber(arg[1])))
      local function interrupted(f)
        local called, message = pcall(function()
          io.write("ready\n")
          io.flush()
          f()
        end)
        return not called and message:find("interrupted!", 1, true)
      end
    ]] .. script, conn:fileno(), {inherit = {conn:fileno()},
                                  stderr = "stdout"})
  end

  it("loses no part of a message that was coming", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:write("\0\0\0\5he")
    local child <close> = interpreter(peer.conn, [[
      assert(interrupted(function() conn:recv_bytes() end))
      io.write("interrupted\n")
      io.flush()
      io.write(assert(conn:recv_bytes()))
    ]])
    peer.conn:close()
    assert.equal("ready", child:line())
    child:kill(sys.SIGINT)
    assert.equal("interrupted", child:line())
    peer.raw:write("llo")
    assert.same({0, "hello"}, {child:wait()})
  end)

  it("sends the rest of a message that was going", function()
    local peer <close> = helpers.raw_peer()
    local child <close> = interpreter(peer.conn, [[
      local message = ("x"):rep(1 << 22)
      assert(interrupted(function() conn:send_bytes(message) end))
      io.write("interrupted\n")
      io.flush()
      assert(conn:send_bytes("next"))
      assert(conn:close())
    ]])
    peer.conn:close()
    assert.equal("ready", child:line())
    assert.is_true(peer.raw:poll("r", LIMIT)) -- part of it has left
    child:kill(sys.SIGINT)
    assert.equal("interrupted", child:line())
    assert.is_true(is_same(("x"):rep(1 << 22), peer.raw:read_frame()))
    assert.equal("next", peer.raw:read_frame())
    assert.equal(0, (child:wait()))
  end)
end)

-- conn:send_many, conn:cork and conn:flush: many messages, few system calls.

local connection = require "multiprocessing.connection"
local pickle = require "multiprocessing.pickle"
local helpers = require "helpers"

local LIMIT = helpers.timeout

--- `n` messages, each of them another.
local function numbered(n, size)
  local list = {}
  for i = 1, n do list[i] = ("%d:%s"):format(i, ("x"):rep(size or 0)) end
  return list
end

local function assert_receives(conn, messages)
  conn:settimeout(LIMIT)
  for i, message in ipairs(messages) do
    if assert(conn:recv_bytes()) ~= message then error("not message " .. i) end
  end
end

describe("conn:send_many", function()
  it("sends each message of a list, in order: strings and Buffers", function()
    local peer <close> = helpers.raw_peer()
    assert.is_true(peer.conn:send_many({"one", connection.Buffer("two"), "", "\0\1"}, "bytes"))
    for _, message in ipairs {"one", "two", "", "\0\1"} do
      assert.equal(message, peer.raw:read_frame())
    end
  end)

  it("sends values, unless told otherwise", function()
    local a, b <const> = connection.Pipe()
    local _ <close> = helpers.closing(a, b)
    assert.is_true(a:send_many {1, "two", {3, 4}, pickle.None})
    assert.equal(1, b:recv())
    assert.equal("two", b:recv())
    assert.same({3, 4}, b:recv())
    assert.equal(pickle.None, b:recv())
    assert.is_true(a:send_many({5}, "objects"))
    assert.equal(5, b:recv())
  end)

  it("sends short and long ones in their order", function()
    local a, b <const> = connection.Pipe()
    local _ <close> = helpers.closing(a, b)
    local list = {"short", ("L"):rep(20000), connection.Buffer(("B"):rep(17000)), "s", ("M"):rep(16384),
                  ("N"):rep(16385)}
    assert.is_true(a:send_many(list, "bytes"))
    for i, message in ipairs(list) do list[i] = tostring(message) end
    assert_receives(b, list)
  end)

  it("sends nothing of an empty list", function()
    local peer <close> = helpers.raw_peer()
    assert.is_true(peer.conn:send_many {})
    assert.is_true(peer.conn:send_many({}, "bytes"))
    assert.is_false(peer.raw:poll("r", 0))
  end)

  it("says how many it had accepted when time ran out, and those arrive whole", function()
    local a, b <const> = connection.Pipe()
    local _ <close> = helpers.closing(a, b)
    a:settimeout(0)
    local list = numbered(2000, 1000)
    local done, err, sent = a:send_many(list, "bytes")
    assert.is_nil(done)
    assert.equal("TimeoutError", err.name)
    assert.is_true(sent > 0 and sent < #list)
    local rest = table.move(list, sent + 1, #list, 1, {})
    local received = 0
    b:settimeout(0)
    while received < #list do
      if a:flush() and #rest > 0 then
        local all, _, more = a:send_many(rest, "bytes")
        rest = table.move(rest, (all and #rest or more) + 1, #rest, 1, {})
      end
      for message in function() return (b:recv_bytes()) end do
        received = received + 1
        assert.equal(list[received], message)
      end
    end
  end)

  it("waits for a slow reader", function()
    local list = numbered(3000, 500)
    local a, b <const> = connection.Pipe()
    local _ <close> = helpers.closing(a, b)
    local child = helpers.fork(function()
      a:close()
      assert_receives(b, list)
    end)
    assert.is_true(a:send_many(list, "bytes"))
    assert.equal(0, (child:wait()))
  end)

  it("stops at a value that cannot be pickled, and sends those before it", function()
    local peer <close> = helpers.raw_peer()
    local done, err, sent = peer.conn:send_many {1, 2, print, 4}
    assert.is_nil(done)
    assert.equal("PicklingError", err.name)
    assert.equal(2, sent)
    assert.equal(1, pickle.loads(peer.raw:read_frame()))
    assert.equal(2, pickle.loads(peer.raw:read_frame()))
    assert.is_false(peer.raw:poll("r", 0))
    assert.is_true(peer.conn:send(5))
    assert.equal(5, pickle.loads(peer.raw:read_frame()))
  end)

  it("says BrokenPipeError to a peer that has gone", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:close()
    local done, err, sent = peer.conn:send_many({"a", ("b"):rep(20000)}, "bytes")
    assert.is_nil(done)
    assert.equal("BrokenPipeError", err.name)
    assert.equal("integer", math.type(sent))
    assert.equal("BrokenPipeError", select(2, peer.conn:send_bytes("c")).name)
  end)

  it("uses the connection's codec", function()
    local codec = {dumps = function(v) return "<" .. v .. ">" end, loads = tostring}
    local a, b <const> = connection.Pipe(true, {codec = codec})
    local _ <close> = helpers.closing(a, b)
    assert.is_true(a:send_many {"x", "y"})
    assert.equal("<x>", b:recv_bytes())
    assert.equal("<y>", b:recv_bytes())
  end)

  it("throws misuse before anything has left", function()
    local peer <close> = helpers.raw_peer()
    local conn = peer.conn
    assert.error_matches(function() conn:send_many({"a", 2}, "bytes") end, "at %[2%], got number")
    assert.error_matches(function() conn:send_many({"a", {}}, "bytes") end, "at %[2%], got table")
    assert.error_matches(function() conn:send_many("a") end, "table expected")
    assert.error_matches(function() conn:send_many({}, "text") end, "invalid option 'text'")
    assert.is_false(peer.raw:poll("r", 0))
    local reader <close> = connection.Pipe(false)
    assert.error_matches(function() reader:send_many {} end, "read%-only")
    conn:close()
    assert.error_matches(function() conn:send_many {} end, "closed")
  end)

  it("throws when the codec closes the connection", function()
    local a, b
    a, b = connection.Pipe(true, {codec = {dumps = function() a:close() return "x" end, loads = tostring}})
    local _ <close> = helpers.closing(a, b)
    assert.error_matches(function() a:send_many {1} end, "closed")
  end)
end)

describe("conn:cork", function()
  it("keeps messages together until flush", function()
    local peer <close> = helpers.raw_peer()
    assert.is_true(peer.conn:cork())
    assert.is_true(peer.conn:send_bytes("one"))
    assert.is_true(peer.conn:send(2))
    assert.is_false(peer.raw:poll("r", 0))
    assert.is_true(peer.conn:flush())
    assert.equal("one", peer.raw:read_frame())
    assert.equal(2, pickle.loads(peer.raw:read_frame()))
  end)

  it("ends with flush", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:cork()
    peer.conn:flush()
    peer.conn:send_bytes("at once")
    assert.equal("at once", peer.raw:read_frame())
  end)

  it("sends when there is enough for one system call, and loses nothing", function()
    local a, b <const> = connection.Pipe()
    local _ <close> = helpers.closing(a, b)
    a:settimeout(LIMIT)
    local list = numbered(300, 400)
    a:cork()
    for _, message in ipairs(list) do assert.is_true(a:send_bytes(message)) end
    assert.is_true(b:poll(LIMIT))
    a:flush()
    assert_receives(b, list)
  end)

  it("keeps the order of short and long messages", function()
    local a, b <const> = connection.Pipe()
    local _ <close> = helpers.closing(a, b)
    local list = {"1", ("2"):rep(30000), "3", ("4"):rep(16385), "5"}
    a:cork()
    for _, message in ipairs(list) do assert.is_true(a:send_bytes(message)) end
    assert.is_true(a:flush())
    assert_receives(b, list)
  end)

  for what, wait in pairs {
    recv_bytes = function(conn) conn:settimeout(0) return conn:recv_bytes() end,
    poll = function(conn) return conn:poll(0) end,
    wait = function(conn) return connection.wait({conn}, 0) end,
    close = function(conn) return conn:close() end,
    ["the collector"] = function(conn)
      local mt = debug.getmetatable(conn)
      mt.__gc(conn)
    end,
  } do
    it("sends before " .. what .. " waits, or ends it", function()
      local peer <close> = helpers.raw_peer()
      peer.conn:cork()
      peer.conn:send_bytes("first")
      assert.is_false(peer.raw:poll("r", 0))
      wait(peer.conn)
      assert.equal("first", peer.raw:read_frame())
    end)
  end

  it("does not send while there are messages to receive", function()
    local a, b <const> = connection.Pipe(true, {readahead = true})
    local _ <close> = helpers.closing(a, b)
    b:send_many({"q1", "q2"}, "bytes")
    a:cork()
    for i = 1, 2 do
      assert.equal("q" .. i, a:recv_bytes())
      a:send_bytes("a" .. i)
      assert.is_false(b:poll())
    end
    a:flush()
    assert.equal("a1", b:recv_bytes())
    assert.equal("a2", b:recv_bytes())
  end)

  it("says TimeoutError, and accepts nothing more, when nobody reads", function()
    local a, b <const> = connection.Pipe()
    local _ <close> = helpers.closing(a, b)
    a:settimeout(0)
    a:cork()
    local sent, err = 0, nil
    local message = ("x"):rep(1000)
    while not err do
      local ok
      ok, err = a:send_bytes(message)
      if ok then sent = sent + 1 end
    end
    assert.equal("TimeoutError", err.name)
    b:settimeout(0)
    local received = 0
    repeat
      a:flush()
      for _ in function() return (b:recv_bytes()) end do received = received + 1 end
    until received >= sent
    assert.equal(sent, received)
    assert.is_false(b:poll())
  end)

  it("is misuse for a connection that is read-only or closed", function()
    local reader, writer <const> = connection.Pipe(false)
    local _ <close> = helpers.closing(reader, writer)
    assert.error_matches(function() reader:cork() end, "read%-only")
    writer:close()
    assert.error_matches(function() writer:cork() end, "closed")
  end)
end)

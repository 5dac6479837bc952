-- The handshake against peers that lie, stall and leave, in each of its states
-- and on both sides; many of them at once; and its two public halves.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local SHORT = helpers.short
local KEY = "secret password"
local INET = {"127.0.0.1", 0}
local LONG_NONCE = ("n"):rep(40)

local assert_fails = helpers.assert_fails
local assert_misuse = helpers.assert_misuse

local function listen(options, address)
  options = options or {}
  options.authkey = options.authkey or KEY
  options.backlog = options.backlog or 64
  return assert(connection.Listener(address or INET, options))
end

--- A client of ours that knows the key comes to `listener`; the connection that
--- the listener makes of it, or what it says instead.
local function admit(listener, options, timeout)
  options = options or {}
  options.authkey = options.authkey or KEY
  options.nonblocking = true
  local client = assert(connection.Client(listener.address, options))
  connection.wait({client, listener}, timeout or LIMIT)
  local conn, err = listener:accept(LIMIT)
  return conn, err, client
end

local function assert_admits(listener)
  local conn, err, client = admit(listener)
  assert(conn, tostring(err))
  local _ <close> = helpers.closing(conn, client)
  client:settimeout(LIMIT)
  conn:settimeout(LIMIT)
  assert(client:send_bytes("hello"))
  assert.equal("hello", conn:recv_bytes())
end

--- The next frame that comes to a raw peer.
local function next_frame(raw)
  assert.is_true(raw:poll("r", LIMIT))
  return raw:read_frame()
end

-- What a raw peer says as a Connection does, while `listener` attends to it.
local function stepped(raw, listener)
  local self = {}
  function self.send_bytes(_, bytes) return raw:write_frame(bytes) end
  function self.recv_bytes()
    while not raw:poll("r", 0) do
      local err = select(2, listener:accept(0))
      assert(err.name == "TimeoutError", tostring(err))
    end
    return assert(raw:read_frame())
  end
  return self
end

-- A raw peer of a listener, brought to a state of the listener's side.
local listener_states = {
  {"that waits for the response", function(listener)
    local raw = helpers.raw_client(listener)
    assert_fails("TimeoutError", listener:accept(0))
    assert.matches("^#CHALLENGE#{sha256}", next_frame(raw))
    return raw
  end},
  {"that waits for the challenge", function(listener)
    local raw = helpers.raw_client(listener)
    assert.is_true(connection.answer_challenge(stepped(raw, listener), KEY))
    return raw
  end},
  {"that waits for the verdict", function(listener)
    local raw = helpers.raw_client(listener)
    local peer = stepped(raw, listener)
    assert.is_true(connection.answer_challenge(peer, KEY))
    peer:send_bytes("#CHALLENGE#{sha256}" .. LONG_NONCE)
    assert.matches("^{sha256}", peer:recv_bytes())
    return raw
  end},
}

-- A raw server's connection to a client, brought to a state of that client.
local client_states = {
  {"that waits for the challenge", function(client, raw)
    assert_fails("TimeoutError", client:handshake(0))
    return raw
  end},
  {"that waits for the verdict", function(client, raw)
    raw:write_frame("#CHALLENGE#{sha256}" .. LONG_NONCE)
    assert_fails("TimeoutError", client:handshake(0))
    assert.matches("^{sha256}", next_frame(raw))
    assert.matches("^#CHALLENGE#{sha256}", next_frame(raw)) -- it need not wait
    return raw
  end},
  {"that waits for the response", function(client, raw)
    raw:write_frame("#CHALLENGE#{sha256}" .. LONG_NONCE)
    assert_fails("TimeoutError", client:handshake(0))
    next_frame(raw)
    next_frame(raw)
    raw:write_frame("#WELCOME#")
    assert_fails("TimeoutError", client:handshake(0))
    return raw
  end},
}

--- What a peer does, and the error that comes of it.
local hostilities = {
  {"garbage", "AuthenticationError", function(raw) raw:write_frame("\1\2\3") end},
  {"an empty message", "AuthenticationError", function(raw) raw:write_frame("") end},
  {"the greatest message that is allowed", "AuthenticationError",
   function(raw) raw:write_frame(("x"):rep(256)) end},
  {"an oversize message", "AuthenticationError",
   function(raw) raw:write_frame(("x"):rep(257)) end},
  {"an oversize message that looks right", "AuthenticationError", function(raw)
    raw:write_frame("#CHALLENGE#{sha256}" .. ("x"):rep(300))
  end},
  {"the claim of 2 GiB", "AuthenticationError", function(raw) raw:write("\x7f\xff\xff\xff") end},
  {"the claim of 4 GiB and more", "AuthenticationError",
   function(raw) raw:write("\xff\xff\xff\xff" .. string.pack(">I8", 1 << 40)) end},
  {"the claim of more than there can be", "AuthenticationError",
   function(raw) raw:write(("\xff"):rep(12)) end},
  {"a negative length", "AuthenticationError", function(raw) raw:write("\xff\xff\xff\xfe") end},
  {"#FAILURE#", "AuthenticationError", function(raw) raw:write_frame("#FAILURE#") end},
  {"#WELCOME# and a byte", "AuthenticationError", function(raw) raw:write_frame("#WELCOME#x") end},
  {"a challenge that is too short", "AuthenticationError",
   function(raw) raw:write_frame("#CHALLENGE#" .. ("x"):rep(19)) end},
  {"a challenge of an unknown digest", "AuthenticationError",
   function(raw) raw:write_frame("#CHALLENGE#{sha1}" .. LONG_NONCE) end},
  {"a challenge whose digest does not end", "AuthenticationError",
   function(raw) raw:write_frame("#CHALLENGE#{sha256" .. LONG_NONCE) end},
  {"a wrong response of the old kind", "AuthenticationError",
   function(raw) raw:write_frame(("\0"):rep(16)) end},
  {"a wrong response of the old kind, of 20 bytes", "AuthenticationError",
   function(raw) raw:write_frame(("\0"):rep(20)) end},
  {"a wrong response", "AuthenticationError",
   function(raw) raw:write_frame("{sha256}" .. ("\0"):rep(32)) end},
  {"a response that is too short", "AuthenticationError",
   function(raw) raw:write_frame("{sha256}" .. ("\0"):rep(31)) end},
  {"a response that is empty after its digest", "AuthenticationError",
   function(raw) raw:write_frame("{sha256}") end},
  {"a response of an unknown digest", "AuthenticationError",
   function(raw) raw:write_frame("{sha512}" .. ("\0"):rep(64)) end},
  {"a response of a digest with a zero", "AuthenticationError",
   function(raw) raw:write_frame("{sha256\0}" .. ("\0"):rep(32)) end},
  {"the end of file", "EOFError", function(raw) raw:shutdown("w") end},
  {"nothing, and leaves", "EOFError", function(raw) raw:close() end},
  {"half a header, and leaves", "OSError", function(raw)
    raw:write("\0\0")
    raw:close()
  end},
  {"half a message, and leaves", "OSError", function(raw)
    raw:write("\0\0\0\9#WELC")
    raw:close()
  end},
  {"a reset", "ConnectionResetError", function(raw) raw:reset() end},
}

local stalls = {
  {"nothing", function() end},
  {"half a header", function(raw) raw:write("\0\0") end},
  {"half a message", function(raw) raw:write("\0\0\0\9#WELC") end},
}

for _, state in ipairs(listener_states) do
  local name, bring = table.unpack(state)
  describe("A listener " .. name, function()
    for _, hostility in ipairs(hostilities) do
      local what, error_name, act = table.unpack(hostility)
      it(("says %s to a peer that sends %s, and lives on"):format(error_name, what), function()
        local listener <close> = listen()
        local raw <close> = bring(listener)
        act(raw)
        local err = assert_fails(error_name, listener:accept(LIMIT))
        assert.matches("127.0.0.1:", err.message, 1, true)
        assert_fails("TimeoutError", listener:accept(0))
        assert_admits(listener)
      end)
    end

    for _, stall in ipairs(stalls) do
      local what, act = table.unpack(stall)
      it(("says TimeoutError at its deadline to a peer that sends %s"):format(what), function()
        local listener <close> = listen({timeout = SHORT})
        local raw <close> = bring(listener)
        act(raw)
        local start = sys.monotonic()
        local err = assert_fails("TimeoutError", listener:accept(LIMIT))
        assert.is_true(sys.monotonic() - start < LIMIT / 2)
        assert.matches("handshake", err.message)
        assert.is_true(raw:poll("r", LIMIT))
        assert.equal("", raw:read(1)) -- it was sent away
      end)
    end

    it("goes on with a peer that sends byte by byte", function()
      local listener <close> = listen()
      local raw <close> = bring(listener)
      for byte in helpers.frame(("x"):rep(30)):gmatch(".") do
        assert_fails("TimeoutError", listener:accept(0))
        raw:write(byte)
      end
      assert_fails("AuthenticationError", listener:accept(LIMIT))
    end)

    it("leaves no descriptor behind", function()
      local listener <close> = listen()
      local before = helpers.nfds()
      for _, hostility in ipairs(hostilities) do
        local raw <close> = bring(listener)
        hostility[3](raw)
        assert.is_nil((listener:accept(LIMIT)))
      end
      assert.equal(before, helpers.nfds())
    end)
  end)
end

describe("A listener that waits for the response", function()
  for name, response in pairs {
    garbage = "garbage", oversize = ("x"):rep(257),
    ["a wrong MAC"] = "{sha256}" .. ("\0"):rep(32),
  } do
    it(("answers %s with #FAILURE#"):format(name), function()
      local listener <close> = listen()
      local raw <close> = listener_states[1][2](listener)
      raw:write_frame(response)
      assert_fails("AuthenticationError", listener:accept(LIMIT))
      assert.equal("#FAILURE#", next_frame(raw))
    end)
  end

  it("gives each peer another challenge", function()
    local listener <close> = listen()
    local seen, raws = {}, {}
    for i = 1, 20 do
      local raw = helpers.raw_client(listener)
      raws[i] = raw
      assert_fails("TimeoutError", listener:accept(0))
      local challenge = next_frame(raw)
      assert.equal(#"#CHALLENGE#{sha256}" + 40, #challenge)
      assert.is_nil(seen[challenge])
      seen[challenge] = true
    end
    for _, raw in ipairs(raws) do raw:close() end
  end)

  it("takes no response to another peer's challenge", function()
    local listener <close> = listen()
    local one <close> = helpers.raw_client(listener)
    local other <close> = helpers.raw_client(listener)
    assert_fails("TimeoutError", listener:accept(0))
    local response
    local fake = {
      recv_bytes = function() return response and "#WELCOME#" or next_frame(one) end,
      send_bytes = function(_, bytes)
        response = bytes
        return true
      end,
    }
    assert.is_true(connection.answer_challenge(fake, KEY))
    other:write_frame(response)
    assert_fails("AuthenticationError", listener:accept(LIMIT))
    assert.equal("#FAILURE#", (next_frame(other) and next_frame(other)))
  end)

  it("is not fooled by its own challenge sent back (reflection)", function()
    local listener <close> = listen()
    local raw <close> = helpers.raw_client(listener)
    assert_fails("TimeoutError", listener:accept(0))
    raw:write_frame(next_frame(raw))
    assert_fails("AuthenticationError", listener:accept(LIMIT))
  end)

  it("says EOFError of a peer that left before it was accepted", function()
    for _, address in ipairs {INET, helpers.abstract_name()} do
      local listener <close> = listen(nil, address)
      helpers.raw_client(listener):close()
      assert_fails("EOFError", listener:accept(LIMIT))
      assert_admits(listener)
    end
  end)

  it("does not say BrokenPipeError of a peer that spoke and left before it was accepted",
     function()
    for _, address in ipairs {INET, helpers.abstract_name()} do
      local listener <close> = listen(nil, address)
      local raw = helpers.raw_client(listener)
      raw:write_frame("garbage")
      raw:close()
      local conn, err = listener:accept(LIMIT)
      assert.is_nil(conn)
      assert.is_truthy(({EOFError = 1, AuthenticationError = 1})[err.name], tostring(err))
      assert_admits(listener)
    end
  end)

  it("says ConnectionResetError of a peer that was reset before it was accepted", function()
    local listener <close> = listen()
    helpers.raw_client(listener):reset()
    assert_fails("ConnectionResetError", listener:accept(LIMIT))
    assert_admits(listener)
  end)
end)

for _, state in ipairs(client_states) do
  local name, bring = table.unpack(state)
  describe("A client " .. name, function()
    local function start(options)
      local server <close> = helpers.raw_listener()
      options = options or {}
      options.authkey, options.nonblocking = KEY, true
      local client = assert(connection.Client(server.address, options))
      connection.wait({server}, LIMIT)
      local raw = bring(client, server:accept())
      return client, raw, helpers.closing(client, raw)
    end

    for _, hostility in ipairs(hostilities) do
      local what, error_name, act = table.unpack(hostility)
      it(("says %s to a listener that sends %s"):format(error_name, what), function()
        local client, raw, _ <close> = start()
        act(raw)
        assert_fails(error_name, client:handshake(LIMIT))
        assert_fails(error_name, client:recv_bytes())
        assert_fails(error_name, client:send_bytes("x"))
      end)
    end

    for _, stall in ipairs(stalls) do
      local what, act = table.unpack(stall)
      it(("says TimeoutError at its deadline to a listener that sends %s"):format(what),
         function()
        local client, raw, _ <close> = start({timeout = 2 * SHORT})
        act(raw)
        local err = assert_fails("TimeoutError", client:handshake(LIMIT))
        assert.matches("handshake timed out", err.message)
        assert.is_true(raw:poll("r", LIMIT))
      end)
    end

    it("is reported by wait when its deadline has come", function()
      local client, _, _ <close> = start({timeout = 2 * SHORT})
      assert.same({client}, connection.wait({client}, LIMIT))
      assert_fails("TimeoutError", client:handshake(0))
    end)

    it("closes its descriptor when it has failed", function()
      local client, raw, _ <close> = start()
      raw:write_frame("garbage")
      local before = helpers.nfds()
      assert_fails("AuthenticationError", client:handshake(LIMIT))
      assert.equal(before - 1, helpers.nfds())
      assert.is_true(client.closed)
    end)
  end)
end

describe("A client that waits for the challenge", function()
  it("says what is likely wrong when none comes", function()
    local server <close> = helpers.raw_listener()
    local err = assert_fails("TimeoutError", connection.Client(server.address, {
      authkey = KEY, timeout = SHORT,
    }))
    assert.matches("authkey", err.message)
  end)

  it("does not blame the key when it stalls later", function()
    local server <close> = helpers.raw_listener()
    local client <close> = assert(connection.Client(server.address, {
      authkey = KEY, timeout = 2 * SHORT, nonblocking = true,
    }))
    local raw <close> = server:accept()
    raw:write_frame("#CHALLENGE#{sha256}" .. LONG_NONCE)
    local err = assert_fails("TimeoutError", client:handshake(LIMIT))
    assert.not_matches("authkey", err.message)
  end)

  it("sends nothing to a listener whose challenge it does not like", function()
    local server <close> = helpers.raw_listener()
    local client <close> = assert(connection.Client(server.address, {
      authkey = KEY, nonblocking = true, digests = {"sha3_256"},
    }))
    local raw <close> = server:accept()
    raw:write_frame("#CHALLENGE#{sha256}" .. LONG_NONCE)
    assert_fails("AuthenticationError", client:handshake(LIMIT))
    assert.is_true(raw:poll("r", LIMIT))
    assert.equal("", raw:read(1))
  end)
end)

describe("A client that is rejected", function()
  it("hears the verdict, though the listener leaves its challenge unread", function()
    for _, address in ipairs {INET, helpers.abstract_name()} do
      for _ = 1, 20 do
        local server <close> = helpers.raw_listener(type(address) == "string" and address or nil)
        local client <close> = assert(connection.Client(server.address, {
          authkey = KEY, nonblocking = true,
        }))
        local raw = server:accept()
        raw:write_frame("#CHALLENGE#{sha256}" .. LONG_NONCE)
        assert_fails("TimeoutError", client:handshake(0))
        next_frame(raw)
        raw:write_frame("#FAILURE#")
        raw:close() -- with bytes unread: TCP resets the connection
        assert_fails("AuthenticationError", client:handshake(LIMIT))
      end
    end
  end)
end)

describe("A client whose listener's answer is wrong", function()
  it("says #FAILURE# and AuthenticationError", function()
    local server <close> = helpers.raw_listener()
    local client <close> = assert(connection.Client(server.address, {
      authkey = KEY, nonblocking = true,
    }))
    local raw <close> = server:accept()
    raw:write_frame("#CHALLENGE#{sha256}" .. LONG_NONCE)
    raw:write_frame("#WELCOME#")
    raw:write_frame("{sha256}" .. ("\0"):rep(32))
    assert_fails("AuthenticationError", client:handshake(LIMIT))
    next_frame(raw)
    next_frame(raw)
    assert.equal("#FAILURE#", next_frame(raw))
  end)
end)

describe("The first message", function()
  for _, ahead in ipairs {true, false} do
    it("is not lost in the packet of the handshake's end, readahead = " .. tostring(ahead),
       function()
      local listener <close> = listen({readahead = ahead})
      local raw <close> = listener_states[3][2](listener)
      raw:write(helpers.frame("#WELCOME#") .. helpers.frame("first") .. helpers.frame(""))
      local conn <close> = assert(listener:accept(LIMIT))
      conn:settimeout(LIMIT)
      assert.is_true(conn:poll())
      assert.equal("first", conn:recv_bytes())
      assert.same({conn}, connection.wait({conn}, LIMIT))
      assert.equal("", conn:recv_bytes())
      assert.is_false(conn:poll())
    end)
  end

  it("is not lost to a client either, when the whole talk comes at once", function()
    local server <close> = helpers.raw_listener()
    local client <close> = assert(connection.Client(server.address, {
      authkey = KEY, nonblocking = true,
    }))
    local raw <close> = server:accept()
    local wrote
    local peer = {
      send_bytes = function(_, bytes)
        wrote = (wrote or "") .. helpers.frame(bytes)
        return true
      end,
      recv_bytes = function()
        raw:write(wrote or "")
        wrote = nil
        while not raw:poll("r", 0) do client:handshake(0) end
        return raw:read_frame()
      end,
    }
    assert.is_true(connection.deliver_challenge(peer, KEY))
    assert.is_true(connection.answer_challenge(peer, KEY))
    raw:write(helpers.frame("first"))
    client:settimeout(LIMIT)
    assert.equal("first", client:recv_bytes())
  end)
end)

describe("Many handshakes at once", function()
  --- `count` peers that say nothing.
  local function silent_peers(listener, count)
    local raws = {}
    for i = 1, count do raws[i] = helpers.raw_client(listener) end
    return raws, helpers.closing(table.unpack(raws))
  end

  for _, address in ipairs {INET, false} do
    it("fifty silent peers do not delay a good one, "
       .. (address and "AF_INET" or "AF_UNIX"), function()
      local listener <close> = listen({backlog = 64}, address or helpers.abstract_name())
      local _, _ <close> = silent_peers(listener, 50)
      local start = sys.monotonic()
      assert_admits(listener)
      assert.is_true(sys.monotonic() - start < LIMIT / 10)
    end)
  end

  it("a good one is admitted in a single accept of another process's client", function()
    local listener <close> = listen()
    local _, _ <close> = silent_peers(listener, 50)
    local child <close> = helpers.fork(function()
      local client <close> = assert(connection.Client(listener.address, {
        authkey = KEY, timeout = LIMIT,
      }))
      assert(client:send_bytes("through"))
      client:settimeout(LIMIT)
      client:recv_bytes()
    end)
    local conn <close> = assert(listener:accept(LIMIT))
    conn:settimeout(LIMIT)
    assert.equal("through", conn:recv_bytes())
    conn:close()
    assert.equal(0, (child:wait()))
  end)

  it("each has its own deadline, and all are told of", function()
    local listener <close> = listen({timeout = SHORT})
    local _, _ <close> = silent_peers(listener, 10)
    for _ = 1, 10 do assert_fails("TimeoutError", listener:accept(LIMIT)) end
    assert_fails("TimeoutError", listener:accept(0))
    assert_admits(listener)
  end)

  it("good ones come in while others fail", function()
    local listener <close> = listen()
    local raws, _ <close> = silent_peers(listener, 10)
    assert_fails("TimeoutError", listener:accept(0))
    for i = 1, 10, 2 do raws[i]:write_frame("garbage") end
    local failed, admitted = 0, 0
    local clients = {}
    for i = 1, 5 do
      clients[i] = assert(connection.Client(listener.address, {
        authkey = KEY, nonblocking = true,
      }))
    end
    local _ <close> = helpers.closing(table.unpack(clients))
    while failed + admitted < 10 do
      for _, client in ipairs(clients) do client:handshake(0) end
      local conn, err = listener:accept(0)
      if conn then
        admitted = admitted + 1
        conn:close()
      elseif err.name ~= "TimeoutError" then
        assert.equal("AuthenticationError", err.name)
        failed = failed + 1
      end
    end
    assert.same({5, 5}, {failed, admitted})
  end)

  it("three hundred silent ones hold back a good one for a second or so, and few descriptors",
     function()
    local listener <close> = listen({backlog = 512})
    local raws, _ <close> = silent_peers(listener, 300)
    local before = helpers.nfds()
    local child <close> = helpers.fork(function()
      local client = assert(connection.Client(listener.address, {
        authkey = KEY, timeout = LIMIT,
      }))
      client:settimeout(LIMIT)
      client:recv_bytes()
    end)
    before = before + 1 -- the child's output
    local start, most, conn = sys.monotonic(), 0, nil
    while not conn do
      local accepted, err = listener:accept(LIMIT)
      conn, most = accepted, math.max(most, helpers.nfds() - before)
      assert(conn or err.name == "TimeoutError" and err.message:find("handshake"), err)
    end
    conn:close()
    local elapsed = sys.monotonic() - start
    assert.is_true(elapsed < (helpers.slow and LIMIT or 5), "took " .. elapsed)
    assert.is_true(most <= 128 + 1, "held " .. most)
    assert.equal(300, #raws)
    assert.equal(0, (child:wait()))
  end)

  it("do not hold more than the pending ones where nobody takes them", function()
    local listener <close> = listen({backlog = 512})
    local _, _ <close> = silent_peers(listener, 200)
    local before = helpers.nfds()
    for _ = 1, 5 do assert_fails("TimeoutError", listener:accept(0)) end
    assert.equal(before + 128, helpers.nfds())
  end)

  it("time does not pass for them while nobody attends to the listener", function()
    local listener <close> = listen({timeout = 3 * SHORT})
    local raw <close> = helpers.raw_client(listener)
    assert_fails("TimeoutError", listener:accept(0))
    for _ = 1, 3 do
      connection.wait({}, 2 * SHORT)
      local err = assert_fails("TimeoutError", listener:accept(0))
      assert.matches("accepting", err.message)
      assert.not_matches("handshake", err.message)
    end
    assert.is_true(connection.answer_challenge(stepped(raw, listener), KEY))
  end)

  it("time does not pass for them after a wait that was misuse", function()
    local listener <close> = listen({timeout = 2 * SHORT})
    local closed = assert(connection.Pipe())
    closed:close()
    local raw <close> = helpers.raw_client(listener)
    assert_fails("TimeoutError", listener:accept(0))
    assert.has_error(function() connection.wait({listener, closed}, 0) end)
    connection.wait({}, 3 * SHORT)
    local err = assert_fails("TimeoutError", listener:accept(0))
    assert.not_matches("handshake", err.message)
    assert.is_true(raw.fd >= 0)
  end)

  it("time passes for them while somebody waits", function()
    local listener <close> = listen({timeout = 2 * SHORT})
    local raw <close> = helpers.raw_client(listener)
    local start = sys.monotonic()
    while sys.monotonic() - start < 3 * SHORT do
      local err = assert_fails("TimeoutError", listener:accept(SHORT / 4))
      if err.message:find("handshake") then return end
    end
    assert.is_true(raw.fd < 0, "the peer was not sent away in time")
  end)
end)

describe("The option timeout of a listener", function()
  it("may be 0: who is not there with all it has to say is late", function()
    local listener <close> = listen({timeout = 0})
    local raw <close> = helpers.raw_client(listener)
    local err = assert_fails("TimeoutError", listener:accept(LIMIT))
    assert.matches("handshake", err.message)
    assert.is_true(raw.fd >= 0)
  end)

  it("may be for ever", function()
    local listener <close> = listen({timeout = math.huge})
    assert_admits(listener)
  end)

  it("does not matter without a key", function()
    local listener <close> = assert(connection.Listener(INET, {timeout = 0}))
    local raw <close> = helpers.raw_client(listener)
    local conn <close> = assert(listener:accept(LIMIT))
    assert.is_false(conn.closed or raw.fd < 0)
  end)
end)

describe("Keys", function()
  local keys = {
    ["an empty one"] = "", ["one of a byte"] = "k", ["one of a zero"] = "\0",
    ["one of 200 bytes with zeros"] = ("a\0"):rep(100),
    ["one of 64 KiB"] = ("k"):rep(1 << 16),
  }
  for name, key in pairs(keys) do
    it(name .. " lets in who has the same", function()
      local listener <close> = listen({authkey = key})
      local conn <close>, _, client = admit(listener, {authkey = key})
      local _ <close> = client
      assert.is_truthy(conn)
      assert.is_true(client:handshake(LIMIT))
    end)

    it(name .. " keeps out who has another", function()
      local listener <close> = listen({authkey = key})
      for _, other in ipairs {key .. "x", "x" .. key, key:sub(1, -2) .. "\1"} do
        local conn, err, client = admit(listener, {authkey = other})
        local _ <close> = client
        assert_fails("AuthenticationError", conn, err)
        assert_fails("AuthenticationError", client:handshake(LIMIT))
      end
    end)
  end

  it("in the errors of both sides are not shown", function()
    local listener <close> = listen({authkey = "listener's"})
    local conn, err, client = admit(listener, {authkey = "client's"})
    local _ <close> = client
    assert.is_nil(conn)
    assert.not_matches("listener's", tostring(err), 1, true)
    assert.not_matches("client's", tostring(select(2, client:handshake(LIMIT))), 1, true)
  end)
end)

describe("Digests", function()
  local names = {"md5", "sha256", "sha384", "sha3_256", "sha3_384"}

  for _, name in ipairs(names) do
    it("asks for " .. name .. " where digest says so, on both sides", function()
      local listener <close> = listen({digest = name})
      local raw <close> = helpers.raw_client(listener)
      assert_fails("TimeoutError", listener:accept(0))
      assert.matches("^#CHALLENGE#{" .. name .. "}", next_frame(raw))
      raw:close()
      assert_fails("EOFError", listener:accept(LIMIT))
      local conn <close>, _, client = admit(listener, {digest = name})
      assert.is_truthy(conn)
      client:close()
    end)

    it("of " .. name .. " only on both sides will do", function()
      local listener <close> = listen({digest = name, digests = {name}})
      local conn <close>, _, client = admit(listener, {digest = name, digests = {name}})
      assert.is_truthy(conn)
      client:close()
    end)
  end

  it("that a client does not accept end its handshake, and the listener's", function()
    local listener <close> = listen({digest = "md5"})
    local conn, err, client = admit(listener, {digests = {"sha256", "sha384"}})
    local _ <close> = client
    local why = assert_fails("AuthenticationError", client:handshake(LIMIT))
    assert.matches("digest", why.message)
    assert_fails("EOFError", conn, err)
  end)

  it("that a listener does not accept end the handshake with #FAILURE#", function()
    local listener <close> = listen({digest = "sha256", digests = {"sha3_256"}})
    local conn, err, client = admit(listener)
    local _ <close> = client
    assert_fails("AuthenticationError", conn, err)
    assert_fails("AuthenticationError", client:handshake(LIMIT))
  end)

  it("of the old wire count as md5", function()
    local listener <close> = listen({digests = {"sha256"}})
    local raw <close> = listener_states[1][2](listener)
    raw:write_frame(("\0"):rep(16))
    local err = assert_fails("AuthenticationError", listener:accept(LIMIT))
    assert.matches("not allowed", err.message)
    assert.equal("#FAILURE#", next_frame(raw))
  end)
end)

-- deliver_challenge and answer_challenge

local function scripted(...)
  local fake = {sent = {}, script = table.pack(...), limits = {}}
  function fake:send_bytes(bytes)
    table.insert(self.sent, bytes)
    return true
  end
  function fake:recv_bytes(limit)
    table.insert(self.limits, limit)
    return table.remove(self.script, 1)
  end
  return fake
end

describe("deliver_challenge and answer_challenge", function()
  --- Both over a pair of connections, the deliverer in another process.
  local function converse(deliver_key, answer_key, deliver_options, answer_options)
    local a, b, _ <close> = helpers.pair()
    a:settimeout(LIMIT)
    b:settimeout(LIMIT)
    local child <close> = helpers.fork(function(out)
      b:close()
      local ok, err = connection.deliver_challenge(a, deliver_key, nil, deliver_options)
      out:write(ok and "true" or err.name)
    end)
    a:close()
    local ok, err = connection.answer_challenge(b, answer_key, answer_options)
    b:close()
    local _, said = child:wait()
    return said, ok and "true" or err.name
  end

  it("agree where the keys are the same", function()
    assert.same({"true", "true"}, {converse(KEY, KEY)})
    assert.same({"true", "true"}, {converse("", "")})
  end)

  it("disagree where they are not", function()
    assert.same({"AuthenticationError", "AuthenticationError"}, {converse(KEY, "other")})
    assert.same({"AuthenticationError", "AuthenticationError"}, {converse(KEY, "")})
  end)

  it("take a digest in the options", function()
    assert.same({"true", "true"},
                {converse(KEY, KEY, {digest = "sha3_384"}, {digests = {"sha3_384"}})})
    assert.same({"EOFError", "AuthenticationError"},
                {converse(KEY, KEY, {digest = "md5"}, {digests = {"sha256"}})})
    assert.same({"true", "true"}, {converse(KEY, KEY, {digests = {"sha384"}})})
    assert.same({"AuthenticationError", "AuthenticationError"},
                {converse(KEY, KEY, {digest = "sha256", digests = {"sha384"}})})
  end)

  it("take the options in the place of the digest, too", function()
    local fake = scripted("x")
    assert_fails("AuthenticationError",
                 connection.deliver_challenge(fake, KEY, {digest = "sha384"}))
    assert.matches("^#CHALLENGE#{sha384}", fake.sent[1])
  end)

  it("are what a Listener and a Client do, on a Client without a key", function()
    local listener <close> = listen()
    local client <close> = assert(connection.Client(listener.address))
    local child <close> = helpers.fork(function()
      client:settimeout(LIMIT)
      assert(connection.answer_challenge(client, KEY))
      assert(connection.deliver_challenge(client, KEY))
      assert(client:send_bytes("by hand"))
    end)
    local conn <close> = assert(listener:accept(LIMIT))
    conn:settimeout(LIMIT)
    assert.equal("by hand", conn:recv_bytes())
    assert.equal(0, (child:wait()))
  end)

  it("ask for messages of at most 256 bytes", function()
    local fake = scripted("x")
    connection.deliver_challenge(fake, KEY)
    local other = scripted("x")
    connection.answer_challenge(other, KEY)
    assert.same({{256}, {256}}, {fake.limits, other.limits})
  end)

  it("say AuthenticationError to an oversize message, and tell the answerer", function()
    local fake = scripted(("x"):rep(257))
    assert_fails("AuthenticationError", connection.deliver_challenge(fake, KEY))
    assert.equal("#FAILURE#", fake.sent[2])
    fake = scripted("#CHALLENGE#{sha256}" .. ("x"):rep(300))
    assert_fails("AuthenticationError", connection.answer_challenge(fake, KEY))
    assert.same({}, fake.sent)
  end)

  it("say AuthenticationError to an oversize message on a connection", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(LIMIT)
    peer.raw:write("\0\0\1\1")
    assert_fails("AuthenticationError", connection.deliver_challenge(peer.conn, KEY))
    assert.matches("^#CHALLENGE#", next_frame(peer.raw))
    assert.equal("#FAILURE#", next_frame(peer.raw))
    local other <close> = helpers.raw_peer()
    other.conn:settimeout(LIMIT)
    other.raw:write("\0\0\1\1")
    assert_fails("AuthenticationError", connection.answer_challenge(other.conn, KEY))
  end)

  it("pass on what the connection fails of", function()
    for _, half in ipairs {connection.deliver_challenge, connection.answer_challenge} do
      local peer <close> = helpers.raw_peer()
      peer.conn:settimeout(SHORT)
      assert_fails("TimeoutError", half(peer.conn, KEY))
      peer.raw:shutdown("w")
      assert_fails("EOFError", half(peer.conn, KEY))
    end
    local peer <close> = helpers.raw_peer()
    peer.raw:close()
    assert_fails("BrokenPipeError", connection.deliver_challenge(peer.conn, KEY))
  end)

  it("do not accept a verdict in the place of a challenge, nor the reverse", function()
    assert_fails("AuthenticationError", connection.answer_challenge(scripted("#WELCOME#"), KEY))
    local challenge = "#CHALLENGE#{sha256}" .. LONG_NONCE
    assert_fails("AuthenticationError",
                 connection.answer_challenge(scripted(challenge, challenge), KEY))
  end)

  it("throw for a key that is no string", function()
    for _, half in ipairs {connection.deliver_challenge, connection.answer_challenge} do
      for _, key in ipairs {1, {}, true} do
        assert_misuse("bad argument #2", half, scripted("x"), key)
      end
      assert_misuse("bad argument #2", half, scripted("x"))
    end
  end)

  it("throw for what cannot carry messages", function()
    for _, half in ipairs {connection.deliver_challenge, connection.answer_challenge} do
      for _, object in ipairs {1, {}, true, "x", io.stdout} do
        assert.has_error(function() half(object, KEY) end)
      end
    end
  end)

  it("throw for options that they do not know, and name them", function()
    assert_misuse("'digset'", connection.deliver_challenge, scripted("x"), KEY, nil, {digset = 1})
    assert_misuse("'authkey'", connection.answer_challenge, scripted("x"), KEY, {authkey = ""})
    assert_misuse("'timeout'", connection.answer_challenge, scripted("x"), KEY, {timeout = 1})
  end)

  it("throw for digests that they do not know, and name them", function()
    assert_misuse("'sha1'", connection.deliver_challenge, scripted("x"), KEY, "sha1")
    assert_misuse("'sha1'", connection.deliver_challenge, scripted("x"), KEY, nil,
                  {digest = "sha1"})
    assert_misuse("'sha1'", connection.answer_challenge, scripted("x"), KEY, {digests = {"sha1"}})
    assert_misuse("empty", connection.answer_challenge, scripted("x"), KEY, {digests = {}})
    assert_misuse("digest", connection.deliver_challenge, scripted("x"), KEY, 256)
  end)

  it("throw in the name of the one that was called, and of its argument", function()
    local deliver, answer = connection.deliver_challenge, connection.answer_challenge
    for problem, call in pairs {
      ["#2 to 'deliver_challenge' (string expected, got number)"] = {deliver, 1},
      ["#2 to 'answer_challenge' (string expected, got nil)"] = {answer},
      ["#3 to 'deliver_challenge' (unknown digest 'sha257')"] = {deliver, KEY, "sha257"},
      ["#3 to 'deliver_challenge' (digests: the list is empty)"] =
        {deliver, KEY, {digests = {}}},
      ["#4 to 'deliver_challenge' (unknown digest 'sha257')"] =
        {deliver, KEY, "sha256", {digests = {"sha257"}}},
      ["#3 to 'deliver_challenge' (unknown digest 'sha258')"] =
        {deliver, KEY, "sha258", {digests = {"sha257"}}},
      ["#4 to 'deliver_challenge' (unknown digest 'sha259')"] =
        {deliver, KEY, nil, {digest = "sha259"}},
      ["#4 to 'deliver_challenge' (table of options expected, got number)"] =
        {deliver, KEY, nil, 1},
      ["#3 to 'answer_challenge' (unknown option 'timeout')"] =
        {answer, KEY, {timeout = 1}},
      ["#3 to 'answer_challenge' (table of options expected, got string)"] =
        {answer, KEY, "sha256"},
    } do
      local done, message = pcall(call[1], scripted("x"), table.unpack(call, 2))
      assert.is_false(done)
      assert.equal("bad argument " .. problem, message)
      local _, placed = pcall(function()
        local ok = call[1](scripted("x"), table.unpack(call, 2))
        return ok
      end)
      assert.matches("^spec/handshake_spec%.lua:%d+: bad argument", placed)
    end
  end)

  it("throw for options that are no table", function()
    assert_misuse("bad argument #3", connection.answer_challenge, scripted("x"), KEY, "sha256")
    assert_misuse("bad argument #4", connection.deliver_challenge, scripted("x"), KEY, "sha256", 1)
  end)

  it("keep a connection usable that was refused", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(LIMIT)
    peer.raw:write_frame("wrong")
    assert_fails("AuthenticationError", connection.deliver_challenge(peer.conn, KEY))
    peer.raw:write_frame("still here")
    assert.equal("still here", peer.conn:recv_bytes())
  end)
end)

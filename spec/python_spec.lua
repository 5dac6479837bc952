-- Against every Python of this machine: it is the oracle, nothing mocks it.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local python_peer = require "python_peer"
local sys = require "sys"

local hex, pattern = python_peer.hex, python_peer.pattern
local LIMIT = helpers.timeout
local DIGESTS = {"md5", "sha256", "sha384", "sha3_256", "sha3_384"}
local MODERN_DIGESTS = {"sha256", "sha384", "sha3_256", "sha3_384"}
local SIZES = {0, 1, 16383, 16384, 16385, 65536,
               helpers.slow and 300000 or 5 * 1024 * 1024}
local HUGE = (1 << 31) + 10

local FAMILIES = {
  {name = "AF_UNIX", family = "AF_UNIX",
   address = function(dir) return dir:join("socket") end},
  {name = "an abstract name", family = "AF_UNIX",
   address = helpers.abstract_name},
  {name = "AF_INET", family = "AF_INET",
   address = function() return {"127.0.0.1", 0} end},
  {name = "AF_INET6", family = "AF_INET6",
   address = function() return {"::1", 0} end},
}
local UNIX, INET = FAMILIES[1], FAMILIES[3]

local KEYS = {
  {name = "no key"},
  {name = "a key", key = "secret password"},
  {name = "an empty key", key = ""},
  {name = "a key of 200 bytes with zeros", key = ("a\0"):rep(100)},
}

--- The same backwards, by size.
local reversed = setmetatable({}, {__index = function(cache, size)
  cache[size] = pattern(size):reverse()
  return cache[size]
end})

local function options(key, more)
  local all = {authkey = key, timeout = LIMIT}
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

--- The Python's Listener; returns the address for a Client.
local function tell_listen(peer, family, dir, key)
  return peer:listen(family.family, family.address(dir), key)
end

--- A Listener of ours.
local function listen(family, dir, key, more)
  return assert(connection.Listener(family.address(dir), options(key, more)))
end

--- Our Client at the Python's Listener.
local function connect_to(peer, family, dir, key, more)
  local address = tell_listen(peer, family, dir, key)
  peer:tell("accept")
  local conn = assert(connection.Client(address, options(key, more)))
  conn:settimeout(LIMIT)
  peer:expect("ok")
  return conn
end

--- The Python's Client at our Listener.
local function accept_from(peer, family, dir, key, more)
  local listener <close> = listen(family, dir, key, more)
  peer:tell_connect(family.family, listener.address, key)
  local conn = assert(listener:accept(LIMIT))
  conn:settimeout(LIMIT)
  peer:expect("ok")
  return conn
end

local ROLES = {listener = connect_to, client = accept_from}

--- Both sides check what they get: it wants the pattern, we want it reversed.
local function exchange(peer, conn)
  peer:tell("exchange", table.unpack(SIZES))
  for _, size in ipairs(SIZES) do
    assert(conn:send_bytes(pattern(size)))
    local back = assert(conn:recv_bytes())
    assert.is_true(back == reversed[size], "message of " .. size)
  end
  peer:expect("ok")
end

local assert_fails = helpers.assert_fails

local took_part = {listener = {}, client = {}}

local function exchange_case(peer, role, family, key)
  it(("is a %s at %s with %s"):format(role, family.name, key.name), function()
    local dir <close> = helpers.tmpdir()
    local conn <close> = ROLES[role](peer, family, dir, key.key)
    exchange(peer, conn)
    took_part[role][peer.python.minor] = peer.python.full_version
  end)
end

local function exchange_cases(peer, facts)
  for _, family in ipairs(FAMILIES) do
    for _, key in ipairs(KEYS) do
      if facts.ipv6 or family.family ~= "AF_INET6" then
        exchange_case(peer, "client", family, key)
        if key.key ~= "" or facts.empty_key then
          exchange_case(peer, "listener", family, key)
        end
      end
    end
  end
end

local function wrong_key_cases(peer)
  for _, family in ipairs {UNIX, INET} do
    it("rejects our Client with another key at " .. family.name, function()
      local dir <close> = helpers.tmpdir()
      local address = tell_listen(peer, family, dir, "right")
      peer:tell("accept")
      assert_fails("AuthenticationError",
                   connection.Client(address, options("wrong")))
      peer:expect("AuthenticationError")
    end)

    it("is rejected by our Listener with another key at " .. family.name,
       function()
      local dir <close> = helpers.tmpdir()
      local listener <close> = listen(family, dir, "right")
      peer:tell_connect(family.family, listener.address, "wrong")
      assert_fails("AuthenticationError", listener:accept(LIMIT))
      peer:expect("AuthenticationError")
    end)
  end

  it("rejects our Listener's answer in the second round", function()
    local dir <close> = helpers.tmpdir()
    local listener <close> = listen(UNIX, dir, "first")
    peer:tell_connect(UNIX.family, listener.address, nil,
                      "answer=" .. hex "first", "deliver=" .. hex "second")
    assert_fails("AuthenticationError", listener:accept(LIMIT))
    peer:expect("AuthenticationError")
  end)

  it("is rejected by our Client in the second round", function()
    local dir <close> = helpers.tmpdir()
    local address = tell_listen(peer, UNIX, dir)
    peer:tell("accept", "deliver=" .. hex "first", "answer=" .. hex "second")
    assert_fails("AuthenticationError",
                 connection.Client(address, options("first")))
    peer:expect("AuthenticationError")
  end)
end

local function missing_key_cases(peer, facts)
  it("meets our Client without a key with a challenge", function()
    local dir <close> = helpers.tmpdir()
    local address = tell_listen(peer, UNIX, dir, "key")
    peer:tell("accept")
    do
      local client <close> = assert(connection.Client(address))
      client:settimeout(LIMIT)
      assert_fails("AuthenticationError", client:recv_bytes())
    end
    peer:expect("EOFError")
  end)

  it("comes without a key to our Listener with one, and leaves", function()
    local dir <close> = helpers.tmpdir()
    local listener <close> = listen(UNIX, dir, "key")
    peer:tell_connect(UNIX.family, listener.address)
    peer:expect("ok")
    peer:ask("close")
    local conn, err = listener:accept(LIMIT)
    assert.is_nil(conn)
    assert.is_truthy(({EOFError = 1, ConnectionResetError = 1})[err.name],
                     tostring(err))
  end)

  it("waits for a challenge from our Listener without a key", function()
    local dir <close> = helpers.tmpdir()
    local listener <close> = listen(UNIX, dir)
    peer:tell_connect(UNIX.family, listener.address, "key")
    assert(listener:accept(LIMIT)):close()
    peer:expect("EOFError")
  end)

  -- For an older Python a Listener with an empty key has none.
  local key = facts.empty_key and "no" or "an empty"
  it(("lets our Client with a key wait at a Listener with %s key"):format(key),
     function()
    local dir <close> = helpers.tmpdir()
    local address = tell_listen(peer, UNIX, dir,
                                not facts.empty_key and "" or nil)
    peer:tell("accept")
    local client, err = connection.Client(address, {
      authkey = "", timeout = 0.2,
    })
    assert_fails("TimeoutError", client, err)
    assert.matches("key", err.message)
    peer:expect("ok")
  end)
end

local function end_of_file_cases(peer)
  for _, family in ipairs {UNIX, INET} do
    for role, open in pairs(ROLES) do
      it(("ends as a %s at %s, and sees us end"):format(role, family.name),
         function()
        local dir <close> = helpers.tmpdir()
        local conn <close> = open(peer, family, dir, "key")
        peer:ask("send", hex "last")
        peer:ask("close")
        assert.equal("last", conn:recv_bytes())
        assert_fails("EOFError", conn:recv_bytes())
        assert_fails("EOFError", conn:recv_bytes())

        local other <close> = open(peer, family, dir, "key")
        assert(other:send_bytes("last"))
        other:close()
        assert.equal(hex "last", peer:ask("recv"))
        peer:tell("recv")
        peer:expect("EOFError")
      end)
    end
  end

  it("ends inside a message", function()
    for _, bytes in ipairs {"\0\0", "\0\0\0\4", "\0\0\0\4abc"} do
      local dir <close> = helpers.tmpdir()
      local conn <close> = connect_to(peer, UNIX, dir)
      peer:ask("write", hex(bytes))
      peer:ask("close")
      local err = assert_fails("OSError", conn:recv_bytes())
      assert.matches("end of file during message", err.message)
    end
  end)
end

-- After a message of 100 bytes that we do not take.
local function assert_unreadable(peer, conn, ...)
  assert_fails("OSError", ...)
  assert_fails("OSError", conn:recv_bytes())
  assert.is_false(conn.readable)
  assert.is_true(conn.writable)
  assert(conn:send_bytes("still writable"))
  assert.equal(hex "still writable", peer:ask("recv"))
end

local function oversize_cases(peer)
  it("sends more than our maxlength", function()
    local dir <close> = helpers.tmpdir()
    local conn <close> = connect_to(peer, UNIX, dir, "key")
    peer:ask("send_pattern", "100")
    assert.equal(pattern(100), conn:recv_bytes(100))
    peer:ask("send_pattern", "100")
    assert_unreadable(peer, conn, conn:recv_bytes(99))
  end)

  for role, open in pairs(ROLES) do
    it(("sends more as a %s than our max_message"):format(role), function()
      local dir <close> = helpers.tmpdir()
      local conn <close> = open(peer, INET, dir, "key", {max_message = 99})
      peer:ask("send_pattern", "99")
      assert.equal(pattern(99), conn:recv_bytes())
      peer:ask("send_pattern", "100")
      assert_unreadable(peer, conn, conn:recv_bytes())
    end)
  end

  it("gets more than its maxlength", function()
    local dir <close> = helpers.tmpdir()
    local conn <close> = accept_from(peer, UNIX, dir, "key")
    assert(conn:send_bytes(pattern(100)))
    peer:tell("recv", "99")
    assert.matches("bad message length", peer:expect("OSError"))
    peer:ask("send", hex "still writable")
    assert.equal("still writable", conn:recv_bytes())
  end)
end

-- Python 3.11 and older: HMAC-MD5 or nothing.
local function old_digest_cases(peer)
  it("answers a challenge of any digest with MD5", function()
    for _, digest in ipairs(DIGESTS) do
      local dir <close> = helpers.tmpdir()
      local conn <close> = accept_from(peer, UNIX, dir, "key",
                                       {digest = digest})
      assert(conn:send_bytes(digest))
      assert.equal(hex(digest), peer:ask("recv"))
    end
  end)

  it("is refused by a Listener that accepts no MD5", function()
    local dir <close> = helpers.tmpdir()
    local listener <close> = listen(UNIX, dir, "key",
                                    {digests = MODERN_DIGESTS})
    peer:tell_connect(UNIX.family, listener.address, "key")
    assert_fails("AuthenticationError", listener:accept(LIMIT))
    peer:expect("AuthenticationError")
  end)

  it("gets no answer from a Client that accepts no MD5", function()
    local dir <close> = helpers.tmpdir()
    local address = tell_listen(peer, UNIX, dir, "key")
    peer:tell("accept")
    assert_fails("AuthenticationError", connection.Client(
      address, options("key", {digests = MODERN_DIGESTS})))
    peer:expect("EOFError")
  end)
end

-- Python 3.12 and newer: challenges that name their digest.
local function new_digest_cases(peer)
  for _, digest in ipairs(DIGESTS) do
    it("challenges our Client with " .. digest, function()
      local dir <close> = helpers.tmpdir()
      local address = tell_listen(peer, UNIX, dir)
      peer:tell("accept", ("deliver:%s=%s"):format(digest, hex "key"),
                "answer=" .. hex "key")
      local client <close> = assert(connection.Client(address, options("key")))
      peer:expect("ok")
      assert(client:send_bytes(digest))
      assert.equal(hex(digest), peer:ask("recv"))
    end)

    for role, open in pairs(ROLES) do
      it(("answers as a %s our challenge of %s"):format(role, digest),
         function()
        local dir <close> = helpers.tmpdir()
        local conn <close> = open(peer, UNIX, dir, "key", {digest = digest})
        assert(conn:send_bytes(digest))
        assert.equal(hex(digest), peer:ask("recv"))
      end)
    end
  end

  it("gets no answer where its digest is not accepted", function()
    local dir <close> = helpers.tmpdir()
    local address = tell_listen(peer, UNIX, dir)
    peer:tell("accept", "deliver:md5=" .. hex "key")
    assert_fails("AuthenticationError", connection.Client(
      address, options("key", {digests = MODERN_DIGESTS})))
    peer:expect("EOFError")
  end)

  for role, open in pairs(ROLES) do
    it(("needs no MD5 as a %s"):format(role), function()
      local dir <close> = helpers.tmpdir()
      local conn <close> = open(peer, UNIX, dir, "key",
                                {digests = MODERN_DIGESTS})
      exchange(peer, conn)
    end)
  end
end

-- Which of a Pipe's ends the other program holds, and what we do with ours.
local PIPE_ENDS = {
  {kind = "duplex", readable = true, writable = true},
  {kind = "reader", readable = true, writable = false},
  {kind = "writer", readable = false, writable = true},
}

--- Our end and the other program's.
local function pipe_for(kind)
  local reader, writer = assert(connection.Pipe(kind == "duplex"))
  if kind == "reader" then return writer, reader end
  return reader, writer
end

local function inherited_pipe_case(python, theirs_is)
  it(("inherits the %s of our Pipe"):format(theirs_is.kind), function()
    local ours, theirs = pipe_for(theirs_is.kind)
    local _ <close> = helpers.closing(ours, theirs)
    local peer <close> = python_peer.new(python, {theirs:fileno()})
    ours:settimeout(LIMIT)
    peer:ask("adopt", theirs:fileno(), tostring(theirs_is.readable),
             tostring(theirs_is.writable))
    theirs:close()
    for _, size in ipairs(SIZES) do
      if theirs_is.readable then
        peer:tell("recv_pattern", size)
        assert(ours:send_bytes(pattern(size)))
        assert.equal("True", peer:expect("ok"))
      end
      if theirs_is.writable then
        peer:tell("send_pattern", size)
        assert.is_true(ours:recv_bytes() == pattern(size), "size " .. size)
        peer:expect("ok")
      end
    end
  end)
end

-- A Lua program at the end that Python made: reads the patterns it is told to
-- where it can, then writes them where it can. Its exit code tells.
local PIPE_CHILD = python_peer.pattern_source .. [[
local connection = require "multiprocessing.connection"
local kind, fd = arg[1], math.tointeger(arg[#arg])
local conn <close> = assert(connection.Connection(fd, kind ~= "writer",
                                                  kind ~= "reader"))
for i = 2, #arg - 1 do
  local message = pattern(math.tointeger(arg[i]))
  assert(not conn.readable or conn:recv_bytes() == message)
  assert(not conn.writable or conn:send_bytes(message))
end
]]

local function lent_pipe_case(peer, theirs_is)
  it(("lends a Lua program the %s of its Pipe"):format(theirs_is.kind),
     function()
    local words = helpers.lua_command(PIPE_CHILD, theirs_is.kind,
                                      table.unpack(SIZES))
    for i, word in ipairs(words) do words[i] = hex(word) end
    peer:ask("pipe", theirs_is.kind, table.unpack(words))
    for _, size in ipairs(SIZES) do
      if theirs_is.readable then peer:ask("send_pattern", size) end
      if theirs_is.writable then
        assert.equal("True", peer:ask("recv_pattern", size))
      end
    end
    assert.equal("0", peer:ask("join"))
  end)
end

-- deliver_challenge and answer_challenge over an inherited Pipe.
local function public_handshake_cases(python)
  local function opened()
    local ours, theirs = assert(connection.Pipe())
    local peer = python_peer.new(python, {theirs:fileno()})
    peer:ask("adopt", theirs:fileno(), "true", "true")
    theirs:close()
    ours:settimeout(LIMIT)
    return peer, ours, helpers.closing(peer, ours)
  end

  it("answers deliver_challenge", function()
    local peer, ours, _ <close> = opened()
    for _, digest in ipairs(DIGESTS) do
      peer:tell("handshake", "answer=" .. hex "key")
      assert.is_true(connection.deliver_challenge(ours, "key", digest))
      peer:expect("ok")
    end
    peer:tell("handshake", "answer=" .. hex "wrong")
    assert_fails("AuthenticationError",
                 connection.deliver_challenge(ours, "key"))
    peer:expect("AuthenticationError")
  end)

  it("is answered by answer_challenge", function()
    local peer, ours, _ <close> = opened()
    for _, key in ipairs(KEYS) do
      if key.key then
        peer:tell("handshake", "deliver=" .. hex(key.key))
        assert.is_true(connection.answer_challenge(ours, key.key))
        peer:expect("ok")
      end
    end
    peer:tell("handshake", "deliver=" .. hex "wrong")
    assert_fails("AuthenticationError",
                 connection.answer_challenge(ours, "key"))
    peer:expect("AuthenticationError")
  end)
end

-- Huge frames travel between two other processes, by a pipe, so that the
-- peak of memory is that of this one message: once in a Buffer, and at most
-- once more on its way.
local HUGE_PEAK = 2 * HUGE + (1 << 27)

local HUGE_RECEIVER = [[
local connection, sys = require "multiprocessing.connection", require "sys"
local fd, size = math.tointeger(arg[1]), math.tointeger(arg[2])
local conn <close> = assert(connection.Connection(fd, true, false))
local buffer = connection.Buffer(size)
local count = assert(conn:recv_bytes_into(buffer))
print(count, buffer:sub(1, 8), buffer:sub(-8, -1))
print(sys.peak_rss())
]]

local HUGE_SENDER = [[
local connection, sys = require "multiprocessing.connection", require "sys"
local fd, size = math.tointeger(arg[1]), math.tointeger(arg[2])
local conn <close> = assert(connection.Connection(fd, false, true))
local buffer = connection.Buffer(size)
buffer:set(1, "the head")
buffer:set(size - 7, "the tail")
assert(conn:send_bytes(buffer))
print(sys.peak_rss())
]]

local function huge_pair(python, python_fd, python_reads, lua_fd, script)
  local peer = python_peer.new(python, {python_fd})
  local child = helpers.lua(script, lua_fd, HUGE, {inherit = {lua_fd}})
  peer:ask("adopt", python_fd, tostring(python_reads),
           tostring(not python_reads))
  sys.close(lua_fd)
  sys.close(python_fd)
  return peer, child, helpers.closing(peer, child)
end

-- Not where this would take minutes, or memory that is not there.
local function can_be_huge(python)
  local file = io.open("/proc/meminfo")
  local info = file and file:read("a") or ""
  if file then file:close() end
  local kib = tonumber(info:match("MemAvailable:%s*(%d+)") or 0)
  return python.minor >= 8 and kib * 1024 > 3 * HUGE
    and not helpers.slow and not helpers.sanitized
end

local function huge_cases(python)
  local minute = 60

  it("sends a frame of more than 2 GiB", function()
    local r, w = assert(sys.pipe())
    local peer, child, _ <close> =
      huge_pair(python, w, false, r, HUGE_RECEIVER)
    peer:tell("send_huge", HUGE)
    assert.equal(("%d\tthe head\tthe tail"):format(HUGE), child:line(minute))
    local peak = tonumber(child:line())
    assert.is_true(peak < HUGE_PEAK, "peak of memory: " .. peak)
    peer:expect("ok")
  end)

  it("gets a frame of more than 2 GiB", function()
    local r, w = assert(sys.pipe())
    local peer, child, _ <close> = huge_pair(python, r, true, w, HUGE_SENDER)
    peer:tell("recv_huge")
    local peak = tonumber(child:line(minute))
    assert.is_true(peak < HUGE_PEAK, "peak of memory: " .. peak)
    assert.equal(("%d the head the tail"):format(HUGE), peer:expect("ok"))
  end)
end

-- Which Pythons; two are enough where everything is slow.
local pythons = helpers.pythons()
if helpers.slow and #pythons > 2 then
  pythons = {pythons[1], pythons[#pythons]}
end

local function parse_facts(text)
  local ipv6, empty_key, digests = text:match("^(%a+) (%a+) (%S+)$")
  return {
    ipv6 = ipv6 == "True", empty_key = empty_key == "True",
    names_digests = digests ~= "-",
  }
end

describe("A Python's multiprocessing.connection", function()
  local peers = {}
  for i, python in ipairs(pythons) do
    peers[i] = python_peer.new(python)
    peers[i]:tell("facts")
  end

  teardown(function()
    for _, peer in ipairs(peers) do peer:close() end
  end)

  for i, python in ipairs(pythons) do
    describe(python.version, function()
      local peer, facts = peers[i], parse_facts(peers[i]:expect("ok"))
      exchange_cases(peer, facts)
      wrong_key_cases(peer)
      missing_key_cases(peer, facts)
      end_of_file_cases(peer)
      oversize_cases(peer)
      if facts.names_digests then
        new_digest_cases(peer)
      else
        old_digest_cases(peer)
      end
      for _, theirs_is in ipairs(PIPE_ENDS) do
        inherited_pipe_case(python, theirs_is)
        lent_pipe_case(peer, theirs_is)
      end
      public_handshake_cases(python)
      if i == #pythons and can_be_huge(python) then huge_cases(python) end
    end)
  end
end)

describe("The Pythons that took part", function()
  it("are all that are here, in both roles", function()
    local versions = {}
    for i, python in ipairs(pythons) do
      versions[i] = python.full_version
      assert.equal(python.full_version, took_part.listener[python.minor])
      assert.equal(python.full_version, took_part.client[python.minor])
    end
    assert.is_true(#versions > 0, "no Python was found")
    io.write("\npython_spec: with Python ", table.concat(versions, ", "), "\n")
  end)

  it("speak both handshakes where both are here", function()
    local here, took = {}, {}
    for _, python in ipairs(helpers.pythons()) do
      here[python.minor <= 11 and "old" or "new"] = true
    end
    for minor in pairs(took_part.listener) do
      took[minor <= 11 and "old" or "new"] = true
    end
    assert.same(here, took)
  end)
end)

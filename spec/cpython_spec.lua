-- What CPython tests of its own connections, in Lib/test/_test_multiprocessing.py:
-- the same behaviours under the same names. Indices are Lua's, misuse throws,
-- what the world does comes back as nil and an error object.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local SHORT = 0.1
local SENTINEL = ""

local families = {}
for _, family in ipairs(connection.families) do
  if family ~= "AF_PIPE" then families[#families + 1] = family end
end

local elapsed = helpers.elapsed

local assert_fails = helpers.assert_fails

--- Runs `f(theirs)` in another process, which alone then has that end.
local function process_with(ours, theirs, f)
  local child = helpers.fork(function(out)
    ours:close()
    theirs:settimeout(LIMIT)
    f(theirs, out)
    theirs:close()
  end)
  theirs:close()
  ours:settimeout(LIMIT)
  return child
end

-- Until the sentinel, or the end of file that a failed test leaves.
local function echo(conn)
  for message in conn:messages("bytes") do
    if message == SENTINEL then return end
    assert(conn:send_bytes(message))
  end
end

describe("TestConnection", function()
  describe("test_connection", function()
    local message = "hello world"
    local numbers = string.pack("<i4i4i4i4", 0, 1, 2, 3)
    local a, b, child

    before_each(function()
      a, b = helpers.pair()
      child = process_with(a, b, echo)
    end)

    after_each(function()
      a:close()
      child:close()
    end)

    it("has a descriptor that is a number", function()
      assert.equal("integer", math.type(a:fileno()))
    end)

    it("echoes bytes", function()
      assert.is_true(a:send_bytes(message))
      assert.equal(message, a:recv_bytes())
    end)

    it("receives into a buffer", function()
      local buffer = connection.Buffer(40)
      assert(a:send_bytes(numbers))
      assert.equal(#numbers, a:recv_bytes_into(buffer))
      assert.equal(numbers .. ("\0"):rep(24), tostring(buffer))
    end)

    it("receives into a buffer at an offset", function()
      local buffer = connection.Buffer(40)
      assert(a:send_bytes(numbers))
      assert.equal(#numbers, a:recv_bytes_into(buffer, 13))
      assert.equal(("\0"):rep(12) .. numbers .. ("\0"):rep(12),
                   tostring(buffer))
    end)

    it("gives the whole message with BufferTooShort", function()
      local buffer, long = connection.Buffer((" "):rep(40)), message:rep(10)
      assert(a:send_bytes(long))
      local err = assert_fails("BufferTooShort", a:recv_bytes_into(buffer))
      assert.equal(long, err.bytes)
      assert.equal((" "):rep(40), tostring(buffer))
      assert(a:send_bytes(message))
      assert.equal(message, a:recv_bytes())
    end)

    it("polls for as long as it is told to", function()
      for _, timeout in ipairs {0, -1} do
        local ready, time = elapsed(a.poll, a, timeout)
        assert.is_false(ready)
        assert.is_true(time < SHORT)
      end
      assert.is_false(a:poll())
      local ready, time = elapsed(a.poll, a, SHORT)
      assert.is_false(ready)
      assert.is_true(time >= SHORT)
    end)

    it("polls until a message is there", function()
      assert(a:send_bytes(message))
      local ready, time = elapsed(a.poll, a, LIMIT)
      assert.is_true(ready)
      assert.is_true(time < LIMIT)
      assert.equal(message, a:recv_bytes())
      assert.is_false(a:poll())
    end)

    it("echoes a message of 16 MiB", function()
      local big = ("X"):rep((helpers.slow and 1 or 16) << 20)
      assert(a:send_bytes(big))
      assert.is_true(a:recv_bytes() == big)
    end)

    it("meets the end of file once the other process is gone", function()
      assert(a:send_bytes(SENTINEL))
      assert.equal(0, (child:wait()))
      assert.is_true(a.readable)
      assert.is_true(a.writable)
      assert_fails("EOFError", a:recv_bytes())
      assert_fails("EOFError", a:recv_bytes())
      assert_fails("EOFError", a:recv_bytes_into(connection.Buffer(1)))
    end)
  end)

  it("test_duplex_false: one end reads, the other writes", function()
    local reader, writer, _ <close> = helpers.pair(false)
    assert.is_true(writer:send_bytes("1"))
    assert.equal("1", reader:recv_bytes())
    assert.same({true, false}, {reader.readable, reader.writable})
    assert.same({false, true}, {writer.readable, writer.writable})
    assert.has_error(function() reader:send_bytes("2") end)
    assert.has_error(function() writer:recv_bytes() end)
    assert.has_error(function() writer:poll() end)
  end)

  it("test_spawn_close: the parent may close the child's end at once",
     function()
    local a, b = helpers.pair()
    local child <close> = process_with(a, b, echo)
    local _ <close> = a
    assert.is_true(b.closed)
    assert(a:send_bytes("hello"))
    assert.equal("hello", a:recv_bytes())
    assert(a:send_bytes(SENTINEL))
    a:close()
    assert.equal(0, (child:wait()))
  end)

  describe("test_sendbytes", function()
    local alphabet = "abcdefghijklmnopqrstuvwxyz"

    it("sends a part of a string", function()
      local a, b, _ <close> = helpers.pair()
      local parts = {
        {}, {6}, {8, 15}, {27}, {27, 26}, {1, 26}, {-1}, {-3, -2},
      }
      for _, part in ipairs(parts) do
        assert(a:send_bytes(alphabet, part[1], part[2]))
        assert.equal(alphabet:sub(part[1] or 1, part[2]), b:recv_bytes())
      end
    end)

    it("throws where the part is not inside", function()
      local a, b, _ <close> = helpers.pair()
      local parts = {{28}, {23, 27}, {27, 27}, {-27}, {0}}
      for _, part in ipairs(parts) do
        assert.has_error(function()
          a:send_bytes(alphabet, part[1], part[2])
        end)
      end
      assert.is_false(b:poll())
    end)
  end)

  it("test_context: both ends are closed with the block", function()
    local a, b, both = helpers.pair()
    do
      local _ <close> = both
      assert(a:send_bytes("1729"))
      assert.equal("1729", b:recv_bytes())
      assert.is_false(a.closed)
      assert.is_false(b.closed)
    end
    assert.is_true(a.closed)
    assert.is_true(b.closed)
    assert.has_error(function() a:recv_bytes() end)
    assert.has_error(function() b:recv_bytes() end)
  end)
end)

describe("TestListener", function()
  for _, family in ipairs(families) do
    it("test_multiple_bind: an address is bound once, " .. family, function()
      local listener <close> = assert(connection.Listener(nil, {
        family = family,
      }))
      local err = assert_fails("OSError", connection.Listener(
        listener.address, {family = family}))
      assert.equal("EADDRINUSE", err.code)
    end)
  end

  it("test_context: everything is closed with the block", function()
    local listener = assert(connection.Listener())
    do
      local _ <close> = listener
      local client <close> = assert(connection.Client(listener.address))
      local conn <close> = assert(listener:accept(LIMIT))
      assert(client:send_bytes("1729"))
      assert.equal("1729", conn:recv_bytes())
    end
    assert.has_error(function() listener:accept() end)
  end)

  it("test_empty_authkey: an empty key is a key", function()
    local listener <close> = assert(connection.Listener(nil, {authkey = ""}))
    local child <close> = helpers.fork(function()
      local client <close> = assert(connection.Client(listener.address, {
        authkey = "",
      }))
      assert(client:send_bytes("1729"))
    end)
    local conn <close> = assert(listener:accept(LIMIT))
    assert.equal("1729", conn:recv_bytes())
    assert.equal(0, (child:wait()))
    listener:close()
    assert.has_error(function() listener:accept() end)
  end)

  it("test_abstract_socket: a name that starts with a zero", function()
    local name = helpers.abstract_name()
    local listener <close> = assert(connection.Listener(name))
    assert.equal(name, listener.address)
    do
      local client <close> = assert(connection.Client(listener.address))
      local conn <close> = assert(listener:accept(LIMIT))
      assert(client:send_bytes("1729"))
      assert.equal("1729", conn:recv_bytes())
    end
    listener:close()
    assert.has_error(function() listener:accept() end)
  end)
end)

describe("TestListenerClient", function()
  local function say_hello(address)
    return helpers.fork(function()
      local client <close> = assert(connection.Client(address))
      assert(client:send_bytes("hello"))
    end)
  end

  for _, family in ipairs(families) do
    it("test_listener_client: a message from another process, " .. family,
       function()
      local listener <close> = assert(connection.Listener(nil, {
        family = family,
      }))
      local child <close> = say_hello(listener.address)
      local conn <close> = assert(listener:accept(LIMIT))
      assert.equal("hello", conn:recv_bytes())
      assert.equal(0, (child:wait()))
    end)

    it("test_issue16955: poll sees what came to a client, " .. family,
       function()
      local listener <close> = assert(connection.Listener(nil, {
        family = family,
      }))
      local client <close> = assert(connection.Client(listener.address))
      local conn <close> = assert(listener:accept(LIMIT))
      assert(conn:send_bytes("hello"))
      assert.is_true(client:poll(LIMIT))
    end)
  end

  it("test_issue14725: a client that is gone before it is accepted",
     function()
    local listener <close> = assert(connection.Listener())
    do
      local child <close> = say_hello(listener.address)
      assert.equal(0, (child:wait()))
    end
    local conn <close> = assert(listener:accept(LIMIT))
    assert.equal("hello", conn:recv_bytes())
    assert_fails("EOFError", conn:recv_bytes())
  end)
end)

describe("TestPoll", function()
  it("test_empty_string: an empty message is a message", function()
    local a, b, _ <close> = helpers.pair()
    assert.is_false(a:poll())
    assert(b:send_bytes(""))
    assert.is_true(a:poll())
    assert.is_true(a:poll())
    assert.equal("", a:recv_bytes())
    assert.is_false(a:poll())
  end)

  it("test_strings: messages of another process, one after the other",
     function()
    local strings = {"hello", "", "a", "b", "", "bye", "", "lop"}
    local a, b = helpers.pair()
    local _ <close> = a
    local child <close> = process_with(a, b, function(conn)
      for _, s in ipairs(strings) do
        assert(conn:send_bytes(s))
        assert.equal("next", conn:recv_bytes())
      end
    end)
    for _, s in ipairs(strings) do
      assert.is_true(a:poll(LIMIT))
      assert.equal(s, a:recv_bytes())
      assert.is_false(a:poll())
      assert(a:send_bytes("next"))
    end
    assert.equal(0, (child:wait()))
  end)

  it("test_boundaries: a poll in another process takes nothing", function()
    local r, w, _ <close> = helpers.pair(false)
    local child <close> = helpers.fork(function(out)
      out:write("about to poll\n")
      return r:poll(LIMIT) and 0 or 2
    end)
    assert.equal("about to poll", child:line())
    assert(w:send_bytes("first"))
    assert(w:send_bytes("second"))
    w:close()
    assert.equal(0, (child:wait()))
    assert.equal("first", r:recv_bytes())
    assert.equal("second", r:recv_bytes())
    assert_fails("EOFError", r:recv_bytes())
  end)

  it("test_dont_merge: messages stay apart, and poll takes nothing",
     function()
    local a, b = helpers.pair()
    local _ <close> = a
    assert.is_false(a:poll(0))
    assert.is_false(a:poll(SHORT))
    local child <close> = process_with(a, b, function(conn)
      for _, s in ipairs {"a", "b", "cd"} do assert(conn:send_bytes(s)) end
    end)
    assert.equal("a", a:recv_bytes())
    assert.is_true(a:poll(LIMIT))
    assert.is_true(a:poll(LIMIT))
    assert.equal("b", a:recv_bytes())
    assert.is_true(a:poll(LIMIT))
    assert.is_true(a:poll(LIMIT))
    assert.is_true(a:poll(0))
    assert.equal("cd", a:recv_bytes())
    assert.equal(0, (child:wait()))
  end)
end)

describe("TestWait", function()
  local WRITERS, ROUNDS = 4, 10

  -- Takes `object` out of `list`.
  local function remove(list, object)
    for i, other in ipairs(list) do
      if other == object then return table.remove(list, i) end
    end
  end

  -- A process that writes its numbered messages, and our end of its pipe.
  local function writer(number)
    local r, w = helpers.pair(false)
    return r, process_with(r, w, function(conn)
      for i = 1, ROUNDS do assert(conn:send_bytes(number .. " " .. i)) end
    end)
  end

  it("test_wait: four writers; each leaves at its end of file", function()
    local readers, children, got = {}, {}, {}
    for number = 1, WRITERS do
      readers[number], children[number] = writer(number)
      got[number] = {}
    end
    local _ <close> = helpers.closing(table.unpack(children))
    while #readers > 0 do
      for _, r in ipairs(connection.wait(readers, LIMIT)) do
        local message, err = r:recv_bytes()
        if message then
          local number, i = message:match("^(%d) (%d+)$")
          table.insert(got[tonumber(number)], tonumber(i))
        else
          assert.equal("EOFError", err.name)
          remove(readers, r):close()
        end
      end
    end
    local expected = {}
    for i = 1, ROUNDS do expected[i] = i end
    for number = 1, WRITERS do
      assert.same(expected, got[number])
      assert.equal(0, (children[number]:wait()))
    end
  end)

  it("test_wait_socket: four sockets that are no connections", function()
    local lines = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"
    local listener <close> = helpers.raw_listener(nil, WRITERS)
    local children, readers, got = {}, {}, {}
    for i = 1, WRITERS do
      children[i] = helpers.fork(function()
        local peer <close> = helpers.raw_client(listener.address)
        for line in lines:gmatch("%d+\n") do assert(peer:write(line)) end
      end)
    end
    local _ <close> = helpers.closing(table.unpack(children))
    for i = 1, WRITERS do
      readers[i] = listener:accept()
      got[readers[i]] = ""
    end
    while #readers > 0 do
      for _, r in ipairs(connection.wait(readers, LIMIT)) do
        local bytes = r:read(32)
        got[r] = got[r] .. bytes
        if bytes == "" then remove(readers, r):close() end
      end
    end
    for _, bytes in pairs(got) do assert.equal(lines, bytes) end
  end)

  it("test_wait_timeout: nothing, and not before its time", function()
    local a, b, _ <close> = helpers.pair()
    local ready, time = elapsed(connection.wait, {a, b}, SHORT)
    assert.same({}, ready)
    assert.is_true(time >= SHORT)
    assert(b:send_bytes(""))
    assert.same({a}, connection.wait({a, b}, LIMIT))
  end)

  it("test_wait_integer: a descriptor among connections, in their order",
     function()
    local a, b, _ <close> = helpers.pair()
    local child <close> = helpers.lua("io.read()")
    local sentinel = child.stdout:fileno() -- at its end with the child
    local objects = {a, sentinel, b}
    assert.same({}, connection.wait(objects, 0))
    child.stdin:close()
    assert.same({sentinel}, connection.wait(objects, LIMIT))
    assert(a:send_bytes("to b"))
    assert.same({sentinel, b}, connection.wait(objects, LIMIT))
    assert(b:send_bytes("to a"))
    assert.same({a, sentinel, b}, connection.wait(objects, LIMIT))
  end)

  it("test_neg_timeout: less than nothing is nothing", function()
    local a, _, _ <close> = helpers.pair()
    local ready, time = elapsed(connection.wait, {a}, -1)
    assert.same({}, ready)
    assert.is_true(time < 1)
  end)
end)

describe("TestInvalidHandle", function()
  it("test_invalid_handles: no crash, and no negative descriptor", function()
    local called, conn, err = pcall(connection.Connection, 44977608)
    assert.is_false(called and conn ~= nil)
    assert.is_truthy(not called or err.code == "EBADF")
    assert.has_error(function() connection.Connection(-1) end)
  end)
end)

describe("TestInvalidFamily", function()
  it("test_invalid_family: no named pipes where there are none", function()
    assert.has_error(function() connection.Listener([[\\.\test]]) end)
  end)
end)

-- A connection whose peer is a function of what was sent last.
local function fake_connection(answer)
  local fake = {sent = {}}
  function fake:send_bytes(bytes)
    table.insert(self.sent, bytes)
    return true
  end
  function fake:recv_bytes()
    return answer(self.sent[#self.sent])
  end
  return fake
end

describe("OtherTest", function()
  it("test_deliver_challenge_auth_failure: a bogus response", function()
    local fake = fake_connection(function() return "something bogus" end)
    assert_fails("AuthenticationError",
                 connection.deliver_challenge(fake, "abc"))
    assert.equal("#FAILURE#", fake.sent[2])
  end)

  it("test_answer_challenge_auth_failure: a bogus verdict", function()
    local fake = fake_connection(function(sent)
      return sent and "something bogus" or "#CHALLENGE#" .. ("x"):rep(20)
    end)
    assert_fails("AuthenticationError",
                 connection.answer_challenge(fake, "abc"))
  end)

  it("test_answer_challenge_auth_failure: an empty challenge", function()
    local fake = fake_connection(function() return "#CHALLENGE#" end)
    assert_fails("AuthenticationError",
                 connection.answer_challenge(fake, "abc"))
    assert.same({}, fake.sent)
  end)
end)

describe("ChallengeResponseTest", function()
  local KEY = "supadupasecretkey"
  local LEGACY = "is-twenty-bytes-long"
  -- What CPython 3.13 answers to that, or to that after "{digest}".
  local MACS = {
    [""] = "f08c5aa7ef61fc426b5b135fd8a223ae",
    md5 = "2b30be753d06dcff0a1db3c97c96e7eb",
    sha256 = "0ed2bf5258efb96604b831848a9212d3"
      .. "1f7468b3fc6fc61af1ebe84f08349e47",
    sha384 = "6e1f8271304a4881208ccb08e87056ad"
      .. "d2ffad158e27907b7be42cc522d1a727"
      .. "02ceb7c5aa4ad6f504146d7d5d988f53",
    sha3_256 = "ea3b8daca21f2fd35aff21a61dec99d4"
      .. "54a95c90d61c86ef8729852ba59c5ded",
    sha3_384 = "2a30bd714bec3961f46fa88b0c3dfa73"
      .. "52f1231125f2461af11d5e16af110955"
      .. "86c2ce42134b519d4cd47497f02656e8",
  }

  --- What answer_challenge sends in answer to `challenge`.
  local function response_to(challenge)
    local fake = fake_connection(function(sent)
      return sent and "#WELCOME#" or challenge
    end)
    assert.is_true(connection.answer_challenge(fake, KEY))
    return fake.sent[1]
  end

  for digest, mac in pairs(MACS) do
    local prefix = digest ~= "" and "{" .. digest .. "}" or ""
    local name = digest ~= "" and digest or "no digest"

    it("test_challengeresponse: the response to " .. name, function()
      local response = response_to("#CHALLENGE#" .. prefix .. LEGACY)
      assert.equal(prefix, response:sub(1, #prefix))
      assert.equal(mac, (response:sub(#prefix + 1):gsub(".", function(c)
        return ("%02x"):format(c:byte())
      end)))
    end)
  end

  for _, digest in ipairs {"md5", "sha256", "sha384", "sha3_256",
                           "sha3_384"} do
    it("test_challengeresponse: the verdict on " .. digest, function()
      local fake = fake_connection(response_to)
      assert.is_true(connection.deliver_challenge(fake, KEY, digest))
      assert.matches("^#CHALLENGE#{" .. digest .. "}", fake.sent[1])
      assert.equal("#WELCOME#", fake.sent[2])
    end)
  end
end)

describe("TestIgnoreEINTR", function()
  local BIG = helpers.slow and 1 << 20 or 1 << 24

  local INTERVAL = helpers.slow and 0.02 or 0.001

  local function start_storm()
    sys.on_alarm("nothing")
    sys.alarm(INTERVAL, INTERVAL)
  end

  it("test_ignore: signals during every call", function()
    local a, b = helpers.pair()
    local _ <close> = a
    local child <close> = process_with(a, b, function(conn)
      start_storm()
      assert(conn:send_bytes("ready"))
      assert(conn:send_bytes(assert(conn:recv_bytes())))
      assert(conn:send_bytes(("x"):rep(BIG)))
      assert(sys.alarms() > 0)
    end)
    assert.equal("ready", a:recv_bytes())
    assert.is_false(a:poll(SHORT)) -- time for signals to meet its recv_bytes
    assert(a:send_bytes("1234"))
    assert.equal("1234", a:recv_bytes())
    assert.is_true(a:recv_bytes() == ("x"):rep(BIG))
    assert.equal(0, (child:wait()))
  end)

  it("test_ignore_listener: signals during accept", function()
    local a, b = helpers.pair()
    local _ <close> = a
    local child <close> = process_with(a, b, function(conn)
      start_storm()
      local listener <close> = assert(connection.Listener())
      assert(conn:send_bytes(listener.address))
      local accepted <close> = assert(listener:accept(LIMIT))
      assert(accepted:send_bytes("welcome"))
      assert(sys.alarms() > 0)
    end)
    local address = assert(a:recv_bytes())
    assert.is_false(a:poll(SHORT)) -- time for signals to meet its accept
    local client <close> = assert(connection.Client(address))
    assert.equal("welcome", client:recv_bytes())
    assert.equal(0, (child:wait()))
  end)
end)

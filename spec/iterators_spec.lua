-- conn:messages, listener:connections and connection.ready.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local SHORT = helpers.short
local INET = {"127.0.0.1", 0}

local assert_misuse = helpers.assert_misuse

local function collect(conn, mode)
  local messages = {}
  for message in conn:messages(mode) do table.insert(messages, message) end
  return messages
end

describe("conn:messages", function()
  it("gives every message until the end of file, as bytes", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(LIMIT)
    for _, message in ipairs {"one", "", "two\0"} do peer.raw:write_frame(message) end
    peer.raw:close()
    assert.same({"one", "", "two\0"}, collect(peer.conn, "bytes"))
  end)

  for _, mode in ipairs {"objects", false} do
    it("gives every message until the end of file, as values: " ..
       tostring(mode), function()
      local peer <close> = helpers.raw_peer()
      peer.conn:settimeout(LIMIT)
      for _, message in ipairs {"I1\n.", "I01\n.", "(I1\nI2\nl."} do
        peer.raw:write_frame(message)
      end
      peer.raw:close()
      assert.same({1, true, {1, 2}}, collect(peer.conn, mode or nil))
    end)
  end

  it("gives none where the end of file is all there is", function()
    local peer <close> = helpers.raw_peer()
    peer.raw:close()
    assert.same({}, collect(peer.conn, "bytes"))
  end)

  it("can be left and taken up again", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(LIMIT)
    for _, message in ipairs {"one", "two", "three"} do peer.raw:write_frame(message) end
    peer.raw:close()
    assert.equal("one", peer.conn:messages("bytes")())
    assert.is_false(peer.conn.closed)
    assert.same({"two", "three"}, collect(peer.conn, "bytes"))
  end)

  it("throws the error object of any other failure", function()
    local failures = {
      {"OSError", function(raw) raw:write("\0\0\0\9half") raw:close() end},
      {"OSError", function(raw) raw:write("\xff\xff\xff\xfe") end},
      {"TimeoutError", function() end},
    }
    for _, failure in ipairs(failures) do
      local peer <close> = helpers.raw_peer()
      peer.conn:settimeout(SHORT)
      peer.raw:write_frame("one")
      failure[2](peer.raw)
      local seen = {}
      local ok, err = pcall(function()
        for message in peer.conn:messages("bytes") do table.insert(seen, message) end
      end)
      assert.is_false(ok)
      assert.equal(failure[1], err.name)
      assert.same({"one"}, seen)
    end
  end)

  it("goes on after a timeout that was caught", function()
    local peer <close> = helpers.raw_peer()
    peer.conn:settimeout(0)
    local next_message = peer.conn:messages("bytes")
    local ok, err = pcall(next_message)
    assert.is_false(ok)
    assert.equal("TimeoutError", err.name)
    peer.raw:write_frame("late")
    assert.equal("late", next_message())
  end)

  it("throws for a mode that it does not know, at once", function()
    local peer <close> = helpers.raw_peer()
    for _, mode in ipairs {"text", "", "bytes\0", 1, true, {}} do
      assert_misuse("bad argument #1 to 'messages'", function() peer.conn:messages(mode) end)
    end
  end)

  it("throws for a connection that is closed or write-only", function()
    local peer <close> = helpers.raw_peer("writer")
    assert_misuse("write%-only", function() collect(peer.conn, "bytes") end)
    peer.conn:close()
    assert_misuse("closed", function() collect(peer.conn, "bytes") end)
  end)

  it("is a Client's, too", function()
    local listener <close> = assert(connection.Listener())
    local client <close> = assert(connection.Client(listener.address))
    client:settimeout(LIMIT)
    local conn = assert(listener:accept(LIMIT))
    assert(conn:send_bytes("one"))
    conn:close()
    assert.same({"one"}, collect(client, "bytes"))
  end)

  it("answers as it goes, in the loop of the README", function()
    local a, b, _ <close> = helpers.pair()
    b:settimeout(LIMIT)
    local child <close> = helpers.fork(function()
      a:close()
      for message in b:messages("bytes") do assert(b:send_bytes(message:upper())) end
    end)
    b:close()
    a:settimeout(LIMIT)
    for _, word in ipairs {"hello", "world"} do
      assert(a:send_bytes(word))
      assert.equal(word:upper(), a:recv_bytes())
    end
    a:close()
    assert.equal(0, (child:wait()))
  end)
end)

describe("listener:connections", function()
  it("gives each peer that connects", function()
    local listener <close> = assert(connection.Listener(nil, {backlog = 4}))
    local raws = {}
    for i = 1, 3 do
      raws[i] = helpers.raw_client(listener)
      raws[i]:write_frame("peer " .. i)
    end
    local _ <close> = helpers.closing(table.unpack(raws))
    local count = 0
    for conn in listener:connections() do
      local _ <close> = conn
      count = count + 1
      assert.equal("peer " .. count, conn:recv_bytes())
      if count == 3 then break end
    end
    assert.is_false(listener.closed)
  end)

  it("ends when the listener is closed in its loop", function()
    local listener <close> = assert(connection.Listener())
    local raw <close> = helpers.raw_client(listener)
    local count = 0
    for conn in listener:connections() do
      conn:close()
      listener:close()
      count = count + 1
    end
    assert.equal(1, count)
    assert.is_true(raw.fd >= 0)
  end)

  it("gives nothing where the listener is closed already", function()
    local listener = assert(connection.Listener())
    listener:close()
    for _ in listener:connections() do error("a connection") end
    assert.is_nil(listener:connections()())
  end)

  it("ends when the listener is closed by on_error", function()
    local listener <close> = assert(connection.Listener(INET, {authkey = "key"}))
    local raw = helpers.raw_client(listener)
    raw:close()
    local errors = {}
    for _ in listener:connections(function(err)
      table.insert(errors, err.name)
      listener:close()
    end) do error("a connection") end
    assert.same({"EOFError"}, errors)
  end)

  it("passes what peers fail of to on_error, and goes on", function()
    local listener <close> = assert(connection.Listener(INET, {
      authkey = "key", timeout = SHORT, backlog = 8,
    }))
    local wrong <close> = helpers.raw_client(listener)
    wrong:write_frame("garbage")
    helpers.raw_client(listener):close()
    helpers.raw_client(listener):reset()
    local silent <close> = helpers.raw_client(listener)
    local names, calls = {}, 0
    for _ in listener:connections(function(err, ...)
      assert.equal(0, select("#", ...))
      calls = calls + 1
      names[err.name] = true
      if calls == 4 then listener:close() end
    end) do error("a connection") end
    assert.same({
      AuthenticationError = true, ConnectionResetError = true, EOFError = true,
      TimeoutError = true,
    }, names)
    assert.is_true(silent.fd >= 0)
  end)

  for name, on_error in pairs {["without on_error"] = false, ["with it"] = function() end} do
    it("gives a good peer after bad ones, " .. name, function()
      local listener <close> = assert(connection.Listener(INET, {authkey = "key", backlog = 8}))
      local wrong <close> = helpers.raw_client(listener)
      wrong:write_frame("garbage")
      helpers.raw_client(listener):close()
      local child <close> = helpers.fork(function()
        local client <close> = assert(connection.Client(listener.address, {
          authkey = "key", timeout = LIMIT,
        }))
        assert(client:send_bytes("good"))
      end)
      local conn <close> = listener:connections(on_error or nil)()
      conn:settimeout(LIMIT)
      assert.equal("good", conn:recv_bytes())
      assert.equal(0, (child:wait()))
    end)
  end

  it("lets an error that on_error throws through", function()
    local listener <close> = assert(connection.Listener(INET, {authkey = "key"}))
    helpers.raw_client(listener):close()
    local ok, err = pcall(function()
      for _ in listener:connections(error) do error("a connection") end
    end)
    assert.is_false(ok)
    assert.equal("EOFError", err.name)
  end)

  it("throws at once for an on_error that cannot be called", function()
    local listener <close> = assert(connection.Listener())
    for _, on_error in ipairs {1, "x", true} do
      assert_misuse("bad argument #1 to 'connections'",
                    function() listener:connections(on_error) end)
    end
  end)
end)

describe("connection.ready", function()
  it("gives objects as they become ready, and ends at the timeout", function()
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    assert(a:send_bytes("to b"))
    assert(c:send_bytes("to d"))
    local seen = {}
    for conn in connection.ready({d, b}, SHORT) do
      table.insert(seen, conn)
      assert(conn:recv_bytes())
    end
    assert.same({d, b}, seen)
  end)

  it("gives an object again for as long as it is ready", function()
    local a, b, _ <close> = helpers.pair()
    for _, message in ipairs {"one", "two", "three"} do assert(a:send_bytes(message)) end
    local got = {}
    for conn in connection.ready({b}, 0) do table.insert(got, conn:recv_bytes()) end
    assert.same({"one", "two", "three"}, got)
  end)

  it("ends at once for a timeout of 0 or less where nothing is ready", function()
    local a, b, _ <close> = helpers.pair()
    for _, timeout in ipairs {0, -1} do
      for _ in connection.ready({a, b}, timeout) do error("ready") end
    end
    assert.is_false(a.closed or b.closed)
  end)

  it("waits for ever without a timeout", function()
    local a, b, _ <close> = helpers.pair()
    local child <close> = helpers.fork(function() assert(a:send_bytes("x")) end)
    assert.equal(b, connection.ready({b})())
    assert.equal("x", b:recv_bytes())
    assert.equal(0, (child:wait()))
  end)

  it("ends when the list is empty: a server's loop that loses its peers", function()
    local list = {}
    for i = 1, 3 do
      local peer = helpers.raw_peer()
      list[i] = peer.conn
      peer.raw:write_frame("from " .. i)
      peer.raw:close()
    end
    local got = {}
    for conn in connection.ready(list) do
      local message, err = conn:recv_bytes()
      if message then
        table.insert(got, message)
      else
        assert.equal("EOFError", err.name)
        for i, other in ipairs(list) do
          if other == conn then
            table.remove(list, i)
            break
          end
        end
        conn:close()
      end
    end
    assert.same({"from 1", "from 2", "from 3"}, got)
  end)

  it("takes objects that are added in the loop", function()
    local listener <close> = assert(connection.Listener(nil, {backlog = 4}))
    local raw <close> = helpers.raw_client(listener)
    raw:write_frame("hello")
    local objects, got = {listener}, nil
    for object in connection.ready(objects, LIMIT) do
      if object == listener then
        table.insert(objects, (assert(listener:accept(0))))
      else
        got = object:recv_bytes()
        object:close()
        break
      end
    end
    assert.equal("hello", got)
  end)

  it("passes over an object that is taken out while it is queued", function()
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    assert(a:send_bytes("x"))
    assert(c:send_bytes("x"))
    local list, seen = {b, d}, {}
    for conn in connection.ready(list, 0) do
      table.insert(seen, conn)
      conn:recv_bytes()
      if conn == b then table.remove(list, 2) end
    end
    assert.same({b}, seen)
  end)

  it("gives each its turn, whatever one of them has", function()
    local chatty, loud, _ <close> = helpers.pair()
    local a, b, _ <close> = helpers.pair()
    for i = 1, 100 do assert(loud:send_bytes("message " .. i)) end
    assert(a:send_bytes("me too"))
    for _, objects in ipairs {{chatty, b}, {b, chatty}} do
      local heard = 0
      for conn in connection.ready(objects, LIMIT) do
        if conn == b then break end
        assert(conn:recv_bytes())
        heard = heard + 1
      end
      assert.is_true(heard <= 1)
    end
  end)

  it("takes all that wait takes", function()
    local r, w = assert(sys.pipe())
    local reader <close> = helpers.raw(r)
    local writer <close> = helpers.raw(w)
    writer:write("x")
    local seen = {}
    for object in connection.ready({reader, r}, 0) do
      table.insert(seen, object)
      if #seen == 2 then break end
    end
    assert.same({reader, r}, seen)
  end)

  it("throws for misuse and names the argument", function()
    local a, _, _ <close> = helpers.pair()
    for _, objects in ipairs {1, "x", true} do
      assert_misuse("bad argument #1 to 'ready'", function()
        for _ in connection.ready(objects, 0) do error("ready") end
      end)
    end
    assert_misuse("bad argument #1 to 'ready'", function() connection.ready(nil, 0) end)
    for _, timeout in ipairs {"1", {}, 0 / 0} do
      assert_misuse("bad argument #2", function()
        for _ in connection.ready({a}, timeout) do error("ready") end
      end)
    end
  end)

  it("throws for a closed object in the list", function()
    local a, b, _ <close> = helpers.pair()
    b:close()
    assert_misuse("closed", function()
      for _ in connection.ready({a, b}, 0) do error("ready") end
    end)
  end)

  it("gives what is in a Poller as it becomes ready, and ends at the timeout", function()
    local a, b, _ <close> = helpers.pair()
    local c, d, _ <close> = helpers.pair()
    local poller <close> = assert(connection.Poller())
    poller:add(b)
    poller:add(d)
    for _, message in ipairs {"one", "two"} do assert(a:send_bytes(message)) end
    assert(c:send_bytes("three"))
    local got = {}
    for conn in connection.ready(poller, SHORT) do table.insert(got, conn:recv_bytes()) end
    table.sort(got)
    assert.same({"one", "three", "two"}, got)
    assert.is_false(poller.closed)
  end)

  it("ends when a Poller is empty, as when its peers have left", function()
    local poller <close> = assert(connection.Poller())
    for i = 1, 3 do
      local peer = helpers.raw_peer()
      poller:add(peer.conn)
      peer.raw:write_frame("from " .. i)
      peer.raw:close()
    end
    local got = {}
    for conn in connection.ready(poller) do
      local message, err = conn:recv_bytes()
      if message then
        table.insert(got, message)
      else
        assert.equal("EOFError", err.name)
        conn:close()
      end
    end
    table.sort(got)
    assert.same({"from 1", "from 2", "from 3"}, got)
    for _ in connection.ready(poller) do error("ready") end
  end)

  it("passes over what is taken out of a Poller, or closed, while it is queued", function()
    for _, leave in ipairs {
      function(_, conn) conn:close() end,
      function(poller, conn) poller:remove(conn) end,
      function(poller) poller:close() end,
    } do
      local a, b, _ <close> = helpers.pair()
      local c, d, _ <close> = helpers.pair()
      local poller <close> = assert(connection.Poller())
      poller:add(b)
      poller:add(d)
      assert(a:send_bytes("x"))
      assert(c:send_bytes("x"))
      local seen = 0
      for conn in connection.ready(poller, 0) do
        seen = seen + 1
        if not poller.closed then leave(poller, conn == b and d or b) end
        conn:recv_bytes()
      end
      assert.equal(1, seen)
    end
  end)

  it("ends at once for a closed Poller, and throws for a bad timeout", function()
    local closed = assert(connection.Poller())
    closed:close()
    for _ in connection.ready(closed) do error("ready") end
    local a, _, _ <close> = helpers.pair()
    local poller <close> = assert(connection.Poller())
    poller:add(a)
    assert_misuse("bad argument.*seconds", function()
      for _ in connection.ready(poller, "1") do error("ready") end
    end)
  end)
end)

describe("connection.messages", function()
  --- `n` pipes whose writers have written `count` messages and closed.
  local function spent_pipes(n, count)
    local readers = {}
    for i = 1, n do
      local reader, writer = assert(connection.Pipe(false))
      for k = 1, count do assert(writer:send {i, k}) end
      writer:close()
      readers[i] = reader
    end
    return readers, helpers.closing(table.unpack(readers))
  end

  it("gives each message of each connection in its order, until all have ended", function()
    local readers, _ <close> = spent_pipes(4, 10)
    local last = {0, 0, 0, 0}
    for conn, message in connection.messages(readers) do
      local i, k = table.unpack(message)
      assert.equal(readers[i], conn)
      assert.equal(last[i] + 1, k)
      last[i] = k
    end
    assert.same({10, 10, 10, 10}, last)
    assert.is_false(readers[1].closed)
  end)

  it("gives bytes with the mode 'bytes', and what a Poller watches", function()
    local reader, writer <const> = assert(connection.Pipe(false))
    local _ <close> = helpers.closing(reader, writer)
    local poller <close> = assert(connection.Poller())
    poller:add(reader)
    writer:send_bytes("one")
    local seen = {}
    for conn, message in connection.messages(poller, "bytes") do
      assert.equal(reader, conn)
      seen[#seen + 1] = message
      if #seen == 1 then
        local another, w <const> = assert(connection.Pipe(false))
        poller:add(another)
        reader = another
        w:send_bytes("two")
        w:close()
        writer:close()
      end
    end
    assert.same({"one", "two"}, seen)
    assert.equal(0, #poller)
  end)

  it("lets one that talks without end starve nobody", function()
    local chatty, quiet, _ <close> = helpers.pair(true)
    local a, b, _ <close> = helpers.pair(true) -- luacheck: ignore 411
    for i = 1, 200 do chatty:send(i) end
    a:send("me too")
    local heard = 0
    for conn, message in connection.messages {quiet, b} do
      if message == "me too" then break end
      assert.equal(quiet, conn)
      heard = heard + 1
    end
    assert.is_true(heard < 200)
  end)

  it("gives an error once, as a value, and goes on with the others", function()
    local peer <close> = helpers.raw_peer("socket")
    local a, b, _ <close> = helpers.pair(true)
    peer.raw:write("\0\0\0\9half")
    peer.raw:close()
    local errors, messages = {}, {}
    a:send("whole")
    for conn, message, err in connection.messages {peer.conn, b} do
      if err then
        assert.equal(peer.conn, conn)
        assert.is_nil(message)
        errors[#errors + 1] = err.name
      else
        messages[#messages + 1] = message
      end
      if #errors + #messages == 2 then a:close() end
    end
    assert.same({"OSError"}, errors)
    assert.same({"whole"}, messages)
  end)

  it("does not wait for the rest of a message while others talk", function()
    local peer <close> = helpers.raw_peer("reader")
    local a, b, _ <close> = helpers.pair(true)
    peer.raw:write("\0\0\0\4ab")
    a:send_bytes("whole")
    local seen = {}
    for _, message in connection.messages({peer.conn, b}, "bytes") do
      seen[#seen + 1] = message
      if message == "whole" then peer.raw:write("cd") else break end
    end
    assert.same({"whole", "abcd"}, seen)
  end)

  it("passes over what is closed in the loop", function()
    local readers, _ <close> = spent_pipes(2, 3)
    local count = 0
    for conn in connection.messages(readers) do
      count = count + 1
      if count == 1 then conn:close() end
    end
    assert.equal(4, count)
  end)

  it("gives nothing for an empty list, and closes what it opened", function()
    collectgarbage()
    local before = helpers.nfds()
    for _ in connection.messages {} do error("there is nobody") end
    assert.equal(before, helpers.nfds())
    local readers, _ <close> = spent_pipes(1, 2)
    before = helpers.nfds()
    for _, message in connection.messages(readers) do
      if message then break end
    end
    assert.equal(before, helpers.nfds())
    pcall(function() for _ in connection.messages(readers) do error("stop") end end)
    assert.equal(before, helpers.nfds())
  end)

  it("closes what it opened when it is dropped and collected", function()
    local reader, writer <const> = assert(connection.Pipe(false))
    local _ <close> = helpers.closing(reader, writer)
    writer:send(1)
    writer:send(2)
    collectgarbage()
    local before = helpers.nfds()
    do
      local next_message = connection.messages {reader}
      local _, message = next_message()
      assert.equal(1, message)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, helpers.nfds())
    assert.equal(2, reader:recv())
  end)

  it("throws for misuse", function()
    local reader, writer <const> = assert(connection.Pipe(false))
    local _ <close> = helpers.closing(reader, writer)
    assert.error_matches(function() connection.messages() end, "#1 to 'messages' %(table expected")
    assert.error_matches(function() connection.messages {reader, 7} end, "Connection expected at %[2%], got number")
    assert.error_matches(function() connection.messages {writer} end, "write%-only")
    assert.error_matches(function() connection.messages({}, "text") end, "unknown mode 'text'")
  end)
end)

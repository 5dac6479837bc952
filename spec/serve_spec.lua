-- connection.serve: a server's loop as events.

local connection = require "multiprocessing.connection"
local pickle = require "multiprocessing.pickle"
local sys = require "sys"
local helpers = require "helpers"

local LIMIT = helpers.timeout
local KEY = "secret"

local function listen(options)
  return assert(connection.Listener({"127.0.0.1", 0}, options or {backlog = 16}))
end

local function client(listener, options)
  local conn = assert(connection.Client(listener.address, options))
  conn:settimeout(LIMIT)
  return conn
end

--- Runs `serve` with a function for each event; one that returns true ends it.
local function run(listener, handlers, options)
  for event, conn, message in connection.serve(listener, options) do
    local handle = handlers[event]
    if handle and handle(conn, message) then break end
  end
end

describe("connection.serve", function()
  it("tells of peers that come, talk and go", function()
    local listener <close> = listen()
    local a, b = client(listener), client(listener)
    local _ <close> = helpers.closing(a, b)
    a:send("hello")
    local seen = {}
    run(listener, {
      open = function() seen[#seen + 1] = "open" end,
      message = function(conn, message)
        seen[#seen + 1] = message
        assert.is_true(conn:send {message, 1})
        a:close()
        b:close()
      end,
      close = function(conn)
        assert.is_false(conn.closed)
        seen[#seen + 1] = "close"
        return #seen == 5
      end,
    })
    table.sort(seen)
    assert.same({"close", "close", "hello", "open", "open"}, seen)
  end)

  it("gives bytes with mode = 'bytes'", function()
    local listener <close> = listen()
    local a <close> = client(listener)
    a:send_bytes("\0raw")
    run(listener, {message = function(conn, message)
      assert.equal("\0raw", message)
      return conn:send_bytes("answer")
    end}, {mode = "bytes"})
    assert.equal("answer", a:recv_bytes())
  end)

  it("gives pickle.None, which is no end", function()
    local listener <close> = listen()
    local a <close> = client(listener)
    a:send(nil)
    run(listener, {message = function(_, message)
      assert.equal(pickle.None, message)
      return true
    end})
  end)

  it("lets a peer that talks without end starve nobody", function()
    local listener <close> = listen()
    local chatty, quiet = client(listener), client(listener)
    local _ <close> = helpers.closing(chatty, quiet)
    for i = 1, 500 do chatty:send(i) end
    quiet:send("me too")
    local before
    local heard = 0
    run(listener, {message = function(_, message)
      if message == "me too" then before = heard return true end
      heard = heard + 1
      return false
    end})
    assert.is_true(before < 500)
  end)

  it("gives every message that came before the end of file", function()
    local listener <close> = listen()
    local a = client(listener)
    for i = 1, 200 do a:send(i) end
    a:close()
    local last = 0
    run(listener, {
      message = function(_, message)
        assert.equal(last + 1, message)
        last = message
      end,
      close = function() return true end,
    })
    assert.equal(200, last)
  end)

  it("does not wait for a message that has come in part", function()
    local listener <close> = listen()
    local raw <close> = helpers.raw_client(listener)
    local a <close> = client(listener)
    raw:write("\0\0\0\5ab")
    a:send_bytes("whole")
    run(listener, {message = function(_, message)
      assert.equal("whole", message)
      return true
    end}, {mode = "bytes"})
  end)

  it("tells of a peer's failure, then of its end, and goes on", function()
    local listener <close> = listen()
    local raw <close> = helpers.raw_client(listener)
    raw:write_frame("no pickle")
    local events = {}
    run(listener, {
      error = function(conn, err)
        assert.is_false(conn.closed)
        events[#events + 1] = err.name
      end,
      close = function() events[#events + 1] = "close" return true end,
    })
    assert.same({"UnpicklingError", "close"}, events)
    assert.equal("", raw:read(1))
  end)

  it("tells of failed handshakes, without a connection, and goes on", function()
    local listener <close> = listen {authkey = KEY, backlog = 16}
    local stranger <close> = helpers.raw_client(listener)
    stranger:write_frame("I know no key")
    local friend
    run(listener, {
      error = function(conn, err)
        assert.is_nil(conn)
        assert.equal("AuthenticationError", err.name)
        friend = helpers.fork(function()
          local mine <close> = client(listener, {authkey = KEY})
          assert(mine:send("let me in"))
          assert(mine:recv() == "welcome")
        end)
      end,
      message = function(conn, message)
        assert.equal("let me in", message)
        return conn:send("welcome")
      end,
    })
    assert.equal(0, (friend:wait()))
  end)

  it("ends when the listener is closed and the last peer has gone", function()
    local listener <close> = listen()
    local a = client(listener)
    a:send("last words")
    a:close()
    local events = {}
    run(listener, {
      open = function() listener:close() end,
      message = function(_, message) events[#events + 1] = message end,
      close = function() events[#events + 1] = "close" end,
    })
    assert.same({"last words", "close"}, events)
  end)

  it("ends at once for a listener that is closed", function()
    local listener = listen()
    listener:close()
    assert.is_nil((connection.serve(listener)()))
  end)

  for what, leave in pairs {
    ["is left by break"] = function(listener)
      run(listener, {open = function() return true end})
    end,
    ["is left by an error"] = function(listener)
      pcall(run, listener, {open = function() error("stop") end})
    end,
    ["is dropped and collected"] = function(listener)
      do
        local server = connection.serve(listener)
        assert.equal("open", (server()))
      end
      collectgarbage()
      collectgarbage()
    end,
  } do
    it("closes its peers when it " .. what, function()
      local listener <close> = listen()
      local a <close> = client(listener)
      collectgarbage()
      local before = helpers.nfds()
      leave(listener)
      assert.equal("EOFError", select(2, a:recv()).name)
      collectgarbage()
      assert.equal(before, helpers.nfds())
      assert.is_false(listener.closed)
    end)
  end

  it("forgets connections that the program closes, detaches or keeps", function()
    local listener <close> = listen()
    local a, b = client(listener), client(listener)
    local _ <close> = helpers.closing(a, b)
    a:send("close me")
    local fd
    run(listener, {
      message = function(conn, message)
        if message == "close me" then
          conn:close()
          b:send("detach me")
        else
          fd = assert(conn:detach())
          listener:close()
        end
      end,
      close = function() error("nobody has ended by itself") end,
    })
    assert.is_true(sys.close(fd))
    assert.equal("EOFError", select(2, a:recv()).name)
  end)

  it("gives a send the option's timeout, a second by default", function()
    local listener <close> = listen()
    local a <close> = client(listener)
    local big = ("x"):rep(1 << 20)
    run(listener, {open = function(conn)
      local ok, err
      repeat ok, err = conn:send_bytes(big) until not ok
      assert.equal("TimeoutError", err.name)
      return true
    end}, {timeout = 0})
    assert.is_false(a.closed)
  end)

  it("leaves peers over max_connections in the backlog until one goes", function()
    local listener <close> = listen()
    local first, second = client(listener), client(listener)
    second:send("let me in")
    local open, most = 0, 0
    run(listener, {
      open = function()
        open = open + 1
        most = math.max(most, open)
        if most == 1 then first:close() end
      end,
      message = function(_, message) return message == "let me in" end,
      close = function() open = open - 1 end,
    }, {max_connections = 1})
    assert.equal(1, most)
    second:close()
  end)

  it("says that the system has no room for another peer, and goes on when it has", function()
    if helpers.slow then
      pending("valgrind takes a peer from the backlog before it says EMFILE")
      return
    end
    local listener <close> = listen()
    local first, second = client(listener), client(listener)
    local _ <close> = helpers.closing(first, second)
    second:send("at last")
    collectgarbage()
    local limit, hog
    local errors = 0
    run(listener, {
      open = function()
        if limit then return end
        limit = sys.setrlimit_nofile(math.max(first:fileno(), second:fileno()) + 8)
        hog = {}
        local fd = sys.dup(0)
        while fd do
          hog[#hog + 1] = fd
          fd = sys.dup(0)
        end
      end,
      error = function(conn, err)
        assert.is_nil(conn)
        assert.equal("EMFILE", err.code)
        errors = errors + 1
        if errors < 2 then return end
        for _, fd in ipairs(hog) do sys.close(fd) end
        hog = {}
        sys.setrlimit_nofile(limit)
      end,
      message = function(_, message) return message == "at last" end,
    })
    assert.is_true(errors >= 2)
  end)

  it("throws for misuse", function()
    local listener <close> = listen()
    assert.error_matches(function() connection.serve() end, "#1 to 'serve' %(Listener expected")
    assert.error_matches(function() connection.serve(listener, 1) end, "#2 to 'serve' %(table expected")
    assert.error_matches(function() connection.serve(listener, {tiemout = 1}) end, "unknown option 'tiemout'")
    assert.error_matches(function() connection.serve(listener, {timeout = "1"}) end, "'timeout': number expected")
    assert.error_matches(function() connection.serve(listener, {mode = "text"}) end, "unknown mode 'text'")
  end)
end)

-- Signals: none shows in what a call gives, none shortens it, and SIGPIPE is
-- never raised.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout

describe("A signal that comes all the time", function()
  -- Runs `f` in another process, under a storm that must really have come.
  local function in_storm(f)
    local child <close> = helpers.fork(function()
      local interval = helpers.slow and 0.02 or 0.0005
      sys.on_alarm("nothing")
      sys.alarm(interval, interval)
      f()
      while sys.alarms() < 3 do sys.poll(0, "r", interval) end
      sys.alarm(0)
    end)
    local code, output = child:wait()
    assert.equal("", output)
    assert.equal(0, code)
  end

  it("does not show in poll and wait, nor shorten them", function()
    in_storm(function()
      local a, b = connection.Pipe()
      local start = sys.monotonic()
      assert(a:poll(0.05) == false)
      assert(sys.monotonic() - start >= 0.05)
      start = sys.monotonic()
      assert(#connection.wait({a, b}, 0.05) == 0)
      assert(sys.monotonic() - start >= 0.05)
      start = sys.monotonic()
      assert(#connection.wait({}, 0.05) == 0)
      assert(sys.monotonic() - start >= 0.05)
    end)
  end)

  it("does not show in a receive, nor shorten it", function()
    in_storm(function()
      local a, b = connection.Pipe()
      a:settimeout(0.05)
      local start = sys.monotonic()
      local message, err = a:recv_bytes()
      assert(message == nil and err.name == "TimeoutError")
      assert(sys.monotonic() - start >= 0.05)
      assert(b:send_bytes("x"))
      assert(a:recv_bytes() == "x")
    end)
  end)

  for kind, duplex in pairs {["a socket"] = true, ["a pipe"] = false} do
    it("does not show in a send, a flush or a close, over " .. kind,
       function()
      local r, w = connection.Pipe(duplex)
      local rounds, size = helpers.slow and 2 or 10, 1 << 20
      local reader <close> = helpers.fork(function()
        w:close()
        local message = r:recv_bytes()
        local n = 0
        while message do
          assert(message == ("x"):rep(size))
          n = n + 1
          message = r:recv_bytes()
        end
        return n == 2 * rounds + 1 and 0 or 2
      end)
      r:close()
      in_storm(function()
        for _ = 1, rounds do
          w:settimeout(nil)
          assert(w:send_bytes(("x"):rep(size)))
          assert(w:flush(nil))
          assert(w:send_bytes(("x"):rep(size)))
          assert(w:flush(nil))
        end
        assert(w:send_bytes(("x"):rep(size)))
        w:settimeout(nil)
        assert(w:close())
      end)
      w:close()
      assert.equal(0, (reader:wait()))
    end)
  end

  it("does not show in accept, connect and the handshake", function()
    local listener <close> = assert(connection.Listener(nil, {
      authkey = "key",
    }))
    local child <close> = helpers.fork(function()
      for _ = 1, 5 do
        local client <close> = assert(connection.Client(listener.address, {
          authkey = "key",
        }))
        assert(client:recv_bytes() == "hello")
      end
    end)
    in_storm(function()
      for _ = 1, 5 do
        local conn <close> = assert(listener:accept(LIMIT))
        assert(conn:send_bytes("hello"))
      end
    end)
    assert.equal(0, (child:wait()))
  end)
end)

describe("SIGPIPE", function()
  -- A program with the default disposition, which would die of it.
  local function survives(script)
    local child <close> = helpers.lua([[
      local connection = require "multiprocessing.connection"
      local function broken(value, err)
        assert(value == nil and err.name == "BrokenPipeError", tostring(err))
        assert(err.code == "EPIPE")
      end
    ]] .. script .. "\nio.write('alive')", {stderr = "stdout"})
    local code, output = child:wait()
    assert.equal("alive", output)
    assert.equal(0, code)
  end

  for kind, duplex in pairs {["a socket"] = "true", ["a pipe"] = "false"} do
    it("is not raised by a send to no one, over " .. kind, function()
      survives(([[
        local r, w = connection.Pipe(%s)
        r:close()
        broken(w:send_bytes("x"))
        broken(w:send_bytes(("x"):rep(1 << 20)))
        broken(w:send_bytes(""))
        assert(w:close())
      ]]):format(duplex))
    end)

    it("is not raised by what is held for no one, over " .. kind, function()
      survives(([[
        local ways = {"flush", "close", "__close", "__gc", "send_bytes"}
        for _, last in ipairs(ways) do
          local r, w = connection.Pipe(%s)
          w:settimeout(0)
          assert(w:send_bytes(("x"):rep(1 << 20)))
          r:close()
          local value, err
          if last:find("__") then
            getmetatable(w)[last](w)
          else
            value, err = w[last](w, last == "send_bytes" and "x" or nil)
            assert(value == nil)
            assert(err.name == "BrokenPipeError" or
                   err.name == "ConnectionResetError", err)
          end
        end
      ]]):format(duplex))
    end)
  end

  it("is not raised by a TCP connection whose peer is gone", function()
    survives([[
      local listener <close> = assert(connection.Listener({"127.0.0.1", 0}))
      local client <close> = assert(connection.Client(listener.address))
      local conn = assert(listener:accept(20))
      conn:close()
      assert(client:poll(20))
      local value, err
      repeat value, err = client:send_bytes("x") until not value
      assert(err.name == "BrokenPipeError" or
             err.name == "ConnectionResetError", err)
      broken(client:send_bytes("x"))
    ]])
  end)
end)

-- A receive of which the last ones have found nothing waits before it looks: where
-- each message answers another one, that saves a system call. Whatever holds for any
-- other receive must hold for it.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

local assert_fails = helpers.assert_fails
local MANY = 40 -- receives: some look first in any case

--- Has it find nothing so often that it expects as much.
local function discourage(conn)
  conn:settimeout(0)
  for _ = 1, 6 do assert_fails("TimeoutError", conn:recv_bytes()) end
  conn:settimeout(helpers.timeout)
end

local makers = {
  ["an accepted connection"] = helpers.ahead_peer,
  ["an adopted one"] = function()
    local peer = helpers.raw_peer()
    return peer.conn, peer.raw
  end,
}

for kind, make in pairs(makers) do
  describe("A receive that expects nothing, over " .. kind, function()
    local conn, raw

    before_each(function()
      conn, raw = make()
      discourage(conn)
    end)

    after_each(function()
      conn:close()
      raw:close()
    end)

    it("gives what is there", function()
      for i = 1, MANY do raw:write_frame("message " .. i) end
      for i = 1, MANY do assert.equal("message " .. i, conn:recv_bytes()) end
    end)

    it("gives what is there to a Buffer, too", function()
      local buffer = connection.Buffer(20)
      for i = 1, MANY do raw:write_frame(("%20d"):format(i)) end
      for i = 1, MANY do
        assert.equal(20, conn:recv_bytes_into(buffer))
        assert.equal(("%20d"):format(i), tostring(buffer))
      end
    end)

    it("waits for what comes, time and again", function()
      local child <close> = helpers.fork(function()
        conn:detach()
        for _ = 1, MANY do assert(raw:write_frame(raw:read_frame() .. "!")) end
      end)
      for i = 1, MANY do
        assert(conn:send_bytes("message " .. i))
        assert.equal(("message %d!"):format(i), conn:recv_bytes())
      end
      assert.equal(0, (child:wait()))
    end)

    it("goes on with a message of which a part has come", function()
      local frame = helpers.frame("in two parts")
      raw:write(frame:sub(1, 7))
      discourage(conn)
      raw:write(frame:sub(8))
      assert.equal("in two parts", conn:recv_bytes())
    end)

    it("meets the end of file", function()
      raw:close()
      assert_fails("EOFError", conn:recv_bytes())
      assert_fails("EOFError", conn:recv_bytes())
    end)

    it("meets the end of file within a message", function()
      raw:write(helpers.frame("cut short"):sub(1, 6))
      raw:close()
      assert_fails("OSError", conn:recv_bytes())
    end)

    it("tells of a bad length for ever", function()
      raw:write("\xff\xff\xff\xfe")
      for _ = 1, MANY do assert_fails("OSError", conn:recv_bytes()) end
    end)

    it("tells what poll has met", function()
      raw:write("\xff\xff\xff\xfe")
      assert.is_true(conn:poll(helpers.timeout))
      assert_fails("OSError", conn:recv_bytes())
    end)

    it("takes its time, and no less", function()
      conn:settimeout(0.05)
      local _, seconds = helpers.elapsed(function()
        assert_fails("TimeoutError", conn:recv_bytes())
      end)
      assert.is_true(seconds >= 0.05, seconds)
    end)

    it("does not wait where it must not", function()
      conn:settimeout(0)
      assert_fails("TimeoutError", conn:recv_bytes())
      raw:write_frame("at last")
      assert.equal("at last", conn:recv_bytes())
    end)

    it("lets corked messages leave first", function()
      local child <close> = helpers.fork(function()
        conn:detach()
        assert(raw:write_frame(raw:read_frame() .. raw:read_frame()))
      end)
      conn:cork()
      assert(conn:send_bytes("one, ") and conn:send_bytes("two"))
      assert.equal("one, two", conn:recv_bytes())
      assert.equal(0, (child:wait()))
    end)

    it("delivers what is held meanwhile", function()
      local large = ("0123456789abcdef"):rep(0x40000)
      local child <close> = helpers.fork(function()
        conn:detach()
        raw:write_frame(#raw:read_frame() == #large and "all of it" or "a part")
      end)
      conn:settimeout(0)
      while not conn:send_bytes(large) do end
      conn:settimeout(helpers.timeout)
      assert.equal("all of it", conn:recv_bytes())
      assert.equal(0, (child:wait()))
    end)
  end)
end

-- Connections in cqueues: with the waiter, and in cqueues.poll without it.

local connection = require "multiprocessing.connection"
local cqueues = require "cqueues"
local helpers = require "helpers"
local loop_cases = require "loop_cases"

local LIMIT = helpers.timeout

local queue

local function start(...)
  queue = cqueues.new()
  for _, f in ipairs {...} do queue:wrap(f) end
  local ok, err, _, thread = queue:loop()
  if not ok then error(thread and debug.traceback(thread, tostring(err)) or err, 0) end
end

-- Over poll(2) coroutines that wait for one descriptor show it to the loop itself, and
-- cqueues asks the system for it again when it was closed and the first has gone on.
local function has_sets()
  local poller <close> = assert(connection.Poller())
  return poller:fileno() ~= nil
end

describe("multiprocessing.waiter.cqueues", function()
  loop_cases({
    dislikes_closed = not has_sets(),
    waiter = require "multiprocessing.waiter.cqueues",
    start = start,
    spawn = function(f) queue:wrap(f) end,
    conversations = 1000,
  }, {it = it, pending = pending, before_each = before_each, after_each = after_each})
end)

describe("cqueues.poll", function()
  it("tells that a connection can be received from", function()
    local a, b, _ <close> = helpers.pair()
    local order = {}
    start(
      function()
        assert.equal(b, (cqueues.poll(b, LIMIT)))
        table.insert(order, b:recv())
      end,
      function()
        table.insert(order, "first")
        assert(a:send("second"))
      end)
    assert.same({"first", "second"}, order)
  end)

  it("returns at once for what has been read ahead", function()
    local listener <close> = assert(connection.Listener())
    local client <close> = assert(connection.Client(listener.address))
    local conn <close> = assert(listener:accept(LIMIT))
    for i = 1, 3 do assert(client:send(i)) end
    assert.equal(1, conn:recv())
    assert.is_true(conn:dirty())
    assert.equal(0, conn:timeout())
    start(function()
      for i = 2, 3 do
        cqueues.poll(conn)
        assert.equal(i, conn:recv())
      end
    end)
    assert.is_false(conn:dirty())
  end)

  it("also waits to deliver what is held", function()
    local a, b, _ <close> = helpers.pair()
    local large = ("x"):rep(1 << 20)
    a:settimeout(0)
    assert(a:send_bytes(large))
    assert.equal("rw", a:events())
    local seen
    start(
      function()
        repeat
          cqueues.poll(a)
        until a:flush(0)
        cqueues.cancel(a:pollfd())
      end,
      function()
        b:settimeout(0)
        repeat
          seen = b:recv_bytes()
          if not seen then cqueues.poll(b) end
        until seen
      end)
    assert.is_true(seen == large)
    assert.equal("r", a:events())
  end)
end)

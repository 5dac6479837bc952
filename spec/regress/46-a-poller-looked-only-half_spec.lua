-- A Poller whose last wait had found nothing looked only at what was touched before
-- it gave way. What it found so, it gave alone: who had bytes in the system waited,
-- for up to fifteen waits, for as long as there was anything in the others'
-- buffers. And a listener in a Poller that is in this one was looked at as if the
-- program had waited all the time: a long absence ended the handshakes there.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

local SHORT = helpers.short

describe("Poller:wait, after a wait that has found nothing", function()
  it("gives all that are ready, not only what is buffered", function()
    local a, to_a, _ <close> = helpers.ahead_peer()
    local b, to_b, _ <close> = helpers.ahead_peer() -- luacheck: ignore 411
    local poller <close> = assert(connection.Poller())
    poller:add(a)
    poller:add(b)
    for _ = 1, 5 do
      assert.same({}, poller:wait(SHORT / 10))
      to_a:write(helpers.frame("one") .. helpers.frame("two"))
      assert.equal("one", a:recv_bytes())
      to_b:write_frame("x")
      assert.equal(2, #poller:wait(helpers.timeout))
      assert.equal("two", a:recv_bytes())
      assert.equal("x", b:recv_bytes())
    end
  end)

  it("does not count the program's absence against handshakes", function()
    local listener <close> = assert(connection.Listener(nil, {
      authkey = "key", timeout = 5 * SHORT,
    }))
    local raw <close> = helpers.raw_client(listener)
    local a, b, _ <close> = helpers.pair()
    local inner <close> = assert(connection.Poller())
    local outer <close> = assert(connection.Poller())
    inner:add(listener)
    outer:add(inner)
    assert.same({}, outer:wait(SHORT / 10))
    assert.matches("^#CHALLENGE#", raw:read_frame())
    connection.wait({}, 6 * SHORT) -- not there
    inner:add(a)
    assert.same({}, outer:wait(SHORT / 10))
    assert.is_false(b.closed)
  end)
end)

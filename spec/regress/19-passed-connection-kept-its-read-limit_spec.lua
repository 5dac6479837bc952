-- Receives with a timeout may set SO_RCVTIMEO, which goes with the socket: who was
-- sent the connection, or a child that had it as its standard input, found that
-- blocking reads failed after a while with EAGAIN. And a forked child that detached
-- its copy took the limit away, on which the parent's timed receive relied: that
-- waited for ever.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

-- Over TCP; 'server' has waited for a message with a timeout.
local function meet()
  local listener <close> = assert(connection.Listener({"127.0.0.1", 0}))
  local client = assert(connection.Client(listener.address))
  local server = assert(listener:accept(helpers.timeout))
  server:settimeout(helpers.timeout)
  assert(client:send_bytes("first"))
  assert.equal("first", server:recv_bytes())
  return client, server, helpers.closing(client, server)
end

describe("A connection that another process is to have", function()
  it("is sent as it was made, and stays so", function()
    local client, server, _ <close> = meet()
    local a, b, _ <close> = helpers.pair() -- luacheck: ignore 411
    assert(a:send_handle(server))
    local passed <close> = helpers.raw(assert(b:recv_handle()))
    assert.equal(0, sys.read_limit(passed.fd))
    assert(client:send_bytes("second"))
    assert.equal("second", server:recv_bytes())
    assert.equal(0, sys.read_limit(passed.fd))
  end)

  for _, name in ipairs {"stdin", "stdout", "stderr"} do
    it("is as it was made for a program that has it as its " .. name, function()
      local client, server, _ <close> = meet()
      local process <close> = assert(connection.spawn({"true"}, {[name] = server}))
      assert.equal(0, sys.read_limit(server:fileno()))
      assert(client:send_bytes("second"))
      assert.equal("second", server:recv_bytes())
      assert.equal(0, sys.read_limit(server:fileno()))
      assert(process:join(helpers.timeout))
    end)
  end

  it("keeps its limit though a forked child detaches it", function()
    local _, server, _ <close> = meet() -- luacheck: ignore 411
    local before = sys.read_limit(server:fileno())
    local child <close> = helpers.fork(function() server:detach() end)
    assert.equal(0, child:wait())
    assert.equal(before, sys.read_limit(server:fileno()))
  end)
end)

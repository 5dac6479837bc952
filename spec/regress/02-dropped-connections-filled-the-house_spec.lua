-- A server that does not close its connections leaves them to the collector, which
-- knows nothing of descriptors. Once there were none left, listener:connections()
-- failed again and again without a pause, and never served anyone again, since
-- that makes too little garbage for a collection.
-- Now it collects, and pauses, where the system has no room.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local PEERS = 30
local ROOM = 8 -- descriptors
local VAIN = 50 -- failures one after the other

describe("listener:connections", function()
  it("finds room where connections were dropped", function()
    if helpers.slow then
      pending("valgrind takes a peer from the backlog before it says EMFILE")
      return
    end
    local listener <close> = assert(connection.Listener(nil, {backlog = PEERS}))
    local peers <close> = helpers.fork(function()
      for _ = 1, PEERS do helpers.raw_client(listener):close() end
    end)
    collectgarbage()
    collectgarbage("stop") -- as if there was a large heap
    local limit = sys.setrlimit_nofile(helpers.nfds() + ROOM)
    local _ <close> = setmetatable({}, {__close = function()
      sys.setrlimit_nofile(limit)
      collectgarbage("restart")
    end})
    local served, vain = 0, 0
    for _ in listener:connections(function(err)
      vain = vain + 1
      assert(vain < VAIN, err)
    end) do
      served, vain = served + 1, 0
      if served == PEERS then break end
    end
    assert.equal(PEERS, served)
    assert.equal(0, (peers:wait()))
  end)
end)

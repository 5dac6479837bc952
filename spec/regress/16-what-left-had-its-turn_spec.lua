-- What was found ready had its turn even if the loop had taken it out meanwhile:
-- connection.serve accepted from a listener that the program had closed, which
-- threw, and connection.messages gave messages of connections that were not in the
-- program's Poller any more, so that these were lost to whoever had them now.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

describe("connection.serve", function()
  it("ends in order when the listener is closed with a peer before it", function()
    local listener <close> = assert(connection.Listener(nil, {backlog = 10}))
    local clients = {}
    for i = 1, 3 do clients[i] = assert(connection.Client(listener.address)) end
    local late
    local opened, messages, closed = 0, 0, 0
    for event in connection.serve(listener) do
      if event == "open" then
        opened = opened + 1
        if opened == 3 then clients[1]:send("first") end
      elseif event == "message" then
        messages = messages + 1
        if messages == 1 then -- the next look finds these, in this order
          clients[2]:send("second")
          late = assert(connection.Client(listener.address))
        else
          listener:close()
          late:close()
          for _, client in ipairs(clients) do client:close() end
        end
      elseif event == "close" then
        closed = closed + 1
      end
    end
    assert.same({3, 2, 3}, {opened, messages, closed})
  end)
end)

describe("connection.messages of a Poller", function()
  it("gives nothing of a connection that was taken out in the loop", function()
    local poller <close> = assert(connection.Poller())
    local near, far, _ <close> = helpers.pairs(3, {readahead = true})
    for i = 1, 3 do
      poller:add(near[i])
      far[i]:send_many({i * 10 + 1, i * 10 + 2})
    end
    local got = {}
    for conn, message in connection.messages(poller) do
      got[#got + 1] = message
      if message == 11 then
        poller:remove(near[1])
        poller:remove(near[2])
      elseif message == 32 then
        poller:remove(conn)
      end
    end
    assert.same({11, 31, 32}, got)
    assert.equal(12, near[1]:recv())
    assert.equal(21, near[2]:recv())
  end)
end)

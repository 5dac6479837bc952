--- Who is next, among many connections: a Poller says who is ready, and each has
-- a turn of so many messages, so that one who talks without end starves nobody.
-- What connection.messages and connection.serve are made of.

local core = require "multiprocessing.core"

local Turns = {__name = "multiprocessing.turns"}
Turns.__index = Turns

-- The messages of one turn. What is buffered costs no system call, so a turn of
-- some is much cheaper than turns of one.
local TURN = 64

--- Throws, as with Lua's own functions, for a `mode` that there is not.
---@param mode "objects" | "bytes" | nil
---@param what string the argument or option, for the message
---@param level integer
function Turns.is_bytes(mode, what, level)
  if mode == nil or mode == "objects" then return false end
  if mode == "bytes" then return true end
  error(("bad %s (unknown mode '%s')"):format(what, tostring(mode)), level + 1)
end

--- A new one, over `poller`, which it does not own.
function Turns.new(poller, bytes)
  return setmetatable({
    poller = poller,
    bytes = bytes,
    queue = {}, -- what was found ready
    first = 1, -- the next one in it
    left = 0, -- messages of the turn of `current`
    current = nil, -- the connection whose turn it is
  }, Turns)
end

--- Gives the turn to the next object that is ready, and returns it; nil and
-- perhaps an error where nothing is within `timeout`.
function Turns:advance(timeout)
  local queue, first = self.queue, self.first
  if queue[first] == nil then
    local err
    queue, err = self.poller:wait(timeout)
    if not queue then return nil, err end
    self.queue, first = queue, 1
  end
  self.first = first + 1
  self.current, self.left = queue[first], TURN
  return queue[first]
end

--- The next message of `current`, or nil and an error; where its turn is over,
-- nothing. Never waits.
function Turns:take()
  local conn, left = self.current, self.left
  -- one that has failed is closed, too, but stays in the poller: that is to be told
  local gone = conn.closed and not core.is_polled(self.poller, conn)
  if left == 0 or gone or (left < TURN and not conn:dirty()) then
    self.current = nil
    return
  end
  self.left = left - 1
  local message, err = core.receive(conn, self.bytes)
  if message == nil and err == nil then self.current = nil end -- not all is here
  return message, err
end

return Turns

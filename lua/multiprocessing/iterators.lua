--- Iterators over messages, peers and ready objects.

local core = require "multiprocessing.core"
local accepting = require "multiprocessing.accepting"
local Turns = require "multiprocessing.turns"

local iterators = {}

--- Throws misuse of argument `n`, unless `value` has that type.
local function check(n, name, value, expected)
  if type(value) ~= expected then
    error(("bad argument #%d to '%s' (%s expected, got %s)"):format(
      n, name, expected, type(value)), 3)
  end
end

--- conn:messages([mode]): the messages that come, until end of file. Any other
-- failure is thrown, as by io.lines.
---@param mode "objects" | "bytes" | nil
function iterators.conversation(conn, mode)
  local bytes = Turns.is_bytes(mode or nil, "argument #1 to 'messages'", 2)
  return core.iterator(conn, bytes)
end

--- listener:connections([on_error]): the peers that connect and pass the
-- handshake. What goes wrong with one of them does not stop the loop: its error
-- is given to `on_error`, where there is one. The loop ends when the listener is
-- closed.
---@param on_error fun(err: table)?
function iterators.arrivals(listener, on_error)
  if on_error ~= nil then check(1, "connections", on_error, "function") end
  return function()
    while not listener.closed do
      local ok, conn, err = pcall(listener.accept, listener)
      if not ok then
        local misuse = type(conn) == "string" and conn:find("listener is closed", 1, true)
        if misuse and listener.closed then return nil end -- by another coroutine
        error(conn, 0)
      end
      if conn then return conn end
      accepting.check(err)
      if on_error then on_error(err) end
      if accepting.lacks_room(err) then core.wait({}, accepting.PAUSE) end
    end
  end
end

--- Where `list` has `object`; looks from `hint` on first.
local function find(list, object, hint)
  for i = hint, #list do
    if rawequal(list[i], object) then return i end
  end
  for i = 1, hint - 1 do
    if rawequal(list[i], object) then return i end
  end
end

--- What the Poller finds; ends at the first timeout, or when nothing is in it.
local function ready_of_poller(poller, timeout)
  local queue, first = {}, 1
  return function()
    while queue[first] ~= nil and not core.is_polled(poller, queue[first]) do
      first = first + 1
    end
    if queue[first] == nil then
      if #poller == 0 then return nil end
      local err
      queue, err = poller:wait(timeout)
      if not queue then error(err, 0) end
      first = 1
    end
    first = first + 1
    return queue[first - 1]
  end
end

--- The same of a list, in its order: it may be changed in the loop, so it is
--- looked through each time.
local function ready_of_list(objects, timeout)
  local queue, first, place = {}, 1, 1
  local function is_gone(object) -- the queue is in the order of the list
    local at = find(objects, object, place)
    place = at and at + 1 or place
    return not at
  end
  return function()
    while queue[first] ~= nil and is_gone(queue[first]) do first = first + 1 end
    if queue[first] == nil then
      if #objects == 0 then return nil end
      local err
      queue, err = core.wait(objects, timeout)
      if not queue then error(err, 0) end
      first, place = 1, 1
    end
    first = first + 1
    return queue[first - 1]
  end
end

--- connection.ready(objects [, timeout]): each object of a list, or of a Poller,
-- as often as it is ready; ends at the first timeout. Either may be changed in
-- the loop: what was taken out is not given any more.
---@param objects any[] | multiprocessing.Poller
---@param timeout number? seconds for each wait; nil waits for ever
function iterators.ready(objects, timeout)
  if core.is_poller(objects) then return ready_of_poller(objects, timeout) end
  check(1, "ready", objects, "table")
  return ready_of_list(objects, timeout)
end

--- A Poller over `connections`, which is a list.
local function poller_of(connections)
  check(1, "messages", connections, "table")
  local poller, err = core.Poller()
  if not poller then error(err, 0) end
  for i, conn in ipairs(connections) do
    local added
    if type(conn) ~= "userdata" or not conn.recv_bytes then
      error(("bad argument #1 to 'messages' (Connection expected at [%d], got %s)"):format(
        i, type(conn)), 3)
    end
    added, err = poller:add(conn)
    if added == nil then error(err, 0) end -- false: it is in the list twice
  end
  return poller
end

--- connection.messages(connections [, mode]): each message of many connections,
-- in turn, until all have come to their end of file. Of one that fails otherwise
-- it gives the error, as a third value, once. `connections`: a list, or a Poller,
-- to which the program may add some in the loop.
---@param connections any
---@param mode "objects" | "bytes" | nil
function iterators.messages(connections, mode)
  local bytes = Turns.is_bytes(mode, "argument #2 to 'messages'", 2)
  local is_poller = core.is_poller(connections)
  local poller = is_poller and connections or poller_of(connections)
  local turns = Turns.new(poller, bytes)
  local function next_message()
    while true do
      local conn = turns.current
      if conn and is_poller and not core.is_polled(poller, conn) then
        turns.current = nil -- the program has taken it out
      elseif conn then
        local message, err = turns:take()
        if message ~= nil then return conn, message end
        if err then
          turns.current = nil
          poller:remove(conn)
          if err.name ~= "EOFError" then return conn, nil, err end
        end
      else
        if #poller == 0 then return nil end
        local _, err = turns:advance()
        if err then error(err, 0) end
      end
    end
  end
  return next_message, nil, nil, not is_poller and poller or nil
end

return iterators

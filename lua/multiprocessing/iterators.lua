--- Iterators over messages, peers and ready objects.

local core = require "multiprocessing.core"

local iterators = {}

local receivers = {bytes = function(conn) return conn:recv_bytes() end}

--- conn:messages([mode]): the messages that come, until end of file. Any other
-- failure is thrown, as by io.lines.
---@param mode "bytes"?
function iterators.conversation(conn, mode)
  local receive = receivers[mode or "bytes"]
  if not receive then
    error(("bad argument #1 to 'messages' (unknown mode '%s')"):format(mode), 2)
  end
  return function()
    local message, err = receive(conn)
    if message == nil and err.name ~= "EOFError" then error(err, 0) end
    return message
  end
end

--- listener:connections([on_error]): the peers that connect and pass the
-- handshake. What goes wrong with one of them does not stop the loop: its error
-- is given to `on_error`, where there is one. The loop ends when the listener is
-- closed.
---@param on_error fun(err: table)?
function iterators.arrivals(listener, on_error)
  return function()
    while not listener.closed do
      local conn, err = listener:accept()
      if conn then return conn end
      if on_error then on_error(err) end
    end
  end
end

--- connection.ready(objects [, timeout]): each object of `objects` as often as
-- it is ready; ends at the first timeout. The list may be changed in the loop.
---@param objects any[]
---@param timeout number? seconds for each wait; nil waits for ever
function iterators.ready(objects, timeout)
  local queue, first = {}, 1
  return function()
    local object = queue[first]
    if object == nil then
      if #objects == 0 then return nil end
      local err
      queue, err = core.wait(objects, timeout)
      if not queue then error(err, 0) end
      first, object = 1, queue[1]
    end
    first = first + 1
    return object
  end
end

return iterators

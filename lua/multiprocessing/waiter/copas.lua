--- A waiter for Copas: connection.set_waiter(require "multiprocessing.waiter.copas").
-- In a thread of Copas what would block yields to its loop; elsewhere it blocks.

local copas = require "copas"
local socket = require "socket"

-- Copas has LuaSocket's select wait for whatever looks like a socket. A Handle
-- whose wait is over, cancelled or out of time, shows that a descriptor which
-- can always be written instead, and says that it has something to be read.
local always_ready = (socket.udp4 or socket.udp)()

local Handle = {}
Handle.__index = Handle

function Handle:is_over()
  return self.cancelled or socket.gettime() >= self.deadline
end

function Handle:getfd()
  return self:is_over() and always_ready:getfd() or self.fd
end

Handle.dirty = Handle.is_over

-- For copas.receive and copas.send: the first try finds nothing to do.
function Handle:try()
  if self.tried then return 0 end
  self.tried = true
  return nil, "timeout", 0
end

Handle.receive, Handle.send = Handle.try, Handle.try

-- Copas closes what a thread that ends has waited for: the object is ours.
function Handle.close() end

local waiting = {} -- descriptor -> set of Handles

local function enter(handle)
  local handles = waiting[handle.fd]
  if not handles then
    handles = setmetatable({}, {__mode = "k"}) -- some may never come back
    waiting[handle.fd] = handles
  end
  handles[handle] = true
end

local function leave(handle)
  local handles = waiting[handle.fd]
  handles[handle] = nil
  if next(handles) == nil then waiting[handle.fd] = nil end
end

local waiter = {}

function waiter.wait(object, mode, timeout)
  if not coroutine.isyieldable() then return false end
  local handle = setmetatable({
    fd = object:pollfd(), deadline = socket.gettime() + (timeout or math.huge),
  }, Handle)
  enter(handle)
  if timeout and copas.settimeouts then -- so that the loop turns then (Copas 4)
    copas.settimeouts(handle, nil, timeout, timeout)
  end
  copas[mode == "w" and "send" or "receive"](handle, "")
  leave(handle)
end

function waiter.cancel(fd)
  for handle in pairs(waiting[fd] or {}) do handle.cancelled = true end
end

return waiter

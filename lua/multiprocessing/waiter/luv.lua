--- A waiter for luv: connection.set_waiter(require "multiprocessing.waiter.luv").
-- In a coroutine what would block yields, and is resumed by luv's loop; outside
-- of coroutines it blocks.

local core = require "multiprocessing.core"
local uv = require "luv"

--- Ends a wait. An error of the coroutine is one of luv's callback then.
local function resume(wait)
  if not wait.thread then return end
  local thread = wait.thread
  wait.thread = nil
  local ok, err = coroutine.resume(thread)
  if not ok then error(debug.traceback(thread, tostring(err)), 0) end
end

local function after(seconds, f, ...)
  local timer, arguments = uv.new_timer(), table.pack(...)
  uv.update_time()
  timer:start(math.ceil(math.min(seconds, 1 << 31) * 1000), 0, function()
    f(table.unpack(arguments, 1, arguments.n))
  end)
  return timer
end

-- ---- a descriptor: libuv allows one handle for it, whoever waits ----

local descriptors = {} -- number -> Descriptor

local Descriptor = {}
Descriptor.__index = Descriptor

--- The poll handle for it; nil where the system cannot wait for such a file,
-- and need not.
local function new_handle(fd)
  local nonblocking = core.nonblocking(fd)
  local handle, message, name = uv.new_poll(fd)
  if handle then -- libuv has changed that, for all who share the open file
    core.nonblocking(fd, nonblocking)
  elseif name ~= "EPERM" and name ~= "EBADF" then
    error(message, 0)
  end
  return handle
end

local function descriptor(fd)
  local found = descriptors[fd]
  if not found then
    local handle = new_handle(fd)
    if not handle then return nil end
    found = setmetatable({handle = handle, waits = {}, events = ""}, Descriptor)
    descriptors[fd] = found
  end
  return found
end

--- Has the handle wait for what is waited for now.
function Descriptor:update()
  local reads, writes = "", ""
  for wait in pairs(self.waits) do
    if wait.mode == "r" then reads = "r" else writes = "w" end
  end
  local events = reads .. writes
  if events == self.events then return end
  self.events = events
  if events == "" then
    self.handle:stop()
  else
    self.handle:start(events, function(err, ready) self:on_ready(err, ready) end)
  end
end

function Descriptor:on_ready(err, ready)
  local woken = {}
  for wait in pairs(self.waits) do
    if err or ready:find(wait.mode, 1, true) then table.insert(woken, wait) end
  end
  for _, wait in ipairs(woken) do resume(wait) end
end

-- ---- the waiter ----

local Wait = {}

--- Its end: also by an error, or because its coroutine is closed.
function Wait:__close()
  self.thread = nil
  if self.timer then self.timer:close() end
  local watched = self.watched
  if watched and watched.waits[self] then
    watched.waits[self] = nil
    watched:update()
  end
end

local waiter = {}

function waiter.wait(object, mode, timeout)
  if not coroutine.isyieldable() then return false end
  local fd = object:pollfd()
  local watched = fd >= 0 and descriptor(fd)
  if fd >= 0 and not watched then return end
  local wait <close> = setmetatable({
    thread = coroutine.running(), mode = mode, watched = watched,
  }, Wait)
  if watched then
    watched.waits[wait] = true
    watched:update()
  end
  wait.timer = timeout and after(timeout, resume, wait)
  coroutine.yield()
end

function waiter.cancel(fd)
  local watched = descriptors[fd]
  if not watched then return end
  descriptors[fd] = nil
  watched.handle:close() -- before another file has this number
  for wait in pairs(watched.waits) do
    watched.waits[wait] = nil
    local timer
    timer = after(0, function() -- once the caller has closed it
      timer:close()
      resume(wait)
    end)
  end
end

return waiter

--- A waiter for cqueues: connection.set_waiter(require "multiprocessing.waiter.cqueues").
-- In a thread of a cqueues loop what would block yields to that loop; elsewhere
-- it blocks.

local cqueues = require "cqueues"

-- Descriptor -> the threads that wait for it. A loop must forget a descriptor
-- before that is closed; but to forget it wakes all who wait.
local waiting = {}

local function enter(fd, thread)
  local threads = waiting[fd]
  if not threads then
    threads = setmetatable({}, {__mode = "k"}) -- some may never come back
    waiting[fd] = threads
  end
  threads[thread] = true
end

local function leave(fd, thread)
  local threads = waiting[fd]
  threads[thread] = nil
  if next(threads) == nil then
    waiting[fd] = nil
    cqueues.cancel(fd)
  end
end

local waiter = {}

function waiter.wait(object, _, timeout)
  if not coroutine.isyieldable() or not cqueues.running() then return false end
  local fd = object:pollfd()
  if fd < 0 then return cqueues.poll(timeout) end
  local thread = coroutine.running()
  enter(fd, thread)
  cqueues.poll(object)
  leave(fd, thread)
end

function waiter.cancel(fd)
  if waiting[fd] then cqueues.cancel(fd) end
end

return waiter

---@meta multiprocessing.waiter.cqueues

--- The waiter for cqueues: `connection.set_waiter(require "multiprocessing.waiter.cqueues")`.
--- For the threads of a cqueues loop; elsewhere it blocks.
---@type multiprocessing.Waiter
local waiter

return waiter

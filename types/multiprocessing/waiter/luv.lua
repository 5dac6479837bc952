---@meta multiprocessing.waiter.luv

--- The waiter for luv: `connection.set_waiter(require "multiprocessing.waiter.luv")`.
--- For any coroutine, which luv's loop resumes; the main thread blocks.
---@type multiprocessing.Waiter
local waiter

return waiter

---@meta multiprocessing.waiter.copas

--- The waiter for Copas: `connection.set_waiter(require "multiprocessing.waiter.copas")`.
--- For any coroutine, as the threads of Copas; the main thread blocks.
---@type multiprocessing.Waiter
local waiter

return waiter

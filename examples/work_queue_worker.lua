-- One worker for work_queue.lua.
--   lua5.4 work_queue_worker.lua PATH
local connection = require "multiprocessing.connection"

local queue <close> = assert(connection.Client(arg[1], {retry = true, timeout = 10}))
for number in queue:messages() do assert(queue:send(number * number)) end

-- Gives the numbers 1 to 20 to whatever workers connect, one at a time, and prints
-- their squares; what a worker has not answered when it goes, another one gets.
--   lua5.4 work_queue.lua PATH      Workers: work_queue_worker.lua or .py
local connection = require "multiprocessing.connection"

local listener <close> = assert(connection.Listener(arg[1], {backlog = 16}))
local jobs, given, idle, answers, left = {}, {}, {}, {}, 20
for i = 1, left do jobs[i] = left + 1 - i end

io.stdout:write("ready\n"):flush()
for event, conn, answer in connection.serve(listener) do
  if event == "open" then idle[conn] = true end
  if event == "close" then idle[conn] = nil table.insert(jobs, given[conn]) given[conn] = nil end
  if event == "message" then
    answers[given[conn]], idle[conn], left = answer, true, left - 1
    given[conn] = nil
    if left == 0 then break end
  end
  for worker in pairs(idle) do
    given[worker] = table.remove(jobs)
    if given[worker] then worker:send(given[worker]) idle[worker] = nil end
  end
end
print(table.concat(answers, " "))

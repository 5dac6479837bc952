-- Starts Python, has it do some of the work, and ends it by closing the
-- connection.
--   lua5.4 spawn_python.lua [PYTHON]
local connection = require "multiprocessing.connection"

local program = [[
import os, statistics
from multiprocessing.connection import Connection

with Connection(int(os.environ["MULTIPROCESSING_CONNECTION_FD"])) as parent:
    while True:
        try:
            numbers = parent.recv()
        except EOFError:
            break
        parent.send({"mean": statistics.mean(numbers),
                     "median": statistics.median(numbers)})
]]

local python = assert(connection.spawn {arg[1] or "python3", "-c", program})
for _, numbers in ipairs {{1, 2, 6}, {2.5, 7.5}} do
  assert(python.connection:send(numbers))
  local answer = assert(python.connection:recv())
  print(("mean %g, median %g"):format(answer.mean, answer.median))
end
print("exit code " .. assert(python:close()))

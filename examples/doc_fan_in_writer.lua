-- One writer for doc_fan_in.lua or doc_fan_in.py.
--   lua5.4 doc_fan_in_writer.lua PATH NAME
local connection = require "multiprocessing.connection"
local pickle = require "multiprocessing.pickle"

local conn <close> = assert(connection.Client(arg[1]))
for i = 0, 9 do
  assert(conn:send(pickle.tuple {i, arg[2]}))
end

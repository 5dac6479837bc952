-- The client of Python's documentation, for doc_server.lua and doc_server.py.
--   lua5.4 doc_client.lua PATH
local connection = require "multiprocessing.connection"
local pickle = require "multiprocessing.pickle"

local conn <close> = assert(connection.Client(arg[1], {authkey = "secret password"}))
print(pickle.repr(assert(conn:recv())))
print(assert(conn:recv_bytes()))

local array = connection.Buffer(5 * 4) -- of five ints
print(assert(conn:recv_bytes_into(array)))
print(array:unpack("i4i4i4i4i4"))

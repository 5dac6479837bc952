-- The listener of Python's documentation: a list, bytes, and an array of ints.
--   lua5.4 doc_server.lua PATH     doc_client.lua and doc_client.py talk to it
local connection = require "multiprocessing.connection"
local pickle = require "multiprocessing.pickle"

local listener <close> =
  assert(connection.Listener(arg[1], {authkey = "secret password"}))
print("ready")
io.stdout:flush() -- a pipe would keep it back

local conn <close> = assert(listener:accept())
assert(conn:send {2.25, pickle.None, "junk", pickle.global("builtins", "float")})
assert(conn:send_bytes("hello"))
assert(conn:send_bytes(string.pack("i4i4", 42, 1729)))

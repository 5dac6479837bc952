--- multiprocessing.connection: what Python's module of that name does, for Lua.
-- The C core does the work; this module adds what is plain Lua: the public
-- halves of the handshake, and the iterators.

local core = require "multiprocessing.core"
local challenge = require "multiprocessing.challenge"
local iterators = require "multiprocessing.iterators"
local serve = require "multiprocessing.serve"
require "multiprocessing.pickle" -- gives what recv returns its methods

core.methods.Connection.messages = iterators.conversation
core.methods.Client.messages = iterators.conversation
core.methods.Listener.connections = iterators.arrivals

--- process:close([timeout]): closes the connection, which first delivers what it
-- holds, and joins. Returns the exit code.
---@param timeout number? seconds for each of the two; nil: the connection's, and
-- for ever
function core.methods.Process.close(process, timeout)
  local conn = process.connection
  if timeout and not conn.closed then conn:settimeout(timeout) end
  local delivered, err = conn:close()
  local code, reason = process:join(timeout)
  if code == nil and reason.name == "TimeoutError" then return nil, reason end
  core.release(process)
  if not delivered then return nil, err end
  if code == nil then return nil, reason end
  return code
end

return {
  Buffer = core.Buffer,
  Client = core.Client,
  Connection = core.Connection,
  Listener = core.Listener,
  Pipe = core.Pipe,
  Poller = core.Poller,
  address_type = core.address_type,
  answer_challenge = challenge.answer,
  default_family = core.default_family,
  deliver_challenge = challenge.deliver,
  families = core.families,
  messages = iterators.messages,
  parent = core.parent,
  ready = iterators.ready,
  serve = serve,
  set_waiter = core.set_waiter,
  spawn = core.spawn,
  wait = core.wait,
}

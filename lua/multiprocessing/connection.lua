--- multiprocessing.connection: what Python's module of that name does, for Lua.
-- The C core does the work; this module adds what is plain Lua: the public
-- halves of the handshake, and the iterators.

local core = require "multiprocessing.core"
local challenge = require "multiprocessing.challenge"
local iterators = require "multiprocessing.iterators"
require "multiprocessing.pickle" -- gives what recv returns its methods

core.methods.Connection.messages = iterators.conversation
core.methods.Client.messages = iterators.conversation
core.methods.Listener.connections = iterators.arrivals

return {
  Buffer = core.Buffer,
  Client = core.Client,
  Connection = core.Connection,
  Listener = core.Listener,
  Pipe = core.Pipe,
  address_type = core.address_type,
  answer_challenge = challenge.answer,
  default_family = core.default_family,
  deliver_challenge = challenge.deliver,
  families = core.families,
  ready = iterators.ready,
  set_waiter = core.set_waiter,
  wait = core.wait,
}

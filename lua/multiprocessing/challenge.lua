--- The two halves of the handshake, over any object with send_bytes and
-- recv_bytes. The state machine is the core's; this carries its messages.

local core = require "multiprocessing.core"

local MESSAGE_MAX = 256
local TOO_LONG = ("\0"):rep(MESSAGE_MAX + 1)

local challenge = {}

--- Receives one message of the handshake. One that is too long is handed on as
-- such, so that the machine can refuse it to the peer; a challenge that a
-- keyless client did not expect is just what is expected here.
local function receive(conn)
  local message, err = conn:recv_bytes(MESSAGE_MAX)
  if message then return message end
  if type(err) == "table" then
    if err.code == "EMSGSIZE" then return TOO_LONG end
    if err.name == "AuthenticationError" and err.bytes then return err.bytes end
  end
  return nil, err
end

--- Carries messages between `conn` and `machine` until the machine has ended.
local function converse(conn, machine)
  local message
  while true do
    local out, done, failure = machine:next(message)
    local sent, err = true, nil
    if out then sent, err = conn:send_bytes(out) end
    if failure then return nil, failure end
    if not sent and err ~= nil then return nil, err end
    if done then return true end
    message, err = receive(conn)
    if not message then return nil, err end
  end
end

--- Asks the other end to prove that it knows `authkey`.
---@param conn table|userdata anything with send_bytes and recv_bytes
---@param authkey string an empty one is a key
---@param digest string? what the challenge asks for; "sha256"
---@param options {digest: string?, digests: string[]?}?
---@return true? ok, table? err
function challenge.deliver(conn, authkey, digest, options)
  if type(digest) == "table" then digest, options = nil, digest end
  if options ~= nil and type(options) ~= "table" then
    error("bad argument #4 to 'deliver_challenge' (table of options expected)", 2)
  end
  local policy = {digest = digest}
  for name, value in pairs(options or {}) do policy[name] = policy[name] or value end
  return converse(conn, core.handshake("deliver", authkey, policy))
end

--- Proves to the other end that this one knows `authkey`.
---@param conn table|userdata anything with send_bytes and recv_bytes
---@param authkey string
---@param options {digest: string?, digests: string[]?}?
---@return true? ok, table? err
function challenge.answer(conn, authkey, options)
  return converse(conn, core.handshake("answer", authkey, options))
end

return challenge

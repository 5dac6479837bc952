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

--- The machine of that role; nil and an error. What it does not take is misuse of
-- `name`, whose policy is in its argument `place`.
local function new_machine(role, name, authkey, policy, place)
  local ok, machine, err = pcall(core.handshake, role, authkey, policy)
  if ok then return machine, err end
  local n, problem = tostring(machine):match("^bad argument #(%d) to '[^']*' (%(.*%))$")
  if not n then error(machine, 0) end
  if n == "3" then n = place end
  error(("bad argument #%s to '%s' %s"):format(n, name, problem), 3)
end

--- A policy of `options`, and the `digest` that was given apart.
local function with(options, digest)
  if type(options) ~= "table" then return options end -- which new_machine refuses
  local policy = {}
  for name, value in pairs(options) do policy[name] = value end
  policy.digest = digest or policy.digest
  return policy
end

--- Carries messages between `conn` and `machine` until the machine has ended.
local function converse(conn, machine, failed)
  if not machine then return nil, failed end
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
  local name, place = "deliver_challenge", 4
  if type(digest) == "table" then digest, options, place = nil, digest, 3 end
  local machine, err = new_machine("deliver", name, authkey, {digest = digest}, 3)
  if machine and options ~= nil then
    machine, err = new_machine("deliver", name, authkey, with(options, digest), place)
  end
  return converse(conn, machine, err)
end

--- Proves to the other end that this one knows `authkey`.
---@param conn table|userdata anything with send_bytes and recv_bytes
---@param authkey string
---@param options {digest: string?, digests: string[]?}?
---@return true? ok, table? err
function challenge.answer(conn, authkey, options)
  local machine, err = new_machine("answer", "answer_challenge", authkey, options, 3)
  return converse(conn, machine, err)
end

return challenge

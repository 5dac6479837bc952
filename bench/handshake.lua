--- The handshake of Python 3.12's multiprocessing.connection, for peers that
-- have none of their own: over their `send(conn, message)` and `receive(conn)`,
-- by luaossl.

local found, hmac = pcall(require, "openssl.hmac")
if not found then return nil end
local rand = require "openssl.rand"

local CHALLENGE, WELCOME, DIGEST = "#CHALLENGE#", "#WELCOME#", "{sha256}"

local handshake = {}

local function sign(key, message)
  return DIGEST .. hmac.new(key, "sha256"):final(message)
end

function handshake.deliver(conn, key, send, receive)
  local message = DIGEST .. rand.bytes(40)
  send(conn, CHALLENGE .. message)
  assert(receive(conn) == sign(key, message), "wrong answer")
  send(conn, WELCOME)
end

function handshake.answer(conn, key, send, receive)
  local message = receive(conn)
  assert(message:sub(1, #CHALLENGE) == CHALLENGE, "no challenge")
  send(conn, sign(key, message:sub(#CHALLENGE + 1)))
  assert(receive(conn) == WELCOME, "not welcome")
end

return handshake

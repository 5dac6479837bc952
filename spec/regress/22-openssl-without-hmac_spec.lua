-- Where OpenSSL has no HMAC to give (a configuration without the default provider),
-- authentication was thrown as "not enough memory", as if the program had misused it.

local helpers = require "helpers"

-- Runs a Lua program whose OpenSSL knows no algorithm at all.
local function run(script)
  local dir <close> = helpers.tmpdir()
  local path = dir:join("openssl.cnf")
  local file = assert(io.open(path, "w"))
  assert(file:write(
    "openssl_conf = all\n[all]\nproviders = list\n",
    "[list]\nnull = null\n[null]\nactivate = 1\n"))
  file:close()
  local child <close> = helpers.lua([[
    local connection = require "multiprocessing.connection"
    local function tell(value, err) print(value, err.name, err.message) end
  ]] .. script, {env = {OPENSSL_CONF = path}, stderr = "stdout"})
  local code, said = child:wait()
  assert.equal(0, code, said)
  return said
end

local FAILURE = "nil\tAuthenticationError\t[^\n]*digest unavailable in OpenSSL\n"

describe("OpenSSL without HMAC", function()
  it("is an AuthenticationError of Client and accept", function()
    assert.matches("^" .. FAILURE:rep(2) .. "$", run [[
      local listener <close> = assert(connection.Listener(nil, {authkey = "key"}))
      tell(connection.Client(listener.address, {authkey = "key"}))
      local client <close> = assert(connection.Client(listener.address))
      tell(listener:accept(20))
    ]])
  end)

  it("is one of the two halves of the handshake", function()
    assert.matches("^" .. FAILURE:rep(2) .. "$", run [[
      local a, b = assert(connection.Pipe())
      tell(connection.deliver_challenge(a, "key"))
      tell(connection.answer_challenge(b, "key"))
    ]])
  end)

  it("is nothing to who needs none", function()
    assert.equal("message\n", run [[
      local listener <close> = assert(connection.Listener())
      local client <close> = assert(connection.Client(listener.address))
      local server <close> = assert(listener:accept())
      assert(client:send_bytes("message"))
      print(server:recv_bytes())
    ]])
  end)
end)

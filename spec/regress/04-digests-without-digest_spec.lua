-- With `digests` and without `digest` the challenge asked for "sha256" all the same,
-- and then took no answer to that: two ends that agreed on {"sha384"} refused each
-- other.
-- Now the first one that is accepted is asked for.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

describe("Two ends with the same digests", function()
  for _, name in ipairs {"md5", "sha384", "sha3_256", "sha3_384"} do
    it("agree on the only one, " .. name, function()
      local listener <close> = assert(connection.Listener(nil, {
        authkey = "key", digests = {name},
      }))
      local client <close> = assert(connection.Client(listener.address, {
        authkey = "key", digests = {name}, nonblocking = true,
      }))
      local conn, err
      repeat
        client:poll() -- takes part in the handshake
        conn, err = listener:accept(0)
      until conn or err.name ~= "TimeoutError"
      assert.is_not_nil(conn, tostring(err))
      local _ <close> = conn
      assert.is_true(client:handshake(helpers.timeout))
    end)
  end
end)

-- `allow` is for AF_UNIX, and misuse with an address of another family. Where only
-- the family was given it passed, and the listener was open to everyone.

local connection = require "multiprocessing.connection"

describe("The option allow", function()
  it("is misuse over another family, with or without an address", function()
    for _, arguments in ipairs {
      {{"127.0.0.1", 0}, {allow = {0}}},
      {nil, {family = "AF_INET", allow = {0}}},
    } do
      local ok, message = pcall(connection.Listener, arguments[1], arguments[2])
      assert.is_false(ok)
      assert.matches("option 'allow'", tostring(message))
    end
  end)
end)

-- A Python that does what it is told: our side of fixtures/python_peer.py,
-- which tells what a request and its answer look like.

local assert = require "luassert"
local helpers = require "helpers"

local SCRIPT = "spec/fixtures/python_peer.py"

-- What python_peer.py knows as the pattern: bytes 0 to 250 again and again, so
-- that no power of two hides a shift.
local SOURCE = [[
local period = {}
for i = 0, 250 do period[#period + 1] = string.char(i) end
period = table.concat(period)
local function pattern(size)
  return period:rep(size // #period + 1):sub(1, size)
end
]]
local pattern = assert(load(SOURCE .. "return pattern"))()

local function hex(bytes)
  if not bytes then return "-" end
  return "x" .. bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
end

local function unhex(text)
  return (text:sub(2):gsub("%x%x", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local function encode_address(family, address)
  if family == "AF_UNIX" then return hex(address) end
  return ("%s/%d"):format(address[1], address[2])
end

local function decode_address(family, text)
  if family == "AF_UNIX" then return unhex(text) end
  local host, port = text:match("^(.*)/(%d+)$")
  return {host, math.tointeger(port)}
end

local Peer = {__name = "python peer"}
Peer.__index = Peer

---@param python table one of helpers.pythons()
---@param inherit integer[]? descriptors that it shall have, for "adopt"
local function new_peer(python, inherit)
  return setmetatable({python = python, inherit = inherit, number = 0}, Peer)
end

--- Says what to do. Starts the Python where none runs, or none any more.
function Peer:tell(verb, ...)
  if not self.child or self.child.exitcode then
    self.child = helpers.python(self.python, SCRIPT, {
      inherit = self.inherit, limit = 3 * helpers.limit,
    })
  end
  self.number = self.number + 1
  assert(self.child:write(table.concat({self.number, verb, ...}, " ") .. "\n"))
end

--- How the last request ended, "ok" or an exception's name, and its text.
--- Answers to requests that a failed test left behind are passed over.
function Peer:reply(timeout)
  while true do
    local line = self.child:line(timeout) or error("the Python ended", 2)
    local number, outcome, text = line:match("^(%d+) (%S+) ?(.*)$")
    if tonumber(number) == self.number then return outcome, text end
  end
end

function Peer:expect(expected, timeout)
  local outcome, text = self:reply(timeout)
  assert.equal(expected, outcome, outcome .. ": " .. text)
  return text
end

function Peer:ask(verb, ...)
  self:tell(verb, ...)
  return self:expect("ok")
end

--- Makes it listen; returns the address as Client wants it.
function Peer:listen(family, address, key)
  local bound = self:ask("listen", family, encode_address(family, address),
                         hex(key))
  return decode_address(family, bound)
end

--- Tells it to connect to a listener of ours.
function Peer:tell_connect(family, address, key, ...)
  self:tell("connect", family, encode_address(family, address), hex(key), ...)
end

function Peer:close()
  if self.child then self.child:close() end
end

Peer.__close = Peer.close

return {new = new_peer, hex = hex, pattern = pattern, pattern_source = SOURCE}

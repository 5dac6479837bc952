-- Objects of other libraries in a Poller are asked anew at each wait, but only at
-- its own: where the Poller was itself waited for, by wait or in another Poller,
-- they kept what they had said when they were added.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"

describe("An object of another library in a Poller that is itself waited for", function()
  local LIMIT = helpers.timeout

  --- Two Pollers, of which `outer` holds `inner`, and what closes both.
  local function nested(object)
    local inner, outer = assert(connection.Poller()), assert(connection.Poller())
    assert(inner:add(object))
    assert(outer:add(inner))
    return inner, outer, helpers.closing(outer, inner)
  end

  --- What each way of waiting finds.
  local function found(inner, outer, timeout)
    return {connection.wait({inner}, timeout), outer:wait(timeout), inner:wait(timeout)}
  end

  it("is asked whether it is dirty", function()
    local near, _, _ <close> = helpers.pair()
    local dirty = false
    local object = {
      dirty = function() return dirty end,
      getfd = function() return near:fileno() end,
    }
    local inner, outer, _ <close> = nested(object) -- luacheck: ignore 411
    assert.same({{}, {}, {}}, found(inner, outer, 0))
    dirty = true
    assert.same({{inner}, {inner}, {object}}, found(inner, outer, 0))
    assert.equal(0, outer:timeout())
    dirty = false
    assert.same({{}, {}, {}}, found(inner, outer, 0))
    assert.is_nil(outer:timeout())
  end)

  it("is asked for its descriptor, and drops out without one", function()
    local one, two, _ <close> = helpers.pair()
    local fd = one:fileno()
    local object = {
      pollfd = function() return fd end,
      events = function() return "r" end,
    }
    local inner, outer, _ <close> = nested(object) -- luacheck: ignore 411
    fd = two:fileno()
    one:send_bytes("x")
    assert.same({{inner}, {inner}, {object}}, found(inner, outer, LIMIT))
    fd = -1
    assert.same({{}, {}, {}}, found(inner, outer, 0))
    assert.equal(0, #inner)
  end)

  it("is asked for its time", function()
    local near, _, _ <close> = helpers.pair()
    local timeout
    local object = {
      pollfd = function() return near:fileno() end,
      timeout = function() return timeout end,
    }
    local inner, outer, _ <close> = nested(object) -- luacheck: ignore 411
    assert.same({{}, {}, {}}, found(inner, outer, 0))
    timeout = LIMIT
    assert.same({{}, {}, {}}, found(inner, outer, 0))
    timeout = helpers.short
    assert.same({{inner}, {inner}, {object}}, found(inner, outer, LIMIT))
    timeout = 0
    assert.same({{inner}, {inner}, {object}}, found(inner, outer, 0))
  end)

  it("may close the Poller, which is misuse in wait", function()
    local near, _, _ <close> = helpers.pair()
    local inner, outer, closing
    local done = false
    inner, outer, closing = nested {
      dirty = function()
        if done then inner:close() end
        return false
      end,
      getfd = function() return near:fileno() end,
    }
    local _ <close> = closing -- luacheck: ignore 411
    done = true
    helpers.assert_misuse("poller is closed", connection.wait, {inner}, 0)
    assert.same({}, outer:wait(0))
    assert.equal(0, #outer)
  end)
end)

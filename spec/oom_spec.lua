-- Without memory: spec/c/oom_host.c runs each section of
-- spec/fixtures/oom_script.lua and oom_pickle.lua with an allocator that fails from
-- the Nth allocation on, for every N.

local helpers = require "helpers"

local SCRIPT = "spec/fixtures/oom_script.lua"
local SCRIPTS = {SCRIPT, "spec/fixtures/oom_pickle.lua"}

-- Runs the host over a section; nothing may be wrong with it.
local function run(...)
  local child <close> = helpers.host(...)
  local code, said = child:wait(helpers.limit)
  assert.equal(0, code, said)
  return said
end

local function test(script, section)
  if section:find("^retry_") then
    it("loses nothing in a call that can be repeated: " .. section, function()
      run("plain", script, section)
    end)
  else
    it("raises an error of Lua's and leaves nothing: " .. section, function()
      local stride = helpers.slow and "7" or "1"
      local said = run("loaded", "1", stride, script, section)
      assert.truthy(said:find("done after %d+ runs, 0 of them bad"))
    end)
  end
end

describe("without memory", function()
  for _, script in ipairs(SCRIPTS) do
    for _, section in ipairs(dofile(script)) do test(script, section) end
  end

  it("cannot be loaded by halves", function()
    local stride = helpers.slow and "47" or "3"
    local said = run("whole", "1", stride, SCRIPT, "pipe")
    assert.truthy(said:find("done after %d+ runs, 0 of them bad"))
  end)
end)

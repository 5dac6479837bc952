-- bench/run at its smallest: whether the benchmark still works with what this
-- library is now. Nothing is timed.

local helpers = require "helpers"

local build = package.searchpath("sys", package.cpath):gsub("/spec/sys%.so$", "")

local function read_file(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

-- The benchmark of this library alone; its workers need what a sanitizer needs.
local function run_bench(results, workloads)
  local interpreter = helpers.lua_command("-")[5]
  local python = assert(helpers.pythons()[#helpers.pythons()], "no Python 3")
  return helpers.python(python, "bench/run", {stderr = "stdout", env = {
    BENCH = workloads, BENCH_QUICK = "1", BENCH_RESULTS = results, BUILD = build,
    CPUS = "1", PEERS = "multiprocessing",
    LUA = ("env 'LD_PRELOAD=%s' '%s'"):format(os.getenv("LD_PRELOAD") or "",
                                              interpreter),
  }})
end

describe("bench/run", function()
  it("measures all workloads, and writes figures and a picture", function()
    local dir <close> = helpers.tmpdir()
    local bench <close> = run_bench(dir.path)
    local code, said = bench:wait()
    assert.equal(0, code, said)
    local json = read_file(dir:join("bench-some.json"))
    for _, name in ipairs {"w1", "w2", "w3", "w4", "w5", "w6", "w7", "look", "dumps",
                           "loads"} do
      assert.matches(('"workload": "%s"'):format(name), json, 1, true)
    end
    assert.is_nil(json:match('"failed": "[^"]*"'))
    assert.is_nil(json:match('"figures": %[%]'))
    assert.matches("^<svg", read_file(dir:join("bench-some.svg")))
  end)

  it("says which workloads there are", function()
    local dir <close> = helpers.tmpdir()
    local bench <close> = run_bench(dir.path, "w1,w0")
    local code, said = bench:wait()
    assert.not_equal(0, code)
    assert.matches("no workload w0; there are w1, w2", said, 1, true)
  end)
end)

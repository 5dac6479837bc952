-- Processes that spawn has started: their ends, and what is left of them.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local processes = require "processes"
local sys = require "sys"

local LIMIT = helpers.timeout
local LARGE = ("x"):rep(5 * 1024 * 1024)
local idle, shell = processes.idle, processes.shell

local function spawn(...)
  return assert(connection.spawn(...))
end

local function collect()
  for _ = 1, 3 do collectgarbage() end
end

local fails = helpers.assert_fails

-- A program that lasts until the writer is closed, whatever its connection does.
local function stubborn()
  local r, w = assert(sys.pipe())
  local process = spawn(processes.plain("cat"), {stdin = r, stdout = "null"})
  sys.close(r)
  return process, helpers.raw(w)
end

describe("process.exitcode", function()
  it("is nil while the program runs, and then what it exits with", function()
    for _, code in ipairs {0, 3, 255} do
      local process <close> = spawn(shell("read x <&$MULTIPROCESSING_CONNECTION_FD; exit $1", code .. ""))
      assert.is_nil(process.exitcode)
      assert.is_true(process:is_alive())
      process.connection:close()
      assert.equal(code, process:join(LIMIT))
      assert.equal(code, process.exitcode)
      assert.is_false(process:is_alive())
    end
  end)

  it("is the negative number of a signal", function()
    for signal, method in pairs {[sys.SIGTERM] = "terminate", [sys.SIGKILL] = "kill"} do
      local process <close> = spawn(idle)
      assert.is_true(process[method](process))
      assert.equal(-signal, process:join(LIMIT))
      assert.equal(-signal, process.exitcode)
    end
  end)

  it("is there without join, once the sentinel is ready", function()
    local process <close> = spawn(shell "exit 7")
    assert.same({process}, connection.wait({process}, LIMIT))
    assert.equal(7, process.exitcode)
  end)
end)

describe("process:join", function()
  it("times out, and can be repeated", function()
    local process <close> = spawn(idle)
    local err = fails("TimeoutError", process:join(0))
    assert.matches("env", err.message)
    fails("TimeoutError", process:join(-1))
    fails("TimeoutError", process:join(0.01))
    process.connection:close()
    assert.equal(0, process:join(LIMIT))
    assert.equal(0, process:join())
    assert.equal(0, process:join(0))
  end)

  it("says that somebody else took the exit code", function()
    local process <close> = spawn(shell "exit 3")
    assert.equal(3, sys.waitpid(process.pid))
    assert.equal("ECHILD", fails("ChildProcessError", process:join()).code)
    assert.is_nil(process.exitcode)
    assert.is_false(process:is_alive())
    assert.is_true(process:kill()) -- no one
    fails("ChildProcessError", process:join(0))
  end)

  it("says so where SIGCHLD is ignored", function()
    local child <close> = helpers.fork(function()
      sys.ignore(sys.SIGCHLD)
      local process = spawn(idle)
      assert(process:is_alive())
      process.connection:close()
      local code, err = process:join(LIMIT)
      assert(code == nil and err.name == "ChildProcessError", err)
      assert(process.exitcode == nil and not process:is_alive())
      for _ = 1, 20 do -- they may be gone before we have a look
        process = spawn(shell "exit 3")
        assert(#connection.wait({process}, LIMIT) == 1)
        code, err = process:join(LIMIT)
        assert(code == nil and err.name == "ChildProcessError", err)
      end
    end)
    assert.equal(0, (child:wait()))
  end)

  it("throws for what is misuse", function()
    local process <close> = spawn(shell "exit 0")
    assert.error(function() process:join("soon") end)
    assert.error(function() process.join(connection) end)
    assert.error(function() process.join() end)
    assert.equal(0, process:join(LIMIT))
  end)

  it("does not show signals, nor is it shortened by them", function()
    local child <close> = helpers.fork(function()
      sys.on_alarm("nothing")
      sys.alarm(0.001, 0.001)
      local process = spawn(idle)
      local start = sys.monotonic()
      local code, err = process:join(0.05)
      assert(code == nil and err.name == "TimeoutError", err)
      assert(sys.monotonic() - start >= 0.05)
      process.connection:close()
      assert(process:join(LIMIT) == 0)
      sys.alarm(0)
      assert(sys.alarms() > 0)
    end)
    assert.equal(0, (child:wait()))
  end)
end)

describe("terminate and kill", function()
  it("send nothing to what has ended", function()
    local process <close> = spawn(shell "exit 0")
    assert(connection.wait({process}, LIMIT))
    assert.is_true(process:terminate()) -- which sees that it has
    assert.is_true(process:kill())
    assert.equal(0, process.exitcode)
    assert.is_false(processes.exists(process.pid))
    assert.is_true(process:kill()) -- its pid may be another's by now
  end)
end)

describe("wait", function()
  it("takes processes and their sentinels", function()
    local a <close> = spawn(idle)
    local b <close> = spawn(shell "exit 0")
    assert.equal("integer", math.type(a.sentinel))
    assert.same({b}, connection.wait({a, b}, LIMIT))
    assert.same({b.sentinel, b},
                connection.wait({a.sentinel, b.sentinel, a, b}, LIMIT))
    assert.same({}, connection.wait({a, a.sentinel}, 0))
    a.connection:close()
    assert.same({a}, connection.wait({a}, LIMIT))
    assert.equal(0, a:join())
    assert.same({a, a.sentinel}, connection.wait({a, a.sentinel}, 0))
  end)

  it("takes them among connections", function()
    local process <close> = spawn(processes.lua [[
      parent:send_bytes("hello")
      parent:recv_bytes()]])
    local list = {process, process.connection}
    assert.same({process.connection}, connection.wait(list, LIMIT))
    assert.equal("hello", process.connection:recv_bytes())
    process.connection:send_bytes("")
    assert.same({process}, connection.wait({process}, LIMIT))
  end)

  it("does not take a closed one", function()
    local process = spawn(shell "exit 0")
    assert.equal(0, process:close(LIMIT))
    assert.error_matches(function() connection.wait({process}, 0) end,
                         "no open descriptor")
  end)
end)

describe("a sentinel in another loop", function()
  it("is what fileno, getfd, pollfd and events tell of", function()
    local process <close> = spawn(idle)
    local fd = process.sentinel
    assert.equal(fd, process:fileno())
    assert.equal(fd, process:getfd())
    assert.equal(fd, process:pollfd())
    assert.equal("r", process:events())
    assert.is_true(sys.is_cloexec(fd))
    assert.is_false(sys.poll(fd, "r", 0))
    process.connection:close()
    assert.is_true(sys.poll(fd, "r", LIMIT))
    process:close(LIMIT)
    assert.equal(-1, process:getfd())
    assert.error_matches(function() process:fileno() end, "process is closed")
  end)

  it("wakes cqueues", function()
    local found, cqueues = pcall(require, "cqueues")
    if not found then return pending("cqueues is not installed") end
    local process = spawn(shell "exit 5")
    local loop, code = cqueues.new(), nil
    loop:wrap(function()
      cqueues.poll(process)
      cqueues.cancel(process:pollfd())
      code = process:join(0)
    end)
    assert(loop:loop(LIMIT))
    assert.equal(5, code)
    process:close()
  end)
end)

describe("process:close", function()
  it("closes the connection, joins, and returns the exit code", function()
    local process = spawn(shell "cat <&$MULTIPROCESSING_CONNECTION_FD; exit 4")
    assert.is_false(process.closed)
    assert.equal(4, process:close())
    assert.is_true(process.closed)
    assert.is_true(process.connection.closed)
    assert.is_nil(process.sentinel)
    assert.equal(4, process:close())
    assert.equal(4, process.exitcode)
    assert.equal(4, process:join())
  end)

  it("delivers first what the connection holds", function()
    local process = spawn(processes.lua([[
      local message = assert(parent:recv_bytes())
      os.exit(#message == 5 * 1024 * 1024 and parent:recv_bytes() == nil and 9)
    ]]))
    process.connection:settimeout(0)
    assert.is_true(process.connection:send_bytes(LARGE))
    process.connection:settimeout(LIMIT)
    assert.equal(9, process:close())
  end)

  it("does not wait longer for that than it is told to", function()
    local process, writer = stubborn()
    process.connection:settimeout(0)
    assert.is_true(process.connection:send_bytes(LARGE)) -- nobody reads it
    process.connection:settimeout(nil)
    fails("TimeoutError", process:close(0.01))
    writer:close()
    assert.equal(0, process:close(LIMIT))
  end)

  it("says what could not be delivered", function()
    local process, writer = stubborn()
    process.connection:settimeout(0)
    assert.is_true(process.connection:send_bytes(LARGE)) -- nobody reads it
    writer:close() -- which ends it
    process.connection:settimeout(LIMIT)
    local _, err = process:close()
    assert.is_truthy(err.name == "BrokenPipeError" or
                     err.name == "ConnectionResetError", err.name)
    assert.equal(0, process.exitcode)
    assert.equal(0, process:close())
  end)

  it("times out, and can be repeated", function()
    local process, writer = stubborn()
    fails("TimeoutError", process:close(0))
    assert.is_true(process.connection.closed)
    assert.is_false(process.closed)
    assert.is_true(process:is_alive())
    writer:close()
    assert.equal(0, process:close(LIMIT))
  end)

  it("closes one whose exit code somebody else took, and says so", function()
    local process = spawn(shell "exit 3")
    assert.equal(3, sys.waitpid(process.pid))
    fails("ChildProcessError", process:close())
    assert.is_true(process.closed)
    assert.is_nil(process.sentinel)
    fails("ChildProcessError", process:close())
  end)

  it("is what <close> does", function()
    local kept
    do
      local process <close> = spawn(idle)
      kept = process
    end
    assert.equal(0, kept.exitcode)
    assert.is_true(kept.closed)
    assert.is_true(kept.connection.closed)
  end)

  it("by <close> lets an error pass", function()
    local pid
    local _, err = pcall(function()
      local process <close> = spawn(idle)
      pid = process.pid
      error("on the way", 0)
    end)
    assert.equal("on the way", err)
    assert.is_false(processes.exists(pid))
  end)
end)

describe("a process that is collected", function()
  -- The pid of one whose object is gone, and what ends it.
  local function dropped(process)
    local conn, pid = process.connection, process.pid
    return conn, pid
  end

  before_each(collect)

  it("leaves its connection alone", function()
    local conn = dropped(spawn(processes.lua [[
      parent:send_bytes(parent:recv_bytes():upper())]]))
    collect()
    assert(conn:send_bytes("still here"))
    assert.equal("STILL HERE", conn:recv_bytes())
    conn:close()
  end)

  it("is no zombie if it has ended", function()
    local process = spawn(shell "exit 0")
    local pid = process.pid
    assert(connection.wait({process}, LIMIT))
    assert.is_true(processes.exists(pid))
    process = nil -- luacheck: ignore 311
    collect()
    assert.is_false(processes.exists(pid))
  end)

  local ways = {
    ["a later collection"] = function() collectgarbage() end,
    ["a call that waits"] = function() connection.wait({}, 0.001) end,
    ["the end of another one"] = function()
      spawn(shell "exit 0"):join(LIMIT)
    end,
    ["a spawn that fails"] = function() connection.spawn {"/no/such/program"} end,
  }
  for name, way in pairs(ways) do
    it("is no zombie after " .. name .. ", if it ran then", function()
      local conns, pids = {}, {}
      for i = 1, 5 do conns[i], pids[i] = dropped(spawn(idle)) end
      collect()
      for _, pid in ipairs(pids) do assert.is_true(processes.exists(pid)) end
      collectgarbage("stop")
      local _ <close> = setmetatable({}, {__close = function()
        collectgarbage("restart")
      end})
      for i = 1, 5 do
        conns[i]:close()
        processes.await_gone(pids[i], way)
      end
    end)
  end

  it("does not wait, nor keep a descriptor", function()
    collect()
    local before = helpers.nfds()
    local process, writer = stubborn()
    local pid = process.pid
    process = nil -- luacheck: ignore 311
    collect()
    assert.equal(before + 1, helpers.nfds())
    assert.is_true(processes.exists(pid))
    writer:close()
    processes.await_gone(pid, collectgarbage)
  end)
end)

describe("in a forked child, its parent's process", function()
  it("is left alone, whatever is done with it", function()
    local process <close> = spawn(idle)
    local child <close> = helpers.fork(function()
      for _, name in ipairs {"join", "is_alive", "terminate", "kill"} do
        local done, err = pcall(process[name], process)
        assert(not done and err:find("child of another one", 1, true), err)
      end
      assert(process.exitcode == nil and process.pid)
      assert(tostring(process):find("pid"))
      getmetatable(process).__close(process)
      getmetatable(process).__gc(process)
      collect()
    end)
    assert.equal(0, (child:wait()))
    assert.is_true(process:is_alive())
    assert.same({}, connection.wait({process}, 0))
    process.connection:close()
    assert.equal(0, process:join(LIMIT))
  end)
end)

describe("tostring of a process", function()
  it("names the program, the pid and the exit code", function()
    local process <close> = spawn(idle)
    local text = ("multiprocessing.connection.Process (env, pid %d)"):format(process.pid)
    assert.equal(text, tostring(process))
    process.connection:close()
    process:join(LIMIT)
    assert.equal(text:sub(1, -2) .. ", exit code 0)", tostring(process))
  end)

  it("says that it has ended, where the exit code is not known", function()
    local process <close> = spawn(shell "exit 3")
    assert(sys.waitpid(process.pid))
    process:join(0)
    assert.matches(", ended%)$", tostring(process))
  end)
end)

describe("messages of its connection", function()
  it("name the program", function()
    local process <close> = spawn(shell "exit 0")
    local err = fails("EOFError", process.connection:recv_bytes())
    assert.matches("from env: end of file", err.message)
  end)
end)

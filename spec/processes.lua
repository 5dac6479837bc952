-- What the specs of processes share: programs to start, and how to read what
-- they print.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local processes = {}

--- A command that a sanitizer, where there is one, leaves alone.
function processes.plain(...)
  return {"env", "-u", "LD_PRELOAD", ...}
end

--- A command of the shell's.
function processes.shell(command, ...)
  return processes.plain("sh", "-c", command, "sh", ...)
end

--- A Lua program that has `connection` and `parent`, its connection to us.
function processes.lua(script, ...)
  return helpers.lua_command([[
    local connection = require "multiprocessing.connection"
    local parent = assert(connection.parent())
  ]] .. script, ...)
end

--- A Python program that has `parent`.
function processes.python(python, script, ...)
  return processes.plain("-u", "PYTHONHOME", "-u", "PYTHONPATH", python.path,
                         "-c", [[
import os, sys
from multiprocessing.connection import Connection
parent = Connection(int(os.environ["MULTIPROCESSING_CONNECTION_FD"]))
]] .. script, ...)
end

--- Runs until its connection closes: it echoes bytes, for who wants to see it.
processes.idle = processes.shell('exec cat <&"$MULTIPROCESSING_CONNECTION_FD"')

--- Starts a program whose output goes to a pipe, and returns all of it, and the
--- exit code.
---@param argv string[]
---@param options table?
---@param which ("stdout" | "stderr")?
function processes.output(argv, options, which)
  local r, w = assert(sys.pipe())
  local reader <close> = helpers.raw(r)
  local all = {[which or "stdout"] = w}
  for name, value in pairs(options or {}) do all[name] = value end
  local process, err = connection.spawn(argv, all)
  sys.close(w)
  assert(process, err)
  local said = assert(reader:read_exactly(1 << 20))
  return said, process:close(helpers.timeout)
end

--- Whether the system knows a process of that id, be it a zombie.
function processes.exists(pid)
  return sys.kill(pid, 0) == true
end

--- Calls `f` until no process has the id.
function processes.await_gone(pid, f)
  local deadline = sys.monotonic() + helpers.timeout
  while processes.exists(pid) do
    assert(sys.monotonic() < deadline, "a zombie is left")
    f()
  end
end

return processes

-- What specs share: pairs and raw peers, children that cannot hang the suite,
-- the Pythons of this machine, temporary directories.

local luassert = require "luassert"
local connection = require "multiprocessing.connection"
local sys = require "sys"

local helpers = {}

--- Under valgrind: fewer rounds, smaller messages, longer limits.
helpers.slow = os.getenv("MULTIPROCESSING_SLOW") ~= nil

--- Under a sanitizer: memory is not what it would be.
helpers.sanitized = (os.getenv("LD_PRELOAD") or ""):find("lib%a+san") ~= nil

--- Seconds that nothing which must happen takes: for timeouts that never fire.
helpers.timeout = helpers.slow and 120 or 20

--- Seconds that go by in a test of timeouts; that nothing else takes.
helpers.short = helpers.slow and 0.5 or 0.1

--- Seconds after which a child is killed, whatever it does.
helpers.limit = helpers.slow and 600 or 100

helpers.nfds = sys.nfds

-- A finalizer also runs in a forked child, which must leave things alone.
local function is_owner(self)
  return self.owner == sys.getpid()
end

--- Closes each of `...`, in this order, where the result goes out of scope.
function helpers.closing(...)
  local objects = table.pack(...)
  return setmetatable(objects, {__close = function()
    for i = 1, objects.n do objects[i]:close() end
  end})
end

--- The bytes of one message on the wire.
function helpers.frame(payload)
  return string.pack(">s4", payload)
end

-- What specs say again and again

--- `value, err` are nil and an error object of that name, which it returns.
function helpers.assert_fails(name, value, err)
  luassert.is_nil(value)
  luassert.equal(name, err.name, tostring(err))
  return err
end

--- `f(...)` throws, and says what matches `pattern`.
function helpers.assert_misuse(pattern, f, ...)
  local ok, message = pcall(f, ...)
  luassert.is_false(ok)
  luassert.matches(pattern, tostring(message))
end

--- What `f(...)` returns first, and the seconds that it took.
function helpers.elapsed(f, ...)
  local start = sys.monotonic()
  local result = f(...)
  return result, sys.monotonic() - start
end

-- Raw peers: bytes instead of messages

local Raw = {__name = "raw peer"}
Raw.__index = Raw

function helpers.raw(fd)
  return setmetatable({fd = fd, owner = sys.getpid()}, Raw)
end

for _, name in ipairs {"read", "read_exactly", "write", "try_write", "poll",
                       "shutdown", "set_buffers"} do
  Raw[name] = function(self, ...) return sys[name](self.fd, ...) end
end

function Raw:fileno() return self.fd end

function Raw:write_frame(payload)
  return self:write(helpers.frame(payload))
end

--- The next message, or nil at end of file.
function Raw:read_frame()
  local header = assert(self:read_exactly(4))
  if header == "" then return nil end
  return assert(self:read_exactly((string.unpack(">i4", header))))
end

function Raw:detach()
  local fd = self.fd
  self.fd = -1
  return fd
end

function Raw:close()
  if self.fd ~= -1 then return sys.close(self:detach()) end
end

--- Closes so that the other end meets ECONNRESET (TCP).
function Raw:reset()
  return sys.reset(self:detach())
end

Raw.__close = Raw.close
function Raw:__gc()
  if is_owner(self) then self:close() end
end

local RawPeer = {__name = "raw peer with a connection"}
RawPeer.__index = RawPeer

function RawPeer:close()
  self.raw:close()
  self.conn:close()
end

RawPeer.__close = RawPeer.close

-- The raw descriptor, then the one for the connection.
local function raw_pair(kind)
  if kind == "socket" then return assert(sys.socketpair()) end
  local r, w = assert(sys.pipe())
  if kind == "reader" then return w, r end
  return r, w
end

--- `.raw` and `.conn`, the two ends of a socketpair; or of a pipe, of which the
--- connection is the reader or the writer.
---@param kind? "socket" | "reader" | "writer"
function helpers.raw_peer(kind)
  kind = kind or "socket"
  local raw_fd, fd = raw_pair(kind)
  local raw = helpers.raw(raw_fd)
  local conn = assert(connection.Connection(fd, kind ~= "writer",
                                            kind ~= "reader"))
  return setmetatable({raw = raw, conn = conn}, RawPeer)
end

--- A raw peer connected to a listener, or to its address.
function helpers.raw_client(listener)
  local address = listener
  if type(listener) == "userdata" then address = listener.address end
  if type(address) == "string" then
    return helpers.raw(assert(sys.unix_connect(address)))
  end
  return helpers.raw(assert(sys.inet_connect(address[1], address[2])))
end

--- A connection that may read ahead, the raw peer at its other end, and what closes
--- both.
---@param options table? of the listener that has accepted it
function helpers.ahead_peer(options)
  local listener <close> = assert(connection.Listener(nil, options))
  local raw = helpers.raw_client(listener)
  local conn = assert(listener:accept(helpers.timeout))
  conn:settimeout(helpers.timeout)
  return conn, raw, helpers.closing(conn, raw)
end

local RawListener = setmetatable({__name = "raw listener"}, {__index = Raw})
RawListener.__index = RawListener
RawListener.__close, RawListener.__gc = Raw.__close, Raw.__gc

function RawListener:accept()
  return helpers.raw(assert(sys.accept(self.fd)))
end

--- A listening socket whose `.address` a Client can use: at `path`, else TCP.
---@param path string?
---@param backlog integer?
function helpers.raw_listener(path, backlog)
  local self = helpers.raw(-1)
  if path then
    self.fd, self.address = assert(sys.unix_listen(path, backlog)), path
  else
    local fd, port = assert(sys.inet_listen("127.0.0.1", backlog))
    self.fd, self.address = fd, {"127.0.0.1", port}
  end
  return setmetatable(self, RawListener)
end

--- The two ends of a Pipe, and what closes both:
--- `local a, b, _ <close> = helpers.pair()`.
function helpers.pair(duplex)
  local a, b = assert(connection.Pipe(duplex))
  return a, b, helpers.closing(a, b)
end

--- `n` Pipes: lists of the one and of the other ends, and what closes them all.
---@param options table? of both ends
function helpers.pairs(n, options)
  local near, far = {}, {}
  for i = 1, n do
    near[i], far[i] = assert(connection.Pipe(true, options))
  end
  return near, far, setmetatable({}, {__close = function()
    for i = 1, n do
      near[i]:close()
      far[i]:close()
    end
  end})
end

--- Waits often enough for the list to be kept by connection.wait.
function helpers.keep(list)
  for _ = 1, 3 do connection.wait(list, 0) end
end

-- Children

local Child = {__name = "child"}
Child.__index = Child

function Child:kill(signal)
  return sys.kill(self.pid, signal or sys.SIGKILL)
end

-- Everything that waits does so here: at most until the deadline.
function Child:fill(deadline)
  if not self.stdout:poll("r", deadline - sys.monotonic()) then
    self:close()
    error(("%s: nothing came from it in time"):format(self.name), 0)
  end
  local bytes = assert(self.stdout:read(65536))
  self.eof = bytes == ""
  self.buffer = self.buffer .. bytes
end

--- The next line of its output; nil at the end.
---@param timeout number? seconds
function Child:line(timeout)
  local deadline = sys.monotonic() + (timeout or helpers.timeout)
  while true do
    local line, rest = self.buffer:match("^([^\n]*)\n(.*)$")
    if line then
      self.buffer = rest
      return line
    elseif self.eof then
      return nil
    end
    self:fill(deadline)
  end
end

--- What else it prints until it ends.
---@param timeout number? seconds
function Child:rest(timeout)
  local deadline = sys.monotonic() + (timeout or helpers.timeout)
  while not self.eof do self:fill(deadline) end
  local rest = self.buffer
  self.buffer = ""
  return rest
end

function Child:write(s)
  return self.stdin:write(s)
end

--- Its exit code, negative for a signal, and the rest of its output.
---@param timeout number? seconds
function Child:wait(timeout)
  self.stdin:close()
  local rest = self:rest(timeout)
  self.exitcode = self.exitcode or assert(sys.waitpid(self.pid))
  return self.exitcode, rest
end

--- Kills it where it still runs.
function Child:close()
  self.stdin:close()
  self.stdout:close()
  if not self.exitcode then
    self:kill()
    self.exitcode = sys.waitpid(self.pid)
  end
end

Child.__close = Child.close
function Child:__gc()
  if is_owner(self) then self:close() end
end

local function new_child(name, stdin, stdout)
  return setmetatable({
    name = name, owner = sys.getpid(), buffer = "", eof = false,
    stdin = helpers.raw(stdin), stdout = helpers.raw(stdout),
  }, Child)
end

--- Starts a program whose standard input and output are pipes to us.
---@param argv string[]
---@param options? {stderr: "stdout"?, inherit: integer[]?, env: table?, limit: integer?}
function helpers.start(argv, options)
  options = options or {}
  local child_in, to_child = assert(sys.pipe())
  local from_child, child_out = assert(sys.pipe())
  local child = new_child(argv[1], to_child, from_child)
  local pid, err = sys.spawn(argv, {
    stdin = child_in, stdout = child_out,
    stderr = options.stderr == "stdout" and child_out or nil,
    inherit = options.inherit, env = options.env,
    limit = options.limit or helpers.limit,
  })
  sys.close(child_in)
  sys.close(child_out)
  child.pid, child.exitcode = pid, not pid and -1 or nil
  if not pid then error(("cannot start %s: %s"):format(argv[1], err), 2) end
  return child
end

local function with_traceback(err)
  return debug.traceback("in a forked child: " .. tostring(err))
end

-- Never returns, so that a copy of the suite never goes on.
local function run_forked(f, out)
  sys.on_alarm("default")
  sys.alarm(helpers.limit)
  local ok, result = xpcall(f, with_traceback, out)
  if not ok then io.stderr:write(result, "\n") end
  sys.exit(ok and math.tointeger(result or 0) or 1)
end

--- Runs `f(out)` in a forked copy of this process; `out` is a raw peer whose
--- bytes are the child's output. Its exit code: what `f` returns, else 0; 1
--- where it throws. Nothing is closed or flushed there.
---@param f fun(out: table): integer?
function helpers.fork(f)
  local r, w = assert(sys.pipe())
  local pid = assert(sys.fork())
  if pid == 0 then
    sys.close(r)
    run_forked(f, helpers.raw(w))
  end
  sys.close(w)
  local child = new_child("forked child", -1, r)
  child.pid = pid
  return child
end

-- The arguments after the script, as strings, and the options at their end.
local function split_options(...)
  local arguments, options = {}, {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if type(value) == "table" then
      options = value
    else
      arguments[i] = tostring(value)
    end
  end
  return arguments, options
end

-- The interpreter of this process, which is the first word of its command.
local function interpreter()
  local first = 0
  while arg and arg[first - 1] do first = first - 1 end
  return os.getenv("LUA") or arg and arg[first] or "lua"
end

--- The command of a Lua program that finds the modules which this process
--- finds, whoever starts it.
---@param script string a file's name where it ends in ".lua", else the program
---@param ... string | number its arguments
function helpers.lua_command(script, ...)
  local version = _VERSION:gsub("%D+", "_")
  local argv = {
    "env", "LD_PRELOAD=" .. (os.getenv("LD_PRELOAD") or ""),
    "LUA_PATH" .. version .. "=" .. package.path,
    "LUA_CPATH" .. version .. "=" .. package.cpath,
    interpreter(),
  }
  local is_file = script:find("%.lua$")
  local words = is_file and {script} or {"-e", script, "/dev/null"}
  table.move(words, 1, #words, #argv + 1, argv)
  local arguments = split_options(...)
  return table.move(arguments, 1, #arguments, #argv + 1, argv)
end

--- Starts a Lua program, as lua_command has it.
---@param script string
---@param ... string | number | table its arguments; at the end, options of start
function helpers.lua(script, ...)
  local _, options = split_options(...)
  return helpers.start(helpers.lua_command(script, ...), options)
end

--- Starts spec/c/oom_host.c, built where the specs' C modules are, with these
--- arguments; its Lua finds the modules which this process finds.
---@param ... string
function helpers.host(...)
  local version = _VERSION:gsub("%D+", "_")
  local host = package.searchpath("sys", package.cpath):gsub("sys%.so$", "")
  return helpers.start({
    "env", "LD_PRELOAD=" .. (os.getenv("LD_PRELOAD") or ""),
    "LUA_PATH" .. version .. "=" .. package.path,
    "LUA_CPATH" .. version .. "=" .. package.cpath,
    host .. "oom_host", ...,
  }, {stderr = "stdout"})
end

-- Pythons

local python_env = {
  LD_PRELOAD = false, -- a sanitizer's runtime, which Python must not load
  PYTHONDONTWRITEBYTECODE = "1",
  PYTHONHOME = false,
  PYTHONPATH = false,
}

--- Starts a Python program.
---@param python table one of helpers.pythons()
---@param script string a file's name
---@param ... string | number | table its arguments; at the end, options of start
function helpers.python(python, script, ...)
  local arguments, options = split_options(...)
  local argv, env = {python.path, script}, {}
  table.move(arguments, 1, #arguments, 3, argv)
  for name, value in pairs(python_env) do env[name] = value end
  for name, value in pairs(options.env or {}) do env[name] = value end
  return helpers.start(argv, {
    stderr = options.stderr, inherit = options.inherit, limit = options.limit,
    env = env,
  })
end

local about_python = [[
import sys, hmac, multiprocessing.connection
try:
    md5 = bool(hmac.new(b"key", b"", "md5").digest())
except ValueError:
    md5 = False
print(*sys.version_info[:3], md5, sys.executable)]]

-- What the interpreter at `path` says of itself; nil where it does not run,
-- as a launcher of versions that are not chosen does not.
local function examine_python(path)
  local started, child = pcall(helpers.start, {path, "-c", about_python}, {
    env = python_env, stderr = "stdout",
  })
  if not started then return nil end
  local code, said = child:wait()
  local major, minor, micro, md5, executable =
    said:match("^(%d+) (%d+) (%d+) (%a+) (.*)\n$")
  if code ~= 0 or not major then return nil end
  return {
    path = executable, version = major .. "." .. minor,
    full_version = table.concat({major, minor, micro}, "."),
    minor = tonumber(minor), md5 = md5 == "True",
  }
end

local function python_directories()
  local directories = {}
  local root = os.getenv("PYENV_ROOT") or (os.getenv("HOME") or "") .. "/.pyenv"
  for _, version in ipairs(sys.listdir(root .. "/versions") or {}) do
    table.insert(directories, root .. "/versions/" .. version .. "/bin")
  end
  for directory in (os.getenv("PATH") or ""):gmatch("[^:]+") do
    table.insert(directories, directory)
  end
  return directories
end

local function find_pythons()
  local found, list = {}, {}
  for _, directory in ipairs(python_directories()) do
    for _, name in ipairs(sys.listdir(directory) or {}) do
      local version = name:match("^python(3%.%d+)$")
      local python = version and not found[version]
                     and examine_python(directory .. "/" .. name)
      if python and not found[python.version] then
        found[python.version] = python
        table.insert(list, python)
      end
    end
  end
  table.sort(list, function(a, b) return a.minor < b.minor end)
  return list
end

local pythons

--- Every Python 3 of this machine that runs, one of each minor version, oldest
--- first: {version = "3.13", minor = 13, full_version =, path =, md5 = boolean}.
function helpers.pythons()
  pythons = pythons or find_pythons()
  return pythons
end

-- Files

local TmpDir = {__name = "temporary directory"}
TmpDir.__index = TmpDir

--- The path of `name` in it.
function TmpDir:join(name)
  return self.path .. "/" .. name
end

local function remove_tree(path)
  for _, name in ipairs(sys.listdir(path) or {}) do
    local inner = path .. "/" .. name
    if (sys.stat(inner) or {}).type == "directory" then
      remove_tree(inner)
    else
      sys.unlink(inner)
    end
  end
  return sys.rmdir(path)
end

--- Removes it and what is in it.
function TmpDir:close()
  if is_owner(self) and self.path then remove_tree(self.path) end
  self.path = nil
end

TmpDir.__close, TmpDir.__gc = TmpDir.close, TmpDir.close
TmpDir.__tostring = function(self) return self.path end

--- A new directory: `.path`, `:join(name)`; closing it removes it.
function helpers.tmpdir()
  local path = assert(sys.mkdtemp())
  return setmetatable({path = path, owner = sys.getpid()}, TmpDir)
end

local abstract_names = 0

--- A name in Linux's abstract namespace that no one else uses.
function helpers.abstract_name()
  abstract_names = abstract_names + 1
  return ("\0multiprocessing-spec-%d-%d"):format(sys.getpid(), abstract_names)
end

return helpers

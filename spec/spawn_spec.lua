-- Starting programs: what they inherit, what can go wrong, and how they find
-- their parent.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local processes = require "processes"
local sys = require "sys"

local LIMIT = helpers.timeout
local VARIABLE = "MULTIPROCESSING_CONNECTION_FD"
local output, plain, shell = processes.output, processes.plain, processes.shell

local function spawn(...)
  local process = assert(connection.spawn(...))
  process.connection:settimeout(LIMIT)
  return process
end

local fails = helpers.assert_fails

local function write_file(path, text, mode)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
  assert(sys.chmod(path, mode))
  return path
end

-- Runs a Lua program; what it prints is for assert.equal.
local function run(script, ...)
  local child <close> = helpers.lua([[
    local connection = require "multiprocessing.connection"
    local sys = require "sys"
    io.stdout:setvbuf("line")
  ]] .. script, ...)
  local code, said = child:wait()
  return said, code
end

describe("spawn", function()
  it("lets a Lua child converse", function()
    local process <close> = spawn(processes.lua([[
      for value in parent:messages() do parent:send {value, arg[1]} end
    ]], "argument"))
    for i = 1, 3 do
      assert(process.connection:send(i))
      assert.same({i, "argument"}, (process.connection:recv()))
    end
    assert.equal(0, process:close(LIMIT))
  end)

  for _, python in ipairs(helpers.pythons()) do
    it("lets Python " .. python.version .. " converse", function()
      local process <close> = spawn(processes.python(python, [[
parent.send(sys.argv[1:])
parent.send([parent.recv(), parent.recv_bytes()])
try:
    parent.recv()
except EOFError:
    sys.exit(6)
]], "an", "argument"))
      assert.same({"an", "argument"}, (process.connection:recv()))
      assert(process.connection:send({1, 2}))
      assert(process.connection:send_bytes("bytes"))
      assert.same({{1, 2}, "bytes"}, (process.connection:recv()))
      assert.equal(6, process:close(LIMIT))
    end)
  end

  it("runs several, each with a connection of its own", function()
    local all = {}
    for i = 1, 4 do
      all[i] = spawn(processes.lua([[parent:send_bytes(arg[1])]], i))
    end
    for i, process in ipairs(all) do
      assert.equal(tostring(i), process.connection:recv_bytes())
      fails("EOFError", process.connection:recv_bytes())
      assert.equal(0, process:close(LIMIT))
    end
  end)

  it("passes the arguments as they are", function()
    local words = {"", " a  b ", "'\"$HOME\"", "\xff\n", "-n", "*"}
    local said = output(shell("for word; do printf '<%s>' \"$word\"; done",
                              table.unpack(words)))
    assert.equal("<" .. table.concat(words, "><") .. ">", said)
  end)

  it("gives the connection its options", function()
    local process <close> = connection.spawn(processes.lua [[
      parent:send_bytes("0123456789")]], {max_message = 3})
    assert.equal("EMSGSIZE", fails("OSError", process.connection:recv_bytes()).code)
    local codec = {dumps = function(s) return "<" .. s .. ">" end,
                   loads = function(s) return s:upper() end}
    local other <close> = connection.spawn(processes.idle, {codec = codec})
    other.connection:settimeout(LIMIT)
    local echo <close> = connection.spawn(processes.lua [[
      parent:send_bytes(parent:recv_bytes())]], {codec = codec})
    assert(echo.connection:send("abc"))
    assert.equal("<ABC>", echo.connection:recv())
  end)

  it("throws for what is misuse", function()
    local function misuse(message, ...)
      local done, err = pcall(connection.spawn, ...)
      assert.is_false(done)
      assert.is_truthy(tostring(err):find(message, 1, true), err)
    end
    misuse("table expected", "true")
    misuse("no program is named", {})
    misuse("[2]: string expected", {"true", nil, "x"})
    misuse("not a sequence", {"true", [3] = "x"})
    misuse("not a sequence", {"true", name = "x"})
    misuse("not a sequence", {name = "x"})
    misuse("[2]: string expected", {"true", 1})
    misuse("[1]: string contains a zero", {"true\0"})
    misuse("unknown option 'colour'", {"true"}, {colour = "red"})
    misuse("unknown option 'authkey'", {"true"}, {authkey = "key"})
    misuse("table of options", {"true"}, "null")
    misuse("option 'cwd': string expected", {"true"}, {cwd = 1})
    misuse("option 'cwd': string contains a zero", {"true"}, {cwd = "/\0"})
    misuse("option 'env': table of strings", {"true"}, {env = "PATH=/bin"})
    misuse("option 'env': names and values", {"true"}, {env = {"PATH=/bin"}})
    misuse("option 'env': names and values", {"true"}, {env = {A = 1}})
    misuse("option 'env': a name is empty", {"true"}, {env = {["A=B"] = "x"}})
    misuse("option 'env': a name is empty", {"true"}, {env = {[""] = "x"}})
    misuse("option 'env': a string contains a zero", {"true"}, {env = {["A\0"] = "x"}})
    misuse("option 'env': a string contains a zero", {"true"}, {env = {A = "\0"}})
    for _, name in ipairs {"stdin", "stdout", "stderr"} do
      local option = "option '" .. name .. "': "
      misuse(option .. "\"inherit\", \"null\"", {"true"}, {[name] = "pipe"})
      misuse(option .. "\"inherit\", \"null\"", {"true"}, {[name] = true})
      misuse(option .. "invalid descriptor", {"true"}, {[name] = 1.5})
      misuse(option .. "invalid descriptor", {"true"}, {[name] = -1})
      misuse(option .. "Lua does not tell", {"true"}, {[name] = io.stdout})
      misuse(option .. "object has neither", {"true"}, {[name] = {}})
      misuse(option .. "object has no open", {"true"}, {[name] = {
        fileno = function() return -1 end,
      }})
    end
    misuse("\"inherit\", \"null\"", {"true"}, {stdout = "stdout"})
  end)
end)

describe("a program that cannot be started", function()
  local before

  before_each(function()
    collectgarbage()
    before = helpers.nfds()
  end)

  after_each(function()
    collectgarbage()
    assert.equal(before, helpers.nfds())
    local _, err = sys.waitpid(-1, true)
    assert.equal("ECHILD", err) -- no child is left, nor a zombie
  end)

  it("does not exist", function()
    local err = fails("FileNotFoundError", connection.spawn {"no-such-program"})
    assert.equal("ENOENT", err.code)
    assert.equal("starting no-such-program: No such file or directory", err.message)
    fails("FileNotFoundError", connection.spawn {"/no/such/program"})
    fails("FileNotFoundError", connection.spawn {""})
  end)

  it("is not executable, or no program", function()
    local dir <close> = helpers.tmpdir()
    fails("PermissionError", connection.spawn {
      write_file(dir:join("plain"), "#!/bin/sh\n", tonumber("644", 8)),
    })
    fails("PermissionError", connection.spawn {dir.path})
    fails("PermissionError", connection.spawn({"plain"}, {env = {
      PATH = dir.path .. ":/no/such/directory",
    }}))
    local err = fails("OSError", connection.spawn {
      write_file(dir:join("text"), "no program\n", tonumber("755", 8)),
    })
    assert.equal("ENOEXEC", err.code)
  end)

  it("would start in no directory", function()
    local err = fails("FileNotFoundError",
                      connection.spawn({"true"}, {cwd = "/no/such/directory"}))
    assert.matches("changing to the directory /no/such/directory", err.message)
    fails("NotADirectoryError", connection.spawn({"true"}, {cwd = "/etc/passwd"}))
  end)

  it("would have a descriptor that is not open", function()
    local err = fails("OSError", connection.spawn({"true"}, {stdout = 0x7ffffffe}))
    assert.equal("EBADF", err.code)
    assert.matches("passing stdin, stdout and stderr to true", err.message)
  end)

  it("has too many arguments", function()
    if helpers.slow then return end -- valgrind dies of that
    local argv = {"true"}
    for i = 2, 40 do argv[i] = ("x"):rep(100000) end
    assert.equal("E2BIG", fails("OSError", connection.spawn(argv)).code)
  end)
end)

describe("the option env", function()
  it("is the whole environment, with the connection's number", function()
    local said = output({"env"}, {env = {A = "1", B = "x=y", C = ""}})
    local seen = {}
    for name, value in said:gmatch("([^=\n]*)=([^\n]*)\n") do seen[name] = value end
    assert.same({A = "1", B = "x=y", C = "", [VARIABLE] = "3"}, seen)
  end)

  it("cannot set that number", function()
    local said = output({"env"}, {env = {[VARIABLE] = "77"}})
    assert.equal(VARIABLE .. "=3\n", said)
  end)

  it("has the PATH in which the program is looked for", function()
    local dir <close> = helpers.tmpdir()
    write_file(dir:join("our-program"), "#!/bin/sh\necho found\n", tonumber("755", 8))
    fails("FileNotFoundError", connection.spawn {"our-program"})
    for _, path in ipairs {dir.path, "/no/such:" .. dir.path, dir.path .. ":/bin",
                           "/etc/passwd:" .. dir.path} do
      assert.equal("found\n", (output({"our-program"}, {env = {PATH = path}})))
    end
    fails("FileNotFoundError", connection.spawn({"env"}, {env = {PATH = "/no/such"}}))
    -- an empty directory is the one where the program starts
    assert.equal("found\n", (output({"our-program"}, {
      env = {PATH = "/no/such::/bin"}, cwd = dir.path,
    })))
  end)

  it("is as ours where it is not given", function()
    local said, code = run([[
      local process = connection.spawn {"sh", "-c", "echo $TOKEN"}
      print(process:join())
    ]], {env = {TOKEN = "inherited"}})
    assert.equal("inherited\n0\n", said)
    assert.equal(0, code)
  end)
end)

describe("the option cwd", function()
  it("is where the program starts, and where its path begins", function()
    local dir <close> = helpers.tmpdir()
    write_file(dir:join("program"), "#!/bin/sh\npwd -P\n", tonumber("755", 8))
    local said = output({"./program"}, {cwd = dir.path})
    assert.equal(dir.path:match("[^/]+$"), said:match("([^/]+)\n$"))
  end)
end)

describe("the options stdin, stdout and stderr", function()
  it("take descriptors and objects that have one", function()
    local r, w = assert(sys.pipe())
    local _ <close> = helpers.closing(helpers.raw(r), helpers.raw(w))
    assert(sys.write(w, "through cat"))
    local from = {getfd = function() return r end}
    assert.equal("through", (output(plain("head", "-c", "7"), {stdin = from})))
    local reader <close>, writer = assert(connection.Pipe(false))
    local process = spawn(shell "printf '\\0\\0\\0\\5hello'", {stdout = writer})
    writer:close()
    assert.equal("hello", reader:recv_bytes())
    assert.equal(0, process:close(LIMIT))
  end)

  it("are empty, and swallow all, where they are \"null\"", function()
    local said, code = output(shell "cat; echo text; echo text >&2 || echo bad",
                              {stdin = "null", stderr = "null"})
    assert.equal("text\n", said)
    assert.equal(0, code)
    said, code = output(shell "echo text || echo bad >&2; echo seen >&2",
                        {stdout = "null"}, "stderr")
    assert.equal("seen\n", said)
    assert.equal(0, code)
  end)

  it("join stderr to stdout", function()
    local command = shell "echo out; echo err >&2"
    assert.equal("out\nerr\n", (output(command, {stderr = "stdout"})))
    local said = run([[
      connection.spawn({"sh", "-c", "echo out; echo err >&2"},
                       {stderr = "stdout"}):join()]])
    assert.equal("out\nerr\n", said)
  end)

  it("are ours where they are \"inherit\" or not given", function()
    local said = run([[
      for _, options in ipairs {{}, {stdin = "inherit", stdout = "inherit"}} do
        connection.spawn({"sh", "-c", "echo out; echo err >&2"}, options):join()
      end]], {stderr = "stdout"})
    assert.equal("out\nerr\nout\nerr\n", said)
  end)

  it("can change places", function()
    local said = run([[
      local r, w = sys.pipe() -- its ends become 0 and 1
      local first, second = sys.dup(0), sys.dup(0)
      sys.close(0) assert(sys.dup(r) == 0)
      sys.close(1) assert(sys.dup(w) == 1)
      local p = connection.spawn({"sh", "-c", "echo hello >&0; read x <&1; echo $x >&2"},
                                 {stdin = 1, stdout = 0})
      assert(p:join() == 0)]], {stderr = "stdout"})
    assert.equal("hello\n", said)
  end)

  it("can be descriptor 3, which the connection takes", function()
    local said = run([[
      local fd
      repeat fd = sys.dup(2) until fd >= 3
      for i = 3, 6 do
        pcall(sys.close, i)
        local r, w = sys.pipe()
        local p = connection.spawn({"sh", "-c", "echo $0 >&2; echo hello"},
                                   {stdout = w, stderr = 2})
        sys.close(w)
        assert(sys.read(r, 10) == "hello\n")
        assert(p:join() == 0)
      end]], {stderr = "stdout"})
    assert.equal(("sh\n"):rep(4), said)
  end)

  it("work where we have none ourselves", function()
    local said = run([[
      sys.close(0) sys.close(1)
      local r, w = connection.Pipe() -- these are low
      local p = connection.spawn({"sh", "-c", "cat <&3 >&2; echo $1 >&2; cat"},
                                 {stdin = "null", stdout = 2})
      p.connection:send_bytes("hello")
      assert(p:close() == 0)
      r:close() w:close()
      local p = connection.spawn({"sh", "-c", "cat <&3 >&2; echo no || echo end >&2"})
      p.connection:send_bytes("again")
      assert(p:close() == 0)]], {stderr = "stdout"})
    assert.matches("^%z%z%z\5hello\n%z%z%z\5again", said)
    assert.matches("end\n$", said) -- it had no stdout either
  end)
end)

describe("a program that was started", function()
  it("has four descriptors, whatever we have", function()
    if not sys.stat("/proc/self/fd") then
      return pending("needs Linux's /proc to list descriptors")
    end
    local r, w = assert(sys.pipe())
    local _ <close> = helpers.closing(helpers.raw(r), helpers.raw(w))
    local said = run([[
      local processes = require "processes"
      local kept = {}
      for i = 1, 50 do kept[i] = {connection.Pipe()} end
      local other = connection.spawn(processes.idle)
      local p = connection.spawn(processes.lua("parent:send({}) parent:recv()"))
      assert(p.connection:recv()) -- its libraries are loaded, and closed
      local list = sys.listdir(("/proc/%d/fd"):format(p.pid))
      table.sort(list)
      local info <close> = io.open(("/proc/self/fdinfo/%d"):format(p.sentinel))
      if not info:read("a"):find("\nPid:") then
        table.remove(list, 3) -- without pidfd_open(2): the pipe of the sentinel
      end
      print(table.unpack(list))
      p:close()
      other:close()
    ]], {inherit = {r, w}})
    assert.equal("0\t1\t2\t3\n", said)
  end)

  it("has default signals, none of them blocked", function()
    if not sys.stat("/proc/self/status") then
      return pending("needs Linux's /proc to see signals")
    end
    local child <close> = helpers.fork(function(out)
      sys.ignore(sys.SIGPIPE)
      sys.ignore(sys.SIGUSR1)
      sys.on_alarm("nothing")
      local process = spawn(plain("grep", "^Sig", "/proc/self/status"),
                            {stdout = out})
      assert(process:join(LIMIT) == 0)
    end)
    local code, said = child:wait()
    assert.equal(0, code)
    local function is_set(field, signal)
      local set = math.tointeger(tonumber(said:match(field .. ":%s*(%x+)"), 16))
      return set >> (signal - 1) & 1 == 1
    end
    assert.is_true(is_set("SigIgn", sys.SIGUSR1)) -- as exec has it
    assert.is_false(is_set("SigIgn", sys.SIGPIPE))
    assert.is_false(is_set("SigCgt", sys.SIGALRM))
    assert.matches("SigBlk:%s*0+\n", said)
  end)
end)

describe("connection.parent", function()
  local print_failure = [[
    local conn, err = connection.parent()
    print(conn, err.name, err.code)]]

  -- What it prints where the environment has that value.
  local function failure(value, options)
    options = options or {}
    options.env = {[VARIABLE] = value}
    return (run(print_failure, options))
  end

  it("is there for started programs only", function()
    assert.equal("nil\tProcessLookupError\tnil\n", failure(false))
  end)

  it("wants the number of a socket", function()
    for _, value in ipairs {"", "abc", "-1", "3x", " 3", "99999999999999999999"} do
      assert.equal("nil\tOSError\tEINVAL\n", failure(value))
    end
    assert.equal("nil\tOSError\tEBADF\n", failure("12345"))
    local r, w = assert(sys.pipe())
    local _ <close> = helpers.closing(helpers.raw(r), helpers.raw(w))
    assert.equal("nil\tOSError\tENOTSOCK\n",
                 failure(tostring(r), {inherit = {r}}))
  end)

  it("wants one that was inherited", function()
    local said = run([[
      local a, b
      repeat a, b = connection.Pipe() until a:fileno() == 20 or b:fileno() == 20
    ]] .. print_failure, {env = {[VARIABLE] = "20"}})
    assert.equal("nil\tOSError\tEBADF\n", said)
  end)

  it("takes what another program than ours has passed", function()
    local peer <close> = helpers.raw_peer()
    local fd = peer.conn:detach()
    local inherited <close> = helpers.raw(fd)
    local child <close> = helpers.lua([[
      local connection = require "multiprocessing.connection"
      connection.parent():send_bytes("hello")
    ]], {inherit = {fd}, env = {[VARIABLE] = tostring(fd)}})
    assert.equal("hello", peer.raw:read_frame())
    assert.equal(0, (child:wait()))
    assert.is_truthy(inherited)
  end)

  it("is the same each time, until it is closed", function()
    local process <close> = spawn(processes.lua [[
      collectgarbage()
      assert(connection.parent() == parent)
      parent:send_bytes(tostring(parent:fileno()))
      assert(parent:recv_bytes() == nil)
      parent:close()
      for _ = 1, 2 do
        local conn, err = connection.parent()
        assert(conn == nil and err.name == "ProcessLookupError")
      end
      os.exit(8)]])
    assert.equal("3", process.connection:recv_bytes())
    assert.equal(8, process:close(LIMIT))
  end)

  it("stays where the program keeps no reference", function()
    local process <close> = spawn(helpers.lua_command [[
      local connection = require "multiprocessing.connection"
      connection.parent():send_bytes("one")
      collectgarbage()
      connection.parent():send_bytes(connection.parent():recv_bytes())]])
    assert.equal("one", process.connection:recv_bytes())
    assert(process.connection:send_bytes("two"))
    assert.equal("two", process.connection:recv_bytes())
  end)

  it("takes options", function()
    local process <close> = spawn(helpers.lua_command [[
      local connection = require "multiprocessing.connection"
      assert(not pcall(connection.parent, {colour = "red"}))
      local parent = connection.parent {max_message = 3}
      local message, err = parent:recv_bytes()
      parent:send_bytes(err.code)]])
    assert(process.connection:send_bytes("0123456789"))
    assert.equal("EMSGSIZE", process.connection:recv_bytes())
  end)

  it("reaches through a shell", function()
    local argv = processes.lua [[parent:send_bytes("hello")]]
    table.move(argv, 1, #argv, 5)
    table.move({"sh", "-c", '"$@"; exit $?', "sh"}, 1, 4, 1, argv)
    local process <close> = spawn(argv)
    assert.equal("hello", process.connection:recv_bytes())
    assert.equal(0, process:close(LIMIT))
  end)

  it("is for the one who asked, not for programs started by it", function()
    local process <close> = spawn(processes.lua([[
      local program <close> = assert(io.popen("echo ${" .. arg[1] .. "-none}; ls /proc/$$/fd; true"))
      parent:send_bytes(program:read("a"))
      local child <close> = connection.spawn {"sh", "-c", "cat <&3 >&2"}
      parent:close()
      child.connection:send_bytes("")]], VARIABLE), {stderr = "null"})
    local said = assert(process.connection:recv_bytes())
    assert.equal("none", said:match("^(%a+)\n"))
    assert.is_nil(said:find("\n3\n"))
    fails("EOFError", process.connection:recv_bytes())
    assert.equal(0, process:close(LIMIT))
  end)
end)

-- Runs every fenced block of README.md for real, and compares the page with the
-- code. How a block is run:
--
-- * ```lua without a name: as it stands, after the line that the page promises
--   to stand before it. What it prints is what its `--> ...` comments say, in
--   order; runs of blanks are alike, and "..." stands for anything.
-- * ```lua and ```python whose first line is a name ("-- server.lua"): as
--   programs, in the pairs of the page's comments `<!-- run: SERVER CLIENT -->`.
--   A free port takes the place of 6000, and a directory of our own that of
--   /tmp. The results are in `--> ...` and `#> ...`.
-- * ```c: built by the ```sh block that names its file, against a tree that the
--   page's `make install` has filled. The results are in `/*> ... */`.
-- * ```sh: commands that would install something are not run, but what they name
--   must exist. A command that is not known here fails, and so does a block of
--   another kind.

local connection = require "multiprocessing.connection"
local core = require "multiprocessing.core"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local PRELUDE = 'local connection = require "multiprocessing.connection"'

local function read(name)
  local file <close> = assert(io.open(name))
  return file:read("a")
end

local function write(name, text)
  local file <close> = assert(io.open(name, "w"))
  file:write(text)
end

-- The page

local page = read("README.md")

local KINDS = {lua = true, python = true, sh = true, c = true}

--- Its blocks: {kind =, line =, text =, name = where the first line has one},
--- and its pairs of names.
local function parse(text)
  local blocks, pairs_to_run, block, number = {}, {}, nil, 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local fence = line:match("^%s*```(.*)$")
    if block and fence then
      block.text = table.concat(block, "\n") .. "\n"
      block = nil
    elseif fence then
      block = {kind = fence, line = number}
      table.insert(blocks, block)
    elseif block then
      if #block == 0 then
        block.name = line:match("^[-#/*]+ ([%w_]+%.%a+)%f[^%w_]")
      end
      table.insert(block, line)
    else
      local server, client = line:match("^<!%-%- run: (%S+) (%S+) %-%->$")
      if server then table.insert(pairs_to_run, {server, client}) end
    end
  end
  assert(not block, "README.md: a block has no end")
  return blocks, pairs_to_run
end

local blocks, pairs_to_run = parse(page)

local named = {}
for _, block in ipairs(blocks) do
  if block.name then named[block.name] = block end
end

-- Results

local MARKS = {lua = "%-%->", python = "#>", c = "/%*>"}

--- What a block says that it prints, line by line.
local function promised(block)
  local lines = {}
  for _, line in ipairs(block) do
    local result = line:match(MARKS[block.kind] .. "%s*(.-)%s*$")
    if result and block.kind == "c" then result = result:match("^(.-)%s*%*/$") end
    if result then table.insert(lines, result) end
  end
  return lines
end

local function words(line)
  return (line:gsub("%s+", " "):gsub(" $", ""))
end

local function is_like(expected, line)
  local pattern = words(expected):gsub("%p", "%%%0"):gsub("%%%.%%%.%%%.", ".*")
  return words(line):find("^" .. pattern .. "$") ~= nil
end

local function check_output(block, output)
  local expected, said = promised(block), {}
  for line in output:gmatch("([^\n]*)\n") do table.insert(said, line) end
  for i = 1, math.max(#expected, #said) do
    if not (expected[i] and said[i] and is_like(expected[i], said[i])) then
      error(("README.md:%d: result %d: expected %s, got %s, in:\n%s"):format(
        block.line, i, expected[i], said[i], output), 0)
    end
  end
end

-- Programs

-- Somebody else might take it in between; nobody is likely to.
local function free_port()
  local fd, port = assert(sys.inet_listen("127.0.0.1"))
  sys.close(fd)
  return port
end

--- A block's text with addresses of our own.
local function localized(block, place)
  return (block.text:gsub("6000", tostring(place.port))
                    :gsub("/tmp/", place.dir.path .. "/"))
end

local function start(block, place, python)
  local script = place.dir:join(block.name)
  write(script, localized(block, place))
  local options = {stderr = "stdout"}
  if block.kind == "python" then return helpers.python(python, script, options) end
  return helpers.lua(script, options)
end

--- Where a Lua server of the page listens, as it writes that.
local function address_of(block, place)
  local address = localized(block, place):match("Listener%((%b{})")
  return assert(load("return " .. address))()
end

-- A Lua server goes on until Ctrl-C. It is there when it lets us connect; what
-- it makes of a stranger that leaves at once is nothing.
local function run_against_lua(server_block, client_block, place, python)
  local server <close> = start(server_block, place)
  connection.Client(address_of(server_block, place),
                    {retry = true, timeout = LIMIT}):close()
  local client <close> = start(client_block, place, python)
  local code, said = client:wait()
  check_output(client_block, said)
  assert.equal(0, code)

  assert(server:kill(sys.SIGINT))
  code, said = server:wait()
  assert.equal(1, code)
  assert.matches("^connected:%s+127%.0%.0%.1:%d+\n.*interrupted!", said)
end

-- A Python server ends by itself; its client tries until it is there.
local function run_against_python(server_block, client_block, place, python)
  local server <close> = start(server_block, place, python)
  local client <close> = start(client_block, place, python)
  local code, said = client:wait()
  check_output(client_block, said)
  assert.equal(0, code)
  code, said = server:wait()
  check_output(server_block, said)
  assert.equal(0, code)
end

local function run_pair(server_block, client_block, python)
  local dir <close> = helpers.tmpdir()
  local place = {dir = dir, port = free_port()}
  local run = server_block.kind == "lua" and run_against_lua or run_against_python
  run(server_block, client_block, place, python)
end

describe("README.md", function()
  it("has blocks of known kinds only", function()
    assert.is_true(#blocks > 0)
    for _, block in ipairs(blocks) do
      assert(KINDS[block.kind],
             ("README.md:%d: what is %q?"):format(block.line, block.kind))
    end
  end)

  it("runs each of its programs with another one", function()
    local run = {}
    for _, pair in ipairs(pairs_to_run) do
      for _, name in ipairs(pair) do
        assert(named[name], "README.md has no " .. name)
        run[name] = true
      end
    end
    for _, block in ipairs(blocks) do
      if block.kind == "python" or block.kind == "lua" and block.name then
        assert(run[block.name],
               ("README.md:%d: no comment runs it"):format(block.line))
      end
    end
  end)

  for _, pair in ipairs(pairs_to_run) do
    local server, client = named[pair[1]], named[pair[2]]
    it(("says what comes of %s and %s"):format(pair[1], pair[2]), function()
      local pythons = {false}
      if server.kind == "python" or client.kind == "python" then
        pythons = helpers.pythons()
      end
      assert.is_true(#pythons > 0, "no Python 3 on this machine")
      for _, python in ipairs(pythons) do run_pair(server, client, python) end
    end)
  end

  it("says what stands before its snippets", function()
    assert(page:gsub("%s+", " "):find(
      "preceded by `" .. PRELUDE .. "`", 1, true))
  end)

  for _, block in ipairs(blocks) do
    if block.kind == "lua" and not block.name then
      it(("says what the snippet at line %d prints"):format(block.line), function()
        local dir <close> = helpers.tmpdir()
        local script = dir:join("snippet.lua")
        write(script, PRELUDE .. " " .. localized(block, {dir = dir, port = 6000}))
        local child <close> = helpers.lua(script, {stderr = "stdout"})
        local code, said = child:wait()
        check_output(block, said)
        assert.equal(0, code)
      end)
    end
  end
end)

-- Commands

local makefile = read("Makefile")
local setup = read("tools/setup")

local function has_target(name)
  return ("\n" .. makefile):find("\n" .. name:gsub("%p", "%%%0") .. ":") ~= nil
end

local function has_variable(name)
  return makefile:find("$(" .. name .. ")", 1, true) ~= nil
end

--- The packages that tools/setup gets for building.
local function packages_to_build()
  local section = assert(setup:match("\n%s*build%)(.-);;"))
  local packages = {}
  for list in section:gmatch('%f[%w]need (%b"") have_') do
    for name in list:sub(2, -2):gmatch("%S+") do packages[name] = true end
  end
  for name in section:gmatch("%f[%w]need ([%w.-]+) have_") do packages[name] = true end
  return packages
end

local function split(command)
  local list = {}
  for word in command:gmatch("%S+") do table.insert(list, word) end
  return list
end

local checks = {}

checks["apt-get"] = function(arguments)
  assert.equal("install", arguments[1])
  local packages = {}
  for i = 2, #arguments do packages[arguments[i]] = true end
  assert.same(packages_to_build(), packages)
end

checks.make = function(arguments)
  for _, word in ipairs(arguments) do
    local variable = word:match "^(%u+)="
    assert(variable and has_variable(variable) or has_target(word),
           "no such target: " .. word)
  end
end

checks.luarocks = function(arguments)
  assert.same({"--lua-version", "5.4", "make"}, arguments)
  assert(sys.stat("rockspec/multiprocessing-scm-1.rockspec"))
end

-- These have run as one of the pairs.
local function check_program(arguments)
  assert.equal(1, #arguments)
  assert(named[arguments[1]], "README.md has no " .. arguments[1])
end

checks["lua5.4"], checks.python3 = check_program, check_program

--- The directory in which our build is.
local function build_directory()
  local path = assert(package.searchpath("multiprocessing.core", package.cpath))
  return (path:gsub("multiprocessing/core%.so$", ""))
end

--- Runs `LUA_PATH="..." LUA_CPATH="..." lua5.4 -e '...'` with our build and Lua.
local function run_with_paths(line)
  local path, cpath, code =
    line:match([[^LUA_PATH="(.-)" LUA_CPATH="(.-)" lua5%.4 %-e '(.-)'$]])
  if not path then return false end
  cpath = cpath:gsub("build/", (build_directory():gsub("%%", "%%%%")))
  local argv = helpers.lua_command(code)
  for i, word in ipairs(argv) do
    if word:find("^LUA_PATH") then argv[i] = "LUA_PATH_5_4=" .. path end
    if word:find("^LUA_CPATH") then argv[i] = "LUA_CPATH_5_4=" .. cpath end
  end
  local child <close> = helpers.start(argv, {stderr = "stdout"})
  local status, said = child:wait()
  assert.equal("", said)
  assert.equal(0, status)
  return true
end

-- Neither an outer make's options nor a sanitizer are for these programs.
local plain = {
  ASAN_OPTIONS = false, BUILD = false, LD_PRELOAD = false, MAKEFLAGS = false,
  MFLAGS = false, RUNNER = false, SANITIZE = false, WERROR = false,
}

local function run_plain(argv, env)
  local all = {}
  for name, value in pairs(plain) do all[name] = value end
  for name, value in pairs(env or {}) do all[name] = value end
  local child <close> = helpers.start(argv, {stderr = "stdout", env = all})
  local code, said = child:wait(helpers.limit)
  assert.equal(0, code, said)
  return said
end

--- Builds and runs the C block that the command names, in a fresh installation.
local function run_compiler(line)
  local name, source = line:match("^cc %-o (%S+) (%S+%.c) ")
  local block = assert(named[source], "README.md has no " .. tostring(source))
  local dir <close> = helpers.tmpdir()
  run_plain {"make", "-j4", "install", "DESTDIR=" .. dir.path, "PREFIX=/usr",
             "BUILD=" .. dir:join("build")}
  write(dir:join(source), block.text)
  local tree = dir:join("usr")
  run_plain({"sh", "-c", 'cd "$1" && eval "$2"', "sh", dir.path, line}, {
    C_INCLUDE_PATH = tree .. "/include", LIBRARY_PATH = tree .. "/lib",
  })
  check_output(block, run_plain({dir:join(name)}, {
    LUA_PATH_5_4 = tree .. "/share/lua/5.4/?.lua", LUA_CPATH_5_4 = "",
  }))
end

local function check_command(command)
  local list = split(command)
  if list[1] == "sudo" then table.remove(list, 1) end
  local check = checks[table.remove(list, 1)]
  if not check then error("unknown command: " .. command, 0) end
  check(list)
end

local function check_line(line)
  if run_with_paths(line) then return end
  if line:find("^cc ") then return run_compiler(line) end
  for command in line:gsub("%s*#.*$", ""):gsub("&&", "&"):gmatch("[^&]+") do
    check_command(command)
  end
end

describe("the commands in README.md", function()
  for _, block in ipairs(blocks) do
    if block.kind == "sh" then
      for _, line in ipairs(block) do
        it(("hold: %s"):format(line), function() check_line(line) end)
      end
    end
  end

  it("hold where they stand in a sentence", function()
    local count = 0
    for code in page:gsub("```.-```", ""):gmatch("`([^`\n]+)`") do
      if code:find("^make ") or code:find("^luarocks ") then
        check_command(code)
        count = count + 1
      end
    end
    assert.is_true(count > 0)
  end)

  it("build each block of C", function()
    local commands = {}
    for _, block in ipairs(blocks) do
      if block.kind == "sh" then table.insert(commands, block.text) end
    end
    for _, block in ipairs(blocks) do
      if block.kind == "c" then
        assert(table.concat(commands):find(" " .. block.name, 1, true),
               ("README.md:%d: nothing builds it"):format(block.line))
      end
    end
  end)
end)

-- What the page has to name

local pickle = require "multiprocessing.pickle"
local pickle_types = read("types/multiprocessing/pickle.lua")
local types = read("types/multiprocessing/connection.lua") ..
              read("types/multiprocessing/buffer.lua")

local PROPERTIES = {
  conn = {"closed", "credentials", "peer", "readable", "writable"},
  client = {"address"},
  listener = {"address", "closed", "last_accepted"},
  poller = {"closed"},
  process = {"closed", "connection", "exitcode", "pid", "sentinel"},
}

-- Methods whose rows in the tables are those of Connection.
local function methods_of(class, base)
  local list = {}
  for name in pairs(core.methods[class]) do
    if not (base and core.methods[base][name]) then table.insert(list, name) end
  end
  return list
end

local function options_of_binding()
  local list = {}
  local source = read("src/binding/loption.c")
  for name in source:gmatch('\n%s*{"([%w_]+)", [%w_]+, read_') do list[name] = true end
  assert(next(list), "loption.c does not look as it did")
  return list
end

local function options_of_page()
  local list = {}
  local section = assert(page:match("\n### Options\n(.-)\n### "))
  for name in section:gmatch("\n| `([%w_]+)` |") do list[name] = true end
  return list
end

local function assert_has(text, part, where)
  assert(text:find(part, 1, true), ("%s does not name %s"):format(where, part))
end

describe("README.md and types/", function()
  it("name every function of the module", function()
    for name in pairs(connection) do
      assert_has(page, "connection." .. name, "README.md")
      assert(types:find("connection%." .. name .. "%f[^%w_]"),
             "types/ does not name connection." .. name)
    end
  end)

  it("name everything in multiprocessing.pickle", function()
    for name in pairs(pickle) do
      assert_has(page, "pickle." .. name, "README.md")
      assert(pickle_types:find("pickle%." .. name .. "%f[^%w_]"),
             "types/ does not name pickle." .. name)
    end
  end)

  it("name every option of multiprocessing.pickle", function()
    local names = {"protocol"}
    local source = read("src/binding/lunpickle.c")
    local list = assert(source:match("lmp_checkkeys%(L, OPTIONS,(.-)%);"),
                        "lunpickle.c does not look as it did")
    for name in list:gmatch("([%a_]+)\\0") do table.insert(names, name) end
    for _, name in ipairs(names) do
      if name ~= "codec" then -- for connections, which pass all their options
        assert_has(page, "`" .. name .. "`", "README.md")
        assert(pickle_types:find("%-%-%-@field " .. name .. "%? "),
               "types/ does not name the option " .. name)
      end
    end
  end)

  it("name every method", function()
    local objects = {
      conn = methods_of("Connection"), listener = methods_of("Listener"),
      client = methods_of("Client", "Connection"), process = methods_of("Process"),
      poller = methods_of("Poller"),
    }
    local classes = {
      conn = "Connection", listener = "Listener", client = "Client",
      process = "Process", poller = "Poller",
    }
    for object, methods in pairs(objects) do
      for _, name in ipairs(methods) do
        assert_has(page, object .. ":" .. name .. "(", "README.md")
        assert_has(types, classes[object] .. ":" .. name .. "(", "types/")
      end
    end
  end)

  it("name every property", function()
    for object, names in pairs(PROPERTIES) do
      for _, name in ipairs(names) do
        assert_has(page, "`" .. object .. "." .. name .. "`", "README.md")
        assert(types:find("%-%-%-@field " .. name .. " "),
               "types/ does not name " .. name)
      end
    end
  end)

  it("name every option, and no other", function()
    assert.same(options_of_binding(), options_of_page())
    for name in pairs(options_of_binding()) do
      assert(types:find("%-%-%-@field " .. name .. "%? "),
             "types/ does not name the option " .. name)
    end
  end)

  it("name every option of serve, and no other", function()
    local options = assert(read("lua/multiprocessing/serve.lua"):match("\nlocal OPTIONS = (%b{})"),
                           "serve.lua does not look as it did")
    local class = assert(types:match("%-%-%-@class multiprocessing.ServeOptions\n(.-)\n\n"))
    local names, declared = assert(load("return " .. options))(), {}
    for name in class:gmatch("%-%-%-@field ([%w_]+)%?? ") do declared[name] = names[name] or "?" end
    assert.is_true(next(names) ~= nil)
    assert.same(names, declared)
    local section = assert(page:match("\n### Many peers\n(.-)\n### "))
    for name in pairs(names) do assert_has(section, "`" .. name .. "`", "README.md") end
  end)

  it("name every waiter", function()
    local files = assert(sys.listdir("lua/multiprocessing/waiter"))
    assert.is_true(#files > 0)
    for _, file in ipairs(files) do
      local module = "multiprocessing.waiter." .. file:gsub("%.lua$", "")
      assert_has(page, '`require "' .. module .. '"`', "README.md")
      local declared = read("types/" .. module:gsub("%.", "/") .. ".lua")
      assert_has(declared, "---@meta " .. module .. "\n", "types/")
      assert_has(declared, "---@type multiprocessing.Waiter\n", "types/")
    end
  end)

  it("link to files that exist", function()
    for target in page:gmatch("%]%(([^)#]+)%)") do
      assert(sys.stat(target), "README.md links to " .. target)
    end
    for anchor in page:gmatch("%]%(#([^)]+)%)") do
      local found = false
      for title in page:gmatch("\n#+ ([^\n]+)") do
        found = found or title:lower():gsub("[^%w -]", ""):gsub(" ", "-") == anchor
      end
      assert(found, "README.md has no section #" .. anchor)
    end
  end)
end)

-- Ctrl-C in the stock interpreter interrupts whatever blocks, at once, in the
-- main thread and in a coroutine; and nothing is lost by that.

local connection = require "multiprocessing.connection"
local sys = require "sys"
local helpers = require "helpers"

local CHILD = "spec/fixtures/interrupt_child.lua"
local LARGE = ("x"):rep(0x500000)
local THREADS = {"main", "coroutine"}

local function read_file(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

-- The letter for the state of a process (proc(5), /proc/pid/stat): the first
-- word after its name.
local function state(pid)
  return read_file(("/proc/%d/stat"):format(pid)):match("^.*%) (%a)")
end

-- Returns once the child sleeps in a system call.
local function await_sleep(child)
  local deadline = sys.monotonic() + helpers.timeout
  repeat
    local now = state(child.pid)
    assert(now ~= "Z", "the child ends without blocking")
    assert(sys.monotonic() < deadline, "the child never sleeps")
  until now == "S"
end

-- Starts one of the child's calls, with its arguments.
local function start(thread, call, ...)
  return helpers.lua(CHILD, thread, call, ...)
end

-- Once it blocks.
local function interrupt(child)
  assert.equal("ready", child:line())
  await_sleep(child)
  assert(child:kill(sys.SIGINT))
end

-- A raw peer, and what a child gets: the number of the other end, and options
-- that make it inherit that.
local function open_end(kind)
  local fd, other
  if kind == "pipe" then
    fd, other = assert(sys.pipe())
  else
    fd, other = assert(sys.socketpair())
  end
  return helpers.raw(fd), helpers.raw(other)
end

-- The child must end by itself, and soon, with the interpreter's own error.
local function assert_interrupted(child)
  local code, said = child:wait()
  assert.equal(1, code, said)
  assert.truthy(said:find("interrupted!", 1, true), said)
end

-- What the child needs besides: a kind of descriptor, or a path.
local CALLS = {
  {"accept"},
  {"accept_in_handshakes"},
  {"answer_challenge", "socket"},
  {"close", "socket"},
  {"connect", "path"},
  {"connect_and_handshake"},
  {"connections"},
  {"deliver_challenge", "socket"},
  {"detach", "socket"},
  {"flush", "socket"},
  {"handshake"},
  {"join"},
  {"join_by_close"},
  {"join_by_end_of_scope"},
  {"messages", "socket"},
  {"poll", "socket"},
  {"ready", "socket"},
  {"recv_bytes", "socket"},
  {"recv_bytes_into", "socket"},
  {"recv_bytes_with_hook", "socket"},
  {"recv_bytes_with_timeout", "socket"},
  {"recv_bytes_with_waiter", "socket"},
  {"send_bytes", "socket"},
  {"send_bytes_to_pipe", "pipe"},
  {"sleep"},
  {"wait", "socket"},
}

describe("Ctrl-C", function()
  if not sys.stat("/proc/self/stat") then
    pending("needs Linux's /proc to see that a process sleeps")
    return
  end

  for _, thread in ipairs(THREADS) do
    for _, call in ipairs(CALLS) do
      local name, needs = call[1], call[2]

      it(("interrupts %s in the thread '%s'"):format(name, thread), function()
        local directory <close> = helpers.tmpdir()
        local peer, other = open_end(needs)
        local _ <close> = helpers.closing(peer, other)
        local argument = needs == "path" and directory:join("nobody")
                         or other.fd
        local child <close> = start(thread, name, argument, {
          stderr = "stdout", inherit = {other.fd},
        })
        interrupt(child)
        assert_interrupted(child)
      end)
    end

    it("that came before the call interrupts it, " .. thread, function()
      local peer, other = open_end("socket")
      local _ <close> = helpers.closing(peer, other)
      local child <close> = start(thread, "recv_bytes_after_the_signal",
                                  other.fd, {
        stderr = "stdout", inherit = {other.fd},
      })
      assert.equal("ready", child:line())
      assert_interrupted(child)
    end)
  end
end)

-- A child that connects, and the other end.
local function start_client(thread, call)
  local listener <close> = helpers.raw_listener()
  local child = start(thread, call, listener.address[2], {stderr = "stdout"})
  return child, listener:accept()
end

describe("Ctrl-C in a connection of the program's own", function()
  if not sys.stat("/proc/self/stat") then return end

  for _, thread in ipairs(THREADS) do
    for _, call in ipairs {
      "client_messages", "client_poll", "client_recv_bytes",
      "client_recv_bytes_into", "client_recv_bytes_with_hook",
      "client_recv_bytes_with_timeout",
    } do
      it(("interrupts %s in the thread '%s'"):format(call, thread), function()
        local child <close>, peer = start_client(thread, call)
        local _ <close> = peer
        interrupt(child)
        assert_interrupted(child)
      end)
    end

    it("interrupts what spins, " .. thread, function()
      local child <close>, peer = start_client(thread, "client_spinning")
      local _ <close> = peer
      assert.equal("ready", child:line())
      assert(child:kill(sys.SIGINT))
      assert_interrupted(child)
    end)

    it("that came before the call interrupts it, " .. thread, function()
      local child <close>, peer =
        start_client(thread, "client_recv_bytes_after_the_signal")
      local _ <close> = peer
      assert_interrupted(child)
    end)

    local function catch(call, bytes)
      local child, peer = start_client(thread, call)
      peer:write(bytes)
      interrupt(child)
      local said = child:line()
      assert.truthy(said:find("caught true .*interrupted!"), said)
      return child, peer
    end

    it("loses nothing of a message that was half received, " .. thread,
       function()
      local child <close>, peer = catch("client_go_on_receiving",
                                        "\0\0\0\6abc")
      local _ <close> = peer
      peer:write("def" .. helpers.frame("next"))
      assert.equal("abcdef", child:line())
      assert.equal("next", child:line())
      assert.equal(0, child:wait())
    end)

    it("nor of a large one on its way into a Buffer, " .. thread, function()
      local size = 600000
      local message = "<-" .. ("x"):rep(size - 4) .. "->"
      local frame = helpers.frame(message)
      local child <close>, peer = catch("client_go_on_receiving_into",
                                        frame:sub(1, 100000))
      local _ <close> = peer
      peer:write(frame:sub(100001) .. helpers.frame("next"))
      assert.equal(size .. " <- ->", child:line())
      assert.equal("next", child:line())
      assert.equal(0, child:wait())
    end)
  end
end)

describe("after an interrupt that was caught", function()
  if not sys.stat("/proc/self/stat") then return end

  -- Starts `call` with an end of its own; interrupts it.
  local function catch(other, thread, call)
    local child = start(thread, call, other.fd, {
      stderr = "stdout", inherit = {other.fd},
    })
    other:close()
    interrupt(child)
    local said = child:line()
    assert.truthy(said:find("caught true .*interrupted!"), said)
    return child
  end

  for _, thread in ipairs(THREADS) do
    local function also(behaviour)
      return ("%s (%s)"):format(behaviour, thread)
    end

    it(also "a message that was half received is completed", function()
      local peer <close>, other = open_end("socket")
      peer:write("\0\0\0\6abc")
      local child <close> = catch(other, thread, "go_on_receiving")
      peer:write("def" .. helpers.frame("next"))
      assert.equal("abcdef", child:line())
      assert.equal("next", child:line())
      assert.equal(0, child:wait())
    end)

    it(also "so is one that goes into a Buffer", function()
      local peer <close>, other = open_end("socket")
      peer:write("\0\0\0\6abc")
      local child <close> = catch(other, thread, "go_on_receiving_into")
      peer:write("def" .. helpers.frame("next"))
      assert.equal("6 abcdef\0\0", child:line())
      assert.equal("next", child:line())
      assert.equal(0, child:wait())
    end)

    for kind, call in pairs {socket = "go_on_sending",
                             pipe = "go_on_sending_to_pipe"} do
      it(also("a half-sent message is delivered whole: " .. kind), function()
        local peer <close>, other = open_end(kind)
        local child <close> = catch(other, thread, call)
        assert.equal(LARGE, peer:read_frame())
        assert.equal("next", peer:read_frame())
        assert.equal("sent", child:line())
        assert.equal(0, child:wait())
      end)
    end

    it(also "a close can be repeated, and has lost nothing", function()
      local peer <close>, other = open_end("socket")
      local child <close> = catch(other, thread, "go_on_after_close")
      assert.equal("closed false", child:line())
      assert.equal(LARGE, peer:read_frame())
      assert.equal("next", peer:read_frame())
      assert.equal("sent", child:line())
      assert.equal(0, child:wait())
    end)

    it(also "a listener goes on accepting", function()
      local child <close> = start(thread, "go_on_accepting",
                                  {stderr = "stdout"})
      local path = child:line()
      interrupt(child)
      local said = child:line()
      assert.truthy(said:find("caught true .*interrupted!"), said)
      local client <close> = assert(connection.Client(path, {authkey = "key"}))
      assert(client:send_bytes("hello"))
      assert.equal("hello", child:line())
      assert.equal(0, child:wait())
    end)

    it(also "a process can be joined again", function()
      local child <close> = start(thread, "go_on_joining", {stderr = "stdout"})
      interrupt(child)
      local said = child:line()
      assert.truthy(said:find("caught true .*interrupted!"), said)
      assert.equal("true", child:line())
      assert.equal("3", child:line())
      assert.equal(0, child:wait())
    end)

    it(also "no hook is left behind", function()
      local peer <close>, other = open_end("socket")
      local child <close> = catch(other, thread, "hooks_after_interrupt")
      assert.equal("hooks nil nil", child:line())
      peer:write_frame("bye")
      assert.equal("bye", child:line())
      assert.equal(0, child:wait())
    end)
  end
end)

describe("a debug hook that was there before", function()
  local main = debug.getregistry()[1]
  local before = table.pack(debug.gethook(main))

  after_each(function()
    sys.alarm(0) -- one may be on its way: it is counted for ever after
    debug.sethook(main, table.unpack(before, 1, 3))
  end)

  local function in_coroutine(f)
    local thread = coroutine.create(f)
    local done, err = coroutine.resume(thread)
    assert(done, err)
  end

  local function noop() end
  local function other() end

  -- Signals other than Ctrl-C interrupt the wait meanwhile.
  it("survives a call that blocks in a coroutine", function()
    local a, b, _ <close> = helpers.pair()
    sys.on_alarm("nothing")
    debug.sethook(main, noop, "l", 1000000)
    in_coroutine(function()
      debug.sethook(other, "cr")
      sys.alarm(0.001, 0.001)
      b:settimeout(0.02)
      assert.equal("TimeoutError", select(2, b:recv_bytes()).name)
      assert.equal(0, #connection.wait({b}, 0.02))
      local hook, mask = debug.gethook()
      debug.sethook()
      assert.equal(other, hook)
      assert.equal("cr", mask)
    end)
    local hook, mask, count = debug.gethook(main)
    debug.sethook(main)
    assert.equal(noop, hook)
    assert.equal("l", mask)
    assert.equal(1000000, count)
    assert.truthy(sys.alarms() > 0)
    assert(a:send_bytes("still alive"))
    assert.equal("still alive", b:recv_bytes())
  end)

  it("is left alone where the coroutine has none", function()
    local _, b, _ <close> = helpers.pair()
    debug.sethook(main, noop, "c")
    in_coroutine(function()
      b:settimeout(0.01)
      assert.equal("TimeoutError", select(2, b:recv_bytes()).name)
      assert.is_nil((debug.gethook()))
    end)
    local hook = debug.gethook(main)
    debug.sethook(main)
    assert.equal(noop, hook)
  end)
end)

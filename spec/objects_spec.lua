-- Values over connections: send, recv and messages, the options that say how they
-- are written and read, and the examples of Python's documentation.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local pickle = require "multiprocessing.pickle"

local LIMIT = helpers.timeout

-- Two connected ends, and what closes both; `options` are for both.
local ways = {
  ["a Pipe"] = function(options)
    local a, b = assert(connection.Pipe(true, options))
    return a, b
  end,
  ["a Connection"] = function(options)
    local a, b = assert(connection.Pipe())
    return assert(connection.Connection(a:detach(), true, true, options)),
           assert(connection.Connection(b:detach(), true, true, options))
  end,
}

local function over_sockets(address)
  return function(options)
    local given = {backlog = 1}
    for name, value in pairs(options or {}) do given[name] = value end
    local listener <close> = assert(connection.Listener(address, given))
    given.backlog = nil
    local client = assert(connection.Client(listener.address, given))
    return client, assert(listener:accept(LIMIT))
  end
end

ways["AF_UNIX"] = over_sockets(nil)
ways["AF_INET"] = over_sockets {"127.0.0.1", 0}

for name, make in pairs(ways) do
  local function open(options)
    local a, b = make(options)
    a:settimeout(LIMIT)
    b:settimeout(LIMIT)
    return a, b, helpers.closing(a, b)
  end

  describe("Values over " .. name, function()
    it("arrive as the mapping has them", function()
      local a, b, _ <close> = open()
      for _, value in ipairs {1, 0.5, "text", true, pickle.int(("9"):rep(30))} do
        assert(a:send(value))
        assert.equal(value, b:recv())
        assert(b:send(value))
        assert.equal(value, a:recv())
      end
      assert(a:send {1, {x = pickle.tuple {2}}})
      assert.equal(2, b:recv()[2].x[1])
    end)

    it("that are nil arrive as None, and false as false", function()
      local a, b, _ <close> = open()
      assert(a:send(nil))
      assert.equal(pickle.None, b:recv())
      assert(a:send(false))
      local value, err = b:recv()
      assert.is_false(value)
      assert.is_nil(err)
    end)

    it("that cannot be pickled are not sent, and the connection goes on", function()
      local a, b, _ <close> = open()
      local sent, err = a:send {1, {callback = print}}
      assert.is_nil(sent)
      assert.equal("PicklingError", err.name)
      assert.equal("cannot pickle a function (at [2].callback)", err.message)
      assert.is_false(b:poll(0))
      assert(a:send("next"))
      assert.equal("next", b:recv())
    end)

    it("that are no pickle are an error, and the connection goes on", function()
      local a, b, _ <close> = open()
      for _, bytes in ipairs {"junk", "", "(((", "\x80\4N"} do
        assert(a:send_bytes(bytes))
        local value, err = b:recv()
        assert.is_nil(value)
        assert.equal("UnpicklingError", err.name)
      end
      assert(a:send("next"))
      assert.equal("next", b:recv())
    end)

    it("come one by one from messages, until end of file", function()
      local a, b, _ <close> = open()
      for i = 1, 5 do assert(a:send {i}) end
      a:close()
      local got = {}
      for message in b:messages() do got[#got + 1] = message[1] end
      assert.same({1, 2, 3, 4, 5}, got)
    end)

    it("that are false do not end messages", function()
      local a, b, _ <close> = open()
      assert(a:send(false))
      assert(a:send(nil))
      assert(a:send("last"))
      a:close()
      local got = {}
      for message in b:messages("objects") do got[#got + 1] = message end
      assert.same({false, pickle.None, "last"}, got)
    end)

    it("go by a codec, if there is one", function()
      local calls = {}
      local a, b, _ <close> = open {codec = {
        dumps = function(value)
          calls[#calls + 1] = "dumps"
          return tostring(value)
        end,
        loads = function(bytes)
          calls[#calls + 1] = "loads"
          return "<" .. bytes .. ">"
        end,
      }}
      assert(a:send(42))
      assert.equal("<42>", b:recv())
      assert.same({"dumps", "loads"}, calls)
      assert(a:send_bytes("as it is"))
      assert.equal("as it is", b:recv_bytes())
    end)

    it("never are nil, nor lack an error object, whatever a codec returns", function()
      local a, b, _ <close> = open {codec = {
        dumps = function(value)
          if value == "bad" then return nil, "a bad one" end
          return value
        end,
        loads = function() return nil end,
      }}
      local sent, err = a:send("bad")
      assert.is_nil(sent)
      assert.equal("PicklingError", err.name)
      assert.equal("a bad one", err.message)
      assert(a:send("good"))
      local got
      got, err = b:recv()
      assert.is_nil(got)
      assert.equal("UnpicklingError", err.name)
    end)

    it("pass on what a codec finds wrong", function()
      local problem = {name = "JSONError"}
      local a, b, _ <close> = open {codec = {
        dumps = function(value)
          if value == "bad" then return nil, problem end
          if value == "worse" then error(problem) end
          if value == "number" then return {} end
          return value
        end,
        loads = function(bytes)
          if bytes == "bad" then return nil, problem end
          if bytes == "worse" then error(problem) end
          return bytes
        end,
      }}
      local sent, err = a:send("bad")
      assert.is_nil(sent)
      assert.equal(problem, err)
      local ok
      ok, err = pcall(a.send, a, "worse")
      assert.is_false(ok)
      assert.equal(problem, err)
      assert.is_false((pcall(a.send, a, "number")))
      assert.is_false(b:poll(0))
      assert(a:send_bytes("bad"))
      local value
      value, err = b:recv()
      assert.is_nil(value)
      assert.equal(problem, err)
      assert(a:send("next"))
      assert.equal("next", b:recv())
    end)

    it("are written in the protocol asked for", function()
      for protocol = 0, 5 do
        local a, b, _ <close> = open {protocol = protocol}
        assert(a:send {1, "two"})
        assert.equal(pickle.dumps({1, "two"}, {protocol = protocol}), b:recv_bytes())
      end
      local a, b, _ <close> = open()
      assert(a:send {1})
      assert.equal(pickle.dumps({1}, {protocol = 4}), b:recv_bytes())
    end)

    it("keep bytes apart where that is asked for", function()
      local a, b, _ <close> = open {bytes = "wrap"}
      assert(a:send {pickle.bytes "x", "x"})
      local got = b:recv()
      assert.equal(pickle.bytes "x", got[1])
      assert.equal("x", got[2])
    end)

    it("are made by constructors", function()
      local a, b, _ <close> = open {constructors = {["m.Point"] = function(x, y)
        return {x = x, y = y}
      end}}
      assert(a:send(pickle.object {class = pickle.global("m", "Point"), args = {1, 2}}))
      assert.same({x = 1, y = 2}, b:recv())
    end)

    it("may lack what a constructor makes of them: the connection goes on",
       function()
      local a, b, _ <close> = open {constructors = {["m.Point"] = error}}
      assert(a:send(pickle.object {class = pickle.global("m", "Point"), args = {"no"}}))
      assert.error(function() b:recv() end)
      assert(a:send(5))
      assert.equal(5, b:recv())
    end)

    it("are JSON in one line", function()
      local found, json = pcall(require, "dkjson")
      if not found then pending("there is no dkjson") end
      local a, b, _ <close> = open {codec = {dumps = json.encode, loads = json.decode}}
      assert(a:send {name = "x", list = {1, 2}})
      assert.same({name = "x", list = {1, 2}}, b:recv())
      assert(a:send {1})
      assert.equal("[1]", b:recv_bytes())
      assert(a:send_bytes("{bad"))
      local value, err = b:recv()
      assert.is_nil(value)
      assert(err ~= nil)
    end)

    it("have options that are checked", function()
      for option, values in pairs {
        codec = {1, {}, {dumps = print}, {loads = print}}, protocol = {-1, 6, "4", 1.5},
        bytes = {"text", 1, true}, constructors = {1, print},
      } do
        for _, value in ipairs(values) do
          assert.error(function() make {[option] = value} end)
        end
      end
    end)
  end)
end

describe("The listener and client of Python's documentation", function()
  local programs = {
    lua = function(name, ...) return helpers.lua(name .. ".lua", ...) end,
  }
  local python = assert(helpers.pythons()[#helpers.pythons()], "no Python 3")
  function programs.python(name, ...)
    return helpers.python(python, name .. ".py", ...)
  end

  local expected = {
    lua = "[2.25, None, 'junk', <class 'float'>]\nhello\n8\n42\t1729\t0\t0\t0\t21\n",
    python = "[2.25, None, 'junk', <class 'float'>]\nb'hello'\n8\n"
             .. "array('i', [42, 1729, 0, 0, 0])\n",
  }

  for server_kind, start_server in pairs(programs) do
    for client_kind, start_client in pairs(programs) do
      it(("agree: %s and %s"):format(server_kind, client_kind), function()
        local dir <close> = helpers.tmpdir()
        local path = dir:join("socket")
        local server <close> = start_server("examples/doc_server", path)
        assert.equal("ready", server:line())
        local client <close> = start_client("examples/doc_client", path)
        local code, said = client:wait()
        assert.equal(expected[client_kind], said)
        assert.equal(0, code)
        assert.equal(0, (server:wait()))
      end)
    end
  end

  for kind, start in pairs(programs) do
    it("gather from four writers of both languages, in " .. kind, function()
      local dir <close> = helpers.tmpdir()
      local path = dir:join("socket")
      local reader <close> = start("examples/doc_fan_in", path)
      assert.equal("ready", reader:line())
      local a <close> = programs.lua("examples/doc_fan_in_writer", path, "a")
      local b <close> = programs.python("examples/doc_fan_in_writer", path, "b")
      local c <close> = programs.lua("examples/doc_fan_in_writer", path, "c")
      local d <close> = programs.python("examples/doc_fan_in_writer", path, "d")
      for _, writer in ipairs {a, b, c, d} do assert.equal(0, (writer:wait())) end
      local code, said = reader:wait()
      assert.equal(0, code)
      local next_of, count = {}, 0
      for number, writer in said:gmatch("%((%d), '(%a)'%)\n") do
        assert.equal(next_of[writer] or 0, tonumber(number))
        next_of[writer] = number + 1
        count = count + 1
      end
      assert.equal(40, count)
    end)
  end
end)

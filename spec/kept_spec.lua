-- connection.wait over a list that is waited for again and again: the third call
-- and the later ones find it kept, and must not behave otherwise.

local connection = require "multiprocessing.connection"
local helpers = require "helpers"
local sys = require "sys"

local LIMIT = helpers.timeout
local N = 50

local many, keep = helpers.pairs, helpers.keep

--- Which numbers of the list are ready.
local function ready(list, timeout)
  local numbers = {}
  for _, object in ipairs(assert(connection.wait(list, timeout or 0))) do
    for i, other in ipairs(list) do
      if object == other then numbers[#numbers + 1] = i end
    end
  end
  return numbers
end

for what, options in pairs {["that read ahead"] = {readahead = true}, ["that do not"] = {}} do
  describe("connection.wait on a kept list of connections " .. what, function()
    it("reports those that are ready, in the order of the list", function()
      local near, far, _ <close> = many(N, options)
      keep(near)
      assert.same({}, ready(near))
      for _, i in ipairs {40, 7, 23} do far[i]:send_bytes("x") end
      assert.same({7, 23, 40}, ready(near))
      assert.same({7, 23, 40}, ready(near))
      near[23]:recv_bytes()
      assert.same({7, 40}, ready(near, LIMIT))
    end)

    it("reports a message that is buffered", function()
      local near, far, _ <close> = many(N, options)
      keep(near)
      far[9]:send_many({"one", "two", "three"}, "bytes")
      for _, message in ipairs {"one", "two", "three"} do
        assert.same({9}, ready(near, LIMIT))
        assert.equal(message, near[9]:recv_bytes())
      end
      assert.same({}, ready(near))
    end)

    it("reports every one, however many they are", function()
      local n = 300 -- more than one look of a poller gives
      local near, far, _ <close> = many(n, options)
      keep(near)
      local all = {}
      for i = 1, n do
        far[i]:send_bytes("x")
        all[i] = i
      end
      assert.same(all, ready(near))
      assert.same(all, ready(near, LIMIT))
    end)

    it("sees that one was replaced, taken out or added", function()
      local near, far, _ <close> = many(N, options)
      local a, b, _ <close> = helpers.pair(true) -- luacheck: ignore 411
      local list = table.move(near, 1, N, 1, {})
      keep(list)
      list[30] = a
      far[30]:send_bytes("not watched any more")
      assert.same({}, ready(list))
      b:send_bytes("x")
      assert.same({30}, ready(list, LIMIT))
      keep(list)
      assert.same({30}, ready(list))
      table.remove(list, 1)
      assert.same({29}, ready(list))
      list[N] = near[30]
      assert.same({29, N}, ready(list))
    end)

    it("throws for one that was closed, and names it", function()
      local near, _, _ <close> = many(N, options)
      keep(near)
      near[12]:close()
      assert.error_matches(function() connection.wait(near, 0) end, "closed %(at %[12%]")
    end)

    it("reports end of file, and one that was used meanwhile", function()
      local near, far, _ <close> = many(N, options)
      keep(near)
      far[3]:close()
      far[4]:send_bytes("x")
      assert.same({3, 4}, ready(near, LIMIT))
      assert.equal("x", near[4]:recv_bytes())
      assert.same({3}, ready(near))
      assert.equal("EOFError", select(2, near[3]:recv_bytes()).name)
      assert.same({3}, ready(near))
    end)
  end)
end

describe("connection.wait on a kept list", function()
  it("waits until something comes, or time is up", function()
    local near, far, _ <close> = many(N)
    keep(near)
    assert.same({}, ready(near, 0.01))
    local child = helpers.fork(function(out)
      out:write("here")
      sys.poll(0, "r", 0.01)
      far[5]:send_bytes("from a child")
    end)
    assert.same({5}, ready(near, LIMIT))
    assert.equal("from a child", near[5]:recv_bytes())
    assert.equal(0, (child:wait()))
  end)

  it("waits for the rest of a message", function()
    local near, _, _ <close> = many(N, {readahead = true})
    local peer <close> = helpers.raw_peer()
    local fd = assert(peer.conn:detach())
    near[20]:close()
    near[20] = assert(connection.Connection(fd, true, true, {readahead = true}))
    keep(near)
    peer.raw:write("\0\0\0\4ab")
    assert.same({}, ready(near, 0.01))
    peer.raw:write("cd")
    assert.same({20}, ready(near, LIMIT))
    assert.equal("abcd", near[20]:recv_bytes())
  end)

  it("gives twice what is twice in it", function()
    local near, far, _ <close> = many(N)
    near[N + 1] = near[2]
    for _ = 1, 4 do connection.wait(near, 0) end
    far[2]:send_bytes("x")
    local found = connection.wait(near, LIMIT)
    assert.same({near[2], near[2]}, found)
    near[N + 1] = nil
  end)

  it("takes listeners and numbers among connections", function()
    local near, far, _ <close> = many(N)
    local listener <close> = assert(connection.Listener())
    local r, w <const> = assert(sys.pipe())
    local list = table.move(near, 1, N, 3, {listener, r})
    keep(list)
    far[1]:send_bytes("x")
    sys.write(w, "x")
    local client <close> = assert(connection.Client(listener.address))
    local numbers = ready(list, LIMIT)
    assert.same({1, 2, 3}, numbers)
    assert.is_false(client.closed)
    sys.close(r)
    sys.close(w)
  end)

  it("holds no connection in memory, and no descriptor of one that is gone", function()
    local function drop()
      local near = many(N)
      keep(near)
      return helpers.nfds()
    end
    local function collect()
      collectgarbage()
      collectgarbage()
    end
    drop()
    collect()
    local before = drop()
    collect()
    assert.equal(before - 2 * N, helpers.nfds())
  end)

  it("is a forked child's own", function()
    local near, far, _ <close> = many(N)
    keep(near)
    local child = helpers.fork(function()
      near[1]:close()
      far[2]:send_bytes("x")
      local rest = table.move(near, 2, N, 1, {})
      assert(#ready(rest, LIMIT) == 1)
      assert(near[2]:recv_bytes() == "x")
    end)
    assert.equal(0, (child:wait()))
    far[1]:send_bytes("still watched here")
    assert.same({1}, ready(near, LIMIT))
  end)

  it("is waited for by several coroutines", function()
    local near, far, _ <close> = many(N)
    keep(near)
    local asked = {}
    local before = connection.set_waiter(function(object, mode, timeout)
      asked[#asked + 1] = object:pollfd()
      return coroutine.yield(object, mode, timeout)
    end)
    local _ <close> = setmetatable({}, {__close = function() connection.set_waiter(before) end})
    local results = {}
    local threads = {}
    for i = 1, 2 do
      threads[i] = coroutine.create(function() results[i] = connection.wait(near) end)
      assert(coroutine.resume(threads[i]))
    end
    assert.equal(2, #asked)
    far[8]:send_bytes("x")
    for i = 1, 2 do
      assert(coroutine.resume(threads[i], true))
      assert.same({near[8]}, results[i])
    end
  end)
end)

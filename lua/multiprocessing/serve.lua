--- connection.serve: the loop of a server with many peers.

local core = require "multiprocessing.core"
local accepting = require "multiprocessing.accepting"
local Turns = require "multiprocessing.turns"

-- Where the system has no room for a new peer: how often others are served before
-- the next try.
local PAUSE_TURNS = 100

-- Seconds that a send may wait for a peer which does not read, where nobody says.
local TIMEOUT = 1

local OPTIONS = {mode = "string", timeout = "number", max_connections = "number"}

local Server = {__name = "multiprocessing.server"}
Server.__index = Server

local function check_options(options)
  if options ~= nil and type(options) ~= "table" then
    error(("bad argument #2 to 'serve' (table expected, got %s)"):format(type(options)), 3)
  end
  for name, value in pairs(options or {}) do
    if not OPTIONS[name] then
      error(("bad argument #2 to 'serve' (unknown option '%s')"):format(tostring(name)), 3)
    end
    if type(value) ~= OPTIONS[name] then
      error(("bad argument #2 to 'serve' (option '%s': %s expected, got %s)"):format(
        name, OPTIONS[name], type(value)), 3)
    end
  end
  return options or {}
end

--- Watches the listener, or leaves new peers in its backlog.
function Server:listen(wanted)
  if self.listener.closed then
    self.listening = false
  elseif wanted ~= self.listening then
    if wanted then
      local added, err = self.poller:add(self.listener)
      if not added then error(err, 0) end
    else
      self.poller:remove(self.listener)
    end
    self.listening = wanted
  end
end

--- How many peers there are.
function Server:count()
  return #self.poller - (self.listening and 1 or 0)
end

--- Closes without waiting for a peer that does not read.
local function drop(conn)
  if conn and not conn.closed then
    conn:settimeout(0)
    conn:close()
  end
end

--- "open" and a peer, "error" and why there is none, or nothing.
function Server:welcome()
  local conn, err = core.accept(self.listener)
  if conn then
    local added
    added, err = self.poller:add(conn)
    if added then
      conn:settimeout(self.timeout)
      self.connections[conn] = true
      return "open", conn
    end
    drop(conn)
  end
  if not err then return end
  accepting.check(err)
  if accepting.lacks_room(err) then self.paused = PAUSE_TURNS end
  return "error", nil, err
end

--- "close" and `conn`, which is closed when the program has seen that.
function Server:finish(conn)
  self.poller:remove(conn)
  self.closing = conn
  self.paused = 0 -- there will be room
  return "close", conn
end

--- What comes of the connection whose turn it is: an event, or nothing.
function Server:hear()
  local conn = self.turns.current
  local message, err = self.turns:take()
  if message ~= nil then return "message", conn, message end
  if not err then return end
  self.turns.current = nil
  if err.name == "EOFError" then return self:finish(conn) end
  self.ending = conn
  return "error", conn, err
end

--- Gives somebody the turn. False: nobody is left.
function Server:wait()
  local paused = self.paused > 0 and not self.listener.closed
  self:listen(not paused and self:count() < self.max_connections)
  if #self.poller == 0 and not paused then return false end
  local object, err = self.turns:advance(paused and accepting.PAUSE or nil)
  if err then error(err, 0) end
  self.paused = object == nil and 0 or self.paused - 1
  if rawequal(object, self.listener) then
    self.turns.current = nil
    -- the program may have closed it since it was found ready
    if not self.listener.closed then return self:welcome() end
  end
end

--- The next event; false at the end; nothing: ask again.
function Server:step()
  local ending, closing = self.ending, self.closing
  self.ending, self.closing = nil, nil
  drop(closing)
  if ending then return self:finish(ending) end
  if self.turns.current then return self:hear() end
  return self:wait()
end

function Server:__call()
  while true do
    local event, conn, message = self:step()
    if event then return event, conn, message end
    if event == false then return end
  end
end

--- At the end of the loop, also by `break` or an error.
function Server:__close()
  for conn in pairs(self.connections) do drop(conn) end
  self.poller:close()
end

--- connection.serve(listener [, options]): the events of a server, until the
-- listener is closed and the last peer has gone.
local function serve(listener, options)
  options = check_options(options)
  if type(listener) ~= "userdata" or not listener.accept then
    error(("bad argument #1 to 'serve' (Listener expected, got %s)"):format(type(listener)), 2)
  end
  local bytes = Turns.is_bytes(options.mode, "option 'mode' of 'serve'", 2)
  local poller, err = core.Poller()
  if not poller then error(err, 2) end
  local server = setmetatable({
    listener = listener,
    poller = poller,
    turns = Turns.new(poller, bytes),
    timeout = options.timeout or TIMEOUT,
    max_connections = options.max_connections or math.huge,
    connections = setmetatable({}, {__mode = "k"}), -- the program may drop them
    listening = false, -- whether the poller watches the listener
    paused = 0, -- turns until new peers are wanted again
    closing = nil, -- a peer that is closed when the program has seen its "close"
    ending = nil, -- a peer whose "close" follows its "error"
  }, Server)
  return server, nil, nil, server
end

return serve

--- What a server's loop makes of an error of accept: one of a peer's does not
-- concern it, some pass, and some do not.

local accepting = {}

--- Seconds to pause where the system has no room for another peer: it will not
-- have some at once.
accepting.PAUSE = 0.05

local BROKEN = {EBADF = true, EINVAL = true, ENOTSOCK = true, EOPNOTSUPP = true}
local NO_ROOM = {EMFILE = true, ENFILE = true, ENOBUFS = true, ENOMEM = true}

--- Throws `err` where the listener will never accept again.
function accepting.check(err)
  if BROKEN[err.code] then error(err, 0) end
end

--- Whether the system had no room for the peer. Makes what room it can: closes the
-- connections that were dropped.
function accepting.lacks_room(err)
  if not NO_ROOM[err.code] then return false end
  collectgarbage()
  return true
end

return accepting

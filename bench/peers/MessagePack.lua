--- lua-MessagePack, in pure Lua, for the codec. Debian has it for 5.3 at most.

package.path = package.path .. ";/usr/share/lua/5.3/?.lua"
local worker = require "worker"
local codec = worker.require "MessagePack"

worker.run(codec._VERSION:match("%d[%d.]*"), "codec:dumps,loads", {
  codec = worker.codec(codec.pack, codec.unpack, worker.plain_value),
})

--- lua-mpack, MessagePack in C, for the codec.

local worker = require "worker"
local mpack = worker.require "mpack"

worker.run("-", "codec:dumps,loads", {
  codec = worker.codec(mpack.pack or mpack.encode, mpack.unpack or mpack.decode,
    function(name) return worker.plain_value(name, mpack.NIL) end),
})

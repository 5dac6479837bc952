--- lua-cjson, for the codec.

local worker = require "worker"
local cjson = worker.require "cjson"

worker.run(cjson._VERSION, "codec:dumps,loads", {
  codec = worker.codec(cjson.encode, cjson.decode, function(name)
    return worker.plain_value(name, cjson.null)
  end, {bytes1M = true}), -- JSON has no bytes
})

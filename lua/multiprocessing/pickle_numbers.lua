--- Views of Decimal, Fraction and UUID.

local values = require "multiprocessing.pickle_values"
local views = require "multiprocessing.pickle_views"

-- ---- decimal.Decimal ----

local specials = {
  inf = math.huge, infinity = math.huge, nan = 0 / 0, snan = 0 / 0,
}

-- Python's float(Decimal(text)); nil for what is none.
local function decimal_number(text)
  local sign, digits = text:lower():match("^([+-]?)([%d.]+e?[+-]?%d*)$")
  local x = digits and tonumber(digits)
  if not x then
    sign, digits = text:lower():match("^([+-]?)(%a+)%d*$")
    x = specials[digits]
  end
  if not x then return nil end
  return sign == "-" and -x or x
end

local function decimal_text(object)
  return values.bytes(views.arguments(object)[1])
end

views.register("decimal.Decimal", {
  methods = {
    str = decimal_text,
    number = function(object)
      local text = decimal_text(object)
      return text and decimal_number(text)
    end,
  },
  tostring = function(object, repr)
    local text = decimal_text(object)
    return text and ("Decimal(%s)"):format(repr(text))
  end,
})

-- ---- fractions.Fraction ----

local LONGEST = 2 * 4300 + 2 -- Python takes 4300 digits (sys.int_info) of each

-- (numerator, denominator), or "n/d" before Python 3.12.
local function parts(object)
  local args = views.arguments(object)
  local numerator, denominator = args[1], args[2]
  local text = #args == 1 and values.bytes(numerator)
  if text then
    if #text > LONGEST then return nil end
    local n, d = text:match("^(-?%d+)/?(%d*)$")
    if not n then return nil end
    return values.integer(n), d == "" and 1 or values.integer(d)
  end
  if denominator == nil then denominator = 1 end
  if values.is_integer(numerator) and values.is_integer(denominator) then
    return numerator, denominator
  end
end

views.register("fractions.Fraction", {
  fields = {
    numerator = function(object) return (parts(object)) end,
    denominator = function(object) return (select(2, parts(object))) end,
  },
  methods = {
    str = function(object)
      local n, d = parts(object)
      if not n then return nil end
      return d == 1 and tostring(n) or ("%s/%s"):format(n, d)
    end,
    number = function(object)
      local n, d = parts(object)
      return n and values.number(n) / values.number(d)
    end,
  },
  tostring = function(object, repr)
    local n, d = parts(object)
    return n and ("Fraction(%s, %s)"):format(repr(n), repr(d))
  end,
})

-- ---- uuid.UUID ----

local LIMBS = 8 -- of 16 bits each

-- 32 hexadecimal digits of a decimal number; nil where it needs more.
local function to_hex(digits)
  local limbs = {}
  for i = 1, LIMBS do limbs[i] = 0 end
  for digit in digits:gmatch("%d") do
    local carry = tonumber(digit)
    for i = LIMBS, 1, -1 do
      carry = carry + limbs[i] * 10
      limbs[i], carry = carry & 0xFFFF, carry >> 16
    end
    if carry > 0 then return nil end
  end
  return (("%04x"):rep(LIMBS):format(table.unpack(limbs)))
end

-- The instance has its number in its state; one that Lua makes has text.
local function uuid_hex(object)
  local number = values.table(object.fields).int
  if values.is_integer(number) and number >= 0 and not values.is_long(number) then
    return to_hex(tostring(number))
  end
  local text = values.bytes(views.arguments(object)[1])
  text = text and text:lower():gsub("[{}-]", ""):gsub("^urn:uuid:", "")
  return text and #text == 32 and text:find("^%x+$") and text or nil
end

local function uuid_text(object)
  local hex = uuid_hex(object)
  return hex and ("%s-%s-%s-%s-%s"):format(
    hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 16), hex:sub(17, 20),
    hex:sub(21))
end

views.register("uuid.UUID", {
  fields = {hex = uuid_hex},
  methods = {str = uuid_text},
  tostring = function(object)
    local text = uuid_text(object)
    return text and ("UUID('%s')"):format(text)
  end,
})

return {}

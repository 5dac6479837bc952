--- Views of datetime's date, time, datetime, timedelta and timezone.
--
-- An instance that comes from Python has its parts packed into bytes; one that
-- Lua makes, by `pickle.global("datetime", "date")(2022, 10, 15)`, has numbers.

local core = require "multiprocessing.core"
local values = require "multiprocessing.pickle_values"
local views = require "multiprocessing.pickle_views"

local DAY = 86400

-- ---- the parts ----

local date_names = {"year", "month", "day"}
local time_names = {"hour", "minute", "second", "microsecond", "tzinfo"}
local datetime_names = {"year", "month", "day", "hour", "minute", "second",
                        "microsecond", "tzinfo"}

-- What is packed: the format, where the first byte that may have the bit of
-- `fold` is among its values (they end in three bytes of microseconds).
local packed = {
  date = {size = 4, format = ">I2BB"},
  time = {size = 6, format = ">BBBI3", fold = 1},
  datetime = {size = 10, format = ">I2BBBBBI3", fold = 2},
}

local function from_bytes(data, how, names)
  local found = table.pack(string.unpack(how.format, data))
  found[found.n] = nil -- the position after them
  local parts = {fold = 0}
  if how.fold and found[how.fold] >= 128 then
    found[how.fold] = found[how.fold] - 128
    parts.fold = 1
  end
  for i, name in ipairs(names) do parts[name] = found[i] end
  return parts
end

-- Arguments by position, then by keyword.
local function from_numbers(object, args, names)
  local parts = {fold = 0}
  local kwargs = values.table(rawget(object, "kwargs"))
  for i, name in ipairs(names) do
    local part = args[i]
    if part == nil then part = kwargs[name] end
    if name == "tzinfo" then
      parts.tzinfo = values.optional(part)
    else
      part = part == nil and i > 3 and 0 or part
      if math.type(part) ~= "integer" then return nil end
      parts[name] = part
    end
  end
  return parts
end

-- All parts of a date, a time or a datetime; nil where it is none.
local function parts_of(object, kind, names)
  local args = views.arguments(object)
  local how = packed[kind]
  local data = values.bytes(args[1])
  if not data then
    if kind == "time" then args = table.move(args, 1, #args, 4, {0, 0, 0}) end
    local all = kind == "date" and date_names or datetime_names
    return from_numbers(object, args, all)
  end
  if #data ~= how.size then return nil end
  local parts = from_bytes(data, how, names)
  if kind ~= "date" then parts.tzinfo = values.optional(args[2]) end
  return parts
end

local function fields_of(kind, names)
  local fields = {}
  local function add(name)
    fields[name] = function(object)
      local parts = parts_of(object, kind, names)
      return parts and parts[name]
    end
  end
  for _, name in ipairs(names) do add(name) end
  if kind ~= "date" then add "fold" end
  return fields
end

-- ---- timedelta and timezone ----

local function delta_parts(object)
  local args = views.arguments(object)
  local parts = {}
  for i = 1, 3 do
    parts[i] = args[i] == nil and 0 or args[i]
    if math.type(parts[i]) ~= "integer" then return nil end
  end
  return parts
end

local function delta_field(i)
  return function(object)
    local parts = delta_parts(object)
    return parts and parts[i]
  end
end

local function total_seconds(object)
  local parts = delta_parts(object)
  return parts and parts[1] * (DAY + 0.0) + parts[2] + parts[3] / 1000000
end

views.register("datetime.timedelta", {
  fields = {
    days = delta_field(1), seconds = delta_field(2),
    microseconds = delta_field(3),
  },
  methods = {total_seconds = total_seconds},
  tostring = function(object)
    local parts = delta_parts(object)
    if not parts then return nil end
    local words = {}
    for i, name in ipairs {"days", "seconds", "microseconds"} do
      if parts[i] ~= 0 then
        words[#words + 1] = ("%s=%d"):format(name, parts[i])
      end
    end
    if #words == 0 then words[1] = "0" end
    return ("datetime.timedelta(%s)"):format(table.concat(words, ", "))
  end,
})

local function zone_offset(object)
  local delta = views.arguments(object)[1]
  local offset = views.classof(delta) == "datetime.timedelta"
                 and total_seconds(delta)
  return offset and math.abs(offset) < DAY and offset or nil
end

-- "+02:00", with seconds where there are some.
local function offset_text(offset)
  local sign = offset < 0 and "-" or "+"
  local seconds = math.floor(math.abs(offset))
  local text = ("%s%02d:%02d"):format(sign, seconds // 3600, seconds // 60 % 60)
  return seconds % 60 == 0 and text or text .. (":%02d"):format(seconds % 60)
end

local function zone_text(object)
  local offset = zone_offset(object)
  if not offset then return nil end
  return values.bytes(views.arguments(object)[2])
         or (offset == 0 and "UTC" or "UTC" .. offset_text(offset))
end

views.register("datetime.timezone", {
  fields = {offset = zone_offset, tzname = zone_text},
  methods = {str = zone_text},
  tostring = function(object, repr)
    local args = views.arguments(object)
    if not zone_offset(object) then return nil end
    if args[2] ~= nil then
      return ("datetime.timezone(%s, %s)"):format(repr(args[1]), repr(args[2]))
    end
    return zone_offset(object) == 0 and "datetime.timezone.utc"
           or ("datetime.timezone(%s)"):format(repr(args[1]))
  end,
})

-- ---- zoneinfo ----

local ZoneInfo = core.pickle.global("zoneinfo", "ZoneInfo")

views.wrappers["zoneinfo.ZoneInfo._unpickle"] = {
  class = function() return ZoneInfo end,
  arguments = function(args) return {args[1]} end,
}

local function zone_key(object)
  return values.bytes(views.arguments(object)[1])
end

views.register("zoneinfo.ZoneInfo", {
  fields = {key = zone_key},
  methods = {str = zone_key},
  tostring = function(object, repr)
    local key = zone_key(object)
    return key and ("zoneinfo.ZoneInfo(key=%s)"):format(repr(key))
  end,
})

-- ---- date, time, datetime ----

-- Seconds east of UTC, of a tzinfo whose offset is a constant.
local function offset_of(tzinfo)
  return views.classof(tzinfo) == "datetime.timezone" and zone_offset(tzinfo)
         or nil
end

local function date_text(parts)
  return ("%04d-%02d-%02d"):format(parts.year, parts.month, parts.day)
end

local function time_text(parts)
  local text = ("%02d:%02d:%02d"):format(parts.hour, parts.minute, parts.second)
  if parts.microsecond ~= 0 then
    text = text .. (".%06d"):format(parts.microsecond)
  end
  local offset = offset_of(parts.tzinfo)
  return offset and text .. offset_text(offset) or text
end

-- Days from 1970-01-01 in the Gregorian calendar; months and days may overflow.
local function days_from_epoch(year, month, day)
  year = month <= 2 and year - 1 or year
  local era_year = year % 400
  local day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
  return year // 400 * 146097 + era_year * 365 + era_year // 4
         - era_year // 100 + day_of_year - 719468
end

-- Without a time zone it is local time, as in Python.
local function timestamp(object)
  local parts = parts_of(object, "datetime", datetime_names)
  if not parts then return nil end
  local fraction = parts.microsecond / 1000000
  if not parts.tzinfo then
    local ok, seconds = pcall(os.time, {
      year = parts.year, month = parts.month, day = parts.day,
      hour = parts.hour, min = parts.minute, sec = parts.second,
    })
    return ok and seconds + fraction or nil
  end
  local offset = offset_of(parts.tzinfo)
  if not offset then return nil end
  return days_from_epoch(parts.year, parts.month, parts.day) * DAY
         + parts.hour * 3600 + parts.minute * 60 + parts.second
         - offset + fraction
end

-- Python's repr: the numbers, without the zeros at the end of a time.
local function constructor(name, names, optional_from)
  return function(parts, repr)
    local last = #names
    while last > optional_from and parts[names[last]] == 0 do
      last = last - 1
    end
    local words = {}
    for i = 1, last do words[i] = ("%d"):format(parts[names[i]]) end
    if parts.fold == 1 then words[#words + 1] = "fold=1" end
    if parts.tzinfo then words[#words + 1] = "tzinfo=" .. repr(parts.tzinfo) end
    return ("datetime.%s(%s)"):format(name, table.concat(words, ", "))
  end
end

local function register(kind, names, show, text)
  local function formatted(separator)
    return function(object)
      local parts = parts_of(object, kind, names)
      return parts and text(parts, separator)
    end
  end
  views.register("datetime." .. kind, {
    fields = fields_of(kind, names),
    methods = {
      isoformat = formatted "T",
      str = formatted " ",
      timestamp = kind == "datetime" and timestamp or nil,
    },
    tostring = function(object, repr)
      local parts = parts_of(object, kind, names)
      return parts and show(parts, repr)
    end,
  })
end

local function without_zone(names)
  return {table.unpack(names, 1, #names - 1)}
end

register("date", date_names, constructor("date", date_names, 3), date_text)
register("time", time_names,
         constructor("time", without_zone(time_names), 2), time_text)
register("datetime", datetime_names,
         constructor("datetime", without_zone(datetime_names), 5),
         function(parts, separator)
           return date_text(parts) .. separator .. time_text(parts)
         end)

return {}

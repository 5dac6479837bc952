---@meta multiprocessing.pickle
-- luacheck: no unused

--- Python's pickle for Lua. Reading a pickle imports and calls nothing but what
--- the program names in `constructors`; what would be called in Python arrives as
--- an Object that says how.
local pickle = {}

---@class multiprocessing.pickle.LoadsOptions
--- "wrap": bytes arrive as Bytes everywhere; default "string": as strings, except
--- inside instances
---@field bytes? "string"|"wrap"
--- what makes the instances of a class: `["decimal.Decimal"] = function(...)`,
--- called with the arguments. Metamethods of what it returns take the rest:
--- `__setstate(value, state)`, `__extend(value, items)`, `__setitems(value, pairs)`
---@field constructors? table<string, fun(...: any): any>
---@field max_depth? integer of nesting; default no limit
---@field max_int_digits? integer of an integer in decimal (protocols 0 and 1); default 4300
---@field max_memory? integer bytes, roughly; default no limit
---@field persistent_load? fun(id: any): any what gives the value of a persistent id

---@class multiprocessing.pickle.DumpsOptions
---@field protocol? integer 0 to 5; default 4

--- The value of a pickle. None is `pickle.None`, never nil.
---@param s string
---@param options multiprocessing.pickle.LoadsOptions?
---@return any value nil: see `err`
---@return multiprocessing.Error? err UnpicklingError
function pickle.loads(s, options) end

--- The pickle of a value. An error names the place: `(at [3].callback)`.
---@param value any
---@param options multiprocessing.pickle.DumpsOptions?
---@return string? s
---@return multiprocessing.Error? err PicklingError
function pickle.dumps(value, options) end

--- Python's None.
---@type userdata
pickle.None = nil

--- What a value stands for; nil: it is none of this module's.
---@param value any
---@return "None"|"tuple"|"set"|"frozenset"|"dict"|"bytes"|"str"|"global"|"object"|"int"|nil
---@nodiscard
function pickle.type(value) end

--- Python's repr(value), of plain tables, too. Cycles, what is nested deeply and
--- what is too long show as `...`. It is also what `tostring` gives of the values
--- below (but of a large integer all digits).
---@param value any
---@param limit integer? about how many bytes it may have; default 1000
---@return string
---@nodiscard
function pickle.repr(value, limit) end

--- A sequence that is a tuple: a table with a metatable. `==` compares the items
--- (a table's key is still found by identity only).
---@class multiprocessing.pickle.Tuple: { [integer]: any }

--- A table whose keys are the elements: `if set.a then`, `for element in
--- pairs(set)`. `#set` counts them.
---@class multiprocessing.pickle.Set: { [any]: true }
---@operator len: integer

--- The same, that Python cannot change.
---@class multiprocessing.pickle.Frozenset: multiprocessing.pickle.Set

--- A table that leaves as a dict, also where it is empty or a sequence.
---@class multiprocessing.pickle.Dict: { [any]: any }

--- Tags the very table `t`, as setmetatable does. None in it is `pickle.None`.
---@param t any[]
---@return multiprocessing.pickle.Tuple
function pickle.tuple(t) end

--- Tags the very table `t`.
---@param t table
---@return multiprocessing.pickle.Dict
function pickle.dict(t) end

--- A new set of the items of `list`; a float that is whole becomes an integer, as
--- every key in Lua does.
---@param list any[]
---@return multiprocessing.pickle.Set
function pickle.set(list) end

--- A new frozenset of the items of `list`.
---@param list any[]
---@return multiprocessing.pickle.Frozenset
function pickle.frozenset(list) end

--- bytes, whatever they contain; a plain string leaves as str where it is UTF-8.
--- `==` compares the content, `#` is the size.
---@class multiprocessing.pickle.Bytes
---@field [1] string
---@operator len: integer

--- str that a plain string cannot be: with lone surrogates, in WTF-8. `==`
--- compares the content, `#` is the size in bytes.
---@class multiprocessing.pickle.Str
---@field [1] string
---@operator len: integer

---@param s string|multiprocessing.Buffer|multiprocessing.pickle.Bytes
---@return multiprocessing.pickle.Bytes
function pickle.bytes(s) end

--- Throws where `s` is not UTF-8 (surrogates apart).
---@param s string|multiprocessing.pickle.Str
---@return multiprocessing.pickle.Str
function pickle.str(s) end

--- An integer beyond 64 bits: exact, prints in decimal, compares with others and
--- with Lua's integers (`==` with others only).
---@class multiprocessing.pickle.Int

--- The integer of that decimal text: a Lua integer where that can hold it.
---@param n string|integer|multiprocessing.pickle.Int
---@return integer|multiprocessing.pickle.Int
function pickle.int(n) end

--- A class or function of Python, by name. There is one of each name, so `==`
--- tells. Where it is called, `date(2022, 10, 15)`, it makes an Object that Python
--- will construct so; nothing is called in Lua, and nil is None.
---@class multiprocessing.pickle.Global
---@field module string Python 3's, whatever the protocol
---@field name string with dots, where it is an attribute's
---@operator call: multiprocessing.pickle.Object

---@param module string
---@param name string
---@return multiprocessing.pickle.Global
function pickle.global(module, name) end

--- An instance: how Python makes it, and, by its class, what it shows.
---
--- Only the fields listed here are kept in it, can be set, and leave. All others
--- are computed when they are asked for, from views: None is nil there, as is
--- whatever a peer has sent that makes no sense. Methods named after Python's
--- functions make new values: `list(x)` is `x:list()`.
---
--- | class | fields | methods |
--- |---|---|---|
--- | every | name, fields, value | str, list, dict |
--- | unknown ones, exceptions | message | |
--- | OSError and its children | errno, strerror, filename | |
--- | OrderedDict, Counter | | dict |
--- | defaultdict | default_factory | dict |
--- | deque | maxlen | list |
--- | complex | real, imag | |
--- | range, slice | start, stop, step | |
--- | array.array | typecode | list |
--- | date | year, month, day | isoformat |
--- | time | hour, minute, second, microsecond, fold, tzinfo | isoformat |
--- | datetime | both of these | isoformat, timestamp |
--- | timedelta | days, seconds, microseconds | total_seconds |
--- | timezone | offset (seconds), tzname | |
--- | ZoneInfo | key | |
--- | Decimal | | number |
--- | Fraction | numerator, denominator | number |
--- | UUID | hex | |
--- | numpy.ndarray | dtype, shape, data (Buffer), fortran | list, get(i, …) |
--- | numpy's scalars | dtype, shape, data, value | |
---
--- `tostring` gives Python's repr, `:str()` its str (of a path: the path).
--- `timestamp()` of a datetime without zone is local time, as in Python; nil where
--- the zone's offset is not a constant.
---@class multiprocessing.pickle.Object
---@field class multiprocessing.pickle.Global|multiprocessing.pickle.Object what is called
---@field args multiprocessing.pickle.Tuple
---@field kwargs multiprocessing.pickle.Dict? with how = "new_ex"
---@field state any what `__setstate__` gets, or `__dict__`
---@field items any[]? what is appended
---@field pairs any[][]? the {key, value} that are set, in their order
--- "new": class.__new__(class, *args); "new_ex": with kwargs; "inst": an old-style
--- instance; nil: class(*args)
---@field how "new"|"new_ex"|"inst"|nil
--- the class's name without the module, whatever Python calls for the instance
---@field name string?
--- attributes: the state itself, where that is a dict, so that they can be set
---@field fields table?
--- the one argument: of enum members and of children of int, str, …
---@field value any
---@field message string? an exception's text
---@field [string] any by class
local Object = {}

--- Python's str(object).
---@return string?
---@nodiscard
function Object:str() end

--- A new table of what is in a list, deque, array, namedtuple, numpy array …
---@return any[]?
---@nodiscard
function Object:list() end

--- A new table of what is in an OrderedDict, defaultdict, Counter …
---@return multiprocessing.pickle.Dict?
---@nodiscard
function Object:dict() end

--- Makes the very table an Object: `{class = global, args = {…}}` and the other
--- fields; a plain table as `args` is a tuple. Throws where they are not right.
---@param t table
---@return multiprocessing.pickle.Object
function pickle.object(t) end

--- "module.Class" of an object, also where Python calls something else for it
--- (`copyreg._reconstructor`). nil: no object, or no name.
---@param value any
---@return string?
---@nodiscard
function pickle.classof(value) end

---@class multiprocessing.pickle.View
--- computed when asked for; the names of an Object's own fields cannot be used
---@field fields? table<string, fun(object: multiprocessing.pickle.Object): any>
---@field methods? table<string, fun(object: multiprocessing.pickle.Object, ...: any): any>
--- how it prints, given what prints its parts in the room that is left; nil: as an
--- unknown one
---@field tostring? fun(object: multiprocessing.pickle.Object, repr: fun(part: any): string): string?

--- Sets what instances of a class show (not those of its children). It does not
--- change what leaves. nil: what every object shows.
---@param class string "module.Class"
---@param view multiprocessing.pickle.View?
function pickle.view(class, view) end

---@class multiprocessing.pickle.Array
---@field dtype string a plain one: "<f8", "|u1", "<c16", "<U5", "|S3", "<M8[s]"
---@field shape integer[]
--- the elements, the last index running fastest; a Buffer is not copied, so that
--- changes until it is sent leave
---@field data string|multiprocessing.Buffer
---@field fortran? boolean the first index runs fastest; default false

--- An object that Python loads as a numpy array. Throws where dtype and shape do
--- not fit the data.
---@param t multiprocessing.pickle.Array
---@return multiprocessing.pickle.Object
function pickle.ndarray(t) end

return pickle

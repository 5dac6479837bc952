---@meta multiprocessing.connection
-- luacheck: no unused

--- What Python's `multiprocessing.connection` does, for Lua: listeners, clients
--- and pipes that exchange whole messages, with Python programs, too.
---
--- Times are seconds (fractions allowed; a negative one counts as 0), positions
--- count from 1. Misuse throws. What the world does is returned: `nil, err`.
local connection = {}

--- What failed, as Python would name it. `tostring(err)` has the name and the
--- message.
---@class multiprocessing.Error
--- the name of Python's exception: "EOFError", "TimeoutError",
--- "AuthenticationError", "BufferTooShort", "PicklingError", "UnpicklingError",
--- "RuntimeError", "OSError", or a child of OSError such as "ConnectionRefusedError"
---@field name string
---@field message string what was being done, to which address, and what came of it
--- the system's code: "ECONNREFUSED", "EAI_NONAME"; "EMSGSIZE" for a bad message
--- length, "ENAMETOOLONG" for a path that is too long
---@field code string?
---@field errno integer? the system's number for it
--- BufferTooShort: the whole message; AuthenticationError of a client without a
--- key: the challenge that came
---@field bytes string?

--- `{host, port}` (AF_INET; AF_INET6 where the host is an IPv6 literal), a path
--- (AF_UNIX), or on Linux a string that starts with "\0" (AF_UNIX, abstract).
--- An empty host is every interface for a listener, this machine for a client.
--- Addresses that the module returns print as "host:port".
---@alias multiprocessing.Address string|{[1]: string, [2]: integer}

---@alias multiprocessing.Family "AF_INET"|"AF_INET6"|"AF_UNIX"|"AF_PIPE"

---@alias multiprocessing.Digest "md5"|"sha256"|"sha384"|"sha3_256"|"sha3_384"

--- What `wait` takes: our own objects, a descriptor, or an object of another
--- library that has `pollfd`, `fileno` or `getfd` (and may have `dirty`).
---@alias multiprocessing.Waitable
---| multiprocessing.Connection
---| multiprocessing.Listener
---| multiprocessing.Poller
---| multiprocessing.Process
---| integer
---| table
---| userdata

--- What both ends of a handshake insist on.
---@class multiprocessing.HandshakeOptions
---@field digest? multiprocessing.Digest what our challenge asks for; default "sha256", or the first of `digests`
--- those we accept and answer; default all. Python 3.11 and older know "md5" only
---@field digests? multiprocessing.Digest[]

--- Options of Pipe and Connection.
---@class multiprocessing.ChannelOptions
---@field max_message? integer bytes: the longest message that is received; default no limit
--- take bytes past the message that was asked for: many small messages in one
--- system call. Never for a descriptor that others read, nor for a connection over
--- which descriptors come. Default false; for a Client and accepted connections true
---@field readahead? boolean
--- what `send` and `recv` use; default multiprocessing.pickle. Each may return nil and
--- an error. `protocol`, `bytes` and `constructors` have no effect then
---@field codec? {dumps: (fun(value: any): string?, any), loads: (fun(s: string): any, any)}
---@field protocol? integer 0 to 5: of the pickles that `send` writes; default 4
--- "wrap": `recv` gives Python's bytes as `pickle.bytes`; default "string"
---@field bytes? "string"|"wrap"
--- what makes the instances of a class that come: `["decimal.Decimal"] = function(...)`
---@field constructors? table<string, fun(...: any): any>

--- Options that a Listener and a Client share.
---@class multiprocessing.PeerOptions: multiprocessing.ChannelOptions, multiprocessing.HandshakeOptions
---@field authkey? string what both ends must know; an empty one is a key; default no handshake
---@field family? multiprocessing.Family default: what the address says
--- TCP: seconds of silence after which the system asks whether the peer is still
--- there; default off
---@field keepalive? number

---@class multiprocessing.ListenerOptions: multiprocessing.PeerOptions
--- AF_UNIX: the user ids that may connect, checked before a byte is read; default
--- everyone. Misuse with other families
---@field allow? integer[]
---@field backlog? integer peers that the system queues, see listen(2); default 1
--- permission bits of the socket file, set before anyone can connect; default the
--- umask's
---@field mode? integer
---@field reuse? boolean replace a socket file on which no one listens; default false
---@field timeout? number seconds for each peer's handshake; default 20

---@class multiprocessing.ClientOptions: multiprocessing.PeerOptions
---@field nonblocking? boolean return at once, still connecting; default false
---@field retry? boolean while no one listens there yet, try again until the timeout; default false
--- seconds for connecting and handshake together; default: connecting takes as long
--- as the system lets it, then the handshake at most 20
---@field timeout? number

--- What descriptor 0, 1 or 2 of a program is: ours, the null device, a descriptor,
--- or an object that has one by `fileno` or `getfd`.
---@alias multiprocessing.Stdio "inherit"|"null"|integer|table|userdata

---@class multiprocessing.SpawnOptions: multiprocessing.ChannelOptions
---@field cwd? string the directory in which the program starts; default ours
--- its whole environment, but for MULTIPROCESSING_CONNECTION_FD; default ours. A PATH
--- in it is where the program is looked for
---@field env? table<string, string>
---@field stdin? multiprocessing.Stdio default "inherit"
---@field stdout? multiprocessing.Stdio default "inherit"
---@field stderr? multiprocessing.Stdio|"stdout" "stdout": the same as that; default "inherit"

--- Binds and listens. Without an address: a fresh one of the family (default
--- `default_family`), for AF_UNIX in a new private directory that `close` removes.
---@param address multiprocessing.Address?
---@param options multiprocessing.ListenerOptions?
---@return multiprocessing.Listener? listener
---@return multiprocessing.Error? err
function connection.Listener(address, options) end

--- Connects, and goes through the handshake where there is an authkey.
---@param address multiprocessing.Address
---@param options multiprocessing.ClientOptions?
---@return multiprocessing.Client? client
---@return multiprocessing.Error? err
function connection.Client(address, options) end

--- Makes a connection of a descriptor, which it owns from then on. An object
--- gives its descriptor up by `detach`, or by `getfd` and `setfd` (LuaSocket).
---@param fd integer|table|userdata
---@param readable boolean? default true
---@param writable boolean? default true
---@param options multiprocessing.ChannelOptions?
---@return multiprocessing.Connection? conn
---@return multiprocessing.Error? err
function connection.Connection(fd, readable, writable, options) end

--- Two connections to each other. Simplex (`duplex` false): the first reads, the
--- second writes.
---@param duplex boolean? default true
---@param options multiprocessing.ChannelOptions?
---@return multiprocessing.Connection? a
---@return multiprocessing.Connection|multiprocessing.Error b or the error
function connection.Pipe(duplex, options) end

--- Waits until at least one of the objects is ready: a connection for a receive
--- (a whole message, end of file or an error; over a Pipe or an adopted
--- descriptor any bytes, unless part of a message was read already), a listener
--- for `accept`, a client also when it is open at last. An empty list with a
--- timeout sleeps; without one it is misuse.
---@param objects multiprocessing.Waitable[]
---@param timeout number? nil waits for ever
---@return multiprocessing.Waitable[]? ready in their order; empty when time is up
---@return multiprocessing.Error? err
function connection.wait(objects, timeout) end

--- Iterates over the objects as they become ready, each as often as it is. Ends
--- at the first timeout, or when the list or poller, which may be changed in the
--- loop, is empty.
---@param objects multiprocessing.Waitable[]|multiprocessing.Poller
---@param timeout number? for each wait; nil waits for ever
---@return fun(): multiprocessing.Waitable?
function connection.ready(objects, timeout) end

--- A set of objects that persists: the cost of a `wait` grows with what is ready
--- and not with what is in it.
---@return multiprocessing.Poller? poller
---@return multiprocessing.Error? err
function connection.Poller() end

--- The messages of many connections, each in its turn, until all have ended. What
--- one fails of is given once, as a third value.
---@param connections multiprocessing.Connection[]|multiprocessing.Poller
---@param mode "objects"|"bytes"|nil default "objects"
---@return fun(): multiprocessing.Connection?, any, multiprocessing.Error?
function connection.messages(connections, mode) end

---@class multiprocessing.ServeOptions
---@field mode "objects"|"bytes"|nil default "objects"
---@field timeout number? seconds that a send may wait for a peer; default 1
---@field max_connections integer? further peers wait in the backlog; default none

--- What happens to a server: "open", conn; "message", conn, message; "close", conn;
--- "error", conn or nil, err. Ends when the listener is closed and the last peer has
--- gone; `break` closes them all. Throws only what can never pass, as `connections`.
---@param listener multiprocessing.Listener
---@param options multiprocessing.ServeOptions?
---@return fun(): "open"|"message"|"close"|"error"|nil, multiprocessing.Connection?, any
function connection.serve(listener, options) end

--- Starts a program with a connection to it, which is descriptor 3 there, besides 0,
--- 1 and 2; its number is in the environment as MULTIPROCESSING_CONNECTION_FD. What
--- keeps it from starting is the error: FileNotFoundError, PermissionError, …
---@param argv string[] the first is looked up in PATH, unless it has a slash
---@param options multiprocessing.SpawnOptions?
---@return multiprocessing.Process? process
---@return multiprocessing.Error? err
function connection.spawn(argv, options) end

--- The connection to the program that has started this one by `spawn`: the same one
--- each time, until it is closed. ProcessLookupError: there is none, or not any more.
--- OSError: the environment names what is no inherited socket.
---@param options multiprocessing.ChannelOptions? count when the connection is made
---@return multiprocessing.Connection? conn
---@return multiprocessing.Error? err
function connection.parent(options) end

--- What a waiter is asked to wait for: one descriptor, whatever the call waits for.
---@class multiprocessing.Waiting
local Waiting = {}

--- The descriptor; -1 where there is only time to wait for, and afterwards.
---@return integer
---@nodiscard
function Waiting:pollfd() end

--- As `pollfd`.
---@return integer
---@nodiscard
function Waiting:fileno() end

--- As `pollfd`.
---@return integer
---@nodiscard
function Waiting:getfd() end

--- What for.
---@return "r"|"w"
---@nodiscard
function Waiting:events() end

--- Seconds that are left; nil: no limit.
---@return number?
---@nodiscard
function Waiting:timeout() end

--- Waits until the object's descriptor can be read ("r") or written ("w"), or the
--- seconds have passed, and may yield. May return early; `false` has the thread
--- block instead.
---@alias multiprocessing.WaitFunction fun(object: multiprocessing.Waiting, mode: "r"|"w", timeout: number?): boolean?

---@class multiprocessing.Waiter
---@field wait multiprocessing.WaitFunction
--- has those return who wait for a descriptor that is about to be closed
---@field cancel? fun(fd: integer)

--- Has every call that would block ask `waiter` instead of blocking the thread.
--- `require "multiprocessing.waiter.cqueues"`, `.luv` and `.copas` are such; "none"
--- and nil block again.
---@param waiter multiprocessing.WaitFunction|multiprocessing.Waiter|"none"|nil
---@return multiprocessing.WaitFunction|multiprocessing.Waiter|nil before
function connection.set_waiter(waiter) end

--- New bytes that can be changed in place: `size` zeros, or a copy of a string.
---@param size integer|string
---@return multiprocessing.Buffer
function connection.Buffer(size) end

--- Has the other end prove that it knows the authkey. A listener does this
--- first, a client second.
---@param conn table|userdata anything with `send_bytes` and `recv_bytes`
---@param authkey string
---@param digest multiprocessing.Digest? what the challenge asks for; default "sha256"
---@param options multiprocessing.HandshakeOptions?
---@return true? ok
---@return multiprocessing.Error? err
---@overload fun(conn: any, authkey: string, options: table?): true?, multiprocessing.Error?
function connection.deliver_challenge(conn, authkey, digest, options) end

--- Proves to the other end that this one knows the authkey. A client does this
--- first, a listener second.
---@param conn table|userdata anything with `send_bytes` and `recv_bytes`
---@param authkey string
---@param options multiprocessing.HandshakeOptions?
---@return true? ok
---@return multiprocessing.Error? err
function connection.answer_challenge(conn, authkey, options) end

--- The family that an address names, whether or not this system has it.
---@param address multiprocessing.Address
---@return multiprocessing.Family
---@nodiscard
function connection.address_type(address) end

--- The families that this system has.
---@type multiprocessing.Family[]
connection.families = {}

--- The family of a listener without an address.
---@type multiprocessing.Family
connection.default_family = "AF_UNIX"

--- A bound address whose peers are greeted side by side, each under a deadline of
--- its own. That goes on while `accept` or `wait` runs; in between the clock
--- stands still, but for a small share. At most 128 handshakes are pending; then the oldest makes room,
--- once it has had a second.
---@class multiprocessing.Listener
---@field address multiprocessing.Address? as bound; nil when closed
---@field closed boolean
---@field last_accepted multiprocessing.Address? of the last peer accepted, where it has one
local Listener = {}

--- The next peer that has passed the handshake; or why one has not
--- (AuthenticationError, TimeoutError, EOFError, …), after which the listener
--- goes on as before; or TimeoutError, because none came in time.
---@param timeout number? nil waits for ever
---@return multiprocessing.Connection? conn
---@return multiprocessing.Error? err
function Listener:accept(timeout) end

--- Iterates over the peers that pass the handshake, until the listener is
--- closed. What goes wrong is given to `on_error`, and does not end the loop. Throws
--- only what can never pass: the descriptor is no longer a listening socket.
---@param on_error (fun(err: multiprocessing.Error))?
---@return fun(): multiprocessing.Connection?
function Listener:connections(on_error) end

--- Closes it and every pending peer, and removes its socket file, if this process
--- made it and it is still the same. May be called twice; a `<close>` variable
--- and the collector do it, too.
---@return true
function Listener:close() end

--- Its descriptor, which tells of new peers and not of handshakes that go on.
--- Throws when it is closed.
---@return integer
---@nodiscard
function Listener:fileno() end

--- Its descriptor; -1 when it is closed.
---@return integer
---@nodiscard
function Listener:getfd() end

--- A descriptor that is readable while `accept(0)` may find something: it tells of
--- handshakes that go on, too.
---@return integer? fd
---@return multiprocessing.Error? err
function Listener:pollfd() end

--- What to wait for.
---@return "r"
---@nodiscard
function Listener:events() end

--- Seconds after which an event loop is to call `accept` in any case; nil: none.
---@return number?
---@return multiprocessing.Error? err
function Listener:timeout() end

--- A set of objects that persists. `#poller` is how many are in it. What is closed
--- drops out by itself; a number is to be removed before its descriptor is closed.
---@class multiprocessing.Poller
---@field closed boolean
---@operator len: integer
local Poller = {}

--- Adds an object. False: it is in already; a number is watched anew, as it may name
--- another descriptor now.
---@param object multiprocessing.Waitable
---@return boolean? added
---@return multiprocessing.Error? err
function Poller:add(object) end

--- Takes an object out. False: it was not in.
---@param object multiprocessing.Waitable
---@return boolean removed
function Poller:remove(object) end

--- Waits until at least one object is ready, as `connection.wait` has it. The list
--- is empty when time is up, or when the last object in it was closed meanwhile.
---@param timeout number? nil waits for ever, and is misuse while nothing is in it
---@return multiprocessing.Waitable[]? ready each once, in no particular order
---@return multiprocessing.Error? err
function Poller:wait(timeout) end

--- May be called twice; a `<close>` variable and the collector do it, too. What was
--- in it stays open.
---@return true
function Poller:close() end

--- A descriptor that is readable while `wait` may find something. OSError: it was
--- built with poll(2) and has none. Throws when it is closed.
---@return integer? fd
---@return multiprocessing.Error? err
function Poller:fileno() end

--- The same; -1 where there is none.
---@return integer
---@nodiscard
function Poller:getfd() end

--- As `getfd` (cqueues' way).
---@return integer
---@nodiscard
function Poller:pollfd() end

--- What to wait for.
---@return "r"
---@nodiscard
function Poller:events() end

--- Seconds after which an event loop is to call `wait` in any case; nil: none.
---@return number?
---@return multiprocessing.Error? err
function Poller:timeout() end

--- Who is at the other end.
---@class multiprocessing.Credentials
---@field pid integer? nil where the system cannot tell
---@field uid integer
---@field gid integer

--- One end of a conversation in whole messages.
---@class multiprocessing.Connection
---@field closed boolean
--- AF_UNIX: the process that connected or listened, or made the Pipe, as it was then;
--- nil where the system cannot tell
---@field credentials multiprocessing.Credentials?
---@field peer multiprocessing.Address? the other end's address, where it has one
---@field readable boolean false also after a bad message length
---@field writable boolean
local Connection = {}

--- Sends a value, pickled. PicklingError: it cannot be, and nothing was sent.
--- Otherwise as `send_bytes`.
---@param value any nil is Python's None
---@return true? ok
---@return multiprocessing.Error? err
function Connection:send(value) end

--- The next message as a value. UnpicklingError: it is no pickle, and gone; the
--- next receive goes on with the next message. Otherwise as `recv_bytes`.
---@return any value nil: see `err`. None is `pickle.None`
---@return multiprocessing.Error? err
function Connection:recv() end

--- Sends the bytes from `i` to `j` as one message. TimeoutError: not one byte has
--- left. Where part has left when time runs out, it returns true, and later
--- sends, `flush` and `close` deliver the rest first.
---@param s string|multiprocessing.Buffer
---@param i integer? default 1; negative ones count from the end
---@param j integer? default -1; a range outside of `s` is misuse
---@return true? ok
---@return multiprocessing.Error? err
function Connection:send_bytes(s, i, j) end

--- Sends many messages in few system calls. Where it fails, the first `sent` of
--- them were accepted, and leave whole.
---@param list any[] values; strings and Buffers with the mode "bytes"
---@param mode "objects"|"bytes"|nil default "objects"
---@return true? ok
---@return multiprocessing.Error? err
---@return integer? sent
function Connection:send_many(list, mode) end

--- Keeps the messages that follow together until `flush`. They leave before that
--- where 64 KiB have come together, and before a receive, `poll` or `wait` waits.
---@return true
function Connection:cork() end

--- The next message. TimeoutError: what has come is kept, and the next receive
--- goes on from there. EOFError: the peer has closed.
---@param maxlength integer? bytes: a longer one is OSError, code EMSGSIZE, and the last
---@return string? message
---@return multiprocessing.Error? err
function Connection:recv_bytes(maxlength) end

--- Writes the next message into `buffer`, from position `i` on. BufferTooShort:
--- it is longer than the room, and in `err.bytes`. Where it fails, the bytes from
--- `i` on may have changed.
---@param buffer multiprocessing.Buffer
---@param i integer? default 1; negative ones count from the end
---@return integer? size of the message
---@return multiprocessing.Error? err
function Connection:recv_bytes_into(buffer, i) end

--- Iterates over the messages until end of file; any other failure is thrown.
---@param mode "objects"|"bytes"|nil default "objects": as `recv` gives them
---@return fun(): any
function Connection:messages(mode) end

--- Whether a receive would not block: a message, end of file or an error is there.
---@param timeout number? default 0; an explicit nil waits for ever
---@return boolean
function Connection:poll(timeout) end

--- Limits each later call that blocks; 0: none does.
---@param seconds number? nil, as at first: no limit
---@return true
function Connection:settimeout(seconds) end

--- Makes each later receive and `poll` look again and again for so long before it
--- waits. That saves the time to be woken, and keeps a processor busy meanwhile. It
--- has no effect while a waiter is set.
---@param seconds number? nil or 0, as at first: it waits at once
---@return true
function Connection:setspin(seconds) end

--- Sends what is held of a message that has left in part.
---@param timeout number? default: the connection's; an explicit nil waits for ever
---@return true? ok
---@return multiprocessing.Error? err
function Connection:flush(timeout) end

--- Sends what is held, for at most the connection's timeout, then closes in any
--- case. May be called twice. A `<close>` variable and the collector close
--- without waiting.
---@return true? ok
---@return multiprocessing.Error? err what is held could not be sent
function Connection:close() end

--- Gives the descriptor up, to the caller, and closes the connection. OSError:
--- bytes that came are buffered; receive them first.
---@return integer? fd
---@return multiprocessing.Error? err
function Connection:detach() end

--- Passes a descriptor on to the process at the other end, which gets its own of the
--- same open file; this one stays the caller's. For AF_UNIX connections and duplex
--- Pipes; others are misuse. A Python takes it with `multiprocessing.reduction`'s
--- `recv_handle`. TimeoutError: it has not left. OSError: bytes that came are
--- buffered, here or in the connection that is to be sent; or the system's reason.
---@param fd integer|table|userdata a descriptor, or an object that has `fileno` or `getfd`
---@return true? ok
---@return multiprocessing.Error? err
function Connection:send_handle(fd) end

--- The descriptor that the other end passes on next: the caller's to close, and
--- close-on-exec. Where it follows messages, the connection needs the option
--- `readahead = false`. RuntimeError: a message is next, and nothing was taken; or
--- several descriptors came, and are closed. OSError: bytes that came are buffered;
--- with the code EMFILE: no descriptor is free, and nothing was taken. EOFError: the
--- peer has closed.
---@return integer? fd
---@return multiprocessing.Error? err
function Connection:recv_handle() end

--- The descriptor; -1 for a client between two attempts to connect, while which
--- it may change. Throws when it is closed.
---@return integer
---@nodiscard
function Connection:fileno() end

--- The descriptor; -1 when it is closed (LuaSocket's way).
---@return integer
---@nodiscard
function Connection:getfd() end

--- As `getfd` (cqueues' way).
---@return integer
---@nodiscard
function Connection:pollfd() end

--- What an event loop is to wait for: "w" while a message is held or a client
--- connects.
---@return "r"|"w"|"rw"|""
---@nodiscard
function Connection:events() end

--- Seconds after which an event loop is to call again in any case; nil: none.
---@return number?
---@nodiscard
function Connection:timeout() end

--- Whether a message is here already, so that no descriptor will tell of it.
---@return boolean
---@nodiscard
function Connection:dirty() end

--- A program that `spawn` has started. When it is collected the program goes on, and
--- leaves no zombie when it ends.
---@class multiprocessing.Process
---@field closed boolean
---@field connection multiprocessing.Connection our end
--- nil while it runs; what it exited with, or the negative number of a signal
---@field exitcode integer?
---@field pid integer
---@field sentinel integer? a descriptor, readable once it has ended; nil when closed
local Process = {}

--- Waits for its end. TimeoutError: it still runs. ChildProcessError: it has ended,
--- and somebody else took its exit code, or SIGCHLD is ignored.
---@param timeout number? nil waits for ever
---@return integer? exitcode
---@return multiprocessing.Error? err
function Process:join(timeout) end

---@return boolean
function Process:is_alive() end

--- Sends SIGTERM, unless it has ended.
---@return true? ok
---@return multiprocessing.Error? err
function Process:terminate() end

--- Sends SIGKILL, unless it has ended.
---@return true? ok
---@return multiprocessing.Error? err
function Process:kill() end

--- Closes its connection, which first sends what it holds, and joins. May be called
--- twice. So does a `<close>` variable, which does not wait to send.
---@param timeout number? nil waits for ever
---@return integer? exitcode
---@return multiprocessing.Error? err
function Process:close(timeout) end

--- Its sentinel. Throws when it is closed.
---@return integer
---@nodiscard
function Process:fileno() end

--- Its sentinel; -1 when it is closed.
---@return integer
---@nodiscard
function Process:getfd() end

--- As `getfd` (cqueues' way).
---@return integer
---@nodiscard
function Process:pollfd() end

--- What to wait for on its sentinel.
---@return "r"
---@nodiscard
function Process:events() end

--- A Connection that was opened from this side.
---@class multiprocessing.Client: multiprocessing.Connection
---@field address multiprocessing.Address to which it connects
local Client = {}

--- Goes on until the client is open; for one that is `nonblocking`. Any other
--- method does so first, too. TimeoutError: call again, unless it is `closed`.
---@param timeout number? nil: until the deadline of the option `timeout`
---@return true? ok
---@return multiprocessing.Error? err
function Client:handshake(timeout) end

return connection

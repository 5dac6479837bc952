/*
** lmp.h: what the files of the binding share: the userdata, and the helpers
** that turn arguments, statuses and waiting into Lua's terms.
**
** Every C function that lmp_setfunctions sets has the lmp_State as its first
** upvalue; what calls lmp_state must be, or be called by, one of these.
** Stack effects are written as in Lua's manual: [-popped, +pushed, raises].
*/
#ifndef LMP_H
#define LMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lauxlib.h>
#include <lua.h>

#include "binding/lvalue.h"
#include "core/address.h"
#include "core/connection.h"
#include "core/context.h"
#include "core/deadline.h"
#include "core/habit.h"
#include "core/listener.h"
#include "core/platform.h"
#include "core/poller.h"
#include "core/process.h"
#include "core/status.h"

#define LMP_CONNECTION "multiprocessing.connection.Connection"
#define LMP_CLIENT "multiprocessing.connection.Client"
#define LMP_LISTENER "multiprocessing.connection.Listener"
#define LMP_POLLER "multiprocessing.connection.Poller"
#define LMP_PROCESS "multiprocessing.connection.Process"
#define LMP_WAITING "multiprocessing.connection.Waiting"

/* ---- lstate.c: one module in one Lua state ---- */

typedef struct lmp_Kept lmp_Kept; /* lkept.c */
struct Pickler;                   /* lpickle.h */

typedef struct lmp_State {
  mproc_context ctx;
  lua_State *main; /* the main thread */
  /* lua_topointer of the metatables, which are kept alive */
  const void *connection_mt;
  const void *client_mt;
  const void *listener_mt;
  const void *poller_mt;
  const void *process_mt;
  const void *canary; /* see lprocess.c; NULL: none */
  const void *waiting_mt;
  const void *types[LMP_VALUE_TYPES]; /* the same of lvalue.h's types */
  /* the registry has each of what follows under its address */
  char parent;       /* the connection that connection.parent gave */
  char dumps, loads; /* the functions, for send and recv */
  char globals;      /* module -> name -> global */
  char waiter;       /* what set_waiter was given, its function, and 'cancel' */
  char waiter_wait, waiter_cancel;
  bool knows_shape;        /* tables are laid out as in lshape.h */
  struct Pickler *pickler; /* the user value's; NULL: there is none yet */
  bool has_waiter;
  unsigned cancels;            /* calls of lmp_cancelwaits */
  struct lmp_Waiting *sets;    /* those that wait for handles in a set */
  struct lmp_Waiting *singles; /* those that wait for what is no connection's */
  lmp_Kept *kept;              /* see lkept.c; owned, or NULL */
  uint64_t last_list;    /* the digest of the list that was waited for last */
  bool last_list_failed; /* which could not be kept */
} lmp_State;

/* Its user values: what is at hand in one step. */
enum {
  LMP_MODULE = 1, /* the module's table */
  LMP_UNPICKLER,  /* an idle one; see lunpickle.c */
  LMP_PICKLER,    /* the same; see lpickle.c */
  LMP_THE_NONE,   /* lvalue.h's None, and from the next on the metatables */
  LMP_METATABLES,
  LMP_USERVALUES = LMP_METATABLES + LMP_VALUE_TYPES - 1
};

/*
** [-0, +1, m] Pushes the state of this Lua state. There is one only, however
** often the module is loaded: objects of an earlier load still use it.
*/
void lmp_pushstate(lua_State *L);

/* [-0, +0, -] The module's state, in any of its functions. */
static inline lmp_State *lmp_state(lua_State *L) {
  return (lmp_State *)lua_touserdata(L, lua_upvalueindex(1));
}

/* [-0, +0, m] Sets 'functions' in the table on the top, with the state. */
void lmp_setfunctions(lua_State *L, const luaL_Reg *functions);

/*
** [-0, +0, -] The metatable of the userdata at 'idx', to compare with those in
** lmp_State; NULL: it is no userdata, or has none.
*/
const void *lmp_metatable(lua_State *L, int idx);

/*
** [-0, +1, m] Makes the metatable 'name' of a userdata: 'methods' and
** 'metamethods' get the state as upvalue; 'index', if not NULL, is the
** __index, with the methods' table as its second upvalue; the methods' table
** is __index itself otherwise. Pushes the methods' table, so that the Lua side
** may add to it. '*mt' is the metatable's lua_topointer.
*/
void lmp_newtype(lua_State *L, const char *name, const luaL_Reg *methods,
                 const luaL_Reg *metamethods, lua_CFunction index,
                 const void **mt);

/* ---- lerror.c: statuses as error objects ---- */

/*
** [-0, +2, v] Pushes nil and the error object for 'st'; returns 2. 'doing'
** says what was tried ("receiving from"), 'what' on which address; either may
** be NULL. NOMEM is raised instead: Lua has no memory either.
*/
int lmp_pushfailure(lua_State *L, mproc_status st, const char *doing,
                    const char *what);

/*
** [-1, +2, m] Pushes nil and an error object of that name whose message is the
** string on the top; returns 2.
*/
int lmp_pusherror(lua_State *L, const char *name);

/*
** [-1, +2, m] Pushes nil and an error object of that name and message whose
** 'bytes' is the value on the top; returns 2.
*/
int lmp_pushmessageerror(lua_State *L, const char *name, const char *message);

/*
** [-0, +0, v] Raises misuse of the function that is running: of its object
** rather than of an argument.
*/
int lmp_misuse(lua_State *L, const char *problem);

/* [-0, +0, m] Makes the error objects' metatable. */
void lmp_openerror(lua_State *L);

/* ---- laddress.c: addresses ---- */

/*
** [-0, +0, v] The address in argument 'idx'; any other value is misuse, and so
** is one that does not fit 'family' (NONE: whatever it says). Returns
** PATH_TOO_LONG where a path cannot be one, otherwise OK.
*/
mproc_status lmp_checkaddress(lua_State *L, int idx, mproc_family family,
                              mproc_address *a);

/* [-0, +1, m] Pushes {host, port}, which prints as "host:port", or a path. */
void lmp_pushaddress(lua_State *L, const mproc_address *a);

/* [-0, +0, v] Raises misuse unless this system has the family. */
void lmp_checkfamily(lua_State *L, int idx, mproc_family family);

/* connection.address_type(address) */
int lmp_address_type(lua_State *L);

/* [-0, +1, m] Pushes the list of the families that this system has. */
void lmp_pushfamilies(lua_State *L);

/* [-0, +0, m] Makes the metatable of address tables. */
void lmp_openaddress(lua_State *L);

/* ---- lnumber.c: checked numbers ---- */

/*
** [-0, +0, v] Seconds in argument 'idx': negative counts as 0, nil and none
** are HUGE_VAL, for ever. NaN and other types are misuse.
*/
double lmp_optseconds(lua_State *L, int idx);

/* [-0, +0, v] The same as a deadline from now. */
mproc_time lmp_optdeadline(lua_State *L, int idx);

/* [-0, +1, -] Pushes the seconds that are left until then; nil: for ever. */
void lmp_pushleft(lua_State *L, mproc_time until);

/* [-0, +0, v] A size: an integer from 0 on. nil and none are 'otherwise'. */
uint64_t lmp_optsize(lua_State *L, int idx, uint64_t otherwise);

/* ---- loption.c: tables of options ---- */

/* Everything that an options table can say. */
typedef struct lmp_Options {
  mproc_listener_options listener; /* with the connection's in it */
  mproc_dial_options dial;
  mproc_family family;
  bool nonblocking;
  /* places on the Lua stack, 0 where nothing was said: of 'codec',
     'constructors', 'bytes' and 'protocol' */
  int codec;
  int constructors;
  int bytes;
  int protocol;
  /* and of these, which lspawn.c reads */
  int cwd;
  int env;
  int stdio[3];
} lmp_Options;

/* Whose options a table holds: bits. */
enum {
  LMP_FOR_LISTENER = 1,
  LMP_FOR_CLIENT = 2,
  LMP_FOR_ADOPTED = 4,   /* Connection(fd), Pipe */
  LMP_FOR_HANDSHAKE = 8, /* deliver_challenge, answer_challenge */
  LMP_FOR_PROCESS = 16   /* spawn */
};

/*
** [-0, +?, v] Reads argument 'idx', a table of options, nil or none. An
** unknown option, or a wrong type, is misuse and named. Pushes the values
** that 'o' points into: leave them on the stack for as long as 'o' is used.
*/
void lmp_checkoptions(lua_State *L, int idx, int whose, lmp_Options *o);

/* ---- lblock.c: the one place that blocks ---- */

#define LMP_AGAIN (-1)

/* What a step tells of, or is told about, its waiting. */
typedef struct lmp_Wait {
  lmp_State *state;      /* in: the module's */
  mproc_pollitem *items; /* to wait for; the step's, or '&one' */
  size_t count;
  void *scratch;       /* for mproc_os_poll; may be NULL where it may */
  mproc_pollitem one;  /* for a step that waits for one handle */
  mproc_time wake;     /* try again then, in any case */
  double spin;         /* seconds to try again and again before it waits; the
                          step's, 0: none */
  mproc_time spin_end; /* lblock.c's; 0: not begun */
  mproc_time deadline; /* in: of the operation */
  bool may_wait;       /* in: the step may wait in the system itself until then,
                          where that saves calls; a signal must end it, with
                          AGAIN */
  bool spun;           /* in: the time to spin is over */
  bool polled;         /* in: 'items' have just been found ready */
  bool woken;          /* in: a waiter has returned: all may be different now */
  bool waited;         /* in: this operation has waited before this step */
  bool expired;        /* in: the time is up; AGAIN is no answer any more */
} lmp_Wait;

/*
** One try of an operation whose arguments are on the Lua stack, from index 1
** on, and whose state is nowhere else. Returns the number of results on the
** top, or LMP_AGAIN with 'w' filled in, the stack as it was, and nothing lost.
** It looks at its arguments anew each time: others may have closed them.
*/
typedef int (*lmp_Step)(lua_State *L, lmp_Wait *w);

/*
** [-0, +n, e] Tries 'step' until it has results or raises, and waits in
** between, until 'deadline'. Ctrl-C in the stock interpreter interrupts it
** with an error at once. A waiter may yield here, and the function that called
** goes on without it then: so it ends with 'return lmp_block(...)', is called by
** Lua, and is one that lmp_setfunctions has set.
*/
int lmp_block(lua_State *L, lmp_Step step, mproc_time deadline);

/*
** [-0, +n, e] Tries 'step' once, in a loop that waits elsewhere. Returns the
** number of its results; 0: it is not the time for any.
*/
int lmp_try(lua_State *L, lmp_Step step);

/* Whether a step may go by the habit of its object (core/habit.h): it has not
   waited yet, and may. */
static inline bool lmp_hashabit(const lmp_Wait *w) {
  return w->may_wait && !w->waited && !w->expired && !w->state->ctx.slow;
}

/* [-0, +0, -] Whether a hook is set, here or on the main thread: Ctrl-C's,
   perhaps, which lmp_block lets run once a step has said AGAIN. */
bool lmp_ishooked(lua_State *L, const lmp_Wait *w);

/* An operation between two steps. */
typedef struct lmp_Operation {
  lmp_Step step;
  mproc_time deadline;
  lmp_Wait w;
} lmp_Operation;

/* ---- lwaiter.c: the waiter of a program ---- */

/* connection.set_waiter */
int lmp_set_waiter(lua_State *L);

/*
** core.nonblocking(fd [, on]) -> boolean: whether the descriptor's open file is
** in non-blocking mode, before it is told to be.
*/
int lmp_nonblocking(lua_State *L);

/* [-0, +0, -] Whether there is one. */
bool lmp_haswaiter(lua_State *L);

/* ---- lwaiting.c: waiting in an event loop of the program ---- */

/*
** Nanoseconds between two looks, where no handle tells a loop of the program of all
** that it waits for: pollers over poll(2) have none.
*/
#define LMP_BLIND_PAUSE (MPROC_SECOND / 50)

/*
** [-0, +5, m] Pushes a Waiting, with a copy of 'op' in it, the waiter and its
** three arguments. Returns the place of the Waiting. 'cancels': the state's when
** 'op' began to look; what was cancelled since is not waited for.
*/
int lmp_pushwaiting(lua_State *L, const lmp_Operation *op, unsigned cancels);

/*
** [-2, +0, -] The waiter has answered, and that is on the top, over the Waiting
** at 'idx', which is over: gives 'op' back. False: the waiter declined.
*/
bool lmp_popwaiting(lua_State *L, int idx, lmp_Operation *op);

/*
** [-0, +0, -] To be called before 'h' is closed or given away: whoever waits
** for it in a loop of the program goes on. Runs Lua, and finalizers.
*/
void lmp_cancelwaits(lua_State *L, mproc_handle h);

/*
** [-0, +0, -] What the Waiting at 'idx' waits for; false: it is none. '*until':
** when it ends in any case (0 once it is over).
*/
bool lmp_towaiting(lua_State *L, int idx, mproc_pollitem *item,
                   mproc_time *until);

/* [-0, +0, m] Makes the type. */
void lmp_openwaiting(lua_State *L);

/* ---- lconnection.c, lproperty.c, lreceive.c, lsend.c, lbatch.c, lhandle.c,
   lcodec.c, ladopt.c, lclient.c: connections ---- */

/* A Connection or a Client. There may be thousands: it is packed. */
typedef struct lmp_Connection {
  mproc_connection *core; /* NULL: closed */
  double timeout;         /* seconds of a blocking call; HUGE_VAL: no limit */
  float spin;             /* seconds that a receive looks before it waits */
  mproc_habit habit;      /* of its waits */
  uint32_t waits; /* coroutines that wait for its handle in other loops */
  uint32_t received : 29; /* messages taken; wraps around */
  bool may_read : 1;      /* as it was made; the peer cannot change it */
  bool may_write : 1;
  bool anchored : 1; /* LMP_HELD has a string */
} lmp_Connection;

/* Their user values. */
enum {
  LMP_HELD = 1, /* the string that is leaving, or nil */
  LMP_CODEC,    /* what lmp_pushcodec made: how values become messages */
  LMP_NAME,     /* the other end's, for messages: a Client's address, a
                   process's program; a plain Connection has none */
  LMP_ADDRESS,  /* a Client's: its address */
  LMP_CONNECTION_NUV = LMP_CODEC,
  LMP_CLIENT_NUV = LMP_ADDRESS
};

/* [-0, +1, m] Pushes a new one, closed. 'type': LMP_CONNECTION, LMP_CLIENT. */
lmp_Connection *lmp_newconnection(lua_State *L, const char *type, int nuv);

/* Gives it its core. */
void lmp_setcore(lmp_Connection *c, mproc_connection *core,
                 const mproc_connection_options *o);

/*
** [-0, +0, -] Lets go of the string that the connection at 'idx' held, once it
** has left. To be called after each core call that may send.
*/
void lmp_releaseheld(lua_State *L, int idx, lmp_Connection *c);

/*
** [-0, +0, -] Anchors the string at 'idx' in the connection at index 1, should
** its bytes be held there after a send.
*/
void lmp_keepheld(lua_State *L, lmp_Connection *c, int idx);

/*
** [-0, +0, -] A call on 'c' has run out of time, or given up, and may leave
** something held: whoever waits in a loop of the program to receive from it goes
** on, to wait for its delivery, too. Runs Lua, and finalizers.
*/
void lmp_leaveheld(lua_State *L, const lmp_Connection *c);

/* [-0, +0, -] Sends on what the connection at index 1 holds. */
mproc_status lmp_flushheld(lua_State *L, lmp_Connection *c);

/* When a call on it that begins now has taken too long. */
mproc_time lmp_deadlineof(const lmp_Connection *c);

/*
** Whether it is being opened by another coroutine, which waits for its handle:
** opening may close that, so it is left to that one.
*/
bool lmp_isbusy(const lmp_Connection *c);

/*
** mproc_connection_step, or AGAIN while that is for another coroutine to do;
** whoever calls a method learns how opening went.
*/
mproc_status lmp_stepconnection(lmp_Connection *c);

/* [-0, +0, -] The Connection or Client at 'idx', or NULL. */
lmp_Connection *lmp_toconnection(lua_State *L, int idx);

/* [-0, +0, v] The same, open; anything else is misuse. */
lmp_Connection *lmp_checkconnection(lua_State *L, int idx);

/* [-0, +0, v] That at index 1; another kind of connection is misuse, too. */
lmp_Connection *lmp_checkreadable(lua_State *L);
lmp_Connection *lmp_checkwritable(lua_State *L);

/*
** [-0, +0, v] That at index 1, in a step: its call has checked what it is, but
** others may have closed it since, which is misuse.
*/
lmp_Connection *lmp_stillopen(lua_State *L);

/*
** [-0, +1, m] Pushes what the options say of the codec, for LMP_CODEC: nil for
** pickle as it is, or {dumps, options for it, loads, options for it}, of which
** each may be false.
*/
void lmp_pushcodec(lua_State *L, const lmp_Options *o);

/*
** [-1, +1 or +2, e] Replaces the value on the top by the message that the codec
** of the connection at index 1 makes of it. Returns 1, or 2 for nil and an
** error object.
*/
int lmp_dumpmessage(lua_State *L);

/*
** [-1, +1 or +2, e] The same the other way: the message on the top becomes a
** value.
*/
int lmp_loadmessage(lua_State *L);

/* Its handle, still its own; MPROC_NO_HANDLE while connecting or closed. */
mproc_handle lmp_handleof(const lmp_Connection *c);

/* Whether nothing can be done with it any more. */
bool lmp_isclosed(const lmp_Connection *c);

/* [-0, +0, -] Fills 'w' with what it waits for: MPROC_READ or MPROC_WRITE. */
void lmp_want(lmp_Wait *w, const lmp_Connection *c, uint8_t events);

/*
** [-0, +0, -] The same, and LMP_AGAIN. Runs finalizers, where it is busy: that
** coroutine may be gone (dropped, closed, or its waiter has raised an error),
** which only the collector can tell, and while we wait nothing else may call
** that.
*/
int lmp_await(lua_State *L, lmp_Wait *w, const lmp_Connection *c,
              uint8_t events);

/*
** [-0, +0 or +2, v] The end of a step of the connection at index 1 that came
** out as 'st', which is not OK: LMP_AGAIN, or the failure.
*/
int lmp_notyet(lua_State *L, lmp_Wait *w, mproc_status st, uint8_t events,
               const char *doing);

/* [-0, +1, m] Make the types and push their methods' tables. */
void lmp_openconnection(lua_State *L);
void lmp_openclient(lua_State *L);

/* connection.Connection, .Pipe, .Client */
int lmp_connection_adopt(lua_State *L);
int lmp_connection_pipe(lua_State *L);
int lmp_client_new(lua_State *L);

/* conn:recv and the like (lreceive.c); conn:send and the like (lsend.c) */
int lmp_connection_recv(lua_State *L);
int lmp_connection_recv_bytes(lua_State *L);
int lmp_connection_recv_bytes_into(lua_State *L);
int lmp_connection_poll(lua_State *L);
int lmp_connection_send(lua_State *L);
int lmp_connection_send_bytes(lua_State *L);
int lmp_connection_flush(lua_State *L);

/* core.receive: what connection.messages and .serve are made of */
int lmp_connection_receive(lua_State *L);
int lmp_connection_iterator(lua_State *L);

/* conn:send_many, conn:cork (lbatch.c) */
int lmp_connection_send_many(lua_State *L);
int lmp_connection_cork(lua_State *L);

/* conn:send_handle, conn:recv_handle */
int lmp_send_handle(lua_State *L);
int lmp_recv_handle(lua_State *L);

/* What Connection and Client share: methods, metamethods, and __index. */
extern const luaL_Reg lmp_connection_methods[];
extern const luaL_Reg lmp_connection_metamethods[];
int lmp_connection_index(lua_State *L);

/* ---- llistener.c: listeners ---- */

typedef struct lmp_Listener {
  mproc_listener *core; /* NULL: closed */
  mproc_poller *poller; /* over it alone, for other loops; NULL: nobody asked */
} lmp_Listener;

/* [-0, +1, m] Makes the type and pushes its methods' table. */
void lmp_openlistener(lua_State *L);

/* connection.Listener */
int lmp_listener_new(lua_State *L);

/* core.accept: what connection.serve is made of */
int lmp_listener_accept(lua_State *L);

/* ---- lprocess.c, lspawn.c: processes ---- */

typedef struct lmp_Process {
  mproc_process *core; /* NULL: never started, or collected */
} lmp_Process;

/* Its user values. */
enum {
  LMP_PROCESS_CONNECTION = 1,
  LMP_PROCESS_NAME, /* the program's, for messages */
  LMP_PROCESS_NUV = LMP_PROCESS_NAME
};

/* [-0, +1, m] Pushes a new one, without a core. */
lmp_Process *lmp_newprocess(lua_State *L);

/* [-0, +1, m] Makes the type and pushes its methods' table. */
void lmp_openprocess(lua_State *L);

/* connection.spawn, .parent */
int lmp_spawn(lua_State *L);
int lmp_parent(lua_State *L);

/* core.release */
int lmp_release(lua_State *L);

/* ---- lpickle.c, lunpickle.c ---- */

/*
** pickle.loads(string [, options]) -> value | nil, err. Uses the stack from
** index 1 on.
*/
int lmp_loads(lua_State *L);

/* pickle.dumps(value [, options]) -> string | nil, err */
int lmp_dumps(lua_State *L);

/*
** [-0, +0, v] Raises misuse, should the table at argument 'idx' have a key that
** is not among 'names': zero-terminated each, the last one empty.
*/
void lmp_checkkeys(lua_State *L, int idx, const char *names);

/* ---- lpoller.c: pollers ---- */

typedef struct lmp_Poller {
  mproc_poller *core; /* NULL: closed */
  mproc_habit habit;  /* of its waits */
} lmp_Poller;

/* [-0, +1, m] Makes the type and pushes its methods' table. */
void lmp_openpoller(lua_State *L);

/* connection.Poller */
int lmp_poller_new(lua_State *L);

/* core.is_poller(value), core.is_polled(poller, object): for the Lua side */
int lmp_is_poller(lua_State *L);
int lmp_is_polled(lua_State *L);

/*
** [-0, +0, e] Asks the objects of other libraries in the Poller on the top, and in
** those in it, what they wait for now; they may close it. To be called before a
** look at a poller that is among others. 'waited': as lmp_Wait has it.
*/
void lmp_askinside(lua_State *L, bool waited);

/* [-0, +0, -] lmp_cancelwaits for its handle, before it is closed. */
void lmp_cancelpoller(lua_State *L, const mproc_poller *core);

/*
** [-0, +1, m] Pushes how many seconds a loop may wait for 'core' unless its
** handle is ready: 0 where something is; nil for ever. Or (2 results) nil and an
** error.
*/
int lmp_pushtimeout(lua_State *L, mproc_poller *core);

/* ---- lwaitable.c: what can be waited for ---- */

typedef enum lmp_WaitKind {
  LMP_WAIT_CONNECTION,
  LMP_WAIT_LISTENER,
  LMP_WAIT_POLLER,
  LMP_WAIT_HANDLE, /* an integer */
  LMP_WAIT_FOREIGN /* another library's: lmp_askforeign */
} lmp_WaitKind;

typedef struct lmp_Waitable {
  lmp_WaitKind kind;
  union {
    lmp_Connection *connection;
    lmp_Listener *listener;
    lmp_Poller *poller;
    mproc_handle handle;
  } u; /* the userdata, open, is the value's own */
} lmp_Waitable;

/*
** [-0, +0, -] Tells what the value on the top is. Returns NULL, or why it is
** misuse to wait for it.
*/
const char *lmp_towaitable(lua_State *L, lmp_Waitable *w);

/*
** [-0, +0, -] The descriptor that the value at 'idx' is: an integral number, as
** far as that tells; a string is none.
*/
bool lmp_todescriptor(lua_State *L, int idx, mproc_handle *h);

/*
** [-0, +0 or +1, e] Calls the method 'name' of the object at 'idx', a table or
** userdata, and pushes its result; false: it has none, nothing is pushed.
*/
bool lmp_callmethod(lua_State *L, int idx, const char *name);

/* What another library's object says. */
typedef struct lmp_Asked {
  mproc_handle handle; /* MPROC_NO_HANDLE: it waits for a time only */
  uint8_t events;
  bool ready;      /* at once: it has data already read, or its time is up */
  bool changes;    /* it may say something else the next time */
  mproc_time wake; /* when it is ready in any case */
} lmp_Asked;

/*
** [-0, +0, e] Asks the object on the top, by its methods. Returns NULL, or why
** it is misuse to wait for it.
*/
const char *lmp_askforeign(lua_State *L, lmp_Asked *a);

/*
** [-0, +0, v] Raises misuse: the value on the top cannot be waited for. It is
** argument 'arg', or, where 'i' > 0, element 'i' of that.
*/
int lmp_badwaitable(lua_State *L, int arg, lua_Unsigned i, const char *problem);

/* ---- lkept.c: the list that was waited for last ---- */

typedef enum lmp_KeptAnswer {
  LMP_NOT_KEPT, /* the list is another one, or cannot be kept: ask about each */
  LMP_KEPT_READY, /* the table of those that are ready is on the top */
  LMP_KEPT_WAIT   /* none is: 'w' says what to wait for */
} lmp_KeptAnswer;

/*
** [-0, +0 or +1, m] Which objects of the list at index 'list' are ready, where
** that list is kept; waits where 'w' says that it may.
*/
lmp_KeptAnswer lmp_askkept(lua_State *L, int list, lmp_Wait *w);

/*
** [-0, +0, -] The list at index 'list', of 'count' objects, is waited for, and
** was not kept. It is from now on, if it can be, and was the same the last time:
** 'digest' is a digest of its objects' addresses. Not while there is a waiter.
*/
void lmp_noticelist(lua_State *L, int list, size_t count, uint64_t digest);

/* Drops what is kept. */
void lmp_dropkept(lmp_State *s);

/* ---- lwait.c, lhandshake.c ---- */

/* connection.wait */
int lmp_wait(lua_State *L);

/* core.handshake: what deliver_challenge and answer_challenge are made of */
int lmp_handshake_new(lua_State *L);
void lmp_openhandshake(lua_State *L);

#endif

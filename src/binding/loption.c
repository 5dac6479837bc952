/*
** loption.c: tables of options of which every entry is known.
*/
#include "binding/lmp.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* Misuse of argument 'arg': the value on the top names no 'what'. */
static int unknown(lua_State *L, int arg, const char *what) {
  const char *name = luaL_tolstring(L, -1, NULL);
  lua_pushfstring(L, "unknown %s '%s'", what, name);
  return luaL_argerror(L, arg, lua_tostring(L, -1));
}

/* ---- digests ---- */

/* The digest of that name; misuse is reported for argument 'arg'. */
static mproc_digest check_digest(lua_State *L, int idx, int arg) {
  mproc_digest d = MPROC_SHA256;
  if (lua_type(L, idx) != LUA_TSTRING ||
      !mproc_digest_find(lmp_toview(L, idx), &d)) {
    lua_pushvalue(L, idx);
    unknown(L, arg, "digest");
  }
  return d;
}

/* The set of those in the list at 'idx'. */
static mproc_digest_set check_digests(lua_State *L, int idx, int arg) {
  mproc_digest_set set = 0;
  lua_Unsigned n;
  if (lua_type(L, idx) != LUA_TTABLE)
    luaL_argerror(L, arg, "digests: a list of names expected");
  idx = lua_absindex(L, idx);
  n = lua_rawlen(L, idx);
  luaL_argcheck(L, n > 0, arg, "digests: the list is empty");
  for (lua_Unsigned i = 1; i <= n; i++) {
    lua_rawgeti(L, idx, (lua_Integer)i);
    set |= 1u << check_digest(L, -1, arg);
    lua_pop(L, 1);
  }
  return set;
}

/* ---- one reader for each kind of option; the value is on the top ---- */

/* What a reader knows: the argument, for its messages, and its option. */
typedef struct Reader {
  lua_State *L;
  int arg;
  const char *name;
} Reader;

static int wrong(const Reader *r, const char *expected) {
  lua_pushfstring(r->L, "option '%s': %s expected, got %s", r->name, expected,
                  luaL_typename(r->L, -1));
  return luaL_argerror(r->L, r->arg, lua_tostring(r->L, -1));
}

static bool read_boolean(const Reader *r) {
  if (lua_type(r->L, -1) != LUA_TBOOLEAN)
    wrong(r, "boolean");
  return lua_toboolean(r->L, -1) != 0;
}

static double read_seconds(const Reader *r) {
  lua_Number n = lua_tonumber(r->L, -1);
  if (lua_type(r->L, -1) != LUA_TNUMBER || isnan(n))
    wrong(r, "seconds");
  return n < 0 ? 0 : (double)n;
}

static lua_Integer read_integer(const Reader *r, lua_Integer min,
                                lua_Integer max) {
  int whole;
  lua_Integer n = lua_tointegerx(r->L, -1, &whole);
  if (lua_type(r->L, -1) != LUA_TNUMBER || !whole)
    wrong(r, "integer");
  if (n < min || n > max) {
    lua_pushfstring(r->L, "option '%s' is out of range", r->name);
    luaL_argerror(r->L, r->arg, lua_tostring(r->L, -1));
  }
  return n;
}

static mproc_view read_string(const Reader *r) {
  if (lua_type(r->L, -1) != LUA_TSTRING)
    wrong(r, "string");
  return lmp_toview(r->L, -1);
}

/* ---- the options; each reader leaves what it points into on the stack ---- */

static void read_allow(const Reader *r, lmp_Options *o) {
  lua_State *L = r->L;
  lua_Unsigned n = lua_rawlen(L, -1);
  uint32_t *uids;
  if (lua_type(L, -1) != LUA_TTABLE)
    wrong(r, "list of user ids");
  uids = (uint32_t *)lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *uids, 0);
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, -2, (lua_Integer)i + 1);
    uids[i] = (uint32_t)read_integer(r, 0, (lua_Integer)UINT32_MAX);
    lua_pop(L, 1);
  }
  o->listener.allow = uids;
  o->listener.allow_count = (size_t)n;
}

static void read_bytes(const Reader *r, lmp_Options *o) {
  const char *mode = (const char *)read_string(r).data;
  if (strcmp(mode, "wrap") != 0 && strcmp(mode, "string") != 0)
    wrong(r, "\"string\" or \"wrap\"");
  o->bytes = lua_gettop(r->L);
}

/* Misuse, unless the table on the top has a function of that name. */
static void check_function(const Reader *r, const char *name) {
  if (lua_getfield(r->L, -1, name) != LUA_TFUNCTION) {
    lua_pop(r->L, 1);
    wrong(r, "{dumps = function, loads = function}");
  }
  lua_pop(r->L, 1);
}

static void read_codec(const Reader *r, lmp_Options *o) {
  if (lua_type(r->L, -1) != LUA_TTABLE)
    wrong(r, "{dumps = function, loads = function}");
  check_function(r, "dumps");
  check_function(r, "loads");
  o->codec = lua_gettop(r->L);
}

static void read_constructors(const Reader *r, lmp_Options *o) {
  if (lua_type(r->L, -1) != LUA_TTABLE)
    wrong(r, "table of functions");
  o->constructors = lua_gettop(r->L);
}

static void read_protocol(const Reader *r, lmp_Options *o) {
  read_integer(r, 0, 5);
  o->protocol = lua_gettop(r->L);
}

static void read_authkey(const Reader *r, lmp_Options *o) {
  o->listener.connection.authkey = read_string(r);
  o->listener.connection.has_authkey = true;
  lua_pushvalue(r->L, -1); /* the table may lose it while we use it */
}

static void read_backlog(const Reader *r, lmp_Options *o) {
  o->listener.socket.backlog = (int)read_integer(r, 0, INT_MAX);
}

static void read_digest(const Reader *r, lmp_Options *o) {
  o->listener.connection.policy.challenge = check_digest(r->L, -1, r->arg);
}

static void read_digests(const Reader *r, lmp_Options *o) {
  o->listener.connection.policy.accepted = check_digests(r->L, -1, r->arg);
}

static void read_family(const Reader *r, lmp_Options *o) {
  o->family = mproc_family_find(read_string(r));
  if (o->family == MPROC_FAMILY_NONE) {
    lua_pushfstring(r->L, "family '%s' is not recognized",
                    lua_tostring(r->L, -1));
    luaL_argerror(r->L, r->arg, lua_tostring(r->L, -1));
  }
  lmp_checkfamily(r->L, r->arg, o->family);
}

static void read_keepalive(const Reader *r, lmp_Options *o) {
  o->listener.connection.keepalive = read_seconds(r);
}

static void read_max_message(const Reader *r, lmp_Options *o) {
  o->listener.connection.max_message =
      (uint64_t)read_integer(r, 0, LUA_MAXINTEGER);
}

static void read_mode(const Reader *r, lmp_Options *o) {
  o->listener.socket.mode = (int)read_integer(r, 0, 07777);
}

static void read_nonblocking(const Reader *r, lmp_Options *o) {
  o->nonblocking = read_boolean(r);
}

static void read_readahead(const Reader *r, lmp_Options *o) {
  o->listener.connection.readahead = read_boolean(r);
}

static void read_retry(const Reader *r, lmp_Options *o) {
  o->dial.retry = read_boolean(r);
}

static void read_reuse(const Reader *r, lmp_Options *o) {
  o->listener.socket.reuse = read_boolean(r);
}

static void read_timeout(const Reader *r, lmp_Options *o) {
  o->dial.timeout = o->listener.timeout = read_seconds(r);
}

/* Those of spawn, whose values lspawn.c checks. */

static void read_cwd(const Reader *r, lmp_Options *o) {
  o->cwd = lua_gettop(r->L);
}

static void read_env(const Reader *r, lmp_Options *o) {
  o->env = lua_gettop(r->L);
}

static void read_stdin(const Reader *r, lmp_Options *o) {
  o->stdio[0] = lua_gettop(r->L);
}

static void read_stdout(const Reader *r, lmp_Options *o) {
  o->stdio[1] = lua_gettop(r->L);
}

static void read_stderr(const Reader *r, lmp_Options *o) {
  o->stdio[2] = lua_gettop(r->L);
}

typedef struct Option {
  const char *name;
  int whose; /* LMP_FOR_... bits */
  void (*read)(const Reader *r, lmp_Options *o);
} Option;

#define BOTH (LMP_FOR_LISTENER | LMP_FOR_CLIENT)
#define OPEN (BOTH | LMP_FOR_ADOPTED | LMP_FOR_PROCESS)
#define KEYED (BOTH | LMP_FOR_HANDSHAKE)

static const Option options[] = {
    {"allow", LMP_FOR_LISTENER, read_allow},
    {"authkey", BOTH, read_authkey},
    {"backlog", LMP_FOR_LISTENER, read_backlog},
    {"bytes", OPEN, read_bytes},
    {"codec", OPEN, read_codec},
    {"constructors", OPEN, read_constructors},
    {"cwd", LMP_FOR_PROCESS, read_cwd},
    {"digest", KEYED, read_digest},
    {"digests", KEYED, read_digests},
    {"env", LMP_FOR_PROCESS, read_env},
    {"family", BOTH, read_family},
    {"keepalive", BOTH, read_keepalive},
    {"max_message", OPEN, read_max_message},
    {"mode", LMP_FOR_LISTENER, read_mode},
    {"nonblocking", LMP_FOR_CLIENT, read_nonblocking},
    {"protocol", OPEN, read_protocol},
    {"readahead", OPEN, read_readahead},
    {"retry", LMP_FOR_CLIENT, read_retry},
    {"reuse", LMP_FOR_LISTENER, read_reuse},
    {"stderr", LMP_FOR_PROCESS, read_stderr},
    {"stdin", LMP_FOR_PROCESS, read_stdin},
    {"stdout", LMP_FOR_PROCESS, read_stdout},
    {"timeout", BOTH, read_timeout},
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

/* Misuse, should the table at 'idx' have a key that 'is_option' does not know by
   'those'. */
static void check_keys(lua_State *L, int idx,
                       bool (*is_option)(const char *name, const void *those),
                       const void *those) {
  lua_pushnil(L);
  while (lua_next(L, idx) != 0) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING ||
        !is_option(lua_tostring(L, -1), those))
      unknown(L, idx, "option");
  }
}

/* Whose options a table may have, and which of them it has. */
typedef struct Theirs {
  int whose;       /* LMP_FOR_... bits */
  uint32_t *found; /* 1 << place in 'options' */
} Theirs;

static_assert(OPTION_COUNT <= 32, "a bit for each option");

/* 'theirs': a Theirs. */
static bool is_theirs(const char *name, const void *theirs) {
  const Theirs *t = (const Theirs *)theirs;
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    if ((options[i].whose & t->whose) != 0 &&
        strcmp(options[i].name, name) == 0) {
      *t->found |= (uint32_t)1 << i;
      return true;
    }
  }
  return false;
}

/* 'names': as lmp_checkkeys has them. */
static bool is_among(const char *name, const void *names) {
  const char *each = (const char *)names;
  while (*each != '\0' && strcmp(each, name) != 0)
    each += strlen(each) + 1;
  return *each != '\0';
}

void lmp_checkkeys(lua_State *L, int idx, const char *names) {
  check_keys(L, idx, is_among, names);
}

static void set_defaults(lmp_Options *o, int whose) {
  memset(o, 0, sizeof *o);
  o->listener.connection = mproc_connection_defaults;
  o->listener.connection.readahead = (whose & BOTH) != 0;
  o->listener.socket.backlog = 1; /* Python's default */
  o->listener.socket.mode = -1;
  o->listener.timeout = MPROC_HANDSHAKE_SECONDS;
  o->dial.timeout = -1;
}

/* A challenge that 'digests' would not take an answer to helps nobody: unless
   'digest' says so, ask for the first that is accepted. */
static void settle_policy(mproc_handshake_policy *p) {
  static const mproc_digest preferred[] = {MPROC_SHA256, MPROC_SHA384,
                                           MPROC_SHA3_256, MPROC_SHA3_384};
  if (p->challenge != MPROC_DIGEST_COUNT)
    return;
  p->challenge = MPROC_MD5;
  for (size_t i = sizeof preferred / sizeof preferred[0]; i-- > 0;) {
    if ((p->accepted >> preferred[i] & 1u) != 0)
      p->challenge = preferred[i];
  }
}

void lmp_checkoptions(lua_State *L, int idx, int whose, lmp_Options *o) {
  uint32_t found = 0;
  const Theirs theirs = {whose, &found};
  set_defaults(o, whose);
  if (lua_isnoneornil(L, idx))
    return;
  if (lua_type(L, idx) != LUA_TTABLE)
    luaL_typeerror(L, idx, "table of options");
  luaL_checkstack(L, 2 * (int)OPTION_COUNT + 10, "too many options");
  check_keys(L, idx, is_theirs, &theirs);
  o->listener.connection.policy.challenge = MPROC_DIGEST_COUNT; /* not told */
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    const Option *option = &options[i];
    Reader r = {L, idx, option->name};
    if ((found >> i & 1u) == 0)
      continue;
    lua_pushstring(L, option->name);
    if (lua_rawget(L, idx) == LUA_TNIL)
      lua_pop(L, 1);
    else
      option->read(&r, o); /* stays: 'o' may point into it */
  }
  settle_policy(&o->listener.connection.policy);
}

/*
** lspawn.c: connection.spawn, which starts a program, and connection.parent, by
** which that program finds its connection.
*/
#include "binding/lmp.h"

#include <string.h>

/* ---- arguments ---- */

/* Where spawn's are, and what the first steps push. */
enum { ARGV = 1, OPTIONS = 2 };

/* [-0, +0, v] Misuse of an option: 'problem' says of what kind. */
static int bad_option(lua_State *L, const char *name, const char *problem) {
  lua_pushfstring(L, "option '%s': %s", name, problem);
  return luaL_argerror(L, OPTIONS, lua_tostring(L, -1));
}

static bool has_zero(lua_State *L, int idx) {
  size_t size;
  const char *s = lua_tolstring(L, idx, &size);
  return strlen(s) != size;
}

/*
** [-0, +1, m] Pushes a userdata with the 'n' strings of the list on the top,
** and a NULL. The list must stay, and be nobody else's.
*/
static char *const *push_vector(lua_State *L, lua_Integer n) {
  const char **v =
      (const char **)lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *v, 0);
  for (lua_Integer i = 0; i < n; i++) {
    lua_rawgeti(L, -2, i + 1);
    v[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  v[n] = NULL;
  return (char *const *)v; /* as execve(2) has it, for history's sake */
}

static int bad_argument(lua_State *L, lua_Integer i, const char *problem) {
  lua_pushfstring(L, "[%I]: %s", (LUAI_UACINT)i, problem);
  return luaL_argerror(L, ARGV, lua_tostring(L, -1));
}

/* [-0, +0, v] Misuse unless the table ARGV has 'n' entries and no others. */
static void check_sequence(lua_State *L, lua_Integer n) {
  lua_Integer count = 0;
  lua_pushnil(L);
  while (lua_next(L, ARGV) != 0) {
    lua_pop(L, 1);
    count++;
  }
  luaL_argcheck(L, n > 0 || count > 0, ARGV, "no program is named");
  luaL_argcheck(L, n == count, ARGV, "not a sequence: it has holes, or names");
}

/*
** [-0, +2, v] Pushes a copy of the list ARGV, which a finalizer may change, and
** the same for execve(2).
*/
static char *const *push_argv(lua_State *L) {
  lua_Integer n;
  n = (lua_Integer)lua_rawlen(L, ARGV);
  lua_newtable(L);
  for (lua_Integer i = 1; i <= n; i++) {
    if (lua_rawgeti(L, ARGV, i) != LUA_TSTRING)
      bad_argument(L, i, "string expected");
    if (has_zero(L, -1))
      bad_argument(L, i, "string contains a zero");
    lua_rawseti(L, -2, i);
  }
  check_sequence(L, n);
  return push_vector(L, n);
}

/* [-0, +1, v] Pushes "name=value" for the pair below the top. */
static void push_variable(lua_State *L) {
  const char *name;
  if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
    bad_option(L, "env", "names and values must be strings");
  name = lua_tostring(L, -2);
  if (name[0] == '\0' || strchr(name, '=') != NULL)
    bad_option(L, "env", "a name is empty or contains '='");
  if (has_zero(L, -2) || has_zero(L, -1))
    bad_option(L, "env", "a string contains a zero");
  lua_pushfstring(L, "%s=%s", name, lua_tostring(L, -1));
}

/* [-0, +2, v] Pushes the list of what the table 'env' says, and the same for
   execve(2). */
static char *const *push_env(lua_State *L, int env) {
  lua_Integer n = 0;
  int list;
  if (lua_type(L, env) != LUA_TTABLE)
    bad_option(L, "env", "table of strings expected");
  lua_newtable(L);
  list = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, env) != 0) {
    push_variable(L);
    lua_rawseti(L, list, ++n);
    lua_pop(L, 1);
  }
  return push_vector(L, n);
}

static const char *check_cwd(lua_State *L, int cwd) {
  if (lua_type(L, cwd) != LUA_TSTRING)
    bad_option(L, "cwd", "string expected");
  if (has_zero(L, cwd))
    bad_option(L, "cwd", "string contains a zero");
  return lua_tostring(L, cwd);
}

/* ---- descriptors 0, 1 and 2 ---- */

static const char *const stdio_names[] = {"stdin", "stdout", "stderr"};

/* [-0, +0, e] The descriptor of the object at 'idx', for another process. */
static mproc_handle descriptor_of(lua_State *L, int idx, const char *name) {
  const lmp_Connection *c = lmp_toconnection(L, idx);
  mproc_handle h = MPROC_NO_HANDLE;
  if (luaL_testudata(L, idx, LUA_FILEHANDLE) != NULL)
    bad_option(L, name, "Lua does not tell the descriptor of its files");
  if (lua_type(L, idx) != LUA_TUSERDATA && lua_type(L, idx) != LUA_TTABLE)
    bad_option(L, name, "\"inherit\", \"null\" or a descriptor expected");
  if (!lmp_callmethod(L, idx, "fileno") && !lmp_callmethod(L, idx, "getfd"))
    bad_option(L, name, "object has neither fileno nor getfd");
  if (!lmp_todescriptor(L, -1, &h))
    bad_option(L, name, "object has no open descriptor");
  lua_pop(L, 1);
  if (c != NULL && c->core != NULL)
    mproc_connection_share(c->core);
  return h;
}

/* [-0, +0, e] What the option at 'idx' (0: not given) says of descriptor 'i'. */
static mproc_handle check_stdio(lua_State *L, int idx, int i,
                                const mproc_handle *earlier) {
  const char *name = stdio_names[i];
  mproc_handle h = MPROC_NO_HANDLE;
  if (idx == 0)
    return MPROC_INHERIT;
  if (lua_type(L, idx) == LUA_TSTRING) {
    const char *word = lua_tostring(L, idx);
    if (strcmp(word, "inherit") == 0)
      return MPROC_INHERIT;
    if (strcmp(word, "null") == 0)
      return MPROC_NULL_DEVICE;
    if (i == 2 && strcmp(word, "stdout") == 0)
      return earlier[1] == MPROC_INHERIT ? 1 : earlier[1];
  } else if (lua_type(L, idx) == LUA_TNUMBER) {
    if (!lmp_todescriptor(L, idx, &h))
      bad_option(L, name, "invalid descriptor");
    return h;
  }
  return descriptor_of(L, idx, name);
}

/* ---- spawn ---- */

/* [-0, +2, m] Pushes why it could not be started. */
static int push_failure(lua_State *L, mproc_status st, mproc_spawn_step failed,
                        const mproc_program *what) {
  switch (failed) {
  case MPROC_SPAWN_STDIO:
    return lmp_pushfailure(L, st, "passing stdin, stdout and stderr to",
                           what->argv[0]);
  case MPROC_SPAWN_CWD:
    return lmp_pushfailure(L, st, "changing to the directory", what->cwd);
  case MPROC_SPAWN_PROCESS:
    return lmp_pushfailure(L, st, "making a process for", what->argv[0]);
  default:
    return lmp_pushfailure(L, st, "starting", what->argv[0]);
  }
}

/* [-0, +?, e] Reads the arguments into '*what', which points to what is pushed.
   First those that may run Lua code. */
static void check_program(lua_State *L, const lmp_Options *o,
                          mproc_program *what) {
  for (int i = 0; i < 3; i++)
    what->stdio[i] = check_stdio(L, o->stdio[i], i, what->stdio);
  what->cwd = o->cwd == 0 ? NULL : check_cwd(L, o->cwd);
  what->envp = o->env == 0 ? NULL : push_env(L, o->env);
  what->argv = push_argv(L);
}

/* [-0, +1, m] Pushes a closed connection to the program 'name'. */
static lmp_Connection *push_connection(lua_State *L, const lmp_Options *o,
                                       const char *name) {
  lmp_Connection *c = lmp_newconnection(L, LMP_CONNECTION, LMP_NAME);
  lmp_pushcodec(L, o);
  lua_setiuservalue(L, -2, LMP_CODEC);
  lua_pushstring(L, name);
  lua_setiuservalue(L, -2, LMP_NAME);
  return c;
}

int lmp_spawn(lua_State *L) {
  lmp_Options o;
  mproc_program what;
  mproc_spawn_step failed;
  mproc_connection *core = NULL;
  mproc_status st;
  lmp_Connection *c;
  lmp_Process *p;
  lua_settop(L, OPTIONS);
  luaL_checktype(L, ARGV, LUA_TTABLE);
  lmp_checkoptions(L, OPTIONS, LMP_FOR_PROCESS, &o);
  check_program(L, &o, &what);
  p = lmp_newprocess(L);
  lua_pushstring(L, what.argv[0]);
  lua_setiuservalue(L, -2, LMP_PROCESS_NAME);
  c = push_connection(L, &o, what.argv[0]);
  lua_setiuservalue(L, -2, LMP_PROCESS_CONNECTION);
  st = mproc_process_spawn(&lmp_state(L)->ctx, &what, &o.listener.connection,
                           &p->core, &core, &failed);
  if (st != MPROC_OK)
    return push_failure(L, st, failed, &what);
  lmp_setcore(c, core, &o.listener.connection);
  return 1;
}

/* ---- parent ---- */

/*
** connection.parent([options]): the connection is made once; the registry has
** it, so that it lasts for as long as nobody closes it.
*/
int lmp_parent(lua_State *L) {
  lmp_State *s = lmp_state(L);
  lmp_Options o;
  lmp_Connection *c;
  mproc_connection *core = NULL;
  mproc_handle h;
  mproc_status st;
  lua_settop(L, 1);
  lmp_checkoptions(L, 1, LMP_FOR_ADOPTED, &o);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &s->parent);
  c = lmp_toconnection(L, -1);
  if (c != NULL && c->core != NULL)
    return 1;
  c = push_connection(L, &o, "the parent process");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &s->parent);
  st = mproc_os_parent(&h);
  if (st == MPROC_OK)
    st = mproc_connection_adopt(&s->ctx, h, &o.listener.connection, &core);
  if (st != MPROC_OK)
    return lmp_pushfailure(L, st, "connecting to the parent process", NULL);
  mproc_os_claim_parent(h);
  lmp_setcore(c, core, &o.listener.connection);
  return 1;
}

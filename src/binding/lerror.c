/*
** lerror.c: the error objects that the world's failures come back as:
** {name, message, errno, code, bytes}, which print well.
*/
#include "binding/lmp.h"

#define ERROR_TYPE "multiprocessing.error"

/* What an error says of itself. */
typedef struct Description {
  const char *name; /* Python's exception */
  const char *text;
  const char *code; /* "ECONNREFUSED"; NULL: none */
  int number;       /* errno; 0: none */
} Description;

static Description describe(mproc_status st, char *buffer, size_t size) {
  Description d = {"OSError", "", NULL, mproc_status_errno(st)};
  if (d.number != 0) {
    d.name = mproc_os_errno_exception(d.number);
    d.text = mproc_os_errno_text(d.number, buffer, size);
    d.code = mproc_os_errno_code(d.number);
  } else if (st >= MPROC_GAI_FIRST) {
    d.name = "gaierror";
    d.text = mproc_os_gai_text(st);
    d.code = mproc_os_gai_code(st);
  } else {
    d.name = mproc_status_name(st);
    d.text = mproc_status_text(st);
  }
  /* so that a program can tell these two from other OSErrors */
  if (st == MPROC_BAD_LENGTH)
    d.code = "EMSGSIZE";
  else if (st == MPROC_PATH_TOO_LONG)
    d.code = "ENAMETOOLONG";
  return d;
}

/* [-1, +1, m] Makes an error object of the message on the top. */
static void push_error(lua_State *L, const Description *d) {
  lua_createtable(L, 0, 4);
  lua_insert(L, -2);
  lua_setfield(L, -2, "message");
  lua_pushstring(L, d->name);
  lua_setfield(L, -2, "name");
  if (d->code != NULL) {
    lua_pushstring(L, d->code);
    lua_setfield(L, -2, "code");
  }
  if (d->number != 0) {
    lua_pushinteger(L, d->number);
    lua_setfield(L, -2, "errno");
  }
  luaL_setmetatable(L, ERROR_TYPE);
}

int lmp_pushfailure(lua_State *L, mproc_status st, const char *doing,
                    const char *what) {
  char buffer[256];
  Description d;
  if (st == MPROC_NOMEM)
    return luaL_error(L, "not enough memory");
  d = describe(st, buffer, sizeof buffer);
  lua_pushnil(L);
  if (doing != NULL && what != NULL)
    lua_pushfstring(L, "%s %s: %s", doing, what, d.text);
  else if (doing != NULL)
    lua_pushfstring(L, "%s: %s", doing, d.text);
  else
    lua_pushstring(L, d.text);
  push_error(L, &d);
  return 2;
}

int lmp_pusherror(lua_State *L, const char *name) {
  Description d = {name, NULL, NULL, 0};
  lua_pushnil(L);
  lua_insert(L, -2);
  push_error(L, &d);
  return 2;
}

int lmp_pushmessageerror(lua_State *L, const char *name, const char *message) {
  Description d = {name, NULL, NULL, 0};
  lua_pushnil(L);
  lua_insert(L, -2); /* nil, bytes */
  lua_pushstring(L, message);
  push_error(L, &d); /* nil, bytes, error */
  lua_insert(L, -2);
  lua_setfield(L, -2, "bytes");
  return 2;
}

int lmp_misuse(lua_State *L, const char *problem) {
  lua_Debug ar;
  if (!lua_getstack(L, 0, &ar) || !lua_getinfo(L, "n", &ar) || ar.name == NULL)
    return luaL_error(L, "%s", problem);
  return luaL_error(L, "cannot call '%s' (%s)", ar.name, problem);
}

static int error_tostring(lua_State *L) {
  const char *name;
  const char *message;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "name");
  lua_getfield(L, 1, "message");
  name = lua_tostring(L, -2);
  message = lua_tostring(L, -1);
  lua_pushfstring(L, "%s: %s", name == NULL ? "error" : name,
                  message == NULL ? "" : message);
  return 1;
}

void lmp_openerror(lua_State *L) {
  luaL_newmetatable(L, ERROR_TYPE);
  lua_pushcfunction(L, error_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
}

/*
** lclient.c: the userdata of a Client: a Connection that was opened from this
** side.
*/
#include "binding/lmp.h"

/* Stack: ..., client at 1. Goes on until it is open, or has failed. */
static int handshake_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_checkconnection(L, 1);
  mproc_status st = lmp_stepconnection(c);
  if (st != MPROC_OK)
    return lmp_notyet(L, w, st, 0, "connecting to");
  lua_pushboolean(L, 1);
  return 1;
}

static int client_handshake(lua_State *L) {
  mproc_time deadline = lmp_optdeadline(L, 2);
  lmp_checkconnection(L, 1);
  lua_settop(L, 1);
  return lmp_block(L, handshake_step, deadline);
}

/* Stack: the new client at 1. Its own deadline is in its core. */
static int connect_step(lua_State *L, lmp_Wait *w) {
  lmp_Connection *c = lmp_checkconnection(L, 1);
  int results = handshake_step(L, w);
  if (results == 1) {
    lua_pushvalue(L, 1);
  } else if (results != LMP_AGAIN) {
    mproc_connection *core = c->core;
    c->core = NULL;
    mproc_connection_free(core);
  }
  return results;
}

/* [-0, +0, m] Notes in the client on the top where it connects to. */
static const char *keep_address(lua_State *L, const mproc_address *a) {
  char text[MPROC_ADDRESS_TEXT_MAX];
  const char *name = lua_pushstring(L, mproc_address_format(a, text));
  lua_setiuservalue(L, -2, LMP_NAME);
  lmp_pushaddress(L, a);
  lua_setiuservalue(L, -2, LMP_ADDRESS);
  return name; /* the client keeps it alive */
}

int lmp_client_new(lua_State *L) {
  lmp_Options o;
  mproc_address a;
  lmp_Connection *c;
  mproc_connection *core = NULL;
  const char *name;
  mproc_status st;
  lua_settop(L, 2);
  lmp_checkoptions(L, 2, LMP_FOR_CLIENT, &o);
  st = lmp_checkaddress(L, 1, o.family, &a);
  if (st != MPROC_OK)
    return lmp_pushfailure(L, st, "connecting", NULL);
  lmp_checkfamily(L, 1, (mproc_family)a.family);
  c = lmp_newconnection(L, LMP_CLIENT, LMP_CLIENT_NUV);
  name = keep_address(L, &a);
  lmp_pushcodec(L, &o);
  lua_setiuservalue(L, -2, LMP_CODEC);
  st = mproc_connection_dial(&lmp_state(L)->ctx, &a, &o.listener.connection,
                             &o.dial, &core);
  if (st != MPROC_OK)
    return lmp_pushfailure(L, st, "connecting to", name);
  lmp_setcore(c, core, &o.listener.connection);
  if (o.nonblocking) {
    mproc_connection_announce(core);
    mproc_connection_step(
        core); /* on its way; what comes of it is told later */
    return 1;
  }
  lua_replace(L, 1);
  lua_settop(L, 1);
  return lmp_block(L, connect_step, MPROC_NEVER);
}

/* ---- the tables ---- */

/* clang-format off */
static const luaL_Reg methods[] = { /* beside a Connection's */
  {"handshake", client_handshake},
  {NULL, NULL},
};
/* clang-format on */

void lmp_openclient(lua_State *L) {
  lmp_newtype(L, LMP_CLIENT, lmp_connection_methods, lmp_connection_metamethods,
              lmp_connection_index, &lmp_state(L)->client_mt);
  lmp_setfunctions(L, methods);
}

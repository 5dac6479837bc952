/*
** lhandshake.c: the handshake's state machine as a userdata, for
** deliver_challenge and answer_challenge over objects of any kind.
*/
#include "binding/lmp.h"

#include "core/handshake.h"

#define HANDSHAKE "multiprocessing.handshake"
#define KEY 1 /* user value: the authkey */

typedef struct Handshake {
  mproc_handshake machine;
  bool begun;
  bool ended;
} Handshake;

static mproc_view key_of(lua_State *L, int idx) {
  mproc_view v;
  lua_getiuservalue(L, idx, KEY);
  v = lmp_toview(L, -1);
  lua_pop(L, 1); /* the user value keeps it alive */
  return v;
}

/*
** machine:next([message]) -> out, done, err: takes the message that came (none
** at first); 'out' is the one to send, or nil; 'done' is true at the good end;
** 'err' is the error object of the bad one.
*/
static int handshake_next(lua_State *L) {
  Handshake *h = (Handshake *)luaL_checkudata(L, 1, HANDSHAKE);
  mproc_view in = {NULL, 0};
  mproc_view out = {NULL, 0};
  mproc_status st;
  luaL_argcheck(L, !h->ended, 1, "handshake has ended");
  if (h->begun)
    in.data = (const uint8_t *)luaL_checklstring(L, 2, &in.size);
  st = mproc_handshake_next(&h->machine, key_of(L, 1), h->begun ? &in : NULL,
                            &out);
  h->begun = true;
  h->ended = st != MPROC_AGAIN;
  if (out.size > 0)
    lua_pushlstring(L, (const char *)out.data, out.size);
  else
    lua_pushnil(L);
  lua_pushboolean(L, st == MPROC_OK);
  if (st == MPROC_OK || st == MPROC_AGAIN)
    return 2;
  lmp_pushfailure(L, st, NULL, NULL); /* out, false, nil, err */
  lua_remove(L, -2);
  return 3;
}

static int handshake_gc(lua_State *L) {
  Handshake *h = (Handshake *)luaL_checkudata(L, 1, HANDSHAKE);
  h->ended = true;
  mproc_handshake_end(&h->machine);
  return 0;
}

/*
** core.handshake(role, authkey, policy) -> machine. 'role': "deliver" or
** "answer"; 'policy': {digest =, digests =}. Misuse is numbered as for
** deliver_challenge(connection, authkey, ...).
*/
int lmp_handshake_new(lua_State *L) {
  static const char *const roles[] = {"deliver", "answer", NULL};
  const mproc_handshake_role meanings[] = {MPROC_DELIVER_ONLY,
                                           MPROC_ANSWER_ONLY};
  mproc_handshake_role role = meanings[luaL_checkoption(L, 1, NULL, roles)];
  uint8_t nonce[MPROC_HANDSHAKE_NONCE];
  mproc_crypto *crypto = NULL;
  mproc_status st;
  lmp_Options o;
  Handshake *h;
  luaL_checktype(L, 2, LUA_TSTRING);
  lua_settop(L, 3);
  lmp_checkoptions(L, 3, LMP_FOR_HANDSHAKE, &o);
  st = mproc_context_crypto(&lmp_state(L)->ctx, &crypto);
  h = (Handshake *)lua_newuserdatauv(L, sizeof *h, KEY);
  h->begun = false;
  h->ended = true;
  if (st == MPROC_OK)
    st = mproc_digest_random(nonce, sizeof nonce);
  if (st != MPROC_OK)
    return lmp_pushfailure(L, st, NULL, NULL);
  mproc_handshake_begin(&h->machine, crypto, role, o.listener.connection.policy,
                        nonce);
  mproc_digest_wipe(nonce, sizeof nonce);
  h->ended = false;
  luaL_setmetatable(L, HANDSHAKE);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, KEY);
  return 1;
}

void lmp_openhandshake(lua_State *L) {
  luaL_newmetatable(L, HANDSHAKE);
  lua_pushcfunction(L, handshake_gc);
  lua_setfield(L, -2, "__gc");
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, handshake_next);
  lua_setfield(L, -2, "next");
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

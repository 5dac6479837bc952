/*
** lpoller.h: what lpoller.c and lpolled.c share: the userdata of a Poller with
** its tables, and the objects in them.
*/
#ifndef LPOLLER_H
#define LPOLLER_H

#include "binding/lmp.h"

/* Its user values: tables, or nil once it is closed. */
enum {
  LMP_POLLER_OBJECTS = 1, /* an entry's id -> its object (luaL_ref) */
  LMP_POLLER_ENTRIES,     /* object -> its entry, a light userdata; false: none
                             yet */
  LMP_POLLER_CHANGING, /* a list of the ids of those that are asked before each
                             wait: objects of other libraries, and pollers */
  LMP_POLLER_NUV = LMP_POLLER_CHANGING
};

/* Where a function has the tables, lest a finalizer take them away: above its
   one argument. */
#define LMP_POLLER_TABLE(which) (2 + (which))

/*
** [-?, +?, v] The core of the Poller in argument 1, which is misuse where that is
** closed; leaves the poller, one argument and the tables on the stack: what the
** functions below ask for.
*/
mproc_poller *lmp_beginpoller(lua_State *L);

/* [-0, +0, -] Its core, after something that may have closed it; or NULL. */
mproc_poller *lmp_pollercore(lua_State *L);

/* [-0, +0, -] The entry of the object at 'idx', or NULL. */
mproc_polled *lmp_polledentry(lua_State *L, int idx);

/* [-0, +0, -] Forgets the objects that have ended. */
void lmp_sweeppoller(lua_State *L);

/* poller:add(object), poller:remove(object) */
int lmp_poller_add(lua_State *L);
int lmp_poller_remove(lua_State *L);

#endif

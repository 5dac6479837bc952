/*
** lspill.h: the slots of frames that are too deep for the Lua stack, which the
** codec's two walks use in the same way.
*/
#ifndef LMP_LSPILL_H
#define LMP_LSPILL_H

#include <stddef.h>

#include <lua.h>

/* Frames on the Lua stack, of which each has two slots there. */
#define LMP_SPILL 1000

/*
** [-2, +0, m] Moves the two slots on the top, of the frame that is the 'depth'th,
** into the table at the fixed place 'spilled', which is nil at first.
*/
void lmp_spill(lua_State *L, int spilled, size_t depth);

/* [-0, +2, -] Pushes them again. */
void lmp_unspill(lua_State *L, int spilled, size_t depth);

#endif

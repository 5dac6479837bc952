/*
** compat.h: by which names pickles of protocols 0 to 2 know the globals of
** Python 3: Python 2's, whoever wrote the pickle. Pure.
**
** After CPython: Lib/_compat_pickle.py, and Lib/pickle.py, find_class and
** save_global where 'fix_imports' holds, which it does by default.
*/
#ifndef MPROC_PICKLE_COMPAT_H
#define MPROC_PICKLE_COMPAT_H

#include "core/bytes.h"

/*
** Replaces the module and the name of one of Python 2's globals, any bytes, by
** Python 3's. Where that very global has no others, its module may, and the name
** stays; where the module has no other either, both stay. Other names are
** constants: they live for ever.
*/
void mproc_compat_2to3(mproc_view *module, mproc_view *name);

/* The way back: Python 3's names are replaced by Python 2's. */
void mproc_compat_3to2(mproc_view *module, mproc_view *name);

#endif

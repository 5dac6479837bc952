/*
** status.c: names and texts of the outcomes in status.h.
*/
#include "core/status.h"

#include <stddef.h>

static const char *const names[MPROC_OUTCOME_COUNT] = {
#define X(name, exception, text) exception,
    MPROC_OUTCOMES(X)
#undef X
};

static const char *const texts[MPROC_OUTCOME_COUNT] = {
#define X(name, exception, text) text,
    MPROC_OUTCOMES(X)
#undef X
};

const char *mproc_status_name(mproc_status st) {
  return st >= 0 && st < MPROC_OUTCOME_COUNT ? names[st] : NULL;
}

const char *mproc_status_text(mproc_status st) {
  return st >= 0 && st < MPROC_OUTCOME_COUNT ? texts[st] : NULL;
}

/*
** What the benchmark's peers in C share: the commands on standard input, which
** bench/README.md describes, a clock, and a buffer.
*/
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <stdbool.h>
#include <stddef.h>

/* What a command may need. */
typedef struct worker {
  bool is_server;
  const char *folder; /* of the values, see worker_value_size */
  char *buffer;       /* worker_reserve makes it longer */
  size_t room;        /* its length */
  void *peer;         /* the program's own */
} worker;

/*
** Executes a command; its words are strings, "" where there are fewer. Returns
** what to answer: a time or a memory size; WORKER_OK where there is nothing to
** tell. What goes wrong ends the program (worker_fail).
*/
typedef double (*worker_function)(worker *w, char *const words[4]);

#define WORKER_OK (-1.0)
#define WORKER_CANNOT (-2.0) /* it was not able to: the answer is "-" */

typedef struct worker_command {
  const char *name;
  worker_function run;
} worker_command;

/*
** Says "ready", the version and the ways, then executes commands until standard
** input ends. 'commands' ends with a NULL. Returns the exit code.
*/
int worker_run(int argc, char **argv, const char *ready,
               const worker_command *commands, void *peer);

/* Prints "- what: errno" on standard output, and exits. */
_Noreturn void worker_fail(const char *what);

/* Seconds by a clock that only goes forward. */
double worker_now(void);

/* The buffer, with room for so many bytes. */
char *worker_reserve(worker *w, size_t size);

/* How long the pickle of a value is: the file of that name in the folder. */
size_t worker_value_size(const worker *w, const char *name);

#endif

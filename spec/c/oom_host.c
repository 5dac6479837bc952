/*
** oom_host.c: runs a Lua script when there is no memory left, from the first
** allocation on, from the second, and so on until the script is done.
**
**   oom_host whole|loaded FIRST STRIDE SCRIPT [ARGUMENT]
**   oom_host plain SCRIPT [ARGUMENT]
**
** Each run has a Lua state of its own, whose allocator fails from the Nth
** allocation on: one that fails once proves nothing, since Lua collects garbage
** and asks again. "whole" counts from the making of the state on, libraries
** included; "loaded" from when the module is loaded and the script is compiled.
** A run that fails must do so by an error of Lua's that says that memory is
** short; once its state is closed, which has no memory either, all blocks are
** free and all descriptors closed. "plain" runs the script once, with memory.
** The script finds this in the global 'host':
**
**   host.fds          descriptors of its own: both ends of two socket pairs
**   host.uid          the user who runs it
**   host.attempt(f)   f(), without memory from its first allocation on, from
**                     the second, ..., until it returns; what it returns, and
**                     how often it failed
**   host.bytes()      how much memory is in use
**
** Prints a line for each problem, and one at the end; exits with 0 if there
** was none.
*/
#define _GNU_SOURCE

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define SCRIPT_FDS 4
#define FD_MAX 256           /* we count descriptors below it */
#define FD_OURS 128          /* the script's own ones are here and above */
#define ATTEMPTS_MAX 10000ul /* memory is there by then, whoever says not */
#define RUN_SECONDS 20u      /* until a run counts as hung */

/* ---- the allocator ---- */

typedef struct Memory {
  size_t bytes;           /* that were allocated and not freed */
  unsigned long count;    /* allocations so far */
  unsigned long last;     /* the last one that succeeds */
  unsigned long mistaken; /* calls that had a block's size wrong */
} Memory;

typedef union Head { /* of each block */
  size_t size;
  max_align_t align;
} Head;

static void *new_block(Memory *m, size_t size) {
  Head *h = (Head *)malloc(sizeof *h + size);
  if (h == NULL)
    return NULL;
  h->size = size;
  m->bytes += size;
  memset(h + 1, 0xA5, size);
  return h + 1;
}

static void free_block(Memory *m, void *block, size_t size) {
  Head *h = (Head *)block - 1;
  m->mistaken += h->size != size;
  m->bytes -= h->size;
  memset(block, 0x5A, h->size); /* should somebody still look at it */
  free(h);
}

/* A lua_Alloc. Every block moves when it is resized; one that shrinks always
   can be, as Lua expects. */
static void *resize(void *ud, void *block, size_t old_size, size_t size) {
  Memory *m = (Memory *)ud;
  void *moved;
  if (size == 0) {
    if (block != NULL)
      free_block(m, block, old_size);
    return NULL;
  }
  if ((block == NULL || size > old_size) && m->count++ >= m->last)
    return NULL;
  moved = new_block(m, size);
  if (moved == NULL || block == NULL)
    return moved;
  memcpy(moved, block, old_size < size ? old_size : size);
  free_block(m, block, old_size);
  return moved;
}

/* From the 'n'th allocation on from now there is no memory. */
static void fail_from(Memory *m, unsigned long n) {
  m->count = 0;
  m->last = n - 1;
}

static void fail_never(Memory *m) {
  m->count = 0;
  m->last = ULONG_MAX;
}

/* ---- descriptors ---- */

typedef struct Descriptors {
  bool is_open[FD_MAX];
} Descriptors;

static void look(Descriptors *d) {
  for (int fd = 0; fd < FD_MAX; fd++)
    d->is_open[fd] = fcntl(fd, F_GETFD) != -1;
}

static int move_up(int fd) {
  int moved = fcntl(fd, F_DUPFD_CLOEXEC, FD_OURS);
  close(fd);
  return moved;
}

static void open_fds(int fds[SCRIPT_FDS]) {
  for (int i = 0; i < SCRIPT_FDS; i += 2) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, &fds[i]) != 0)
      exit(2);
    fds[i] = move_up(fds[i]);
    fds[i + 1] = move_up(fds[i + 1]);
  }
}

static void close_fds(const int fds[SCRIPT_FDS]) {
  for (int i = 0; i < SCRIPT_FDS; i++)
    close(fds[i]); /* the script may have done so */
}

/* ---- the script ---- */

typedef struct Run {
  Memory memory;
  int fds[SCRIPT_FDS];
  const char *script;
  const char *argument; /* or NULL */
  unsigned long loaded; /* where not 0: armed with it once all is loaded */
} Run;

static Run *run_of(lua_State *L) {
  void *ud;
  lua_getallocf(L, &ud);
  return (Run *)ud; /* 'memory' is the first member */
}

/* Whether the error on the top says that memory is short. */
static bool is_about_memory(lua_State *L) {
  const char *message;
  bool about;
  if (lua_type(L, -1) == LUA_TTABLE)
    lua_getfield(L, -1, "message");
  else
    lua_pushvalue(L, -1);
  message = lua_tostring(L, -1);
  about = message != NULL && strstr(message, "not enough memory") != NULL;
  lua_pop(L, 1);
  return about;
}

/* host.attempt(f) */
static int attempt(lua_State *L) {
  Memory *m = &run_of(L)->memory;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  for (unsigned long n = 1;; n++) {
    int status;
    lua_pushvalue(L, 1);
    fail_from(m, n);
    status = lua_pcall(L, 0, LUA_MULTRET, 0);
    fail_never(m);
    if (status == LUA_OK) {
      lua_pushinteger(L, (lua_Integer)n - 1);
      return lua_gettop(L) - 1;
    }
    if (n > ATTEMPTS_MAX || (status != LUA_ERRMEM && !is_about_memory(L))) {
      const char *what = luaL_tolstring(L, -1, NULL);
      return luaL_error(L, "without memory from allocation %d on: %s", (int)n,
                        what);
    }
    lua_settop(L, 1);
  }
}

/* host.bytes() */
static int bytes(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)run_of(L)->memory.bytes);
  return 1;
}

static void set_host(lua_State *L, const Run *r) {
  lua_newtable(L);
  lua_newtable(L);
  for (int i = 0; i < SCRIPT_FDS; i++) {
    lua_pushinteger(L, r->fds[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "fds");
  lua_pushinteger(L, (lua_Integer)getuid());
  lua_setfield(L, -2, "uid");
  lua_pushcfunction(L, attempt);
  lua_setfield(L, -2, "attempt");
  lua_pushcfunction(L, bytes);
  lua_setfield(L, -2, "bytes");
  lua_setglobal(L, "host");
}

static int run_script(lua_State *L) {
  Run *r = (Run *)lua_touserdata(L, 1);
  luaL_openlibs(L);
  set_host(L, r);
  if (luaL_loadfile(L, r->script) != LUA_OK)
    return lua_error(L);
  if (r->argument != NULL)
    lua_pushstring(L, r->argument);
  if (r->loaded != 0) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "multiprocessing.connection");
    lua_call(L, 1, 0);
    fail_from(&r->memory, r->loaded);
  }
  lua_call(L, r->argument != NULL, 0);
  return 0;
}

/* Runs the script in a new state. Returns the status; what is wrong with how
   it failed is told. */
static int run_in_state(Run *r) {
  lua_State *L = lua_newstate(resize, &r->memory);
  int status;
  if (L == NULL)
    return LUA_ERRMEM;
  lua_pushcfunction(L, run_script); /* there is room on a new state's stack */
  lua_pushlightuserdata(L, r);
  status = lua_pcall(L, 1, 0, 0);
  if (status != LUA_OK && status != LUA_ERRMEM) {
    unsigned long count = r->memory.count, last = r->memory.last;
    fail_never(&r->memory);
    if (!is_about_memory(L))
      status = -1;
    if (status == -1)
      printf("  error: %s\n", luaL_tolstring(L, -1, NULL));
    r->memory.count = count;
    r->memory.last = last;
  }
  lua_close(L);
  return status;
}

/* One run, with all that is to be looked at after it. */
static int run_and_look(Run *r, int *problems) {
  Descriptors before, after;
  int status;
  alarm(RUN_SECONDS);
  look(&before);
  open_fds(r->fds);
  status = run_in_state(r);
  close_fds(r->fds);
  look(&after);
  *problems = status == -1;
  for (int fd = 0; fd < FD_MAX; fd++) {
    if (after.is_open[fd] != before.is_open[fd]) {
      printf("  descriptor %d is %s\n", fd,
             after.is_open[fd] ? "still open" : "closed");
      ++*problems;
      if (after.is_open[fd])
        close(fd);
    }
  }
  if (r->memory.bytes != 0) {
    printf("  %zu bytes are not free\n", r->memory.bytes);
    ++*problems;
  }
  if (r->memory.mistaken != 0) {
    printf("  %lu blocks had their size wrong\n", r->memory.mistaken);
    ++*problems;
  }
  return status;
}

static void new_run(Run *r, const char *const *argv) {
  memset(r, 0, sizeof *r);
  fail_never(&r->memory);
  r->script = argv[0];
  r->argument = argv[1];
}

static int run_plain(const char *const *argv) {
  Run r;
  int problems;
  new_run(&r, argv);
  return run_and_look(&r, &problems) == LUA_OK && problems == 0 ? 0 : 1;
}

static int run_all(bool loaded, unsigned long first, unsigned long stride,
                   const char *const *argv) {
  unsigned long n = first, runs = 0, bad = 0;
  int status = LUA_ERRMEM;
  for (; status != LUA_OK; n += stride, runs++) {
    Run r;
    int problems;
    new_run(&r, argv);
    if (loaded)
      r.loaded = n;
    else
      fail_from(&r.memory, n);
    status = run_and_look(&r, &problems);
    if (problems > 0)
      printf("without memory from allocation %lu on: %d problems\n", n,
             problems);
    fflush(stdout);
    bad += problems > 0;
    if (status == -1 && bad > 20)
      break; /* it is the script, not the memory */
  }
  printf("%s after %lu runs, %lu of them bad\n",
         status == LUA_OK ? "done" : "given up", runs, bad);
  return status == LUA_OK && bad == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
  const char *const *arguments = (const char *const *)argv;
  if (argc >= 3 && strcmp(argv[1], "plain") == 0)
    return run_plain(arguments + 2);
  if (argc >= 5)
    return run_all(strcmp(argv[1], "loaded") == 0, strtoul(argv[2], NULL, 10),
                   strtoul(argv[3], NULL, 10), arguments + 4);
  fprintf(stderr, "usage: see the source\n");
  return 2;
}

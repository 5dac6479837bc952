/* What the benchmark's peers in C share: see worker.h. */
#define _POSIX_C_SOURCE 200809L

#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

void worker_fail(const char *what) {
  printf("- %s: %s\n", what, strerror(errno));
  fflush(stdout);
  exit(1);
}

double worker_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

char *worker_reserve(worker *w, size_t size) {
  if (size > w->room) {
    char *longer = realloc(w->buffer, size);
    if (longer == NULL)
      worker_fail("realloc");
    w->buffer = longer;
    w->room = size;
  }
  return w->buffer;
}

size_t worker_value_size(const worker *w, const char *name) {
  char path[4096];
  struct stat st;
  snprintf(path, sizeof path, "%s/%s", w->folder, name);
  if (stat(path, &st) != 0)
    worker_fail(path);
  return (size_t)st.st_size;
}

static void answer(double result) {
  if (result >= 0)
    printf("%.9g\n", result);
  else
    puts(result == WORKER_OK ? "ok" : "-");
}

static void execute(worker *w, const worker_command *commands, char *line) {
  char empty[] = "";
  char *words[5] = {empty, empty, empty, empty, empty};
  char *word = strtok(line, " \n");
  for (int i = 0; i < 5 && word != NULL; i++) {
    words[i] = word;
    word = strtok(NULL, " \n");
  }
  for (; commands->name != NULL; commands++) {
    if (strcmp(commands->name, words[0]) == 0) {
      answer(commands->run(w, words + 1));
      return;
    }
  }
  printf("- no command %s\n", words[0]);
}

int worker_run(int argc, char **argv, const char *ready,
               const worker_command *commands, void *peer) {
  char line[1024];
  worker w = {.peer = peer};
  if (argc < 3) {
    puts("- usage: server|client FOLDER");
    return 2;
  }
  w.is_server = strcmp(argv[1], "server") == 0;
  w.folder = argv[2];
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready %s\n", ready);
  while (fgets(line, sizeof line, stdin) != NULL)
    execute(&w, commands, line);
  free(w.buffer);
  return 0;
}

/*
** program.c: what a child needs of a program and cannot make after fork(2),
** where memory must not be allocated: the paths at which the program may be,
** and its environment.
*/
#include "platform/posix/spawn.h"

#include <string.h>

#if defined __APPLE__
#include <crt_externs.h>
#define environ (*_NSGetEnviron()) /* environ(7): all that a bundle has */
#else
extern char **environ;
#endif

#define VARIABLE MPROC_POSIX_PARENT "="

/* "MULTIPROCESSING_CONNECTION_FD=3" */
#define QUOTE_(x) #x
#define QUOTE(x) QUOTE_(x)
#define SETTING VARIABLE QUOTE(MPROC_POSIX_CHANNEL)

/* Where programs are without a PATH (CPython, os.defpath). */
static const char default_path[] = "/bin:/usr/bin";

/* NULL is what clearenv(3) leaves. */
static char *const *own_environment(void) {
  static char *const none[] = {NULL};
  return environ != NULL ? environ : none;
}

static bool has_name(const char *entry, const char *name, size_t size) {
  return strncmp(entry, name, size) == 0;
}

/* The PATH that counts: CPython, os.get_exec_path(env). */
static const char *search_path(char *const *envp) {
  for (; *envp != NULL; envp++) {
    if (has_name(*envp, "PATH=", 5))
      return *envp + 5;
  }
  return default_path;
}

static size_t count_entries(char *const *envp) {
  size_t n = 0;
  while (envp[n] != NULL)
    n++;
  return n;
}

static size_t count_directories(const char *path) {
  size_t n = 1;
  for (; *path != '\0'; path++)
    n += *path == ':';
  return n;
}

/* Writes "directory/name" for each directory of 'path'; an empty one is the
   current directory (execvp(3)). */
static void fill_paths(char **paths, char *out, const char *path,
                       const char *name) {
  for (;;) {
    size_t size = strcspn(path, ":");
    *paths++ = out;
    memcpy(out, path, size);
    out += size;
    if (size > 0)
      *out++ = '/';
    strcpy(out, name);
    out += strlen(name) + 1;
    if (path[size] == '\0')
      break;
    path += size + 1;
  }
  *paths = NULL;
}

/* All but ours of at most 'n' entries (another thread may add some), and then
   ours. */
static void fill_environment(char **envp, char *const *from, size_t n) {
  for (size_t i = 0; i < n && from[i] != NULL; i++) {
    if (!has_name(from[i], VARIABLE, sizeof VARIABLE - 1))
      *envp++ = from[i];
  }
  *envp++ = (char *)SETTING; /* as execve(2) has it, which changes nothing */
  *envp = NULL;
}

mproc_status mproc_posix_image_make(const mproc_allocator *a,
                                    const mproc_program *what,
                                    mproc_posix_image *image) {
  const char *name = what->argv[0];
  char *const *envp = what->envp != NULL ? what->envp : own_environment();
  /* a path is not looked up, and nor is nothing */
  bool plain = strchr(name, '/') != NULL || name[0] == '\0';
  const char *path = plain ? "" : search_path(envp);
  size_t entries = count_entries(envp);
  size_t directories = count_directories(path);
  size_t pointers = entries + 2 + directories + 1;
  size_t text = strlen(path) + directories * (strlen(name) + 2);
  image->size = pointers * sizeof(char *) + text;
  image->block = mproc_alloc(a, image->size);
  if (image->block == NULL)
    return MPROC_NOMEM;
  image->envp = (char **)image->block;
  image->paths = image->envp + entries + 2;
  fill_paths(image->paths, (char *)(image->paths + directories + 1), path,
             name);
  fill_environment(image->envp, envp, entries);
  return MPROC_OK;
}

void mproc_posix_image_free(const mproc_allocator *a,
                            mproc_posix_image *image) {
  mproc_free(a, image->block, image->size);
  image->block = NULL;
}

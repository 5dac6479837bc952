/*
** file.c: socket files: which one a path names, and a private place for one.
*/
#include "platform/posix/posix.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The longest path of a socket file, with its zero. */
#define SOCKET_PATH_SIZE sizeof(((struct sockaddr_un *)NULL)->sun_path)

/* lstat: what unlink(2) would remove, which is a link and not its target. */
bool mproc_os_file_id(const char *path, mproc_file_id *id) {
  struct stat st;
  if (lstat(path, &st) != 0)
    return false;
  id->device = (uint64_t)st.st_dev;
  id->inode = (uint64_t)st.st_ino;
  return true;
}

void mproc_os_unlink_same(const char *path, mproc_file_id id) {
  mproc_file_id now;
  if (!mproc_os_file_id(path, &now))
    return;
  if (now.device == id.device && now.inode == id.inode)
    unlink(path);
}

/* A private path below 'base'. 'out' is complete only on OK. */
static mproc_status private_path_in(const char *base, const char *name,
                                    char out[MPROC_PATH_MAX + 1]) {
  static const char pattern[] = "/mproc-XXXXXX";
  size_t size = strlen(base) + sizeof pattern + strlen(name) + 1;
  if (size > SOCKET_PATH_SIZE || size > MPROC_PATH_MAX + 1)
    return MPROC_PATH_TOO_LONG;
  strcat(strcpy(out, base), pattern);
  if (mkdtemp(out) == NULL)
    return mproc_posix_error();
  strcat(strcat(out, "/"), name);
  return MPROC_OK;
}

/* $TMPDIR serves where it is absolute (a relative one would be lost with the
   next chdir), exists, and leaves room for a socket's path; else /tmp does. */
mproc_status mproc_os_private_path(const char *name,
                                   char out[MPROC_PATH_MAX + 1],
                                   uint16_t *size) {
  const char *base = getenv("TMPDIR");
  mproc_status st = MPROC_PATH_TOO_LONG;
  if (base != NULL && base[0] == '/')
    st = private_path_in(base, name, out);
  if (st != MPROC_OK)
    st = private_path_in("/tmp", name, out);
  if (st == MPROC_OK)
    *size = (uint16_t)strlen(out);
  return st;
}

void mproc_os_remove_private(const char *path) {
  char directory[MPROC_PATH_MAX + 1];
  const char *slash = strrchr(path, '/');
  size_t size = slash != NULL ? (size_t)(slash - path) : 0;
  if (size == 0 || size > MPROC_PATH_MAX)
    return;
  memcpy(directory, path, size);
  directory[size] = '\0';
  rmdir(directory);
}

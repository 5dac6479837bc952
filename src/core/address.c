/*
** address.c: addresses as users write them, checked and taken apart, and
** written out again for people.
*/
#include "core/address.h"

#include <string.h>

static const char *const family_names[] = {
    [MPROC_FAMILY_NONE] = NULL,    [MPROC_AF_INET] = "AF_INET",
    [MPROC_AF_INET6] = "AF_INET6", [MPROC_AF_UNIX] = "AF_UNIX",
    [MPROC_AF_PIPE] = "AF_PIPE",
};

#define FAMILY_COUNT (sizeof family_names / sizeof family_names[0])

const char *mproc_family_name(mproc_family f) {
  return family_names[f];
}

mproc_family mproc_family_find(mproc_view name) {
  size_t i;
  for (i = MPROC_FAMILY_NONE + 1; i < FAMILY_COUNT; i++)
    if (name.size == strlen(family_names[i]) &&
        memcmp(name.data, family_names[i], name.size) == 0)
      return (mproc_family)i;
  return MPROC_FAMILY_NONE;
}

static bool has_byte(mproc_view v, char byte) {
  return v.size > 0 && memchr(v.data, byte, v.size) != NULL;
}

bool mproc_address_is_ipv6(mproc_view host) {
  return has_byte(host, ':');
}

mproc_family mproc_address_string_family(mproc_view path) {
  bool pipe = path.size >= 2 && memcmp(path.data, "\\\\", 2) == 0;
  return pipe ? MPROC_AF_PIPE : MPROC_AF_UNIX;
}

static bool refuse(const char **problem, const char *text) {
  *problem = text;
  return false;
}

static void set(mproc_address *out, mproc_family family, mproc_view name,
                uint16_t port) {
  memset(out, 0, sizeof *out);
  out->family = (uint8_t)family;
  out->port = port;
  out->size = (uint16_t)name.size;
  if (name.size > 0)
    memcpy(out->name, name.data, name.size);
}

bool mproc_address_inet(mproc_address *out, mproc_family family,
                        mproc_view host, uint16_t port, const char **problem) {
  if (family == MPROC_FAMILY_NONE)
    family = mproc_address_is_ipv6(host) ? MPROC_AF_INET6 : MPROC_AF_INET;
  if (family != MPROC_AF_INET && family != MPROC_AF_INET6)
    return refuse(problem, "family has no host and port");
  if (host.size > MPROC_HOST_MAX)
    return refuse(problem, "host too long");
  if (has_byte(host, '\0'))
    return refuse(problem, "host contains zeros");
  set(out, family, host, port);
  return true;
}

bool mproc_address_path(mproc_address *out, mproc_family family,
                        mproc_view path, bool abstract_allowed,
                        const char **problem) {
  bool abstract;
  if (family == MPROC_FAMILY_NONE)
    family = mproc_address_string_family(path);
  if (family != MPROC_AF_UNIX && family != MPROC_AF_PIPE)
    return refuse(problem, "family has no path");
  if (path.size == 0)
    return refuse(problem, "path is empty");
  if (path.size > MPROC_PATH_MAX)
    return refuse(problem, "path too long");
  abstract = abstract_allowed && family == MPROC_AF_UNIX && path.data[0] == 0;
  if (!abstract && has_byte(path, '\0'))
    return refuse(problem, "path contains zeros");
  set(out, family, path, 0);
  return true;
}

bool mproc_address_is_abstract(const mproc_address *a) {
  return a->family == MPROC_AF_UNIX && a->size > 0 && a->name[0] == '\0';
}

/* Writes 'n' bytes for people; returns the end of what it wrote. */
static char *write_text(char *out, const char *text, size_t n) {
  static const char hex[] = "0123456789abcdef";
  size_t i;
  for (i = 0; i < n; i++) {
    unsigned char byte = (unsigned char)text[i];
    if (byte >= 0x20 && byte != 0x7f) {
      *out++ = text[i];
    } else {
      *out++ = '\\';
      *out++ = 'x';
      *out++ = hex[byte >> 4];
      *out++ = hex[byte & 15];
    }
  }
  return out;
}

/* In decimal; snprintf would take longer than all the rest of an address. */
static char *write_port(char *out, unsigned port) {
  char digits[5];
  size_t n = 0;
  do {
    digits[n++] = (char)('0' + port % 10);
    port /= 10;
  } while (port > 0);
  while (n > 0)
    *out++ = digits[--n];
  return out;
}

static char *write_host(char *out, const mproc_address *a) {
  const mproc_view host = {(const uint8_t *)a->name, a->size};
  bool literal = mproc_address_is_ipv6(host);
  if (literal)
    *out++ = '[';
  out = write_text(out, a->name, a->size);
  if (literal)
    *out++ = ']';
  *out++ = ':';
  return write_port(out, a->port);
}

const char *mproc_address_format(const mproc_address *a,
                                 char out[MPROC_ADDRESS_TEXT_MAX]) {
  char *end = out;
  if (a->family == MPROC_AF_INET || a->family == MPROC_AF_INET6) {
    end = write_host(end, a);
  } else if (mproc_address_is_abstract(a)) {
    *end++ = '@';
    end = write_text(end, a->name + 1, (size_t)a->size - 1);
  } else {
    end = write_text(end, a->name, a->size);
  }
  *end = '\0';
  return out;
}

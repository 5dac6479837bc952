/*
** address.h: what a user writes to name a listener: families, parsing,
** validation, formatting. Pure: nothing here asks the system.
*/
#ifndef MPROC_ADDRESS_H
#define MPROC_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/status.h"

typedef enum mproc_family {
  MPROC_FAMILY_NONE, /* not told: the address decides */
  MPROC_AF_INET,
  MPROC_AF_INET6,
  MPROC_AF_UNIX,
  MPROC_AF_PIPE /* Windows: a named pipe */
} mproc_family;

#define MPROC_HOST_MAX 255 /* RFC 1035, section 2.3.4; and IPv6 with a scope */
#define MPROC_PATH_MAX 255 /* what we hold; the system's limit may be lower */
/* room for the longest that mproc_address_format writes, with its zero */
#define MPROC_ADDRESS_TEXT_MAX (4 * MPROC_PATH_MAX + 16)

/* An address of any family, by value. */
typedef struct mproc_address {
  uint8_t family; /* mproc_family, never NONE */
  uint16_t port;  /* host's byte order; AF_INET and AF_INET6 */
  uint16_t size;  /* of 'name' */
  /* the host, or the path (from a zero on: the abstract namespace; then zeros
     count like any byte). A zero that is not counted follows. */
  char name[MPROC_PATH_MAX + 1];
} mproc_address;

/* "AF_INET" and its siblings; NULL for MPROC_FAMILY_NONE. */
const char *mproc_family_name(mproc_family f);

/* The family of that name, or MPROC_FAMILY_NONE. */
mproc_family mproc_family_find(mproc_view name);

/*
** Whether 'host' is an IPv6 literal (RFC 4291, section 2.2: it has a colon,
** which no host name and no IPv4 literal has).
*/
bool mproc_address_is_ipv6(mproc_view host);

/*
** The family that a bare string names: AF_PIPE where it starts with two
** backslashes, otherwise AF_UNIX (CPython, address_type).
*/
mproc_family mproc_address_string_family(mproc_view path);

/*
** Makes the address of a host and a port. An empty host is every interface
** (a listener) as in Python. 'family' NONE: AF_INET6 for an IPv6 literal, else
** AF_INET. False: the host is too long or has a zero in it, or the family is
** not one of the two; '*problem' says which, a static text.
*/
bool mproc_address_inet(mproc_address *out, mproc_family family,
                        mproc_view host, uint16_t port, const char **problem);

/*
** Makes the address of a path (AF_UNIX or AF_PIPE; 'family' NONE: what the
** string says). Where 'abstract_allowed', a path that starts with a zero byte
** is a name in Linux's abstract namespace (unix(7)). False: empty, a zero byte
** that is not allowed there, or more than MPROC_PATH_MAX bytes (the caller
** checks its system's own limit); '*problem' says which, a static text.
*/
bool mproc_address_path(mproc_address *out, mproc_family family,
                        mproc_view path, bool abstract_allowed,
                        const char **problem);

/* Whether it is an AF_UNIX address in the abstract namespace. */
bool mproc_address_is_abstract(const mproc_address *a);

/*
** Writes the address for people, zero-terminated: "127.0.0.1:6000",
** "[::1]:6000", "/tmp/socket", "@name" for an abstract one; control bytes and
** zeros as \xNN. Returns 'out'.
*/
const char *mproc_address_format(const mproc_address *a,
                                 char out[MPROC_ADDRESS_TEXT_MAX]);

#endif

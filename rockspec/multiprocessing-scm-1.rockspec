rockspec_format = "3.0"
package = "multiprocessing"
version = "scm-1"

-- A placeholder until the repository has a public home: `luarocks make`, in a
-- checkout, does not look at it; `luarocks install` and `pack` would.
source = {
  url = "git+https://example.org/multiprocessing.git",
}

description = {
  summary = "Python's multiprocessing.connection for Lua",
  detailed = [[
Listeners, clients and pipes that speak the wire protocol of Python's
multiprocessing.connection: between Lua programs, and between Lua programs and
Python programs that need nothing but their standard library.]],
  license = "MIT",
}

dependencies = {
  "lua >= 5.4, < 5.5",
}

external_dependencies = {
  CRYPTO = {header = "openssl/evp.h", library = "crypto"},
}

-- The Makefile knows the sources and the modules. Both of its passes get the
-- same variables, or else installing would find the flags changed.
build = {
  type = "make",
  build_target = "module",
  install_target = "install-module",
  variables = {
    BUILD = "build/luarocks", -- leaves alone what `make` has built
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    CRYPTO_INCDIR = "$(CRYPTO_INCDIR)",
    CRYPTO_LIBDIR = "$(CRYPTO_LIBDIR)",
    INSTALL_CMOD = "$(LIBDIR)",
    INSTALL_LMOD = "$(LUADIR)",
  },
}

test = {
  type = "command",
  command = "make test",
}
